//! Another whole content for a table: put beside the one that stands, and in its place by the difference between the two.

use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch, TimestampMicrosecondArray};
use velo_core::batch::{Batch, columns_of};
use velo_core::error::{ConnectorError, ErrorKind, Result};
use velo_core::lookup::TableWriter;
use velo_core::row_kind::RowKind;

use crate::store::apply::Tally;
use crate::store::first::First;
use crate::store::index::failed;
use crate::store::marks::Marks;
use crate::store::ops::Ops;
use crate::store::state::{SCAN_ROWS, Shape, State};
use crate::store::table::{StoreSpec, TableCounters};
use crate::store::versions::Due;
use crate::store::writer::Writer;

/// A content that is not yet that of the table.
#[derive(Debug)]
pub(crate) struct Reload {
    state: State,
    tally: Tally,
    /// Of a table that keeps its versions all rows: each of them may be one.
    versions: Option<Vec<Batch>>,
}

impl Reload {
    fn new(shape: &Shape) -> Result<Self> {
        // Found by its key alone; what is kept of the past is the table's.
        let spec = StoreSpec {
            name: shape.name.clone(),
            schema: Arc::clone(&shape.schema),
            key: shape.key.clone(),
            indexes: if shape.key.is_empty() { Vec::new() } else { vec![shape.key.clone()] },
            null_keys: shape.null_keys,
            keeps_versions: false,
            counters: Arc::new(TableCounters::default()),
            budget: None,
        };
        let versions = shape.keeps_versions.then(Vec::new);
        Ok(Self { state: State::new(&Arc::new(Shape::new(&spec)?)), tally: Tally::default(), versions })
    }

    /// Bytes of memory that it takes beside the table.
    pub(crate) fn bytes(&self) -> usize {
        self.state.bytes() + self.versions.iter().flatten().map(Batch::memory).sum::<usize>()
    }

    /// Takes changes of the new content.
    pub(crate) fn apply(&mut self, batch: &Batch) -> Result<()> {
        if let Some(versions) = &mut self.versions {
            versions.push(batch.clone());
        }
        self.state.apply(batch, &mut Ops::default(), &mut self.tally, &mut Due::default())
    }
}

/// Rows as updates, so that they are no second row under a key; what is deleted stays so.
fn as_updates(batch: &Batch) -> Batch {
    let kind = |row: usize| match batch.kinds.as_ref().map(|kinds| kinds.as_slice()[row]) {
        Some(kind) if kind.retracts() => kind,
        _ => RowKind::UpdateAfter,
    };
    Batch::changes(batch.columns.clone(), (0..batch.rows()).map(kind).collect())
}

impl Writer {
    /// Begins a new content for the table: until it is committed or given up, [`TableWriter::apply`] goes to it, and readers see
    /// the content that stands. One that is open already is given up.
    ///
    /// # Errors
    ///
    /// Where an index over the key cannot be made.
    pub fn begin_reload(&mut self) -> Result<()> {
        self.abort_reload();
        if self.is_untouched() {
            // The first content needs no place beside another one: it would lie there twice.
            self.first = Some(First::new(&self.state, self.table.counters().counts()));
            return Ok(());
        }
        self.reload = Some(Box::new(Reload::new(&self.state.shape)?));
        Ok(())
    }

    /// Gives the new content up; the table stays as it is.
    pub fn abort_reload(&mut self) {
        self.reload = None;
        if let Some(first) = self.first.take() {
            self.forget_all(first.before);
        }
        // There was room for what is left.
        drop(self.tell_memory());
    }

    /// Makes the difference between the new content and the one that stands the next version: rows that came, rows under a key
    /// that changed, rows that are not there any more. A row whose event time alone is another has not changed. In a table that keeps its versions a row
    /// that is not there any more ends at the table's watermark, for when it went nobody knows.
    ///
    /// # Errors
    ///
    /// Where no new content was begun; the content that stands stays then.
    pub async fn commit_reload(&mut self) -> Result<()> {
        if let Some(first) = &mut self.first {
            if let Some(unindexed) = first.unindexed.take() {
                match unindexed.index(&mut self.state, &mut self.ops).await {
                    Ok(tally) => self.count(tally),
                    Err(error) => {
                        self.abort_reload();
                        return Err(error);
                    }
                }
            }
            self.first = None;
            return self.publish().await;
        }
        let Some(reload) = self.reload.take() else {
            let message = "no new content of the table was begun";
            return Err(ConnectorError::new(ErrorKind::Configuration, "loading a table again", message));
        };
        // What was applied before the reload began is a version of its own.
        self.publish().await?;
        if self.state.shape.key.is_empty() {
            self.differ_by_rows(&reload.state)?;
        } else {
            // The rows of a content with versions are versions whose times say where they belong.
            for rows in reload.versions.iter().flatten() {
                self.take_difference(&as_updates(rows))?;
            }
            self.differ_by_key(&reload.state)?;
        }
        self.count(reload.tally);
        self.publish().await
    }

    fn differ_by_key(&mut self, new: &State) -> Result<()> {
        let keys = Arc::clone(&self.state.indexes[0].keys);
        let whole = Arc::clone(&self.state.shape.whole);
        let (mut found, mut addresses, mut equal) = (Vec::new(), Vec::new(), Vec::new());
        for rows in new.scan() {
            let rows = rows?;
            let columns = keys.of(&rows);
            self.state.indexes[0].find_last(&self.state.segments, &keys.keys(&columns)?, &mut found)?;
            equal.clear();
            equal.extend(found.iter().map(|row| row.is_some()));
            self.state.segments.addresses(&found, &mut addresses);
            let visible = whole.of(&rows);
            whole.compare(&whole.keys(&visible)?, |at| at, &self.state.segments, &addresses, &mut equal)?;
            let other: BooleanArray = equal.iter().map(|equal| Some(!equal)).collect();
            let rows = arrow_select::filter::filter_record_batch(&rows, &other).map_err(failed)?;
            self.take_difference(&as_updates(&Batch::new(rows)))?;
        }
        let mut gone = Vec::new();
        for positions in self.state.positions().collect::<Vec<_>>().chunks(SCAN_ROWS) {
            let columns = self.state.columns_at(positions, keys.columns())?;
            new.indexes[0].find_last(&new.segments, &keys.keys(&columns)?, &mut found)?;
            gone.extend(positions.iter().zip(&found).filter(|(_, row)| !row.is_some()).map(|(position, _)| *position));
        }
        for positions in gone.chunks(SCAN_ROWS) {
            let rows = self.ended_now(self.state.segments.rows(positions).map_err(failed)?)?;
            self.take_difference(&Batch::changes(rows, vec![RowKind::Delete; positions.len()]))?;
        }
        Ok(())
    }

    fn take_difference(&mut self, changes: &Batch) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.changed = true;
        self.state.apply(changes, &mut self.ops, &mut Tally::default(), &mut self.due)
    }

    /// Rows with the watermark of the table as their event time, where that is later.
    fn ended_now(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let Some(at) = self.state.shape.event_time.filter(|_| self.state.shape.keeps_versions) else { return Ok(rows) };
        let Some(times) = self.state.times(&rows) else { return Ok(rows) };
        let now = self.watermark().0;
        let times: TimestampMicrosecondArray = times.unary(|time| time.max(now));
        let mut columns = rows.columns().to_vec();
        columns[at] = Arc::new(times);
        columns_of(rows.schema_ref(), columns, rows.num_rows()).map_err(failed)
    }

    fn differ_by_rows(&mut self, new: &State) -> Result<()> {
        self.state.need_whole()?;
        let Some(mut left) = self.state.whole.clone() else { return Ok(()) };
        let keys = Arc::clone(&left.keys);
        let mut stays = Marks::default();
        let mut added = Vec::new();
        for positions in new.positions().collect::<Vec<_>>().chunks(SCAN_ROWS) {
            let columns = new.columns_at(positions, keys.columns())?;
            let sought = keys.keys(&columns)?;
            left.touch(&sought.hashes);
            for (hash, position) in sought.hashes.iter().zip(positions) {
                match left.first_same(&self.state.segments, *hash, (&new.segments, *position))? {
                    Some(same) => {
                        left.remove(&self.state.segments, *hash, same)?;
                        stays.set(same);
                    }
                    None => added.push(*position),
                }
            }
        }
        let gone: Vec<u64> = self.state.positions().filter(|position| !stays.has(*position)).collect();
        if !gone.is_empty() {
            self.changed = true;
            self.state.take_away(&gone, &mut self.ops)?;
        }
        for positions in added.chunks(SCAN_ROWS) {
            self.take_difference(&Batch::new(new.segments.rows(positions).map_err(failed)?))?;
        }
        Ok(())
    }
}
