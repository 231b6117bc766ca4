//! Aggregates that go by the order of rows: ARRAY_AGG, STRING_AGG, and whatever has an ORDER BY of its own.
//!
//! The rows are kept, with what their order goes by, and go into the library's accumulator once, in order, when the result is
//! read. The result then depends on the data alone, however rows came and states were merged.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, ListArray, StructArray, UInt32Array};
use arrow_buffer::OffsetBuffer;
use arrow_ord::sort::{SortColumn, lexsort_to_indices};
use arrow_schema::{DataType, Field, Fields, SortOptions};
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

use super::adapter::array_of;
use super::column::{Call, Column, Rows, state_column};
use super::distinct::flatten;
use super::order::ORDER_TYPES;
use crate::error::Result;
use crate::state::KeyTable;

/// Chunks are joined when there are this many.
const CHUNKS: usize = 64;

/// The rows of all groups: the arguments, the call's own ORDER BY, the order of rows.
pub(super) struct Collected {
    function: Arc<AggregateFunctionExpr>,
    /// Equal arguments of a group go in once.
    distinct: bool,
    /// Of the call's own ORDER BY.
    options: Vec<SortOptions>,
    types: Vec<DataType>,
    arguments: usize,
    chunks: Vec<(Vec<u32>, Vec<ArrayRef>)>,
    total: usize,
    sorted: Option<Sorted>,
}

/// All rows in the order of their groups, and within a group in theirs.
struct Sorted {
    columns: Vec<ArrayRef>,
    starts: Vec<u32>,
}

impl Collected {
    /// `order_by`: the types and directions of the call's own ORDER BY.
    pub(super) fn new(
        function: Arc<AggregateFunctionExpr>,
        arguments: &[DataType],
        order_by: &[(DataType, SortOptions)],
        distinct: bool,
    ) -> Self {
        let types = arguments.iter().cloned().chain(order_by.iter().map(|(data_type, _)| data_type.clone()));
        Self {
            function,
            distinct,
            options: order_by.iter().map(|(_, options)| *options).collect(),
            types: types.chain(ORDER_TYPES).collect(),
            arguments: arguments.len(),
            chunks: Vec::new(),
            total: 0,
            sorted: None,
        }
    }

    fn fields(&self) -> Fields {
        self.types.iter().enumerate().map(|(at, t)| Field::new(format!("v{at}"), t.clone(), true)).collect()
    }

    fn element(&self) -> Arc<Field> {
        Arc::new(Field::new("item", DataType::Struct(self.fields()), false))
    }

    fn add(&mut self, groups: Vec<u32>, columns: Vec<ArrayRef>, total: usize) -> Result<()> {
        self.total = self.total.max(total);
        self.sorted = None;
        if !groups.is_empty() {
            self.chunks.push((groups, columns));
        }
        if self.chunks.len() >= CHUNKS { self.join() } else { Ok(()) }
    }

    /// All chunks as one.
    fn join(&mut self) -> Result<()> {
        if self.chunks.len() < 2 {
            return Ok(());
        }
        let chunks = std::mem::take(&mut self.chunks);
        let columns = (0..self.types.len()).map(|at| {
            let parts = chunks.iter().map(|(_, columns)| columns[at].as_ref()).collect::<Vec<_>>();
            arrow_select::concat::concat(&parts)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let groups = chunks.into_iter().flat_map(|(groups, _)| groups).collect();
        self.chunks.push((groups, columns));
        Ok(())
    }

    fn sorted(&mut self) -> Result<&Sorted> {
        if self.sorted.is_none() {
            self.join()?;
            let (groups, columns) = match self.chunks.first() {
                Some((groups, columns)) => (groups.clone(), columns.clone()),
                None => (Vec::new(), self.types.iter().map(arrow_array::new_empty_array).collect()),
            };
            self.sorted = Some(self.sort(groups, columns)?);
        }
        // It was set above.
        self.sorted.as_ref().ok_or_else(|| crate::error::ExecError::Internal("rows are gone".to_owned()))
    }

    fn sort(&self, groups: Vec<u32>, columns: Vec<ArrayRef>) -> Result<Sorted> {
        let by_group = SortColumn { values: Arc::new(UInt32Array::from(groups.clone())), options: None };
        let own = columns[self.arguments..].iter().enumerate().map(|(at, values)| {
            // Behind the call's own ORDER BY come time, place and values, ascending.
            let options = self.options.get(at).copied().or(Some(SortOptions::default()));
            SortColumn { values: Arc::clone(values), options }
        });
        let order = lexsort_to_indices(&std::iter::once(by_group).chain(own).collect::<Vec<_>>(), None)?;
        let mut groups = order.values().iter().map(|row| groups[*row as usize]).collect::<Vec<_>>();
        let mut columns = columns
            .iter()
            .map(|column| arrow_select::take::take(column, &order, None))
            .collect::<Result<Vec<_>, _>>()?;
        if self.distinct {
            let mut table = KeyTable::new(&self.types[..self.arguments])?;
            let mut ids = Vec::new();
            table.intern_of(&columns[..self.arguments], groups.len(), Some(&groups), &mut ids)?;
            let mut next = 0;
            let fresh = ids.iter().map(|id| {
                let new = *id == next;
                next += u32::from(new);
                new
            });
            let fresh = fresh.collect::<BooleanArray>();
            groups = fresh.values().set_indices().map(|row| groups[row]).collect();
            columns = columns
                .iter()
                .map(|column| arrow_select::filter::filter(column, &fresh))
                .collect::<Result<Vec<_>, _>>()?;
        }
        let mut starts = vec![0_u32; self.total + 1];
        for group in &groups {
            starts[*group as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        Ok(Sorted { columns, starts })
    }
}

impl Sorted {
    fn range(&self, group: u32) -> std::ops::Range<usize> {
        let group = group as usize;
        self.starts[group] as usize..self.starts[group + 1] as usize
    }
}

impl Column for Collected {
    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let kept = match &rows.mask {
            Some(mask) => mask.set_indices().map(|row| row as u32).collect::<Vec<_>>(),
            None => (0..rows.groups.len() as u32).collect(),
        };
        let groups = kept.iter().map(|row| rows.groups[*row as usize]).collect();
        let mut columns = Vec::with_capacity(self.types.len());
        let indices = UInt32Array::from(kept.clone());
        for column in rows.args.iter().chain(rows.order_by) {
            // A copy: a slice would keep the whole batch.
            columns.push(arrow_select::take::take(column, &indices, None)?);
        }
        columns.extend(rows.order.columns(&kept));
        self.add(groups, columns, rows.total)
    }

    fn load(&mut self, groups: &[u32], total: usize, kept: &[ArrayRef]) -> Result<()> {
        self.add(groups.to_vec(), kept.to_vec(), total)
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::List(self.element())]
    }

    fn state(&mut self, groups: &[u32], _last: bool) -> Result<Vec<ArrayRef>> {
        let (element, fields) = (self.element(), self.fields());
        let sorted = self.sorted()?;
        let rows = groups.iter().flat_map(|group| sorted.range(*group)).map(|row| row as u32).collect::<UInt32Array>();
        let columns = sorted.columns.iter().map(|column| arrow_select::take::take(column, &rows, None));
        let values = StructArray::try_new(fields, columns.collect::<Result<Vec<_>, _>>()?, None)?;
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(|group| sorted.range(*group).len()));
        Ok(vec![Arc::new(ListArray::try_new(element, offsets, Arc::new(values), None)?)])
    }

    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        let (values, owners) = flatten(state_column::<ListArray>(state, 0)?, groups);
        self.add(owners, values.as_struct().columns().to_vec(), total)
    }

    fn evaluate(&mut self, groups: &[u32], _call: &Call, _last: bool) -> Result<ArrayRef> {
        let (function, arguments) = (Arc::clone(&self.function), self.arguments);
        let sorted = self.sorted()?;
        let mut results = Vec::with_capacity(groups.len());
        for group in groups {
            let rows = sorted.range(*group);
            let mut accumulator = function.create_accumulator()?;
            if !rows.is_empty() {
                let part = sorted.columns[..arguments].iter().map(|column| column.slice(rows.start, rows.len()));
                accumulator.update_batch(&part.collect::<Vec<_>>())?;
            }
            results.push(accumulator.evaluate()?);
        }
        array_of(results, function.field().data_type())
    }

    fn memory(&self) -> usize {
        let columns = self.chunks.iter().flat_map(|(_, columns)| columns);
        let sorted = self.sorted.iter().flat_map(|sorted| &sorted.columns);
        columns.chain(sorted).map(|column| column.get_array_memory_size()).sum()
    }
}
