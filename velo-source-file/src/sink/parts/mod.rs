//! Many whole files below one folder: by the values of columns (`partition.by`), by size and by time (`rolling.*`).
//!
//! A file is called `part-<task>-<number>` and lies in `column=value` folders. Staged, an epoch's files are written into a hidden
//! folder beside them and moved at the commit, all epochs' at the last one where the input ends; else they are written under their
//! own names. Files are opened for each piece that is written and closed again, so their number is not bounded by what a process
//! may open.
//!
//! Each epoch ends its files, and a later one begins others with higher numbers. So a run that goes on behind an epoch knows by the
//! numbers alone which files came later.

mod folder;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use arrow_array::UInt32Array;
use serde::{Deserialize, Serialize};
use velo_core::connector::CheckpointId;
use velo_core::duration::{ByteSize, Span};
use velo_core::error::ErrorKind;
use velo_core::table_text::value_text;
use velo_core::{Batch, Clock, ConnectorError, Result};

use self::folder::{
    Later, Staging, cut_later, existing, lock, numbered, publish, push_encoded, remove_hidden, remove_leftovers,
    sync_files,
};
use super::Encode;
use super::shared::Shared;
use super::stage::{blocking, create_folders, given_up, pack, remove_file};
use crate::content::Compression;
use crate::error;

/// A file's buffer is written when it is this long.
const PIECE: usize = 256 << 10;
/// All buffers are written when together they are this long.
const BUFFERED: usize = 64 << 20;
/// What stands for NULL in a folder's name, as in Hive.
const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";
/// What the hidden name of a file ends in that is seen when it is whole.
const WRITTEN: &str = ".velo-tmp";

/// What the files are made by.
#[derive(Debug, Clone)]
pub(crate) struct PartsSpec {
    /// The folder.
    pub(crate) root: PathBuf,
    /// Places and names of the columns whose values name the folders.
    pub(crate) partition_by: Vec<(usize, String)>,
    /// A file that has this many bytes is complete.
    pub(crate) size: Option<ByteSize>,
    /// A file that is this old is complete.
    pub(crate) interval: Option<Span>,
    /// What the names end in: `.jsonl`.
    pub(crate) suffix: String,
    /// Files that are there already stay.
    pub(crate) append: bool,
    /// Files are seen at the commit.
    pub(crate) staged: bool,
    /// The input ends: they are seen at the last one.
    pub(crate) bounded: bool,
    /// A file is none before its end is written, so that it is seen only then.
    pub(crate) whole: bool,
}

impl PartsSpec {
    /// What a file is called while it is written: hidden, if it is to be seen whole and no staging folder hides it.
    fn while_written(&self, file: &Path) -> PathBuf {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if self.whole && !self.staged { file.with_file_name(format!(".{name}{WRITTEN}")) } else { file.to_owned() }
    }
}

/// What a checkpoint keeps of many files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartsState {
    /// The number of the next file.
    next: u64,
    what: What,
}

/// What is to be done about the files before that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum What {
    /// They take their places.
    Publish {
        /// The name of the hidden folder; `None` where there are none.
        staging: Option<String>,
        /// Their paths in both folders.
        files: Vec<PathBuf>,
        /// Files of an earlier run that go.
        replaced: Vec<PathBuf>,
    },
    /// They stay where they are until the input ends.
    Hold {
        /// The name of the hidden folder.
        staging: String,
        /// How many there are.
        files: usize,
    },
    /// They are seen already.
    Seen {
        /// Those that are still written to, with their lengths.
        open: Vec<(PathBuf, u64)>,
    },
}

impl PartsState {
    /// The hidden folder that is needed.
    fn staging(&self) -> Option<&str> {
        match &self.what {
            What::Publish { staging, .. } => staging.as_deref(),
            What::Hold { staging, .. } => Some(staging),
            What::Seen { .. } => None,
        }
    }

    /// Does what a commit has to do. `later` is what was there behind this epoch when a run began that goes on from it, and goes.
    pub(super) fn publish(&self, spec: &PartsSpec, later: Option<&Later>) -> Result<()> {
        let failed = |failure| error::writing(&spec.root, failure);
        // Nobody else changes the folder meanwhile.
        let _lock = lock(&spec.root)?;
        if let Some(later) = later {
            later.check(spec, self.next)?;
        }
        if let What::Publish { staging, files, replaced } = &self.what {
            publish(&spec.root, staging.as_deref(), files, replaced)?;
        }
        match (&self.what, later) {
            (What::Publish { .. }, Some(later)) => later.remove(&spec.root).map_err(failed),
            (What::Seen { open }, Some(later)) if !spec.whole => cut_later(spec, later, open).map_err(failed),
            _ => Ok(()),
        }
    }
}

/// A file that rows are added to.
struct Part {
    /// Its path below the folder.
    file: PathBuf,
    /// The writer of this file alone, where one is needed.
    writer: Option<Box<dyn Encode>>,
    /// What that holds back in memory.
    held: usize,
    buffer: Vec<u8>,
    /// Bytes written, all of them whole rows.
    written: u64,
    /// When it was begun.
    since: i64,
}

/// Writes many files.
pub(crate) struct Parts {
    spec: PartsSpec,
    clock: Clock,
    /// The file that is added to, by folder.
    open: BTreeMap<String, Part>,
    /// Files of this epoch, complete ones and open ones.
    files: Vec<PathBuf>,
    /// Files of earlier epochs that are not seen yet, because the input has not ended.
    held: Vec<PathBuf>,
    /// Where this epoch is staged.
    staging: Option<Staging>,
    /// Prepared and not committed.
    pending: Vec<Staging>,
    /// Files of an earlier run, until the first of this one are seen.
    replaced: Vec<PathBuf>,
    /// What was there at the start of a run that goes on, until the epoch is committed again behind which it does.
    later: Option<Later>,
    number: u64,
    buffered: usize,
    /// The next epoch is the last one.
    ended: bool,
    /// Pieces are written as long as this is there.
    life: Shared<()>,
}

impl Parts {
    /// Looks at what is there. Nothing is changed but what killed runs left.
    pub(crate) fn open(spec: PartsSpec, clock: Clock, after: Option<PartsState>) -> Result<Self> {
        let failed = |failure| error::writing(&spec.root, failure);
        if let Some(after) = &after
            && matches!(after.what, What::Seen { .. }) == spec.staged
        {
            let what = if spec.staged { "written at once" } else { "seen at checkpoints" };
            return Err(error::foreign_state(&spec.root, &format!("the checkpoint is of files that are {what}")));
        }
        remove_leftovers(&spec.root, after.as_ref().and_then(PartsState::staging));
        if spec.whole && !spec.staged {
            remove_hidden(&spec.root, WRITTEN);
        }
        let there = existing(&spec.root, &spec.suffix).map_err(failed)?;
        let later = match &after {
            Some(after) => Some(Later::among(&spec, &there, after.next).map_err(failed)?),
            None => None,
        };
        let behind = there.iter().filter_map(|file| numbered(file, &spec.suffix)).max().map_or(0, |last| last + 1);
        let mut parts = Self {
            clock,
            open: BTreeMap::new(),
            files: Vec::new(),
            held: Vec::new(),
            staging: None,
            pending: Vec::new(),
            replaced: Vec::new(),
            later,
            number: 0,
            buffered: 0,
            ended: false,
            life: Shared::new(()),
            spec,
        };
        let replaced = if parts.spec.append { Vec::new() } else { there };
        match after {
            None => {
                parts.number = if parts.spec.append { behind } else { 0 };
                parts.replaced = replaced;
            }
            Some(PartsState { next, what: What::Publish { staging, .. } }) => {
                parts.number = next;
                if let Some(name) = staging {
                    parts.pending.extend(Staging::find(&parts.spec.root, &name)?);
                }
            }
            Some(PartsState { next, what: What::Hold { staging, files } }) => {
                parts.number = next;
                parts.replaced = replaced;
                parts.hold_on(&staging, files)?;
            }
            // Numbers that a later epoch used are not used again: what it wrote was seen.
            Some(PartsState { next, what: What::Seen { .. } }) => parts.number = next.max(behind),
        }
        if parts.spec.staged {
            parts.base().map_err(|failed| error::writing(&parts.spec.root, failed))?;
        }
        Ok(parts)
    }

    /// Goes on with the hidden folder of an earlier run.
    fn hold_on(&mut self, name: &str, files: usize) -> Result<()> {
        let root = &self.spec.root;
        let lost = |what: &str| {
            let message = format!(
                "'{}', which holds them, {what}: the output was completed, or begun anew, since",
                root.join(name).display()
            );
            error::rows_lost(root, &message)
        };
        let staging = Staging::find(root, name)?.ok_or_else(|| lost("is gone"))?;
        let failed = |failure| error::writing(staging.path(), failure);
        for file in existing(staging.path(), &self.spec.suffix).map_err(failed)? {
            if numbered(&file, &self.spec.suffix).is_some_and(|number| number < self.number) {
                self.held.push(file);
            } else {
                remove_file(&staging.path().join(&file)).map_err(failed)?;
            }
        }
        if self.held.len() != files {
            return Err(lost(&format!("has {} files where there were {files}", self.held.len())));
        }
        self.staging = Some(staging);
        Ok(())
    }

    pub(crate) fn spec(&self) -> PartsSpec {
        self.spec.clone()
    }

    /// What was there at the start of a run that goes on, if that has not committed yet.
    pub(crate) fn later(&self) -> Option<Later> {
        self.later.clone()
    }

    /// The next epoch is the last one.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    pub(crate) fn is_staged(&self) -> bool {
        self.spec.staged
    }

    /// Adds rows to their files.
    pub(crate) async fn write(&mut self, encoder: &mut dyn Encode, batch: &Batch) -> Result<()> {
        let mut touched = Vec::new();
        for (folder, rows) in self.split(batch) {
            let rows = match rows {
                Some(rows) => batch.take(&rows).map_err(|error| {
                    ConnectorError::new(ErrorKind::Encode, "splitting rows by partition", error.to_string())
                })?,
                None => batch.clone(),
            };
            let now = self.clock.now();
            if self.open.get(&folder).is_some_and(|part| self.is_old(part, now)) {
                self.close(encoder, &folder).await?;
            }
            let part = self.part(&folder, now, encoder)?;
            let before = part.buffer.len() + part.held;
            let encoder = own_or(&mut part.writer, encoder);
            encoder.encode(&rows, &mut part.buffer)?;
            part.held = encoder.pending().1;
            let after = part.buffer.len() + part.held;
            self.buffered = (self.buffered + after).saturating_sub(before);
            touched.push(folder);
        }
        for folder in touched {
            let Some(part) = self.open.get(&folder) else { continue };
            let held = part.writer.as_ref().map_or(0, |writer| writer.pending().0);
            let size = part.written + (part.buffer.len() + held) as u64;
            if self.spec.size.is_some_and(|limit| size >= limit.0) {
                self.close(encoder, &folder).await?;
            } else if !self.spec.staged || part.buffer.len() >= PIECE {
                self.write_out(&folder).await?;
            }
        }
        if self.buffered >= BUFFERED {
            for part in self.open.values_mut() {
                if let Some(writer) = &mut part.writer {
                    let before = part.buffer.len() + part.held;
                    writer.release(&mut part.buffer)?;
                    part.held = writer.pending().1;
                    self.buffered = (self.buffered + part.buffer.len() + part.held).saturating_sub(before);
                }
            }
            self.write_all().await?;
        }
        Ok(())
    }

    /// Writes what is buffered and completes files that are old enough.
    pub(crate) async fn flush(&mut self, encoder: &mut dyn Encode) -> Result<()> {
        let now = self.clock.now();
        let old: Vec<String> =
            self.open.iter().filter(|(_, part)| self.is_old(part, now)).map(|(folder, _)| folder.clone()).collect();
        for folder in old {
            self.close(encoder, &folder).await?;
        }
        if self.spec.staged { Ok(()) } else { self.write_all().await }
    }

    /// Completes the epoch's files and makes them durable.
    pub(crate) async fn prepare(&mut self, encoder: &mut dyn Encode, id: CheckpointId) -> Result<PartsState> {
        if self.spec.staged || self.spec.whole {
            for folder in self.open.keys().cloned().collect::<Vec<_>>() {
                self.close(encoder, &folder).await?;
            }
        } else {
            self.write_all().await?;
        }
        let failed = |failure| error::writing(&self.spec.root, failure);
        let mut files = std::mem::take(&mut self.files);
        files.sort();
        let base = self.staging.as_ref().map_or(&self.spec.root, |staging| staging.path()).clone();
        let synced = files.clone();
        blocking(move || sync_files(&base, &synced)).await.map_err(failed)?;
        let next = self.number;
        if !self.spec.staged {
            self.remove_replaced()?;
            let open: Vec<_> = self.open.values().map(|part| (part.file.clone(), part.written)).collect();
            // They are written to again.
            self.files.extend(open.iter().map(|(file, _)| file.clone()));
            return Ok(PartsState { next, what: What::Seen { open } });
        }
        let holds = self.spec.bounded && !self.ended;
        let kept = self.staging.as_ref().is_some_and(Staging::is_kept);
        if !holds && !kept && files.is_empty() {
            let replaced = std::mem::take(&mut self.replaced);
            return Ok(PartsState { next, what: What::Publish { staging: None, files, replaced } });
        }
        self.base().map_err(|failure| error::writing(&self.spec.root, failure))?;
        let Some(mut staging) = self.staging.take() else {
            return Err(error::writing(&self.spec.root, given_up()));
        };
        let kept = blocking(move || {
            let name = staging.keep(id)?;
            Ok((staging, name))
        });
        let (staging, name) = kept.await.map_err(|failure| error::writing(&self.spec.root, failure))?;
        if holds {
            self.staging = Some(staging);
            self.held.append(&mut files);
            return Ok(PartsState { next, what: What::Hold { staging: name, files: self.held.len() } });
        }
        self.pending.push(staging);
        files.append(&mut self.held);
        files.sort();
        let mut replaced = std::mem::take(&mut self.replaced);
        replaced.retain(|old| files.binary_search(old).is_err());
        Ok(PartsState { next, what: What::Publish { staging: Some(name), files, replaced } })
    }

    /// What was prepared has its place.
    pub(crate) fn committed(&mut self) {
        self.later = None;
        self.pending.clear();
    }

    /// Removes what is not committed.
    pub(crate) async fn abort(&mut self) {
        for part in std::mem::take(&mut self.open).into_values() {
            let begun = self.spec.root.join(self.spec.while_written(&part.file));
            if self.spec.whole
                && !self.spec.staged
                && let Err(error) = remove_file(&begun)
            {
                tracing::warn!(path = %begun.display(), %error, "an output that was given up stays");
            }
        }
        self.files.clear();
        self.held.clear();
        self.buffered = 0;
        for staging in self.staging.take().into_iter().chain(self.pending.drain(..)) {
            staging.remove();
        }
    }

    fn is_old(&self, part: &Part, now: i64) -> bool {
        self.spec.interval.is_some_and(|interval| now.saturating_sub(part.since) >= interval.0)
    }

    /// The rows of each folder; `None` for all rows.
    fn split(&self, batch: &Batch) -> BTreeMap<String, Option<UInt32Array>> {
        if self.spec.partition_by.is_empty() {
            return BTreeMap::from([(String::new(), None)]);
        }
        let mut folders: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let mut name = String::new();
        for row in 0..batch.rows() {
            name.clear();
            for (place, column) in &self.spec.partition_by {
                push_encoded(&mut name, column);
                name.push('=');
                match value_text(batch.columns.column(*place), row) {
                    Some(value) => push_encoded(&mut name, &value),
                    None => name.push_str(NULL_VALUE),
                }
                name.push('/');
            }
            match folders.get_mut(name.as_str()) {
                Some(rows) => rows.push(row as u32),
                None => {
                    folders.insert(name.clone(), vec![row as u32]);
                }
            }
        }
        folders.into_iter().map(|(folder, rows)| (folder, Some(UInt32Array::from(rows)))).collect()
    }

    /// The open file of a folder.
    fn part(&mut self, folder: &str, now: i64, encoder: &mut dyn Encode) -> Result<&mut Part> {
        if !self.open.contains_key(folder) {
            // One task writes a sink's files; a second one would bring its own number.
            let file = Path::new(folder).join(format!("part-0-{}{}", self.number, self.spec.suffix));
            self.number += 1;
            self.files.push(file.clone());
            let (mut buffer, mut writer) = (Vec::new(), encoder.of_one_file()?);
            own_or(&mut writer, encoder).header(&mut buffer);
            self.buffered += buffer.len();
            self.open.insert(folder.to_owned(), Part { file, writer, held: 0, buffer, written: 0, since: now });
        }
        Ok(self.open.entry(folder.to_owned()).or_insert_with(|| Part {
            file: PathBuf::new(),
            writer: None,
            held: 0,
            buffer: Vec::new(),
            written: 0,
            since: now,
        }))
    }

    async fn close(&mut self, encoder: &mut dyn Encode, folder: &str) -> Result<()> {
        if let Some(part) = self.open.get_mut(folder) {
            let before = part.buffer.len() + part.held;
            own_or(&mut part.writer, encoder).footer(&mut part.buffer)?;
            part.held = 0;
            self.buffered = (self.buffered + part.buffer.len()).saturating_sub(before);
        }
        self.write_out(folder).await?;
        let Some(part) = self.open.remove(folder) else { return Ok(()) };
        if self.spec.whole && !self.spec.staged {
            let (from, to) =
                (self.spec.root.join(self.spec.while_written(&part.file)), self.spec.root.join(&part.file));
            let shown = to.clone();
            blocking(move || std::fs::rename(from, to)).await.map_err(|failure| error::writing(&shown, failure))?;
        }
        Ok(())
    }

    async fn write_all(&mut self) -> Result<()> {
        for folder in self.open.keys().cloned().collect::<Vec<_>>() {
            self.write_out(&folder).await?;
        }
        Ok(())
    }

    /// Removes what an earlier run wrote, now that files of this one are seen.
    fn remove_replaced(&mut self) -> Result<()> {
        for file in std::mem::take(&mut self.replaced) {
            let path = self.spec.root.join(file);
            remove_file(&path).map_err(|failure| error::writing(&path, failure))?;
        }
        Ok(())
    }

    /// Appends a file's buffer to it.
    async fn write_out(&mut self, folder: &str) -> Result<()> {
        let failed = |path: &Path, failure| error::writing(path, failure);
        let base = self.base().map_err(|failure| failed(&self.spec.root, failure))?;
        if !self.spec.staged {
            self.remove_replaced()?;
        }
        let Some(part) = self.open.get_mut(folder).filter(|part| !part.buffer.is_empty()) else { return Ok(()) };
        let path = base.join(self.spec.while_written(&part.file));
        let (before, buffer) = (part.written, std::mem::take(&mut part.buffer));
        self.buffered -= buffer.len();
        let (shown, life) = (path.clone(), self.life.clone());
        let written =
            blocking(move || life.with(|()| append_piece(&path, before, &buffer)).unwrap_or_else(|| Err(given_up())));
        let written = written.await;
        part.written += written.map_err(|failure| failed(&shown, failure))?;
        Ok(())
    }

    /// The folder that files are written into.
    fn base(&mut self) -> io::Result<PathBuf> {
        if !self.spec.staged {
            return Ok(self.spec.root.clone());
        }
        let staging = match self.staging.take() {
            Some(staging) => staging,
            None => Staging::create(&self.spec.root)?,
        };
        Ok(self.staging.insert(staging).path().clone())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.life.close();
    }
}

/// A file's own writer, else the one that serves for all.
fn own_or<'a>(own: &'a mut Option<Box<dyn Encode>>, shared: &'a mut dyn Encode) -> &'a mut dyn Encode {
    match own {
        Some(own) => &mut **own,
        None => shared,
    }
}

/// Appends to a file that has `before` bytes; if that fails, it has them again.
fn append_piece(path: &Path, before: u64, piece: &[u8]) -> io::Result<u64> {
    if let Some(folder) = path.parent() {
        create_folders(folder)?;
    }
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    if before == 0 {
        file.set_len(0)?;
    }
    let bytes = pack(piece, Compression::of(&path.to_string_lossy()))?;
    if let Err(error) = file.write_all(&bytes) {
        file.set_len(before)?;
        return Err(error);
    }
    Ok(bytes.len() as u64)
}
