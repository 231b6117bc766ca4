//! Queries as SQL, clause by clause.

use crate::ast::*;
use crate::print::expr::{args, expr, order_by};
use crate::print::layout::Layout;
use crate::print::names::{ident, idents, object_name, properties};

/// `(query)`.
pub(super) fn parenthesised(out: &mut Layout, query: &Query) {
    out.enclosed("(", ")", |out| clauses(out, query));
}

/// A query, with its clauses as places to break of the group around it.
pub(super) fn clauses(out: &mut Layout, query: &Query) {
    if let Some(with) = &query.with {
        out.text(if with.recursive { "WITH RECURSIVE " } else { "WITH " });
        out.items(&with.ctes, |out, cte| {
            out.text(ident(&cte.name));
            if !cte.columns.is_empty() {
                out.text(format!(" ({})", idents(&cte.columns)));
            }
            out.text(" AS ");
            parenthesised(out, &cte.query);
        });
        out.line();
    }
    set_expr(out, &query.body);
    if !query.order_by.is_empty() {
        out.line();
        out.group(|out| order_by(out, &query.order_by));
    }
    if let Some(limit) = &query.limit {
        out.line();
        out.text("LIMIT ");
        expr(out, limit);
    }
    if let Some(offset) = &query.offset {
        out.line();
        out.text("OFFSET ");
        expr(out, offset);
    }
    if let Some(emit) = &query.emit {
        out.line();
        out.text(match emit.mode {
            EmitMode::Changes => "EMIT CHANGES",
            EmitMode::Final => "EMIT FINAL",
        });
    }
}

fn set_expr(out: &mut Layout, body: &SetExpr) {
    match body {
        SetExpr::Select(found) => select(out, found),
        SetExpr::Values(values) => {
            out.text("VALUES ");
            out.group(|out| {
                out.indent(|out| {
                    out.items(&values.rows, |out, row| out.enclosed("(", ")", |out| out.items(&row.values, expr)));
                });
            });
        }
        SetExpr::Query(query) => parenthesised(out, query),
        SetExpr::SetOperation { left, op, all, right, .. } => {
            set_operand(out, left, *op, false);
            out.line();
            let word = match op {
                SetOperator::Union => "UNION",
                SetOperator::Except => "EXCEPT",
                SetOperator::Intersect => "INTERSECT",
            };
            out.text(if *all { format!("{word} ALL") } else { word.to_owned() });
            out.line();
            set_operand(out, right, *op, true);
        }
    }
}

/// A side of a set operation: in parentheses where the tree was not made by a chain.
fn set_operand(out: &mut Layout, side: &SetExpr, around: SetOperator, is_right: bool) {
    let needs = match side {
        SetExpr::SetOperation { op, .. } if *op == SetOperator::Intersect => {
            is_right && around == SetOperator::Intersect
        }
        SetExpr::SetOperation { .. } => is_right || around == SetOperator::Intersect,
        _ => false,
    };
    if needs {
        out.enclosed("(", ")", |out| set_expr(out, side));
    } else {
        set_expr(out, side);
    }
}

fn select(out: &mut Layout, select: &Select) {
    out.group(|out| {
        out.text("SELECT");
        if let Some(distinct) = &select.distinct {
            out.text(" DISTINCT");
            if !distinct.on.is_empty() {
                out.enclosed(" ON (", ")", |out| out.items(&distinct.on, expr));
            }
        }
        out.indent(|out| {
            out.line();
            out.items(&select.items, item);
        });
    });
    if !select.from.is_empty() {
        out.line();
        out.text("FROM ");
        out.group(|out| out.indent(|out| out.items(&select.from, table)));
    }
    if let Some(condition) = &select.selection {
        clause(out, "WHERE ", condition);
    }
    if let Some(group_by) = &select.group_by {
        out.line();
        out.text("GROUP BY ");
        out.group(|out| out.indent(|out| out.items(&group_by.items, group_by_item)));
    }
    if let Some(window) = &select.time_window {
        out.line();
        out.enclosed(&format!("WINDOW {}(", kind(window.kind, false)), ")", |out| out.items(&window.args, window_arg));
    }
    if let Some(condition) = &select.having {
        clause(out, "HAVING ", condition);
    }
    if let Some(condition) = &select.qualify {
        clause(out, "QUALIFY ", condition);
    }
    if !select.named_windows.is_empty() {
        out.line();
        out.text("WINDOW ");
        out.items(&select.named_windows, |out, window| {
            out.text(format!("{} AS ", ident(&window.name)));
            window_spec(out, &window.spec);
        });
    }
}

fn clause(out: &mut Layout, word: &str, condition: &Expr) {
    out.line();
    out.text(word);
    out.indent(|out| expr(out, condition));
}

fn item(out: &mut Layout, item: &SelectItem) {
    let left_out =
        |except: &[Ident]| if except.is_empty() { String::new() } else { format!(" EXCEPT ({})", idents(except)) };
    match item {
        SelectItem::Expr { expr: found, alias, primary_key } => {
            expr(out, found);
            if let Some(alias) = alias {
                out.text(format!(" AS {}", ident(alias)));
            }
            if primary_key.is_some() {
                out.text(" PRIMARY KEY");
            }
        }
        SelectItem::Wildcard { except, .. } => out.text(format!("*{}", left_out(except))),
        SelectItem::QualifiedWildcard { name, except, .. } => {
            out.text(format!("{}.*{}", object_name(name), left_out(except)))
        }
    }
}

fn group_by_item(out: &mut Layout, item: &GroupByItem) {
    let (open, found) = match item {
        GroupByItem::Expr(found) => return expr(out, found),
        GroupByItem::Empty(_) => return out.text("()"),
        GroupByItem::GroupingSets { sets, .. } => ("GROUPING SETS (", sets),
        GroupByItem::Rollup { sets, .. } => ("ROLLUP (", sets),
        GroupByItem::Cube { sets, .. } => ("CUBE (", sets),
    };
    out.enclosed(open, ")", |out| {
        out.items(found, |out, set| match set.as_slice() {
            [only] if !matches!(only.kind, ExprKind::Nested(_) | ExprKind::Row { explicit: false, .. }) => {
                expr(out, only)
            }
            set => out.enclosed("(", ")", |out| out.items(set, expr)),
        });
    });
}

fn kind(kind: TimeWindowKind, function: bool) -> &'static str {
    match (kind, function) {
        (TimeWindowKind::Tumbling, false) => "TUMBLING",
        (TimeWindowKind::Tumbling, true) => "TUMBLE",
        (TimeWindowKind::Sliding, false) => "SLIDING",
        (TimeWindowKind::Sliding, true) => "HOP",
        (TimeWindowKind::Session, _) => "SESSION",
        (TimeWindowKind::Cumulate, _) => "CUMULATE",
    }
}

fn window_arg(out: &mut Layout, arg: &WindowArg) {
    if let Some(name) = &arg.name {
        out.text(format!("{} => ", ident(name)));
    }
    expr(out, &arg.value);
}

/// A relation and its joins.
pub(super) fn table(out: &mut Layout, table: &TableWithJoins) {
    relation(out, &table.relation);
    for found in &table.joins {
        out.line();
        join(out, found);
    }
}

fn relation(out: &mut Layout, relation: &Relation) {
    match &relation.kind {
        RelationKind::Named { name, properties: found, as_of } => {
            out.text(object_name(name));
            if !found.is_empty() {
                out.text(" ");
                properties(out, found);
            }
            if let Some(time) = as_of {
                out.text(" FOR SYSTEM_TIME AS OF ");
                expr(out, time);
            }
        }
        RelationKind::Derived { lateral, query } => {
            out.text(if *lateral { "LATERAL " } else { "" });
            parenthesised(out, query);
        }
        RelationKind::WindowFunction(function) => window_function(out, function),
        RelationKind::Function { lateral, name, args: found, ordinality } => {
            out.enclosed(&format!("{}{}(", if *lateral { "LATERAL " } else { "" }, object_name(name)), ")", |out| {
                args(out, found)
            });
            out.text(if *ordinality { " WITH ORDINALITY" } else { "" });
        }
        RelationKind::Unnest { lateral, args, ordinality } => {
            out.enclosed(if *lateral { "LATERAL UNNEST(" } else { "UNNEST(" }, ")", |out| out.items(args, expr));
            out.text(if *ordinality { " WITH ORDINALITY" } else { "" });
        }
        RelationKind::Nested(inner) => out.enclosed("(", ")", |out| table(out, inner)),
        RelationKind::MatchRecognize(matching) => match_recognize(out, matching),
    }
    if let Some(alias) = &relation.alias {
        out.text(format!(" AS {}", ident(&alias.name)));
        if !alias.columns.is_empty() {
            out.text(format!(" ({})", idents(&alias.columns)));
        }
    }
}

fn window_function(out: &mut Layout, function: &WindowTableFunction) {
    out.enclosed(&format!("{}(", kind(function.kind, true)), ")", |out| {
        out.text("TABLE ");
        match &function.input {
            WindowInput::Table(name) => out.text(object_name(name)),
            WindowInput::Query(query) => parenthesised(out, query),
        }
        if !function.partition_by.is_empty() {
            out.enclosed(" PARTITION BY (", ")", |out| out.items(&function.partition_by, expr));
        }
        if !function.order_by.is_empty() {
            out.text(" ");
            order_by(out, &function.order_by);
        }
        if !function.descriptor.is_empty() {
            out.text(",");
            out.line();
            out.text(format!("DESCRIPTOR({})", idents(&function.descriptor)));
        }
        for arg in &function.args {
            out.text(",");
            out.line();
            window_arg(out, arg);
        }
    });
}

fn join(out: &mut Layout, join: &Join) {
    if join.constraint == JoinConstraint::Natural {
        out.text("NATURAL ");
    }
    out.text(match join.kind {
        JoinKind::Inner => "JOIN ",
        JoinKind::Left => "LEFT JOIN ",
        JoinKind::Right => "RIGHT JOIN ",
        JoinKind::Full => "FULL JOIN ",
        JoinKind::Cross => "CROSS JOIN ",
        JoinKind::LeftSemi => "LEFT SEMI JOIN ",
        JoinKind::LeftAnti => "LEFT ANTI JOIN ",
        JoinKind::RightSemi => "RIGHT SEMI JOIN ",
        JoinKind::RightAnti => "RIGHT ANTI JOIN ",
        JoinKind::AsOf => "ASOF JOIN ",
        JoinKind::AsOfLeft => "ASOF LEFT JOIN ",
    });
    relation(out, &join.relation);
    if let Some(within) = &join.within {
        out.text(" WITHIN ");
        match &within.after {
            None => expr(out, &within.before),
            Some(after) => {
                out.text("(");
                expr(out, &within.before);
                out.text(", ");
                expr(out, after);
                out.text(")");
            }
        }
        if let Some(grace) = &within.grace {
            out.text(" GRACE PERIOD ");
            expr(out, grace);
        }
    }
    if let Some(condition) = &join.match_condition {
        out.enclosed(" MATCH_CONDITION (", ")", |out| expr(out, condition));
    }
    match &join.constraint {
        JoinConstraint::None | JoinConstraint::Natural => {}
        JoinConstraint::On(condition) => {
            out.text(" ON ");
            out.indent(|out| expr(out, condition));
        }
        JoinConstraint::Using(columns) => out.text(format!(" USING ({})", idents(columns))),
    }
}

/// `(PARTITION BY … ORDER BY … ROWS …)`.
pub(super) fn window_spec(out: &mut Layout, spec: &WindowSpec) {
    out.enclosed("(", ")", |out| {
        let mut first = true;
        let mut next = |out: &mut Layout| {
            if !std::mem::replace(&mut first, false) {
                out.line();
            }
        };
        if let Some(base) = &spec.base {
            next(out);
            out.text(ident(base));
        }
        if let Some(buffer) = &spec.buffer {
            next(out);
            out.text(format!("ROWS WINDOW BUFFER {} ROWS", buffer.size));
        }
        if !spec.partition_by.is_empty() {
            next(out);
            out.text("PARTITION BY ");
            out.group(|out| out.items(&spec.partition_by, expr));
        }
        if !spec.order_by.is_empty() {
            next(out);
            out.group(|out| order_by(out, &spec.order_by));
        }
        if let Some(found) = &spec.frame {
            next(out);
            frame(out, found);
        }
        let emit = spec.buffer.as_ref().and_then(|buffer| buffer.emit);
        if let Some(emit) = emit {
            next(out);
            out.text(match emit {
                BufferEmit::EveryRecord => "EMIT EVERY RECORD",
                BufferEmit::OnBufferFull => "EMIT ON BUFFER FULL",
            });
        }
        match spec.buffer.as_ref().and_then(|buffer| buffer.expire.as_ref()) {
            Some(BufferExpire::Never) => {
                next(out);
                out.text("EXPIRE AFTER NEVER");
            }
            Some(BufferExpire::AfterInactivity(after)) => {
                next(out);
                out.text("EXPIRE AFTER ");
                expr(out, after);
                out.text(" INACTIVITY");
            }
            None => {}
        }
    });
}

fn frame(out: &mut Layout, frame: &Frame) {
    out.text(match frame.units {
        FrameUnits::Rows => "ROWS ",
        FrameUnits::Range => "RANGE ",
        FrameUnits::Groups => "GROUPS ",
    });
    match &frame.end {
        None => bound(out, &frame.start),
        Some(end) => {
            out.text("BETWEEN ");
            bound(out, &frame.start);
            out.text(" AND ");
            bound(out, end);
        }
    }
}

fn bound(out: &mut Layout, bound: &FrameBound) {
    match &bound.kind {
        FrameBoundKind::UnboundedPreceding => out.text("UNBOUNDED PRECEDING"),
        FrameBoundKind::CurrentRow => out.text("CURRENT ROW"),
        FrameBoundKind::UnboundedFollowing => out.text("UNBOUNDED FOLLOWING"),
        FrameBoundKind::Preceding(length) => {
            expr(out, length);
            out.text(" PRECEDING");
        }
        FrameBoundKind::Following(length) => {
            expr(out, length);
            out.text(" FOLLOWING");
        }
    }
}

fn match_recognize(out: &mut Layout, matching: &MatchRecognize) {
    relation(out, &matching.input);
    out.enclosed(" MATCH_RECOGNIZE (", ")", |out| {
        if !matching.partition_by.is_empty() {
            out.text("PARTITION BY ");
            out.group(|out| out.items(&matching.partition_by, expr));
            out.line();
        }
        if !matching.order_by.is_empty() {
            out.group(|out| order_by(out, &matching.order_by));
            out.line();
        }
        if !matching.measures.is_empty() {
            out.text("MEASURES ");
            out.group(|out| out.indent(|out| out.items(&matching.measures, measure)));
            out.line();
        }
        if let Some(rows) = matching.rows_per_match {
            out.text(if rows.all { "ALL ROWS PER MATCH" } else { "ONE ROW PER MATCH" });
            out.text(match rows.empty {
                Some(EmptyMatches::Show) => " SHOW EMPTY MATCHES",
                Some(EmptyMatches::Omit) => " OMIT EMPTY MATCHES",
                None => "",
            });
            out.line();
        }
        if let Some(after) = &matching.after_match {
            out.text(match after {
                AfterMatch::PastLastRow => "AFTER MATCH SKIP PAST LAST ROW".to_owned(),
                AfterMatch::ToNextRow => "AFTER MATCH SKIP TO NEXT ROW".to_owned(),
                AfterMatch::ToFirst(name) => format!("AFTER MATCH SKIP TO FIRST {}", ident(name)),
                AfterMatch::ToLast(name) => format!("AFTER MATCH SKIP TO LAST {}", ident(name)),
            });
            out.line();
        }
        out.text(format!("PATTERN ({})", pattern(&matching.pattern)));
        if let Some(within) = &matching.within {
            out.text(" WITHIN ");
            expr(out, within);
        }
        if !matching.subsets.is_empty() {
            out.line();
            out.text("SUBSET ");
            out.items(&matching.subsets, |out, subset| {
                out.text(format!("{} = ({})", ident(&subset.name), idents(&subset.members)));
            });
        }
        out.line();
        out.text("DEFINE ");
        out.group(|out| {
            out.indent(|out| {
                out.items(&matching.defines, |out, define| {
                    out.text(format!("{} AS ", ident(&define.name)));
                    expr(out, &define.condition);
                });
            });
        });
    });
}

fn measure(out: &mut Layout, measure: &Measure) {
    out.text(match measure.semantics {
        Some(MeasureSemantics::Running) => "RUNNING ",
        Some(MeasureSemantics::Final) => "FINAL ",
        None => "",
    });
    expr(out, &measure.expr);
    out.text(format!(" AS {}", ident(&measure.alias)));
}

fn pattern(found: &Pattern) -> String {
    let joined = |all: &[Pattern], between: &str| all.iter().map(pattern).collect::<Vec<_>>().join(between);
    match &found.kind {
        PatternKind::Variable(name) => ident(name),
        PatternKind::Sequence(all) => joined(all, " "),
        PatternKind::Alternatives(all) => joined(all, " | "),
        PatternKind::Group(inner) => format!("({})", pattern(inner)),
        PatternKind::Start => "^".to_owned(),
        PatternKind::End => "$".to_owned(),
        PatternKind::Exclude(inner) => format!("{{- {} -}}", pattern(inner)),
        PatternKind::Permute(all) => format!("PERMUTE ({})", joined(all, ", ")),
        PatternKind::Repeat { pattern: inner, min, max, greedy } => {
            let times = match (min, max) {
                (0, None) => "*".to_owned(),
                (1, None) => "+".to_owned(),
                (0, Some(1)) => "?".to_owned(),
                (min, Some(max)) if min == max => format!("{{{min}}}"),
                (min, Some(max)) => format!("{{{min},{max}}}"),
                (min, None) => format!("{{{min},}}"),
            };
            format!("{}{times}{}", pattern(inner), if *greedy { "" } else { "?" })
        }
    }
}
