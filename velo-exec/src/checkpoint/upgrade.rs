//! A checkpoint for a changed script: what its parts keep of the old one, what begins empty, and what is lost.

use std::collections::{BTreeMap, BTreeSet};

use super::files;
use super::folder::{Created, Folder};
use super::inventory::manifest_name;
use super::manifest::{Manifest, SavedTask};
use crate::error::{ExecError, Result};
use crate::spill::MemoryPool;

/// What becomes of a part of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartFate {
    /// It goes on with its state, or its position.
    Kept,
    /// It is new, or does something else now, and begins empty.
    Begins,
    /// Its state is not needed any more, and goes.
    Lost,
}

/// A part of the plan: an operator with state, a source or a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub fate: PartFate,
    /// Why, or how much it is, as half a sentence.
    pub why: String,
}

/// The parts of a new plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewPlan {
    /// What each part does, by its name.
    pub does: BTreeMap<String, String>,
    /// The names of the operators that keep something.
    pub stateful: BTreeSet<String>,
    /// The names of the sources.
    pub sources: BTreeSet<String>,
    /// The names of the sinks.
    pub sinks: BTreeSet<String>,
}

fn rows(tasks: &[SavedTask]) -> u64 {
    tasks.iter().flat_map(|task| &task.files).map(|file| file.rows).sum()
}

/// The operator that a name of a state belongs to: the steps of one operator have names of their own.
fn operator<'a>(name: &'a str, does: &BTreeMap<String, String>) -> &'a str {
    let step = [".first-step", ".idle-close", ".emit-interval"].iter().find_map(|step| name.strip_suffix(step));
    step.filter(|operator| does.contains_key(*operator)).unwrap_or(name)
}

/// Whether the state under this name fits what the new plan does.
fn fits(manifest: &Manifest, plan: &NewPlan, name: &str) -> bool {
    let operator = operator(name, &manifest.plan);
    manifest.plan.get(operator).is_some_and(|did| plan.does.get(operator) == Some(did))
}

/// What becomes of the parts of a checkpoint, and of a new plan, by their names.
pub fn compare(manifest: &Manifest, plan: &NewPlan) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut part = |name: String, fate, why: String| parts.push(Part { name, fate, why });
    let both = |old: Vec<&String>, new: &BTreeSet<String>| -> BTreeSet<String> {
        old.into_iter().chain(new).cloned().collect()
    };
    for name in both(manifest.sources.keys().collect(), &plan.sources) {
        let shown = format!("source {name}");
        match (manifest.sources.contains_key(&name), plan.sources.contains(&name)) {
            (true, true) => part(shown, PartFate::Kept, "goes on where it was".to_owned()),
            (false, _) => part(shown, PartFate::Begins, "is new, and is read from its start".to_owned()),
            (true, false) => part(shown, PartFate::Lost, "is not read any more".to_owned()),
        }
    }
    for (name, tasks) in &manifest.operators {
        let rows = rows(tasks);
        match fits(manifest, plan, name) {
            true if rows > 0 => part(name.clone(), PartFate::Kept, format!("{rows} rows of state")),
            false if rows > 0 && plan.does.contains_key(name) => {
                let did = manifest.plan.get(name).cloned().unwrap_or_default();
                let why = format!("does something else now, so that {rows} rows of state are of no use; it did: {did}");
                part(name.clone(), PartFate::Begins, why);
            }
            false if rows > 0 => part(name.clone(), PartFate::Lost, format!("{rows} rows of state")),
            _ => {}
        }
    }
    for name in plan.stateful.iter().filter(|name| !manifest.operators.contains_key(*name)) {
        part(name.clone(), PartFate::Begins, "is new".to_owned());
    }
    for name in both(manifest.sinks.keys().collect(), &plan.sinks) {
        let shown = format!("sink {name}");
        match (manifest.sinks.contains_key(&name), plan.sinks.contains(&name)) {
            (true, true) => part(shown, PartFate::Kept, "goes on behind what was written".to_owned()),
            (false, _) => part(shown, PartFate::Begins, "is new".to_owned()),
            (true, false) => part(shown, PartFate::Lost, "is not written any more; what it has stays".to_owned()),
        }
    }
    parts
}

/// Writes checkpoint `number` for the new plan, with all that it keeps of an old one.
pub async fn carry(folder: &Folder, manifest: &Manifest, plan: &NewPlan, number: u64, attempt: u64) -> Result<()> {
    let (mut operators, pool) = (BTreeMap::new(), MemoryPool::unbounded());
    for (name, tasks) in manifest.operators.iter().filter(|(name, _)| fits(manifest, plan, name)) {
        let mut carried = Vec::with_capacity(tasks.len());
        for (at, task) in tasks.iter().enumerate() {
            let state = files::read(folder, task, &pool).await?;
            carried.push(files::write(folder, (number, attempt), name, &at.to_string(), state).await?);
        }
        operators.insert(name.clone(), carried);
    }
    let next = Manifest {
        checkpoint: number,
        attempt,
        plan: plan.does.clone(),
        operators,
        sources: manifest.sources.clone().into_iter().filter(|(name, _)| plan.sources.contains(name)).collect(),
        sinks: manifest.sinks.clone().into_iter().filter(|(name, _)| plan.sinks.contains(name)).collect(),
        ..manifest.clone()
    };
    let bytes = next.to_bytes().map_err(|error| ExecError::Internal(error.to_string()))?;
    match folder.create(&manifest_name(number), bytes).await? {
        Created::New => Ok(()),
        Created::Taken => Err(files::replaced(&manifest_name(number))),
    }
}
