//! Queries: SELECT, VALUES, set operations, CTEs.

use crate::ast::expr::{Expr, OrderByItem};
use crate::ast::from::TableWithJoins;
use crate::ast::ident::{Ident, ObjectName};
use crate::ast::window::{NamedWindow, TimeWindow};
use crate::span::Span;

/// A query with its CTEs and its last clauses.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// `WITH name AS (…)`.
    pub with: Option<With>,
    /// What it computes.
    pub body: SetExpr,
    /// `ORDER BY`.
    pub order_by: Vec<OrderByItem>,
    /// `LIMIT n`, `FETCH FIRST n ROWS ONLY`.
    pub limit: Option<Expr>,
    /// `OFFSET n`.
    pub offset: Option<Expr>,
    /// `EMIT CHANGES|FINAL`.
    pub emit: Option<Emit>,
    /// The whole query.
    pub span: Span,
}

/// `WITH [RECURSIVE] …`.
#[derive(Clone, Debug, PartialEq)]
pub struct With {
    /// `RECURSIVE`.
    pub recursive: bool,
    /// The named queries, in order; at least one.
    pub ctes: Vec<Cte>,
    /// The whole clause.
    pub span: Span,
}

/// `name [(columns)] AS (query)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cte {
    /// Its name.
    pub name: Ident,
    /// Names for its columns; empty where none are written.
    pub columns: Vec<Ident>,
    /// Its query.
    pub query: Box<Query>,
    /// The whole item.
    pub span: Span,
}

/// What a query is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum SetExpr {
    /// `SELECT …`.
    Select(Box<Select>),
    /// `VALUES (…), (…)`.
    Values(Values),
    /// `(query)`.
    Query(Box<Query>),
    /// `left UNION right` and kin; a chain is left-deep, INTERSECT binds tighter.
    SetOperation {
        /// Left side.
        left: Box<SetExpr>,
        /// Which operation.
        op: SetOperator,
        /// ALL: duplicates are kept.
        all: bool,
        /// Where the operator stands, ALL included.
        op_span: Span,
        /// Right side.
        right: Box<SetExpr>,
    },
}

impl SetExpr {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            SetExpr::Select(select) => select.span,
            SetExpr::Values(values) => values.span,
            SetExpr::Query(query) => query.span,
            SetExpr::SetOperation { left, right, .. } => left.span().to(right.span()),
        }
    }
}

/// Set operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperator {
    /// UNION.
    Union,
    /// EXCEPT.
    Except,
    /// INTERSECT.
    Intersect,
}

/// `VALUES (1, 'a'), (2, 'b')`.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    /// The rows; at least one.
    pub rows: Vec<ValuesRow>,
    /// The whole clause.
    pub span: Span,
}

/// One row of VALUES.
#[derive(Clone, Debug, PartialEq)]
pub struct ValuesRow {
    /// Its values; at least one.
    pub values: Vec<Expr>,
    /// The parentheses.
    pub span: Span,
}

/// One SELECT, without the clauses that [`Query`] holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// `DISTINCT`, `DISTINCT ON (…)`.
    pub distinct: Option<Distinct>,
    /// What is selected; at least one.
    pub items: Vec<SelectItem>,
    /// `FROM`, comma by comma; empty where there is none.
    pub from: Vec<TableWithJoins>,
    /// `WHERE`.
    pub selection: Option<Expr>,
    /// `GROUP BY`.
    pub group_by: Option<GroupBy>,
    /// `WINDOW TUMBLING(…)`.
    pub time_window: Option<TimeWindow>,
    /// `HAVING`.
    pub having: Option<Expr>,
    /// `QUALIFY`.
    pub qualify: Option<Expr>,
    /// `WINDOW w AS (…)`.
    pub named_windows: Vec<NamedWindow>,
    /// From SELECT to the last of its clauses.
    pub span: Span,
}

/// `DISTINCT`.
#[derive(Clone, Debug, PartialEq)]
pub struct Distinct {
    /// The expressions of `ON (…)`; empty for plain DISTINCT.
    pub on: Vec<Expr>,
    /// Where it stands.
    pub span: Span,
}

/// One item of the select list.
#[derive(Clone, Debug, PartialEq)]
pub enum SelectItem {
    /// `expr [AS alias] [PRIMARY KEY]`.
    Expr {
        /// The expression.
        expr: Expr,
        /// Its name.
        alias: Option<Ident>,
        /// Where `PRIMARY KEY` stands.
        primary_key: Option<Span>,
    },
    /// `* [EXCEPT (a, b)]`.
    Wildcard {
        /// The columns that are left out.
        except: Vec<Ident>,
        /// Where it stands.
        span: Span,
    },
    /// `t.* [EXCEPT (a, b)]`.
    QualifiedWildcard {
        /// Whose columns.
        name: ObjectName,
        /// The columns that are left out.
        except: Vec<Ident>,
        /// Where it stands.
        span: Span,
    },
}

impl SelectItem {
    /// Where the item stands, its alias included.
    pub fn span(&self) -> Span {
        match self {
            SelectItem::Expr { expr, alias, primary_key } => {
                let span = alias.as_ref().map_or(expr.span, |alias| expr.span.to(alias.span));
                primary_key.map_or(span, |key| span.to(key))
            }
            SelectItem::Wildcard { span, .. } | SelectItem::QualifiedWildcard { span, .. } => *span,
        }
    }
}

/// `GROUP BY …`.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupBy {
    /// The items; at least one.
    pub items: Vec<GroupByItem>,
    /// The whole clause.
    pub span: Span,
}

/// One item of GROUP BY.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupByItem {
    /// An expression, an alias, an ordinal, or a window function such as `TUMBLE(ts, …)`.
    Expr(Expr),
    /// `()`: one group.
    Empty(Span),
    /// `GROUPING SETS ((a, b), (a), ())`.
    GroupingSets {
        /// The sets, each with its expressions.
        sets: Vec<Vec<Expr>>,
        /// Where it stands.
        span: Span,
    },
    /// `ROLLUP (a, b)`.
    Rollup {
        /// The columns; `(a, b)` inside counts as one.
        sets: Vec<Vec<Expr>>,
        /// Where it stands.
        span: Span,
    },
    /// `CUBE (a, b)`.
    Cube {
        /// The columns; `(a, b)` inside counts as one.
        sets: Vec<Vec<Expr>>,
        /// Where it stands.
        span: Span,
    },
}

/// `EMIT CHANGES`, `EMIT FINAL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emit {
    /// Which.
    pub mode: EmitMode,
    /// Where it stands.
    pub span: Span,
}

/// When results appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmitMode {
    /// Early results as a changelog.
    Changes,
    /// One row per key and window, when it is final.
    Final,
}
