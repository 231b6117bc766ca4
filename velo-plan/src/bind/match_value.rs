//! What names and calls mean in the conditions and measures of MATCH_RECOGNIZE.
//!
//! `A.price` is the price of the last row of A, in DEFINE A the row that is tested; a name alone is of the match's last row.
//! FIRST and LAST pick another row of the match, PREV and NEXT one beside it in the partition. Each such value becomes a column
//! that conditions and measures are computed over, so that what is computed of one row is computed once.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef};
use datafusion_common::Column;
use datafusion_expr::Expr;
use velo_core::suggest::nearest;
use velo_core::{schema, types};
use velo_sql::ast::{Call, CallArg, Expr as Ast, ExprKind, Ident, Literal, ObjectName};
use velo_sql::{Diagnostic, Span};

use super::expr::{ExprBinder, Typed};
use crate::codes;
use crate::functions::json::gives_json;
use crate::plan::{AggregateCall, AggregateKind, MatchColumn, MatchValue, RowPattern, VariableSet};

/// How far FIRST, LAST, PREV and NEXT can go.
const FARTHEST: u32 = 1_000;

/// The pattern whose conditions or measures are bound.
#[derive(Debug)]
pub struct MatchScope {
    /// The pattern variables, in the order of the pattern.
    pub(super) variables: Vec<Ident>,
    /// SUBSET: names of several variables.
    pub(super) subsets: Vec<(Ident, VariableSet)>,
    /// The pattern.
    pub(super) pattern: RowPattern,
    /// What conditions and measures need.
    pub(super) columns: Vec<MatchColumn>,
    /// The variable whose condition is bound; none: a measure.
    pub(super) defines: Option<usize>,
    /// Within what picks rows: what that is, and whose rows were named.
    inner: Option<Inner>,
}

#[derive(Debug)]
struct Inner {
    of: Option<(VariableSet, Span)>,
    called: String,
}

impl MatchScope {
    pub(super) fn new(variables: Vec<Ident>, pattern: RowPattern) -> Self {
        Self { variables, subsets: Vec::new(), pattern, columns: Vec::new(), defines: None, inner: None }
    }

    /// The variables that a name stands for.
    pub(super) fn find(&self, name: &Ident) -> Option<VariableSet> {
        let subset = || self.subsets.iter().find(|(subset, _)| same_name(name, subset)).map(|(_, set)| *set);
        let variable = self.variables.iter().position(|variable| same_name(name, variable));
        variable.map(VariableSet::of).or_else(subset)
    }

    /// No variable has this name.
    pub(super) fn unknown(&self, name: &Ident) -> Diagnostic {
        let known = self.variables.iter().chain(self.subsets.iter().map(|(subset, _)| subset));
        let known = known.map(|variable| variable.value.as_str()).collect::<Vec<_>>();
        let message = format!("there is no pattern variable '{}'", name.value);
        let diagnostic = Diagnostic::error(codes::UNKNOWN_COLUMN, name.span, message);
        match nearest(&name.value, known.iter().copied()) {
            Some(near) => diagnostic.help(format!("did you mean {near}?")),
            None => diagnostic.help(format!("the variables of the pattern are {}", known.join(", "))),
        }
    }

    /// The columns that conditions and measures are computed over.
    pub(super) fn fields(&self) -> impl Iterator<Item = &FieldRef> {
        self.columns.iter().map(|column| &column.field)
    }

    /// The place of a value among the columns.
    fn column(&mut self, value: MatchValue, field: Field) -> String {
        let known = self.columns.iter().find(|column| same_value(&column.value, &value));
        if let Some(column) = known {
            return column.field.name().clone();
        }
        let name = format!("$match{}", self.columns.len());
        let field = Arc::new(field.with_name(&name).with_nullable(true));
        self.columns.push(MatchColumn { field, value });
        name
    }

    fn names(&self, set: VariableSet) -> String {
        let known = self.variables.iter().enumerate().filter(|(at, _)| set.contains(*at));
        known.map(|(_, variable)| variable.value.as_str()).collect::<Vec<_>>().join(" or ")
    }
}

/// Whether two names of variables are one: exactly where one of the two is quoted, else without regard to case.
pub(super) fn same_name(left: &Ident, right: &Ident) -> bool {
    if right.quoted { left.value == right.value } else { left.matches(&right.value) }
}

fn same_value(left: &MatchValue, right: &MatchValue) -> bool {
    match (left, right) {
        (MatchValue::Aggregate { of, call }, MatchValue::Aggregate { of: its_of, call: its }) => {
            of == its_of
                && call.kind == its.kind
                && call.arguments == its.arguments
                && call.distinct == its.distinct
                && call.filter == its.filter
                && call.order_by == its.order_by
        }
        _ => left == right,
    }
}

/// Whether a row of `earlier` can come before one of `later` in a match.
pub(super) fn comes_before(pattern: &RowPattern, earlier: VariableSet, later: VariableSet) -> bool {
    match pattern {
        RowPattern::Variable(_) => false,
        RowPattern::Alternatives(all) => all.iter().any(|one| comes_before(one, earlier, later)),
        RowPattern::Sequence(all) => {
            let mut before = false;
            all.iter().any(|one| {
                let found = comes_before(one, earlier, later) || (before && holds(one, later));
                before |= holds(one, earlier);
                found
            })
        }
        RowPattern::Repeat { pattern, max, .. } => {
            let again = max.is_none_or(|max| max > 1);
            comes_before(pattern, earlier, later) || (again && holds(pattern, earlier) && holds(pattern, later))
        }
    }
}

/// Whether a pattern names one of these variables.
pub(super) fn holds(pattern: &RowPattern, set: VariableSet) -> bool {
    match pattern {
        RowPattern::Variable(variable) => set.contains(*variable),
        RowPattern::Sequence(all) | RowPattern::Alternatives(all) => all.iter().any(|one| holds(one, set)),
        RowPattern::Repeat { pattern, max, .. } => *max != Some(0) && holds(pattern, set),
    }
}

/// Which row of the match a value is of.
struct Picked {
    from_last: bool,
    nth: u32,
}

impl ExprBinder<'_> {
    /// `A.price`, `price`.
    pub(super) fn match_path(&mut self, name: &ObjectName) -> Option<Typed> {
        let span = name.span();
        let qualified = name.parts.len() > 1;
        let scope = self.matching.as_ref()?;
        let set = if qualified { name.parts.first().and_then(|first| scope.find(first)) } else { None };
        let bound = match (set, name.parts.split_first()) {
            (Some(_), Some((_, rest))) => {
                self.path(&ObjectName { parts: rest.to_vec() }).map(|typed| Typed { span, ..typed })
            }
            (None, Some((first, _))) if qualified && !self.names_something(first) => {
                let unknown = self.matching.as_ref()?.unknown(first);
                return self.report(unknown);
            }
            _ => self.path(name),
        }?;
        let set = set.unwrap_or(VariableSet::ALL);
        let scope = self.matching.as_mut()?;
        let Some(inner) = &mut scope.inner else {
            return self.row_value(set, &Picked { from_last: true, nth: 0 }, 0, bound, span);
        };
        match inner.of {
            Some((known, first)) if known != set => {
                let message = format!("{} is over the rows of one variable, and these are of several", inner.called);
                self.report(
                    Diagnostic::error(codes::ARGUMENTS, span, message)
                        .also(first, "the first")
                        .help("write the variable before every column, or SUBSET u = (A, B) to name both at once"),
                )
            }
            _ => {
                inner.of = Some((set, span));
                Some(bound)
            }
        }
    }

    /// Whether a column or a relation has this name.
    fn names_something(&self, name: &Ident) -> bool {
        self.scope.columns.iter().any(|column| {
            name.matches(&column.name) || column.relation.as_ref().is_some_and(|relation| name.matches(relation))
        })
    }

    /// A value of one row of the match.
    fn row_value(&mut self, of: VariableSet, picked: &Picked, offset: i32, bound: Typed, span: Span) -> Option<Typed> {
        let scope = self.matching.as_mut()?;
        let tested = scope.defines.is_some_and(|variable| of.contains(variable));
        if let Some(variable) = scope.defines.filter(|_| !tested)
            && !comes_before(&scope.pattern, of, VariableSet::of(variable))
        {
            let (other, own) = (scope.names(of), scope.names(VariableSet::of(variable)));
            let message = format!("no row is {other} yet when {own} is tested: the pattern has {other} behind it");
            return self.report(
                Diagnostic::error(codes::ARGUMENTS, span, message).help(format!(
                    "put the condition into the DEFINE of {other}; NEXT(…) looks at the rows that follow"
                )),
            );
        }
        // The row that is tested is there, and a match has a first and a last row.
        let there = match scope.defines {
            Some(_) => tested && picked.from_last,
            None => of == VariableSet::ALL,
        };
        let nullable = bound.nullable || !there || picked.nth > 0 || offset != 0;
        let mut field = Field::new("", bound.data_type.clone(), true);
        if gives_json(&bound.expr) {
            field = types::json_field("", true);
        } else if let Expr::Column(column) = &bound.expr
            && let Some(known) = self.scope.columns.iter().find(|known| known.field.name() == column.name())
        {
            field = field.with_metadata(known.field.metadata().clone());
        }
        let value = MatchValue::Row { of, from_last: picked.from_last, nth: picked.nth, offset, expr: bound.expr };
        let name = self.matching.as_mut()?.column(value, field);
        Some(Typed {
            expr: Expr::Column(Column::new_unqualified(name)),
            data_type: bound.data_type,
            nullable,
            unknown: false,
            span,
        })
    }

    /// The calls that only patterns have; `None`: it is none of them.
    pub(super) fn match_call(&mut self, call: &Call, name: &str, span: Span) -> Option<Option<Typed>> {
        if call.over.is_some() {
            return None;
        }
        Some(match name {
            "first" | "last" | "prev" | "next" => self.navigation(call, name, span),
            "lag" | "lead" => {
                let instead = if name == "lag" { "PREV" } else { "NEXT" };
                self.report(
                    Diagnostic::error(codes::ARGUMENTS, span, format!("{} needs OVER (…)", name.to_uppercase()))
                        .help(format!("in a pattern the row beside another is {instead}(x)")),
                )
            }
            "classifier" | "match_number" | "match_rowtime" => {
                if !call.args.is_empty() || !self.is_plain(call) {
                    let message = format!("{}() takes nothing", name.to_uppercase());
                    return Some(self.report(Diagnostic::error(codes::ARGUMENTS, span, message).help("leave it out")));
                }
                self.of_match(name, span)
            }
            "match_proctime" => self.report(
                Diagnostic::error(codes::NOT_SUPPORTED, span, "MATCH_PROCTIME() cannot run yet")
                    .help("MATCH_ROWTIME() is the event time of the match's last row"),
            ),
            _ => return None,
        })
    }

    fn is_plain(&self, call: &Call) -> bool {
        let ordered = !call.order_by.is_empty() || !call.within_group.is_empty();
        !(ordered || call.distinct || call.filter.is_some() || call.nulls.is_some())
    }

    /// CLASSIFIER(), MATCH_NUMBER(), MATCH_ROWTIME().
    fn of_match(&mut self, name: &str, span: Span) -> Option<Typed> {
        let scope = self.matching.as_mut()?;
        if let Some(inner) = &scope.inner {
            let message = format!("{} is over columns, and {}() is of the match", inner.called, name.to_uppercase());
            return self.report(
                Diagnostic::error(codes::ARGUMENTS, span, message).help("write it outside, beside the others"),
            );
        }
        match (name, scope.defines) {
            ("match_rowtime", _) => {
                let time = Typed {
                    expr: Expr::Column(Column::new_unqualified(schema::EVENT_TIME)),
                    data_type: schema::EVENT_TIME_TYPE,
                    nullable: false,
                    unknown: false,
                    span,
                };
                self.row_value(VariableSet::ALL, &Picked { from_last: true, nth: 0 }, 0, time, span)
            }
            ("classifier", Some(variable)) => {
                // In a condition the row that is tested is of the variable whose condition it is.
                let text = scope.variables.get(variable).map(|known| known.value.clone()).unwrap_or_default();
                Some(Typed { unknown: false, ..self.text(&text, span) })
            }
            _ => {
                let (value, data_type) = match name {
                    "classifier" => (MatchValue::Classifier, DataType::Utf8),
                    _ => (MatchValue::MatchNumber, DataType::Int64),
                };
                let column = scope.column(value, Field::new("", data_type.clone(), true));
                let expr = Expr::Column(Column::new_unqualified(column));
                Some(Typed { expr, data_type, nullable: false, unknown: false, span })
            }
        }
    }

    /// FIRST(x, n), LAST(x, n), PREV(x, n), NEXT(x, n), and FIRST or LAST within PREV or NEXT.
    fn navigation(&mut self, call: &Call, name: &str, span: Span) -> Option<Typed> {
        let called = name.to_uppercase();
        if let Some(inner) = self.matching.as_ref()?.inner.as_ref().map(|inner| inner.called.clone()) {
            let picks = |called: &str| ["PREV", "NEXT", "FIRST", "LAST"].contains(&called);
            let message = format!("{called} cannot stand in {inner}");
            let help = match inner.as_str() {
                "PREV" | "NEXT" if name == "first" || name == "last" => {
                    format!("FIRST and LAST stand in {inner} alone, as in {inner}(LAST(A.price, 1), 2)")
                }
                other if picks(other) => "PREV and NEXT stand outside, as in PREV(LAST(A.price, 1), 2)".to_owned(),
                other => format!("an aggregate is over columns of all the rows, as in {other}(A.price)"),
            };
            return self.report(Diagnostic::error(codes::ARGUMENTS, span, message).help(help));
        }
        if !self.is_plain(call) {
            let message =
                format!("{called} picks a row here: DISTINCT, ORDER BY, FILTER and IGNORE NULLS have no meaning");
            return self.report(
                Diagnostic::error(codes::ARGUMENTS, span, message).help(format!(
                    "write {called}(x) or {called}(x, n); the aggregates are FIRST_VALUE and LAST_VALUE"
                )),
            );
        }
        let (argument, distance) = self.picked_argument(call, &called, span)?;
        let physical = name == "prev" || name == "next";
        let mut picked = Picked { from_last: name != "first", nth: 0 };
        let (mut argument, mut offset) = (argument, 0);
        if physical {
            let distance = distance.unwrap_or(1) as i32;
            offset = if name == "prev" { -distance } else { distance };
            if let ExprKind::Call(within) = &argument.without_parentheses().kind {
                let inner = within.name.text().to_lowercase();
                if within.over.is_none() && self.is_plain(within) && (inner == "first" || inner == "last") {
                    let of = argument.without_parentheses().span;
                    let (of_inner, nth) = self.picked_argument(within, &inner.to_uppercase(), of)?;
                    picked = Picked { from_last: inner == "last", nth: nth.unwrap_or(0) };
                    argument = of_inner;
                }
            }
        } else {
            picked.nth = distance.unwrap_or(0);
        }
        self.matching.as_mut()?.inner = Some(Inner { of: None, called: called.clone() });
        let bound = self.bind(argument);
        let inner = self.matching.as_mut()?.inner.take()?;
        let bound = bound?;
        let Some((of, _)) = inner.of else {
            let message = format!("{called} is of a row, and this names no column");
            return self.report(
                Diagnostic::error(codes::ARGUMENTS, argument.span, message)
                    .help(format!("write {called}(A.price) or {called}(price)")),
            );
        };
        self.row_value(of, &picked, offset, bound, span)
    }

    /// The argument of a navigation, and how far it goes.
    fn picked_argument<'a>(&mut self, call: &'a Call, called: &str, span: Span) -> Option<(&'a Ast, Option<u32>)> {
        let value = |arg: &'a CallArg| match arg {
            CallArg::Positional(value) => Some(value),
            _ => None,
        };
        let (argument, distance) = match call.args.as_slice() {
            [one] => (value(one), None),
            [one, far] => (value(one), value(far)),
            _ => (None, None),
        };
        let Some(argument) = argument.filter(|_| call.args.len() == 1 || distance.is_some()) else {
            let message = format!("{called} takes what it is of, and how many rows it goes");
            self.report(
                Diagnostic::error(codes::ARGUMENTS, span, message)
                    .help(format!("write {called}(A.price) or {called}(A.price, 2)")),
            );
            return None;
        };
        let Some(far) = distance else { return Some((argument, None)) };
        let number = match &far.without_parentheses().kind {
            ExprKind::Literal(Literal::Number(text)) => text.parse::<u32>().ok().filter(|far| *far <= FARTHEST),
            _ => None,
        };
        if number.is_none() {
            let message = format!("{called} goes a whole number of rows, {FARTHEST} at most");
            self.report(
                Diagnostic::error(codes::LITERAL, far.span, message)
                    .help(format!("write the number itself, as in {called}(A.price, 2)")),
            );
        }
        number.map(|far| (argument, Some(far)))
    }

    /// An aggregate over rows of the match.
    pub(super) fn match_aggregate(&mut self, call: &Call, kind: AggregateKind, span: Span) -> Option<Typed> {
        let called = call.name.text().to_uppercase();
        let scope = self.matching.as_mut()?;
        if let Some(inner) = &scope.inner {
            let message = format!("the aggregate {called} cannot stand in {}", inner.called);
            return self.report(
                Diagnostic::error(codes::MISPLACED_AGGREGATE, span, message)
                    .help("write them beside each other: an aggregate is over columns of rows"),
            );
        }
        scope.inner = Some(Inner { of: None, called });
        let bound = self.aggregate_call(call, kind, span);
        let scope = self.matching.as_mut()?;
        let inner = scope.inner.take()?;
        let call: AggregateCall = bound?;
        // COUNT(*) counts them all.
        let of = inner.of.map_or(VariableSet::ALL, |(of, _)| of);
        if let Some(variable) = scope.defines
            && !of.contains(variable)
            && !comes_before(&scope.pattern, of, VariableSet::of(variable))
        {
            let (other, own) = (scope.names(of), scope.names(VariableSet::of(variable)));
            let message = format!("no row is {other} yet when {own} is tested: the pattern has {other} behind it");
            return self.report(
                Diagnostic::error(codes::ARGUMENTS, span, message)
                    .help(format!("put the condition into the DEFINE of {other}")),
            );
        }
        let (data_type, nullable) = (call.output.data_type().clone(), call.output.is_nullable());
        let field = call.output.as_ref().clone();
        let name = scope.column(MatchValue::Aggregate { of, call: Box::new(call) }, field);
        Some(Typed { expr: Expr::Column(Column::new_unqualified(name)), data_type, nullable, unknown: false, span })
    }
}
