//! The WINDOW clause for time windows, in our spelling and in ksqlDB's.

use super::parser::{Parse, Parser};
use crate::ast::{Ident, TimeWindow, TimeWindowKind, WindowArgument};
use crate::diagnostic::{Code, Diagnostic};
use crate::nearest::nearest;

impl Parser<'_> {
    /// Whether `WINDOW TUMBLING(` or alike begins here (or a misspelt one), rather than a column called window.
    pub(super) fn begins_time_window(&self) -> bool {
        self.is_word(0, "WINDOW") && self.word_ahead(1).is_some() && self.is_symbol(2, "(")
    }

    /// `WINDOW TUMBLING(…)`; WINDOW is the current token.
    pub(super) fn time_window(&mut self) -> Parse<TimeWindow> {
        self.advance();
        let start = self.span();
        let word = self.word_ahead(0).unwrap_or_default();
        let Some(kind) = TimeWindowKind::from_word(word) else {
            let near = nearest(word, ["TUMBLING", "SLIDING", "HOPPING", "SESSION", "CUMULATE"]);
            let mut diagnostic = Diagnostic::error(Code::SYNTAX, start, format!("'{word}' is no kind of window"));
            diagnostic = match near {
                Some(near) => diagnostic.help(format!("did you mean {near}?")),
                None => diagnostic.help("windows are TUMBLING(size), SLIDING(size, advance), SESSION(gap) and CUMULATE(size, step)"),
            };
            return Err(self.report(diagnostic));
        };
        self.advance();
        let open = self.need_symbol("(")?;
        let arguments = if self.is_symbol(0, ")") { vec![] } else { self.list(Self::window_argument)? };
        let end = self.close(open)?;
        Ok(TimeWindow { kind, arguments, span: start.to(end) })
    }

    fn window_argument(&mut self) -> Parse<WindowArgument> {
        let name = if self.is_symbol(1, "=>") {
            let name = self.label("an argument's name")?;
            self.advance();
            Some(name)
        } else if let Some(name) = self.ksql_name() {
            Some(name)
        } else {
            None
        };
        let value = match self.bare_interval() {
            Some(interval) => interval,
            None => self.expr()?,
        };
        Ok(WindowArgument { name, value })
    }

    /// `SIZE 1 HOUR`, `ADVANCE BY 1 HOUR`, `GRACE PERIOD 10 MINUTES`, `RETENTION 1 DAY`.
    fn ksql_name(&mut self) -> Option<Ident> {
        let words: &[&str] = if self.is_word(0, "ADVANCE") && self.is_word(1, "BY") {
            &["ADVANCE", "BY"]
        } else if self.is_word(0, "GRACE") && self.is_word(1, "PERIOD") {
            &["GRACE", "PERIOD"]
        } else if self.is_any_word(0, &["SIZE", "RETENTION"]) && !self.is_symbol(1, ",") && !self.is_symbol(1, ")") {
            &["SIZE"]
        } else {
            return None;
        };
        let span = self.span();
        let value = self.word_ahead(0).unwrap_or_default().to_ascii_lowercase();
        for _ in words {
            self.advance();
        }
        Some(Ident { value, quoted: false, span })
    }
}
