//! What stands before a record whose schema is in a registry: a zero byte and the schema's id.
//!
//! The wire format of Confluent's serializers: byte 0 is 0, bytes 1 to 4 are the id (big-endian), then the record. Before a
//! Protobuf record comes which message of the schema it is, as the number of indexes and the indexes from the outermost message
//! inwards, all zigzag varints; a single 0 stands for the first message.
//! Source: <https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format>.

use std::ops::Range;

use crate::value::varint::{push_varint, to_zigzag};

/// The bytes before a record.
pub const HEADER: usize = 5;

/// More levels of messages within each other than any schema has.
const DEPTH: usize = 64;

/// The id that stands before a record; `None` where none does.
#[inline]
pub fn schema_id(record: &[u8]) -> Option<u32> {
    match record {
        [0, a, b, c, d, ..] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// The distinct ids of records, in the order in which they come up: what `Schemas::ensure` is to be asked for.
pub fn schema_ids(bytes: &[u8], records: impl IntoIterator<Item = Range<usize>>) -> Vec<u32> {
    let mut ids: Vec<u32> = Vec::new();
    let mut last = None;
    for record in records {
        let id = bytes.get(record).and_then(schema_id);
        // Mostly all records have the same.
        if id != last {
            last = id;
            if let Some(id) = id
                && !ids.contains(&id)
            {
                ids.push(id);
            }
        }
    }
    ids
}

/// Appends what stands before a record.
pub fn push_header(out: &mut Vec<u8>, id: u32) {
    out.push(0);
    out.extend_from_slice(&id.to_be_bytes());
}

/// Appends which message of its schema a Protobuf record is.
pub fn push_message_indexes(out: &mut Vec<u8>, indexes: &[usize]) {
    if indexes == [0] {
        out.push(0);
        return;
    }
    let mut push = |number: usize| push_varint(out, to_zigzag(number as i64));
    push(indexes.len());
    indexes.iter().for_each(|index| push(*index));
}

/// Reads which message a Protobuf record is into `indexes`; gives where the message begins. `None` where `record`, which is
/// behind the header, does not begin so.
pub fn message_indexes(record: &[u8], indexes: &mut Vec<usize>) -> Option<usize> {
    indexes.clear();
    if record.first() == Some(&0) {
        indexes.push(0);
        return Some(1);
    }
    let mut at = 0;
    let mut next = || {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = *record.get(at)?;
            at += 1;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                // An odd one is negative.
                return (value & 1 == 0).then_some((value >> 1) as usize);
            }
        }
        None
    };
    let count = next().filter(|count| (1..=DEPTH).contains(count))?;
    for _ in 0..count {
        indexes.push(next()?);
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_once_each() {
        let bytes = [0, 0, 0, 0, 7, 9, 0, 0, 0, 1, 0, 1, 0, 0, 0, 7, 0, 0];
        let records = [0..6, 6..11, 0..6, 11..16, 16..18, 0..0];
        assert_eq!(schema_ids(&bytes, records), [7, 256]);
        assert_eq!(schema_id(&[0, 0, 0, 1]), None);
    }

    #[test]
    fn messages_within_messages() {
        let mut read = Vec::new();
        for indexes in [vec![0], vec![1], vec![0, 0], vec![2, 300, 0]] {
            let mut out = Vec::new();
            push_message_indexes(&mut out, &indexes);
            out.push(0xAA);
            assert_eq!(message_indexes(&out, &mut read), Some(out.len() - 1));
            assert_eq!(read, indexes);
            for end in 0..out.len() - 1 {
                let part = message_indexes(&out[..end], &mut read);
                assert!(part.is_none() || out[0] == 0, "{indexes:?} {end}");
            }
        }
        assert_eq!(message_indexes(&[1], &mut read), None, "a negative number of indexes");
        assert_eq!(message_indexes(&[0x80, 0x80, 0x80, 0x80, 0x80, 1], &mut read), None);
    }
}
