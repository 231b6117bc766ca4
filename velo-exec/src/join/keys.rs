//! The keys of a join as dense numbers that both sides share, and which rows match nothing.

use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_buffer::NullBuffer;
use arrow_schema::SchemaRef;
use arrow_select::filter::filter;
use datafusion_expr::Expr;
use velo_core::Batch;

use crate::error::{ExecError, Result};
use crate::expr::Evaluator;
use crate::state::KeyTable;

/// The number of a row whose key has a NULL, so that it matches nothing.
pub(crate) const NO_KEY: u32 = KeyTable::DEAD - 1;

/// Numbers the keys of both sides.
#[derive(Debug)]
pub(crate) struct JoinKeys {
    sides: [Vec<Evaluator>; 2],
    table: KeyTable,
    some: Vec<u32>,
}

impl JoinKeys {
    /// Numbers for pairs of expressions over the left and the right input.
    pub(crate) fn new<'a>(
        keys: impl IntoIterator<Item = (&'a Expr, &'a Expr)>,
        left: &SchemaRef,
        right: &SchemaRef,
        statement: &str,
    ) -> Result<Self> {
        let mut sides = [Vec::new(), Vec::new()];
        let mut types = Vec::new();
        for (of_left, of_right) in keys {
            let of_left = Evaluator::new(of_left, left, statement)?;
            let of_right = Evaluator::new(of_right, right, statement)?;
            let (data_type, other) = (of_left.data_type(left)?, of_right.data_type(right)?);
            if data_type != other {
                return Err(ExecError::Internal(format!("a join of {data_type} with {other}")));
            }
            types.push(data_type);
            sides[0].push(of_left);
            sides[1].push(of_right);
        }
        Ok(Self { sides, table: KeyTable::new(&types)?, some: Vec::new() })
    }

    /// The number of each row's key, into `ids`; [`NO_KEY`] for one that has a NULL.
    pub(crate) fn number(&mut self, side: usize, batch: &Batch, ids: &mut Vec<u32>) -> Result<()> {
        let columns = self.sides[side].iter().map(|key| key.evaluate(batch)).collect::<Result<Vec<_>>>()?;
        let valid = columns
            .iter()
            .fold(None, |valid, column| NullBuffer::union(valid.as_ref(), column.logical_nulls().as_ref()));
        let Some(valid) = valid.filter(|valid| valid.null_count() > 0) else {
            return self.table.intern(&columns, batch.rows(), ids);
        };
        let mask = BooleanArray::new(valid.inner().clone(), None);
        let rows = valid.len() - valid.null_count();
        let columns: Vec<ArrayRef> = columns.iter().map(|column| filter(column, &mask)).collect::<Result<_, _>>()?;
        self.table.intern(&columns, rows, &mut self.some)?;
        ids.clear();
        ids.resize(batch.rows(), NO_KEY);
        for (row, id) in valid.valid_indices().zip(&self.some) {
            ids[row] = *id;
        }
        Ok(())
    }

    /// How many keys have a number.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Forgets all keys.
    pub(crate) fn clear(&mut self) {
        self.table.clear();
    }

    /// Keeps some keys and numbers them anew; see [`KeyTable::retain`].
    pub(crate) fn retain(&mut self, stays: &[bool]) -> Vec<u32> {
        self.table.retain(stays)
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.table.memory()
    }
}
