//! Operators by precedence climbing.

use super::super::parser::{Parse, Parser};
use crate::ast::{BinaryOp, Expr, ExprKind, UnaryOp};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::TokenKind;

/// How many operators of one chain may follow each other. The tree of a chain is as deep as the chain is long, and everything
/// that walks a tree walks it on the stack.
const MAX_CHAIN: usize = 600;

/// The precedence of NOT, between AND and the comparisons.
const NOT: u8 = 3;

impl Parser<'_> {
    pub(in crate::parse) fn expr(&mut self) -> Parse<Expr> {
        self.nested(|p| p.operators(0))
    }

    pub(in crate::parse) fn whole_expression(&mut self) -> Parse<Expr> {
        let expr = self.expr()?;
        if self.at_end() { Ok(expr) } else { Err(self.unexpected("the end of the expression")) }
    }

    /// An expression that ends before AND: a bound of a frame.
    pub(in crate::parse) fn bound_amount(&mut self) -> Parse<Expr> {
        self.operators(BinaryOp::And.precedence())
    }

    /// An expression whose operators all bind tighter than `floor`.
    pub(super) fn operators(&mut self, floor: u8) -> Parse<Expr> {
        let start = self.span();
        let mut left = self.prefix(floor)?;
        let mut chain = 0;
        loop {
            chain += 1;
            if chain > MAX_CHAIN {
                let span = self.span();
                return Err(self.report(
                    Diagnostic::error(Code::NESTING, span, format!("more than {MAX_CHAIN} operators follow each other here"))
                        .help("use IN for many alternatives, or parentheses to group the parts"),
                ));
            }
            if let Some(op) = self.binary_operator() {
                if op.precedence() <= floor {
                    return Ok(left);
                }
                let op_span = self.advance().span;
                if op.is_comparison() && self.is_any_word(0, &["ANY", "SOME", "ALL"]) && self.is_symbol(1, "(") {
                    left = self.quantified(left, op)?;
                    continue;
                }
                let right = self.nested(|p| p.operators(op.precedence()))?;
                let span = start.to(right.span);
                left = Expr {
                    kind: ExprKind::Binary { op, op_span, left: Box::new(left), right: Box::new(right) },
                    span,
                };
                continue;
            }
            match self.predicate(left, floor)? {
                (expr, true) => left = expr,
                (expr, false) => return Ok(expr),
            }
        }
    }

    fn prefix(&mut self, floor: u8) -> Parse<Expr> {
        let start = self.span();
        if self.is_word(0, "NOT") && floor <= NOT {
            self.advance();
            let operand = self.nested(|p| p.operators(NOT - 1))?;
            let span = start.to(operand.span);
            return Ok(Expr { kind: ExprKind::Unary { op: UnaryOp::Not, operand: Box::new(operand) }, span });
        }
        let op = match self.token().kind {
            TokenKind::Symbol("-") => UnaryOp::Minus,
            TokenKind::Symbol("+") => UnaryOp::Plus,
            _ => return self.postfix(),
        };
        self.advance();
        // A sign binds tighter than any operator between operands.
        let operand = self.nested(|p| p.operators(BinaryOp::Multiply.precedence()))?;
        let span = start.to(operand.span);
        Ok(Expr { kind: ExprKind::Unary { op, operand: Box::new(operand) }, span })
    }

    fn binary_operator(&mut self) -> Option<BinaryOp> {
        match self.token().kind {
            TokenKind::Symbol(symbol) => Some(match symbol {
                "=" => BinaryOp::Equal,
                "<>" | "!=" => BinaryOp::NotEqual,
                "<" => BinaryOp::Less,
                "<=" => BinaryOp::LessOrEqual,
                ">" => BinaryOp::Greater,
                ">=" => BinaryOp::GreaterOrEqual,
                "~" => BinaryOp::Match,
                "~*" => BinaryOp::MatchInsensitive,
                "!~" => BinaryOp::NotMatch,
                "!~*" => BinaryOp::NotMatchInsensitive,
                "+" => BinaryOp::Add,
                "-" => BinaryOp::Subtract,
                "||" => BinaryOp::Concat,
                "*" => BinaryOp::Multiply,
                "/" => BinaryOp::Divide,
                "%" => BinaryOp::Remainder,
                "->" => BinaryOp::JsonGet,
                "->>" => BinaryOp::JsonGetText,
                _ => return None,
            }),
            TokenKind::Word if self.is_word(0, "AND") => Some(BinaryOp::And),
            TokenKind::Word if self.is_word(0, "OR") => Some(BinaryOp::Or),
            _ => None,
        }
    }

    /// `ANY (query)`; the operator is taken already.
    fn quantified(&mut self, operand: Expr, op: BinaryOp) -> Parse<Expr> {
        let all = self.is_word(0, "ALL");
        self.advance();
        let open = self.need_symbol("(")?;
        let query = self.query()?;
        let end = self.close(open)?;
        let span = operand.span.to(end);
        Ok(Expr { kind: ExprKind::Quantified { operand: Box::new(operand), op, all, query: Box::new(query) }, span })
    }
}
