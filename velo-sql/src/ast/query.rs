//! Queries: SELECT and what combines them.

use super::{Expr, Ident, ObjectName, OrderItem, Property, RowWindow, TableRef, TimeWindow};
use crate::span::Span;

/// A whole query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// WITH name AS (…)
    pub ctes: Vec<Cte>,
    /// What is selected.
    pub body: SetExpr,
    /// ORDER BY
    pub order_by: Vec<OrderItem>,
    /// LIMIT
    pub limit: Option<Expr>,
    /// OFFSET
    pub offset: Option<Expr>,
    /// EMIT
    pub emit: Option<(Emit, Span)>,
    /// WITH (…) behind the query.
    pub properties: Vec<Property>,
    /// Where it stands.
    pub span: Span,
}

/// When results come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// EMIT CHANGES
    Changes,
    /// EMIT FINAL
    Final,
}

/// A named query before the main one.
#[derive(Debug, Clone, PartialEq)]
pub struct Cte {
    /// Its name.
    pub name: Ident,
    /// Names for its columns.
    pub columns: Vec<Ident>,
    /// The query.
    pub query: Query,
}

/// A select, or several combined.
#[derive(Debug, Clone, PartialEq)]
pub enum SetExpr {
    /// SELECT
    Select(Box<Select>),
    /// VALUES
    Values(Vec<Vec<Expr>>),
    /// A query in parentheses.
    Nested(Box<Query>),
    /// `first op second op third …`, from left to right.
    Combined {
        /// The first operand.
        first: Box<SetExpr>,
        /// The others with what combines them.
        rest: Vec<SetOperation>,
    },
}

/// A set operation and its right operand.
#[derive(Debug, Clone, PartialEq)]
pub struct SetOperation {
    /// The operation.
    pub op: SetOp,
    /// ALL
    pub all: bool,
    /// The right operand.
    pub operand: SetExpr,
    /// Where the operation stands.
    pub span: Span,
}

/// How queries are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOp {
    /// UNION
    Union,
    /// EXCEPT
    Except,
    /// INTERSECT
    Intersect,
}

impl SetOp {
    /// The word.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Union => "UNION",
            Self::Except => "EXCEPT",
            Self::Intersect => "INTERSECT",
        }
    }
}

/// SELECT
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// DISTINCT
    pub distinct: Option<Distinct>,
    /// What is selected.
    pub items: Vec<SelectItem>,
    /// INTO
    pub into: Option<SelectInto>,
    /// FROM
    pub from: Vec<TableRef>,
    /// WHERE
    pub filter: Option<Expr>,
    /// GROUP BY
    pub group_by: Vec<GroupItem>,
    /// WINDOW TUMBLING(…)
    pub time_window: Option<TimeWindow>,
    /// WINDOW w AS (…)
    pub row_windows: Vec<(Ident, RowWindow)>,
    /// HAVING
    pub having: Option<Expr>,
    /// QUALIFY
    pub qualify: Option<Expr>,
    /// Where it stands.
    pub span: Span,
}

/// DISTINCT
#[derive(Debug, Clone, PartialEq)]
pub enum Distinct {
    /// DISTINCT
    Rows(Span),
    /// DISTINCT ON (…)
    On(Vec<Expr>, Span),
}

/// SELECT … INTO
#[derive(Debug, Clone, PartialEq)]
pub struct SelectInto {
    /// The sink or stream.
    pub name: ObjectName,
}

/// One item of a select list.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectItem {
    /// What it is.
    pub kind: SelectItemKind,
    /// Where it stands.
    pub span: Span,
}

/// What a select item is.
#[derive(Debug, Clone, PartialEq)]
pub enum SelectItemKind {
    /// An expression.
    Expr {
        /// The expression.
        expr: Expr,
        /// AS alias
        alias: Option<Ident>,
        /// PRIMARY KEY
        primary_key: bool,
    },
    /// `*`, `t.*`
    Wildcard {
        /// The relation.
        qualifier: Option<ObjectName>,
        /// EXCEPT (…)
        except: Vec<Ident>,
    },
}

/// One item of a GROUP BY.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupItem {
    /// An expression, an ordinal, an alias.
    Expr(Expr),
    /// ROLLUP (…)
    Rollup(Vec<Expr>, Span),
    /// CUBE (…)
    Cube(Vec<Expr>, Span),
    /// GROUPING SETS (…)
    Sets(Vec<Vec<Expr>>, Span),
}
