//! Reference tables of a plan: how each is fed, kept and read.

use std::fmt;

use arrow_schema::{FieldRef, SchemaRef};
use datafusion_common::ScalarValue;
use velo_core::duration::Span;
use velo_core::property_choices;
use velo_core::resilience::{CircuitBreakerProperties, RetryPolicy};

use super::node::{NodeId, Output, SourceNode};

/// The place of a table in [`super::Plan::tables`], which is its order in the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub usize);

/// A reference table.
#[derive(Debug, Clone)]
pub struct TableNode {
    /// Its name in the script; of one that a sub-query made for itself, that of the statement.
    pub name: String,
    /// Where its rows come from.
    pub feed: TableFeed,
    /// Its columns, as readers see them: unique names and, hidden and last, the event time where the rows have one.
    pub schema: SchemaRef,
    /// The places of the key's columns; none: rows are only added, and taken back whole.
    pub key: Vec<usize>,
    /// Whether the key may have NULLs, as the groups of a query have: they are one value there.
    pub null_keys: bool,
    /// The places of the columns of each index, in the order of [`velo_core::lookup::IndexId`]; the key, where there is one, is
    /// the first.
    pub indexes: Vec<Vec<usize>>,
    /// Whether a reader asks for rows as they were at an event time.
    pub keeps_versions: bool,
    /// How it is kept up to date.
    pub upkeep: Upkeep,
    /// Where it was declared, for a cycle of tables.
    pub place: velo_sql::Span,
}

impl TableNode {
    /// Whether it cannot change any more once it is ready; `bounded` says it of a node.
    pub fn is_settled(&self, bounded: impl Fn(NodeId) -> bool) -> bool {
        match &self.feed {
            TableFeed::Connector(feed) => feed.source.binding.bounded() && !self.upkeep.refreshes(),
            TableFeed::Query(node) => bounded(*node),
        }
    }

    /// Whether it is refreshed in a way that does not show which rows were deleted.
    pub fn misses_deletes(&self) -> bool {
        match &self.feed {
            TableFeed::Connector(feed) => {
                let seen = feed.source.sees_deletes || feed.source.changelog || self.upkeep.reload.is_some();
                !seen && (self.upkeep.refresh.is_some() || !feed.source.binding.bounded())
            }
            TableFeed::Query(_) => false,
        }
    }

    /// The number of the index over these columns, which is added where there is none.
    pub fn index(&mut self, columns: &[usize]) -> velo_core::lookup::IndexId {
        let at = self.indexes.iter().position(|index| index == columns).unwrap_or_else(|| {
            self.indexes.push(columns.to_vec());
            self.indexes.len() - 1
        });
        velo_core::lookup::IndexId(at)
    }
}

/// Where the rows of a table come from.
#[derive(Debug, Clone)]
pub enum TableFeed {
    /// Its connector: loaded, and refreshed where it is to be.
    Connector(Box<ConnectorFeed>),
    /// The node that gives the rows of its query: the input of its [`super::NodeKind::TableSink`].
    Query(NodeId),
}

/// A table over a connector.
#[derive(Debug, Clone)]
pub struct ConnectorFeed {
    /// The connector's side, with the columns that are decoded and the event time.
    pub source: SourceNode,
    /// The schema of the decoded rows, with their event time.
    pub decoded: SchemaRef,
    /// What makes the table's columns of the decoded ones; none where they are the same.
    pub outputs: Option<Vec<Output>>,
}

/// How a table over a connector is kept up to date.
#[derive(Debug, Clone, Default)]
pub struct Upkeep {
    /// How often what came after the load is asked for.
    pub refresh: Option<Span>,
    /// How often all is loaded again, which finds deletes that nothing else shows.
    pub reload: Option<Span>,
    /// Changes are published at the latest after so long.
    pub publish: Span,
    /// Whether it begins empty, with what comes after the start.
    pub from_latest: bool,
    /// How often its load is tried, and how soon.
    pub retry: RetryPolicy,
    /// When its connection is left alone.
    pub breaker: CircuitBreakerProperties,
}

impl Upkeep {
    /// Whether it is asked for changes at all.
    pub fn refreshes(&self) -> bool {
        self.refresh.is_some() || self.reload.is_some()
    }
}

/// What happens to a row for which a table has none.
#[derive(Debug, Clone, PartialEq)]
pub struct Missing {
    /// What to do.
    pub strategy: MissingStrategy,
    /// What to do at the end of waiting; never to wait.
    pub then: MissingStrategy,
    /// Under `use_defaults` the values of columns of the table, each of the column's type, by the name that the column has in
    /// the join; the others are NULL.
    pub defaults: Vec<(String, ScalarValue)>,
    /// How often a waiting row is looked up again.
    pub retries: u32,
    /// The time between two look-ups of a waiting row, by the clock.
    pub delay: Span,
}

impl Missing {
    /// Whether a row that the table lacks waits for it.
    pub fn waits(&self) -> bool {
        self.strategy == MissingStrategy::WaitAndRetry
    }
}

/// `table.missing.strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MissingStrategy {
    /// The given defaults stand in for the table's columns.
    UseDefaults,
    /// The row is left out, and counted.
    SkipRecord,
    /// The table's columns are NULL.
    EmitWithNulls,
    /// The row waits for the table.
    WaitAndRetry,
    /// The job stops.
    FailFast,
}

property_choices!(MissingStrategy {
    UseDefaults = "use_defaults",
    SkipRecord = "skip_record",
    EmitWithNulls = "emit_with_nulls",
    WaitAndRetry = "wait_and_retry",
    FailFast = "fail_fast",
});

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |strategy| match strategy {
            MissingStrategy::UseDefaults => "get defaults",
            MissingStrategy::SkipRecord => "are left out",
            MissingStrategy::EmitWithNulls => "get NULLs",
            MissingStrategy::WaitAndRetry => "wait",
            MissingStrategy::FailFast => "stop the job",
        };
        match self.strategy {
            MissingStrategy::WaitAndRetry => {
                write!(
                    f,
                    "missing rows wait, up to {} times {}, and then {}",
                    self.retries,
                    self.delay,
                    text(self.then)
                )
            }
            strategy => write!(f, "missing rows {}", text(strategy)),
        }
    }
}

/// The content of a table, followed by its changes.
#[derive(Debug, Clone, PartialEq)]
pub struct TableScan {
    /// The table.
    pub table: TableId,
    /// The columns that are read, each with the name that it has in the node's schema; the hidden event time, where the table
    /// has one, comes with them.
    pub columns: Vec<TableColumn>,
}

/// A column of a table under the name that it has in a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct TableColumn {
    /// Its place in [`TableNode::schema`].
    pub column: usize,
    /// Its name, type and nullability in the plan.
    pub field: FieldRef,
}
