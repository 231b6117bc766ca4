//! The task of a source: what its workers make of chunks is taken in their order, and driven through the operators that are
//! fused to the source.

use std::collections::BTreeMap;
use std::ops::RangeTo;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_array::Int64Array;
use tokio::sync::{Mutex, mpsc};
use velo_core::connector::{PartitionInfo, StreamSource};
use velo_core::offset::{Position, SourceOffset};
use velo_core::progress::Progress;
use velo_core::{Batch, Clock, Watermark};
use velo_eventtime::{Change, IdleTimer, Merge, OnError, PartitionWatermark, WatermarkProperties};
use velo_plan::plan::SinkId;

use super::alignment::Alignment;
use super::drive::wait_until;
use super::outputs::Letter;
use super::pump::{GIVING, Prepared, Pump, Pumped, Worker};
use super::seam::Seam;
use super::timing::{Refused, Timing};
use super::{Chain, Drive, Stop, StopRequest};
use crate::checkpoint::{Kept, PartitionState, SourceState};
use crate::error::{ExecError, Result};
use crate::operator::{Element, InputId};
use crate::{ComputeErrors, MissingCounters};

/// What a source's task needs.
pub struct SourceTask {
    /// The source's name, for errors.
    pub name: String,
    /// The connector's side.
    pub source: Box<dyn StreamSource>,
    /// Where some partitions lead: their rows are those before this event time, and those of the others from it on. None: all are.
    pub until: Option<i64>,
    /// How event times come about.
    pub timing: Arc<Timing>,
    /// What a record that cannot be decoded does.
    pub on_error: OnError,
    /// What a record without a usable event time does.
    pub time_on_error: OnError,
    /// The watermark; `None` for a source without an event time.
    pub watermark: Option<WatermarkProperties>,
    /// For each decoding worker the operators fused to the source that go by the row; all do the same.
    pub by_row: Vec<Chain>,
    /// What they count.
    pub counted: CountedByRow,
    /// The sink of records that are given up.
    pub letters_to: Option<SinkId>,
    /// The operators behind them, and where their output goes.
    pub drive: Drive,
    /// The clock.
    pub clock: Clock,
    /// Asks for a stop.
    pub stop: Stop,
    /// Its name in checkpoints.
    pub saved_as: String,
    /// How far it was read before; nothing where it begins.
    pub resumed: SourceState,
    /// Counters.
    pub progress: Arc<Progress>,
    /// Whether rows that are given up after decoding are kept, as JSON.
    pub rows_as_json: bool,
    /// Records given up and not handed on yet; empty at the start.
    pub letters: Vec<Letter>,
}

/// What the operators of a source count that go by the row, each with its name in checkpoints: counted when a chunk has its turn.
#[derive(Debug, Clone, Default)]
pub struct CountedByRow {
    /// Rows that tables lacked.
    pub missing: Vec<(String, Arc<MissingCounters>)>,
    /// Rows on which an expression failed.
    pub compute_errors: Vec<(String, Arc<ComputeErrors>)>,
}

impl CountedByRow {
    /// Goes on from a checkpoint.
    fn count_from(&self, counters: &BTreeMap<String, u64>) {
        let before = |name: &String| counters.get(name).copied().unwrap_or(0);
        for (operator, missing) in &self.missing {
            missing.add(missing.counted(operator).each_ref().map(|(name, _)| before(name)));
        }
        for (operator, errors) in &self.compute_errors {
            errors.add(before(&errors.counted(operator).0));
        }
    }

    /// What was counted, under names for a checkpoint.
    fn counted(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let missing = self.missing.iter().flat_map(|(operator, missing)| missing.counted(operator));
        missing.chain(self.compute_errors.iter().map(|(operator, errors)| errors.counted(operator)))
    }

    /// Adds what was counted in a chunk.
    fn add(&self, missing: Vec<[u64; 2]>, compute_errors: Vec<u64>) {
        self.missing.iter().zip(missing).for_each(|((_, counters), counted)| counters.add(counted));
        self.compute_errors.iter().zip(compute_errors).for_each(|((_, errors), counted)| errors.add(counted));
    }
}

/// What an event brought.
#[derive(Default)]
struct Taken {
    bytes: u64,
    records: u64,
    /// Records that are no rows.
    no_rows: u64,
}

struct Partition {
    /// Its name, and its number for the source.
    name: String,
    number: u32,
    /// Others are read when it has ended.
    leads: bool,
    /// It waits for those.
    held: bool,
    /// How far it was read, as far as that has gone through the operators.
    state: PartitionState,
    /// It has not given yet what was there at the start.
    behind: bool,
    idle: IdleTimer,
    /// See [`Pump::waiting`].
    waiting: Arc<AtomicI64>,
}

/// What the partitions of a source have in common.
struct Common {
    worker: Worker,
    alignment: Option<Alignment>,
    sender: mpsc::Sender<Pumped>,
    /// See [`StreamSource::leading`].
    leading: Option<RangeTo<u32>>,
}

impl Partition {
    fn is_finished(&self) -> bool {
        self.state.position == Some(Position::Finished)
    }

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
        let resumed = self.source.resume(&offset(&self.resumed)).await;
        resumed.map_err(|error| ExecError::connector(&self.name, error))?;
        let infos = self.source.partitions().await.map_err(|error| ExecError::connector(&self.name, error))?;
        let (sender, mut pumped) = mpsc::channel(2 * infos.len().max(1));
        let mut partitions = Vec::with_capacity(infos.len());
        let mut pumps = tokio::task::JoinSet::new();
        let worker = Worker {
            name: self.name.clone(),
            decoder: self.source.decoder(),
            timing: Arc::clone(&self.timing),
            rows_as_json: self.rows_as_json,
            chains: std::mem::take(&mut self.by_row).into_iter().map(Mutex::new).collect(),
            clock: self.clock.clone(),
        };
        self.counted.count_from(&self.resumed.counters);
        let alignment = Alignment::new(self.watermark.as_ref());
        let common = Common { worker, alignment, sender, leading: self.source.leading() };
        let mut merge = Merge::new(infos.len());
        merge.restore(self.resumed.watermark);
        let mut open = 0;
        for (at, info) in infos.iter().enumerate() {
            // What all of them change is told at once below.
            let (partition, pump, _) = self.open(at, info, &mut merge, &common).await?;
            open += usize::from(!partition.is_finished());
            partitions.push(partition);
            pump.into_iter().for_each(|pump| drop(pumps.spawn(pump.run())));
        }
        let _ = self.follow(&mut partitions, &mut merge, &common, &mut pumps).await?;
        if open > 0 && merge.current() > Watermark::NONE {
            self.progress.watermark.store(merge.current().0, Ordering::Relaxed);
            self.drive(Element::Watermark(merge.current())).await?;
        }
        if open > 0 && merge.is_idle() {
            self.drive(Element::Idle).await?;
        }
        self.drive.start().await?;
        let mut line = self.drive.line();
        // Where the source was at each checkpoint that is newer than the oldest kept one.
        let (mut completing, mut kept, mut positions) = (self.drive.line(), Kept::default(), BTreeMap::new());
        // Something is read between two barriers, where there is something.
        let mut barred = true;
        let mut behind = true;
        let stop = self.stop.clone();
        let asked = stop.asked();
        tokio::pin!(asked);
        // When a consumer was last behind.
        let mut unblocked = GIVING;
        // One that has no partition yet waits for the first, and so does one whose first partitions others are to follow.
        while open > 0
            || (partitions.iter().all(|partition| partition.leads)
                && (common.leading.is_some() || partitions.is_empty()))
        {
            common.alignment.iter().for_each(|alignment| alignment.publish(merge.slowest()));
            // What waits for tables holds the source back.
            let full = self.drive.is_full();
            if full {
                let now = self.clock.now();
                partitions.iter_mut().for_each(|partition| partition.idle.blocked(now));
            } else {
                partitions.iter_mut().for_each(|partition| partition.count_silence(unblocked));
            }
            let active = partitions.iter().enumerate().filter(|(at, _)| !merge.is_input_idle(*at));
            let idle_at = active.filter_map(|(_, partition)| partition.idle.idle_at()).min();
            let event = tokio::select! {
                biased;
                request = &mut asked => {
                    pumps.abort_all();
                    let state = self.state(&partitions, &merge);
                    return match request {
                        StopRequest::Finish => self.drive.ended(Some(state)).await,
                        _ => self.drive.stopped(Some(state)).await,
                    };
                }
                checkpoint = line.barrier(), if !barred => {
                    let state = self.state(&partitions, &merge);
                    positions.insert(checkpoint.0, offset(&state.1));
                    self.drive.barrier(checkpoint, Some(state)).await?;
                    line.given(checkpoint);
                    barred = true;
                    continue;
                }
                now = completing.kept(kept) => {
                    kept = now;
                    if let Some(offset) = positions.get(&kept.newest) {
                        self.source.checkpointed(offset);
                    }
                    let newer = positions.split_off(&(kept.oldest + 1));
                    // One that was made before this run began is older than all that this run knows.
                    if let Some((_, offset)) = std::mem::replace(&mut positions, newer).pop_last() {
                        let told = self.source.acknowledge(&offset).await;
                        told.map_err(|error| ExecError::connector(&self.name, error))?;
                    }
                    continue;
                }
                // Before what was read, so that a source that never pauses does not hold it up. No partition is the less
                // silent for it.
                () = self.drive.due() => None,
                // Before it too: a source that never pauses gets more partitions as well.
                changed = self.source.changed() => {
                    changed.map_err(|error| ExecError::connector(&self.name, error))?;
                    let infos = self.source.partitions().await;
                    let infos = infos.map_err(|error| ExecError::connector(&self.name, error))?;
                    for (at, info) in infos.iter().enumerate().skip(partitions.len()) {
                        let (_, change) = merge.add_input();
                        self.tell(change).await?;
                        let (partition, pump, change) = self.open(at, info, &mut merge, &common).await?;
                        self.tell(change).await?;
                        open += usize::from(!partition.is_finished());
                        partitions.push(partition);
                        pump.into_iter().for_each(|pump| drop(pumps.spawn(pump.run())));
                    }
                    let change = self.follow(&mut partitions, &mut merge, &common, &mut pumps).await?;
                    self.tell(change).await?;
                    continue;
                }
                event = pumped.recv(), if !full => Some(event.ok_or(ExecError::Stopped)?),
                Some(ended) = pumps.join_next() => match ended {
                    Err(panic) if panic.is_panic() => return Err(ExecError::Internal(panic.to_string())),
                    _ => continue,
                },
                () = wait_until(&self.clock, idle_at) => {
                    self.find_idle(&mut partitions, &mut merge, unblocked).await?;
                    continue;
                }
                // Nothing is there to be read.
                () = std::future::ready(()), if barred => {
                    barred = false;
                    continue;
                }
            };
            barred = false;
            let since = self.clock.now();
            let taken = match event {
                None => {
                    self.drive.fire().await?;
                    Taken::default()
                }
                Some(Pumped::Chunk(at, prepared)) => {
                    partitions[at].idle.active();
                    let prepared = prepared?;
                    let reached = (prepared.end.clone(), prepared.highest);
                    let taken = self.chunk(at, prepared, &mut merge).await?;
                    let state = &mut partitions[at].state;
                    (state.position, state.highest) = (Some(reached.0), reached.1);
                    taken
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
                    partitions[at].state.position = Some(Position::Finished);
                    // Those that follow begin first, so that the watermark stays where those that lead have left it.
                    let begun = self.follow(&mut partitions, &mut merge, &common, &mut pumps).await?;
                    let change = then(begun, ended(&mut merge, at, partitions[at].leads));
                    if open > 0 || partitions[at].leads {
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
            if self.drive.has_waited() || full {
                partitions.iter_mut().for_each(|partition| partition.idle.blocked(since));
                unblocked = self.clock.now();
            }
            // Counted last, so that whoever waits for a record also finds what came of it.
            Progress::add(&self.progress.skipped, taken.no_rows);
            Progress::add(&self.progress.bytes, taken.bytes);
            Progress::add(&self.progress.records, taken.records);
        }
        let state = self.state(&partitions, &merge);
        self.drive.ended(Some(state)).await
    }

    /// Opens the partition that is at this place in `merge`, where it was left; a pump reads it, unless it has ended. Gives what that
    /// changes, too.
    async fn open(
        &mut self,
        at: usize,
        info: &PartitionInfo,
        merge: &mut Merge,
        common: &Common,
    ) -> Result<(Partition, Option<Pump>, Change)> {
        let mut state = self.resumed.partitions.get(&info.name).cloned().unwrap_or_default();
        state.position = state.position.or_else(|| info.start.clone());
        let timeout = self.watermark.as_ref().map_or_else(Default::default, |properties| properties.idle_timeout);
        let leads = common.leading.is_some_and(|leading| leading.contains(&info.number));
        let mut partition = Partition {
            name: info.name.clone(),
            number: info.number,
            leads,
            held: false,
            behind: state.position != Some(Position::Finished),
            state,
            idle: IdleTimer::new(timeout),
            waiting: Arc::new(AtomicI64::new(GIVING)),
        };
        if partition.is_finished() {
            return Ok((partition, None, ended(merge, at, leads)));
        }
        partition.held = common.leading.is_some() && !leads;
        if partition.held {
            return Ok((partition, None, merge.set_away(&[at], true)));
        }
        let change = self.take_up(at, &partition, merge);
        // The later of two says all: a watermark that moved twice has moved to the second place.
        let idle = if partition.state.idle { merge.set_idle(at, true) } else { Change::default() };
        let pump = self.start(at, &mut partition, common).await?;
        Ok((partition, Some(pump), then(change, idle)))
    }

    /// The watermark of a partition where it was left; none for a source without an event time.
    fn watermark_of(&self, partition: &Partition) -> Option<PartitionWatermark> {
        let mut watermark = self.watermark.as_ref().map(PartitionWatermark::new)?;
        partition.state.highest.into_iter().for_each(|highest| watermark.restore(highest));
        Some(watermark)
    }

    /// Tells the others where the watermark of a partition was left.
    fn take_up(&self, at: usize, partition: &Partition, merge: &mut Merge) -> Change {
        let reached = self.watermark_of(partition).map_or(Watermark::NONE, |watermark| watermark.current());
        if reached > Watermark::NONE { merge.update(at, reached) } else { Change::default() }
    }

    /// Begins to read a partition.
    async fn start(&mut self, at: usize, partition: &mut Partition, common: &Common) -> Result<Pump> {
        let reader = self.source.reader(partition.number, partition.state.position.as_ref()).await;
        let reader = reader.map_err(|error| ExecError::connector(&self.name, error))?;
        let watermark = self.watermark_of(partition);
        let reached = watermark.as_ref().map_or(Watermark::NONE, PartitionWatermark::current);
        let aligned = common.alignment.as_ref().map(|alignment| alignment.of_partition(reached));
        let seam = self.until.map(if partition.leads { Seam::Before } else { Seam::From });
        let pump = Pump::new(at, reader, common.worker.clone(), watermark, (aligned, seam), common.sender.clone());
        partition.waiting = pump.waiting();
        Ok(pump)
    }

    /// Begins to read the partitions that waited for those that lead, once these have all ended.
    async fn follow(
        &mut self,
        partitions: &mut [Partition],
        merge: &mut Merge,
        common: &Common,
        pumps: &mut tokio::task::JoinSet<()>,
    ) -> Result<Change> {
        if partitions.iter().any(|partition| partition.leads && !partition.is_finished()) {
            return Ok(Change::default());
        }
        let held: Vec<usize> = (0..partitions.len()).filter(|at| partitions[*at].held).collect();
        // All at once, so that none of them goes ahead alone.
        let mut change = merge.set_away(&held, false);
        for at in held {
            let partition = &mut partitions[at];
            partition.held = false;
            if partition.state.highest.is_none()
                && let Some(mut watermark) = self.watermark_of(partition)
            {
                // What those that lead have closed stays closed.
                watermark.begin_at(merge.current());
                partition.state.highest = watermark.highest();
            }
            change = then(change, self.take_up(at, partition, merge));
            if std::mem::take(&mut partition.state.idle) {
                change = then(change, merge.set_idle(at, true));
            }
            let pump = self.start(at, partition, common).await?;
            pumps.spawn(pump.run());
        }
        Ok(change)
    }

    /// How far the source was read, for a checkpoint.
    fn state(&self, partitions: &[Partition], merge: &Merge) -> (String, SourceState) {
        let partition = |(at, partition): (usize, &Partition)| {
            let state = PartitionState { idle: merge.is_input_idle(at), ..partition.state.clone() };
            (partition.name.clone(), state)
        };
        let mut counters = self.progress.counted();
        counters.extend(self.counted.counted());
        let state = SourceState {
            partitions: partitions.iter().enumerate().map(partition).collect(),
            watermark: merge.current(),
            counters,
        };
        (self.saved_as.clone(), state)
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

    async fn chunk(&mut self, at: usize, prepared: Prepared, merge: &mut Merge) -> Result<Taken> {
        let Prepared { bytes, records, no_rows, overlap, .. } = prepared;
        Progress::add(&self.progress.overlap, overlap);
        let taken = Taken { bytes, records: records + no_rows, no_rows };
        for part in prepared.parts {
            Progress::add(&self.progress.future, part.refused.len() as u64);
            self.refuse(part.refused)?;
            Progress::add(&self.progress.delivered, part.rows);
            if merge.is_input_idle(at) {
                let change = merge.set_idle(at, false);
                self.tell(change).await?;
            }
            for batch in part.batches {
                // Whoever is behind the whole was idle, or came later: the others have gone on without it.
                let batch = match merge.input(at) < merge.current() {
                    true => behind(batch, merge.current()),
                    false => batch,
                };
                self.drive(Element::Batch(batch)).await?;
            }
            if let Some(watermark) = part.watermark {
                let change = merge.update(at, watermark);
                self.tell(change).await?;
            }
        }
        self.counted.add(prepared.missing, prepared.compute_errors);
        self.letters.extend(prepared.letters);
        self.refuse(prepared.refused)?;
        self.drive.dead_letters(std::mem::take(&mut self.letters)).await?;
        Ok(taken)
    }

    /// What happens to records that cannot be used.
    fn refuse(&mut self, refused: Vec<Refused>) -> Result<()> {
        refused.into_iter().try_for_each(|refused| self.refuse_one(refused))
    }

    fn refuse_one(&mut self, refused: Refused) -> Result<()> {
        match if refused.decoded { self.time_on_error } else { self.on_error } {
            OnError::Skip => {
                Progress::add(&self.progress.skipped, 1);
                Ok(())
            }
            OnError::DeadLetter => {
                Progress::add(&self.progress.dead_letters, 1);
                self.letters.push((self.letters_to, refused.into_letter(&self.name)));
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

/// A batch whose rows are late as well by the watermark of all partitions.
fn behind(batch: Batch, watermark: Watermark) -> Batch {
    let Some(times) = batch.event_times().cloned() else { return batch };
    let by = |row: usize| {
        let own = batch.late_by.as_ref().map_or(0, |late_by| late_by.value(row));
        own.max(watermark.0.saturating_sub(times.value(row)))
    };
    let late_by = (0..times.len()).map(by).collect::<Int64Array>();
    let is_late = late_by.values().iter().any(|by| *by > 0);
    Batch { late_by: is_late.then_some(late_by), ..batch }
}

/// A partition has ended; those that lead are followed by others, so that theirs is not the end of all.
fn ended(merge: &mut Merge, at: usize, leads: bool) -> Change {
    if leads { merge.set_away(&[at], true) } else { merge.end(at) }
}

/// Two changes as one.
fn then(first: Change, second: Change) -> Change {
    Change { watermark: second.watermark.or(first.watermark), idle: second.idle.or(first.idle) }
}

/// How far the partitions were read, for the source.
fn offset(state: &SourceState) -> SourceOffset {
    let position = |(name, state): (&String, &PartitionState)| Some((name.clone(), state.position.clone()?));
    SourceOffset { partitions: state.partitions.iter().filter_map(position).collect() }
}
