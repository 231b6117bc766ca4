//! A record that could not be used: its bytes, why, and where it was.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
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

/// The columns of dead letters in a sink. A record that is text stands in `record`, another one in `bytes`.
pub fn schema() -> SchemaRef {
    let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("stage", false),
        text("source", false),
        text("code", false),
        text("error", false),
        text("place", true),
        text("record", true),
        Field::new("bytes", DataType::Binary, true),
    ]))
}

/// Dead letters as rows of [`schema`].
pub fn to_batch<'a>(
    letters: impl IntoIterator<Item = &'a DeadLetter, IntoIter: Clone>,
) -> Result<RecordBatch, ArrowError> {
    let letters = letters.into_iter();
    let text = |value: &dyn Fn(&DeadLetter) -> Option<String>| -> ArrayRef {
        Arc::new(letters.clone().map(value).collect::<StringArray>())
    };
    let record = |letter: &DeadLetter| std::str::from_utf8(&letter.bytes).ok().map(str::to_owned);
    let bytes: BinaryArray = letters
        .clone()
        .map(|letter| std::str::from_utf8(&letter.bytes).is_err().then_some(letter.bytes.as_ref()))
        .collect();
    RecordBatch::try_new(
        schema(),
        vec![
            text(&|letter| Some(letter.stage.name().to_owned())),
            text(&|letter| Some(letter.source.clone())),
            text(&|letter| Some(letter.code.to_owned())),
            text(&|letter| Some(letter.error.clone())),
            text(&|letter| letter.place.as_ref().map(ToString::to_string)),
            text(&record),
            Arc::new(bytes),
        ],
    )
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
