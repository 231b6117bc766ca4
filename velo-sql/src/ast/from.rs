//! What a query reads: relations, joins, MATCH_RECOGNIZE.

use crate::ast::expr::{CallArg, Expr, OrderByItem};
use crate::ast::ident::{Ident, ObjectName};
use crate::ast::options::Properties;
use crate::ast::select::Query;
use crate::ast::window::WindowTableFunction;
use crate::span::Span;

/// One item of FROM: a relation and what is joined to it, from left to right.
#[derive(Clone, Debug, PartialEq)]
pub struct TableWithJoins {
    /// The first relation.
    pub relation: Relation,
    /// The joins, each with everything before it as its left side.
    pub joins: Vec<Join>,
}

impl TableWithJoins {
    /// From the first relation to the last join.
    pub fn span(&self) -> Span {
        self.joins.last().map_or(self.relation.span, |join| self.relation.span.to(join.span))
    }
}

/// One relation with its alias.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    /// What it is.
    pub kind: RelationKind,
    /// `[AS] alias [(columns)]`.
    pub alias: Option<TableAlias>,
    /// Where it stands, alias included.
    pub span: Span,
}

/// `[AS] name [(columns)]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableAlias {
    /// The name.
    pub name: Ident,
    /// Names for the columns; empty where none are written.
    pub columns: Vec<Ident>,
}

/// What can be read.
#[derive(Clone, Debug, PartialEq)]
pub enum RelationKind {
    /// `name [WITH (…)] [FOR SYSTEM_TIME AS OF t]`.
    Named {
        /// The name.
        name: ObjectName,
        /// `WITH (…)` directly after the name: the relation is bound in place.
        properties: Properties,
        /// `FOR SYSTEM_TIME AS OF`.
        as_of: Option<Box<Expr>>,
    },
    /// `[LATERAL] (query)`.
    Derived {
        /// LATERAL.
        lateral: bool,
        /// The query.
        query: Box<Query>,
    },
    /// `TUMBLE(TABLE t, DESCRIPTOR(ts), …)`, `TABLE(TUMBLE(…))`.
    WindowFunction(Box<WindowTableFunction>),
    /// `[LATERAL] f(…)`, `[LATERAL] TABLE(f(…))`, `generate_series(1, 10)`.
    Function {
        /// LATERAL.
        lateral: bool,
        /// Its name.
        name: ObjectName,
        /// Its arguments.
        args: Vec<CallArg>,
        /// `WITH ORDINALITY`.
        ordinality: bool,
    },
    /// `[LATERAL] UNNEST(a, …)`.
    Unnest {
        /// LATERAL.
        lateral: bool,
        /// The arrays or maps.
        args: Vec<Expr>,
        /// `WITH ORDINALITY`.
        ordinality: bool,
    },
    /// `(a JOIN b …)`.
    Nested(Box<TableWithJoins>),
    /// `relation MATCH_RECOGNIZE (…)`.
    MatchRecognize(Box<MatchRecognize>),
}

/// One join.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// Which kind.
    pub kind: JoinKind,
    /// The right side.
    pub relation: Relation,
    /// On what.
    pub constraint: JoinConstraint,
    /// `WITHIN …`.
    pub within: Option<JoinWithin>,
    /// `MATCH_CONDITION (a.t >= b.t)` of an ASOF join.
    pub match_condition: Option<Box<Expr>>,
    /// From the first word of the join to its end.
    pub span: Span,
}

/// Kinds of joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// `[INNER] JOIN`.
    Inner,
    /// `LEFT [OUTER] JOIN`.
    Left,
    /// `RIGHT [OUTER] JOIN`.
    Right,
    /// `FULL [OUTER] JOIN`.
    Full,
    /// `CROSS JOIN`.
    Cross,
    /// `[LEFT] SEMI JOIN`.
    LeftSemi,
    /// `[LEFT] ANTI JOIN`.
    LeftAnti,
    /// `RIGHT SEMI JOIN`.
    RightSemi,
    /// `RIGHT ANTI JOIN`.
    RightAnti,
    /// `ASOF [INNER] JOIN`.
    AsOf,
    /// `ASOF LEFT JOIN`, `LEFT ASOF JOIN`.
    AsOfLeft,
}

/// What a join goes by.
#[derive(Clone, Debug, PartialEq)]
pub enum JoinConstraint {
    /// Nothing is written.
    None,
    /// `ON condition`.
    On(Expr),
    /// `USING (a, b)`.
    Using(Vec<Ident>),
    /// `NATURAL`.
    Natural,
}

/// `WITHIN 5m`, `WITHIN (1m, 5m)`, `… GRACE PERIOD 1m`.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinWithin {
    /// How far the right row may lie before the left one (and after it, where `after` is not given).
    pub before: Expr,
    /// How far the right row may lie after the left one.
    pub after: Option<Expr>,
    /// `GRACE PERIOD`.
    pub grace: Option<Expr>,
    /// The whole clause.
    pub span: Span,
}

/// `relation MATCH_RECOGNIZE (…)`.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchRecognize {
    /// The rows that are searched.
    pub input: Relation,
    /// `PARTITION BY`.
    pub partition_by: Vec<Expr>,
    /// `ORDER BY`.
    pub order_by: Vec<OrderByItem>,
    /// `MEASURES`.
    pub measures: Vec<Measure>,
    /// `ONE ROW PER MATCH`, `ALL ROWS PER MATCH`.
    pub rows_per_match: Option<RowsPerMatch>,
    /// `AFTER MATCH SKIP …`.
    pub after_match: Option<AfterMatch>,
    /// `PATTERN (…)`.
    pub pattern: Pattern,
    /// `WITHIN`.
    pub within: Option<Expr>,
    /// `SUBSET u = (a, b)`.
    pub subsets: Vec<Subset>,
    /// `DEFINE a AS condition`.
    pub defines: Vec<Define>,
    /// From MATCH_RECOGNIZE to the closing parenthesis.
    pub span: Span,
}

/// `[RUNNING|FINAL] expr AS name`.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// RUNNING or FINAL, where one is written.
    pub semantics: Option<MeasureSemantics>,
    /// The expression; `A.price`, `FIRST(A.ts)`, …
    pub expr: Expr,
    /// Its name.
    pub alias: Ident,
}

/// Which rows a measure sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasureSemantics {
    /// RUNNING.
    Running,
    /// FINAL.
    Final,
}

/// `ONE ROW PER MATCH`, `ALL ROWS PER MATCH`, and what becomes of matches without rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowsPerMatch {
    /// ALL, not ONE.
    pub all: bool,
    /// `SHOW EMPTY MATCHES`, `OMIT EMPTY MATCHES`.
    pub empty: Option<EmptyMatches>,
    /// The whole clause.
    pub span: Span,
}

/// What becomes of a match without rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyMatches {
    /// SHOW.
    Show,
    /// OMIT.
    Omit,
}

/// Where the search goes on after a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterMatch {
    /// `SKIP PAST LAST ROW`.
    PastLastRow,
    /// `SKIP TO NEXT ROW`.
    ToNextRow,
    /// `SKIP TO FIRST a`.
    ToFirst(Ident),
    /// `SKIP TO LAST a`, `SKIP TO a`.
    ToLast(Ident),
}

/// A row pattern with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    /// What it is.
    pub kind: PatternKind,
    /// Where it stands.
    pub span: Span,
}

/// Forms of row patterns.
#[derive(Clone, Debug, PartialEq)]
pub enum PatternKind {
    /// A pattern variable.
    Variable(Ident),
    /// One after the other; at least two.
    Sequence(Vec<Pattern>),
    /// `a | b`; at least two.
    Alternatives(Vec<Pattern>),
    /// `(…)`.
    Group(Box<Pattern>),
    /// `p*`, `p+`, `p?`, `p{2,5}`, reluctant with a `?` after it.
    Repeat {
        /// What is repeated.
        pattern: Box<Pattern>,
        /// At least.
        min: u32,
        /// At most.
        max: Option<u32>,
        /// Without the `?` that asks for as few as possible.
        greedy: bool,
    },
    /// `^`.
    Start,
    /// `$`.
    End,
    /// `{- p -}`: matched and not shown.
    Exclude(Box<Pattern>),
    /// `PERMUTE (a, b)`: in any order.
    Permute(Vec<Pattern>),
}

/// `SUBSET name = (a, b)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    /// Its name.
    pub name: Ident,
    /// Its variables.
    pub members: Vec<Ident>,
}

/// `name AS condition`.
#[derive(Clone, Debug, PartialEq)]
pub struct Define {
    /// The pattern variable.
    pub name: Ident,
    /// When a row can be it.
    pub condition: Expr,
}
