//! A record of any shape, member by member: what no template is followed for.

use super::super::cursor::{Cursor, Outcome, Problem};
use super::super::plan::{Object, Slot};
use super::super::read::{content_text, push_null};
use super::{Run, Seen};
use crate::error::show;

impl<'a> Run<'a> {
    #[cold]
    pub(crate) fn no_object(&self, start: usize) -> Box<Problem> {
        let mut cursor = Cursor::new(self.bytes, start, self.lines);
        match cursor.skip(0) {
            Err(problem) => problem,
            Ok(text) => Box::new(Problem {
                field: None,
                message: format!("a record must be a JSON object, found {}", show(text)),
            }),
        }
    }

    /// Reads the record at `start` the general way.
    #[inline(never)]
    pub(super) fn walk(&mut self, start: usize) -> Outcome<usize> {
        let mut cursor = Cursor::new(self.bytes, start, self.lines);
        if cursor.peek() != Some(b'{') {
            return Err(self.no_object(start));
        }
        self.seen.fill(Seen::Not);
        self.doubtful.clear();
        self.object(&self.plan.top, &mut cursor, 0)?;
        self.fill_missing()?;
        Ok(cursor.at)
    }

    fn object(&mut self, object: &'a Object, cursor: &mut Cursor<'a>, depth: usize) -> Outcome<()> {
        let (mut first, mut hint) = (true, 0);
        loop {
            match self.member(object, cursor, &mut first, depth, hint)? {
                Member::End => return Ok(()),
                Member::Slot(slot) => hint = slot + 1,
                Member::Other => {}
            }
        }
    }

    /// Reads the next member of an object, or its end.
    #[inline]
    pub(super) fn member(
        &mut self,
        object: &'a Object,
        cursor: &mut Cursor<'a>,
        first: &mut bool,
        depth: usize,
        hint: usize,
    ) -> Outcome<Member> {
        let Some(key) = cursor.member(first, depth)? else { return Ok(Member::End) };
        let name = content_text(cursor.bytes, key);
        let Some((at, exact)) = object.find(&name, hint) else {
            if depth == 0 && !self.plan.is_declared(&name) {
                self.unknown += 1;
            }
            cursor.skip(depth + 1)?;
            return Ok(Member::Other);
        };
        self.slot(&object.slots[at], exact, cursor, depth + 1)?;
        Ok(Member::Slot(at))
    }

    /// Reads the wanted fields of what the record stands in into the row that was just read: `at` says where the value of each of
    /// [`Plan::around`]'s slots is, `depth` how deep. What is missing is NULL.
    pub(crate) fn around(&mut self, at: &[Option<usize>], start: usize, depth: usize) -> Outcome<()> {
        let plan = self.plan;
        let (rows, out, seen) = (self.out.rows(), &mut self.out, &mut self.seen);
        for slot in &plan.around.slots {
            seen[slot.number] = Seen::Not;
            slot.each_inner(&mut |inner| seen[inner] = Seen::Not);
            // The record's own reading filled them in.
            slot.each_column(&mut |column| out.columns[column].truncate(rows));
        }
        for (slot, at) in plan.around.slots.iter().zip(at) {
            let Some(at) = *at else { continue };
            self.slot(slot, true, &mut Cursor { bytes: self.bytes, at, lines: self.lines, start }, depth)?;
        }
        self.fill_missing()
    }

    /// Reads the value of a wanted field.
    #[inline]
    fn slot(&mut self, slot: &'a Slot, exact: bool, cursor: &mut Cursor<'a>, depth: usize) -> Outcome<()> {
        match (self.seen[slot.number], exact) {
            (Seen::Not, _) => {}
            // What was read by case gives way to the exact name, and the other way round nothing happens.
            (Seen::ByCase, true) => {
                let (rows, out, seen) = (self.out.rows(), &mut self.out, &mut self.seen);
                slot.each_column(&mut |column| out.columns[column].truncate(rows));
                slot.each_inner(&mut |inner| seen[inner] = Seen::Not);
                self.doubtful.retain(|doubtful| doubtful.number != slot.number);
            }
            (Seen::ByCase, false) => {
                self.doubtful.push(slot);
                cursor.skip(depth)?;
                return Ok(());
            }
            (Seen::Exactly, false) => {
                cursor.skip(depth)?;
                return Ok(());
            }
            (Seen::Exactly, true) => return Err(repeated(slot)),
        }
        self.seen[slot.number] = if exact { Seen::Exactly } else { Seen::ByCase };
        let start = cursor.at;
        for column in &slot.columns {
            cursor.at = start;
            self.read_into(*column, cursor, depth)?;
        }
        if slot.inner.slots.is_empty() {
            return Ok(());
        }
        cursor.at = start;
        match cursor.peek() {
            Some(b'{') => self.object(&slot.inner, cursor, depth),
            Some(b'n') => cursor.word("null"),
            _ => {
                let text = cursor.skip(depth)?;
                let message = format!(
                    "{} is no object, and the field '{}' of it is wanted",
                    show(text),
                    slot.inner.slots[0].name
                );
                Err(Problem::value(&slot.path, message))
            }
        }
    }

    /// NULL for every column without a value.
    #[inline]
    pub(super) fn fill_missing(&mut self) -> Outcome<()> {
        if !self.doubtful.is_empty() {
            return Err(repeated(self.doubtful.swap_remove(0)));
        }
        let rows = self.out.rows();
        for column in 0..self.out.columns.len() {
            if self.out.columns[column].len() == rows {
                push_null(&mut self.out.columns[column]).map_err(|problem| self.in_path(problem, column))?;
            }
        }
        Ok(())
    }
}

/// What was read of an object.
pub(super) enum Member {
    /// Its end.
    End,
    /// The field of this slot.
    Slot(usize),
    /// A field that nothing wants.
    Other,
}

#[cold]
fn repeated(slot: &Slot) -> Box<Problem> {
    Problem::value(&slot.path, format!("the field '{}' occurs twice", slot.name))
}
