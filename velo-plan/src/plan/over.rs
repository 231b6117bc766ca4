//! Row windows of a plan: what OVER computes for each row of its input.

use std::fmt;

use arrow_schema::{DataType, FieldRef};
use datafusion_expr::Expr;
use velo_core::duration::Span;
use velo_eventtime::LateStrategy;

use super::aggregate::{AggregateCall, SortKey};
use super::expr_text::expr_text;

/// One node of row windows. Its calls' results stand behind the columns of its input.
#[derive(Debug, Clone, PartialEq)]
pub struct Over {
    /// In which order rows come to its windows.
    pub order: OverOrder,
    /// The windows, each once.
    pub windows: Vec<RowWindow>,
    /// The calls.
    pub calls: Vec<OverCall>,
    /// What happens to rows that are behind the watermark, where rows go by event time.
    pub late: LateStrategy,
}

/// In which order rows come to the windows of a node, and when a partition is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverOrder {
    /// By event time: rows are held until the watermark has passed them.
    EventTime,
    /// As they arrive.
    Arrival,
    /// All rows of a partition have the same event time, as the results of a time window have: they are ordered when the
    /// watermark has passed it.
    Window,
    /// All rows are ordered at the end of the input.
    End,
}

/// Which rows a call looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct RowWindow {
    /// Rows with equal values are a partition.
    pub partition_by: Vec<Expr>,
    /// What rows are ordered by, where it is not the order of the node alone: behind the event time under
    /// [`OverOrder::EventTime`].
    pub order_by: Vec<SortKey>,
    /// The part of the partition around the current row.
    pub frame: RowFrame,
    /// The buffered spelling.
    pub buffer: Option<RowBuffer>,
}

/// A frame: from and to a distance from the current row; before it distances are negative, and without one the frame goes to
/// the partition's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowFrame {
    /// What distances count.
    pub units: FrameUnits,
    /// Where it begins.
    pub start: Option<i128>,
    /// Where it ends, inclusive.
    pub end: Option<i128>,
}

/// What the distances of a frame count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameUnits {
    /// Rows.
    Rows,
    /// Rows that are equal in ORDER BY, as one. `RANGE` without a distance is this, from or to the distance 0.
    Peers,
    /// Microseconds of event time.
    Time,
    /// The value that ORDER BY gives, in units of its last digit (of times in microseconds, of dates in days).
    Value,
}

/// `ROWS WINDOW BUFFER n ROWS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowBuffer {
    /// How many rows of each partition it holds, the current one included.
    pub rows: u64,
    /// Rows come out only when it is full.
    pub when_full: bool,
    /// It forgets its rows when none has come for so long.
    pub expire: Option<Span>,
}

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub struct OverCall {
    /// Its window's place in [`Over::windows`].
    pub window: usize,
    /// What it computes.
    pub function: OverFunction,
    /// The arguments, over the input's columns.
    pub arguments: Vec<Expr>,
    /// The arguments' types.
    pub argument_types: Vec<DataType>,
    /// Whether rows whose first argument is null are passed over.
    pub ignore_nulls: bool,
    /// The result: name, type and nullability.
    pub output: FieldRef,
    /// The call as written, for EXPLAIN and errors.
    pub text: String,
}

/// What a call computes.
#[derive(Debug, Clone, PartialEq)]
pub enum OverFunction {
    /// ROW_NUMBER.
    RowNumber,
    /// RANK.
    Rank,
    /// DENSE_RANK.
    DenseRank,
    /// PERCENT_RANK.
    PercentRank,
    /// CUME_DIST.
    CumeDist,
    /// NTILE of so many parts.
    Ntile(u64),
    /// LAG and LEAD: the value of the row so many behind the current one (before it where negative); a second argument is
    /// the value where there is no such row.
    Shift(i64),
    /// FIRST_VALUE and NTH_VALUE: the value of the frame's n-th row, from 1.
    Nth(u64),
    /// LAST_VALUE.
    Last,
    /// An aggregate over the frame; its arguments are the call's.
    Aggregate(Box<AggregateCall>),
}

impl OverCall {
    /// All expressions over the input that it needs.
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let filter = match &self.function {
            OverFunction::Aggregate(call) => call.filter.as_ref(),
            _ => None,
        };
        self.arguments.iter().chain(filter)
    }
}

impl RowWindow {
    /// All expressions over the input that it needs.
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.partition_by.iter().chain(self.order_by.iter().map(|key| &key.expr))
    }
}

impl Over {
    /// All expressions over the input that it needs.
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.windows.iter().flat_map(RowWindow::expressions).chain(self.calls.iter().flat_map(OverCall::expressions))
    }
}

impl Over {
    /// Drops the windows that no call has and that do not decide which rows come out.
    pub(crate) fn drop_unused_windows(&mut self) {
        let decides = |window: &RowWindow| window.buffer.is_some_and(|buffer| buffer.when_full);
        let mut number = 0;
        let mut numbers = vec![None; self.windows.len()];
        for (at, window) in self.windows.iter().enumerate() {
            if decides(window) || self.calls.iter().any(|call| call.window == at) {
                numbers[at] = Some(number);
                number += 1;
            }
        }
        let mut kept = numbers.iter().map(Option::is_some);
        self.windows.retain(|_| kept.next().unwrap_or(true));
        for call in &mut self.calls {
            call.window = numbers.get(call.window).copied().flatten().unwrap_or(call.window);
        }
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.order {
            OverOrder::EventTime => "Over by event time",
            OverOrder::Arrival => "Over by arrival",
            OverOrder::Window => "Over when the window closes",
            OverOrder::End => "Over at the end",
        })?;
        for (at, window) in self.windows.iter().enumerate() {
            f.write_str(if at == 0 { ": " } else { "; " })?;
            write!(f, "{window}")?;
            let calls = self.calls.iter().filter(|call| call.window == at);
            for (number, call) in calls.enumerate() {
                f.write_str(if number == 0 { " " } else { ", " })?;
                write!(f, "{} = {}", call.output.name(), call.text)?;
            }
        }
        if self.order == OverOrder::EventTime {
            f.write_str(match self.late {
                LateStrategy::DeadLetter => "; late rows go to the dead letters",
                _ => "; late rows are dropped",
            })?;
        }
        Ok(())
    }
}

impl fmt::Display for RowWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.partition_by.is_empty() {
            parts.push(format!("by {}", self.partition_by.iter().map(expr_text).collect::<Vec<_>>().join(", ")));
        }
        if !self.order_by.is_empty() {
            parts.push(format!("ordered by {}", sort_text(&self.order_by)));
        }
        if let Some(buffer) = &self.buffer {
            parts.push(buffer.to_string());
        }
        parts.push(self.frame.to_string());
        write!(f, "[{}]", parts.join(", "))
    }
}

impl fmt::Display for RowBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the last {} rows", self.rows)?;
        if self.when_full {
            f.write_str(" when there are as many")?;
        }
        match self.expire {
            Some(expire) => write!(f, " for {expire}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for RowFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let distance = |end: i128| match self.units {
            FrameUnits::Time => Span(i64::try_from(end.unsigned_abs()).unwrap_or(i64::MAX)).to_string(),
            FrameUnits::Rows | FrameUnits::Peers | FrameUnits::Value => end.unsigned_abs().to_string(),
        };
        let side = |end: Option<i128>, none: &str| match end {
            None => format!("UNBOUNDED {none}"),
            Some(0) => "CURRENT ROW".to_owned(),
            Some(end) => format!("{} {}", distance(end), if end < 0 { "PRECEDING" } else { "FOLLOWING" }),
        };
        let units = match self.units {
            FrameUnits::Rows => "ROWS",
            FrameUnits::Peers if [self.start, self.end].iter().flatten().any(|end| *end != 0) => "GROUPS",
            FrameUnits::Peers | FrameUnits::Time | FrameUnits::Value => "RANGE",
        };
        write!(f, "{units} {} to {}", side(self.start, "PRECEDING"), side(self.end, "FOLLOWING"))
    }
}

/// Sort keys as SQL writes them.
pub(in crate::plan) fn sort_text(keys: &[SortKey]) -> String {
    let keys = keys.iter().map(|key| {
        let nulls = match (key.descending, key.nulls_first) {
            (true, false) => " NULLS LAST",
            (false, true) => " NULLS FIRST",
            // Nulls count as larger than any value.
            _ => "",
        };
        format!("{}{}{nulls}", expr_text(&key.expr), if key.descending { " DESC" } else { "" })
    });
    keys.collect::<Vec<_>>().join(", ")
}
