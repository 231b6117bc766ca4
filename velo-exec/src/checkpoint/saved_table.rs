//! What a checkpoint keeps of a table, as the state of the task that saves it.

use velo_core::lookup::{SavedHead, SavedTable};

use super::resume::Resumed;
use super::state::{OperatorState, Reached, Share, StateReader, StateWriter};
use crate::error::Result;

/// The state table of its rows, and the value of the rest.
const ROWS: &str = "rows";
const HEAD: &str = "table";

/// The state that keeps a table.
pub(crate) fn state_of(saved: SavedTable) -> Result<OperatorState> {
    let mut state = StateWriter::new();
    for rows in saved.rows {
        state.rows(ROWS, rows);
    }
    state.value(HEAD, &saved.head)?;
    let watermark = saved.head.watermark;
    Ok(state.finish(Reached { told: watermark, sent: watermark, ended: false }))
}

fn table_of(mut state: StateReader) -> Result<Option<SavedTable>> {
    let Some(head) = state.value::<SavedHead>(HEAD)? else { return Ok(None) };
    Ok(Some(SavedTable { rows: state.rows(ROWS)?, head }))
}

impl Resumed {
    /// Takes what was kept of the table of this name; nothing where the checkpoint does not know it.
    ///
    /// # Errors
    ///
    /// Where it does not have the form of a table.
    pub fn table(&mut self, name: &str) -> Result<Option<SavedTable>> {
        table_of(self.operator(name, Share::WHOLE))
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
            let state = state_of(SavedTable { rows: rows.clone(), head: head.clone() }).unwrap();
            let table = table_of(StateReader::new(vec![state], Share::WHOLE)).unwrap().unwrap();
            assert_eq!((table.rows, table.head), (rows, head.clone()));
        }
        assert!(table_of(StateReader::new(Vec::new(), Share::WHOLE)).unwrap().is_none());
    }
}
