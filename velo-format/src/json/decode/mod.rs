//! The decoder: records of a chunk into batches.

mod walk;

use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use memchr::memchr;
use velo_core::connector::{Chunk, ChunkDecoder, DecodeColumn, Decoded};
use velo_core::error::ConnectorError;
use velo_core::place::Origin;

use super::cursor::{Cursor, Outcome, Problem};
use super::elements::{Layout, element_end, record_at};
use super::fast;
use super::options::JsonDecodeOptions;
use super::plan::{Plan, Slot};
use super::read::read_value;
use super::template::{Form, Step, Template};
use crate::decode::RecordAssembler;
use crate::framing::line_breaks;
use crate::records::RecordDecoder;
use crate::value::Column;
use walk::Member;

/// Decodes JSON records.
#[derive(Debug)]
pub struct JsonDecoder {
    options: JsonDecodeOptions,
    plan: Plan,
    /// The shape of the last chunk's records, which the next one begins with.
    template: Mutex<Option<Arc<Template>>>,
}

impl JsonDecoder {
    /// A decoder. Errors for a column whose type text cannot become.
    pub fn new(options: JsonDecodeOptions) -> Result<Self, ConnectorError> {
        let plan = Plan::new(&options.columns, options.declared_names());
        Self::with_plan(options, plan)
    }

    /// A decoder that finds the columns of `options` by `plan`.
    pub(crate) fn with_plan(options: JsonDecodeOptions, plan: Plan) -> Result<Self, ConnectorError> {
        for column in &options.columns {
            Column::new(&column.field, &options.formats, 0)?;
        }
        Ok(Self { options, plan, template: Mutex::new(None) })
    }

    /// Decodes the records of `bytes`, which begins at `origin`.
    pub fn decode_bytes(&self, bytes: &Bytes, origin: &Origin, layout: Layout) -> Result<Decoded, ConnectorError> {
        let mut run = self.run(bytes, origin, layout == Layout::Lines)?;
        run.all(layout, origin.position(0), Run::record)?;
        self.end(run)
    }

    /// Decodes records that stand one by one in `bytes`, each with its position: the values of Kafka records, the bodies of
    /// requests. Line breaks within them are whitespace.
    pub fn decode_records(
        &self,
        bytes: &Bytes,
        origin: &Origin,
        records: impl IntoIterator<Item = (Range<usize>, u64)>,
    ) -> Result<Decoded, ConnectorError> {
        let mut run = self.run(bytes, origin, false)?;
        for (record, position) in records {
            run.bytes = &bytes[..record.end];
            run.one(record, position, Run::record)?;
        }
        self.end(run)
    }

    /// Begins to decode a chunk; a caller's own reading of its records goes through [`Run::all`].
    pub(crate) fn run<'a>(
        &'a self,
        bytes: &'a Bytes,
        origin: &'a Origin,
        lines: bool,
    ) -> Result<Run<'a>, ConnectorError> {
        let JsonDecodeOptions { columns, batch_rows, keep_bytes, formats, .. } = &self.options;
        Ok(Run {
            plan: &self.plan,
            columns,
            out: RecordAssembler::new(columns, formats, *batch_rows, *keep_bytes, bytes, origin)?,
            bytes,
            lines,
            start: 0,
            seen: vec![Seen::Not; self.plan.slots],
            doubtful: Vec::new(),
            unknown: 0,
            template: self.template.lock().map_or(None, |last| last.clone()),
            learning: Learning::default(),
        })
    }

    /// What a run collected.
    pub(crate) fn end(&self, run: Run<'_>) -> Result<Decoded, ConnectorError> {
        if run.learning.changed
            && let Ok(mut last) = self.template.lock()
        {
            last.clone_from(&run.template);
        }
        run.out.finish()
    }
}

impl RecordDecoder for JsonDecoder {
    fn decode_records(
        &self,
        bytes: &Bytes,
        origin: &Origin,
        records: &mut dyn Iterator<Item = (Range<usize>, u64)>,
    ) -> Result<Decoded, ConnectorError> {
        Self::decode_records(self, bytes, origin, records)
    }

    fn fields_of(&self, record: &[u8]) -> Vec<String> {
        match serde_json::from_slice(record) {
            Ok(serde_json::Value::Object(fields)) => fields.into_iter().map(|(name, _)| name).collect(),
            _ => Vec::new(),
        }
    }
}

impl ChunkDecoder for JsonDecoder {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded, ConnectorError> {
        self.decode_bytes(&chunk.bytes, &chunk.origin, Layout::of(chunk))
    }

    fn fields_at(&self, chunk: &Chunk, position: u64) -> Vec<String> {
        match record_at(chunk, position) {
            Some(serde_json::Value::Object(fields)) => fields.into_iter().map(|(name, _)| name).collect(),
            _ => Vec::new(),
        }
    }
}

/// Whether a record had a field so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Not,
    /// Under its very name.
    Exactly,
    /// Under a name that differs in case.
    ByCase,
}

/// When a new shape is learned.
#[derive(Debug)]
struct Learning {
    /// Records that differed from the shape since it was last looked at.
    differing: usize,
    /// Records that did not.
    equal: usize,
    /// How many must differ until the next look: grows while looking does not help.
    patience: usize,
    /// The longest of those that differed.
    longest: Range<usize>,
    changed: bool,
}

impl Default for Learning {
    fn default() -> Self {
        Self { differing: 0, equal: 0, patience: 8, longest: 0..0, changed: false }
    }
}

/// One chunk's decoding.
pub(crate) struct Run<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) columns: &'a [DecodeColumn],
    pub(crate) out: RecordAssembler<'a>,
    pub(crate) bytes: &'a [u8],
    pub(crate) lines: bool,
    /// Where the current record begins.
    start: usize,
    seen: Vec<Seen>,
    /// Fields of the current record that two names mean by case; an error unless the exact name comes too.
    doubtful: Vec<&'a Slot>,
    /// Unknown fields of the current record.
    pub(crate) unknown: u64,
    template: Option<Arc<Template>>,
    learning: Learning,
}

impl<'a> Run<'a> {
    /// Reads the records of the chunk, the first of them on `line`, each by `read`: that pushes what is in the record that begins at
    /// a place, and gives its end.
    pub(crate) fn all(
        &mut self,
        layout: Layout,
        line: u64,
        read: impl FnMut(&mut Self, usize) -> Outcome<usize>,
    ) -> Result<(), ConnectorError> {
        match layout {
            Layout::Lines => self.each_line(line, read),
            Layout::Elements => self.each_element(line, read),
        }
    }

    fn each_line(
        &mut self,
        mut line: u64,
        mut read: impl FnMut(&mut Self, usize) -> Outcome<usize>,
    ) -> Result<(), ConnectorError> {
        let mut at = 0;
        while at < self.bytes.len() {
            let start = at;
            if self.bytes[at] <= b' ' {
                let mut cursor = Cursor::new(self.bytes, at, true);
                cursor.blanks();
                at = cursor.at;
                if matches!(cursor.peek(), None | Some(b'\n')) {
                    // A blank line is no record.
                    at += 1;
                    line += 1;
                    continue;
                }
            }
            let record = read(self, at).and_then(|end| {
                if self.bytes.get(end) == Some(&b'\n') {
                    return Ok((end, end));
                }
                let mut cursor = Cursor { bytes: self.bytes, at: end, lines: true, start };
                cursor.blanks();
                match cursor.peek() {
                    None | Some(b'\n') => Ok((end, cursor.at)),
                    _ => Err(cursor.expected("the end of the line behind the record")),
                }
            });
            at = match record {
                Ok((end, next)) => {
                    self.accept(start..end, line)?;
                    next + 1
                }
                Err(problem) => {
                    let end = memchr(b'\n', &self.bytes[start..]).map_or(self.bytes.len(), |length| start + length);
                    let text = self.bytes[start..end].strip_suffix(b"\r").unwrap_or(&self.bytes[start..end]);
                    self.reject(start..start + text.len(), line, *problem);
                    end + 1
                }
            };
            line += 1;
        }
        Ok(())
    }

    /// A record was read.
    #[inline]
    fn accept(&mut self, record: Range<usize>, position: u64) -> Result<(), ConnectorError> {
        self.out.count_unknown(self.unknown);
        self.out.accept(record, position)
    }

    fn each_element(
        &mut self,
        mut line: u64,
        mut read: impl FnMut(&mut Self, usize) -> Outcome<usize>,
    ) -> Result<(), ConnectorError> {
        let (mut at, mut counted) = (0, 0);
        loop {
            let mut cursor = Cursor::new(self.bytes, at, false);
            cursor.blanks();
            let start = cursor.at;
            line += line_breaks(&self.bytes[counted..start]);
            counted = start;
            if start == self.bytes.len() {
                return Ok(());
            }
            let record = read(self, start).and_then(|end| {
                let mut cursor = Cursor { bytes: self.bytes, at: end, lines: false, start };
                cursor.blanks();
                match cursor.peek() {
                    None | Some(b',') => Ok((end, cursor.at)),
                    _ => Err(cursor.expected("',' or ']' behind the record")),
                }
            });
            at = match record {
                Ok((end, next)) => {
                    self.accept(start..end, line)?;
                    next + 1
                }
                Err(problem) => {
                    let end = element_end(self.bytes, start).unwrap_or(self.bytes.len());
                    self.reject(start..start + self.bytes[start..end].trim_ascii_end().len(), line, *problem);
                    end + 1
                }
            };
            at = at.min(self.bytes.len());
        }
    }

    pub(crate) fn one(
        &mut self,
        record: Range<usize>,
        position: u64,
        mut read: impl FnMut(&mut Self, usize) -> Outcome<usize>,
    ) -> Result<(), ConnectorError> {
        let mut cursor = Cursor::new(self.bytes, record.start, false);
        cursor.blanks();
        let done = read(self, cursor.at).and_then(|end| {
            cursor.at = end;
            cursor.blanks();
            if cursor.at < record.end { Err(cursor.expected("the end behind the record")) } else { Ok(()) }
        });
        match done {
            Ok(()) => self.accept(record, position),
            Err(problem) => {
                self.reject(record, position, *problem);
                Ok(())
            }
        }
    }

    #[cold]
    fn reject(&mut self, record: Range<usize>, position: u64, problem: Problem) {
        self.out.reject(record, position, problem.field, problem.message);
    }

    /// Reads the record at `start` into the columns, one value each; gives its end.
    #[inline]
    pub(crate) fn record(&mut self, start: usize) -> Outcome<usize> {
        (self.unknown, self.start) = (0, start);
        let Some(template) = self.template.take() else { return self.record_without_template(start) };
        let end = self.follow(&template, start);
        // Unless another one was learned meanwhile.
        self.template.get_or_insert(template);
        end
    }

    /// Reads the record at `start` along the template, as far as it is of that shape.
    #[inline]
    fn follow(&mut self, template: &Template, start: usize) -> Outcome<usize> {
        let mut at = start;
        for (step, next) in template.steps.iter().enumerate() {
            let Some(value) = next.value_at(self.bytes, at) else {
                return self.differing(template, start, at, step);
            };
            at = self.value(next, value)?;
        }
        let Some(end) = template.end_at(self.bytes, at) else {
            return self.differing(template, start, at, template.steps.len());
        };
        self.unknown = template.unknown;
        self.learning.equal += 1;
        if !template.complete {
            self.fill_missing()?;
        }
        Ok(end)
    }

    /// Reads a step's value, which begins at `at` (a string's content does).
    #[inline(always)]
    fn value(&mut self, step: &Step, at: usize) -> Outcome<usize> {
        if step.more.is_empty() {
            let column = step.column.map(|column| &mut self.out.columns[column]);
            let end = match step.form {
                Form::String => fast::string(column, self.bytes, at),
                Form::Number => fast::number(column, self.bytes, at),
                Form::Any => None,
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
        self.value_of_any_form(step, at - usize::from(step.form == Form::String))
    }

    /// Reads a step's value, which begins at `at`, whatever it is.
    #[inline(never)]
    fn value_of_any_form(&mut self, step: &Step, at: usize) -> Outcome<usize> {
        let mut cursor = Cursor { bytes: self.bytes, at, lines: self.lines, start: self.start };
        // The learned record had its blanks, this one may have more.
        cursor.blanks();
        let at = cursor.at;
        // How deep the value is only bounds what it may still open.
        let depth = step.marks.len().max(1);
        let Some(column) = step.column else {
            cursor.skip(depth)?;
            return Ok(cursor.at);
        };
        for column in std::iter::once(&column).chain(&step.more) {
            cursor.at = at;
            self.read_into(*column, &mut cursor, depth)?;
        }
        Ok(cursor.at)
    }

    #[inline]
    fn read_into(&mut self, column: usize, cursor: &mut Cursor<'a>, depth: usize) -> Outcome<()> {
        let known = &mut self.out.columns[column];
        let end = match cursor.peek() {
            Some(b'"') if known.takes_content() => fast::string(Some(known), self.bytes, cursor.at + 1),
            Some(b'-' | b'0'..=b'9') => fast::number(Some(known), self.bytes, cursor.at),
            _ => None,
        };
        if let Some(end) = end {
            cursor.at = end;
            return Ok(());
        }
        self.read_slowly(column, cursor, depth)
    }

    #[inline(never)]
    fn read_slowly(&mut self, column: usize, cursor: &mut Cursor<'a>, depth: usize) -> Outcome<()> {
        read_value(&mut self.out.columns[column], cursor, depth).map_err(|problem| self.in_path(problem, column))
    }

    /// A problem of a column is one of the field at its path.
    #[cold]
    fn in_path(&self, mut problem: Box<Problem>, column: usize) -> Box<Problem> {
        let DecodeColumn { path, .. } = &self.columns[column];
        if let Some(at) = problem.field.take() {
            problem.field = Some(path.join(".") + &at);
        }
        problem
    }

    /// Goes on in a record that differs from the template before `step`; `at` is behind its last value.
    #[inline(never)]
    fn differing(&mut self, template: &Template, start: usize, mut at: usize, mut step: usize) -> Outcome<usize> {
        let steps = &template.steps;
        // The steps that were taken, by their bits; there are at most 64.
        let mut matched = u64::MAX.checked_shr(64 - step as u32).unwrap_or(0);
        let mut walked = false;
        // The general way keeps no note of where it is in nested objects, so it begins anew there.
        if step.checked_sub(1).is_some_and(|last| !steps[last].top) {
            self.out.undo();
            let end = self.walk(start)?;
            self.differed(start..end, steps.len());
            return Ok(end);
        }
        let mut first = step == 0;
        let end = loop {
            // On the top level, behind a value (or at the start): the next step, any step by its name, the end, or one member the
            // general way.
            if !first {
                if let Some(next) = steps.get(step).filter(|next| next.plain && !(walked && self.has(next)))
                    && let Some(value) = next.value_at(self.bytes, at)
                    && matched >> step & 1 == 0
                {
                    at = self.value(next, value)?;
                    matched |= 1 << step;
                    if walked {
                        self.mark(next);
                    }
                    step += 1;
                    while step < 64 && matched >> step & 1 == 1 {
                        step += 1;
                    }
                    continue;
                }
                if template.plain_end
                    && let Some(end) = template.end_at(self.bytes, at)
                {
                    break end;
                }
            }
            if self.bytes.get(at) == Some(if first { &b'{' } else { &b',' })
                && let Some((taken, value)) = template.jump(self.bytes, at + 1)
                && matched >> taken & 1 == 0
                && !(walked && self.has(&steps[taken]))
            {
                first = false;
                at = self.value_of_any_form(&steps[taken], value)?;
                matched |= 1 << taken;
                if walked {
                    self.mark(&steps[taken]);
                }
                // What the schema lacks may stand anywhere; else the following fields are likely to follow here as well.
                if !steps[taken].unknown {
                    step = step.max(taken + 1);
                }
                while step < 64 && matched >> step & 1 == 1 {
                    step += 1;
                }
                continue;
            }
            if !std::mem::replace(&mut walked, true) {
                self.seen.fill(Seen::Not);
                self.doubtful.clear();
                steps.iter().enumerate().filter(|(at, _)| matched >> at & 1 == 1).for_each(|(_, step)| self.mark(step));
            }
            let mut cursor = Cursor { bytes: self.bytes, at, lines: self.lines, start };
            if first && cursor.peek() != Some(b'{') {
                return Err(self.no_object(start));
            }
            let hint = steps.get(step).and_then(|step| step.slot).unwrap_or(usize::MAX);
            match self.member(&self.plan.top, &mut cursor, &mut first, 0, hint)? {
                Member::End => break cursor.at,
                Member::Slot(slot) => {
                    if let Some(taken) = template.step_of(slot) {
                        step = step.max(taken + 1);
                    }
                }
                Member::Other => {}
            }
            at = cursor.at;
        };
        let taken = steps.iter().enumerate().filter(|(at, _)| matched >> at & 1 == 1);
        self.unknown += taken.filter(|(_, step)| step.unknown).count() as u64;
        if walked || !template.complete || matched.count_ones() as usize != steps.len() {
            self.fill_missing()?;
        }
        self.differed(start..end, steps.len());
        Ok(end)
    }

    /// Whether the record had a step's field already.
    fn has(&self, step: &Step) -> bool {
        step.marks.last().is_some_and(|(slot, _)| self.seen[*slot] != Seen::Not)
    }

    fn mark(&mut self, step: &Step) {
        for (slot, exact) in &step.marks {
            self.seen[*slot] = if *exact { Seen::Exactly } else { Seen::ByCase };
        }
    }

    fn record_without_template(&mut self, start: usize) -> Outcome<usize> {
        let end = self.walk(start)?;
        if self.learning.longest.is_empty() {
            self.learning.differing = self.learning.patience;
        }
        self.differed(start..end, 0);
        Ok(end)
    }

    /// A good record that is not of the learned shape, which has `known` steps.
    fn differed(&mut self, record: Range<usize>, known: usize) {
        let learning = &mut self.learning;
        learning.differing += 1;
        if record.len() > learning.longest.len() {
            learning.longest = record;
        }
        if learning.differing < learning.patience {
            return;
        }
        let start = learning.longest.start;
        let learned = Template::learn(self.plan, &self.out.columns, self.bytes, start, self.lines);
        // A shape that some records have gives way only to one with more fields, from which theirs can be skipped.
        let better = |learned: &Template| learned.steps.len() > known || learning.equal == 0;
        if let Some(learned) = learned.filter(better) {
            self.template = Some(Arc::new(learned));
            learning.changed = true;
        }
        // Looking again costs about a record's time, so it gets rarer where most records differ anyway.
        let patience = (learning.patience * 2).min(1024);
        *learning = Learning { patience, changed: learning.changed, ..Learning::default() };
    }
}
