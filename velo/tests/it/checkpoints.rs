//! A job that is stopped and goes on, and the commands about its checkpoints.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use velo_exec::checkpoint::Manifest;

use crate::support::Folder;

const BARS: &str = "SET 'checkpoint.dir' = 'state';
CREATE STREAM t (id BIGINT, ts BIGINT)
WITH (connector = 'file', path = 'in.jsonl', format = 'json', watch = 'true', 'event.time.field' = 'ts');
CREATE SINK bars WITH (connector = 'file', path = 'bars.jsonl', format = 'json');
INSERT INTO bars SELECT COUNT(*) AS n, MAX(id) AS last FROM t WINDOW TUMBLING(1m);
SELECT id FROM t;
";

/// Runs `q.sql` until the row with this id is printed, then sends SIGTERM; gives stderr.
fn until(folder: &Folder, id: u32, arguments: &[&str]) -> String {
    let arguments = [&["run", "--output", "json", "--quiet"], arguments, &["q.sql"]].concat();
    let mut child = folder.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim_end() != format!("{{\"id\":{id}}}") {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "the job ended by itself");
    }
    let signalled = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    stderr
}

fn stopped_once() -> Folder {
    let folder = Folder::new().file("in.jsonl", "{\"id\":7,\"ts\":0}\n{\"id\":8,\"ts\":1000}\n").file("q.sql", BARS);
    let stderr = until(&folder, 8, &[]);
    assert!(!stderr.contains("open windows"), "they are in the checkpoint: {stderr}");
    assert_eq!(folder.read("bars.jsonl"), "");
    folder
}

#[test]
fn a_stop_is_gone_on_with() {
    let folder = stopped_once();
    let rows = "{\"id\":7,\"ts\":0}\n{\"id\":8,\"ts\":1000}\n{\"id\":9,\"ts\":2000}\n{\"id\":10,\"ts\":70000}\n";
    let folder = folder.file("in.jsonl", rows);
    let stderr = until(&folder, 10, &[]);
    assert!(stderr.contains("note: going on from checkpoint 1"), "{stderr}");
    assert_eq!(folder.read("bars.jsonl"), "{\"n\":3,\"last\":9}\n", "each row once, over both runs");
    let stderr = until(&folder, 10, &["--fresh"]);
    assert!(!stderr.contains("going on"), "{stderr}");
    assert_eq!(folder.read("bars.jsonl"), "{\"n\":3,\"last\":9}\n", "the output is replaced");
}

#[test]
fn checkpoints_are_listed_shown_and_verified() {
    let folder = stopped_once();
    for from in ["q.sql", "state"] {
        let listed = folder.velo(&["checkpoint", "list", from]);
        assert!(listed.stdout.contains("complete") && listed.stdout.contains("attempt"), "{}", listed.stdout);
    }
    let shown = folder.velo(&["checkpoint", "show", "state"]).stdout;
    assert!(shown.contains("source t") && shown.contains("(line 2)"), "{shown}");
    assert!(shown.contains("operator bars.aggregate") && shown.contains("sink bars"), "{shown}");
    let whole = folder.velo(&["checkpoint", "verify", "state"]);
    assert_eq!((whole.code, whole.stdout.contains("whole")), (0, true), "{}", whole.stdout);
    let json = folder.velo(&["checkpoint", "list", "--output", "json", "state"]).stdout;
    assert!(json.contains("\"state\":\"complete\""), "{json}");
    let folder = folder.file("state/1/manifest.json", "{");
    let damaged = folder.velo(&["checkpoint", "verify", "state", "1"]);
    assert_eq!(damaged.code, 1);
    assert!(damaged.stdout.contains("checkpoint 1: damaged"), "{}", damaged.stdout);
    let ran = folder.velo(&["run", "q.sql"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no checkpoint in checkpoint.dir") && ran.stderr.contains("--fresh"), "{}", ran.stderr);
}

/// A second checkpoint, whose transaction may have been committed in a system that does not know any more.
fn with_a_doubt() -> Folder {
    let folder = stopped_once();
    let first = Manifest::read(folder.read("state/1/manifest.json").as_bytes()).unwrap();
    let second = Manifest { checkpoint: 2, commit_point: Some("kafka localhost:9092".to_owned()), ..first };
    let rows = "{\"id\":7,\"ts\":0}\n{\"id\":8,\"ts\":1000}\n{\"id\":9,\"ts\":70000}\n";
    folder.file("state/2/manifest.json", second.to_bytes().unwrap()).file("in.jsonl", rows)
}

#[test]
fn a_checkpoint_in_doubt_is_resolved_by_the_user() {
    let folder = with_a_doubt();
    let asked = folder.velo(&["run", "q.sql"]);
    assert_eq!(asked.code, 1);
    for part in
        ["checkpoint 2 in ./state is valid if kafka localhost:9092 has committed", "resolve ./state 2 --committed"]
    {
        assert!(asked.stderr.contains(part), "{}", asked.stderr);
    }
    let shown = folder.velo(&["checkpoint", "show", "state"]).stdout;
    assert!(shown.contains("pending") && shown.contains("valid where kafka localhost:9092 has committed"), "{shown}");
    let refused = |arguments: &[&str], why: &str| {
        let ran = folder.velo(&[&["checkpoint", "resolve", "state"], arguments].concat());
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
    };
    refused(&["2"], "--committed");
    refused(&["1", "--discard"], "checkpoint 1 is complete: there is nothing to resolve");
    refused(&["9", "--discard"], "there is no checkpoint 9; there are 1, 2");
    let done = folder.velo(&["checkpoint", "resolve", "q.sql", "2", "--discard"]);
    assert_eq!(done.stdout, "checkpoint 2 is discarded: velo run goes on from the one before\n", "{}", done.stderr);
    refused(&["2", "--committed"], "is discarded already");
    let stderr = until(&folder, 9, &[]);
    assert!(stderr.contains("going on from checkpoint 1 "), "{stderr}");

    let folder = with_a_doubt();
    let done = folder.velo(&["checkpoint", "resolve", "state", "2", "--committed"]);
    assert_eq!(done.stdout, "checkpoint 2 is committed: velo run goes on behind it\n", "{}", done.stderr);
    let early = folder.velo(&["upgrade", "q.sql"]);
    assert_eq!(early.code, 1, "{}", early.stdout);
    assert!(early.stderr.contains("checkpoint 2 is not complete"), "its sinks have not finished it: {}", early.stderr);
    let stderr = until(&folder, 9, &[]);
    assert!(stderr.contains("going on from checkpoint 2 "), "{stderr}");
    let listed = folder.velo(&["checkpoint", "list", "state"]).stdout;
    assert!(listed.contains("complete") && !listed.contains("pending"), "{listed}");
}

#[test]
fn a_damaged_checkpoint_in_doubt_can_only_be_discarded() {
    let folder = with_a_doubt().file("state/2/manifest.json", "{");
    let refused = folder.velo(&["checkpoint", "resolve", "state", "2", "--committed"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("cannot be gone on from: its end is missing"), "{}", refused.stderr);
    assert_eq!(folder.velo(&["checkpoint", "resolve", "state", "2", "--discard"]).code, 0);
    let stderr = until(&folder, 9, &[]);
    assert!(stderr.contains("going on from checkpoint 1 "), "{stderr}");
}

#[test]
fn a_changed_script_is_upgraded() {
    let folder = stopped_once();
    // Another aggregate, another sink, and a filter where there is no state.
    let changed = BARS.replace("SELECT id FROM t;", "SELECT id FROM t WHERE id > 0;").replace(
        "INSERT INTO bars",
        "CREATE SINK all_rows WITH (connector = 'file', path = 'all.jsonl', format = 'json');
         INSERT INTO all_rows SELECT COUNT(*) AS n FROM t WINDOW TUMBLING(1h);
         INSERT INTO bars",
    );
    let rows = "{\"id\":7,\"ts\":0}\n{\"id\":8,\"ts\":1000}\n{\"id\":9,\"ts\":70000}\n{\"id\":10,\"ts\":7200000}\n";
    let folder = folder.file("q.sql", changed).file("in.jsonl", rows);
    let refused = folder.velo(&["run", "q.sql"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("was made by another plan"), "{}", refused.stderr);
    let planned = folder.velo(&["upgrade", "--plan", "q.sql"]).stdout;
    for (part, fate) in [
        ("source t", "kept"),
        ("bars.aggregate", "kept"),
        ("all_rows.aggregate", "begins empty"),
        ("sink bars", "kept"),
    ] {
        let line = planned.lines().find(|line| line.starts_with(part));
        assert!(line.is_some_and(|line| line.contains(fate)), "{part} is to be {fate}:\n{planned}");
    }
    let made = folder.velo(&["upgrade", "q.sql"]);
    assert!(made.stderr.contains("velo run goes on from it"), "{}", made.stderr);
    let stderr = until(&folder, 10, &[]);
    assert!(stderr.contains("going on from checkpoint 2"), "{stderr}");
    assert_eq!(folder.read("bars.jsonl"), "{\"n\":2,\"last\":8}\n{\"n\":1,\"last\":9}\n");
    assert_eq!(folder.read("all.jsonl"), "{\"n\":1}\n", "it begins where the old script had stopped");
}

#[test]
fn wrong_uses_say_what_to_do() {
    let folder = Folder::new().file("q.sql", "SELECT 1 AS one;\n").file("broken.sql", "SELEC 1;\n");
    let said = |arguments: &[&str]| {
        let ran = folder.velo(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        ran.stderr
    };
    assert!(said(&["run", "--fresh", "q.sql"]).contains("the script has no 'checkpoint.dir'"));
    assert!(said(&["run", "--from-checkpoint", "3", "q.sql"]).contains("--accept-duplicates"));
    assert!(said(&["checkpoint", "list", "nowhere"]).contains("there is no folder nowhere"));
    assert!(said(&["checkpoint", "list", "q.sql"]).contains("has no 'checkpoint.dir'"));
    assert!(said(&["checkpoint", "show", "broken.sql"]).contains("error["));
    assert!(said(&["upgrade", "q.sql"]).contains("has no 'checkpoint.dir'"));
    let refused = |settings: &str| folder.refused(&format!("{settings}\nSELECT 1 AS one;"));
    assert!(refused("SET 'checkpoint.keep' = '0';").contains("cannot be resumed"));
    assert!(refused("SET 'checkpoint.timeout' = '0s';").contains("no checkpoint is finished in no time"));
    assert!(refused("SET 'checkpoint.dir' = '';").contains("this is no folder"));
    assert!(refused("SET 'checkpoint.intervall' = '1s';").contains("did you mean 'checkpoint.interval'?"));
    assert!(refused("SET 'restart.strategy' = 'often';").contains("exponential"));
    let twice = "SET 'checkpoint.dir' = 'a';
        SELECT 1 AS one WITH ('checkpoint.dir' = 'b');";
    let twice = folder.refused(twice);
    assert!(twice.contains("which has one value of it") && twice.contains("here it is 'a'"), "{twice}");
    assert!(refused("SET 'spill.dir' = 's3://bucket/x';").contains("goes to a disk of this machine"));
    let elsewhere = folder.failed("SET 'checkpoint.dir' = 'gs://bucket/x'; SELECT 1 AS one;");
    assert!(elsewhere.contains("'gs://' is not built in"), "{elsewhere}");
    let a_file = folder.failed("SET 'checkpoint.dir' = 'q.sql/x'; SELECT 1 AS one;");
    assert!(a_file.contains("checkpoint.dir"), "{a_file}");
}

#[test]
fn a_table_on_the_terminal_ends_once_however_many_checkpoints_there_are() {
    let rows: String = (0..50_000).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let folder = Folder::new().file("in.jsonl", rows);
    let printed = folder.ran(
        "SET 'checkpoint.dir' = 'state';
         SET 'checkpoint.interval' = '1ms';
         CREATE STREAM t (id BIGINT) WITH (connector = 'file', path = 'in.jsonl', format = 'json');
         SELECT id FROM t WHERE id % 1000 = 0;",
    );
    assert_eq!(printed.matches(" rows\n").count(), 1, "{printed}");
    assert!(printed.ends_with("50 rows\n"), "{printed}");
}
