//! Runs of several epochs that are killed anywhere and go on behind a checkpoint, in every form of output: what others see at any time,
//! and what is there at the end.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use velo_core::connector::{CheckpointId, Guarantee, PreparedCommit, Sink, SinkRequest};
use velo_core::{Batch, Clock};
use velo_testkit::{Random, table};

use crate::harness::{Folder, Reading, request, sink, sink_request, source};

const COLUMNS: &[(&str, &str)] = &[("a", "BIGINT"), ("s", "STRING"), ("t", "STRING")];

/// A form of output.
#[derive(Clone, Copy)]
struct Form {
    /// The path, and the properties beside it.
    path: &'static str,
    more: &'static [(&'static str, &'static str)],
    bounded: bool,
    guarantee: Guarantee,
}

impl Form {
    fn once(path: &'static str, more: &'static [(&'static str, &'static str)], bounded: bool) -> Self {
        Self { path, more, bounded, guarantee: Guarantee::ExactlyOnce }
    }

    fn at_once(path: &'static str, more: &'static [(&'static str, &'static str)], bounded: bool) -> Self {
        Self { guarantee: Guarantee::AtLeastOnce, ..Self::once(path, more, bounded) }
    }

    fn is_many(&self) -> bool {
        self.more.iter().any(|(key, _)| key.starts_with("rolling") || key.starts_with("partition"))
    }

    fn appends(&self) -> bool {
        self.more.contains(&("append", "true"))
    }

    fn pairs<'a>(&self, path: &'a str) -> Vec<(&'a str, &'a str)> {
        std::iter::once(("path", path)).chain(self.more.iter().copied()).collect()
    }

    async fn open(&self, folder: &Folder, after: Option<PreparedCommit>) -> Box<dyn Sink> {
        let schema = rows(0, 0).schema();
        let request = SinkRequest { bounded: self.bounded, after, ..sink_request(&schema, self.guarantee) };
        sink(&self.pairs(&folder.text(self.path))).open(request).await.unwrap()
    }

    /// The rows that others see, as numbers in the order of the files; none where there is no output. A row that is torn panics.
    async fn seen(&self, folder: &Folder) -> Vec<u64> {
        if visible(folder).is_empty() {
            return Vec::new();
        }
        let path = folder.text(self.path);
        let mut pairs = vec![("path", path.as_str())];
        pairs.extend(self.more.iter().filter(|(key, _)| matches!(*key, "format" | "json.layout")));
        let mut reading = Reading::open(&source(&pairs), request(COLUMNS, &Clock::system()), None).await;
        let number = |row: &String| {
            let number = row.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("a torn row: {row}"));
            assert_eq!(*row, text(number), "a torn row");
            number
        };
        reading.rest().await.iter().map(number).collect()
    }
}

/// A row as the tests read it.
fn text(number: u64) -> String {
    format!("{number} s{} {}", number % 3, "x".repeat(number as usize % 40 + 1))
}

/// Rows with numbers from `from` on.
fn rows(from: u64, count: u64) -> Batch {
    let lines: Vec<String> = (from..from + count).map(text).collect();
    table!(&format!("a:BIGINT s:STRING t:STRING\n{}", lines.join("\n"))).batch()
}

/// All files that others see, with what is in them.
fn visible(folder: &Folder) -> BTreeMap<String, Vec<u8>> {
    let names = folder.list().into_iter().filter(|name| !name.split('/').any(|part| part.starts_with('.')));
    names.map(|name| (name.clone(), std::fs::read(folder.path(&name)).unwrap())).collect()
}

/// A checkpoint: what the sink prepared, and how far the source had come.
#[derive(Clone)]
struct Checkpoint {
    prepared: PreparedCommit,
    position: u64,
    committed: bool,
    /// The sizes of the batches of each epoch so far.
    epochs: Vec<Vec<u64>>,
}

struct Run {
    form: Form,
    folder: Folder,
    sink: Option<Box<dyn Sink>>,
    /// The next row.
    position: u64,
    /// The sizes of the batches of the epochs, the open one last.
    epochs: Vec<Vec<u64>>,
    checkpoints: Vec<Checkpoint>,
    next: u64,
    /// What was seen of a run before this one began anew.
    before: Vec<u64>,
}

impl Run {
    async fn new(form: Form, old: bool) -> Self {
        let folder = Folder::new();
        // The output of another run, which is replaced with the first that is seen of this one.
        if old && !form.appends() {
            let suffix = match form.more.iter().find(|(key, _)| matches!(*key, "format" | "json.layout")) {
                Some((_, "array")) => "json",
                Some((_, format)) => format,
                None => "jsonl",
            };
            let many = format!("{}/part-0-1.{suffix}", form.path);
            let name = if form.is_many() { many } else { form.path.to_owned() };
            folder.write(&name, "old");
        }
        let sink = form.open(&folder, None).await;
        Self {
            form,
            folder,
            sink: Some(sink),
            position: 0,
            epochs: vec![vec![]],
            checkpoints: vec![],
            next: 1,
            before: vec![],
        }
    }

    fn sink(&mut self) -> &mut dyn Sink {
        &mut **self.sink.as_mut().unwrap()
    }

    async fn write(&mut self, count: u64) {
        let batch = rows(self.position, count);
        self.sink().write(batch).await.unwrap();
        self.position += count;
        self.epochs.last_mut().unwrap().push(count);
    }

    async fn prepare(&mut self) {
        let id = CheckpointId(self.next);
        self.next += 1;
        let prepared = self.sink().prepare(id).await.unwrap();
        let prepared = serde_json::from_str(&serde_json::to_string(&prepared).unwrap()).unwrap();
        let (position, epochs) = (self.position, self.epochs.clone());
        self.checkpoints.push(Checkpoint { prepared, position, committed: false, epochs });
        self.epochs.push(Vec::new());
    }

    async fn commit(&mut self) {
        let prepared = self.checkpoints.last().unwrap().prepared.clone();
        self.sink().commit(prepared).await.unwrap();
        self.checkpoints.last_mut().unwrap().committed = true;
    }

    fn is_pending(&self) -> bool {
        self.checkpoints.last().is_some_and(|last| !last.committed)
    }

    /// The process dies, and another one goes on behind the last checkpoint but `back`.
    async fn kill(&mut self, back: usize, random: &mut Random) {
        self.sink = None;
        if self.is_pending() && self.form.guarantee == Guarantee::ExactlyOnce && random.chance(1, 2) {
            half_commit(&self.folder, &self.form, &self.checkpoints.last().unwrap().prepared.state, random);
        }
        let left = self.checkpoints.len().saturating_sub(back);
        self.checkpoints.truncate(left);
        let last = self.checkpoints.last().cloned();
        let after = last.as_ref().map(|last| last.prepared.clone());
        self.sink = Some(self.form.open(&self.folder, after).await);
        self.position = last.as_ref().map_or(0, |last| last.position);
        self.epochs = last.map_or_else(Vec::new, |last| last.epochs);
        self.epochs.push(Vec::new());
        if self.checkpoints.is_empty() {
            self.before = self.seen().await.unwrap_or_default();
        } else {
            self.commit().await;
            if random.chance(1, 2) {
                self.commit().await;
            }
        }
    }

    /// What others see of these runs; `None` where that is still what was there before.
    async fn seen(&self) -> Option<Vec<u64>> {
        if visible(&self.folder).values().any(|bytes| bytes == b"old") {
            return None;
        }
        let mut seen = self.form.seen(&self.folder).await;
        if self.form.is_many() {
            seen.sort_unstable();
        }
        Some(seen)
    }

    /// What others see is what was committed last, and no more.
    async fn check(&self, ended: bool, what: &str) {
        let Some(mut seen) = self.seen().await else {
            assert!(!ended, "{what}: what was there before is replaced");
            return;
        };
        if self.form.guarantee == Guarantee::AtLeastOnce {
            seen.sort_unstable();
            seen.dedup();
            let committed = self.checkpoints.last().map_or(0, |last| last.position);
            assert!(seen.iter().copied().eq(0..seen.len() as u64), "{what}: {seen:?}");
            assert!(seen.len() as u64 >= committed, "{what}: {seen:?} without {committed}");
            return;
        }
        let committed = self.checkpoints.iter().rfind(|checkpoint| checkpoint.committed);
        let expected: Vec<u64> = match committed {
            Some(last) if ended || !self.form.bounded => (0..last.position).collect(),
            _ => self.before.clone(),
        };
        assert_eq!(seen, expected, "{what}");
    }
}

/// What a process leaves that dies in the middle of a commit.
fn half_commit(folder: &Folder, form: &Form, state: &Value, random: &mut Random) {
    let root = folder.path(form.path);
    let append = |staged: &str, random: &mut Random| {
        let staged = std::fs::read(root.parent().unwrap().join(staged)).unwrap();
        let mut bytes = staged[..random.below(staged.len() as u64 + 1) as usize].to_vec();
        if random.chance(1, 3) {
            // What the disk has not got before the power went.
            bytes.iter_mut().for_each(|byte| *byte = 0);
        }
        let mut there = std::fs::read(&root).unwrap_or_default();
        there.append(&mut bytes);
        std::fs::write(&root, there).unwrap();
    };
    if let Some(epoch) = state.get("Whole").filter(|epoch| epoch["replaces"] == false && epoch["staged"].is_string()) {
        append(epoch["staged"].as_str().unwrap(), random);
    } else if let Some(last) = state.pointer("/Held/Complete").filter(|last| last["at"].is_number()) {
        append(last["file"].as_str().unwrap(), random);
    } else if let Some(last) = state.pointer("/Parts/what/Publish").filter(|last| last["staging"].is_string()) {
        let (staging, files) = (last["staging"].as_str().unwrap(), last["files"].as_array().unwrap());
        let moved = random.below(files.len() as u64 + 1) as usize;
        for file in files[..moved].iter().map(|file| Path::new(file.as_str().unwrap())) {
            std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            std::fs::rename(root.join(staging).join(file), root.join(file)).unwrap();
        }
    }
}

/// A run that is killed now and then, and what is there at its end: as in a run with the same epochs that was never killed.
async fn disturbed(form: Form, seed: u64) {
    let mut random = Random::new(seed);
    let what = |step: &str| format!("{} {:?} bounded: {}, seed {seed}: {step}", form.path, form.more, form.bounded);
    let mut run = Run::new(form, seed % 2 == 1).await;
    for _ in 0..25 {
        match random.below(10) {
            0..=3 => {
                let count = random.below(6);
                run.write(count).await;
            }
            4 => run.sink().flush().await.unwrap(),
            5 | 6 if !run.is_pending() => run.prepare().await,
            5..=7 if run.is_pending() => run.commit().await,
            8 | 9 => {
                let last = run.checkpoints.len();
                let can_begin_anew = !form.appends() || run.checkpoints.iter().all(|one| !one.committed);
                let back = match random.below(4) {
                    // The last checkpoint is damaged, or none is left.
                    0 if last > 1 || can_begin_anew => 1,
                    1 if can_begin_anew && random.chance(1, 3) => last,
                    _ => 0,
                };
                if last > 0 || can_begin_anew {
                    run.kill(back, &mut random).await;
                    run.check(false, &what("killed")).await;
                }
            }
            _ => {}
        }
        if !run.is_pending() {
            run.check(false, &what("going on")).await;
        }
    }
    if run.is_pending() {
        run.commit().await;
    }
    run.sink().end().await.unwrap();
    run.prepare().await;
    run.check(false, &what("the end is prepared")).await;
    if random.chance(1, 2) {
        run.kill(0, &mut random).await;
        run.sink().end().await.unwrap();
    }
    run.commit().await;
    run.sink = None;
    run.check(true, &what("ended")).await;
    let hidden: Vec<String> =
        run.folder.list().into_iter().filter(|name| name.contains("/.") || name.starts_with('.')).collect();
    assert_eq!(hidden, [] as [&str; 0], "{}", what("nothing stays behind"));
    if form.guarantee == Guarantee::AtLeastOnce {
        return;
    }
    let mut plain = Run::new(form, false).await;
    let epochs = run.checkpoints.last().unwrap().epochs.clone();
    for (at, epoch) in epochs.iter().enumerate() {
        for count in epoch {
            plain.write(*count).await;
        }
        if at + 1 == epochs.len() {
            plain.sink().end().await.unwrap();
        }
        plain.prepare().await;
        plain.commit().await;
    }
    assert_eq!(visible(&run.folder), visible(&plain.folder), "{} {epochs:?}", what("the same bytes"));
}

async fn all(forms: &[Form]) {
    for form in forms {
        for seed in 0..8 {
            disturbed(*form, seed).await;
        }
    }
}

const APPEND: (&str, &str) = ("append", "true");
const ARRAY: (&str, &str) = ("json.layout", "array");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_file_without_an_end() {
    all(&[
        Form::once("out.jsonl", &[], false),
        Form::once("new/out.csv", &[], false),
        Form::once("out.csv", &[APPEND], false),
        Form::once("out.jsonl.gz", &[], false),
        Form::once("out.csv.zst", &[APPEND], false),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_file_with_an_end() {
    all(&[
        Form::once("out.jsonl", &[], true),
        Form::once("new/out.csv", &[], true),
        Form::once("out.csv", &[APPEND], true),
        Form::once("out.csv.gz", &[], true),
        Form::once("out.jsonl.zst", &[APPEND], true),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_file_that_is_whole_at_its_end() {
    all(&[
        Form::once("out.json", &[ARRAY], true),
        Form::once("out.json.gz", &[ARRAY], true),
        Form::once("out.parquet", &[], true),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_files_without_an_end() {
    all(&[
        Form::once("out", &[("rolling.size", "100")], false),
        Form::once("out", &[("partition.by", "s"), ("format", "csv"), APPEND], false),
        Form::once("out", &[("partition.by", "s"), ("format", "parquet")], false),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_files_with_an_end() {
    all(&[
        Form::once("out", &[("rolling.size", "100"), ARRAY], true),
        Form::once("out", &[("partition.by", "s")], true),
        Form::once("out", &[("rolling.size", "1MB"), ("format", "parquet"), APPEND], true),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_seen_at_once() {
    all(&[
        Form::at_once("out.jsonl", &[], false),
        Form::at_once("out.csv", &[], true),
        Form::at_once("out.csv.gz", &[], false),
        Form::at_once("out", &[("partition.by", "s")], false),
        Form::at_once("out", &[("rolling.size", "100"), ("format", "csv")], true),
        Form::at_once("out", &[("rolling.size", "100"), ("format", "parquet")], false),
    ])
    .await;
}
