//! What a checkpoint keeps of a table, as the state of the task that saves it.

use std::collections::BTreeMap;

use velo_core::lookup::{SavedHead, SavedTable};

use super::resume::Resumed;
use super::state::{OperatorState, Reached, Share, StateReader, StateWriter};
use crate::error::Result;

/// The state table of its rows, and the values of the rest.
const ROWS: &str = "rows";
const HEAD: &str = "table";
const COUNTERS: &str = "counters";

/// A table in a checkpoint.
#[derive(Debug, Clone)]
pub struct KeptTable {
    /// What it keeps.
    pub table: SavedTable,
    /// What was counted on the way into it, by what it counts.
    pub counters: BTreeMap<String, u64>,
}

impl KeptTable {
    /// As a state.
    pub fn into_state(self) -> Result<Vec<OperatorState>> {
        let SavedTable { rows, head } = self.table;
        let mut state = StateWriter::new();
        for rows in rows {
            state.rows(ROWS, rows);
        }
        state.value(HEAD, &head)?;
        state.value(COUNTERS, &self.counters)?;
        state.finish(Reached { told: head.watermark, sent: head.watermark, ended: false })
    }

    /// That of a state; nothing where it keeps none.
    ///
    /// # Errors
    ///
    /// Where it does not have the form of a table.
    pub fn of_state(mut state: StateReader) -> Result<Option<Self>> {
        let Some(head) = state.value::<SavedHead>(HEAD)? else { return Ok(None) };
        let table = SavedTable { rows: state.rows(ROWS)?, head };
        Ok(Some(Self { table, counters: state.value(COUNTERS)?.unwrap_or_default() }))
    }
}

impl Resumed {
    /// Takes what was kept of the table of this name; nothing where the checkpoint does not know it.
    ///
    /// # Errors
    ///
    /// Where it does not have the form of a table.
    pub fn table(&mut self, name: &str) -> Result<Option<KeptTable>> {
        KeptTable::of_state(self.operator(name, Share::WHOLE))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, RecordBatch};
    use arrow_schema::{DataType, Field, Schema};
    use velo_core::Watermark;

    use super::*;

    #[test]
    fn what_is_kept_of_a_table_comes_back() {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        let rows = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![1, 2]))]).unwrap();
        let head = SavedHead { watermark: Watermark(7), replaced: 1, absent: 2, offset: Some(Default::default()) };
        for rows in [vec![], vec![rows.clone(), rows]] {
            let table = SavedTable { rows: rows.clone(), head: head.clone() };
            let counters = BTreeMap::from([("records".to_owned(), 4)]);
            let state = KeptTable { table, counters: counters.clone() }.into_state().unwrap();
            let kept = KeptTable::of_state(StateReader::new(state, Share::WHOLE)).unwrap().unwrap();
            assert_eq!((kept.table.rows, kept.table.head, kept.counters), (rows, head.clone(), counters));
        }
        assert!(KeptTable::of_state(StateReader::new(Vec::new(), Share::WHOLE)).unwrap().is_none());
    }
}
