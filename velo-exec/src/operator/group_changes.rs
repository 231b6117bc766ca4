//! GROUP BY whose results change: early results, corrected windows, and rows that are taken back.
//!
//! A result that was shown is remembered only as long as a batch is being worked on: it is read from the state before the batch
//! changes that, and compared with what the state gives afterwards. So a result that did not change is not told again, and what
//! is taken back is exactly what was shown.

mod state;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow_schema::{DataType, SchemaRef};
use velo_core::{Batch, RowKind, RowKinds, Watermark, schema};

use super::changed_windows::{ChangedWindows, Placed};
use super::grouping::{Evaluated, GroupSpec, Grouping};
use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::aggregate::{AggregatePlan, AggregateSet, Groups, SavedKeys};
use crate::changes::{rows_of_both, unchanged};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;
use crate::state::{KeyTable, Ttl, is_sparse, keep};
use crate::window::LateCounters;

/// Stands for the event time of a result where none is out.
const NOT_OUT: i64 = i64::MIN;

/// Groups with results that change.
pub struct GroupChanges {
    grouping: Grouping,
    output: SchemaRef,
    /// Results come before their window closes, or before the input ends.
    early: bool,
    per_record: bool,
    /// Rows of the input can be taken back, so that the order among equal times cannot go by their places.
    retracts: bool,
    windows: Option<ChangedWindows>,
    saved: SavedKeys,
    keys: KeyTable,
    /// Windows without a key, or one group that can be forgotten: a constant takes its place, for a table without columns has
    /// one key whatever the window.
    keyless: bool,
    /// Which groups are forgotten.
    ttl: Option<Ttl>,
    set: AggregateSet,
    /// How many of the first groups are there without rows too: that of no keys, and those of empty grouping sets.
    totals: usize,
    /// By group: rows that are in it.
    live: Vec<i64>,
    /// By group: the latest event time that went in.
    times: Vec<i64>,
    /// By group: the event time of the result that is out, or [`NOT_OUT`].
    shown: Vec<i64>,
    /// Groups with a row in them.
    alive: usize,
    /// Groups whose results are to be shown for the first time.
    firing: Vec<u32>,
    fired: usize,
    watermark: Watermark,
    ended: bool,
    ids: Vec<u32>,
    seen: Vec<bool>,
}

/// Groups that a batch touches, and what was out of them before.
struct Touched {
    groups: Vec<u32>,
    /// Places in `groups` of those of which a result is out.
    shown: Vec<u32>,
    before: Vec<ArrayRef>,
}

impl GroupChanges {
    /// The operator of an aggregate node whose results change, or whose input does; `retracts`: its input does.
    pub fn new(spec: &GroupSpec, input: &SchemaRef) -> Result<Self> {
        let groups = if spec.retracts { Groups::Changing } else { Groups::OneByOne };
        let plan = AggregatePlan::new(&spec.aggregates, input, groups, &spec.statement)?;
        let grouping = Grouping::new(spec, Arc::clone(&plan), input)?;
        let windows = spec.window.as_ref().map(|_| ChangedWindows::new(spec)).transpose()?;
        let keyless = (windows.is_some() || spec.ttl.is_some()) && grouping.key_types().is_empty();
        let mut keys = KeyTable::new(if keyless { &[DataType::Boolean] } else { grouping.key_types() })?;
        let mut ids = Vec::new();
        // What can be forgotten is there only as long as rows are.
        for key in grouping.totals().iter().filter(|_| windows.is_none() && spec.ttl.is_none()) {
            keys.intern(key, 1, &mut ids)?;
        }
        let totals = keys.len();
        let mut set = AggregateSet::new(&plan)?;
        set.grow(totals)?;
        Ok(Self {
            output: Arc::clone(&spec.output),
            early: spec.emission.early,
            per_record: spec.emission.per_record,
            retracts: spec.retracts,
            windows,
            saved: spec.saved_by_shared_keys(),
            keys,
            keyless,
            ttl: spec.ttl.map(Ttl::new),
            set,
            totals,
            live: vec![0; totals],
            times: vec![i64::MIN; totals],
            shown: vec![NOT_OUT; totals],
            alive: 0,
            firing: Vec::new(),
            fired: 0,
            watermark: Watermark::NONE,
            ended: false,
            ids,
            seen: vec![false; totals],
            grouping,
        })
    }

    fn is_there(&self, group: u32) -> bool {
        let group = group as usize;
        let is_total = group < self.totals || (self.keyless && self.windows.is_none());
        self.live[group] > 0 || (is_total && self.shown[group] != NOT_OUT)
    }

    /// Whether results of this group come when it changes, and not when its window closes.
    fn is_open(&self, group: u32) -> bool {
        self.early || self.windows.as_ref().is_some_and(|windows| windows.has_fired(self.keys.owner(group)))
    }

    fn take(&mut self, batch: &Batch, out: &mut Outbox) -> Result<()> {
        let placed = match &mut self.windows {
            None => None,
            Some(windows) => {
                let placed = windows.place(batch, self.watermark, out).map_err(|error| self.grouping.named(error))?;
                if placed.rows.is_empty() {
                    return Ok(());
                }
                Some(placed)
            }
        };
        let batch = match &placed {
            Some(Placed { rows, .. }) => batch.take(rows)?,
            None => batch.clone(),
        };
        let batch = if self.retracts { Batch { origin: None, ..batch } } else { batch };
        let evaluated = self.grouping.evaluate_changes(&batch)?;
        if self.keyless {
            let constant: ArrayRef = Arc::new(BooleanArray::from(vec![false; batch.rows()]));
            return self.take_keys(&[constant], &evaluated, &batch, placed.as_ref(), out);
        }
        for keys in self.grouping.in_sets(&evaluated.keys, batch.rows()) {
            self.take_keys(&keys, &evaluated, &batch, placed.as_ref(), out)?;
        }
        Ok(())
    }

    /// Takes rows by their keys (of one grouping set, where there are some) and windows.
    fn take_keys(
        &mut self,
        keys: &[ArrayRef],
        evaluated: &Evaluated,
        batch: &Batch,
        placed: Option<&Placed>,
        out: &mut Outbox,
    ) -> Result<()> {
        let owners = placed.map(|placed| placed.windows.as_slice());
        let mut ids = std::mem::take(&mut self.ids);
        let before = self.keys.len();
        self.keys.intern_of(keys, batch.rows(), owners, &mut ids)?;
        self.make_room();
        if let (Some(windows), Some(placed)) = (&mut self.windows, placed) {
            // Groups are numbered in the order in which their first rows come.
            let mut next = before as u32;
            for (id, window) in ids.iter().zip(&placed.windows) {
                if *id == next {
                    windows.joins(*window, *id);
                    next += 1;
                }
            }
        }
        let known;
        let (batch, evaluated) = match self.known_rows(&ids, batch, out.now()) {
            None => (batch, evaluated),
            Some(rows) => {
                ids = rows.values().iter().map(|row| ids[*row as usize]).collect();
                let (inputs, order) = (evaluated.inputs.take(&rows)?, evaluated.order.take(&rows)?);
                known = (batch.take(&rows)?, Evaluated { keys: Vec::new(), inputs, order });
                (&known.0, &known.1)
            }
        };
        let kinds = batch.kinds.as_ref().map(RowKinds::as_slice);
        let per_record = self.per_record && self.early;
        if per_record || self.ttl.is_some() {
            let times = self.ttl.as_ref().map(|ttl| ttl.times(batch, out.now()));
            let (mut from, mut moved) = (0, HashMap::new());
            while from < ids.len() {
                let to = self.run(&mut ids, from, per_record, times.as_ref(), &mut moved)?;
                self.step(
                    &ids[from..to],
                    &part(evaluated, from, to),
                    &batch.slice(from, to - from),
                    kinds.map(|kinds| &kinds[from..to]),
                    out,
                )?;
                from = to;
            }
        } else {
            self.step(&ids, evaluated, batch, kinds, out)?;
        }
        self.ids = ids;
        Ok(())
    }

    /// There is room for what is kept of each group.
    fn make_room(&mut self) {
        let total = self.keys.len();
        self.live.resize(total, 0);
        self.times.resize(total, i64::MIN);
        self.shown.resize(total, NOT_OUT);
        self.seen.resize(total, false);
    }

    /// Where the rows end, from `from` on, that can be taken together: each group once where every record is told, and no group
    /// twice that has been forgotten in between. A group that was forgotten before gets a number without a past; `moved` has
    /// those of this batch.
    fn run(
        &mut self,
        ids: &mut [u32],
        from: usize,
        per_record: bool,
        times: Option<&impl Fn(usize) -> i64>,
        moved: &mut HashMap<u32, u32>,
    ) -> Result<usize> {
        let mut to = from;
        while to < ids.len() {
            let mut id = ids[to];
            while let Some(new) = moved.get(&id) {
                id = *new;
            }
            if self.seen[id as usize] && per_record {
                break;
            }
            if let (Some(ttl), Some(times)) = (&self.ttl, times) {
                if ttl.is_over(id, times(to)) {
                    if self.seen[id as usize] {
                        break;
                    }
                    self.forget(id);
                    let new = self.keys.renew(id)?;
                    self.make_room();
                    moved.insert(id, new);
                    id = new;
                }
                if let Some(ttl) = &mut self.ttl {
                    ttl.touch(id, times(to));
                }
            }
            self.seen[id as usize] = true;
            ids[to] = id;
            to += 1;
        }
        ids[from..to].iter().for_each(|id| self.seen[*id as usize] = false);
        Ok(to)
    }

    /// Where some rows are taken back of groups that have been forgotten, or were never there: the other rows.
    fn known_rows(&self, ids: &[u32], batch: &Batch, now: i64) -> Option<UInt32Array> {
        let kinds = batch.kinds.as_ref().map(RowKinds::as_slice)?;
        let ttl = self.ttl.as_ref()?;
        let times = ttl.times(batch, now);
        // By group: rows in it.
        let mut groups: HashMap<u32, i64> = HashMap::new();
        let mut known = Vec::with_capacity(ids.len());
        for (row, id) in ids.iter().enumerate() {
            let there = || if ttl.is_over(*id, times(row)) { 0 } else { self.live[*id as usize] };
            let live = groups.entry(*id).or_insert_with(there);
            if !kinds[row].retracts() {
                *live += 1;
            } else if *live > 0 {
                *live -= 1;
            } else {
                continue;
            }
            known.push(row as u32);
        }
        (known.len() < ids.len()).then(|| UInt32Array::from(known))
    }

    /// Nothing is left of a group; what was shown of it stays.
    fn forget(&mut self, group: u32) {
        self.alive -= usize::from(std::mem::take(&mut self.live[group as usize]) > 0);
        self.shown[group as usize] = NOT_OUT;
        if let Some(ttl) = &mut self.ttl {
            ttl.forget(group);
        }
    }

    /// Forgets the groups whose time is over at `time`, and asks to be called when the next could be.
    fn expire_groups(&mut self, time: i64, out: &mut Outbox) -> Result<()> {
        out.expired(&mut self.ttl, time).into_iter().for_each(|group| self.forget(group));
        self.compact()
    }

    /// Takes rows and tells what changed.
    fn step(
        &mut self,
        ids: &[u32],
        evaluated: &Evaluated,
        batch: &Batch,
        kinds: Option<&[RowKind]>,
        out: &mut Outbox,
    ) -> Result<()> {
        let touched = self.touch(ids)?;
        self.add(ids, evaluated, kinds)?;
        if let Some(times) = batch.event_times() {
            for (id, time) in ids.iter().zip(times.values()) {
                let latest = &mut self.times[*id as usize];
                *latest = (*latest).max(*time);
            }
        }
        self.tell(&touched, out)
    }

    /// The groups whose results come now, and what is out of them.
    fn touch(&mut self, ids: &[u32]) -> Result<Touched> {
        let mut groups = Vec::new();
        for id in ids {
            if !self.seen[*id as usize] && self.is_open(*id) {
                self.seen[*id as usize] = true;
                groups.push(*id);
            }
        }
        groups.iter().for_each(|group| self.seen[*group as usize] = false);
        let out = |place: &u32| self.shown[groups[*place as usize] as usize] != NOT_OUT;
        let shown: Vec<u32> = (0..groups.len() as u32).filter(out).collect();
        let known: Vec<u32> = shown.iter().map(|place| groups[*place as usize]).collect();
        let before = self.set.evaluate(&known, false)?;
        Ok(Touched { groups, shown, before })
    }

    fn add(&mut self, ids: &[u32], evaluated: &Evaluated, kinds: Option<&[RowKind]>) -> Result<()> {
        let total = self.keys.len();
        let Some(kinds) = kinds.filter(|kinds| kinds.iter().any(|kind| kind.retracts())) else {
            ids.iter().for_each(|id| self.count(*id, 1));
            return self.set.update(ids, total, &evaluated.inputs, &evaluated.order);
        };
        for taken in [false, true] {
            let rows = (0..ids.len() as u32).filter(|row| kinds[*row as usize].retracts() == taken);
            let rows = UInt32Array::from_iter_values(rows);
            let groups: Vec<u32> = rows.values().iter().map(|row| ids[*row as usize]).collect();
            let (inputs, order) = (evaluated.inputs.take(&rows)?, evaluated.order.take(&rows)?);
            if taken {
                self.set.retract(&groups, total, &inputs, &order)?;
            } else {
                self.set.update(&groups, total, &inputs, &order)?;
            }
            let by = if taken { -1 } else { 1 };
            groups.iter().for_each(|group| self.count(*group, by));
        }
        Ok(())
    }

    /// Counts a row of a group, or one that was taken back.
    fn count(&mut self, group: u32, by: i64) {
        count(&mut self.live[group as usize], &mut self.alive, by);
    }

    /// Emits what changed of the touched groups.
    fn tell(&mut self, touched: &Touched, out: &mut Outbox) -> Result<()> {
        if touched.groups.is_empty() {
            return Ok(());
        }
        let after = self.set.evaluate(&touched.groups, false)?;
        // Of the groups that were out: is the result the same?
        let same = unchanged(&touched.before, &after, &touched.shown)?;
        let mut before_at = vec![None; touched.groups.len()];
        for (at, place) in touched.shown.iter().enumerate() {
            before_at[*place as usize] = Some(at as u32);
        }
        let (mut kinds, mut groups, mut places, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let offset = touched.shown.len() as u32;
        let mut row = |kind: RowKind, group: u32, at: u32, time: i64| {
            kinds.push(kind);
            groups.push(group);
            places.push(at);
            times.push(time);
        };
        for (place, group) in touched.groups.iter().enumerate() {
            let (new, there) = (offset + place as u32, self.is_there(*group));
            let time = self.time_of(*group);
            let out = Some(self.shown[*group as usize]).filter(|time| *time != NOT_OUT);
            match (before_at[place], out) {
                (Some(at), Some(shown)) if !there => {
                    row(RowKind::Delete, *group, at, shown);
                    self.shown[*group as usize] = NOT_OUT;
                }
                (Some(at), Some(shown)) if !same.value(at as usize) => {
                    row(RowKind::UpdateBefore, *group, at, shown);
                    row(RowKind::UpdateAfter, *group, new, time);
                    self.shown[*group as usize] = time;
                }
                (None, _) if there => {
                    row(RowKind::Insert, *group, new, time);
                    self.shown[*group as usize] = time;
                }
                _ => {}
            }
        }
        if kinds.is_empty() {
            return Ok(());
        }
        let results = rows_of_both(&touched.before, &after, places)?;
        let columns = self.columns(&groups, results, times)?;
        out.batch(Batch::changes(columns, kinds));
        Ok(())
    }

    /// The event time of a group's result.
    fn time_of(&self, group: u32) -> i64 {
        match &self.windows {
            Some(windows) => windows.end_of(self.keys.owner(group)) - 1,
            None => self.times.get(group as usize).copied().filter(|time| *time != i64::MIN).unwrap_or(0),
        }
    }

    /// Results with their keys, window and event time.
    fn columns(&self, groups: &[u32], results: Vec<ArrayRef>, times: Vec<i64>) -> Result<RecordBatch> {
        let mut columns = if self.keyless { Vec::new() } else { self.keys.keys(groups)? };
        columns.extend(results);
        if let Some(windows) = &self.windows {
            let bound = |of: fn(&ChangedWindows, u32) -> i64| -> ArrayRef {
                let values = groups.iter().map(|group| of(windows, self.keys.owner(*group)));
                Arc::new(TimestampMicrosecondArray::from_iter_values(values))
            };
            columns.push(bound(ChangedWindows::start_of));
            columns.push(bound(ChangedWindows::end_of));
        }
        if schema::event_time_index(&self.output).is_some() {
            columns.push(Arc::new(TimestampMicrosecondArray::from(times)));
        }
        Ok(velo_core::batch::columns_of(&self.output, columns, groups.len())?)
    }

    /// Shows results for the first time, as many as the outbox takes.
    fn fire(&mut self, out: &mut Outbox) -> Result<Flow> {
        while self.fired < self.firing.len() {
            if out.is_full() {
                return Ok(Flow::More);
            }
            let to = self.firing.len().min(self.fired + OUTPUT_ROWS);
            let groups = self.firing[self.fired..to].to_vec();
            self.fired = to;
            let results = self.set.evaluate(&groups, false)?;
            let times: Vec<i64> = groups.iter().map(|group| self.time_of(*group)).collect();
            for (group, time) in groups.iter().zip(&times) {
                self.shown[*group as usize] = *time;
            }
            out.batch(Batch::new(self.columns(&groups, results, times)?));
        }
        self.firing.clear();
        self.fired = 0;
        Ok(Flow::Done)
    }

    /// Lets windows go that can no longer change.
    fn expire(&mut self) {
        let Some(windows) = &mut self.windows else { return };
        for group in windows.expired(self.watermark) {
            self.alive -= usize::from(std::mem::take(&mut self.live[group as usize]) > 0);
            self.shown[group as usize] = NOT_OUT;
        }
    }

    /// Forgets groups without rows, once they are many.
    fn compact(&mut self) -> Result<()> {
        let total = self.keys.len();
        if !is_sparse(self.alive, total) {
            return Ok(());
        }
        // The totals stay first.
        let stays: Vec<bool> =
            (0..total as u32).map(|group| self.is_there(group) || (group as usize) < self.totals).collect();
        let alive: Vec<u32> = (0..total as u32).filter(|group| stays[*group as usize]).collect();
        let numbers = self.keys.retain(&stays);
        if let Some(ttl) = &mut self.ttl {
            ttl.renumber(&numbers);
        }
        self.set.keep(&alive)?;
        keep(&mut self.live, &stays);
        keep(&mut self.times, &stays);
        keep(&mut self.shown, &stays);
        self.seen.truncate(alive.len());
        if let Some(windows) = &mut self.windows {
            windows.regroup((0..alive.len() as u32).map(|group| self.keys.owner(group)));
        }
        Ok(())
    }
}

/// Counts rows of a group in `live`, and the group among those with a row in them.
fn count(live: &mut i64, alive: &mut usize, by: i64) {
    let before = *live > 0;
    *live += by;
    match (before, *live > 0) {
        (false, true) => *alive += 1,
        (true, false) => *alive -= 1,
        _ => {}
    }
}

/// Rows `from..to` of what was computed over a batch.
fn part(evaluated: &Evaluated, from: usize, to: usize) -> Evaluated {
    Evaluated {
        keys: Vec::new(),
        inputs: evaluated.inputs.slice(from, to - from),
        order: evaluated.order.slice(from, to - from),
    }
}

impl Operator for GroupChanges {
    fn memory(&self) -> usize {
        let per_group = size_of::<i64>() * 3;
        let ttl = self.ttl.as_ref().map_or(0, Ttl::memory);
        self.keys.memory() + self.set.memory() + self.live.capacity() * per_group + ttl
    }

    fn held(&self) -> u64 {
        let rows = self.live.iter().map(|live| u64::try_from(*live).unwrap_or(0));
        if self.early { 0 } else { rows.sum::<u64>() / self.grouping.times_counted() }
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        self.windows.as_ref().map(ChangedWindows::counters)
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        if !batch.is_empty() {
            self.take(&batch, out)?;
        }
        if let Some(now) = self.ttl.as_ref().and_then(|ttl| ttl.clock(out.now())) {
            self.expire_groups(now, out)?;
        } else if self.windows.is_none() {
            self.compact()?;
        }
        Ok(Flow::Done)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.grouping.check(batch)
    }

    /// Groups whose time is over by the clock go, also while no rows come.
    fn on_timer(&mut self, now: i64, out: &mut Outbox) -> Result<Flow> {
        self.expire_groups(now, out)?;
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.watermark = self.watermark.max(watermark);
        if let Some(time) = self.ttl.as_ref().and_then(|ttl| ttl.watermark(self.watermark)) {
            self.expire_groups(time, out)?;
        }
        // Without a window nothing is forwarded: results carry times that lie behind.
        let Some(windows) = &mut self.windows else { return Ok(Flow::Done) };
        let closed = windows.close(self.watermark);
        if !self.early {
            self.firing.extend(closed.into_iter().filter(|group| self.live[*group as usize] > 0));
        }
        self.resume(out)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        if self.windows.is_some() {
            return Ok(Flow::Done);
        }
        if self.ended {
            // It was before a restart too, and has said everything.
            return self.resume(out);
        }
        self.ended = true;
        // Where results came early, those of totals that no row was in are left.
        let first = |group: &u32| (*group as usize) < self.totals && self.shown[*group as usize] == NOT_OUT;
        let there = |group: &u32| !self.early && self.live[*group as usize] > 0;
        self.firing = (0..self.keys.len() as u32).filter(|group| first(group) || there(group)).collect();
        self.resume(out)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.save_groups(state)?;
        self.windows.as_ref().map_or(Ok(()), |windows| windows.counters().save(state))
    }

    fn load(&mut self, state: &mut StateReader, out: &mut Outbox) -> Result<()> {
        self.watermark = state.watermark();
        self.ended = state.reached().ended;
        self.load_groups(state)?;
        if let Some(next) = self.ttl.as_ref().and_then(Ttl::next) {
            out.timer_at(next);
        }
        self.windows.as_ref().map_or(Ok(()), |windows| windows.counters().load(state))
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        if self.fire(out)? == Flow::More {
            return Ok(Flow::More);
        }
        match &self.windows {
            Some(windows) => {
                let forwarded = windows.forwarded(self.watermark);
                self.expire();
                self.compact()?;
                out.watermark(forwarded);
            }
            None if self.ended => out.watermark(Watermark::END),
            None => {}
        }
        Ok(Flow::Done)
    }
}
