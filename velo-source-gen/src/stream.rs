//! A generator as a stream: one partition, cut into chunks of numbers that the runtime's workers turn into rows.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use velo_core::connector::{
    Chunk, ChunkDecoder, Decoded, Fetch, PartitionInfo, PartitionReader, SourceRequest, StreamSource,
};
use velo_core::error::ErrorKind;
use velo_core::offset::Position;
use velo_core::place::{Origin, Positions, Resource};
use velo_core::{Batch, Clock, ConnectorError, Result};

use crate::generator::Generator;

/// The name of the one partition.
pub(crate) const PARTITION: &str = "rows";

const MICROS_PER_SECOND: u128 = 1_000_000;

/// A generator that is read.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) generator: Arc<dyn Generator>,
    /// Numbers a second of the clock; as fast as they are taken where there is none.
    pub(crate) rate: Option<u64>,
    pub(crate) request: SourceRequest,
}

impl Rows {
    /// A reader from `number` on.
    pub(crate) async fn from(&self, number: u64) -> Result<Reader> {
        let generator = Arc::clone(&self.generator);
        // Sums over many rows take a while.
        let sums = tokio::task::spawn_blocking(move || generator.sums(number)).await;
        let sums = sums.map_err(|failed| ConnectorError::new(ErrorKind::Io, "going on", failed.to_string()))?;
        let pace = self.rate.map(|rate| Pace { rate, clock: self.request.clock.clone(), begun: None });
        Ok(Reader { rows: self.clone(), pace, next: number, sums, chunks: 0, caught_up: false })
    }

    /// What turns chunks into rows.
    pub(crate) fn maker(&self) -> Maker {
        Maker { generator: Arc::clone(&self.generator), request: self.request.clone() }
    }
}

/// The number that a saved position says; `None` at the end.
pub(crate) fn number_of(position: Option<&Position>) -> Result<Option<u64>> {
    match position {
        None => Ok(Some(0)),
        Some(Position::Row(number)) => Ok(Some(*number)),
        Some(Position::Finished) => Ok(None),
        Some(other) => {
            let message = format!("{other:?} is no row of a generator");
            Err(ConnectorError::new(ErrorKind::Configuration, "going on behind a saved position", message)
                .advise("the source was another one when it was saved; start anew with --fresh"))
        }
    }
}

#[async_trait]
impl StreamSource for Rows {
    async fn partitions(&mut self) -> Result<Vec<PartitionInfo>> {
        Ok(vec![PartitionInfo { number: 0, name: PARTITION.to_owned(), start: None }])
    }

    async fn reader(&mut self, partition: u32, from: Option<&Position>) -> Result<Box<dyn PartitionReader>> {
        if partition != 0 {
            let message = format!("made-up rows are one partition; there is no partition {partition}");
            return Err(ConnectorError::new(ErrorKind::Configuration, "opening a partition", message));
        }
        Ok(match number_of(from)? {
            Some(number) => Box::new(Rows::from(self, number).await?),
            None => Box::new(Ended),
        })
    }

    fn decoder(&self) -> Arc<dyn ChunkDecoder> {
        Arc::new(self.maker())
    }
}

/// A partition that was read to its end.
struct Ended;

#[async_trait]
impl PartitionReader for Ended {
    async fn next(&mut self) -> Result<Fetch> {
        Ok(Fetch::End)
    }
}

/// So many numbers a second, by the clock.
#[derive(Debug)]
struct Pace {
    rate: u64,
    clock: Clock,
    /// When the first number was due, and which that was.
    begun: Option<(i64, u64)>,
}

impl Pace {
    /// Waits until `next` is due; gives the number behind the last that is due then.
    async fn due(&mut self, next: u64) -> u64 {
        let (begun, first) = *self.begun.get_or_insert_with(|| (self.clock.now(), next));
        let (rate, since) = (u128::from(self.rate), u128::from(next - first));
        let waited = (since * MICROS_PER_SECOND).div_ceil(rate);
        self.clock.sleep_until(begun.saturating_add(i64::try_from(waited).unwrap_or(i64::MAX))).await;
        let passed = u128::from(self.clock.now().saturating_sub(begun).unsigned_abs());
        let due = passed.saturating_mul(rate) / MICROS_PER_SECOND + 1;
        first.saturating_add(u64::try_from(due).unwrap_or(u64::MAX)).max(next + 1)
    }
}

/// Cuts numbers into chunks.
#[derive(Debug)]
pub(crate) struct Reader {
    rows: Rows,
    pace: Option<Pace>,
    next: u64,
    sums: Vec<i64>,
    chunks: u64,
    /// It was said that nothing was there at the start.
    caught_up: bool,
}

impl Reader {
    /// The number that comes next.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }
}

#[async_trait]
impl PartitionReader for Reader {
    async fn next(&mut self) -> Result<Fetch> {
        let total = self.rows.generator.total().unwrap_or(u64::MAX);
        if self.next >= total {
            return Ok(Fetch::End);
        }
        // Rows without an end are made as time goes by.
        if self.rows.generator.total().is_none() && !std::mem::replace(&mut self.caught_up, true) {
            return Ok(Fetch::CaughtUp);
        }
        // Nothing has changed while this waits, so a dropped future loses nothing.
        let due = match &mut self.pace {
            Some(pace) => pace.due(self.next).await,
            None => u64::MAX,
        };
        let generator = &self.rows.generator;
        let end = self.next.saturating_add(generator.chunk()).min(due).min(total);
        let numbers = self.next..end;
        let sums = self.sums.clone();
        generator.add(&mut self.sums, numbers.clone());
        self.next = end;
        let number = self.chunks;
        self.chunks += 1;
        let request = &self.rows.request;
        Ok(Fetch::Chunk(Chunk {
            partition: 0,
            number,
            bytes: Bytes::new(),
            origin: Origin {
                source: request.ordinal,
                partition: 0,
                base: 0,
                resource: Resource::Rows(Arc::from(request.name.as_str())),
                positions: Positions::Consecutive { first: generator.rows_before(numbers.start) + 1 },
            },
            end: Position::Row(end),
            frames: Some(Arc::new(Numbers { numbers, sums })),
        }))
    }
}

/// What a chunk is made of.
#[derive(Debug)]
struct Numbers {
    numbers: Range<u64>,
    sums: Vec<i64>,
}

/// Turns chunks into rows.
#[derive(Debug)]
pub(crate) struct Maker {
    generator: Arc<dyn Generator>,
    request: SourceRequest,
}

impl ChunkDecoder for Maker {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        let numbers = chunk.frames.as_ref().and_then(|frames| frames.downcast_ref::<Numbers>());
        let Some(Numbers { numbers, sums }) = numbers else {
            return Err(ConnectorError::new(ErrorKind::Decode, "making rows", "the chunk is another connector's"));
        };
        let columns = self.generator.make(numbers.clone(), sums)?;
        let rows = columns.num_rows();
        let whole = Batch { columns, kinds: None, origin: Some(chunk.origin.clone()), late_by: None };
        let size = self.request.batch_rows.max(1);
        let batches = if rows <= size {
            (rows > 0).then_some(whole).into_iter().collect()
        } else {
            (0..rows).step_by(size).map(|at| whole.slice(at, size.min(rows - at))).collect()
        };
        let row_bytes = if self.request.keep_bytes { vec![0..0; rows] } else { Vec::new() };
        Ok(Decoded { batches, row_bytes, ..Decoded::default() })
    }
}
