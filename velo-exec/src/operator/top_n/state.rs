//! What a Top-N puts into a checkpoint: its partitions in the order in which they came, and the rows of each in their order.
//!
//! What was shown of a partition are the first of its rows, so that it is known again with them. Rows are saved as the columns
//! that came; what orders them is made of these anew, but for the place that they came from, which is saved too.

use std::sync::Arc;

use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{ArrayRef, Int64Array, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use velo_core::batch::columns_of;
use velo_core::{Batch, schema};

use super::{Ordered, PLACE, TopN};
use crate::aggregate::columns_with_places;
use crate::checkpoint::beside::{PIECE, apart, numbers, pieces, values, with_beside};
use crate::checkpoint::state::damaged;
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::operator::Outbox;
use crate::state::Ttl;

/// The table of partitions: their keys, the window that closes them, and when each was touched last.
const PARTITIONS: &str = "partitions";
/// The table of rows, those of a partition together.
const ROWS: &str = "rows";

impl TopN {
    pub(super) fn save_state(&mut self, state: &mut StateWriter) -> Result<()> {
        // Partitions without rows are among them, so that all are told and given in the same order as without a restart.
        let mut windows: Vec<Option<i64>> = vec![None; self.partitions.len()];
        for (window, partitions) in &self.windows {
            partitions.iter().for_each(|partition| windows[*partition as usize] = Some(*window));
        }
        let schema = self.key_schema();
        for ids in pieces(self.partitions.len()) {
            let keys = columns_of(&schema, self.keys.keys(&ids)?, ids.len())?;
            let windows: Int64Array = ids.iter().map(|partition| windows[*partition as usize]).collect();
            let touched = self.ttl.as_ref().map_or_else(|| Int64Array::new_null(ids.len()), |ttl| ttl.saved(&ids));
            let saved =
                with_beside(&keys, [("_window", Arc::new(windows) as _), ("_touched", Arc::new(touched) as _)])?;
            state.keyed(PARTITIONS, keys.columns(), &saved)?;
        }
        let rows = self.partitions.iter().enumerate();
        let rows = rows.flat_map(|(partition, ordered)| ordered.iter().map(move |row| (partition as u32, row)));
        let (owners, rows): (Vec<u32>, Vec<u32>) = rows.unzip();
        for (owners, rows) in owners.chunks(PIECE).zip(rows.chunks(PIECE)) {
            self.save_rows(owners, rows, state)?;
        }
        self.late.as_ref().map_or(Ok(()), |late| late.counters.save(state))
    }

    fn save_rows(&self, owners: &[u32], rows: &[u32], state: &mut StateWriter) -> Result<()> {
        let mut columns = self.rows.columns(rows)?;
        if schema::event_time_index(&self.input).is_some() {
            let times = rows.iter().map(|row| self.rows.time(*row));
            columns.push(Arc::new(TimestampMicrosecondArray::from_iter_values(times)));
        }
        // Rows that can be taken back are known by their values, wherever they came from.
        let nowhere: ArrayRef = Arc::new(UInt64Array::new_null(rows.len()));
        let (source, position) = if self.retracts {
            (Arc::clone(&nowhere), nowhere)
        } else {
            match self.rank.ties_of(rows.iter().map(|row| self.rows.head(*row)))?.as_slice() {
                [_, source, position] => (Arc::clone(source), Arc::clone(position)),
                _ => return Err(ExecError::Internal("an order of other columns".to_owned())),
            }
        };
        let columns = columns_of(&self.input, columns, rows.len())?;
        let saved = with_beside(&columns, [("_source_partition", source), ("_position", position)])?;
        state.keyed(ROWS, &self.keys.keys(owners)?, &saved)
    }

    pub(super) fn load_state(&mut self, state: &mut StateReader, out: &mut Outbox) -> Result<()> {
        self.watermark = state.watermark();
        let schema = self.key_schema();
        for saved in state.rows(PARTITIONS)? {
            let (keys, [windows, touched]) = apart(PARTITIONS, &saved, &schema)?;
            self.keys.intern(keys.columns(), keys.num_rows(), &mut self.ids)?;
            self.partitions.resize_with(self.keys.len(), Ordered::default);
            for (partition, window) in self.ids.iter().zip(numbers::<Int64Type>(PARTITIONS, windows)?) {
                window.into_iter().for_each(|window| self.windows.entry(window).or_default().push(*partition));
            }
            if let Some(ttl) = &mut self.ttl {
                ttl.restore_all(&self.ids, numbers(PARTITIONS, touched)?);
            }
        }
        for saved in state.rows(ROWS)? {
            let (columns, [source, position]) = apart(ROWS, &saved, &self.input)?;
            self.load_rows(&Batch::new(columns), source, position)?;
        }
        self.touched.seen.resize(self.partitions.len(), false);
        self.alive = self.partitions.iter().filter(|ordered| !ordered.is_empty()).count();
        self.ttl.as_ref().and_then(Ttl::next).into_iter().for_each(|next| out.timer_at(next));
        self.late.as_ref().map_or(Ok(()), |late| late.counters.load(state))
    }

    /// Puts rows behind those of their partitions that are there.
    fn load_rows(&mut self, rows: &Batch, source: &ArrayRef, position: &ArrayRef) -> Result<()> {
        let keys = self.keys_of(rows)?;
        self.keys.intern(&keys, rows.rows(), &mut self.ids)?;
        if self.keys.len() > self.partitions.len() {
            return Err(damaged(ROWS, "rows of a partition are there without it"));
        }
        let order = if self.retracts {
            vec![]
        } else {
            let place = |column| {
                let place = values::<UInt64Type>(ROWS, column)?;
                Ok::<_, ExecError>(UInt64Array::from(place.to_vec()))
            };
            let columns = columns_with_places(rows, &place(source)?, &place(position)?)?;
            columns.into_iter().take(PLACE).collect()
        };
        let heads = self.rank.of(rows, &order)?;
        let encoded = self.rows.encode(rows)?;
        let times = rows.event_times();
        for (row, partition) in self.ids.iter().enumerate() {
            let value = encoded.as_ref().map(|encoded| encoded.row(row));
            let value = value.as_ref().map_or(&[][..], |value| value.as_ref());
            let kept = self.rows.push(heads.row(row).as_ref(), value, times.map_or(0, |times| times.value(row)));
            let ordered = &mut self.partitions[*partition as usize];
            if !self.retracts && ordered.len() >= self.limit {
                return Err(damaged(ROWS, "a partition has more rows than are shown"));
            }
            let spot = ordered.spot_for(kept, &self.rows);
            ordered.insert(spot, kept);
        }
        Ok(())
    }

    /// The keys of partitions as columns; they can be any expressions, so these have no names of their own.
    fn key_schema(&self) -> SchemaRef {
        let field = |(at, data_type): (usize, &DataType)| Field::new(format!("key_{at}"), data_type.clone(), true);
        Arc::new(Schema::new(self.key_types.iter().enumerate().map(field).collect::<Vec<_>>()))
    }
}
