//! The keys of a join as dense numbers that both sides share, and which rows match nothing.

use arrow_array::{Array, ArrayRef, BooleanArray, UInt32Array, new_null_array};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, SchemaRef};
use arrow_select::filter::filter;
use arrow_select::take::take;
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
    types: Vec<DataType>,
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
        Ok(Self { sides, table: KeyTable::new(&types)?, types, some: Vec::new() })
    }

    /// The types of the key columns.
    pub(crate) fn types(&self) -> &[DataType] {
        &self.types
    }

    /// The key columns of rows of a side.
    pub(crate) fn evaluate(&self, side: usize, batch: &Batch) -> Result<Vec<ArrayRef>> {
        self.sides[side].iter().map(|key| key.evaluate(batch)).collect()
    }

    /// The number of each row's key, into `ids`; [`NO_KEY`] for one that has a NULL.
    pub(crate) fn number(&mut self, side: usize, batch: &Batch, ids: &mut Vec<u32>) -> Result<()> {
        let columns = self.evaluate(side, batch)?;
        self.number_columns(&columns, batch.rows(), ids)
    }

    /// The same of `rows` rows whose key columns are known.
    pub(crate) fn number_columns(&mut self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<u32>) -> Result<()> {
        let valid = columns
            .iter()
            .fold(None, |valid, column| NullBuffer::union(valid.as_ref(), column.logical_nulls().as_ref()));
        let Some(valid) = valid.filter(|valid| valid.null_count() > 0) else {
            return self.table.intern(columns, rows, ids);
        };
        let mask = BooleanArray::new(valid.inner().clone(), None);
        let columns: Vec<ArrayRef> = columns.iter().map(|column| filter(column, &mask)).collect::<Result<_, _>>()?;
        self.table.intern(&columns, rows - valid.null_count(), &mut self.some)?;
        ids.clear();
        ids.resize(rows, NO_KEY);
        for (row, id) in valid.valid_indices().zip(&self.some) {
            ids[row] = *id;
        }
        Ok(())
    }

    /// The key columns of keys with these numbers; NULLs for [`NO_KEY`].
    pub(crate) fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        let known = ids.iter().copied().filter(|id| *id != NO_KEY).collect::<Vec<_>>();
        if known.len() == ids.len() {
            return self.table.keys(ids);
        }
        if known.is_empty() {
            return Ok(self.types.iter().map(|data_type| new_null_array(data_type, ids.len())).collect());
        }
        let mut next = 0;
        let mut place = |id: &u32| {
            (*id != NO_KEY).then(|| {
                next += 1;
                next - 1
            })
        };
        let places = ids.iter().map(&mut place).collect::<UInt32Array>();
        let keys = self.table.keys(&known)?;
        keys.iter().map(|column| Ok(take(column, &places, None)?)).collect()
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
