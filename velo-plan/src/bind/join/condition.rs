//! What a join goes by: its conditions one by one, the equalities among them, and what they say about the sides' times.

use std::borrow::Cow;
use std::collections::BTreeSet;

use arrow_schema::DataType;
use datafusion_expr::{Expr, Operator};
use velo_core::schema;
use velo_sql::ast::visit::{Visitor, walk_expr};
use velo_sql::ast::{BinaryOp, Expr as Ast, ExprKind, Literal, ObjectName, Query, UnaryOp};
use velo_sql::{Diagnostic, Span};

use crate::bind::expr::{Typed, article};
use crate::bind::literal;
use crate::bind::scope::Scope;
use crate::bind::types::common_type;
use crate::catalog::Relation;
use crate::codes;
use crate::plan::Side;
use crate::planner::Planner;

/// The conditions of a WHERE; a join without a condition of its own takes those that speak of both its sides.
pub(in crate::bind) struct Wheres<'a> {
    conditions: Vec<&'a Ast>,
    taken: BTreeSet<usize>,
    whole: Option<&'a Ast>,
}

impl<'a> Wheres<'a> {
    pub(in crate::bind) fn of(whole: Option<&'a Ast>) -> Self {
        Self { conditions: whole.map(conjuncts).unwrap_or_default(), taken: BTreeSet::new(), whole }
    }

    /// Those that nothing took, as one condition.
    pub(in crate::bind) fn rest(&self) -> Option<Cow<'a, Ast>> {
        if self.taken.is_empty() {
            return self.whole.map(Cow::Borrowed);
        }
        let left = (0..self.conditions.len()).filter(|at| !self.taken.contains(at));
        let mut left: Vec<Ast> = left.map(|at| self.conditions[at].clone()).collect();
        match left.len() {
            0 | 1 => left.pop().map(Cow::Owned),
            last => {
                let span = left[0].span.to(left[last - 1].span);
                Some(Cow::Owned(Ast { kind: ExprKind::And(left), span }))
            }
        }
    }

    /// Takes those for which `wanted` holds.
    pub(super) fn take(&mut self, wanted: impl Fn(&'a Ast) -> bool) -> Vec<&'a Ast> {
        let mut found = Vec::new();
        for (at, condition) in self.conditions.iter().enumerate() {
            if !self.taken.contains(&at) && wanted(condition) {
                self.taken.insert(at);
                found.push(*condition);
            }
        }
        found
    }
}

/// The operands of AND.
pub(in crate::bind) fn conjuncts(condition: &Ast) -> Vec<&Ast> {
    let condition = condition.without_parentheses();
    match &condition.kind {
        ExprKind::And(operands) => operands.iter().flat_map(conjuncts).collect(),
        _ => vec![condition],
    }
}

/// Both sides of a join before anything is renamed.
pub(super) struct Both<'a> {
    pub(super) left: &'a Scope,
    pub(super) right: &'a Scope,
}

impl Both<'_> {
    /// Whose column a name is, and the column's name in the plan; none where that is not clear.
    pub(super) fn side_of(&self, name: &ObjectName) -> Option<(Side, String, bool)> {
        let found = |scope: &Scope| {
            scope.resolve(name).ok().map(|found| (found.column.field.name().clone(), found.fields.len()))
        };
        match (found(self.left), found(self.right)) {
            (Some((column, fields)), None) => Some((Side::Left, column, fields == 0)),
            (None, Some((column, fields))) => Some((Side::Right, column, fields == 0)),
            // `t.t` is the column of the relation `t`, and no field of the other side's column `t`.
            (Some((column, fields)), Some((_, others))) if fields < others => Some((Side::Left, column, fields == 0)),
            (Some((_, others)), Some((column, fields))) if fields < others => Some((Side::Right, column, fields == 0)),
            _ => None,
        }
    }

    /// The one side that all columns of an expression are of.
    fn one_side(&self, expr: &Ast) -> Option<Side> {
        let mut columns = Columns::default();
        columns.expr(expr);
        if columns.queries {
            return None;
        }
        let sides: Option<Vec<Side>> = columns.names.iter().map(|name| Some(self.side_of(name)?.0)).collect();
        let sides = sides?;
        let first = *sides.first()?;
        sides.iter().all(|side| *side == first).then_some(first)
    }

    /// Whether a condition is an equality between the sides.
    pub(super) fn is_equality(&self, condition: &Ast) -> bool {
        let ExprKind::Binary { left, op: BinaryOp::Equal, right, .. } = &condition.kind else { return false };
        match (self.one_side(left), self.one_side(right)) {
            (Some(left), Some(right)) => left != right,
            _ => false,
        }
    }
}

/// The columns that an expression names.
#[derive(Default)]
struct Columns {
    names: Vec<ObjectName>,
    queries: bool,
}

impl Visitor for Columns {
    fn query(&mut self, _: &Query) {
        self.queries = true;
    }

    fn expr(&mut self, expr: &Ast) {
        if let ExprKind::Path(name) = &expr.kind {
            self.names.push(name.clone());
        }
        walk_expr(self, expr);
    }
}

/// The columns of both sides that are a time to go by.
pub(super) struct Times {
    left: Vec<String>,
    right: Vec<String>,
}

impl Times {
    pub(super) fn of(left: &Relation, right: &Relation) -> Self {
        let all = |relation: &Relation| {
            let own = relation.has_event_time().then(|| schema::EVENT_TIME.to_owned());
            let sides = relation.side_times.iter().flat_map(|time| time.columns.iter().chain([&time.time]));
            own.into_iter().chain(relation.event_time_columns.iter().chain(sides).cloned()).collect()
        };
        Self { left: all(left), right: all(right) }
    }

    pub(super) fn has(&self, side: Side, column: &str) -> bool {
        let of_side = if side == Side::Left { &self.left } else { &self.right };
        of_side.iter().any(|time| time == column)
    }
}

/// How far the right row's time may be from the left one's, in microseconds.
#[derive(Debug, Default, Clone)]
pub(super) struct Bounds {
    /// The right time less the left one is at least this.
    pub(super) lower: Option<i64>,
    /// It is at most this.
    pub(super) upper: Option<i64>,
    /// The columns by which the sides' times were named, with the places.
    pub(super) columns: Vec<(Side, String, Span)>,
    /// Where all this stands.
    pub(super) places: Vec<Span>,
}

impl Bounds {
    pub(super) fn at_least(&mut self, micros: i64) {
        self.lower = Some(self.lower.map_or(micros, |known| known.max(micros)));
    }

    pub(super) fn at_most(&mut self, micros: i64) {
        self.upper = Some(self.upper.map_or(micros, |known| known.min(micros)));
    }

    fn meet(&mut self, other: Self) {
        other.lower.into_iter().for_each(|lower| self.at_least(lower));
        other.upper.into_iter().for_each(|upper| self.at_most(upper));
        self.columns.extend(other.columns);
        self.places.extend(other.places);
    }

    /// The whole of it, from the first to the last place.
    pub(super) fn span(&self) -> Option<Span> {
        self.places
            .iter()
            .copied()
            .reduce(|one, other| if one.start < other.start { one.to(other) } else { other.to(one) })
    }
}

/// A sum of the sides' times and of intervals.
#[derive(Default)]
struct Linear {
    left: i64,
    right: i64,
    micros: i64,
    columns: Vec<(Side, String, Span)>,
}

impl Linear {
    fn plus(mut self, other: Self, sign: i64) -> Option<Self> {
        self.left += sign * other.left;
        self.right += sign * other.right;
        self.micros = self.micros.checked_add(sign.checked_mul(other.micros)?)?;
        self.columns.extend(other.columns);
        Some(self)
    }

    /// `self op 0` as bounds of the right time less the left one.
    fn compared(self, op: BinaryOp, span: Span) -> Option<Bounds> {
        use BinaryOp::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
        // What is compared with the difference of the times, and how.
        let (limit, op) = match (self.left, self.right, op) {
            (-1, 1, op) => (self.micros.checked_neg()?, op),
            (1, -1, Less) => (self.micros, Greater),
            (1, -1, LessOrEqual) => (self.micros, GreaterOrEqual),
            (1, -1, Greater) => (self.micros, Less),
            (1, -1, GreaterOrEqual) => (self.micros, LessOrEqual),
            (1, -1, Equal) => (self.micros, Equal),
            _ => return None,
        };
        let mut bounds = Bounds { columns: self.columns, places: vec![span], ..Bounds::default() };
        match op {
            Equal => {
                bounds.at_least(limit);
                bounds.at_most(limit);
            }
            // Times are whole microseconds.
            Less => bounds.at_most(limit.checked_sub(1)?),
            LessOrEqual => bounds.at_most(limit),
            Greater => bounds.at_least(limit.checked_add(1)?),
            GreaterOrEqual => bounds.at_least(limit),
            _ => return None,
        }
        Some(bounds)
    }
}

impl Both<'_> {
    fn linear(&self, expr: &Ast, times: &Times) -> Option<Linear> {
        let expr = expr.without_parentheses();
        match &expr.kind {
            ExprKind::Path(name) => {
                let (side, column, whole) = self.side_of(name)?;
                let sum = Linear { columns: vec![(side, column.clone(), expr.span)], ..Linear::default() };
                (whole && times.has(side, &column)).then_some(match side {
                    Side::Left => Linear { left: 1, ..sum },
                    Side::Right => Linear { right: 1, ..sum },
                })
            }
            ExprKind::Literal(Literal::Interval(interval)) => {
                Some(Linear { micros: literal::micros(interval, expr.span).ok()?, ..Linear::default() })
            }
            ExprKind::Unary { op: UnaryOp::Minus, expr } => Linear::default().plus(self.linear(expr, times)?, -1),
            ExprKind::Binary { left, op: BinaryOp::Add, right, .. } => {
                self.linear(left, times)?.plus(self.linear(right, times)?, 1)
            }
            ExprKind::Binary { left, op: BinaryOp::Subtract, right, .. } => {
                self.linear(left, times)?.plus(self.linear(right, times)?, -1)
            }
            _ => None,
        }
    }

    /// What a condition says about the distance of the sides' times, if it says nothing else.
    pub(super) fn bounds(&self, condition: &Ast, times: &Times) -> Option<Bounds> {
        let compared = |left: &Ast, op: BinaryOp, right: &Ast| {
            self.linear(left, times)?.plus(self.linear(right, times)?, -1)?.compared(op, condition.span)
        };
        match &condition.kind {
            ExprKind::Binary { left, op, right, .. } => compared(left, *op, right),
            ExprKind::Between { expr, low, high, negated: false, .. } => {
                let mut bounds = compared(expr, BinaryOp::GreaterOrEqual, low)?;
                bounds.meet(compared(expr, BinaryOp::LessOrEqual, high)?);
                Some(bounds)
            }
            _ => None,
        }
    }

    /// Whether two expressions are the times of both sides.
    pub(super) fn are_times(&self, one: &Ast, other: &Ast, times: &Times) -> bool {
        let sum = self.linear(one, times).and_then(|one| one.plus(self.linear(other, times)?, 1));
        sum.is_some_and(|sum| (sum.left, sum.right, sum.micros) == (1, 1, 0))
    }

    /// All bounds among conditions, and the other conditions.
    pub(super) fn all_bounds<'c>(&self, conditions: &[&'c Ast], times: &Times) -> (Bounds, Vec<&'c Ast>) {
        let mut all = Bounds::default();
        let mut others = Vec::with_capacity(conditions.len());
        for condition in conditions {
            match self.bounds(condition, times) {
                Some(bounds) => all.meet(bounds),
                None => others.push(*condition),
            }
        }
        (all, others)
    }

    /// Whether a condition measures a distance between columns of both sides.
    pub(super) fn measures(&self, condition: &Ast) -> bool {
        let mut found = Distance::default();
        found.expr(condition);
        let compares = match &condition.kind {
            ExprKind::Between { .. } => true,
            ExprKind::Binary { op, .. } => {
                use BinaryOp::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
                [Equal, Greater, GreaterOrEqual, Less, LessOrEqual].contains(op)
            }
            _ => false,
        };
        let sides: Vec<Side> = found.columns.names.iter().filter_map(|name| Some(self.side_of(name)?.0)).collect();
        compares && found.interval && sides.contains(&Side::Left) && sides.contains(&Side::Right)
    }
}

/// Whether an expression has an interval in it, and its columns.
#[derive(Default)]
struct Distance {
    interval: bool,
    columns: Columns,
}

impl Visitor for Distance {
    fn expr(&mut self, expr: &Ast) {
        match &expr.kind {
            ExprKind::Literal(Literal::Interval(_)) => self.interval = true,
            ExprKind::Path(name) => self.columns.names.push(name.clone()),
            _ => {}
        }
        walk_expr(self, expr);
    }
}

/// An equality between the sides.
#[derive(Debug, Clone)]
pub(super) struct Equality {
    pub(super) left: Typed,
    pub(super) right: Typed,
    /// The type in which they are compared.
    pub(super) common: DataType,
    /// The comparison as a condition.
    pub(super) whole: Typed,
}

/// Bound conditions of a join.
#[derive(Debug, Default)]
pub(super) struct Condition {
    pub(super) equalities: Vec<Equality>,
    pub(super) others: Vec<Typed>,
}

impl Condition {
    /// All that is no key, as one condition.
    pub(super) fn rest(others: Vec<Typed>) -> Option<Expr> {
        others.into_iter().map(|typed| typed.expr).reduce(Expr::and)
    }
}

impl Planner<'_> {
    /// Binds conditions over both sides; `right` are the plan columns of the right one. All mistakes in them are found.
    pub(super) fn join_condition(
        &mut self,
        conditions: &[&Ast],
        scope: &Scope,
        right: &BTreeSet<String>,
        for_table: bool,
    ) -> Option<Condition> {
        let mut found = Condition::default();
        let mut failed = false;
        for condition in conditions {
            if let ExprKind::Binary { left, op: BinaryOp::Equal, op_span, right: other } = &condition.kind {
                let mut binder = self.binder(scope, Err("ON"));
                let (one, other) = (binder.bind(left), binder.bind(other));
                let (Some(one), Some(other)) = (one, other) else {
                    failed = true;
                    continue;
                };
                let sides = match (side(&one.expr, right), side(&other.expr, right)) {
                    (Some(Side::Left), Some(Side::Right)) => Some((one.clone(), other.clone())),
                    (Some(Side::Right), Some(Side::Left)) => Some((other.clone(), one.clone())),
                    _ => None,
                };
                match sides {
                    Some((one, other)) => match self.equality(one, other, *op_span, condition.span, scope, for_table) {
                        Some(equality) => found.equalities.push(equality),
                        None => failed = true,
                    },
                    None => {
                        match self.binder(scope, Err("ON")).compare(Operator::Eq, one, other, *op_span, condition.span)
                        {
                            Some(typed) => found.others.push(typed),
                            None => failed = true,
                        }
                    }
                }
                continue;
            }
            match self.binder(scope, Err("ON")).condition(condition, "ON") {
                Some(typed) => found.others.push(typed),
                None => failed = true,
            }
        }
        (!failed).then_some(found)
    }

    /// Two expressions of one type, or of types that are compared without a loss; anything else is a mistake that names the
    /// CAST.
    pub(super) fn equality(
        &mut self,
        left: Typed,
        right: Typed,
        op_span: Span,
        span: Span,
        scope: &Scope,
        for_table: bool,
    ) -> Option<Equality> {
        let exact = |data_type: &DataType| {
            data_type.is_integer() || matches!(data_type, DataType::Decimal128(..) | DataType::Decimal256(..))
        };
        let time = |data_type: &DataType| matches!(data_type, DataType::Timestamp(..) | DataType::Date32);
        let (one, other) = (&left.data_type, &right.data_type);
        let related = one == other || (exact(one) && exact(other)) || (time(one) && time(other));
        let Some(common) = common_type(one, other).filter(|_| related) else {
            let text = |typed: &Typed| typed.span.text(self.script).to_owned();
            let (left_text, right_text) = (text(&left), text(&right));
            let message = format!(
                "'{left_text}' is {}, and '{right_text}' is {}: rows cannot be brought together by them",
                article(one),
                article(other)
            );
            // A table is looked up by its columns as they are; else a text takes everything.
            let cast = match (for_table, one == &DataType::Utf8) {
                (false, true) => format!("{left_text} = CAST({right_text} AS {})", velo_core::types::sql_name(one)),
                _ => format!("CAST({left_text} AS {}) = {right_text}", velo_core::types::sql_name(other)),
            };
            self.error(
                Diagnostic::error(codes::TYPE_MISMATCH, span, message)
                    .also(left.span, format!("this is {}", article(one)))
                    .also(right.span, format!("this is {}", article(other)))
                    .help(format!("write {cast}")),
            );
            return None;
        };
        let compared = (left.clone(), right.clone());
        let whole = self.binder(scope, Err("ON")).compare(Operator::Eq, compared.0, compared.1, op_span, span)?;
        Some(Equality { left, right, common, whole })
    }
}

/// The side that all columns of an expression are of; none where it has none, or those of both.
pub(super) fn side(expr: &Expr, right: &BTreeSet<String>) -> Option<Side> {
    let columns = expr.column_refs();
    let is_right = |name: &str| right.contains(name);
    let first = is_right(columns.iter().next()?.name());
    let same = columns.iter().all(|column| is_right(column.name()) == first);
    same.then_some(if first { Side::Right } else { Side::Left })
}
