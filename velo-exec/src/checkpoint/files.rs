//! Tables of state as Arrow IPC files, which DuckDB, pyarrow and others open.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use bytes::Bytes;

use super::folder::{Created, Folder, plain};
use super::manifest::{SavedTask, StateFile, checksum};
use super::state::{OperatorState, damaged};
use crate::error::{ExecError, Result};

/// Writes what a task of an operator kept below `n/state`; `task` tells it from the other tasks.
pub async fn write(
    folder: &Folder,
    checkpoint: u64,
    operator: &str,
    task: usize,
    state: OperatorState,
) -> Result<SavedTask> {
    let mut files = Vec::with_capacity(state.tables.len());
    for (table, batches) in state.tables {
        let path = format!("{checkpoint}/state/{}/{}-{task}.arrow", plain(operator), plain(&table));
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let size: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let encoded = aside(size, move || {
            let bytes = encode(&batches)?;
            let sum = checksum(&bytes);
            Ok::<_, ExecError>((bytes, sum))
        });
        let (bytes, checksum) = encoded.await??;
        let length = bytes.len() as u64;
        if folder.create(&path, bytes).await? == Created::Taken {
            return Err(replaced(&path));
        }
        files.push(StateFile { table, path, rows, bytes: length, checksum });
    }
    Ok(SavedTask { files, values: state.values, reached: state.reached })
}

/// Somebody else writes into this folder.
pub fn replaced(what: &str) -> ExecError {
    ExecError::Replaced { what: what.to_owned() }
}

/// Reads what [`write`] wrote, and checks it.
///
/// # Errors
///
/// [`ExecError::State`] where a file is missing or damaged.
pub async fn read(folder: &Folder, saved: &SavedTask) -> Result<OperatorState> {
    let mut state = OperatorState { values: saved.values.clone(), reached: saved.reached, tables: Default::default() };
    for file in &saved.files {
        let bytes = checked(folder, file).await?;
        let decoded = aside(bytes.len(), move || decode(bytes)).await?;
        let batches = decoded.map_err(|error| damaged(&file.path, &error.to_string()))?;
        state.tables.entry(file.table.clone()).or_default().extend(batches);
    }
    Ok(state)
}

/// The bytes of a file, which are those that were written.
pub async fn checked(folder: &Folder, file: &StateFile) -> Result<Bytes> {
    let bytes = folder.read(&file.path).await?.ok_or_else(|| damaged(&file.path, "it is missing"))?;
    if bytes.len() as u64 != file.bytes {
        let why = format!("it has {} bytes, and {} were written", bytes.len(), file.bytes);
        return Err(damaged(&file.path, &why));
    }
    if checksum(&bytes) != file.checksum {
        return Err(damaged(&file.path, "its checksum does not fit its content"));
    }
    Ok(bytes)
}

/// Work over so many bytes: on a thread of its own where it would keep other tasks waiting.
async fn aside<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    const LITTLE: usize = 1 << 16;
    if bytes < LITTLE {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| ExecError::Internal(error.to_string()))
}

fn encode(batches: &[RecordBatch]) -> Result<Bytes> {
    let Some(first) = batches.first() else { return Ok(Bytes::new()) };
    let mut writer = FileWriter::try_new(Vec::new(), first.schema_ref())?;
    for batch in batches {
        // A table's batches have one schema, whatever nullability the kernels that made them say.
        if batch.schema_ref() == first.schema_ref() {
            writer.write(batch)?;
        } else {
            writer.write(&RecordBatch::try_new(Arc::clone(first.schema_ref()), batch.columns().to_vec())?)?;
        }
    }
    writer.finish()?;
    Ok(Bytes::from(writer.into_inner()?))
}

fn decode(bytes: Bytes) -> Result<Vec<RecordBatch>> {
    let reader = FileReader::try_new(std::io::Cursor::new(bytes), None)?;
    Ok(reader.collect::<Result<_, _>>()?)
}
