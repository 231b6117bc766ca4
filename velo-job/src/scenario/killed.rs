//! A scenario whose job is killed, or fails, and is started again, in memory: a simulation, reproduced by its seed.
//!
//! Every attempt runs on a thread and runtime of its own, and its tasks go on in an order that the seed decides. It ends behind some
//! checkpoint, in the middle of anything, or where the store of its checkpoints or one of its sinks fails, before or behind what it
//! was asked to do. What an attempt had in flight is lost then; its checkpoints and the epochs of its sinks stay, and the next attempt
//! goes on from there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use velo_core::clock::Stopwatch;
use velo_core::duration::Span;
use velo_core::error::Retry;
use velo_exec::checkpoint::{CallFails, Inventory, Manifest};
use velo_exec::runtime::JobProgress;
use velo_exec::{ExecError, Result};
use velo_plan::RecoveryProperties;

use super::modes::{Called, FailingCall, Mode, Random};
use crate::{Folder, RunOptions, Script};

/// So often an attempt is ended at most: of a long input that is enough, and each start costs.
const ENDS: u64 = 6;

/// How an attempt ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doom {
    /// It lives to its end.
    None,
    /// Behind so many checkpoints that have come on.
    Checkpoint(u64),
    /// When its tasks have had so many turns.
    Turn(u64),
    /// At so many calls of the store.
    Store(u64, CallFails),
    /// At so many calls of sinks.
    Sink(u64, CallFails),
}

/// What decides about an attempt, and what has become of it.
pub(super) struct Fate {
    state: Mutex<State>,
    killed: Notify,
}

struct State {
    random: Random,
    doom: Doom,
    /// How far the sources were read at the last checkpoint that was seen.
    seen: Option<serde_json::Value>,
}

impl Fate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn checkpoint(&self, manifest: &Manifest) {
        let mut state = self.state();
        // One at which nothing more was read than at the last would be seen again for ever, and behind the last of all there is
        // nothing to go on with.
        let sources = serde_json::to_value(&manifest.sources).ok();
        if manifest.ended || state.seen == sources {
            return;
        }
        state.seen = sources;
        if let Doom::Checkpoint(left) = &mut state.doom
            && passed(left)
        {
            self.killed.notify_one();
        }
    }

    /// Whether the task that could go on does.
    fn turn(&self) -> bool {
        let mut state = self.state();
        if let Doom::Turn(left) = &mut state.doom
            && passed(left)
        {
            self.killed.notify_one();
        }
        state.random.below(4) > 0
    }

    fn store(&self) -> Option<CallFails> {
        match &mut self.state().doom {
            Doom::Store(left, fails) => passed(left).then_some(*fails),
            _ => None,
        }
    }

    /// Asked by sinks at each of their calls.
    pub(super) fn sink(&self) -> Option<CallFails> {
        match &mut self.state().doom {
            Doom::Sink(left, fails) => passed(left).then_some(*fails),
            _ => None,
        }
    }
}

/// Counts down; true once.
fn passed(left: &mut u64) -> bool {
    let last = *left == 1;
    *left = left.saturating_sub(1);
    last
}

fn doom(random: &mut Random, ends: u64) -> Doom {
    if ends >= ENDS {
        return Doom::None;
    }
    let fails = if random.below(2) == 0 { CallFails::Before } else { CallFails::After };
    match random.below(4) {
        0 => Doom::Checkpoint(1 + random.below(3)),
        1 => Doom::Turn(1 + random.below(600)),
        2 => Doom::Store(1 + random.below(60), fails),
        _ => Doom::Sink(1 + random.below(30), fails),
    }
}

/// How the attempt of this number ends where one call is to fail.
fn doom_of(call: FailingCall, attempt: u32) -> Doom {
    match (attempt, call.resumed) {
        (0, true) => Doom::Checkpoint(1),
        (0, false) | (1, true) => match call.of {
            Called::Store => Doom::Store(call.number, call.fails),
            Called::Sink => Doom::Sink(call.number, call.fails),
        },
        _ => Doom::None,
    }
}

/// Where the sinks of all attempts ask for the fate of the one that runs.
pub(super) type SharedFate = Arc<Mutex<Option<Arc<Fate>>>>;

/// Runs the script to its end, through several attempts; what is wrong is `Err(())` where it does not end within `patience`. The
/// counters are those of the last attempt. Also whether the call that was to fail in this mode was made.
pub(super) fn run(
    script: &Script,
    options: &(dyn Fn() -> RunOptions + Sync),
    shared: &SharedFate,
    mode: &Mode,
    patience: Duration,
) -> (Ran, bool) {
    let mut call_failed = false;
    let ran = attempts(script, options, shared, mode, patience, &mut call_failed);
    (ran, call_failed)
}

/// The counters, and how it ended.
type Ran = (JobProgress, Result<Result<(), ExecError>, ()>);

fn attempts(
    script: &Script,
    options: &(dyn Fn() -> RunOptions + Sync),
    shared: &SharedFate,
    mode: &Mode,
    patience: Duration,
    call_failed: &mut bool,
) -> Ran {
    let folder = Folder::in_memory();
    let mut random = Random::new(mode.seed);
    let (mut seen, mut last) = (None, None);
    let (mut ends, mut starts) = (0, 0);
    let watch = Stopwatch::start();
    loop {
        let progress = script.progress();
        let doom = match mode.fails {
            Some(call) => doom_of(call, starts),
            None => doom(&mut random, ends),
        };
        starts += 1;
        let state = State { random: Random::new(random.below(u64::MAX)), doom, seen };
        let fate = Arc::new(Fate { state: Mutex::new(state), killed: Notify::new() });
        *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&fate));
        let left = patience.saturating_sub(watch.elapsed());
        let ran = std::thread::scope(|scope| {
            scope.spawn(|| attempt(script, options(), &folder, &fate, &progress, left)).join()
        });
        let Ok((all_read, attempt)) = ran else {
            let error = ExecError::Internal("an attempt of the job panicked".to_owned());
            return (progress, Ok(Err(error)));
        };
        seen = fate.state().seen.take();
        *call_failed |= matches!(fate.state().doom, Doom::Store(0, _) | Doom::Sink(0, _));
        match attempt {
            Attempt::Over => return (last.unwrap_or(progress), Ok(Ok(()))),
            // All was counted by the attempt that came to the end, and this one has only finished its last commit.
            Attempt::Finished => return (last.unwrap_or(progress), Ok(Ok(()))),
            Attempt::Ended(Err(ExecError::Connector { error, .. }))
                if doom != Doom::None && error.retry == Retry::Temporary =>
            {
                ends += 1;
            }
            Attempt::Ended(result) => return (progress, Ok(result)),
            Attempt::TookTooLong => return (progress, Err(())),
            Attempt::Killed => ends += 1,
        }
        // One that only had a commit to finish, and was ended in that, has counted nothing.
        if !all_read {
            last = Some(progress);
        }
    }
}

/// Whether all inputs have ended at the last checkpoint, and whether that is complete.
async fn has_ended(folder: &Folder) -> Option<bool> {
    let last = Inventory::take(folder).await.ok()?.checkpoints.into_iter().last()?;
    last.manifest.is_ok_and(|manifest| manifest.ended).then_some(last.complete)
}

/// What became of an attempt.
enum Attempt {
    /// The one before had done all that there was to do, whatever became of it then.
    Over,
    /// It has finished the last commit.
    Finished,
    Ended(Result<(), ExecError>),
    Killed,
    TookTooLong,
}

/// Whether all had been read before it began, and what became of it.
fn attempt(
    script: &Script,
    mut options: RunOptions,
    folder: &Folder,
    fate: &Arc<Fate>,
    progress: &JobProgress,
    patience: Duration,
) -> (bool, Attempt) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return (false, Attempt::Ended(Err(ExecError::Internal(error.to_string())))),
    };
    let (told, troubled, turns) = (Arc::clone(fate), Arc::clone(fate), Arc::clone(fate));
    options.checkpoints = Some(folder.with_trouble(move || troubled.store()));
    options.recovery = Some(RecoveryProperties { interval: Span(0), attempts: 0, ..script.recovery().clone() });
    options.on_checkpoint = Some(Arc::new(move |manifest: &Manifest| told.checkpoint(manifest)));
    options.schedule = Some(Arc::new(move || turns.turn()));
    runtime.block_on(async {
        let ended = has_ended(folder).await;
        if ended == Some(true) {
            return (true, Attempt::Over);
        }
        let all_read = ended.is_some();
        let attempt = tokio::select! {
            biased;
            () = fate.killed.notified() => Attempt::Killed,
            ran = tokio::time::timeout(patience, script.run(options, progress)) => {
                match ran {
                    Err(_) => Attempt::TookTooLong,
                    Ok(Ok(())) if all_read => Attempt::Finished,
                    Ok(result) => Attempt::Ended(result),
                }
            }
        };
        (all_read, attempt)
    })
}
