//! The unit that flows between operators: columns, and beside them what belongs to each row.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray, UInt32Array,
};
use arrow_schema::{ArrowError, FieldRef, Schema, SchemaRef};

use crate::place::Origin;
use crate::row_kind::{RowKind, RowKinds};
use crate::schema;

/// Rows as columns.
///
/// `columns` holds the declared columns and, hidden and last where the stream has one, the event time in microseconds
/// ([`schema::EVENT_TIME`]); the plan fixes its place for each edge, so every kernel moves it. What varies per batch stays
/// optional beside the columns. Only `filter`, `take`, `slice`, `concat` and `with_columns` touch them together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The columns, all of one length.
    pub columns: RecordBatch,
    /// The kind of each row; `None` means that all rows are inserts.
    pub kinds: Option<RowKinds>,
    /// The partition that all rows came from and each row's position in it; kept up to the first join or aggregate.
    pub origin: Option<Origin>,
    /// Watermark less event time in microseconds, positive for rows that are behind it; `None` where no row is. The watermark is that of
    /// the partition at the row's place; that of all partitions where one was idle or came later, and the others went on without it.
    pub late_by: Option<Int64Array>,
}

impl Batch {
    /// Inserts without an origin.
    pub fn new(columns: RecordBatch) -> Self {
        Self { columns, kinds: None, origin: None, late_by: None }
    }

    /// Changes without an origin: `kinds` has the kind of each row.
    pub fn changes(columns: RecordBatch, kinds: Vec<RowKind>) -> Self {
        let kinds = RowKinds::new(kinds);
        Self { kinds: (!kinds.all_inserts()).then_some(kinds), ..Self::new(columns) }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.columns.num_rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// The schema of the columns.
    pub fn schema(&self) -> SchemaRef {
        self.columns.schema()
    }

    /// The hidden event-time column, where the stream has an event time.
    pub fn event_times(&self) -> Option<&TimestampMicrosecondArray> {
        let at = schema::event_time_index(self.columns.schema_ref())?;
        self.columns.column(at).as_any().downcast_ref()
    }

    /// The rows for which `mask` is true.
    pub fn filter(&self, mask: &BooleanArray) -> Result<Self, ArrowError> {
        let columns = arrow_select::filter::filter_record_batch(&self.columns, mask)?;
        if columns.num_rows() == self.rows() {
            return Ok(self.clone());
        }
        Ok(Self {
            columns,
            kinds: self.kinds.as_ref().map(|kinds| kinds.filter(mask)),
            origin: self.origin.as_ref().map(|origin| origin.filter(mask)).transpose()?,
            late_by: self.late_by.as_ref().map(|late| filter_int64(late, mask)).transpose()?,
        })
    }

    /// The rows at `indices`, in that order.
    pub fn take(&self, indices: &UInt32Array) -> Result<Self, ArrowError> {
        Ok(Self {
            columns: arrow_select::take::take_record_batch(&self.columns, indices)?,
            kinds: self.kinds.as_ref().map(|kinds| kinds.take(indices)),
            origin: self.origin.as_ref().map(|origin| origin.take(indices)).transpose()?,
            late_by: match &self.late_by {
                Some(late) => {
                    let taken = arrow_select::take::take(late, indices, None)?;
                    taken.as_any().downcast_ref::<Int64Array>().cloned()
                }
                None => None,
            },
        })
    }

    /// `length` rows from `offset` on, without a copy.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self {
            columns: self.columns.slice(offset, length),
            kinds: self.kinds.as_ref().map(|kinds| kinds.slice(offset, length)),
            origin: self.origin.as_ref().map(|origin| origin.slice(offset, length)),
            late_by: self.late_by.as_ref().map(|late| late.slice(offset, length)),
        }
    }

    /// The same rows with other columns (a projection): `columns` must have as many rows.
    pub fn with_columns(&self, columns: RecordBatch) -> Self {
        debug_assert_eq!(columns.num_rows(), self.rows(), "a projection keeps the number of rows");
        Self { columns, kinds: self.kinds.clone(), origin: self.origin.clone(), late_by: self.late_by.clone() }
    }

    /// The same rows with further columns, each at its place in what comes out; the places ascend.
    ///
    /// # Errors
    ///
    /// Where a column has another number of rows, or a NULL that its field does not allow.
    pub fn with_inserted(
        &self,
        further: impl IntoIterator<Item = (usize, FieldRef, ArrayRef)>,
    ) -> Result<Self, ArrowError> {
        let (mut fields, mut columns) = (self.schema().fields().to_vec(), self.columns.columns().to_vec());
        for (at, field, column) in further {
            fields.insert(at, field);
            columns.insert(at, column);
        }
        Ok(self.with_columns(columns_of(&Arc::new(Schema::new(fields)), columns, self.rows())?))
    }

    /// All rows of `batches` one after the other. The origin is kept only where there is one batch.
    pub fn concat(schema: &SchemaRef, batches: &[Self]) -> Result<Self, ArrowError> {
        if let [only] = batches {
            return Ok(only.clone());
        }
        let columns = arrow_select::concat::concat_batches(schema, batches.iter().map(|batch| &batch.columns))?;
        let kinds = batches
            .iter()
            .any(|batch| batch.kinds.is_some())
            .then(|| RowKinds::concat(batches.iter().map(|batch| (batch.kinds.as_ref(), batch.rows()))));
        let late_by = if batches.iter().any(|batch| batch.late_by.is_some()) {
            let mut values = Vec::with_capacity(columns.num_rows());
            for batch in batches {
                match &batch.late_by {
                    Some(late) => values.extend_from_slice(late.values()),
                    None => values.extend(std::iter::repeat_n(0, batch.rows())),
                }
            }
            Some(Int64Array::from(values))
        } else {
            None
        };
        Ok(Self { columns, kinds, origin: None, late_by })
    }

    /// Bytes that the columns occupy.
    pub fn memory(&self) -> usize {
        self.columns.get_array_memory_size()
    }
}

/// Columns of `rows` rows as one; there may be none, as in COUNT(*) over a stream.
pub fn columns_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

fn filter_int64(values: &Int64Array, mask: &BooleanArray) -> Result<Int64Array, ArrowError> {
    let kept: ArrayRef = arrow_select::filter::filter(&(Arc::new(values.clone()) as ArrayRef), mask)?;
    Ok(kept.as_any().downcast_ref::<Int64Array>().cloned().unwrap_or_else(|| Int64Array::from(Vec::<i64>::new())))
}
