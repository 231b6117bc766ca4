//! The job of a chaos run, its files, and what a reader sees of them.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// `@` is the folder.
const SCRIPT: &str = "
    SET 'checkpoint.dir' = '@/state';
    SET 'checkpoint.interval' = '20ms';
    CREATE STREAM trades (id BIGINT, symbol STRING, price DECIMAL(18, 4), size BIGINT, ts BIGINT) WITH (
        connector = 'file', path = '@/trades.jsonl', format = 'json', watch = 'true', 'watch.interval' = '10ms',
        'event.time.field' = 'ts', 'event.time.format' = 'epoch_millis', 'watermark.max_out_of_orderness' = '1s'
    );
    CREATE TABLE names (symbol STRING, name STRING, PRIMARY KEY (symbol)) WITH (
        connector = 'file', path = '@/names.jsonl', format = 'json'
    );
    CREATE SINK bars WITH (connector = 'file', path = '@/bars.jsonl', format = 'json');
    INSERT INTO bars
    SELECT symbol, _window_start AS window_start, FIRST(price) AS open, MAX(price) AS high, LAST(price) AS close, SUM(size) AS volume
    FROM trades WINDOW TUMBLING(2s) GROUP BY symbol;
    CREATE SINK named WITH (connector = 'file', path = '@/named.csv', format = 'csv');
    INSERT INTO named
    SELECT t.id, n.name, t.price FROM trades t JOIN names n ON t.symbol = n.symbol WHERE t.size > 20;
    CREATE SINK totals WITH (
        connector = 'file', path = '@/totals.jsonl', format = 'json', 'changelog.mode' = 'full'
    );
    INSERT INTO totals SELECT symbol, COUNT(*) AS n, SUM(size) AS volume FROM trades GROUP BY symbol
        EMIT CHANGES WITH ('emit.changes.per' = 'record');
    CREATE SINK parts WITH (connector = 'file', path = '@/parts', format = 'json', 'partition.by' = 'symbol');
    INSERT INTO parts SELECT id, symbol, LAG(price) OVER (PARTITION BY symbol ORDER BY _event_time) AS before FROM trades;
";
const OUTPUTS: [&str; 3] = ["bars.jsonl", "named.csv", "totals.jsonl"];
/// Closes what is open, and is no part of what is compared.
const LAST: &str = "END";

/// A job that goes with this, if it is still there.
pub(super) struct Running(pub(super) Child);

impl Running {
    /// Kills it.
    pub(super) fn end(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        drop(self.end());
    }
}

/// Asks a job to stop, as Ctrl-C does.
pub(super) fn terminate(child: &Child) -> Result<()> {
    let status = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().context("cannot start kill")?;
    if !status.success() {
        bail!("the job cannot be asked to stop ({status})");
    }
    Ok(())
}

/// A job with its files.
pub(super) struct Place {
    pub(super) velo: PathBuf,
    pub(super) folder: PathBuf,
}

/// The lines that a reader sees, each with how often, by output.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen(BTreeMap<String, BTreeMap<String, usize>>);

impl Place {
    pub(super) fn new(velo: &Path, folder: &Path, name: &str) -> Result<Self> {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        let script = SCRIPT.replace('@', &folder.to_string_lossy());
        fs::write(folder.join("chaos.sql"), script)?;
        let names = SYMBOLS.iter().map(|symbol| format!("{{\"symbol\":\"{symbol}\",\"name\":\"name of {symbol}\"}}\n"));
        fs::write(folder.join("names.jsonl"), names.collect::<String>())?;
        fs::write(folder.join("trades.jsonl"), "")?;
        Ok(Self { velo: velo.to_owned(), folder })
    }

    pub(super) fn append(&self, rows: std::ops::Range<u64>) -> Result<()> {
        let text: String = rows.map(trade).collect();
        let mut file = OpenOptions::new().append(true).open(self.folder.join("trades.jsonl"))?;
        Ok(file.write_all(text.as_bytes())?)
    }

    /// A trade long after all others.
    pub(super) fn append_last(&self, lines: u64) -> Result<()> {
        let ts = time(lines) + 3_600_000;
        let line = format!("{{\"id\":{lines},\"symbol\":\"{LAST}\",\"price\":1,\"size\":1,\"ts\":{ts}}}\n");
        let mut file = OpenOptions::new().append(true).open(self.folder.join("trades.jsonl"))?;
        Ok(file.write_all(line.as_bytes())?)
    }

    pub(super) fn start(&self) -> Result<Running> {
        self.start_by(Command::new(&self.velo), "log")
    }

    /// Starts the job by a command that takes its arguments; what it says goes behind what is in the file of this name.
    pub(super) fn start_by(&self, mut command: Command, log: &str) -> Result<Running> {
        command.arg("run").arg("--quiet").arg(self.folder.join("chaos.sql"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join(log))?;
        command.stderr(log).spawn().map(Running).with_context(|| format!("cannot start {}", self.velo.display()))
    }

    /// Where its checkpoints lie.
    pub(super) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Runs the job until its output is whole, and then stops it.
    pub(super) fn finish(&self, mut whole: impl FnMut(&Seen) -> bool) -> Result<()> {
        let mut run = self.start()?;
        let until = Instant::now() + Duration::from_secs(300);
        // While it runs, a reader may come in the middle of an append: what has no line's end yet is not there yet.
        while !whole(&self.looked_at(false)?) {
            if let Some(status) = run.try_wait()? {
                bail!("the job ended by itself ({status})");
            }
            if Instant::now() > until {
                bail!("after five minutes the output is not whole: {}", self.looked_at(false)?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        terminate(&run)?;
        let status = run.wait()?;
        if !status.success() {
            bail!("asked to stop, the job failed ({status})");
        }
        Ok(())
    }

    /// What a reader sees when no process runs.
    pub(super) fn seen(&self) -> Result<Seen> {
        self.looked_at(true)
    }

    fn looked_at(&self, at_rest: bool) -> Result<Seen> {
        let mut seen = BTreeMap::new();
        for name in OUTPUTS {
            seen.insert(name.to_owned(), counted(&self.folder.join(name), at_rest)?);
        }
        let mut parts = BTreeMap::new();
        for file in files(&self.folder.join("parts"), false)? {
            for (line, times) in counted(&file, at_rest)? {
                *parts.entry(line).or_insert(0) += times;
            }
        }
        seen.insert("parts".to_owned(), parts);
        Ok(Seen(seen))
    }

    /// Files that readers do not see, but for those of checkpoints.
    pub(super) fn hidden(&self) -> Result<Vec<PathBuf>> {
        let all = files(&self.folder, true)?.into_iter();
        Ok(all.filter(|file| !file.starts_with(self.state())).collect())
    }
}

/// The files below a folder whose name begins with a point, or whose does not.
fn files(folder: &Path, hidden: bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return Ok(found) };
    for entry in entries {
        let entry = entry?;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if is_hidden && hidden {
            found.push(entry.path());
        } else if !is_hidden && entry.file_type()?.is_dir() {
            found.extend(files(&entry.path(), hidden)?);
        } else if !is_hidden && !hidden {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn counted(path: &Path, at_rest: bool) -> Result<BTreeMap<String, usize>> {
    let mut text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    if !at_rest {
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    }
    if !text.is_empty() && !text.ends_with('\n') {
        bail!("{} ends within a line", path.display());
    }
    let mut lines = BTreeMap::new();
    for line in text.lines().filter(|line| !line.contains(LAST)) {
        *lines.entry(line.to_owned()).or_insert(0) += 1;
    }
    Ok(lines)
}

impl Seen {
    pub(super) fn of(&self, output: &str) -> usize {
        self.0.get(output).map_or(0, |lines| lines.values().sum())
    }

    pub(super) fn rows(&self) -> usize {
        self.0.values().flat_map(BTreeMap::values).sum()
    }

    pub(super) fn is_part_of(&self, whole: &Self) -> Result<()> {
        for (output, lines) in &self.0 {
            for (line, times) in lines {
                let expected = whole.0.get(output).and_then(|lines| lines.get(line)).copied().unwrap_or(0);
                if *times > expected {
                    bail!("{output} has {times} times what an undisturbed run has {expected} times: {line}");
                }
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let outputs = self.0.iter().map(|(name, lines)| format!("{name} {}", lines.values().sum::<usize>()));
        f.write_str(&outputs.collect::<Vec<_>>().join(", "))
    }
}

pub(super) const SYMBOLS: [&str; 6] = ["AAPL", "IBM", "MSFT", "NVDA", "ORCL", "SAP"];

fn time(row: u64) -> u64 {
    1_700_000_000_000 + row * 20
}

/// A trade; some come behind later ones, within the watermark's bound.
fn trade(row: u64) -> String {
    let symbol = SYMBOLS[(row * 31 % 6) as usize];
    let ts = time(row) - row * 7_919 % 13 * 70;
    let (price, size) = (1_000 + row * 37 % 9_000, row * 53 % 100);
    format!(
        "{{\"id\":{row},\"symbol\":\"{symbol}\",\"price\":{}.{:02},\"size\":{size},\"ts\":{ts}}}\n",
        price / 100,
        price % 100
    )
}
