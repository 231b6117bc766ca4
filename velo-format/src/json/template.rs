//! The shape that records of an input mostly have: the bytes between their values, learned from one of them.
//!
//! A record is followed step by step: the bytes before a value are compared as words, and the value is read knowing its
//! column. Where a record differs, one member is read the general way and the following goes on. Steps only move forward, so
//! that a field met twice always comes to the general way, which knows what it saw.

use super::cursor::Cursor;
use super::plan::{Object, Plan, Slot};
use super::read::content_text;
use crate::value::Column;
use crate::value::words::{before, load, string_marks};

/// More fields than these are read the general way.
const STEP_LIMIT: usize = 64;

/// A text that is compared sixteen bytes at once.
#[derive(Debug)]
struct Literal {
    head: u128,
    mask: u128,
    /// What is behind the first sixteen bytes.
    tail: Box<[u8]>,
    length: usize,
}

impl Literal {
    fn new(text: &[u8]) -> Self {
        let (head, tail) = text.split_at(text.len().min(16));
        let (mut bytes, mut mask) = ([0; 16], [0; 16]);
        bytes[..head.len()].copy_from_slice(head);
        mask[..head.len()].fill(0xFF);
        Self {
            head: u128::from_le_bytes(bytes),
            mask: u128::from_le_bytes(mask),
            tail: tail.into(),
            length: text.len(),
        }
    }

    /// Whether the text is at `at`; also false where fewer than sixteen bytes are there.
    #[inline(always)]
    fn is_at(&self, bytes: &[u8], at: usize) -> bool {
        let Some(rest) = bytes.get(at..) else { return false };
        let Some(head) = rest.first_chunk::<16>() else { return false };
        (u128::from_le_bytes(*head) ^ self.head) & self.mask == 0
            && (self.tail.is_empty() || rest[16..].starts_with(&self.tail))
    }
}

/// How a value begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A string; the step's text ends with its opening quote.
    String,
    /// A number.
    Number,
    /// Anything else, or a value that only the general way reads.
    Any,
}

/// A value and what comes before it.
#[derive(Debug)]
pub(super) struct Step {
    text: Literal,
    /// The name's quote up to the value, whatever the value is; without a name for values that have none at the top level.
    key: Option<Literal>,
    pub(super) form: Form,
    /// The column that takes the value.
    pub(super) column: Option<usize>,
    /// Further columns that take it.
    pub(super) more: Box<[usize]>,
    /// The slots that the record then has, and whether their names were met exactly.
    pub(super) marks: Box<[(usize, bool)]>,
    /// The value is a member of the record itself.
    pub(super) top: bool,
    /// So is the value before, so that the text is a comma, a name and a colon.
    pub(super) plain: bool,
    /// The slot in the record itself.
    pub(super) slot: Option<usize>,
    /// The schema lacks the field.
    pub(super) unknown: bool,
}

impl Step {
    /// Where the value begins (behind the quote of a string), if the step's text is at `at`.
    #[inline(always)]
    pub(super) fn value_at(&self, bytes: &[u8], at: usize) -> Option<usize> {
        self.text.is_at(bytes, at).then(|| at + self.text.length)
    }
}

/// Entries of [`Template::jumps`].
const JUMPS: usize = 128;

/// No step has this number.
const NO_STEP: u8 = u8::MAX;

/// A record's shape.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) steps: Vec<Step>,
    /// Steps of the top level by a hash of their names, for records in another order.
    jumps: [u8; JUMPS],
    end: Literal,
    /// The last value is a member of the record itself.
    pub(super) plain_end: bool,
    /// Every column has a step.
    pub(super) complete: bool,
    /// How many steps are of fields that the schema lacks.
    pub(super) unknown: u64,
}

impl Template {
    /// Where the record ends, if what follows its last value is at `at`.
    #[inline(always)]
    pub(super) fn end_at(&self, bytes: &[u8], at: usize) -> Option<usize> {
        self.end.is_at(bytes, at).then(|| at + self.end.length)
    }

    /// The step whose name is at `at`, behind a bracket or comma, and where its value begins (a string's quote does).
    #[inline(always)]
    pub(super) fn jump(&self, bytes: &[u8], at: usize) -> Option<(usize, usize)> {
        let quote = at + usize::from(bytes.get(at) == Some(&b' '));
        let step = usize::from(self.jumps[name_hash(bytes, quote)?]);
        let key = self.steps.get(step)?.key.as_ref()?;
        key.is_at(bytes, quote).then(|| (step, quote + key.length))
    }

    /// The step of a slot of the record itself.
    pub(super) fn step_of(&self, slot: usize) -> Option<usize> {
        self.steps.iter().position(|step| step.slot == Some(slot))
    }

    /// The shape of the record at `start`; `None` where it is of no use.
    pub(super) fn learn(plan: &Plan, columns: &[Column], bytes: &[u8], start: usize, lines: bool) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, start, lines);
        if cursor.peek() != Some(b'{') {
            return None;
        }
        let mut learner =
            Learner { plan, columns, steps: Vec::new(), hashes: Vec::new(), end: start, used: vec![false; plan.slots] };
        learner.object(&plan.top, &mut cursor, 0, &mut Vec::new(), None)?;
        let plain_end = learner.steps.last()?.top;
        let covered: usize =
            learner.steps.iter().map(|step| usize::from(step.column.is_some()) + step.more.len()).sum();
        let mut jumps = [NO_STEP; JUMPS];
        for (at, hash) in learner.hashes.iter().enumerate() {
            // At most 64 steps. Of two with one hash the first is kept, and the other is found by the general way.
            if let Some(hash) = hash
                && jumps[*hash] == NO_STEP
            {
                jumps[*hash] = at as u8;
            }
        }
        Some(Self {
            jumps,
            end: Literal::new(&bytes[learner.end..cursor.at]),
            plain_end,
            complete: covered == columns.len(),
            unknown: learner.steps.iter().filter(|step| step.unknown).count() as u64,
            steps: learner.steps,
        })
    }
}

/// A hash of the name whose opening quote is at `quote`: of its first sixteen bytes.
#[inline(always)]
fn name_hash(bytes: &[u8], quote: usize) -> Option<usize> {
    let up_to_mark = |at: usize| {
        let word = load(bytes, at)?;
        let count = before(string_marks(word));
        Some((if count < 8 { word & ((1 << (count * 8)) - 1) } else { word }, count))
    };
    if bytes.get(quote) != Some(&b'"') {
        return None;
    }
    let (mut word, count) = up_to_mark(quote + 1)?;
    if count == 8 {
        word = word.rotate_left(29) ^ up_to_mark(quote + 9)?.0;
    }
    // The high bits of a product depend on all bits of the word.
    Some((word.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - JUMPS.trailing_zeros())) as usize)
}

struct Learner<'a> {
    plan: &'a Plan,
    columns: &'a [Column],
    steps: Vec<Step>,
    /// A hash of each step's name, for those of the top level.
    hashes: Vec<Option<usize>>,
    /// Where the last value ended.
    end: usize,
    used: Vec<bool>,
}

impl Learner<'_> {
    fn object(
        &mut self,
        object: &Object,
        cursor: &mut Cursor<'_>,
        depth: usize,
        marks: &mut Vec<(usize, bool)>,
        within: Option<usize>,
    ) -> Option<()> {
        let mut first = true;
        while let Some(key) = cursor.member(&mut first, depth).ok()? {
            let name = content_text(cursor.bytes, key);
            let quote = key.start - 1;
            let Some((at, exact)) = object.find(&name, usize::MAX) else {
                let unknown = depth == 0 && !self.plan.is_declared(&name);
                self.step(cursor, depth, quote, None, marks, within, unknown)?;
                continue;
            };
            let slot = &object.slots[at];
            if std::mem::replace(&mut self.used[slot.number], true) {
                return None;
            }
            let within = within.or(Some(at));
            marks.push((slot.number, exact));
            if slot.inner.slots.is_empty() {
                self.step(cursor, depth, quote, Some(slot), marks, within, false)?;
            } else if slot.columns.is_empty() && cursor.peek() == Some(b'{') {
                self.object(&slot.inner, cursor, depth + 1, marks, within)?;
            } else {
                return None;
            }
            marks.pop();
        }
        Some(())
    }

    #[expect(clippy::too_many_arguments, reason = "they are what a step is made of")]
    fn step(
        &mut self,
        cursor: &mut Cursor<'_>,
        depth: usize,
        quote: usize,
        slot: Option<&Slot>,
        marks: &[(usize, bool)],
        within: Option<usize>,
        unknown: bool,
    ) -> Option<()> {
        if self.steps.len() == STEP_LIMIT {
            return None;
        }
        let columns = slot.map_or(&[][..], |slot| &slot.columns);
        let whole = columns.iter().any(|column| !self.columns[*column].takes_content());
        let form = match cursor.peek() {
            Some(b'"') if !whole => Form::String,
            Some(b'-' | b'0'..=b'9') if !whole => Form::Number,
            _ => Form::Any,
        };
        let from = cursor.at + usize::from(form == Form::String);
        let text = Literal::new(&cursor.bytes[self.end..from]);
        let top = depth == 0;
        let key = top.then(|| Literal::new(&cursor.bytes[quote..cursor.at]));
        self.hashes.push(if top { name_hash(cursor.bytes, quote) } else { None });
        cursor.skip(depth + 1).ok()?;
        self.end = cursor.at;
        self.steps.push(Step {
            text,
            key,
            form,
            column: columns.first().copied(),
            more: columns.get(1..).unwrap_or_default().into(),
            marks: marks.into(),
            top,
            plain: top && self.steps.last().is_some_and(|step| step.top),
            slot: within,
            unknown,
        });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_of_any_length() {
        let text = b"abcdefghijklmnopqrstuvwxyz0123456789";
        for length in 1..text.len() {
            let literal = Literal::new(&text[..length]);
            let mut padded = text[..length].to_vec();
            padded.extend_from_slice(b"----------------");
            assert!(literal.is_at(&padded, 0), "{length}");
            assert!(!literal.is_at(&padded, 1) && !literal.is_at(&padded, 1000));
            for at in 0..length {
                let mut other = padded.clone();
                other[at] ^= 1;
                assert!(!literal.is_at(&other, 0), "{length} {at}");
            }
        }
    }
}
