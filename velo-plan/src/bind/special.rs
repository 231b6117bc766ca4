//! Functions that are forms of expressions, or whose arguments are more than values: MOD, IF, DATEDIFF with a bare unit, …

use arrow_schema::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, Operator};
use velo_core::types;
use velo_sql::ast::{Call, CallArg, ExprKind};
use velo_sql::{Diagnostic, Span};

use super::call::case;
use super::expr::{ExprBinder, Typed, binary_expr};
use crate::codes;
use crate::functions::arithmetic::Arithmetic;
use crate::functions::interval::length_of;

/// Functions that the registry need not have, because they are bound here.
const SPECIAL: &[&str] = &["mod", "div", "if", "iif", "typeof", "date_part", "datepart", "date_sub", "try", "isnull"];

/// Functions whose first argument is a unit of time, which may be written bare, as in `DATEDIFF(day, a, b)`.
const WITH_UNIT: &[&str] = &[
    "datediff",
    "date_diff",
    "timestampdiff",
    "timestamp_diff",
    "timestampadd",
    "timestamp_add",
    "date_add",
    "dateadd",
    "date_trunc",
    "datetrunc",
];

/// Whether a function of this name is bound here.
pub(super) fn is_special(name: &str) -> bool {
    SPECIAL.contains(&name)
}

impl ExprBinder<'_> {
    /// A call whose first argument is the name of a unit; `None` where it is another call.
    pub(super) fn with_unit(&mut self, name: &str, call: &Call, span: Span) -> Option<Option<Typed>> {
        let part = ["date_part", "datepart"].contains(&name);
        if !part && !WITH_UNIT.contains(&name) {
            return None;
        }
        let Some(CallArg::Positional(first)) = call.args.first() else { return None };
        let unit = match &first.kind {
            ExprKind::Path(path) if path.parts.len() == 1 && (part || call.args.len() == 3) => {
                path.parts[0].value.clone()
            }
            ExprKind::Literal(velo_sql::ast::Literal::String(text))
                if part || call.args.len() == 3 || name.ends_with("trunc") =>
            {
                text.clone()
            }
            _ if part => {
                let message = "the part of a time is written as a text or a name".to_owned();
                let help = "write it as in DATE_PART('hour', ts), or EXTRACT(HOUR FROM ts)";
                return Some(self.report(Diagnostic::error(codes::ARGUMENTS, first.span, message).help(help)));
            }
            _ => return None,
        };
        let rest: Vec<_> = call.args[1..]
            .iter()
            .filter_map(|argument| match argument {
                CallArg::Positional(expr) => Some(self.bind(expr)),
                _ => None,
            })
            .collect();
        if rest.len() + 1 < call.args.len() {
            return None;
        }
        let Some(rest) = rest.into_iter().collect::<Option<Vec<_>>>() else { return Some(None) };
        if part {
            return Some(match <[Typed; 1]>::try_from(rest) {
                Ok([operand]) => self.extracted(&unit, first.span, operand, span),
                Err(rest) => self.wrong_arguments(name, &rest, call.name.span()),
            });
        }
        let Some(unit) = self.unit_of_time(&unit, first.span) else { return Some(None) };
        let mut arguments = vec![unit];
        arguments.extend(rest);
        Some(self.scalar_call(name, arguments, call.name.span(), span))
    }

    /// A function that is a form of something else; the arguments come back where it is none.
    pub(super) fn special(
        &mut self,
        name: &str,
        mut arguments: Vec<Typed>,
        name_span: Span,
        span: Span,
    ) -> Result<Option<Typed>, Vec<Typed>> {
        match (name, arguments.as_slice()) {
            ("mod", [_, _]) => Ok(self.two(arguments, Arithmetic::Remainder, name_span, span)),
            ("div", [left, right]) => {
                if left.data_type.is_integer() && right.data_type.is_integer() {
                    return Ok(self.two(arguments, Arithmetic::Divide, name_span, span));
                }
                let (left, right) = (left.clone(), right.clone());
                let rest = self.arithmetic(Arithmetic::Remainder, left.clone(), right.clone(), name_span, span);
                let whole = rest.and_then(|rest| self.arithmetic(Arithmetic::Subtract, left, rest, name_span, span));
                let quotient =
                    whole.and_then(|whole| self.arithmetic(Arithmetic::Divide, whole, right, name_span, span));
                Ok(quotient.and_then(|quotient| match quotient.data_type {
                    DataType::Decimal256(..) => {
                        self.cast(quotient, &types::decimal(types::DECIMAL_DIGITS, 0), false, span)
                    }
                    DataType::Decimal128(..) => {
                        self.cast(quotient, &types::decimal(types::DECIMAL128_DIGITS, 0), false, span)
                    }
                    _ => Some(quotient),
                }))
            }
            ("if" | "iif", [_, _, _]) => {
                let (otherwise, then) = (arguments.pop(), arguments.pop());
                let condition = arguments.pop();
                let (Some(condition), Some(then), Some(otherwise)) = (condition, then, otherwise) else {
                    return Ok(None);
                };
                Ok(self.choice(condition, then, otherwise, span))
            }
            ("typeof", [typed]) => {
                Ok(Some(Typed { unknown: false, ..self.text(&types::sql_name(&typed.data_type), span) }))
            }
            ("isnull", [typed]) => Ok(Some(Typed {
                expr: Expr::IsNull(Box::new(typed.expr.clone())),
                data_type: DataType::Boolean,
                nullable: false,
                unknown: false,
                span,
            })),
            ("position", [needle, text]) => {
                let swapped = vec![text.clone(), needle.clone()];
                Ok(self.scalar_call("strpos", swapped, name_span, span))
            }
            ("substr" | "substring", [_, pattern]) if pattern.data_type == DataType::Utf8 => {
                Ok(self.scalar_call("regexp_extract", arguments, name_span, span))
            }
            ("element_at", [_, _]) => {
                let (index, operand) = (arguments.pop(), arguments.pop());
                Ok(operand.zip(index).and_then(|(operand, index)| self.index(operand, index, span)))
            }
            ("date_add" | "dateadd" | "date_sub", [time, by]) => {
                let op = if name == "date_sub" { Arithmetic::Subtract } else { Arithmetic::Add };
                let (time, by) = (time.clone(), by.clone());
                let at = time.span;
                let to = if time.data_type.is_temporal() { time.data_type.clone() } else { types::TIMESTAMP };
                // A number is one of days.
                let to = if by.data_type.is_integer() { DataType::Date32 } else { to };
                Ok(self.cast(time, &to, false, at).and_then(|time| self.arithmetic(op, time, by, name_span, span)))
            }
            (name, [_, _, ..]) if name.starts_with("array_") || name.starts_with("list_") => {
                self.fitted_arrays(name, arguments, span).map_or(Ok(None), Err)
            }
            (name, _) if is_special(name) => Ok(self.wrong_arguments(name, &arguments, name_span)),
            _ => Err(arguments),
        }
    }

    /// Arrays, and elements beside them, in one type; the library would try to read texts as numbers.
    fn fitted_arrays(&mut self, name: &str, mut arguments: Vec<Typed>, span: Span) -> Option<Vec<Typed>> {
        let short = name.split_once('_').map_or(name, |(_, rest)| rest);
        let element = |typed: &Typed| match &typed.data_type {
            DataType::List(field) => Some(field.data_type().clone()),
            _ => None,
        };
        match short {
            "cat" | "concat" | "union" | "intersect" | "except" | "has_all" | "has_any" => {
                return self.unify(arguments, span, "these arrays,").map(|(arrays, _)| arrays);
            }
            "append" | "push_back" | "position" | "indexof" | "positions" | "remove" | "remove_all" | "remove_n"
            | "has" | "contains" | "prepend" | "push_front" => {}
            _ => return Some(arguments),
        }
        let list_at = usize::from(short == "prepend" || short == "push_front");
        let Some(of) = arguments.get(list_at).and_then(element) else { return Some(arguments) };
        let sample = Typed {
            data_type: of,
            expr: Expr::Literal(ScalarValue::Null, None),
            unknown: false,
            ..arguments[list_at].clone()
        };
        let (mut sides, to) =
            self.unify(vec![sample, arguments[1 - list_at].clone()], span, "the array's elements and the value,")?;
        arguments[1 - list_at] = sides.pop()?;
        let (list, at) = (arguments[list_at].clone(), arguments[list_at].span);
        arguments[list_at] = self.cast(list, &types::array(to), false, at)?;
        Some(arguments)
    }

    fn two(&mut self, mut arguments: Vec<Typed>, op: Arithmetic, op_span: Span, span: Span) -> Option<Typed> {
        let (right, left) = (arguments.pop()?, arguments.pop()?);
        self.arithmetic(op, left, right, op_span, span)
    }

    /// `CASE WHEN condition THEN then ELSE otherwise END`
    fn choice(&mut self, condition: Typed, then: Typed, otherwise: Typed, span: Span) -> Option<Typed> {
        let at = condition.span;
        let condition = self.cast(condition, &DataType::Boolean, false, at)?;
        let nullable = then.nullable || otherwise.nullable;
        let (mut results, data_type) = self.unify(vec![then, otherwise], span, "the results of IF,")?;
        let (otherwise, then) = (results.pop()?, results.pop()?);
        let expr = case(vec![(condition.expr, then.expr)], otherwise.expr);
        Some(Typed { expr, data_type, nullable, unknown: false, span })
    }

    /// GREATEST, LEAST and NULLIF of intervals, which are compared by their length.
    pub(super) fn interval_alternatives(
        &mut self,
        name: &str,
        arguments: Vec<Typed>,
        nullable: bool,
        span: Span,
    ) -> Option<Typed> {
        let mut exprs = arguments.into_iter().map(|typed| typed.expr);
        let first = exprs.next()?;
        let lengths =
            |op: Operator, one: &Expr, other: &Expr| binary_expr(length_of(one.clone()), op, length_of(other.clone()));
        let expr = exprs.fold(first, |one, other| match name {
            "nullif" => {
                let null = Expr::Literal(ScalarValue::IntervalMonthDayNano(None), None);
                case(vec![(lengths(Operator::Eq, &one, &other), null)], one)
            }
            _ => {
                let op = if name == "greatest" { Operator::GtEq } else { Operator::LtEq };
                let takes_one =
                    binary_expr(Expr::IsNull(Box::new(other.clone())), Operator::Or, lengths(op, &one, &other));
                case(vec![(takes_one, one)], other)
            }
        });
        Some(Typed { expr, data_type: types::INTERVAL, nullable, unknown: false, span })
    }
}
