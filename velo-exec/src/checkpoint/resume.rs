//! Which checkpoint a job goes on from: a pure choice over what is found, and the state of the one that was chosen.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::files;
use super::folder::{Created, Folder};
use super::manifest::Manifest;
use super::state::{OperatorState, Share, StateReader, damaged};
use crate::error::{ExecError, Result};
use crate::spill::MemoryPool;

const MANIFEST: &str = "manifest.json";
const COMPLETE: &str = "complete";
const RUNS: &str = "runs";

/// A checkpoint as it is found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its number.
    pub number: u64,
    /// Its manifest, or what is wrong with it.
    pub manifest: Result<Manifest, String>,
    /// All that follows from it was done.
    pub complete: bool,
}

/// All that is found in a folder.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inventory {
    /// What has a manifest, or had one; ascending.
    pub checkpoints: Vec<Found>,
    /// The first number of the run that began last: what is below belongs to runs that are over.
    pub run_from: u64,
    /// The highest number that was used.
    pub highest: u64,
}

/// What a job does at its start.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// There is nothing to go on from.
    Begin,
    /// The last run had ended, but for the end of its last commit.
    Finish(u64),
    /// It goes on from this checkpoint.
    Resume {
        /// Its number.
        number: u64,
        /// Why not from a later one.
        instead_of: Vec<(u64, String)>,
    },
    /// Nothing can be resumed of what there is: the numbers, each with the reason.
    Stop(Vec<(u64, String)>),
}

impl Inventory {
    /// Looks through a folder.
    pub async fn take(folder: &Folder) -> Result<Self> {
        let mut found: BTreeMap<u64, (bool, bool)> = BTreeMap::new();
        let (mut run_from, mut highest) = (0, 0);
        for (name, _) in folder.list("").await? {
            let (first, rest) = name.split_once('/').unwrap_or((name.as_str(), ""));
            if first == RUNS {
                run_from = run_from.max(rest.parse().unwrap_or(0));
            } else if let Ok(number) = first.parse::<u64>() {
                highest = highest.max(number);
                let entry = found.entry(number).or_default();
                entry.0 |= rest == MANIFEST;
                entry.1 |= rest == COMPLETE;
            }
        }
        let mut checkpoints = Vec::with_capacity(found.len());
        // A number without either was begun and never became a checkpoint.
        for (number, (_, complete)) in found.into_iter().filter(|(_, (manifest, complete))| *manifest || *complete) {
            let manifest = match folder.read(&manifest_name(number)).await? {
                Some(bytes) => Manifest::read(&bytes).and_then(|manifest| match manifest.checkpoint == number {
                    true => Ok(manifest),
                    false => Err(format!("it is that of checkpoint {}", manifest.checkpoint)),
                }),
                None => Err("its manifest is missing".to_owned()),
            };
            checkpoints.push(Found { number, manifest, complete });
        }
        Ok(Self { checkpoints, run_from, highest: highest.max(run_from.saturating_sub(1)) })
    }

    /// What to do with it. `wanted` is a checkpoint that the user named, whatever comes twice then.
    pub fn decide(&self, wanted: Option<u64>) -> Decision {
        let mut broken = Vec::new();
        let candidates = self.checkpoints.iter().rev().filter(|found| match wanted {
            Some(wanted) => found.number == wanted,
            None => found.number >= self.run_from,
        });
        for found in candidates {
            match &found.manifest {
                Ok(manifest) if manifest.ended && broken.is_empty() && !found.complete => {
                    return Decision::Finish(found.number);
                }
                // A run that had ended is not gone on with.
                Ok(manifest) if manifest.ended && broken.is_empty() => return Decision::Begin,
                Ok(manifest) if manifest.ended => break,
                Ok(_) => return Decision::Resume { number: found.number, instead_of: broken },
                Err(why) => broken.push((found.number, why.clone())),
            }
        }
        match wanted {
            Some(wanted) if broken.is_empty() => Decision::Stop(vec![(wanted, "it is not there".to_owned())]),
            _ if broken.is_empty() => Decision::Begin,
            _ => Decision::Stop(broken),
        }
    }

    /// Whether the attempt of this number wrote the last checkpoint of a run that ended.
    pub fn has_ended(&self, attempt: u64) -> bool {
        let newest = self.checkpoints.last().and_then(|found| found.manifest.as_ref().ok());
        newest.is_some_and(|manifest| manifest.ended && manifest.attempt == attempt)
    }

    /// Its file cannot be used.
    pub fn is_broken(&mut self, number: u64, why: String) {
        for found in self.checkpoints.iter_mut().filter(|found| found.number == number) {
            found.manifest = Err(why.clone());
        }
    }

    /// The checkpoint of a number, where it is whole.
    pub fn manifest(&self, number: u64) -> Option<&Manifest> {
        self.checkpoints.iter().find(|found| found.number == number)?.manifest.as_ref().ok()
    }
}

/// The object that makes a checkpoint.
pub fn manifest_name(number: u64) -> String {
    format!("{number}/{MANIFEST}")
}

/// The object that says that all of a checkpoint was done.
pub fn complete_name(number: u64) -> String {
    format!("{number}/{COMPLETE}")
}

/// A run begins anew: no checkpoint below this number belongs to it.
pub async fn begin_run(folder: &Folder, first: u64) -> Result<()> {
    match folder.create(&format!("{RUNS}/{first}"), "").await? {
        Created::New => Ok(()),
        Created::Taken => Err(files::replaced(&format!("{RUNS}/{first}"))),
    }
}

/// Forgets the runs before the one that begins at this number.
pub async fn forget_runs(folder: &Folder, first: u64) -> Result<()> {
    folder.remove_numbers(RUNS, first).await
}

/// A checkpoint that a job goes on from: the state of all operators is in memory, and checked.
#[derive(Debug)]
pub struct Resumed {
    /// What it consists of.
    pub manifest: Manifest,
    /// Later checkpoints that cannot be used, each with the reason.
    pub instead_of: Vec<(u64, String)>,
    operators: BTreeMap<String, Vec<OperatorState>>,
}

/// What a start found.
#[derive(Debug)]
pub enum Start {
    /// Nothing.
    Begin,
    /// A run that had ended but for the end of its last commit: its sinks are to commit what this manifest says.
    Finish(Box<Manifest>),
    /// A checkpoint.
    Resume(Box<Resumed>),
}

/// Decides, and reads the state of the checkpoint that was chosen; where a file of it turns out to be damaged, decides again.
///
/// # Errors
///
/// Where there are checkpoints and none can be used: the message has the choices.
pub async fn start(
    folder: &Folder,
    inventory: &mut Inventory,
    wanted: Option<u64>,
    pool: &Arc<MemoryPool>,
) -> Result<Start> {
    loop {
        match inventory.decide(wanted) {
            Decision::Begin => return Ok(Start::Begin),
            Decision::Finish(number) => {
                let manifest = inventory.manifest(number).cloned();
                let manifest = manifest.ok_or_else(|| ExecError::Internal(format!("no manifest {number}")))?;
                return Ok(Start::Finish(Box::new(manifest)));
            }
            Decision::Stop(broken) => return Err(ExecError::NoCheckpoint(no_choice(folder, &broken))),
            Decision::Resume { number, instead_of } => {
                let manifest = inventory.manifest(number).cloned();
                let manifest = manifest.ok_or_else(|| ExecError::Internal(format!("no manifest {number}")))?;
                match read_all(folder, &manifest, pool).await {
                    Ok(operators) => {
                        return Ok(Start::Resume(Box::new(Resumed { manifest, instead_of, operators })));
                    }
                    Err(ExecError::State { what, why }) => inventory.is_broken(number, format!("{what}: {why}")),
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

async fn read_all(
    folder: &Folder,
    manifest: &Manifest,
    pool: &Arc<MemoryPool>,
) -> Result<BTreeMap<String, Vec<OperatorState>>> {
    let reads = manifest.operators.values().flatten().map(|task| files::read(folder, task, pool)).collect::<Vec<_>>();
    let mut read = stream::iter(reads).buffered(files::AT_ONCE).try_collect::<Vec<_>>().await?.into_iter();
    let of = |(name, tasks): (&String, &Vec<_>)| (name.clone(), read.by_ref().take(tasks.len()).collect());
    Ok(manifest.operators.iter().map(of).collect())
}

fn no_choice(folder: &Folder, broken: &[(u64, String)]) -> String {
    let mut text = format!("no checkpoint in checkpoint.dir {} can be resumed\n", folder.name());
    for (number, why) in broken {
        text.push_str(&format!("  checkpoint {number}: {why}\n"));
    }
    text.push_str(
        "  help: --fresh starts anew; --from-checkpoint N --accept-duplicates resumes an older one that 'velo checkpoint list' shows",
    );
    text
}

impl Resumed {
    /// What an operator kept, for one of the tasks that run it now; nothing where the checkpoint does not know it.
    pub fn operator(&mut self, name: &str, share: Share) -> StateReader {
        let Some(saved) = self.operators.get_mut(name) else { return StateReader::new(Vec::new(), share) };
        // As many tasks as there were have the same keys: each takes its own, and all of it, also what has no key.
        if saved.len() == share.tasks
            && saved.iter().all(|saved| !saved.shard)
            && let Some(own) = saved.get_mut(share.task)
        {
            return StateReader::new(vec![std::mem::take(own)], Share::WHOLE);
        }
        StateReader::new(saved.clone(), share)
    }

    /// Compares what the parts of a plan do (by their names) with what those of the checkpoint did.
    ///
    /// # Errors
    ///
    /// Where something of either is not in the other, or does something else.
    pub fn check(&self, folder: &Folder, plan: &BTreeMap<String, String>) -> Result<()> {
        let made_for = &self.manifest.plan;
        let why = made_for.iter().find_map(|(name, did)| match plan.get(name) {
            None => Some(format!("the script has no '{name}' any more, which did: {did}")),
            Some(does) if does != did => Some(format!("'{name}' did: {did}; and now does: {does}")),
            Some(_) => None,
        });
        let new = || plan.keys().find(|name| !made_for.contains_key(*name));
        let why = why.or_else(|| new().map(|name| format!("'{name}' is new in the script")));
        match why {
            None => Ok(()),
            Some(why) => Err(ExecError::OtherPlan {
                folder: folder.name().to_owned(),
                checkpoint: self.manifest.checkpoint,
                why,
            }),
        }
    }
}

/// Reads and checks all files of a checkpoint, and gives nothing of them back.
///
/// # Errors
///
/// [`ExecError::State`] with the first that is missing or damaged.
pub async fn verify(folder: &Folder, found: &Found) -> Result<()> {
    let manifest = found.manifest.as_ref().map_err(|why| damaged(&manifest_name(found.number), why))?;
    let pool = MemoryPool::unbounded();
    for task in manifest.operators.values().flatten() {
        files::read(folder, task, &pool).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::manifest::FORMAT;
    use super::*;

    fn found(number: u64, ended: bool, complete: bool) -> Found {
        let manifest = Manifest {
            format: FORMAT,
            job: "j".to_owned(),
            checkpoint: number,
            attempt: 1,
            time: 0,
            ended,
            sources: BTreeMap::new(),
            plan: BTreeMap::new(),
            operators: BTreeMap::new(),
            sinks: BTreeMap::new(),
        };
        Found { number, manifest: Ok(manifest), complete }
    }

    fn broken(number: u64) -> Found {
        Found { manifest: Err("torn".to_owned()), ..found(number, false, true) }
    }

    fn decide(checkpoints: Vec<Found>, run_from: u64) -> Decision {
        Inventory { checkpoints, run_from, highest: 9 }.decide(None)
    }

    fn resume(number: u64, instead_of: &[u64]) -> Decision {
        Decision::Resume { number, instead_of: instead_of.iter().map(|at| (*at, "torn".to_owned())).collect() }
    }

    #[test]
    fn the_newest_whole_one_of_the_run_is_taken() {
        assert_eq!(decide(vec![], 0), Decision::Begin);
        assert_eq!(decide(vec![found(1, false, true), found(2, false, true)], 0), resume(2, &[]));
        assert_eq!(decide(vec![found(1, false, true), found(2, false, false)], 0), resume(2, &[]), "pending is valid");
        assert_eq!(decide(vec![found(1, false, true), broken(2), broken(3)], 0), resume(1, &[3, 2]));
        assert_eq!(decide(vec![found(1, false, true)], 2), Decision::Begin, "of a run that is over");
        let stop = Decision::Stop(vec![(2, "torn".to_owned())]);
        assert_eq!(decide(vec![found(1, false, true), broken(2)], 2), stop);
    }

    #[test]
    fn a_run_that_ended_is_not_gone_on_with() {
        assert_eq!(decide(vec![found(1, false, true), found(2, true, true)], 0), Decision::Begin);
        assert_eq!(decide(vec![found(1, false, true), found(2, true, false)], 0), Decision::Finish(2));
        let stop = Decision::Stop(vec![(3, "torn".to_owned())]);
        assert_eq!(decide(vec![found(2, true, true), broken(3)], 0), stop);
    }

    /// What a task counted has no key, and there are as many tasks as there were, or others.
    #[test]
    fn what_has_no_key_goes_on_in_one_task() {
        use super::super::{load_counts, save_counts, state::StateWriter};
        let saved = |late: u64| {
            let mut state = StateWriter::new();
            save_counts(&mut state, "late", &[("rows", late)]).unwrap();
            state.finish(Default::default()).unwrap().remove(0)
        };
        let Ok(manifest) = found(1, false, true).manifest else { unreachable!() };
        let operators = BTreeMap::from([("op".to_owned(), vec![saved(0), saved(4), saved(1)])]);
        for tasks in 1..5 {
            let (manifest, operators) = (manifest.clone(), operators.clone());
            let mut resumed = Resumed { manifest, instead_of: Vec::new(), operators };
            let late =
                |task| load_counts(&mut resumed.operator("op", Share { task, tasks }), "late", ["rows"]).unwrap()[0];
            assert_eq!((0..tasks).map(late).sum::<u64>(), 5, "in {tasks} tasks");
        }
    }

    #[test]
    fn one_that_is_named_is_taken_or_nothing() {
        let inventory = Inventory {
            checkpoints: vec![found(1, false, true), broken(2), found(3, false, true)],
            run_from: 3,
            highest: 3,
        };
        assert_eq!(inventory.decide(Some(1)), resume(1, &[]));
        assert_eq!(inventory.decide(Some(2)), Decision::Stop(vec![(2, "torn".to_owned())]));
        assert_eq!(inventory.decide(Some(7)), Decision::Stop(vec![(7, "it is not there".to_owned())]));
    }
}
