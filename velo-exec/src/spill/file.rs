//! Files of batches that live no longer than the process.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, SchemaRef};
use velo_core::batch::columns_of;

use crate::checkpoint::bytes_of;
use crate::error::{ExecError, Result};

/// Where files are made: a folder of this process below a given one, which goes with it.
#[derive(Debug)]
pub struct SpillFolder {
    made: Arc<Made>,
    next: AtomicU64,
}

/// A folder that goes when nobody needs a file of it any more.
#[derive(Debug)]
struct Made {
    path: PathBuf,
}

/// Tells the folders of one process apart.
static FOLDERS: AtomicU64 = AtomicU64::new(0);

impl SpillFolder {
    /// A folder below `parent`; it is made with its first file.
    pub fn below(parent: &Path) -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("velo-spill-{}-{number}", std::process::id()));
        Self { made: Arc::new(Made { path }), next: AtomicU64::new(0) }
    }

    /// A folder below the system's folder for temporary files.
    pub fn temporary() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.made.path
    }

    /// A new file.
    ///
    /// # Errors
    ///
    /// [`ExecError::Spill`] where the folder or the file cannot be made.
    pub fn create(&self) -> Result<SpillWriter> {
        let path = self.path().join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let make = || {
            std::fs::create_dir_all(self.path())?;
            File::create_new(&path)
        };
        let file = make().map_err(|error| failed(&path, &error.to_string()))?;
        let made = SpillFile { path, rows: 0, bytes: 0, _folder: Arc::clone(&self.made) };
        Ok(SpillWriter { file: Some(file), writer: None, made })
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean.
        drop(std::fs::remove_dir_all(&self.path));
    }
}

/// A file that is being written. Dropped without being finished it is removed.
pub struct SpillWriter {
    file: Option<File>,
    writer: Option<(StreamWriter<BufWriter<File>>, SchemaRef)>,
    made: SpillFile,
}

impl std::fmt::Debug for SpillWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SpillWriter").field(&self.made).finish()
    }
}

impl SpillWriter {
    /// Appends rows; all batches of a file have the same columns.
    ///
    /// # Errors
    ///
    /// [`ExecError::Spill`] where they cannot be written.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let written = self.try_write(rows);
        written.map_err(|error| failed(&self.made.path, &error.to_string()))?;
        self.made.rows += rows.num_rows() as u64;
        self.made.bytes += bytes_of(rows);
        Ok(())
    }

    fn try_write(&mut self, rows: &RecordBatch) -> Result<(), ArrowError> {
        let (writer, schema) = match (&mut self.writer, self.file.take()) {
            (Some(writer), _) => writer,
            (none, Some(file)) => {
                let writer = StreamWriter::try_new(BufWriter::with_capacity(1 << 16, file), rows.schema_ref())?;
                none.insert((writer, rows.schema()))
            }
            (None, None) => return Err(ArrowError::IpcError("an earlier write failed".to_owned())),
        };
        // A table's batches have one schema, whatever nullability the kernels that made them say.
        writer.write(&columns_of(schema, rows.columns().to_vec(), rows.num_rows())?)
    }

    /// The file, whole.
    ///
    /// # Errors
    ///
    /// [`ExecError::Spill`] where the last of it cannot be written.
    pub fn finish(mut self) -> Result<SpillFile> {
        if let Some((mut writer, _)) = self.writer.take() {
            let path = self.made.path.clone();
            let finished = writer.finish().and_then(|()| writer.into_inner().map(drop));
            finished.map_err(|error| failed(&path, &error.to_string()))?;
        }
        Ok(self.made)
    }
}

/// A file that was written, and is removed when nobody needs it any more.
#[derive(Debug)]
pub struct SpillFile {
    path: PathBuf,
    rows: u64,
    bytes: u64,
    _folder: Arc<Made>,
}

impl SpillFile {
    /// Rows in it.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes that its batches took in memory.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its batches, in the order in which they were written.
    ///
    /// # Errors
    ///
    /// [`ExecError::Spill`] where it cannot be read.
    pub fn read(&self) -> Result<SpillReader> {
        let path = self.path.clone();
        if self.rows == 0 {
            return Ok(SpillReader { reader: None, path });
        }
        let open = || {
            let file = File::open(&self.path)?;
            StreamReader::try_new(BufReader::with_capacity(1 << 16, file), None)
        };
        let reader = open().map_err(|error: ArrowError| failed(&path, &error.to_string()))?;
        Ok(SpillReader { reader: Some(reader), path })
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // Its folder is removed with the job in any case.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Reads a file batch by batch.
#[derive(Debug)]
pub struct SpillReader {
    reader: Option<StreamReader<BufReader<File>>>,
    path: PathBuf,
}

impl Iterator for SpillReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.reader.as_mut()?.next()?;
        Some(next.map_err(|error| failed(&self.path, &error.to_string())))
    }
}

fn failed(path: &Path, why: &str) -> ExecError {
    let folder = path.parent().unwrap_or(path);
    ExecError::Spill { folder: folder.display().to_string(), why: why.to_owned() }
}
