//! A table in a checkpoint: the rows of one version as plain columns, and a table that takes them up.
//!
//! Rows are saved in the order in which they came, and come again in it. Of a table that keeps its versions all rows that are needed
//! are saved, and behind its columns stands what each of them is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{ArrayRef, Int8Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use velo_core::batch::{Batch, columns_of};
use velo_core::error::{ConnectorError, ErrorKind, Result};
use velo_core::lookup::{SavedHead, SavedTable, TableSnapshot, TableVersion, TableWriter};
use velo_core::offset::SourceOffset;

use crate::store::apply::Restored;
use crate::store::index::failed;
use crate::store::lookup::Version;
use crate::store::marks::Marks;
use crate::store::ops::Ops;
use crate::store::state::{SCAN_ROWS, Shape, State};
use crate::store::table::TableCounts;
use crate::store::writer::Writer;

/// The column that says what a row is, of a table that keeps its versions.
const WHAT: &str = "_what";
const GONE: i8 = 1;
const STANDS: i8 = 2;
const LISTED: i8 = 4;

/// A version that is to be saved.
#[derive(Debug)]
pub(crate) struct Snapshot {
    version: Arc<Version>,
    head: SavedHead,
}

impl Snapshot {
    /// Of a version of a table that has counted so much, whose source was read up to `offset` for it.
    pub(crate) fn new(version: Arc<Version>, counts: TableCounts, offset: Option<SourceOffset>) -> Self {
        let (watermark, TableCounts { replaced, absent, .. }) = (version.watermark(), counts);
        Self { version, head: SavedHead { watermark, replaced, absent, offset } }
    }
}

impl TableSnapshot for Snapshot {
    fn rows(&self) -> u64 {
        self.version.rows()
    }

    fn save(self: Box<Self>) -> Result<SavedTable> {
        let state = self.version.state();
        let rows = match state.histories {
            Some(_) => Versions::new(state, saved_schema(&state.shape)).collect::<Result<_>>()?,
            None => state.scan().collect::<Result<_>>()?,
        };
        Ok(SavedTable { rows, head: self.head })
    }
}

fn saved_schema(shape: &Shape) -> SchemaRef {
    let schema = &shape.schema;
    if !shape.keeps_versions {
        return Arc::clone(schema);
    }
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(Field::new(WHAT, DataType::Int8, false)));
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Every row that is needed, in the order in which they came, with what it is.
struct Versions<'a> {
    state: &'a State,
    schema: SchemaRef,
    gone: Marks,
    positions: Box<dyn Iterator<Item = u64> + 'a>,
}

impl<'a> Versions<'a> {
    fn new(state: &'a State, schema: SchemaRef) -> Self {
        let mut gone = Marks::default();
        for version in state.histories.iter().flat_map(|histories| histories.iter()).flatten() {
            if version.gone() {
                gone.set(version.position());
            }
        }
        let positions = state.segments.iter().flat_map(|segment| segment.positions());
        let needed = positions.filter(|position| !(state.dead.has(*position) && state.unlisted.has(*position)));
        Self { state, schema, gone, positions: Box::new(needed) }
    }
}

impl Iterator for Versions<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let positions: Vec<u64> = self.positions.by_ref().take(SCAN_ROWS).collect();
        if positions.is_empty() {
            return None;
        }
        let what = positions.iter().map(|position| {
            let gone = if self.gone.has(*position) { GONE } else { 0 };
            let stands = if self.state.dead.has(*position) { 0 } else { STANDS };
            let listed = if self.state.unlisted.has(*position) { 0 } else { LISTED };
            gone | stands | listed
        });
        let what: ArrayRef = Arc::new(Int8Array::from_iter_values(what));
        Some(
            self.state
                .segments
                .rows(&positions)
                .and_then(|rows| {
                    let mut columns = rows.columns().to_vec();
                    columns.push(what);
                    columns_of(&self.schema, columns, positions.len())
                })
                .map_err(failed),
        )
    }
}

impl Writer {
    /// Takes up what a checkpoint kept of the table, before anything else is written or anybody follows it; whether that makes the
    /// table ready is for the caller to say.
    ///
    /// # Errors
    ///
    /// Where it is of a table with other columns, or the table has rows already. The writer is not to be used then.
    pub fn restore(&mut self, saved: SavedTable) -> Result<()> {
        let shape = Arc::clone(&self.state.shape);
        let refused = |what: String| {
            let message = format!("what was saved of table `{}` {what}", shape.name);
            Err(ConnectorError::new(ErrorKind::Configuration, "taking up a saved table", message)
                .advise("start the job anew: velo run --fresh"))
        };
        if !self.is_untouched() {
            return refused("is for an empty one, and it has rows already".to_owned());
        }
        let own = saved_schema(&shape);
        for rows in &saved.rows {
            let given: Vec<_> = rows.schema_ref().fields().iter().map(|field| field.data_type().clone()).collect();
            if own.fields().iter().map(|field| field.data_type()).ne(&given) {
                return refused("has other columns than the table".to_owned());
            }
            self.restore_rows(rows)?;
        }
        let SavedHead { watermark, replaced, absent, .. } = saved.head;
        self.table.counters().replaced.store(replaced, Ordering::Relaxed);
        self.table.counters().absent.store(absent, Ordering::Relaxed);
        // Whoever follows it was told of these rows before they were saved.
        self.ops = Ops::default();
        if self.changed {
            self.publish_now(false)?;
        }
        self.table.advance(watermark);
        Ok(())
    }

    fn restore_rows(&mut self, rows: &RecordBatch) -> Result<()> {
        let schema = Arc::clone(&self.state.shape.schema);
        if !self.state.shape.keeps_versions {
            let rows = columns_of(&schema, rows.columns().to_vec(), rows.num_rows()).map_err(failed)?;
            return self.apply(&Batch::new(rows));
        }
        let (columns, what) = rows.columns().split_at(rows.num_columns() - 1);
        let what = what[0].as_primitive::<Int8Type>();
        let restored =
            |what: &i8| Restored { gone: what & GONE != 0, stands: what & STANDS != 0, listed: what & LISTED != 0 };
        let what: Vec<_> = what.values().iter().map(restored).collect();
        let rows = columns_of(&schema, columns.to_vec(), rows.num_rows()).map_err(failed)?;
        self.changed = true;
        self.state.restore(&Batch::new(rows), &what, &mut self.due)
    }
}
