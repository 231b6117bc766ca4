//! The project's scenarios, as `velo test` runs them: plainly, and in modes that a seed chooses. `VELO_SCENARIO_SEED`
//! reproduces a choice, `VELO_ALL_MODES=1` runs every scenario in every mode.

use std::path::Path;

use velo_core::Clock;
use velo_job::scenario::{Modes, Suite, SuiteOptions};

fn modes() -> Modes {
    let seed = std::env::var("VELO_SCENARIO_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| (Clock::system().now() / 1_000).unsigned_abs() % 1_000_000);
    println!("VELO_SCENARIO_SEED={seed}");
    if std::env::var("VELO_ALL_MODES").is_ok_and(|all| all == "1") { Modes::All(seed) } else { Modes::Chosen(seed) }
}

/// Seeds that found something once.
const KEPT: [u64; 22] = [
    979288760, 2, 25, 27, 29, 1062, 5159, 5229, 5285, 5358, 5656, 5874, 5885, 5996, 6158, 6385, 10, 109356, 116108,
    701519, 702368, 700286,
];

/// Jobs that are killed and fail at random: seeds that failed before, and fresh ones, which are printed.
#[tokio::test(flavor = "multi_thread")]
async fn scenarios_hold_in_simulation() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let suite = Suite::load(&[folder]);
    let fresh = (Clock::system().now() / 1_000).unsigned_abs() % 1_000_000_000;
    println!("seeds from {fresh} on; `velo test scenarios --simulate 1 --seed SEED` repeats one");
    let ranges = KEPT.iter().map(|seed| (*seed, 1)).chain([(fresh, 300)]);
    let mut runs = 0;
    for (seed, count) in ranges {
        let options = SuiteOptions { modes: Modes::Simulated { seed, runs: count }, ..SuiteOptions::default() };
        let report = suite.run(&crate::runner(), &options, |_| {}).await;
        for record in report.failed() {
            println!("FAILED: {} ({})\n{}", record.scenario, record.mode, record.failure_text());
        }
        assert!(report.passed(), "{}", report.summary());
        runs += report.records.len();
    }
    assert_eq!(runs, KEPT.len() + 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_hold_in_every_mode() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let suite = Suite::load(&[folder]);
    let options = SuiteOptions { modes: modes(), ..SuiteOptions::default() };
    let report = suite.run(&crate::runner(), &options, |_| {}).await;
    println!("{}", report.summary());
    for error in &report.errors {
        println!("{error}");
    }
    for record in report.failed() {
        println!("FAILED: {} ({})\n{}", record.scenario, record.mode, record.failure_text());
    }
    let mut slowest: Vec<_> = report.records.iter().collect();
    slowest.sort_by_key(|record| std::cmp::Reverse(record.took));
    for record in slowest.iter().take(5) {
        println!("{:?} {} ({})", record.took, record.scenario, record.mode);
    }
    assert!(report.passed(), "{}", report.summary());
    assert!(report.scenarios() > 0);
}

/// One after the other each call fails that a job makes to the store of its checkpoints or to a sink, at its first start and after a
/// restart. Of one scenario a file: `velo test --modes each-call` takes any.
#[tokio::test(flavor = "multi_thread")]
async fn scenarios_hold_whichever_call_fails() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let files = ["changes/top_n.md", "joins/interval.md", "tables/tables.md", "windows/sliding.md"];
    let mut suite = Suite::load(&files.map(|file| folder.join(file)));
    suite.files.iter_mut().for_each(|file| file.scenarios.truncate(1));
    assert!(suite.errors.is_empty(), "{:?}", suite.errors);
    let options = SuiteOptions { modes: Modes::EachCall, ..SuiteOptions::default() };
    let report = suite.run(&crate::runner(), &options, |_| {}).await;
    println!("{}", report.summary());
    for record in report.failed() {
        println!("FAILED: {} ({})\n{}", record.scenario, record.mode, record.failure_text());
    }
    assert!(report.passed(), "{}", report.summary());
    assert!(report.records.len() > 500, "{}", report.summary());
}
