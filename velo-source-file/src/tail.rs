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
//!   no copy cannot be known: [`Tail::rewrites`] counts these.
//! - *Renamed*: another file, or none, is under its name. It is read to its end through the open handle, or under the new name,
//!   before the new file. Writers may go on writing to the renamed file for a moment, so it is left only at a tick at which
//!   nothing new has come. Files that came and went between two looks are found by their names (`app.jsonl.1`).
//!
//! A chunk is handed on only if the fingerprint holds after it was read, so no record has text of two files.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::{File, Metadata};
use std::sync::Arc;
use std::time::SystemTime;

use velo_core::Result;
use velo_core::connector::Chunk;
use velo_core::offset::{FileIdentity, FilePosition, Position};
use velo_core::place::{Origin, Positions, Resource};
use velo_format::framing::Framer;

use crate::content::{Coding, ContentReader, Failure, Piece, Place};
use crate::error;
use crate::framing::{FileFrames, Framing};
use crate::glob::{FileSet, Found, modified};
use crate::identity::{Fingerprint, begins_as, inode};
use crate::rotation::{between, find_copy, find_moved};

/// Lines of one file have orders below this.
const ORDER_BITS: u32 = 40;
/// Files whose order still fits above them.
const ORDINAL_LIMIT: u32 = (1 << (64 - ORDER_BITS)) - 1;
/// Files kept open after their end was reached.
const OPEN_LIMIT: usize = 64;
/// A bounded source lists the files that it has read in each position up to this number; beyond it goes by their names.
const DONE_LIMIT: usize = 1_000;

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
    /// Files with a smaller name were read before the position that this began from.
    after: Option<String>,
    versions: u64,
    /// The version that the last chunk was of, and how many came before it.
    segment: Option<u64>,
    ordinal: u32,
    last_order: u64,
    chunks: u64,
    used: u64,
    rewrites: u64,
    vanished: u64,
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
            after: None,
            versions: 0,
            segment: None,
            ordinal: 0,
            last_order: 0,
            chunks: 0,
            used: 0,
            rewrites: 0,
            vanished: 0,
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

    /// How often a file was cut or rewritten, so that lines may have been missed.
    pub(crate) fn rewrites(&self) -> u64 {
        self.rewrites
    }

    /// How many files were listed and gone before they were read.
    pub(crate) fn vanished(&self) -> u64 {
        self.vanished
    }

    /// The position behind everything that was given.
    pub(crate) fn position(&self) -> Position {
        let known = self.known.iter().map(|(path, cursor)| (path, cursor));
        let leaving = self.leaving.iter().map(|leaving| (&leaving.path, &leaving.cursor));
        let current =
            known.chain(leaving).max_by_key(|(_, cursor)| (Some(cursor.version) == self.segment, cursor.used));
        match current {
            Some((path, cursor)) => self.position_at(path.clone(), cursor, true),
            None => self.position_at(self.spec.files.path.clone(), &Cursor::default(), true),
        }
    }

    fn position_at(&self, path: String, cursor: &Cursor, complete: bool) -> Position {
        let listed = complete || self.spec.watch || self.known.len() <= DONE_LIMIT;
        let done = self.known.iter().filter(|(_, other)| listed && other.version != cursor.version && other.has_read());
        Position::File(FilePosition {
            path,
            identity: cursor.identity(),
            bytes: cursor.place.bytes,
            lines: cursor.place.lines,
            ordinal: self.ordinal,
            done: done.map(|(path, other)| (path.clone(), other.identity())).collect(),
        })
    }

    // Looking.

    /// Says that a file was changed; false where that needs a [`Tail::look`].
    pub(crate) fn touch(&mut self, path: &str) -> bool {
        let path = path.strip_prefix("./").unwrap_or(path);
        let known = self.many && self.known.contains_key(path) && self.leaving.is_empty();
        if known && self.work.back().is_none_or(|last| last != path) {
            self.work.push_back(path.to_owned());
        }
        known
    }

    /// Lists what is there and notes what is to be read. `tick` says that the clock called and not a change.
    pub(crate) fn look(&mut self, tick: bool) -> Result<()> {
        let listing = self.spec.files.list().map_err(|error| error::listing(&self.spec.files, error))?;
        let at: HashMap<&str, &Found> = listing.iter().map(|found| (found.path.as_str(), found)).collect();
        let mut by_inode: HashMap<(u64, u64), &Found> = HashMap::new();
        for found in &listing {
            by_inode.insert(found.inode, found);
        }
        self.leave(tick, &at);
        let mut moved = Vec::new();
        for path in self.known.keys().cloned().collect::<Vec<_>>() {
            let Some(cursor) = self.known.get(&path) else { continue };
            let here = at.get(path.as_str()).copied();
            if here.is_some_and(|here| here.inode == cursor.inode) {
                continue;
            }
            let elsewhere = by_inode.get(&cursor.inode).filter(|found| found.inode != (0, 0));
            let taken = |found: &Found| self.known.get(&found.path).is_some_and(|other| other.inode == found.inode);
            if let Some(found) = elsewhere.filter(|found| !taken(found)) {
                moved.push((path, found.path.clone()));
            } else if self.spec.watch {
                self.lose(&path, here)?;
            }
        }
        // Taken out before any is put back, so that two files may exchange their names.
        let moved: Vec<_> = moved.into_iter().filter_map(|(from, to)| Some((to, self.known.remove(&from)?))).collect();
        for (to, cursor) in moved {
            self.known.insert(to.clone(), cursor);
            self.work.push_back(to);
        }
        let queued: HashSet<String> = self.work.iter().cloned().collect();
        for found in listing.into_iter().filter(|found| !queued.contains(&found.path)) {
            self.note(found);
        }
        Ok(())
    }

    /// Queues a listed file if there may be something to read.
    fn note(&mut self, found: Found) {
        if self.after.as_ref().is_some_and(|after| found.path < *after) {
            return;
        }
        let unchanged = self.known.get(&found.path).is_some_and(|cursor| {
            let now = std::fs::metadata(&found.path).ok().map(|metadata| stamp(&metadata));
            cursor.seen.is_some() && cursor.seen == now
        });
        if !unchanged {
            self.work.push_back(found.path);
        }
    }

    /// Has the files that left their names read again, and says which of them end if nothing new is found.
    fn leave(&mut self, tick: bool, at: &HashMap<&str, &Found>) {
        for leaving in &mut self.leaving {
            let replaced = at.get(leaving.path.as_str()).is_some_and(|found| found.inode != leaving.cursor.inode);
            let finished = replaced || self.many || leaving.cursor.handle.as_ref().is_some_and(is_deleted);
            leaving.closing = tick && leaving.passes > 0 && finished;
            leaving.drained = false;
        }
    }

    /// The file at `path` is another one now, or gone.
    fn lose(&mut self, path: &str, here: Option<&Found>) -> Result<()> {
        let failed = |error| error::reading(path, error);
        let Some(cursor) = self.known.get_mut(path) else { return Ok(()) };
        let identity = cursor.identity();
        let replaced = match &cursor.handle {
            Some(file) => is_deleted(file),
            None => {
                cursor.handle = find_moved(path, &identity).map_err(failed)?;
                cursor.handle.is_none()
            }
        };
        if let Some(here) = here.filter(|_| replaced && same_content(path, &identity)) {
            // The old file is gone and the new one begins with what was read of it: it was saved anew or restored.
            cursor.inode = here.inode;
            cursor.handle = None;
            if let Some(saved) = &mut cursor.saved {
                saved.inode = here.inode;
            }
            return Ok(());
        }
        if cursor.handle.is_none() && cursor.saved.is_some() && identity.prefix > 0 && !self.many {
            return Err(error::position_lost(path));
        }
        let Some(cursor) = self.known.remove(path) else { return Ok(()) };
        self.work.retain(|work| work != path);
        if cursor.handle.is_none() {
            return Ok(());
        }
        let from = cursor.inode;
        self.leaving.push_back(Leaving::new(path, cursor, false));
        if !self.many {
            for (found, file) in between(path, from, here.map(|here| here.inode)).map_err(failed)? {
                let version = self.version();
                let missed = Cursor { version, inode: found.inode, handle: Some(file), ..Cursor::default() };
                self.leaving.push_back(Leaving::new(path, missed, false));
            }
        }
        Ok(())
    }

    // Reading.

    /// The next chunk; `None` where there is nothing until the next look.
    pub(crate) fn next(&mut self) -> Result<Option<Chunk>> {
        loop {
            if self.reading.is_none() && !self.begin()? {
                return Ok(None);
            }
            if let Some(chunk) = self.read()? {
                return Ok(Some(chunk));
            }
        }
    }

    /// Opens the next file that may have something to give; false where there is none.
    fn begin(&mut self) -> Result<bool> {
        while let Some(at) = self.next_leaving() {
            let leaving = &mut self.leaving[at];
            leaving.drained = true;
            let (path, version, last) = (leaving.path.clone(), leaving.cursor.version, leaving.last);
            let file = leaving.cursor.handle.as_ref().map(File::try_clone).transpose();
            let Some(file) = file.map_err(|error| error::reading(&path, error))? else { continue };
            if self.open(&path, Some(version), file, last)? {
                return Ok(true);
            }
        }
        while let Some(path) = self.work.pop_front() {
            if self.leaving.iter().any(|leaving| leaving.path == path) {
                // Its predecessor has not ended; it is listed again at the next look.
                continue;
            }
            let last = !self.spec.watch;
            let file = match self.known.get(&path).and_then(|cursor| cursor.handle.as_ref()?.try_clone().ok()) {
                Some(file) => file,
                None => match File::open(&path) {
                    Ok(file) => file,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound && (self.many || self.spec.watch) => {
                        self.vanished += 1;
                        tracing::warn!(path, "the file was listed and is gone before it was read");
                        continue;
                    }
                    Err(error) => return Err(error::reading(&path, error)),
                },
            };
            if self.open(&path, None, file, last)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The first file that left its name and was not read since the last look, unless an older one of that name still waits.
    fn next_leaving(&self) -> Option<usize> {
        (0..self.leaving.len()).find(|at| {
            let path = &self.leaving[*at].path;
            !self.leaving[*at].drained && !self.leaving.iter().take(*at).any(|older| older.path == *path)
        })
    }

    /// Prepares reading `path`, or what left that name; false where there is nothing to read for now.
    fn open(&mut self, path: &str, leaving: Option<u64>, file: File, last: bool) -> Result<bool> {
        let failed = |error| error::reading(path, error);
        let metadata = file.metadata().map_err(failed)?;
        let coding = self.spec.framing.coding(path);
        let version = self.version();
        let cursor = match leaving {
            Some(version) => match find_leaving(&mut self.leaving, version) {
                Some(leaving) => &mut leaving.cursor,
                None => return Ok(false),
            },
            None => self.known.entry(path.to_owned()).or_insert_with(|| Cursor {
                version,
                inode: inode(&metadata),
                ..Cursor::default()
            }),
        };
        let leaving = leaving.is_some();
        if cursor.inode != inode(&metadata) && !leaving {
            if self.spec.watch {
                // Another file took the name since it was listed: the next look sees that.
                return Ok(false);
            }
            cursor.inode = inode(&metadata);
        }
        let holds = match cursor.saved.take() {
            Some(saved) => {
                let print = begins_as(&file, &saved).map_err(failed)?;
                let holds = print.is_some();
                match print {
                    Some(print) => cursor.place.print = print,
                    None => cursor.saved = Some(saved),
                }
                holds
            }
            None => !self.spec.watch || cursor.place.print.holds(&file).map_err(failed)?,
        };
        if !holds {
            if !self.spec.watch {
                return Err(error::position_lost(path));
            }
            let version = cursor.version;
            if leaving {
                self.abandon(version);
            } else {
                self.rewritten(path, &file)?;
            }
            return Ok(false);
        }
        let read = cursor.place.print.length();
        if cursor.unmeasured {
            if metadata.len() == read {
                // Read to its end before, and not grown since.
                cursor.seen = Some(stamp(&metadata));
                return Ok(false);
            }
            let whole = file.try_clone().and_then(rewound).map_err(failed)?;
            (cursor.place.bytes, cursor.place.lines) = coding.measure(whole, read).map_err(failed)?;
            cursor.unmeasured = false;
        }
        if !coding.is_plain() {
            if read == metadata.len() && cursor.seen.is_some() {
                return Ok(false);
            }
            cursor.place.print = Fingerprint::read(&file, metadata.len()).map_err(failed)?.unwrap_or_default();
        }
        self.used += 1;
        cursor.used = self.used;
        let (version, place) = (cursor.version, cursor.place.clone());
        if self.spec.watch && !leaving {
            cursor.handle = Some(file.try_clone().map_err(failed)?);
        }
        let framer = match cursor.framer.take() {
            Some(framer) => framer,
            None => {
                let head = file.try_clone().and_then(rewound).map_err(failed)?;
                self.spec.framing.framer(path, head, place.bytes)?
            }
        };
        let reader = match ContentReader::open(rewound(file).map_err(failed)?, coding, framer, place) {
            Ok(reader) => reader,
            Err(error) if self.spec.watch && is_unfinished(&error, coding) => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        self.reading = Some(Reading {
            path: path.to_owned(),
            version,
            leaving,
            grew: false,
            reader,
            coding,
            resource: Arc::from(path),
            modified: modified(&metadata),
            seen: stamp(&metadata),
            last,
        });
        Ok(true)
    }

    /// The next chunk of the open file; at its end it is closed and there is none.
    fn read(&mut self) -> Result<Option<Chunk>> {
        let Some(reading) = &mut self.reading else { return Ok(None) };
        let piece = match reader_next(reading, self.spec.watch)? {
            Some(piece) => piece,
            None => {
                self.finish();
                return Ok(None);
            }
        };
        let cursor = if reading.leaving {
            find_leaving(&mut self.leaving, reading.version).map(|leaving| &mut leaving.cursor)
        } else {
            self.known.get_mut(&reading.path)
        };
        let Some(cursor) = cursor else { return Ok(None) };
        let place = reading.reader.place().clone();
        if self.spec.watch
            && let Some(file) = reading.reader.file()
        {
            let failed = |error| error::reading(&reading.path, error);
            if !place.print.holds(file).map_err(failed)? {
                let intact = cursor.place.print.holds(file).map_err(failed)?;
                let (path, version, leaving) = (reading.path.clone(), reading.version, reading.leaving);
                let file = file.try_clone().map_err(failed)?;
                cursor.seen = None;
                self.reading = None;
                if !intact && leaving {
                    self.abandon(version);
                } else if !intact {
                    self.rewritten(&path, &file)?;
                }
                // Else it only changed behind what was given: it is read again at the next look.
                return Ok(None);
            }
        }
        let lines = place.lines;
        cursor.place = place;
        let version = cursor.version;
        reading.grew = true;
        Ok(Some(self.chunk(piece, lines, version)))
    }

    fn chunk(&mut self, piece: Piece, lines: u64, version: u64) -> Chunk {
        if self.segment.is_some_and(|segment| segment != version) {
            self.ordinal = self.ordinal.saturating_add(1);
        }
        self.segment = Some(version);
        let first = piece.first_line;
        // Past the limit the order still grows within a run.
        let base =
            (u64::from(self.ordinal.min(ORDINAL_LIMIT)) << ORDER_BITS).max((self.last_order + 1).saturating_sub(first));
        self.last_order = base + lines.max(first);
        let number = self.chunks;
        self.chunks += 1;
        let (resource, frames, path) = match &self.reading {
            Some(reading) => {
                let frames = FileFrames { format: reading.reader.frames(), modified: reading.modified };
                (Arc::clone(&reading.resource), Some(Arc::new(frames) as _), reading.path.clone())
            }
            None => (Arc::from(""), None, String::new()),
        };
        let cursor = match &self.reading {
            Some(reading) if reading.leaving => {
                self.leaving.iter().map(|leaving| &leaving.cursor).find(|cursor| cursor.version == version)
            }
            _ => self.known.get(&path),
        };
        let end = cursor.map_or(Position::Finished, |cursor| self.position_at(path, cursor, false));
        let origin = Origin {
            source: self.spec.source,
            partition: 0,
            base,
            resource: Resource::File(resource),
            positions: Positions::Consecutive { first },
        };
        Chunk { partition: 0, number, bytes: piece.bytes, origin, end, frames }
    }

    /// The end of the open file is reached.
    fn finish(&mut self) {
        let Some(reading) = self.reading.take() else { return };
        if reading.leaving {
            if reading.last {
                self.leaving.retain(|leaving| leaving.cursor.version != reading.version);
                self.work.push_back(reading.path);
            } else if let Some(leaving) = find_leaving(&mut self.leaving, reading.version) {
                leaving.cursor.framer = reading.reader.into_framer();
                leaving.passes += 1;
                leaving.last = leaving.closing && !reading.grew;
                leaving.drained = !leaving.last;
            }
            return;
        }
        if let Some(cursor) = self.known.get_mut(&reading.path) {
            cursor.seen = Some(reading.seen);
            cursor.framer = reading.reader.into_framer();
        }
        if self.known.values().filter(|cursor| cursor.handle.is_some()).count() > OPEN_LIMIT {
            let open = self.known.values_mut().filter(|cursor| cursor.handle.is_some());
            if let Some(oldest) = open.min_by_key(|cursor| cursor.used) {
                oldest.handle = None;
            }
        }
    }

    /// What left its name has other content now.
    fn abandon(&mut self, version: u64) {
        self.rewrites += 1;
        if let Some(at) = self.leaving.iter().position(|leaving| leaving.cursor.version == version)
            && let Some(leaving) = self.leaving.remove(at)
        {
            tracing::warn!(path = leaving.path, "the file was renamed and then cut or rewritten; its rest is not read");
            self.work.push_back(leaving.path);
        }
    }

    /// The content of the file at `path` is not what was read of it: begins it anew, behind what a copy of the old one has.
    fn rewritten(&mut self, path: &str, file: &File) -> Result<()> {
        let version = self.version();
        let Some(cursor) = self.known.get_mut(path) else { return Ok(()) };
        let handle = file.try_clone().map_err(|error| error::reading(path, error))?;
        let fresh = Cursor { version, inode: cursor.inode, handle: Some(handle), ..Cursor::default() };
        let mut old = std::mem::replace(cursor, fresh);
        self.rewrites += 1;
        let identity = old.identity();
        let copy = if identity.prefix > 0 && self.spec.framing.coding(path).is_plain() {
            find_copy(path, identity.inode, &identity).map_err(|error| error::reading(path, error))?
        } else {
            None
        };
        tracing::warn!(
            path,
            read = old.place.bytes,
            copy = copy.is_some(),
            "the file was cut or rewritten; it is read from its start"
        );
        if let Some(copy) = copy {
            old.handle = Some(copy);
            self.leaving.push_back(Leaving::new(path, old, true));
        } else {
            self.work.push_front(path.to_owned());
        }
        Ok(())
    }
}

fn reader_next(reading: &mut Reading, watch: bool) -> Result<Option<Piece>> {
    match reading.reader.next(reading.last) {
        Ok(piece) => Ok(piece),
        Err(Failure::Io(error)) if watch && is_unfinished(&error, reading.coding) => Ok(None),
        Err(Failure::Io(error)) => Err(error::reading(&reading.path, error)),
        Err(Failure::Records(error)) => {
            let place = velo_core::Place::Line { path: reading.path.clone(), line: reading.reader.place().lines + 1 };
            Err(if error.place.is_some() { error } else { error.at(place) })
        }
    }
}

fn find_leaving(leaving: &mut VecDeque<Leaving>, version: u64) -> Option<&mut Leaving> {
    leaving.iter_mut().find(|leaving| leaving.cursor.version == version)
}

/// Whether a compressed file just is not whole yet.
fn is_unfinished(error: &std::io::Error, coding: Coding) -> bool {
    !coding.is_plain() && error.kind() == std::io::ErrorKind::UnexpectedEof
}

fn rewound(mut file: File) -> std::io::Result<File> {
    use std::io::Seek;
    file.rewind()?;
    Ok(file)
}

fn stamp(metadata: &Metadata) -> (u64, Option<SystemTime>) {
    (metadata.len(), metadata.modified().ok())
}

/// Whether no name leads to the file any more.
fn is_deleted(file: &File) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }
    #[cfg(not(unix))]
    {
        _ = file;
        false
    }
}

/// Whether the file at `path` begins with what `identity` covers, which is something.
fn same_content(path: &str, identity: &FileIdentity) -> bool {
    identity.prefix > 0
        && File::open(path).and_then(|file| begins_as(&file, identity)).is_ok_and(|print| print.is_some())
}
