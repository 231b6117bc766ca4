//! A place in a message's wire format that moves over fields.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

use crate::json::cursor::{Outcome, Problem};
use crate::value::varint::{Broken, varint};
pub(super) use crate::value::varint::{from_zigzag as zigzag, push_varint};

/// The deepest that groups are within each other.
const DEPTH_LIMIT: usize = 100;

/// How a field's value is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Fixed64,
    Bytes,
    Group,
    Fixed32,
}

/// A place in a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    /// Up to the message's end.
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

#[cold]
pub(super) fn problem(message: impl Into<String>) -> Box<Problem> {
    Problem::value("", message.into())
}

#[cold]
fn ends() -> Box<Problem> {
    problem("the message ends within it: it is cut off, or of another type")
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Outcome<u64> {
        match varint(&self.bytes[self.at..]) {
            Ok((value, size)) => {
                self.at += size;
                Ok(value)
            }
            Err(Broken::CutOff) => Err(ends()),
            Err(Broken::TooLong) => Err(problem("a number has more than 64 bits")),
        }
    }

    /// The number of the next field, and how its value is laid out; `None` for the end of a group.
    #[inline]
    pub(super) fn tag(&mut self) -> Outcome<Option<(u32, Wire)>> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let Some(number) = number else { return Err(problem(format!("{} is no number of a field", tag >> 3))) };
        let wire = match tag & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Bytes,
            3 => Wire::Group,
            4 => return Ok(None),
            5 => Wire::Fixed32,
            other => return Err(problem(format!("the field {number} has the wire type {other}, which there is not"))),
        };
        Ok(Some((number, wire)))
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let Some(bytes) = self.bytes[self.at..].first_chunk::<N>() else { return Err(ends()) };
        self.at += N;
        Ok(*bytes)
    }

    /// Bytes with their number before them.
    #[inline]
    pub(super) fn bytes(&mut self) -> Outcome<&'a [u8]> {
        let length = self.varint()?;
        let rest = &self.bytes[self.at..];
        let Some(bytes) = usize::try_from(length).ok().and_then(|length| rest.get(..length)) else {
            return Err(ends());
        };
        self.at += bytes.len();
        Ok(bytes)
    }

    /// The content of a message, whichever way it is laid out.
    pub(super) fn message(&mut self, number: u32, wire: Wire) -> Outcome<&'a [u8]> {
        if wire == Wire::Bytes {
            return self.bytes();
        }
        let start = self.at;
        let end = self.group(number, 0)?;
        Ok(&self.bytes[start..end])
    }

    /// Goes past a group; gives where its content ends.
    fn group(&mut self, number: u32, depth: usize) -> Outcome<usize> {
        if depth > DEPTH_LIMIT {
            return Err(problem(format!("groups are deeper than {DEPTH_LIMIT} within each other")));
        }
        loop {
            if self.is_at_end() {
                return Err(ends());
            }
            let at = self.at;
            match self.tag()? {
                Some((inner, wire)) => self.skip_in(inner, wire, depth + 1)?,
                None => {
                    let mut tag = Self { bytes: self.bytes, at };
                    let closed = tag.varint()? >> 3;
                    if closed != u64::from(number) {
                        return Err(problem(format!("the group {number} is closed by the end of {closed}")));
                    }
                    return Ok(at);
                }
            }
        }
    }

    /// Goes past a value.
    #[inline]
    pub(super) fn skip(&mut self, number: u32, wire: Wire) -> Outcome<()> {
        self.skip_in(number, wire, 0)
    }

    fn skip_in(&mut self, number: u32, wire: Wire, depth: usize) -> Outcome<()> {
        match wire {
            Wire::Varint => {
                self.varint()?;
            }
            Wire::Fixed64 => {
                self.array::<8>()?;
            }
            Wire::Fixed32 => {
                self.array::<4>()?;
            }
            Wire::Bytes => {
                self.bytes()?;
            }
            Wire::Group => {
                self.group(number, depth)?;
            }
        }
        Ok(())
    }
}
