//! Rows in the order of an ORDER BY, as bytes that compare as they do.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_ord::sort::SortOptions;
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::SchemaRef;
use datafusion_expr::Expr;
use velo_core::{Batch, schema};
use velo_plan::plan::SortKey;

use crate::error::Result;
use crate::expr::Evaluator;

/// Ranks rows: by the keys, then by something that makes equal rows differ.
#[derive(Debug)]
pub(super) struct RowRank {
    keys: Vec<Evaluator>,
    /// The columns that decide between equal rows: all that have an order.
    values: Vec<usize>,
    converter: RowConverter,
}

/// Whether the latest row comes first. Of rows of one time the last in the order of equal times is then the latest.
pub(super) fn is_latest_first<'a>(order: impl IntoIterator<Item = &'a SortKey>) -> bool {
    let is_time = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name() == schema::EVENT_TIME);
    order.into_iter().any(|key| key.descending && is_time(&key.expr))
}

impl RowRank {
    /// Ranks rows of `input` by `order`, and equal ones by `ties`, else by their values.
    pub(super) fn new(order: &[SortKey], ties: Option<&[SortField]>, input: &SchemaRef, owner: &str) -> Result<Self> {
        let mut fields = Vec::with_capacity(order.len());
        let mut keys = Vec::with_capacity(order.len());
        for key in order {
            let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
            let key = Evaluator::new(&key.expr, input, owner)?;
            fields.push(SortField::new_with_options(key.data_type(input)?, options));
            keys.push(key);
        }
        let mut values = Vec::new();
        match ties {
            Some(ties) => fields.extend_from_slice(ties),
            None => {
                for (at, field) in input.fields().iter().enumerate() {
                    let sort = SortField::new(field.data_type().clone());
                    if field.name() != schema::EVENT_TIME && RowConverter::supports_fields(std::slice::from_ref(&sort))
                    {
                        fields.push(sort);
                        values.push(at);
                    }
                }
            }
        }
        Ok(Self { keys, values, converter: RowConverter::new(fields)? })
    }

    /// Computes the keys, to see whether that fails.
    pub(super) fn check(&self, batch: &Batch) -> Result<()> {
        self.keys.iter().try_for_each(|key| key.evaluate(batch).map(drop))
    }

    /// The rank of each row; `ties` are the columns of the fields that were given for them.
    pub(super) fn of(&mut self, batch: &Batch, ties: &[ArrayRef]) -> Result<Rows> {
        let mut columns = self.keys.iter().map(|key| key.evaluate(batch)).collect::<Result<Vec<_>>>()?;
        columns.extend(ties.iter().cloned());
        columns.extend(self.values.iter().map(|at| Arc::clone(batch.columns.column(*at))));
        Ok(self.converter.convert_columns(&columns)?)
    }

    /// The columns of the fields that were given for ties, out of ranks.
    pub(super) fn ties_of<'a>(&self, ranks: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        let mut columns = self.converter.convert_rows(ranks.map(|rank| parser.parse(rank)))?;
        Ok(columns.split_off(self.keys.len()))
    }
}
