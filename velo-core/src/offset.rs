//! How far a source has been read, in a form that a checkpoint can keep.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A position in one partition: the end of the last record that was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// A byte position in a file and the number of records and lines before it.
    File(FilePosition),
    /// The next offset of a Kafka partition.
    Offset(i64),
    /// The next row of a generator or test input.
    Row(u64),
    /// The partition was read to its end.
    Finished,
}

/// A position in a file or in the files of a glob, which are read in name order as one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    /// The file that is being read.
    pub path: String,
    /// What tells this file from another one under the same name.
    pub identity: FileIdentity,
    /// Bytes of the (decompressed) content up to the end of the last record.
    pub bytes: u64,
    /// Physical lines before that position.
    pub lines: u64,
    /// How many files of the partition were begun before this one.
    pub ordinal: u32,
    /// Files that were read to their end, with their identity.
    pub done: BTreeMap<String, FileIdentity>,
}

/// What tells a file from another one under the same name: its inode and a hash of its first bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Device and inode.
    pub inode: (u64, u64),
    /// Length of the prefix that was hashed.
    pub prefix: u64,
    /// Hash of the prefix.
    pub hash: u64,
}

/// The position of a whole source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceOffset {
    /// The position of each partition, by its stable name.
    pub partitions: BTreeMap<String, Position>,
}
