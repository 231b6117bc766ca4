//! What lies in a folder of checkpoints, how each of them stands, and which one a job goes on from: a pure choice.
//!
//! | objects of checkpoint n | it is |
//! |---|---|
//! | files of state, and no manifest | nothing |
//! | `n/manifest.json` | pending: valid where the manifest is the commit point, and where the system that is has its number |
//! | `n/manifest.json`, `n/complete` | complete: all that follows from it was done |
//! | `n/manifest.json`, `n/committed` | valid, says the user: its transaction was committed |
//! | `n/manifest.json`, `n/discarded` | discarded: its transaction was not committed, and never will be |

use std::collections::BTreeMap;

use super::commit_point::Committed;
use super::files;
use super::folder::{Created, Folder};
use super::manifest::Manifest;
use crate::error::Result;

const MANIFEST: &str = "manifest.json";
const COMPLETE: &str = "complete";
const COMMITTED: &str = "committed";
const DISCARDED: &str = "discarded";
const RUNS: &str = "runs";

/// A checkpoint as it is found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its number.
    pub number: u64,
    /// Its manifest, or what is wrong with it.
    pub manifest: Result<Manifest, String>,
    /// How it stands.
    pub standing: Standing,
}

/// How a checkpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its manifest is written, and not all that follows from it was done.
    Pending,
    /// The same, and the user has said that its transaction was committed.
    Committed,
    /// All that follows from it was done.
    Complete,
    /// Its transaction was not committed: it never became valid.
    Discarded,
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
    /// Only the user can know whether this one is valid: the system whose commit makes it so does not.
    Ask(u64),
    /// Nothing can be resumed of what there is: the numbers, each with the reason.
    Stop(Vec<(u64, String)>),
}

impl Inventory {
    /// Looks through a folder.
    pub async fn take(folder: &Folder) -> Result<Self> {
        #[derive(Default)]
        struct Objects {
            manifest: bool,
            complete: bool,
            committed: bool,
            discarded: bool,
        }
        let mut found: BTreeMap<u64, Objects> = BTreeMap::new();
        let (mut run_from, mut highest) = (0, 0);
        for (name, _) in folder.list("").await? {
            let (first, rest) = name.split_once('/').unwrap_or((name.as_str(), ""));
            if first == RUNS {
                run_from = run_from.max(rest.parse().unwrap_or(0));
            } else if let Ok(number) = first.parse::<u64>() {
                highest = highest.max(number);
                let objects = found.entry(number).or_default();
                objects.manifest |= rest == MANIFEST;
                objects.complete |= rest == COMPLETE;
                objects.committed |= rest == COMMITTED;
                objects.discarded |= rest == DISCARDED;
            }
        }
        let mut checkpoints = Vec::with_capacity(found.len());
        // A number without either was begun and never became a checkpoint.
        for (number, objects) in found.into_iter().filter(|(_, objects)| objects.manifest || objects.complete) {
            let manifest = match folder.read(&manifest_name(number)).await? {
                Some(bytes) => Manifest::read(&bytes).and_then(|manifest| match manifest.checkpoint == number {
                    true => Ok(manifest),
                    false => Err(format!("it is that of checkpoint {}", manifest.checkpoint)),
                }),
                None => Err("its manifest is missing".to_owned()),
            };
            let standing = match objects {
                Objects { complete: true, .. } => Standing::Complete,
                Objects { committed: true, .. } => Standing::Committed,
                Objects { discarded: true, .. } => Standing::Discarded,
                _ => Standing::Pending,
            };
            checkpoints.push(Found { number, manifest, standing });
        }
        Ok(Self { checkpoints, run_from, highest: highest.max(run_from.saturating_sub(1)) })
    }

    /// Discards those that are pending and whose transaction was not committed. Gives their numbers.
    pub async fn settle(&mut self, folder: &Folder, committed: Committed) -> Result<Vec<u64>> {
        let Committed::Number(last) = committed else { return Ok(Vec::new()) };
        let mut discarded = Vec::new();
        for found in self.checkpoints.iter_mut().filter(|found| found.number >= self.run_from) {
            // Of one that cannot be read nobody knows whether it had a transaction; where it has been committed it stays.
            let had_transaction = found.manifest.as_ref().map_or(true, |manifest| manifest.commit_point.is_some());
            if found.standing == Standing::Pending && had_transaction && found.number != last {
                discard(folder, found.number).await?;
                found.standing = Standing::Discarded;
                discarded.push(found.number);
            }
        }
        Ok(discarded)
    }

    /// What to do with it. `wanted` is a checkpoint that the user named, whatever comes twice then.
    pub fn decide(&self, wanted: Option<u64>, committed: Committed) -> Decision {
        let mut broken = Vec::new();
        let candidates = self.checkpoints.iter().rev().filter(|found| match wanted {
            Some(wanted) => found.number == wanted,
            None => found.number >= self.run_from && found.standing != Standing::Discarded,
        });
        // What the system has shown must not come again: nothing older will do.
        let shown = match committed {
            Committed::Number(last) if wanted.is_none() && last >= self.run_from => Some(last),
            _ => None,
        };
        let mut chosen = None;
        for found in candidates {
            match &found.manifest {
                Ok(manifest) if wanted.is_none() && self.is_unknown(found, manifest, committed) => {
                    return Decision::Ask(found.number);
                }
                Ok(manifest) => {
                    chosen = Some((found, manifest));
                    break;
                }
                Err(why) => broken.push((found.number, why.clone())),
            }
        }
        if let Some(last) = shown.filter(|last| chosen.is_none_or(|(found, _)| found.number < *last)) {
            if !broken.iter().any(|(number, _)| *number == last) {
                broken.push((last, "it is missing".to_owned()));
            }
            return Decision::Stop(broken);
        }
        match chosen {
            Some((found, manifest)) if manifest.ended && broken.is_empty() => match found.standing {
                Standing::Complete => Decision::Begin, // A run that had ended is not gone on with.
                _ => Decision::Finish(found.number),
            },
            Some((found, manifest)) if !manifest.ended => {
                // Its transactions showed what came behind it, and the system has forgotten which was the last.
                if !broken.is_empty() && manifest.commit_point.is_some() && shown.is_none() {
                    return Decision::Stop(broken);
                }
                Decision::Resume { number: found.number, instead_of: broken }
            }
            _ => match (wanted, broken.is_empty()) {
                (Some(wanted), true) => Decision::Stop(vec![(wanted, "it is not there".to_owned())]),
                (None, true) => Decision::Begin,
                (_, false) => Decision::Stop(broken),
            },
        }
    }

    /// Whether nobody knows if the transaction of a checkpoint was committed.
    fn is_unknown(&self, found: &Found, manifest: &Manifest, committed: Committed) -> bool {
        let is_it = matches!(committed, Committed::Number(last) if last == found.number);
        found.standing == Standing::Pending && manifest.commit_point.is_some() && !is_it
    }

    /// Whether the attempt of this number wrote the last checkpoint of a run that ended.
    pub fn has_ended(&self, attempt: u64) -> bool {
        let standing = self.checkpoints.iter().rev().find(|found| found.standing != Standing::Discarded);
        let newest = standing.and_then(|found| found.manifest.as_ref().ok());
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

/// The object that says that a checkpoint never became valid.
pub fn discarded_name(number: u64) -> String {
    format!("{number}/{DISCARDED}")
}

/// All that follows from a checkpoint was done.
pub async fn complete(folder: &Folder, number: u64) -> Result<()> {
    folder.create(&complete_name(number), "").await.map(drop)
}

/// The transaction of a checkpoint was committed, which the system does not know any more.
pub async fn committed(folder: &Folder, number: u64) -> Result<()> {
    folder.create(&format!("{number}/{COMMITTED}"), "").await.map(drop)
}

/// The transaction of a checkpoint was not committed.
pub async fn discard(folder: &Folder, number: u64) -> Result<()> {
    folder.create(&discarded_name(number), "").await.map(drop)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(number: u64, ended: bool, complete: bool) -> Found {
        let manifest = Manifest { ended, ..Manifest::of_nothing(number) };
        let standing = if complete { Standing::Complete } else { Standing::Pending };
        Found { number, manifest: Ok(manifest), standing }
    }

    fn broken(number: u64) -> Found {
        Found { manifest: Err("torn".to_owned()), ..found(number, false, true) }
    }

    fn decide(checkpoints: Vec<Found>, run_from: u64) -> Decision {
        Inventory { checkpoints, run_from, highest: 9 }.decide(None, Committed::NoSystem)
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

    #[test]
    fn one_that_is_named_is_taken_or_nothing() {
        let inventory = Inventory {
            checkpoints: vec![found(1, false, true), broken(2), found(3, false, true)],
            run_from: 3,
            highest: 3,
        };
        assert_eq!(inventory.decide(Some(1), Committed::NoSystem), resume(1, &[]));
        assert_eq!(inventory.decide(Some(2), Committed::NoSystem), Decision::Stop(vec![(2, "torn".to_owned())]));
        assert_eq!(
            inventory.decide(Some(7), Committed::NoSystem),
            Decision::Stop(vec![(7, "it is not there".to_owned())])
        );
    }

    /// The same with a system whose commit is the commit point.
    fn atomic(number: u64, complete: bool) -> Found {
        let found = found(number, false, complete);
        let manifest = found.manifest.map(|manifest| Manifest { commit_point: Some("broker".to_owned()), ..manifest });
        Found { manifest, ..found }
    }

    async fn settled(checkpoints: Vec<Found>, committed: Committed) -> (Vec<u64>, Decision) {
        let folder = Folder::in_memory();
        let mut inventory = Inventory { checkpoints, run_from: 1, highest: 9 };
        let discarded = inventory.settle(&folder, committed).await.unwrap();
        for number in &discarded {
            assert!(folder.read(&discarded_name(*number)).await.unwrap().is_some());
        }
        (discarded, inventory.decide(None, committed))
    }

    #[tokio::test]
    async fn a_pending_one_is_valid_if_its_transaction_was_committed() {
        let two = || vec![atomic(1, true), atomic(2, false)];
        assert_eq!(settled(two(), Committed::Number(2)).await, (vec![], resume(2, &[])));
        assert_eq!(settled(two(), Committed::Number(1)).await, (vec![2], resume(1, &[])));
        assert_eq!(settled(two(), Committed::Nothing).await, (vec![], Decision::Ask(2)));
        assert_eq!(
            settled(two(), Committed::NoSystem).await,
            (vec![], Decision::Ask(2)),
            "the sink is gone from the script"
        );
        let first = || vec![atomic(1, false)];
        assert_eq!(settled(first(), Committed::Number(0)).await, (vec![1], Decision::Begin));
        assert_eq!(settled(vec![atomic(1, true)], Committed::Nothing).await, (vec![], resume(1, &[])), "long ago");
    }

    #[tokio::test]
    async fn several_may_have_been_discarded() {
        let three = || vec![atomic(1, true), atomic(2, false), atomic(3, false)];
        assert_eq!(settled(three(), Committed::Number(1)).await, (vec![2, 3], resume(1, &[])));
        assert_eq!(settled(three(), Committed::Number(3)).await, (vec![2], resume(3, &[])));
    }

    /// What is visible must not come again.
    #[tokio::test]
    async fn what_was_committed_is_gone_on_behind_or_nothing() {
        let stop = |number: u64, why: &str| Decision::Stop(vec![(number, why.to_owned())]);
        let pending = Found { standing: Standing::Pending, ..broken(2) };
        let torn = || vec![atomic(1, true), broken(2)];
        assert_eq!(settled(torn(), Committed::Number(2)).await, (vec![], stop(2, "torn")));
        assert_eq!(settled(torn(), Committed::Nothing).await, (vec![], stop(2, "torn")));
        assert_eq!(
            settled(vec![atomic(1, true), pending.clone()], Committed::Number(2)).await,
            (vec![], stop(2, "torn"))
        );
        assert_eq!(settled(vec![atomic(1, true), pending], Committed::Number(1)).await, (vec![2], resume(1, &[])));
        assert_eq!(settled(vec![atomic(1, true)], Committed::Number(2)).await, (vec![], stop(2, "it is missing")));
        let inventory = Inventory { checkpoints: torn(), run_from: 1, highest: 2 };
        assert_eq!(inventory.decide(Some(1), Committed::Number(2)), resume(1, &[]), "the user accepts it");
    }

    #[tokio::test]
    async fn a_last_commit_is_finished_only_where_it_had_begun() {
        let ended = |complete| {
            let found = atomic(2, complete);
            let manifest = found.manifest.map(|manifest| Manifest { ended: true, ..manifest });
            Found { manifest, ..found }
        };
        let all = || vec![atomic(1, true), ended(false)];
        assert_eq!(settled(all(), Committed::Number(2)).await, (vec![], Decision::Finish(2)));
        assert_eq!(settled(all(), Committed::Number(1)).await, (vec![2], resume(1, &[])));
        assert_eq!(settled(vec![ended(true)], Committed::Number(2)).await, (vec![], Decision::Begin));
    }
}
