//! The nodes of a plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{FieldRef, SchemaRef};
use datafusion_expr::Expr;
use velo_core::connector::{ChangelogMode, Guarantee, SinkBinding, SourceBinding, TransactionalSystem};
use velo_core::duration::Span;
use velo_eventtime::{Extractor, LateStrategy, OnError, WatermarkProperties};

use super::aggregate::{AggregateCall, Emission, SortKey, StateTtl};
use super::changes::Changes;
use super::join::{AsOfJoin, ChangelogJoin, IntervalJoin, Join, LookupJoin, WindowJoin};
use super::match_recognize::MatchRecognize;
use super::over::Over;
use super::table::{Missing, TableFeed, TableId, TableNode, TableScan};
use super::top_n::TopN;
use super::window::WindowSpec;

/// The place of a node in [`Plan::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// The place of a source in [`Plan::sources`], which is its order in the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub usize);

/// The place of a sink in [`Plan::sinks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkId(pub usize);

/// A whole script, ready to run.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// All nodes; inputs before their consumers.
    pub nodes: Vec<Node>,
    /// What is read, each once.
    pub sources: Vec<SourceNode>,
    /// What is written.
    pub sinks: Vec<SinkNode>,
    /// The reference tables.
    pub tables: Vec<TableNode>,
}

/// One node: what it does and what comes out.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it does.
    pub kind: NodeKind,
    /// Where its rows come from.
    pub inputs: Vec<NodeId>,
    /// What comes out, the hidden event time included.
    pub schema: SchemaRef,
    /// Whether all its inputs end.
    pub bounded: bool,
    /// Whether its rows can change after they came.
    pub changes: Changes,
    /// The stream, table or view it belongs to, for EXPLAIN, metrics and errors.
    pub owner: String,
    /// The sink of the rows that come too late for it, where its policy is `dead_letter`.
    pub dead_letters: Option<SinkId>,
    /// What becomes of rows on which an expression of it fails.
    pub on_compute_error: OnComputeError,
    /// How many tasks share its keys, where the statement says so.
    pub parallelism: Option<usize>,
    /// For how long it keeps what nothing else bounds, where the statement says so.
    pub state_ttl: Option<StateTtl>,
    /// How long it waits for the table that it reads, counted from the table's last progress.
    pub table_wait: Option<Span>,
}

/// What becomes of rows on which an expression fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OnComputeError {
    /// Whether they fail the job, are left out, or go to the dead letters.
    pub policy: OnError,
    /// Their sink, where they go to the dead letters.
    pub sink: Option<SinkId>,
}

/// What a node does.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// Reads a source.
    Source(SourceId),
    /// Rows that stand in the script: VALUES, and one row without columns where a SELECT has no FROM.
    Values(Vec<Vec<Expr>>),
    /// Keeps the rows for which the expression is true.
    Filter(Expr),
    /// Computes columns; the event time passes, unless the last of them is another one
    /// ([`velo_core::schema::EVENT_TIME`]).
    Project(Vec<Output>),
    /// Every row once per window that it belongs to, with the window's start and end.
    Window(WindowSpec),
    /// Every row once per element of its arrays, maps and series.
    Unnest(Unnest),
    /// All rows of all inputs, which have the same columns.
    Union,
    /// One row per key (and window).
    Aggregate {
        /// The grouping keys, computed over the input.
        keys: Vec<Output>,
        /// The sets of keys by which every row is grouped; none: by all keys once. Where there are some, the last key is the
        /// number of the set.
        sets: Vec<GroupingSet>,
        /// The aggregates, behind the keys in the output.
        aggregates: Vec<AggregateCall>,
        /// The window; its start and end are the two columns behind the aggregates. Without one there is one result at the
        /// end of the input.
        window: Option<WindowSpec>,
        /// What happens to rows that are late for all their windows.
        late: LateStrategy,
        /// When results come.
        emission: Emission,
    },
    /// The rows that are there at the end of a changing input.
    Fold,
    /// The rows of a changing input that are there when the watermark passes them; the strategy is that for late ones.
    FoldByTime(LateStrategy),
    /// The latest row under each key of a sink, which is another one than the input's.
    LatestByKey(Vec<String>),
    /// Row windows: what OVER computes, behind the input's columns.
    Over(Over),
    /// The first rows of each partition, and the number of each behind the input's columns where something reads it.
    TopN(TopN),
    /// MATCH_RECOGNIZE: a row for each match of a row pattern.
    MatchRecognize(Box<MatchRecognize>),
    /// Rows of one side by what the other side has: the last column of the input says whether a row is of the right side.
    SetOperation {
        /// Which operation.
        kind: SetKind,
        /// Whether equal rows count as often as they come.
        all: bool,
        /// When differences come: as rows come and go, or once at the end.
        emission: Emission,
    },
    /// The first row of each key of a finished input.
    DistinctOn {
        /// The key.
        keys: Vec<Expr>,
        /// Which row is the first; of equal ones that which comes first by event time and place.
        order: Vec<SortKey>,
    },
    /// Orders a finished input.
    Sort(Vec<SortKey>),
    /// Orders the rows of each window, and lets some of them pass; a window is told by the event time of its rows.
    WindowLimit {
        /// The order.
        order: Vec<SortKey>,
        /// Rows of a window left out first.
        skip: u64,
        /// Rows of a window that pass.
        count: Option<u64>,
    },
    /// Lets `count` rows pass after `skip`.
    Limit {
        /// Rows left out first.
        skip: u64,
        /// Rows that pass.
        count: Option<u64>,
    },
    /// Each row with what a table has under its key.
    LookupJoin(Box<LookupJoin>),
    /// Pairs of rows of two inputs whose event times are close.
    IntervalJoin(Box<IntervalJoin>),
    /// Each row with the row of the other input that is nearest by event time.
    AsOfJoin(Box<AsOfJoin>),
    /// Pairs of rows of the same time window.
    WindowJoin(Box<WindowJoin>),
    /// Pairs of rows of inputs that may change.
    ChangelogJoin(Box<ChangelogJoin>),
    /// The content of a table, followed by its changes.
    TableScan(TableScan),
    /// Writes to a sink.
    Sink(SinkId),
    /// Writes a table.
    TableSink(TableId),
}

/// One of the sets of GROUPING SETS, ROLLUP or CUBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupingSet {
    /// Which of the keys count; the others are NULL.
    pub keys: Vec<bool>,
    /// The set's number: a bit for each key that does not count, the first key's lowest, and above them which of equal sets it
    /// is.
    pub number: i64,
}

/// A set operation over two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetKind {
    /// What the right side lacks.
    Except,
    /// What both sides have.
    Intersect,
}

/// What rows are multiplied by.
#[derive(Debug, Clone, PartialEq)]
pub struct Unnest {
    /// Side by side; the shorter ones are padded with NULL.
    pub items: Vec<UnnestItem>,
    /// Counts the elements of a row from 1.
    pub ordinality: Option<FieldRef>,
    /// Whether a row without elements comes once, with NULLs.
    pub outer: bool,
}

/// Elements, and the columns that they become.
#[derive(Debug, Clone, PartialEq)]
pub struct UnnestItem {
    /// Whose elements.
    pub of: UnnestOf,
    /// The element; the fields of a struct; a map's key and value.
    pub fields: Vec<FieldRef>,
}

/// What has elements.
#[derive(Debug, Clone, PartialEq)]
pub enum UnnestOf {
    /// An array or a map.
    Collection(Expr),
    /// `generate_series(start, stop, step)`: whole numbers with a number as step, or timestamps with an interval.
    Series {
        /// The first value.
        start: Expr,
        /// No value lies behind it.
        stop: Expr,
        /// From one value to the next.
        step: Expr,
    },
}

impl UnnestItem {
    /// The expressions that it is made from.
    pub fn exprs(&self) -> Vec<&Expr> {
        match &self.of {
            UnnestOf::Collection(expr) => vec![expr],
            UnnestOf::Series { start, stop, step } => vec![start, stop, step],
        }
    }

    /// See [`Self::exprs`].
    pub fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        match &mut self.of {
            UnnestOf::Collection(expr) => vec![expr],
            UnnestOf::Series { start, stop, step } => vec![start, stop, step],
        }
    }
}

/// A computed column.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The expression, over the input's columns.
    pub expr: Expr,
    /// Name, type and nullability of the result.
    pub field: FieldRef,
}

/// Something that is read.
#[derive(Debug, Clone)]
pub struct SourceNode {
    /// Its name in the script.
    pub name: String,
    /// The connector's side.
    pub binding: Arc<dyn SourceBinding>,
    /// What is read before it.
    pub history: Option<HistoryNode>,
    /// The declared (or inferred) columns.
    pub declared: SchemaRef,
    /// Which of the declared columns are used, in order; set when the plan is complete.
    pub used: Vec<usize>,
    /// System columns that are used, by name.
    pub system: Vec<FieldRef>,
    /// The event time, where there is one.
    pub event_time: Option<SourceTime>,
    /// What a record that cannot be decoded does.
    pub on_error: OnError,
    /// The sink of the records that cannot be used, where a policy is `dead_letter`.
    pub dead_letters: Option<SinkId>,
    /// Whether rows are changes: by the format, or with their kind in a field `_op`.
    pub changelog: bool,
    /// Decoding workers; none: as many as there are cores.
    pub decode_parallelism: Option<usize>,
    /// Whether it can be read more than once from the same position.
    pub replays: bool,
    /// Whether a table that is loaded from it sees that rows were deleted.
    pub sees_deletes: bool,
}

impl SourceNode {
    /// What it reads, its history first: for EXPLAIN and DESCRIBE.
    pub fn reads(&self) -> String {
        let live = self.binding.describe();
        let Some(history) = &self.history else { return live };
        let until =
            history.until.map(|until| format!(" until {}", velo_core::time::iso8601(until))).unwrap_or_default();
        format!("{}{until}, then {live}", history.binding.describe())
    }
}

/// What a source reads to its end before it reads what comes live.
#[derive(Debug, Clone)]
pub struct HistoryNode {
    /// The connector's side.
    pub binding: Arc<dyn SourceBinding>,
    /// The event time (microseconds) from which on rows are taken from what comes live, and not from the history; none: all rows of both.
    pub until: Option<i64>,
}

/// How a source gets its event time and watermark.
#[derive(Debug, Clone)]
pub struct SourceTime {
    /// Where a record's time comes from.
    pub from: TimeOrigin,
    /// Whether it is the record's own, and nobody said so.
    pub by_default: bool,
    /// What a record without a usable time does.
    pub on_error: OnError,
    /// The watermark.
    pub watermark: WatermarkProperties,
    /// The field that says it, under the strategy `punctuated`.
    pub punctuation: Option<Punctuation>,
}

/// The field of the records that says the watermark.
#[derive(Debug, Clone)]
pub struct Punctuation {
    /// The way to the field.
    pub path: Vec<String>,
    /// Reads it, as the event time is read.
    pub extractor: Arc<Extractor>,
}

/// Where a record's event time comes from.
#[derive(Debug, Clone)]
pub enum TimeOrigin {
    /// A field of the record, read by the extractor.
    Field {
        /// The way to the field.
        path: Vec<String>,
        /// The declared column it is, if it is one.
        column: Option<usize>,
        /// Reads it.
        extractor: Arc<Extractor>,
    },
    /// An expression over declared columns.
    Computed(Expr),
    /// The record's own time.
    Record,
    /// The time when it was read.
    Arrival,
}

/// Something that is written.
#[derive(Debug, Clone)]
pub struct SinkNode {
    /// Its name in the script.
    pub name: String,
    /// The connector's side; none: the rows go to whoever runs the plan (a SELECT).
    pub binding: Option<Arc<dyn SinkBinding>>,
    /// The columns as written, which may repeat a name on the terminal.
    pub schema: SchemaRef,
    /// The key columns' places.
    pub key: Vec<usize>,
    /// How changes are written.
    pub mode: ChangelogMode,
    /// What is promised.
    pub guarantee: Guarantee,
    /// Whether it can make the rows of a checkpoint visible together, and once.
    pub transactions: bool,
    /// Whether it gets all its rows before the job ends.
    pub bounded: bool,
    /// How long rows may wait before they are flushed.
    pub flush: Span,
}

impl SinkNode {
    /// The system whose commit is the commit point of a checkpoint, where the rows are exactly once in one.
    pub fn commits_in(&self) -> Option<&dyn TransactionalSystem> {
        let system = self.binding.as_deref().and_then(SinkBinding::transactional);
        system.filter(|_| self.guarantee == Guarantee::ExactlyOnce)
    }
}

impl NodeKind {
    /// What it has in common with the other joins of two inputs, where it is one.
    pub fn join(&self) -> Option<&Join> {
        match self {
            Self::IntervalJoin(join) => Some(&join.join),
            Self::AsOfJoin(join) => Some(&join.join),
            Self::WindowJoin(join) => Some(&join.join),
            Self::ChangelogJoin(join) => Some(&join.join),
            _ => None,
        }
    }

    /// See [`Self::join`].
    pub fn join_mut(&mut self) -> Option<&mut Join> {
        match self {
            Self::IntervalJoin(join) => Some(&mut join.join),
            Self::AsOfJoin(join) => Some(&mut join.join),
            Self::WindowJoin(join) => Some(&mut join.join),
            Self::ChangelogJoin(join) => Some(&mut join.join),
            _ => None,
        }
    }

    /// Whether it computes anything of its rows, which could fail.
    pub fn computes(&self) -> bool {
        let computed = |expr: &Expr| !matches!(expr, Expr::Column(_) | Expr::Literal(..));
        match self {
            Self::Project(outputs) => outputs.iter().any(|output| computed(&output.expr)),
            Self::Filter(_)
            | Self::Aggregate { .. }
            | Self::Unnest(_)
            | Self::Over(_)
            | Self::TopN(_)
            | Self::MatchRecognize(_)
            | Self::DistinctOn { .. }
            | Self::Sort(_)
            | Self::WindowLimit { .. }
            | Self::LookupJoin(_)
            | Self::AsOfJoin(_)
            | Self::IntervalJoin(_)
            | Self::WindowJoin(_)
            | Self::ChangelogJoin(_) => true,
            Self::Source(_)
            | Self::Values(_)
            | Self::Window(_)
            | Self::Union
            | Self::Fold
            | Self::FoldByTime(_)
            | Self::SetOperation { .. }
            | Self::LatestByKey(_)
            | Self::Limit { .. }
            | Self::TableScan(_)
            | Self::TableSink(_)
            | Self::Sink(_) => false,
        }
    }

    /// The table that a node reads, which must be ready before anything is handed to the node.
    pub fn reads(&self) -> Option<TableId> {
        match self {
            Self::LookupJoin(join) => Some(join.table),
            Self::TableScan(scan) => Some(scan.table),
            _ => None,
        }
    }
}

impl Plan {
    /// The table in which a node looks for rows: that which it looks up, or the right side of an ASOF join.
    pub fn looks_in(&self, node: NodeId) -> Option<TableId> {
        let node = &self.nodes[node.0];
        match (&node.kind, node.inputs.as_slice()) {
            (NodeKind::LookupJoin(join), _) => Some(join.table),
            (NodeKind::AsOfJoin(_), [_, right]) => {
                self.upstream(*right).into_iter().find_map(|node| self.nodes[node.0].kind.reads())
            }
            _ => None,
        }
    }

    /// A node and all that its rows come from, each once.
    pub fn upstream(&self, node: NodeId) -> BTreeSet<NodeId> {
        let (mut open, mut found) = (vec![node], BTreeSet::from([node]));
        while let Some(node) = open.pop() {
            open.extend(self.nodes[node.0].inputs.iter().copied().filter(|input| found.insert(*input)));
        }
        found
    }

    /// Whether a table cannot change any more once it is ready.
    pub fn is_settled(&self, table: TableId) -> bool {
        self.tables[table.0].is_settled(|node| self.nodes.get(node.0).is_some_and(|node| node.bounded))
    }

    /// Whether a node looks at each row by itself: it keeps nothing, goes by no watermark, and makes at most one row of each, the
    /// same whenever and beside whichever others that comes.
    pub fn goes_by_row(&self, node: NodeId) -> bool {
        match &self.nodes[node.0].kind {
            NodeKind::Filter(_) | NodeKind::Project(_) => true,
            NodeKind::LookupJoin(join) => {
                let table = &self.tables[join.table.0];
                let by_key =
                    join.index.is_some_and(|index| !table.key.is_empty() && table.indexes[index.0] == table.key);
                let waits = join.missing.as_ref().is_some_and(Missing::waits);
                by_key && self.is_settled(join.table) && !join.as_of && !waits
            }
            _ => false,
        }
    }

    /// Whether the rows of a table can change after they came: it has a key under which they are replaced, or is made of rows
    /// that change.
    pub fn table_changes(&self, table: TableId) -> Changes {
        let node = &self.tables[table.0];
        let of_feed = match &node.feed {
            TableFeed::Connector(feed) if feed.source.changelog => Changes::Deletes,
            TableFeed::Connector(_) => Changes::Append,
            TableFeed::Query(query) => self.nodes.get(query.0).map_or(Changes::Append, |node| node.changes),
        };
        match (self.is_settled(table), node.key.is_empty()) {
            (true, _) => Changes::Append,
            (false, true) => of_feed,
            (false, false) => of_feed.max(Changes::Updates),
        }
    }
}
