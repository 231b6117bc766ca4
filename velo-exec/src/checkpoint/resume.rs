//! The checkpoint that a job goes on from: chosen, read and checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::commit_point::Committed;
use super::files;
use super::folder::Folder;
use super::inventory::{Decision, Found, Inventory, manifest_name};
use super::manifest::Manifest;
use super::state::{OperatorState, Share, StateReader, damaged};
use crate::error::{ExecError, Result};
use crate::spill::MemoryPool;

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
/// Where there are checkpoints and none can be used, or where nobody knows whether the newest one is valid: the message has the choices.
pub async fn start(
    folder: &Folder,
    inventory: &mut Inventory,
    (wanted, committed): (Option<u64>, Committed),
    pool: &Arc<MemoryPool>,
) -> Result<Start> {
    loop {
        match inventory.decide(wanted, committed) {
            Decision::Begin => return Ok(Start::Begin),
            Decision::Finish(number) => {
                let manifest = inventory.manifest(number).cloned();
                let manifest = manifest.ok_or_else(|| ExecError::Internal(format!("no manifest {number}")))?;
                return Ok(Start::Finish(Box::new(manifest)));
            }
            Decision::Ask(number) => {
                let manifest = inventory.manifest(number);
                let system = manifest.and_then(|manifest| manifest.commit_point.clone()).unwrap_or_default();
                let folder = folder.name().to_owned();
                return Err(ExecError::Undecided { folder, checkpoint: number, system });
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
    use super::super::{load_counts, save_counts, state::StateWriter};
    use super::*;

    /// What a task counted has no key, and there are as many tasks as there were, or others.
    #[test]
    fn what_has_no_key_goes_on_in_one_task() {
        let saved = |late: u64| {
            let mut state = StateWriter::new();
            save_counts(&mut state, "late", &[("rows", late)]).unwrap();
            state.finish(Default::default()).unwrap().remove(0)
        };
        let manifest = Manifest::of_nothing(1);
        let operators = BTreeMap::from([("op".to_owned(), vec![saved(0), saved(4), saved(1)])]);
        for tasks in 1..5 {
            let (manifest, operators) = (manifest.clone(), operators.clone());
            let mut resumed = Resumed { manifest, instead_of: Vec::new(), operators };
            let late =
                |task| load_counts(&mut resumed.operator("op", Share { task, tasks }), "late", ["rows"]).unwrap()[0];
            assert_eq!((0..tasks).map(late).sum::<u64>(), 5, "in {tasks} tasks");
        }
    }
}
