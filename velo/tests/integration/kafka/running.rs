//! A job that runs while a test does something.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support::{Folder, Ran};

/// The process, and what it prints.
pub struct Running {
    child: Option<Child>,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Starts `q.sql` of a folder.
    pub fn start(folder: &Folder) -> Self {
        Self::started(&mut folder.command(&["run", "--output", "json", "--quiet", "q.sql"]))
    }

    /// The same, once it has said something.
    pub fn start_until_it_says(folder: &Folder, what: &str) -> Self {
        let mut running = Self::started(&mut folder.command(&["run", "--output", "json", "-v", "q.sql"]));
        let mut lines = BufReader::new(running.child.as_mut().unwrap().stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        loop {
            match lines.next() {
                Some(Ok(line)) if line.contains(what) => break,
                Some(Ok(line)) => said.push(line),
                _ => panic!("the job ended by itself: {}", said.join("\n")),
            }
        }
        // Whatever else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        running
    }

    fn started(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child: Some(child), stdout }
    }

    /// The next row that it prints.
    pub fn row(&mut self) -> String {
        let mut line = String::new();
        if self.stdout.read_line(&mut line).unwrap() == 0 {
            let ran = Ran::of(self.child.take().unwrap().wait_with_output().unwrap());
            panic!("the job ended by itself: {}", ran.stderr);
        }
        line.trim_end().to_owned()
    }

    /// Fails where it has ended by itself.
    pub fn goes_on(&mut self) {
        if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
            let ran = Ran::of(self.child.take().unwrap().wait_with_output().unwrap());
            panic!("the job ended by itself: {}", ran.stderr);
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        let process = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &process]).status().unwrap().success());
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ran {
        Ran::of(self.child.take().unwrap().wait_with_output().unwrap())
    }

    /// Asks it to stop, and waits for that.
    pub fn stop(self) {
        self.signal("-TERM");
        let ran = self.ended();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }

    /// Kills it, wherever it is.
    pub fn kill(self) {
        self.signal("-KILL");
        self.ended();
    }
}

impl Drop for Running {
    /// No test leaves one behind.
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Waits until a folder of checkpoints has one that is complete and has a higher number than this; gives its number.
pub fn checkpoint_behind(folder: &Folder, number: u64) -> u64 {
    loop {
        let names = std::fs::read_dir(folder.path("state")).into_iter().flatten().flatten();
        let numbers = names.filter(|entry| entry.path().join("complete").exists());
        let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
        if let Some(newest) = numbers.max().filter(|newest| *newest > number) {
            return newest;
        }
        std::thread::yield_now();
    }
}
