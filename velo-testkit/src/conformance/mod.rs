//! What every connector must do, chosen by its [`Capabilities`].
//!
//! A connector's tests implement [`Harness`] for its system and call [`run`]. Each case says its name when it fails.
//!
//! [`Capabilities`]: velo_core::connector::Capabilities

mod rows;
mod sink;
mod source;

use std::sync::Arc;

use arrow_schema::SchemaRef;
use velo_core::Batch;
use velo_core::connector::Connector;
use velo_core::properties::{Options, PropertySpec};

pub use rows::{made_rows, schema};

/// Keys and values of a source or sink.
pub type Pairs = Vec<(String, String)>;

/// An empty place that a sink writes to, and that a source can read then.
#[derive(Debug, Clone)]
pub struct Output {
    /// The sink's properties.
    pub sink: Pairs,
    /// The properties of a source that reads what the sink wrote.
    pub source: Pairs,
}

/// A system with a connector in front.
pub trait Harness {
    /// How many rows the reading cases use: enough for several chunks.
    fn rows(&self) -> usize {
        60_000
    }

    /// The columns of the rows.
    fn schema(&self) -> SchemaRef {
        schema()
    }

    /// The rows that are put there. A source that makes its rows itself says which these are.
    fn put(&self, count: usize) -> Batch {
        made_rows(count)
    }

    /// Whether there is something outside that can be missing, and that must be named. A source that makes its rows itself
    /// lacks nothing.
    fn is_outside(&self) -> bool {
        true
    }

    /// Puts rows where a bounded source can read them; gives its properties.
    fn filled(&self, rows: &Batch) -> Pairs;

    /// Properties of a source of a thing that is not there.
    fn missing(&self) -> Pairs;

    /// An empty place.
    fn output(&self) -> Output;

    /// Whether an output without rows is there and can be read.
    fn empty_outputs(&self) -> bool {
        true
    }

    /// Whether a run can go on behind an epoch that is not the last one, so that what others saw of later ones goes.
    fn takes_back(&self) -> bool {
        false
    }

    /// Whether others see anything at all at the place: a file, a row.
    fn visible(&self, output: &Output) -> bool;
}

/// Runs all cases that fit the connector.
///
/// # Panics
///
/// At the first case that fails.
pub async fn run(connector: Arc<dyn Connector>, harness: &dyn Harness) {
    let can = connector.capabilities();
    documented(&*connector);
    if can.source {
        source::unknown_property(&*connector, harness);
        if harness.is_outside() {
            source::missing(&*connector, harness).await;
        }
        source::read_all(&*connector, harness).await;
        source::dropped_futures(&*connector, harness).await;
        if can.replay {
            source::resume(&*connector, harness).await;
        }
        source::table(&*connector, harness, can.incremental).await;
    }
    if can.sink {
        sink::unknown_property(&*connector, harness);
        if can.source {
            sink::round_trip(&*connector, harness).await;
            if harness.empty_outputs() {
                sink::nothing_written(&*connector, harness).await;
            }
        }
        sink::abort(&*connector, harness).await;
        if can.transactions {
            sink::commit_again(&*connector, harness).await;
        }
        if can.source {
            for bounded in [true, false] {
                if can.transactions {
                    sink::epochs(&*connector, harness, bounded).await;
                    sink::given_up(&*connector, harness, bounded).await;
                }
                sink::goes_on_at_once(&*connector, harness, bounded).await;
            }
        }
    }
}

fn documented(connector: &dyn Connector) {
    assert!(!connector.name().is_empty() && !connector.summary().is_empty(), "the connector says what it is");
    for spec in connector.source_properties().into_iter().chain(connector.sink_properties()) {
        assert!(!spec.doc.trim().is_empty(), "property {} is documented", spec.key);
    }
}

fn options(pairs: &Pairs) -> Options {
    Options::from_pairs(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

/// A misspelt property is answered with the right one.
fn misspelt(mut options: Options, known: &[&'static PropertySpec], owner: &str) {
    options.set(velo_core::properties::Entry { key: "frmat".to_owned(), value: "json".to_owned(), origin: 77 });
    let errors = options.finish(owner, known.iter().copied());
    let found = errors.iter().find(|error| error.origin == Some(77));
    let found = found.unwrap_or_else(|| panic!("a misspelt property is an error, not {errors:?}"));
    assert!(found.help.is_some(), "{} says what to do", found.message);
}
