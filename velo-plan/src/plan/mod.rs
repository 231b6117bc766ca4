//! The streaming plan of a whole script: a graph of nodes from sources to sinks.
//!
//! One script is one plan, so that statements can share a source and feed each other. Nodes lie in an arena in an order in
//! which every input comes before its consumer. A node's schema has unique column names and, hidden and last, the event time
//! where the stream has one ([`velo_core::schema::EVENT_TIME`]).

mod aggregate;
mod changes;
mod display;
mod expr_text;
mod join;
mod json;
mod match_recognize;
mod node;
mod over;
mod table;
mod top_n;
mod window;

pub use aggregate::{AggregateCall, AggregateKind, Emission, SortKey, StateTtl};
pub use changes::Changes;
pub use expr_text::expr_text;
pub use join::{
    AsOfDirection, AsOfJoin, ChangelogJoin, IntervalJoin, Join, JoinColumn, JoinKey, JoinKind, LookupJoin, Mark, Side,
    WindowJoin, joined_schema,
};
pub use match_recognize::{MatchColumn, MatchRecognize, MatchSkip, MatchValue, MatchVariable, RowPattern, VariableSet};
pub use node::{
    GroupingSet, HistoryNode, Node, NodeId, NodeKind, OnComputeError, Output, Plan, Punctuation, SetKind, SinkId,
    SinkNode, SourceId, SourceNode, SourceTime, TimeOrigin, Unnest, UnnestItem, UnnestOf,
};
pub use over::{FrameUnits, Over, OverCall, OverFunction, OverOrder, RowBuffer, RowFrame, RowWindow};
pub use table::{
    ConnectorFeed, Missing, MissingStrategy, TableColumn, TableFeed, TableId, TableNode, TableScan, Upkeep,
};
pub use top_n::TopN;
pub use window::{WindowKind, WindowSpec};
