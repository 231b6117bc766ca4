//! Jobs with tables that are killed and stopped, and go on from their checkpoints: files to files.

use std::collections::BTreeMap;
use std::io::Write;

use velo_job::JobProgress;

use crate::checkpoints::{Job, Ran, lines, run_until};
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
        let mut row: BTreeMap<String, serde_json::Value> = serde_json::from_str(line).unwrap();
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
    job.write("readings.jsonl", &format!("{input}{{\"sensor\":\"last\",\"v\":1}}\n"));
    run_until(&job, async |_| {
        while !job.read("changes.jsonl").contains("last") {
            tokio::task::yield_now().await;
        }
    })
    .await;
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

/// A table that is refreshed goes on with the rows that it had: of a file that is followed only what came since is loaded, of another
/// one that has changed everything again, and either way the difference alone is given.
#[tokio::test]
async fn a_refreshed_table_goes_on_from_where_it_was() {
    for (followed, records) in [(true, [5, 6]), (false, [3 + 5, 3 + 5 + 6])] {
        let job = Job::new(&match followed {
            true => LOADED.replace("'table.refresh", "watch = 'true', 'table.refresh"),
            false => LOADED.to_owned(),
        });
        let tier = |cust: u64, tier: &str| format!("{{\"cust\":\"c{cust}\",\"tier\":\"{tier}\"}}\n");
        job.write("tiers.jsonl", &(1..4).map(|cust| tier(cust, "silver")).collect::<String>());
        // In one write, so that it is seen whole.
        let append = |text: &str| {
            let mut file = std::fs::OpenOptions::new().append(true).open(job.path("tiers.jsonl")).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        let counted = |progress: &JobProgress| progress.tables[0].records.load(std::sync::atomic::Ordering::Relaxed);
        let progress = run_until(&job, async |progress| {
            reached(&progress.sinks[0].delivered, 3).await;
            append(&format!("{}{}", tier(2, "gold"), tier(4, "silver")));
            reached(&progress.sinks[0].delivered, 6).await;
        })
        .await;
        assert_eq!(counted(&progress), records[0]);
        // What comes while nobody runs comes with the next start.
        append(&tier(1, "gold"));
        let progress = run_until(&job, async |progress| reached(&progress.sinks[0].delivered, 8).await).await;
        assert_eq!(counted(&progress), records[1]);
        let row = |cust: u64, tier: &str| format!("{{\"cust\":\"c{cust}\",\"tier\":\"{tier}\"}}");
        let expected = [row(1, "gold"), row(2, "gold"), row(3, "silver"), row(4, "silver")];
        let seen = job.read("seen.jsonl");
        assert_eq!((folded(&seen), seen.lines().count()), (expected.to_vec(), 8), "{seen}");
        if !followed {
            // Another content under the name, where rows are gone.
            job.write("tiers.jsonl", &format!("{}{}", tier(3, "silver"), tier(9, "gold")));
            run_until(&job, async |progress| reached(&progress.sinks[0].delivered, 12).await).await;
            assert_eq!(folded(&job.read("seen.jsonl")), [row(3, "silver"), row(9, "gold")]);
        }
    }
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
    let words: String = (0..90_000_u64).map(|row| format!("{{\"w\":{}}}\n", row * row % 20_011)).collect();
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
    loop {
        match job.run(Some(1 + kills % 4), |_| {}) {
            Ran::Killed => kills += 1,
            Ran::Ended(result) => break result.unwrap(),
        }
        job.parallelism = 1 + kills as usize % 3;
        assert!(kills < 200);
    }
    assert!(kills > 0, "it was never killed");
    for name in ["named.jsonl", "counts.jsonl"] {
        let (got, expected) = (job.read(name), whole.read(name));
        assert!(expected.lines().count() > 5_000);
        assert!(lines(&got) == lines(&expected), "{name} after {kills} kills");
    }
}
