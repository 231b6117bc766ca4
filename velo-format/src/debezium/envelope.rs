//! What stands where in an envelope.

use crate::json::cursor::{Cursor, Outcome, Problem};
use crate::json::plan::Object;
use crate::json::read::content_text;

/// An envelope whose syntax was checked; places are those of the values in the chunk.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    /// The record or its payload is null.
    pub(super) tombstone: bool,
    /// The row as it was; `None` where it is null or missing.
    pub(super) before: Option<usize>,
    /// The row as it is.
    pub(super) after: Option<usize>,
    pub(super) op: Option<&'a [u8]>,
    /// Where each of the wanted fields is.
    pub(super) around: Vec<Option<usize>>,
    /// How deep the envelope is.
    pub(super) depth: usize,
    /// The schema that the record brings.
    pub(super) schema: Option<&'a [u8]>,
    /// The names that were met, as bits of [`NAMES`].
    met: u8,
}

/// The names that mean something.
const NAMES: [&[u8]; 5] = [b"before", b"after", b"op", b"schema", b"payload"];

impl<'a> Envelope<'a> {
    /// Walks over the record at the cursor. `wanted` are fields of the envelope to find; `last` is the schema of the record before,
    /// which is most likely this one's too.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'a>, wanted: &Object, last: Option<&'a [u8]>) -> Outcome<()> {
        self.around.clear();
        self.around.resize(wanted.slots.len(), None);
        *self = Self { around: std::mem::take(&mut self.around), ..Self::default() };
        if cursor.peek() == Some(b'n') {
            self.tombstone = true;
            return cursor.word("null");
        }
        self.object(cursor, wanted, last, 0)
    }

    fn object(
        &mut self,
        cursor: &mut Cursor<'a>,
        wanted: &Object,
        last: Option<&'a [u8]>,
        depth: usize,
    ) -> Outcome<()> {
        let (mut first, mut hint) = (true, 0);
        while let Some(key) = cursor.member(&mut first, depth)? {
            let name = &cursor.bytes[key.start..key.end];
            // `schema` and `payload` are around the envelope and not in it.
            let known = NAMES.iter().take(if depth == 0 { 5 } else { 3 }).position(|known| *known == name);
            if let Some(known) = known {
                if self.met >> known & 1 == 1 {
                    let name = String::from_utf8_lossy(name);
                    return Err(Problem::value(name.clone(), format!("the field '{name}' occurs twice")));
                }
                self.met |= 1 << known;
            }
            let at = cursor.at;
            match (known, cursor.peek()) {
                (Some(4), Some(b'{')) => {
                    self.depth = depth + 1;
                    self.object(cursor, wanted, last, depth + 1)?;
                }
                (Some(4), Some(b'n')) => {
                    cursor.word("null")?;
                    self.tombstone = true;
                }
                (Some(3), _) => {
                    self.schema = Some(match last {
                        // The value ends where that one did, for both begin alike.
                        Some(last) if cursor.bytes[at..].starts_with(last) => {
                            cursor.at += last.len();
                            last
                        }
                        _ => cursor.skip(depth + 1)?,
                    });
                }
                (Some(image @ (0 | 1)), Some(b'{')) => {
                    cursor.skip(depth + 1)?;
                    *(if image == 0 { &mut self.before } else { &mut self.after }) = Some(at);
                }
                (Some(0 | 1), Some(b'n')) => cursor.word("null")?,
                (Some(2), Some(b'"')) => {
                    let content = cursor.string()?;
                    self.op = Some(&cursor.bytes[content.start..content.end]);
                }
                (Some(_), _) => {
                    let value = cursor.skip(depth + 1)?;
                    let name = String::from_utf8_lossy(name);
                    let expected = if known == Some(2) { "a text" } else { "an object or null" };
                    return Err(Problem::value(name, format!("{} is not {expected}", crate::error::show(value))));
                }
                (None, _) => {
                    if let Some((slot, _)) = wanted.find(&content_text(cursor.bytes, key), hint) {
                        hint = slot + 1;
                        // The first of two is found; a repetition within an envelope means nothing to a row.
                        self.around[slot].get_or_insert(at);
                    }
                    cursor.skip(depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// Whether it has none of the fields that make an envelope.
    pub(super) fn is_empty(&self) -> bool {
        self.met & 0b111 == 0
    }
}
