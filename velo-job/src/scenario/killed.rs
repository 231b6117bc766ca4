//! A scenario whose job is killed at its checkpoints and started again, in memory.
//!
//! Every attempt runs on a thread and runtime of its own, which go down with all that is in work when the attempt is killed. What it
//! had in flight is lost; its checkpoints and the epochs of its sinks stay, and the next attempt goes on from there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use velo_core::clock::Stopwatch;
use velo_core::duration::Span;
use velo_exec::checkpoint::Manifest;
use velo_exec::physical::lower;
use velo_exec::runtime::JobProgress;
use velo_exec::{ExecError, Result};
use velo_plan::RecoveryProperties;

use super::modes::Random;
use crate::{Folder, RunOptions, Script};

/// An attempt is killed so often at most: of a long input that is enough, and each start costs.
const KILLS: u64 = 6;

/// Whether all that the script keeps can be in a checkpoint.
pub(super) fn can_be(script: &Script) -> bool {
    lower(script.graph(), 1).is_ok_and(|stages| stages.unsaved(script.graph()).is_none())
}

/// Runs the script to its end, through several attempts; what is wrong is `Err(())` where it does not end within `patience`. The
/// counters are those of the last attempt.
pub(super) fn run(
    script: &Script,
    options: &(dyn Fn() -> RunOptions + Sync),
    seed: u64,
    patience: Duration,
) -> (JobProgress, Result<Result<(), ExecError>, ()>) {
    let folder = Folder::in_memory();
    let mut random = Random::new(seed);
    let mut killed_at = None;
    let mut kills = 0;
    let watch = Stopwatch::start();
    loop {
        let progress = script.progress();
        // Through how many checkpoints that have come on it lives.
        let lives = (kills < KILLS).then(|| 1 + random.below(3));
        let death = Death { lives: Mutex::new(lives), seen: Mutex::new(killed_at.take()), now: Notify::new() };
        let death = Arc::new(death);
        let left = patience.saturating_sub(watch.elapsed());
        let ran = std::thread::scope(|scope| {
            scope.spawn(|| attempt(script, options(), &folder, &death, &progress, left)).join()
        });
        match ran {
            Ok(Attempt::Ended(result)) => return (progress, Ok(result)),
            Ok(Attempt::TookTooLong) => return (progress, Err(())),
            Ok(Attempt::Killed) => kills += 1,
            Err(_) => {
                let error = ExecError::Internal("an attempt of the job panicked".to_owned());
                return (progress, Ok(Err(error)));
            }
        }
        killed_at = death.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// What became of an attempt.
enum Attempt {
    Ended(Result<(), ExecError>),
    Killed,
    TookTooLong,
}

/// When an attempt dies.
struct Death {
    /// Checkpoints to live through; `None`: it lives to its end.
    lives: Mutex<Option<u64>>,
    /// How far the sources were read at the last checkpoint that was seen.
    seen: Mutex<Option<serde_json::Value>>,
    now: Notify,
}

impl Death {
    fn checkpoint(&self, manifest: &Manifest) {
        // One at which nothing more was read than at the last would be seen again for ever, and behind the last of all there is
        // nothing to go on with.
        let sources = serde_json::to_value(&manifest.sources).ok();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if manifest.ended || *seen == sources {
            return;
        }
        *seen = sources;
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = lives.as_mut() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.now.notify_one();
            }
        }
    }
}

fn attempt(
    script: &Script,
    mut options: RunOptions,
    folder: &Folder,
    death: &Arc<Death>,
    progress: &JobProgress,
    patience: Duration,
) -> Attempt {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Attempt::Ended(Err(ExecError::Internal(error.to_string()))),
    };
    options.checkpoints = Some(folder.clone());
    options.recovery =
        Some(RecoveryProperties { interval: Span(0), keep: 1, attempts: 0, ..script.recovery().clone() });
    let told = Arc::clone(death);
    options.on_checkpoint = Some(Arc::new(move |manifest: &Manifest| told.checkpoint(manifest)));
    runtime.block_on(async {
        tokio::select! {
            biased;
            () = death.now.notified() => Attempt::Killed,
            ran = tokio::time::timeout(patience, script.run(options, progress)) => {
                ran.map_or(Attempt::TookTooLong, Attempt::Ended)
            }
        }
    })
}
