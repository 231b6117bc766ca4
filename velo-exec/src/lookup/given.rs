//! What was made of rows that can be taken back: a retraction takes back exactly that, whatever the table says by then.

use std::sync::Arc;

use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave_record_batch;
use arrow_select::take::take_record_batch;
use velo_core::{Batch, Watermark};
use velo_plan::plan::StateTtl;

use crate::checkpoint::sequence::{PIECE, SavedColumns, StateColumns};
use crate::checkpoint::state::damaged;
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;
use crate::operator::{Outbox, RowTable};
use crate::state::{Ttl, is_sparse, keep};

/// Some rows that came out, all of one row that went in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    /// The number of the batch that they are in.
    pub(crate) batch: u32,
    pub(crate) from: u32,
    pub(crate) rows: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    made: Made,
    below: u32,
}

/// A batch that came out.
struct Kept {
    batch: Arc<RecordBatch>,
    /// How many of its rows can still be taken back.
    uses: usize,
    /// Its place among the batches of which rows come out, where it is there.
    place: usize,
}

/// Rows of a batch into which what is left of others is gathered.
const GATHERED: usize = 65_536;

/// The state tables of rows that went in, once for each time that they are there, and of what came out of these.
const GIVEN: &str = "given";
const OUTPUT: &str = "given_rows";

/// Nothing below.
const BOTTOM: u32 = u32::MAX;

/// Rows that went in, each with what came out as often as it is there.
pub(crate) struct Given {
    input: SchemaRef,
    rows: RowTable,
    /// By row: the last entry of its stack.
    last: Vec<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// What came out.
    batches: Vec<Option<Kept>>,
    unused: Vec<u32>,
    /// Batches of which perhaps nothing can be taken back any more.
    done: Vec<u32>,
    /// Rows of all batches, and how many of them can still be taken back.
    kept: usize,
    used: usize,
    /// Rows with an entry.
    alive: usize,
    ttl: Option<Ttl>,
}

impl Given {
    /// Nothing of rows of `input` yet; `ttl` says when they are forgotten.
    pub(crate) fn new(input: SchemaRef, ttl: Option<StateTtl>) -> Result<Self> {
        Ok(Self {
            rows: RowTable::new(Arc::clone(&input))?,
            input,
            last: Vec::new(),
            entries: Vec::new(),
            free: Vec::new(),
            batches: Vec::new(),
            unused: Vec::new(),
            done: Vec::new(),
            kept: 0,
            used: 0,
            alive: 0,
            ttl: ttl.map(Ttl::new),
        })
    }

    /// How many different rows can be taken back.
    pub(crate) fn rows(&self) -> usize {
        self.alive
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let batches = self.batches.iter().flatten().map(|kept| kept.batch.get_array_memory_size()).sum::<usize>();
        let numbers = self.last.capacity() + self.free.capacity() + self.unused.capacity() + self.done.capacity();
        let ttl = self.ttl.as_ref().map_or(0, Ttl::memory);
        self.rows.memory() + self.entries.capacity() * size_of::<Entry>() + numbers * size_of::<u32>() + batches + ttl
    }

    /// The number of each row of a batch.
    pub(crate) fn intern(&mut self, batch: &Batch) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(batch.rows());
        self.rows.intern(batch, &mut ids)?;
        self.last.resize(self.rows.len(), BOTTOM);
        Ok(ids)
    }

    /// When each row of a batch touches what it is about, where it can be forgotten; `now` is the clock's time.
    pub(crate) fn times<'a>(&self, batch: &'a Batch, now: i64) -> Option<impl Fn(usize) -> i64 + use<'a>> {
        self.ttl.as_ref().map(|ttl| ttl.times(batch, now))
    }

    /// A row comes, or is taken back, at this time: what was made of it too long before is forgotten.
    pub(crate) fn touch(&mut self, row: u32, time: i64) {
        if self.ttl.as_ref().is_some_and(|ttl| ttl.is_over(row, time)) {
            while self.take_back(row).is_some() {}
        }
        if let Some(ttl) = &mut self.ttl {
            ttl.touch(row, time);
        }
    }

    /// Keeps a batch that came out.
    pub(crate) fn keep(&mut self, batch: &RecordBatch) -> u32 {
        self.kept += batch.num_rows();
        let kept = Some(Kept { batch: Arc::new(batch.clone()), uses: 0, place: 0 });
        let number = match self.unused.pop() {
            Some(number) => {
                self.batches[number as usize] = kept;
                number
            }
            None => {
                self.batches.push(kept);
                (self.batches.len() - 1) as u32
            }
        };
        self.done.push(number);
        number
    }

    /// A batch that came out.
    pub(crate) fn batch(&self, number: u32) -> Option<Arc<RecordBatch>> {
        self.batches.get(number as usize)?.as_ref().map(|kept| Arc::clone(&kept.batch))
    }

    /// The place of a batch among those of which rows come out; it is added where it is not there.
    pub(crate) fn place(&mut self, number: u32, sources: &mut Vec<u32>) -> usize {
        let Some(Some(kept)) = self.batches.get_mut(number as usize) else { return 0 };
        if sources.get(kept.place) != Some(&number) {
            kept.place = sources.len();
            sources.push(number);
        }
        kept.place
    }

    /// The row came once more, and this came out.
    pub(crate) fn give(&mut self, row: u32, made: Made) {
        let below = std::mem::replace(&mut self.last[row as usize], BOTTOM);
        let entry = Entry { made, below };
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = entry;
                at
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.last[row as usize] = at;
        self.alive += usize::from(below == BOTTOM);
        self.use_rows(made);
    }

    /// The row is taken back once: what came out of it the last time. Nothing where it never came, or is forgotten.
    pub(crate) fn take_back(&mut self, row: u32) -> Option<Made> {
        let at = self.last[row as usize];
        let Entry { made, below } = *self.entries.get(at as usize)?;
        self.last[row as usize] = below;
        self.alive -= usize::from(below == BOTTOM);
        self.free.push(at);
        if made.rows > 0
            && let Some(Some(kept)) = self.batches.get_mut(made.batch as usize)
        {
            kept.uses -= made.rows as usize;
            self.used -= made.rows as usize;
            if kept.uses == 0 {
                self.done.push(made.batch);
            }
        }
        Some(made)
    }

    fn use_rows(&mut self, made: Made) {
        if let Some(Some(kept)) = self.batches.get_mut(made.batch as usize) {
            kept.uses += made.rows as usize;
            self.used += made.rows as usize;
        }
    }

    /// Lets go of batches of which nothing can be taken back, and of rows that are not there.
    pub(crate) fn compact(&mut self) -> Result<()> {
        for number in std::mem::take(&mut self.done) {
            let kept = &mut self.batches[number as usize];
            if let Some(gone) = kept.take_if(|kept| kept.uses == 0) {
                self.kept -= gone.batch.num_rows();
                self.unused.push(number);
            }
        }
        if is_sparse(self.used, self.kept) {
            self.gather()?;
        }
        if is_sparse(self.alive, self.rows.len()) {
            let stays: Vec<bool> = self.last.iter().map(|last| *last != BOTTOM).collect();
            let numbers = self.rows.retain(&stays);
            keep(&mut self.last, &stays);
            if let Some(ttl) = &mut self.ttl {
                ttl.renumber(&numbers);
            }
        }
        Ok(())
    }

    /// Gathers what can still be taken back in batches of its own, where it is the lesser part of those that are kept.
    fn gather(&mut self) -> Result<()> {
        let mut left = Vec::new();
        for last in &self.last {
            let mut at = *last;
            while let Some(entry) = self.entries.get(at as usize) {
                if entry.made.rows > 0 {
                    left.push(at);
                }
                at = entry.below;
            }
        }
        let old = std::mem::take(&mut self.batches);
        let batches: Vec<&RecordBatch> = old.iter().flatten().map(|kept| kept.batch.as_ref()).collect();
        let mut places = vec![0; old.len()];
        let numbered = old.iter().enumerate().filter(|(_, kept)| kept.is_some()).enumerate();
        numbered.for_each(|(place, (number, _))| places[number] = place);
        (self.kept, self.used) = (0, 0);
        self.unused.clear();
        let (mut from, mut entries) = (Vec::with_capacity(GATHERED), Vec::new());
        for (nth, at) in left.iter().enumerate() {
            let Made { batch, from: first, rows } = self.entries[*at as usize].made;
            entries.push((*at, Made { batch: 0, from: from.len() as u32, rows }));
            from.extend((first..first + rows).map(|row| (places[batch as usize], row as usize)));
            if from.len() >= GATHERED || nth + 1 == left.len() {
                let gathered = interleave_record_batch(&batches, &from)?;
                let batch = self.keep(&gathered);
                for (at, made) in entries.drain(..) {
                    let made = Made { batch, ..made };
                    self.entries[at as usize].made = made;
                    self.use_rows(made);
                }
                from.clear();
            }
        }
        self.done.clear();
        Ok(())
    }

    /// Saves each row as often as it is there, and what came out of it each time; rows are shared out by the columns at these
    /// places. What came out is saved as it is: a table that is loaded anew knows its rows by other numbers.
    pub(crate) fn save(&self, state: &mut StateWriter, shared_by: &[usize]) -> Result<()> {
        let (mut ids, mut given, mut stack, mut rows) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (id, last) in self.last.iter().enumerate() {
            let mut at = *last;
            while let Some(entry) = self.entries.get(at as usize) {
                stack.push(entry.made);
                at = entry.below;
            }
            // The last that came is the first that is taken back.
            while let Some(made) = stack.pop() {
                ids.push(id as u32);
                given.push(made);
                rows += made.rows as usize;
            }
            if ids.len() >= PIECE || rows >= PIECE || id + 1 == self.last.len() {
                self.put(state, shared_by, &ids, &given)?;
                (ids, given, rows) = (Vec::new(), Vec::new(), 0);
            }
        }
        Ok(())
    }

    /// Saves some rows, and what came out of them.
    fn put(&self, state: &mut StateWriter, shared_by: &[usize], ids: &[u32], given: &[Made]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let rows = self.rows.rows(ids)?;
        let mut columns = StateColumns::new();
        columns.push("_rows", Arc::new(UInt32Array::from_iter_values(given.iter().map(|made| made.rows))));
        if let Some(ttl) = &self.ttl {
            columns.push("_touched", Arc::new(ttl.saved(ids)));
        }
        columns.push_batch(&rows);
        let keys = rows.project(shared_by)?;
        state.keyed(GIVEN, keys.columns(), &columns.finish(ids.len())?)?;
        let made = || given.iter().enumerate().filter(|(_, made)| made.rows > 0);
        let mut numbers = made().map(|(_, made)| made.batch).collect::<Vec<_>>();
        numbers.sort_unstable();
        numbers.dedup();
        let batches = numbers.iter().filter_map(|number| self.batches.get(*number as usize)?.as_ref());
        let batches = batches.map(|kept| kept.batch.as_ref()).collect::<Vec<_>>();
        let (mut from, mut of) = (Vec::new(), Vec::new());
        for (row, made) in made() {
            // The number is among them, and no batch goes of which something can be taken back.
            let place = numbers.partition_point(|number| *number < made.batch);
            from.extend((made.from..made.from + made.rows).map(|row| (place, row as usize)));
            of.extend(std::iter::repeat_n(row as u32, made.rows as usize));
        }
        if from.is_empty() {
            return Ok(());
        }
        // What came out of a row goes where the row goes.
        let keys = take_record_batch(&keys, &UInt32Array::from(of))?;
        state.keyed(OUTPUT, keys.columns(), &interleave_record_batch(&batches, &from)?)
    }

    /// Takes up what was saved; what came out has the columns of `output`.
    pub(crate) fn load(&mut self, state: &mut StateReader, output: &SchemaRef) -> Result<()> {
        let mut batches = Vec::new();
        for batch in state.rows(OUTPUT)? {
            let mut saved = SavedColumns::of(OUTPUT, &batch);
            let rows = saved.batch(output)?;
            saved.end()?;
            batches.push((self.keep(&rows), rows.num_rows() as u32));
        }
        let lacks = || damaged(GIVEN, "what came out of a row is not there");
        let mut batches = batches.into_iter();
        let (mut number, mut from, mut left) = (0, 0, 0);
        for batch in state.rows(GIVEN)? {
            let mut saved = SavedColumns::of(GIVEN, &batch);
            let counts = saved.numbers::<UInt32Type>()?;
            let touched = self.ttl.is_some().then(|| saved.numbers::<Int64Type>()).transpose()?;
            let rows = saved.batch(&self.input)?;
            saved.end()?;
            let ids = self.intern(&Batch::new(rows))?;
            for (id, rows) in ids.iter().zip(counts.values()) {
                // What came out of one row was saved at once, so it lies in one batch.
                if *rows > 0 && left == 0 {
                    (number, left) = batches.next().ok_or_else(lacks)?;
                    from = 0;
                }
                left = left.checked_sub(*rows).ok_or_else(lacks)?;
                self.give(*id, Made { batch: number, from, rows: *rows });
                from += rows;
            }
            if let (Some(ttl), Some(touched)) = (&mut self.ttl, touched) {
                ttl.restore(&ids, touched);
            }
        }
        match left == 0 && batches.next().is_none() {
            true => Ok(()),
            false => Err(damaged(OUTPUT, "there is more than what came out of rows")),
        }
    }

    /// Forgets rows that were not touched for too long when the watermark has come to this.
    pub(crate) fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<()> {
        match self.ttl.as_ref().and_then(|ttl| ttl.watermark(watermark)) {
            Some(time) => self.expire(time, out),
            None => Ok(()),
        }
    }

    /// Forgets rows that were not touched for too long by the clock, and asks to be called again.
    pub(crate) fn on_clock(&mut self, out: &mut Outbox) -> Result<()> {
        match self.ttl.as_ref().and_then(|ttl| ttl.clock(out.now())) {
            Some(time) => self.expire(time, out),
            None => Ok(()),
        }
    }

    /// Asks to be called when the next rows are forgotten by the clock.
    pub(crate) fn ask(&self, out: &mut Outbox) {
        if let Some(next) = self.ttl.as_ref().and_then(Ttl::next) {
            out.timer_at(next);
        }
    }

    fn expire(&mut self, time: i64, out: &mut Outbox) -> Result<()> {
        for row in out.expired(&mut self.ttl, time) {
            while self.take_back(row).is_some() {}
        }
        self.compact()
    }
}
