//! FIRST, LAST, ARG_MIN and ARG_MAX: the value of one row per group.
//!
//! In each batch the winning row of each group is found by comparing rows of the batch; then its value is copied once. Equal
//! times, and equal second arguments, are decided by the order of rows, so that the answer depends on the data alone.

use std::cmp::Ordering;

use arrow_array::{Array, ArrayRef};
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;

use super::column::{Call, Column, Rows, each};
use super::order::{ORDER_TYPES, Order, OrderColumn, OrderState};
use super::values::{ByteRows, Encoded, Values, values};
use super::winners::Winners;
use crate::error::{ExecError, Result};

/// Which row of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// The earliest.
    First,
    /// The latest.
    Last,
}

impl Which {
    fn wanted(self) -> Ordering {
        match self {
            Self::First => Ordering::Less,
            Self::Last => Ordering::Greater,
        }
    }
}

/// FIRST or LAST: the value that is not null of the earliest or latest row.
pub(super) struct ByOrder {
    which: Which,
    data_type: DataType,
    values: Box<dyn Values>,
    /// Whether the group has a value.
    seen: Vec<bool>,
    order: OrderColumn,
    winners: Winners,
}

impl ByOrder {
    pub(super) fn new(which: Which, data_type: &DataType) -> Result<Self> {
        Ok(Self {
            which,
            data_type: data_type.clone(),
            values: values(data_type)?,
            seen: Vec::new(),
            order: OrderColumn::default(),
            winners: Winners::default(),
        })
    }

    fn grow(&mut self, total: usize) {
        self.values.grow(total);
        self.seen.resize(total, false);
        self.order.grow(total);
        self.winners.start(total);
    }

    /// Copies what the winners of a batch have, where they also beat what is there.
    fn keep(&mut self, argument: &ArrayRef, order: &impl Order) -> Result<()> {
        let (seen, known, wanted) = (&self.seen, &self.order, self.which.wanted());
        let (groups, winners) = self
            .winners
            .finish(|group, row| !seen[group as usize] || known.compare(group, order, row).reverse() == wanted);
        self.values.put(groups, winners, argument)?;
        for (group, row) in groups.iter().zip(winners) {
            self.seen[*group as usize] = true;
            self.order.put(*group, order, *row as usize);
        }
        Ok(())
    }
}

impl Column for ByOrder {
    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let argument = rows.only()?;
        let mask = rows.valid(argument);
        self.grow(rows.total);
        let (winners, order, which) = (&mut self.winners, rows.order, self.which);
        match (order.times(), which) {
            // Rows of one origin in its order: times alone decide, and of equal times the row.
            (Some(times), Which::First) if order.by_row() => each(rows.groups, mask.as_ref(), |row, group| {
                winners.offer(row, group, |row, known| times[row] < times[known]);
            }),
            (Some(times), Which::Last) if order.by_row() => each(rows.groups, mask.as_ref(), |row, group| {
                winners.offer(row, group, |row, known| times[row] >= times[known]);
            }),
            _ => each(rows.groups, mask.as_ref(), |row, group| {
                winners.offer(row, group, |row, known| order.compare(row, known) == which.wanted());
            }),
        }
        self.keep(argument, order)
    }

    fn load(&mut self, groups: &[u32], total: usize, kept: &[ArrayRef]) -> Result<()> {
        // A row that is kept is what the state of a group is: the values, and the place in the order.
        self.merge(groups, total, kept)
    }

    fn state_types(&self) -> Vec<DataType> {
        std::iter::once(self.data_type.clone()).chain(ORDER_TYPES).collect()
    }

    fn state(&mut self, groups: &[u32], _last: bool) -> Result<Vec<ArrayRef>> {
        let mut state = vec![self.values.get(groups)?];
        state.extend(self.order.state(groups));
        Ok(state)
    }

    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        let (value, order) = split(state)?;
        let order = OrderState::of(order)?;
        self.grow(total);
        let wanted = self.which.wanted();
        let present = value.logical_nulls().map(arrow_buffer::NullBuffer::into_inner);
        let winners = &mut self.winners;
        each(groups, present.as_ref(), |row, group| {
            winners.offer(row, group, |row, known| order.compare(row, known) == wanted);
        });
        self.keep(value, &order)
    }

    fn evaluate(&mut self, groups: &[u32], _call: &Call, _last: bool) -> Result<ArrayRef> {
        self.values.get(groups)
    }

    fn memory(&self) -> usize {
        self.values.memory() + self.seen.capacity() + self.order.memory() + self.winners.memory()
    }
}

fn split(state: &[ArrayRef]) -> Result<(&ArrayRef, &[ArrayRef])> {
    state.split_first().ok_or_else(|| ExecError::Internal("an empty state of FIRST or LAST".to_owned()))
}

/// ARG_MIN or ARG_MAX: the first argument (also a null) of the row where the second is smallest or largest; of equal ones the
/// earliest row's.
pub(super) struct ByValue {
    wanted: Ordering,
    types: [DataType; 2],
    values: Box<dyn Values>,
    /// What decides, as bytes that compare as the values do.
    keys: Encoded,
    order: OrderColumn,
    winners: Winners,
}

impl ByValue {
    pub(super) fn new(largest: bool, types: &[DataType]) -> Result<Self> {
        let [value, key] = types else {
            return Err(ExecError::Internal(format!("ARG_MIN or ARG_MAX of {} arguments", types.len())));
        };
        Ok(Self {
            wanted: if largest { Ordering::Greater } else { Ordering::Less },
            types: [value.clone(), key.clone()],
            values: values(value)?,
            keys: Encoded::new(key)?,
            order: OrderColumn::default(),
            winners: Winners::default(),
        })
    }

    fn grow(&mut self, total: usize) {
        self.values.grow(total);
        self.keys.grow(total);
        self.order.grow(total);
        self.winners.start(total);
    }

    fn offer(&mut self, groups: &[u32], mask: Option<&BooleanBuffer>, read: &ByteRows, order: &impl Order) {
        let (wanted, winners) = (self.wanted, &mut self.winners);
        each(groups, mask, |row, group| {
            winners.offer(row, group, |row, known| match read.value(row).cmp(read.value(known)) {
                Ordering::Equal => order.compare(row, known).is_lt(),
                compared => compared == wanted,
            });
        });
    }

    /// Copies what the winners of a batch have, where they also beat what is there.
    fn keep(&mut self, value: &ArrayRef, read: &ByteRows, order: &impl Order) -> Result<()> {
        let (wanted, keys, places) = (self.wanted, &self.keys, &self.order);
        let (groups, winners) = self.winners.finish(|group, row| match keys.value(group) {
            None => true,
            Some(known) => match read.value(row).cmp(known) {
                Ordering::Equal => places.compare(group, order, row).is_gt(),
                compared => compared == wanted,
            },
        });
        self.values.put(groups, winners, value)?;
        for (group, row) in groups.iter().zip(winners) {
            self.keys.set(*group, read.value(*row as usize));
            self.order.put(*group, order, *row as usize);
        }
        Ok(())
    }
}

impl Column for ByValue {
    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let [value, key] = rows.args else {
            return Err(ExecError::Internal("ARG_MIN or ARG_MAX without its arguments".to_owned()));
        };
        let mask = rows.valid(key);
        self.grow(rows.total);
        let read = self.keys.read(key)?;
        self.offer(rows.groups, mask.as_ref(), &read, rows.order);
        self.keep(value, &read, rows.order)
    }

    fn load(&mut self, groups: &[u32], total: usize, kept: &[ArrayRef]) -> Result<()> {
        // A row that is kept is what the state of a group is: the values, and the place in the order.
        self.merge(groups, total, kept)
    }

    fn state_types(&self) -> Vec<DataType> {
        self.types.iter().cloned().chain(ORDER_TYPES).collect()
    }

    fn state(&mut self, groups: &[u32], _last: bool) -> Result<Vec<ArrayRef>> {
        let mut state = vec![self.values.get(groups)?, self.keys.get(groups)?];
        state.extend(self.order.state(groups));
        Ok(state)
    }

    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        let (value, rest) = split(state)?;
        let (key, order) = split(rest)?;
        let order = OrderState::of(order)?;
        self.grow(total);
        let read = self.keys.read(key)?;
        let present = key.logical_nulls().map(arrow_buffer::NullBuffer::into_inner);
        self.offer(groups, present.as_ref(), &read, &order);
        self.keep(value, &read, &order)
    }

    fn evaluate(&mut self, groups: &[u32], _call: &Call, _last: bool) -> Result<ArrayRef> {
        self.values.get(groups)
    }

    fn memory(&self) -> usize {
        self.values.memory() + self.keys.memory() + self.order.memory() + self.winners.memory()
    }
}
