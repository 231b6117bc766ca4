//! Mistakes: each has a message with its place, what was expected and what to do, and leaves nothing half-written.

use expect_test::expect;

use crate::support::Folder;

const ROWS: &str =
    "{\"id\":1,\"ts\":1704067200000,\"price\":\"1.50\"}\n{\"id\":2,\"ts\":1704067201000,\"price\":\"2.50\"}\n";

fn with_rows() -> Folder {
    Folder::new().file("in.jsonl", ROWS)
}

fn source(properties: &str) -> String {
    format!(
        "CREATE STREAM t (id BIGINT, ts BIGINT, price DECIMAL(10,2))\nWITH (connector = 'file', path = 'in.jsonl', format = 'json'{properties});\n"
    )
}

#[test]
fn every_property_misspelt() {
    let folder = with_rows();
    // Every property that a file source and sink have, with its last two letters the other way round.
    for (statement, keys) in [
        (
            "CREATE STREAM t (id BIGINT) WITH (connector = 'file', path = 'in.jsonl', format = 'json', ",
            velo_keys("source"),
        ),
        ("CREATE SINK t WITH (connector = 'file', path = 'out.jsonl', format = 'json', ", velo_keys("sink")),
    ] {
        assert!(keys.len() > 10, "{keys:?}");
        for key in keys {
            let (head, tail) = key.split_at(key.len() - 2);
            let swapped: String = tail.chars().rev().collect();
            if tail == swapped {
                continue;
            }
            let report = folder.refused(&format!("{statement}'{head}{swapped}' = '1');\nSELECT 1 AS one FROM t;"));
            assert!(report.contains(&format!("has no property '{head}{swapped}'")), "{report}");
            assert!(report.contains(&format!("did you mean '{key}'?")), "{key}: {report}");
        }
    }
}

/// The keys that `velo properties` lists for one side of the file connector and for every source or sink.
fn velo_keys(face: &str) -> Vec<String> {
    let listed = Folder::new().velo(&["properties", "--output", "json"]);
    let of: Vec<String> = match face {
        "source" => {
            ["a file source", "every source", "event time", "watermarks", "late data"].map(str::to_owned).to_vec()
        }
        _ => ["a file sink", "every sink"].map(str::to_owned).to_vec(),
    };
    listed
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|spec| of.iter().any(|of| spec["of"] == of.as_str()))
        .map(|spec| spec["key"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn several_mistakes_come_at_once() {
    let report = with_rows().refused(&format!(
        "{}SELECT prize FROM t;\nSELECT SUM(price FROM t;\nSELECT id FROM tt;\nSELECT COUNT(*) FROM t WINDOW TUMBLING(1m);\n",
        source("")
    ));
    expect![[r#"
        error[unknown-column]: there is no column 'prize'
          --> script.sql:3:8
           3 | SELECT prize FROM t;
             |        ^^^^^
           = help: did you mean price?

        error[unclosed]: this parenthesis is never closed
          --> script.sql:4:11
           4 | SELECT SUM(price FROM t;
             |           ^ it opens here
             |                  ---- `)` is expected before this
           = help: close it with )

        error[unknown-relation]: there is no stream, table or view 'tt'
          --> script.sql:5:16
           5 | SELECT id FROM tt;
             |                ^^
           = help: CREATE STREAM … WITH (connector = …) declares one; it must stand before its use

        error[event-time-missing]: a time window needs an event time, and t has none
          --> script.sql:6:24
           6 | SELECT COUNT(*) FROM t WINDOW TUMBLING(1m);
             |                        ^^^^^^^^^^^^^^^^^^^ this window
           = help: add 'event.time.field' = 'ts' to the WITH clause of t
    "#]]
    .assert_eq(&report);
}

#[test]
fn a_java_pattern() {
    let report = with_rows().refused(&format!(
        "{}SELECT id FROM t;",
        source(", 'event.time.field' = 'ts', 'event.time.format' = 'yyyy-MM-dd'")
    ));
    expect![[r#"
        error[bad-property]: 'event.time.format': 'yyyy-MM-dd' is a pattern in Java's notation: write '%Y-%m-%d'
          --> script.sql:2:90
           2 | ...at = 'json', 'event.time.field' = 'ts', 'event.time.format' = 'yyyy-MM-dd');
             |                                            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#]]
    .assert_eq(&report);
}

#[test]
fn a_missing_file_a_folder_and_no_such_connector() {
    let folder = Folder::new().file("folder/x.txt", "");
    let report = folder.failed("CREATE STREAM t (id BIGINT) WITH (connector = 'file', path = 'none.jsonl', format = 'json');\nSELECT id FROM t;");
    expect![[r#"
        error: t: opening: the file 'none.jsonl' does not exist
          help: create it, or have Velo wait for it: 'file.wait.timeout' = '60s'
    "#]]
    .assert_eq(&report);
    let report = folder.refused("CREATE STREAM t (id BIGINT) WITH (connector = 'flie', path = 'none.jsonl', format = 'json');\nSELECT id FROM t;");
    expect![[r#"
        error[unknown-connector]: there is no connector 'flie'
          --> script.sql:1:47
           1 | CREATE STREAM t (id BIGINT) WITH (connector = 'flie', path = 'none.jsonl', format = 'json');
             |                                               ^^^^^^
           = help: did you mean 'file'?
    "#]]
    .assert_eq(&report);
    let ran = folder.velo(&["run", "folder"]);
    assert_eq!(ran.code, 2);
    expect![[r#"
        error: folder is a folder; a script is a file
    "#]]
    .assert_eq(&ran.stderr);
    let ran = folder.velo(&["run", "none.sql"]);
    assert_eq!(ran.code, 2);
    expect![[r#"
        error: reading the script none.sql: No such file or directory (os error 2)
    "#]]
    .assert_eq(&ran.stderr);
}

#[test]
fn a_script_that_is_not_utf8() {
    let folder = Folder::new().file("latin.sql", b"SELECT 1;\n-- caf\xe9\n");
    let ran = folder.velo(&["run", "latin.sql"]);
    assert_eq!(ran.code, 2);
    expect![[r#"
        error: latin.sql:2: the script is not UTF-8 (byte 16); save it as UTF-8
    "#]]
    .assert_eq(&ran.stderr);
}

#[test]
fn a_bad_record_stops_the_job_with_its_line_and_leaves_no_output() {
    let folder = Folder::new().file("in.jsonl", format!("{ROWS}{{\"id\":\"three\"}}\n")).file("out.jsonl", "before\n");
    let report = folder.failed(&format!(
        "{}CREATE SINK o WITH (connector = 'file', path = 'out.jsonl', format = 'json');\nINSERT INTO o SELECT id FROM t;",
        source("")
    ));
    expect![[r#"
        error: t: field 'id': 'three' is no BIGINT (at in.jsonl:3)
          help: 'on.error' = 'skip' or 'dead_letter' goes on without such records
    "#]]
    .assert_eq(&report);
    assert_eq!(folder.read("out.jsonl"), "before\n");
    assert_eq!(folder.names(), ["in.jsonl", "out.jsonl", "script.sql"]);
}

#[test]
fn skipped_records_do_not_hide_errors_of_the_query() {
    // BC-26: line 2 is skipped, line 3 fails the job.
    let folder = Folder::new().file("in.jsonl", "{\"q\":5}\nnot json\n{\"q\":300}\n");
    let script =
        "CREATE STREAM t (q INT) WITH (connector = 'file', path = 'in.jsonl', format = 'json', 'on.error' = 'skip');
CREATE SINK o WITH (connector = 'file', path = 'out.jsonl', format = 'json');
INSERT INTO o SELECT CAST(q AS TINYINT) AS q FROM t;";
    expect![[r#"
        error: o: 300 cannot be converted to TINYINT: it is out of range (at in.jsonl:3)
          help: 'on.compute.error' = 'skip' or 'dead_letter' goes on without such rows
    "#]]
    .assert_eq(&folder.failed(script));
    assert_eq!(folder.names(), ["in.jsonl", "script.sql"]);
}

#[test]
fn division_by_zero_has_a_place() {
    let folder = with_rows();
    expect![[r#"
        error: select: division by zero in '/' (at in.jsonl:2)
          help: 'on.compute.error' = 'skip' or 'dead_letter' goes on without such rows
    "#]]
    .assert_eq(&folder.failed(&format!("{}SELECT price / (id - 2) AS x FROM t;", source(""))));
}

#[test]
fn a_full_disk() {
    // /dev/full takes nothing: every write fails as on a full disk.
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let folder = with_rows();
    let report = folder.failed(&format!(
        "{}CREATE SINK o WITH (connector = 'file', path = '/dev/full', format = 'json', 'delivery.guarantee' = 'at_least_once');\nINSERT INTO o SELECT id FROM t;",
        source("")
    ));
    expect![[r#"
        error: o: writing: /dev/full: No space left on device (os error 28)
          help: make room on the disk; nothing half-written was left
    "#]]
    .assert_eq(&report);
}

#[test]
fn a_file_that_cannot_be_read() {
    // Opening it succeeds and reading fails, whoever runs the test.
    if !std::path::Path::new("/proc/self/mem").exists() {
        return;
    }
    let folder = with_rows();
    let report = folder.failed(
        "CREATE STREAM t (id BIGINT) WITH (connector = 'file', path = '/proc/self/mem', format = 'json');\nCREATE SINK o WITH (connector = 'file', path = 'out.jsonl', format = 'json');\nINSERT INTO o SELECT id FROM t;",
    );
    expect![[r#"
        error: t: reading: /proc/self/mem: Input/output error (os error 5)
    "#]]
    .assert_eq(&report);
    assert!(!folder.names().iter().any(|name| name.contains("out")), "nothing half-written: {:?}", folder.names());
}

#[test]
fn what_cannot_run_yet_says_so() {
    let folder = with_rows();
    let report = folder.refused(&format!(
        "{}SELECT DISTINCT id FROM t;\nSELECT DISTINCT ON (id) id FROM t;\nSTART JOB j AS SELECT id FROM t;\nINSERT INTO t (id) SELECT id FROM t;",
        source("")
    ));
    expect![[r#"
        error[not-supported]: START JOB cannot run yet
          --> script.sql:5:1
           5 | START JOB j AS SELECT id FROM t;
             | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
           = help: jobs by name are not built yet: a script is one job, and runs as long as `velo run` does

        error[not-supported]: INSERT with a column list cannot run yet
          --> script.sql:6:16
           6 | INSERT INTO t (id) SELECT id FROM t;
             |                ^^
           = help: leave it out, and select the columns in the order of the sink
    "#]]
    .assert_eq(&report);
}

#[test]
fn unbounded_inputs() {
    let folder = with_rows();
    let report = folder.refused(&format!(
        "{}SELECT id FROM t ORDER BY id;\nSELECT id FROM t LIMIT 1;\nSELECT id, COUNT(*) FROM t GROUP BY id EMIT FINAL;\nCREATE SINK o WITH (connector = 'file', path = 'o', format = 'json', 'delivery.guarantee' = 'exactly_once');\nINSERT INTO o SELECT id FROM t;",
        source(", watch = 'true'")
    ));
    expect![[r#"
        error[unbounded-input]: ORDER BY needs an input that ends, and this one does not
          --> script.sql:3:27
           3 | SELECT id FROM t ORDER BY id;
             |                           ^^
           = help: leave it out: the rows of a key come in their order; a bounded input (a file without 'watch') can be ordered, and so can the rows of each window

        error[unbounded-input]: LIMIT needs an input that ends, and this one does not
          --> script.sql:4:24
           4 | SELECT id FROM t LIMIT 1;
             |                        ^
           = help: read a bounded input, or stop the query when you have seen enough; beside WINDOW TUMBLING(1m) or its like it is of each window
           = help: QUALIFY ROW_NUMBER() OVER (ORDER BY … DESC) <= 10 gives the first ten rows so far, and takes back those that others push out

        error[unbounded-input]: EMIT FINAL without a window needs an input that ends, and this one does not
          --> script.sql:5:28
           5 | SELECT id, COUNT(*) FROM t GROUP BY id EMIT FINAL;
             |                            ^^^^^^^^^^^
           = help: add WINDOW TUMBLING(1m) or another window, or write EMIT CHANGES

        error[impossible-sink]: exactly-once delivery of an input that does not end needs checkpoints
          --> script.sql:7:13
           7 | INSERT INTO o SELECT id FROM t;
             |             ^
           = help: say where they lie: SET 'checkpoint.dir' = '…'; or set 'delivery.guarantee' = 'at_least_once'
    "#]].assert_eq(&report);
}
