//! The job of the run: its script, and the processes that run it one after the other.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::rows;
use crate::chaos::place::Running;

/// `@` is the folder, `#` the brokers, and `%` what the names of topics begin with.
const SCRIPT: &str = "
SET 'checkpoint.dir' = '@/state';
SET 'checkpoint.interval' = '1s';
-- An idle partition would let the watermark go on, and its next rows be late: a broker that is away makes partitions idle.
CREATE STREAM changes (id BIGINT, k STRING, amount BIGINT, ts BIGINT) WITH (
    connector = 'kafka', 'bootstrap.servers' = '#', topic = '%-rows', format = 'json', 'topic.discovery.interval' = '500ms',
    'event.time.field' = 'ts', 'event.time.format' = 'epoch_millis', 'watermark.max_out_of_orderness' = '2s',
    'watermark.idle_timeout' = '0', 'topic.wait.timeout' = '30s'
);
CREATE TABLE names (k STRING, name STRING, PRIMARY KEY (k)) WITH (
    connector = 'file', path = '@/names.jsonl', format = 'json'
);
CREATE SINK joined WITH (connector = 'kafka', 'bootstrap.servers' = '#', topic = '%-joined', format = 'json');
INSERT INTO joined
SELECT c.id, c.k, n.name, c.amount, c._partition AS part FROM changes c JOIN names n ON c.k = n.k;
CREATE SINK sums WITH (
    connector = 'kafka', 'bootstrap.servers' = '#', topic = '%-windows', format = 'json', 'key.fields' = 'k'
);
INSERT INTO sums
SELECT k, _window_start AS start, COUNT(*) AS n, SUM(amount) AS total FROM changes WINDOW TUMBLING(10s) GROUP BY k;
";

/// The job, whoever runs it.
pub(super) struct Job {
    velo: PathBuf,
    folder: PathBuf,
    lives: u32,
}

/// A process that runs it.
pub(super) struct Life {
    pub(super) run: Running,
    log: PathBuf,
}

impl Job {
    pub(super) fn new(velo: &Path, folder: &Path, servers: &str, topics: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let script = SCRIPT.replace('@', &folder.to_string_lossy()).replace('#', servers).replace('%', topics);
        fs::write(folder.join("chaos.sql"), script)?;
        fs::write(folder.join("names.jsonl"), rows::names())?;
        Ok(Self { velo: velo.to_owned(), folder: folder.to_owned(), lives: 0 })
    }

    /// Starts one more process; what it says goes into a file of its own.
    pub(super) fn start(&mut self) -> Result<Life> {
        self.lives += 1;
        let log = self.folder.join(format!("velo-{:03}.log", self.lives));
        let mut command = Command::new(&self.velo);
        command.args(["run", "--quiet", "-v"]).arg(self.folder.join("chaos.sql"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(OpenOptions::new().create(true).append(true).open(&log)?);
        let run = command.spawn().with_context(|| format!("cannot start {}", self.velo.display()))?;
        Ok(Life { run: Running(run), log })
    }

    /// How many processes there were.
    pub(super) fn lives(&self) -> u32 {
        self.lives
    }
}

impl Life {
    /// An error where it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.run.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the job ended by itself ({status}); {}", self.end_of_log()),
        }
    }

    /// What it has said.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How often it failed in a way that may pass, and began again by itself.
    pub(super) fn restarts(&self) -> usize {
        self.said().matches("; starting again in ").count()
    }

    /// The file of what it says, and its last lines.
    pub(super) fn end_of_log(&self) -> String {
        let said = self.said();
        let from = said.lines().count().saturating_sub(8);
        let end: String = said.lines().skip(from).map(|line| format!("  {line}\n")).collect();
        format!("the end of {}:\n{end}", self.log.display())
    }
}
