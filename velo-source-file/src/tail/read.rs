//! Reading: the next chunk of the files that may have something to give.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use velo_core::Result;
use velo_core::connector::Chunk;
use velo_core::offset::Position;
use velo_core::place::{Origin, Positions, Resource};
use velo_core::progress::Progress;

use super::{Cursor, Leaving, OPEN_LIMIT, ORDER_BITS, ORDINAL_LIMIT, Reading, Tail, stamp};
use crate::content::{Coding, ContentReader, Failure, Piece};
use crate::error;
use crate::framing::FileFrames;
use crate::glob::modified;
use crate::identity::{Fingerprint, begins_as, inode};
use crate::rotation::find_copy;

impl Tail {
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
            self.drained(version, false);
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
                        tracing::warn!(
                            path,
                            so_far = self.vanished,
                            "the file was listed and is gone before it was read"
                        );
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
        let unchanged = if self.spec.watch { None } else { Some(file.try_clone().map_err(failed)?) };
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
        let reader =
            match ContentReader::open(rewound(file).map_err(failed)?, coding, framer, place, self.buffers.clone()) {
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
            unchanged,
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
            if let Some(leaving) = find_leaving(&mut self.leaving, reading.version) {
                leaving.cursor.framer = reading.reader.into_framer();
            }
            self.drained(reading.version, reading.grew);
            return;
        }
        let Some(cursor) = self.known.get_mut(&reading.path) else { return };
        // A file that was cut ends early.
        let holds = |file: &File| cursor.place.print.holds(file).unwrap_or(false);
        let same = match &reading.unchanged {
            Some(file) => file.metadata().is_ok_and(|metadata| stamp(&metadata) == reading.seen) && holds(file),
            None => reading.reader.file().is_none_or(holds),
        };
        if !same {
            self.torn.get_or_insert_with(|| reading.path.clone());
        }
        cursor.seen = Some(reading.seen);
        cursor.framer = reading.reader.into_framer();
        if cursor.handle.is_some() {
            self.opened.push_back((reading.path, cursor.used));
        }
        while self.opened.len() > OPEN_LIMIT {
            let Some((path, used)) = self.opened.pop_front() else { return };
            if let Some(cursor) = self.known.get_mut(&path).filter(|cursor| cursor.used == used) {
                cursor.handle = None;
            }
        }
    }

    /// The end of a file that left its name is reached; `grew` says that something came before it.
    fn drained(&mut self, version: u64, grew: bool) {
        let Some(at) = self.leaving.iter().position(|leaving| leaving.cursor.version == version) else { return };
        let leaving = &mut self.leaving[at];
        if leaving.last {
            let path = std::mem::take(&mut leaving.path);
            self.leaving.remove(at);
            // Whatever has the name now may be read.
            self.work.push_back(path);
            return;
        }
        leaving.passes += 1;
        leaving.last = leaving.closing && !grew;
        leaving.drained = !leaving.last;
    }

    /// What left its name has other content now.
    fn abandon(&mut self, version: u64) {
        Progress::add(&self.spec.progress.rewritten, 1);
        if let Some(at) = self.leaving.iter().position(|leaving| leaving.cursor.version == version)
            && let Some(leaving) = self.leaving.remove(at)
        {
            self.torn.get_or_insert_with(|| leaving.path.clone());
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
        Progress::add(&self.spec.progress.rewritten, 1);
        self.torn.get_or_insert_with(|| path.to_owned());
        let identity = old.identity();
        let copy = if identity.prefix > 0 && self.spec.framing.coding(path).is_plain() {
            find_copy(path, identity.inode, &identity).map_err(|error| error::reading(path, error))?
        } else {
            None
        };
        tracing::warn!(
            path,
            read = old.place.bytes,
            so_far = Progress::get(&self.spec.progress.rewritten),
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
