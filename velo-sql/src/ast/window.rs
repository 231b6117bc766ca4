//! Windows: time windows of a query, and row windows of a function.

use crate::ast::expr::{Expr, OrderByItem};
use crate::ast::ident::{Ident, ObjectName};
use crate::ast::select::Query;
use crate::span::Span;

/// The kinds of time windows, whatever their spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeWindowKind {
    /// `TUMBLING`, `TUMBLE`.
    Tumbling,
    /// `SLIDING`, `HOPPING`, `HOP`, `SLIDE`.
    Sliding,
    /// `SESSION`.
    Session,
    /// `CUMULATE`, `CUMULATING`.
    Cumulate,
}

/// `WINDOW TUMBLING(…)` of a SELECT.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeWindow {
    /// Which kind.
    pub kind: TimeWindowKind,
    /// What stands in the parentheses, in order. ksqlDB's words become names: `size`, `advance`, `gap`, `grace`,
    /// `retention`.
    pub args: Vec<WindowArg>,
    /// From `WINDOW` to the closing parenthesis.
    pub span: Span,
}

/// One argument of a time window: a duration, an interval, a column, a zone.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowArg {
    /// The name of a named argument (`SIZE => …`, `size := …`, `SIZE 1 HOUR`); as it is written, for the words of ksqlDB in lower case.
    pub name: Option<Ident>,
    /// The value.
    pub value: Expr,
    /// Name and value.
    pub span: Span,
}

/// A windowing table function: `TUMBLE(TABLE t, DESCRIPTOR(ts), …)` in FROM, with or without `TABLE(…)` around it.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowTableFunction {
    /// Which kind.
    pub kind: TimeWindowKind,
    /// The relation that is cut into windows.
    pub input: WindowInput,
    /// `PARTITION BY` after the table (sessions).
    pub partition_by: Vec<Expr>,
    /// `ORDER BY` after the table.
    pub order_by: Vec<OrderByItem>,
    /// The columns of `DESCRIPTOR(…)`; empty where there is none. Normally one.
    pub descriptor: Vec<Ident>,
    /// What follows the descriptor: sizes and offset by position or by name.
    pub args: Vec<WindowArg>,
    /// From the name to the closing parenthesis.
    pub span: Span,
}

/// The first argument of a windowing table function.
#[derive(Clone, Debug, PartialEq)]
pub enum WindowInput {
    /// `TABLE t`, `DATA => TABLE t`, `t`.
    Table(ObjectName),
    /// `(SELECT …)`, `TABLE (SELECT …)`.
    Query(Box<Query>),
}

/// What follows OVER.
#[derive(Clone, Debug, PartialEq)]
pub enum Over {
    /// `OVER w`.
    Named(Ident),
    /// `OVER (…)`.
    Spec(Box<WindowSpec>),
}

/// A window of rows: `OVER (…)` and `WINDOW w AS (…)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WindowSpec {
    /// The named window it builds on: `(w ORDER BY …)`.
    pub base: Option<Ident>,
    /// The buffered spelling: `ROWS WINDOW BUFFER n ROWS`.
    pub buffer: Option<RowBuffer>,
    /// `PARTITION BY`.
    pub partition_by: Vec<Expr>,
    /// `ORDER BY`.
    pub order_by: Vec<OrderByItem>,
    /// `ROWS|RANGE|GROUPS …`.
    pub frame: Option<Frame>,
    /// The parentheses and what is in them.
    pub span: Span,
}

/// `ROWS WINDOW BUFFER n ROWS … [EMIT …] [EXPIRE AFTER …]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RowBuffer {
    /// How many rows are kept, as digits.
    pub size: String,
    /// When it emits.
    pub emit: Option<BufferEmit>,
    /// When it forgets.
    pub expire: Option<BufferExpire>,
    /// From `ROWS WINDOW` to the second `ROWS`.
    pub span: Span,
}

/// When a row buffer emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferEmit {
    /// `EMIT EVERY RECORD`.
    EveryRecord,
    /// `EMIT ON BUFFER FULL`.
    OnBufferFull,
}

/// When a row buffer forgets its rows.
#[derive(Clone, Debug, PartialEq)]
pub enum BufferExpire {
    /// `EXPIRE AFTER d INACTIVITY`.
    AfterInactivity(Expr),
    /// `EXPIRE AFTER NEVER`.
    Never,
}

/// The frame of a window of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Rows, a range of values, or groups of peers.
    pub units: FrameUnits,
    /// Where it begins.
    pub start: FrameBound,
    /// Where it ends; `None` where only the start is written, which means the current row.
    pub end: Option<FrameBound>,
    /// The whole frame.
    pub span: Span,
}

/// What a frame counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUnits {
    /// `ROWS`.
    Rows,
    /// `RANGE`.
    Range,
    /// `GROUPS`.
    Groups,
}

/// One end of a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameBound {
    /// Which.
    pub kind: FrameBoundKind,
    /// Where it stands.
    pub span: Span,
}

/// The ends a frame can have.
#[derive(Clone, Debug, PartialEq)]
pub enum FrameBoundKind {
    /// `UNBOUNDED PRECEDING`.
    UnboundedPreceding,
    /// `n PRECEDING`: a number or an interval.
    Preceding(Box<Expr>),
    /// `CURRENT ROW`.
    CurrentRow,
    /// `n FOLLOWING`.
    Following(Box<Expr>),
    /// `UNBOUNDED FOLLOWING`.
    UnboundedFollowing,
}

/// `WINDOW name AS (…)`.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedWindow {
    /// Its name.
    pub name: Ident,
    /// What it means.
    pub spec: WindowSpec,
}
