//! The connectors pass the suite that all connectors pass.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use velo_core::Batch;
use velo_core::connector::Connector;
use velo_source_gen::{BlackholeConnector, DatagenConnector, NexmarkConnector, PrintConnector};
use velo_testkit::conformance::{self, Harness, Output, Pairs};

use crate::reading::{bind, read, schema};

/// A source that makes its rows itself, or a sink beside which there is no source.
struct Made {
    connector: Arc<dyn Connector>,
    schema: SchemaRef,
    pairs: Vec<(String, String)>,
    /// The property that says how many rows there are.
    count: &'static str,
    /// How many rows the cases read.
    rows: usize,
    /// One of so many events is a row.
    one_of: u64,
}

impl Made {
    fn source(connector: Arc<dyn Connector>, schema: SchemaRef, pairs: &[(&str, &str)], count: &'static str) -> Self {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { connector, schema, pairs, count, rows: 60_000, one_of: 1 }
    }

    fn pairs(&self, count: usize) -> Pairs {
        let mut pairs = self.pairs.clone();
        if !self.count.is_empty() {
            pairs.push((self.count.to_owned(), (count as u64 * self.one_of).to_string()));
        }
        pairs
    }
}

impl Harness for Made {
    fn rows(&self) -> usize {
        self.rows
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn put(&self, count: usize) -> Batch {
        let pairs = self.pairs(count);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let rows = std::thread::scope(|scope| {
            // In quite other batches than the cases read.
            let rows = async { read(&*self.connector, &pairs, &self.schema, 77, None).await };
            scope
                .spawn(|| tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(rows))
                .join()
                .unwrap()
        });
        assert_eq!(rows.rows(), count);
        rows
    }

    fn is_outside(&self) -> bool {
        false
    }

    fn filled(&self, rows: &Batch) -> Pairs {
        self.pairs(rows.rows())
    }

    fn missing(&self) -> Pairs {
        Pairs::new()
    }

    fn output(&self) -> Output {
        Output { sink: Pairs::new(), source: Pairs::new() }
    }

    fn visible(&self, _output: &Output) -> bool {
        false
    }
}

#[tokio::test]
async fn datagen() {
    let schema = schema(
        "id:BIGINT k:STRING price:DECIMAL(18,4) wide:DECIMAL(60,2) ratio:DOUBLE flag:BOOLEAN day:DATE at:TIMESTAMP",
    );
    let pairs = [
        ("fields.id.kind", "sequence"),
        ("fields.k.values", "A, B, C"),
        ("fields.k.null.rate", "0.1"),
        ("fields.price.kind", "walk"),
        ("fields.price.min", "-10"),
        ("fields.ratio.kind", "walk"),
        ("fields.ratio.step", "0.25"),
        ("time.jitter", "3s"),
        ("seed", "7"),
    ];
    let connector: Arc<dyn Connector> = Arc::new(DatagenConnector);
    let made = Made::source(Arc::clone(&connector), schema, &pairs, "number.of.rows");
    conformance::run(connector, &made).await;
}

#[tokio::test]
async fn nexmark_with_all_events() {
    let connector: Arc<dyn Connector> = Arc::new(NexmarkConnector);
    let schema = bind(&*connector, &[]).infer_schema().await.unwrap();
    let made = Made::source(Arc::clone(&connector), schema, &[("out.of.order.group.size", "30")], "events");
    conformance::run(connector, &made).await;
}

#[tokio::test]
async fn nexmark_with_persons_alone() {
    let connector: Arc<dyn Connector> = Arc::new(NexmarkConnector);
    let pairs = [("nexmark.table", "person"), ("out.of.order.group.size", "50")];
    let schema = bind(&*connector, &pairs).infer_schema().await.unwrap();
    let made = Made::source(Arc::clone(&connector), schema, &pairs, "events");
    conformance::run(connector, &Made { rows: 20_000, one_of: 50, ..made }).await;
}

#[tokio::test]
async fn sinks() {
    let sinks: [Arc<dyn Connector>; 2] = [Arc::new(PrintConnector), Arc::new(BlackholeConnector)];
    for sink in sinks {
        let made = Made::source(Arc::clone(&sink), conformance::schema(), &[], "");
        conformance::run(sink, &made).await;
    }
}
