//! The shards of an operator: each has a range of key groups, an operator of its own in memory or its tables on disk, and a queue.

use std::collections::{BTreeMap, VecDeque};

use velo_core::Watermark;

use super::counters::Counters;
use super::memory::SPILL;
use super::operator::{Groups, Make};
use super::queue::{Event, Queue};
use super::tables::{Owners, Tables, places_of};
use super::{MemoryUse, SpillTables};
use crate::checkpoint::{OperatorState, Reached, Share, StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::operator::{Element, Flow, InputId, Operator, Outbox};
use crate::state::KEY_GROUPS;

/// What is no row, of each task that saved some.
pub(super) type Values = Vec<BTreeMap<String, serde_json::Value>>;

/// An operator with a range of the key groups.
struct Shard {
    /// The first of them, and the one behind the last.
    groups: (usize, usize),
    place: Place,
    queue: Queue,
    out: Outbox,
    /// When the clock is to call the operator.
    timer: Option<i64>,
    /// The watermark that it was told last.
    told: Watermark,
    /// Bytes of the operator, while it is in memory.
    memory: usize,
    /// Rows in windows that have not fired, of one on disk.
    held: u64,
    /// It has to have its turn, however little room there is.
    due: bool,
    /// It is among those that have something to do.
    ready: bool,
    /// The end of the input has come to it.
    ended: bool,
}

enum Place {
    Here(Box<dyn Operator>),
    Disk(Kept),
    /// It has said all that there was to say.
    Ended,
}

/// A state on disk.
struct Kept {
    tables: Tables,
    values: Values,
    bytes: u64,
}

/// At first there are so many shards; those that grow are cut again.
const SHARDS: usize = 32;
/// A shard of more hundredths of the bound than this is cut when it goes to disk.
const LARGE: usize = 8;
/// Queues take so many hundredths of the bound at most.
const QUEUES: usize = 10;
/// A shard comes back into memory while so many hundredths of the bound are in use at most.
const ADMIT: usize = 50;

/// All of them.
pub(super) struct Shards {
    all: Vec<Shard>,
    owners: Box<Owners>,
    make: Make,
    /// The one that has more to say.
    current: Option<usize>,
    /// Those in memory that have something to do.
    ready: VecDeque<usize>,
    /// Those that have to come into memory.
    due: VecDeque<usize>,
    /// The first that is looked at when one may come back into memory.
    next: usize,
    forwarded: Watermark,
    /// So many shards have gone to disk.
    pub(super) spilled: u64,
}

impl Shards {
    /// Of the operator that `make` makes, whose tables `tables` holds, as [`Shards::first_owners`] shares them out.
    pub(super) fn new(
        make: Make,
        mut tables: BTreeMap<usize, Tables>,
        values: &[BTreeMap<String, serde_json::Value>],
        reached: Reached,
        timer: Option<i64>,
    ) -> Self {
        let width = KEY_GROUPS / SHARDS;
        let shard = |at: usize| {
            let tables = tables.remove(&at).unwrap_or_default();
            Shard {
                groups: (at * width, (at + 1) * width),
                place: Place::Disk(Kept::new(tables, values.to_vec())),
                queue: Queue::default(),
                out: Outbox::behind(reached.sent),
                timer,
                told: reached.told,
                memory: 0,
                held: 0,
                due: false,
                ready: false,
                ended: false,
            }
        };
        Self {
            all: (0..SHARDS).map(shard).collect(),
            owners: Box::new(Self::first_owners()),
            make,
            current: None,
            ready: VecDeque::new(),
            due: VecDeque::new(),
            next: 0,
            forwarded: reached.sent,
            spilled: SHARDS as u64,
        }
    }

    /// Which shard has each key group at first.
    pub(super) fn first_owners() -> Owners {
        std::array::from_fn(|group| (group * SHARDS / KEY_GROUPS) as u16)
    }

    /// Rows for the shards of their keys.
    pub(super) fn rows(&mut self, now: i64, input: InputId, batch: &velo_core::Batch, groups: &[u8]) -> Result<()> {
        for (shard, places) in places_of(groups, &self.owners) {
            self.push(shard, now, Event::Rows(input, Box::new(batch.take(&places)?)));
        }
        Ok(())
    }

    /// Something that all are told.
    pub(super) fn tell(&mut self, now: i64, event: impl Fn() -> Event) {
        for shard in 0..self.all.len() {
            self.push(shard, now, event());
        }
    }

    /// Calls those in memory whose time has come.
    pub(super) fn fire(&mut self, now: i64) {
        for at in 0..self.all.len() {
            let shard = &mut self.all[at];
            if matches!(shard.place, Place::Here(_)) && shard.timer.take_if(|timer| *timer <= now).is_some() {
                self.push(at, now, Event::Timer);
            }
        }
    }

    /// Has all that wait on disk come into memory, one after the other, and those whose timers are due or not known.
    pub(super) fn sweep(&mut self, now: i64, all: bool) {
        for at in 0..self.all.len() {
            let shard = &mut self.all[at];
            if !matches!(shard.place, Place::Disk(_)) {
                continue;
            }
            let fires = shard.timer.take_if(|timer| *timer <= now).is_some();
            if fires {
                self.push(at, now, Event::Timer);
            }
            let shard = &mut self.all[at];
            if (all || fires || !shard.queue.is_empty()) && !shard.due {
                shard.due = true;
                self.due.push_back(at);
            }
        }
    }

    fn push(&mut self, at: usize, now: i64, event: Event) {
        let shard = &mut self.all[at];
        if matches!(shard.place, Place::Ended) {
            return;
        }
        shard.queue.push(now, event);
        if matches!(shard.place, Place::Here(_)) && !shard.ready {
            shard.ready = true;
            self.ready.push_back(at);
        }
    }

    /// Works until there is nothing to do that can be done now, or the outbox is full.
    pub(super) fn run(
        &mut self,
        memory: &mut MemoryUse,
        groups: &mut Groups,
        counters: &Counters,
        out: &mut Outbox,
    ) -> Result<Flow> {
        loop {
            if out.is_full() {
                return Ok(Flow::More);
            }
            let Some(at) = self.chosen(memory, groups)? else { break };
            let worked = self.work(at, counters, out)?;
            self.count(memory);
            if worked {
                self.make_room(memory, groups, 0, Some(at))?;
            }
        }
        self.make_room(memory, groups, 0, None)?;
        self.spill_queues(memory, QUEUES)?;
        self.forward(out);
        Ok(Flow::Done)
    }

    /// The shard that works next, in memory.
    fn chosen(&mut self, memory: &mut MemoryUse, groups: &mut Groups) -> Result<Option<usize>> {
        if let Some(at) = self.current.or_else(|| self.ready.pop_front()) {
            return Ok(Some(at));
        }
        if let Some(at) = self.due.pop_front() {
            self.all[at].due = false;
            self.bring(at, memory, groups)?;
            return Ok(Some(at));
        }
        if memory.pool().is_forced() {
            return Ok(None);
        }
        // One for which there is room.
        for step in 0..self.all.len() {
            let at = (self.next + step) % self.all.len();
            if let Place::Disk(kept) = &self.all[at].place
                && !self.all[at].queue.is_empty()
                && !memory.pool().is_over(ADMIT, kept.bytes as usize * 2)
            {
                self.next = at + 1;
                self.bring(at, memory, groups)?;
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Lets a shard do one thing; whether it took rows.
    fn work(&mut self, at: usize, counters: &Counters, out: &mut Outbox) -> Result<bool> {
        let more = self.current == Some(at);
        let shard = &mut self.all[at];
        shard.ready = false;
        let Place::Here(operator) = &mut shard.place else { return Ok(false) };
        let mut rows = false;
        let flow = if more {
            shard.out.set_now(out.now());
            operator.resume(&mut shard.out)?
        } else if let Some((now, event)) = shard.queue.pop()? {
            shard.out.set_now(now);
            match event {
                Event::Rows(input, batch) => {
                    rows = true;
                    operator.on_batch(input, *batch, &mut shard.out)?
                }
                Event::Told(watermark) if watermark <= shard.told => Flow::Done,
                Event::Told(watermark) => {
                    shard.told = watermark;
                    operator.on_watermark(watermark, &mut shard.out)?
                }
                Event::InputTold(input, watermark) => operator.on_input_watermark(input, watermark, &mut shard.out)?,
                Event::Idle => operator.on_idle(&mut shard.out)?,
                Event::Timer => operator.on_timer(now, &mut shard.out)?,
                Event::Stop => operator.on_stop(&mut shard.out)?,
                Event::End => {
                    shard.ended = true;
                    operator.on_end(&mut shard.out)?
                }
            }
        } else {
            Flow::Done
        };
        self.current = (flow == Flow::More).then_some(at);
        let asked = shard.out.take_timer();
        shard.timer = [shard.timer, asked].into_iter().flatten().min();
        while let Some(element) = shard.out.pop() {
            match element {
                // That of all shards is forwarded.
                Element::Watermark(_) => {}
                other => out.push(other),
            }
        }
        shard.out.take_dead_letters().into_iter().for_each(|letter| out.dead_letter(letter));
        counters.add(&Counters::of(operator.as_ref()).take());
        let is_over = flow == Flow::Done && shard.queue.is_empty();
        if shard.ended && is_over {
            shard.place = Place::Ended;
            shard.timer = None;
            shard.memory = 0;
        } else if rows || is_over {
            shard.memory = operator.memory();
        }
        if flow == Flow::Done && !shard.queue.is_empty() && !shard.ready {
            shard.ready = true;
            // The one that is here goes on, so that others need not come and go for it.
            self.ready.push_front(at);
        }
        Ok(rows)
    }

    /// Brings a shard into memory; others make room for it.
    fn bring(&mut self, at: usize, memory: &mut MemoryUse, groups: &mut Groups) -> Result<()> {
        let Place::Disk(kept) = &mut self.all[at].place else { return Ok(()) };
        let (tables, values) = (std::mem::take(&mut kept.tables), std::mem::take(&mut kept.values));
        let bytes = kept.bytes as usize;
        self.make_room(memory, groups, bytes * 2, Some(at))?;
        let mut operator = (self.make)()?;
        let shard = &mut self.all[at];
        let reached = Reached { told: shard.told, sent: shard.out.sent(), ended: false };
        let mut values = values.into_iter();
        let first = OperatorState { tables, values: values.next().unwrap_or_default(), reached, shard: true };
        let rest = values.map(|values| OperatorState { values, reached, ..OperatorState::default() });
        let mut state = StateReader::new(std::iter::once(first).chain(rest).collect(), Share::WHOLE);
        operator.load(&mut state, &mut shard.out)?;
        shard.timer = shard.out.take_timer();
        shard.memory = operator.memory();
        shard.place = Place::Here(operator);
        self.count(memory);
        Ok(())
    }

    /// Puts shards on disk until there is room for so many bytes; that at `keep` only where it is large and the last one, and none that is
    /// in the middle of something.
    fn make_room(
        &mut self,
        memory: &mut MemoryUse,
        groups: &mut Groups,
        bytes: usize,
        keep: Option<usize>,
    ) -> Result<()> {
        self.count(memory);
        while memory.is_to_spill() || (bytes > 0 && memory.pool().is_over(SPILL, bytes)) {
            let here = |(at, shard): &(usize, &Shard)| {
                matches!(shard.place, Place::Here(_)) && Some(*at) != keep && Some(*at) != self.current
            };
            let rank = |(_, shard): &(usize, &Shard)| (shard.queue.is_empty(), shard.memory);
            let victim = self.all.iter().enumerate().filter(here).max_by_key(rank).map(|(at, _)| at);
            let large = |at: &usize| self.current != Some(*at) && self.is_large(*at, memory, 2 * LARGE);
            let Some(at) = victim.or_else(|| keep.filter(large)) else {
                self.spill_queues(memory, 0)?;
                return memory.check();
            };
            self.put_away(at, memory, groups)?;
            self.count(memory);
        }
        Ok(())
    }

    /// Whether a shard takes more than so many hundredths of the bound, and can be cut.
    fn is_large(&self, at: usize, memory: &MemoryUse, hundredths: usize) -> bool {
        let shard = &self.all[at];
        let (first, behind) = shard.groups;
        behind - first > 1 && shard.memory > memory.pool().part(hundredths) && !memory.pool().is_forced()
    }

    /// Puts a shard on disk; a large one becomes two.
    fn put_away(&mut self, at: usize, memory: &MemoryUse, groups: &mut Groups) -> Result<()> {
        let new = self.all.len();
        let is_cut = self.is_large(at, memory, LARGE);
        let shard = &mut self.all[at];
        let Place::Here(operator) = &mut shard.place else { return Ok(()) };
        shard.held = operator.held();
        let (first, behind) = shard.groups;
        let middle = (first + behind) / 2;
        if is_cut {
            self.owners[middle..behind].fill(new as u16);
        }
        let mut state = StateWriter::spilling(SpillTables::new(memory.pool(), &self.owners));
        operator.save(&mut state)?;
        let (mut tables, values) = state.finish_shards()?;
        // What has no key is given to the first of all, and belongs to this one.
        let mut own = tables.remove(&at).unwrap_or_default();
        for (table, rows) in tables.remove(&0).unwrap_or_default() {
            own.entry(table).or_default().extend(rows);
        }
        shard.place = Place::Disk(Kept::new(own, vec![values.clone()]));
        shard.memory = 0;
        if std::mem::take(&mut shard.ready) {
            self.ready.retain(|ready| *ready != at);
            shard.due = true;
            self.due.push_back(at);
        }
        if is_cut {
            let half = Shard {
                groups: (middle, behind),
                place: Place::Disk(Kept::new(tables.remove(&new).unwrap_or_default(), vec![values])),
                queue: Queue::default(),
                out: Outbox::behind(shard.out.sent()),
                timer: shard.timer,
                told: shard.told,
                memory: 0,
                held: 0,
                due: shard.due,
                ready: false,
                // What has ended is in the middle of something until it is gone.
                ended: false,
            };
            shard.groups = (first, middle);
            if half.due {
                self.due.push_back(new);
            }
            self.all.push(half);
            self.cut_queue(at, new, memory, groups)?;
        }
        if let Some((other, _)) = tables.pop_first() {
            return Err(ExecError::Internal(format!("a shard keeps rows of another one, {other}")));
        }
        self.spilled += 1;
        Ok(())
    }

    /// Shares what waits for a shard that was cut out among its halves.
    fn cut_queue(&mut self, at: usize, new: usize, memory: &MemoryUse, groups: &mut Groups) -> Result<()> {
        let mut whole = std::mem::take(&mut self.all[at].queue);
        let mut of = Vec::new();
        while let Some((now, event)) = whole.pop()? {
            match event {
                Event::Rows(input, batch) => {
                    groups.of(input, &batch, &mut of)?;
                    for (shard, places) in places_of(&of, &self.owners) {
                        self.all[shard].queue.push(now, Event::Rows(input, Box::new(batch.take(&places)?)));
                    }
                }
                told => {
                    self.all[new].queue.push(now, told.clone());
                    self.all[at].queue.push(now, told);
                }
            }
            for half in [at, new] {
                if self.all[half].queue.memory() > memory.pool().part(QUEUES) {
                    self.all[half].queue.spill(memory.pool().folder())?;
                }
            }
        }
        Ok(())
    }

    /// Puts the longest queues of shards on disk too, while they take more than so many hundredths of the bound together.
    fn spill_queues(&mut self, memory: &mut MemoryUse, hundredths: usize) -> Result<()> {
        let mut queued: usize = self.all.iter().map(|shard| shard.queue.memory()).sum();
        while queued > memory.pool().part(hundredths) || memory.pool().is_forced() {
            let long = self.all.iter_mut().filter(|shard| shard.queue.has_rows_here());
            let Some(longest) = long.max_by_key(|shard| shard.queue.memory()) else { break };
            let before = longest.queue.memory();
            longest.queue.spill(memory.pool().folder())?;
            queued = queued - before + longest.queue.memory();
        }
        self.count(memory);
        Ok(())
    }

    fn count(&self, memory: &mut MemoryUse) {
        memory.set(self.all.iter().map(|shard| shard.memory + shard.queue.memory()).sum());
    }

    /// The watermark of all shards.
    fn forward(&mut self, out: &mut Outbox) {
        let all = self.all.iter().map(|shard| shard.out.sent()).min().unwrap_or(Watermark::NONE);
        if all > self.forwarded {
            self.forwarded = all;
            out.watermark(all);
        }
    }

    /// Whether something waits for a shard that is on disk.
    pub(super) fn waits(&self) -> bool {
        self.all.iter().any(|shard| matches!(shard.place, Place::Disk(_)) && !shard.queue.is_empty())
    }

    /// When the clock is to call one in memory, and when one on disk.
    pub(super) fn timers(&self) -> (Option<i64>, Option<i64>) {
        let of = |here: bool| {
            let those = self.all.iter().filter(|shard| matches!(shard.place, Place::Here(_)) == here);
            those.filter_map(|shard| shard.timer).min()
        };
        (of(true), of(false))
    }

    pub(super) fn cut(&mut self) {
        for shard in &mut self.all {
            if let Place::Here(operator) = &mut shard.place {
                operator.cut();
            }
        }
    }

    pub(super) fn held(&self) -> u64 {
        let of = |shard: &Shard| match &shard.place {
            Place::Here(operator) => operator.held() + shard.queue.rows(),
            Place::Disk(_) => shard.held + shard.queue.rows(),
            Place::Ended => 0,
        };
        self.all.iter().map(of).sum()
    }

    /// Puts all shards into a checkpoint, each as what one of several tasks keeps.
    pub(super) fn save(&mut self, memory: &MemoryUse, state: &mut StateWriter) -> Result<()> {
        for shard in &mut self.all {
            match &mut shard.place {
                Place::Here(operator) => {
                    let mut own = StateWriter::spilling(SpillTables::whole(memory.pool()));
                    operator.save(&mut own)?;
                    own.finish(Reached::default())?.into_iter().for_each(|own| state.shard(own));
                }
                Place::Disk(kept) => {
                    let mut tables = Some(kept.tables.clone());
                    for values in &kept.values {
                        let tables = tables.take().unwrap_or_default();
                        state.shard(OperatorState { tables, values: values.clone(), ..OperatorState::default() });
                    }
                }
                Place::Ended => {}
            }
        }
        Ok(())
    }
}

impl Kept {
    /// `values` has at least one element.
    fn new(tables: Tables, mut values: Values) -> Self {
        if values.is_empty() {
            values.push(BTreeMap::new());
        }
        let bytes = tables.values().flatten().map(crate::checkpoint::Chunk::bytes).sum();
        Self { tables, values, bytes }
    }
}
