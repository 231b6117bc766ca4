//! Planning a script over connectors that are made for it: `rows` ends by default, `log` never ends and has times of its own.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use velo_core::connector::{
    Capabilities, Connector, Registry, Sink, SinkBinding, SinkRequest, SourceBinding, SourceRequest, StreamSource,
    TableDataSource, TransactionalSystem, Transactions, TransactionsRequest,
};
use velo_core::error::ErrorKind;
use velo_core::properties::{Options, Properties, PropertySpec};
use velo_core::{ConnectorError, Result, types};
use velo_plan::{PlanContext, PlannedScript, plan_script};
use velo_testkit::collecting::Collected;
use velo_testkit::scripted::{Script, ScriptedConnector};

/// Plans a script, with or without the optimiser.
pub fn plan(script: &str, optimise: bool) -> PlannedScript {
    let mut registry = Registry::new();
    registry.add(Arc::new(Rows)).add(Arc::new(Log)).add(Arc::new(ScriptedConnector::new()));
    let context = PlanContext {
        lookup: Box::new(|name| (name == "FOLDER").then(|| "somewhere".to_owned())),
        optimise,
        // Relative, so that no report has the place of this checkout in it.
        ..PlanContext::new(registry, "tests/it/golden")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(plan_script(script, &context))
}

velo_core::properties! {
    /// The properties of a source of rows.
    pub struct RowsProperties {
        /// Whether it ends by itself.
        "ends" => ends: bool = true,
        /// Whether its columns can be seen while planning.
        "readable" => readable: bool = true,
        /// Where they are written, if they are.
        "place" => place: Option<String>,
    }
}

velo_core::properties! {
    /// The properties of a sink of rows.
    pub struct RowsSinkProperties {
        /// Where the rows go.
        "place" => place: Option<String>,
        /// The cluster in whose transactions they go, if it has some.
        "cluster" => cluster: Option<String>,
    }
}

/// Rows that nobody reads: planning opens nothing.
struct Rows;

impl Connector for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn summary(&self) -> &'static str {
        "Rows of a test"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { source: true, sink: true, replay: true, ..Capabilities::default() }
    }

    fn source_properties(&self) -> Vec<&'static PropertySpec> {
        RowsProperties::SPECS.iter().collect()
    }

    fn sink_properties(&self) -> Vec<&'static PropertySpec> {
        RowsSinkProperties::SPECS.iter().collect()
    }

    fn bind_source(&self, options: &mut Options) -> Option<Arc<dyn SourceBinding>> {
        let properties = RowsProperties::read(options);
        if !properties.readable {
            return Some(Arc::new(LogBinding));
        }
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8, true),
        ]));
        let script = Script::new(&schema);
        Some(if properties.ends { script.binding() } else { script.endless().binding() })
    }

    fn bind_sink(&self, options: &mut Options) -> Option<Arc<dyn SinkBinding>> {
        let properties = RowsSinkProperties::read(options);
        if properties.place.is_none() {
            options.missing("place", "where the rows go");
            return None;
        }
        Some(match properties.cluster {
            Some(cluster) => Arc::new(Cluster(cluster)),
            None => Collected::new().binding(None),
        })
    }
}

/// A system with transactions, which is never connected.
#[derive(Debug)]
struct Cluster(String);

#[async_trait]
impl SinkBinding for Cluster {
    fn describe(&self) -> String {
        self.name()
    }

    fn transactional(&self) -> Option<&dyn TransactionalSystem> {
        Some(self)
    }

    async fn open(&self, _: SinkRequest) -> Result<Box<dyn Sink>> {
        Err(closed())
    }
}

#[async_trait]
impl TransactionalSystem for Cluster {
    fn name(&self) -> String {
        format!("cluster {}", self.0)
    }

    async fn connect(&self, _: TransactionsRequest) -> Result<Arc<dyn Transactions>> {
        Err(closed())
    }
}

/// A log without an end, whose records have a time and a key of their own.
struct Log;

impl Connector for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn summary(&self) -> &'static str {
        "A log of a test"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { source: true, record_time: true, ..Capabilities::default() }
    }

    fn source_properties(&self) -> Vec<&'static PropertySpec> {
        Vec::new()
    }

    fn sink_properties(&self) -> Vec<&'static PropertySpec> {
        Vec::new()
    }

    fn bind_source(&self, _: &mut Options) -> Option<Arc<dyn SourceBinding>> {
        Some(Arc::new(LogBinding))
    }

    fn bind_sink(&self, options: &mut Options) -> Option<Arc<dyn SinkBinding>> {
        options.missing("place", "a log can only be read");
        None
    }
}

struct LogBinding;

impl fmt::Debug for LogBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a log")
    }
}

fn closed() -> ConnectorError {
    ConnectorError::new(ErrorKind::NotFound, "reading", "the log is not there")
}

#[async_trait]
impl SourceBinding for LogBinding {
    fn describe(&self) -> String {
        "log".to_owned()
    }

    fn bounded(&self) -> bool {
        false
    }

    fn system_columns(&self) -> Vec<Field> {
        vec![Field::new("_timestamp", types::TIMESTAMP, false), Field::new("_key", DataType::Utf8, true)]
    }

    async fn infer_schema(&self) -> Result<SchemaRef> {
        Err(closed())
    }

    async fn open(&self, _: SourceRequest) -> Result<Box<dyn StreamSource>> {
        Err(closed())
    }

    async fn open_table(&self, _: SourceRequest) -> Result<Arc<dyn TableDataSource>> {
        Err(closed())
    }
}
