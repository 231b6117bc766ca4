//! The columns of the rows in Debezium's records.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use velo_core::error::{ConnectorError, ErrorKind};

use super::envelope::Envelope;
use super::schema::row_fields;
use crate::framing::{Framer, RECORD_LIMIT};
use crate::infer::{Sample, infer_json};
use crate::json::Layout;
use crate::json::cursor::Cursor;
use crate::json::elements::{JsonFramer, element_end};
use crate::json::plan::Object;
use crate::properties::JsonLayout;
use crate::value::ValueFormats;

/// The columns of the rows: by the schema of the first record that brings one, else by the images of the first records. Records
/// that are no envelopes are left out here; the decoder reports them.
pub fn infer_debezium(
    sample: Sample<'_>,
    layout: JsonLayout,
    formats: &ValueFormats,
) -> Result<SchemaRef, ConnectorError> {
    let mut framer = JsonFramer::new(layout, RECORD_LIMIT);
    let mut images = Images { left: sample.records, bytes: vec![b'['], schema: None };
    let mut rest = sample.bytes;
    while images.left > 0 && images.schema.is_none() {
        let cut = framer.cut(rest, sample.complete)?;
        if cut.total() == 0 {
            break;
        }
        let elements = framer.frames().is_some_and(|frames| frames.downcast_ref::<Layout>() == Some(&Layout::Elements));
        images.records(&rest[cut.skip..cut.total()], !elements);
        rest = &rest[cut.total()..];
    }
    if let Some(schema) = images.schema {
        return Ok(schema);
    }
    if images.bytes.len() == 1 {
        let message = "there is no row in an envelope of Debezium to infer the columns from";
        return Err(ConnectorError::new(ErrorKind::Decode, "inferring the columns", message)
            .advise("declare the columns in the statement"));
    }
    images.bytes.push(b']');
    // An update has two images, so that there may be twice as many as records.
    let rows = Sample { bytes: &images.bytes, complete: true, records: usize::MAX };
    infer_json(rows, JsonLayout::Array, formats)
}

/// The images of the records, as an array.
struct Images {
    left: usize,
    bytes: Vec<u8>,
    schema: Option<SchemaRef>,
}

impl Images {
    fn records(&mut self, bytes: &[u8], lines: bool) {
        let (mut at, mut envelope) = (0, Envelope::default());
        while self.left > 0 && at < bytes.len() {
            let mut cursor = Cursor::new(bytes, at, lines);
            cursor.blanks();
            if matches!(cursor.peek(), Some(b'\n' | b',')) {
                at = cursor.at + 1;
                continue;
            }
            let start = cursor.at;
            let read = matches!(cursor.peek(), Some(b'{' | b'n'))
                && envelope.read(&mut cursor, &Object::default(), None).is_ok();
            if read && self.envelope(bytes, &envelope, lines) {
                return;
            }
            at = if lines {
                memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |end| start + end + 1)
            } else {
                match element_end(bytes, start) {
                    Some(end) if end > at => end,
                    _ => return,
                }
            };
        }
    }

    /// Takes the images of an envelope; true where its schema says all.
    fn envelope(&mut self, bytes: &[u8], envelope: &Envelope<'_>, lines: bool) -> bool {
        if let Some(fields) = envelope.schema.and_then(row_fields) {
            let fields: Vec<_> = fields.into_iter().map(|field| field.data_type).collect();
            self.schema = Some(Arc::new(Schema::new(fields)));
            return true;
        }
        let mut seen = false;
        for image in [envelope.before, envelope.after].into_iter().flatten() {
            // Its syntax was checked, with all of the envelope's.
            let mut cursor = Cursor::new(bytes, image, lines);
            if let Ok(text) = cursor.skip(0) {
                if self.bytes.len() > 1 {
                    self.bytes.push(b',');
                }
                self.bytes.extend_from_slice(text);
                seen = true;
            }
        }
        self.left -= usize::from(seen);
        false
    }
}
