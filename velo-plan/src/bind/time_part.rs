//! Parts of times: EXTRACT, and FLOOR to a unit.

use velo_core::types;
use velo_sql::ast::{Expr as Ast, Ident};
use velo_sql::diagnostic::suggest::nearest;
use velo_sql::{Diagnostic, Span};

use super::expr::{ExprBinder, Typed, article};
use crate::codes;

/// What EXTRACT takes out of a time.
const PARTS: &[&str] = &[
    "year",
    "isoyear",
    "quarter",
    "month",
    "week",
    "day",
    "doy",
    "dow",
    "isodow",
    "hour",
    "minute",
    "second",
    "millisecond",
    "microsecond",
    "nanosecond",
    "epoch",
];

/// What a time is rounded to.
const UNITS: &[&str] =
    &["year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond", "microsecond"];

impl ExprBinder<'_> {
    /// `EXTRACT(field FROM time)`. The library finds an unknown part only when it runs, so it is looked up here.
    pub(super) fn extract(&mut self, field: &Ident, expr: &Ast, span: Span) -> Option<Typed> {
        let operand = self.bind(expr);
        let part = self.part_of_time(field, PARTS);
        let operand = self.time(operand?, "EXTRACT")?;
        self.scalar_call("date_part", vec![part?, operand], span, span)
    }

    /// `FLOOR(time TO unit)`
    pub(super) fn floor(&mut self, unit: &Ident, expr: &Ast, span: Span) -> Option<Typed> {
        let operand = self.bind(expr);
        let unit = self.part_of_time(unit, UNITS);
        let operand = self.time(operand?, "FLOOR(… TO unit)")?;
        self.scalar_call("date_trunc", vec![unit?, operand], span, span)
    }

    /// A part or unit of a time, which must be one of `known`.
    fn part_of_time(&mut self, name: &Ident, known: &[&str]) -> Option<Typed> {
        let part = name.value.to_lowercase();
        if known.contains(&part.as_str()) {
            return Some(self.text(&part, name.span));
        }
        let help = match nearest(&part, known.iter().copied()) {
            Some(near) => format!("did you mean {}?", near.to_uppercase()),
            None => format!("there are {}", known.join(", ").to_uppercase()),
        };
        let message = format!("a time has no {}", name.value.to_uppercase());
        self.report(Diagnostic::error(codes::ARGUMENTS, name.span, message).help(help))
    }

    /// What must be a time; a text without a type of its own is read as a TIMESTAMP.
    fn time(&mut self, operand: Typed, what: &str) -> Option<Typed> {
        let span = operand.span;
        match &operand.data_type {
            _ if operand.unknown => self.cast(operand, &types::TIMESTAMP, false, span),
            time if time.is_temporal() || time.is_null() => Some(operand),
            other => {
                let message = format!("{what} takes a time, and this is {}", article(other));
                let help = "CAST it to TIMESTAMP, or convert it with TO_TIMESTAMP(…)";
                self.report(Diagnostic::error(codes::TYPE_MISMATCH, span, message).help(help))
            }
        }
    }
}
