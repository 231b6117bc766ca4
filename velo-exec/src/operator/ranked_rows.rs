//! Rows that are kept as bytes, and the order of those of one partition.
//!
//! The bytes of a row compare as the row does in its order: what it is ordered by, then its values. So rows of any types lie in
//! one piece of memory, and a partition is a list of their numbers.

use std::cmp::Ordering;

use arrow_array::ArrayRef;
use arrow_ord::sort::SortOptions;
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{FieldRef, SchemaRef};
use velo_core::{Batch, schema};

use crate::error::Result;

/// Rows by number.
pub(super) struct RankedRows {
    /// None where rows have no columns but the event time.
    converter: Option<RowConverter>,
    bytes: Vec<u8>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Bytes of rows that are gone.
    garbage: usize,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    offset: usize,
    /// Bytes of what rows are ordered by.
    head: u32,
    /// Those and the values behind them; none where the number is free.
    length: u32,
    time: i64,
}

/// Less garbage than this is not worth while to collect.
const SOME: usize = 1 << 20;

impl RankedRows {
    /// No rows of `schema` yet; with `descending` the larger of two values comes first.
    pub(super) fn new(schema: &SchemaRef, descending: bool) -> Result<Self> {
        let visible = schema::visible(schema);
        let options = SortOptions { descending, nulls_first: !descending };
        let field = |field: &FieldRef| SortField::new_with_options(field.data_type().clone(), options);
        let fields = visible.fields().iter().map(field);
        let converter = (!visible.fields().is_empty()).then(|| RowConverter::new(fields.collect())).transpose()?;
        Ok(Self { converter, bytes: Vec::new(), slots: Vec::new(), free: Vec::new(), garbage: 0 })
    }

    /// The values of the rows of a batch.
    pub(super) fn encode(&self, batch: &Batch) -> Result<Option<Rows>> {
        let columns = batch.columns.columns();
        let visible = schema::event_time_index(batch.columns.schema_ref()).unwrap_or(columns.len());
        let encode = |converter: &RowConverter| converter.convert_columns(&columns[..visible]);
        Ok(self.converter.as_ref().map(encode).transpose()?)
    }

    /// Keeps a row; its number.
    pub(super) fn push(&mut self, head: &[u8], values: &[u8], time: i64) -> u32 {
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(values);
        let slot = Slot { offset, head: head.len() as u32, length: (head.len() + values.len()) as u32, time };
        match self.free.pop() {
            Some(number) => {
                self.slots[number as usize] = slot;
                number
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        }
    }

    /// Forgets the row that was kept last.
    pub(super) fn undo(&mut self, number: u32) {
        self.bytes.truncate(self.slots[number as usize].offset);
        self.slots[number as usize].length = 0;
        self.free.push(number);
    }

    /// Forgets a row.
    pub(super) fn forget(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        self.garbage += std::mem::take(&mut slot.length) as usize;
        slot.head = 0;
        self.free.push(number);
    }

    /// What compares as the row does.
    pub(super) fn key(&self, number: u32) -> &[u8] {
        let slot = &self.slots[number as usize];
        &self.bytes[slot.offset..slot.offset + slot.length as usize]
    }

    /// What the row is ordered by.
    pub(super) fn head(&self, number: u32) -> &[u8] {
        &self.key(number)[..self.slots[number as usize].head as usize]
    }

    /// The row's values.
    pub(super) fn values(&self, number: u32) -> &[u8] {
        &self.key(number)[self.slots[number as usize].head as usize..]
    }

    /// Its event time.
    pub(super) fn time(&self, number: u32) -> i64 {
        self.slots[number as usize].time
    }

    /// The columns of rows, without their event times.
    pub(super) fn columns(&self, numbers: &[u32]) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.converter else { return Ok(Vec::new()) };
        let parser = converter.parser();
        Ok(converter.convert_rows(numbers.iter().map(|number| parser.parse(self.values(*number))))?)
    }

    /// Gives back the memory of rows that are gone, once it is much.
    pub(super) fn collect(&mut self) {
        if self.garbage >= SOME && self.garbage * 2 >= self.bytes.len() {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.garbage);
        for slot in self.slots.iter_mut().filter(|slot| slot.length > 0) {
            let offset = bytes.len();
            bytes.extend_from_slice(&self.bytes[slot.offset..slot.offset + slot.length as usize]);
            slot.offset = offset;
        }
        // A free number has no bytes, wherever it says that they are.
        self.slots.iter_mut().filter(|slot| slot.length == 0).for_each(|slot| slot.offset = 0);
        (self.bytes, self.garbage) = (bytes, 0);
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.slots.capacity() * size_of::<Slot>() + self.free.capacity() * size_of::<u32>()
    }
}

/// The rows of a partition in their order: blocks, so that a row is put between many others without moving all of them.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    /// Most partitions have one block.
    first: Vec<u32>,
    more: Vec<Vec<u32>>,
}

/// Rows of a block.
const BLOCK: usize = 512;

/// Where a row is, or would be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    block: usize,
    at: usize,
}

impl Ordered {
    fn block(&self, block: usize) -> &Vec<u32> {
        block.checked_sub(1).map_or(&self.first, |more| &self.more[more])
    }

    fn block_mut(&mut self, block: usize) -> &mut Vec<u32> {
        block.checked_sub(1).map_or(&mut self.first, |more| &mut self.more[more])
    }

    pub(super) fn len(&self) -> usize {
        self.first.len() + self.more.iter().map(Vec::len).sum::<usize>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// The rows in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.first.iter().chain(self.more.iter().flatten()).copied()
    }

    /// The last row.
    pub(super) fn last(&self) -> Option<u32> {
        self.more.last().unwrap_or(&self.first).last().copied()
    }

    /// Whether a spot is among the first so many.
    pub(super) fn is_within(&self, spot: Spot, limit: usize) -> bool {
        let mut before = spot.at;
        for block in 0..spot.block {
            if before >= limit {
                return false;
            }
            before += self.block(block).len();
        }
        before < limit
    }

    /// Where a row goes: behind those that are equal.
    pub(super) fn spot_for(&self, row: u32, rows: &RankedRows) -> Spot {
        let key = rows.key(row);
        let before = |known: &u32| rows.key(*known) <= key;
        // No block is empty but the first, which is so only where there is no other.
        let block = self.more.partition_point(|block| before(&block[0]));
        Spot { block, at: self.block(block).partition_point(before) }
    }

    /// Where a row equal to this one is.
    pub(super) fn find(&self, row: u32, rows: &RankedRows) -> Option<Spot> {
        let key = rows.key(row);
        let before = |known: &u32| rows.key(*known) < key;
        let mut block = self.more.partition_point(|block| before(&block[0]));
        let mut at = self.block(block).partition_point(before);
        if at == self.block(block).len() && block < self.more.len() {
            (block, at) = (block + 1, 0);
        }
        let found = self.block(block).get(at)?;
        (rows.key(*found).cmp(key) == Ordering::Equal).then_some(Spot { block, at })
    }

    pub(super) fn insert(&mut self, spot: Spot, row: u32) {
        let block = self.block_mut(spot.block);
        block.insert(spot.at, row);
        if block.len() > BLOCK {
            let behind = block.split_off(BLOCK / 2);
            self.more.insert(spot.block, behind);
        }
    }

    pub(super) fn remove(&mut self, spot: Spot) -> u32 {
        let block = self.block_mut(spot.block);
        let row = block.remove(spot.at);
        if block.is_empty() {
            match spot.block {
                0 if self.more.is_empty() => {}
                0 => self.first = self.more.remove(0),
                more => drop(self.more.remove(more - 1)),
            }
        }
        row
    }

    /// Takes the last row out.
    pub(super) fn pop(&mut self) -> Option<u32> {
        let block = self.more.len();
        let at = self.block(block).len().checked_sub(1)?;
        Some(self.remove(Spot { block, at }))
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        let blocks = self.more.iter().map(|block| block.capacity() * size_of::<u32>() + size_of::<Vec<u32>>());
        size_of::<Self>() + self.first.capacity() * size_of::<u32>() + blocks.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, RecordBatch};
    use arrow_schema::{DataType, Field, Schema};

    use super::*;
    use crate::testing::Random;

    /// Many rows in one partition, put in and taken out at random, are as in a sorted list.
    #[test]
    fn blocks_are_one_sorted_list() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        let (mut rows, mut ordered) = (RankedRows::new(&schema, false).unwrap(), Ordered::default());
        let (mut naive, mut random) = (Vec::<i64>::new(), Random::new(3));
        for step in 0..20_000 {
            let value = random.between(0, 3_000);
            let columns =
                RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(vec![value]))]).unwrap();
            let encoded = rows.encode(&Batch::new(columns)).unwrap().unwrap();
            let row = rows.push(&[], encoded.row(0).as_ref(), value);
            let grows = step < 8_000 || (step < 12_000 && random.below(2) == 0);
            if grows {
                let at = naive.partition_point(|known| *known <= value);
                let spot = ordered.spot_for(row, &rows);
                assert!(ordered.is_within(spot, at + 1) && !ordered.is_within(spot, at));
                naive.insert(at, value);
                ordered.insert(spot, row);
            } else {
                let at = naive.partition_point(|known| *known < value);
                let found = ordered.find(row, &rows);
                assert_eq!(found.is_some(), naive.get(at) == Some(&value));
                rows.undo(row);
                if let Some(spot) = found {
                    assert!(ordered.is_within(spot, at + 1) && !ordered.is_within(spot, at));
                    naive.remove(at);
                    let gone = ordered.remove(spot);
                    assert_eq!(rows.time(gone), value);
                    rows.forget(gone);
                }
            }
            assert_eq!(ordered.len(), naive.len());
            if step % 500 == 0 {
                rows.compact();
                let all = ordered.iter().collect::<Vec<_>>();
                let found = rows.columns(&all).unwrap();
                assert_eq!(found[0].as_ref(), &Int64Array::from(naive.clone()) as &dyn arrow_array::Array);
            }
        }
        while let Some(last) = ordered.pop() {
            assert_eq!(Some(rows.time(last)), naive.pop());
        }
        assert!(naive.is_empty() && ordered.is_empty());
    }
}
