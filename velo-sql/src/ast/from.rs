//! What a query reads from.

use super::{Argument, Expr, Ident, ObjectName, OrderItem, Property, Query};
use crate::span::Span;

/// A relation of a FROM clause.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRef {
    /// What it is.
    pub kind: TableRefKind,
    /// AS alias
    pub alias: Option<TableAlias>,
    /// Where it stands.
    pub span: Span,
}

/// `AS name (columns)`
#[derive(Debug, Clone, PartialEq)]
pub struct TableAlias {
    /// The name.
    pub name: Ident,
    /// Names for the columns.
    pub columns: Vec<Ident>,
}

/// What a relation is.
#[derive(Debug, Clone, PartialEq)]
pub enum TableRefKind {
    /// A stream, table or view by name.
    Named {
        /// The name.
        name: ObjectName,
        /// WITH (…): bound in place.
        properties: Vec<Property>,
        /// FOR SYSTEM_TIME AS OF
        as_of: Option<Expr>,
    },
    /// A query in parentheses.
    Query {
        /// LATERAL
        lateral: bool,
        /// The query.
        query: Box<Query>,
    },
    /// A table function: TUMBLE(…), UNNEST(…), generate_series(…).
    Function {
        /// LATERAL
        lateral: bool,
        /// The function.
        name: ObjectName,
        /// Its arguments.
        arguments: Vec<Argument>,
        /// WITH ORDINALITY
        ordinality: bool,
    },
    /// Two relations joined.
    Join(Box<Join>),
    /// MATCH_RECOGNIZE over a relation.
    Match(Box<MatchRecognize>),
}

/// A join.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// The left side.
    pub left: TableRef,
    /// The right side.
    pub right: TableRef,
    /// Which rows stay.
    pub kind: JoinKind,
    /// ASOF
    pub asof: bool,
    /// NATURAL
    pub natural: bool,
    /// WITHIN duration
    pub within: Option<Expr>,
    /// ON or USING.
    pub constraint: JoinConstraint,
    /// Where the join's words stand.
    pub span: Span,
}

/// Which rows of a join stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of SQL")]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    Cross,
    LeftSemi,
    LeftAnti,
}

impl JoinKind {
    /// The words.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Inner => "JOIN",
            Self::Left => "LEFT JOIN",
            Self::Right => "RIGHT JOIN",
            Self::Full => "FULL JOIN",
            Self::Cross => "CROSS JOIN",
            Self::LeftSemi => "SEMI JOIN",
            Self::LeftAnti => "ANTI JOIN",
        }
    }
}

/// How rows of a join find each other.
#[derive(Debug, Clone, PartialEq)]
pub enum JoinConstraint {
    /// ON condition
    On(Expr),
    /// USING (columns)
    Using(Vec<Ident>),
    /// None: CROSS or NATURAL.
    None,
}

/// A table given to a table function.
#[derive(Debug, Clone, PartialEq)]
pub struct TableArgument {
    /// The relation.
    pub table: Box<TableRef>,
    /// PARTITION BY
    pub partition_by: Vec<Expr>,
    /// ORDER BY
    pub order_by: Vec<OrderItem>,
}

/// MATCH_RECOGNIZE
#[derive(Debug, Clone, PartialEq)]
pub struct MatchRecognize {
    /// The relation.
    pub input: TableRef,
    /// PARTITION BY
    pub partition_by: Vec<Expr>,
    /// ORDER BY
    pub order_by: Vec<OrderItem>,
    /// MEASURES
    pub measures: Vec<(Expr, Ident)>,
    /// ALL ROWS PER MATCH instead of ONE ROW PER MATCH.
    pub all_rows: bool,
    /// AFTER MATCH SKIP
    pub after: AfterMatch,
    /// PATTERN
    pub pattern: Pattern,
    /// WITHIN
    pub within: Option<Expr>,
    /// DEFINE
    pub define: Vec<(Ident, Expr)>,
    /// Where it stands.
    pub span: Span,
}

/// Where matching goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum AfterMatch {
    /// PAST LAST ROW
    PastLastRow,
    /// TO NEXT ROW
    ToNextRow,
    /// TO FIRST variable
    ToFirst(Ident),
    /// TO LAST variable
    ToLast(Ident),
}

/// A row pattern.
#[derive(Debug, Clone, PartialEq)]
pub enum Pattern {
    /// A variable.
    Variable(Ident),
    /// One after the other.
    Sequence(Vec<Pattern>),
    /// One of them.
    Alternatives(Vec<Pattern>),
    /// Repeated.
    Repeat {
        /// What.
        inner: Box<Pattern>,
        /// At least.
        min: u32,
        /// At most.
        max: Option<u32>,
        /// As few as possible.
        reluctant: bool,
    },
}

