//! Dead letters: where they come from, how they are listed, and how they are read again.

use crate::support::Folder;

const SCRIPT: &str = "CREATE SINK bad WITH (connector = 'file', path = 'bad.jsonl', format = 'json');
CREATE STREAM t (id INT, a INT) WITH (connector = 'file', path = 'in.jsonl', format = 'json', 'on.error' = 'dead_letter', 'dead.letter.sink' = 'bad');
CREATE SINK out WITH (connector = 'file', path = 'out.jsonl', format = 'json');
INSERT INTO out SELECT id, 100 / a AS share FROM t WITH ('on.compute.error' = 'dead_letter', 'dead.letter.sink' = 'bad');
";

/// The third record is no UTF-8, the fifth is far too long for a line of a table.
fn input() -> Vec<u8> {
    let mut input = b"{\"id\": 1, \"a\": 5}\nno json\\, \t'at all'\n".to_vec();
    input.extend(b"{\"id\": \xff\xfe}\n{\"id\": 2, \"a\": 0}\n");
    input.extend(format!("{{\"id\": \"{}\"}}\n", "x".repeat(200)).bytes());
    input.extend(b"{\"id\": 3, \"a\": 4}\n");
    input
}

fn ran(script: &str) -> Folder {
    let folder = Folder::new().file("in.jsonl", input()).file("q.sql", script);
    let ran = folder.velo(&["run", "q.sql"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("out: 1 rows could not be computed and were left out"), "{}", ran.stderr);
    assert_eq!(folder.read("out.jsonl"), "{\"id\":1,\"share\":20}\n{\"id\":3,\"share\":25}\n");
    folder
}

#[test]
fn dead_letters_are_listed() {
    let folder = ran(SCRIPT);
    for from in ["q.sql", "bad.jsonl"] {
        let listed = folder.velo(&["dlq", "list", from]);
        assert_eq!(listed.code, 0, "{}", listed.stderr);
        let lines: Vec<&str> = listed.stdout.lines().collect();
        assert_eq!(lines.len(), 2 + 4, "{}", listed.stdout);
        assert!(lines[0].starts_with("stage    source  place       code"), "{}", lines[0]);
        let computed = lines.iter().find(|line| line.starts_with("compute")).unwrap();
        for word in ["out", "in.jsonl:4", "compute-error", "division by zero", "{\"id\":2,\"a\":0}"] {
            assert!(computed.contains(word), "{computed}");
        }
        let long = lines.iter().find(|line| line.contains("in.jsonl:5")).unwrap();
        assert!(long.ends_with('…') && !long.contains(&"x".repeat(100)), "{long}");
    }
    let listed = folder.velo(&["dlq", "list", "bad.jsonl", "--code", "compute-error", "--output", "json"]);
    let line: serde_json::Value = serde_json::from_str(listed.stdout.trim_end()).unwrap();
    assert_eq!((&line["source"], &line["record"]), (&"out".into(), &"{\"id\":2,\"a\":0}".into()));
    let listed = folder.velo(&["dlq", "list", "bad.jsonl", "--source", "T", "--limit", "1"]);
    assert_eq!(listed.stdout.lines().count(), 3, "{}", listed.stdout);
    assert_eq!(listed.stderr, "1 of 3 are listed; --limit 3 lists all\n");
    let none = folder.velo(&["dlq", "list", "bad.jsonl", "--code", "late-data"]);
    assert_eq!((none.code, none.stdout.as_str(), none.stderr.as_str()), (0, "", "there are no such dead letters\n"));
}

#[test]
fn records_are_replayed_byte_by_byte() {
    let lines = input();
    let bad: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    let wanted = [bad[1], bad[2], bad[4]].concat();
    for form in ["jsonl", "csv", "parquet", "jsonl.gz"] {
        let format = form.trim_end_matches(".gz").trim_end_matches('l');
        let script = SCRIPT.replace("bad.jsonl', format = 'json'", &format!("bad.{form}', format = '{format}'"));
        let folder = ran(&script);
        let file = format!("bad.{form}");
        let replayed = folder.velo(&["dlq", "replay", &file, "--source", "t", "--to", "again.jsonl"]);
        assert_eq!((replayed.code, replayed.stderr.as_str()), (0, "3 records of t were written to again.jsonl\n"));
        assert_eq!(folder.bytes("again.jsonl"), wanted, "through {form}");
        let again = folder.velo(&["dlq", "replay", &file, "--source", "t", "--to", "again.jsonl"]);
        assert_eq!(again.code, 2);
        assert!(again.stderr.contains("again.jsonl is there already, and is not overwritten"), "{}", again.stderr);
        assert_eq!(folder.bytes("again.jsonl"), wanted, "it is as it was");
    }
}

#[test]
fn rows_are_replayed_as_json() {
    let folder = ran(SCRIPT);
    let replayed = folder.velo(&["dlq", "replay", "q.sql", "--code", "compute-error", "--to", "rows.jsonl"]);
    assert_eq!((replayed.code, replayed.stderr.as_str()), (0, "1 rows of out were written to rows.jsonl\n"));
    assert_eq!(folder.read("rows.jsonl"), "{\"id\":2,\"a\":0}\n");
}

#[test]
fn a_header_stands_above_what_is_replayed() {
    let folder = Folder::new().file("in.csv", "id,a\n1,5\nx,5\n\"y\nz\",5\n").file(
        "q.sql",
        "CREATE SINK bad WITH (connector = 'file', path = 'bad.jsonl');
CREATE STREAM t (id INT, a INT) WITH (connector = 'file', path = 'in.csv', 'on.error' = 'dead_letter', 'dead.letter.sink' = 'bad');
SELECT id FROM t;
",
    );
    assert_eq!(folder.velo(&["run", "q.sql"]).code, 0);
    let replayed = folder.velo(&["dlq", "replay", "q.sql", "--header", "id,a", "--to", "again.csv"]);
    assert_eq!(
        replayed.stderr,
        "2 records of t were written to again.csv\nnote: 1 of the records have line breaks in them\n"
    );
    assert_eq!(folder.read("again.csv"), "id,a\nx,5\n\"y\nz\",5\n");
}

#[test]
fn what_cannot_be_replayed_is_said_and_nothing_is_made() {
    let folder = ran(SCRIPT).file("other.jsonl", "{\"id\":1}\n").file("plain.sql", "SELECT 1 AS one;");
    let refused = |arguments: &[&str]| {
        let ran = folder.velo(&[&["dlq"], arguments].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        ran.stderr
    };
    let names = folder.names();
    for (arguments, message) in [
        (&["replay", "bad.jsonl", "--to", "x.jsonl"][..], "which do not belong into one file: choose with --source"),
        (&["replay", "bad.jsonl", "--code", "late-data", "--to", "x.jsonl"], "there is nothing to replay"),
        (&["replay", "bad.jsonl", "--to", "kafka://broker/t"], "--to-source sends records back"),
        (&["replay", "bad.jsonl", "--to", "x.jsonl", "--to-source"], "cannot be used with"),
        (&["replay", "bad.jsonl", "--to-source"], "--to-source takes the script that wrote the dead letters"),
        (&["replay", "q.sql", "--source", "t", "--to-source"], "was not read from a topic, and nothing was sent"),
        (&["replay", "q.sql", "--source", "out", "--to-source"], "there is nothing to replay, and nothing was sent"),
        (&["list", "kafka://broker/t"], "found by the script that wrote them"),
        (&["replay", "bad.jsonl", "--to", "x.jsonl.gz"], "without compression"),
        (&["replay", "bad.jsonl"], "<--to <FILE>|--to-source>"),
        (&["list", "other.jsonl"], "has no dead letters: a row of it has no 'stage'"),
        (&["list", "plain.sql"], "no policy of it is 'dead_letter'"),
        (&["list", "q.sql", "bad.jsonl"], "is a script, which stands alone"),
        (&["list"], "<FROM>"),
    ] {
        let stderr = refused(arguments);
        assert!(stderr.contains(message), "{arguments:?}: {stderr}");
    }
    assert_eq!(folder.names(), names, "nothing was made");
    assert_eq!(folder.velo(&["dlq", "list", "nowhere.jsonl"]).code, 1);
}

#[test]
fn a_job_goes_on_under_another_policy() {
    let script = |policy: &str| {
        format!(
            "SET 'checkpoint.dir' = 'state';
CREATE STREAM t (id INT, a INT) WITH (connector = 'file', path = 'in.jsonl', format = 'json');
CREATE SINK out WITH (connector = 'file', path = 'out.jsonl', format = 'json');
INSERT INTO out SELECT id, 100 / a AS share FROM t{policy};
"
        )
    };
    let folder = Folder::new().file("in.jsonl", "{\"id\":1,\"a\":5}\n{\"id\":2,\"a\":0}\n").file("q.sql", script(""));
    let failed = folder.velo(&["run", "q.sql"]);
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("'on.compute.error' = 'skip' or 'dead_letter' goes on"), "{}", failed.stderr);
    let folder = folder.file("q.sql", script(" WITH ('on.compute.error' = 'skip')"));
    let ran = folder.velo(&["run", "q.sql"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(folder.read("out.jsonl"), "{\"id\":1,\"share\":20}\n");
}

/// A table that is made by a query, or of records as they come, has no part in the checkpoints of a job that its input has ended for;
/// what its input cannot use is a dead letter all the same.
#[test]
fn what_makes_a_table_has_dead_letters_too() {
    for dir in ["", "SET 'checkpoint.dir' = 'state';\n"] {
        let script = format!(
            "{dir}CREATE SINK bad WITH (connector = 'file', path = 'bad.jsonl', format = 'json');
CREATE STREAM t (id INT) WITH (connector = 'file', path = 'in.jsonl', format = 'json', 'on.error' = 'dead_letter', 'dead.letter.sink' = 'bad');
CREATE TABLE counts AS SELECT id, COUNT(*) AS n FROM t GROUP BY id;
CREATE STREAM asked (id INT) WITH (connector = 'file', path = 'asked.jsonl', format = 'json');
CREATE SINK out WITH (connector = 'file', path = 'out.jsonl', format = 'json');
INSERT INTO out SELECT asked.id, counts.n FROM asked JOIN counts ON asked.id = counts.id;
"
        );
        let folder = Folder::new().file("in.jsonl", "{\"id\":1}\n{\"id\":}\n{\"id\":1}\n").file("q.sql", script);
        let folder = folder.file("asked.jsonl", "{\"id\":1}\n");
        let ran = folder.velo(&["run", "q.sql"]);
        assert_eq!(ran.code, 0, "{dir}{}", ran.stderr);
        assert_eq!(folder.read("out.jsonl"), "{\"id\":1,\"n\":2}\n");
        let letters = folder.read("bad.jsonl");
        assert!(letters.lines().count() == 1 && letters.contains("in.jsonl:2"), "{dir}{letters}");
    }
}
