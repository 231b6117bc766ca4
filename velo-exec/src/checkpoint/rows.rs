//! Batches as the rows of a state table: what stands beside the columns becomes columns.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt8Type};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, UInt8Array, UInt32Array, UInt64Array};
use arrow_schema::{DataType, SchemaRef};
use velo_core::batch::columns_of;
use velo_core::place::{Origin, Positions, Resource};
use velo_core::{Batch, RowKind, RowKinds};

use super::beside::with_beside;
use super::state::damaged;
use crate::error::Result;

const KIND: &str = "_row_kind";
const LATE_BY: &str = "_late_by";
/// Source, partition, base, what is counted, in which resource, the number of its partition, the position.
const ORIGIN: [&str; 7] = [
    "_origin_source",
    "_origin_partition",
    "_origin_base",
    "_origin_counts",
    "_origin_resource",
    "_origin_of_resource",
    "_origin_position",
];
/// The columns that stand for what is beside those of a batch.
const BESIDE: usize = 2 + ORIGIN.len();

/// The columns of `batch`, and behind them always the same nine: the kinds, how late the rows are, and where they come from.
pub fn pack(batch: &Batch) -> Result<RecordBatch> {
    let origin = ORIGIN.into_iter().zip(origin_columns(batch.origin.as_ref(), batch.rows()));
    let beside = [(KIND, kinds_column(batch)), (LATE_BY, late_column(batch))].into_iter().chain(origin);
    with_beside(&batch.columns, beside)
}

/// The kinds of the rows of a batch as numbers.
pub(crate) fn kinds_column(batch: &Batch) -> ArrayRef {
    let kind = |row: usize| batch.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[row]);
    Arc::new(UInt8Array::from_iter_values((0..batch.rows()).map(|row| number(kind(row)))))
}

/// The kinds of such a column.
pub(crate) fn kinds_of(column: &ArrayRef) -> Result<Vec<RowKind>> {
    let kinds = column.as_primitive_opt::<UInt8Type>().ok_or_else(|| damaged("rows", "their kinds are no numbers"))?;
    kinds.values().iter().map(|kind| kind_of(*kind)).collect()
}

/// How late the rows of a batch are, NULL where none of it is.
pub(crate) fn late_column(batch: &Batch) -> ArrayRef {
    match &batch.late_by {
        Some(late) => Arc::new(late.clone()),
        None => arrow_array::new_null_array(&DataType::Int64, batch.rows()),
    }
}

/// The numbers of such a column.
pub(crate) fn late_of(column: &ArrayRef) -> Result<&Int64Array> {
    column.as_primitive_opt::<Int64Type>().ok_or_else(|| damaged("rows", "their lateness is no number"))
}

/// Batches that give the rows of a packed one in their order: one for each stretch of one origin. Their columns are those of
/// `schema`.
pub fn unpack(packed: &RecordBatch, schema: &SchemaRef) -> Result<Vec<Batch>> {
    let width = packed.num_columns().checked_sub(BESIDE).filter(|width| *width == schema.fields().len());
    let width = width.ok_or_else(|| damaged("rows", "they have another number of columns than their operator"))?;
    let rows = packed.num_rows();
    let columns = columns_of(schema, packed.columns()[..width].to_vec(), rows)?;
    let [kinds, late, origin @ ..] = &packed.columns()[width..] else {
        return Err(damaged("rows", "what stands beside them is missing"));
    };
    let (kinds, late) = (kinds_of(kinds)?, late_of(late)?);
    let origins = Origins::read(origin)?;
    let mut found = Vec::new();
    let mut from = 0;
    while from < rows {
        let to = (from + 1..rows).find(|row| !origins.is_one(from, *row)).unwrap_or(rows);
        let kinds = RowKinds::new(kinds[from..to].to_vec());
        let late: Int64Array = late.slice(from, to - from);
        found.push(Batch {
            columns: columns.slice(from, to - from),
            kinds: (!kinds.all_inserts()).then_some(kinds),
            origin: origins.of(from, to),
            late_by: (late.null_count() < late.len()).then_some(late),
        });
        from = to;
    }
    Ok(found)
}

/// The number of a kind in a state.
pub fn number(kind: RowKind) -> u8 {
    match kind {
        RowKind::Insert => 0,
        RowKind::UpdateBefore => 1,
        RowKind::UpdateAfter => 2,
        RowKind::Delete => 3,
    }
}

/// The kind of a number in a state.
pub fn kind_of(number: u8) -> Result<RowKind> {
    Ok(match number {
        0 => RowKind::Insert,
        1 => RowKind::UpdateBefore,
        2 => RowKind::UpdateAfter,
        3 => RowKind::Delete,
        other => return Err(damaged("rows", &format!("there is no kind {other} of a row"))),
    })
}

fn origin_columns(origin: Option<&Origin>, rows: usize) -> [ArrayRef; ORIGIN.len()] {
    let Some(origin) = origin else {
        let none = |data_type| arrow_array::new_null_array(&data_type, rows);
        return [
            none(DataType::UInt32),
            none(DataType::UInt32),
            none(DataType::UInt64),
            none(DataType::UInt8),
            none(DataType::Utf8),
            none(DataType::Int64),
            none(DataType::UInt64),
        ];
    };
    let (counts, name, of) = match &origin.resource {
        Resource::File(path) => (0, path, 0),
        Resource::Topic(topic, partition) => (1, topic, i64::from(*partition)),
        Resource::Page(url) => (2, url, 0),
        Resource::Rows(source) => (3, source, 0),
    };
    [
        Arc::new(UInt32Array::from_value(origin.source, rows)),
        Arc::new(UInt32Array::from_value(origin.partition, rows)),
        Arc::new(UInt64Array::from_value(origin.base, rows)),
        Arc::new(UInt8Array::from_value(counts, rows)),
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(name.as_ref(), rows))),
        Arc::new(Int64Array::from_value(of, rows)),
        Arc::new(UInt64Array::from_iter_values((0..rows).map(|row| origin.position(row)))),
    ]
}

/// Where packed rows came from.
struct Origins<'a> {
    source: &'a UInt32Array,
    partition: &'a UInt32Array,
    base: &'a UInt64Array,
    counts: &'a UInt8Array,
    resource: &'a StringArray,
    of: &'a Int64Array,
    position: &'a UInt64Array,
}

impl<'a> Origins<'a> {
    fn read(columns: &'a [ArrayRef]) -> Result<Self> {
        let wrong = || damaged("rows", "their places have another form");
        let [source, partition, base, counts, resource, of, position] = columns else { return Err(wrong()) };
        Ok(Self {
            source: source.as_primitive_opt().ok_or_else(wrong)?,
            partition: partition.as_primitive_opt().ok_or_else(wrong)?,
            base: base.as_primitive_opt().ok_or_else(wrong)?,
            counts: counts.as_primitive_opt().ok_or_else(wrong)?,
            resource: resource.as_string_opt().ok_or_else(wrong)?,
            of: of.as_primitive_opt().ok_or_else(wrong)?,
            position: position.as_primitive_opt().ok_or_else(wrong)?,
        })
    }

    /// Whether two rows came from one place.
    fn is_one(&self, one: usize, other: usize) -> bool {
        let none = (self.source.is_null(one), self.source.is_null(other));
        none == (true, true)
            || (none == (false, false)
                && self.source.value(one) == self.source.value(other)
                && self.partition.value(one) == self.partition.value(other)
                && self.base.value(one) == self.base.value(other)
                && self.counts.value(one) == self.counts.value(other)
                && self.of.value(one) == self.of.value(other)
                && self.resource.value(one) == self.resource.value(other))
    }

    fn of(&self, from: usize, to: usize) -> Option<Origin> {
        if self.source.is_null(from) {
            return None;
        }
        let name = Arc::from(self.resource.value(from));
        Some(Origin {
            source: self.source.value(from),
            partition: self.partition.value(from),
            base: self.base.value(from),
            resource: match self.counts.value(from) {
                0 => Resource::File(name),
                1 => Resource::Topic(name, self.of.value(from) as i32),
                2 => Resource::Page(name),
                _ => Resource::Rows(name),
            },
            positions: Positions::Each(self.position.slice(from, to - from)),
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{Field, Schema};

    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        let rows = |values: Vec<i64>| {
            Batch::new(RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(values))]).unwrap())
        };
        let origin = |partition: u32| Origin {
            source: 1,
            partition,
            base: 10,
            resource: Resource::Topic(Arc::from("t"), partition as i32),
            positions: Positions::Each(UInt64Array::from(vec![4, 9])),
        };
        let mut with = rows(vec![1, 2]);
        with.kinds = Some(RowKinds::new(vec![RowKind::UpdateBefore, RowKind::UpdateAfter]));
        with.origin = Some(origin(0));
        with.late_by = Some(Int64Array::from(vec![0, 7]));
        let mut other = rows(vec![3, 4]);
        other.origin = Some(origin(1));
        let batches = [with, rows(vec![5]), other];
        let packed = batches.iter().map(|batch| pack(batch).unwrap()).collect::<Vec<_>>();
        let packed = arrow_select::concat::concat_batches(&packed[0].schema(), &packed).unwrap();
        let back = unpack(&packed, &schema).unwrap();
        assert_eq!(back.len(), 3);
        for (batch, back) in batches.iter().zip(&back) {
            assert_eq!((&back.columns, &back.kinds), (&batch.columns, &batch.kinds));
            assert_eq!((&back.origin, &back.late_by), (&batch.origin, &batch.late_by));
        }
        assert!(unpack(&packed.project(&[0, 1]).unwrap(), &schema).is_err());
    }
}
