//! Predicates behind an operand: IS, BETWEEN, IN, LIKE.

use super::super::parser::{Parse, Parser};
use crate::ast::{Expr, ExprKind, IsTest, LikeKind};

/// IS binds a little looser than the comparisons, the other predicates a little tighter, as in PostgreSQL.
const IS: u8 = 3;
const OTHERS: u8 = 5;

impl Parser<'_> {
    /// A predicate behind `operand`, if there is one that binds tighter than `floor`.
    pub(super) fn predicate(&mut self, operand: Expr, floor: u8) -> Parse<(Expr, bool)> {
        if self.is_word(0, "IS") {
            if IS <= floor {
                return Ok((operand, false));
            }
            return Ok((self.is_test(operand)?, true));
        }
        let negated = self.is_word(0, "NOT");
        let by = usize::from(negated);
        let known =
            self.is_any_word(by, &["BETWEEN", "IN", "LIKE", "ILIKE", "SIMILAR", "REGEXP", "RLIKE"]);
        if !known || OTHERS <= floor {
            return Ok((operand, false));
        }
        if negated {
            self.advance();
        }
        let start = operand.span;
        let kind = if self.eat("BETWEEN") {
            self.eat("SYMMETRIC");
            let low = self.nested(|p| p.operators(OTHERS))?;
            self.need("AND")?;
            let high = self.nested(|p| p.operators(OTHERS))?;
            ExprKind::Between { operand: Box::new(operand), negated, low: Box::new(low), high: Box::new(high) }
        } else if self.eat("IN") {
            self.membership(operand, negated)?
        } else {
            self.like(operand, negated)?
        };
        Ok((Expr { kind, span: start.to(self.last_span()) }, true))
    }

    fn is_test(&mut self, operand: Expr) -> Parse<Expr> {
        self.advance();
        let negated = self.eat("NOT");
        let test = if self.eat("NULL") {
            IsTest::Null
        } else if self.eat("TRUE") {
            IsTest::True
        } else if self.eat("FALSE") {
            IsTest::False
        } else if self.eat("UNKNOWN") {
            IsTest::Unknown
        } else if self.eat("JSON") {
            IsTest::Json
        } else if self.eat("DISTINCT") {
            self.need("FROM")?;
            IsTest::DistinctFrom(Box::new(self.nested(|p| p.operators(OTHERS))?))
        } else {
            return Err(self.unexpected("NULL"));
        };
        let span = operand.span.to(self.last_span());
        Ok(Expr { kind: ExprKind::Is { operand: Box::new(operand), negated, test }, span })
    }

    fn membership(&mut self, operand: Expr, negated: bool) -> Parse<ExprKind> {
        let open = self.need_symbol("(")?;
        let operand = Box::new(operand);
        let kind = if self.begins_query() {
            ExprKind::InQuery { operand, negated, query: Box::new(self.query()?) }
        } else {
            ExprKind::InList { operand, negated, list: self.list(Self::expr)? }
        };
        self.close(open)?;
        Ok(kind)
    }

    fn like(&mut self, operand: Expr, negated: bool) -> Parse<ExprKind> {
        let kind = if self.eat("LIKE") {
            LikeKind::Like
        } else if self.eat("ILIKE") {
            LikeKind::ILike
        } else if self.eat("SIMILAR") {
            self.need("TO")?;
            LikeKind::SimilarTo
        } else {
            self.advance();
            LikeKind::Regexp
        };
        let pattern = Box::new(self.nested(|p| p.operators(OTHERS))?);
        let escape =
            if self.eat("ESCAPE") { Some(Box::new(self.nested(|p| p.operators(OTHERS))?)) } else { None };
        Ok(ExprKind::Like { operand: Box::new(operand), negated, kind, pattern, escape })
    }
}
