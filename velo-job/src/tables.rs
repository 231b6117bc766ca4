//! The tables of a plan: a store for each, the loader for those over connectors, writers for those that queries make, and the
//! gate that everything waits at which reads one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use velo_core::connector::{SizeHint, SourceRequest};
use velo_core::dead_letter::{self, DeadLetter};
use velo_core::duration::Span;
use velo_core::error::ErrorKind;
use velo_core::lookup::{TableReader, TableWriter};
use velo_core::progress::Progress;
use velo_core::resilience::Connection;
use velo_core::{Batch, Clock, ConnectorError};
use velo_exec::ExecError;
use velo_exec::checkpoint::Resumed;
use velo_exec::physical::{Names, loaded};
use velo_exec::runtime::{CHANNEL_DEPTH, JobProgress, JobTables, TableRows};
use velo_exec::spill::MemoryPool;
use velo_plan::OnError;
use velo_plan::plan::{ConnectorFeed, NodeId, NodeKind, Plan, SourceNode, TableFeed, TableId, TableNode};
use velo_tables::{
    DeadLetters, Declared, Feed, GraphError, LoadSettings, OnBad, Prepared, SourceFeed, StoreSpec, Table,
    TableCounters, TableGraph, TableNumber, TableSource, TableSpec, Tables, Upkeep,
};

/// The tables of a running job. They are loaded and kept for as long as this lives.
pub(crate) struct RunningTables {
    pub(crate) loading: Option<Tables>,
    /// What each of them counts, in the order of the script.
    pub(crate) counters: Vec<Arc<TableCounters>>,
    /// What the dataflow takes of them.
    pub(crate) job: JobTables,
}

/// What a run says about its tables.
pub(crate) struct TableSettings {
    pub(crate) batch_rows: usize,
    pub(crate) load_parallelism: usize,
    pub(crate) clock: Clock,
    /// Whether all tables are loaded, and not only those that are read.
    pub(crate) all: bool,
    /// Whether those that go on changing are in checkpoints.
    pub(crate) in_checkpoints: bool,
    /// What bounds their memory.
    pub(crate) memory: Arc<MemoryPool>,
}

/// Makes the tables of the plan, has them take up what is in the checkpoint that the job goes on from, and begins to load them.
pub(crate) fn start(
    plan: &Plan,
    settings: &TableSettings,
    mut resumed: Option<&mut Resumed>,
    progress: &JobProgress,
    place: impl Fn(velo_sql::Span) -> String,
) -> Result<RunningTables, ExecError> {
    let mut job = JobTables::default();
    let read: BTreeSet<TableId> = match settings.all {
        true => (0..plan.tables.len()).map(TableId).collect(),
        false => plan.nodes.iter().filter_map(|node| node.kind.reads()).collect(),
    };
    let numbers: BTreeMap<TableId, TableNumber> =
        read.iter().enumerate().map(|(number, table)| (*table, TableNumber(number))).collect();
    let names = Names::new(plan);
    let mut in_checkpoints: BTreeMap<TableId, Arc<Table>> = BTreeMap::new();
    let mut specs = Vec::with_capacity(read.len());
    let mut counted = Vec::with_capacity(read.len());
    for (at, table) in plan.tables.iter().enumerate() {
        let id = TableId(at);
        let counters = Arc::new(TableCounters::default());
        let failed = |error| ExecError::connector(&table.name, error);
        let (reader, mut writer) = velo_tables::table(StoreSpec {
            name: table.name.clone(),
            schema: Arc::clone(&table.schema),
            key: table.key.clone(),
            null_keys: table.null_keys,
            indexes: table.indexes.clone(),
            keeps_versions: table.keeps_versions,
            counters: Arc::clone(&counters),
            budget: read.contains(&id).then(|| settings.memory.of_table(&table.name)).flatten(),
        })
        .map_err(failed)?;
        job.readers.push(Arc::clone(&reader) as Arc<dyn TableReader>);
        if !read.contains(&id) {
            continue;
        }
        let mut reached = None;
        if settings.in_checkpoints && !plan.is_settled(id) {
            reader.keep_for_checkpoints();
            in_checkpoints.insert(id, Arc::clone(&reader));
        }
        if let Some(resumed) = &mut resumed {
            if let Some(kept) = resumed.table(names.table(id))? {
                reached.clone_from(&kept.table.head.offset);
                progress.tables[at].count_from(&kept.counters);
                writer.restore(kept.table).map_err(failed)?;
            }
            // Before anything is written, so that no change is missed.
            let scans = plan.nodes.iter().enumerate().filter(|(_, node)| match &node.kind {
                NodeKind::TableScan(scan) => scan.table == id,
                _ => false,
            });
            job.since.extend(scans.map(|(node, _)| (NodeId(node), reader.follow_on())));
        }
        let reader: Arc<dyn TableReader> = reader;
        counted.push(counters);
        let counters = Arc::clone(&progress.tables[at]);
        let (feed, needs) = match &table.feed {
            TableFeed::Connector(connector) => {
                let letters = Arc::new(Letters::new(&connector.source, &mut job));
                let feed = source_feed(table, connector, writer, reader, counters, letters, settings)?;
                (Feed::Source(Box::new(SourceFeed { saved: reached, ..feed })), Vec::new())
            }
            TableFeed::Query(node) => {
                job.writers.insert(id, Box::new(writer) as Box<dyn TableWriter>);
                let (needs, sources) = behind(plan, *node);
                let counters =
                    sources.into_iter().map(|source| Arc::clone(&progress.sources[source])).chain([counters]);
                let needs = needs.into_iter().filter_map(|table| numbers.get(&table).copied());
                (Feed::Elsewhere { reader, progress: counters.collect() }, needs.collect())
            }
        };
        specs.push(TableSpec { name: table.name.clone(), place: place(table.place), needs, feed });
    }
    if specs.is_empty() {
        return Ok(RunningTables { loading: None, counters: counted, job });
    }
    let load = LoadSettings { parallelism: settings.load_parallelism, ..LoadSettings::default() };
    let tables = Tables::start(specs, load, settings.clock.clone()).map_err(no_order)?;
    for id in loaded(plan) {
        if let (Some(number), Some(table)) = (numbers.get(&id), in_checkpoints.remove(&id)) {
            job.loaded.insert(id, tables.for_checkpoints(*number, table));
        }
    }
    let gate = tables.gate();
    job.wait = Some(Arc::new(move |tables: Vec<TableId>, timeout: Option<Span>| {
        let gate = gate.clone();
        let awaited: Vec<TableNumber> = tables.iter().filter_map(|table| numbers.get(table).copied()).collect();
        Box::pin(async move {
            let waited = gate.wait_for(&awaited, timeout).await;
            waited.map_err(|error| ConnectorError::new(ErrorKind::Unavailable, "waiting", error.to_string()))
        })
    }));
    Ok(RunningTables { loading: Some(tables), counters: counted, job })
}

fn no_order(error: GraphError) -> ExecError {
    let error = ConnectorError::new(ErrorKind::Configuration, "ordering", error.to_string());
    ExecError::connector("tables", error)
}

/// The tables and sources that a node's rows come from.
fn behind(plan: &Plan, node: NodeId) -> (BTreeSet<TableId>, BTreeSet<usize>) {
    let (mut tables, mut sources) = (BTreeSet::new(), BTreeSet::new());
    for node in plan.upstream(node) {
        let kind = &plan.nodes[node.0].kind;
        tables.extend(kind.reads());
        if let NodeKind::Source(source) = kind {
            sources.insert(source.0);
        }
    }
    (tables, sources)
}

fn source_feed(
    table: &TableNode,
    connector: &ConnectorFeed,
    writer: velo_tables::Writer,
    reader: Arc<dyn TableReader>,
    progress: Arc<Progress>,
    dead_letters: Arc<dyn DeadLetters>,
    settings: &TableSettings,
) -> Result<SourceFeed, ExecError> {
    let rows = TableRows::new(connector, &table.schema, &table.name)?;
    let source = &connector.source;
    let request = request(table, source, &rows, settings.batch_rows, &settings.clock, Arc::clone(&progress));
    let (clock, name) = (settings.clock.clone(), table.name.clone());
    let prepare = move |batch: Batch| {
        let failed = |error: ExecError| ConnectorError::new(ErrorKind::Decode, "loading a table", error.to_string());
        let (rows, refused) = rows.rows(batch, clock.wall()).map_err(failed)?;
        Ok(Prepared { rows, refused: refused.into_iter().map(|refused| refused.into_letter(&name)).collect() })
    };
    Ok(SourceFeed {
        source: TableSource::Binding(Arc::clone(&source.binding), request),
        writer: Box::new(writer),
        reader,
        prepare: Arc::new(prepare),
        on_bad: policy(source.on_error),
        on_refused: policy(source.event_time.as_ref().map_or(source.on_error, |time| time.on_error)),
        dead_letters,
        progress,
        connection: Arc::new(Connection::new(&table.name, table.upkeep.breaker.clone(), settings.clock.clone())),
        retry: table.upkeep.retry,
        upkeep: Upkeep {
            bounded: source.binding.bounded(),
            refresh: table.upkeep.refresh,
            reload: table.upkeep.reload,
            from_latest: table.upkeep.from_latest,
            max_out_of_orderness: source
                .event_time
                .as_ref()
                .map_or(Span(0), |time| time.watermark.max_out_of_orderness),
        },
        saved: None,
    })
}

fn request(
    table: &TableNode,
    source: &SourceNode,
    rows: &TableRows,
    batch_rows: usize,
    clock: &Clock,
    progress: Arc<Progress>,
) -> SourceRequest {
    SourceRequest {
        name: table.name.clone(),
        ordinal: 0,
        declared: Arc::clone(&source.declared),
        columns: rows.columns().to_vec(),
        batch_rows,
        keep_bytes: source.dead_letters.is_some(),
        clock: clock.clone(),
        progress,
    }
}

fn policy(on_error: OnError) -> OnBad {
    match on_error {
        OnError::Fail => OnBad::Fail,
        OnError::Skip => OnBad::Skip,
        OnError::DeadLetter => OnBad::DeadLetter,
    }
}

/// Takes the dead letters of a table to their sink.
struct Letters(Option<mpsc::Sender<Batch>>);

#[async_trait]
impl DeadLetters for Letters {
    async fn take(&self, letters: Vec<DeadLetter>) -> velo_core::Result<()> {
        let failed = |message: &str| ConnectorError::new(ErrorKind::Io, "writing dead letters", message);
        let rows = dead_letter::to_batch(&letters).map_err(|error| failed(&error.to_string()))?;
        let sender = self.0.as_ref().ok_or_else(|| failed("there is no sink for them"))?;
        sender.send(Batch::new(rows)).await.map_err(|_| failed("nobody takes them any more"))
    }
}

impl Letters {
    /// Those of a table, and where they arrive as rows.
    fn new(source: &SourceNode, job: &mut JobTables) -> Self {
        let Some(sink) = source.dead_letters else { return Self(None) };
        let (sender, letters) = mpsc::channel(CHANNEL_DEPTH);
        job.letters.push((sink, letters));
        Self(Some(sender))
    }
}

/// What can be said of a table before it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOverview {
    /// Its name.
    pub name: String,
    /// Where it was declared, as `line:column`.
    pub place: String,
    /// What it is made of, how it is kept, in one line.
    pub text: String,
    /// The tables that must be ready before it can be loaded.
    pub needs: Vec<String>,
    /// Rows and bytes of its source, where it has one that knows.
    pub size: SizeHint,
}

/// The tables of a plan, in the order in which they can be loaded; asks their sources how large they are.
pub(crate) async fn overview(
    plan: &Plan,
    clock: &Clock,
    place: impl Fn(velo_sql::Span) -> String,
) -> Result<Vec<TableOverview>, ExecError> {
    let declared = |table: &TableNode| Declared {
        name: table.name.clone(),
        place: place(table.place),
        needs: match &table.feed {
            TableFeed::Connector(_) => Vec::new(),
            TableFeed::Query(node) => behind(plan, *node).0.into_iter().map(|table| TableNumber(table.0)).collect(),
        },
    };
    let graph = TableGraph::new(plan.tables.iter().map(declared).collect()).map_err(no_order)?;
    let mut all = Vec::with_capacity(graph.len());
    for number in graph.order() {
        let table = &plan.tables[number.0];
        let size = match &table.feed {
            TableFeed::Connector(connector) => {
                let rows = TableRows::new(connector, &table.schema, &table.name)?;
                let request = request(table, &connector.source, &rows, 8_192, clock, Arc::default());
                // One that cannot be opened is told of when it is loaded.
                let opened = connector.source.binding.open_table(request).await;
                opened.map_or(SizeHint::UNKNOWN, |source| source.size_hint())
            }
            TableFeed::Query(_) => SizeHint::UNKNOWN,
        };
        let needs = graph.needs(*number).into_iter().map(|needed| plan.tables[needed.0].name.clone()).collect();
        let (name, text) = (table.name.clone(), plan.table_text(TableId(number.0)));
        all.push(TableOverview { name, place: place(table.place), text, needs, size });
    }
    Ok(all)
}
