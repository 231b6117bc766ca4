//! Joins with a table equal the same joins row by row, each batch with the version that stood when it came.

use std::collections::BTreeMap;

use velo_core::lookup::IndexId;
use velo_core::{Batch, RowKind, Watermark};
use velo_exec::operator::{LookupJoin, Operator};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::JoinKind::{Anti, Inner, Left, Semi, Single};
use velo_plan::plan::MissingStrategy::{EmitWithNulls, FailFast, SkipRecord, UseDefaults};
use velo_plan::plan::{JoinKind, MissingStrategy};

use crate::support::changelog::{Folded, changelog, changes};
use crate::support::joins::{condition, texts};
use crate::support::lookups::{KEY, Lookup, QUANTITY, Store, mark, random_row, random_rows, unique};
use crate::support::{Row, SECOND, batch};

const SIZES: [usize; 3] = [1, 2, 8_192];

fn at(key: &str, second: i64, note: &str) -> Row {
    Row { note: Some(note.to_owned()), ..Row::at(key, second * SECOND, "1") }
}

/// What comes of these rows, sorted, in batches of this size; and how many were left out and filled up.
fn run(lookup: &Lookup, store: &Store, rows: &[Row], size: usize) -> Option<(Vec<Vec<String>>, [u64; 2])> {
    let mut harness = lookup.harness(store);
    for rows in rows.chunks(size) {
        harness.batch(batch(rows)).ok()?;
        harness.watermark(Watermark(rows.last()?.time)).ok()?;
    }
    harness.end().ok()?;
    assert_eq!((harness.operator.held(), harness.forwarded()), (0, Watermark::END));
    let mut found = texts(&harness.take_batches());
    found.sort();
    Some((found, counted(&harness)))
}

fn counted(harness: &Harness<LookupJoin>) -> [u64; 2] {
    let missing = harness.operator.missing().unwrap();
    assert_eq!(missing.waiting(), 0);
    [missing.skipped(), missing.filled()]
}

fn check(lookup: &Lookup, store: &Store, left: &[Row], table: &[Row], context: &str) {
    let lacking = left.iter().filter(|row| lookup.lacks(row, table)).count() as u64;
    let missing = lookup.plan.missing.as_ref().map(|missing| missing.strategy);
    let counts = match missing {
        Some(SkipRecord) => [lacking, 0],
        Some(_) => [0, lacking],
        None => [0, 0],
    };
    let expected = lookup.naive_of(left, table).map(|rows| (rows, counts));
    for size in SIZES {
        let found = run(lookup, store, left, size);
        assert_eq!(found, expected, "{:?}, {missing:?}, size {size}, {context}", lookup.plan.kind);
    }
}

fn kinds() -> [JoinKind; 6] {
    [Inner, Left, Semi, Anti, mark(false), Single]
}

#[test]
fn equal_the_same_join_row_by_row() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let (count, lefts) = (random.below(30) as usize, random.below(60) as usize);
        let rows = random_rows(&mut random, count);
        let left = random_rows(&mut random, lefts);
        for keyed in [true, false] {
            let table = if keyed { unique(&rows) } else { rows.clone() };
            let mut store = Store::by_key(keyed);
            store.insert(&table);
            for with_condition in [false, true] {
                let context = format!("keyed {keyed}, condition {with_condition}, seed {seed}");
                let of = |kind| Lookup::new(kind).with_condition(with_condition.then(condition));
                for kind in kinds() {
                    check(&of(kind.clone()), &store, &left, &table, &context);
                    check(&of(kind).crossed(), &store, &left, &table, &format!("crossed, {context}"));
                }
                for strategy in [SkipRecord, EmitWithNulls, UseDefaults] {
                    check(&of(Inner).missing(strategy), &store, &left, &table, &context);
                    check(&of(Left).missing(strategy), &store, &left, &table, &context);
                }
            }
        }
    }
}

/// The truth of IN where a value is NULL on one of the sides, or the table is empty.
#[test]
fn memberships_are_of_three_values() {
    let mut seen = BTreeMap::new();
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let rows = random.below(6) as usize;
        let table = random_rows(&mut random, rows);
        let left = random_rows(&mut random, 40);
        for others in [false, true] {
            let indexes: &[&[usize]] = if others { &[&[KEY, QUANTITY], &[QUANTITY]] } else { &[&[KEY]] };
            let mut store = Store::new(&[], indexes, false);
            store.insert(&table);
            for with_condition in [false, true] {
                let mut lookup = Lookup::new(mark(true)).with_condition(with_condition.then(condition));
                lookup.member = Some(KEY);
                if others {
                    lookup.plan.keys.push(datafusion_expr::col("quantity"));
                    lookup.plan.others = Some(IndexId(1));
                }
                check(&lookup, &store, &left, &table, &format!("others {others}, {with_condition}, seed {seed}"));
                for row in lookup.naive_of(&left, &table).unwrap() {
                    *seen.entry((others, with_condition, row[row.len() - 2].clone())).or_insert(0) += 1;
                }
            }
        }
    }
    assert_eq!(seen.len(), 12, "{seen:?}");
}

/// A batch has far more pairs than go through at once: they come in pieces, and all of them.
#[test]
fn many_pairs_of_few_rows() {
    let mut store = Store::by_key(false);
    let rows: Vec<Row> = (0..70_000).map(|n| at(if n < 66_000 { "hot" } else { "cool" }, n, "")).collect();
    store.insert(&rows);
    let left: Vec<Row> = ["hot", "cool", "none", "hot", "cool", "cool", "hot"].map(|key| at(key, 1, "")).to_vec();
    for (lookup, pairs) in [
        (Lookup::new(Inner), 3 * 66_000 + 3 * 4_000),
        (Lookup::new(Left), 3 * 66_000 + 3 * 4_000 + 1),
        (Lookup::new(Left).retracts(), 3 * 66_000 + 3 * 4_000 + 1),
        (Lookup::new(Inner).crossed(), 7 * 70_000),
        (Lookup::new(Semi).crossed(), 7),
        (Lookup::new(mark(false)).crossed(), 7),
        (Lookup::new(Semi), 6),
    ] {
        let mut harness = lookup.harness(&store);
        harness.batch(batch(&left)).unwrap();
        let batches = harness.take_batches();
        assert!(batches.iter().all(|batch| batch.rows() <= 70_000));
        assert_eq!(batches.iter().map(Batch::rows).sum::<usize>(), pairs, "{:?}", lookup.plan.kind);
    }
    let many = vec![at("cool", 1, ""); 500];
    let mut harness = Lookup::new(Inner).harness(&store);
    harness.batch(batch(&many)).unwrap();
    let batches = harness.take_batches();
    assert!(batches.iter().all(|batch| batch.rows() <= 65_536));
    assert_eq!(batches.iter().map(Batch::rows).sum::<usize>(), 2_000_000);
}

/// A table that changes, as a model.
struct Changing {
    store: Store,
    rows: Vec<Row>,
    keyed: bool,
    position: usize,
}

impl Changing {
    fn new(keyed: bool) -> Self {
        Self { store: Store::by_key(keyed), rows: Vec::new(), keyed, position: 0 }
    }

    /// Some changes, and the next version.
    fn change(&mut self, random: &mut Random) {
        let mut log = Vec::new();
        for _ in 0..1 + random.below(3) {
            if random.below(3) == 0 && !self.rows.is_empty() {
                log.push((RowKind::Delete, self.rows.swap_remove(random.below(self.rows.len() as u64) as usize)));
                continue;
            }
            self.position += 1;
            let mut row = random_row(random, self.position, 0);
            if self.keyed {
                row.key.get_or_insert_with(|| "k0".to_owned());
                self.rows.retain(|other| other.key != row.key);
            }
            self.rows.push(row.clone());
            log.push((RowKind::Insert, row));
        }
        self.store.apply(changes(&log));
    }
}

#[test]
fn each_batch_sees_the_version_that_stands() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        for (keyed, kind) in [(true, Inner), (true, Left), (false, Left), (false, Semi), (false, mark(false))] {
            let mut table = Changing::new(keyed);
            let lookup = Lookup::new(kind);
            let mut harness = lookup.harness(&table.store);
            for _ in 0..40 {
                if random.below(3) == 0 {
                    table.change(&mut random);
                }
                if random.below(4) == 0 {
                    harness.tables_changed().unwrap();
                }
                let count = 1 + random.below(6) as usize;
                let rows = random_rows(&mut random, count);
                harness.batch(batch(&rows)).unwrap();
                let mut found = texts(&harness.take_batches());
                found.sort();
                assert_eq!(Some(found), lookup.naive_of(&rows, &table.rows), "{:?}, seed {seed}", lookup.plan.kind);
            }
        }
    }
}

/// BC-19.
#[test]
fn a_delete_takes_back_what_was_emitted() {
    for (kind, of_4) in [(Inner, vec![]), (Left, vec!["+I 4, 1, d, null, null, null", "-D 4, 1, d, null, null, null"])]
    {
        for strategy in [None, Some(if kind == Inner { SkipRecord } else { EmitWithNulls })] {
            let mut store = Store::by_key(true);
            store.insert(&[at("5", 0, "Ann")]);
            let mut lookup = Lookup::new(kind.clone()).retracts();
            if let Some(strategy) = strategy {
                lookup = lookup.missing(strategy);
            }
            let mut harness = lookup.harness(&store);
            let (four, five) = (at("4", 1, "d"), at("5", 1, "e"));
            harness.batch(changes(&[(RowKind::Insert, four.clone())])).unwrap();
            store.insert(&[at("4", 0, "Fay")]);
            harness.batch(changes(&[(RowKind::Delete, four)])).unwrap();
            assert_eq!(with_kinds(&harness.take_batches()), of_4);
            harness.batch(changes(&[(RowKind::Insert, five.clone())])).unwrap();
            store.insert(&[at("5", 0, "Bea")]);
            harness.batch(changes(&[(RowKind::Delete, five)])).unwrap();
            let rows = ["+I 5, 1, e, 5, 1, Ann", "-D 5, 1, e, 5, 1, Ann"];
            assert_eq!(with_kinds(&harness.take_batches()), rows);
            let missing = u64::from(strategy.is_some());
            assert_eq!(
                counted(&harness).iter().sum::<u64>(),
                missing,
                "{kind:?}: what is taken back is not missing again"
            );
        }
    }
}

/// The rows that came out with their kinds.
pub fn with_kinds(batches: &[Batch]) -> Vec<String> {
    let rows = batches.iter().flat_map(|batch| {
        let kind = |row: usize| batch.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[row]);
        let rows = velo_exec::testing::rows_as_text(&batch.columns).into_iter().enumerate();
        rows.map(move |(row, text)| format!("{} {text}", kind(row).symbol()))
    });
    rows.collect()
}

/// What a table lacks by now is no error for a row that is taken back, and neither are two rows for a scalar sub-query.
#[test]
fn rows_that_are_taken_back_are_not_looked_up() {
    let row = at("k", 1, "");
    let mut store = Store::by_key(true);
    store.insert(&[at("k", 0, "gold")]);
    let mut harness = Lookup::new(Inner).missing(FailFast).retracts().harness(&store);
    harness.batch(changes(&[(RowKind::Insert, row.clone())])).unwrap();
    store.apply(changes(&[(RowKind::Delete, at("k", 0, "gold"))]));
    harness.batch(changes(&[(RowKind::Delete, row.clone())])).unwrap();
    assert_eq!(with_kinds(&harness.take_batches()), ["+I k, 1, , k, 1, gold", "-D k, 1, , k, 1, gold"]);

    let mut store = Store::by_key(false);
    store.insert(&[at("k", 0, "gold")]);
    let mut harness = Lookup::new(Single).retracts().harness(&store);
    harness.batch(changes(&[(RowKind::Insert, row.clone())])).unwrap();
    store.insert(&[at("k", 0, "silver")]);
    harness.batch(changes(&[(RowKind::Delete, row.clone())])).unwrap();
    assert_eq!(with_kinds(&harness.take_batches()), ["+I k, 1, , k, 1, gold", "-D k, 1, , k, 1, gold"]);
    let error = harness.batch(changes(&[(RowKind::Insert, row)])).unwrap_err().to_string();
    assert!(error.contains("gives more than one row where one value is wanted"), "{error}");
}

/// What a row is known by where it is taken back.
fn known(row: &Row) -> String {
    format!("{:?}", Row { time: 0, position: 0, ..row.clone() })
}

/// What rows of a changelog that are still there were given when they came.
#[test]
fn changelogs_fold_to_what_was_given() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let (log, live) = changelog(&mut random, 120);
        let log: Vec<_> = log.into_iter().map(|(kind, row)| (kind, keyed_anew(row))).collect();
        let strategies: [Option<MissingStrategy>; 3] = [None, Some(UseDefaults), Some(SkipRecord)];
        for (keyed, kind) in [(true, Inner), (true, Left), (false, Left), (false, Anti), (false, mark(false))] {
            for (strategy, size) in strategies.into_iter().zip(SIZES.map(|size| size.min(50))) {
                let mut lookup = Lookup::new(kind.clone()).retracts();
                if let (Some(strategy), Inner | Left) = (strategy, &kind) {
                    lookup = lookup.missing(strategy);
                }
                let context = format!("keyed {keyed}, {kind:?}, {strategy:?}, size {size}, seed {seed}");
                let mut table = Changing::new(keyed);
                let (mut harness, mut folded) = (lookup.harness(&table.store), Folded::default());
                let mut given: BTreeMap<String, Vec<Vec<Vec<String>>>> = BTreeMap::new();
                let mut lacking = 0;
                for log in log.chunks(size) {
                    if random.below(3) == 0 {
                        table.change(&mut random);
                    }
                    harness.batch(changes(log)).unwrap();
                    folded.add(&harness.take_batches(), 0, &context);
                    for (kind, row) in log {
                        let rows = given.entry(known(row)).or_default();
                        if kind.retracts() {
                            rows.pop().unwrap();
                        } else {
                            rows.push(lookup.naive(row, &table.rows).unwrap());
                            lacking += u64::from(lookup.plan.missing.is_some() && lookup.lacks(row, &table.rows));
                        }
                    }
                }
                let mut expected = given.into_values().flatten().flatten().collect::<Vec<_>>();
                expected.iter_mut().for_each(|row| drop(row.pop()));
                expected.sort();
                assert_eq!(folded.rows(), expected, "{context}");
                assert_eq!(counted(&harness).iter().sum::<u64>(), lacking, "{context}");
            }
        }
        // A table that cannot change is asked again.
        let live: Vec<_> = live.into_iter().map(keyed_anew).collect();
        let mut table = Changing::new(true);
        table.change(&mut random);
        table.change(&mut random);
        table.store.finish();
        let lookup = Lookup { settled: true, ..Lookup::new(Left).missing(UseDefaults).retracts() };
        let (mut harness, mut folded) = (lookup.harness(&table.store), Folded::default());
        log.chunks(7).for_each(|log| harness.batch(changes(log)).unwrap());
        folded.add(&harness.take_batches(), 0, "settled");
        let mut expected = lookup.naive_of(&live, &table.rows).unwrap();
        expected.iter_mut().for_each(|row| drop(row.pop()));
        expected.sort();
        assert_eq!(folded.rows(), expected, "seed {seed}");
        let came = log.iter().filter(|(kind, row)| !kind.retracts() && lookup.lacks(row, &table.rows)).count();
        assert_eq!(counted(&harness), [0, came as u64]);
    }
}

/// A row of the changelog with a key that the table may have.
fn keyed_anew(row: Row) -> Row {
    Row { key: row.key.map(|key| key.replace("key ", "k")), ..row }
}

/// BC-20: a row that fails the condition is not missing, and a condition removes no left row.
#[test]
fn a_condition_makes_no_row_missing() {
    let rows = [("c1", 50), ("c1", 200), ("c9", 300)];
    let rows = rows.map(|(key, amount)| Row { quantity: Some(amount), ..at(key, 1, "") });
    let condition = datafusion_expr::col("quantity").gt(datafusion_expr::lit(100_i64));
    for as_of in [false, true] {
        let mut store = Store::new(&[KEY], &[&[KEY]], as_of);
        store.insert(&[at("c1", 0, "gold")]);
        store.finish();
        for (strategy, third) in [(EmitWithNulls, "null"), (UseDefaults, "none")] {
            let mut lookup = Lookup::new(Left).missing(strategy).with_condition(Some(condition.clone()));
            lookup.plan.as_of = as_of;
            let mut harness = lookup.harness(&store);
            harness.batch(batch(&rows)).unwrap();
            harness.end().unwrap();
            let third = format!("c9, 300, , null, null, {third}");
            let expected = ["c1, 50, , null, null, null", "c1, 200, , c1, 1, gold", third.as_str()];
            assert_eq!(harness.take_rows(), expected, "as of {as_of}");
            assert_eq!(counted(&harness), [0, 1], "only the third is missing");
        }
    }
}

/// `fail_fast` names the key and the way out.
#[test]
fn fail_fast_names_the_key() {
    let store = Store::by_key(true);
    let mut harness = Lookup::new(Inner).missing(FailFast).harness(&store);
    let error = harness.batch(batch(&[at("k", 1, "")])).unwrap_err().to_string();
    assert!(error.contains("the table tiers has no row with key = 'k', and 'table.missing.strategy'"), "{error}");
}
