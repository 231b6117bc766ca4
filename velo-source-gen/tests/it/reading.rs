//! What the tests of this crate share: a source bound, and its rows read.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use velo_core::connector::{ChunkDecoder, Connector, Fetch, PartitionReader, SourceBinding, SourceRequest};
use velo_core::offset::Position;
use velo_core::properties::Options;
use velo_core::table_text::value_text;
use velo_core::{Batch, Clock, Result};

pub type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Columns as `name:TYPE`, separated by blanks.
pub fn schema(columns: &str) -> SchemaRef {
    velo_testkit::table!(columns).schema
}

pub fn bind(connector: &dyn Connector, pairs: Pairs<'_>) -> Arc<dyn SourceBinding> {
    let mut options = Options::from_pairs(pairs.iter().copied());
    let bound = connector.bind_source(&mut options);
    assert_eq!(options.finish("a source", connector.source_properties()), []);
    bound.unwrap()
}

/// The mistakes in a declaration, each with what to do.
pub fn mistakes(connector: &dyn Connector, pairs: Pairs<'_>, declared: &Schema) -> Vec<String> {
    let mut options = Options::from_pairs(pairs.iter().copied());
    let bound = connector.bind_source(&mut options);
    let mut errors = options.finish(&format!("a {} source", connector.name()), connector.source_properties());
    errors.extend(bound.iter().flat_map(|bound| bound.check_columns(declared)));
    errors.into_iter().map(|error| format!("{} | {}", error.message, error.help.unwrap_or_default())).collect()
}

pub fn request(declared: &SchemaRef, batch_rows: usize, clock: &Clock) -> SourceRequest {
    SourceRequest { batch_rows, ..velo_testkit::source_request("made", declared, clock) }
}

/// A source that is being read.
pub struct Reading {
    pub reader: Box<dyn PartitionReader>,
    pub decoder: Arc<dyn ChunkDecoder>,
}

impl Reading {
    pub async fn open(binding: &Arc<dyn SourceBinding>, request: SourceRequest, from: Option<u64>) -> Self {
        let mut source = binding.open(request).await.unwrap();
        let reader = source.reader(0, from.map(Position::Row).as_ref()).await.unwrap();
        Self { reader, decoder: source.decoder() }
    }

    /// The batches of the next chunk; `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Vec<Batch>>> {
        loop {
            match self.reader.next().await? {
                Fetch::Chunk(chunk) => return Ok(Some(self.decoder.decode(&chunk)?.batches)),
                Fetch::CaughtUp => {}
                Fetch::End => return Ok(None),
            }
        }
    }

    /// All rows up to the end.
    pub async fn rest(&mut self) -> Result<Vec<Batch>> {
        let mut batches = Vec::new();
        while let Some(more) = self.chunk().await? {
            batches.extend(more);
        }
        Ok(batches)
    }
}

/// All rows of a bounded source, from a row on, as one batch.
pub async fn read(
    connector: &dyn Connector,
    pairs: Pairs<'_>,
    declared: &SchemaRef,
    batch_rows: usize,
    from: Option<u64>,
) -> Batch {
    let request = request(declared, batch_rows, &Clock::manual(0));
    let batches = Reading::open(&bind(connector, pairs), request, from).await.rest().await.unwrap();
    assert!(batches.iter().all(|batch| (1..=batch_rows).contains(&batch.rows())));
    Batch::concat(declared, &batches).unwrap()
}

/// The rows of a batch as text, values separated by blanks.
pub fn texts(batch: &Batch) -> Vec<String> {
    let cell = |row: usize| {
        let cells = batch.columns.columns().iter();
        cells
            .map(move |column| value_text(column, row).unwrap_or_else(|| "NULL".to_owned()))
            .collect::<Vec<_>>()
            .join(" ")
    };
    (0..batch.rows()).map(cell).collect()
}
