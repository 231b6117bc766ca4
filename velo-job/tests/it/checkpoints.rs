//! Jobs that are stopped, killed and damaged, and go on from their checkpoints: files to files, through the public face.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use velo_core::duration::Span;
use velo_exec::ExecError;
use velo_exec::checkpoint::{Folder as CheckpointFolder, Inventory, Manifest, Standing, verify};
use velo_job::{JobProgress, OnCheckpoint, Resume, RunOptions, Script, Stop};
use velo_testkit::Gate;
use velo_testkit::collecting::Collected;
use velo_testkit::scripted::{Acknowledged, Script as Rows, Step};

use crate::context::context;
use crate::support::{Scripted, open, reached, rows};

/// A job in a folder of its own.
pub struct Job {
    folder: tempfile::TempDir,
    sql: String,
    pub parallelism: usize,
}

/// How a run of a job ended.
#[derive(Debug)]
pub enum Ran {
    Ended(Result<(), ExecError>),
    Killed,
}

impl Job {
    /// A script; `@` in it stands for the job's folder.
    pub fn new(sql: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sql = sql.replace('@', folder.path().to_str().unwrap());
        Self { folder, sql, parallelism: 1 }
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub async fn script(&self) -> Script {
        let script = Script::plan(&self.sql, &context(Path::new("."))).await;
        assert!(script.is_runnable(), "{:?}", script.diagnostics());
        script
    }

    pub fn options(&self, every: Span) -> RunOptions {
        let mut options = RunOptions::new(1);
        options.parallelism = self.parallelism;
        options.name = "test".to_owned();
        options.batch_rows = 100;
        options.recovery = Some(velo_plan::RecoveryProperties { interval: every, ..recovery(self) });
        options
    }

    /// Runs it on a thread and runtime of its own until it ends, or until its `kill`-th checkpoint is complete: then all that it has
    /// in work goes down.
    pub fn run(&self, kill: Option<u64>, change: impl FnOnce(&mut RunOptions) + Send) -> Ran {
        std::thread::scope(|scope| {
            let run = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let (count, now) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
                runtime.block_on(async {
                    let mut options = self.options(Span(0));
                    let (counted, told) = (Arc::clone(&count), Arc::clone(&now));
                    let on_checkpoint: OnCheckpoint = Arc::new(move |manifest| {
                        if !manifest.ended && Some(counted.fetch_add(1, Ordering::Relaxed) + 1) == kill {
                            told.notify_one();
                        }
                    });
                    options.on_checkpoint = Some(on_checkpoint);
                    change(&mut options);
                    let script = self.script().await;
                    let progress = script.progress();
                    tokio::select! {
                        biased;
                        () = now.notified() => Ran::Killed,
                        ran = script.run(options, &progress) => Ran::Ended(ran),
                    }
                })
            };
            scope.spawn(run).join().unwrap()
        })
    }

    /// Runs it to its end, which is reached.
    pub fn finish(&self) {
        match self.run(None, |_| {}) {
            Ran::Ended(Ok(())) => {}
            other => panic!("{other:?}"),
        }
    }

    fn error(&self, change: impl FnOnce(&mut RunOptions) + Send) -> String {
        match self.run(None, change) {
            Ran::Ended(Err(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// What its newest checkpoint says.
    pub fn newest(&self) -> Manifest {
        let (_, inventory) = tokio::runtime::Runtime::new().unwrap().block_on(self.inventory());
        inventory.checkpoints.last().unwrap().manifest.clone().unwrap()
    }

    async fn inventory(&self) -> (CheckpointFolder, Inventory) {
        let folder = CheckpointFolder::open(self.path("state").to_str().unwrap()).unwrap();
        let inventory = Inventory::take(&folder).await.unwrap();
        (folder, inventory)
    }
}

/// What the script says about checkpoints.
fn recovery(job: &Job) -> velo_plan::RecoveryProperties {
    velo_plan::RecoveryProperties {
        dir: Some(job.path("state").to_string_lossy().into_owned()),
        interval: Span(0),
        timeout: Span(60_000_000),
        keep: 2,
        strategy: velo_plan::RestartStrategy::None,
        attempts: 0,
        backoff: Span(1_000),
        longest: Span(1_000),
        ..velo_plan::RecoveryProperties::default()
    }
}

const BARS: &str = "
    CREATE STREAM trades (symbol STRING, price DECIMAL(18, 4), ts BIGINT) WITH (
        connector = 'file', path = '@/trades.jsonl', format = 'json',
        'event.time.field' = 'ts', 'event.time.format' = 'epoch_millis', 'watermark.max_out_of_orderness' = '2s'
    );
    CREATE SINK bars WITH (connector = 'file', path = '@/bars.jsonl', format = 'json');
    INSERT INTO bars
    SELECT symbol, _window_start AS window_start, MIN(price) AS low, MAX(price) AS high, FIRST(price) AS open, COUNT(*) AS n
    FROM trades WINDOW TUMBLING(10s) GROUP BY symbol;
    CREATE SINK last WITH (connector = 'file', path = '@/last.jsonl', format = 'json');
    INSERT INTO last SELECT symbol, price, ROW_NUMBER() OVER (PARTITION BY symbol ORDER BY _event_time) AS n FROM trades;
";

/// Trades of a few symbols, some out of order.
pub fn trades(rows: std::ops::Range<u64>) -> String {
    let one = |row: u64| {
        let ts = 1_700_000_000_000 + row * 130 - (row * 7_919 % 13) * 100;
        let symbol = ["A", "B", "C", "DD", "EEE"][(row * 31 % 5) as usize];
        format!("{{\"symbol\":\"{symbol}\",\"price\":{}.{:02},\"ts\":{ts}}}\n", 10 + row * 37 % 90, row * 53 % 100)
    };
    rows.map(one).collect()
}

pub fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// What the job writes when nobody disturbs it.
fn undisturbed(input: &str) -> (String, String) {
    let job = Job::new(BARS);
    job.write("trades.jsonl", input);
    job.finish();
    (job.read("bars.jsonl"), job.read("last.jsonl"))
}

/// The job has written these lines, in whatever order.
fn assert_same(job: &Job, expected: &(String, String)) {
    for (name, expected) in [("bars.jsonl", &expected.0), ("last.jsonl", &expected.1)] {
        let got = job.read(name);
        let (got, expected) = (lines(&got), lines(expected));
        let at = got.iter().zip(&expected).position(|(got, expected)| got != expected);
        let at = at.unwrap_or(got.len().min(expected.len()));
        let line = |lines: &[&str]| lines.get(at).map_or("nothing", |line| line).to_owned();
        assert!(got == expected, "{name}, line {at}: {} is not {}", line(&got), line(&expected));
    }
}

/// Trades in so many chunks that there are several checkpoints.
fn long() -> String {
    trades(0..40_000)
}

#[test]
fn a_job_that_is_killed_at_its_checkpoints_writes_what_it_would_have_written() {
    let input = long();
    let expected = undisturbed(&input);
    assert!(expected.0.lines().count() > 100);
    for parallelism in [1, 2] {
        let mut job = Job::new(BARS);
        job.write("trades.jsonl", &input);
        let mut kills = 0;
        loop {
            match job.run(Some(1 + kills % 3), |_| {}) {
                Ran::Killed => kills += 1,
                Ran::Ended(result) => break result.unwrap(),
            }
            // It may have come to its end before it was killed.
            let (seen, whole) = (job.read("bars.jsonl"), lines(&expected.0));
            assert!(seen.is_empty() || lines(&seen) == whole, "what is not whole is not seen");
            assert!(kills < 100);
            // Another parallelism every time.
            job.parallelism = 1 + (kills as usize + parallelism) % 3;
        }
        assert!(kills >= 1, "nothing was tried");
        assert_same(&job, &expected);
        let mut left: Vec<_> =
            std::fs::read_dir(job.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["bars.jsonl", "last.jsonl", "state", "trades.jsonl"], "after {kills} kills");
    }
}

#[test]
fn a_run_that_ended_is_not_gone_on_with_and_one_that_almost_did_is_finished() {
    let (input, job) = (trades(0..5_000), Job::new(BARS));
    let expected = undisturbed(&input);
    job.write("trades.jsonl", &input);
    job.finish();
    // It begins anew, and writes the same once more.
    job.finish();
    assert_eq!((job.read("bars.jsonl"), job.read("last.jsonl")), expected);
    // As if it had been killed between the manifest and the last commits.
    let last = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (folder, inventory) = job.inventory().await;
        let last = inventory.checkpoints.last().unwrap();
        assert!(last.manifest.as_ref().unwrap().ended);
        folder.remove(&velo_exec::checkpoint::complete_name(last.number)).await.unwrap();
        last.number
    });
    job.write("trades.jsonl", "");
    job.finish();
    assert_eq!((job.read("bars.jsonl"), job.read("last.jsonl")), expected, "nothing was read again");
    assert!(job.path(&format!("state/{last}/complete")).exists());
    job.finish();
    assert_eq!(job.read("bars.jsonl"), "", "now it begins anew, over nothing");
}

#[test]
fn other_jobs_other_plans_and_numbers_that_are_not_there_are_errors() {
    let (input, mut job) = (long(), Job::new(BARS));
    job.write("trades.jsonl", &input);
    assert!(matches!(job.run(Some(2), |_| {}), Ran::Killed));
    let error = job.error(|options| options.name = "other".to_owned());
    assert!(error.contains("belongs to the job 'test', and this is 'other'"), "{error}");
    let error = job.error(|options| options.resume = Resume::From(77));
    assert!(error.contains("checkpoint 77: it is not there"), "{error}");
    let changed = job.sql.replace("MIN(price)", "MAX(price)");
    let before = std::mem::replace(&mut job.sql, changed);
    let error = job.error(|_| {});
    assert!(error.contains("was made by another plan: 'bars.aggregate' did:"), "{error}");
    assert!(error.contains("velo upgrade --plan") && error.contains("--fresh"), "{error}");
    job.sql = before;
    job.write("trades.jsonl", &trades(0..10));
    assert!(matches!(job.run(None, |options| options.resume = Resume::Fresh), Ran::Ended(Ok(()))));
    assert_eq!(lines(&job.read("last.jsonl")).len(), 10);
}

#[test]
fn a_damaged_checkpoint_is_told_and_the_one_before_is_taken() {
    let input = long();
    let expected = undisturbed(&input);
    let job = Job::new(BARS);
    job.write("trades.jsonl", &input);
    assert!(matches!(job.run(Some(4), |_| {}), Ran::Killed));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let numbers = runtime.block_on(async {
        let (folder, inventory) = job.inventory().await;
        for found in &inventory.checkpoints {
            verify(&folder, found).await.unwrap();
        }
        inventory.checkpoints.iter().map(|found| found.number).collect::<Vec<_>>()
    });
    let [.., before, newest] = numbers.as_slice() else { panic!("only {numbers:?}") };
    let manifest = job.path(&format!("state/{newest}/manifest.json"));
    let mut bytes = std::fs::read(&manifest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&manifest, &bytes).unwrap();
    let notes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&notes);
    let ran = job.run(None, move |options| {
        options.on_note = Some(Arc::new(move |note: &str| told.lock().unwrap().push(note.to_owned())));
    });
    assert!(matches!(ran, Ran::Ended(Ok(()))), "{ran:?}");
    let notes = notes.lock().unwrap().join("\n");
    assert!(notes.contains(&format!("checkpoint {newest} cannot be used: its checksum does not fit")), "{notes}");
    assert!(notes.contains(&format!("going on from checkpoint {before}")), "{notes}");
    assert_same(&job, &expected);
}

/// Leaves the newest checkpoint that is complete alone in the job's folder, and gives its manifest and files; none where the job has
/// ended.
async fn alone(job: &Job) -> Vec<String> {
    let (folder, inventory) = job.inventory().await;
    let complete = inventory.checkpoints.iter().rev().find(|found| found.standing == Standing::Complete);
    let Some(newest) = complete.filter(|found| !found.manifest.as_ref().unwrap().ended) else { return Vec::new() };
    for (name, _) in folder.list("").await.unwrap() {
        let number = name.split('/').next().and_then(|first| first.parse::<u64>().ok());
        if number.is_some_and(|number| number != newest.number) {
            folder.remove(&name).await.unwrap();
        }
    }
    let all = folder.list(&newest.number.to_string()).await.unwrap().into_iter().map(|(name, _)| name);
    all.filter(|name| name.ends_with(".arrow") || name.ends_with("manifest.json")).collect()
}

/// Every state file of a checkpoint cut at many places, or missing: never a panic, never another output.
#[test]
fn state_files_that_are_cut_or_missing_never_give_another_output() {
    let input = long();
    let expected = undisturbed(&input);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // The first checkpoints may come before anything was read, and it may come further than to where it was to be killed.
    let (job, files) = (1..20)
        .find_map(|kill| {
            let job = Job::new(BARS);
            job.write("trades.jsonl", &input);
            let Ran::Killed = job.run(Some(kill), |_| {}) else { return None };
            let files = runtime.block_on(alone(&job));
            (files.len() > 2).then_some((job, files))
        })
        .unwrap();
    let pristine = job.folder.path().join("pristine");
    copy(&job.path("state"), &pristine);
    for file in &files {
        let path = job.path("state").join(file);
        let whole = std::fs::read(pristine.join(file)).unwrap();
        let cuts = (0..20).map(|part| Some(whole.len() * part / 20)).chain([None]);
        for cut in cuts {
            std::fs::remove_dir_all(job.path("state")).unwrap();
            copy(&pristine, &job.path("state"));
            match cut {
                Some(cut) => std::fs::write(&path, &whole[..cut]).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            // There is only one checkpoint, so that nothing can be fallen back to.
            let error = job.error(|_| {});
            assert!(error.contains("no checkpoint in checkpoint.dir") && error.contains("--fresh"), "{file}: {error}");
            assert_eq!(job.read("bars.jsonl"), "");
        }
    }
    std::fs::remove_dir_all(job.path("state")).unwrap();
    copy(&pristine, &job.path("state"));
    job.finish();
    assert_same(&job, &expected);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

const FOLLOWED: &str = "
    CREATE STREAM trades (symbol STRING, price DECIMAL(18, 4), ts BIGINT) WITH (
        connector = 'file', path = '@/trades.jsonl', format = 'json', watch = 'true',
        'event.time.field' = 'ts', 'event.time.format' = 'epoch_millis', 'watermark.max_out_of_orderness' = '2s'
    );
    CREATE STREAM names (symbol STRING, name STRING) WITH (connector = 'file', path = '@/names.jsonl', format = 'json');
    SET 'checkpoint.dir' = '@/state';
    CREATE SINK bars WITH (connector = 'file', path = '@/bars.jsonl', format = 'json');
    INSERT INTO bars
    SELECT symbol, _window_start AS window_start, COUNT(*) AS n, SUM(price) AS total FROM trades WINDOW TUMBLING(10s) GROUP BY symbol;
    CREATE SINK known WITH (connector = 'file', path = '@/known.jsonl', format = 'json');
    INSERT INTO known SELECT UPPER(symbol) AS symbol, name FROM names;
";

/// Runs until `done`, then stops.
pub async fn run_until(job: &Job, done: impl AsyncFnOnce(&JobProgress)) -> JobProgress {
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

/// Followed until so many trades are read, then stopped.
async fn follow(job: &Job, records: u64) {
    run_until(job, async |progress| reached(&progress.sources[0].records, records).await).await;
}

#[tokio::test]
async fn a_stop_leaves_windows_open_and_the_next_run_closes_them() {
    let job = Job::new(FOLLOWED);
    job.write("names.jsonl", "{\"symbol\":\"a\",\"name\":\"one\"}\n{\"symbol\":\"b\",\"name\":\"two\"}\n");
    let input = trades(0..3_000);
    let cut = |rows: usize| input.split_inclusive('\n').take(rows).collect::<String>();
    for rows in [700, 701, 2_000, 3_000] {
        job.write("trades.jsonl", &cut(rows));
        follow(&job, rows as u64).await;
    }
    // The bounded statement beside it was done at the first checkpoint after its end, and only once.
    assert_eq!(lines(&job.read("known.jsonl")), [r#"{"symbol":"A","name":"one"}"#, r#"{"symbol":"B","name":"two"}"#]);
    let whole = Job::new(&FOLLOWED.replace("watch = 'true',", ""));
    whole.write("names.jsonl", "");
    whole.write("trades.jsonl", &input);
    whole.finish();
    let (got, all) = (job.read("bars.jsonl"), whole.read("bars.jsonl"));
    let all = lines(&all);
    assert!(got.lines().count() > 50);
    let open = all.len() - got.lines().count();
    assert!((1..=5 * 2).contains(&open), "the windows that are open at the end are not shown: {open}");
    assert!(lines(&got).iter().all(|line| all.contains(line)), "each bar is as it would have been");
}

#[tokio::test]
async fn a_process_that_was_replaced_stops() {
    let job = Job::new(FOLLOWED);
    job.write("names.jsonl", "");
    job.write("trades.jsonl", &trades(0..100));
    let (first, second) = (job.script().await, job.script().await);
    let (one, other) = (first.progress(), second.progress());
    let stop = Stop::new();
    let mut options = job.options(Span(1_000));
    options.stop = stop.clone();
    // The older one lets its outputs go when it finds out.
    let recovery = options.recovery.as_mut().unwrap();
    (recovery.strategy, recovery.attempts) = (velo_plan::RestartStrategy::Exponential, 10_000);
    let newer = async {
        reached(&one.sources[0].records, 100).await;
        second.run(options, &other).await
    };
    let older = async {
        let error = first.run(job.options(Span(1_000)), &one).await.unwrap_err().to_string();
        reached(&other.sources[0].records, 100).await;
        stop.stop();
        error
    };
    let (older, newer) = tokio::join!(older, newer);
    assert!(older.contains("another process has taken this job over"), "{older}");
    // The older one may have made a checkpoint more, and then the stop comes where this one was to start again behind it.
    assert!(matches!(newer, Ok(()) | Err(ExecError::Overtaken { .. })), "{newer:?}");
}

/// A source that forgets is told what the oldest kept checkpoint covers, and nothing newer: each kept one can be resumed.
#[tokio::test]
async fn a_source_is_told_what_the_oldest_kept_checkpoint_covers() {
    let acknowledged = Acknowledged::default();
    let text: String = (0..6).map(|id| format!("{id} {id}\n---\n")).collect();
    let table = rows(&format!("id:BIGINT ts:BIGINT\n{text}"));
    let gates: Vec<Gate> = (0..6).map(|_| Gate::closed()).collect();
    let steps = gates
        .iter()
        .zip(&table.batches)
        .flat_map(|(gate, batch)| [Step::Hold(gate.clone()), Step::Rows(batch.clone())]);
    let source = Rows::new(&table.schema).partition(steps).endless().acknowledging(&acknowledged);
    let sql = "CREATE STREAM t (id BIGINT, ts BIGINT) WITH (connector = 'scripted', script = 't'); SELECT id FROM t;";
    let job = Scripted::new(sql, vec![("t", source)]).await;
    let made = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&made);
    let mut options = RunOptions::new(1);
    options.clock = job.clock.clone();
    options.stop = job.stop.clone();
    options.terminals = [(0, open(&Collected::new(), None, &job.script, 0, &job.clock).await)].into();
    options.checkpoints = Some(CheckpointFolder::in_memory());
    options.recovery =
        Some(velo_plan::RecoveryProperties { interval: Span(1_000_000), keep: 2, ..recovery(&Job::new("")) });
    options.on_checkpoint = Some(Arc::new(move |manifest| {
        let position = manifest.sources["t"].partitions["0"].position.clone();
        told.lock().unwrap().push(position);
    }));
    let count = || made.lock().unwrap().len();
    let test = async {
        for (read, gate) in gates.iter().enumerate() {
            gate.open();
            job.read(read as u64 + 1).await;
            let before = count();
            while count() == before {
                job.clock.advance(std::time::Duration::from_secs(1));
                tokio::task::yield_now().await;
            }
        }
        job.stop.stop();
    };
    let (ran, ()) = tokio::join!(job.script.run(options, &job.progress), test);
    ran.unwrap();
    let (made, acknowledged) = (made.lock().unwrap().clone(), acknowledged.lock().unwrap().clone());
    let told: Vec<_> = acknowledged.iter().map(|offset| offset.partitions.get("0").cloned()).collect();
    // When one more is made, the one before it is the oldest of the two that are kept.
    assert!(told.len() >= 4 && told.len() < made.len() && told[..] == made[..told.len()], "{told:?} of {made:?}");
}
