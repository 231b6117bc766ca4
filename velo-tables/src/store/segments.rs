//! The rows of a table: every row gets the next *position* and keeps it; columns are kept in segments that are shared between versions.
//!
//! A segment holds the rows of up to [`SPAN`] positions. The newest rows lie in a few small ones, the *tail*, which is made one
//! sealed segment when its positions are used up. Rows that no version needs any more are taken out of a sealed segment
//! ([`Segment::without`]) while those that stay keep their positions: an index over positions knows nothing of it.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{ArrowError, SchemaRef};
use velo_core::batch::columns_of;
use velo_core::lookup::TableRow;

use crate::store::gather::gather;
use crate::store::marks::{BITS, Bits};

/// So many positions belong to one sealed segment.
pub(crate) const SPAN: u64 = BITS as u64;
/// More segments than this are not left in the tail, whoever publishes or not.
const TAIL: usize = 48;
/// So many rows of the tail are put together at a time; what is larger stays as it came until the segment is sealed.
const SMALL: usize = 8_192;

/// Where a row lies: the segment's place among all segments, and the row in it.
pub(crate) type Address = (u32, u32);

/// Rows of neighbouring positions.
#[derive(Debug)]
pub(crate) struct Segment {
    start: u64,
    end: u64,
    /// Which positions have a row; all, where there is nothing.
    held: Option<Held>,
    columns: Vec<ArrayRef>,
    rows: usize,
    bytes: usize,
}

/// The positions that have a row, and how many there are before each 64.
#[derive(Debug)]
struct Held {
    bits: Arc<Bits>,
    before: Vec<u32>,
}

impl Segment {
    fn new(start: u64, columns: Vec<ArrayRef>, rows: usize) -> Self {
        let bytes = columns.iter().map(bytes_of).sum();
        Self { start, end: start + rows as u64, held: None, columns, rows, bytes }
    }

    /// The first position.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The columns, as long as there are rows.
    pub(crate) fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    /// The row at a position that has one.
    #[inline(always)]
    fn row(&self, position: u64) -> u32 {
        let offset = (position - self.start) as usize;
        match &self.held {
            None => offset as u32,
            Some(held) => {
                let (word, bit) = (offset / 64, offset % 64);
                held.before[word] + (held.bits[word] & ((1_u64 << bit) - 1)).count_ones()
            }
        }
    }

    /// The positions of the rows, in their order.
    pub(crate) fn positions(&self) -> impl Iterator<Item = u64> + '_ {
        (self.start..self.end).filter(|position| {
            let offset = (position - self.start) as usize;
            self.held.as_ref().is_none_or(|held| held.bits[offset / 64] >> (offset % 64) & 1 == 1)
        })
    }

    /// The same without the rows whose bit is set.
    pub(crate) fn without(&self, gone: &Bits) -> Result<Self, ArrowError> {
        let mut bits = Box::new([0_u64; BITS / 64]);
        let mut kept = Vec::with_capacity(self.rows);
        for position in self.positions() {
            let offset = (position - self.start) as usize;
            let keep = gone[offset / 64] >> (offset % 64) & 1 == 0;
            bits[offset / 64] |= u64::from(keep) << (offset % 64);
            kept.push(keep);
        }
        let mask = BooleanArray::new(BooleanBuffer::from(kept), None);
        let rows = mask.true_count();
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let mut column = arrow_select::filter::filter(column, &mask)?;
            column.shrink_to_fit();
            columns.push(column);
        }
        let mut before = Vec::with_capacity(bits.len());
        let mut sum = 0;
        for word in bits.iter() {
            before.push(sum);
            sum += word.count_ones();
        }
        let bytes = columns.iter().map(bytes_of).sum::<usize>() + size_of::<Bits>() + before.capacity() * 4;
        Ok(Self {
            start: self.start,
            end: self.end,
            held: Some(Held { bits: Arc::from(bits), before }),
            columns,
            rows,
            bytes,
        })
    }
}

/// The bytes of the rows of a column, whatever else its buffers hold.
fn bytes_of(column: &ArrayRef) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
}

/// All rows, those that no version needs any more among them until they are taken out.
#[derive(Debug, Clone)]
pub(crate) struct Segments {
    schema: SchemaRef,
    /// By position / [`SPAN`].
    sealed: Vec<Arc<Segment>>,
    tail: Vec<Arc<Segment>>,
    end: u64,
    bytes: usize,
}

impl Segments {
    /// No rows.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema, sealed: Vec::new(), tail: Vec::new(), end: 0, bytes: 0 }
    }

    /// The columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The position that the next row gets.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes of the columns.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many segments there are, sealed ones first.
    pub(crate) fn len(&self) -> usize {
        self.sealed.len() + self.tail.len()
    }

    /// A segment by its place.
    pub(crate) fn get(&self, at: usize) -> &Arc<Segment> {
        match self.sealed.get(at) {
            Some(segment) => segment,
            None => &self.tail[at - self.sealed.len()],
        }
    }

    /// All segments, in the order of their positions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.sealed.iter().chain(&self.tail)
    }

    /// How many of the segments are sealed.
    pub(crate) fn sealed(&self) -> usize {
        self.sealed.len()
    }

    /// Where the row of a position lies.
    #[inline(always)]
    pub(crate) fn address(&self, position: u64) -> Address {
        let at = (position / SPAN) as usize;
        match self.sealed.get(at) {
            Some(segment) => (at as u32, segment.row(position)),
            None => {
                let at = self.tail.partition_point(|segment| segment.end <= position);
                ((self.sealed.len() + at) as u32, self.tail[at].row(position))
            }
        }
    }

    /// Where each row lies; (0, 0) for none.
    pub(crate) fn addresses(&self, rows: &[TableRow], addresses: &mut Vec<Address>) {
        addresses.clear();
        addresses.extend(rows.iter().map(|row| if row.is_some() { self.address(row.0) } else { (0, 0) }));
    }

    /// Adds rows; the first has position [`Self::end`] as it was before.
    pub(crate) fn push(&mut self, columns: &RecordBatch) -> Result<(), ArrowError> {
        let mut from = 0;
        while from < columns.num_rows() {
            let room = (SPAN - self.end % SPAN) as usize;
            let rows = room.min(columns.num_rows() - from);
            let mut part: Vec<_> = columns.columns().iter().map(|column| column.slice(from, rows)).collect();
            // A few rows must not hold the whole of the buffers that they came in.
            if part.iter().map(|column| column.get_buffer_memory_size()).sum::<usize>()
                > 2 * part.iter().map(bytes_of).sum::<usize>() + 4_096
            {
                let all = UInt32Array::from_iter_values(0..rows as u32);
                part = part
                    .iter()
                    .map(|column| arrow_select::take::take(column, &all, None))
                    .collect::<Result<_, ArrowError>>()?;
            }
            let segment = Segment::new(self.end, part, rows);
            self.bytes += segment.bytes;
            self.end = segment.end;
            self.tail.push(Arc::new(segment));
            from += rows;
            if self.end.is_multiple_of(SPAN) {
                let whole = self.joined(0)?;
                self.sealed.push(whole);
            }
        }
        if self.tail.len() > TAIL {
            self.tidy()?;
        }
        Ok(())
    }

    /// Puts the small segments of the tail together, so that there are few: called before a version is published. Each row is
    /// copied as often as the rows behind it double.
    pub(crate) fn tidy(&mut self) -> Result<(), ArrowError> {
        let mut from = self.tail.len();
        let mut rows = 0;
        while let Some(segment) = from.checked_sub(1).map(|at| &self.tail[at])
            && segment.rows < SMALL
            && (rows == 0 || segment.rows < 2 * rows)
        {
            rows += segment.rows;
            from -= 1;
        }
        if from + 1 < self.tail.len() {
            let joined = self.joined(from)?;
            self.tail.push(joined);
        }
        Ok(())
    }

    /// The tail from `from` on as one segment, of exactly the memory that it needs; it is taken off.
    fn joined(&mut self, from: usize) -> Result<Arc<Segment>, ArrowError> {
        let parts = self.tail.split_off(from);
        let start = parts.first().map_or(self.end, |segment| segment.start);
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for at in 0..self.schema.fields().len() {
            let arrays: Vec<&dyn Array> = parts.iter().map(|part| part.columns[at].as_ref()).collect();
            let mut column = arrow_select::concat::concat(&arrays)?;
            column.shrink_to_fit();
            columns.push(column);
        }
        let joined = Segment::new(start, columns, parts.iter().map(|part| part.rows).sum());
        self.bytes += joined.bytes;
        self.bytes -= parts.iter().map(|part| part.bytes).sum::<usize>();
        Ok(Arc::new(joined))
    }

    /// Puts `fresh` in the place of a sealed segment, if that is still `old`.
    pub(crate) fn replace(&mut self, at: usize, old: &Arc<Segment>, fresh: Arc<Segment>) -> bool {
        match self.sealed.get_mut(at) {
            Some(segment) if Arc::ptr_eq(segment, old) => {
                self.bytes = self.bytes + fresh.bytes - old.bytes;
                *segment = fresh;
                true
            }
            _ => false,
        }
    }

    /// The values of a column at these addresses; NULL for `None`.
    pub(crate) fn gather(&self, column: usize, addresses: &[Option<Address>]) -> Result<ArrayRef, ArrowError> {
        let columns: Vec<&dyn Array> = self.iter().map(|segment| segment.columns[column].as_ref()).collect();
        gather(&columns, self.schema.field(column).data_type(), addresses)
    }

    /// Whole rows by their positions.
    pub(crate) fn rows(&self, positions: &[u64]) -> Result<RecordBatch, ArrowError> {
        let addresses: Vec<_> = positions.iter().map(|position| Some(self.address(*position))).collect();
        let columns = (0..self.schema.fields().len()).map(|column| self.gather(column, &addresses));
        columns_of(&self.schema, columns.collect::<Result<_, _>>()?, positions.len())
    }
}
