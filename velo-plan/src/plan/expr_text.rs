//! Expressions as SQL writes them, for EXPLAIN.

use datafusion_common::ScalarValue;
use datafusion_expr::Expr;

use crate::functions::arithmetic::as_arithmetic;
use velo_core::schema::EVENT_TIME;

/// An expression over a plan's columns as text.
pub fn expr_text(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) if column.name() == EVENT_TIME => "_event_time".to_owned(),
        Expr::Column(column) => column.name().to_owned(),
        Expr::Literal(value, _) => literal_text(value),
        Expr::BinaryExpr(binary) => {
            format!("({} {} {})", expr_text(&binary.left), binary.op, expr_text(&binary.right))
        }
        Expr::Not(inner) => format!("NOT {}", expr_text(inner)),
        Expr::Negative(inner) => format!("-{}", expr_text(inner)),
        Expr::IsNull(inner) => format!("{} IS NULL", expr_text(inner)),
        Expr::IsNotNull(inner) => format!("{} IS NOT NULL", expr_text(inner)),
        Expr::Between(between) => {
            let not = if between.negated { "NOT " } else { "" };
            let (low, high) = (expr_text(&between.low), expr_text(&between.high));
            format!("{} {not}BETWEEN {low} AND {high}", expr_text(&between.expr))
        }
        Expr::InList(list) => {
            let not = if list.negated { "NOT " } else { "" };
            format!("{} {not}IN ({})", expr_text(&list.expr), all(&list.list))
        }
        Expr::Like(like) => {
            let not = if like.negated { "NOT " } else { "" };
            let word = if like.case_insensitive { "ILIKE" } else { "LIKE" };
            format!("{} {not}{word} {}", expr_text(&like.expr), expr_text(&like.pattern))
        }
        Expr::IsTrue(inner) => format!("{} IS TRUE", expr_text(inner)),
        Expr::IsNotTrue(inner) => format!("{} IS NOT TRUE", expr_text(inner)),
        Expr::IsFalse(inner) => format!("{} IS FALSE", expr_text(inner)),
        Expr::IsNotFalse(inner) => format!("{} IS NOT FALSE", expr_text(inner)),
        Expr::IsUnknown(inner) => format!("{} IS UNKNOWN", expr_text(inner)),
        Expr::IsNotUnknown(inner) => format!("{} IS NOT UNKNOWN", expr_text(inner)),
        Expr::Case(case) => {
            let branches = case
                .when_then_expr
                .iter()
                .map(|(when, then)| format!(" WHEN {} THEN {}", expr_text(when), expr_text(then)))
                .collect::<String>();
            let otherwise = case.else_expr.as_ref().map(|e| format!(" ELSE {}", expr_text(e))).unwrap_or_default();
            format!("CASE{branches}{otherwise} END")
        }
        Expr::ScalarFunction(call) => match as_arithmetic(&call.func) {
            Some(arithmetic) => {
                let sides: Vec<String> = call.args.iter().map(expr_text).collect();
                format!("({})", sides.join(&format!(" {} ", arithmetic.operator().symbol())))
            }
            None => match call.func.name() {
                name @ ("cast" | "try_cast") => {
                    let to = call.func.return_type(&[]).map(|to| velo_core::types::sql_name(&to)).unwrap_or_default();
                    format!("{}({} AS {to})", name.to_uppercase(), all(&call.args))
                }
                name => format!("{}({})", name.to_uppercase(), all(&call.args)),
            },
        },
        other => other.to_string(),
    }
}

fn all(exprs: &[Expr]) -> String {
    exprs.iter().map(expr_text).collect::<Vec<_>>().join(", ")
}

fn literal_text(value: &ScalarValue) -> String {
    match value {
        _ if value.is_null() => "NULL".to_owned(),
        ScalarValue::Utf8(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        ScalarValue::Boolean(Some(truth)) => truth.to_string().to_uppercase(),
        other => match other.to_array() {
            Ok(array) => velo_core::table_text::value_text(array.as_ref(), 0).unwrap_or_else(|| other.to_string()),
            Err(_) => other.to_string(),
        },
    }
}
