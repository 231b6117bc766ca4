//! A changed script over the checkpoints of what it was before.

use velo_core::Clock;
use velo_exec::checkpoint::{
    Committed, Folder, Found, Inventory, JobFile, Manifest, Part, Standing, Start, carry, compare, complete,
    next_attempt, start,
};
use velo_exec::physical::Names;
use velo_exec::spill::MemoryPool;
use velo_exec::{ExecError, Result};

use crate::Script;

/// What a changed script keeps of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The checkpoint.
    pub checkpoint: u64,
    /// Its parts, and those of the script.
    pub parts: Vec<Part>,
    /// The checkpoint that was made of it for the script, where one was.
    pub made: Option<u64>,
}

/// Compares a script with the newest checkpoint of its job in `folder`; `None` where there is none to go on from. With `make` a
/// checkpoint for the script is made of what it keeps.
pub async fn upgrade(script: &Script, folder: &Folder, name: &str, make: bool) -> Result<Option<Upgrade>> {
    if JobFile::read(folder).await?.is_none() {
        return Ok(None);
    }
    JobFile::claim(folder, name, Clock::system().wall()).await?;
    let mut inventory = Inventory::take(folder).await?;
    // Whether a pending one is valid is found out when the script runs; what would be kept of it can be said before.
    let newest = inventory.checkpoints.iter().rev().find(|found| found.standing != Standing::Discarded);
    let pending = newest.filter(|found| found.standing != Standing::Complete);
    let committed = pending.map_or(Committed::NoSystem, |found| Committed::Number(found.number));
    let Start::Resume(resumed) = start(folder, &mut inventory, (None, committed), &MemoryPool::unbounded()).await?
    else {
        return Ok(None);
    };
    let manifest: &Manifest = &resumed.manifest;
    let plan = Names::new(script.graph()).new_plan(script.graph());
    let mut upgrade = Upgrade { checkpoint: manifest.checkpoint, parts: compare(manifest, &plan), made: None };
    if make {
        let is_it = |found: &Found| found.number == manifest.checkpoint;
        if !inventory.checkpoints.iter().any(|found| is_it(found) && found.standing == Standing::Complete) {
            return Err(ExecError::NoCheckpoint(format!(
                "checkpoint {} is not complete: run the script as it was once more, so that its sinks finish it",
                manifest.checkpoint
            )));
        }
        let (number, attempt) = (inventory.highest + 1, next_attempt(folder).await?);
        carry(folder, manifest, &plan, number, attempt).await?;
        complete(folder, number).await?;
        upgrade.made = Some(number);
    }
    Ok(Some(upgrade))
}
