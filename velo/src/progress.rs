//! Progress on the terminal: rows per second and the watermark while a job runs; nothing where stderr is no terminal.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use velo_core::clock::Stopwatch;
use velo_core::progress::Progress;
use velo_core::{Clock, Watermark};
use velo_job::{Events, JobProgress, OnTables, TableEvent, TableState, TableStatus};

/// A line that is kept up to date while a job runs.
pub struct ProgressLine {
    done: Arc<AtomicBool>,
    bar: ProgressBar,
}

impl ProgressLine {
    /// Starts the line; invisible where stderr is no terminal or `quiet`.
    pub fn start(progress: &JobProgress, quiet: bool) -> Self {
        let visible = !quiet && std::io::stderr().is_terminal();
        let bar = if visible { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        let done = Arc::new(AtomicBool::new(false));
        if visible {
            let (bar, done, progress) = (bar.clone(), Arc::clone(&done), progress.clone());
            tokio::spawn(async move {
                let (clock, watch) = (Clock::system(), Stopwatch::start());
                while !done.load(Ordering::Relaxed) {
                    bar.set_message(line(&progress, watch.elapsed()));
                    bar.tick();
                    clock.sleep(Duration::from_millis(100)).await;
                }
            });
        }
        Self { done, bar }
    }

    /// Takes the line away.
    pub fn finish(self) {
        self.done.store(true, Ordering::Relaxed);
        self.bar.finish_and_clear();
    }
}

fn line(progress: &JobProgress, elapsed: Duration) -> String {
    let read: u64 = progress.sources.iter().map(|source| Progress::get(&source.records)).sum();
    let written: u64 = progress.sinks.iter().map(|sink| Progress::get(&sink.delivered)).sum();
    let rate = read as f64 / elapsed.as_secs_f64().max(0.001);
    let watermark = progress
        .sources
        .iter()
        .map(|source| source.watermark.load(Ordering::Relaxed))
        .filter(|watermark| *watermark != i64::MIN)
        .min();
    let mut line = format!("{read} rows read, {rate:.0} rows/s, {written} rows written");
    if let Some(watermark) = watermark {
        line.push_str(&format!(", watermark {}", Watermark(watermark)));
    }
    let behind: Vec<u64> = progress.sources.iter().filter_map(|source| source.lag.total()).collect();
    if !behind.is_empty() {
        line.push_str(&format!(", {} rows behind", behind.iter().sum::<u64>()));
    }
    line
}

/// A bar for each table while it loads; nothing where stderr is no terminal.
pub struct TableBars {
    bars: MultiProgress,
    visible: bool,
}

impl TableBars {
    /// No bars yet; invisible where stderr is no terminal or `quiet`.
    pub fn new(quiet: bool) -> Self {
        let visible = !quiet && std::io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), visible }
    }

    /// What takes the events of a job's tables.
    pub fn watch(&self) -> OnTables {
        let (bars, visible) = (self.bars.clone(), self.visible);
        Box::new(move |events| {
            if visible {
                tokio::spawn(follow(events, bars));
            }
        })
    }

    /// Takes the bars away.
    pub fn finish(self) {
        // Nothing is lost where the terminal is gone.
        self.bars.clear().ok();
    }
}

/// Keeps a bar for each table until it is ready.
async fn follow(mut events: Events, bars: MultiProgress) {
    let mut shown: Vec<(String, ProgressBar)> = Vec::new();
    while let Some(event) = events.next().await {
        let tables = match event {
            TableEvent::InitialSnapshot { tables, .. } => tables,
            TableEvent::TableUpdate { table, .. }
            | TableEvent::TableCompleted { table, .. }
            | TableEvent::TableFailed { table, .. } => vec![table],
            TableEvent::SummaryUpdate { .. } | TableEvent::KeepAlive { .. } => continue,
        };
        for table in tables {
            let at = shown.iter().position(|(name, _)| *name == table.name);
            if table.state == TableState::Ready {
                if let Some(at) = at {
                    shown.remove(at).1.finish_and_clear();
                }
                continue;
            }
            let bar = match at {
                Some(at) => shown[at].1.clone(),
                None => {
                    let bar = bars.add(ProgressBar::new(100));
                    if let Ok(style) = ProgressStyle::with_template("{prefix:20} {bar:24} {msg}") {
                        bar.set_style(style);
                    }
                    bar.set_prefix(table.name.clone());
                    shown.push((table.name.clone(), bar.clone()));
                    bar
                }
            };
            bar.set_position(table.percent.map_or(0, |percent| percent as u64));
            bar.set_message(table_line(&table));
        }
    }
}

/// How far a table is, in a few words.
fn table_line(table: &TableStatus) -> String {
    match &table.state {
        TableState::Waiting { on } => format!("waits for {}", on.join(", ")),
        TableState::Queued => "waits for its turn".to_owned(),
        TableState::Opening => "opening its source".to_owned(),
        TableState::Ready => "ready".to_owned(),
        TableState::Retrying { error, failed, .. } => format!("tried {failed} times: {error}"),
        TableState::Blocked { by } => format!("blocked by {by}"),
        TableState::Failed { error } => format!("failed: {error}"),
        TableState::Loading => {
            let mut line = format!(
                "{} rows, {}, {:.0} rows/s, {}/s",
                table.records,
                HumanBytes(table.bytes),
                table.records_rate,
                HumanBytes(table.bytes_rate as u64)
            );
            if let Some(percent) = table.percent {
                line.push_str(&format!(", {percent:.0} %"));
            }
            if let Some(end) = table.estimated_completion {
                let left = end.saturating_sub(Clock::system().now()).max(0);
                line.push_str(&format!(", {} left", HumanDuration(Duration::from_micros(left.unsigned_abs()))));
            }
            line
        }
    }
}
