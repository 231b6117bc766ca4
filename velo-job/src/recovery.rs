//! Starting a job where its last checkpoint left it, and again where it failed in a way that may pass.

use std::sync::Arc;

use velo_core::error::Retry;
use velo_core::resilience::{Backoff, Delays};
use velo_core::{Clock, time};
use velo_exec::checkpoint::{
    CheckpointPolicy, Checkpoints, CommitPoint, Committed, Folder, Inventory, JobFile, OnCheckpoint, Start, begin_run,
    complete, forget_attempts, forget_runs, new_id, next_attempt, next_attempt_after, start,
};
use velo_exec::physical::Names;
use velo_exec::runtime::{JobProgress, commit_again};
use velo_exec::spill::MemoryPool;
use velo_exec::{ExecError, Result};
use velo_plan::plan::Plan;
use velo_plan::{RecoveryProperties, RestartStrategy};

/// What a start has to say to the user, a sentence at a time.
pub type OnNote = Arc<dyn Fn(&str) + Send + Sync>;

/// How a start uses what is in `checkpoint.dir`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resume {
    /// Goes on from the newest checkpoint of a run that did not end; begins where there is none.
    #[default]
    Newest,
    /// Begins anew, whatever there is.
    Fresh,
    /// Goes on from this checkpoint, though rows that were written behind it may come twice.
    From(u64),
}

/// What came of a look into `checkpoint.dir`.
pub(crate) enum Opened {
    /// The job runs.
    Run {
        /// Where its checkpoints go, if they do.
        checkpoints: Option<Box<Checkpoints>>,
        /// What makes them valid.
        commit_point: Option<CommitPoint>,
        /// The last attempt has made a checkpoint before it failed.
        came_on: bool,
    },
    /// The last run had ended, and its last commit is finished now: there is nothing to run.
    Finished,
}

/// An attempt of this process that ran, and failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastAttempt {
    number: u64,
    /// The number that its first checkpoint would have got.
    next: u64,
}

impl LastAttempt {
    pub(crate) fn of(checkpoints: &Checkpoints) -> Self {
        Self { number: checkpoints.attempt, next: checkpoints.next }
    }
}

/// A job as checkpoints know it.
pub(crate) struct Recovery<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) properties: &'a RecoveryProperties,
    pub(crate) name: &'a str,
    pub(crate) clock: &'a Clock,
    pub(crate) progress: &'a JobProgress,
    pub(crate) memory: &'a Arc<MemoryPool>,
    pub(crate) note: &'a (dyn Fn(&str) + Send + Sync),
    pub(crate) on_checkpoint: &'a Option<OnCheckpoint>,
}

impl Recovery<'_> {
    /// Claims `folder` for the job, and decides what it goes on from. `last` is the attempt of this very process that ran and failed, where
    /// one did, and `claimed` the newest that it has claimed.
    pub(crate) async fn open(
        &self,
        folder: Folder,
        resume: Resume,
        last: Option<LastAttempt>,
        claimed: &mut Option<u64>,
    ) -> Result<Opened> {
        let job = JobFile::claim(&folder, self.name, self.clock.wall()).await?;
        let attempt = match *claimed {
            Some(own) => next_attempt_after(&folder, own).await?,
            None => next_attempt(&folder).await?,
        };
        *claimed = Some(attempt);
        let policy = self.policy();
        // Whoever wrote into that system before has lost it from here on; only then it is known what is committed.
        let commit_point = CommitPoint::connect(self.plan, &job.id, &policy, self.clock).await?;
        let committed = match &commit_point {
            Some(point) => point.take_over().await?,
            None => Committed::NoSystem,
        };
        let mut inventory = Inventory::take(&folder).await?;
        let next = inventory.highest + 1;
        let system = commit_point.as_ref().map(CommitPoint::system).unwrap_or_default();
        for number in inventory.settle(&folder, committed).await? {
            (self.note)(&format!(
                "checkpoint {number} is discarded: {system} did not commit its transaction; what it had comes again"
            ));
        }
        let found = match resume {
            Resume::Fresh => Start::Begin,
            Resume::Newest => start(&folder, &mut inventory, (None, committed), self.memory).await?,
            Resume::From(number) => start(&folder, &mut inventory, (Some(number), committed), self.memory).await?,
        };
        let came_on = last.is_some_and(|last| inventory.highest >= last.next);
        let resumed = match found {
            // All was read and written before it failed.
            Start::Begin if last.is_some_and(|last| inventory.has_ended(last.number)) => return Ok(Opened::Finished),
            Start::Begin => {
                // One that began and has no checkpoint yet begins once more.
                if inventory.run_from != next {
                    begin_run(&folder, next).await?;
                    forget_runs(&folder, next).await?;
                }
                None
            }
            Start::Finish(manifest) => {
                commit_again(self.plan, &manifest, commit_point.as_ref(), self.clock, self.progress).await?;
                complete(&folder, manifest.checkpoint).await?;
                (self.note)("the last run had ended, but for the end of its last commit, which is finished now");
                return Ok(Opened::Finished);
            }
            Start::Resume(resumed) => {
                resumed.check(&folder, &Names::new(self.plan).plan(self.plan))?;
                for (number, why) in &resumed.instead_of {
                    (self.note)(&format!("checkpoint {number} cannot be used: {why}"));
                }
                let manifest = &resumed.manifest;
                (self.note)(&format!(
                    "going on from checkpoint {} of {}",
                    manifest.checkpoint,
                    time::iso8601(manifest.time)
                ));
                // What is pending is valid: its sinks commit it before they write, and that is all that was left to do.
                complete(&folder, manifest.checkpoint).await?;
                Some(*resumed)
            }
        };
        if let Some(point) = &commit_point {
            let before = resumed.as_ref().map_or(next - 1, |resumed| resumed.manifest.checkpoint);
            point.goes_on_from(committed, before).await?;
        }
        forget_attempts(&folder, attempt).await?;
        let (job, on_complete) = (job.id, self.on_checkpoint.clone());
        let checkpoints = Checkpoints { folder, job, attempt, next, policy, resumed, on_complete };
        Ok(Opened::Run { checkpoints: Some(Box::new(checkpoints)), commit_point, came_on })
    }

    /// A job without a `checkpoint.dir`: nobody goes on from it.
    pub(crate) async fn without_folder(&self) -> Result<Opened> {
        let id = new_id(self.name, self.clock.wall());
        let commit_point = CommitPoint::connect(self.plan, &id, &self.policy(), self.clock).await?;
        if let Some(point) = &commit_point {
            point.take_over().await?;
        }
        Ok(Opened::Run { checkpoints: None, commit_point, came_on: false })
    }

    fn policy(&self) -> CheckpointPolicy {
        CheckpointPolicy {
            interval: self.properties.interval,
            timeout: self.properties.timeout,
            keep: self.properties.keep,
        }
    }
}

/// The starts of a job after failures.
pub(crate) struct Restarts {
    strategy: RestartStrategy,
    left: u32,
    delays: Delays,
}

impl Restarts {
    pub(crate) fn new(properties: &RecoveryProperties, seed: u64) -> Self {
        let backoff = Backoff { first: properties.backoff.to_std(), longest: properties.longest.to_std() };
        Self { strategy: properties.strategy, left: properties.attempts, delays: backoff.delays(seed) }
    }

    /// How long to wait before the job is started again; `None` where `error` would come again, or the attempts are used up.
    pub(crate) fn after(&mut self, error: &ExecError) -> Option<std::time::Duration> {
        let passes = match error {
            ExecError::Connector { error, .. } => error.retry == Retry::Temporary,
            // A crash of a task.
            ExecError::Internal(_) | ExecError::Overtaken { .. } => true,
            _ => false,
        };
        if self.strategy == RestartStrategy::None || !passes || self.left == 0 {
            return None;
        }
        self.left -= 1;
        Some(self.delays.next_delay())
    }
}
