//! What a checkpoint consists of: one object that names everything else, with the checksum of each.
//!
//! Checkpoint n is two objects that are written once: `n/manifest.json` makes it *pending*, `n/complete` says that all that
//! follows from it has been done. The manifest is a line of JSON and a second line with that line's checksum.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use velo_core::Watermark;
use velo_core::connector::PreparedCommit;
use velo_core::offset::Position;
use xxhash_rust::xxh3::xxh3_64;

use super::state::Reached;

/// The version of the form of manifests and state files that this build writes, and the only one that it reads.
pub const FORMAT: u32 = 1;

/// Everything that a checkpoint consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the build that wrote it.
    pub format: u32,
    /// The job's id.
    pub job: String,
    /// The checkpoint's number.
    pub checkpoint: u64,
    /// The attempt that wrote it.
    pub attempt: u64,
    /// When it was written, in microseconds since 1970-01-01T00:00:00Z by the clock of the job.
    pub time: i64,
    /// All inputs had ended, and this was the last one.
    pub ended: bool,
    /// How far each source was read, by its name.
    pub sources: BTreeMap<String, SourceState>,
    /// The system whose commit of a transaction with this number makes it valid; none where the manifest itself does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_point: Option<String>,
    /// What each source, operator and sink of the plan does, by its name.
    pub plan: BTreeMap<String, String>,
    /// What each task of each operator kept, by the operator's name.
    pub operators: BTreeMap<String, Vec<SavedTask>>,
    /// What each sink must do to make the epoch visible, by its name.
    pub sinks: BTreeMap<String, SavedSink>,
}

/// A sink at a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSink {
    /// The epoch that it made durable.
    pub prepared: PreparedCommit,
    /// What was counted so far, by what it counts.
    pub counters: BTreeMap<String, u64>,
}

/// How far a source was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// Its partitions, by their names.
    pub partitions: BTreeMap<String, PartitionState>,
    /// The watermark of all of them.
    pub watermark: Watermark,
    /// What was counted so far, by what it counts.
    pub counters: BTreeMap<String, u64>,
}

impl Default for SourceState {
    fn default() -> Self {
        Self { partitions: BTreeMap::new(), watermark: Watermark::NONE, counters: BTreeMap::new() }
    }
}

/// How far a partition was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PartitionState {
    /// Behind the last record that was delivered; `None` where none was.
    pub position: Option<Position>,
    /// The highest event time that was seen.
    pub highest: Option<i64>,
    /// It was silent for so long that it did not hold the watermark back.
    pub idle: bool,
}

/// What one task of an operator kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedTask {
    /// Its tables.
    pub files: Vec<StateFile>,
    /// What is no table.
    pub values: BTreeMap<String, serde_json::Value>,
    /// How far its input had come.
    pub reached: Reached,
    /// It is a part of what a task kept that was short of memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shard: bool,
}

/// An Arrow IPC file with one table of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// The table.
    pub table: String,
    /// The object, from the folder of the checkpoints on.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of the object.
    pub bytes: u64,
    /// XXH3-64 of the bytes, in hexadecimal digits.
    pub checksum: String,
}

/// The checksum of some bytes, as manifests write it.
pub fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}", xxh3_64(bytes))
}

impl Manifest {
    /// The bytes of the object.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        let sum = checksum(&bytes);
        bytes.push(b'\n');
        bytes.extend_from_slice(sum.as_bytes());
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads an object.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as half a sentence.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = bytes.strip_suffix(b"\n").ok_or("its end is missing")?;
        let cut = text.iter().rposition(|byte| *byte == b'\n').ok_or("its checksum is missing")?;
        let (json, sum) = (&text[..cut], &text[cut + 1..]);
        if checksum(json).as_bytes() != sum {
            return Err("its checksum does not fit its content".to_owned());
        }
        /// What is read first: another version may have any other form.
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let version: Version = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if version.format != FORMAT {
            let found = version.format;
            return Err(format!("it has the form {found}, and this build of Velo reads the form {FORMAT}"));
        }
        serde_json::from_slice(json).map_err(|error| error.to_string())
    }

    /// All files that it names.
    pub fn files(&self) -> impl Iterator<Item = &StateFile> {
        self.operators.values().flatten().flat_map(|task| &task.files)
    }

    /// Bytes of state in its files.
    pub fn state_bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).sum()
    }
}

#[cfg(test)]
impl Manifest {
    /// That of a job of which nothing is known.
    pub(super) fn of_nothing(checkpoint: u64) -> Self {
        Self {
            format: FORMAT,
            job: "j".to_owned(),
            checkpoint,
            attempt: 1,
            time: 0,
            ended: false,
            sources: BTreeMap::new(),
            commit_point: None,
            plan: BTreeMap::new(),
            operators: BTreeMap::new(),
            sinks: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let sources = BTreeMap::from([("s".to_owned(), SourceState::default())]);
        Manifest { sources, ..Manifest::of_nothing(3) }
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let bytes = manifest().to_bytes().unwrap();
        assert_eq!(Manifest::read(&bytes).unwrap(), manifest());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(Manifest::read(&damaged).is_err(), "byte {at}, bit {bit}");
            }
            assert!(Manifest::read(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn another_form_is_named() {
        let other = Manifest { format: 9, ..manifest() };
        let error = Manifest::read(&other.to_bytes().unwrap()).unwrap_err();
        assert!(error.contains("the form 9"), "{error}");
    }
}
