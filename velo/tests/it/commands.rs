//! The other commands.

use expect_test::expect;

use crate::support::Folder;

const SCRIPT: &str = "create stream t (id bigint, ts bigint) with (connector='file', path='in.jsonl', format='json', 'event.time.field'='ts');
select id, count(*) as n from t where id > 1 + 1 group by id window tumbling(1m);
";

fn folder() -> Folder {
    Folder::new().file("in.jsonl", "{\"id\":3,\"ts\":0}\n").file("q.sql", SCRIPT)
}

#[test]
fn validate() {
    let folder = folder().file("bad.sql", "SELECT 1 FROM nowhere;");
    let ran = folder.velo(&["validate", "q.sql"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let ran = folder.velo(&["validate", "bad.sql"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("error[unknown-relation]"), "{}", ran.stderr);
    let ran = folder.velo(&["validate", "--output", "json", "bad.sql"]);
    assert_eq!(ran.code, 2);
    let mistakes: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(mistakes[0]["code"], "unknown-relation");
}

#[test]
fn fmt() {
    let folder = folder();
    let ran = folder.velo(&["fmt", "--check", "q.sql"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, "q.sql\n"));
    assert_eq!(folder.read("q.sql"), SCRIPT);
    assert_eq!(folder.velo(&["fmt", "q.sql"]).code, 0);
    expect![[r#"
        CREATE STREAM t (id BIGINT, ts BIGINT)
        WITH (connector = 'file', path = 'in.jsonl', format = 'json', 'event.time.field' = 'ts');

        SELECT id, count(*) AS n FROM t WHERE id > 1 + 1 GROUP BY id WINDOW TUMBLING(1m);
    "#]]
    .assert_eq(&folder.read("q.sql"));
    assert_eq!(folder.velo(&["fmt", "--check", "q.sql"]).code, 0);
}

#[test]
fn explain() {
    let folder = folder();
    let ran = folder.velo(&["explain", "q.sql"]);
    expect![[r#"
        Sink terminal → terminal (id, n), at least once, visible at once
          Project $key0 AS id, $agg0 AS n
            Aggregate by $key0 = id TUMBLING(1m): $agg0 = count(*); late rows are dropped
              Filter (id > 2)
                Source t ← file in.jsonl (json) (id), ends; event time ts as auto in UTC, watermark 5s behind
    "#]]
    .assert_eq(&ran.stdout);
    let ran = folder.velo(&["explain", "--output", "dot", "q.sql"]);
    assert!(ran.stdout.starts_with("digraph plan {") && ran.stdout.contains("n0 -> n1;"), "{}", ran.stdout);
    let ran = folder.velo(&["explain", "--output", "json", "q.sql"]);
    let plan: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(plan["nodes"][0]["owner"], "t");
}

#[test]
fn lists() {
    let folder = Folder::new();
    let connectors = folder.velo(&["connectors"]).stdout;
    assert!(connectors.lines().any(|line| line.starts_with("file  (source, table, sink)")), "{connectors}");
    assert!(connectors.lines().any(|line| line.starts_with("nexmark  (source, table)")), "{connectors}");
    assert!(connectors.lines().any(|line| line.starts_with("print  (sink)")), "{connectors}");
    assert!(folder.velo(&["functions", "date_tr"]).stdout.starts_with("date_trunc "));
    let properties = folder.velo(&["properties", "event.time.field"]).stdout;
    assert!(properties.starts_with("event.time.field of event time (field name"), "{properties}");
    for (list, key) in [("connectors", "name"), ("functions", "name"), ("properties", "key")] {
        let ran = folder.velo(&[list, "--output", "json"]);
        assert!(ran.stdout.lines().count() > 0);
        for line in ran.stdout.lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).unwrap()[key].is_string());
        }
    }
    assert!(folder.velo(&["completions", "bash"]).stdout.contains("_velo()"));
}

#[test]
fn show_describe_and_explain_in_a_script() {
    let out = folder().ran(&format!(
        "{SCRIPT}DESCRIBE t; SHOW STREAMS; SHOW CREATE STREAM t; EXPLAIN SELECT id FROM t; EXPLAIN ANALYZE SELECT id FROM t WHERE id > 100;"
    ));
    expect![[r#"
        column  type    null  note
        ────────────────────────────────
        id      BIGINT
        ts      BIGINT        event time
        name
        ────
        t
        CREATE STREAM t (id BIGINT, ts BIGINT)
        WITH (connector = 'file', path = 'in.jsonl', format = 'json', 'event.time.field' = 'ts')
        Sink terminal → terminal (id), at least once, visible at once
          Project id
            Source t ← file in.jsonl (json) (id), ends; event time ts as auto in UTC, watermark 5s behind
        id  n
        ─────
         3  1
        1 row
        Sink terminal → terminal (id), at least once, visible at once  [0 rows]
          Project id  [0 rows]
            Filter (id > 100)  [0 rows]
              Source t ← file in.jsonl (json) (id), ends; event time ts as auto in UTC, watermark 5s behind  [1 rows]
    "#]]
    .assert_eq(&out);
}
