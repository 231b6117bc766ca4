//! The columns of JSON records.

use arrow_schema::SchemaRef;
use velo_core::error::ConnectorError;

use super::shape::{Classifier, Kind, Shape};
use super::{Sample, nothing_to_infer, schema};
use crate::framing::{Framer, RECORD_LIMIT};
use crate::json::Layout;
use crate::json::cursor::{Cursor, Outcome, unescape};
use crate::json::elements::JsonFramer;
use crate::properties::JsonLayout;
use crate::value::ValueFormats;

/// The columns of JSON records: all fields of the first ones, in the order they come up. Records that are no JSON object are left
/// out here; the decoder reports them.
pub fn infer_json(sample: Sample<'_>, layout: JsonLayout, formats: &ValueFormats) -> Result<SchemaRef, ConnectorError> {
    let mut framer = JsonFramer::new(layout, RECORD_LIMIT);
    let mut walk = Walk { classifier: Classifier::new(formats)?, scratch: Vec::new() };
    let mut shape = Shape::default();
    let mut left = sample.records;
    let mut rest = sample.bytes;
    while left > 0 {
        let cut = framer.cut(rest, sample.complete)?;
        let elements = framer.frames().is_some_and(|frames| frames.downcast_ref::<Layout>() == Some(&Layout::Elements));
        let records = &rest[cut.skip..cut.total()];
        if cut.total() == 0 {
            break;
        }
        walk.records(records, !elements, &mut left, &mut shape);
        rest = &rest[cut.total()..];
    }
    if left == sample.records {
        return Err(nothing_to_infer("there is no JSON object to infer the columns from"));
    }
    Ok(schema(shape))
}

struct Walk {
    classifier: Classifier,
    scratch: Vec<u8>,
}

impl Walk {
    fn records(&mut self, bytes: &[u8], lines: bool, left: &mut usize, shape: &mut Shape) {
        let mut at = 0;
        while *left > 0 && at < bytes.len() {
            let mut cursor = Cursor::new(bytes, at, lines);
            cursor.blanks();
            if matches!(cursor.peek(), Some(b'\n' | b',')) {
                at = cursor.at + 1;
                continue;
            }
            let line_end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |end| at + end + 1);
            // A record is walked twice, so that a broken one leaves no trace.
            let mut check = cursor;
            let fine = cursor.peek() == Some(b'{') && check.skip(0).is_ok() && {
                check.blanks();
                !lines || check.at >= bytes.len() || check.peek() == Some(b'\n')
            };
            if fine {
                *left -= 1;
                let _ = self.value(&mut cursor, 0, shape);
                at = check.at;
            } else if lines {
                at = line_end;
            } else {
                match crate::json::elements::element_end(bytes, cursor.at) {
                    Some(end) if end > at => at = end,
                    _ => return,
                }
            }
        }
    }

    fn value(&mut self, cursor: &mut Cursor<'_>, depth: usize, shape: &mut Shape) -> Outcome<()> {
        match cursor.peek() {
            Some(b'{') => {
                shape.object();
                let mut first = true;
                while let Some(key) = cursor.member(&mut first, depth)? {
                    let content = &cursor.bytes[key.start..key.end];
                    self.scratch.clear();
                    if key.escaped {
                        unescape(content, &mut self.scratch);
                    } else {
                        self.scratch.extend_from_slice(content);
                    }
                    let name = String::from_utf8_lossy(&self.scratch).into_owned();
                    self.value(cursor, depth + 1, shape.field(&name))?;
                }
            }
            Some(b'[') => {
                let mut first = true;
                let items = shape.items();
                while cursor.element(&mut first, depth)? {
                    self.value(cursor, depth + 1, items)?;
                }
            }
            Some(b'"') => {
                let content = cursor.string()?;
                let text = &cursor.bytes[content.start..content.end];
                let kind = if content.escaped { Kind::Text } else { self.classifier.text(text) };
                shape.see(kind);
            }
            Some(b't' | b'f') => {
                cursor.skip(depth)?;
                shape.see(Kind::Boolean);
            }
            Some(b'n') => {
                cursor.skip(depth)?;
            }
            _ => shape.see(Classifier::number(cursor.number()?)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::describe;
    use super::*;

    fn of(text: &str, complete: bool) -> String {
        let sample = Sample { bytes: text.as_bytes(), complete, records: 3 };
        match infer_json(sample, JsonLayout::Auto, &ValueFormats::default()) {
            Ok(schema) => describe(schema.fields()),
            Err(error) => error.message,
        }
    }

    #[test]
    fn records_to_columns() {
        for (text, expected) in [
            ("{\"a\":1,\"b\":1.50}\n\n{\"b\":2,\"c\":\"x\"}\n", "a BIGINT, b DECIMAL(38,2), c STRING"),
            ("{\"a\":1}\nnope\n{\"a\":[1]}\n", "a JSON"),
            (
                "{\"p\":\"61837.63\",\"t\":\"2024-01-31T10:00:00.5Z\",\"d\":\"2024-01-31\"}",
                "p STRING, t TIMESTAMP, d DATE",
            ),
            ("{\"o\":{\"x\":1,\"y\":null}}\n{\"o\":{\"x\":2.5}}", "o STRUCT<x DECIMAL(38,1), y STRING>"),
            (
                "{\"l\":[1,2],\"m\":[{\"k\":true}],\"e\":[],\"n\":null,\"q\":{}}",
                "l ARRAY<BIGINT>, m ARRAY<STRUCT<k BOOLEAN>>, e ARRAY<STRING>, n STRING, q JSON",
            ),
            ("[{\"a\":1},\n {\"a\":\"x\"}, 5, {\"b\\u0041\":true}]", "a STRING, bA BOOLEAN"),
            ("{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n{\"a\":\"beyond the sample\"}\n", "a BIGINT"),
            (
                "{\"a\":1e5,\"b\":9223372036854775808,\"t\":1,\"T\":\"x\"}",
                "a DOUBLE, b DECIMAL(38,0), t BIGINT, T STRING",
            ),
            ("5\n", "there is no JSON object to infer the columns from"),
        ] {
            assert_eq!(of(text, true), expected, "{text}");
        }
        assert_eq!(of("{\"a\":1}\n{\"a\":1.5", false), "a BIGINT");
    }
}
