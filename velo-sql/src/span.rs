//! Where something stands in a script.

use std::fmt;

/// A range of bytes of the script.
///
/// Two spans always compare equal, so that trees compare by what they say and not by where they say it.
#[derive(Clone, Copy, Default, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
}

impl PartialEq for Span {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl Span {
    /// From byte `start` up to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        // A script over 4 GiB is refused before it is lexed.
        Self { start: start as u32, end: end as u32 }
    }

    /// From the start of this span to the end of `other`.
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The text that the span covers.
    pub fn text(self, script: &str) -> &str {
        script.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Line and column of a byte, both from 1; columns count characters.
pub fn line_column(script: &str, byte: u32) -> (usize, usize) {
    let mut at = (byte as usize).min(script.len());
    while !script.is_char_boundary(at) {
        at -= 1;
    }
    let before = &script[..at];
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}
