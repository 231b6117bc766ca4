//! Aggregates over rows that can be taken back, where a sum does not do: the rows of each group are kept.
//!
//! The result is what a fresh column makes of the rows that are there: of the first or last alone for MIN, MAX, FIRST, LAST,
//! ARG_MIN and ARG_MAX, of all for everything else. Rows lie in the library's comparable form, in the order that decides.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, Int64Array, ListArray, StructArray, UInt32Array};
use arrow_buffer::{BooleanBuffer, OffsetBuffer};
use arrow_row::{RowConverter, Rows as Encoded, SortField};
use arrow_schema::{DataType, Field, Fields, SortOptions};

use super::bag::Bag;
use super::column::{Answer, Call, Column, Rows, state_column};
use super::distinct::flatten;
use super::order::ORDER_TYPES;
use crate::error::{ExecError, Result};

/// Which rows of a group decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    First,
    Last,
    All,
    /// All, each once.
    Distinct,
}

/// What is kept of a row.
pub(super) struct Layout {
    /// The types of the arguments and of the call's own ORDER BY.
    pub(super) types: Vec<DataType>,
    /// Whether the place of the row in the order of rows is kept too, behind these.
    pub(super) ordered: bool,
    /// The columns by which rows compare, the first first; all of them.
    pub(super) sort: Vec<(usize, SortOptions)>,
    pub(super) pick: Pick,
    /// A row is kept only where these arguments are not null.
    pub(super) required: Vec<usize>,
}

/// The rows of all groups.
pub(super) struct Kept {
    layout: Layout,
    types: Vec<DataType>,
    converter: RowConverter,
    /// Makes the column that gives the result of the rows that decide.
    fresh: Box<dyn Fn() -> Result<Box<dyn Column>> + Send>,
    bags: Vec<Bag>,
    /// By group: different rows that are there.
    different: Vec<i64>,
}

impl Kept {
    pub(super) fn new(layout: Layout, fresh: Box<dyn Fn() -> Result<Box<dyn Column>> + Send>) -> Result<Self> {
        let mut types = layout.types.clone();
        if layout.ordered {
            types.extend(ORDER_TYPES);
        }
        let fields = layout.sort.iter().map(|(at, options)| SortField::new_with_options(types[*at].clone(), *options));
        let converter = RowConverter::new(fields.collect())?;
        Ok(Self { layout, types, converter, fresh, bags: Vec::new(), different: Vec::new() })
    }

    fn grow(&mut self, total: usize) {
        let total = total.max(self.bags.len());
        self.bags.resize_with(total, Bag::default);
        self.different.resize(total, 0);
    }

    fn encode(&self, columns: &[ArrayRef]) -> Result<Encoded> {
        let sorted = self.layout.sort.iter().map(|(at, _)| Arc::clone(&columns[*at])).collect::<Vec<_>>();
        Ok(self.converter.convert_columns(&sorted)?)
    }

    fn count(&mut self, group: u32, row: &[u8], by: i64) {
        self.different[group as usize] += self.bags[group as usize].add(row, by);
    }

    fn change(&mut self, rows: &Rows<'_>, by: i64) -> Result<()> {
        self.grow(rows.total);
        let mut mask: Option<BooleanBuffer> = rows.mask.clone();
        for at in &self.layout.required {
            let valid = rows.args.get(*at).and_then(|argument| rows.valid(argument));
            mask = match (mask, valid) {
                (Some(mask), Some(valid)) => Some(&mask & &valid),
                (mask, valid) => mask.or(valid),
            };
        }
        let kept: Vec<u32> = match mask {
            Some(mask) => mask.set_indices().map(|row| row as u32).collect(),
            None => (0..rows.groups.len() as u32).collect(),
        };
        let indices = UInt32Array::from(kept.clone());
        let own = rows.args.iter().chain(rows.order_by).map(|column| arrow_select::take::take(column, &indices, None));
        let mut columns = own.collect::<Result<Vec<_>, _>>()?;
        if self.layout.ordered {
            columns.extend(rows.order.columns(&kept));
        }
        let encoded = self.encode(&columns)?;
        for (row, from) in encoded.iter().zip(&kept) {
            self.count(rows.groups[*from as usize], row.as_ref(), by);
        }
        Ok(())
    }

    /// Rows as columns, in the order in which they were declared.
    fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        let sorted = self.converter.convert_rows(rows.map(|row| parser.parse(row)))?;
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.types.len()];
        for ((at, _), column) in self.layout.sort.iter().zip(sorted) {
            columns[*at] = Some(column);
        }
        let all: Option<Vec<_>> = columns.into_iter().collect();
        all.ok_or_else(|| ExecError::Internal("a kept row has fewer columns than it had".to_owned()))
    }

    fn fields(&self) -> Fields {
        let own = self.types.iter().enumerate().map(|(at, t)| Field::new(format!("v{at}"), t.clone(), true));
        own.chain([Field::new("count", DataType::Int64, false)]).collect()
    }

    fn element(&self) -> Arc<Field> {
        Arc::new(Field::new("item", DataType::Struct(self.fields()), false))
    }
}

impl Column for Kept {
    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.change(rows, 1)
    }

    fn retract(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.change(rows, -1)
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::List(self.element())]
    }

    fn state(&mut self, groups: &[u32], _last: bool) -> Result<Vec<ArrayRef>> {
        let (mut rows, mut counts, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(groups.len()));
        for group in groups {
            let before = rows.len();
            if let Some(bag) = self.bags.get(*group as usize) {
                bag.each(|row, count| {
                    rows.push(row);
                    counts.push(count);
                });
            }
            lengths.push(rows.len() - before);
        }
        let mut columns = self.decode(rows.into_iter())?;
        columns.push(Arc::new(Int64Array::from(counts)));
        let values = StructArray::try_new(self.fields(), columns, None)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(vec![Arc::new(ListArray::try_new(self.element(), offsets, Arc::new(values), None)?)])
    }

    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        self.grow(total);
        let (values, owners) = flatten(state_column::<ListArray>(state, 0)?, groups);
        let columns = values.as_struct().columns();
        let Some((counts, columns)) = columns.split_last() else { return Ok(()) };
        let counts = state_column::<Int64Array>(std::slice::from_ref(counts), 0)?;
        let encoded = self.encode(columns)?;
        for ((row, group), count) in encoded.iter().zip(&owners).zip(counts.values()) {
            self.count(*group, row.as_ref(), *count);
        }
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32], call: &Call, _last: bool) -> Result<ArrayRef> {
        let pick = self.layout.pick;
        if call.answer == Answer::Count && pick == Pick::Distinct {
            let different = |group: &u32| self.different.get(*group as usize).copied().unwrap_or(0);
            return Ok(Arc::new(Int64Array::from_iter_values(groups.iter().map(different))));
        }
        let (mut rows, mut owners) = (Vec::new(), Vec::new());
        for (dense, group) in groups.iter().enumerate() {
            let Some(bag) = self.bags.get(*group as usize) else { continue };
            match pick {
                Pick::First => rows.extend(bag.first()),
                Pick::Last => rows.extend(bag.last()),
                Pick::All => bag.each(|row, count| {
                    rows.extend(std::iter::repeat_n(row, usize::try_from(count).unwrap_or(0)));
                }),
                Pick::Distinct => bag.each(|row, count| rows.extend((count > 0).then_some(row))),
            }
            owners.resize(rows.len(), dense as u32);
        }
        let columns = self.decode(rows.into_iter())?;
        let mut fresh = (self.fresh)()?;
        fresh.load(&owners, groups.len(), &columns)?;
        let dense = (0..groups.len() as u32).collect::<Vec<_>>();
        fresh.evaluate(&dense, call, true)
    }

    fn memory(&self) -> usize {
        self.bags.iter().map(Bag::memory).sum::<usize>() + self.bags.capacity() * size_of::<Bag>()
    }
}
