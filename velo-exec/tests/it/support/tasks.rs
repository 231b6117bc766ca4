//! Several tasks that share the keys of one operator, as the runtime has them behind an exchange; and others that take up what
//! these saved.

use velo_core::{Batch, Watermark};
use velo_exec::ExecError;
use velo_exec::checkpoint::state::task_of;
use velo_exec::checkpoint::{OperatorState, Share};
use velo_exec::operator::Operator;
use velo_exec::state::KeyGrouper;
use velo_exec::testing::{Harness, Random};

/// What takes the elements of two inputs.
pub trait Target {
    fn batch_at(&mut self, side: usize, batch: Batch);
    fn input_watermark(&mut self, side: usize, watermark: Watermark);
    fn watermark(&mut self, watermark: Watermark);
    fn end(&mut self);
}

impl<O: Operator> Target for Harness<O> {
    fn batch_at(&mut self, side: usize, batch: Batch) {
        Harness::batch_at(self, side, batch).unwrap();
    }
    fn input_watermark(&mut self, side: usize, watermark: Watermark) {
        Harness::input_watermark(self, side, watermark).unwrap();
    }
    fn watermark(&mut self, watermark: Watermark) {
        Harness::watermark(self, watermark).unwrap();
    }
    fn end(&mut self) {
        Harness::end(self).unwrap();
    }
}

/// The tasks of an operator.
pub struct Tasks<'a, O> {
    pub all: Vec<Harness<O>>,
    make: Box<dyn Fn() -> O + 'a>,
    /// By side the places of the columns by which rows are exchanged.
    keys: [Vec<usize>; 2],
    now: i64,
    given: Vec<Batch>,
}

impl<'a, O: Operator> Tasks<'a, O> {
    /// So many tasks.
    pub fn new(tasks: usize, keys: [&[usize]; 2], make: impl Fn() -> O + 'a) -> Self {
        let all = (0..tasks).map(|_| Harness::new(make())).collect();
        Self { all, make: Box::new(make), keys: keys.map(<[usize]>::to_vec), now: 0, given: Vec::new() }
    }

    /// What all of them save.
    pub fn save(&mut self) -> Vec<OperatorState> {
        self.all.iter_mut().map(|task| task.save().unwrap()).collect()
    }

    /// So many other tasks take up what these save.
    pub fn restart(&mut self, tasks: usize) {
        let saved = self.save();
        self.given.extend(self.all.iter_mut().flat_map(Harness::take_batches));
        self.all = (0..tasks).map(|_| Harness::new((self.make)())).collect();
        for (task, harness) in self.all.iter_mut().enumerate() {
            harness.clock(self.now).unwrap();
            harness.load(saved.clone(), Share { task, tasks }).unwrap();
        }
    }

    /// Perhaps others go on, or only save.
    pub fn perhaps(&mut self, random: &mut Random) {
        match random.below(12) {
            0 | 1 => self.restart(1 + random.below(3) as usize),
            2 => drop(self.save()),
            3 => {
                // One restart directly after the other.
                self.restart(1 + random.below(3) as usize);
                self.restart(1 + random.below(3) as usize);
            }
            _ => {}
        }
    }

    /// Makes operators of another kind from now on.
    pub fn makes(&mut self, make: impl Fn() -> O + 'a) {
        self.make = Box::new(make);
    }

    pub fn clock(&mut self, micros: i64) {
        self.now = micros;
        self.all.iter_mut().for_each(|task| task.clock(micros).unwrap());
    }

    pub fn tables_changed(&mut self) {
        self.all.iter_mut().for_each(|task| task.tables_changed().unwrap());
    }

    pub fn take_batches(&mut self) -> Vec<Batch> {
        let mut given = std::mem::take(&mut self.given);
        given.extend(self.all.iter_mut().flat_map(Harness::take_batches));
        given
    }

    /// The least watermark that one of them forwarded.
    pub fn forwarded(&self) -> Watermark {
        self.all.iter().map(Harness::forwarded).min().unwrap()
    }

    pub fn sum(&self, of: impl Fn(&O) -> u64) -> u64 {
        self.all.iter().map(|task| of(&task.operator)).sum()
    }
}

impl<O: Operator> Target for Tasks<'_, O> {
    fn batch_at(&mut self, side: usize, batch: Batch) {
        let keys = self.keys[side].iter().map(|at| batch.columns.column(*at).clone()).collect::<Vec<_>>();
        let mut groups = Vec::new();
        KeyGrouper::new().key_groups(&keys, batch.rows(), &mut groups).unwrap();
        let tasks = self.all.len();
        for (task, harness) in self.all.iter_mut().enumerate() {
            let mine = groups.iter().map(|group| task_of(*group, tasks) == task).collect::<Vec<_>>();
            let part = batch.filter(&mine.into()).unwrap();
            if !part.is_empty() {
                harness.batch_at(side, part).unwrap();
            }
        }
    }
    fn input_watermark(&mut self, side: usize, watermark: Watermark) {
        self.all.iter_mut().for_each(|task| task.input_watermark(side, watermark).unwrap());
    }
    fn watermark(&mut self, watermark: Watermark) {
        self.all.iter_mut().for_each(|task| task.watermark(watermark).unwrap());
    }
    fn end(&mut self) {
        self.all.iter_mut().for_each(|task| task.end().unwrap());
    }
}

/// No operator of the kind takes up a state of another form: `saved` without one of its columns, or with another in its place.
pub fn check_damaged<O: Operator>(saved: &[OperatorState], make: impl Fn() -> O) {
    let tables = saved.iter().flat_map(|saved| saved.tables.keys().cloned()).collect::<Vec<_>>();
    assert!(!tables.is_empty(), "nothing was saved");
    for table in &tables {
        for swapped in [false, true] {
            let mut saved = saved.to_vec();
            for chunk in saved.iter_mut().filter_map(|saved| saved.tables.get_mut(table)).flatten() {
                let batch = chunk.here().unwrap().unwrap();
                let width = batch.num_columns();
                let order = if swapped {
                    (0..width - 1).rev().chain([width - 1]).collect()
                } else {
                    (1..width).collect::<Vec<_>>()
                };
                *chunk = batch.project(&order).unwrap().into();
            }
            let error = Harness::new(make()).load(saved, Share::WHOLE);
            assert!(matches!(error, Err(ExecError::State { .. })), "{table}, swapped {swapped}: {error:?}");
        }
    }
}
