//! What operators combine: values, columns, calls, parentheses, and what stands behind them (`::`, `[i]`, `.field`).

use super::super::parser::{Parse, Parser};
use crate::ast::{CaseBranch, Expr, ExprKind, Literal, ObjectName};
use crate::lex::TokenKind;
use crate::span::Span;

/// Functions of the standard that are called without parentheses.
const BARE_CALLS: &[&str] = &["CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "LOCALTIMESTAMP", "LOCALTIME"];

impl Parser<'_> {
    /// An operand with everything behind it that binds tighter than an operator.
    pub(super) fn postfix(&mut self) -> Parse<Expr> {
        let mut expr = self.primary()?;
        loop {
            let start = expr.span;
            let kind = if self.eat_symbol("::") {
                ExprKind::Cast { operand: Box::new(expr), to: self.sql_type()?, lenient: false }
            } else if self.is_symbol(0, "[") {
                self.advance();
                let index = self.expr()?;
                self.need_symbol("]")?;
                ExprKind::Index { operand: Box::new(expr), index: Box::new(index) }
            } else if self.is_symbol(0, ".") && self.ahead(1).kind != TokenKind::Symbol("*") {
                self.advance();
                ExprKind::Field { operand: Box::new(expr), field: self.label("a field name")? }
            } else if self.is_word(0, "AT") && self.is_word(1, "TIME") {
                self.advance();
                self.advance();
                self.need("ZONE")?;
                let zone = self.primary()?;
                ExprKind::AtTimeZone { operand: Box::new(expr), zone: Box::new(zone) }
            } else {
                return Ok(expr);
            };
            expr = Expr { kind, span: start.to(self.last_span()) };
        }
    }

    fn literal(&mut self, literal: Literal) -> Parse<Expr> {
        let span = self.advance().span;
        Ok(Expr { kind: ExprKind::Literal(literal), span })
    }

    fn primary(&mut self) -> Parse<Expr> {
        let start = self.span();
        match &self.token().kind {
            TokenKind::String(value) => {
                let value = value.clone();
                self.literal(Literal::String(value))
            }
            TokenKind::Number => {
                let text = start.text(self.text).to_owned();
                self.literal(Literal::Number(text))
            }
            TokenKind::Duration => {
                let text = start.text(self.text).to_owned();
                self.literal(Literal::Duration(text))
            }
            TokenKind::Quoted(_) => self.named(),
            TokenKind::Symbol("(") => self.parenthesis(),
            TokenKind::Symbol("[") => {
                self.advance();
                let items = if self.is_symbol(0, "]") { vec![] } else { self.list(Self::expr)? };
                let end = self.need_symbol("]")?;
                Ok(Expr { kind: ExprKind::Array(items), span: start.to(end) })
            }
            TokenKind::Word => self.worded(start),
            _ => Err(self.unexpected("an expression")),
        }
    }

    /// An expression that begins with a word. A word is special only where what follows it fits.
    fn worded(&mut self, start: Span) -> Parse<Expr> {
        let called = self.is_symbol(1, "(");
        let bracket = self.is_symbol(1, "[");
        let string = matches!(self.ahead(1).kind, TokenKind::String(_));
        let word = self.word_ahead(0).unwrap_or_default().to_ascii_uppercase();
        match word.as_str() {
            "NULL" => return self.literal(Literal::Null),
            "TRUE" => return self.literal(Literal::Boolean(true)),
            "FALSE" => return self.literal(Literal::Boolean(false)),
            "CASE" => return self.case(start),
            "CAST" | "TRY_CAST" | "SAFE_CAST" if called => return self.cast(start, word != "CAST"),
            "EXISTS" if called => {
                self.advance();
                let open = self.need_symbol("(")?;
                let query = self.query()?;
                let end = self.close(open)?;
                return Ok(Expr { kind: ExprKind::Exists(Box::new(query)), span: start.to(end) });
            }
            "INTERVAL" if string || matches!(self.ahead(1).kind, TokenKind::Number | TokenKind::Duration | TokenKind::Symbol("-")) => {
                return self.interval();
            }
            "DATE" | "TIME" | "TIMESTAMP" if string => {
                self.advance();
                let value = self.string("a string")?;
                let literal = Literal::Typed { type_name: word, value };
                return Ok(Expr { kind: ExprKind::Literal(literal), span: start.to(self.last_span()) });
            }
            "ARRAY" if bracket => {
                self.advance();
                self.advance();
                let items = if self.is_symbol(0, "]") { vec![] } else { self.list(Self::expr)? };
                let end = self.need_symbol("]")?;
                return Ok(Expr { kind: ExprKind::Array(items), span: start.to(end) });
            }
            "MAP" if bracket => return self.map_brackets(start),
            "MAP" if called => return self.map_pairs(start),
            "STRUCT" | "ROW" if called => return self.structure(start),
            "EXTRACT" if called => return self.extract(start),
            _ => {}
        }
        if BARE_CALLS.contains(&word.as_str()) && !called {
            let name = self.object_name("a function")?;
            return Ok(self.plain_call(name, vec![], start));
        }
        // LEFT(s, 1) and RIGHT(s, 1) are functions although the words are reserved.
        if self.is_reserved(0) && !(called && matches!(word.as_str(), "LEFT" | "RIGHT" | "LIKE")) {
            return Err(self.unexpected("an expression"));
        }
        self.named()
    }

    /// A column, or a function call.
    fn named(&mut self) -> Parse<Expr> {
        let start = self.span();
        let first = self.label("a name")?;
        let mut span = first.span;
        let mut parts = vec![first];
        while self.is_symbol(0, ".") && !self.is_symbol(1, "*") {
            self.advance();
            let part = self.label("a column name")?;
            span = span.to(part.span);
            parts.push(part);
        }
        let name = ObjectName { parts, span };
        if self.is_symbol(0, "(") {
            return self.call(name, start);
        }
        Ok(Expr { kind: ExprKind::Column(name), span })
    }

    fn parenthesis(&mut self) -> Parse<Expr> {
        let open = self.advance().span;
        if self.begins_query() {
            let query = self.query()?;
            let end = self.close(open)?;
            return Ok(Expr { kind: ExprKind::Query(Box::new(query)), span: open.to(end) });
        }
        let first = self.expr()?;
        if !self.is_symbol(0, ",") {
            let end = self.close(open)?;
            return Ok(Expr { span: open.to(end), ..first });
        }
        let mut items = vec![first];
        while self.eat_symbol(",") {
            items.push(self.expr()?);
        }
        let end = self.close(open)?;
        Ok(Expr { kind: ExprKind::Tuple(items), span: open.to(end) })
    }

    fn case(&mut self, start: Span) -> Parse<Expr> {
        self.advance();
        let operand = if self.is_word(0, "WHEN") { None } else { Some(Box::new(self.expr()?)) };
        let mut branches = Vec::new();
        while self.eat("WHEN") {
            let when = self.expr()?;
            self.need("THEN")?;
            branches.push(CaseBranch { when, then: self.expr()? });
        }
        if branches.is_empty() {
            return Err(self.unexpected("WHEN"));
        }
        let otherwise = if self.eat("ELSE") { Some(Box::new(self.expr()?)) } else { None };
        let end = self.need("END")?;
        Ok(Expr { kind: ExprKind::Case { operand, branches, otherwise }, span: start.to(end) })
    }

    fn cast(&mut self, start: Span, lenient: bool) -> Parse<Expr> {
        self.advance();
        let open = self.need_symbol("(")?;
        let operand = Box::new(self.expr()?);
        self.need("AS")?;
        let to = self.sql_type()?;
        let end = self.close(open)?;
        Ok(Expr { kind: ExprKind::Cast { operand, to, lenient }, span: start.to(end) })
    }

    fn extract(&mut self, start: Span) -> Parse<Expr> {
        self.advance();
        let open = self.need_symbol("(")?;
        let field = match &self.token().kind {
            TokenKind::String(value) => {
                let value = value.clone();
                crate::ast::Ident { value, quoted: false, span: self.advance().span }
            }
            _ => self.label("a field such as HOUR or EPOCH")?,
        };
        self.need("FROM")?;
        let operand = Box::new(self.expr()?);
        let end = self.close(open)?;
        Ok(Expr { kind: ExprKind::Extract { field, operand }, span: start.to(end) })
    }

    fn map_brackets(&mut self, start: Span) -> Parse<Expr> {
        self.advance();
        self.advance();
        let mut pairs = Vec::new();
        if !self.is_symbol(0, "]") {
            pairs = self.list(|p| {
                let key = p.expr()?;
                p.need_symbol(",")?;
                Ok((key, p.expr()?))
            })?;
        }
        let end = self.need_symbol("]")?;
        Ok(Expr { kind: ExprKind::Map(pairs), span: start.to(end) })
    }

    fn map_pairs(&mut self, start: Span) -> Parse<Expr> {
        self.advance();
        let open = self.need_symbol("(")?;
        let mut pairs = Vec::new();
        if !self.is_symbol(0, ")") {
            pairs = self.list(|p| {
                let key = p.expr()?;
                if !p.eat_symbol(":=") {
                    p.need_symbol(",")?;
                }
                Ok((key, p.expr()?))
            })?;
        }
        let end = self.close(open)?;
        Ok(Expr { kind: ExprKind::Map(pairs), span: start.to(end) })
    }

    fn structure(&mut self, start: Span) -> Parse<Expr> {
        self.advance();
        let open = self.need_symbol("(")?;
        let mut fields = Vec::new();
        if !self.is_symbol(0, ")") {
            fields = self.list(|p| {
                let named = p.is_symbol(1, ":=");
                let name = if named { Some(p.label("a field name")?) } else { None };
                if named {
                    p.advance();
                }
                let value = p.expr()?;
                // STRUCT(1 AS a): the spelling of other dialects.
                let name = if name.is_none() && p.eat("AS") { Some(p.label("a field name")?) } else { name };
                Ok((name, value))
            })?;
        }
        let end = self.close(open)?;
        Ok(Expr { kind: ExprKind::Struct(fields), span: start.to(end) })
    }
}
