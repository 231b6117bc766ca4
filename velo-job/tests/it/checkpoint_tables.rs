//! Jobs with tables that are killed and stopped, and go on from their checkpoints: files to files.

use std::collections::BTreeMap;

use velo_core::duration::Span;
use velo_job::{JobProgress, Stop};

use crate::checkpoints::{Job, Ran, lines};
use crate::support::reached;

const CHANGING: &str = "
    CREATE STREAM readings (sensor STRING, v INT) WITH (connector = 'file', path = '@/readings.jsonl', format = 'json', watch = 'true');
    CREATE TABLE high AS SELECT sensor, v FROM readings WHERE v % 3 = 0;
    CREATE TABLE counts AS SELECT sensor, COUNT(*) AS n, MAX(v) AS most FROM readings GROUP BY sensor;
    SET 'checkpoint.dir' = '@/state';
    CREATE SINK alarms WITH (connector = 'file', path = '@/alarms.jsonl', format = 'json');
    INSERT INTO alarms SELECT sensor, v FROM high;
    CREATE SINK changes WITH (connector = 'file', path = '@/changes.jsonl', format = 'json', 'changelog.mode' = 'full');
    INSERT INTO changes SELECT sensor, n, most FROM counts;
";

fn readings(rows: u64) -> String {
    let one = |row: u64| format!("{{\"sensor\":\"s{}\",\"v\":{row}}}\n", row * 31 % 7);
    (0..rows).map(one).collect()
}

/// What the lines of a changelog come to. Each that takes something back finds it.
fn folded(text: &str) -> Vec<String> {
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for line in text.lines() {
        let mut row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let kind = row.remove("_op").unwrap();
        let row = serde_json::to_string(&row).unwrap();
        match kind.as_str().unwrap() {
            "+I" | "+U" => *rows.entry(row).or_default() += 1,
            _ => {
                let count = rows.get_mut(&row).unwrap_or_else(|| panic!("{row} is taken back and was not given"));
                *count -= 1;
            }
        }
    }
    rows.into_iter().flat_map(|(row, count)| std::iter::repeat_n(row, count as usize)).collect()
}

/// Runs until `done`, then stops.
async fn run_until(job: &Job, done: impl AsyncFnOnce(&JobProgress)) -> JobProgress {
    let script = job.script().await;
    let (progress, stop) = (script.progress(), Stop::new());
    let mut options = job.options(Span(1_000));
    options.stop = stop.clone();
    let ((), ran) = tokio::join!(
        async {
            done(&progress).await;
            stop.stop();
        },
        script.run(options, &progress)
    );
    ran.unwrap();
    progress
}

#[tokio::test]
async fn what_comes_of_a_changing_table_comes_once_over_kills_and_stops() {
    let (mut job, input) = (Job::new(CHANGING), readings(20_000));
    let high = |rows: u64| rows.div_ceil(3);
    for (at, rows) in [2_000_u64, 2_001, 6_000, 13_000, 20_000].into_iter().enumerate() {
        job.write("readings.jsonl", &input.split_inclusive('\n').take(rows as usize).collect::<String>());
        // It may be anywhere when it is killed: its tables are loading, are ready, or have changed.
        for kill in 1..4 {
            job.parallelism = 1 + (at + kill as usize) % 3;
            assert!(matches!(job.run(Some(kill * 2), |_| {}), Ran::Killed));
        }
        let seen = async |progress: &JobProgress| {
            reached(&progress.sinks[0].delivered, high(rows)).await;
            reached(&progress.sources[0].records, rows).await;
        };
        run_until(&job, seen).await;
        let given = lines(&job.read("alarms.jsonl")).len() as u64;
        assert_eq!(given, high(rows), "of {rows} rows");
    }
    let alarms = job.read("alarms.jsonl");
    let expected: String = input.split_inclusive('\n').step_by(3).collect();
    assert_eq!(lines(&alarms), lines(&expected));
    // The last changes may be in a checkpoint and not be given yet.
    let counted = async |progress: &JobProgress| {
        let before = progress.sinks[1].delivered.load(std::sync::atomic::Ordering::Relaxed);
        job.write("readings.jsonl", &format!("{input}{{\"sensor\":\"last\",\"v\":1}}\n"));
        reached(&progress.sinks[1].delivered, before + 1).await;
    };
    run_until(&job, counted).await;
    let mut sensors: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for row in 0..20_000_u64 {
        let (n, most) = sensors.entry(row * 31 % 7).or_default();
        (*n, *most) = (*n + 1, row);
    }
    let row = |sensor: &str, n: u64, most: u64| format!("{{\"most\":{most},\"n\":{n},\"sensor\":\"{sensor}\"}}");
    let mut expected: Vec<String> =
        sensors.into_iter().map(|(sensor, (n, most))| row(&format!("s{sensor}"), n, most)).collect();
    expected.push(row("last", 1, 1));
    expected.sort();
    assert_eq!(folded(&job.read("changes.jsonl")), expected);
}

const LOADED: &str = "
    CREATE TABLE tiers (cust STRING, tier STRING, PRIMARY KEY (cust)) WITH (connector = 'file', path = '@/tiers.jsonl', format = 'json',
        'table.refresh.interval' = '5ms');
    SET 'checkpoint.dir' = '@/state';
    CREATE SINK seen WITH (connector = 'file', path = '@/seen.jsonl', format = 'json', 'changelog.mode' = 'full');
    INSERT INTO seen SELECT cust, tier FROM tiers;
";

/// A table that is refreshed goes on with the rows that it had, and only what came since is loaded.
#[tokio::test]
async fn a_refreshed_table_is_loaded_from_where_it_was() {
    let job = Job::new(LOADED);
    let tier = |cust: u64, tier: &str| format!("{{\"cust\":\"c{cust}\",\"tier\":\"{tier}\"}}\n");
    let mut text: String = (1..4).map(|cust| tier(cust, "silver")).collect();
    job.write("tiers.jsonl", &text);
    let more = format!("{}{}", tier(2, "gold"), tier(4, "silver"));
    let progress = run_until(&job, async |progress| {
        reached(&progress.sinks[0].delivered, 3).await;
        job.write("tiers.jsonl", &format!("{text}{more}"));
        reached(&progress.sinks[0].delivered, 6).await;
    })
    .await;
    let records = |progress: &JobProgress| progress.tables[0].records.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(records(&progress), 5);
    text.push_str(&more);
    // What comes while nobody runs comes with the next start.
    text.push_str(&tier(1, "gold"));
    job.write("tiers.jsonl", &text);
    let progress = run_until(&job, async |progress| reached(&progress.sinks[0].delivered, 8).await).await;
    assert_eq!(records(&progress), 6, "one record was read after five");
    let row = |cust: u64, tier: &str| format!("{{\"cust\":\"c{cust}\",\"tier\":\"{tier}\"}}");
    let expected = [row(1, "gold"), row(2, "gold"), row(3, "silver"), row(4, "silver")];
    let seen = job.read("seen.jsonl");
    assert_eq!((folded(&seen), seen.lines().count()), (expected.to_vec(), 8), "{seen}");
    // Another file under the name is another content: the difference comes out.
    job.write("tiers.jsonl", &format!("{}{}", tier(3, "silver"), tier(9, "gold")));
    run_until(&job, async |progress| reached(&progress.sinks[0].delivered, 12).await).await;
    assert_eq!(folded(&job.read("seen.jsonl")), [row(3, "silver"), row(9, "gold")]);
}

const SETTLED: &str = "
    CREATE TABLE names (id INT, name STRING, PRIMARY KEY (id)) WITH (connector = 'file', path = '@/names.jsonl', format = 'json');
    CREATE STREAM words (w INT) WITH (connector = 'file', path = '@/words.jsonl', format = 'json');
    CREATE TABLE counts AS SELECT w, COUNT(*) AS n FROM words GROUP BY w;
    SET 'checkpoint.dir' = '@/state';
    CREATE SINK named WITH (connector = 'file', path = '@/named.jsonl', format = 'json');
    INSERT INTO named SELECT w.w, n.name, c.n FROM words w JOIN names n ON w.w = n.id JOIN counts c ON w.w = c.w;
    CREATE SINK all_counts WITH (connector = 'file', path = '@/counts.jsonl', format = 'json');
    INSERT INTO all_counts SELECT w, n FROM counts;
";

/// Tables that end are loaded and made anew, or taken from the checkpoint where their rows are given by their number.
#[test]
fn tables_that_end_are_the_same_after_a_kill() {
    let words: String = (0..30_000).map(|row| format!("{{\"w\":{}}}\n", row * row % 20_011)).collect();
    let names: String = (0..20_011).map(|id| format!("{{\"id\":{id},\"name\":\"n{id}\"}}\n")).collect();
    let start = || {
        let job = Job::new(SETTLED);
        job.write("words.jsonl", &words);
        job.write("names.jsonl", &names);
        job
    };
    let whole = start();
    whole.finish();
    let mut job = start();
    job.parallelism = 2;
    let mut kills = 0;
    while let Ran::Killed = job.run(Some(1 + kills % 4), |_| {}) {
        kills += 1;
        job.parallelism = 1 + kills as usize % 3;
        assert!(kills < 200);
    }
    assert!(kills > 2, "only {kills} kills");
    for name in ["named.jsonl", "counts.jsonl"] {
        let (got, expected) = (job.read(name), whole.read(name));
        assert!(expected.lines().count() > 5_000);
        assert!(lines(&got) == lines(&expected), "{name} after {kills} kills");
    }
}
