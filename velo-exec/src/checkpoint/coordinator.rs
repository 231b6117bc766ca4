//! One for each job: says when a checkpoint begins, gathers what the tasks kept, makes it a checkpoint, and has the sinks commit.
//!
//! At checkpoint n sources end the epoch, each task saves what it keeps when the barrier has come to it, sinks prepare, the
//! manifest is written (from then on n is valid; where sinks share the transactions of a system that cannot prepare, from its commit
//! on, which comes then), sinks commit, `complete` is written, and what is older than the kept ones goes.
//! A job without a `checkpoint.dir` has one epoch: nothing is saved, and sinks commit when all inputs have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use velo_core::{Clock, Watermark};

use super::commit_point::CommitPoint;
use super::files;
use super::folder::{Created, Folder};
use super::inventory::{complete, complete_name, discarded_name, manifest_name};
use super::job_file;
use super::line::{Asked, Kept, Report, Saved};
use super::manifest::{FORMAT, Manifest, SavedSink, SavedTask, SourceState};
use super::policy::CheckpointPolicy;
use super::resume::Resumed;
use crate::error::{ExecError, Result};
use crate::runtime::{Stop, StopRequest};

/// Is told of each checkpoint that is complete.
pub type OnCheckpoint = Arc<dyn Fn(&Manifest) + Send + Sync>;

/// The checkpoints of a running job.
pub struct Checkpoints {
    /// Where they lie.
    pub folder: Folder,
    /// The job's id.
    pub job: String,
    /// The number of this attempt to run it.
    pub attempt: u64,
    /// The number that the next checkpoint gets.
    pub next: u64,
    /// When they are made.
    pub policy: CheckpointPolicy,
    /// What the job goes on from; `None` where it begins.
    pub resumed: Option<Resumed>,
    /// Is told of those that are complete.
    pub on_complete: Option<OnCheckpoint>,
}

/// Who takes part in each checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Participants {
    /// Tasks that report what they keep.
    pub tasks: usize,
    /// Those of them that say when they have ended, and whatever waited at their end has come out.
    pub ending: usize,
    /// The names of the sinks.
    pub sinks: BTreeSet<String>,
    /// Those of them whose rows share a transaction.
    pub sharing: BTreeSet<String>,
}

/// Where a checkpoint goes.
struct Target {
    folder: Folder,
    job: String,
    attempt: u64,
    policy: CheckpointPolicy,
    on_complete: Option<OnCheckpoint>,
    /// What each part of the plan does.
    plan: BTreeMap<String, String>,
}

/// The coordinator.
pub struct Coordinator {
    target: Option<Target>,
    commit_point: Option<CommitPoint>,
    next: u64,
    participants: Participants,
    asked: watch::Sender<Asked>,
    reports: mpsc::UnboundedReceiver<Report>,
    clock: Clock,
    stop: Stop,
    /// Tasks that have ended.
    ended: usize,
}

/// A state that is written: of which operator, of which task and shard of it, and where it lies.
type Written = (String, (usize, usize), SavedTask);

/// What has come of one checkpoint.
struct Gathered {
    tasks: usize,
    /// How many files are made at a time: each is in memory as a whole.
    turns: Arc<Semaphore>,
    sources: BTreeMap<String, SourceState>,
    writing: JoinSet<Result<Written>>,
    /// By operator, and then by task and shard.
    written: BTreeMap<String, BTreeMap<(usize, usize), SavedTask>>,
    sinks: BTreeMap<String, SavedSink>,
}

/// Why a checkpoint is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Due,
    /// All sources have ended.
    Ended,
    /// The job was asked to stop.
    Stopped,
}

impl Coordinator {
    /// Of a job whose parts do what `plan` says; saves nothing without `checkpoints`. Where there is a `commit_point`, its commit is
    /// what makes a checkpoint valid.
    pub fn new(
        (checkpoints, commit_point): (Option<Checkpoints>, Option<CommitPoint>),
        plan: BTreeMap<String, String>,
        participants: Participants,
        asked: watch::Sender<Asked>,
        reports: mpsc::UnboundedReceiver<Report>,
        clock: Clock,
        stop: Stop,
    ) -> Self {
        let next = checkpoints.as_ref().map_or(1, |checkpoints| checkpoints.next);
        let target = checkpoints.map(|checkpoints| Target {
            folder: checkpoints.folder,
            job: checkpoints.job,
            attempt: checkpoints.attempt,
            policy: checkpoints.policy,
            on_complete: checkpoints.on_complete,
            plan,
        });
        Self { target, commit_point, next, participants, asked, reports, clock, stop, ended: 0 }
    }

    /// Runs until all inputs have ended and everything is committed, or the job was stopped and its last checkpoint is complete.
    pub async fn run(mut self) -> Result<()> {
        if let Some(point) = &self.commit_point {
            point.begin(self.next).await?;
        }
        self.asked.send_modify(|asked| asked.open = self.next);
        loop {
            let why = self.wait().await?;
            if self.target.is_none() && why == Why::Stopped {
                // What is not whole is given up by its sink.
                self.asked.send_modify(|asked| asked.over = true);
                return Ok(());
            }
            if why == Why::Ended {
                self.asked.send_modify(|asked| asked.ending = true);
            }
            self.checkpoint(why).await?;
            if why != Why::Due {
                self.asked.send_modify(|asked| asked.over = true);
                return Ok(());
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.ended >= self.participants.ending
    }

    /// Waits until a checkpoint is to be made.
    async fn wait(&mut self) -> Result<Why> {
        let interval = self.target.as_ref().map(|target| target.policy.interval);
        let due = interval.map(|interval| self.clock.now().saturating_add(interval.micros()));
        let (clock, stop) = (self.clock.clone(), self.stop.clone());
        loop {
            if self.has_ended() {
                return Ok(Why::Ended);
            }
            let due = async {
                match due {
                    Some(due) => clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                report = self.reports.recv() => match report {
                    Some(Report::Ended) => self.ended += 1,
                    Some(other) => return Err(unexpected(&other)),
                    // Tasks that were stopped may all be gone before this one has its turn.
                    None if self.stop.requested() == StopRequest::Stop => return Ok(Why::Stopped),
                    None => return Err(ExecError::Stopped),
                },
                () = stopped(&stop) => return Ok(Why::Stopped),
                () = due => return Ok(Why::Due),
            }
        }
    }

    /// Makes one checkpoint, to its end.
    async fn checkpoint(&mut self, why: Why) -> Result<()> {
        let number = self.next;
        self.next += 1;
        let (clock, timeout) = (self.clock.clone(), self.target.as_ref().map(|target| target.policy.timeout));
        let mut gathered = Gathered::default();
        let made = self.make(number, why, &mut gathered);
        let Some(timeout) = timeout else { return made.await };
        let late = clock.sleep(Duration::from_micros(u64::try_from(timeout.micros()).unwrap_or(0)));
        let done = tokio::select! {
            biased;
            done = made => Some(done),
            () = late => None,
        };
        done.unwrap_or_else(|| {
            Err(ExecError::CheckpointTimeout {
                checkpoint: number,
                after: timeout.to_string(),
                missing: gathered.missing(&self.participants),
            })
        })
    }

    async fn make(&mut self, number: u64, why: Why, gathered: &mut Gathered) -> Result<()> {
        self.asked.send_modify(|asked| {
            asked.barrier = number;
            asked.last = why == Why::Stopped;
        });
        let mut sharing = Some(self.participants.sharing.clone());
        loop {
            // All have handed on what is theirs: the next epoch goes on while this one is saved and committed.
            if sharing.take_if(|sharing| sharing.is_empty()).is_some() {
                // Behind the last one there is none.
                if let Some(point) = self.commit_point.as_ref().filter(|_| why == Why::Due) {
                    point.begin(number + 1).await?;
                }
                self.asked.send_modify(|asked| asked.open = number + 1);
            }
            if gathered.tasks >= self.participants.tasks && gathered.sinks.len() >= self.participants.sinks.len() {
                break;
            }
            match self.reports.recv().await.ok_or(ExecError::Stopped)? {
                Report::Ended => self.ended += 1,
                Report::Saved(saved) if saved.checkpoint == number => {
                    gathered.take(*saved, self.target.as_ref());
                }
                Report::Prepared { checkpoint, sink, saved } if checkpoint == number => {
                    if let Some(sharing) = &mut sharing {
                        sharing.remove(&sink);
                    }
                    gathered.sinks.insert(sink, saved);
                }
                other => return Err(unexpected(&other)),
            }
        }
        while let Some(written) = gathered.writing.join_next().await {
            let (operator, task, saved) = written.map_err(|error| ExecError::Internal(error.to_string()))??;
            gathered.written.entry(operator).or_default().insert(task, saved);
        }
        let mut manifest = None;
        if let Some(target) = &self.target {
            let commits_in = self.commit_point.as_ref().map(|point| point.system().to_owned());
            let made = target.write((number, commits_in), why == Why::Ended, self.clock.wall(), gathered);
            manifest = Some(made.await?);
        }
        if let Some(point) = &self.commit_point {
            point.commit(number).await?;
        }
        self.commit(number, gathered.sinks.len()).await?;
        if let (Some(target), Some(manifest)) = (&self.target, manifest) {
            let oldest = target.complete(&manifest).await?;
            self.asked.send_modify(|asked| asked.kept = Kept { oldest: asked.kept.oldest.max(oldest), newest: number });
        }
        Ok(())
    }

    /// Has the sinks commit, and waits for all of them.
    async fn commit(&mut self, number: u64, sinks: usize) -> Result<()> {
        self.asked.send_modify(|asked| asked.commit = number);
        let mut committed = 0;
        while committed < sinks {
            match self.reports.recv().await.ok_or(ExecError::Stopped)? {
                Report::Ended => self.ended += 1,
                Report::Committed { checkpoint } if checkpoint == number => committed += 1,
                other => return Err(unexpected(&other)),
            }
        }
        Ok(())
    }
}

async fn stopped(stop: &Stop) {
    // Inputs that are to end do so by themselves, and say it.
    if stop.asked().await != StopRequest::Stop {
        std::future::pending::<()>().await;
    }
}

fn unexpected(report: &Report) -> ExecError {
    let what = match report {
        Report::Ended => "an end".to_owned(),
        Report::Saved(saved) => format!("a state for checkpoint {}", saved.checkpoint),
        Report::Prepared { checkpoint, sink, .. } => format!("{sink}, prepared for checkpoint {checkpoint}"),
        Report::Committed { checkpoint } => format!("a commit of checkpoint {checkpoint}"),
    };
    ExecError::Internal(format!("the coordinator was told of {what} when it did not ask for that"))
}

/// So many files of a checkpoint are made at a time.
const FILES_AT_ONCE: usize = 2;

impl Default for Gathered {
    fn default() -> Self {
        Self {
            tasks: 0,
            turns: Arc::new(Semaphore::new(FILES_AT_ONCE)),
            sources: BTreeMap::new(),
            writing: JoinSet::new(),
            written: BTreeMap::new(),
            sinks: BTreeMap::new(),
        }
    }
}

impl Gathered {
    fn take(&mut self, saved: Saved, target: Option<&Target>) {
        self.tasks += 1;
        if let Some((name, state)) = saved.source {
            self.sources.insert(name, state);
        }
        let Some(Target { folder, attempt, .. }) = target else { return };
        let all = saved.operators.into_iter().flat_map(|(operator, states)| {
            states.into_iter().enumerate().map(move |(shard, state)| (operator.clone(), shard, state))
        });
        for (operator, shard, state) in all {
            let (folder, of, task) = (folder.clone(), (saved.checkpoint, *attempt), saved.task);
            let turn = Arc::clone(&self.turns);
            self.writing.spawn(async move {
                // Nobody closes it.
                let _turn = turn.acquire().await.map_err(|_| ExecError::Stopped)?;
                let name = if shard == 0 { task.to_string() } else { format!("{task}-shard{shard}") };
                let saved = files::write(&folder, of, &operator, &name, state).await?;
                Ok((operator, (task, shard), saved))
            });
        }
    }

    /// Who has not done its part, as half a sentence.
    fn missing(&self, participants: &Participants) -> String {
        let sinks: Vec<&str> =
            participants.sinks.iter().filter(|sink| !self.sinks.contains_key(*sink)).map(String::as_str).collect();
        match (self.tasks < participants.tasks, sinks.as_slice()) {
            (true, _) => {
                format!(
                    "the barrier has not come through {} of {} tasks",
                    participants.tasks - self.tasks,
                    participants.tasks
                )
            }
            (false, []) => "the state was still being written, or a sink had not committed".to_owned(),
            (false, sinks) => format!("still being written: {}", sinks.join(", ")),
        }
    }
}

impl Target {
    /// Writes the manifest: where there is no commit point beside it, the checkpoint is valid then.
    async fn write(
        &self,
        (number, commit_point): (u64, Option<String>),
        ended: bool,
        now: i64,
        gathered: &mut Gathered,
    ) -> Result<Manifest> {
        job_file::stay(&self.folder, self.attempt).await?;
        let tasks = |tasks: BTreeMap<_, SavedTask>| tasks.into_values().collect();
        let manifest = Manifest {
            format: FORMAT,
            job: self.job.clone(),
            checkpoint: number,
            attempt: self.attempt,
            time: now,
            ended,
            sources: std::mem::take(&mut gathered.sources),
            commit_point,
            plan: self.plan.clone(),
            operators: std::mem::take(&mut gathered.written).into_iter().map(|(name, of)| (name, tasks(of))).collect(),
            sinks: gathered.sinks.clone(),
        };
        let bytes = manifest.to_bytes().map_err(|error| ExecError::Internal(error.to_string()))?;
        let name = manifest_name(number);
        match self.folder.create(&name, bytes).await? {
            Created::New => Ok(manifest),
            Created::Taken => Err(self.met(&name).await?),
        }
    }

    /// What it means that somebody has written the manifest of this name.
    async fn met(&self, name: &str) -> Result<ExecError> {
        let bytes = self.folder.read(name).await?.unwrap_or_default();
        Ok(match Manifest::read(&bytes) {
            Ok(other) if other.attempt < self.attempt => ExecError::Overtaken { checkpoint: other.checkpoint },
            _ => files::replaced(name),
        })
    }

    /// All that follows from it was done; what is older than the kept ones goes. Gives the oldest that is kept; 0 where that is not
    /// known.
    async fn complete(&self, manifest: &Manifest) -> Result<u64> {
        let number = manifest.checkpoint;
        complete(&self.folder, number).await?;
        if let Some(told) = &self.on_complete {
            told(manifest);
        }
        // What cannot be removed now is removed behind a later one.
        let kept = retain(&self.folder, number, self.policy.keep.max(1)).await;
        Ok(kept.unwrap_or_else(|error| {
            tracing::warn!(checkpoint = number, "older checkpoints stay: {error}");
            0
        }))
    }
}

/// Keeps the newest complete checkpoints up to `newest`, and removes whatever is older: what says that one is complete first, so that
/// half of one is never taken for a whole. Gives the oldest that is kept.
pub async fn retain(folder: &Folder, newest: u64, keep: usize) -> Result<u64> {
    let mut all: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for (name, _) in folder.list("").await? {
        if let Some(number) = name.split_once('/').and_then(|(first, _)| first.parse().ok()) {
            all.entry(number).or_default().push(name);
        }
    }
    let is_complete = |number: &u64| all.get(number).is_some_and(|names| names.contains(&complete_name(*number)));
    let complete: Vec<u64> = all.keys().copied().filter(|number| *number <= newest && is_complete(number)).collect();
    let Some(oldest) = complete.get(complete.len().saturating_sub(keep)).copied() else { return Ok(0) };
    for (number, mut names) in all.into_iter().filter(|(number, _)| *number < oldest) {
        let rank = |name: &String| match name {
            name if *name == complete_name(number) => 0,
            name if *name == manifest_name(number) => 1,
            name if *name == discarded_name(number) => 3,
            _ => 2,
        };
        names.sort_by_key(rank);
        for name in names {
            folder.remove(&name).await?;
        }
    }
    Ok(oldest)
}

impl SourceState {
    /// The state of a source of which nothing was read.
    pub fn nothing() -> Self {
        Self { watermark: Watermark::NONE, ..Self::default() }
    }
}
