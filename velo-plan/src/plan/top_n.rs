//! Top-N of a plan: the first rows of each partition in an order.

use std::fmt;

use arrow_schema::FieldRef;
use datafusion_expr::Expr;
use velo_eventtime::LateStrategy;

use super::aggregate::{Emission, SortKey};
use super::expr_text::expr_text;
use super::over::sort_text;

/// The rows of each partition whose ROW_NUMBER is at most the limit.
#[derive(Debug, Clone, PartialEq)]
pub struct TopN {
    /// Rows with equal values are a partition; none: all rows are one.
    pub partition_by: Vec<Expr>,
    /// Which rows come first; equal ones by event time and place, where rows can be taken back by their values.
    pub order_by: Vec<SortKey>,
    /// So many rows of each partition; none: all. A plan with a Top-N without a limit is never run.
    pub limit: Option<u64>,
    /// The column with a row's number, from 1, behind the input's columns; none where nothing reads it.
    pub rank: Option<FieldRef>,
    /// All rows of a partition are of one time window, so that it can go when the watermark has passed that.
    pub per_window: bool,
    /// When rows come: early and changing, or once, when the window closes or the input ends.
    pub emission: Emission,
    /// What happens to rows behind the watermark, where rows go by event time as they come from sources.
    pub late: Option<LateStrategy>,
}

impl TopN {
    /// The columns by which there is one row at a time; none where there can be several, or they are no columns.
    pub fn row_key(&self) -> Option<Vec<&str>> {
        fn name(expr: &Expr) -> Option<&str> {
            match expr {
                Expr::Column(column) => Some(column.name()),
                _ => None,
            }
        }
        let names = self.partition_by.iter().map(name).collect::<Option<Vec<_>>>()?;
        (self.limit == Some(1) && !names.is_empty()).then_some(names)
    }

    /// All expressions over the input that it needs.
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.partition_by.iter().chain(self.order_by.iter().map(|key| &key.expr))
    }
}

impl fmt::Display for TopN {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Some(limit) => write!(f, "Top {limit}")?,
            None => f.write_str("Rank")?,
        }
        if !self.partition_by.is_empty() {
            write!(f, " of each {}", self.partition_by.iter().map(expr_text).collect::<Vec<_>>().join(", "))?;
        }
        write!(f, " by {}", sort_text(&self.order_by))?;
        if !self.emission.early {
            f.write_str(if self.per_window { " when the window closes" } else { " at the end" })?;
        }
        if let Some(rank) = &self.rank {
            write!(f, "; numbered in {}", rank.name())?;
        }
        if self.emission.early {
            f.write_str(if self.emission.per_record { "; changes per record" } else { "; changes per batch" })?;
            if let Some(interval) = self.emission.interval {
                write!(f, " and at most every {interval}")?;
            }
        }
        match self.late {
            Some(LateStrategy::DeadLetter) => f.write_str("; late rows go to the dead letters"),
            Some(_) => f.write_str("; late rows are dropped"),
            None => Ok(()),
        }
    }
}
