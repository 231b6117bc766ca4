//! Progress on the terminal: rows per second and the watermark while a job runs; nothing where stderr is no terminal.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use velo_core::clock::Stopwatch;
use velo_core::progress::Progress;
use velo_core::{Clock, Watermark};
use velo_job::JobProgress;

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
    line
}
