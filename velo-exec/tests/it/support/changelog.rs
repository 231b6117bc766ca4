//! Random changelogs, and what a changelog folds to.

use std::collections::BTreeMap;

use velo_core::duration::Span;
use velo_core::{Batch, RowKind, RowKinds};
use velo_exec::operator::{GroupSpec, aggregate};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::Emission;

use super::sim::{Boxed, Turn, random_partitions, turns};
use super::{Row, SECOND, batch, cells, schema};

/// The rows that are there after all changes, as text.
#[derive(Debug, Clone, Default)]
pub struct Folded(BTreeMap<Vec<String>, i64>);

impl Folded {
    /// Takes what came out; rows have their key in the first `keys` columns.
    pub fn add(&mut self, batches: &[Batch], keys: usize, context: &str) {
        for batch in batches {
            let rows = cells(&batch.columns);
            let kinds = batch.kinds.as_ref().map(RowKinds::as_slice);
            for (at, row) in rows.iter().enumerate() {
                let kind = kinds.map_or(RowKind::Insert, |kinds| kinds[at]);
                if kind == RowKind::UpdateBefore {
                    let next = (kinds.unwrap().get(at + 1), rows.get(at + 1).map(|row| &row[..keys]));
                    assert_eq!(next, (Some(&RowKind::UpdateAfter), Some(&row[..keys])), "{context}");
                    assert_ne!(*row, rows[at + 1], "an update that changes nothing: {context}");
                }
                let count = self.0.entry(row.clone()).or_insert(0);
                *count += if kind.retracts() { -1 } else { 1 };
                assert!(*count >= 0, "{} {row:?} was not there: {context}", kind.symbol());
            }
        }
    }

    /// The rows that are left.
    pub fn rows(self) -> Vec<Vec<String>> {
        self.0.into_iter().flat_map(|(row, count)| std::iter::repeat_n(row, count as usize)).collect()
    }
}

/// An operator of a GROUP BY.
pub fn harness(spec: &GroupSpec) -> Harness<Boxed> {
    Harness::new(Boxed(aggregate(spec, &schema()).unwrap()))
}

/// Runs a windowed query over partitions, in batches, and folds what comes out.
pub fn fold(
    spec: &GroupSpec,
    partitions: &[Vec<Row>],
    bound: i64,
    size: usize,
    seed: u64,
    context: &str,
) -> Vec<Vec<String>> {
    let (mut harness, mut folded) = (harness(spec), Folded::default());
    for Turn { rows, watermark, .. } in turns(partitions, bound, size, seed) {
        harness.batch(batch(rows)).unwrap();
        harness.watermark(watermark).unwrap();
        folded.add(&harness.take_batches(), 1, context);
    }
    harness.end().unwrap();
    folded.add(&harness.take_batches(), 1, context);
    folded.rows()
}

/// When results come; `corrected` in seconds.
pub fn emission(early: bool, per_record: bool, corrected: Option<i64>) -> Emission {
    Emission { early, per_record, corrected: corrected.map(|seconds| Span(seconds * SECOND)), ..Emission::default() }
}

/// A changelog over rows, and the rows that are left.
pub fn changelog(random: &mut Random, changes: usize) -> (Vec<(RowKind, Row)>, Vec<Row>) {
    let mut fresh = random_partitions(random, 1, changes * 2, 0, false).remove(0).into_iter().enumerate();
    // Times tell rows apart, so that the order of equal ones is no question.
    let mut row = || fresh.next().map(|(at, row)| Row { time: row.time + at as i64, ..row }).unwrap();
    let (mut log, mut live): (Vec<(RowKind, Row)>, Vec<Row>) = (Vec::new(), Vec::new());
    while log.len() < changes {
        let at = random.below(live.len().max(1) as u64) as usize;
        match random.below(5) {
            3 if !live.is_empty() => log.push((RowKind::Delete, live.swap_remove(at))),
            4 if !live.is_empty() => {
                let after = Row { key: live[at].key.clone(), ..row() };
                log.push((RowKind::UpdateBefore, std::mem::replace(&mut live[at], after.clone())));
                log.push((RowKind::UpdateAfter, after));
            }
            _ => {
                live.push(row());
                log.push((RowKind::Insert, live.last().unwrap().clone()));
            }
        }
    }
    // At times nothing is left of a key.
    if random.below(2) == 0 {
        let gone = live.first().and_then(|row| row.key.clone());
        live.retain(|row| {
            let stays = row.key != gone;
            if !stays {
                log.push((RowKind::Delete, row.clone()));
            }
            stays
        });
    }
    (log, live)
}

/// A part of a changelog as a batch.
pub fn changes(log: &[(RowKind, Row)]) -> Batch {
    let rows = log.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>();
    let kinds = RowKinds::new(log.iter().map(|(kind, _)| *kind).collect());
    // As a batch would be cut: halves of an update that do not stay together are none.
    let kinds = kinds.slice(0, rows.len());
    Batch { kinds: Some(kinds), origin: None, ..batch(&rows) }
}

/// A changelog of one partition in which rows that came not long ago go, or change in place or in time; stamped with its lateness.
pub fn late_changelog(
    random: &mut Random,
    count: usize,
    disorder: i64,
    changing: bool,
    unique: bool,
) -> Vec<(RowKind, Row)> {
    let mut fresh = random_partitions(random, 1, count * 2, disorder, true).remove(0).into_iter().enumerate();
    let mut row = || {
        let (at, row) = fresh.next().unwrap();
        // Times tell rows apart, so that the order of equal ones is no question.
        Row { time: row.time + if unique { at as i64 } else { 0 }, ..row }
    };
    let (mut log, mut live): (Vec<(RowKind, Row)>, Vec<Row>) = (Vec::new(), Vec::new());
    while log.len() < count {
        let recent = live.len().saturating_sub(1 + random.below(8) as usize);
        match random.below(8) {
            5 if changing && !live.is_empty() => log.push((RowKind::Delete, live.remove(recent))),
            kind @ (6 | 7) if changing && !live.is_empty() => {
                let before = live[recent].clone();
                let after = Row { key: before.key.clone(), ..row() };
                let after = if kind == 6 { Row { time: before.time, ..after } } else { after };
                live[recent] = after.clone();
                log.extend([(RowKind::UpdateBefore, before), (RowKind::UpdateAfter, after)]);
            }
            _ => {
                live.push(row());
                log.push((RowKind::Insert, live.last().unwrap().clone()));
            }
        }
    }
    let mut highest = i64::MIN;
    for (at, (_, row)) in log.iter_mut().enumerate() {
        highest = highest.max(row.time);
        row.position = at as u64;
        row.late_by = highest - disorder * SECOND - row.time;
    }
    log
}
