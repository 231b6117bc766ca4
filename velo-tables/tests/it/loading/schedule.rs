//! A thousand starts of forty tables in random graphs: order, parallelism and gates, against a schedule computed beside it.

use std::sync::Arc;
use std::time::Duration;

use velo_core::Clock;
use velo_core::lookup::{TableReader, TableWriter};
use velo_tables::{Feed, Gate, LoadSettings, TableNumber, TableState, Tables};
use velo_testkit::loads::LoadStep;
use velo_testkit::{Random, drive};

use super::feeds::{empty, fed, give, spec};

const TABLES: usize = 40;

/// How a table is fed, as a test has made it up.
#[derive(Debug)]
enum Made {
    /// Attempts, each so long: all but the last break; the last one does too where there are too many, or fails for good.
    Source { attempts: Vec<u64>, last: End },
    /// A query that takes so long once its tables are ready.
    Query(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Loads,
    Breaks,
    Fails,
}

#[derive(Debug)]
struct Case {
    seed: u64,
    parallelism: usize,
    needs: Vec<Vec<usize>>,
    tables: Vec<Made>,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        // Tables may need some that are declared behind them.
        let mut order: Vec<usize> = (0..TABLES).collect();
        random.shuffle(&mut order);
        let density = random.below(4);
        let mut needs = vec![Vec::new(); TABLES];
        for at in 1..TABLES {
            for _ in 0..random.below(density + 1) {
                needs[order[at]].push(order[random.below(at as u64) as usize]);
            }
        }
        let losses = seed.is_multiple_of(3);
        let mut time = |most: u64| 1 + random.below(most);
        let mut tables = Vec::new();
        for _ in 0..TABLES {
            let kind = time(100);
            tables.push(match kind {
                1..=70 => Made::Source { attempts: vec![time(2_000_000)], last: End::Loads },
                71..=85 => Made::Source { attempts: vec![time(500_000), time(900_000)], last: End::Loads },
                86..=90 => Made::Source { attempts: vec![time(500_000), time(1), time(900_000)], last: End::Loads },
                91..=93 if losses => {
                    Made::Source { attempts: (0..4).map(|_| time(100_000)).collect(), last: End::Breaks }
                }
                94..=95 if losses => Made::Source { attempts: vec![time(1_000_000)], last: End::Fails },
                _ => Made::Query(time(1_000_000)),
            });
        }
        Self { seed, parallelism: 1 + (seed % 6) as usize, needs, tables }
    }

    /// How long a table takes, and whether it is ready then.
    fn takes(&self, table: usize, retry: velo_core::resilience::RetryPolicy) -> (u64, bool) {
        match &self.tables[table] {
            Made::Query(takes) => (*takes, true),
            Made::Source { attempts, last } => {
                let mut delays = retry.backoff.delays(self.seed + table as u64);
                let waits: u64 = attempts[1..].iter().map(|_| delays.next_delay().as_micros() as u64).sum();
                (attempts.iter().sum::<u64>() + waits, *last == End::Loads)
            }
        }
    }
}

/// When a table began and ended, and whether it was ready then; blocked ones never begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Course {
    began: Option<i64>,
    ended: i64,
    ready: bool,
}

/// Greedy list scheduling: whenever there is room, the first declared table that can begins.
fn plan(case: &Case, takes: &[(u64, bool)]) -> Vec<Course> {
    let mut courses: Vec<Option<Course>> = vec![None; TABLES];
    let mut now = 0;
    loop {
        let over = |course: &Option<Course>| course.filter(|course| course.ended <= now);
        // A table that is blocked blocks others.
        for _ in 0..TABLES {
            for table in 0..TABLES {
                let lost = |need: &usize| over(&courses[*need]).is_some_and(|course| !course.ready);
                if courses[table].is_none() && case.needs[table].iter().any(lost) {
                    courses[table] = Some(Course { began: None, ended: now, ready: false });
                }
            }
        }
        for table in 0..TABLES {
            let ready = |need: &usize| over(&courses[*need]).is_some_and(|course| course.ready);
            let loading = (0..TABLES).filter(|other| {
                let source = matches!(case.tables[*other], Made::Source { .. });
                source && courses[*other].is_some_and(|course| course.began.is_some() && course.ended > now)
            });
            let room = matches!(case.tables[table], Made::Query(_)) || loading.count() < case.parallelism;
            if courses[table].is_none() && room && case.needs[table].iter().all(ready) {
                let (takes, ready) = takes[table];
                courses[table] = Some(Course { began: Some(now), ended: now + takes as i64, ready });
            }
        }
        match courses.iter().flatten().map(|course| course.ended).filter(|ended| *ended > now).min() {
            Some(next) => now = next,
            None => return courses.into_iter().map(|course| course.expect("every table ends")).collect(),
        }
    }
}

/// The longest chain of tables that need each other, and all of them together.
fn path_and_work(case: &Case, courses: &[Course]) -> (i64, i64) {
    let took = |table: usize| courses[table].began.map_or(0, |began| courses[table].ended - began);
    fn path(case: &Case, took: &dyn Fn(usize) -> i64, known: &mut Vec<Option<i64>>, table: usize) -> i64 {
        if let Some(known) = known[table] {
            return known;
        }
        let before = case.needs[table].iter().map(|need| path(case, took, known, *need)).max();
        let length = before.unwrap_or(0) + took(table);
        known[table] = Some(length);
        length
    }
    let mut known = vec![None; TABLES];
    let longest = (0..TABLES).map(|table| path(case, &took, &mut known, table)).max();
    (longest.unwrap_or(0), (0..TABLES).map(took).sum())
}

#[tokio::test]
async fn a_thousand_graphs() {
    let (mut retried, mut blocked, mut at_once) = (0, 0, 0);
    for seed in 0..1_000 {
        let case = Case::new(seed);
        let clock = Clock::manual(0);
        let mut specs = Vec::new();
        let mut queries = Vec::new();
        let mut takes = Vec::new();
        for table in 0..TABLES {
            let name = format!("t{table}");
            match &case.tables[table] {
                Made::Source { attempts, last } => {
                    let fed = fed(&name, &clock, |mut script| {
                        for (at, micros) in attempts.iter().enumerate() {
                            let half = Duration::from_micros(micros / 2);
                            let rest = Duration::from_micros(micros - micros / 2);
                            let mut steps = vec![LoadStep::Takes(half), give("+I 1 1"), LoadStep::Takes(rest)];
                            match last {
                                _ if at + 1 < attempts.len() => steps.push(LoadStep::Breaks("half-way".to_owned())),
                                End::Loads => steps.push(give("+I 2 2")),
                                End::Breaks => steps.push(LoadStep::Breaks("again".to_owned())),
                                End::Fails => steps.push(LoadStep::Fails("for good".to_owned())),
                            }
                            script = script.whole(steps);
                        }
                        script
                    });
                    takes.push(case.takes(table, fed.feed.retry));
                    specs.push(fed.spec(&name, &case.needs[table]));
                }
                Made::Query(micros) => {
                    let (reader, writer) = empty(&name);
                    queries.push((table, writer, *micros));
                    let reader: Arc<dyn TableReader> = reader;
                    takes.push((*micros, true));
                    specs.push(spec(&name, &case.needs[table], Feed::Elsewhere { reader, progress: Vec::new() }));
                }
            }
        }
        // A tick changes nothing, and takes the clock where nothing happens.
        let settings = LoadSettings {
            parallelism: case.parallelism,
            seed,
            tick: Duration::from_secs(3_600),
            ..LoadSettings::default()
        };
        let tables = Tables::start(specs, settings, clock.clone()).unwrap();
        let queries: Vec<_> = queries
            .into_iter()
            .map(|(table, writer, micros)| {
                let needs: Vec<TableNumber> = case.needs[table].iter().copied().map(TableNumber).collect();
                tokio::spawn(query(tables.gate(), needs, clock.clone(), writer, micros))
            })
            .collect();
        let mut random = Random::new(seed + 77);
        let waiters: Vec<_> = (0..6)
            .map(|_| {
                let awaited: Vec<usize> =
                    (0..1 + random.below(4)).map(|_| random.below(TABLES as u64) as usize).collect();
                let (gate, clock) = (tables.gate(), clock.clone());
                let numbers: Vec<TableNumber> = awaited.iter().copied().map(TableNumber).collect();
                let opens = tokio::spawn(async move {
                    let opened = gate.wait_for(&numbers, None).await.is_ok();
                    (clock.now(), opened, gate.is_open(&numbers))
                });
                (awaited, opens)
            })
            .collect();
        drive(&clock, tables.settled()).await;

        let courses = plan(&case, &takes);
        for (table, status) in tables.status().into_iter().enumerate() {
            let ready = status.state == TableState::Ready;
            let real = Course { began: status.started, ended: status.finished.expect("it is settled"), ready };
            assert_eq!(
                real, courses[table],
                "seed {seed}, {}: {:?}, {:?}",
                status.name, status.state, case.tables[table]
            );
            blocked += usize::from(matches!(status.state, TableState::Blocked { .. }));
            retried += usize::from(matches!(&case.tables[table], Made::Source { attempts, .. } if attempts.len() > 1));
        }
        for (awaited, opens) in waiters {
            let (at, opened, open) = drive(&clock, opens).await.unwrap();
            let lost = awaited.iter().filter(|table| !courses[**table].ready).map(|table| courses[*table].ended).min();
            let expected = lost.unwrap_or_else(|| awaited.iter().map(|table| courses[*table].ended).max().unwrap());
            assert_eq!((at, opened), (expected, lost.is_none()), "seed {seed}: the gate of {awaited:?}");
            assert!(!opened || open, "seed {seed}");
            at_once += usize::from(at == 0);
        }
        for query in queries {
            query.abort();
        }
        let makespan = courses.iter().map(|course| course.ended).max().unwrap();
        let (path, work) = path_and_work(&case, &courses);
        let many = case.parallelism as i64;
        assert!(many * makespan <= many * path + (work - path), "seed {seed}: {makespan} of {path} and {work}");
    }
    assert!(retried > 1_000 && blocked > 500 && at_once < 100, "{retried} {blocked} {at_once}");
}

/// A dataflow that fills a table: it begins when its own tables are ready.
async fn query(gate: Gate, needs: Vec<TableNumber>, clock: Clock, mut writer: velo_tables::Writer, micros: u64) {
    if gate.wait_for(&needs, None).await.is_ok() {
        clock.sleep(Duration::from_micros(micros)).await;
        writer.finish().await.unwrap();
    } else {
        // The table is blocked, and its writer stays as it is.
        std::future::pending::<()>().await;
    }
}
