//! Whose folder it is, and who works in it now.
//!
//! `job.json` is written at the first start and has the job's id and name. `attempts/k` is taken by the k-th process that runs
//! the job: whoever finds a higher one than its own has been replaced.

use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};

use super::files::replaced;
use super::folder::{Created, Folder, own_mark};
use super::manifest::FORMAT;
use super::state::damaged;
use crate::error::{ExecError, Result};

const JOB: &str = "job.json";
const ATTEMPTS: &str = "attempts";

/// A job as its folder knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFile {
    /// [`FORMAT`] of the build that wrote it.
    pub format: u32,
    /// The id that was made at the first start.
    pub id: String,
    /// The name.
    pub name: String,
}

impl JobFile {
    /// The job that a folder belongs to; `None` where it belongs to none yet.
    pub async fn read(folder: &Folder) -> Result<Option<Self>> {
        let Some(bytes) = folder.read(JOB).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(JOB, &error.to_string()))
    }

    /// Claims the folder for the job of this name: its own, or one that belongs to nobody yet.
    ///
    /// # Errors
    ///
    /// [`ExecError::OtherJob`] where it belongs to another job.
    pub async fn claim(folder: &Folder, name: &str, now: i64) -> Result<Self> {
        let found = match Self::read(folder).await? {
            Some(found) => found,
            None => {
                let own = Self { format: FORMAT, id: new_id(name, now), name: name.to_owned() };
                let bytes = serde_json::to_vec(&own).map_err(|error| ExecError::Internal(error.to_string()))?;
                match folder.create(JOB, bytes).await? {
                    Created::New => own,
                    Created::Taken => Self::read(folder).await?.ok_or_else(|| damaged(JOB, "it came and went"))?,
                }
            }
        };
        if found.name != name {
            return Err(ExecError::OtherJob {
                folder: folder.name().to_owned(),
                found: found.name,
                wanted: name.to_owned(),
            });
        }
        Ok(found)
    }
}

/// An id for a job of this name. Nothing but uniqueness is asked of it: the time, and the seeds that the process began with.
pub fn new_id(name: &str, now: i64) -> String {
    format!("{:016x}{:016x}", RandomState::new().hash_one(now), RandomState::new().hash_one(name))
}

fn attempt_name(attempt: u64) -> String {
    format!("{ATTEMPTS}/{attempt}")
}

/// A number has the mark of the process that took it, so that it knows its own.
async fn take(folder: &Folder, attempt: u64) -> Result<Created> {
    folder.create(&attempt_name(attempt), own_mark()).await
}

/// Takes the next attempt number.
pub async fn next_attempt(folder: &Folder) -> Result<u64> {
    loop {
        let next = latest_attempt(folder).await? + 1;
        if take(folder, next).await? == Created::New {
            return Ok(next);
        }
    }
}

/// Takes an attempt number behind one of this process.
///
/// # Errors
///
/// [`ExecError::Replaced`] where another process has one.
pub async fn next_attempt_after(folder: &Folder, attempt: u64) -> Result<u64> {
    let latest = latest_attempt(folder).await?.max(attempt);
    // This process may have taken one since, and failed before it had begun.
    if latest > attempt && folder.read(&attempt_name(latest)).await?.is_none_or(|mark| mark != own_mark()) {
        return Err(replaced(&format!("attempt {latest}")));
    }
    let next = latest + 1;
    match take(folder, next).await? {
        Created::New => Ok(next),
        Created::Taken => Err(replaced(&format!("attempt {next}"))),
    }
}

/// The highest attempt number that was taken; 0 where none was.
pub async fn latest_attempt(folder: &Folder) -> Result<u64> {
    Ok(folder.numbers(ATTEMPTS).await?.into_iter().max().unwrap_or(0))
}

/// Goes on only as the newest attempt.
pub async fn stay(folder: &Folder, attempt: u64) -> Result<()> {
    let latest = latest_attempt(folder).await?;
    if latest > attempt { Err(replaced(&format!("attempt {latest}"))) } else { Ok(()) }
}

/// Removes the numbers of attempts that came before.
pub async fn forget_attempts(folder: &Folder, attempt: u64) -> Result<()> {
    folder.remove_numbers(ATTEMPTS, attempt).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_belongs_to_one_job() {
        let folder = Folder::in_memory();
        let first = JobFile::claim(&folder, "bars", 1).await.unwrap();
        assert_eq!(JobFile::claim(&folder, "bars", 2).await.unwrap(), first);
        let error = JobFile::claim(&folder, "other", 3).await.unwrap_err().to_string();
        assert!(error.contains("'bars'") && error.contains("'other'"), "{error}");
    }

    #[tokio::test]
    async fn the_newest_attempt_stays() {
        let folder = Folder::in_memory();
        let (first, second) = (next_attempt(&folder).await.unwrap(), next_attempt(&folder).await.unwrap());
        assert!(stay(&folder, first).await.is_err());
        forget_attempts(&folder, second).await.unwrap();
        assert!(stay(&folder, second).await.is_ok());
        assert_eq!(next_attempt_after(&folder, second).await.unwrap(), second + 1);
        // One that this process took, and failed.
        assert_eq!(next_attempt_after(&folder, second).await.unwrap(), second + 2);
        folder.create("attempts/5", "another process").await.unwrap();
        assert!(next_attempt_after(&folder, second + 2).await.is_err(), "it has been replaced");
        assert_eq!(next_attempt(&folder).await.unwrap(), 6);
    }
}
