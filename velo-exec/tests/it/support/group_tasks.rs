//! The tasks of a GROUP BY, that are saved and go on as other tasks: as many as before or another number, in one step or in two.

use arrow_array::BooleanArray;
use velo_core::dead_letter::DeadLetter;
use velo_core::{Batch, Watermark};
use velo_exec::checkpoint::state::task_of;
use velo_exec::checkpoint::{OperatorState, Share};
use velo_exec::operator::{GroupFinal, GroupPartial, GroupSpec, Operator, WindowFinal, WindowPartial, aggregate};
use velo_exec::state::KeyGrouper;
use velo_exec::testing::Harness;

use super::schema;
use super::sim::Boxed;

/// How many tasks an operator runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Rows are exchanged by key.
    One(usize),
    /// A first step for each partition; its states are exchanged by key.
    Two(usize),
}

/// What all tasks of a job have saved.
#[derive(Debug, Clone)]
pub struct Saved {
    pub partials: Vec<OperatorState>,
    pub tasks: Vec<OperatorState>,
}

/// The tasks of an operator.
pub struct Tasks {
    spec: GroupSpec,
    layout: Layout,
    /// The columns of the input by which rows are exchanged.
    exchanged: Vec<usize>,
    partials: Vec<Harness<Boxed>>,
    tasks: Vec<Harness<Boxed>>,
    output: Vec<Batch>,
    letters: Vec<DeadLetter>,
}

/// The rows of a batch by the task that has their keys.
fn shared_out(batch: &Batch, columns: &[usize], tasks: usize) -> Vec<Batch> {
    if tasks == 1 {
        return vec![batch.clone()];
    }
    let keys = columns.iter().map(|at| batch.columns.column(*at).clone()).collect::<Vec<_>>();
    let mut groups = Vec::new();
    KeyGrouper::new().key_groups(&keys, batch.rows(), &mut groups).unwrap();
    let of = |task: usize| groups.iter().map(|group| Some(task_of(*group, tasks) == task)).collect::<BooleanArray>();
    (0..tasks).map(|task| batch.filter(&of(task)).unwrap()).collect()
}

fn boxed(operator: impl Operator + 'static) -> Harness<Boxed> {
    Harness::new(Boxed(Box::new(operator)))
}

impl Tasks {
    /// Tasks that have seen nothing.
    pub fn new(spec: &GroupSpec, layout: Layout, exchanged: &[usize], partitions: usize) -> Self {
        let schema = schema();
        let (mut partials, mut tasks) = (Vec::new(), Vec::new());
        match (layout, &spec.window) {
            (Layout::One(count), _) => {
                let task = || Harness::new(Boxed(aggregate(spec, &schema).unwrap()));
                tasks.extend((0..count).map(|_| task()));
            }
            (Layout::Two(count), Some(_)) => {
                partials.extend((0..partitions).map(|_| boxed(WindowPartial::new(spec, &schema).unwrap())));
                tasks.extend((0..count).map(|_| boxed(WindowFinal::new(spec, &schema).unwrap())));
            }
            (Layout::Two(count), None) => {
                let partial = || boxed(GroupPartial::new(spec, &schema).unwrap().with_limit(4));
                partials.extend((0..partitions).map(|_| partial()));
                tasks.extend((0..count).map(|_| boxed(GroupFinal::new(spec, &schema).unwrap())));
            }
        }
        let (spec, exchanged) = (spec.clone(), exchanged.to_vec());
        Self { spec, layout, exchanged, partials, tasks, output: Vec::new(), letters: Vec::new() }
    }

    /// Rows of a partition.
    pub fn batch(&mut self, partition: usize, batch: &Batch) {
        match self.layout {
            Layout::One(count) => {
                for (task, part) in self.tasks.iter_mut().zip(shared_out(batch, &self.exchanged, count)) {
                    task.batch(part).unwrap();
                }
            }
            Layout::Two(_) => {
                self.partials[partition].batch(batch.clone()).unwrap();
                self.hand_on();
            }
        }
        self.collect();
    }

    /// The watermark of a partition, and that of all.
    pub fn watermark(&mut self, partition: usize, own: Watermark, all: Watermark) {
        if let Some(partial) = self.partials.get_mut(partition) {
            partial.watermark(own).unwrap();
            self.hand_on();
        }
        self.tasks.iter_mut().for_each(|task| task.watermark(all).unwrap());
        self.collect();
    }

    /// The clock of all tasks.
    pub fn clock(&mut self, micros: i64) {
        self.tasks.iter_mut().for_each(|task| task.clock(micros).unwrap());
        self.collect();
    }

    pub fn end(&mut self) {
        self.partials.iter_mut().for_each(|partial| partial.end().unwrap());
        self.hand_on();
        self.tasks.iter_mut().for_each(|task| task.end().unwrap());
        self.collect();
    }

    /// States of the first step to the second.
    fn hand_on(&mut self) {
        let (keys, count) = ((0..self.spec.keys.len()).collect::<Vec<_>>(), self.tasks.len());
        for partial in &mut self.partials {
            for states in partial.take_batches() {
                for (task, part) in self.tasks.iter_mut().zip(shared_out(&states, &keys, count)) {
                    task.batch(part).unwrap();
                }
            }
        }
    }

    fn collect(&mut self) {
        for harness in self.partials.iter_mut().chain(&mut self.tasks) {
            self.letters.extend(harness.take_dead_letters());
        }
        for task in &mut self.tasks {
            self.output.extend(task.take_batches());
        }
    }

    /// A barrier goes through.
    pub fn save(&mut self) -> Saved {
        let partials = self.partials.iter_mut().map(|partial| partial.save().unwrap()).collect();
        self.hand_on();
        let tasks = self.tasks.iter_mut().map(|task| task.save().unwrap()).collect();
        self.collect();
        Saved { partials, tasks }
    }

    /// Other tasks in their place, which go on with what these save.
    pub fn restart(&mut self, layout: Layout, now: i64) -> Saved {
        let saved = self.save();
        let partitions = self.partials.len().max(8);
        let mut other = Self::new(&self.spec, layout, &self.exchanged, partitions);
        other.output = std::mem::take(&mut self.output);
        other.letters = std::mem::take(&mut self.letters);
        other.tasks.iter_mut().for_each(|task| task.clock(now).unwrap());
        let mut of_tasks = saved.tasks.clone();
        match layout {
            // What was two steps is one: it also goes on with what the first had counted.
            // A partition without rows has told its first step nothing.
            Layout::One(_) => {
                let reached = of_tasks[0].reached;
                of_tasks.extend(saved.partials.iter().map(|partial| OperatorState { reached, ..partial.clone() }));
            }
            Layout::Two(_) => {
                for (partial, saved) in other.partials.iter_mut().zip(&saved.partials) {
                    partial.load(vec![saved.clone()], Share::WHOLE).unwrap();
                }
            }
        }
        let tasks = other.tasks.len();
        for (task, harness) in other.tasks.iter_mut().enumerate() {
            harness.load(of_tasks.clone(), Share { task, tasks }).unwrap();
        }
        *self = other;
        saved
    }

    /// Rows that were late for all their windows, and windows that rows were late for.
    pub fn late(&self) -> (u64, u64) {
        let all = self.partials.iter().chain(&self.tasks).filter_map(|harness| harness.operator.late());
        all.fold((0, 0), |(rows, windows), late| (rows + late.rows(), windows + late.windows()))
    }

    /// Rows that are held.
    pub fn held(&self) -> u64 {
        self.partials.iter().chain(&self.tasks).map(|harness| harness.operator.held()).sum()
    }

    pub fn take(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.output)
    }

    pub fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.letters)
    }
}
