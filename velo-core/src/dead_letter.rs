//! A record that could not be used: its bytes, why, and where it was.

use bytes::Bytes;

use crate::place::Place;

/// At which stage a record was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It could not be decoded.
    Decode,
    /// It has no usable event time.
    EventTime,
    /// It came too late for its window.
    Late,
    /// An expression failed on it.
    Compute,
}

impl Stage {
    /// The name that the dead-letter row carries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::EventTime => "event_time",
            Self::Late => "late",
            Self::Compute => "compute",
        }
    }
}

/// A record that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The stage that gave it up.
    pub stage: Stage,
    /// The source or operator that met it.
    pub source: String,
    /// The record's exact bytes (decode, event time) or the row as JSON (late, compute).
    pub bytes: Bytes,
    /// What was wrong, for people.
    pub error: String,
    /// The stable code of the error.
    pub code: &'static str,
    /// Where the record is.
    pub place: Option<Place>,
}
