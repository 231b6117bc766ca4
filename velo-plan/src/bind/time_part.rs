//! Parts of times: EXTRACT, and FLOOR to a unit.

use velo_core::suggest::nearest;
use velo_core::types;
use velo_sql::ast::{Expr as Ast, Ident};
use velo_sql::{Diagnostic, Span};

use super::expr::{ExprBinder, Typed, article};
use crate::codes;
use crate::functions::calendar;

/// What a time is rounded to.
const UNITS: &[&str] = &[
    "millennium",
    "century",
    "decade",
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "hour",
    "minute",
    "second",
    "millisecond",
    "microsecond",
];

impl ExprBinder<'_> {
    /// `EXTRACT(field FROM time)`.
    pub(super) fn extract(&mut self, field: &Ident, expr: &Ast, span: Span) -> Option<Typed> {
        let operand = self.bind(expr);
        self.extracted(&field.value, field.span, operand?, span)
    }

    /// A part of a time, by its name.
    pub(super) fn extracted(&mut self, part: &str, part_span: Span, operand: Typed, span: Span) -> Option<Typed> {
        let part = part.to_lowercase();
        let Some(function) = calendar::extract(&part) else {
            let known = calendar::PARTS.iter().map(|(names, ..)| names[0]).collect::<Vec<_>>();
            return self.no_such_part(&part, part_span, &known);
        };
        let operand = self.time(operand, "EXTRACT")?;
        let of = operand.data_type.clone();
        match self.try_call(&function, vec![operand], span) {
            Some(found) => found,
            None => {
                let message = format!("{} has no {}", article(&of), part.to_uppercase());
                let help = "CAST it to TIMESTAMP, or take another part";
                self.report(Diagnostic::error(codes::ARGUMENTS, part_span, message).help(help))
            }
        }
    }

    /// `FLOOR(time TO unit)`, and CEIL: the first beginning of a unit that is not before the time.
    pub(super) fn round_time(&mut self, function: &str, unit: &Ident, expr: &Ast, span: Span) -> Option<Typed> {
        let operand = self.bind(expr);
        let unit = self.unit_of_time(&unit.value, unit.span);
        let operand = self.time(operand?, "FLOOR(… TO unit)")?;
        self.scalar_call(function, vec![unit?, operand], span, span)
    }

    /// A unit of time by its name.
    pub(super) fn unit_of_time(&mut self, name: &str, span: Span) -> Option<Typed> {
        match calendar::Unit::of(name) {
            Some(_) => Some(self.text(&name.to_lowercase(), span)),
            None => self.no_such_part(&name.to_lowercase(), span, UNITS),
        }
    }

    fn no_such_part(&mut self, part: &str, span: Span, known: &[&str]) -> Option<Typed> {
        let help = match nearest(part, known.iter().copied()) {
            Some(near) => format!("did you mean {}?", near.to_uppercase()),
            None => format!("there are {}", known.join(", ").to_uppercase()),
        };
        let message = format!("a time has no {}", part.to_uppercase());
        self.report(Diagnostic::error(codes::ARGUMENTS, span, message).help(help))
    }

    /// What must be a time; a text without a type of its own is read as a TIMESTAMP.
    fn time(&mut self, operand: Typed, what: &str) -> Option<Typed> {
        let span = operand.span;
        match &operand.data_type {
            _ if operand.unknown => self.cast(operand, &types::TIMESTAMP, false, span),
            time if time.is_null() => self.cast(operand, &types::TIMESTAMP, false, span),
            time if time.is_temporal() => Some(operand),
            other => {
                let message = format!("{what} takes a time, and this is {}", article(other));
                let help = "CAST it to TIMESTAMP, or convert it with TO_TIMESTAMP(…)";
                self.report(Diagnostic::error(codes::TYPE_MISMATCH, span, message).help(help))
            }
        }
    }
}
