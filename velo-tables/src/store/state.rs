//! What a table holds: rows, which of them stand, indexes and versions. A copy shares everything with the original until that changes.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow_buffer::BooleanBuffer;
use arrow_schema::SchemaRef;
use velo_core::error::{ConnectorError, ErrorKind, Result};
use velo_core::schema::event_time_index;

use crate::store::index::{Index, KeyColumns, LISTS, failed};
use crate::store::marks::Marks;
use crate::store::segments::{Segment, Segments};
use crate::store::table::StoreSpec;
use crate::store::versions::Histories;

/// Rows of a batch of a scan.
pub(crate) const SCAN_ROWS: usize = 8_192;

/// What does not change about a table.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) schema: SchemaRef,
    pub(crate) key: Vec<usize>,
    /// Whether the key may have NULLs, which are equal to each other there.
    pub(crate) null_keys: bool,
    /// The place of the hidden event time.
    pub(crate) event_time: Option<usize>,
    /// The columns of each index.
    indexes: Vec<Arc<KeyColumns>>,
    /// All columns but the event time: what makes two rows equal.
    pub(crate) whole: Arc<KeyColumns>,
    pub(crate) keeps_versions: bool,
}

impl Shape {
    /// The shape that `spec` asks for.
    pub(crate) fn new(spec: &StoreSpec) -> Result<Self> {
        let refused = |message: String, advice: &str| {
            Err(ConnectorError::new(ErrorKind::Configuration, "making a table", message).advise(advice))
        };
        let (name, columns) = (&spec.name, spec.schema.fields().len());
        let named = spec.key.iter().chain(spec.indexes.iter().flatten());
        if let Some(column) = named.into_iter().find(|column| **column >= columns) {
            return refused(format!("table `{name}` has no column {column}"), "name columns of the table");
        }
        if !spec.key.is_empty() && spec.indexes.first() != Some(&spec.key) {
            return refused(format!("the first index of table `{name}` is not its key"), "put the key first");
        }
        if spec.indexes.iter().any(Vec::is_empty) {
            return refused(format!("an index of table `{name}` has no column"), "name its columns");
        }
        let event_time = event_time_index(&spec.schema);
        if spec.keeps_versions && spec.key.is_empty() {
            let message = format!("table `{name}` has no primary key, so it has no rows as of a time");
            return refused(message, "declare PRIMARY KEY (…) NOT ENFORCED on the table");
        }
        if spec.keeps_versions && event_time.is_none() {
            let message = format!("table `{name}` has no event time, so it has no rows as of a time");
            return refused(message, "set event.time.field, or declare WATERMARK FOR on the table");
        }
        let indexes = spec.indexes.iter().map(|index| {
            let nulls_equal = spec.null_keys && *index == spec.key;
            KeyColumns::new(&spec.schema, index.clone(), nulls_equal).map(Arc::new)
        });
        let visible = (0..columns).filter(|column| Some(*column) != event_time).collect();
        Ok(Self {
            name: name.clone(),
            schema: Arc::clone(&spec.schema),
            key: spec.key.clone(),
            null_keys: spec.null_keys,
            event_time,
            indexes: indexes.collect::<Result<_>>()?,
            whole: Arc::new(KeyColumns::new(&spec.schema, visible, true)?),
            keeps_versions: spec.keeps_versions,
        })
    }
}

/// The content of a table.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) shape: Arc<Shape>,
    pub(crate) segments: Segments,
    /// Positions of rows that do not stand: replaced, deleted, or a delete themselves.
    pub(crate) dead: Marks,
    /// Positions that are in no history, of a table that keeps its versions. A row is needed until it is in both.
    pub(crate) unlisted: Marks,
    pub(crate) indexes: Vec<Index>,
    /// Of a table without a key: by all columns, from the first retraction on.
    pub(crate) whole: Option<Index>,
    pub(crate) histories: Option<Histories>,
    /// Rows that stand.
    pub(crate) rows: u64,
}

impl State {
    /// No rows.
    pub(crate) fn new(shape: &Arc<Shape>) -> Self {
        Self {
            segments: Segments::new(Arc::clone(&shape.schema)),
            dead: Marks::default(),
            unlisted: Marks::default(),
            indexes: shape.indexes.iter().map(|keys| Index::new(Arc::clone(keys))).collect(),
            whole: None,
            histories: shape.keeps_versions.then(|| Histories::new(Arc::clone(&shape.indexes[0]))),
            rows: 0,
            shape: Arc::clone(shape),
        }
    }

    /// Bytes of memory: columns, indexes, and what is kept for updates.
    pub(crate) fn bytes(&self) -> usize {
        self.segments.bytes()
            + self.dead.bytes()
            + self.unlisted.bytes()
            + self.indexes.iter().chain(&self.whole).map(Index::bytes).sum::<usize>()
            + self.histories.as_ref().map_or(0, Histories::bytes)
    }

    /// Refuses rows for which there is no position left: each change takes one, and none is used twice.
    pub(crate) fn have_room(&self, rows: usize) -> Result<()> {
        if self.segments.end() + rows as u64 <= LISTS {
            return Ok(());
        }
        let message =
            format!("table `{}` has had {} changes, and can have no more", self.shape.name, self.segments.end());
        Err(ConnectorError::new(ErrorKind::Unsupported, "writing a table", message)
            .advise("start the job again: a table that is loaded anew begins to count anew"))
    }

    /// The rows that stand, in the order in which they came.
    pub(crate) fn scan(&self) -> Scan {
        Scan { segments: self.segments.clone(), dead: self.dead.clone(), segment: 0, row: 0 }
    }

    /// The positions of the rows that stand, in the order in which they came.
    pub(crate) fn positions(&self) -> impl Iterator<Item = u64> + '_ {
        let positions = self.segments.iter().flat_map(|segment| segment.positions());
        positions.filter(|position| !self.dead.has(*position))
    }

    /// The values of these columns at these positions.
    pub(crate) fn columns_at(&self, positions: &[u64], columns: &[usize]) -> Result<Vec<ArrayRef>> {
        let addresses: Vec<_> = positions.iter().map(|position| Some(self.segments.address(*position))).collect();
        columns.iter().map(|column| self.segments.gather(*column, &addresses).map_err(failed)).collect()
    }

    /// Takes rows that do not stand any more out of the indexes that are not unique. They are still among the segments.
    pub(crate) fn unindex(&mut self, positions: &[u64]) -> Result<()> {
        self.index_others(positions, false)
    }

    /// Puts rows into the indexes that are not unique.
    pub(crate) fn index(&mut self, positions: &[u64]) -> Result<()> {
        self.index_others(positions, true)
    }

    fn index_others(&mut self, positions: &[u64], add: bool) -> Result<()> {
        let first = usize::from(!self.shape.key.is_empty());
        if positions.is_empty() || (self.indexes.len() == first && self.whole.is_none()) {
            return Ok(());
        }
        for positions in positions.chunks(SCAN_ROWS) {
            for at in first..self.indexes.len() + usize::from(self.whole.is_some()) {
                let index = self.indexes.get(at).or(self.whole.as_ref());
                let Some(keys) = index.map(|index| Arc::clone(&index.keys)) else { continue };
                let columns = self.columns_at(positions, keys.columns())?;
                let hashed = keys.keys(&columns)?;
                let Some(index) = self.indexes.get_mut(at).or(self.whole.as_mut()) else { continue };
                index.touch(&hashed.hashes);
                for (row, (hash, position)) in hashed.hashes.iter().zip(positions).enumerate() {
                    let null = hashed.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                    match (null, add) {
                        (true, true) => index.nulls += 1,
                        (true, false) => index.nulls -= 1,
                        (false, true) => index.insert(&self.segments, *hash, *position)?,
                        (false, false) => index.remove(&self.segments, *hash, *position)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// The index by all columns, made now where there is none.
    pub(crate) fn need_whole(&mut self) -> Result<()> {
        if self.whole.is_some() {
            return Ok(());
        }
        let mut index = Index::new(Arc::clone(&self.shape.whole));
        let positions: Vec<u64> = self.positions().collect();
        for positions in positions.chunks(SCAN_ROWS) {
            let columns = self.columns_at(positions, index.keys.columns())?;
            let keys = Arc::clone(&index.keys);
            let hashed = keys.keys(&columns)?;
            index.touch(&hashed.hashes);
            for (hash, position) in hashed.hashes.iter().zip(positions) {
                index.insert(&self.segments, *hash, *position)?;
            }
        }
        self.whole = Some(index);
        Ok(())
    }

    /// The event times of rows of this table.
    pub(crate) fn times<'a>(&self, rows: &'a RecordBatch) -> Option<&'a TimestampMicrosecondArray> {
        rows.column(self.shape.event_time?).as_any().downcast_ref()
    }
}

/// The rows that stand, a batch at a time.
#[derive(Debug)]
pub(crate) struct Scan {
    segments: Segments,
    dead: Marks,
    segment: usize,
    row: usize,
}

impl Scan {
    fn batch(&self, segment: &Segment, from: usize, rows: usize) -> Result<RecordBatch> {
        let columns = segment.columns().iter().map(|column| column.slice(from, rows)).collect();
        let batch = velo_core::batch::columns_of(self.segments.schema(), columns, rows).map_err(failed)?;
        let part = (segment.start() / crate::store::segments::SPAN) as usize;
        if self.dead.part(part).is_none() {
            return Ok(batch);
        }
        let stands: BooleanBuffer =
            segment.positions().skip(from).take(rows).map(|position| !self.dead.has(position)).collect();
        arrow_select::filter::filter_record_batch(&batch, &BooleanArray::new(stands, None)).map_err(failed)
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.segment < self.segments.len() {
            let segment = Arc::clone(self.segments.get(self.segment));
            let rows = SCAN_ROWS.min(segment.rows() - self.row);
            if rows == 0 {
                (self.segment, self.row) = (self.segment + 1, 0);
                continue;
            }
            let batch = self.batch(&segment, self.row, rows);
            self.row += rows;
            if batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0) {
                continue;
            }
            return Some(batch);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn positions_that_are_used_up_are_told() {
        let spec = StoreSpec {
            name: "t".to_owned(),
            schema: Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)])),
            key: vec![],
            indexes: vec![],
            null_keys: false,
            keeps_versions: false,
            counters: Arc::default(),
            budget: None,
        };
        let state = State::new(&Arc::new(Shape::new(&spec).unwrap()));
        assert!(state.have_room(LISTS as usize).is_ok());
        let error = state.have_room(LISTS as usize + 1).unwrap_err().to_string();
        assert!(error.contains("table `t` has had 0 changes") && error.contains("start the job again"), "{error}");
    }
}
