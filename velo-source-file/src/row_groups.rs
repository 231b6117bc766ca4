//! Parquet files of a path as one partition, in name order: a chunk is a row group, of which the wanted columns are read.
//!
//! A file is whole when it has its footer, so there is nothing to follow. Positions are rows: reading goes on behind the row group
//! that a saved one ends.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use velo_core::connector::{Chunk, DecodeColumn};
use velo_core::error::ErrorKind;
use velo_core::offset::{FileIdentity, FilePosition, Position};
use velo_core::place::{Origin, Positions, Resource};
use velo_core::{ConnectorError, Result};
use velo_format::parquet::{Footer, Projection, RowGroup};

use crate::error;
use crate::framing::FileFrames;
use crate::glob::{FileSet, Found, modified};
use crate::identity::{Fingerprint, begins_as, inode, read_at};
use crate::tail::{DONE_LIMIT, ORDER_BITS, ORDINAL_LIMIT, Walk, stamp};

/// The footer of the file at `path`, which is open.
pub(crate) fn footer(path: &str, file: &File) -> Result<Footer> {
    Footer::read(file).map_err(|failed| of_file(path, failed))
}

/// The same error, of a file.
fn of_file(path: &str, failed: ConnectorError) -> ConnectorError {
    let message = format!("{path}: {}", failed.message);
    ConnectorError { message, ..failed }
}

/// The file being read.
struct Open {
    path: String,
    file: File,
    footer: Footer,
    projection: Arc<Projection>,
    /// The next row group.
    group: usize,
    /// Rows before it.
    rows: u64,
    identity: FileIdentity,
    resource: Arc<str>,
    modified: i64,
    /// Length and time of change when it was opened.
    seen: (u64, Option<SystemTime>),
}

/// Reads the files.
pub(crate) struct RowGroups {
    files: FileSet,
    source: u32,
    columns: Arc<[DecodeColumn]>,
    /// What is still to be read; `None` until the files are listed.
    work: Option<VecDeque<Found>>,
    open: Option<Open>,
    /// Where reading begins, until its file is open.
    from: Option<FilePosition>,
    /// The files that were read to their end, but for the last.
    done: BTreeMap<String, FileIdentity>,
    /// How far the last file was read: its path, what tells it from others, and rows.
    reached: Option<(String, FileIdentity, u64)>,
    ordinal: u32,
    last_order: u64,
    chunks: u64,
    torn: Option<String>,
}

impl RowGroups {
    /// Begins at the start of the files. `columns` are those that the decoder makes.
    pub(crate) fn new(files: FileSet, source: u32, columns: Arc<[DecodeColumn]>) -> Self {
        Self {
            files,
            source,
            columns,
            work: None,
            open: None,
            from: None,
            done: BTreeMap::new(),
            reached: None,
            ordinal: 0,
            last_order: 0,
            chunks: 0,
            torn: None,
        }
    }

    /// Begins behind a saved position.
    pub(crate) fn resume(files: FileSet, source: u32, columns: Arc<[DecodeColumn]>, position: &FilePosition) -> Self {
        let mut groups = Self::new(files, source, columns);
        groups.done = position.done.clone();
        groups.ordinal = position.ordinal;
        if position.identity != FileIdentity::default() {
            groups.reached = Some((position.path.clone(), position.identity.clone(), position.lines));
            groups.from = Some(position.clone());
        }
        groups
    }

    fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        loop {
            match &mut self.open {
                Some(open) if open.group < open.footer.groups() => {
                    let (group, rows) = (open.group, open.footer.rows(open.group));
                    let first = open.rows + 1;
                    open.group += 1;
                    open.rows += rows;
                    if rows > 0 {
                        return self.chunk(group, first).map(Some);
                    }
                }
                Some(open) => {
                    if !open.file.metadata().is_ok_and(|metadata| stamp(&metadata) == open.seen) {
                        self.torn.get_or_insert_with(|| open.path.clone());
                    }
                    self.open = None;
                }
                None => {
                    let Some(found) = self.work.as_mut().and_then(VecDeque::pop_front) else { return Ok(None) };
                    self.begin(found)?;
                }
            }
        }
    }

    /// Opens a file, unless it was read before.
    fn begin(&mut self, found: Found) -> Result<()> {
        let path = found.path;
        let failed = |failure: io::Error| error::reading(&path, failure);
        let file = File::open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if let Some(identity) = self.done.get(&path) {
            return same(&path, &file, metadata.len(), identity);
        }
        let from = match &self.from {
            Some(from) if from.path == path => self.from.take(),
            // Of many files, those before the last one are known by their names alone.
            Some(from) if from.done.is_empty() && from.ordinal > 0 && path < from.path => return Ok(()),
            _ => None,
        };
        if let Some(from) = &from {
            same(&path, &file, metadata.len(), &from.identity)?;
        } else if let Some((path, identity, _)) = self.reached.take() {
            self.ordinal = self.ordinal.saturating_add(1);
            self.done.insert(path, identity);
        }
        let footer = footer(&path, &file)?;
        let projection = Projection::new(&footer, &self.columns).map_err(|failed| of_file(&path, failed))?;
        let (mut group, mut rows) = (0, 0);
        let until = from.map_or(0, |from| from.lines);
        while rows < until && group < footer.groups() {
            rows += footer.rows(group);
            group += 1;
        }
        if rows != until {
            return Err(error::position_lost(&path));
        }
        let print = Fingerprint::read(&file, metadata.len()).map_err(failed)?.unwrap_or_default();
        let identity = print.identity(inode(&metadata));
        self.reached = Some((path.clone(), identity.clone(), rows));
        let (resource, modified) = (Arc::from(path.as_str()), modified(&metadata));
        let projection = Arc::new(projection);
        let seen = stamp(&metadata);
        self.open = Some(Open { path, file, footer, projection, group, rows, identity, resource, modified, seen });
        Ok(())
    }

    /// The row group of the open file whose first row is `first`.
    fn chunk(&mut self, group: usize, first: u64) -> Result<Chunk> {
        let Some(open) = &self.open else {
            return Err(ConnectorError::new(ErrorKind::Io, "reading", "no file is open"));
        };
        let ranges = open.footer.ranges(group, &open.projection).map_err(|failed| of_file(&open.path, failed))?;
        let length = open.file.metadata().map_err(|failed| error::reading(&open.path, failed))?.len();
        if ranges.last().is_some_and(|range| range.end > length) {
            let message = format!("{}: the footer says more than the file's {length} bytes hold", open.path);
            return Err(ConnectorError::new(ErrorKind::Decode, "reading Parquet", message)
                .advise("the file is damaged: write it again"));
        }
        let bytes = RowGroup::read(&ranges, |part, at| match read_at(&open.file, part, at)? {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        });
        let bytes = bytes.map_err(|failed| error::reading(&open.path, failed))?;
        let (footer, projection) = (open.footer.clone(), Arc::clone(&open.projection));
        let format = RowGroup { footer, projection, group, ranges };
        let frames = FileFrames { format: Some(Arc::new(format)), modified: open.modified };
        let resource = Resource::File(Arc::clone(&open.resource));
        self.reached = Some((open.path.clone(), open.identity.clone(), open.rows));
        // As the lines of a file, so that the order grows through all of them.
        let base =
            (u64::from(self.ordinal.min(ORDINAL_LIMIT)) << ORDER_BITS).max((self.last_order + 1).saturating_sub(first));
        self.last_order = base + open.rows;
        let number = self.chunks;
        self.chunks += 1;
        let positions = Positions::Consecutive { first };
        let origin = Origin { source: self.source, partition: 0, base, resource, positions };
        Ok(Chunk { partition: 0, number, bytes, origin, end: self.position(), frames: Some(Arc::new(frames)) })
    }
}

impl Walk for RowGroups {
    fn look(&mut self, _tick: bool) -> Result<()> {
        if self.work.is_none() {
            let listed = self.files.list().map_err(|failed| error::listing(&self.files, failed))?;
            self.work = Some(listed.into());
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Chunk>> {
        self.next_chunk()
    }

    fn touch(&mut self, _path: &str) -> bool {
        true
    }

    fn is_settled(&self) -> bool {
        true
    }

    fn position(&self) -> Position {
        let (path, identity, lines) =
            self.reached.clone().unwrap_or_else(|| (self.files.path.clone(), FileIdentity::default(), 0));
        let done = if self.done.len() <= DONE_LIMIT { self.done.clone() } else { BTreeMap::new() };
        Position::File(FilePosition { path, identity, bytes: 0, lines, ordinal: self.ordinal, done })
    }

    fn restart(&mut self) {
        let (chunks, ordinal, last_order) = (self.chunks, self.ordinal.saturating_add(1), self.last_order);
        let fresh = Self::new(self.files.clone(), self.source, Arc::clone(&self.columns));
        *self = Self { chunks, ordinal, last_order, ..fresh };
    }

    fn torn(&self) -> Option<&str> {
        self.torn.as_deref()
    }
}

/// Errors where the file is not the one that was read before.
fn same(path: &str, file: &File, length: u64, identity: &FileIdentity) -> Result<()> {
    let print = begins_as(file, identity).map_err(|failed| error::reading(path, failed))?;
    if print.is_some() && identity.prefix == length { Ok(()) } else { Err(error::position_lost(path)) }
}
