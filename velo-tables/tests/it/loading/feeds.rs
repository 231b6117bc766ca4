//! What tests of loading share: tables of two columns, fed by scripts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use velo_core::dead_letter::DeadLetter;
use velo_core::duration::Span;
use velo_core::lookup::TableReader;
use velo_core::progress::Progress;
use velo_core::resilience::{Backoff, CircuitBreakerProperties, Connection, RetryPolicy};
use velo_core::table_text;
use velo_core::{Batch, Clock, Result};
use velo_tables::{
    DeadLetters, Feed, LoadSettings, OnBad, Prepare, Prepared, SourceFeed, StoreSpec, Table, TableCounters,
    TableNumber, TableSource, TableSpec, Tables, Upkeep, Writer, table,
};
use velo_testkit::loads::{LoadStep, ScriptedLoads};

pub const SECOND: i64 = 1_000_000;

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The columns of all tables: a key and a value.
pub fn schema() -> SchemaRef {
    velo_testkit::table!("k:BIGINT v:BIGINT").schema
}

/// Rows as `+I 1 10`, one a line.
pub fn rows(text: &str) -> Batch {
    velo_testkit::table!(schema(), &format!("k v\n{text}")).batch()
}

pub fn give(text: &str) -> LoadStep {
    LoadStep::Rows(rows(text))
}

/// The rows that stand, in the order of their keys: `1=10 2=20`.
pub fn content(reader: &dyn TableReader) -> String {
    let version = reader.version();
    let mut rows = Vec::new();
    for batch in version.scan() {
        for row in 0..batch.num_rows() {
            let cell =
                |column: usize| table_text::value_text(batch.column(column), row).unwrap_or_else(|| "NULL".to_owned());
            rows.push((cell(0).parse::<i64>().unwrap(), cell(1)));
        }
    }
    rows.sort();
    rows.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

/// An empty table with the key `k`.
pub fn empty(name: &str) -> (Arc<Table>, Writer) {
    let counters = Arc::new(TableCounters::default());
    let (schema, key) = (schema(), vec![0]);
    let spec = StoreSpec {
        name: name.to_owned(),
        schema,
        indexes: vec![key.clone()],
        key,
        null_keys: false,
        keeps_versions: false,
        counters,
        budget: None,
    };
    table(spec).unwrap()
}

/// Takes dead letters.
#[derive(Debug, Default)]
pub struct Letters(pub Mutex<Vec<DeadLetter>>);

#[async_trait]
impl DeadLetters for Letters {
    async fn take(&self, letters: Vec<DeadLetter>) -> Result<()> {
        self.0.lock().unwrap().extend(letters);
        Ok(())
    }
}

/// A table that is fed by a script, before it is started.
pub struct Fed {
    pub reader: Arc<Table>,
    pub letters: Arc<Letters>,
    pub feed: SourceFeed,
}

/// Everything as it comes, delays of a second and more, no refresh.
pub fn fed(name: &str, clock: &Clock, script: impl FnOnce(ScriptedLoads) -> ScriptedLoads) -> Fed {
    let progress = Arc::new(Progress::new());
    let source = script(ScriptedLoads::new(clock, &progress));
    from_source(name, clock, TableSource::Open(Arc::new(source)), progress)
}

pub fn from_source(name: &str, clock: &Clock, source: TableSource, progress: Arc<Progress>) -> Fed {
    let (reader, writer) = empty(name);
    let letters = Arc::new(Letters::default());
    let prepare: Prepare = Arc::new(|rows| Ok(Prepared { rows, refused: Vec::new() }));
    let feed = SourceFeed {
        source,
        writer: Box::new(writer),
        reader: Arc::clone(&reader) as Arc<dyn TableReader>,
        prepare,
        on_bad: OnBad::Fail,
        on_refused: OnBad::Fail,
        dead_letters: Arc::clone(&letters) as Arc<dyn DeadLetters>,
        progress,
        connection: Arc::new(Connection::new(name, CircuitBreakerProperties::default(), clock.clone())),
        retry: RetryPolicy { backoff: Backoff::default(), attempts: Some(4) },
        upkeep: Upkeep { bounded: true, ..Upkeep::default() },
        saved: None,
    };
    Fed { reader, letters, feed }
}

impl Fed {
    /// As a table that needs others.
    pub fn spec(self, name: &str, needs: &[usize]) -> TableSpec {
        spec(name, needs, Feed::Source(Box::new(self.feed)))
    }

    /// Started alone.
    pub fn start(self, clock: &Clock) -> (Arc<Table>, Tables) {
        let reader = Arc::clone(&self.reader);
        (reader, start(vec![self.spec("t", &[])], clock))
    }

    pub fn refreshed(mut self, every: u64) -> Self {
        self.feed.upkeep.refresh = Some(Span(every as i64 * SECOND));
        self
    }
}

pub fn spec(name: &str, needs: &[usize], feed: Feed) -> TableSpec {
    let needs = needs.iter().copied().map(TableNumber).collect();
    TableSpec { name: name.to_owned(), place: "1:14".to_owned(), needs, feed }
}

pub fn start(specs: Vec<TableSpec>, clock: &Clock) -> Tables {
    Tables::start(specs, LoadSettings::default(), clock.clone()).unwrap()
}

/// Lets everything happen up to this time.
pub async fn until(clock: &Clock, micros: i64) {
    velo_testkit::drive(clock, clock.sleep_until(micros)).await;
}
