//! What waits for its turn at a shard, in its order; rows on disk where there are many.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow_schema::DataType;
use velo_core::place::{Origin, Positions};
use velo_core::{Batch, RowKinds, Watermark};

use super::{SpillFile, SpillFolder, SpillReader, SpillWriter};
use crate::checkpoint::beside::with_beside;
use crate::checkpoint::rows::{kinds_column, kinds_of, late_column, late_of};
use crate::error::{ExecError, Result};
use crate::operator::InputId;

/// Something that an operator is told.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Rows(InputId, Box<Batch>),
    Told(Watermark),
    InputTold(InputId, Watermark),
    Idle,
    Timer,
    Stop,
    End,
}

/// An event, or the next rows of a file; what the clock showed then.
#[derive(Debug)]
enum Entry {
    Here(Event),
    /// The next batch of the input's file, all of whose rows came from this place.
    OnDisk(InputId, Option<Box<Origin>>),
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<(i64, Entry)>,
    /// Bytes of the rows in memory.
    bytes: usize,
    /// Rows in memory and on disk.
    rows: u64,
    /// Its files by input; the first is read first.
    files: BTreeMap<usize, VecDeque<SpillFile>>,
    /// The one that is being read, by input.
    open: BTreeMap<usize, SpillReader>,
}

/// Rows are put together to pieces of so many before they are written.
const PIECE: usize = 8_192;

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of the rows in memory, and about those of the rest.
    pub(super) fn memory(&self) -> usize {
        self.bytes + self.entries.capacity() * size_of::<(i64, Entry)>()
    }

    /// Whether there are rows in memory.
    pub(super) fn has_rows_here(&self) -> bool {
        self.bytes > 0
    }

    /// Rows that wait.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn push(&mut self, now: i64, event: Event) {
        match (self.entries.back_mut(), &event) {
            // Nothing came between the two.
            (Some((_, Entry::Here(Event::Told(before)))), Event::Told(after)) => *before = *after,
            (Some((_, Entry::Here(Event::InputTold(input, before)))), Event::InputTold(other, after))
                if input == other =>
            {
                *before = *after;
            }
            (Some((_, Entry::Here(Event::Idle))), Event::Idle)
            | (Some((_, Entry::Here(Event::Timer))), Event::Timer) => {}
            _ => {
                if let Event::Rows(_, batch) = &event {
                    self.bytes += batch.memory();
                    self.rows += batch.rows() as u64;
                }
                self.entries.push_back((now, Entry::Here(event)));
            }
        }
    }

    /// The next one, with what the clock showed when it came.
    pub(super) fn pop(&mut self) -> Result<Option<(i64, Event)>> {
        let Some((now, entry)) = self.entries.pop_front() else { return Ok(None) };
        let event = match entry {
            Entry::Here(event) => {
                if let Event::Rows(_, batch) = &event {
                    self.bytes = self.bytes.saturating_sub(batch.memory());
                }
                event
            }
            Entry::OnDisk(input, origin) => {
                Event::Rows(input, Box::new(unpacked(&self.read(input)?, origin.map(|origin| *origin))?))
            }
        };
        if let Event::Rows(_, batch) = &event {
            self.rows = self.rows.saturating_sub(batch.rows() as u64);
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
            self.open.clear();
        }
        Ok(Some((now, event)))
    }

    /// The next rows of an input that lie on disk.
    fn read(&mut self, input: InputId) -> Result<RecordBatch> {
        loop {
            if let Some(rows) = self.open.get_mut(&input.0).and_then(Iterator::next) {
                return rows;
            }
            let next = self.files.get_mut(&input.0).and_then(VecDeque::pop_front);
            let next = next.ok_or_else(|| ExecError::Internal("rows that wait on disk are missing".to_owned()))?;
            // An open file can be read to its end, whoever removes it.
            self.open.insert(input.0, next.read()?);
        }
    }

    /// Puts its rows on disk, in a file for each input, so that few files are open however many queues there are.
    pub(super) fn spill(&mut self, folder: &SpillFolder) -> Result<()> {
        let mut writers = BTreeMap::new();
        let mut entries = VecDeque::with_capacity(self.entries.len());
        let mut piece = Piece::default();
        for (now, entry) in std::mem::take(&mut self.entries) {
            match entry {
                Entry::Here(Event::Rows(input, batch)) => {
                    if !piece.takes(input, &batch) {
                        entries.extend(piece.write(&mut writers, folder)?);
                    }
                    piece.add(now, input, &batch)?;
                }
                other => {
                    entries.extend(piece.write(&mut writers, folder)?);
                    entries.push_back((now, other));
                }
            }
        }
        entries.extend(piece.write(&mut writers, folder)?);
        for (input, writer) in writers {
            self.files.entry(input).or_default().push_back(writer.finish()?);
        }
        self.entries = entries;
        self.bytes = 0;
        Ok(())
    }
}

/// Rows of one input and one place that are written together.
#[derive(Default)]
struct Piece {
    now: i64,
    input: InputId,
    origin: Option<Origin>,
    packed: Vec<RecordBatch>,
    rows: usize,
}

impl Piece {
    fn takes(&self, input: InputId, batch: &Batch) -> bool {
        let same = || match (&self.origin, &batch.origin) {
            (None, None) => true,
            (Some(one), Some(other)) => {
                (one.source, one.partition, one.base) == (other.source, other.partition, other.base)
                    && one.resource == other.resource
            }
            _ => false,
        };
        self.packed.is_empty() || (self.input == input && self.rows < PIECE && same())
    }

    fn add(&mut self, now: i64, input: InputId, batch: &Batch) -> Result<()> {
        if self.packed.is_empty() {
            let none = || Positions::Each(UInt64Array::from(Vec::<u64>::new()));
            self.origin = batch.origin.as_ref().map(|origin| Origin { positions: none(), ..origin.clone() });
        }
        (self.now, self.input) = (now, input);
        self.packed.push(packed(batch)?);
        self.rows += batch.rows();
        Ok(())
    }

    fn write(
        &mut self,
        writers: &mut BTreeMap<usize, SpillWriter>,
        folder: &SpillFolder,
    ) -> Result<Option<(i64, Entry)>> {
        let piece = std::mem::take(self);
        let Some(first) = piece.packed.first() else { return Ok(None) };
        let rows = arrow_select::concat::concat_batches(first.schema_ref(), &piece.packed)?;
        let writer = match writers.entry(piece.input.0) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => new.insert(folder.create()?),
        };
        writer.write(&rows)?;
        Ok(Some((piece.now, Entry::OnDisk(piece.input, piece.origin.map(Box::new)))))
    }
}

/// The columns, and behind them always the same three: kinds, how late the rows are, and their positions.
fn packed(batch: &Batch) -> Result<RecordBatch> {
    let positions: ArrayRef = match &batch.origin {
        Some(origin) => Arc::new(UInt64Array::from_iter_values((0..batch.rows()).map(|row| origin.position(row)))),
        None => arrow_array::new_null_array(&DataType::UInt64, batch.rows()),
    };
    let [kinds, late] = [kinds_column(batch), late_column(batch)];
    with_beside(&batch.columns, [("_row_kind", kinds), ("_late_by", late), ("_position", positions)])
}

fn unpacked(packed: &RecordBatch, origin: Option<Origin>) -> Result<Batch> {
    let wrong = || ExecError::Internal("rows that waited on disk have another form".to_owned());
    let width = packed.num_columns().checked_sub(3).ok_or_else(wrong)?;
    let [kinds, late, positions] = &packed.columns()[width..] else { return Err(wrong()) };
    let kinds = RowKinds::new(kinds_of(kinds)?);
    let late = late_of(late)?;
    let positions = positions.as_primitive_opt::<UInt64Type>().ok_or_else(wrong)?;
    Ok(Batch {
        columns: packed.project(&(0..width).collect::<Vec<_>>())?,
        kinds: (!kinds.all_inserts()).then_some(kinds),
        origin: origin.map(|origin| Origin { positions: Positions::Each(positions.clone()), ..origin }),
        late_by: (late.null_count() < late.len()).then(|| late_or_zero(late)),
    })
}

/// Rows of batches without lateness were put behind some with it.
fn late_or_zero(late: &Int64Array) -> Int64Array {
    late.iter().map(|late| late.unwrap_or(0)).collect::<Vec<_>>().into()
}
