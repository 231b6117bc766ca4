//! Values: strings, numbers, intervals.

use super::parser::{Parse, Parser};
use crate::ast::{Expr, ExprKind, Ident, Literal};
use crate::lex::TokenKind;

/// Units that may stand behind a number or a string of an interval.
pub(super) const UNITS: &[&str] = &[
    "MICROSECOND", "MICROSECONDS", "MILLISECOND", "MILLISECONDS", "SECOND", "SECONDS", "MINUTE", "MINUTES", "HOUR", "HOURS", "DAY",
    "DAYS", "WEEK", "WEEKS", "MONTH", "MONTHS", "QUARTER", "QUARTERS", "YEAR", "YEARS",
];

impl Parser<'_> {
    pub(super) fn string(&mut self, what: &'static str) -> Parse<String> {
        if let TokenKind::String(value) = &self.token().kind {
            let value = value.clone();
            self.advance();
            return Ok(value);
        }
        Err(self.unexpected(what))
    }

    /// `INTERVAL '1' MINUTE`, `INTERVAL '1 day'`, `INTERVAL 5 MINUTES`; the word INTERVAL is the current token.
    pub(super) fn interval(&mut self) -> Parse<Expr> {
        let start = self.advance().span;
        let negative = self.eat_symbol("-");
        let mut value = match &self.token().kind {
            TokenKind::String(value) => value.clone(),
            TokenKind::Number | TokenKind::Duration => self.span().text(self.text).to_owned(),
            _ => return Err(self.unexpected("an interval such as '1' MINUTE")),
        };
        self.advance();
        if negative {
            value.insert(0, '-');
        }
        let unit = self.is_any_word(0, UNITS).then(|| self.label("a unit")).transpose()?;
        let mut value_unit = unit;
        if value_unit.is_some() && self.is_word(0, "TO") && self.is_any_word(1, UNITS) {
            // INTERVAL '1:30' HOUR TO MINUTE: the standard's spelling of a text whose parts say themselves what they are.
            self.advance();
            self.advance();
            value_unit = None;
        }
        Ok(Expr { kind: ExprKind::Literal(Literal::Interval { value, unit: value_unit }), span: start.to(self.last_span()) })
    }

    /// `5 MINUTES` without INTERVAL, where a window's argument may be written so.
    pub(super) fn bare_interval(&mut self) -> Option<Expr> {
        if self.token().kind != TokenKind::Number || !self.is_any_word(1, UNITS) {
            return None;
        }
        let number = self.advance().span;
        let unit_span = self.advance().span;
        let unit = Ident { value: unit_span.text(self.text).to_owned(), quoted: false, span: unit_span };
        let value = number.text(self.text).to_owned();
        Some(Expr { kind: ExprKind::Literal(Literal::Interval { value, unit: Some(unit) }), span: number.to(unit_span) })
    }
}
