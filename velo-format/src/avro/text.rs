//! Any value as JSON text, for JSON columns; and JSON as a value, for the defaults of fields.
//!
//! Bytes are base64, times ISO 8601, decimals numbers with their digits, a union its value alone.

use serde_json::Value;

use super::cursor::{Cursor, DEPTH_LIMIT, problem, too_deep};
use super::logical::{duration, push_uuid};
use super::schema::{AvroSchema, Logical, Type};
use crate::json::cursor::Outcome;
use crate::json::push_string;
use crate::value::print::{PrintedDate, push_clock, push_f32, push_f64, push_i64, push_iso8601};
use crate::value::typed::push_units;
use crate::value::unscaled::from_bytes;
use crate::value::varint::{push_varint, to_zigzag};
use crate::value::{encode_base64, print_interval};

impl Cursor<'_> {
    /// Appends the value here as JSON.
    pub(super) fn json(&mut self, schema: &AvroSchema, ty: usize, depth: usize, out: &mut Vec<u8>) -> Outcome<()> {
        if depth > DEPTH_LIMIT {
            return Err(too_deep());
        }
        match schema.at(ty) {
            Type::Null => out.extend_from_slice(b"null"),
            Type::Boolean => out.extend_from_slice(if self.boolean()? { b"true" } else { b"false" }),
            Type::Int(logical) => {
                let value = i64::from(self.int()?);
                whole(value, *logical, out)?;
            }
            Type::Long(logical) => {
                let value = self.long()?;
                whole(value, *logical, out)?;
            }
            Type::Float => {
                let value = self.float()?;
                quoted(!value.is_finite(), out, |out| push_f32(out, value));
            }
            Type::Double => {
                let value = self.double()?;
                quoted(!value.is_finite(), out, |out| push_f64(out, value));
            }
            Type::Bytes(logical) => {
                let bytes = self.bytes()?;
                binary(bytes, *logical, out)?;
            }
            Type::Fixed { size, logical, .. } => {
                let bytes = self.take(*size)?;
                binary(bytes, *logical, out)?;
            }
            Type::String(logical) => {
                let text = self.bytes()?;
                if std::str::from_utf8(text).is_err() {
                    return Err(problem("a string is not UTF-8"));
                }
                match logical {
                    Logical::Json if crate::json::check(text).is_ok() => out.extend_from_slice(text),
                    _ => push_string(out, text),
                }
            }
            Type::Enum { symbols, .. } => {
                let symbol = self.branch(symbols.len())?;
                push_string(out, symbols[symbol].as_bytes());
            }
            Type::Union(branches) => {
                let branch = self.branch(branches.len())?;
                self.json(schema, branches[branch], depth + 1, out)?;
            }
            Type::Array(item) => {
                out.push(b'[');
                self.json_blocks(schema, false, *item, depth, out)?;
                out.push(b']');
            }
            Type::Map(value) => {
                out.push(b'{');
                self.json_blocks(schema, true, *value, depth, out)?;
                out.push(b'}');
            }
            Type::Record { fields, .. } => {
                out.push(b'{');
                for (at, field) in fields.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    push_string(out, field.name.as_bytes());
                    out.push(b':');
                    self.json(schema, field.ty, depth + 1, out)
                        .map_err(|problem| problem.inside(&format!(".{}", field.name)))?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }

    fn json_blocks(
        &mut self,
        schema: &AvroSchema,
        keys: bool,
        item: usize,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Outcome<()> {
        let smallest = schema.smallest(item) + usize::from(keys);
        let mut before = 0;
        loop {
            let count = self.block(smallest, before)?;
            if count == 0 {
                return Ok(());
            }
            for at in 0..count {
                if before + at > 0 {
                    out.push(b',');
                }
                if keys {
                    let key = self.bytes()?;
                    if std::str::from_utf8(key).is_err() {
                        return Err(problem("a key is not UTF-8"));
                    }
                    push_string(out, key);
                    out.push(b':');
                }
                self.json(schema, item, depth + 1, out)?;
            }
            before += count;
        }
    }
}

fn quoted(quotes: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if quotes {
        out.push(b'"');
    }
    write(out);
    if quotes {
        out.push(b'"');
    }
}

fn whole(value: i64, logical: Logical, out: &mut Vec<u8>) -> Outcome<()> {
    match logical {
        Logical::Date => quoted(true, out, |out| velo_core::time::push_date(out, value)),
        Logical::Timestamp(digits) => {
            quoted(true, out, |out| push_iso8601(out, value, digits, &mut PrintedDate::default()));
        }
        Logical::Time(digits) => {
            let second = 10_i64.pow(digits.into());
            if !(0..86_400 * second).contains(&value) {
                return Err(problem(format!("{value} is no time of day")));
            }
            quoted(true, out, |out| push_clock(out, value / second, value % second * (1_000_000_000 / second)));
        }
        _ => push_i64(out, value),
    }
    Ok(())
}

fn binary(bytes: &[u8], logical: Logical, out: &mut Vec<u8>) -> Outcome<()> {
    match logical {
        Logical::Decimal { scale, .. } => {
            let value = from_bytes(bytes).map_err(|_| problem("a decimal without digits, or with over 76"))?;
            push_units(out, value, scale as i32);
        }
        Logical::Uuid => quoted(true, out, |out| push_uuid(out, bytes)),
        Logical::Duration => {
            let value = duration(bytes)?;
            quoted(true, out, |out| print_interval(value, out));
        }
        _ => quoted(true, out, |out| encode_base64(bytes, out)),
    }
    Ok(())
}

/// A default of a field, as bytes of its type.
///
/// Source: <https://avro.apache.org/docs/1.12.0/specification/#schema-record>, on the defaults of fields.
pub(super) fn default_bytes(schema: &AvroSchema, ty: usize, json: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    let wrong = || format!("the default {json} is no {}", schema.describe(ty));
    let put_bytes = |bytes: &[u8], out: &mut Vec<u8>| {
        push_long(out, bytes.len() as i64);
        out.extend_from_slice(bytes);
    };
    // Each character is one byte.
    let latin = |text: &str| text.chars().map(|each| u8::try_from(u32::from(each)).ok()).collect::<Option<Vec<u8>>>();
    match schema.at(ty) {
        Type::Null if json.is_null() => {}
        Type::Null => return Err(wrong()),
        Type::Boolean => out.push(json.as_bool().ok_or_else(wrong)?.into()),
        Type::Int(_) => {
            let value = json.as_i64().filter(|value| i32::try_from(*value).is_ok()).ok_or_else(wrong)?;
            push_long(out, value);
        }
        Type::Long(_) => push_long(out, json.as_i64().ok_or_else(wrong)?),
        // The nearest binary float is what a reader of the text makes of it, too.
        Type::Float => out.extend_from_slice(&(float(json).ok_or_else(wrong)? as f32).to_le_bytes()),
        Type::Double => out.extend_from_slice(&float(json).ok_or_else(wrong)?.to_le_bytes()),
        Type::Bytes(_) => put_bytes(&json.as_str().and_then(latin).ok_or_else(wrong)?, out),
        Type::String(_) => put_bytes(json.as_str().ok_or_else(wrong)?.as_bytes(), out),
        Type::Fixed { size, .. } => {
            let bytes = json.as_str().and_then(latin).filter(|bytes| bytes.len() == *size).ok_or_else(wrong)?;
            out.extend_from_slice(&bytes);
        }
        Type::Enum { symbols, .. } => {
            let symbol = json.as_str().ok_or_else(wrong)?;
            let at = symbols.iter().position(|known| known == symbol).ok_or_else(wrong)?;
            push_long(out, at as i64);
        }
        Type::Union(branches) => {
            // The first branch by the older specifications, any by 1.12.
            let start = out.len();
            for (at, branch) in branches.iter().enumerate() {
                push_long(out, at as i64);
                if default_bytes(schema, *branch, json, out).is_ok() {
                    return Ok(());
                }
                out.truncate(start);
            }
            return Err(wrong());
        }
        Type::Array(item) => {
            let items = json.as_array().ok_or_else(wrong)?;
            if !items.is_empty() {
                push_long(out, items.len() as i64);
                items.iter().try_for_each(|value| default_bytes(schema, *item, value, out))?;
            }
            push_long(out, 0);
        }
        Type::Map(value) => {
            let entries = json.as_object().ok_or_else(wrong)?;
            if !entries.is_empty() {
                push_long(out, entries.len() as i64);
                for (key, entry) in entries {
                    put_bytes(key.as_bytes(), out);
                    default_bytes(schema, *value, entry, out)?;
                }
            }
            push_long(out, 0);
        }
        Type::Record { fields, .. } => {
            let object = json.as_object().ok_or_else(wrong)?;
            for field in fields {
                let value = object.get(&field.name).or(field.default.as_ref()).ok_or_else(wrong)?;
                default_bytes(schema, field.ty, value, out)?;
            }
        }
    }
    Ok(())
}

fn float(json: &Value) -> Option<f64> {
    match json {
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" | "INF" => Some(f64::INFINITY),
            "-Infinity" | "-INF" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        other => other.as_f64(),
    }
}

/// Appends a whole number in zigzag form.
#[inline]
pub(super) fn push_long(out: &mut Vec<u8>, value: i64) {
    push_varint(out, to_zigzag(value));
}
