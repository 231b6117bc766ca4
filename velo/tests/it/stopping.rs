//! Stopping: what was read reaches the sinks, no open window fires, and the exit code is 0.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::support::Folder;

const WATCHED: &str = "CREATE STREAM t (id BIGINT, ts BIGINT)
WITH (connector = 'file', path = 'in.jsonl', format = 'json', watch = 'true', 'event.time.field' = 'ts');
SELECT id FROM t;
SELECT COUNT(*) AS n FROM t WINDOW TUMBLING(1m);
";

/// Runs until the first row is printed, sends SIGTERM, and gives exit code, the rest of stdout, and stderr.
fn stopped(arguments: &[&str]) -> (i32, String, String) {
    let folder = Folder::new().file("in.jsonl", "{\"id\":7,\"ts\":0}\n{\"id\":8,\"ts\":1000}\n").file("q.sql", WATCHED);
    let mut child = folder.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("{\"id\":8}") {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "the job ended by itself");
    }
    let signalled = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (child.wait().unwrap().code().unwrap(), rest, stderr)
}

#[test]
fn open_windows_do_not_fire() {
    let (code, rest, stderr) = stopped(&["run", "--output", "json", "q.sql"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(rest, "");
    assert!(stderr.contains("open windows held 2 rows"), "{stderr}");
}

#[test]
fn finish_on_stop_ends_the_inputs() {
    let (code, rest, stderr) = stopped(&["run", "--output", "json", "--finish-on-stop", "q.sql"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(rest, "{\"n\":2}\n");
    assert!(!stderr.contains("open windows"), "{stderr}");
}
