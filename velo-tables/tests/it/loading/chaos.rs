//! The table `pairs`: every version of its source gives one value to all keys, so that two values in one version of the table are a
//! mixture. Sources break at any step of any load, in any order; there never is a mixture.

use std::sync::Arc;

use velo_core::Clock;
use velo_core::duration::Span;
use velo_core::lookup::TableReader;
use velo_core::resilience::{Backoff, CircuitBreakerProperties, Connection, RetryPolicy};
use velo_tables::{LoadSettings, TableState, Tables};
use velo_testkit::Random;
use velo_testkit::drive;
use velo_testkit::loads::LoadStep::{self, Breaks, Lost, Takes};

use super::feeds::{SECOND, content, fed, give, seconds, until};

const KEYS: u64 = 12;

/// All keys with one value, in a few batches that take their time; broken off at any step, where it is to break.
fn version(random: &mut Random, kind: &str, value: u64, breaks: bool) -> Vec<LoadStep> {
    let mut keys: Vec<u64> = (0..KEYS).collect();
    random.shuffle(&mut keys);
    let mut steps = Vec::new();
    for part in keys.chunks(1 + random.below(KEYS) as usize) {
        let rows: Vec<String> = part.iter().map(|key| format!("{kind} {key} {value}")).collect();
        steps.extend([Takes(seconds(1 + random.below(3))), give(&rows.join("\n"))]);
    }
    if breaks {
        steps.truncate(random.below(steps.len() as u64 + 1) as usize);
        steps.push(if kind == "+U" && random.chance(1, 4) { Lost } else { Breaks("half-way".to_owned()) });
    }
    steps
}

/// The one value of all keys; none where there is no row.
fn one_value(text: &str, seed: u64) -> Option<u64> {
    let values: Vec<u64> = text.split_whitespace().map(|row| row.split_once('=').unwrap().1.parse().unwrap()).collect();
    assert!(values.is_empty() || values.len() == KEYS as usize, "seed {seed}: a part of a version: {text}");
    assert!(values.windows(2).all(|two| two[0] == two[1]), "seed {seed}: a mixture: {text}");
    values.first().copied()
}

#[tokio::test]
async fn never_a_mixture() {
    let (mut versions, mut broken) = (0, 0);
    for seed in 0..80 {
        let mut random = Random::new(seed);
        let clock = Clock::manual(0);
        let incremental = random.chance(1, 2);
        let mut value = 0;
        let mut last = 0;
        let mut fed = fed("pairs", &clock, |mut script| {
            for load in 0..12 {
                value += 1;
                let breaks = load < 11 && random.chance(1, 2);
                broken += usize::from(breaks);
                script = script.whole(version(&mut random, "+I", value, breaks));
                last = value;
                if incremental {
                    value += 1;
                    let breaks = load < 11 && random.chance(1, 2);
                    script = script.after(version(&mut random, "+U", value, breaks));
                    last = value;
                }
            }
            script
        })
        .refreshed(5);
        fed.feed.retry = RetryPolicy { backoff: Backoff { first: seconds(1), longest: seconds(4) }, attempts: None };
        let breaker = CircuitBreakerProperties { timeout: Span(3 * SECOND), ..CircuitBreakerProperties::default() };
        fed.feed.connection = Arc::new(Connection::new("pairs", breaker, clock.clone()));
        if random.chance(1, 2) {
            fed.feed.upkeep.reload = Some(Span(20 * SECOND));
        }
        let table = Arc::clone(&fed.reader);
        let settings = LoadSettings { seed, ..LoadSettings::default() };
        let tables = Tables::start(vec![fed.spec("pairs", &[])], settings, clock.clone()).unwrap();
        let mut seen = Vec::new();
        let mut held = Vec::new();
        for _ in 0..300 {
            until(&clock, clock.now() + SECOND).await;
            let shown = one_value(&content(&*table), seed);
            let ready = tables.status()[0].state == TableState::Ready;
            assert_eq!(shown.is_some(), ready, "seed {seed}: rows are there when it is ready, and not before");
            if seen.last() != Some(&shown) {
                seen.push(shown);
                held.push((table.version(), shown));
            }
        }
        let values: Vec<u64> = seen.iter().flatten().copied().collect();
        if !incremental {
            assert!(values.is_sorted(), "seed {seed}: no version comes back: {values:?}");
            assert_eq!(values.last(), Some(&last), "seed {seed}: the last version stands at the end");
        }
        for (version, shown) in held {
            assert_eq!(version.rows(), shown.map_or(0, |_| KEYS), "seed {seed}: a version that is held stays");
        }
        versions += values.len();
        drop(tables);
        drive(&clock, clock.sleep(seconds(1))).await;
    }
    assert!(versions > 500 && broken > 400, "{versions} versions, {broken} broken loads");
}
