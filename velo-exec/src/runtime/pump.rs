//! Reads one partition: its chunks are decoded by workers, several at a time, and leave in their order.
//!
//! A worker does with a chunk whatever does not need its task: it decodes it, makes the event times, and lets operators that go
//! by the row have it. Only the watermark is told of a chunk in its turn, before a row of it can be dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_array::{Array, BooleanArray, Int64Array};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use velo_core::connector::{Chunk, ChunkDecoder, Fetch, PartitionReader};
use velo_core::offset::Position;
use velo_core::{Batch, Clock, Watermark};
use velo_eventtime::{Now, PartitionWatermark};

use super::Chain;
use super::alignment::Aligned;
use super::outputs::Letter;
use super::seam::Seam;
use super::timing::{Refused, Timed, Timing};
use crate::error::{ExecError, Result};
use crate::operator::{Element, InputId};
use crate::row_json::row_as_json;

/// A partition that has something to give.
pub(super) const GIVING: i64 = i64::MIN;

/// What the pump of a partition tells.
pub(super) enum Pumped {
    /// The next chunk.
    Chunk(usize, Result<Prepared>),
    /// Some partition has nothing to give now.
    Waiting,
    /// Everything that was there at the start has been told.
    CaughtUp(usize),
    /// Nothing more.
    End(usize),
}

/// What came of a chunk.
pub(super) struct Prepared {
    pub(super) parts: Vec<Part>,
    /// Records without rows: they could not be decoded, or have no event time.
    pub(super) refused: Vec<Refused>,
    /// What operators gave up.
    pub(super) letters: Vec<Letter>,
    /// Rows that tables lacked, for each operator that counts them.
    pub(super) missing: Vec<[u64; 2]>,
    /// Rows on which an expression failed, for each operator that gives them up.
    pub(super) compute_errors: Vec<u64>,
    /// Its records.
    pub(super) records: u64,
    /// Records beside these that are no rows and not bad.
    pub(super) no_rows: u64,
    /// Rows of its records that the other one of two sources gives.
    pub(super) overlap: u64,
    /// Its bytes.
    pub(super) bytes: u64,
    /// The position behind it.
    pub(super) end: Position,
    /// The highest event time of the partition so far; none for a source without event times, or before the first.
    pub(super) highest: Option<i64>,
}

impl Prepared {
    /// The partition's watermark behind it; none where it has no rows.
    fn watermark(&self) -> Option<Watermark> {
        self.parts.last().and_then(|part| part.watermark)
    }
}

/// What came of a batch of a chunk.
pub(super) struct Part {
    /// Its rows, without those that are refused.
    pub(super) rows: u64,
    /// Rows whose event time cannot be right.
    pub(super) refused: Vec<Refused>,
    /// What operators that go by the row made of it.
    pub(super) batches: Vec<Batch>,
    /// The watermark behind it; none for a source without event times.
    pub(super) watermark: Option<Watermark>,
}

/// What a worker does with chunks; all partitions of a source share it.
#[derive(Clone)]
pub(super) struct Worker {
    /// The source's name, for errors.
    pub(super) name: String,
    pub(super) decoder: Arc<dyn ChunkDecoder>,
    pub(super) timing: Arc<Timing>,
    /// Whether rows that are given up after decoding are kept, as JSON where their records have no bytes.
    pub(super) rows_as_json: bool,
    /// The operators that go by the row: as many equal chains as there are workers.
    pub(super) chains: Arc<[Mutex<Chain>]>,
    pub(super) clock: Clock,
}

/// The watermark of a partition as the chunk before left it; none for a source without event times.
type Turn = Option<PartitionWatermark>;

/// Reads one partition.
pub(super) struct Pump {
    /// The partition's place among those of the source.
    at: usize,
    reader: Box<dyn PartitionReader>,
    worker: Worker,
    sender: mpsc::Sender<Pumped>,
    waiting: Arc<AtomicI64>,
    /// How far it may be ahead of the others; none where that does not matter.
    aligned: Option<Aligned>,
    /// Which rows are left out; none where all are the stream's.
    seam: Option<Seam>,
    /// Where the next chunk gets its turn.
    turn: oneshot::Receiver<Turn>,
    /// How many chunks there were.
    chunks: usize,
}

type Decoding = JoinHandle<Result<Option<Prepared>>>;

impl Pump {
    /// Reads `reader`, the one at this place, and tells `sender`.
    pub(super) fn new(
        at: usize,
        reader: Box<dyn PartitionReader>,
        worker: Worker,
        watermark: Turn,
        (aligned, seam): (Option<Aligned>, Option<Seam>),
        sender: mpsc::Sender<Pumped>,
    ) -> Self {
        let (first, turn) = oneshot::channel();
        // It is received by the first chunk, or by nobody.
        drop(first.send(watermark));
        let waiting = Arc::new(AtomicI64::new(GIVING));
        Self { at, reader, worker, sender, waiting, aligned, seam, turn, chunks: 0 }
    }

    /// Since when its reader has had nothing to give, by the clock, with nothing that it gave still on its way; [`GIVING`] where
    /// that is not so.
    pub(super) fn waiting(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.waiting)
    }

    /// Runs to the end of the partition, or until nobody listens any more.
    pub(super) async fn run(mut self) {
        let mut decoding: FuturesOrdered<Decoding> = FuturesOrdered::new();
        let mut ended = false;
        loop {
            if ended && decoding.is_empty() {
                // A closed channel means that the task has failed already.
                self.sender.send(Pumped::End(self.at)).await.ok();
                return;
            }
            // Twice as many as can be decoded at once: chunks leave in order, and one that takes long must not leave a worker idle.
            let read = !ended && decoding.len() <= 2 * self.worker.chains.len();
            let nothing = decoding.is_empty();
            let fetched = tokio::select! {
                biased;
                Some(decoded) = decoding.next(), if !nothing => {
                    let decoded = decoded.unwrap_or_else(|panic| Err(ExecError::Internal(panic.to_string())));
                    let failed = decoded.is_err();
                    if let (Some(aligned), Ok(Some(prepared))) = (&mut self.aligned, &decoded) {
                        // It has records, so it is not silent; they stay here, and no more are asked for.
                        if !aligned.may_give().await {
                            return;
                        }
                        prepared.watermark().into_iter().for_each(|reached| aligned.gave(reached));
                    }
                    let told = match decoded.transpose() {
                        Some(prepared) => Pumped::Chunk(self.at, prepared),
                        None => Pumped::CaughtUp(self.at),
                    };
                    if self.sender.send(told).await.is_err() || failed {
                        return;
                    }
                    continue;
                }
                fetched = self.reader.next(), if read => fetched,
                () = std::future::ready(()), if nothing => {
                    self.waiting.store(self.worker.clock.now(), Ordering::Release);
                    if self.sender.send(Pumped::Waiting).await.is_err() {
                        return;
                    }
                    let fetched = self.reader.next().await;
                    self.waiting.store(GIVING, Ordering::Release);
                    fetched
                }
            };
            match fetched {
                Ok(Fetch::Chunk(chunk)) => decoding.push_back(self.decode(chunk)),
                Ok(Fetch::CaughtUp) => decoding.push_back(caught_up()),
                Ok(Fetch::End) => ended = true,
                Err(error) => {
                    let error = Err(ExecError::connector(&self.worker.name, error));
                    self.sender.send(Pumped::Chunk(self.at, error)).await.ok();
                    return;
                }
            }
        }
    }

    fn decode(&mut self, chunk: Chunk) -> Decoding {
        let (next, turn) = oneshot::channel();
        let turn = std::mem::replace(&mut self.turn, turn);
        let (worker, read_at) = (self.worker.clone(), self.worker.clock.wall());
        let chain = (self.at + self.chunks) % worker.chains.len();
        self.chunks += 1;
        let seam = self.seam;
        tokio::spawn(async move {
            let fail = |error| ExecError::connector(&worker.name, error);
            let decoded = worker.decoder.decode(&chunk).map_err(fail)?;
            let no_rows = decoded.no_rows;
            let (batches, refused) = worker.timing.apply(decoded, &chunk, worker.decoder.as_ref(), read_at)?;
            // Whoever fails before its turn is over has told why; the chunks behind it are not waited for.
            let mut watermark = turn.await.map_err(|_| ExecError::Stopped)?;
            let mut prepared = Prepared {
                parts: Vec::with_capacity(batches.len()),
                records: refused.len() as u64,
                no_rows,
                overlap: 0,
                refused,
                letters: Vec::new(),
                missing: Vec::new(),
                compute_errors: Vec::new(),
                bytes: chunk.bytes.len() as u64,
                end: chunk.end.clone(),
                highest: None,
            };
            for timed in batches {
                prepared.records += timed.batch.rows() as u64;
                let (timed, left_out) = match seam {
                    Some(seam) => seam.apply(timed)?,
                    None => (timed, 0),
                };
                prepared.overlap += left_out;
                prepared.parts.push(worker.stamp(timed, &chunk, watermark.as_mut(), read_at)?);
            }
            prepared.highest = watermark.as_ref().and_then(PartitionWatermark::highest);
            // Nobody may be left who wants it.
            drop(next.send(watermark));
            worker.operate(&mut *worker.chains[chain].lock().await, &mut prepared)?;
            Ok(Some(prepared))
        })
    }
}

/// Takes its place among the chunks on their way.
fn caught_up() -> Decoding {
    tokio::spawn(async { Ok(None) })
}

impl Worker {
    /// Runs the watermark over the batch, notes how late its rows are, and sorts out those that cannot be right.
    fn stamp(
        &self,
        timed: Timed,
        chunk: &Chunk,
        watermark: Option<&mut PartitionWatermark>,
        read_at: i64,
    ) -> Result<Part> {
        let Timed { mut batch, punctuation, kept } = timed;
        let mut refused = Vec::new();
        let mut reached = None;
        if let Some(watermark) = watermark {
            if let Some(times) = batch.event_times() {
                let taken_in = self.decoder.taken_in(chunk, &batch);
                let (now, clock) = match &taken_in {
                    Some(taken_in) => (Now::Each(&taken_in.times), taken_in.name),
                    None => (Now::Clock(read_at), "the clock"),
                };
                let observed = watermark.observe(times, now, punctuation.as_ref());
                batch.late_by = observed.late_by;
                for row in &observed.future {
                    let row = *row as usize;
                    let mut one = self.too_far_ahead((&batch, row), punctuation.as_ref(), clock);
                    one.bytes = match kept.get(row) {
                        Some(range) => Some(chunk.bytes.slice(range.clone())),
                        None => self.rows_as_json.then(|| row_as_json(&batch.columns, row)).transpose()?,
                    };
                    refused.push(one.with_attributes(chunk, self.decoder.as_ref()));
                }
                if !refused.is_empty() {
                    let mut keep = vec![true; batch.rows()];
                    observed.future.iter().for_each(|row| keep[*row as usize] = false);
                    batch = batch.filter(&BooleanArray::from(keep))?;
                }
            }
            reached = Some(watermark.current());
        }
        Ok(Part { rows: batch.rows() as u64, refused, batches: vec![batch], watermark: reached })
    }

    fn too_far_ahead(&self, (batch, row): (&Batch, usize), punctuation: Option<&Int64Array>, clock: &str) -> Refused {
        let time = batch.event_times().map_or(0, |times| times.value(row));
        let said = punctuation.filter(|said| said.is_valid(row)).map_or(i64::MIN, |said| said.value(row));
        let what = if said > time { "watermark that it says" } else { "event time" };
        let by_number = || velo_core::Place::Row { source: self.name.clone(), row: row as u64 + 1 };
        Refused {
            decoded: true,
            message: format!(
                "the {what} {} is further ahead of {clock} than watermark.max_future_skew allows",
                velo_core::time::iso8601(time.max(said))
            ),
            code: "event-time-future",
            place: batch.origin.as_ref().map_or_else(by_number, |origin| origin.place(row)),
            bytes: None,
            attributes: None,
        }
    }

    /// Lets the operators that go by the row have a chunk.
    fn operate(&self, chain: &mut Chain, prepared: &mut Prepared) -> Result<()> {
        if chain.is_empty() {
            return Ok(());
        }
        chain.set_now(self.clock.now());
        for part in &mut prepared.parts {
            for batch in std::mem::take(&mut part.batches) {
                chain.offer(InputId(0), Element::Batch(batch))?;
                while let Some(element) = chain.take()? {
                    match element {
                        Element::Batch(batch) => part.batches.push(batch),
                        other => {
                            let message = format!("an operator that goes by the row made {other:?} of a batch");
                            return Err(ExecError::Internal(message));
                        }
                    }
                }
                prepared.letters.append(&mut chain.take_dead_letters());
            }
        }
        prepared.missing = chain.take_missing();
        prepared.compute_errors = chain.take_compute_errors();
        Ok(())
    }
}
