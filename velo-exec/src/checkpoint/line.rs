//! Between the coordinator of checkpoints and the tasks of a job: what is asked of all, and what each reports.

use tokio::sync::{mpsc, watch};
use velo_core::connector::CheckpointId;

use super::manifest::{SavedSink, SourceState};
use super::state::OperatorState;

/// What the coordinator asks of all tasks; every number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// Sources end the epoch of this checkpoint, where they have not yet.
    pub barrier: u64,
    /// Sources that were stopped give no barrier behind that one.
    pub last: bool,
    /// Sinks that share a transaction write the epoch that this checkpoint ends: all of them have handed on those before.
    pub open: u64,
    /// Sinks commit what they prepared for this checkpoint.
    pub commit: u64,
    /// Which complete checkpoints there are.
    pub kept: Kept,
    /// All sources have ended: so do the dead letters of tables.
    pub ending: bool,
    /// There is nothing more to do.
    pub over: bool,
}

/// The complete checkpoints that are kept, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// The oldest: what it covers is never read again.
    pub oldest: u64,
    /// The newest.
    pub newest: u64,
}

/// What a task tells the coordinator.
#[derive(Debug)]
pub enum Report {
    /// A task has ended: from now on barriers alone come out of it.
    Ended,
    /// A task has passed the barrier of a checkpoint.
    Saved(Box<Saved>),
    /// A sink has made its epoch durable.
    Prepared {
        /// The checkpoint.
        checkpoint: u64,
        /// The sink's name.
        sink: String,
        /// What it needs to commit, and what it counted.
        saved: SavedSink,
    },
    /// A sink has committed.
    Committed {
        /// The checkpoint.
        checkpoint: u64,
    },
}

/// What a task kept at a barrier.
#[derive(Debug)]
pub struct Saved {
    /// The checkpoint.
    pub checkpoint: u64,
    /// Which of the tasks that run the same operators it is.
    pub task: usize,
    /// Its operators by their names, each with what it keeps and what its shards do.
    pub operators: Vec<(String, Vec<OperatorState>)>,
    /// How far its source was read, by the source's name.
    pub source: Option<(String, SourceState)>,
}

/// A task's end of it.
#[derive(Debug, Clone)]
pub struct Line {
    asked: watch::Receiver<Asked>,
    reports: mpsc::UnboundedSender<Report>,
    /// Which of the tasks that run the same operators this is.
    task: usize,
    /// Whether states are saved, and not only sinks committed.
    saves: bool,
    /// Whether the job waits for the end of the task.
    awaited: bool,
    /// The last barrier that was given.
    given: u64,
}

/// What is asked of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The barrier of this checkpoint; after the last one a source that was stopped goes.
    Barrier {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Whether it is the last.
        last: bool,
    },
    /// There is nothing more to do, or the job has failed.
    Over,
}

impl Line {
    /// The line of one of the tasks that run the same operators.
    pub fn new(
        asked: watch::Receiver<Asked>,
        reports: mpsc::UnboundedSender<Report>,
        task: usize,
        saves: bool,
    ) -> Self {
        Self { asked, reports, task, saves, awaited: true, given: 0 }
    }

    /// Of a task for whose end the job does not wait.
    pub fn not_awaited(self) -> Self {
        Self { awaited: false, ..self }
    }

    /// A line to nobody: no barrier is ever asked for, and it is over when the input is.
    pub fn none() -> Self {
        let (_, asked) = watch::channel(Asked::default());
        let (reports, _) = mpsc::unbounded_channel();
        Self::new(asked, reports, 0, false)
    }

    /// Whether states are saved at barriers.
    pub fn saves(&self) -> bool {
        self.saves
    }

    /// What is asked now.
    pub fn asked(&self) -> Asked {
        *self.asked.borrow()
    }

    /// Waits until a barrier is asked for that was not given, or it is over. Dropping the future loses nothing; what is asked is
    /// asked again until [`Line::given`].
    pub async fn next(&mut self) -> Next {
        let given = self.given;
        match self.asked.wait_for(|asked| asked.over || asked.barrier > given).await.map(|asked| *asked) {
            Ok(asked) if asked.barrier > given => {
                Next::Barrier { checkpoint: CheckpointId(asked.barrier), last: asked.last }
            }
            _ => Next::Over,
        }
    }

    /// The same, where it being over is of no concern: for who has more to read.
    pub async fn barrier(&mut self) -> CheckpointId {
        match self.next().await {
            Next::Barrier { checkpoint, .. } => checkpoint,
            Next::Over => std::future::pending().await,
        }
    }

    /// The barrier that is asked for and was not given, where there is one.
    pub fn due(&self) -> Option<CheckpointId> {
        let asked = self.asked().barrier;
        (asked > self.given).then_some(CheckpointId(asked))
    }

    /// A barrier was given.
    pub fn given(&mut self, checkpoint: CheckpointId) {
        self.given = checkpoint.0;
    }

    /// Waits until the epoch of a later checkpoint than this one can be written; false where the job ended otherwise. Dropping the
    /// future loses nothing.
    pub async fn open(&mut self, behind: u64) -> bool {
        self.asked.wait_for(|asked| asked.open > behind).await.is_ok()
    }

    /// Waits until sinks are to commit this checkpoint; false where the job ended otherwise. Dropping the future loses nothing.
    pub async fn commit(&mut self, checkpoint: CheckpointId) -> bool {
        self.asked.wait_for(|asked| asked.commit >= checkpoint.0).await.is_ok()
    }

    /// Waits until other checkpoints are kept than `known`. Dropping the future loses nothing.
    pub async fn kept(&mut self, known: Kept) -> Kept {
        match self.asked.wait_for(|asked| asked.kept != known).await.map(|asked| asked.kept) {
            Ok(kept) => kept,
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until there is nothing more to do. Dropping the future loses nothing.
    pub async fn over(&mut self) {
        // Where nobody asks any more the answer is the same.
        drop(self.asked.wait_for(|asked| asked.over).await);
    }

    /// Waits until all sources have ended, or the job has failed.
    pub async fn ending(&mut self) {
        // Where nobody asks any more the answer is the same.
        drop(self.asked.wait_for(|asked| asked.ending || asked.over).await);
    }

    /// Reports what the task kept; one that runs no operators keeps nothing and says so.
    pub fn saved(
        &self,
        checkpoint: CheckpointId,
        operators: Vec<(String, Vec<OperatorState>)>,
        source: Option<(String, SourceState)>,
    ) {
        let saved = Saved { checkpoint: checkpoint.0, task: self.task, operators, source };
        self.report(Report::Saved(Box::new(saved)));
    }

    /// Reports.
    pub fn report(&self, report: Report) {
        if matches!(report, Report::Ended) && !self.awaited {
            return;
        }
        // Where nobody listens the job has failed, and whoever failed says why.
        drop(self.reports.send(report));
    }
}
