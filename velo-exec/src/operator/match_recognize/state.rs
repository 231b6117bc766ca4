//! What MATCH_RECOGNIZE puts into a checkpoint: the rows in wait for the watermark, and of each partition the rows that it keeps,
//! where the next match can begin, and how far the search for it has come.
//!
//! The search itself is not saved: all rows from its first one on are kept, and those before it that conditions look at, so that
//! the same search over them, which gives nothing out, has the same threads and the same state of aggregates.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, UInt64Array};
use velo_core::Watermark;
use velo_core::batch::columns_of;

use super::MatchRecognize;
use super::search::Failure;
use crate::checkpoint::columns::{Columns, Saved};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;
use crate::operator::window_aggregate::OUTPUT_ROWS;
use crate::row_pattern::{At, Partition, Row};

const HELD: &str = "held";
const PARTITIONS: &str = "partitions";

impl MatchRecognize {
    /// Puts all that is kept into a checkpoint.
    pub(super) fn save_all(&mut self, state: &mut StateWriter) -> Result<()> {
        self.late.counters.save(state)?;
        self.held.save(HELD, &self.keys, state)?;
        let needed = |partition: &Partition| !(self.forgets && partition.idle);
        let all = self.search.partitions.iter().enumerate().filter(|(_, partition)| needed(partition));
        let all = all.map(|(key, _)| key as u32).collect::<Vec<_>>();
        let mut from = 0;
        while from < all.len() {
            // Few rows in many partitions, or many in few.
            let (mut to, mut rows) = (from, 0);
            while to < all.len() && to - from < OUTPUT_ROWS && rows < OUTPUT_ROWS {
                rows += self.search.partitions[all[to] as usize].rows.len();
                to += 1;
            }
            self.save_together(&all[from..to], state)?;
            from = to;
        }
        Ok(())
    }

    fn save_together(&mut self, partitions: &[u32], state: &mut StateWriter) -> Result<()> {
        let search = &mut self.search;
        let keys = self.table.keys(partitions)?;
        let all = partitions.iter().map(|key| &search.partitions[*key as usize]).collect::<Vec<_>>();
        let mut saved = Columns::default();
        for (at, key) in keys.iter().enumerate() {
            saved.add(format!("key{at}"), Arc::clone(key));
        }
        saved.counts("first", all.iter().map(|partition| partition.first));
        saved.counts("tested", all.iter().map(|partition| partition.tested));
        saved.counts("start", all.iter().map(|partition| partition.start));
        saved.numbers("matches", all.iter().map(|partition| partition.matches));
        let next = all.iter().map(|partition| partition.run.as_ref().map(|run| run.next));
        saved.add("next", Arc::new(next.collect::<UInt64Array>()));
        let lengths = all.iter().map(|partition| partition.rows.len()).collect::<Vec<_>>();
        let rows = || all.iter().flat_map(|partition| &partition.rows);
        let times: ArrayRef = Arc::new(Int64Array::from_iter_values(rows().map(|row| row.time)));
        saved.lists("times", &lengths, times)?;
        saved.lists("holds", &lengths, Arc::new(UInt64Array::from_iter_values(rows().map(|row| row.holds))))?;
        saved.lists("dead", &lengths, Arc::new(UInt64Array::from_iter_values(rows().map(|row| row.dead))))?;
        let places = rows().map(|row| Some(row.at)).collect::<Vec<_>>();
        for column in 0..self.kept {
            saved.lists(format!("kept{column}"), &lengths, search.store.gather(column, &places)?)?;
        }
        state.keyed(PARTITIONS, &keys, &saved.batch(partitions.len())?)
    }

    /// Takes up what [`Self::save_all`] put there.
    pub(super) fn load_all(&mut self, state: &mut StateReader) -> Result<()> {
        self.search.watermark = state.watermark();
        self.search.ended = self.search.watermark == Watermark::END;
        self.late.counters.load(state)?;
        self.held.load(HELD, state)?;
        let mut open = Vec::new();
        for batch in state.rows(PARTITIONS)? {
            self.load_partitions(&batch, &mut open)?;
        }
        self.search_again(open).map_err(|failure| self.failed(failure))?;
        for key in 0..self.search.partitions.len() {
            self.settle(key as u32);
        }
        self.search.store.sweep();
        Ok(())
    }

    /// Takes up partitions; `open` gets those that are searched, and up to where.
    fn load_partitions(&mut self, batch: &RecordBatch, open: &mut Vec<(u32, u64)>) -> Result<()> {
        let saved = Saved::new(PARTITIONS, batch);
        let keys = (0..self.keys.len()).map(|at| saved.column(&format!("key{at}")).cloned());
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let known = self.table.len();
        let interned = self.table.intern(&keys, batch.num_rows(), &mut self.ids);
        interned.map_err(|error| saved.damaged(&error.to_string()))?;
        if self.table.len() != known + batch.num_rows() {
            return Err(saved.damaged("a partition is there twice"));
        }
        let (first, tested, start) = (saved.counts("first")?, saved.counts("tested")?, saved.counts("start")?);
        let (matches, next) = (saved.numbers("matches")?, saved.typed::<UInt64Type>("next")?);
        let numbers = || saved.damaged("what is known of rows is no numbers");
        let lists = (saved.lists("times")?, saved.lists("holds")?, saved.lists("dead")?);
        let times = lists.0.values.as_primitive_opt::<Int64Type>().ok_or_else(numbers)?.values();
        let holds = lists.1.values.as_primitive_opt::<UInt64Type>().ok_or_else(numbers)?.values();
        let dead = lists.2.values.as_primitive_opt::<UInt64Type>().ok_or_else(numbers)?.values();
        let kept = (0..self.kept).map(|column| saved.lists(&format!("kept{column}"))).collect::<Result<Vec<_>>>()?;
        let columns = kept.iter().map(|lists| Arc::clone(&lists.values)).collect();
        let columns = columns_of(self.search.store.schema(), columns, times.len());
        let columns = columns.map_err(|error| saved.damaged(&error.to_string()))?;
        let chunk = self.search.store.add(columns);
        self.search.partitions.resize_with(self.table.len(), Partition::default);
        for (at, key) in self.ids.iter().enumerate() {
            let range = lists.0.range(at);
            let same = |other: Range<usize>| other == range;
            if !(same(lists.1.range(at)) && same(lists.2.range(at)) && kept.iter().all(|lists| same(lists.range(at)))) {
                return Err(saved.damaged("lists of rows have other lengths"));
            }
            let row = |row: usize| Row {
                at: At { chunk, row: row as u32 },
                time: times[row],
                holds: holds[row],
                dead: dead[row],
            };
            let partition = &mut self.search.partitions[*key as usize];
            *partition = Partition {
                rows: range.map(row).collect(),
                first: first[at],
                tested: tested[at],
                start: start[at],
                matches: matches[at],
                hold: i64::MAX,
                idle: lists.0.length(at) == 0,
                ..Partition::default()
            };
            let end = first[at].checked_add(partition.rows.len() as u64);
            let end = end.filter(|end| first[at] <= start[at] && start[at] <= *end && tested[at] <= *end);
            let end = end.ok_or_else(|| saved.damaged("a partition is searched where it has no rows"))?;
            self.idle += usize::from(partition.idle);
            if next.is_valid(at) {
                if start[at] == end || !(start[at]..=tested[at]).contains(&next.value(at)) {
                    return Err(saved.damaged("a search has taken rows that are not there"));
                }
                open.push((*key, next.value(at)));
            }
        }
        Ok(())
    }

    /// Searches the open partitions again as far as they had been searched, all together as far as they need answers.
    fn search_again(&mut self, mut open: Vec<(u32, u64)>) -> Result<(), Failure> {
        let search = &mut self.search;
        let mut answers: Vec<(bool, u32)> = Vec::new();
        let mut asked = vec![0; open.len()];
        while !open.is_empty() {
            search.requests.clear();
            search.slots.clear();
            let mut next = Vec::with_capacity(open.len());
            let mut next_asked = Vec::with_capacity(open.len());
            let mut from = 0;
            for ((key, to), count) in open.iter().zip(&asked) {
                let own = &answers[from..from + count];
                from += count;
                let before = search.requests.len();
                if search.run_again(*key, *to, own)? {
                    next.push((*key, *to));
                    next_asked.push(search.requests.len() - before);
                }
            }
            (open, asked) = (next, next_asked);
            answers = search.answer()?;
        }
        Ok(())
    }
}
