//! Partitions with watermarks around an operator, as the runtime has them, in one thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use velo_core::{Batch, Watermark};
use velo_exec::Result;
use velo_exec::checkpoint::{StateReader, StateWriter};
use velo_exec::operator::{Flow, GroupSpec, InputId, Operator, Outbox, WindowFinal, WindowPartial, aggregate};
use velo_exec::testing::{Harness, Random};
use velo_exec::window::LateCounters;

use super::{Row, batch, schema};

/// How a query is run.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    pub batch: usize,
    pub two_steps: bool,
    /// Decides which partition comes next.
    pub seed: u64,
}

/// Stamps the rows of each partition with their lateness against its watermark.
pub fn stamp(partitions: &mut [Vec<Row>], bound: i64) {
    for (number, rows) in partitions.iter_mut().enumerate() {
        let mut highest = i64::MIN;
        for (position, row) in rows.iter_mut().enumerate() {
            highest = highest.max(row.time);
            row.partition = number as u32;
            row.position = position as u64;
            row.late_by = highest - bound - row.time;
        }
    }
}

/// One turn of a partition: its next rows, and the watermarks behind them.
pub struct Turn<'a> {
    pub partition: usize,
    pub rows: &'a [Row],
    /// The partition's own, and that of all.
    pub own: Watermark,
    pub watermark: Watermark,
}

/// The rows of partitions in any turn, `size` at a time.
pub fn turns(partitions: &[Vec<Row>], bound: i64, size: usize, seed: u64) -> Vec<Turn<'_>> {
    let mut random = Random::new(seed);
    let (mut next, mut highest) = (vec![0; partitions.len()], vec![i64::MIN; partitions.len()]);
    let mut watermarks = vec![Watermark::NONE; partitions.len()];
    let mut turns = Vec::new();
    loop {
        let waiting = (0..partitions.len()).filter(|at| next[*at] < partitions[*at].len()).collect::<Vec<_>>();
        if waiting.is_empty() {
            return turns;
        }
        let partition = waiting[random.below(waiting.len() as u64) as usize];
        let to = partitions[partition].len().min(next[partition] + size);
        let rows = &partitions[partition][next[partition]..to];
        next[partition] = to;
        highest[partition] = rows.iter().map(|row| row.time).max().unwrap().max(highest[partition]);
        let ended = to == partitions[partition].len();
        watermarks[partition] = if ended { Watermark::END } else { Watermark(highest[partition] - bound) };
        turns.push(Turn { partition, rows, own: watermarks[partition], watermark: *watermarks.iter().min().unwrap() });
    }
}

/// The results of a query over stamped partitions: cells by row, sorted.
pub fn run(spec: &GroupSpec, partitions: &[Vec<Row>], bound: i64, mode: Mode) -> Vec<Vec<String>> {
    let mut steps: Steps = if mode.two_steps {
        let partial = || Harness::new(WindowPartial::new(spec, &schema()).unwrap());
        Steps::Two(
            partitions.iter().map(|_| partial()).collect(),
            Box::new(Harness::new(WindowFinal::new(spec, &schema()).unwrap())),
        )
    } else {
        Steps::One(Box::new(Harness::new(Boxed(aggregate(spec, &schema()).unwrap()))))
    };
    for Turn { partition, rows, own, watermark } in turns(partitions, bound, mode.batch, mode.seed) {
        steps.batch(partition, rows);
        steps.watermark(partition, own, watermark);
    }
    steps.end()
}

/// An operator that was made by the factory.
pub struct Boxed(pub Box<dyn velo_exec::operator::Operator>);

impl Operator for Boxed {
    fn on_batch(&mut self, input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        self.0.on_batch(input, batch, out)
    }
    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.0.on_watermark(watermark, out)
    }
    fn on_timer(&mut self, now: i64, out: &mut Outbox) -> Result<Flow> {
        self.0.on_timer(now, out)
    }
    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.0.on_end(out)
    }
    fn late(&self) -> Option<Arc<LateCounters>> {
        self.0.late()
    }
    fn held(&self) -> u64 {
        self.0.held()
    }
    fn on_barrier(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.0.on_barrier(out)
    }
    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.0.save(state)
    }
    fn load(&mut self, state: &mut StateReader, out: &mut Outbox) -> Result<()> {
        self.0.load(state, out)
    }
    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.0.resume(out)
    }
}

enum Steps {
    One(Box<Harness<Boxed>>),
    Two(Vec<Harness<WindowPartial>>, Box<Harness<WindowFinal>>),
}

impl Steps {
    fn batch(&mut self, at: usize, rows: &[Row]) {
        match self {
            Self::One(operator) => operator.batch(batch(rows)).unwrap(),
            Self::Two(partials, _) => partials[at].batch(batch(rows)).unwrap(),
        }
    }

    fn watermark(&mut self, at: usize, own: Watermark, all: Watermark) {
        match self {
            Self::One(operator) => operator.watermark(all).unwrap(),
            Self::Two(partials, last) => {
                partials[at].watermark(own).unwrap();
                for states in partials[at].take_batches() {
                    last.batch(states).unwrap();
                }
                last.watermark(all).unwrap();
            }
        }
    }

    fn end(self) -> Vec<Vec<String>> {
        let batches = match self {
            Self::One(mut operator) => {
                operator.end().unwrap();
                operator.take_batches()
            }
            Self::Two(mut partials, mut last) => {
                for partial in &mut partials {
                    partial.end().unwrap();
                    for states in partial.take_batches() {
                        last.batch(states).unwrap();
                    }
                }
                last.end().unwrap();
                last.take_batches()
            }
        };
        let mut rows = batches.iter().flat_map(|batch| super::cells(&batch.columns)).collect::<Vec<_>>();
        rows.sort();
        rows
    }
}

/// Rows of random keys, with disorder up to `disorder` and sometimes far beyond.
pub fn random_partitions(
    random: &mut Random,
    partitions: usize,
    rows: usize,
    disorder: i64,
    far: bool,
) -> Vec<Vec<Row>> {
    let keys = 1 + random.below(5);
    (0..partitions)
        .map(|_| {
            let mut now = random.between(-40, 10);
            (0..rows)
                .map(|_| {
                    now += random.between(0, 4);
                    let mut back = random.between(0, disorder + 1);
                    if far && random.below(8) == 0 {
                        back += random.between(0, 60);
                    }
                    let some = |random: &mut Random| random.below(6) != 0;
                    let price = some(random).then(|| i128::from(random.between(-30_000, 30_000)));
                    Row {
                        key: some(random).then(|| format!("key {}", random.below(keys))),
                        time: (now - back) * 1_000_000,
                        price,
                        quantity: some(random).then(|| random.between(-3, 5)),
                        note: some(random)
                            .then(|| format!("{:x}", random.below(40)).repeat(1 + random.below(9) as usize)),
                        flag: some(random).then(|| random.below(3) != 0),
                        partition: 0,
                        position: 0,
                        late_by: 0,
                    }
                })
                .collect()
        })
        .collect()
}

/// Rows by something.
pub type ByKey<K> = BTreeMap<K, Vec<Row>>;
