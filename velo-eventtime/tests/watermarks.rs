//! Watermarks: the cases from bug reports, and equality with a model that goes row by row.

use arrow_array::{Array, Int64Array, TimestampMicrosecondArray};
use velo_core::Watermark;
use velo_core::duration::Span;
use velo_eventtime::fuzz::Random;
use velo_eventtime::late::{Windows, for_window, measured_against};
use velo_eventtime::{
    Extractor, Format, IdleTimer, Merge, Now, PartitionWatermark, WatermarkProperties, WatermarkStrategy, Zone,
};

const SECOND: i64 = 1_000_000;
/// 2024-01-01T00:00:00Z.
const START: i64 = 1_704_067_200 * SECOND;

fn properties(strategy: WatermarkStrategy, bound: i64, skew: i64) -> WatermarkProperties {
    WatermarkProperties {
        strategy,
        max_out_of_orderness: Span(bound),
        max_future_skew: Span(skew),
        ..WatermarkProperties::default()
    }
}

fn bounded(bound: i64) -> PartitionWatermark {
    PartitionWatermark::new(&properties(WatermarkStrategy::BoundedOutOfOrderness, bound, 86_400 * SECOND))
}

fn times(values: &[i64]) -> TimestampMicrosecondArray {
    TimestampMicrosecondArray::from(values.to_vec())
}

#[test]
fn bc_01_a_far_future_record_does_not_move_the_watermark() {
    let extractor = Extractor::new("devices", "ts", Format::Auto, Zone::UTC);
    let place = |row: usize| velo_core::Place::Row { source: "devices".to_owned(), row: row as u64 + 1 };
    for bad in [Some("2099-01-01T00:00:00Z"), None, Some("not-a-date")] {
        let column = arrow_array::StringArray::from(vec![
            Some("2024-01-01T00:00:10Z"),
            Some("2024-01-01T00:00:20Z"),
            bad,
            Some("2024-01-01T00:00:30Z"),
            Some("2024-01-01T00:01:40Z"),
        ]);
        let extracted = extractor.extract(&column, &place, None);
        // All at once, and each row its own batch.
        for size in [5, 1] {
            let mut partition = bounded(5 * SECOND);
            let (mut future, mut late) = (Vec::new(), 0);
            for from in (0..5).step_by(size) {
                let observed = partition.observe(&extracted.times.slice(from, size), START + 120 * SECOND, None);
                future.extend(observed.future.iter().map(|row| from as u32 + row));
                late += observed.late_by.map_or(0, |late| late.values().iter().filter(|late| **late > 0).count());
            }
            let found = future.len() + extracted.errors.len();
            assert_eq!((found, late), (1, 0), "{bad:?}");
            assert_eq!(partition.current(), Watermark(START + 95 * SECOND));
        }
    }
    // Turned off, it moves the watermark.
    let mut partition = PartitionWatermark::new(&properties(WatermarkStrategy::BoundedOutOfOrderness, 0, 0));
    assert_eq!(partition.observe(&times(&[i64::MAX / 4]), 0, None).future, Vec::<u32>::new());
    assert_eq!(partition.current(), Watermark(i64::MAX / 4));
}

#[test]
fn bc_02_a_blocked_partition_is_never_idle() {
    // P0 and P1 have 1 … 60; P1's reader is blocked for 3 s five times while P0 goes on.
    let (mut merge, mut timer) = (Merge::new(2), IdleTimer::new(Span(SECOND)));
    let (mut p0, mut p1) = (bounded(0), bounded(0));
    let mut now = 0;
    let mut late = 0;
    for batch in 0..6 {
        let rows: Vec<i64> = (1..=10).map(|second| (batch * 10 + second) * SECOND).collect();
        p0.observe(&times(&rows), now, None);
        let _ = merge.update(0, p0.current());
        timer.blocked(now);
        now += 3 * SECOND;
        assert!(!timer.is_idle(now));
        assert!(merge.current() <= p1.current(), "P0 does not push the watermark past P1");
        let observed = p1.observe(&times(&rows), now, None);
        late += observed.late_by.map_or(0, |late| late.len());
        timer.active();
        let _ = merge.update(1, p1.current());
    }
    assert_eq!(late, 0);
    assert_eq!(merge.current(), Watermark(60 * SECOND));
    // P1 really is silent for a second of unblocked time: windows close on P0 alone.
    p0.observe(&times(&[100 * SECOND]), now, None);
    assert_eq!(merge.update(0, p0.current()).watermark, None);
    assert!(!timer.nothing(now));
    assert!(timer.nothing(now + SECOND));
    assert_eq!(merge.set_idle(1, true).watermark, Some(Watermark(100 * SECOND)));
    // It comes back; the watermark does not go back.
    p1.observe(&times(&[70 * SECOND]), now, None);
    timer.active();
    assert_eq!(merge.update(1, p1.current()).watermark, None);
    assert_eq!(merge.current(), Watermark(100 * SECOND));
}

#[test]
fn bc_11_equal_times_are_not_late_and_the_bound_counts_once() {
    // (i) bound 0, 10 s windows, each row its own batch.
    let windows = Windows::tumbling(Span(10 * SECOND), Span(0)).unwrap();
    for strategy in [WatermarkStrategy::BoundedOutOfOrderness, WatermarkStrategy::Ascending] {
        let mut partition = PartitionWatermark::new(&properties(strategy, 0, 0));
        let dropped: Vec<bool> = [10_000_000, 10_000_000, 9_999_500]
            .map(|time| {
                let observed = partition.observe(&times(&[time]), 0, None);
                let late_by = observed.late_by.map_or(0, |late| late.value(0));
                let wp = measured_against(time, late_by, Watermark::NONE);
                for_window(windows.last(time).unwrap().end, wp).is_late()
            })
            .to_vec();
        assert_eq!(dropped, [false, false, true]);
    }
    // (ii) bound 5 s.
    let mut partition = bounded(5 * SECOND);
    let ends = [0, 14_999_000, 15_000_000].map(|time| {
        partition.observe(&times(&[time]), 0, None);
        partition.current().0 >= 10 * SECOND
    });
    assert_eq!(ends, [false, false, true]);
}

#[test]
fn late_by_gives_the_watermark_at_the_rows_place() {
    let mut partition = bounded(2);
    let observed = partition.observe(&times(&[10, 9, 8, 7, 20, 18, 17, 20]), 0, None);
    assert_eq!(observed.late_by.unwrap().values().to_vec(), [0, 0, 0, 1, 0, 0, 1, 0]);
    assert_eq!(partition.highest(), Some(20));
    // A time far below does not overflow.
    let observed = partition.observe(&times(&[-(1 << 62)]), 0, None);
    assert_eq!(observed.late_by.unwrap().value(0), 18 + (1 << 62));
}

#[test]
fn nothing_seen_and_restored() {
    let mut partition = bounded(5);
    assert_eq!((partition.current(), partition.highest()), (Watermark::NONE, None));
    assert_eq!(partition.observe(&TimestampMicrosecondArray::new_null(3), 0, None), Default::default());
    assert_eq!(partition.highest(), None);
    partition.restore(100);
    assert_eq!((partition.current(), partition.highest()), (Watermark(95), Some(100)));
    partition.restore(50);
    assert_eq!(partition.highest(), Some(100));
    assert_eq!(partition.observe(&times(&[94]), 0, None).late_by.unwrap().value(0), 1);
}

#[test]
fn punctuation_counts_after_its_own_row() {
    let mut partition = PartitionWatermark::new(&properties(WatermarkStrategy::Punctuated, 0, 100));
    let said = Int64Array::from(vec![None, Some(10), None, Some(8), Some(10_000), None]);
    let observed = partition.observe(&times(&[1_000, 5, 9, 12, 13, 10]), 1_000, Some(&said));
    assert_eq!(observed.late_by.unwrap().values().to_vec(), [0, 0, 1, 0, 0, 0]);
    assert_eq!(observed.future, [4], "a punctuation far ahead does not count either");
    assert_eq!((partition.current(), partition.highest()), (Watermark(10), Some(10)));
}

/// One row after the other, as the specification says it.
struct Model {
    strategy: WatermarkStrategy,
    bound: i64,
    skew: i64,
    highest: Option<i64>,
}

impl Model {
    fn watermark(&self) -> i64 {
        let bound = if self.strategy == WatermarkStrategy::BoundedOutOfOrderness { self.bound } else { 0 };
        self.highest.map_or(i64::MIN, |highest| highest - bound)
    }

    /// How late the row is, and whether it is too far ahead.
    fn row(&mut self, time: Option<i64>, now: i64, said: Option<i64>) -> (i64, bool) {
        let Some(time) = time else { return (0, false) };
        let punctuated = self.strategy == WatermarkStrategy::Punctuated;
        let ahead = |time: i64| self.skew > 0 && time > now + self.skew;
        if ahead(time) || (punctuated && said.is_some_and(ahead)) {
            return (0, true);
        }
        let late = if time < self.watermark() { self.watermark() - time } else { 0 };
        let shown = if punctuated { said } else { Some(time) };
        self.highest = self.highest.max(shown);
        (late, false)
    }
}

#[test]
fn a_partition_equals_the_model_however_batches_are_cut() {
    let mut random = Random::new(5);
    let strategies =
        [WatermarkStrategy::BoundedOutOfOrderness, WatermarkStrategy::Ascending, WatermarkStrategy::Punctuated];
    for round in 0..600 {
        let strategy = strategies[round % 3];
        let bound = random.below(60) as i64;
        let skew = [0, 50, 500][random.below(3) as usize];
        let disorder = 1 + random.below(100);
        let rows = 1 + random.below(1_500) as usize;
        let nulls = random.below(2) == 0;
        let mut data = Vec::new();
        for row in 0..rows as i64 {
            let mut time = row - 300 - random.below(disorder) as i64;
            if random.below(200) == 0 {
                time += 2_000;
            }
            let said = (random.below(5) == 0).then(|| time - random.below(40) as i64);
            data.push(((!nulls || random.below(20) > 0).then_some(time), row, said));
        }
        let mut model = Model { strategy, bound, skew, highest: None };
        let mut partition = PartitionWatermark::new(&properties(strategy, bound, skew));
        let mut from = 0;
        while from < rows {
            let size = (1 + random.below([1, 8, 700][round / 3 % 3]) as usize).min(rows - from);
            let batch = &data[from..from + size];
            // Rows are measured by the clock when they were read, or each by when it was taken in.
            let each: Option<Vec<i64>> = (random.below(2) == 0).then(|| batch.iter().map(|(_, now, _)| *now).collect());
            let now = |row: usize| each.as_ref().map_or(batch[0].1, |each| each[row]);
            let expected: Vec<(i64, bool)> =
                batch.iter().enumerate().map(|(row, (time, _, said))| model.row(*time, now(row), *said)).collect();
            let column: TimestampMicrosecondArray = batch.iter().map(|(time, _, _)| *time).collect();
            let said: Int64Array = batch.iter().map(|(_, _, said)| *said).collect();
            let observed =
                partition.observe(&column, each.as_deref().map_or(Now::Clock(batch[0].1), Now::Each), Some(&said));
            let late: Vec<i64> = expected.iter().map(|(late, _)| *late).collect();
            match &observed.late_by {
                Some(found) => assert_eq!((found.values().to_vec(), found.null_count()), (late, 0)),
                None => assert!(late.iter().all(|late| *late == 0)),
            }
            let future: Vec<u32> = (0..size as u32).filter(|row| expected[*row as usize].1).collect();
            assert_eq!(observed.future, future);
            assert_eq!(partition.current().0, model.watermark());
            assert_eq!(partition.highest(), model.highest);
            // A restart changes nothing.
            if random.below(4) == 0 {
                partition = PartitionWatermark::new(&properties(strategy, bound, skew));
                if let Some(highest) = model.highest {
                    partition.restore(highest);
                }
            }
            from += size;
        }
    }
}

#[test]
fn a_merge_equals_the_model() {
    #[derive(Clone, Copy)]
    struct Input {
        watermark: i64,
        idle: bool,
        ended: bool,
    }
    let fresh = Input { watermark: i64::MIN, idle: false, ended: false };
    let mut random = Random::new(9);
    for _ in 0..400 {
        let mut inputs = vec![fresh; random.below(5) as usize];
        let mut merge = Merge::new(inputs.len());
        let (mut current, mut idle) = (i64::MIN, inputs.is_empty());
        for _ in 0..200 {
            let input = random.below(inputs.len() as u64 + 1) as usize;
            let change = if input == inputs.len() {
                if inputs.len() >= 6 {
                    continue;
                }
                inputs.push(fresh);
                merge.add_input().1
            } else {
                match random.below(20) {
                    0 => {
                        inputs[input] = Input { watermark: i64::MAX, idle: false, ended: true };
                        merge.end(input)
                    }
                    1..=5 => {
                        let idle = random.below(2) == 0;
                        if !inputs[input].ended {
                            inputs[input].idle = idle;
                        }
                        merge.set_idle(input, idle)
                    }
                    _ => {
                        let watermark = current.max(-100) + random.below(20) as i64 - 5;
                        if !inputs[input].ended {
                            let before = inputs[input].watermark;
                            inputs[input] = Input { watermark: before.max(watermark), idle: false, ended: false };
                        }
                        merge.update(input, Watermark(watermark))
                    }
                }
            };
            let active = inputs.iter().filter(|input| !input.idle && !input.ended).map(|input| input.watermark).min();
            let all_ended = !inputs.is_empty() && inputs.iter().all(|input| input.ended);
            let least = if all_ended { Some(i64::MAX) } else { active };
            let (before, was_idle) = (current, idle);
            current = current.max(least.unwrap_or(i64::MIN));
            idle = least.is_none();
            assert_eq!(merge.current(), Watermark(current));
            assert_eq!(merge.is_idle(), idle);
            assert_eq!(change.watermark, (current > before).then_some(Watermark(current)));
            assert_eq!(change.idle, (idle != was_idle).then_some(idle));
            assert_eq!(merge.has_ended(), all_ended);
            if all_ended {
                break;
            }
        }
    }
}
