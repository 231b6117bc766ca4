//! Joins of a plan: with a table as it is or as it was, with another stream within a time, of changing results.
//!
//! The columns of the two sides have different names (the binder renames those of the right one), so that an expression over
//! both sides is one over their columns side by side, the left ones first. What comes out is some of them, named as they are.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{FieldRef, Schema, SchemaRef};
use datafusion_expr::Expr;
use velo_core::duration::Span;
use velo_core::lookup::IndexId;
use velo_core::schema;
use velo_eventtime::LateStrategy;

use super::expr_text::expr_text;
use super::table::{Missing, TableColumn, TableId};

/// Which rows come out of a join.
#[derive(Debug, Clone, PartialEq)]
pub enum JoinKind {
    /// Pairs.
    Inner,
    /// Pairs, and left rows without a partner.
    Left,
    /// Pairs, and right rows without a partner.
    Right,
    /// Pairs, and rows of both sides without a partner.
    Full,
    /// Left rows with a partner, each once: EXISTS, IN.
    Semi,
    /// Left rows without a partner: NOT EXISTS.
    Anti,
    /// Every left row once, with whether it has a partner.
    Mark(Mark),
    /// Every left row once, with its partner or NULLs; two partners are an error: a scalar sub-query.
    Single,
}

/// The truth of a sub-query's test, as a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// The column, behind the others. Without a membership never NULL.
    pub column: FieldRef,
    /// The pair of keys that is the equality of IN, NOT IN or = ANY, where it is one of these: without a match the mark is
    /// NULL where this left value is NULL and there is a row under the other keys, or such a row has NULL there (SQL's rule:
    /// the OR of the equalities); else FALSE.
    pub membership: Option<usize>,
}

/// An equality of a join: expressions over the left and the right input, of one type.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinKey {
    /// Over the left input.
    pub left: Expr,
    /// Over the right input.
    pub right: Expr,
}

/// A side of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The first input.
    Left,
    /// The second.
    Right,
}

/// A column that comes out of a join: the column of that name of one side.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinColumn {
    /// Whose.
    pub side: Side,
    /// Its name, its type, and whether it can be NULL behind the join.
    pub field: FieldRef,
}

/// What all joins of two inputs have. The event time is not among the columns: it is hidden and last, where there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// Which rows come out.
    pub kind: JoinKind,
    /// The equalities; rows are exchanged by them. A NULL matches nothing.
    pub keys: Vec<JoinKey>,
    /// What else a pair must meet, over the columns of both sides.
    pub condition: Option<Expr>,
    /// What comes out, in this order (all left ones before the right ones); a mark behind them.
    pub columns: Vec<JoinColumn>,
}

/// A row of the input with the row of a table that has its key, as the table is when the row's batch arrives, or as it was at
/// the row's event time. The event time is that of the input's row.
#[derive(Debug, Clone, PartialEq)]
pub struct LookupJoin {
    /// The table.
    pub table: TableId,
    /// Inner, Left, Semi, Anti, Mark or Single.
    pub kind: JoinKind,
    /// Over the input: what is looked up, in the order of the index's columns and of their types; none: every row of the table
    /// is a candidate.
    pub keys: Vec<Expr>,
    /// The index of the table over these columns.
    pub index: Option<IndexId>,
    /// For a mark with a membership: the index over the other keys, where there are some; else all rows count.
    pub others: Option<IndexId>,
    /// What else a pair must meet, over the input's columns and those of the table.
    pub condition: Option<Expr>,
    /// The table's columns that the condition or the output uses, under the names that they have there.
    pub table_columns: Vec<TableColumn>,
    /// What comes out; a mark behind them.
    pub columns: Vec<JoinColumn>,
    /// Whether the table is asked for its rows as of the event time of the input's, which then waits for the table's watermark.
    pub as_of: bool,
    /// What happens where the table has no row under the key; none: nothing beyond what the kind says.
    pub missing: Option<Missing>,
    /// What happens to rows behind the watermark; only AS OF goes by it.
    pub late: LateStrategy,
}

/// Pairs of rows whose event times are close. The event time of a pair is the later of both, of a row without a partner its own.
#[derive(Debug, Clone, PartialEq)]
pub struct IntervalJoin {
    /// Keys, condition, columns. Not Mark or Single.
    pub join: Join,
    /// The right row's event time less the left one's is at least this, in microseconds.
    pub lower: i64,
    /// It is at most this.
    pub upper: i64,
    /// By how much the watermark is held back, in microseconds: what comes out is never behind it by either side's time.
    pub held_back: i64,
    /// What happens to rows behind the watermark.
    pub late: LateStrategy,
}

/// A row with the row of the other input that is nearest to it by event time. The event time is that of the left row.
#[derive(Debug, Clone, PartialEq)]
pub struct AsOfJoin {
    /// Inner or Left. A condition is asked of the nearest row, and does not look for another one.
    pub join: Join,
    /// Where the nearest row lies.
    pub direction: AsOfDirection,
    /// Whether a row of the very same time counts.
    pub inclusive: bool,
    /// How far away it may be, in microseconds.
    pub tolerance: Option<i64>,
    /// What happens where there is no such row, if the right side is a table with a strategy of its own.
    pub missing: Option<Missing>,
    /// What happens to rows behind the watermark.
    pub late: LateStrategy,
}

/// Where the nearest row of an ASOF join lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AsOfDirection {
    /// At or before the left row.
    Backward,
    /// At or after it.
    Forward,
    /// Where it is nearer; of two equally near the earlier.
    Nearest,
}

/// Pairs of rows of the same time window, when the window closes. The event time is the window's end less a microsecond.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowJoin {
    /// Keys (without the window's bounds), condition, columns. Not Mark or Single.
    pub join: Join,
    /// The names of the columns with the window's start and end, of the left input.
    pub left_window: [String; 2],
    /// Of the right input.
    pub right_window: [String; 2],
    /// What happens to rows that are late for their window.
    pub late: LateStrategy,
}

/// Pairs of rows of inputs that may change, kept for ever or as long as `state.ttl` says. The event time is the latest that
/// went in, and serves as the time of the record only.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangelogJoin {
    /// Keys, condition, columns.
    pub join: Join,
}

/// The schema of what comes out of a join: its columns, a mark behind them, and hidden and last the event time of rows that are
/// `timed`.
pub fn joined_schema(columns: &[JoinColumn], mark: Option<&FieldRef>, timed: bool) -> SchemaRef {
    let fields: Vec<_> = columns.iter().map(|column| &column.field).chain(mark).cloned().collect();
    let visible = Schema::new(fields);
    if timed { schema::with_event_time(&visible) } else { Arc::new(visible) }
}

impl JoinKind {
    /// Whether right rows without a partner come out.
    pub fn keeps_right(&self) -> bool {
        matches!(self, Self::Right | Self::Full)
    }

    /// Whether every left row comes out.
    pub fn keeps_left(&self) -> bool {
        matches!(self, Self::Left | Self::Full | Self::Mark(_) | Self::Single)
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Inner => "Inner",
            Self::Left => "Left",
            Self::Right => "Right",
            Self::Full => "Full",
            Self::Semi => "Semi",
            Self::Anti => "Anti",
            Self::Mark(_) => "Mark",
            Self::Single => "Scalar",
        }
    }

    /// The column that it adds.
    pub fn mark(&self) -> Option<&FieldRef> {
        match self {
            Self::Mark(mark) => Some(&mark.column),
            _ => None,
        }
    }
}

impl Join {
    /// All expressions over the inputs.
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.keys.iter().flat_map(|key| [&key.left, &key.right]).chain(&self.condition)
    }

    /// See [`Self::expressions`].
    pub fn expressions_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        self.keys.iter_mut().flat_map(|key| [&mut key.left, &mut key.right]).chain(&mut self.condition)
    }

    fn text(&self, f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        write!(f, "{} {what}", self.kind.word())?;
        let keys: Vec<String> =
            self.keys.iter().map(|key| format!("{} = {}", expr_text(&key.left), expr_text(&key.right))).collect();
        if !keys.is_empty() {
            write!(f, " on {}", keys.join(", "))?;
        }
        match &self.condition {
            Some(condition) => write!(f, " where {}", expr_text(condition)),
            None => Ok(()),
        }
    }
}

fn late_text(late: LateStrategy) -> &'static str {
    match late {
        LateStrategy::DeadLetter => "; late rows go to the dead letters",
        _ => "; late rows are dropped",
    }
}

impl WindowJoin {
    /// The names of the columns with the windows' bounds.
    pub fn windows(&self) -> impl Iterator<Item = &str> {
        self.left_window.iter().chain(&self.right_window).map(String::as_str)
    }
}

impl LookupJoin {
    /// In one line, with the table's name and the names of its columns.
    pub fn text(&self, table: &str, key: &[&str]) -> String {
        let mut text = format!("{} join with the table {table}", self.kind.word());
        text.push_str(if self.as_of { " as of the row's time" } else { " as it is (results depend on when it runs)" });
        let keys: Vec<String> =
            self.keys.iter().zip(key).map(|(left, column)| format!("{} = {column}", expr_text(left))).collect();
        if !keys.is_empty() {
            text.push_str(&format!(" on {}", keys.join(", ")));
        }
        if let Some(condition) = &self.condition {
            text.push_str(&format!(" where {}", expr_text(condition)));
        }
        if let Some(missing) = &self.missing {
            text.push_str(&format!("; {missing}"));
        }
        if self.as_of {
            text.push_str(late_text(self.late));
        }
        text
    }
}

impl fmt::Display for IntervalJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.join.text(f, "join")?;
        write!(f, " from {} to {} of the left row's time{}", Span(self.lower), Span(self.upper), late_text(self.late))
    }
}

impl fmt::Display for AsOfJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match (self.direction, self.inclusive) {
            (AsOfDirection::Backward, true) => "join with the newest row at or before its time",
            (AsOfDirection::Backward, false) => "join with the newest row before its time",
            (AsOfDirection::Forward, true) => "join with the first row at or after its time",
            (AsOfDirection::Forward, false) => "join with the first row after its time",
            (AsOfDirection::Nearest, _) => "join with the row nearest to its time",
        };
        self.join.text(f, direction)?;
        if let Some(tolerance) = self.tolerance {
            write!(f, ", {} away at most", Span(tolerance))?;
        }
        if let Some(missing) = &self.missing {
            write!(f, "; {missing}")?;
        }
        f.write_str(late_text(self.late))
    }
}

impl fmt::Display for WindowJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.join.text(f, "join of each window")?;
        f.write_str(late_text(self.late))
    }
}

impl fmt::Display for ChangelogJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.join.text(f, "join of everything")
    }
}
