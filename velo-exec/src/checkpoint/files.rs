//! Tables of state as Arrow IPC files, which DuckDB, pyarrow and others open.

use std::sync::Arc;

use arrow_ipc::writer::FileWriter;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt, TryStreamExt};
use velo_core::batch::columns_of;

use super::folder::{Created, Folder, plain};
use super::in_file::InFile;
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
        let mut room = Vec::new();
        for part in 0.. {
            let encoded = aside(size, move || encode(&mut batches, room).map(|encoded| (encoded, batches))).await?;
            let (encoded, rest) = encoded?;
            batches = rest;
            let Some(Encoded { rows, bytes, checksum }) = encoded else { break };
            let part = if part == 0 { String::new() } else { format!("-part{part}") };
            let path = format!("{checkpoint}/state-{attempt}/{}/{}-{task}{part}.arrow", plain(operator), plain(&table));
            let length = bytes.len() as u64;
            if folder.create(&path, bytes.clone()).await? == Created::Taken {
                return Err(replaced(&path));
            }
            files.push(StateFile { table: table.clone(), path, rows, bytes: length, checksum });
            // The next file is made where this one was: memory that was used before costs less than other.
            room = bytes.try_into_mut().map_or_else(|_| Vec::new(), emptied);
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
    let reads = saved.files.iter().map(|file| read_file(folder, file, pool)).collect::<Vec<_>>();
    let read = stream::iter(reads).buffered(AT_ONCE).try_collect::<Vec<_>>().await?;
    for (file, chunks) in saved.files.iter().zip(read) {
        state.tables.entry(file.table.clone()).or_default().extend(chunks);
    }
    Ok(state)
}

/// The rows of a file whose bytes are those that were written.
async fn read_file(folder: &Folder, file: &StateFile, pool: &Arc<MemoryPool>) -> Result<Vec<Chunk>> {
    let bytes = folder.read(&file.path).await?.ok_or_else(|| damaged(&file.path, "it is missing"))?;
    // All that is read until the operators have it would be in memory beside what they make of it.
    let by_disk = pool.goes_by_disk(bytes.len()).then(|| Arc::clone(pool));
    let written = file.clone();
    let read = move || {
        check(&bytes, &written)?;
        decode(bytes, by_disk.as_deref()).map_err(|error| match error {
            error @ ExecError::Spill { .. } => error,
            error => damaged(&written.path, &error.to_string()),
        })
    };
    aside(file.bytes, read).await?
}

/// Whether the bytes of a file are those that were written.
fn check(bytes: &Bytes, file: &StateFile) -> Result<()> {
    if bytes.len() as u64 != file.bytes {
        let why = format!("it has {} bytes, and {} were written", bytes.len(), file.bytes);
        return Err(damaged(&file.path, &why));
    }
    if checksum(bytes) != file.checksum {
        return Err(damaged(&file.path, "its checksum does not fit its content"));
    }
    Ok(())
}

/// Work over so many bytes: on a thread of its own where it would keep other tasks waiting.
pub(crate) async fn aside<T: Send + 'static>(bytes: u64, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    const LITTLE: u64 = 1 << 16;
    if bytes < LITTLE {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| ExecError::Internal(error.to_string()))
}

/// So many files of a task are read at a time, and so many tasks' files: while one comes from the store, another is checked and taken
/// apart.
pub(crate) const AT_ONCE: usize = 2;

/// A file has about so many bytes at most: it is made in memory.
const PART: usize = if cfg!(test) { 1 << 18 } else { 64 << 20 };

/// A file of a table.
struct Encoded {
    rows: u64,
    bytes: Bytes,
    checksum: String,
}

/// The next file of a table, made in `room`; `None` where there are no more rows.
fn encode(batches: &mut Batches, room: Vec<u8>) -> Result<Option<Encoded>> {
    let Some(first) = batches.next().transpose()? else { return Ok(None) };
    let schema = first.schema();
    let mut writer = FileWriter::try_new(room, &schema)?;
    let (mut rows, mut next) = (0, Some(first));
    while let Some(batch) = next {
        rows += batch.num_rows() as u64;
        // A table's batches have one schema, whatever nullability the kernels that made them say.
        writer.write(&columns_of(&schema, batch.columns().to_vec(), batch.num_rows())?)?;
        next = if writer.get_ref().len() < PART { batches.next().transpose()? } else { None };
    }
    writer.finish()?;
    let bytes = Bytes::from(writer.into_inner()?);
    let checksum = checksum(&bytes);
    Ok(Some(Encoded { rows, bytes, checksum }))
}

fn emptied(mut bytes: BytesMut) -> Vec<u8> {
    bytes.clear();
    Vec::from(bytes)
}

/// Rows of a file in memory, where they stay until they are taken, or on disk.
fn decode(bytes: Bytes, by_disk: Option<&MemoryPool>) -> Result<Vec<Chunk>> {
    let batches = InFile::all(bytes)?;
    let Some(pool) = by_disk else { return Ok(batches.into_iter().map(Chunk::InFile).collect()) };
    let mut file = pool.folder().create()?;
    for batch in batches {
        file.write(&batch.read()?)?;
    }
    Ok(vec![Chunk::Spilled(Arc::new(file.finish()?))])
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, Int64Array, RecordBatch};
    use arrow_schema::{DataType, Field, Schema};

    use super::*;
    use crate::checkpoint::{Reached, Share, StateReader, StateWriter};

    fn saved(batches: i64) -> OperatorState {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]));
        let mut state = StateWriter::new();
        for batch in 0..batches {
            let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(batch * 1_000..(batch + 1) * 1_000));
            let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(&keys)]).unwrap();
            state.keyed("t", &[keys], &rows).unwrap();
        }
        state.finish(Reached::default()).unwrap().remove(0)
    }

    fn keys(state: &OperatorState, share: Share) -> Vec<i64> {
        let rows = StateReader::new(vec![state.clone()], share).rows("t").unwrap();
        rows.iter().flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[tokio::test]
    async fn a_table_of_several_files_comes_back_in_its_order() {
        let dir = tempfile::tempdir().unwrap();
        for folder in [Folder::in_memory(), Folder::open(dir.path().to_str().unwrap()).unwrap()] {
            let state = saved(150);
            let task = write(&folder, (1, 1), "op", "0", state.clone()).await.unwrap();
            assert!(task.files.len() >= 3, "{}", task.files.len());
            assert_eq!(task.files.iter().map(|file| file.rows).sum::<u64>(), 150_000);
            for pool in [MemoryPool::unbounded(), MemoryPool::forced()] {
                let read = read(&folder, &task, &pool).await.unwrap();
                assert_eq!(keys(&read, Share::WHOLE), (0..150_000).collect::<Vec<_>>());
                for task in 0..3 {
                    let share = Share { task, tasks: 3 };
                    assert_eq!(keys(&read, share), keys(&state, share));
                }
            }
            let mut damaged = task.clone();
            damaged.files[1].checksum = damaged.files[0].checksum.clone();
            let error = read(&folder, &damaged, &MemoryPool::unbounded()).await.unwrap_err();
            assert!(error.to_string().contains(&task.files[1].path), "{error}");
        }
    }
}
