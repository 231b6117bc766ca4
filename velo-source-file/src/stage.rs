//! Bytes on their way to a file: buffered, written in large pieces beside the encoder, and seen only when they are published.
//!
//! A [`Staged`] file lies beside its target as `.<name>.velo-tmp-…`, so that a rename within one folder makes it visible whole.
//! While it is written it is locked; a later run removes those that nobody holds any more.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;

use crate::content::Compression;
use crate::glob::folder_of;

/// Bytes that are written at once.
pub(crate) const PIECE: usize = 1 << 20;

/// The part of a staged file's name behind its target's.
const MARK: &str = ".velo-tmp-";

/// Numbers the staged files of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A piece on its way: its buffer, empty again, and the bytes that it took in the file.
pub(crate) type Writing = JoinHandle<io::Result<(Vec<u8>, u64)>>;

/// A file that is written beside the encoder: while one piece is written, the next one is filled.
#[derive(Debug)]
pub(crate) struct Output {
    file: Arc<File>,
    compression: Compression,
    /// What is not handed to the file yet, not compressed.
    pub(crate) buffer: Vec<u8>,
    writing: Option<Writing>,
    /// Bytes that the file has, compressed.
    written: u64,
}

impl Output {
    /// Writes to `file`; each piece is compressed by itself, which readers take as one.
    pub(crate) fn new(file: File, compression: Compression) -> Self {
        Self { file: Arc::new(file), compression, buffer: Vec::new(), writing: None, written: 0 }
    }

    /// Bytes in the file after [`Output::flush`].
    pub(crate) fn written(&self) -> u64 {
        self.written
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
        let file = Arc::clone(&self.file);
        blocking(move || file.sync_all()).await
    }

    fn start(&mut self, spare: Vec<u8>) {
        let mut piece = std::mem::replace(&mut self.buffer, spare);
        let (file, compression) = (Arc::clone(&self.file), self.compression);
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let bytes = pack(&piece, compression)?;
            (&*file).write_all(&bytes)?;
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
    pub(crate) async fn discard(&mut self) {
        self.buffer.clear();
        if let Err(error) = self.settle().await {
            tracing::debug!(%error, "a piece that is given up could not be written either");
        }
    }
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
    let mut file = match File::open(path) {
        Ok(file) if file.metadata()?.is_file() => file,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => return Ok(false),
    };
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// A file that nobody sees until it is published.
#[derive(Debug)]
pub(crate) struct Staged {
    /// Where it is now.
    pub(crate) path: PathBuf,
    /// Where it will be.
    pub(crate) target: PathBuf,
    pub(crate) output: Output,
    /// It is kept when this is dropped.
    kept: bool,
}

impl Staged {
    /// Begins a file beside `target`. Missing folders are created.
    pub(crate) fn create(target: &Path) -> io::Result<Self> {
        let folder = folder_of(target);
        std::fs::create_dir_all(&folder)?;
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!(".{name}{MARK}{}-{number}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    // Without locks (some network folders) leftovers stay, which is the lesser evil.
                    if let Err(error) = file.try_lock() {
                        tracing::debug!(path = %path.display(), %error, "the staged file is not locked");
                    }
                    let target = target.to_owned();
                    let output = Output::new(file, Compression::of(&target.to_string_lossy()));
                    return Ok(Self { path, target, output, kept: false });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes it durable under a name that no later run takes for a leftover; from now on it is only removed by its commit.
    pub(crate) async fn prepare(mut self) -> io::Result<(PathBuf, PathBuf, u64)> {
        self.output.sync().await?;
        let length = self.output.written();
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = self.path.with_file_name(name.replace(MARK, ".velo-epoch-"));
        std::fs::rename(&self.path, &path)?;
        sync_folder(&path)?;
        self.kept = true;
        Ok((path, std::mem::take(&mut self.target), length))
    }

    /// Removes it.
    pub(crate) async fn abort(mut self) {
        self.output.discard().await;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished output stays");
        }
    }
}

/// Removes what runs that were killed left beside `target`. Files that a run still writes are locked and stay.
pub(crate) fn remove_leftovers(target: &Path) {
    let Some(name) = target.file_name() else { return };
    let prefix = format!(".{}{MARK}", name.to_string_lossy());
    let Ok(entries) = std::fs::read_dir(folder_of(target)) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix)
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
            && std::fs::remove_file(entry.path()).is_ok()
        {
            tracing::info!(path = %entry.path().display(), "removed an unfinished output of an earlier run");
        }
    }
}

/// Puts a prepared file in the place of its target. Idempotent.
pub(crate) fn publish(staged: &Path, target: &Path) -> io::Result<()> {
    // What the target's owner allowed stays allowed.
    if let Ok(metadata) = std::fs::metadata(target) {
        match std::fs::set_permissions(staged, metadata.permissions()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match std::fs::rename(staged, target) {
        // An earlier commit has done it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && target.exists() => Ok(()),
        other => other,
    }?;
    sync_folder(target)
}

/// Appends a prepared file of `length` bytes to its target, which had `at` bytes. Idempotent: a longer target is cut first.
pub(crate) fn append(staged: &Path, target: &Path, at: u64, length: u64) -> io::Result<()> {
    let mut from = match File::open(staged) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The staged file goes only after all of it was appended.
            let now = std::fs::metadata(target)?.len();
            return if now == at + length { Ok(()) } else { Err(error) };
        }
        Err(error) => return Err(error),
    };
    let mut to = OpenOptions::new().append(true).create(true).open(target)?;
    if to.metadata()?.len() < at {
        let message = format!("{} is shorter than the {at} bytes that were written before", target.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    to.set_len(at)?;
    if let Err(error) = io::copy(&mut from, &mut to).and_then(|_| to.sync_all()) {
        // Nothing half-written stays; the staged file is still there for the next try.
        to.set_len(at)?;
        return Err(error);
    }
    std::fs::remove_file(staged)?;
    sync_folder(target)
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
