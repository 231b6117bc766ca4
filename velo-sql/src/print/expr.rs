//! Expressions as SQL. Parentheses are those of the tree; a tree made by a program gets more where it needs them.

use crate::ast::*;
use crate::print::layout::Layout;
use crate::print::names::{data_type, ident, literal, object_name};
use crate::print::query;

/// How tightly a form binds; the numbers are those of the parser.
fn level(kind: &ExprKind) -> u8 {
    match kind {
        ExprKind::Or(_) => 1,
        ExprKind::And(_) => 2,
        ExprKind::Unary { op: UnaryOp::Not, .. } => 3,
        ExprKind::IsNull { .. }
        | ExprKind::IsTruth { .. }
        | ExprKind::IsDistinctFrom { .. }
        | ExprKind::IsJson { .. } => 4,
        ExprKind::Quantified { .. } => 5,
        ExprKind::Binary { op, .. } => binary_level(*op),
        ExprKind::Between { .. } | ExprKind::InList { .. } | ExprKind::InSubquery { .. } | ExprKind::Like { .. } => 6,
        ExprKind::Unary { .. } => 10,
        ExprKind::AtTimeZone { .. } => 12,
        _ => 14,
    }
}

fn binary_level(op: BinaryOp) -> u8 {
    use BinaryOp::*;
    match op {
        Equal | NotEqual | Less | LessOrEqual | Greater | GreaterOrEqual => 5,
        RegexMatch | RegexMatchIgnoreCase | NotRegexMatch | NotRegexMatchIgnoreCase => 6,
        Concat | BitAnd | BitOr | ShiftLeft | ShiftRight => 7,
        Add | Subtract => 8,
        Multiply | Divide | Modulo => 9,
        JsonGet | JsonGetText => 11,
    }
}

fn sign(op: BinaryOp) -> &'static str {
    use BinaryOp::*;
    match op {
        Add => "+",
        Subtract => "-",
        Multiply => "*",
        Divide => "/",
        Modulo => "%",
        Concat => "||",
        Equal => "=",
        NotEqual => "<>",
        Less => "<",
        LessOrEqual => "<=",
        Greater => ">",
        GreaterOrEqual => ">=",
        RegexMatch => "~",
        RegexMatchIgnoreCase => "~*",
        NotRegexMatch => "!~",
        NotRegexMatchIgnoreCase => "!~*",
        JsonGet => "->",
        JsonGetText => "->>",
        BitAnd => "&",
        BitOr => "|",
        ShiftLeft => "<<",
        ShiftRight => ">>",
    }
}

/// An operand: in parentheses where it binds more loosely than `least`.
fn operand(out: &mut Layout, operand: &Expr, least: u8) {
    if level(&operand.kind) >= least {
        return expr(out, operand);
    }
    out.text("(");
    expr(out, operand);
    out.text(")");
}

/// A right operand: there a sign needs no parentheses, whatever stands before it.
fn right_operand(out: &mut Layout, right: &Expr, least: u8) {
    match &right.kind {
        ExprKind::Unary { op: op @ (UnaryOp::Minus | UnaryOp::Plus), expr: inner } if least > 10 => {
            sign_before(out, *op, inner);
            right_operand(out, inner, least);
        }
        _ => operand(out, right, least),
    }
}

/// An expression.
pub(super) fn expr(out: &mut Layout, expr: &Expr) {
    let not = |negated: bool| if negated { "NOT " } else { "" };
    match &expr.kind {
        ExprKind::Literal(found) => out.text(literal(found)),
        ExprKind::Path(name) => out.text(object_name(name)),
        ExprKind::Parameter(text) => out.text(text.as_str()),
        ExprKind::Nested(inner) => out.enclosed("(", ")", |out| self::expr(out, inner)),
        ExprKind::Unary { op, expr } => unary(out, *op, expr),
        ExprKind::Binary { left, op, right, .. } => {
            let level = binary_level(*op);
            operand(out, left, if level == 5 { 6 } else { level });
            out.text(format!(" {} ", sign(*op)));
            right_operand(out, right, level + 1);
        }
        ExprKind::And(operands) => chain(out, operands, "AND ", 3),
        ExprKind::Or(operands) => chain(out, operands, "OR ", 2),
        ExprKind::IsNull { expr, negated } => is(out, expr, *negated, "NULL"),
        ExprKind::IsTruth { expr, value, negated } => {
            let word = match value {
                Truth::True => "TRUE",
                Truth::False => "FALSE",
                Truth::Unknown => "UNKNOWN",
            };
            is(out, expr, *negated, word);
        }
        ExprKind::IsJson { expr, kind, negated } => {
            let word = match kind {
                JsonKind::Value => "JSON",
                JsonKind::Object => "JSON OBJECT",
                JsonKind::Array => "JSON ARRAY",
                JsonKind::Scalar => "JSON SCALAR",
            };
            is(out, expr, *negated, word);
        }
        ExprKind::IsDistinctFrom { left, right, negated } => {
            is(out, left, *negated, "DISTINCT FROM ");
            operand(out, right, 7);
        }
        ExprKind::Between { expr, low, high, negated, symmetric } => {
            operand(out, expr, 6);
            out.text(format!(" {}BETWEEN {}", not(*negated), if *symmetric { "SYMMETRIC " } else { "" }));
            operand(out, low, 7);
            out.text(" AND ");
            operand(out, high, 7);
        }
        ExprKind::InList { expr, list, negated } => {
            operand(out, expr, 6);
            out.enclosed(&format!(" {}IN (", not(*negated)), ")", |out| out.items(list, self::expr));
        }
        ExprKind::InSubquery { expr, query, negated } => {
            operand(out, expr, 6);
            out.text(format!(" {}IN ", not(*negated)));
            query::parenthesised(out, query);
        }
        ExprKind::Like { kind, expr, pattern, escape, negated } => {
            operand(out, expr, 6);
            let word = match kind {
                LikeKind::Like => "LIKE",
                LikeKind::ILike => "ILIKE",
                LikeKind::SimilarTo => "SIMILAR TO",
                LikeKind::Regexp => "REGEXP",
            };
            out.text(format!(" {}{word} ", not(*negated)));
            operand(out, pattern, 7);
            if let Some(escape) = escape {
                out.text(" ESCAPE ");
                operand(out, escape, 7);
            }
        }
        ExprKind::Exists(query) => {
            out.text("EXISTS ");
            query::parenthesised(out, query);
        }
        ExprKind::Subquery(query) => query::parenthesised(out, query),
        ExprKind::Quantified { left, op, quantifier, right, .. } => {
            operand(out, left, 6);
            let word = if *quantifier == Quantifier::Any { "ANY" } else { "ALL" };
            out.text(format!(" {} {word} ", sign(*op)));
            match right {
                QuantifiedSet::Query(query) => query::parenthesised(out, query),
                QuantifiedSet::Expr(expr) => out.enclosed("(", ")", |out| self::expr(out, expr)),
            }
        }
        ExprKind::Case { operand, branches, otherwise } => {
            case(out, operand.as_deref(), branches, otherwise.as_deref())
        }
        ExprKind::Cast { expr, data_type: target, spelling: CastSpelling::DoubleColon } => {
            operand(out, expr, 14);
            out.text(format!("::{}", data_type(target)));
        }
        ExprKind::Cast { expr, data_type: target, spelling } => {
            out.text(if *spelling == CastSpelling::TryCast { "TRY_CAST(" } else { "CAST(" });
            self::expr(out, expr);
            out.text(format!(" AS {})", data_type(target)));
        }
        ExprKind::Call(found) => call(out, found),
        ExprKind::Extract { .. }
        | ExprKind::Position { .. }
        | ExprKind::Substring { .. }
        | ExprKind::Trim { .. }
        | ExprKind::RoundTo { .. } => worded_call(out, &expr.kind),
        ExprKind::AtTimeZone { expr, zone } => {
            operand(out, expr, 12);
            out.text(" AT TIME ZONE ");
            right_operand(out, zone, 13);
        }
        ExprKind::Array(items) => out.enclosed("ARRAY[", "]", |out| out.items(items, self::expr)),
        ExprKind::Map { entries, spelling } => map(out, entries, *spelling),
        ExprKind::Struct(items) => out.enclosed("STRUCT(", ")", |out| {
            out.items(items, |out, item| {
                if let Some(name) = &item.name {
                    out.text(format!("{} := ", ident(name)));
                }
                self::expr(out, &item.value);
            });
        }),
        ExprKind::Row { items, explicit } => {
            out.enclosed(if *explicit { "ROW(" } else { "(" }, ")", |out| out.items(items, self::expr));
        }
        ExprKind::Index { expr, index } => {
            operand(out, expr, 14);
            out.enclosed("[", "]", |out| self::expr(out, index));
        }
        ExprKind::Field { expr, field } => {
            operand(out, expr, 14);
            out.text(format!(".{}", ident(field)));
        }
    }
}

fn unary(out: &mut Layout, op: UnaryOp, inner: &Expr) {
    match op {
        UnaryOp::Not => {
            out.text("NOT ");
            operand(out, inner, 3);
        }
        UnaryOp::Minus | UnaryOp::Plus => {
            sign_before(out, op, inner);
            operand(out, inner, 10);
        }
    }
}

/// A sign; two of them side by side would begin a comment.
fn sign_before(out: &mut Layout, op: UnaryOp, inner: &Expr) {
    out.text(if op == UnaryOp::Minus { "-" } else { "+" });
    if matches!(inner.kind, ExprKind::Unary { .. }) {
        out.text(" ");
    }
}

fn chain(out: &mut Layout, operands: &[Expr], word: &str, least: u8) {
    out.group(|out| {
        for (index, found) in operands.iter().enumerate() {
            if index > 0 {
                out.line();
                out.text(word);
            }
            operand(out, found, least);
        }
    });
}

fn is(out: &mut Layout, inner: &Expr, negated: bool, word: &str) {
    operand(out, inner, 4);
    out.text(if negated { " IS NOT " } else { " IS " });
    out.text(word);
}

fn case(out: &mut Layout, operand: Option<&Expr>, branches: &[CaseBranch], otherwise: Option<&Expr>) {
    out.group(|out| {
        out.text("CASE");
        if let Some(operand) = operand {
            out.text(" ");
            expr(out, operand);
        }
        out.indent(|out| {
            for branch in branches {
                out.line();
                out.text("WHEN ");
                expr(out, &branch.condition);
                out.text(" THEN ");
                expr(out, &branch.result);
            }
            if let Some(otherwise) = otherwise {
                out.line();
                out.text("ELSE ");
                expr(out, otherwise);
            }
        });
        out.line();
        out.text("END");
    });
}

fn map(out: &mut Layout, entries: &[MapEntry], spelling: MapSpelling) {
    let (open, close, between) = match spelling {
        MapSpelling::Brackets => ("MAP[", "]", ", "),
        MapSpelling::Parentheses => ("MAP(", ")", " := "),
    };
    out.enclosed(open, close, |out| {
        out.items(entries, |out, entry| {
            expr(out, &entry.key);
            out.text(between);
            expr(out, &entry.value);
        });
    });
}

/// The calls with words in between their arguments.
fn worded_call(out: &mut Layout, kind: &ExprKind) {
    match kind {
        ExprKind::Extract { field, expr } => {
            out.text(format!("EXTRACT({} FROM ", ident(field)));
            self::expr(out, expr);
        }
        ExprKind::Position { needle, haystack } => {
            out.text("POSITION(");
            operand(out, needle, 7);
            out.text(" IN ");
            expr(out, haystack);
        }
        ExprKind::Substring { expr, from, length } => {
            out.text("SUBSTRING(");
            self::expr(out, expr);
            for (word, part) in [(" FROM ", from), (" FOR ", length)] {
                if let Some(part) = part {
                    out.text(word);
                    self::expr(out, part);
                }
            }
        }
        ExprKind::Trim { side, what, expr } => {
            out.text(match side {
                TrimSide::Both => "TRIM(BOTH ",
                TrimSide::Leading => "TRIM(LEADING ",
                TrimSide::Trailing => "TRIM(TRAILING ",
            });
            if let Some(what) = what {
                self::expr(out, what);
                out.text(" ");
            }
            out.text("FROM ");
            self::expr(out, expr);
        }
        ExprKind::RoundTo { rounding, expr, unit } => {
            out.text(if *rounding == Rounding::Floor { "FLOOR(" } else { "CEIL(" });
            self::expr(out, expr);
            out.text(format!(" TO {}", ident(unit)));
        }
        _ => {}
    }
    out.text(")");
}

fn call(out: &mut Layout, call: &Call) {
    let nulls = match call.nulls {
        Some(NullTreatment::Ignore) => " IGNORE NULLS",
        Some(NullTreatment::Respect) => " RESPECT NULLS",
        None => "",
    };
    let name = object_name(&call.name);
    if is_bare(call, &name) {
        return out.text(name);
    }
    out.enclosed(&format!("{name}("), ")", |out| {
        if call.distinct {
            out.text("DISTINCT ");
        }
        args(out, &call.args);
        if !call.order_by.is_empty() {
            out.text(" ");
            order_by(out, &call.order_by);
        }
    });
    if !call.within_group.is_empty() {
        out.enclosed(" WITHIN GROUP (", ")", |out| order_by(out, &call.within_group));
    }
    if let Some(filter) = &call.filter {
        out.enclosed(" FILTER (WHERE ", ")", |out| expr(out, filter));
    }
    out.text(nulls);
    match &call.over {
        Some(Over::Named(name)) => out.text(format!(" OVER {}", ident(name))),
        Some(Over::Spec(spec)) => {
            out.text(" OVER ");
            query::window_spec(out, spec);
        }
        None => {}
    }
}

fn is_bare(call: &Call, name: &str) -> bool {
    let bare =
        ["CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"].iter().any(|known| known.eq_ignore_ascii_case(name));
    bare && call.args.is_empty()
        && !call.distinct
        && call.filter.is_none()
        && call.over.is_none()
        && call.within_group.is_empty()
}

/// The arguments of a call or a table function.
pub(super) fn args(out: &mut Layout, args: &[CallArg]) {
    out.items(args, |out, arg| match arg {
        CallArg::Positional(value) => expr(out, value),
        CallArg::Named { name, value } => {
            out.text(format!("{} => ", ident(name)));
            expr(out, value);
        }
        CallArg::Wildcard(_) => out.text("*"),
    });
}

/// `ORDER BY …`.
pub(super) fn order_by(out: &mut Layout, items: &[OrderByItem]) {
    out.text("ORDER BY ");
    out.items(items, |out, item| {
        expr(out, &item.expr);
        match item.direction {
            Some(Direction::Ascending) => out.text(" ASC"),
            Some(Direction::Descending) => out.text(" DESC"),
            None => {}
        }
        match item.nulls {
            Some(NullsOrder::First) => out.text(" NULLS FIRST"),
            Some(NullsOrder::Last) => out.text(" NULLS LAST"),
            None => {}
        }
    });
}
