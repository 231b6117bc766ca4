//! A record that could not be used: its bytes, why, and where it was.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

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

/// The columns of dead letters in a sink. A record that is text stands in `record`, another one in `bytes`; so do keys in `key` and
/// `key_bytes`. What systems without keys, headers and times of records do not have is NULL.
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
        text("key", true),
        Field::new("key_bytes", DataType::Binary, true),
        text("headers", true),
        Field::new("record_time", crate::types::TIMESTAMP, true),
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
    let split = |bytes: &dyn Fn(&DeadLetter) -> Option<Bytes>| -> [ArrayRef; 2] {
        let all: Vec<Option<Bytes>> = letters.clone().map(bytes).collect();
        let is_text = |bytes: &&Bytes| std::str::from_utf8(bytes).is_ok();
        let text = |bytes: &Bytes| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let texts: StringArray = all.iter().map(|bytes| bytes.as_ref().and_then(text)).collect();
        let others: BinaryArray = all.iter().map(|bytes| bytes.as_ref().filter(|bytes| !is_text(bytes))).collect();
        [Arc::new(texts), Arc::new(others)]
    };
    let attributes = |letter: &'a DeadLetter| letter.attributes.as_deref();
    let [record, bytes] = split(&|letter| {
        let is_there = letter.attributes.as_ref().is_none_or(|attributes| attributes.has_value);
        is_there.then(|| letter.bytes.clone())
    });
    let [key, key_bytes] = split(&|letter| letter.attributes.as_ref()?.key.clone());
    let headers: StringArray =
        letters.clone().map(|letter| attributes(letter).and_then(RecordAttributes::headers_as_json)).collect();
    let times: TimestampMicrosecondArray =
        letters.clone().map(|letter| attributes(letter).and_then(|attributes| attributes.time)).collect();
    RecordBatch::try_new(
        schema(),
        vec![
            text(&|letter| Some(letter.stage.name().to_owned())),
            text(&|letter| Some(letter.source.clone())),
            text(&|letter| Some(letter.code.to_owned())),
            text(&|letter| Some(letter.error.clone())),
            text(&|letter| letter.place.as_ref().map(ToString::to_string)),
            record,
            bytes,
            key,
            key_bytes,
            Arc::new(headers),
            Arc::new(times),
        ],
    )
}

/// What a record has beside its bytes, where a system gives it that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordAttributes {
    /// Its key.
    pub key: Option<Bytes>,
    /// Whether it has bytes at all, of which there may be none; one that has not is a delete.
    pub has_value: bool,
    /// Its headers in their order; a name may stand there twice, and have no value.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Its own time, in microseconds since 1970.
    pub time: Option<i64>,
}

impl RecordAttributes {
    /// The headers as a list in JSON: `[{"name":"trace","value":"7"}]`. A value that is no UTF-8 is a list of numbers under `bytes`, so
    /// that nobody has to guess how it was written.
    fn headers_as_json(&self) -> Option<String> {
        let header = |(name, value): &(String, Option<Bytes>)| {
            let name = name.clone();
            match value.as_deref().map(std::str::from_utf8) {
                None => Header::Text { name, value: None },
                Some(Ok(text)) => Header::Text { name, value: Some(text.to_owned()) },
                Some(Err(_)) => Header::Bytes { name, bytes: value.as_deref().unwrap_or_default().to_vec() },
            }
        };
        let headers = self.headers.iter().map(header).collect::<Vec<_>>();
        // A list of texts and numbers is JSON.
        (!headers.is_empty()).then(|| serde_json::to_string(&headers).unwrap_or_default())
    }

    /// Headers out of such a list; `None` where it is none.
    pub fn headers_from_json(text: &str) -> Option<Vec<(String, Option<Bytes>)>> {
        let headers: Vec<Header> = serde_json::from_str(text).ok()?;
        let header = |header| match header {
            Header::Text { name, value } => (name, value.map(Bytes::from)),
            Header::Bytes { name, bytes } => (name, Some(Bytes::from(bytes))),
        };
        Some(headers.into_iter().map(header).collect())
    }
}

/// A header in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Header {
    /// One that is text, or has no value.
    Text {
        name: String,
        // It has to be there, and may be null.
        #[serde(deserialize_with = "Option::deserialize")]
        value: Option<String>,
    },
    Bytes {
        name: String,
        bytes: Vec<u8>,
    },
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
    /// What the record had beside its bytes; of rows there is nothing of the like.
    pub attributes: Option<Box<RecordAttributes>>,
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;

    use super::*;

    fn letter(bytes: &'static [u8], attributes: Option<RecordAttributes>) -> DeadLetter {
        DeadLetter {
            stage: Stage::Decode,
            source: "t".to_owned(),
            bytes: Bytes::from_static(bytes),
            error: "wrong".to_owned(),
            code: "decode",
            place: None,
            attributes: attributes.map(Box::new),
        }
    }

    #[test]
    fn what_a_record_had_stands_beside_it() {
        let headers = vec![
            ("trace".to_owned(), Some(Bytes::from_static(b"7"))),
            ("trace".to_owned(), Some(Bytes::from_static(b"\xff"))),
            ("none".to_owned(), None),
        ];
        let full = RecordAttributes {
            key: Some(Bytes::from_static(b"\xfe")),
            has_value: true,
            headers: headers.clone(),
            time: Some(5),
        };
        let deletes = RecordAttributes { key: Some(Bytes::from_static(b"k")), ..RecordAttributes::default() };
        let letters = [letter(b"plain", None), letter(b"\xffx", Some(full)), letter(b"", Some(deletes))];
        let rows = to_batch(&letters).unwrap();
        let text = |name: &str, row: usize| {
            let column = rows.column_by_name(name).unwrap().as_string::<i32>();
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        let bytes = |name: &str, row: usize| {
            let column = rows.column_by_name(name).unwrap().as_binary::<i32>();
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        assert_eq!((text("record", 0).as_deref(), bytes("bytes", 0)), (Some("plain"), None));
        assert_eq!((text("key", 0), bytes("key_bytes", 0), text("headers", 0)), (None, None, None));
        assert_eq!((text("record", 1), bytes("bytes", 1)), (None, Some(b"\xffx".to_vec())));
        assert_eq!((text("key", 1), bytes("key_bytes", 1)), (None, Some(b"\xfe".to_vec())));
        let told = text("headers", 1).unwrap();
        assert_eq!(
            told,
            r#"[{"name":"trace","value":"7"},{"name":"trace","bytes":[255]},{"name":"none","value":null}]"#
        );
        assert_eq!(RecordAttributes::headers_from_json(&told), Some(headers));
        // A record without a value is not one whose value is empty.
        assert_eq!((text("record", 2), bytes("bytes", 2), text("key", 2).as_deref()), (None, None, Some("k")));
        assert_eq!(rows.column_by_name("record_time").unwrap().null_count(), 2);
    }

    #[test]
    fn what_is_no_list_of_headers_is_none() {
        for wrong in ["", "{}", "[1]", r#"[{"name":"a"}]"#, r#"[{"name":"a","bytes":[256]}]"#, r#"[{"value":"a"}]"#] {
            assert_eq!(RecordAttributes::headers_from_json(wrong), None, "{wrong}");
        }
    }
}
