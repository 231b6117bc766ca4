//! What a script has named so far, and how WITH becomes sources and sinks.

mod history;
mod properties;
mod resolve;

use std::collections::BTreeMap;

use arrow_schema::SchemaRef;
use velo_core::suggest::nearest;
use velo_eventtime::LateProperties;
use velo_sql::Span;
use velo_sql::ast::{Ident, ObjectName};

pub use history::BoundHistory;
pub use properties::{
    Changelog, ChangesPer, Delivery, HistoryProperties, JobProperties, OffsetReset, QueryProperties,
    RecoveryProperties, RestartStrategy, SinkProperties, SourceProperties, TableProperties, ThenLive, all_specs,
    check_setting,
};
pub use resolve::{BoundSink, BoundSource, BoundTable, Pairs, Resolver};

use crate::bind::{Scope, Typed};
use crate::plan::{Missing, NodeId, SourceId, TableId, WindowSpec};

/// Something that a query can read.
#[derive(Debug, Clone)]
pub struct Relation {
    /// The node whose rows it is.
    pub node: NodeId,
    /// Its columns.
    pub scope: Scope,
    /// The plan columns that are its event time under a name of their own.
    pub event_time_columns: Vec<String>,
    /// The plan columns that say which time window a row is of, and ascend with its event time.
    pub window_columns: Vec<String>,
    /// The source behind it, where it is read directly.
    pub source: Option<SourceId>,
    /// What happens to its late rows, unless the query says otherwise.
    pub late: LateProperties,
    /// Where its dead letters go, unless the query says otherwise.
    pub dead_letter_sink: Option<String>,
    /// The window that a windowing table function has put around it, until a GROUP BY takes it.
    pub window: Option<WindowSpec>,
    /// What the sessions of that window are of each: a GROUP BY must have it.
    pub session_keys: Vec<Typed>,
    /// The output columns marked as the key.
    pub key: Vec<String>,
    /// The plan columns by which rows that change are known; none where nothing is known.
    pub identity: Vec<String>,
    /// What rows of a Top-N are known by where nothing reads their rank.
    pub ranked: Option<Ranked>,
    /// Behind a join by time: the times of its sides, either of which a later clause can go by.
    pub side_times: Vec<SideTime>,
    /// The time window whose rows these are, and where its bounds are.
    pub of_window: Option<OfWindow>,
    /// The join that took the event time from the rows.
    pub timeless: Option<Span>,
    /// Whether the rows are those of windows that close one after the other: ORDER BY and LIMIT of the same query are then of
    /// each window.
    pub windowed: bool,
}

impl Relation {
    /// The rows of a node under these names, without an event-time column, window or key of its own.
    pub fn new(node: NodeId, scope: Scope) -> Self {
        Self {
            node,
            scope,
            event_time_columns: Vec::new(),
            window_columns: Vec::new(),
            source: None,
            late: LateProperties::default(),
            dead_letter_sink: None,
            window: None,
            session_keys: Vec::new(),
            key: Vec::new(),
            identity: Vec::new(),
            ranked: None,
            side_times: Vec::new(),
            of_window: None,
            timeless: None,
            windowed: false,
        }
    }

    /// Whether its rows have an event time.
    pub fn has_event_time(&self) -> bool {
        self.scope.columns.iter().any(|column| column.field.name() == velo_core::schema::EVENT_TIME)
    }
}

/// The event time of one side of a join by time, as a column.
#[derive(Debug, Clone)]
pub struct SideTime {
    /// The plan columns that are this time under a name of their own, whatever their type.
    pub columns: Vec<String>,
    /// The plan column that has it as a time.
    pub time: String,
    /// Of a row without a partner it can be NULL: what the partner is called.
    pub missing: Option<String>,
}

/// The time window that each row of a relation is of.
#[derive(Debug, Clone)]
pub struct OfWindow {
    /// The window.
    pub window: WindowSpec,
    /// The plan column with its start, where it came through.
    pub start: Option<String>,
    /// With its end.
    pub end: Option<String>,
}

/// A Top-N whose rank may turn out not to be read.
#[derive(Debug, Clone)]
pub struct Ranked {
    /// The plan column of the rank.
    pub column: String,
    /// The plan columns by which rows are known without it; none where nothing is known.
    pub identity: Vec<String>,
}

/// A reference table, as statements name it.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its place in the plan.
    pub id: TableId,
    /// Its columns; the names of their fields are those of the table's own schema.
    pub scope: Scope,
    /// The columns that are the event time of its rows under a name of their own.
    pub event_time_columns: Vec<String>,
    /// What happens to rows for which it has none, where its statement says so.
    pub missing: Option<Missing>,
    /// Whether it never has more than one row: an aggregate without GROUP BY made it.
    pub one_row: bool,
}

impl Table {
    /// Whether its rows have an event time.
    pub fn has_event_time(&self) -> bool {
        self.scope.columns.iter().any(|column| column.field.name() == velo_core::schema::EVENT_TIME)
    }
}

/// A stream over a connector as something to write to.
#[derive(Debug, Clone)]
pub struct Writable {
    /// What the statement said about the connector.
    pub pairs: Pairs,
    /// The declared columns.
    pub declared: SchemaRef,
    /// The declared key.
    pub key: Vec<Ident>,
}

/// A named thing of the script.
#[derive(Debug, Clone)]
pub enum Object {
    /// A stream or view that can be read; one over a connector can also be written.
    Relation {
        /// What reading it gives.
        relation: Relation,
        /// What its statement said about its connector and its columns, if it can be written.
        writable: Option<Writable>,
    },
    /// A table.
    Table(Box<Table>),
    /// A sink.
    Sink(Box<BoundSink>),
    /// Something whose own statement has a mistake: naming it is none.
    Broken,
}

/// The named things of a script.
#[derive(Debug, Default, Clone)]
pub struct Catalog {
    objects: BTreeMap<String, (String, Span, Object)>,
}

impl Catalog {
    /// The thing called `name`, without regard to case.
    pub fn get(&self, name: &ObjectName) -> Option<&Object> {
        self.objects.get(&name.text().to_lowercase()).map(|(_, _, object)| object)
    }

    /// Where `name` was created.
    pub fn place(&self, name: &ObjectName) -> Option<Span> {
        self.objects.get(&name.text().to_lowercase()).map(|(_, span, _)| *span)
    }

    /// Names a thing.
    pub fn add(&mut self, name: &ObjectName, object: Object) {
        self.objects.insert(name.text().to_lowercase(), (name.text(), name.span(), object));
    }

    /// Frees a name; false where it is not taken.
    pub fn remove(&mut self, name: &ObjectName) -> bool {
        self.objects.remove(&name.text().to_lowercase()).is_some()
    }

    /// All tables, to be changed.
    pub(crate) fn tables_mut(&mut self) -> impl Iterator<Item = &mut Table> {
        self.objects.values_mut().filter_map(|(_, _, object)| match object {
            Object::Table(table) => Some(table.as_mut()),
            _ => None,
        })
    }

    /// The name nearest to a misspelt one.
    pub fn nearest(&self, name: &ObjectName) -> Option<&str> {
        nearest(&name.text(), self.objects.values().map(|(name, _, _)| name.as_str()))
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Object)> {
        self.objects.values().map(|(name, _, object)| (name.as_str(), object))
    }
}
