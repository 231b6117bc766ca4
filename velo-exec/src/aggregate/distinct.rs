//! DISTINCT in front of an aggregate: a value goes in only when its group has not had it.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, ListArray, StructArray, UInt32Array};
use arrow_buffer::{BooleanBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields};

use super::column::{Call, Column, Rows, state_column};
use super::order::RowOrder;
use crate::error::Result;
use crate::state::KeyTable;

/// The values of all groups in one table, keyed by group and value, and the aggregate behind them. Its state is the values
/// alone: two sets can be united, two sums over sets cannot.
pub(super) struct Distinct {
    types: Vec<DataType>,
    table: KeyTable,
    inner: Box<dyn Column>,
    total: usize,
    ids: Vec<u32>,
    index: Option<ByGroup>,
}

/// The numbers in the table by group.
struct ByGroup {
    starts: Vec<u32>,
    ids: Vec<u32>,
}

impl Distinct {
    pub(super) fn new(types: &[DataType], inner: Box<dyn Column>) -> Result<Self> {
        let table = KeyTable::new(types)?;
        Ok(Self { types: types.to_vec(), table, inner, total: 0, ids: Vec::new(), index: None })
    }

    fn fields(&self) -> Fields {
        self.types.iter().enumerate().map(|(at, t)| Field::new(format!("v{at}"), t.clone(), true)).collect()
    }

    fn element(&self) -> Arc<Field> {
        Arc::new(Field::new("item", DataType::Struct(self.fields()), false))
    }

    /// Adds values to groups, and those that are new to the aggregate behind.
    fn add(&mut self, groups: &[u32], values: &[ArrayRef], total: usize) -> Result<()> {
        self.total = self.total.max(total);
        self.index = None;
        let mut next = self.table.len() as u32;
        self.table.intern_of(values, groups.len(), Some(groups), &mut self.ids)?;
        let mut fresh = Vec::new();
        for (row, id) in self.ids.iter().enumerate() {
            // New keys get the next numbers in the order of rows.
            if *id == next {
                next += 1;
                fresh.push(row as u32);
            }
        }
        let groups = fresh.iter().map(|row| groups[*row as usize]).collect::<Vec<_>>();
        let fresh = UInt32Array::from(fresh);
        let args =
            values.iter().map(|value| arrow_select::take::take(value, &fresh, None)).collect::<Result<Vec<_>, _>>()?;
        let order = RowOrder::none(groups.len());
        let rows = Rows { groups: &groups, total: self.total, args: &args, mask: None, order_by: &[], order: &order };
        self.inner.update(&rows)
    }

    fn index(&mut self) -> &ByGroup {
        let (table, total) = (&self.table, self.total);
        self.index.get_or_insert_with(|| {
            let mut starts = vec![0_u32; total + 1];
            let count = table.len() as u32;
            for id in 0..count {
                starts[table.owner(id) as usize + 1] += 1;
            }
            for at in 1..starts.len() {
                starts[at] += starts[at - 1];
            }
            let mut next = starts.clone();
            let mut ids = vec![0; count as usize];
            for id in 0..count {
                let place = &mut next[table.owner(id) as usize];
                ids[*place as usize] = id;
                *place += 1;
            }
            ByGroup { starts, ids }
        })
    }
}

impl Column for Distinct {
    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        // A null is no value that any of these aggregates takes.
        let mut mask: Option<BooleanBuffer> = rows.mask.clone();
        for argument in rows.args {
            mask = match (mask, rows.valid(argument)) {
                (Some(mask), Some(valid)) => Some(&mask & &valid),
                (mask, valid) => mask.or(valid),
            };
        }
        match mask {
            None => self.add(rows.groups, rows.args, rows.total),
            Some(mask) => {
                let groups = mask.set_indices().map(|row| rows.groups[row]).collect::<Vec<_>>();
                let mask = BooleanArray::new(mask, None);
                let filter = |argument: &ArrayRef| arrow_select::filter::filter(argument, &mask);
                let args = rows.args.iter().map(filter).collect::<Result<Vec<_>, _>>()?;
                self.add(&groups, &args, rows.total)
            }
        }
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::List(self.element())]
    }

    fn state(&mut self, groups: &[u32], _last: bool) -> Result<Vec<ArrayRef>> {
        let index = self.index();
        let of = |group: &u32| {
            let group = *group as usize;
            &index.ids[index.starts[group] as usize..index.starts[group + 1] as usize]
        };
        let ids = groups.iter().flat_map(of).copied().collect::<Vec<_>>();
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(|group| of(group).len()));
        let values = StructArray::try_new(self.fields(), self.table.keys(&ids)?, None)?;
        Ok(vec![Arc::new(ListArray::try_new(self.element(), offsets, Arc::new(values), None)?)])
    }

    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        let lists = state_column::<ListArray>(state, 0)?;
        let (values, owners) = flatten(lists, groups);
        self.add(&owners, values.as_struct().columns(), total)
    }

    fn evaluate(&mut self, groups: &[u32], call: &Call, last: bool) -> Result<ArrayRef> {
        self.inner.evaluate(groups, call, last)
    }

    fn memory(&self) -> usize {
        self.table.memory() + self.inner.memory()
    }
}

/// The elements of lists one after the other, and the group of each.
pub(super) fn flatten(lists: &ListArray, groups: &[u32]) -> (ArrayRef, Vec<u32>) {
    let offsets = lists.value_offsets();
    let (first, last) = (offsets[0] as usize, offsets[lists.len()] as usize);
    let mut owners = Vec::with_capacity(last - first);
    for (row, group) in groups.iter().enumerate() {
        owners.resize(offsets[row + 1] as usize - first, *group);
    }
    (lists.values().slice(first, last - first), owners)
}
