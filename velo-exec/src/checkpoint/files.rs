//! Tables of state as Arrow IPC files, which DuckDB, pyarrow and others open.

use std::sync::Arc;

use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use bytes::Bytes;
use velo_core::batch::columns_of;

use super::folder::{Created, Folder, plain};
use super::manifest::{SavedTask, StateFile, checksum};
use super::state::{Batches, Chunk, OperatorState, damaged};
use crate::error::{ExecError, Result};
use crate::spill::MemoryPool;

/// Writes what a task of an operator kept for a checkpoint; `task` tells it from the other tasks and shards. The attempt is part of
/// the path: an older process that has not noticed yet that it was replaced may be making a checkpoint of the same number.
pub async fn write(
    folder: &Folder,
    (checkpoint, attempt): (u64, u64),
    operator: &str,
    task: &str,
    state: OperatorState,
) -> Result<SavedTask> {
    let mut files = Vec::with_capacity(state.tables.len());
    for (table, chunks) in state.tables {
        let size = chunks.iter().map(Chunk::bytes).sum::<u64>();
        let mut batches = Batches::of(chunks);
        for part in 0.. {
            let encoded = aside(size, move || encode(&mut batches).map(|encoded| (encoded, batches))).await?;
            let (encoded, rest) = encoded?;
            batches = rest;
            let Some((rows, bytes)) = encoded else { break };
            let part = if part == 0 { String::new() } else { format!("-part{part}") };
            let path = format!("{checkpoint}/state-{attempt}/{}/{}-{task}{part}.arrow", plain(operator), plain(&table));
            let (length, checksum) = (bytes.len() as u64, checksum(&bytes));
            if folder.create(&path, bytes).await? == Created::Taken {
                return Err(replaced(&path));
            }
            files.push(StateFile { table: table.clone(), path, rows, bytes: length, checksum });
        }
    }
    Ok(SavedTask { files, values: state.values, reached: state.reached, shard: state.shard })
}

/// Somebody else writes into this folder.
pub fn replaced(what: &str) -> ExecError {
    ExecError::Replaced { what: what.to_owned() }
}

/// Reads what [`write`] wrote, and checks it. Where memory is short in `pool`, it goes from one folder to another.
///
/// # Errors
///
/// [`ExecError::State`] where a file is missing or damaged.
pub async fn read(folder: &Folder, saved: &SavedTask, pool: &Arc<MemoryPool>) -> Result<OperatorState> {
    let mut state = OperatorState {
        values: saved.values.clone(),
        reached: saved.reached,
        shard: saved.shard,
        tables: Default::default(),
    };
    for file in &saved.files {
        let bytes = checked(folder, file).await?;
        // All that is read until the operators have it would be in memory beside what they make of it.
        let by_disk = pool.goes_by_disk(bytes.len()).then(|| Arc::clone(pool));
        let read = move || match by_disk {
            Some(pool) => spill(bytes, &pool),
            None => decode(bytes),
        };
        let decoded = aside(file.bytes, read).await?;
        let chunks = decoded.map_err(|error| match error {
            error @ ExecError::Spill { .. } => error,
            error => damaged(&file.path, &error.to_string()),
        })?;
        state.tables.entry(file.table.clone()).or_default().extend(chunks);
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
async fn aside<T: Send + 'static>(bytes: u64, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    const LITTLE: u64 = 1 << 16;
    if bytes < LITTLE {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| ExecError::Internal(error.to_string()))
}

/// A file has about so many bytes at most: it is made in memory.
const PART: usize = 64 << 20;

/// The next file of a table: its rows and its bytes; `None` where there are no more rows.
fn encode(batches: &mut Batches) -> Result<Option<(u64, Bytes)>> {
    let Some(first) = batches.next().transpose()? else { return Ok(None) };
    let schema = first.schema();
    let mut writer = FileWriter::try_new(Vec::new(), &schema)?;
    let (mut rows, mut next) = (0, Some(first));
    while let Some(batch) = next {
        rows += batch.num_rows() as u64;
        // A table's batches have one schema, whatever nullability the kernels that made them say.
        writer.write(&columns_of(&schema, batch.columns().to_vec(), batch.num_rows())?)?;
        next = if writer.get_ref().len() < PART { batches.next().transpose()? } else { None };
    }
    writer.finish()?;
    Ok(Some((rows, Bytes::from(writer.into_inner()?))))
}

fn decode(bytes: Bytes) -> Result<Vec<Chunk>> {
    let reader = FileReader::try_new(std::io::Cursor::new(bytes), None)?;
    Ok(reader.map(|rows| rows.map(Chunk::Here)).collect::<Result<_, _>>()?)
}

fn spill(bytes: Bytes, pool: &MemoryPool) -> Result<Vec<Chunk>> {
    let mut file = pool.folder().create()?;
    for rows in FileReader::try_new(std::io::Cursor::new(bytes), None)? {
        file.write(&rows?)?;
    }
    Ok(vec![Chunk::Spilled(Arc::new(file.finish()?))])
}
