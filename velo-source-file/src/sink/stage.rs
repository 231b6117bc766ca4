//! Bytes on their way to a file: buffered, written in large pieces beside the encoder, and seen only when they are published.
//!
//! A [`Staged`] file lies beside its target, hidden, and is locked as long as its sink lives:
//!
//! | name | is |
//! |---|---|
//! | `.<name>.velo-tmp-…` | written, and not prepared yet: it goes with its sink, or with the next run |
//! | `.<name>.velo-epoch-<checkpoint>-…` | prepared: a run that goes on behind that checkpoint finds it, and one that begins anew removes it |
//!
//! Checkpoints never get the number of another one, so that a saved name never leads to other rows. What a file has beyond the
//! length that a checkpoint recorded came later, and is cut.

use std::borrow::Cow;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;
use velo_core::Result;
use velo_core::connector::CheckpointId;

use super::shared::Shared;
use crate::content::Compression;
use crate::error;
use crate::glob::folder_of;

/// Bytes that are written at once.
pub(crate) const PIECE: usize = 1 << 20;

/// The part of a staged file's name behind its target's, before it is prepared and then.
pub(super) const WRITTEN: &str = ".velo-tmp-";
pub(super) const PREPARED: &str = ".velo-epoch-";

/// Numbers the staged files of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The process and the next number of its staged files.
pub(super) fn next_name() -> String {
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A piece on its way: its buffer, empty again, and the bytes that it took in the file.
pub(crate) type Writing = JoinHandle<io::Result<(Vec<u8>, u64)>>;

/// A file that is written beside the encoder: while one piece is written, the next one is filled.
#[derive(Debug)]
pub(crate) struct Output {
    file: Shared<File>,
    compression: Compression,
    /// What is not handed to the file yet, not compressed.
    pub(crate) buffer: Vec<u8>,
    writing: Option<Writing>,
    /// Bytes that the file has, compressed.
    written: u64,
}

impl Output {
    /// Writes to `file` behind its first `written` bytes, where it stands; each piece is compressed by itself, which readers take as
    /// one. So the file can be cut and gone on with behind each flush.
    pub(crate) fn new(file: File, compression: Compression, written: u64) -> Self {
        Self { file: Shared::new(file), compression, buffer: Vec::new(), writing: None, written }
    }

    /// Bytes in the file after [`Output::flush`].
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether nothing was ever written to it.
    pub(crate) fn is_empty(&self) -> bool {
        self.written == 0 && self.writing.is_none() && self.buffer.is_empty()
    }

    /// The file was written by others, and has so many bytes.
    pub(crate) fn filled(&mut self, written: u64) {
        self.written = written;
    }

    /// Begins to write what is buffered if it is a piece.
    pub(crate) async fn full(&mut self) -> io::Result<()> {
        if self.buffer.len() < PIECE {
            return Ok(());
        }
        let spare = self.settle().await?;
        self.start(spare);
        Ok(())
    }

    /// Writes all that is buffered.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let spare = self.settle().await?;
        if !self.buffer.is_empty() {
            self.start(spare);
            self.settle().await?;
        }
        Ok(())
    }

    /// Writes all that is buffered, and waits until the disk has it.
    pub(crate) async fn sync(&mut self) -> io::Result<()> {
        self.flush().await?;
        let file = self.file.clone();
        blocking(move || file.with(|file| file.sync_all()).unwrap_or_else(|| Err(given_up()))).await
    }

    fn start(&mut self, spare: Vec<u8>) {
        let mut piece = std::mem::replace(&mut self.buffer, spare);
        let (file, compression) = (self.file.clone(), self.compression);
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let bytes = pack(&piece, compression)?;
            file.with(|file| file.write_all(&bytes)).unwrap_or_else(|| Err(given_up()))?;
            let written = bytes.len() as u64;
            drop(bytes);
            piece.clear();
            Ok((piece, written))
        }));
    }

    /// Waits for the piece that is being written; its empty buffer can be filled anew.
    async fn settle(&mut self) -> io::Result<Vec<u8>> {
        match self.writing.take() {
            Some(writing) => {
                let (spare, written) = writing.await.map_err(io::Error::other)??;
                self.written += written;
                Ok(spare)
            }
            None => Ok(Vec::new()),
        }
    }

    /// Gives up what is buffered and waits until nothing is being written.
    async fn discard(&mut self) {
        self.buffer.clear();
        if let Err(error) = self.settle().await {
            tracing::debug!(%error, "a piece that is given up could not be written either");
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // The lock on the file goes with it.
        self.file.close();
    }
}

/// The sink is gone for which something was to be written.
pub(super) fn given_up() -> io::Error {
    io::Error::other("the output was given up")
}

/// The bytes as the file holds them.
pub(crate) fn pack(piece: &[u8], compression: Compression) -> io::Result<Cow<'_, [u8]>> {
    Ok(match compression {
        Compression::None => Cow::Borrowed(piece),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(piece)?;
            Cow::Owned(encoder.finish()?)
        }
        Compression::Zstandard => Cow::Owned(zstd::encode_all(piece, zstd::DEFAULT_COMPRESSION_LEVEL)?),
    })
}

/// Whether the file at `path` ends within a line, so that a row appended to it would be part of that line.
pub(crate) fn ends_in_mid_line(path: &Path) -> io::Result<bool> {
    if Compression::of(&path.to_string_lossy()) != Compression::None {
        return Ok(false);
    }
    match File::open(path) {
        Ok(mut file) if file.metadata()?.is_file() => is_torn(&mut file),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(false),
    }
}

/// Whether the last line of a file lacks its end.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Cuts a file that is written at once to the `kept` bytes of its last checkpoint if what came later ends in the middle of a row: the
/// run was killed there, and the rows come again. Of a compressed file no end can be told.
pub(super) fn heal(file: &mut File, kept: u64, compression: Compression) -> io::Result<()> {
    if file.metadata()?.len() > kept && (compression != Compression::None || is_torn(file)?) {
        file.set_len(kept)?;
        file.sync_all()?;
    }
    Ok(())
}

/// Locks a hidden file or folder of `target`. Without locks (some network folders) leftovers stay, which is the lesser evil.
pub(super) fn claim(lock: &File, path: &Path, target: &Path) -> Result<()> {
    match lock.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(error::in_use(target, path)),
        Err(TryLockError::Error(error)) => {
            tracing::debug!(path = %path.display(), %error, "a staged output is not locked");
            Ok(())
        }
    }
}

/// A file that nobody sees until it is published.
#[derive(Debug)]
pub(crate) struct Staged {
    /// Where it is now.
    path: PathBuf,
    pub(crate) output: Output,
    /// It is prepared, and stays when this is dropped.
    kept: bool,
}

impl Staged {
    /// Begins a file beside `target`. Missing folders are created.
    pub(crate) fn create(target: &Path) -> io::Result<Self> {
        let folder = folder_of(target);
        create_folders(&folder)?;
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        loop {
            let path = folder.join(format!(".{name}{WRITTEN}{}", next_name()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    if let Err(error) = file.try_lock() {
                        tracing::debug!(path = %path.display(), %error, "the staged file is not locked");
                    }
                    let output = Output::new(file, Compression::of(&target.to_string_lossy()), 0);
                    return Ok(Self { path, output, kept: false });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The prepared file of that name beside `target`, cut to the `length` bytes that it had then, or as it is; `None` where it is gone.
    pub(crate) fn find(target: &Path, name: &str, length: Option<u64>) -> Result<Option<Self>> {
        let path = hidden(target, name);
        let failed = |failure| error::writing(&path, failure);
        let mut file = match OpenOptions::new().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed)?,
        };
        claim(&file, &path, target)?;
        let now = file.metadata().map_err(failed)?.len();
        let length = length.unwrap_or(now);
        if now < length {
            let message = format!("'{}' has {now} bytes, and {length} were prepared", path.display());
            return Err(error::rows_lost(target, &message));
        }
        file.set_len(length).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        let output = Output::new(file, Compression::of(&target.to_string_lossy()), length);
        Ok(Some(Self { path, output, kept: true }))
    }

    /// Where it is now.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes all that was written durable, under a name that a run can go on behind; gives that name and the length.
    pub(crate) async fn keep(&mut self, id: CheckpointId) -> io::Result<(String, u64)> {
        self.output.sync().await?;
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if self.kept {
            return Ok((name, self.output.written()));
        }
        let name = name.replace(WRITTEN, &format!("{PREPARED}{id}-"));
        let path = self.path.with_file_name(&name);
        std::fs::rename(&self.path, &path)?;
        self.path = path;
        self.kept = true;
        sync_folder(&self.path)?;
        Ok((name, self.output.written()))
    }

    /// Removes it, also if it is prepared.
    pub(crate) async fn abort(mut self) {
        self.kept = false;
        self.output.discard().await;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.output.file.close();
        if !self.kept
            && let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished output stays");
        }
    }
}

/// The path of a hidden file of `target`.
pub(super) fn hidden(target: &Path, name: &str) -> PathBuf {
    folder_of(target).join(name)
}

/// Removes what earlier runs left beside `target`, but for the files of the names in `kept`. What a run still holds is locked and stays.
pub(crate) fn remove_leftovers(target: &Path, kept: &[&str]) {
    let Some(name) = target.file_name() else { return };
    let name = name.to_string_lossy();
    let prefixes = [format!(".{name}{WRITTEN}"), format!(".{name}{PREPARED}")];
    let Ok(entries) = std::fs::read_dir(folder_of(target)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if prefixes.iter().any(|prefix| name.starts_with(prefix))
            && !kept.contains(&name.as_str())
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
            && std::fs::remove_file(entry.path()).is_ok()
        {
            tracing::info!(path = %entry.path().display(), "removed an unfinished output of an earlier run");
        }
    }
}

/// Removes a file, if it is there.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Creates what is missing of a folder, so that a power cut does not take it away again with what is in it.
pub(super) fn create_folders(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|at| !at.as_os_str().is_empty() && !at.exists()).collect();
    std::fs::create_dir_all(folder)?;
    missing.into_iter().try_for_each(sync_folder)
}

/// Makes names in the folder of `path` durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

/// Runs blocking work beside the async workers.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
