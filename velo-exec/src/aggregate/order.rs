//! The order of rows that decides FIRST, LAST and ties: event time, source, partition, position; without an origin (behind a
//! join or an aggregate) the values of the row.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, Int64Array, TimestampMicrosecondArray, UInt32Array, UInt64Array};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, DataType};
use velo_core::place::Positions;
use velo_core::{Batch, Origin};

use crate::error::{ExecError, Result};

/// The place of each row of a batch in the order.
#[derive(Debug, Clone)]
pub struct RowOrder {
    rows: usize,
    times: Option<TimestampMicrosecondArray>,
    origin: Option<Origin>,
    /// The row's values in a comparable form, where there is no origin and something asks for them.
    values: Option<BinaryArray>,
    /// Whether later rows of one time come later in the order, so that times alone decide within the batch.
    by_row: bool,
}

/// The place that rows without an origin have among equal times: behind all that have one.
const NOWHERE: u64 = u64::MAX;

impl RowOrder {
    /// The order of a batch's rows. `values`: some aggregate asks for the order, so that without an origin the rows' values
    /// are needed.
    pub fn of(batch: &Batch, values: bool) -> Result<Self> {
        let values = if values && batch.origin.is_none() { Some(encode(batch)?) } else { None };
        let by_row = values.is_none() && batch.origin.as_ref().is_none_or(ascends);
        Ok(Self {
            rows: batch.rows(),
            times: batch.event_times().cloned(),
            origin: batch.origin.clone(),
            values,
            by_row,
        })
    }

    /// Rows among which no order matters.
    pub(crate) fn none(rows: usize) -> Self {
        Self { rows, times: None, origin: None, values: None, by_row: true }
    }

    /// The rows at `indices`, which must not change the order of rows that stay.
    pub fn take(&self, indices: &UInt32Array) -> Result<Self, ArrowError> {
        let take = |array: &dyn Array| arrow_select::take::take(array, indices, None);
        Ok(Self {
            rows: indices.len(),
            times: self
                .times
                .as_ref()
                .map(|times| take(times).map(|taken| taken.as_primitive().clone()))
                .transpose()?,
            origin: self.origin.as_ref().map(|origin| origin.take(indices)).transpose()?,
            values: self
                .values
                .as_ref()
                .map(|values| take(values).map(|taken| taken.as_binary().clone()))
                .transpose()?,
            by_row: self.by_row,
        })
    }

    /// `length` rows from `offset` on.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self {
            rows: length,
            times: self.times.as_ref().map(|times| times.slice(offset, length)),
            origin: self.origin.as_ref().map(|origin| origin.slice(offset, length)),
            values: self.values.as_ref().map(|values| values.slice(offset, length)),
            by_row: self.by_row,
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The event times, where there are any.
    pub(super) fn times(&self) -> Option<&[i64]> {
        self.times.as_ref().map(|times| times.values().as_ref())
    }

    /// Whether, among equal times, a later row of the batch is later in the order.
    pub(super) fn by_row(&self) -> bool {
        self.by_row
    }

    fn time(&self, row: usize) -> i64 {
        self.times.as_ref().map_or(0, |times| times.value(row))
    }

    fn place(&self, row: usize) -> (u64, u64) {
        match &self.origin {
            Some(origin) => ((u64::from(origin.source) << 32) | u64::from(origin.partition), origin.order(row)),
            None => (NOWHERE, 0),
        }
    }

    /// The row's values in a comparable form, where they were asked for.
    pub(crate) fn value(&self, row: usize) -> &[u8] {
        self.values.as_ref().map_or(&[], |values| values.value(row))
    }

    /// Which of two rows of this batch is earlier.
    pub(super) fn compare(&self, left: usize, right: usize) -> Ordering {
        self.time(left).cmp(&self.time(right)).then_with(|| {
            if self.by_row {
                left.cmp(&right)
            } else {
                self.place(left).cmp(&self.place(right)).then_with(|| self.value(left).cmp(self.value(right)))
            }
        })
    }

    /// The order as columns: time, source and partition, position, values.
    pub(crate) fn columns(&self, rows: &[u32]) -> Vec<ArrayRef> {
        let places = rows.iter().map(|row| self.place(*row as usize)).collect::<Vec<_>>();
        vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| self.time(*row as usize)))),
            Arc::new(UInt64Array::from_iter_values(places.iter().map(|place| place.0))),
            Arc::new(UInt64Array::from_iter_values(places.iter().map(|place| place.1))),
            Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| self.value(*row as usize)))),
        ]
    }
}

/// The columns of [`RowOrder::columns`] of rows that were kept without their origin, but with the two columns of its place.
pub(crate) fn columns_with_places(
    batch: &Batch,
    sources: &UInt64Array,
    positions: &UInt64Array,
) -> Result<Vec<ArrayRef>> {
    let nowhere = |row: usize| sources.value(row) == NOWHERE;
    let rows = 0..batch.rows();
    let own = Batch { origin: None, ..batch.clone() };
    let order = RowOrder::of(&own, rows.clone().any(nowhere))?;
    let values = rows.clone().map(|row| if nowhere(row) { order.value(row) } else { &[] });
    Ok(vec![
        Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| order.time(row)))),
        Arc::new(sources.clone()),
        Arc::new(positions.clone()),
        Arc::new(BinaryArray::from_iter_values(values)),
    ])
}

fn ascends(origin: &Origin) -> bool {
    match &origin.positions {
        Positions::Consecutive { .. } => true,
        Positions::Each(each) => each.values().is_sorted(),
    }
}

/// All columns of each row in a comparable form; columns of a type that has none do not count.
fn encode(batch: &Batch) -> Result<BinaryArray> {
    let columns = batch
        .columns
        .columns()
        .iter()
        .filter(|column| RowConverter::supports_fields(&[SortField::new(column.data_type().clone())]));
    let columns = columns.cloned().collect::<Vec<_>>();
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    Ok(RowConverter::new(fields)?.convert_columns(&columns)?.try_into_binary()?)
}

/// The types of [`RowOrder::columns`].
pub(crate) const ORDER_TYPES: [DataType; 4] = [DataType::Int64, DataType::UInt64, DataType::UInt64, DataType::Binary];

/// The place of one row per group, in typed columns.
#[derive(Debug, Default)]
pub(super) struct OrderColumn {
    times: Vec<i64>,
    places: Vec<(u64, u64)>,
    /// Empty until a row without an origin comes.
    values: Vec<Box<[u8]>>,
}

impl OrderColumn {
    pub(super) fn grow(&mut self, groups: usize) {
        self.times.resize(groups, 0);
        self.places.resize(groups, (0, 0));
        if !self.values.is_empty() {
            self.values.resize_with(groups, Box::default);
        }
    }

    pub(super) fn compare(&self, group: u32, order: &impl Order, row: usize) -> Ordering {
        let group = group as usize;
        self.times[group].cmp(&order.time(row)).then_with(|| self.places[group].cmp(&order.place(row))).then_with(
            || {
                let known: &[u8] = self.values.get(group).map_or(&[], |value| value);
                known.cmp(order.value(row))
            },
        )
    }

    pub(super) fn put(&mut self, group: u32, order: &impl Order, row: usize) {
        let group = group as usize;
        self.times[group] = order.time(row);
        self.places[group] = order.place(row);
        let value = order.value(row);
        if !value.is_empty() && self.values.is_empty() {
            self.values.resize_with(self.times.len(), Box::default);
        }
        if let Some(known) = self.values.get_mut(group) {
            *known = value.into();
        }
    }

    pub(super) fn state(&self, groups: &[u32]) -> Vec<ArrayRef> {
        let places = || groups.iter().map(|group| self.places[*group as usize]);
        let values = |group: &u32| self.values.get(*group as usize).map_or(&[][..], |value| value);
        vec![
            Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| self.times[*group as usize]))),
            Arc::new(UInt64Array::from_iter_values(places().map(|place| place.0))),
            Arc::new(UInt64Array::from_iter_values(places().map(|place| place.1))),
            Arc::new(BinaryArray::from_iter_values(groups.iter().map(values))),
        ]
    }

    pub(super) fn memory(&self) -> usize {
        self.times.capacity() * 8
            + self.places.capacity() * 16
            + self.values.iter().map(|value| value.len() + 16).sum::<usize>()
    }
}

/// Something that knows the place of its rows: a batch, or the state of another set.
pub(super) trait Order {
    fn time(&self, row: usize) -> i64;
    fn place(&self, row: usize) -> (u64, u64);
    fn value(&self, row: usize) -> &[u8];

    /// Which of two rows is earlier.
    fn compare(&self, left: usize, right: usize) -> Ordering {
        self.time(left)
            .cmp(&self.time(right))
            .then_with(|| self.place(left).cmp(&self.place(right)))
            .then_with(|| self.value(left).cmp(self.value(right)))
    }
}

impl Order for RowOrder {
    fn time(&self, row: usize) -> i64 {
        Self::time(self, row)
    }
    fn place(&self, row: usize) -> (u64, u64) {
        Self::place(self, row)
    }
    fn value(&self, row: usize) -> &[u8] {
        Self::value(self, row)
    }
}

/// The columns of [`RowOrder::columns`] or [`OrderColumn::state`], read back.
pub(super) struct OrderState<'a> {
    times: &'a Int64Array,
    places: (&'a UInt64Array, &'a UInt64Array),
    values: &'a BinaryArray,
}

impl<'a> OrderState<'a> {
    pub(super) fn of(columns: &'a [ArrayRef]) -> Result<Self> {
        let [times, places, positions, values] = columns else {
            return Err(ExecError::Internal(format!("an order of {} columns", columns.len())));
        };
        let read = || {
            Some(Self {
                times: times.as_primitive_opt()?,
                places: (places.as_primitive_opt()?, positions.as_primitive_opt()?),
                values: values.as_binary_opt()?,
            })
        };
        read().ok_or_else(|| ExecError::Internal("an order of other types".to_owned()))
    }
}

impl Order for OrderState<'_> {
    fn time(&self, row: usize) -> i64 {
        self.times.value(row)
    }
    fn place(&self, row: usize) -> (u64, u64) {
        (self.places.0.value(row), self.places.1.value(row))
    }
    fn value(&self, row: usize) -> &[u8] {
        self.values.value(row)
    }
}
