//! A value at a cursor into a column: the general way, for all types and forms.

use std::borrow::Cow;

use super::cursor::{Content, Cursor, Outcome, Problem, unescape};
use crate::error::ValueError;
use crate::value::{Column, TextKind, Values, push_bytes};

/// What a string's content stands for.
#[inline]
pub(crate) fn content_text<'a>(bytes: &'a [u8], content: Content) -> Cow<'a, [u8]> {
    let text = &bytes[content.start..content.end];
    if !content.escaped {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    unescape(text, &mut out);
    Cow::Owned(out)
}

#[cold]
fn refused(error: ValueError, value: &[u8], column: &Column) -> Box<Problem> {
    Problem::value("", error.message(value, column.field()))
}

/// Reads the value at the cursor into `column`. After an error the column may hold a part of it, which truncating takes away.
pub(crate) fn read_value(column: &mut Column, cursor: &mut Cursor<'_>, depth: usize) -> Outcome<()> {
    let start = cursor.at;
    match cursor.peek() {
        Some(b'"') => {
            let content = cursor.string()?;
            if let Values::Text { ends, bytes, kind: TextKind::Json } = &mut column.values {
                push_bytes(ends, bytes, &cursor.bytes[start..cursor.at]);
                return Ok(());
            }
            let text = content_text(cursor.bytes, content);
            if !column.is_scalar() {
                return Err(refused(ValueError::Conflict, &text, column));
            }
            column.push_text(&text).map_err(|error| refused(error, &text, column))
        }
        Some(b'-' | b'0'..=b'9') => {
            let text = cursor.number()?;
            if let Values::Text { ends, bytes, .. } = &mut column.values {
                push_bytes(ends, bytes, text);
                return Ok(());
            }
            // `01` must not become 0 in one message and bad syntax in the next one.
            column.push_number(text).map_err(|error| match cursor.peek() {
                Some(b'0'..=b'9') => cursor.expected("',' or '}'"),
                _ => refused(error, text, column),
            })
        }
        Some(byte @ (b't' | b'f')) => {
            let (word, value) = if byte == b't' { ("true", true) } else { ("false", false) };
            cursor.word(word)?;
            column.push_bool(value).map_err(|error| refused(error, word.as_bytes(), column))
        }
        Some(b'n') => {
            cursor.word("null")?;
            push_null(column)
        }
        Some(b'{' | b'[') => read_nested(column, cursor, depth),
        _ => Err(cursor.expected("a value")),
    }
}

/// NULL, if the column may hold it.
pub(crate) fn push_null(column: &mut Column) -> Outcome<()> {
    if !column.field().is_nullable() {
        return Err(refused(ValueError::Null, b"", column));
    }
    column.push_null();
    Ok(())
}

fn read_nested(column: &mut Column, cursor: &mut Cursor<'_>, depth: usize) -> Outcome<()> {
    let object = cursor.peek() == Some(b'{');
    match &mut column.values {
        Values::Text { ends, bytes, kind: TextKind::Json | TextKind::Raw | TextKind::Embedded } => {
            let text = cursor.skip(depth)?;
            push_bytes(ends, bytes, text);
            Ok(())
        }
        Values::Unscaled128 { .. } | Values::Unscaled256 { .. } if object => read_scaled(column, cursor, depth),
        Values::List { ends, items } if !object => {
            let (mut first, mut index) = (true, 0);
            while cursor.element(&mut first, depth)? {
                read_value(items, cursor, depth + 1).map_err(|problem| problem.inside(&format!("[{index}]")))?;
                index += 1;
            }
            ends.push(items.len() as i32);
            Ok(())
        }
        Values::Map { ends, keys, values } if object => {
            let mut first = true;
            let from = keys.len();
            let mut seen = std::collections::HashSet::new();
            while let Some(key) = cursor.member(&mut first, depth)? {
                let text = content_text(cursor.bytes, key);
                if !seen.insert(text.to_vec()) {
                    return Err(repeated(&text));
                }
                let inside = |problem: Box<Problem>| problem.inside(&format!(".{}", String::from_utf8_lossy(&text)));
                keys.push_text(&text).map_err(|error| inside(refused(error, &text, keys)))?;
                read_value(values, cursor, depth + 1).map_err(inside)?;
            }
            debug_assert_eq!(keys.len() - from, seen.len(), "one key per member");
            ends.push(keys.len() as i32);
            Ok(())
        }
        Values::Struct { fields, rows } if object => {
            read_struct(fields, *rows, cursor, depth)?;
            *rows += 1;
            Ok(())
        }
        _ => {
            let text = cursor.skip(depth)?;
            Err(refused(ValueError::Conflict, text, column))
        }
    }
}

/// `{"scale":2,"value":"AQ=="}`: a decimal that says its own scale.
fn read_scaled(column: &mut Column, cursor: &mut Cursor<'_>, depth: usize) -> Outcome<()> {
    let start = cursor.at;
    let (mut scale, mut value, mut first) = (None, None, true);
    while let Some(key) = cursor.member(&mut first, depth)? {
        match &cursor.bytes[key.start..key.end] {
            b"scale" => scale = std::str::from_utf8(cursor.skip(depth + 1)?).ok().and_then(|text| text.parse().ok()),
            b"value" if cursor.peek() == Some(b'"') => value = Some(cursor.string()?),
            _ => {
                cursor.skip(depth + 1)?;
            }
        }
    }
    let (Some(scale), Some(value)) = (scale, value) else {
        return Err(refused(ValueError::Conflict, &cursor.bytes[start..cursor.at], column));
    };
    let text = content_text(cursor.bytes, value);
    column.push_unscaled(&text, scale).map_err(|error| refused(error, &text, column))
}

#[cold]
fn repeated(key: &[u8]) -> Box<Problem> {
    let name = String::from_utf8_lossy(key);
    Problem::value(format!(".{name}"), format!("the field '{name}' occurs twice"))
}

fn read_struct(fields: &mut [Column], row: usize, cursor: &mut Cursor<'_>, depth: usize) -> Outcome<()> {
    let mut first = true;
    let mut by_case = vec![false; fields.len()];
    // Two names that mean one field by case are an error, unless the exact name comes too.
    let mut doubtful: Option<(usize, Vec<u8>)> = None;
    while let Some(key) = cursor.member(&mut first, depth)? {
        let name = content_text(cursor.bytes, key);
        let exact = fields.iter().position(|field| field.field().name().as_bytes() == name.as_ref());
        let found = exact.or_else(|| fields.iter().position(|field| same_folded(field.field().name(), &name)));
        let Some(at) = found else {
            cursor.skip(depth + 1)?;
            continue;
        };
        if fields[at].len() > row {
            match (exact.is_some(), by_case[at]) {
                // What was read by case gives way to the exact name.
                (true, true) => {
                    fields[at].truncate(row);
                    doubtful = doubtful.filter(|(field, _)| *field != at);
                }
                (false, by_case) => {
                    if by_case {
                        doubtful.get_or_insert_with(|| (at, name.to_vec()));
                    }
                    cursor.skip(depth + 1)?;
                    continue;
                }
                (true, false) => return Err(repeated(&name)),
            }
        }
        by_case[at] = exact.is_none();
        let field = &mut fields[at];
        read_value(field, cursor, depth + 1).map_err(|problem| inside_field(problem, field))?;
    }
    if let Some((_, name)) = doubtful {
        return Err(repeated(&name));
    }
    for field in fields.iter_mut().filter(|field| field.len() == row) {
        push_null(field).map_err(|problem| inside_field(problem, field))?;
    }
    Ok(())
}

#[cold]
fn inside_field(problem: Box<Problem>, field: &Column) -> Box<Problem> {
    problem.inside(&format!(".{}", field.field().name()))
}

/// Whether two names differ at most in case.
pub(crate) fn same_folded(name: &str, key: &[u8]) -> bool {
    if name.is_ascii() {
        return name.as_bytes().eq_ignore_ascii_case(key);
    }
    std::str::from_utf8(key).is_ok_and(|key| name.to_lowercase() == key.to_lowercase())
}

/// Appends the value that a whole JSON text writes.
pub(crate) fn push_json(column: &mut Column, text: &[u8]) -> Result<(), ValueError> {
    let rows = column.len();
    let mut cursor = Cursor::new(text, 0, false);
    cursor.blanks();
    let read = read_value(column, &mut cursor, 0);
    cursor.blanks();
    if read.is_err() || cursor.at < text.len() {
        column.truncate(rows);
        return Err(ValueError::Syntax);
    }
    Ok(())
}

/// Whether `text` is one JSON value.
pub(crate) fn check(text: &[u8]) -> Result<(), ValueError> {
    let mut cursor = Cursor::new(text, 0, false);
    cursor.blanks();
    cursor.skip(0).map_err(|_| ValueError::Syntax)?;
    cursor.blanks();
    if cursor.at < text.len() { Err(ValueError::Syntax) } else { Ok(()) }
}
