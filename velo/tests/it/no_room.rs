//! Disks that are full in the middle of a job: it ends and says so, and goes on when there is room.
#![cfg(unix)]

use std::process::Command;

use crate::support::Folder;

/// Runs `q.sql` with files that may not grow beyond so many kilobytes: what a full disk does to them. Gives the exit code and stderr.
fn with_room(folder: &Folder, kilobytes: u32) -> (Option<i32>, String) {
    let velo = folder.command(&["run", "--quiet", "q.sql"]);
    let mut shell = Command::new("bash");
    // Without the signal the write answers with an error.
    shell.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$@\"")).arg("bash");
    shell.arg(velo.get_program()).args(velo.get_args());
    if let Some(folder) = velo.get_current_dir() {
        shell.current_dir(folder);
    }
    for (name, value) in velo.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    let ran = shell.output().unwrap();
    (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
}

fn job(statement: &str) -> Folder {
    let rows: String = (0..20_000).map(|id| format!("{{\"id\":{id},\"v\":{}}}\n", id % 7)).collect();
    let sql = format!(
        "SET 'checkpoint.dir' = 'state';
         SET 'restart.strategy' = 'none';
         CREATE STREAM t (id BIGINT, v BIGINT) WITH (connector = 'file', path = 'in.jsonl', format = 'json');
         CREATE SINK o WITH (connector = 'file', path = 'out.jsonl', format = 'json');
         {statement}"
    );
    Folder::new().file("in.jsonl", rows).file("q.sql", sql)
}

/// Two runs: in the first the output does not fit, and nothing of it can be seen; the second is like one in which nothing happened.
#[test]
fn an_output_that_does_not_fit() {
    let folder = job("INSERT INTO o SELECT id, v FROM t;");
    let (code, stderr) = with_room(&folder, 64);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("out.jsonl") && stderr.contains("File too large"), "{stderr}");
    assert!(!folder.names().contains(&"out.jsonl".to_owned()), "{:?}", folder.names());
    let ran = folder.velo(&["run", "--quiet", "q.sql"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let expected: String = (0..20_000).map(|id| format!("{{\"id\":{id},\"v\":{}}}\n", id % 7)).collect();
    assert_eq!(folder.read("out.jsonl"), expected);
    let left: Vec<_> = folder.names().into_iter().filter(|name| name.contains("out")).collect();
    assert_eq!(left, ["out.jsonl"]);
}

/// The state does not fit where checkpoints lie.
#[test]
fn a_checkpoint_that_does_not_fit() {
    let folder = job(
        "INSERT INTO o SELECT v, COUNT(*) AS n, ARRAY_AGG(id) AS ids FROM t GROUP BY v EMIT CHANGES WITH ('emit.interval' = '1h');",
    );
    let sql = folder.read("q.sql").replace("SET 'restart", "SET 'checkpoint.interval' = '0s';\nSET 'restart");
    let folder = folder.file("q.sql", sql);
    let (code, stderr) = with_room(&folder, 16);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("File too large"), "{stderr}");
    let ran = folder.velo(&["run", "--quiet", "q.sql"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(folder.read("out.jsonl").contains("\"n\":2858"), "{}", &folder.read("out.jsonl")[..200]);
}

/// What is put on disk for want of memory does not fit there either.
#[test]
fn memory_and_disk_that_are_both_too_small() {
    let folder = job("INSERT INTO o SELECT id, COUNT(*) AS n FROM t GROUP BY id;");
    let sql = folder
        .read("q.sql")
        .replace("SET 'checkpoint.dir' = 'state';", "SET 'max.memory.mb' = '2';\nSET 'spill.dir' = '.';");
    let folder = folder.file("q.sql", sql);
    let (code, stderr) = with_room(&folder, 8);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("spill.dir") && stderr.contains("File too large"), "{stderr}");
    assert!(folder.names().iter().all(|name| !name.contains("velo-spill")), "{:?}", folder.names());
    let ran = folder.velo(&["run", "--quiet", "q.sql"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(folder.read("out.jsonl").lines().count(), 20_000);
    assert!(folder.names().iter().all(|name| !name.contains("velo-spill")), "{:?}", folder.names());
}
