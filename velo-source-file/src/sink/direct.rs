//! One file that is written at once (`at_least_once`): each batch is handed to the system as soon as it is encoded, while the next
//! one is.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use velo_core::{Batch, Result};

use super::Encode;
use super::shared::Shared;
use super::stage::{Writing, blocking, create_folders, ends_in_mid_line, given_up, heal, pack};
use crate::content::Compression;
use crate::error;
use crate::glob::folder_of;

/// What a checkpoint keeps of a file that is written at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// The file's length then; `None` for a device or a pipe.
    length: Option<u64>,
}

/// A file that is appended to.
pub(crate) struct Direct {
    path: PathBuf,
    append: bool,
    /// The checkpoint that this goes on behind: what is there stays then.
    after: Option<Written>,
    /// Opened with the first row: nothing changes before.
    file: Option<Shared<File>>,
    /// Its length, all of it whole batches; `None` for a device or a pipe.
    length: Option<u64>,
    buffer: Vec<u8>,
    /// The batch that is being appended.
    writing: Option<Writing>,
}

impl Direct {
    pub(crate) fn new(path: PathBuf, append: bool, after: Option<Written>) -> Self {
        Self { path, append, after, file: None, length: None, buffer: Vec::new(), writing: None }
    }

    /// Encodes a batch and begins to append it. If that fails, nothing of the batch stays.
    pub(crate) async fn write(&mut self, encoder: &mut dyn Encode, batch: &Batch) -> Result<()> {
        if self.file.is_none() {
            self.open(encoder).map_err(|error| error::writing(&self.path, error))?;
        }
        if let Err(failed) = encoder.encode(batch, &mut self.buffer) {
            self.buffer.clear();
            return Err(failed);
        }
        self.append_buffer().await.map_err(|error| error::writing(&self.path, error))
    }

    /// Waits until all batches are seen.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.finish().await.map_err(|error| error::writing(&self.path, error))
    }

    /// Sees to it that the file is there and durable.
    pub(crate) async fn settle(&mut self, encoder: &mut dyn Encode) -> Result<Written> {
        let result = async {
            if self.file.is_none() {
                self.open(encoder)?;
                self.append_buffer().await?;
            }
            self.finish().await?;
            match &self.file {
                Some(file) if self.length.is_some() => {
                    let file = file.clone();
                    blocking(move || file.with(|file| file.sync_data()).unwrap_or_else(|| Err(given_up()))).await?;
                }
                _ => {}
            }
            Ok(Written { length: self.length })
        };
        result.await.map_err(|error| error::writing(&self.path, error))
    }

    fn open(&mut self, encoder: &mut dyn Encode) -> io::Result<()> {
        create_folders(&folder_of(&self.path))?;
        if is_special(&self.path) {
            // A pipe is not read, and has no length.
            self.file = Some(Shared::new(OpenOptions::new().append(true).open(&self.path)?));
            encoder.header(&mut self.buffer);
            return Ok(());
        }
        let mid_line = self.append && self.after.is_none() && ends_in_mid_line(&self.path)?;
        let mut file = OpenOptions::new().read(self.after.is_some()).append(true).create(true).open(&self.path)?;
        match self.after.take() {
            Some(Written { length: Some(kept) }) => {
                heal(&mut file, kept, Compression::of(&self.path.to_string_lossy()))?;
            }
            Some(Written { length: None }) => {}
            None if !self.append => file.set_len(0)?,
            None => {}
        }
        self.length = Some(file.metadata()?.len());
        if self.length.unwrap_or(0) == 0 {
            encoder.header(&mut self.buffer);
        } else if mid_line {
            self.buffer.push(b'\n');
        }
        self.file = Some(Shared::new(file));
        Ok(())
    }

    async fn append_buffer(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        self.finish().await?;
        let Some(file) = self.file.clone().filter(|_| !buffer.is_empty()) else { return Ok(()) };
        let (compression, before) = (Compression::of(&self.path.to_string_lossy()), self.length);
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let bytes = pack(&buffer, compression)?;
            let write = |file: &mut File| {
                file.write_all(&bytes).or_else(|error| {
                    if let Some(before) = before {
                        file.set_len(before)?;
                    }
                    Err(error)
                })
            };
            file.with(write).unwrap_or_else(|| Err(given_up()))?;
            let written = bytes.len() as u64;
            drop(bytes);
            let mut spare = buffer;
            spare.clear();
            Ok((spare, written))
        }));
        Ok(())
    }

    /// Waits for the batch that is being appended; its buffer can be filled anew.
    async fn finish(&mut self) -> io::Result<()> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let (spare, written) = writing.await.map_err(io::Error::other)??;
        if self.buffer.is_empty() {
            self.buffer = spare;
        }
        self.length = self.length.map(|before| before + written);
        Ok(())
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        // What still waits to be written comes again; the next run may be at it already.
        if let Some(file) = &self.file {
            file.close();
        }
    }
}

/// Whether the thing at `path` is something else than a file or folder: a device, a pipe.
pub(crate) fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}
