//! A query under `on.compute.error` = `skip` over rows some of which fail gives what it gives over the others alone.

use std::path::Path;

use velo_exec::testing::Random;
use velo_job::scenario::parse::parse;
use velo_job::scenario::{Batching, Mode, Update};

const STREAMS: &str = "\
CREATE STREAM t (id INT, k STRING, text STRING, ts BIGINT) WITH (connector = 'file', path = 't.jsonl', format = 'json', \
'event.time.field' = 'ts', 'watermark.max_out_of_orderness' = '5s');
CREATE STREAM u (k STRING, w INT, ts BIGINT) WITH (connector = 'file', path = 'u.jsonl', format = 'json', 'event.time.field' = 'ts');
CREATE TABLE names (n INT PRIMARY KEY, name STRING) WITH (connector = 'file', path = 'names.jsonl', format = 'json');
";

/// Each computes CAST(text AS INT) of every row.
const QUERIES: &[&str] = &[
    "SELECT id, CAST(text AS INT) AS number FROM t",
    "SELECT id FROM t WHERE CAST(text AS INT) > 4",
    "SELECT k, SUM(CAST(text AS INT)) AS total, COUNT(*) AS n FROM t GROUP BY k",
    "SELECT CAST(text AS INT) AS number, MAX(id) AS last FROM t GROUP BY CAST(text AS INT)",
    "SELECT k, _window_start AS opened, AVG(CAST(text AS INT)) AS mean FROM t GROUP BY k WINDOW SLIDING(20s, 5s)",
    "SELECT k, _window_end AS closed, MIN(CAST(text AS INT)) AS least FROM t GROUP BY k WINDOW SESSION(2s)",
    "SELECT id, SUM(CAST(text AS INT)) OVER (PARTITION BY k ORDER BY ts) AS total FROM t",
    "SELECT k, id FROM (SELECT k, id, ROW_NUMBER() OVER (PARTITION BY k ORDER BY CAST(text AS INT), id) AS place FROM t) WHERE place <= 2",
    "SELECT DISTINCT ON (k) k, id FROM t ORDER BY k, CAST(text AS INT), id",
    "SELECT id, text FROM t ORDER BY CAST(text AS INT), id LIMIT 5",
    "SELECT id, n FROM t CROSS JOIN UNNEST(generate_series(1, CAST(text AS INT), 3)) AS s(n)",
    "SELECT id, name FROM t LEFT JOIN names ON CAST(t.text AS INT) = names.n",
    "SELECT id, w FROM t LEFT JOIN u WITHIN 3s ON t.k = u.k AND CAST(t.text AS INT) + 0 = u.w",
    "SELECT id, w FROM t FULL JOIN u ON CAST(t.text AS INT) = u.w",
    "SELECT id, w FROM t ASOF LEFT JOIN u ON CAST(t.text AS INT) = u.w AND u.ts <= t.ts",
    "SELECT number, COUNT(*) AS n FROM (SELECT CAST(text AS INT) AS number FROM t) GROUP BY number HAVING COUNT(*) > 1",
];

/// The rows of `t`, some of which fail, with whether they do; and the others.
fn input(random: &mut Random, rows: u64) -> (String, String) {
    let (mut all, mut good) = ("id k text ts\n".to_owned(), "id k text ts\n".to_owned());
    let mut time = 10_000;
    for id in 0..rows {
        time += random.below(2_000);
        let bad = random.below(4) == 0;
        let text = if bad { "x".to_owned() } else { random.below(10).to_string() };
        let key = ["a", "b", "c"][random.below(3) as usize];
        let row = format!("{id} {key} {text} {}\n", time - random.below(3_000));
        all.push_str(&row);
        if !bad {
            good.push_str(&row);
        }
    }
    (all, good)
}

fn others(random: &mut Random) -> String {
    let mut rows = "k w ts\n".to_owned();
    for at in 0..12 {
        let key = ["a", "b", "c"][random.below(3) as usize];
        rows.push_str(&format!("{key} {} {}\n", random.below(10), 10_000 + at * 2_500));
    }
    rows
}

/// What comes of a query, as a set.
async fn result(query: &str, with: &str, rows: &str, others: &str, mode: &Mode) -> Vec<String> {
    let names = "n name\n1 one\n2 two\n5 five\n";
    let text = format!(
        "## One\n```sql\n{STREAMS}CREATE STREAM q AS {query}{with};\n```\n\n```input t\n{rows}```\n\n```input u\n{others}```\n\n\
         ```input names\n{names}```\n\n```output q\n```\n"
    );
    let file = parse(Path::new("t.md"), text).unwrap();
    let verdict = crate::runner().run(&file, &file.scenarios[0], mode).await;
    let came = verdict.updates.iter().find_map(|update| match update {
        Update::Block(_, text) => Some(text.lines().map(str::to_owned).collect::<Vec<_>>()),
        Update::File(..) => None,
    });
    assert!(came.is_some() || verdict.failures.is_empty(), "{query}: {:?}", verdict.failures);
    let mut came = came.unwrap_or_default();
    came.sort();
    came
}

#[tokio::test]
async fn rows_that_fail_are_as_if_they_had_not_come() {
    for (at, query) in QUERIES.iter().enumerate() {
        let mut compared = 0;
        for seed in 0..6 {
            let mut random = Random::new(seed * 100 + at as u64);
            let rows = 1 + random.below(40);
            let ((all, good), others) = (input(&mut random, rows), others(&mut random));
            let wanted = result(query, "", &good, &others, &Mode::default()).await;
            let batching = [Batching::AsWritten, Batching::Of(1), Batching::Of(3)][random.below(3) as usize];
            let (parallelism, killed) = ([1, 2, 8][random.below(3) as usize], random.below(2) == 0);
            let mode = Mode { batching, parallelism, killed, seed, ..Mode::default() };
            let came = result(query, " WITH ('on.compute.error' = 'skip')", &all, &others, &mode).await;
            assert_eq!(came, wanted, "seed {seed}, {mode}: {query}\n{all}");
            compared += wanted.len();
        }
        assert!(compared > 6, "{query} gives too little to compare");
    }
}
