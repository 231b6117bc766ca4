//! Operators of their own: bits, `||`, `->`, ANY and ALL, AT TIME ZONE, IS JSON, signs.

use arrow_schema::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, Operator};
use velo_core::types;
use velo_sql::ast::{BinaryOp, Expr as Ast, JsonKind, QuantifiedSet, Quantifier};
use velo_sql::{Diagnostic, Span};

use super::expr::{ExprBinder, Typed, article, binary_expr};
use crate::codes;
use crate::functions::arithmetic::{Arithmetic, ArithmeticFunction};
use crate::functions::cast::CastFunction;
use crate::functions::quantified;

impl ExprBinder<'_> {
    /// `-x`
    pub(super) fn negative(&mut self, operand: Typed, span: Span) -> Option<Typed> {
        let operand = match operand.data_type {
            // Without a sign there is nothing below zero.
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                self.cast(operand, &DataType::Int64, false, span)?
            }
            DataType::Null => self.cast(operand, &DataType::Int32, false, span)?,
            _ => operand,
        };
        let data_type = operand.data_type.clone();
        if data_type.is_floating() || matches!(data_type, DataType::Interval(_)) {
            return Some(Typed { expr: Expr::Negative(Box::new(operand.expr)), span, ..operand });
        }
        // The library's sign wraps; the smallest BIGINT has no counterpart.
        let zero = match ScalarValue::new_zero(&data_type) {
            Ok(zero) => Expr::Literal(zero, None),
            Err(_) => return Some(Typed { expr: Expr::Negative(Box::new(operand.expr)), span, ..operand }),
        };
        let expr = ArithmeticFunction::call(Arithmetic::Subtract, data_type, zero, operand.expr);
        Some(Typed { expr, span, ..operand })
    }

    /// `&`, `|`, `<<`, `>>`
    pub(super) fn bits(&mut self, op: BinaryOp, left: Typed, right: Typed, op_span: Span, span: Span) -> Option<Typed> {
        for side in [&left, &right] {
            if !(side.data_type.is_integer() || side.data_type.is_null()) {
                let message = format!("bits are those of whole numbers, and this is {}", article(&side.data_type));
                let help = "CAST it to BIGINT";
                return self.report(Diagnostic::error(codes::TYPE_MISMATCH, side.span, message).help(help));
            }
        }
        let nullable = left.nullable || right.nullable;
        let (mut sides, data_type) = self.unify(vec![left, right], op_span, "these sides,")?;
        let (right, left) = (sides.pop()?, sides.pop()?);
        let op = match op {
            BinaryOp::BitAnd => Operator::BitwiseAnd,
            BinaryOp::BitOr => Operator::BitwiseOr,
            BinaryOp::ShiftLeft => Operator::BitwiseShiftLeft,
            _ => Operator::BitwiseShiftRight,
        };
        Some(Typed { expr: binary_expr(left.expr, op, right.expr), data_type, nullable, unknown: false, span })
    }

    /// `a || b`: texts, or arrays and their elements.
    pub(super) fn concat(&mut self, left: Typed, right: Typed, op_span: Span, span: Span) -> Option<Typed> {
        let is_list = |typed: &Typed| matches!(typed.data_type, DataType::List(_));
        match (is_list(&left), is_list(&right)) {
            (true, true) => {
                let (sides, _) = self.unify(vec![left, right], op_span, "these arrays,")?;
                return self.scalar_call("array_concat", sides, op_span, span);
            }
            (true, false) => return self.scalar_call("array_append", vec![left, right], op_span, span),
            (false, true) => return self.scalar_call("array_prepend", vec![left, right], op_span, span),
            (false, false) => {}
        }
        let (left_span, right_span) = (left.span, right.span);
        let left = self.cast(left, &DataType::Utf8, false, left_span)?;
        let right = self.cast(right, &DataType::Utf8, false, right_span)?;
        let nullable = left.nullable || right.nullable;
        let expr = binary_expr(left.expr, Operator::StringConcat, right.expr);
        Some(Typed { expr, data_type: DataType::Utf8, nullable, unknown: false, span })
    }

    /// `json -> key`, `json ->> key`
    pub(super) fn json_step(
        &mut self,
        op: BinaryOp,
        left: Typed,
        right: Typed,
        op_span: Span,
        span: Span,
    ) -> Option<Typed> {
        let name = if op == BinaryOp::JsonGet { "json_get" } else { "json_get_text" };
        let json = matches!(left.data_type, DataType::Utf8 | DataType::Null);
        let step = right.data_type == DataType::Utf8 || right.data_type.is_integer() || right.data_type.is_null();
        if !json || !step {
            let (message, at) = if json {
                (
                    format!(
                        "JSON has members by text and elements by number, and this is {}",
                        article(&right.data_type)
                    ),
                    right.span,
                )
            } else {
                (format!("-> takes JSON apart, and this is {}", article(&left.data_type)), left.span)
            };
            let help = "fields of a STRUCT are named with a point, elements of an ARRAY or MAP stand in brackets";
            return self.report(Diagnostic::error(codes::TYPE_MISMATCH, at, message).help(help));
        }
        let found = self.scalar_call(name, vec![left, right], op_span, span)?;
        Some(Typed { nullable: true, ..found })
    }

    /// `x op ANY (array)`, `x op ALL (array)`
    pub(super) fn quantified(
        &mut self,
        left: &Ast,
        op: (BinaryOp, Span),
        quantifier: Quantifier,
        right: &QuantifiedSet,
        span: Span,
    ) -> Option<Typed> {
        let (op, op_span) = op;
        let left = self.bind(left);
        let QuantifiedSet::Expr(array) = right else {
            return None;
        };
        let array = self.bind(array);
        let (left, array) = (left?, array?);
        let DataType::List(element) = array.data_type.clone() else {
            let message = format!("ANY and ALL take an array, and this is {}", article(&array.data_type));
            let help = "write ARRAY[…], or IN (…) for a list of values";
            return self.report(Diagnostic::error(codes::TYPE_MISMATCH, array.span, message).help(help));
        };
        let elements = Typed { data_type: element.data_type().clone(), unknown: false, ..array.clone() };
        let (_, to) = self.unify(
            vec![left.clone(), Typed { expr: Expr::Literal(ScalarValue::Null, None), ..elements }],
            op_span,
            "these sides,",
        )?;
        let (left_span, array_span) = (left.span, array.span);
        let left = self.cast(left, &to, false, left_span)?;
        let array = self.cast(array, &types::array(to), false, array_span)?;
        let symbol = match op {
            BinaryOp::Equal => "=",
            BinaryOp::NotEqual => "<>",
            BinaryOp::Less => "<",
            BinaryOp::LessOrEqual => "<=",
            BinaryOp::Greater => ">",
            _ => ">=",
        };
        let function = quantified::function(symbol, quantifier == Quantifier::All)?;
        self.try_call(&function, vec![left, array], span)?
    }

    /// `time AT TIME ZONE zone`: what the clocks of the zone show at that time.
    pub(super) fn at_time_zone(&mut self, time: &Ast, zone: &Ast, span: Span) -> Option<Typed> {
        let (time, zone) = (self.bind(time), self.bind(zone));
        let (time, zone) = (time?, zone?);
        if let Expr::Literal(ScalarValue::Utf8(Some(name)), _) = &zone.expr
            && let Err(message) = name.parse::<velo_eventtime::Zone>()
        {
            return self.report(Diagnostic::error(codes::LITERAL, zone.span, message));
        }
        self.scalar_call("at_time_zone", vec![time, zone], span, span)
    }

    /// `x IS JSON`
    pub(super) fn is_json(&mut self, expr: &Ast, kind: JsonKind, negated: bool, span: Span) -> Option<Typed> {
        let operand = self.bind(expr)?;
        if !matches!(operand.data_type, DataType::Utf8 | DataType::Null) {
            let message = format!("IS JSON tests a text, and this is {}", article(&operand.data_type));
            let help = "only texts can be JSON or not: leave the test out";
            return self.report(Diagnostic::error(codes::TYPE_MISMATCH, operand.span, message).help(help));
        }
        let kind = match kind {
            JsonKind::Value => "value",
            JsonKind::Object => "object",
            JsonKind::Array => "array",
            JsonKind::Scalar => "scalar",
        };
        let kind = self.text(kind, span);
        let found = self.scalar_call("is_json", vec![operand, kind], span, span)?;
        let expr = if negated { Expr::Not(Box::new(found.expr)) } else { found.expr };
        Some(Typed { expr, nullable: true, ..found })
    }

    /// `CAST(x AS JSON)`: a text must be JSON, any other value is written as it.
    pub(super) fn cast_to_json(&mut self, operand: Typed, lenient: bool, span: Span) -> Option<Typed> {
        if !matches!(operand.data_type, DataType::Utf8 | DataType::Null) {
            return self.scalar_call("to_json", vec![operand], span, span);
        }
        if !lenient {
            return self.scalar_call("parse_json", vec![Typed { unknown: false, ..operand }], span, span);
        }
        let kind = self.text("value", span);
        let is = self.scalar_call("is_json", vec![operand.clone(), kind], span, span)?;
        let null = Expr::Literal(ScalarValue::Utf8(None), None);
        let expr = super::call::case(vec![(is.expr, operand.expr)], null);
        Some(Typed {
            expr: CastFunction::call(expr, DataType::Utf8, false),
            data_type: DataType::Utf8,
            nullable: true,
            unknown: false,
            span,
        })
    }

    /// Text for a pattern; NULL is one.
    pub(super) fn as_text(&mut self, typed: Typed) -> Option<Typed> {
        let at = typed.span;
        if typed.data_type == DataType::Null { self.cast(typed, &DataType::Utf8, false, at) } else { Some(typed) }
    }

    /// A literal pattern translated now, another one by a function.
    pub(super) fn translated(&mut self, pattern: Typed, function: &str, escape: &str) -> Option<Typed> {
        let span = pattern.span;
        let escape = self.text(escape, span);
        self.scalar_call(function, vec![pattern, escape], span, span)
    }

    /// A regular expression in PostgreSQL's spelling, where it is written as a literal.
    pub(super) fn expression_pattern(&mut self, pattern: Typed) -> Typed {
        match &pattern.expr {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => {
                let text = crate::functions::pattern::expression(text);
                Typed { expr: Expr::Literal(ScalarValue::Utf8(Some(text)), None), ..pattern }
            }
            _ => pattern,
        }
    }

    /// Intervals are compared by their length.
    pub(super) fn comparable(&self, typed: Typed) -> Typed {
        if !matches!(typed.data_type, DataType::Interval(_)) {
            return typed;
        }
        let data_type = types::decimal(types::DECIMAL128_DIGITS, 0);
        Typed { expr: crate::functions::interval::length_of(typed.expr), data_type, ..typed }
    }
}
