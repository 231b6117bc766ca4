//! Cases of the field that are about restarts: each has the number under which it is known.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use tokio::sync::Notify;
use velo_core::duration::Span;
use velo_core::error::ErrorKind;
use velo_core::offset::Position;
use velo_exec::ExecError;
use velo_exec::checkpoint::Manifest;
use velo_job::scenario::parse::parse;
use velo_job::scenario::{Batching, Mode};
use velo_job::{JobProgress, Stop};

use crate::checkpoints::{Job, Ran};

/// BC-25: changes of several source keys meet on one key of the sink. Every order of the tasks, every restart gives the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_sink_is_not_that_of_the_query() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/changes/changelog.md");
    let file = parse(&path, std::fs::read_to_string(&path).unwrap()).unwrap();
    let title = "The key of a sink is not that of the query";
    let scenario = file.scenarios.iter().find(|scenario| scenario.name == title).unwrap();
    for seed in 0..100 {
        for (parallelism, killed) in [(1, false), (8, false), (1, true), (8, true)] {
            let batching = [Batching::AsWritten, Batching::Of(1)][(seed % 2) as usize];
            let mode = Mode { parallelism, killed, batching, seed, ..Mode::default() };
            let verdict = crate::runner().run(&file, scenario, &mode).await;
            assert_eq!(verdict.failures, [], "{mode}");
        }
    }
}

const TINY: &str = "
    CREATE STREAM t (q INT) WITH (
        connector = 'file', path = '@/in.jsonl', format = 'json', 'on.error' = 'skip', watch = 'true', 'watch.interval' = '10ms'
    );
    CREATE SINK o WITH (connector = 'file', path = '@/out.jsonl', format = 'json');
    INSERT INTO o SELECT CAST(q AS TINYINT) AS q FROM t;
";

/// The line up to which the only source was read, and how many of its records were skipped.
fn read_up_to(manifest: &Manifest) -> (u64, u64) {
    let source = &manifest.sources["t"];
    let line = source.partitions.values().map(|partition| match &partition.position {
        Some(Position::File(file)) => file.lines,
        _ => 0,
    });
    (line.sum(), source.counters["skipped"])
}

/// BC-26: a record that is skipped hides no error of the query, and no restart goes on behind the row that failed.
#[test]
fn skipped_records_do_not_hide_errors_of_the_query() {
    let job = Job::new(TINY);
    job.write("in.jsonl", "{\"q\":5}\nnot json\n");
    let mut running = Running::start(&job);
    running.until(|manifest| read_up_to(manifest) == (2, 1));
    append(&job, "in.jsonl", "{\"q\":300}\n{\"q\":7}\n");
    for _ in 0..3 {
        let error = running.error().to_string();
        assert!(error.contains("300 cannot be converted to TINYINT: it is out of range (at "), "{error}");
        assert!(error.contains("in.jsonl:3)"), "{error}");
        assert_eq!(read_up_to(&job.newest()), (2, 1), "not past line 3, and one record was skipped");
        assert_eq!(job.read("out.jsonl"), "{\"q\":5}\n");
        running = Running::start(&job);
    }
    running.error();
    // The row that failed was never passed: corrected, it comes.
    job.write("in.jsonl", "{\"q\":5}\nnot json\n{\"q\":30 }\n{\"q\":7}\n");
    let mut running = Running::start(&job);
    running.until(|manifest| read_up_to(manifest) == (4, 1));
    running.stop();
    assert_eq!(job.read("out.jsonl"), "{\"q\":5}\n{\"q\":30}\n{\"q\":7}\n");
}

/// BC-26: nor does it hide an error of the sink, which is no skipped record.
#[test]
fn skipped_records_do_not_hide_errors_of_the_sink() {
    // /dev/full takes nothing: every write fails as on a full disk.
    let full = TINY.replace(
        "'@/out.jsonl', format = 'json'",
        "'/dev/full', format = 'json', 'delivery.guarantee' = 'at_least_once'",
    );
    let job = Job::new(&full);
    job.write("in.jsonl", "{\"q\":5}\nnot json\n{\"q\":3}\n");
    for _ in 0..3 {
        let running = Running::start(&job);
        let progress = running.progress.clone();
        let error = running.error();
        let ExecError::Connector { name, error } = &error else { panic!("{error}") };
        assert_eq!((name.as_str(), error.kind), ("o", ErrorKind::StorageFull), "{error}");
        assert!(progress.sources[0].skipped.load(Ordering::Relaxed) <= 1, "the record that is none");
    }
}

const FOLLOWED: &str = "
    CREATE STREAM t (name STRING, at INT) WITH (
        connector = 'file', path = '@/app.jsonl', format = 'json', watch = 'true', 'watch.interval' = '10ms'
    );
    CREATE SINK o WITH (connector = 'file', path = '@/out.jsonl', format = 'json');
    INSERT INTO o SELECT name, at FROM t;
";

fn lines(name: &str, count: usize) -> String {
    (0..count).map(|at| format!("{{\"name\":\"{name}\",\"at\":{at}}}\n")).collect()
}

fn append(job: &Job, name: &str, text: &str) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).open(job.path(name)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// BC-43: a file is cut and rewritten, rotated, and ends in half a line, while the job runs and while it does not. At each point it
/// goes on, is stopped or is killed.
#[test]
fn a_file_is_rewritten_rotated_and_half_written() {
    let (ten, hundred, three, two) = (lines("ten", 10), lines("hundred", 100), lines("three", 3), lines("two", 2));
    let (half, rest) = ("{\"name\":\"ha", "lf\",\"at\":0}\n");
    let expected = [&ten, &hundred, &three, &two, half, rest].concat();
    type Step<'a> = (&'a dyn Fn(&Job), u64);
    let steps: [Step; 5] = [
        (&|job| job.write("app.jsonl", &ten), 10),
        (&|job| job.write("app.jsonl", &hundred), 110),
        (
            &|job| {
                append(job, "app.jsonl", &three);
                std::fs::rename(job.path("app.jsonl"), job.path("app.jsonl.1")).unwrap();
                job.write("app.jsonl", &two);
            },
            115,
        ),
        (&|job| append(job, "app.jsonl", half), 115),
        (&|job| append(job, "app.jsonl", rest), 116),
    ];
    // What is done at each point is a digit: nothing, a stop, a kill.
    for choice in 0..3_u32.pow(4) {
        let job = Job::new(FOLLOWED);
        let mut running = None;
        for (at, (change, delivered)) in steps.iter().enumerate() {
            change(&job);
            let run = running.get_or_insert_with(|| Running::start(&job));
            run.until(|manifest| manifest.sources["t"].counters["delivered"] >= *delivered);
            if at == 3 {
                // Nothing shows that half a line was seen: some more checkpoints are made with it there.
                (0..3).for_each(|_| run.until(|_| true));
            }
            match choice / 3_u32.pow(at as u32) % 3 {
                1 => running.take().into_iter().for_each(Running::stop),
                2 => running.take().into_iter().for_each(Running::kill),
                _ => {}
            }
        }
        running.into_iter().for_each(Running::stop);
        assert_eq!(job.read("out.jsonl"), expected, "choice {choice}");
    }
}

/// BC-43: a copy, then a cut. What the copy has comes before what is new, also where the job did not run.
#[test]
fn a_file_is_copied_and_cut() {
    let (old, new) = (lines("old", 5), lines("new", 2));
    for choice in 0..3 {
        let job = Job::new(FOLLOWED);
        job.write("app.jsonl", &lines("old", 3));
        let mut run = Running::start(&job);
        run.until(|manifest| manifest.sources["t"].counters["delivered"] == 3);
        let mut running = Some(run);
        if choice > 0 {
            let end = [Running::stop, Running::kill][choice - 1];
            running.take().into_iter().for_each(end);
        }
        // As between two looks of a job that runs: the new content takes the place of the old at once.
        job.write("app.jsonl.1", &old);
        std::fs::write(job.path("app.jsonl"), &new).unwrap();
        let mut run = running.unwrap_or_else(|| Running::start(&job));
        run.until(|manifest| manifest.sources["t"].counters["delivered"] == 7);
        run.stop();
        assert_eq!(job.read("out.jsonl"), [old.as_str(), &new].concat(), "choice {choice}");
    }
}

/// A job that runs on a thread and a runtime of its own, with one checkpoint behind the other.
struct Running {
    thread: JoinHandle<Ran>,
    made: Receiver<Manifest>,
    stop: Stop,
    kill: Arc<Notify>,
    progress: Arc<JobProgress>,
}

impl Running {
    fn start(job: &Job) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (script, mut options) = (runtime.block_on(job.script()), job.options(Span(0)));
        let (sender, made) = channel();
        // Where the test waits for no more of them, nobody is told.
        options.on_checkpoint = Some(Arc::new(move |manifest| sender.send(manifest.clone()).unwrap_or_default()));
        let (stop, kill) = (options.stop.clone(), Arc::new(Notify::new()));
        let progress = Arc::new(script.progress());
        let (killed, counted) = (Arc::clone(&kill), Arc::clone(&progress));
        let thread = std::thread::spawn(move || {
            let ran = runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = killed.notified() => Ran::Killed,
                    ran = script.run(options, &counted) => Ran::Ended(ran),
                }
            });
            runtime.shutdown_background();
            ran
        });
        Self { thread, made, stop, kill, progress }
    }

    /// Waits for a checkpoint like this.
    fn until(&mut self, wanted: impl Fn(&Manifest) -> bool) {
        while !wanted(&self.made.recv().unwrap()) {}
    }

    /// Stops it as a user does.
    fn stop(self) {
        self.stop.stop();
        let ran = self.thread.join().unwrap();
        assert!(matches!(ran, Ran::Ended(Ok(()))), "{ran:?}");
    }

    /// Lets all that it has in work go down.
    fn kill(self) {
        self.kill.notify_one();
        let ran = self.thread.join().unwrap();
        assert!(matches!(ran, Ran::Killed), "{ran:?}");
    }

    /// Waits until it has failed.
    fn error(self) -> ExecError {
        match self.thread.join().unwrap() {
            Ran::Ended(Err(error)) => error,
            other => panic!("{other:?}"),
        }
    }
}
