//! A scenario whose job is killed, frozen, or fails, and is started again, in memory: a simulation, reproduced by its seed.
//!
//! Every attempt runs on a thread and runtime of its own, and its tasks go on in an order that the seed decides. It ends behind some
//! checkpoint, in the middle of anything, or where the store of its checkpoints or one of its sinks fails, before or behind what it
//! was asked to do. What an attempt had in flight is lost then; its checkpoints and the epochs of its sinks stay, and the next attempt
//! goes on from there. An attempt that is frozen does not know that another one has taken its place: some time later it goes on, while
//! that one waits, and must not be seen any more.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use velo_core::clock::Stopwatch;
use velo_core::duration::Span;
use velo_core::error::Retry;
use velo_exec::checkpoint::{CallFails, Inventory, Manifest, Standing};
use velo_exec::runtime::JobProgress;
use velo_exec::{ExecError, Result};
use velo_plan::RecoveryProperties;

use super::modes::{Called, FailingCall, Mode, Random};
use crate::{Folder, RunOptions, Script};

/// So often an attempt is ended at most: of a long input that is enough, and each start costs.
const ENDS: u64 = 6;

/// A frozen attempt goes on for so many turns at most.
const THAWED_TURNS: u64 = 2_000;

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
    /// At so many calls of a broker its transactions have been open for too long.
    Expiry(u64),
    /// It is frozen when its tasks have had so many turns.
    Frozen(u64),
}

/// Where a frozen attempt waits.
#[derive(Default)]
struct Ice {
    phase: Mutex<Phase>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Running,
    Frozen,
    Thawed,
    /// The attempt has ended.
    Over,
}

impl Ice {
    fn set(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        self.changed.notify_all();
    }

    fn wait_for(&self, is_it: impl Fn(Phase) -> bool) -> Phase {
        let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        *self.changed.wait_while(phase, |phase| !is_it(*phase)).unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) == Phase::Over
    }

    /// Stays where it is until it is thawed.
    fn freeze(&self) {
        self.set(Phase::Frozen);
        self.wait_for(|phase| phase == Phase::Thawed);
    }

    /// Lets the attempt go on until it has ended, where it has not yet.
    fn thaw(&self) {
        if self.is_over() {
            return;
        }
        self.set(Phase::Thawed);
        self.wait_for(|phase| phase == Phase::Over);
    }
}

/// Says that an attempt has ended, however it did.
struct Over<'a>(&'a Ice);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.set(Phase::Over);
    }
}

/// What decides about an attempt, and what has become of it.
pub(super) struct Fate {
    state: Mutex<State>,
    killed: Notify,
    ice: Ice,
}

struct State {
    random: Random,
    doom: Doom,
    /// How far the sources were read at the last checkpoint that was seen.
    seen: Option<serde_json::Value>,
    /// An attempt before, which is frozen, goes on after so many turns of this one.
    thaws: Option<(u64, Arc<Fate>)>,
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
        let thawed = state.thaws.take_if(|(left, _)| passed(left));
        let freezes = match &mut state.doom {
            Doom::Frozen(left) => passed(left),
            _ => false,
        };
        let goes_on = state.random.below(4) > 0;
        drop(state);
        if let Some((_, frozen)) = thawed {
            frozen.ice.thaw();
        }
        if freezes {
            self.ice.freeze();
            self.state().doom = Doom::Turn(THAWED_TURNS);
        }
        goes_on
    }

    fn store(&self) -> Option<CallFails> {
        match &mut self.state().doom {
            Doom::Store(left, fails) => passed(left).then_some(*fails),
            _ => None,
        }
    }

    /// Asked by a broker at each of its calls: whether what is open has been so for too long.
    pub(super) fn expires(&self) -> bool {
        match &mut self.state().doom {
            Doom::Expiry(left) => passed(left),
            _ => false,
        }
    }

    /// How many turns others have before a commit is done.
    pub(super) fn delay(&self) -> u64 {
        self.state().random.below(4)
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

fn doom(random: &mut Random, ends: u64, kinds: Kinds) -> Doom {
    if ends >= ENDS {
        return Doom::None;
    }
    let fails = if random.below(2) == 0 { CallFails::Before } else { CallFails::After };
    match random.below(6) {
        0 => Doom::Checkpoint(1 + random.below(3)),
        1 => Doom::Store(1 + random.below(60), fails),
        2 => Doom::Sink(1 + random.below(30), fails),
        3 if kinds.transactions => Doom::Expiry(1 + random.below(40)),
        4 if kinds.freezing => Doom::Frozen(1 + random.below(600)),
        _ => Doom::Turn(1 + random.below(600)),
    }
}

/// What can happen to a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kinds {
    /// It has sinks that share transactions.
    pub(super) transactions: bool,
    /// A frozen attempt holds nothing that the next one would need: a file, say, which it has locked.
    pub(super) freezing: bool,
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
#[derive(Clone, Default)]
pub(super) struct SharedFate(Arc<Mutex<Option<Arc<Fate>>>>);

impl SharedFate {
    /// That of the attempt that runs.
    pub(super) fn now(&self) -> Option<Arc<Fate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, fate: &Arc<Fate>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(fate));
    }
}

/// Runs the script to its end, through several attempts; what is wrong is `Err(())` where it does not end within `patience`. The
/// counters are those of the last attempt. Also whether the call that was to fail in this mode was made.
pub(super) fn run(
    script: &Script,
    options: &(dyn Fn() -> RunOptions + Sync),
    shared: &SharedFate,
    (mode, kinds): (&Mode, Kinds),
    patience: Duration,
) -> (Ran, bool) {
    let attempts = Attempts { script, options, shared, mode, kinds, patience, folder: Folder::in_memory() };
    std::thread::scope(|scope| {
        let mut frozen = None;
        let ran = attempts.run(scope, &mut frozen);
        // What is still frozen goes on behind the end of all, where it can do no harm either.
        if let Some(fate) = &frozen {
            fate.ice.thaw();
        }
        ran
    })
}

/// The counters, and how it ended.
type Ran = (JobProgress, Result<Result<(), ExecError>, ()>);

/// The attempts of one run.
struct Attempts<'a> {
    script: &'a Script,
    options: &'a (dyn Fn() -> RunOptions + Sync),
    shared: &'a SharedFate,
    mode: &'a Mode,
    kinds: Kinds,
    patience: Duration,
    folder: Folder,
}

impl Attempts<'_> {
    fn run<'scope>(
        &'scope self,
        scope: &'scope std::thread::Scope<'scope, '_>,
        frozen: &mut Option<Arc<Fate>>,
    ) -> (Ran, bool) {
        let mut random = Random::new(self.mode.seed);
        let (mut seen, mut last) = (None, None);
        let (mut ends, mut starts, mut call_failed) = (0, 0, false);
        let watch = Stopwatch::start();
        loop {
            let progress = self.script.progress();
            frozen.take_if(|frozen| frozen.ice.is_over());
            let doom = match self.mode.fails {
                Some(call) => doom_of(call, starts),
                // One frozen attempt at a time.
                None => {
                    doom(&mut random, ends, Kinds { freezing: self.kinds.freezing && frozen.is_none(), ..self.kinds })
                }
            };
            starts += 1;
            let thaws = frozen.as_ref().map(|frozen| (1 + random.below(300), Arc::clone(frozen)));
            let state = State { random: Random::new(random.below(u64::MAX)), doom, seen, thaws };
            let fate = Arc::new(Fate { state: Mutex::new(state), killed: Notify::new(), ice: Ice::default() });
            self.shared.set(&fate);
            let left = self.patience.saturating_sub(watch.elapsed());
            let (own, counted) = (Arc::clone(&fate), progress.clone());
            let running = scope.spawn(move || {
                let _over = Over(&own.ice);
                self.attempt(&own, &counted, left)
            });
            if fate.ice.wait_for(|phase| matches!(phase, Phase::Frozen | Phase::Over)) == Phase::Frozen {
                ends += 1;
                seen = fate.state().seen.take();
                last = Some(progress);
                *frozen = Some(fate);
                continue;
            }
            let Ok((all_read, attempt)) = running.join() else {
                let error = ExecError::Internal("an attempt of the job panicked".to_owned());
                return ((progress, Ok(Err(error))), call_failed);
            };
            seen = fate.state().seen.take();
            call_failed |= matches!(fate.state().doom, Doom::Store(0, _) | Doom::Sink(0, _));
            let ran = match attempt {
                Attempt::Ended(Err(error)) if doom != Doom::None && passes(&error) => None,
                Attempt::Ended(Err(ExecError::Overtaken { .. })) | Attempt::Killed => None,
                Attempt::Ended(result) => Some(Ok(result)),
                Attempt::TookTooLong => Some(Err(())),
            };
            // One that only had a commit to finish has counted nothing: that was done by the attempt that came to the end.
            let counted = match last.take() {
                Some(last) if all_read && !matches!(ran, Some(Ok(Err(_)) | Err(()))) => last,
                _ => progress,
            };
            if let Some(ran) = ran {
                return ((counted, ran), call_failed);
            }
            ends += 1;
            last = Some(counted);
        }
    }

    /// Whether all had been read before it began, and what became of it.
    fn attempt(&self, fate: &Arc<Fate>, progress: &JobProgress, patience: Duration) -> (bool, Attempt) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return (false, Attempt::Ended(Err(ExecError::Internal(error.to_string())))),
        };
        let mut options = (self.options)();
        let (told, troubled, turns) = (Arc::clone(fate), Arc::clone(fate), Arc::clone(fate));
        options.checkpoints = Some(self.folder.with_trouble(move || troubled.store()));
        options.recovery =
            Some(RecoveryProperties { interval: Span(0), attempts: 0, ..self.script.recovery().clone() });
        options.on_checkpoint = Some(Arc::new(move |manifest: &Manifest| told.checkpoint(manifest)));
        options.schedule = Some(Arc::new(move || turns.turn()));
        runtime.block_on(async {
            let before = last_one(&self.folder).await;
            if let Some((_, Standing::Complete)) = before {
                // The one before had done all that there was to do, whatever became of it then.
                return (true, Attempt::Ended(Ok(())));
            }
            let attempt = tokio::select! {
                biased;
                () = fate.killed.notified() => Attempt::Killed,
                ran = tokio::time::timeout(patience, self.script.run(options, progress)) => {
                    ran.map_or(Attempt::TookTooLong, Attempt::Ended)
                }
            };
            // The last one may have turned out not to be valid.
            let all_read = match (before, last_one(&self.folder).await) {
                (Some((before, _)), Some((now, _))) => before == now,
                _ => false,
            };
            (all_read, attempt)
        })
    }
}

/// Whether an error is of the kind that another start may mend.
fn passes(error: &ExecError) -> bool {
    matches!(error, ExecError::Connector { error, .. } if error.retry == Retry::Temporary)
}

/// The last checkpoint of all, where all inputs have ended at it, and how it stands.
async fn last_one(folder: &Folder) -> Option<(u64, Standing)> {
    let checkpoints = Inventory::take(folder).await.ok()?.checkpoints;
    let last = checkpoints.into_iter().rev().find(|found| found.standing != Standing::Discarded)?;
    last.manifest.is_ok_and(|manifest| manifest.ended).then_some((last.number, last.standing))
}

/// What became of an attempt.
enum Attempt {
    Ended(Result<(), ExecError>),
    Killed,
    TookTooLong,
}
