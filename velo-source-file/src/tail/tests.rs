//! What becomes of followed files, step by step: each test says when the files are looked at, and restarts at every point.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use tempfile::TempDir;
use velo_core::offset::Position;
use velo_core::properties::Options;

use super::*;

/// A tail that can be restarted from what it saved.
struct Follow {
    folder: TempDir,
    spec: TailSpec,
    tail: Tail,
    saved: Option<Position>,
    orders: Vec<u64>,
    /// Restarts where the bit of the step is set.
    restarts: u32,
    step: u32,
}

impl Follow {
    fn new(path: &str, watch: bool, restarts: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(path).to_string_lossy().into_owned();
        let framing = Framing::read(&mut Options::new(), &path, true).unwrap();
        let spec =
            TailSpec { files: FileSet::new(&path).unwrap(), watch, framing, source: 0, progress: Arc::default() };
        let tail = Tail::new(spec.clone());
        Self { folder, spec, tail, saved: None, orders: Vec::new(), restarts, step: 0 }
    }

    fn rewritten(&self) -> u64 {
        Progress::get(&self.spec.progress.rewritten)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        // In place: the inode stays.
        fs::write(self.path(name), text).unwrap();
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Reads what there is after a look.
    fn look(&mut self, tick: bool) -> Vec<String> {
        self.tail.look(tick).unwrap();
        let mut lines = Vec::new();
        while let Some(chunk) = self.tail.next().unwrap() {
            let text = String::from_utf8(chunk.bytes.to_vec()).unwrap();
            for (at, line) in text.lines().enumerate() {
                self.orders.push(chunk.origin.order(at));
                lines.push(line.to_owned());
            }
            self.saved = Some(chunk.end);
        }
        assert!(self.orders.is_sorted_by(|one, next| one < next), "{:?}", self.orders);
        lines
    }

    /// Ticks until files that left their names are given up; then restarts if it is to.
    fn settle(&mut self) -> Vec<String> {
        let mut lines = self.look(false);
        for _ in 0..3 {
            lines.extend(self.look(true));
        }
        self.restart();
        lines
    }

    fn restart(&mut self) {
        if self.restarts >> self.step & 1 == 1 {
            let text = serde_json::to_string(&self.saved).unwrap();
            self.tail = match serde_json::from_str(&text).unwrap() {
                Some(Position::File(position)) => Tail::resume(self.spec.clone(), &position),
                _ => Tail::new(self.spec.clone()),
            };
        }
        self.step += 1;
    }
}

fn lines(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|at| format!("{{\"{name}\":{at}}}")).collect()
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// BC-43.
#[test]
fn a_file_is_rewritten_rotated_and_half_written() {
    for restarts in 0..32 {
        let mut follow = Follow::new("app.jsonl", true, restarts);
        let (ten, hundred, three, two) = (lines("ten", 10), lines("hundred", 100), lines("three", 3), lines("two", 2));
        follow.write("app.jsonl", &text(&ten));
        assert_eq!(follow.settle(), ten, "restarts {restarts:b}");
        follow.write("app.jsonl", &text(&hundred));
        assert_eq!(follow.settle(), hundred, "restarts {restarts:b}");
        follow.append("app.jsonl", &text(&three));
        follow.rename("app.jsonl", "app.jsonl.1");
        follow.write("app.jsonl", &text(&two));
        assert_eq!(follow.settle(), [three, two].concat(), "restarts {restarts:b}");
        follow.append("app.jsonl", "{\"half\"");
        assert_eq!(follow.settle(), [] as [&str; 0], "restarts {restarts:b}");
        follow.append("app.jsonl", ":1}\n");
        assert_eq!(follow.settle(), ["{\"half\":1}"], "restarts {restarts:b}");
    }
}

#[test]
fn a_half_line_that_is_rewritten_is_never_given() {
    let mut follow = Follow::new("app.jsonl", true, 0);
    follow.write("app.jsonl", "{\"a\":1}\n{\"ha");
    assert_eq!(follow.settle(), ["{\"a\":1}"]);
    follow.write("app.jsonl", "{\"b\":1}\n{\"b\":2}\n{\"b\":3}\n");
    assert_eq!(follow.settle(), ["{\"b\":1}", "{\"b\":2}", "{\"b\":3}"]);
    assert_eq!(follow.rewritten(), 1);
}

#[test]
fn several_rotations_between_two_looks() {
    for restarts in 0..4 {
        let mut follow = Follow::new("app.jsonl", true, restarts);
        let all: Vec<Vec<String>> = ["a", "b", "c", "d"].iter().map(|name| lines(name, 4)).collect();
        follow.write("app.jsonl", &text(&all[0][..2]));
        assert_eq!(follow.settle(), all[0][..2]);
        follow.append("app.jsonl", &text(&all[0][2..]));
        let time = |follow: &Follow, name: &str, seconds: u64| {
            let file = fs::File::options().append(true).open(follow.path(name)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
        };
        time(&follow, "app.jsonl", 1_000_000);
        follow.rename("app.jsonl", "app.jsonl.1");
        for (at, lines) in all.iter().enumerate().skip(1) {
            follow.write("app.jsonl", &text(lines));
            time(&follow, "app.jsonl", 1_000_000 + at as u64);
            if at < 3 {
                for number in (1..=at).rev() {
                    follow.rename(&format!("app.jsonl.{number}"), &format!("app.jsonl.{}", number + 1));
                }
                follow.rename("app.jsonl", "app.jsonl.1");
            }
        }
        let rest: Vec<String> = all.concat()[2..].to_vec();
        assert_eq!(follow.settle(), rest, "restarts {restarts:b}");
    }
}

#[test]
fn a_copy_then_a_cut() {
    for restarts in 0..4 {
        let mut follow = Follow::new("app.jsonl", true, restarts);
        let (old, new) = (lines("old", 5), lines("new", 2));
        follow.write("app.jsonl", &text(&old[..3]));
        assert_eq!(follow.settle(), old[..3]);
        follow.append("app.jsonl", &text(&old[3..]));
        fs::copy(follow.path("app.jsonl"), follow.path("app.jsonl.1")).unwrap();
        follow.write("app.jsonl", &text(&new));
        assert_eq!(follow.settle(), [&old[3..], &new[..]].concat(), "restarts {restarts:b}");
        assert_eq!(follow.rewritten(), 1);
    }
}

#[test]
fn lines_written_after_the_rename_come_before_the_new_file() {
    let mut follow = Follow::new("app.jsonl", true, 0);
    follow.write("app.jsonl", "{\"a\":1}\n");
    assert_eq!(follow.look(false), ["{\"a\":1}"]);
    follow.rename("app.jsonl", "app.jsonl.1");
    follow.append("app.jsonl.1", "{\"a\":2}\n");
    assert_eq!(follow.look(true), ["{\"a\":2}"]);
    // Nothing has taken the name, however long that takes.
    assert_eq!(follow.look(true), [] as [&str; 0]);
    follow.append("app.jsonl.1", "{\"a\":3}\n");
    assert_eq!(follow.look(true), ["{\"a\":3}"]);
    follow.write("app.jsonl", "{\"b\":1}\n");
    follow.append("app.jsonl.1", "{\"a\":4}");
    assert_eq!(follow.look(false), [] as [&str; 0], "an unfinished line waits");
    // At the tick nothing new is there, so it is the last line after all.
    assert_eq!(follow.look(true), ["{\"a\":4}", "{\"b\":1}"]);
}

#[test]
fn a_file_saved_anew_goes_on() {
    for restarts in 0..2 {
        let mut follow = Follow::new("app.jsonl", true, restarts);
        follow.write("app.jsonl", "{\"a\":1}\n");
        assert_eq!(follow.settle(), ["{\"a\":1}"]);
        follow.write("next", "{\"a\":1}\n{\"a\":2}\n");
        follow.rename("next", "app.jsonl");
        assert_eq!(follow.settle(), ["{\"a\":2}"], "restarts {restarts:b}");
    }
}

#[test]
fn a_replaced_file_is_an_error_after_a_restart() {
    let mut follow = Follow::new("app.jsonl", true, 1);
    follow.write("app.jsonl", "{\"a\":1}\n");
    assert_eq!(follow.settle(), ["{\"a\":1}"]);
    follow.write("next", "{\"b\":1}\n");
    follow.rename("next", "app.jsonl");
    let error = follow.tail.look(false).unwrap_err();
    assert_eq!(error.kind, velo_core::error::ErrorKind::OffsetLost);
    assert!(error.advice.unwrap().contains("'offset.lost'"));
}

/// airbytehq/airbyte#5365: files with equal or earlier times of change.
#[test]
fn files_of_a_glob_whatever_their_times() {
    for watch in [true, false] {
        for restarts in 0..8 {
            // A bounded source sees new files only when it is started again.
            let restarts = if watch { restarts } else { 7 };
            let mut follow = Follow::new("in/*.jsonl", watch, restarts);
            let time = |follow: &Follow, name: &str, seconds: u64| {
                let file = fs::File::options().append(true).open(follow.path(name)).unwrap();
                file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
            };
            follow.write("in/b.jsonl", "{\"b\":1}\n");
            time(&follow, "in/b.jsonl", 43_205);
            assert_eq!(follow.settle(), ["{\"b\":1}"]);
            follow.write("in/a.jsonl", "{\"a\":1}\n");
            time(&follow, "in/a.jsonl", 43_205);
            follow.write("in/c.jsonl", "{\"c\":1}\n");
            time(&follow, "in/c.jsonl", 43_203);
            assert_eq!(follow.settle(), ["{\"a\":1}", "{\"c\":1}"], "watch {watch}, restarts {restarts:b}");
            // An overwritten file is a new version of it, which a source that follows reads again.
            follow.write("in/b.jsonl", "{\"B\":2}\n");
            time(&follow, "in/b.jsonl", 43_209);
            if watch {
                assert_eq!(follow.settle(), ["{\"B\":2}"], "restarts {restarts:b}");
                assert_eq!(follow.settle(), [] as [&str; 0], "restarts {restarts:b}");
            } else {
                let error = follow.tail.look(false).and_then(|()| follow.tail.next()).unwrap_err();
                assert_eq!(error.kind, velo_core::error::ErrorKind::OffsetLost);
            }
        }
    }
}

/// risingwavelabs/risingwave#11041: files that vanish between listing and reading, or after they were read.
#[test]
fn files_of_a_glob_vanish() {
    for watch in [true, false] {
        let mut follow = Follow::new("in/*.jsonl", watch, 0);
        for name in ["a", "b", "c"] {
            follow.write(&format!("in/{name}.jsonl"), &format!("{{\"{name}\":1}}\n"));
        }
        follow.tail.look(false).unwrap();
        fs::remove_file(follow.path("in/b.jsonl")).unwrap();
        let mut read = Vec::new();
        while let Some(chunk) = follow.tail.next().unwrap() {
            read.push(String::from_utf8(chunk.bytes.to_vec()).unwrap());
            follow.saved = Some(chunk.end);
        }
        assert_eq!(read, ["{\"a\":1}\n", "{\"c\":1}\n"]);
        assert_eq!(follow.tail.vanished(), 1);
        follow.write("in/d.jsonl", "{\"d\":1}\n");
        follow.restarts = u32::MAX;
        follow.restart();
        assert_eq!(follow.settle(), ["{\"d\":1}"]);
        fs::remove_file(follow.path("in/a.jsonl")).unwrap();
        assert_eq!(follow.settle(), [] as [&str; 0]);
        fs::remove_file(follow.path("in/d.jsonl")).unwrap();
        assert_eq!(follow.settle(), [] as [&str; 0], "also where it was the last one read");
        follow.write("in/e.jsonl", "{\"e\":1}\n");
        assert_eq!(follow.settle(), ["{\"e\":1}"]);
    }
}

#[test]
fn files_of_a_glob_grow_and_are_renamed() {
    for restarts in 0..16 {
        let mut follow = Follow::new("in/app*", true, restarts);
        follow.write("in/app.jsonl", "{\"a\":1}\n");
        follow.write("in/app2.jsonl", "{\"b\":1}\n");
        assert_eq!(follow.settle(), ["{\"a\":1}", "{\"b\":1}"]);
        follow.append("in/app.jsonl", "{\"a\":2}\n");
        assert_eq!(follow.settle(), ["{\"a\":2}"], "restarts {restarts:b}");
        follow.append("in/app2.jsonl", "{\"b\":2}\n");
        follow.append("in/app.jsonl", "{\"a\":3}\n");
        assert_eq!(follow.settle(), ["{\"a\":3}", "{\"b\":2}"], "restarts {restarts:b}");
        // The pattern has both names of the rotated file.
        follow.append("in/app.jsonl", "{\"a\":4}\n");
        follow.rename("in/app.jsonl", "in/app.jsonl.1");
        follow.write("in/app.jsonl", "{\"c\":1}\n");
        assert_eq!(follow.settle(), ["{\"a\":4}", "{\"c\":1}"], "restarts {restarts:b}");
        follow.append("in/app.jsonl.1", "{\"a\":5}\n");
        assert_eq!(follow.settle(), ["{\"a\":5}"], "restarts {restarts:b}");
    }
}

#[test]
fn a_file_of_a_glob_leaves_it() {
    let mut follow = Follow::new("in/*.jsonl", true, 0);
    follow.write("in/app.jsonl", "{\"a\":1}\n");
    assert_eq!(follow.settle(), ["{\"a\":1}"]);
    follow.append("in/app.jsonl", "{\"a\":2}\n");
    fs::create_dir(follow.path("done")).unwrap();
    follow.rename("in/app.jsonl", "done/app.jsonl");
    assert_eq!(follow.settle(), ["{\"a\":2}"]);
    assert!(follow.tail.is_settled());
}

#[test]
fn places_are_those_of_each_file() {
    let mut follow = Follow::new("in/*.jsonl", false, 0);
    follow.write("in/a.jsonl", "\u{feff}{\"a\":1}\n\n{\"a\":2}\n");
    follow.write("in/b.jsonl", "\n\n{\"b\":1}");
    follow.tail.look(false).unwrap();
    let mut places = Vec::new();
    while let Some(chunk) = follow.tail.next().unwrap() {
        places.push(chunk.origin.place(0).to_string());
    }
    let names: Vec<_> = places.iter().map(|place| place.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["a.jsonl:1", "b.jsonl:3"]);
}

#[test]
fn a_compressed_file_comes_in_parts() {
    for restarts in 0..4 {
        let mut follow = Follow::new("in.jsonl.gz", true, restarts);
        let pack = |text: &str| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let (one, two) = (pack("{\"a\":1}\n{\"a\":2}\n"), pack("{\"a\":3}\n"));
        fs::write(follow.path("in.jsonl.gz"), &one[..one.len() - 3]).unwrap();
        let first = follow.settle();
        fs::write(follow.path("in.jsonl.gz"), &one).unwrap();
        let second = follow.settle();
        fs::write(follow.path("in.jsonl.gz"), [one, two].concat()).unwrap();
        let third = follow.settle();
        assert_eq!([first, second, third].concat(), ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"], "restarts {restarts:b}");
    }
}

#[test]
fn a_rewrite_that_leaves_length_and_time_alone() {
    let mut follow = Follow::new("app.jsonl", true, 0);
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    for at in 1..4 {
        follow.write("app.jsonl", &format!("{{\"a\":{at}}}\n"));
        fs::File::options().append(true).open(follow.path("app.jsonl")).unwrap().set_modified(time).unwrap();
        let path = follow.path("app.jsonl").to_string_lossy().into_owned();
        // The system tells of it; a look alone sees nothing.
        assert_eq!(follow.tail.touch(&path), at > 1);
        assert_eq!(follow.look(false), [format!("{{\"a\":{at}}}")]);
    }
}

#[test]
fn many_files_in_few_handles() {
    for watch in [true, false] {
        let mut follow = Follow::new("in/*.jsonl", watch, u32::MAX);
        let names: Vec<String> = (0..200).map(|at| format!("in/{at:03}.jsonl")).collect();
        for name in &names {
            follow.write(name, "{\"a\":1}\n");
        }
        assert_eq!(follow.look(false).len(), 200);
        assert!(follow.tail.known.values().filter(|cursor| cursor.handle.is_some()).count() <= OPEN_LIMIT);
        follow.restart();
        assert_eq!(follow.settle(), [] as [&str; 0]);
        if watch {
            follow.append(&names[7], "{\"a\":2}\n");
            follow.append(&names[3], "{\"a\":3}\n");
            // A file that was done before the restart moves away, and another takes its name.
            follow.rename(&names[5], "in/old");
            follow.write(&names[5], "{\"a\":5}\n");
            assert_eq!(follow.settle(), ["{\"a\":3}", "{\"a\":2}", "{\"a\":5}"]);
        }
    }
}
