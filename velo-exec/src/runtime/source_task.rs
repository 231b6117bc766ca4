//! The task of a source: chunks are decoded by workers, taken in their order, stamped with lateness, and driven through the
//! operators that are fused to the source.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_array::Array;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use velo_core::connector::{Chunk, ChunkDecoder, Fetch, PartitionReader, StreamSource};
use velo_core::dead_letter::DeadLetter;
use velo_core::progress::Progress;
use velo_core::{Batch, Clock};
use velo_eventtime::{Change, IdleTimer, Merge, OnError, PartitionWatermark, WatermarkProperties};

use super::drive::wait_until;
use super::timing::{Refused, Timed, Timing};
use super::{Drive, Stop, StopRequest};
use crate::error::{ExecError, Result};
use crate::operator::{Element, InputId};

/// What a source's task needs.
pub struct SourceTask {
    /// The source's name, for errors.
    pub name: String,
    /// The connector's side.
    pub source: Box<dyn StreamSource>,
    /// How event times come about.
    pub timing: Arc<Timing>,
    /// What a record that cannot be decoded does.
    pub on_error: OnError,
    /// What a record without a usable event time does.
    pub time_on_error: OnError,
    /// The watermark; `None` for a source without an event time.
    pub watermark: Option<WatermarkProperties>,
    /// Decoding workers per partition.
    pub workers: usize,
    /// The operators fused to the source, and where their output goes.
    pub drive: Drive,
    /// The clock.
    pub clock: Clock,
    /// Asks for a stop.
    pub stop: Stop,
    /// Counters.
    pub progress: Arc<Progress>,
    /// Whether rows that are given up after decoding are kept, as JSON.
    pub rows_as_json: bool,
    /// Records given up and not handed on yet; empty at the start.
    pub letters: Vec<DeadLetter>,
}

/// A decoded chunk.
struct Prepared {
    batches: Vec<Timed>,
    refused: Vec<Refused>,
    bytes: usize,
    read_at: i64,
}

/// What an event brought.
#[derive(Default)]
struct Taken {
    bytes: u64,
    records: u64,
}

/// What the pump of a partition tells.
enum Pumped {
    /// The next chunk.
    Chunk(usize, Result<Prepared>),
    /// Some partition has nothing to give now.
    Waiting,
    /// Everything that was there at the start has been told.
    CaughtUp(usize),
    /// Nothing more.
    End(usize),
}

struct Partition {
    watermark: Option<PartitionWatermark>,
    /// It has not given yet what was there at the start.
    behind: bool,
    idle: IdleTimer,
    /// Since when its reader has had nothing to give, with nothing that it gave still on its way; [`GIVING`] where that is not
    /// so. Kept by the pump.
    waiting: Arc<AtomicI64>,
}

/// A partition that has something to give.
const GIVING: i64 = i64::MIN;

impl Partition {
    /// Its silence counts, if it is silent, from `unblocked` on at the earliest.
    fn count_silence(&mut self, unblocked: i64) {
        match self.waiting.load(Ordering::Acquire) {
            GIVING => self.idle.active(),
            since => drop(self.idle.nothing(since.max(unblocked))),
        }
    }
}

impl SourceTask {
    /// Runs to the end of all partitions.
    pub async fn run(mut self) -> Result<()> {
        let infos = self.source.partitions().await.map_err(|error| ExecError::connector(&self.name, error))?;
        let (sender, mut pumped) = mpsc::channel(2 * infos.len().max(1));
        let mut partitions = Vec::with_capacity(infos.len());
        let mut pumps = tokio::task::JoinSet::new();
        for (at, info) in infos.iter().enumerate() {
            let reader =
                self.source.reader(info.number, None).await.map_err(|error| ExecError::connector(&self.name, error))?;
            let waiting = Arc::new(AtomicI64::new(GIVING));
            let pump = Pump {
                at,
                waiting: Arc::clone(&waiting),
                name: self.name.clone(),
                reader,
                decoder: self.source.decoder(),
                timing: Arc::clone(&self.timing),
                workers: self.workers.max(1),
                clock: self.clock.clone(),
                sender: sender.clone(),
            };
            pumps.spawn(pump.run());
            let properties = self.watermark.as_ref();
            partitions.push(Partition {
                watermark: properties.map(PartitionWatermark::new),
                behind: true,
                idle: IdleTimer::new(properties.map_or_else(Default::default, |properties| properties.idle_timeout)),
                waiting,
            });
        }
        drop(sender);
        let mut merge = Merge::new(partitions.len());
        let mut open = partitions.len();
        let mut behind = true;
        let stop = self.stop.clone();
        let asked = stop.asked();
        tokio::pin!(asked);
        // When a consumer was last behind.
        let mut unblocked = GIVING;
        while open > 0 {
            partitions.iter_mut().for_each(|partition| partition.count_silence(unblocked));
            let active = partitions.iter().enumerate().filter(|(at, _)| !merge.is_input_idle(*at));
            let idle_at = active.filter_map(|(_, partition)| partition.idle.idle_at()).min();
            let event = tokio::select! {
                biased;
                request = &mut asked => {
                    pumps.abort_all();
                    return self.stopped(request).await;
                }
                // Before what was read, so that a source that never pauses does not hold it up. No partition is the less
                // silent for it.
                () = self.drive.due() => None,
                event = pumped.recv() => Some(event.ok_or(ExecError::Stopped)?),
                () = wait_until(&self.clock, idle_at) => {
                    self.find_idle(&mut partitions, &mut merge, unblocked).await?;
                    continue;
                }
            };
            let since = self.clock.now();
            let taken = match event {
                None => {
                    self.drive.fire().await?;
                    Taken::default()
                }
                Some(Pumped::Chunk(at, prepared)) => {
                    partitions[at].idle.active();
                    self.chunk(at, prepared?, &mut partitions[at], &mut merge).await?
                }
                // The next round asks every partition.
                Some(Pumped::Waiting) => Taken::default(),
                Some(Pumped::CaughtUp(at)) => {
                    partitions[at].behind = false;
                    Taken::default()
                }
                Some(Pumped::End(at)) => {
                    open -= 1;
                    partitions[at].behind = false;
                    let change = merge.end(at);
                    if open > 0 {
                        self.tell(change).await?;
                    }
                    Taken::default()
                }
            };
            if behind && open > 0 && partitions.iter().all(|partition| !partition.behind) {
                behind = false;
                self.drive(Element::CaughtUp).await?;
            }
            // Silence does not count while consumers are behind.
            if self.drive.has_waited() {
                partitions.iter_mut().for_each(|partition| partition.idle.blocked(since));
                unblocked = self.clock.now();
            }
            // Counted last, so that whoever waits for a record also finds what came of it.
            Progress::add(&self.progress.bytes, taken.bytes);
            Progress::add(&self.progress.records, taken.records);
        }
        self.end().await
    }

    /// The end of the input: everything that is open closes.
    async fn end(&mut self) -> Result<()> {
        self.drive(Element::Watermark(velo_core::Watermark::END)).await?;
        self.drive(Element::End).await
    }

    /// What was read has been driven through already; a stop leaves open what is open.
    async fn stopped(&mut self, request: StopRequest) -> Result<()> {
        if request == StopRequest::Finish {
            return self.end().await;
        }
        self.drive(Element::Stop).await
    }

    async fn find_idle(&mut self, partitions: &mut [Partition], merge: &mut Merge, unblocked: i64) -> Result<()> {
        let now = self.clock.now();
        for (at, partition) in partitions.iter_mut().enumerate() {
            // Asked again: what came in the meantime may still be on its way here.
            partition.count_silence(unblocked);
            if partition.idle.is_idle(now) && !merge.has_ended() && !merge.is_input_idle(at) {
                let change = merge.set_idle(at, true);
                self.tell(change).await?;
            }
        }
        Ok(())
    }

    async fn chunk(
        &mut self,
        at: usize,
        prepared: Prepared,
        partition: &mut Partition,
        merge: &mut Merge,
    ) -> Result<Taken> {
        let rows: usize = prepared.batches.iter().map(|timed| timed.batch.rows()).sum();
        let taken = Taken { bytes: prepared.bytes as u64, records: (rows + prepared.refused.len()) as u64 };
        let mut refused = prepared.refused.into_iter().peekable();
        for timed in prepared.batches {
            let batch = self.stamp(timed, partition, prepared.read_at)?;
            Progress::add(&self.progress.delivered, batch.rows() as u64);
            if merge.is_input_idle(at) {
                let change = merge.set_idle(at, false);
                self.tell(change).await?;
            }
            self.drive(Element::Batch(batch)).await?;
            if let Some(watermark) = &partition.watermark {
                let change = merge.update(at, watermark.current());
                self.tell(change).await?;
            }
        }
        refused.try_for_each(|refused| self.refuse(refused))?;
        self.drive.dead_letters(std::mem::take(&mut self.letters)).await?;
        Ok(taken)
    }

    /// Runs the watermark over the batch and notes how late its rows are.
    fn stamp(&mut self, timed: Timed, partition: &mut Partition, read_at: i64) -> Result<Batch> {
        let Timed { mut batch, punctuation } = timed;
        let Some(watermark) = &mut partition.watermark else { return Ok(batch) };
        let Some(times) = batch.event_times() else { return Ok(batch) };
        let observed = watermark.observe(times, read_at, punctuation.as_ref());
        batch.late_by = observed.late_by;
        if observed.future.is_empty() {
            return Ok(batch);
        }
        Progress::add(&self.progress.future, observed.future.len() as u64);
        for row in &observed.future {
            let row = *row as usize;
            let time = batch.event_times().map_or(0, |times| times.value(row));
            let said = punctuation.as_ref().filter(|said| said.is_valid(row)).map_or(i64::MIN, |said| said.value(row));
            let what = if said > time { "watermark that it says" } else { "event time" };
            self.refuse(Refused {
                decoded: true,
                message: format!(
                    "the {what} {} is further ahead of the clock than watermark.max_future_skew allows",
                    velo_core::time::iso8601(time.max(said))
                ),
                code: "event-time-future",
                place: batch
                    .origin
                    .as_ref()
                    .map_or(velo_core::Place::Row { source: self.name.clone(), row: row as u64 + 1 }, |origin| {
                        origin.place(row)
                    }),
                bytes: self.rows_as_json.then(|| crate::operator::row_as_json(&batch.columns, row)).transpose()?,
            })?;
        }
        let mut keep = vec![true; batch.rows()];
        for row in observed.future {
            keep[row as usize] = false;
        }
        Ok(batch.filter(&arrow_array::BooleanArray::from(keep))?)
    }

    /// What happens to a record that cannot be used.
    fn refuse(&mut self, refused: Refused) -> Result<()> {
        match if refused.decoded { self.time_on_error } else { self.on_error } {
            OnError::Skip => {
                Progress::add(&self.progress.skipped, 1);
                Ok(())
            }
            OnError::DeadLetter => {
                Progress::add(&self.progress.dead_letters, 1);
                self.letters.push(refused.into_letter(&self.name));
                Ok(())
            }
            OnError::Fail if refused.decoded => {
                let place = refused.place.to_string();
                // The messages of missing times have their place already.
                let message = match refused.message.contains(&place) {
                    true => refused.message,
                    false => format!("{} (at {place})", refused.message),
                };
                Err(ExecError::EventTime { source_name: self.name.clone(), message })
            }
            OnError::Fail => Err(ExecError::Record {
                source_name: self.name.clone(),
                message: refused.message,
                place: Some(refused.place),
            }),
        }
    }

    async fn tell(&mut self, change: Change) -> Result<()> {
        if let Some(watermark) = change.watermark {
            self.drive(Element::Watermark(watermark)).await?;
            self.progress.watermark.store(watermark.0, Ordering::Relaxed);
        }
        if change.idle == Some(true) {
            self.drive(Element::Idle).await?;
        }
        Ok(())
    }

    async fn drive(&mut self, element: Element) -> Result<()> {
        self.drive.offer(InputId(0), element).await
    }
}

/// Reads one partition and has its chunks decoded, several at a time, in order.
struct Pump {
    at: usize,
    waiting: Arc<AtomicI64>,
    name: String,
    reader: Box<dyn PartitionReader>,
    decoder: Arc<dyn ChunkDecoder>,
    timing: Arc<Timing>,
    workers: usize,
    clock: Clock,
    sender: mpsc::Sender<Pumped>,
}

impl Pump {
    async fn run(mut self) {
        let mut decoding: FuturesOrdered<JoinHandle<Result<Option<Prepared>>>> = FuturesOrdered::new();
        let mut ended = false;
        loop {
            if ended && decoding.is_empty() {
                // A closed channel means that the task has failed already.
                self.sender.send(Pumped::End(self.at)).await.ok();
                return;
            }
            // Twice as many as can be decoded at once: chunks leave in order, and one that takes long must not leave a worker idle.
            let read = !ended && decoding.len() <= 2 * self.workers;
            let nothing = decoding.is_empty();
            tokio::select! {
                biased;
                Some(decoded) = decoding.next(), if !nothing => {
                    let decoded = decoded.unwrap_or_else(|panic| Err(ExecError::Internal(panic.to_string())));
                    let failed = decoded.is_err();
                    let told = match decoded.transpose() {
                        Some(prepared) => Pumped::Chunk(self.at, prepared),
                        None => Pumped::CaughtUp(self.at),
                    };
                    if self.sender.send(told).await.is_err() || failed {
                        return;
                    }
                }
                fetched = self.reader.next(), if read => match fetched {
                    Ok(Fetch::Chunk(chunk)) => decoding.push_back(self.decode(chunk)),
                    Ok(Fetch::CaughtUp) => decoding.push_back(caught_up()),
                    Ok(Fetch::End) => ended = true,
                    Err(error) => {
                        let error = Err(ExecError::connector(&self.name, error));
                        self.sender.send(Pumped::Chunk(self.at, error)).await.ok();
                        return;
                    }
                },
                () = std::future::ready(()), if nothing => {
                    self.waiting.store(self.clock.now(), Ordering::Release);
                    if self.sender.send(Pumped::Waiting).await.is_err() {
                        return;
                    }
                    let fetched = self.reader.next().await;
                    self.waiting.store(GIVING, Ordering::Release);
                    match fetched {
                        Ok(Fetch::Chunk(chunk)) => decoding.push_back(self.decode(chunk)),
                        Ok(Fetch::CaughtUp) => decoding.push_back(caught_up()),
                        Ok(Fetch::End) => ended = true,
                        Err(error) => {
                            let error = Err(ExecError::connector(&self.name, error));
                            self.sender.send(Pumped::Chunk(self.at, error)).await.ok();
                            return;
                        }
                    }
                }
            }
        }
    }

    fn decode(&self, chunk: Chunk) -> JoinHandle<Result<Option<Prepared>>> {
        let (decoder, timing, name) = (Arc::clone(&self.decoder), Arc::clone(&self.timing), self.name.clone());
        let read_at = self.clock.now();
        tokio::spawn(async move {
            let decoded = decoder.decode(&chunk).map_err(|error| ExecError::connector(&name, error))?;
            let (batches, refused) = timing.apply(decoded, &chunk, decoder.as_ref(), read_at)?;
            Ok(Some(Prepared { batches, refused, bytes: chunk.bytes.len(), read_at }))
        })
    }
}

/// Takes its place among the chunks on their way.
fn caught_up() -> JoinHandle<Result<Option<Prepared>>> {
    tokio::spawn(async { Ok(None) })
}
