//! Which file is read next, and from where: the files of a path as one partition, in name order, and followed while they grow.
//!
//! A [`Tail`] is synchronous and has no thread, clock or notification of its own: [`Tail::look`] lists what is there, then
//! [`Tail::next`] gives chunks until there are none. A bounded source looks once. A watched one looks again at each change and
//! at each tick of the clock.
//!
//! **What can happen to a watched file.** Every known file has a cursor: its inode, a fingerprint of what was read of it, and the
//! end of its last whole record. A half line stays unread until its rest has come.
//!
//! - *Grown*: the fingerprint still holds, reading goes on behind it.
//! - *Cut or rewritten*, even to a greater length: the fingerprint does not hold. A copy that has more than was read
//!   (copy-then-truncate) is finished first; then the file is read from its start. What was written after the last look and is in
//!   no copy cannot be known: [`Progress::rewritten`] counts how often that may be.
//! - *Renamed*: another file, or none, is under its name. It is read to its end through the open handle, or under the new name,
//!   before the new file. Writers may go on writing to the renamed file for a moment, so it is left only at a tick at which
//!   nothing new has come. Files that came and went between two looks are found by their names (`app.jsonl.1`).
//!
//! A chunk is handed on only if the fingerprint holds after it was read, so no record has text of two files.

mod look;
mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, Metadata};
use std::sync::Arc;
use std::time::SystemTime;

use velo_core::Result;
use velo_core::connector::Chunk;
use velo_core::offset::{FileIdentity, FilePosition, Position};
use velo_core::progress::Progress;
use velo_format::framing::Framer;

use crate::buffers::Buffers;
use crate::content::{Coding, ContentReader, Place};
use crate::framing::Framing;
use crate::glob::FileSet;

/// Lines of one file have orders below this.
pub(crate) const ORDER_BITS: u32 = 40;
/// Files whose order still fits above them.
pub(crate) const ORDINAL_LIMIT: u32 = (1 << (64 - ORDER_BITS)) - 1;
/// Files kept open after their end was reached.
const OPEN_LIMIT: usize = 64;
/// A bounded source lists the files that it has read in each position up to this number; beyond it goes by their names.
pub(crate) const DONE_LIMIT: usize = 1_000;

/// Decides what is read next of the files of a path, one chunk after the other; what [`crate::reader`] drives.
pub(crate) trait Walk: Send {
    /// Lists what is there. `tick` says that the clock called and not a change.
    fn look(&mut self, tick: bool) -> Result<()>;

    /// The next chunk; `None` where there is nothing until the next look.
    fn next(&mut self) -> Result<Option<Chunk>>;

    /// Says that a file was written to; false where that needs a look.
    fn touch(&mut self, path: &str) -> bool;

    /// Whether no file that left its name is waited for.
    fn is_settled(&self) -> bool;

    /// The position behind everything that was given.
    fn position(&self) -> Position;

    /// Begins anew at the start of what is there now; chunks are numbered on.
    fn restart(&mut self);

    /// A file of which more than one version may have been given: it was changed while it was read, or it was read and then
    /// rewritten or replaced.
    fn torn(&self) -> Option<&str>;
}

impl Walk for Tail {
    fn look(&mut self, tick: bool) -> Result<()> {
        Self::look(self, tick)
    }

    fn next(&mut self) -> Result<Option<Chunk>> {
        Self::next(self)
    }

    fn touch(&mut self, path: &str) -> bool {
        Self::touch(self, path)
    }

    fn is_settled(&self) -> bool {
        Self::is_settled(self)
    }

    fn position(&self) -> Position {
        Self::position(self)
    }

    fn restart(&mut self) {
        Self::restart(self);
    }

    fn torn(&self) -> Option<&str> {
        self.torn.as_deref()
    }
}

/// What a tail is made for.
#[derive(Clone)]
pub(crate) struct TailSpec {
    /// The files.
    pub(crate) files: FileSet,
    /// Whether they are followed.
    pub(crate) watch: bool,
    /// How their bytes are cut.
    pub(crate) framing: Framing,
    /// The source's number in the script.
    pub(crate) source: u32,
    /// Where it counts the files that were cut or rewritten.
    pub(crate) progress: Arc<Progress>,
}

/// One known file.
#[derive(Debug, Default)]
struct Cursor {
    /// Tells versions of a file apart: a rewritten one has a new number.
    version: u64,
    inode: (u64, u64),
    /// The end of the last record.
    place: Place,
    /// From a saved position, until the file is opened.
    saved: Option<FileIdentity>,
    /// Bytes and lines of `place` are not known: the file was done when the position was saved.
    unmeasured: bool,
    /// Where the framer stands at `place`.
    framer: Option<Box<dyn Framer>>,
    /// Length and time of change when its end was reached.
    seen: Option<(u64, Option<SystemTime>)>,
    handle: Option<File>,
    /// When it was last read, counted in files.
    used: u64,
}

impl Cursor {
    fn identity(&self) -> FileIdentity {
        match &self.saved {
            Some(saved) => saved.clone(),
            None => self.place.print.identity(self.inode),
        }
    }

    fn has_read(&self) -> bool {
        self.saved.is_some() || self.place.print.length() > 0
    }
}

/// A file that is no longer under its name.
struct Leaving {
    /// The name it was known by.
    path: String,
    cursor: Cursor,
    /// Nothing more is expected of it.
    last: bool,
    /// A tick at which nothing new is found ends it.
    closing: bool,
    /// Its end was reached since the last look.
    drained: bool,
    /// How often its end was reached.
    passes: u32,
}

impl Leaving {
    fn new(path: &str, cursor: Cursor, last: bool) -> Self {
        Self { path: path.to_owned(), cursor, last, closing: false, drained: false, passes: 0 }
    }
}

/// The file being read.
struct Reading {
    path: String,
    version: u64,
    leaving: bool,
    /// Something was read of it.
    grew: bool,
    reader: ContentReader,
    coding: Coding,
    resource: Arc<str>,
    modified: i64,
    seen: (u64, Option<SystemTime>),
    /// The file again, where it is not followed: it must not have changed at its end.
    unchanged: Option<File>,
    last: bool,
}

/// Reads the files of a path as one partition.
pub(crate) struct Tail {
    spec: TailSpec,
    many: bool,
    known: BTreeMap<String, Cursor>,
    leaving: VecDeque<Leaving>,
    work: VecDeque<String>,
    reading: Option<Reading>,
    /// For the chunks of all files.
    buffers: Buffers,
    /// Files that stay open, and when they were read.
    opened: VecDeque<(String, u64)>,
    /// Files with a smaller name were read before the position that this began from.
    after: Option<String>,
    versions: u64,
    /// The version that the last chunk was of, and how many came before it.
    segment: Option<u64>,
    ordinal: u32,
    last_order: u64,
    chunks: u64,
    used: u64,
    vanished: u64,
    torn: Option<String>,
}

impl Tail {
    /// Begins at the start of the files.
    pub(crate) fn new(spec: TailSpec) -> Self {
        Self {
            many: spec.files.is_many(),
            spec,
            known: BTreeMap::new(),
            leaving: VecDeque::new(),
            work: VecDeque::new(),
            reading: None,
            buffers: Buffers::default(),
            opened: VecDeque::new(),
            after: None,
            versions: 0,
            segment: None,
            ordinal: 0,
            last_order: 0,
            chunks: 0,
            used: 0,
            vanished: 0,
            torn: None,
        }
    }

    /// Begins behind a saved position. Whether its files are still there shows when they are looked at.
    pub(crate) fn resume(spec: TailSpec, position: &FilePosition) -> Self {
        let mut tail = Self::new(spec);
        let by_name = position.done.is_empty() && position.ordinal > 0 && !tail.spec.watch;
        tail.after = by_name.then(|| position.path.clone());
        for (path, identity) in &position.done {
            let cursor = tail.saved(identity, None);
            tail.known.insert(path.clone(), cursor);
        }
        tail.ordinal = position.ordinal;
        if position.identity != FileIdentity::default() {
            let current = tail.saved(&position.identity, Some((position.bytes, position.lines)));
            tail.segment = Some(current.version);
            tail.known.insert(position.path.clone(), current);
        }
        tail
    }

    fn saved(&mut self, identity: &FileIdentity, at: Option<(u64, u64)>) -> Cursor {
        let (bytes, lines) = at.unwrap_or_default();
        Cursor {
            version: self.version(),
            inode: identity.inode,
            place: Place { bytes, lines, ..Place::default() },
            saved: Some(identity.clone()),
            unmeasured: at.is_none(),
            ..Cursor::default()
        }
    }

    fn version(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    /// Begins anew at the start of what is there now; chunks are numbered on.
    pub(crate) fn restart(&mut self) {
        let (chunks, ordinal, last_order) = (self.chunks, self.ordinal, self.last_order);
        *self = Self { chunks, ordinal: ordinal.saturating_add(1), last_order, ..Self::new(self.spec.clone()) };
    }

    /// Whether no file that left its name is waited for.
    pub(crate) fn is_settled(&self) -> bool {
        self.leaving.is_empty()
    }

    /// How many files were listed and gone before they were read.
    #[cfg(test)]
    pub(crate) fn vanished(&self) -> u64 {
        self.vanished
    }

    /// The position behind everything that was given.
    pub(crate) fn position(&self) -> Position {
        let known = self.known.iter();
        let leaving = self.leaving.iter().map(|leaving| (&leaving.path, &leaving.cursor));
        let current =
            known.chain(leaving).max_by_key(|(_, cursor)| (Some(cursor.version) == self.segment, cursor.used));
        match current {
            Some((path, cursor)) => self.position_at(path.clone(), cursor, true),
            None => self.position_at(self.spec.files.path.clone(), &Cursor::default(), true),
        }
    }

    fn position_at(&self, path: String, cursor: &Cursor, complete: bool) -> Position {
        let mut done = BTreeMap::new();
        if complete || self.spec.watch || self.known.len() <= DONE_LIMIT {
            let others = self.known.iter().filter(|(_, other)| other.version != cursor.version && other.has_read());
            done.extend(others.map(|(path, other)| (path.clone(), other.identity())));
        }
        Position::File(FilePosition {
            path,
            identity: cursor.identity(),
            bytes: cursor.place.bytes,
            lines: cursor.place.lines,
            ordinal: self.ordinal,
            done,
        })
    }
}

/// Length and time of change, by which a file is seen to have changed.
pub(crate) fn stamp(metadata: &Metadata) -> (u64, Option<SystemTime>) {
    (metadata.len(), metadata.modified().ok())
}
