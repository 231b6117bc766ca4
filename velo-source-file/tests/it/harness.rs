//! What the tests of this crate share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use tempfile::TempDir;
use velo_core::connector::{
    ChangelogMode, ChunkDecoder, Connector, DecodeColumn, Fetch, Guarantee, PartitionReader, SinkBinding, SinkRequest,
    SourceBinding, SourceRequest, StreamSource,
};
use velo_core::offset::Position;
use velo_core::progress::Progress;
use velo_core::properties::Options;
use velo_core::table_text::value_text;
use velo_core::{Batch, Clock, ConnectorError};
use velo_source_file::FileConnector;

/// A folder of its own.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn append(&self, name: &str, text: &str) {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// All files below, hidden ones too, by name.
    pub fn list(&self) -> Vec<String> {
        fn walk(root: &Path, at: &Path, out: &mut Vec<String>) {
            for entry in std::fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(root, &path, out);
                } else {
                    out.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        let mut out = Vec::new();
        walk(self.0.path(), self.0.path(), &mut out);
        out.sort();
        out
    }
}

pub fn column(name: &str, sql: &str) -> Field {
    velo_testkit::table!(&format!("\"{name}:{sql}\"")).schema.field(0).clone()
}

pub fn schema(columns: &[(&str, &str)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, sql)| column(name, sql)).collect::<Vec<_>>()))
}

pub fn source(pairs: &[(&str, &str)]) -> Arc<dyn SourceBinding> {
    let mut options = Options::from_pairs(pairs.iter().copied());
    let bound = FileConnector.bind_source(&mut options);
    let errors = options.finish("a file source", FileConnector.source_properties());
    assert_eq!(errors, []);
    bound.unwrap()
}

pub fn source_errors(pairs: &[(&str, &str)]) -> Vec<String> {
    let mut options = Options::from_pairs(pairs.iter().copied());
    let bound = FileConnector.bind_source(&mut options);
    let errors = options.finish("a file source", FileConnector.source_properties());
    assert_eq!(bound.is_none() || !errors.is_empty(), !errors.is_empty());
    errors.into_iter().map(|error| format!("{} | {}", error.message, error.help.unwrap_or_default())).collect()
}

pub fn sink(pairs: &[(&str, &str)]) -> Arc<dyn SinkBinding> {
    let mut options = Options::from_pairs(pairs.iter().copied());
    let bound = FileConnector.bind_sink(&mut options);
    let errors = options.finish("a file sink", FileConnector.sink_properties());
    assert_eq!(errors, []);
    bound.unwrap()
}

/// Declared columns, and system columns by their names.
pub fn request(columns: &[(&str, &str)], clock: &Clock) -> SourceRequest {
    let declared: Vec<_> = columns.iter().filter(|(name, _)| !name.starts_with('_')).copied().collect();
    let wanted = |(name, sql): &(&str, &str)| DecodeColumn::of(&Arc::new(column(name, sql)));
    SourceRequest {
        name: "input".to_owned(),
        ordinal: 0,
        declared: schema(&declared),
        columns: columns.iter().map(wanted).collect(),
        batch_rows: 1_000,
        keep_bytes: false,
        clock: clock.clone(),
        progress: Arc::new(Progress::new()),
    }
}

pub fn sink_request(schema: &SchemaRef, guarantee: Guarantee) -> SinkRequest {
    SinkRequest {
        name: "output".to_owned(),
        schema: Arc::clone(schema),
        key: Vec::new(),
        mode: ChangelogMode::Append,
        guarantee,
        bounded: true,
        after: None,
        transactions: None,
        clock: Clock::manual(0),
        progress: Arc::new(Progress::new()),
    }
}

/// A source that is being read.
pub struct Reading {
    pub reader: Box<dyn PartitionReader>,
    pub decoder: Arc<dyn ChunkDecoder>,
    pub end: Option<Position>,
    _source: Box<dyn StreamSource>,
}

impl Reading {
    pub async fn open(binding: &Arc<dyn SourceBinding>, request: SourceRequest, from: Option<&Position>) -> Self {
        let mut source = binding.open(request).await.unwrap();
        let reader = source.reader(0, from).await.unwrap();
        Self { reader, decoder: source.decoder(), end: from.cloned(), _source: source }
    }

    /// The rows of the next chunk, each as text; `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Vec<String>>, ConnectorError> {
        let chunk = loop {
            match self.reader.next().await? {
                Fetch::Chunk(chunk) => break chunk,
                Fetch::CaughtUp => {}
                Fetch::End => return Ok(None),
            }
        };
        let decoded = self.decoder.decode(&chunk)?;
        self.end = Some(chunk.end);
        let mut rows: Vec<String> = decoded.batches.iter().flat_map(texts).collect();
        for (before, error) in decoded.errors.into_iter().enumerate() {
            rows.insert(error.after_rows + before, format!("{}: {}", error.place, error.message));
        }
        Ok(Some(rows))
    }

    /// All rows up to the end.
    pub async fn rest(&mut self) -> Vec<String> {
        let mut rows = Vec::new();
        while let Some(more) = self.chunk().await.unwrap() {
            rows.extend(more);
        }
        rows
    }

    /// The next `count` rows, which are all of their chunks.
    pub async fn rows(&mut self, count: usize) -> Vec<String> {
        let mut rows = Vec::new();
        while rows.len() < count {
            rows.extend(self.chunk().await.unwrap().expect("more rows before the end"));
        }
        assert_eq!(rows.len(), count, "{rows:?}");
        rows
    }
}

/// The rows of a batch as text, values separated by blanks.
pub fn texts(batch: &Batch) -> Vec<String> {
    let columns = batch.columns.columns();
    let cell = |row: usize| {
        let cells = columns.iter().map(move |column| value_text(column, row).unwrap_or_else(|| "NULL".to_owned()));
        cells.collect::<Vec<_>>().join(" ")
    };
    (0..batch.rows()).map(cell).collect()
}

/// All rows of a bounded source.
pub async fn read(pairs: &[(&str, &str)], columns: &[(&str, &str)]) -> Vec<String> {
    let request = request(columns, &Clock::system());
    Reading::open(&source(pairs), request, None).await.rest().await
}
