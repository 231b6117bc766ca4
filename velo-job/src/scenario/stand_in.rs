//! Connectors for planning: those of the build, and something in the place of those that it lacks.
//!
//! A connector of the build reads and checks its properties as ever, with paths relative to the scenario. One that the build
//! lacks takes whatever it is given, so that a scenario is the script that users run; only a misspelt property of event time,
//! watermarks and their like is still a mistake. What was bound is remembered, so that the runner can put blocks in the place
//! of bindings and can bind the file connector with the properties of a block's sink.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_schema::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use velo_core::connector::{
    Capabilities, Connector, Registry, Replay, Sink, SinkBinding, SinkRequest, SourceBinding, SourceRequest,
    StreamSource, TableDataSource,
};
use velo_core::error::ErrorKind;
use velo_core::properties::{Entry, Options, PropertyError, PropertySpec};
use velo_core::{ConnectorError, Result};

/// Names that scripts may use though a build lacks the connector, and whether such a source ends by itself.
const NAMES: &[(&str, bool)] = &[
    ("blackhole", true),
    ("datagen", false),
    ("file", true),
    ("http", false),
    ("kafka", false),
    ("nexmark", false),
    ("print", true),
    ("s3", true),
    ("sql", true),
];

/// What a scenario need not say, because nothing is connected to: of which connector, the property, its other name and a value.
const UNSAID: &[(&str, &str, &str, &str)] = &[("kafka", "bootstrap.servers", "brokers", "localhost:9092")];

/// Properties that the planner reads itself; what it left over is a mistake.
const GENERIC: &[&str] =
    &["event.time.", "watermark.", "late.", "allowed.", "on.", "decode.", "delivery.", "changelog."];

/// What was bound while planning.
#[derive(Clone, Default)]
pub(super) struct Bound(Arc<Mutex<Vec<Face>>>);

/// One side of a connector, with the properties it was given.
enum Face {
    Source(Arc<dyn SourceBinding>, Options),
    Sink(Arc<dyn SinkBinding>, Options),
}

impl Bound {
    fn faces(&self) -> MutexGuard<'_, Vec<Face>> {
        // A list that only grows is whole at any moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The properties that this binding was made of.
    pub(super) fn source_options(&self, binding: &Arc<dyn SourceBinding>) -> Option<Options> {
        let wanted = Arc::as_ptr(binding).cast::<()>();
        self.faces().iter().find_map(|face| match face {
            Face::Source(bound, options) if Arc::as_ptr(bound).cast::<()>() == wanted => Some(options.clone()),
            _ => None,
        })
    }

    /// The properties that this binding was made of.
    pub(super) fn sink_options(&self, binding: &Arc<dyn SinkBinding>) -> Option<Options> {
        let wanted = Arc::as_ptr(binding).cast::<()>();
        self.faces().iter().find_map(|face| match face {
            Face::Sink(bound, options) if Arc::as_ptr(bound).cast::<()>() == wanted => Some(options.clone()),
            _ => None,
        })
    }
}

/// The connectors to plan with. `times`: records have times of their own.
pub(super) fn registry(base: &Registry, folder: &Path, bound: &Bound, times: bool) -> Registry {
    let mut registry = Registry::new();
    for (name, bounded) in NAMES {
        let inner = StandIn { name, bounded: *bounded };
        registry.add(Arc::new(Remembering { inner: Arc::new(inner), folder: None, bound: bound.clone(), times }));
    }
    for connector in base.iter() {
        let inner = Arc::clone(connector);
        registry.add(Arc::new(Remembering { inner, folder: Some(folder.to_owned()), bound: bound.clone(), times }));
    }
    registry
}

/// A connector that remembers what it bound.
struct Remembering {
    inner: Arc<dyn Connector>,
    /// What paths are relative to.
    folder: Option<PathBuf>,
    bound: Bound,
    /// Whether records have times of their own.
    times: bool,
}

impl Remembering {
    /// The properties as the connector is to have them.
    fn prepare(&self, options: &mut Options) {
        for (_, key, other, value) in UNSAID.iter().filter(|(name, ..)| *name == self.inner.name()) {
            if self.folder.is_some() && options.get(key).is_none() && options.get(other).is_none() {
                options.set(Entry { key: (*key).to_owned(), value: (*value).to_owned(), origin: 0 });
            }
        }
        let Some(folder) = &self.folder else { return };
        if let Some(Entry { key, value, origin }) = options.take("path") {
            let value = folder.join(value).to_string_lossy().into_owned();
            options.set(Entry { key, value, origin });
        }
    }
}

impl Connector for Remembering {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn summary(&self) -> &'static str {
        self.inner.summary()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn source_properties(&self) -> Vec<&'static PropertySpec> {
        self.inner.source_properties()
    }

    fn sink_properties(&self) -> Vec<&'static PropertySpec> {
        self.inner.sink_properties()
    }

    fn bind_source(&self, options: &mut Options) -> Option<Arc<dyn SourceBinding>> {
        let given = options.clone();
        self.prepare(options);
        let binding = self.inner.bind_source(options)?;
        let binding = if self.times { binding } else { Arc::new(WithoutTimes(binding)) };
        self.bound.faces().push(Face::Source(Arc::clone(&binding), given));
        Some(binding)
    }

    fn bind_sink(&self, options: &mut Options) -> Option<Arc<dyn SinkBinding>> {
        let given = options.clone();
        self.prepare(options);
        let binding = self.inner.bind_sink(options)?;
        self.bound.faces().push(Face::Sink(Arc::clone(&binding), given));
        Some(binding)
    }
}

/// A source of rows in blocks, which have no time of their own where no block has a column for it.
#[derive(Debug)]
struct WithoutTimes(Arc<dyn SourceBinding>);

#[async_trait]
impl SourceBinding for WithoutTimes {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn bounded(&self) -> bool {
        self.0.bounded()
    }

    fn gives_kinds(&self) -> bool {
        self.0.gives_kinds()
    }

    fn as_table(&self, key: &[String], from_latest: bool) -> Option<Arc<dyn SourceBinding>> {
        self.0.as_table(key, from_latest)
    }

    fn system_columns(&self) -> Vec<Field> {
        self.0.system_columns()
    }

    async fn infer_schema(&self) -> Result<SchemaRef> {
        self.0.infer_schema().await
    }

    fn check_columns(&self, declared: &Schema) -> Vec<PropertyError> {
        self.0.check_columns(declared)
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn StreamSource>> {
        self.0.open(request).await
    }

    async fn open_table(&self, request: SourceRequest) -> Result<Arc<dyn TableDataSource>> {
        self.0.open_table(request).await
    }

    async fn open_replay(&self) -> Result<Option<Box<dyn Replay>>> {
        self.0.open_replay().await
    }
}

/// A connector that the build lacks.
#[derive(Debug, Clone, Copy)]
struct StandIn {
    name: &'static str,
    bounded: bool,
}

/// Takes all properties but those that the planner should have read.
fn take_own(options: &mut Options) -> Vec<Entry> {
    let (generic, own) = options
        .take_prefix("")
        .into_iter()
        .partition(|entry: &Entry| GENERIC.iter().any(|prefix| entry.key.to_ascii_lowercase().starts_with(prefix)));
    for entry in generic {
        options.set(entry);
    }
    own
}

impl Connector for StandIn {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        "Stands in for a connector that this build lacks"
    }

    fn capabilities(&self) -> Capabilities {
        let keyed = matches!(self.name, "kafka" | "sql");
        Capabilities {
            source: !matches!(self.name, "print" | "blackhole"),
            sink: !matches!(self.name, "datagen" | "nexmark"),
            changelog: keyed,
            transactions: true,
            incremental: keyed,
            deletes: keyed,
            replay: true,
            ordered: true,
            record_time: self.name == "kafka",
        }
    }

    fn source_properties(&self) -> Vec<&'static PropertySpec> {
        Vec::new()
    }

    fn sink_properties(&self) -> Vec<&'static PropertySpec> {
        Vec::new()
    }

    fn bind_source(&self, options: &mut Options) -> Option<Arc<dyn SourceBinding>> {
        let own = take_own(options);
        let says = |key: &str| own.iter().any(|entry| entry.key.eq_ignore_ascii_case(key));
        let bounded = says("scan.bounded") || (self.bounded && !says("watch") && !says("mode"));
        let is_format =
            |entry: &&Entry| ["format", "value.format"].iter().any(|key| entry.key.eq_ignore_ascii_case(key));
        let format = own.iter().find(is_format).map(|entry| entry.value.to_ascii_lowercase().replace('-', "_"));
        let kinds = format.as_deref() == Some("debezium_json");
        Some(Arc::new(StandInBinding { name: self.name, bounded, kinds }))
    }

    fn bind_sink(&self, options: &mut Options) -> Option<Arc<dyn SinkBinding>> {
        take_own(options);
        Some(Arc::new(StandInBinding { name: self.name, bounded: self.bounded, kinds: false }))
    }
}

struct StandInBinding {
    name: &'static str,
    bounded: bool,
    /// The format says what happened to a row.
    kinds: bool,
}

impl fmt::Debug for StandInBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl StandInBinding {
    fn lacking<T>(&self, advice: &str) -> Result<T> {
        let message = format!("this build has no connector '{}'", self.name);
        Err(ConnectorError::new(ErrorKind::Unsupported, "opening", message).advise(advice))
    }
}

#[async_trait]
impl SourceBinding for StandInBinding {
    fn describe(&self) -> String {
        self.name.to_owned()
    }

    fn bounded(&self) -> bool {
        self.bounded
    }

    fn gives_kinds(&self) -> bool {
        self.kinds
    }

    async fn infer_schema(&self) -> Result<SchemaRef> {
        self.lacking("declare the columns")
    }

    async fn open(&self, _request: SourceRequest) -> Result<Box<dyn StreamSource>> {
        self.lacking("add a block 'input' with its rows")
    }

    async fn open_table(&self, _request: SourceRequest) -> Result<Arc<dyn TableDataSource>> {
        self.lacking("add a block 'input' with its rows")
    }
}

#[async_trait]
impl SinkBinding for StandInBinding {
    fn describe(&self) -> String {
        self.name.to_owned()
    }

    async fn open(&self, _request: SinkRequest) -> Result<Box<dyn Sink>> {
        self.lacking("add a block 'output' with its rows")
    }
}

/// The file connector bound to a file of the runner's, with those of `given` that it knows.
fn file_options(
    base: &Registry,
    given: Options,
    path: &Path,
    format: Option<&str>,
    face: fn(&dyn Connector) -> Vec<&'static PropertySpec>,
) -> Result<(Arc<dyn Connector>, Options), String> {
    let Some(connector) = base.get("file") else {
        return Err("records as bytes need the file connector, and this build has none".to_owned());
    };
    let known = face(connector.as_ref());
    let replaced = ["path", "file.path", "watch", "append", "partition.by"];
    let mut options = Options::new();
    let mut formatted = false;
    for entry in given.clone().take_prefix("") {
        let names = |spec: &&PropertySpec| {
            std::iter::once(&spec.key).chain(spec.aliases).any(|name| name.eq_ignore_ascii_case(&entry.key))
        };
        if known.iter().any(names) && !replaced.contains(&entry.key.to_ascii_lowercase().as_str()) {
            formatted |= entry.key.eq_ignore_ascii_case("format");
            options.set(entry);
        }
    }
    let mut add = |key: &str, value: &str| {
        options.set(Entry { key: key.to_owned(), value: value.to_owned(), origin: usize::MAX });
    };
    add("path", &path.to_string_lossy());
    if let Some(format) = format.filter(|_| !formatted) {
        add("format", format);
    }
    Ok((Arc::clone(connector), options))
}

fn first_mistake(options: Options) -> String {
    let mistake = options.finish("the scenario's file", []).into_iter().next();
    mistake.map_or_else(|| "the file connector refused the properties".to_owned(), |mistake| mistake.message)
}

/// A source that reads `path` as the script's source would read its bytes.
pub(super) fn file_source(
    base: &Registry,
    given: Options,
    path: &Path,
    format: Option<&str>,
) -> Result<Arc<dyn SourceBinding>, String> {
    let (connector, mut options) = file_options(base, given, path, format, |connector| connector.source_properties())?;
    connector.bind_source(&mut options).ok_or_else(|| first_mistake(options))
}

/// A sink that writes to `path` as the script's sink would write its bytes.
pub(super) fn file_sink(
    base: &Registry,
    given: Options,
    path: &Path,
    format: Option<&str>,
) -> Result<Arc<dyn SinkBinding>, String> {
    let (connector, mut options) = file_options(base, given, path, format, |connector| connector.sink_properties())?;
    connector.bind_sink(&mut options).ok_or_else(|| first_mistake(options))
}
