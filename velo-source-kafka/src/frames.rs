//! What belongs to a chunk of records beside their values.

use std::ops::Range;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers, Message, Timestamp};
use velo_core::dead_letter::RecordAttributes;

/// Which parts of a record are wanted beside its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wanted {
    /// Its key.
    pub(crate) keys: bool,
    /// Its headers.
    pub(crate) headers: bool,
}

/// The records of a chunk; their values lie one behind the other in its bytes.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The offset of each.
    pub(crate) offsets: Vec<i64>,
    /// The record time of each, in milliseconds since 1970; `i64::MIN` where it has none.
    pub(crate) times: Vec<i64>,
    /// These times are all those at which the broker appended the records.
    pub(crate) appended: bool,
    /// Where each value ends.
    ends: Vec<u32>,
    /// The places of those without a value.
    pub(crate) tombstones: Vec<u32>,
    /// Their keys, where wanted.
    pub(crate) keys: Texts,
    /// All headers of all records, where wanted: names and values.
    pub(crate) header_names: Texts,
    pub(crate) header_values: Texts,
    /// How many headers there are up to the end of each record.
    header_ends: Vec<u32>,
}

/// Byte strings one behind the other, of which some are NULL.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub(crate) bytes: Vec<u8>,
    ends: Vec<u32>,
    nulls: Vec<u32>,
}

impl Texts {
    fn push(&mut self, text: Option<&[u8]>) {
        match text {
            Some(text) => self.bytes.extend_from_slice(text),
            None => self.nulls.push(self.ends.len() as u32),
        }
        self.ends.push(self.bytes.len() as u32);
    }

    /// Where one lies; an empty place where it is NULL.
    pub(crate) fn range(&self, at: usize) -> Range<usize> {
        range(&self.ends, at)
    }

    /// One of them.
    pub(crate) fn get(&self, at: usize) -> Option<&[u8]> {
        (!self.is_null(at)).then(|| &self.bytes[self.range(at)])
    }

    /// Whether one is NULL.
    pub(crate) fn is_null(&self, at: usize) -> bool {
        self.nulls.binary_search(&(at as u32)).is_ok()
    }
}

fn range(ends: &[u32], at: usize) -> Range<usize> {
    let from = at.checked_sub(1).map_or(0, |before| ends[before]);
    from as usize..ends[at] as usize
}

impl Frames {
    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Where the value of a record lies.
    pub(crate) fn value(&self, at: usize) -> Range<usize> {
        range(&self.ends, at)
    }

    /// Which headers are those of a record.
    pub(crate) fn headers(&self, at: usize) -> Range<usize> {
        range(&self.header_ends, at)
    }

    /// What a record has beside its value, where keys and headers are wanted.
    pub(crate) fn attributes(&self, at: usize) -> RecordAttributes {
        let bytes = |texts: &Texts, at| texts.get(at).map(Bytes::copy_from_slice);
        let header = |header| {
            let name = self.header_names.get(header).unwrap_or_default();
            (String::from_utf8_lossy(name).into_owned(), bytes(&self.header_values, header))
        };
        RecordAttributes {
            key: bytes(&self.keys, at),
            has_value: self.tombstones.binary_search(&(at as u32)).is_err(),
            headers: self.headers(at).map(header).collect(),
            time: self.times[at].checked_mul(1_000),
        }
    }

    /// The place of the record at an offset.
    pub(crate) fn at(&self, offset: u64) -> Option<usize> {
        i64::try_from(offset).ok().and_then(|offset| self.offsets.binary_search(&offset).ok())
    }

    /// The places in the chunk of records that have a key and no value.
    pub(crate) fn deletes(&self) -> impl Iterator<Item = usize> + '_ {
        self.tombstones.iter().map(|at| *at as usize).filter(|at| !self.keys.is_null(*at))
    }

    /// The records that have a value, with its place and their offset.
    pub(crate) fn values(&self) -> impl Iterator<Item = (Range<usize>, u64)> + '_ {
        self.with_values().map(|at| (self.value(at), self.offsets[at] as u64))
    }

    /// The keys of the records that have a key and a value, with their offsets.
    pub(crate) fn keys_of_values(&self) -> impl Iterator<Item = (Range<usize>, u64)> + '_ {
        self.with_values().filter(|at| !self.keys.is_null(*at)).map(|at| (self.keys.range(at), self.offsets[at] as u64))
    }

    /// The keys of the records that have a key and no value, with their offsets.
    pub(crate) fn keys_of_deletes(&self) -> impl Iterator<Item = (Range<usize>, u64)> + '_ {
        self.deletes().map(|at| (self.keys.range(at), self.offsets[at] as u64))
    }

    fn with_values(&self) -> impl Iterator<Item = usize> + '_ {
        let mut tombstones = self.tombstones.iter().copied().peekable();
        (0..self.len()).filter(move |at| tombstones.next_if_eq(&(*at as u32)).is_none())
    }
}

/// Records that become a chunk.
#[derive(Debug)]
pub(crate) struct Gathering {
    wanted: Wanted,
    bytes: Vec<u8>,
    frames: Frames,
}

impl Gathering {
    /// None yet.
    pub(crate) fn new(wanted: Wanted) -> Self {
        Self { wanted, bytes: Vec::new(), frames: Frames::default() }
    }

    /// One more.
    pub(crate) fn push(&mut self, message: &BorrowedMessage<'_>) {
        let frames = &mut self.frames;
        match message.payload() {
            Some(value) => self.bytes.extend_from_slice(value),
            None => frames.tombstones.push(frames.offsets.len() as u32),
        }
        frames.ends.push(self.bytes.len() as u32);
        let appended = matches!(message.timestamp(), Timestamp::LogAppendTime(_));
        frames.appended = appended && (frames.appended || frames.offsets.is_empty());
        frames.offsets.push(message.offset());
        frames.times.push(match message.timestamp() {
            Timestamp::CreateTime(millis) | Timestamp::LogAppendTime(millis) => millis,
            Timestamp::NotAvailable => i64::MIN,
        });
        if self.wanted.keys {
            frames.keys.push(message.key());
        }
        if self.wanted.headers {
            for header in message.headers().into_iter().flat_map(Headers::iter) {
                frames.header_names.push(Some(header.key.as_bytes()));
                frames.header_values.push(header.value);
            }
            frames.header_ends.push(frames.header_names.ends.len() as u32);
        }
    }

    /// Bytes of the values so far, and of what goes with them.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.frames.keys.bytes.len() + self.frames.header_values.bytes.len()
    }

    /// How many there are.
    pub(crate) fn records(&self) -> usize {
        self.frames.len()
    }

    /// The offset of the last one.
    pub(crate) fn last(&self) -> Option<i64> {
        self.frames.offsets.last().copied()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.offsets.is_empty()
    }

    /// The records, of which there are none afterwards.
    pub(crate) fn take(&mut self) -> (Bytes, Frames) {
        let fresh = Self { bytes: Vec::with_capacity(self.bytes.len()), ..Self::new(self.wanted) };
        let taken = std::mem::replace(self, fresh);
        (Bytes::from(taken.bytes), taken.frames)
    }
}

#[cfg(test)]
pub(crate) mod made {
    use super::*;

    /// Records as key, value and record time, with consecutive offsets.
    pub(crate) fn frames(first: i64, records: &[(Option<&str>, Option<&str>, i64)]) -> (Bytes, Frames) {
        let (mut bytes, mut frames) = (Vec::new(), Frames::default());
        for (at, (key, value, time)) in records.iter().enumerate() {
            match value {
                Some(value) => bytes.extend_from_slice(value.as_bytes()),
                None => frames.tombstones.push(at as u32),
            }
            frames.ends.push(bytes.len() as u32);
            frames.offsets.push(first + at as i64);
            frames.times.push(*time);
            frames.keys.push(key.map(str::as_bytes));
            frames.header_names.push(Some(b"n"));
            frames.header_values.push(key.map(str::as_bytes));
            frames.header_ends.push(at as u32 + 1);
        }
        (Bytes::from(bytes), frames)
    }

    #[test]
    fn records_are_found_by_place_and_offset() {
        let (bytes, frames) = frames(7, &[(Some("a"), Some("one"), 1), (None, None, 2), (Some("c"), Some("three"), 3)]);
        assert_eq!(frames.values().collect::<Vec<_>>(), [(0..3, 7), (3..8, 9)]);
        assert_eq!(&bytes[frames.value(2)], b"three");
        assert_eq!((frames.at(8), frames.at(10)), (Some(1), None));
        assert_eq!((frames.keys.get(0), frames.keys.get(1)), (Some(b"a".as_slice()), None));
        assert_eq!(frames.headers(2), 2..3);
        assert!(frames.header_values.is_null(1));
        let bytes = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        let (full, deletes) = (frames.attributes(2), frames.attributes(1));
        assert_eq!((full.key, full.has_value, full.time), (bytes("c"), true, Some(3_000)));
        assert_eq!(full.headers, [("n".to_owned(), bytes("c"))]);
        assert_eq!((deletes.key, deletes.has_value), (None, false));
    }
}
