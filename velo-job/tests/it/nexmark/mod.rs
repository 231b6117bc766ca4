//! The Nexmark queries of `scenarios/nexmark/` over many more events than the scenarios have: in several settings, each gives
//! what a plain computation over the same events gives.

mod events;
mod joins;
mod queries;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use velo_core::connector::{ChangelogMode, Guarantee, SinkRequest};
use velo_core::progress::Progress;
use velo_core::table_text::value_text;
use velo_core::{Batch, Clock};
use velo_job::scenario::parse::read;
use velo_job::{RunOptions, Script};
use velo_testkit::collecting::Collected;

use events::Events;
use joins::JOINS;
use queries::QUERIES;

/// When everything arrives: the clock stands.
const ARRIVAL: i64 = 1_893_456_003_000_000;

/// Events, seed, size of the groups that come out of order, rows of a batch, tasks.
const SETTINGS: [(&str, &str, &str, usize, usize); 3] =
    [("8000", "0", "1", 8_192, 1), ("5000", "42", "37", 100, 2), ("3000", "7", "500", 7, 8)];

/// Each query's script by its name: what comes before the colon of a scenario's heading.
fn scripts() -> BTreeMap<String, (PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/nexmark");
    // Paths of a scenario are relative to it.
    let data = format!("'{}/../data/", folder.display());
    let mut scripts = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = read(&entry.unwrap().path()).unwrap();
        for scenario in &file.scenarios {
            let (name, _) = scenario.name.split_once(':').unwrap();
            let script = (file.path.clone(), scenario.sql.text.replace("'../data/", &data));
            assert!(scripts.insert(name.to_owned(), script).is_none(), "{name} is there twice");
        }
    }
    scripts
}

/// The number of events, and the time of the first one and events a second where they are said.
fn said(script: &str, key: &str) -> Option<String> {
    let (_, rest) = script.split_once(&format!("{key} = '"))?;
    Some(rest.split_once('\'').unwrap().0.to_owned())
}

async fn run(script: &str, folder: &Path, batch_rows: usize, tasks: usize) -> Vec<String> {
    let script = Script::plan(script, &crate::context(folder)).await;
    assert!(script.is_runnable(), "{:?}", script.diagnostics());
    let collected = Collected::new();
    let (at, sink) = script.terminals().next().unwrap();
    let clock = Clock::manual(ARRIVAL);
    let request = SinkRequest {
        name: sink.name.clone(),
        schema: Arc::clone(&sink.schema),
        key: vec![],
        mode: ChangelogMode::Append,
        guarantee: Guarantee::ExactlyOnce,
        bounded: true,
        after: None,
        transactions: None,
        clock: clock.clone(),
        progress: Arc::new(Progress::new()),
    };
    let terminals = BTreeMap::from([(at, collected.binding(None).open(request).await.unwrap())]);
    let options = RunOptions { clock, terminals, batch_rows, ..RunOptions::new(tasks) };
    script.run(options, &script.progress()).await.unwrap();
    collected.batches().iter().flat_map(rows).collect()
}

fn rows(batch: &Batch) -> Vec<String> {
    assert!(batch.kinds.is_none(), "all rows are inserts");
    let columns = batch.columns.columns();
    let row = |row: usize| columns.iter().map(|column| value_text(column, row).unwrap()).collect::<Vec<_>>().join("|");
    (0..batch.rows()).map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_give_what_a_plain_computation_gives() {
    for (name, plainly) in QUERIES {
        compare(name, |events| plainly(&events.bids)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_give_what_a_plain_computation_gives() {
    for (name, plainly) in JOINS {
        compare(name, plainly).await;
    }
}

/// The rows of the query `name` are those of `plainly` in every setting.
async fn compare(name: &str, plainly: impl Fn(&Events) -> Vec<String>) {
    let (path, script) = &scripts()[name];
    for (events, seed, group, batch_rows, tasks) in SETTINGS {
        let few = format!("events = '{}'", said(script, "events").unwrap());
        let many = format!("events = '{events}', seed = '{seed}', 'out.of.order.group.size' = '{group}'");
        let mut pairs = vec![("events", events), ("seed", seed), ("out.of.order.group.size", group)];
        let (rate, start) = (said(script, "'event.rate'"), said(script, "'time.start'"));
        // Few events a second leave too many behind the watermark where they are far out of order.
        let rate = rate.map(|rate| if group == "1" { rate } else { "1000".to_owned() });
        if let Some(rate) = &rate {
            pairs.push(("event.rate", rate));
        }
        if let Some(start) = &start {
            pairs.push(("time.start", start));
        }
        let mut script = script.replace(&few, &many);
        if let (Some(rate), Some(written)) = (&rate, said(&script, "'event.rate'")) {
            script = script.replace(&format!("'event.rate' = '{written}'"), &format!("'event.rate' = '{rate}'"));
        }
        let mut expected = plainly(&events::events(&pairs).await);
        let mut found = run(&script, path.parent().unwrap(), batch_rows, tasks).await;
        assert!(!expected.is_empty(), "{name}, seed {seed}: there is something to compare");
        expected.sort_unstable();
        found.sort_unstable();
        let differing = expected.iter().zip(&found).find(|(expected, found)| expected != found);
        assert_eq!(differing, None, "{name}, seed {seed}: expected and found");
        assert_eq!(found.len(), expected.len(), "{name}, seed {seed}");
    }
}

/// Every scenario is compared, and every query of the benchmark is there.
#[test]
fn no_query_is_forgotten() {
    let scripts: BTreeSet<String> = scripts().into_keys().collect();
    let names = QUERIES.iter().map(|(name, _)| *name).chain(JOINS.iter().map(|(name, _)| *name));
    let compared: BTreeSet<String> = names.map(str::to_owned).collect();
    assert_eq!(scripts, compared);
    let plain: BTreeSet<String> = compared.into_iter().filter(|name| !name.contains(' ')).collect();
    assert_eq!(plain, (0..=23).map(|number| format!("q{number}")).collect());
}
