//! A stream over two sources: the history is read to its end, and then what comes live. No connector knows of it.
//!
//! What is live is opened first, so that where it begins is decided before the first record of the history, and is in the first
//! checkpoint. Partitions of the history have lower numbers than those of what is live, and names of their own in checkpoints;
//! those of what is live keep their names. Once all of the history was read to its end it is not opened again.

use std::collections::BTreeMap;
use std::ops::RangeTo;
use std::sync::Arc;

use arrow_array::new_null_array;
use arrow_schema::{Field, FieldRef};
use async_trait::async_trait;
use velo_core::connector::{
    Chunk, ChunkDecoder, DecodeColumn, Decoded, Fetch, PartitionInfo, PartitionReader, SourceBinding, SourceRequest,
    StreamSource, TakenIn,
};
use velo_core::dead_letter::RecordAttributes;
use velo_core::error::ErrorKind;
use velo_core::offset::{Position, SourceOffset};
use velo_core::{Batch, ConnectorError, Result};

/// Partitions of what is live are numbered from here on.
const LIVE: u32 = 1 << 31;

/// Before the names of the history's partitions.
const PREFIX: &str = "history:";

/// One of the two sources, opened.
struct Side {
    source: Box<dyn StreamSource>,
    absent: Absent,
}

/// What is known of the history.
enum History {
    /// Whether it is needed is not known yet.
    Closed(Arc<dyn SourceBinding>, Box<SourceRequest>, Absent),
    Open(Side),
    /// It was read to its end before this run.
    Over,
}

/// The two as one source.
struct HistoryThenLive {
    history: History,
    live: Side,
    /// All partitions that were told, in the order in which they were found.
    partitions: Vec<PartitionInfo>,
    /// How many of them are the history's.
    of_history: usize,
}

/// Opens what is live, with `history` before it.
pub(super) async fn open(
    live: &dyn SourceBinding,
    history: Arc<dyn SourceBinding>,
    request: SourceRequest,
) -> Result<Box<dyn StreamSource>> {
    let (of_live, of_history) = (live.system_columns(), history.system_columns());
    let (live_request, live_absent) = of_side(&request, &of_live, &of_history);
    let (history_request, history_absent) = of_side(&request, &of_history, &of_live);
    let live = Side { source: live.open(live_request).await?, absent: live_absent };
    let history = History::Closed(history, Box::new(history_request), history_absent);
    Ok(Box::new(HistoryThenLive { history, live, partitions: Vec::new(), of_history: 0 }))
}

/// What is asked of a side: all but the system columns that only the other one has, which are NULL in its rows.
fn of_side(request: &SourceRequest, own: &[Field], others: &[Field]) -> (SourceRequest, Absent) {
    let has = |fields: &[Field], name: &str| fields.iter().any(|field| field.name().eq_ignore_ascii_case(name));
    let is_absent = |column: &DecodeColumn| match column.path.as_slice() {
        [name] => {
            let declared = request.declared.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
            !declared && has(others, name) && !has(own, name)
        }
        _ => false,
    };
    let mut request = request.clone();
    let columns = std::mem::take(&mut request.columns);
    let mut absent = Vec::new();
    for (at, column) in columns.into_iter().enumerate() {
        match is_absent(&column) {
            true => absent.push((at, column.field)),
            false => request.columns.push(column),
        }
    }
    (request, Absent(absent.into()))
}

/// What a checkpoint says of the history, and of what is live.
fn split(offset: &SourceOffset) -> (SourceOffset, SourceOffset) {
    let (mut history, mut live) = (BTreeMap::new(), BTreeMap::new());
    for (name, position) in &offset.partitions {
        match name.strip_prefix(PREFIX) {
            Some(name) => history.insert(name.to_owned(), position.clone()),
            None => live.insert(name.clone(), position.clone()),
        };
    }
    (SourceOffset { partitions: history }, SourceOffset { partitions: live })
}

#[async_trait]
impl StreamSource for HistoryThenLive {
    async fn resume(&mut self, from: &SourceOffset) -> Result<()> {
        let (of_history, of_live) = split(from);
        self.live.source.resume(&of_live).await?;
        let History::Closed(binding, request, absent) = &self.history else { return Ok(()) };
        let finished = of_history.partitions.values().all(|position| *position == Position::Finished);
        // A checkpoint that says nothing of it was made before the stream had a history.
        if !of_history.partitions.is_empty() && finished {
            // Nobody asks for what it had, which may not be there any more. Later checkpoints say so too.
            self.partitions = of_history.partitions.into_keys().enumerate().map(ended).collect();
            self.of_history = self.partitions.len();
            self.history = History::Over;
            return Ok(());
        }
        let mut source = binding.open(SourceRequest::clone(request)).await?;
        source.resume(&of_history).await?;
        self.history = History::Open(Side { source, absent: absent.clone() });
        Ok(())
    }

    fn leading(&self) -> Option<RangeTo<u32>> {
        Some(..LIVE)
    }

    async fn partitions(&mut self) -> Result<Vec<PartitionInfo>> {
        if let History::Open(history) = &mut self.history {
            let found = history.source.partitions().await?.into_iter().skip(self.of_history);
            let before = self.partitions.len();
            self.partitions.extend(found.map(|info| PartitionInfo { name: format!("{PREFIX}{}", info.name), ..info }));
            self.of_history += self.partitions.len() - before;
        }
        let of_live = self.partitions.len() - self.of_history;
        let found = self.live.source.partitions().await?.into_iter().skip(of_live);
        self.partitions.extend(found.map(|info| PartitionInfo { number: LIVE + info.number, ..info }));
        Ok(self.partitions.clone())
    }

    async fn changed(&mut self) -> Result<()> {
        match &mut self.history {
            History::Open(history) => tokio::select! {
                biased;
                changed = history.source.changed() => changed,
                changed = self.live.source.changed() => changed,
            },
            History::Closed(..) | History::Over => self.live.source.changed().await,
        }
    }

    async fn reader(&mut self, partition: u32, from: Option<&Position>) -> Result<Box<dyn PartitionReader>> {
        let inner = match (partition.checked_sub(LIVE), &mut self.history) {
            (Some(number), _) => self.live.source.reader(number, from).await?,
            (None, History::Open(history)) => history.source.reader(partition, from).await?,
            (None, History::Closed(..) | History::Over) => {
                let message = format!("the history has ended, and its partition {partition} cannot be read");
                return Err(ConnectorError::new(ErrorKind::Configuration, "opening a partition", message));
            }
        };
        Ok(Box::new(Numbered { inner, partition }))
    }

    fn decoder(&self) -> Arc<dyn ChunkDecoder> {
        let of = |side: &Side| SideDecoder { inner: side.source.decoder(), absent: side.absent.clone() };
        let history = match &self.history {
            History::Open(history) => Some(of(history)),
            History::Closed(..) | History::Over => None,
        };
        Arc::new(TwoDecoders { history, live: of(&self.live) })
    }

    fn checkpointed(&mut self, offset: &SourceOffset) {
        let (of_history, of_live) = split(offset);
        if let History::Open(history) = &mut self.history {
            history.source.checkpointed(&of_history);
        }
        self.live.source.checkpointed(&of_live);
    }

    async fn acknowledge(&mut self, offset: &SourceOffset) -> Result<()> {
        let (of_history, of_live) = split(offset);
        if let History::Open(history) = &mut self.history {
            history.source.acknowledge(&of_history).await?;
        }
        self.live.source.acknowledge(&of_live).await
    }
}

/// A partition of a history that was read to its end.
fn ended((number, name): (usize, String)) -> PartitionInfo {
    PartitionInfo { number: number as u32, name: format!("{PREFIX}{name}"), start: Some(Position::Finished) }
}

/// A reader whose chunks have the number that its partition has here.
struct Numbered {
    inner: Box<dyn PartitionReader>,
    partition: u32,
}

#[async_trait]
impl PartitionReader for Numbered {
    async fn next(&mut self) -> Result<Fetch> {
        let mut fetch = self.inner.next().await?;
        if let Fetch::Chunk(chunk) = &mut fetch {
            (chunk.partition, chunk.origin.partition) = (self.partition, self.partition);
        }
        Ok(fetch)
    }
}

/// Columns that a side lacks, with their places, ascending.
#[derive(Clone)]
struct Absent(Arc<[(usize, FieldRef)]>);

impl Absent {
    /// A batch with NULL in them.
    fn add(&self, batch: &Batch) -> Result<Batch> {
        let null =
            |(at, field): &(usize, FieldRef)| (*at, Arc::clone(field), new_null_array(field.data_type(), batch.rows()));
        batch
            .with_inserted(self.0.iter().map(null))
            .map_err(|failed| ConnectorError::new(ErrorKind::Decode, "adding system columns", failed.to_string()))
    }
}

struct SideDecoder {
    inner: Arc<dyn ChunkDecoder>,
    absent: Absent,
}

/// Decodes each chunk as the source that it is of does.
struct TwoDecoders {
    history: Option<SideDecoder>,
    live: SideDecoder,
}

impl TwoDecoders {
    /// The side that a chunk is of, and the chunk under the number that its partition has there.
    fn side(&self, chunk: &Chunk) -> (&SideDecoder, Chunk) {
        match (chunk.partition.checked_sub(LIVE), &self.history) {
            (None, Some(history)) => (history, chunk.clone()),
            (number, _) => (&self.live, Chunk { partition: number.unwrap_or(chunk.partition), ..chunk.clone() }),
        }
    }
}

impl ChunkDecoder for TwoDecoders {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        let (side, chunk) = self.side(chunk);
        let mut decoded = side.inner.decode(&chunk)?;
        if !side.absent.0.is_empty() {
            let batches = std::mem::take(&mut decoded.batches);
            decoded.batches = batches.into_iter().map(|batch| side.absent.add(&batch)).collect::<Result<_>>()?;
        }
        Ok(decoded)
    }

    fn fields_at(&self, chunk: &Chunk, position: u64) -> Vec<String> {
        let (side, chunk) = self.side(chunk);
        side.inner.fields_at(&chunk, position)
    }

    fn attributes_at(&self, chunk: &Chunk, position: u64) -> Option<RecordAttributes> {
        let (side, chunk) = self.side(chunk);
        side.inner.attributes_at(&chunk, position)
    }

    fn taken_in(&self, chunk: &Chunk, rows: &Batch) -> Option<TakenIn> {
        let (side, chunk) = self.side(chunk);
        side.inner.taken_in(&chunk, rows)
    }
}
