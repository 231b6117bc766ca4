//! What ties a sub-query to the query around it: equalities become keys, and everything else a condition on pairs of rows.

use datafusion_common::ScalarValue;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::{Expr, Operator};
use velo_core::schema;
use velo_sql::ast::{
    BinaryOp, Call, Expr as Ast, ExprKind, Ident, Literal, ObjectName, OrderByItem, Over, Select, WindowSpec,
};
use velo_sql::{Diagnostic, Span};

use super::find::Names;
use super::{Pair, columns_of, is_outer, renamed};
use crate::bind::expr::Typed;
use crate::bind::scope::Scope;
use crate::bind::select::Item;
use crate::bind::types::common_type;
use crate::catalog::Relation;
use crate::codes;
use crate::plan::{AggregateCall, AggregateKind};
use crate::planner::Planner;
use crate::rules::fold_constants::fold;

/// The tie of the SELECT of a sub-query to the outer query, found while the SELECT is planned.
#[derive(Debug, Default)]
pub(crate) struct Correlation {
    /// The SELECT.
    pub(super) select: Span,
    /// Where it has a LIMIT or OFFSET.
    pub(super) limited: Option<Span>,
    /// Its ORDER BY, where it is to give the first row of each outer one.
    pub(super) first_by: Option<Vec<OrderByItem>>,
    /// Equalities; the inner sides are over the rows of FROM.
    pub(super) pairs: Vec<Pair>,
    /// The inner sides as they are written.
    inner: Vec<Ast>,
    /// Other conditions over both.
    pub(super) conditions: Vec<Typed>,
    /// What the conditions read of the rows of FROM.
    read: Vec<Typed>,
    /// Where it is an aggregate without GROUP BY.
    pub(super) bare: Option<Bare>,
}

/// An aggregate without GROUP BY: one row, also where nothing goes in.
#[derive(Debug)]
pub(crate) struct Bare {
    /// What it gives then; none where a HAVING takes the row away.
    pub(super) missing: Option<Expr>,
}

/// The names of the columns that come out behind the selected ones: inner sides, what conditions read, and a sign that there is
/// a row.
const KEY: &str = "$key";
const READ: &str = "$read";
const FOUND: &str = "$found";

impl Correlation {
    pub(super) fn of(select: Span) -> Self {
        Self { select, ..Self::default() }
    }

    pub(in crate::bind) fn is_of(&self, select: &Select) -> bool {
        self.select.same_place(select.span)
    }

    /// Whether something of the outer query is read.
    pub(super) fn is_tied(&self) -> bool {
        !self.pairs.is_empty() || !self.conditions.is_empty()
    }

    /// How many of so many columns are selected, and the places of those behind them: the first of the inner sides, the first of
    /// what conditions read, the sign.
    pub(super) fn places(&self, columns: usize) -> (usize, usize, usize) {
        let sign = columns - usize::from(self.bare.is_some()).min(columns);
        let read = sign.saturating_sub(self.read.len());
        (read.saturating_sub(self.pairs.len()), read, sign)
    }

    /// What the inner side of a pair is called: the column's own name, else the expression as it is written.
    pub(super) fn key_name(&self, at: usize, script: &str) -> String {
        match self.inner.get(at).map(|inner| (&inner.without_parentheses().kind, inner.span)) {
            Some((ExprKind::Path(name), _)) => name.last().map(|part| part.value.clone()).unwrap_or_default(),
            Some((_, span)) => span.text(script).split_whitespace().collect::<Vec<_>>().join(" "),
            None => KEY.trim_start_matches('$').to_owned(),
        }
    }

    /// The place of a column that conditions read.
    pub(super) fn read_at(&self, column: &str) -> Option<usize> {
        self.read.iter().position(|typed| matches!(&typed.expr, Expr::Column(known) if known.name() == column))
    }
}

impl Planner<'_> {
    /// Whether an expression names a column that only a query around it has.
    pub(super) fn names_outer(&self, expr: &Ast, scope: &Scope) -> bool {
        let of_outer = |name: &ObjectName| {
            let unknown = matches!(scope.resolve(name), Err(diagnostic) if diagnostic.code == codes::UNKNOWN_COLUMN);
            unknown && self.query.outer.iter().any(|outer| outer.resolve(name).is_ok())
        };
        Names::of(expr).columns.iter().any(of_outer)
    }

    /// Binds the conditions of a sub-query that name columns of the outer query.
    pub(super) fn correlate(
        &mut self,
        correlation: &mut Correlation,
        conditions: &[&Ast],
        scope: &Scope,
    ) -> Option<()> {
        let mut failed = false;
        for condition in conditions {
            if super::has_subquery(condition) {
                self.error(
                    Diagnostic::error(
                        codes::NOT_SUPPORTED,
                        condition.span,
                        "a sub-query beside a column of the outer query cannot run yet",
                    )
                    .help("write the two as conditions of their own with AND between them, or the inner one into the outer WHERE"),
                );
                failed = true;
                continue;
            }
            if self.tie(correlation, condition, scope).is_none() {
                failed = true;
            }
        }
        for condition in &correlation.conditions {
            for name in columns_of(&condition.expr).into_iter().filter(|name| !is_outer(name)) {
                if correlation.read_at(&name).is_some() {
                    continue;
                }
                let Some(known) = scope.columns.iter().find(|column| *column.field.name() == name) else { continue };
                correlation.read.push(crate::bind::query::column_of(known, condition.span));
            }
        }
        (!failed).then_some(())
    }

    fn tie(&mut self, correlation: &mut Correlation, condition: &Ast, scope: &Scope) -> Option<()> {
        if let ExprKind::Binary { left, op: BinaryOp::Equal, op_span, right } = &condition.kind {
            let mut binder = self.binder(scope, Err("WHERE"));
            binder.correlates = true;
            let (one, other) = (binder.bind(left), binder.bind(right));
            let (one, other) = (one?, other?);
            let sides = match (side(&one), side(&other)) {
                (Some(true), Some(false)) => Some((one.clone(), other.clone(), right)),
                (Some(false), Some(true)) => Some((other.clone(), one.clone(), left)),
                _ => None,
            };
            let whole = self.compared(one, other, *op_span, condition.span, scope)?;
            match sides {
                Some((outer, inner, written)) if are_keys(&outer, &inner) => {
                    correlation.pairs.push(Pair { outer, inner, whole });
                    correlation.inner.push(written.as_ref().clone());
                }
                _ => correlation.conditions.push(whole),
            }
            return Some(());
        }
        let mut binder = self.binder(scope, Err("WHERE"));
        binder.correlates = true;
        correlation.conditions.push(binder.condition(condition, "WHERE")?);
        Some(())
    }

    /// Two values compared; of types that do not compare the CAST is told.
    pub(super) fn compared(
        &mut self,
        left: Typed,
        right: Typed,
        op_span: Span,
        span: Span,
        scope: &Scope,
    ) -> Option<Typed> {
        if !left.unknown && !right.unknown && common_type(&left.data_type, &right.data_type).is_none() {
            let error = do_not_compare(&left, &right, op_span, self.script);
            self.error(error);
            return None;
        }
        self.binder(scope, Err("WHERE")).compare(Operator::Eq, left, right, op_span, span)
    }

    /// The columns that come out behind the selected ones; those by which groups are told apart are keys of them.
    pub(in crate::bind) fn tied_items(
        &mut self,
        correlation: &Correlation,
        keys: &mut Vec<Typed>,
        (grouped, sets): (bool, bool),
    ) -> Option<Vec<Item>> {
        let item = |name: String, typed: &Typed| Item { typed: typed.clone(), name, aliased: false, key: false };
        let inner = correlation.pairs.iter().enumerate();
        let mut found: Vec<Item> = inner.map(|(at, pair)| item(format!("{KEY}{at}"), &pair.inner)).collect();
        if !grouped {
            found.extend(correlation.read.iter().enumerate().map(|(at, typed)| item(format!("{READ}{at}"), typed)));
            return Some(found);
        }
        if let Some(condition) = correlation.conditions.first() {
            self.error(
                Diagnostic::error(
                    codes::NOT_SUPPORTED,
                    condition.span,
                    "an aggregate over rows that are compared with a column of the outer query in another way than by an equality cannot run yet",
                )
                .help("join the two with this condition in a query of FROM, GROUP BY a column that tells the outer rows apart, and aggregate there"),
            );
            return None;
        }
        if let (true, Some(pair)) = (sets, correlation.pairs.first()) {
            self.error(
                Diagnostic::error(
                    codes::NOT_SUPPORTED,
                    pair.whole.span,
                    "a column of the outer query beside GROUPING SETS, ROLLUP or CUBE cannot run yet",
                )
                .help("write UNION ALL of a GROUP BY for each set, in a query of FROM"),
            );
            return None;
        }
        for pair in &correlation.pairs {
            if !keys.iter().any(|key| key.expr == pair.inner.expr) {
                keys.push(pair.inner.clone());
            }
        }
        Some(found)
    }

    /// What an aggregate without GROUP BY gives where nothing goes in, and the sign that something did.
    pub(in crate::bind) fn bare_aggregate(
        &mut self,
        correlation: &mut Correlation,
        items: &mut Vec<Item>,
        aggregates: &[AggregateCall],
        having: Option<&Typed>,
    ) -> Option<()> {
        let first = items.first()?;
        let mut empty = of_nothing(&first.typed.expr, aggregates);
        if let Some(stray) = columns_of(&empty).first()
            && correlation.pairs.iter().any(|pair| columns_of(&pair.inner.expr).contains(stray))
        {
            let name = first.typed.span.text(self.script).to_owned();
            self.error(
                Diagnostic::error(
                    codes::NOT_GROUPED,
                    first.typed.span,
                    format!("'{name}' is neither grouped by nor aggregated"),
                )
                .help(format!("write MAX({name}), or add GROUP BY {name}")),
            );
            return None;
        }
        fold(&mut empty);
        let mut missing = Some(empty);
        if let Some(having) = having {
            let mut of_none = of_nothing(&having.expr, aggregates);
            fold(&mut of_none);
            match of_none {
                Expr::Literal(ScalarValue::Boolean(Some(false) | None) | ScalarValue::Null, _) => missing = None,
                _ => {
                    self.error(
                        Diagnostic::error(
                            codes::NOT_SUPPORTED,
                            having.span,
                            "a HAVING that can hold where there are no rows at all cannot run yet in a sub-query without GROUP BY",
                        )
                        .help("leave it out, and compare what the sub-query gives; or add COUNT(*) > 0"),
                    );
                    return None;
                }
            }
        }
        correlation.bare = Some(Bare { missing });
        items.push(Item {
            typed: Typed {
                expr: Expr::Literal(ScalarValue::Boolean(Some(true)), None),
                data_type: arrow_schema::DataType::Boolean,
                nullable: false,
                unknown: false,
                span: first.typed.span,
            },
            name: FOUND.to_owned(),
            aliased: false,
            key: false,
        });
        Some(())
    }

    /// The SELECT that gives the first row of each outer one: those with the number 1 among the rows of the same keys.
    pub(in crate::bind) fn first_rows(&mut self, select: &Select, correlation: &Correlation) -> Option<Select> {
        let order_by = correlation.first_by.clone()?;
        let span = select.span;
        let spec = WindowSpec { partition_by: correlation.inner.clone(), order_by, span, ..WindowSpec::default() };
        let number = Call {
            name: ObjectName { parts: vec![Ident::plain("ROW_NUMBER")] },
            distinct: false,
            args: Vec::new(),
            order_by: Vec::new(),
            nulls: None,
            within_group: Vec::new(),
            filter: None,
            over: Some(Over::Spec(Box::new(spec))),
        };
        let number = Ast::new(ExprKind::Call(Box::new(number)), span);
        let one = Ast::new(ExprKind::Literal(Literal::Number("1".to_owned())), span);
        let first =
            ExprKind::Binary { left: Box::new(number), op: BinaryOp::LessOrEqual, op_span: span, right: Box::new(one) };
        Some(Select { qualify: Some(Ast::new(first, span)), ..select.clone() })
    }

    /// A typed value over the outer scope as one over what stands in its place after a changelog join: there the event time is a
    /// column.
    pub(in crate::bind) fn retimed(&self, expr: Expr, input: &Relation) -> Expr {
        let schema = &self.plan.nodes[input.node.0].schema;
        if schema::event_time_index(schema).is_some() || schema.field_with_name(super::place::TIME).is_err() {
            return expr;
        }
        renamed(&expr, &|name| (name == schema::EVENT_TIME).then(|| super::place::TIME.to_owned()))
    }
}

/// Whose columns an expression reads: only the outer query's (true), only the sub-query's (false), or none or both.
fn side(typed: &Typed) -> Option<bool> {
    let columns = columns_of(&typed.expr);
    let first = is_outer(columns.first()?);
    columns.iter().all(|name| is_outer(name) == first).then_some(first)
}

/// Whether values of two types are equal exactly where they are the same in the common type.
pub(super) fn are_keys(one: &Typed, other: &Typed) -> bool {
    use arrow_schema::DataType::{Date32, Decimal128, Decimal256, Timestamp};
    let (one, other) = (&one.data_type, &other.data_type);
    let exact = |of: &arrow_schema::DataType| of.is_integer() || matches!(of, Decimal128(..) | Decimal256(..));
    let time = |of: &arrow_schema::DataType| matches!(of, Timestamp(..) | Date32);
    (one == other && !one.is_nested()) || (exact(one) && exact(other)) || (time(one) && time(other))
}

/// The types of both sides, and the CAST.
pub(super) fn do_not_compare(left: &Typed, right: &Typed, place: Span, script: &str) -> Diagnostic {
    let article = crate::bind::expr::article;
    let text = |typed: &Typed| typed.span.text(script).to_owned();
    let message = format!(
        "'{}' is {}, and '{}' is {}: they do not compare",
        text(left),
        article(&left.data_type),
        text(right),
        article(&right.data_type)
    );
    Diagnostic::error(codes::TYPE_MISMATCH, place, message)
        .also(left.span, format!("this is {}", article(&left.data_type)))
        .also(right.span, format!("this is {}", article(&right.data_type)))
        .help(format!("write CAST({} AS {})", text(left), velo_core::types::sql_name(&right.data_type)))
}

/// What an expression over aggregates gives where no row goes into them.
fn of_nothing(expr: &Expr, aggregates: &[AggregateCall]) -> Expr {
    let counts = |call: &AggregateCall| match &call.kind {
        AggregateKind::Count => true,
        AggregateKind::Library(function) => ["approx_distinct", "regr_count"].contains(&function.name()),
        _ => false,
    };
    let replaced = expr.clone().transform(|expr| {
        let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
        let Some(call) = aggregates.iter().find(|call| call.output.name() == column.name()) else {
            return Ok(Transformed::no(expr));
        };
        let value = match counts(call) {
            true => ScalarValue::new_zero(call.output.data_type())?,
            false => ScalarValue::try_from(call.output.data_type())?,
        };
        Ok(Transformed::yes(Expr::Literal(value, None)))
    });
    replaced.map(|replaced| replaced.data).unwrap_or_else(|_| expr.clone())
}
