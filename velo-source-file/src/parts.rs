//! Many whole files below one folder: by the values of columns (`partition.by`), by size and by time (`rolling.*`).
//!
//! A file is called `part-<task>-<number>` and lies in `column=value` folders. Staged, an epoch's files are written into a hidden
//! folder beside them and moved at the commit; else they are written under their own names. Files are opened for each piece
//! that is written and closed again, so their number is not bounded by what a process may open.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::UInt32Array;
use serde::{Deserialize, Serialize};
use velo_core::duration::{ByteSize, Span};
use velo_core::error::ErrorKind;
use velo_core::table_text::value_text;
use velo_core::{Batch, Clock, ConnectorError, Result};

use crate::content::Compression;
use crate::error;
use crate::sink::Encode;
use crate::stage::{blocking, pack, sync_folder};

/// A file's buffer is written when it is this long.
const PIECE: usize = 256 << 10;
/// All buffers are written when together they are this long.
const BUFFERED: usize = 64 << 20;
/// What stands for NULL in a folder's name, as in Hive.
const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";
/// The folder of an epoch that is being written, and of one that is prepared.
const STAGING: &str = ".velo-tmp-";
const PREPARED: &str = ".velo-epoch-";
/// What the hidden name of a file ends in that is seen when it is whole.
const WRITTEN: &str = ".velo-tmp";

static NEXT: AtomicU64 = AtomicU64::new(0);

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

/// Files that take their places at a commit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PartsCommit {
    root: PathBuf,
    staging: PathBuf,
    /// Their paths in both folders.
    files: Vec<PathBuf>,
    /// Files of an earlier run that go.
    replaced: Vec<PathBuf>,
}

impl PartsCommit {
    /// Moves the files. Idempotent.
    pub(crate) fn publish(&self) -> io::Result<()> {
        for file in &self.files {
            let (from, to) = (self.staging.join(file), self.root.join(file));
            if let Some(folder) = to.parent() {
                std::fs::create_dir_all(folder)?;
            }
            match std::fs::rename(&from, &to) {
                // An earlier commit has done it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => {}
                other => other?,
            }
        }
        for file in &self.replaced {
            remove_file(&self.root.join(file))?;
        }
        let folders: BTreeSet<_> = self.files.iter().filter_map(|file| file.parent()).collect();
        for folder in folders {
            sync_folder(&self.root.join(folder).join("part"))?;
        }
        match std::fs::remove_dir_all(&self.staging) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
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
    /// Where this epoch is staged, with the lock that says that somebody is at it.
    staging: Option<(PathBuf, File)>,
    /// Prepared and not committed.
    pending: Vec<PathBuf>,
    /// Files of an earlier run, until the first of this one are seen.
    replaced: Vec<PathBuf>,
    number: u64,
    buffered: usize,
}

impl Parts {
    /// Looks at what is there. Nothing is changed but what killed runs left.
    pub(crate) fn open(spec: PartsSpec, clock: Clock) -> Result<Self> {
        let (replaced, number) = existing(&spec).map_err(|failed| error::writing(&spec.root, failed))?;
        let mut parts = Self {
            clock,
            open: BTreeMap::new(),
            files: Vec::new(),
            staging: None,
            pending: Vec::new(),
            replaced: if spec.append { Vec::new() } else { replaced },
            number: if spec.append { number } else { 0 },
            buffered: 0,
            spec,
        };
        remove_leftovers(&parts.spec.root);
        if parts.spec.staged {
            parts.base().map_err(|failed| error::writing(&parts.spec.root, failed))?;
        }
        Ok(parts)
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

    /// Completes the epoch's files and makes them durable; `None` where there are none.
    pub(crate) async fn prepare(&mut self, encoder: &mut dyn Encode) -> Result<Option<PartsCommit>> {
        if self.spec.staged || self.spec.whole {
            for folder in self.open.keys().cloned().collect::<Vec<_>>() {
                self.close(encoder, &folder).await?;
            }
        } else {
            self.write_all().await?;
        }
        let root = self.spec.root.clone();
        let mut files = std::mem::take(&mut self.files);
        // Files that stay open are written to again.
        self.files.extend(self.open.values().map(|part| part.file.clone()));
        files.sort();
        let base = match self.staging.take() {
            Some((staging, _lock)) => staging,
            None => root.clone(),
        };
        let mut replaced = std::mem::take(&mut self.replaced);
        replaced.retain(|old| files.binary_search(old).is_err());
        let staged = self.spec.staged;
        let prepared = blocking(move || {
            for file in &files {
                File::open(base.join(file))?.sync_all()?;
            }
            if !staged || (files.is_empty() && replaced.is_empty()) {
                if staged && base != root {
                    std::fs::remove_dir_all(&base)?;
                }
                return Ok(None);
            }
            let name = base.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let staging = base.with_file_name(name.replace(STAGING, PREPARED));
            if base == root {
                // Only files of an earlier run go.
                return Ok(Some(PartsCommit { staging: root.join(PREPARED), root, files, replaced }));
            }
            std::fs::rename(&base, &staging)?;
            sync_folder(&staging)?;
            Ok(Some(PartsCommit { root, staging, files, replaced }))
        });
        let prepared = prepared.await.map_err(|failed| error::writing(&self.spec.root, failed))?;
        self.pending.extend(prepared.as_ref().map(|commit| commit.staging.clone()));
        Ok(prepared)
    }

    /// What was prepared has its place.
    pub(crate) fn committed(&mut self) {
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
        self.buffered = 0;
        let staging = self.staging.take().map(|(path, _lock)| path);
        for path in staging.into_iter().chain(self.pending.drain(..)) {
            if let Err(error) = std::fs::remove_dir_all(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "an output that was given up stays");
            }
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

    /// Appends a file's buffer to it.
    async fn write_out(&mut self, folder: &str) -> Result<()> {
        let failed = |path: &Path, failure| error::writing(path, failure);
        let base = self.base().map_err(|failure| failed(&self.spec.root, failure))?;
        if !self.spec.staged {
            for file in std::mem::take(&mut self.replaced) {
                remove_file(&self.spec.root.join(&file)).map_err(|failure| failed(&file, failure))?;
            }
        }
        let Some(part) = self.open.get_mut(folder).filter(|part| !part.buffer.is_empty()) else { return Ok(()) };
        let path = base.join(self.spec.while_written(&part.file));
        let (before, buffer) = (part.written, std::mem::take(&mut part.buffer));
        self.buffered -= buffer.len();
        let shown = path.clone();
        let written = blocking(move || append_piece(&path, before, &buffer)).await;
        part.written += written.map_err(|failure| failed(&shown, failure))?;
        Ok(())
    }

    /// The folder that files are written into.
    fn base(&mut self) -> io::Result<PathBuf> {
        if !self.spec.staged {
            return Ok(self.spec.root.clone());
        }
        if let Some((staging, _)) = &self.staging {
            return Ok(staging.clone());
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let staging = self.spec.root.join(format!("{STAGING}{}-{number}", std::process::id()));
        std::fs::create_dir_all(&staging)?;
        let lock = File::create(staging.join("lock"))?;
        if let Err(error) = lock.try_lock() {
            tracing::debug!(path = %staging.display(), %error, "the staging folder is not locked");
        }
        self.staging = Some((staging.clone(), lock));
        Ok(staging)
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if let Some((staging, _lock)) = self.staging.take()
            && let Err(error) = std::fs::remove_dir_all(&staging)
        {
            tracing::warn!(path = %staging.display(), %error, "an unfinished output stays");
        }
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
        std::fs::create_dir_all(folder)?;
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

fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The files that earlier runs wrote below the folder, and the first number behind theirs.
fn existing(spec: &PartsSpec) -> io::Result<(Vec<PathBuf>, u64)> {
    fn walk(root: &Path, below: &Path, suffix: &str, found: &mut Vec<PathBuf>, next: &mut u64) -> io::Result<()> {
        let entries = match std::fs::read_dir(root.join(below)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                if name.contains('=') {
                    walk(root, &below.join(name), suffix, found, next)?;
                }
            } else if let Some(number) = part_number(&name, suffix) {
                *next = (*next).max(number + 1);
                found.push(below.join(name));
            }
        }
        Ok(())
    }
    let (mut found, mut next) = (Vec::new(), 0);
    walk(&spec.root, Path::new(""), &spec.suffix, &mut found, &mut next)?;
    found.sort();
    Ok((found, next))
}

fn part_number(name: &str, suffix: &str) -> Option<u64> {
    let (task, number) = name.strip_prefix("part-")?.strip_suffix(suffix)?.split_once('-')?;
    task.parse::<u64>().ok()?;
    number.parse().ok()
}

/// Removes staging folders that nobody holds any more.
fn remove_leftovers(root: &Path) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(STAGING)
            && File::open(entry.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok())
            && std::fs::remove_dir_all(entry.path()).is_ok()
        {
            tracing::info!(path = %entry.path().display(), "removed an unfinished output of an earlier run");
        }
    }
}

/// Appends `text` so that it is one plain part of a path: all but letters, digits and `-_.~` is percent-encoded, and `.` too
/// where the whole would else be `.` or `..`.
fn push_encoded(out: &mut String, text: &str) {
    let dots = text.bytes().all(|byte| byte == b'.');
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || (byte == b'.' && !dots) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parts_of_a_path() {
        let encoded = |text: &str| {
            let mut out = String::new();
            push_encoded(&mut out, text);
            out
        };
        assert_eq!(encoded("../a b/é=1"), "..%2Fa%20b%2F%C3%A9%3D1");
        assert_eq!(encoded(".."), "%2E%2E");
        assert_eq!(encoded("2024-01-31T10:00:00.5Z"), "2024-01-31T10%3A00%3A00.5Z");
    }

    #[test]
    fn names_of_parts() {
        assert_eq!(part_number("part-0-12.jsonl", ".jsonl"), Some(12));
        for name in ["part-0-12.csv", "part-x-1.jsonl", "part-1.jsonl", "other-0-1.jsonl"] {
            assert_eq!(part_number(name, ".jsonl"), None, "{name}");
        }
    }
}
