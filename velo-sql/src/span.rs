//! Where something stands in a script: byte spans, and lines and columns for people.

use std::ops::Range;

/// A stretch of the script, as byte offsets; `end` is the first byte after it.
///
/// Two spans always compare as equal: trees are compared by what they say, not by where they say it, so that
/// `parse(print(tree)) == tree` can be asserted. Where the place matters, compare with [`Span::same_place`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// First byte after the stretch.
    pub end: u32,
}

impl PartialEq for Span {
    fn eq(&self, _: &Span) -> bool {
        true
    }
}

impl Eq for Span {}

impl Span {
    /// The span from `start` up to, and without, `end`.
    pub fn new(start: u32, end: u32) -> Span {
        Span { start, end }
    }

    /// The shortest span that holds both.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The empty span at the start of this one.
    pub fn start_point(self) -> Span {
        Span { start: self.start, end: self.start }
    }

    /// The empty span at the end of this one.
    pub fn end_point(self) -> Span {
        Span { start: self.end, end: self.end }
    }

    /// Whether both begin and end at the same bytes.
    pub fn same_place(self, other: Span) -> bool {
        self.start == other.start && self.end == other.end
    }

    /// The offsets as a range for slicing.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The text under the span; empty where the span does not fit the text.
    pub fn text(self, script: &str) -> &str {
        script.get(self.range()).unwrap_or("")
    }
}

/// A place as people count it: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A script with an index of its lines.
#[derive(Clone, Debug)]
pub struct SourceText<'a> {
    text: &'a str,
    line_starts: Vec<u32>,
    /// How many characters begin before each block of bytes: columns of a very long line are found without reading it all.
    characters: Vec<u32>,
}

const BLOCK: usize = 4_096;

/// How many characters begin in these bytes.
fn count_characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

impl<'a> SourceText<'a> {
    /// Indexes the lines of `text`.
    pub fn new(text: &'a str) -> SourceText<'a> {
        let mut line_starts = vec![0];
        line_starts.extend(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at as u32 + 1));
        let mut characters = Vec::with_capacity(text.len() / BLOCK + 1);
        let mut count = 0;
        for block in text.as_bytes().chunks(BLOCK) {
            characters.push(count as u32);
            count += count_characters(block);
        }
        SourceText { text, line_starts, characters }
    }

    /// How many characters begin before a byte offset.
    fn characters_before(&self, offset: usize) -> usize {
        let block = (offset / BLOCK).min(self.characters.len().saturating_sub(1));
        let before = self.characters.get(block).map_or(0, |count| *count as usize);
        before + count_characters(&self.text.as_bytes()[block * BLOCK..offset])
    }

    /// The whole text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Number of lines; at least one.
    pub fn line_count(&self) -> usize {
        self.line_starts.len()
    }

    /// Line and column of a byte offset. An offset past the end is the place after the last character, and one inside
    /// a character is that character's.
    pub fn place(&self, offset: u32) -> Place {
        let mut offset = (offset as usize).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line_starts.partition_point(|start| *start as usize <= offset);
        let start = self.line_starts[line - 1] as usize;
        let characters = self.characters_before(offset) - self.characters_before(start);
        Place { line, column: characters + 1 }
    }

    /// The text of a line (from 1), without its line end; empty where there is no such line.
    pub fn line(&self, line: usize) -> &'a str {
        let Some(start) = line.checked_sub(1).and_then(|index| self.line_starts.get(index)) else { return "" };
        let end = self.line_starts.get(line).map_or(self.text.len(), |next| *next as usize);
        self.text[*start as usize..end].trim_end_matches(['\n', '\r'])
    }

    /// The byte offset at which a line (from 1) begins.
    pub fn line_start(&self, line: usize) -> u32 {
        let index = line.saturating_sub(1).min(self.line_starts.len() - 1);
        self.line_starts[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_a_long_line_are_right() {
        let text = format!("x\n{}!", "é".repeat(10_000));
        let source = SourceText::new(&text);
        for column in [1, 2, 2_047, 2_048, 2_049, 10_000, 10_001] {
            assert_eq!(source.place(2 + 2 * (column as u32 - 1)), Place { line: 2, column });
        }
    }

    #[test]
    fn columns_count_characters() {
        let source = SourceText::new("é x\r\n日本y\n");
        assert_eq!(source.place(3), Place { line: 1, column: 3 });
        assert_eq!(source.place(12), Place { line: 2, column: 3 });
        assert_eq!(source.line(1), "é x");
        assert_eq!(source.line(2), "日本y");
        assert_eq!(source.line_count(), 3);
        assert_eq!(source.place(999), Place { line: 3, column: 1 });
    }
}
