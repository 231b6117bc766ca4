//! Cutting an array into its elements, and telling an array from lines.

use std::any::Any;
use std::sync::Arc;

use memchr::memchr2;
use velo_core::connector::Chunk;
use velo_core::error::{ConnectorError, ErrorKind};

use crate::error::show;
use crate::framing::{Cut, Framer, LineFramer, byte_order_mark, line_breaks, too_long};
use crate::properties::JsonLayout;

/// How the records of a chunk follow each other; an array's chunks have [`Layout::Elements`] in their frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One per line.
    Lines,
    /// With commas between them, over any lines.
    Elements,
}

impl Layout {
    /// That of a chunk.
    pub(crate) fn of(chunk: &Chunk) -> Self {
        let layout = chunk.frames.as_ref().and_then(|frames| frames.downcast_ref::<Self>());
        layout.copied().unwrap_or(Self::Lines)
    }
}

/// The record at a position of a chunk of lines, as a value; a chunk of an array has no line per record, and gives none.
pub(crate) fn record_at(chunk: &Chunk, position: u64) -> Option<serde_json::Value> {
    let line = usize::try_from(position.checked_sub(chunk.origin.position(0))?).ok()?;
    serde_json::from_slice(chunk.bytes.split(|byte| *byte == b'\n').nth(line)?).ok()
}

/// Whether an input is lines or an array, by its first byte that is no blank.
#[derive(Debug)]
pub(crate) struct JsonFramer {
    layout: JsonLayout,
    limit: usize,
    resumed: bool,
    chosen: Option<Chosen>,
}

#[derive(Debug)]
enum Chosen {
    Lines(LineFramer),
    Elements(Elements),
}

impl JsonFramer {
    pub(crate) fn new(layout: JsonLayout, limit: usize) -> Self {
        Self { layout, limit, resumed: false, chosen: None }
    }

    fn choose(&mut self, buffer: &[u8], at_end: bool) -> Option<&mut Chosen> {
        if self.chosen.is_none() {
            let mark = byte_order_mark(buffer, at_end)?;
            let first = buffer[mark..].iter().find(|byte| !byte.is_ascii_whitespace());
            let layout = match (self.layout, first) {
                (JsonLayout::Auto, Some(b'[')) => JsonLayout::Array,
                // Between elements: only an array goes on like this.
                (JsonLayout::Auto, Some(b',' | b']')) if self.resumed => JsonLayout::Array,
                (JsonLayout::Auto, None) if !at_end => return None,
                (JsonLayout::Auto, _) => JsonLayout::Lines,
                (layout, _) => layout,
            };
            let mut chosen = match layout {
                JsonLayout::Array => Chosen::Elements(Elements::new(self.limit)),
                JsonLayout::Auto | JsonLayout::Lines => Chosen::Lines(LineFramer::new(self.limit)),
            };
            // Resumed before the first record is not resumed.
            if self.resumed && first != Some(&b'[') {
                chosen.as_framer().resume();
            }
            self.chosen = Some(chosen);
        }
        self.chosen.as_mut()
    }
}

impl Chosen {
    fn as_framer(&mut self) -> &mut dyn Framer {
        match self {
            Self::Lines(lines) => lines,
            Self::Elements(elements) => elements,
        }
    }
}

impl Framer for JsonFramer {
    fn cut(&mut self, buffer: &[u8], at_end: bool) -> Result<Cut, ConnectorError> {
        match self.choose(buffer, at_end) {
            Some(chosen) => chosen.as_framer().cut(buffer, at_end),
            None => Ok(Cut::default()),
        }
    }

    fn resume(&mut self) {
        self.resumed = true;
    }

    fn frames(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        match &self.chosen {
            Some(Chosen::Elements(elements)) => elements.frames(),
            _ => None,
        }
    }
}

/// Where an array stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before its `[`.
    Start,
    /// Behind its `[`: an element or the end.
    First,
    /// Behind a comma: an element.
    Element,
    /// Behind an element: a comma or the end.
    Comma,
    /// Behind its `]`.
    End,
}

/// The elements of one array.
#[derive(Debug)]
pub(crate) struct Elements {
    limit: usize,
    state: State,
}

impl Elements {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: State::Start }
    }
}

#[cold]
fn broken(expected: &str, rest: &[u8]) -> ConnectorError {
    let found = if rest.is_empty() { "the end".to_owned() } else { show(&rest[..rest.len().min(16)]) };
    ConnectorError::new(
        ErrorKind::Decode,
        "reading",
        format!("the input is no JSON array of records: expected {expected}, found {found}"),
    )
    .advise("'json.layout' says whether records are lines or the elements of one array")
}

/// The end of the element at `at`: where a comma or bracket follows on its own level. `None` where it goes on behind the text.
pub(crate) fn element_end(bytes: &[u8], at: usize) -> Option<usize> {
    let (mut at, mut depth) = (at, 0_usize);
    loop {
        match *bytes.get(at)? {
            b'"' => {
                at += 1;
                loop {
                    at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
                    if bytes[at] == b'"' {
                        break;
                    }
                    at += 2;
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => depth -= 1,
            b',' | b'}' | b']' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// `end` without the whitespace before it.
fn trimmed(buffer: &[u8], end: usize) -> usize {
    buffer[..end].trim_ascii_end().len()
}

impl Framer for Elements {
    fn cut(&mut self, buffer: &[u8], at_end: bool) -> Result<Cut, ConnectorError> {
        let mut at = match self.state {
            State::Start => match byte_order_mark(buffer, at_end) {
                Some(mark) => mark,
                None => return Ok(Cut::default()),
            },
            _ => 0,
        };
        let mut records: Option<std::ops::Range<usize>> = None;
        // What comes between elements within the records is theirs; before the first and behind the last it is dropped.
        while let Some(byte) = buffer.get(at) {
            if byte.is_ascii_whitespace() {
                at += 1;
                continue;
            }
            match (self.state, byte) {
                (State::Start, b'[') => self.state = State::First,
                (State::First | State::Comma, b']') => {
                    if records.is_some() {
                        break;
                    }
                    self.state = State::End;
                }
                (State::Comma, b',') => {
                    if records.is_none() {
                        self.state = State::Element;
                    } else {
                        // The comma belongs to the records only if another whole element follows.
                        let next = buffer[at + 1..].iter().position(|byte| !byte.is_ascii_whitespace());
                        let Some(next) = next.map(|next| at + 1 + next) else { break };
                        let Some(end) = element_end(buffer, next).filter(|end| *end > next) else { break };
                        records = records.map(|records| records.start..trimmed(buffer, end));
                        at = end;
                        continue;
                    }
                }
                (State::First | State::Element, b',' | b']' | b'}') => return Err(broken("a record", &buffer[at..])),
                (State::First | State::Element, _) => {
                    let Some(end) = element_end(buffer, at) else { break };
                    records = Some(at..trimmed(buffer, end));
                    self.state = State::Comma;
                    at = end;
                    continue;
                }
                (State::Start, _) => return Err(broken("'['", &buffer[at..])),
                (State::Comma, _) => return Err(broken("',' or ']'", &buffer[at..])),
                (State::End, _) => return Err(broken("nothing behind the array", &buffer[at..])),
            }
            at += 1;
        }
        if let Some(records) = records {
            let (skip, bytes) = (records.start, records.len());
            let lines = line_breaks(&buffer[records.clone()]);
            return Ok(Cut { skip, skip_lines: line_breaks(&buffer[..skip]), bytes, lines });
        }
        if at_end && self.state != State::End {
            return Err(broken("']' at its end", &buffer[at..]));
        }
        if buffer.len() - at > self.limit {
            return Err(too_long(self.limit));
        }
        Ok(Cut { skip: at, skip_lines: line_breaks(&buffer[..at]), bytes: 0, lines: 0 })
    }

    fn resume(&mut self) {
        self.state = State::Comma;
    }

    fn frames(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::new(Layout::Elements))
    }
}
