//! Operators that are stopped and go on: as one task after the other, as other numbers of tasks, and with damaged states.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{Field, Schema};
use velo_core::Watermark;
use velo_exec::checkpoint::state::{KEY_GROUP, task_of};
use velo_exec::checkpoint::{Chunk, OperatorState, Share};
use velo_exec::operator::Operator;
use velo_exec::state::KeyGrouper;
use velo_exec::testing::{Harness, Random};

use super::sim::{Turn, turns};
use super::{Row, batch, cells};

/// Stamped partitions, which come in any turn.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    pub partitions: &'a [Vec<Row>],
    pub bound: i64,
    pub size: usize,
    pub seed: u64,
}

impl Input<'_> {
    fn turns(&self) -> Vec<Turn<'_>> {
        turns(self.partitions, self.bound, self.size, self.seed)
    }
}

/// What came out of one turn: rows in their order, and the watermark behind them.
pub type Out = (Vec<Vec<String>>, Watermark);

fn out<O: Operator>(harness: &mut Harness<O>) -> Out {
    let rows = harness.take_batches().iter().flat_map(|batch| cells(&batch.columns)).collect();
    (rows, harness.forwarded())
}

/// Runs an operator turn by turn; with `restarts` it is another one now and then: at the start, between rows and watermarks,
/// and always before the end.
pub fn run<O: Operator>(make: &dyn Fn() -> O, input: Input<'_>, mut restarts: Option<&mut Random>) -> Vec<Out> {
    let mut harness = Harness::new(make());
    let mut restart = |harness: &mut Harness<O>, always: bool| {
        if let Some(random) = &mut restarts
            && (random.below(4) == 0 || always)
        {
            harness.restart(make()).unwrap();
        }
    };
    let mut all = Vec::new();
    restart(&mut harness, true);
    for Turn { rows, watermark, .. } in input.turns() {
        harness.batch(batch(rows)).unwrap();
        restart(&mut harness, false);
        harness.watermark(watermark).unwrap();
        restart(&mut harness, false);
        all.push(out(&mut harness));
    }
    restart(&mut harness, true);
    harness.end().unwrap();
    restart(&mut harness, true);
    all.push(out(&mut harness));
    let late = harness.operator.late().map_or(0, |late| late.rows());
    all.push((vec![vec![format!("{late} late")]], Watermark::END));
    assert_eq!(harness.operator.held(), 0);
    all
}

/// Runs an operator as several tasks, each with the rows of its keys; after each part of the input as many others, one of
/// `tasks` for each part. The rows that came out, sorted.
pub fn rescaled<O: Operator>(make: &dyn Fn() -> O, input: Input<'_>, tasks: &[usize]) -> Vec<Vec<String>> {
    let turns = input.turns();
    let part = turns.len().div_ceil(tasks.len());
    let mut harnesses: Vec<Harness<O>> = (0..tasks[0]).map(|_| Harness::new(make())).collect();
    let (mut found, mut groups) = (Vec::new(), Vec::new());
    for (number, part) in turns.chunks(part).enumerate() {
        if number > 0 {
            let saved = harnesses.iter_mut().map(|harness| harness.save().unwrap()).collect::<Vec<_>>();
            for harness in &mut harnesses {
                found.extend(out(harness).0);
            }
            let now = tasks[number];
            harnesses = (0..now).map(|_| Harness::new(make())).collect();
            for (task, harness) in harnesses.iter_mut().enumerate() {
                harness.load(saved.clone(), Share { task, tasks: now }).unwrap();
            }
        }
        for Turn { rows, watermark, .. } in part {
            let all = batch(rows);
            KeyGrouper::new().key_groups(&all.columns.columns()[..1], rows.len(), &mut groups).unwrap();
            let count = harnesses.len();
            for (task, harness) in harnesses.iter_mut().enumerate() {
                let mine = groups.iter().map(|group| Some(task_of(*group, count) == task)).collect();
                harness.batch(all.filter(&mine).unwrap()).unwrap();
                harness.watermark(*watermark).unwrap();
            }
        }
    }
    let mut late = 0;
    for harness in &mut harnesses {
        harness.end().unwrap();
        found.extend(out(harness).0);
        late += harness.operator.late().map_or(0, |late| late.rows());
    }
    found.push(vec![format!("{late} late")]);
    found.sort();
    found
}

/// The rows of all turns, sorted.
pub fn sorted(all: Vec<Out>) -> Vec<Vec<String>> {
    let mut rows = all.into_iter().flat_map(|(rows, _)| rows).collect::<Vec<_>>();
    rows.sort();
    rows
}

/// What an operator has saved after half of the input.
pub fn saved<O: Operator>(make: &dyn Fn() -> O, input: Input<'_>) -> OperatorState {
    let mut harness = Harness::new(make());
    let turns = input.turns();
    for Turn { rows, watermark, .. } in &turns[..turns.len() / 2] {
        harness.batch(batch(rows)).unwrap();
        harness.watermark(*watermark).unwrap();
    }
    harness.batch(batch(turns[turns.len() / 2].rows)).unwrap();
    harness.save().unwrap()
}

/// Loads a state with each of its columns missing, and with other values; nothing may panic, and what is missing is told.
pub fn damage<O: Operator>(make: &dyn Fn() -> O, state: &OperatorState) {
    for (table, batches) in &state.tables {
        let first = batches[0].here().unwrap().unwrap();
        let width = first.num_columns();
        for column in 0..width {
            let hidden = first.schema().field(column).name() == KEY_GROUP;
            for kind in 0..3 {
                let damaged = |rows: &Chunk| other(&rows.here().unwrap().unwrap(), column, kind).into();
                let mut state = state.clone();
                state.tables.insert(table.clone(), batches.iter().map(damaged).collect());
                let loaded = Harness::new(make()).load(vec![state], Share::WHOLE);
                assert!(hidden || kind > 0 || loaded.is_err(), "{table} without column {column} of {width}");
            }
        }
    }
}

/// A batch without a column, or with other values in it.
fn other(batch: &RecordBatch, column: usize, kind: u8) -> RecordBatch {
    let mut fields = batch.schema().fields().to_vec();
    let mut columns = batch.columns().to_vec();
    let rows = batch.num_rows();
    let values: ArrayRef = match (kind, columns[column].as_any().is::<UInt64Array>()) {
        (0, _) => {
            fields.remove(column);
            columns.remove(column);
            return RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        }
        (1, true) => Arc::new(UInt64Array::from_iter_values((0..rows as u64).map(|row| row * 7 % 5))),
        (1, false) => Arc::new(Int64Array::from_iter_values(0..rows as i64)),
        _ => Arc::new(StringArray::from_iter_values((0..rows).map(|row| row.to_string()))),
    };
    fields[column] = Arc::new(Field::new(fields[column].name(), values.data_type().clone(), true));
    columns[column] = values;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}
