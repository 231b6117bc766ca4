//! Checkpoints in S3: objects that are put once, jobs that are killed and go on, the commands about checkpoints, and what is said
//! when the service refuses.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::StreamExt;
use velo_exec::checkpoint::Created;

use crate::proxy::{self, Fate};
use crate::server::{Bucket, Guarded};
use crate::support::{Folder, Ran};

const INPUT: &str = "CREATE STREAM t (id BIGINT, ts BIGINT) WITH (
  connector = 'file', path = 'in.jsonl', format = 'json', watch = '@', 'event.time.field' = 'ts', 'event.time.format' = 'epoch_seconds',
  'watermark.max_out_of_orderness' = '0s'
);
CREATE SINK bars WITH (connector = 'file', path = 'bars.jsonl', format = 'json');
INSERT INTO bars SELECT _window_start AS at, COUNT(*) AS n, SUM(id) AS ids FROM t WINDOW TUMBLING(1m);
CREATE SINK rows WITH (connector = 'file', path = 'rows.jsonl', format = 'json');
INSERT INTO rows SELECT id FROM t;
";

/// A job in a folder of its own, with its checkpoints in a bucket.
struct Job {
    folder: Folder,
    bucket: Bucket,
}

impl Job {
    fn new(bucket: Bucket, settings: &str, follows: bool) -> Self {
        let input = INPUT.replace('@', if follows { "true" } else { "false" });
        let shown = if follows { "SELECT id FROM t;\n" } else { "" };
        let script = format!("SET 'checkpoint.dir' = '{}';\n{settings}{input}{shown}", bucket.dir());
        Self { folder: Folder::new().file("q.sql", script), bucket }
    }

    /// Makes the input that of so many rows, one each second.
    fn input(&self, rows: u64) {
        let lines: String = (0..rows).map(|id| format!("{{\"id\":{id},\"ts\":{id}}}\n")).collect();
        std::fs::write(self.folder.path("in.jsonl"), lines).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.bucket.command(&self.folder, arguments)
    }

    fn velo(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Starts it, and waits until the row with this id is printed.
    fn until(&self, id: u64) -> Child {
        let mut command = self.command(&["run", "--output", "json", "--quiet", "q.sql"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line.trim_end() != format!("{{\"id\":{id}}}") {
            line.clear();
            if stdout.read_line(&mut line).unwrap() == 0 {
                panic!("the job ended by itself: {}", Ran::of(child.wait_with_output().unwrap()).stderr);
            }
        }
        child
    }

    /// The highest number of a checkpoint that is complete.
    fn newest(&self) -> u64 {
        let listed = self.velo(&["checkpoint", "list", "--output", "json", &self.bucket.dir()]);
        assert_eq!(listed.code, 0, "{}", listed.stderr);
        let complete = listed.stdout.lines().filter(|line| line.contains("\"state\":\"complete\""));
        let number = |line: &str| line.split(['{', ':', ',']).nth(2).unwrap().parse().unwrap();
        complete.map(number).max().unwrap_or(0)
    }

    fn stop(&self, child: Child) -> String {
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stderr
    }

    /// What it has written is that of so many rows: the windows that are over, and each row once.
    fn assert_written(&self, rows: u64, windows: u64) {
        let bar = |window: u64| {
            let ids: Vec<u64> = (window * 60..rows.min(window * 60 + 60)).collect();
            format!(
                "{{\"at\":\"1970-01-01T00:{window:02}:00Z\",\"n\":{},\"ids\":{}}}\n",
                ids.len(),
                ids.iter().sum::<u64>()
            )
        };
        assert_eq!(self.folder.read("bars.jsonl"), (0..windows).map(bar).collect::<String>());
        let ids: String = (0..rows).map(|id| format!("{{\"id\":{id}}}\n")).collect();
        assert_eq!(self.folder.read("rows.jsonl"), ids);
    }
}

/// What is asked of a folder anywhere, of one in S3: this process has the environment of the shared server.
#[tokio::test]
async fn an_object_is_put_once_and_found_again() {
    let dir = Bucket::new().dir();
    let open = || velo_job::Folder::open(&dir).unwrap();
    let folder = open();
    assert!(folder.list("").await.unwrap().is_empty());
    assert_eq!(folder.create("1/manifest.json", "one").await.unwrap(), Created::New);
    assert_eq!(folder.create("1/manifest.json", "two").await.unwrap(), Created::Taken);
    assert_eq!(folder.create("1/state/a=20b/t-0.arrow", vec![7; 9 << 20]).await.unwrap(), Created::New);
    assert_eq!(folder.read("1/manifest.json").await.unwrap().unwrap(), "one");
    assert_eq!(folder.read("1/state/a=20b/t-0.arrow").await.unwrap().unwrap().len(), 9 << 20);
    assert_eq!(folder.read("2/manifest.json").await.unwrap(), None);
    assert_eq!(folder.create("10/complete", "").await.unwrap(), Created::New);
    let expected = [("1/manifest.json".to_owned(), 3), ("1/state/a=20b/t-0.arrow".to_owned(), 9 << 20)];
    assert_eq!(folder.list("1").await.unwrap(), expected);
    for (name, _) in folder.list("").await.unwrap() {
        folder.remove(&name).await.unwrap();
        folder.remove(&name).await.unwrap();
    }
    assert!(folder.list("").await.unwrap().is_empty());
    // Of many processes that want one number, one gets it.
    for number in 1..=10 {
        let name = format!("attempts/{number}");
        let claims = (0..8).map(|_| async { open().create(&name, "").await.unwrap() });
        let won = futures::future::join_all(claims).await.into_iter().filter(|got| *got == Created::New).count();
        assert_eq!(won, 1, "attempt {number}");
    }
    // A list comes in pages of a thousand.
    let many = futures::stream::iter(0..1_010).for_each_concurrent(8, |at| {
        let folder = folder.clone();
        async move { assert_eq!(folder.create(&format!("runs/{at}"), "").await.unwrap(), Created::New) }
    });
    many.await;
    let mut numbers = folder.numbers("runs").await.unwrap();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..1_010));
    folder.remove_numbers("attempts", 5).await.unwrap();
    assert_eq!(folder.numbers("attempts").await.unwrap().len(), 6);
}

#[test]
fn a_job_that_is_killed_goes_on_from_its_checkpoints() {
    let job = Job::new(Bucket::new(), "SET 'checkpoint.interval' = '1ms';\n", true);
    for round in 1..=5 {
        job.input(round * 100);
        let before = job.newest();
        let mut child = job.until(round * 100 - 1);
        // At least one checkpoint comes on; it is killed in the middle of a later one, or between two.
        while job.newest() == before {}
        child.kill().unwrap();
        let stderr = Ran::of(child.wait_with_output().unwrap()).stderr;
        assert_eq!(stderr.contains("going on from checkpoint"), round > 1, "{stderr}");
    }
    job.input(601);
    let child = job.until(600);
    let stderr = job.stop(child);
    assert!(stderr.contains("going on from checkpoint"), "{stderr}");
    job.assert_written(601, 10);
}

#[test]
fn checkpoints_are_listed_shown_verified_and_upgraded() {
    let job = Job::new(Bucket::new(), "", true);
    job.input(90);
    let child = job.until(89);
    job.stop(child);
    for from in ["q.sql", &job.bucket.dir()] {
        let listed = job.velo(&["checkpoint", "list", from]);
        assert!(listed.stdout.contains("complete") && listed.stdout.contains("attempt"), "{}", listed.stdout);
        let shown = job.velo(&["checkpoint", "show", from]).stdout;
        assert!(shown.contains("source t") && shown.contains("(line 90)"), "{shown}");
        assert!(shown.contains("operator bars.aggregate") && shown.contains("sink bars"), "{shown}");
        let whole = job.velo(&["checkpoint", "verify", from]);
        assert_eq!((whole.code, whole.stdout.contains("whole")), (0, true), "{}", whole.stdout);
    }
    let planned = job.velo(&["upgrade", "--plan", "q.sql"]);
    assert!(planned.stdout.contains("bars.aggregate") && planned.stdout.contains("kept"), "{}", planned.stdout);
    job.bucket.overwrite("1/manifest.json", "{");
    let damaged = job.velo(&["checkpoint", "verify", &job.bucket.dir()]);
    assert_eq!(damaged.code, 1);
    assert!(damaged.stdout.contains("checkpoint 1: damaged"), "{}", damaged.stdout);
    let empty = job.velo(&["checkpoint", "list", &format!("s3://{}/elsewhere", job.bucket.name)]);
    assert_eq!((empty.code, empty.stderr.as_str()), (0, "there is no checkpoint\n"));
}

/// Every third object is put, and the client told that it was not: it tries again, and finds its own.
#[test]
fn an_answer_that_is_lost_changes_nothing() {
    let (bucket, lost) = (Bucket::new(), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&lost);
    let proxy = proxy::start(&bucket.server, move |call| {
        let put = call.starts_with("PUT") && count.fetch_add(1, Ordering::Relaxed).is_multiple_of(3);
        if put { Fate::Lose } else { Fate::Pass }
    });
    let job = Job::new(bucket.through(&proxy), "SET 'restart.strategy' = 'none';\n", true);
    for round in 1..=3 {
        job.input(round * 100);
        let child = job.until(round * 100 - 1);
        job.stop(child);
    }
    assert!(lost.load(Ordering::Relaxed) > 12, "{lost:?} objects");
    job.assert_written(300, 4);
}

#[test]
fn a_service_that_ignores_conditions_is_refused() {
    let bucket = Bucket::new();
    let proxy = proxy::start(&bucket.server, |_| Fate::Forget);
    let job = Job::new(bucket.through(&proxy), "", false);
    job.input(10);
    let ran = job.velo(&["run", "q.sql"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("it ignores If-None-Match") && ran.stderr.contains("help: "), "{}", ran.stderr);
}

/// While the service is away the job starts again as often as it may, and goes on when it is back.
#[test]
fn a_service_that_comes_back_is_waited_for() {
    let (bucket, calls) = (Bucket::new(), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&calls);
    // It is away behind the first checkpoints, for longer than one call is tried again.
    let proxy = proxy::start(&bucket.server, move |_| match count.fetch_add(1, Ordering::Relaxed) {
        30..45 => Fate::Break,
        _ => Fate::Pass,
    });
    let settings =
        "SET 'checkpoint.interval' = '1ms';\nSET 'restart.backoff' = '1ms';\nSET 'restart.backoff.max' = '1ms';\n";
    let mut job = Job::new(bucket.through(&proxy), settings, true);
    let script = job.folder.read("q.sql").replace("\nSELECT id FROM t;\n", "\n");
    job.folder = job.folder.file("q.sql", script);
    job.input(61);
    let mut child = job.command(&["run", "q.sql"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("starting again in") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    // Not before it answers again: the list goes the same way.
    while calls.load(Ordering::Relaxed) < 60 || job.newest() == 0 {}
    job.stop(child);
    assert!(said.contains("no answer from"), "{said}");
    job.assert_written(61, 1);
}

/// Runs it; it fails with exit code 1, says what to do, and names no secret.
fn refused(job: &Job, command: &mut Command) -> String {
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("help: "), "{}", ran.stderr);
    assert!(job.bucket.secret.len() < 8 || !ran.stderr.contains(&job.bucket.secret), "{}", ran.stderr);
    ran.stderr
}

#[test]
fn what_is_wrong_with_the_environment_is_said() {
    let job = Job::new(Bucket::new(), "", false);
    job.input(10);
    let run = || job.command(&["run", "q.sql"]);
    let said = refused(&job, run().env_remove("AWS_ALLOW_HTTP"));
    assert!(said.contains("AWS_ENDPOINT_URL is http://") && said.contains("AWS_ALLOW_HTTP=true"), "{said}");
    let said = refused(&job, run().env_remove("AWS_SECRET_ACCESS_KEY"));
    assert!(said.contains("are set both or neither"), "{said}");
    let said = refused(
        &job,
        run()
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .env_remove("AWS_ACCESS_KEY_ID")
            .env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1"),
    );
    assert!(said.contains("there are no credentials") && said.contains("set AWS_ACCESS_KEY_ID"), "{said}");
    let said = refused(&job, run().env("AWS_ENDPOINT_URL", "http://127.0.0.1:1"));
    assert!(said.contains("no answer from http://127.0.0.1:1: Connection refused"), "{said}");
    // Nothing of this was tried for long, and nothing of it was left.
    assert_eq!(job.velo(&["run", "q.sql"]).code, 0);
}

#[test]
fn a_bucket_that_is_not_there_is_said() {
    let mut job = Job::new(Bucket::new(), "", false);
    job.input(10);
    let dir = format!("s3://{}-not/jobs", job.bucket.name);
    let script = job.folder.read("q.sql").replace(&job.bucket.dir(), &dir);
    job.folder = job.folder.file("q.sql", script);
    for arguments in [&["run", "q.sql"][..], &["checkpoint", "list", &dir], &["upgrade", "q.sql"]] {
        let said = refused(&job, &mut job.command(arguments));
        assert!(said.contains("there is no bucket '") && said.contains("help: make it"), "{said}");
    }
    for (dir, expected) in [
        ("s3:///x", "is no name of a bucket"),
        ("s3://AKIA:very-secret@bucket/x", "credentials are no part of the address"),
        ("gs://bucket/x", "'gs://' is not built in; local folders are, file://, and s3://"),
    ] {
        let said = refused_address(&job, dir);
        assert!(said.contains(expected) && !said.contains("very-secret"), "{said}");
    }
}

fn refused_address(job: &Job, dir: &str) -> String {
    let listed = job.velo(&["checkpoint", "list", dir]);
    assert_eq!(listed.code, 1, "{}", listed.stderr);
    listed.stderr
}

#[test]
fn wrong_keys_are_told_from_what_may_not_be_done() {
    let all = r#""s3:ListBucket","s3:GetObject","s3:PutObject","s3:DeleteObject""#;
    let (_server, bucket) = Guarded::new(all);
    let job = Job::new(bucket, "SET 'checkpoint.interval' = '1ms';\n", false);
    job.input(1_000);
    let ran = job.velo(&["run", "q.sql"]);
    assert_eq!(ran.code, 0, "what the help names is enough: {}", ran.stderr);
    job.assert_written(1_000, 17);
    let run = || job.command(&["run", "q.sql"]);
    for (name, value, code) in [
        ("AWS_ACCESS_KEY_ID", "AKIANOBODYKNOWSTHIS0", "InvalidAccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "wrong-and-not-shown", "SignatureDoesNotMatch"),
    ] {
        let said = refused(&job, run().env(name, value));
        assert!(said.contains("does not know the credentials: 403") && said.contains(code), "{said}");
        assert!(!said.contains("wrong-and-not-shown"), "{said}");
    }
    let (_server, bucket) = Guarded::new(r#""s3:ListBucket","s3:GetObject""#);
    let job = Job::new(bucket, "", false);
    job.input(10);
    let said = refused(&job, &mut job.command(&["run", "q.sql"]));
    assert!(said.contains("writing: job.json: 403") && said.contains("AccessDenied"), "{said}");
    assert!(said.contains("s3:PutObject") && said.contains("'state/jobs/bars/*'"), "{said}");
}
