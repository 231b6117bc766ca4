//! Batches in the bytes of an Arrow IPC file, which are made columns one after the other.
//!
//! The bytes of a state are in memory until its operators have it. Columns that lay in them would keep all of a file for as long as
//! an operator keeps one of them, and columns beside them would take as much again at once. So each batch is copied when it is taken,
//! unless nothing of it is kept as it is.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::{Block, root_as_footer};
use arrow_schema::ArrowError;
use bytes::Bytes;

/// What stands behind the footer of a file: its length, and the mark of the format.
const TRAILER: usize = 10;

/// A file in memory.
#[derive(Debug)]
struct File {
    bytes: Buffer,
    decoder: FileDecoder,
}

impl File {
    /// The bytes of a block.
    fn block(&self, block: &Block) -> Result<Buffer, ArrowError> {
        block_of(&self.bytes, block)
    }

    fn decode(&self, block: &Block, bytes: &Buffer) -> Result<RecordBatch, ArrowError> {
        let rows = self.decoder.read_record_batch(block, bytes)?;
        rows.ok_or_else(|| ArrowError::IpcError("a batch has no content".to_owned()))
    }
}

/// A batch in a file.
#[derive(Debug, Clone)]
pub struct InFile {
    file: Arc<File>,
    block: Block,
    rows: u64,
}

impl InFile {
    /// The batches of a file, of which each can be read.
    pub(super) fn all(bytes: Bytes) -> Result<Vec<Self>, ArrowError> {
        let bytes = Buffer::from(bytes);
        let short = || ArrowError::IpcError("it ends too early".to_owned());
        let (rest, trailer) = bytes.as_slice().split_last_chunk::<TRAILER>().ok_or_else(short)?;
        let from = rest.len().checked_sub(read_footer_length(*trailer)?).ok_or_else(short)?;
        let footer = root_as_footer(&rest[from..]).map_err(|error| ArrowError::IpcError(error.to_string()))?;
        let schema = footer.schema().ok_or_else(|| ArrowError::IpcError("it has no schema".to_owned()))?;
        if !schema.endianness().equals_to_target_endianness() {
            return Err(ArrowError::IpcError("its bytes are in the order of another kind of machine".to_owned()));
        }
        let mut decoder = FileDecoder::new(Arc::new(fb_to_schema(schema)), footer.version());
        for block in footer.dictionaries().iter().flatten() {
            decoder.read_dictionary(block, &block_of(&bytes, block)?)?;
        }
        let blocks = footer.recordBatches().iter().flatten().copied().collect::<Vec<_>>();
        let file = Arc::new(File { bytes, decoder });
        let in_file = |block: Block| {
            // Columns that lie in the bytes, only to see that they are whole.
            let unread = Self { file: Arc::clone(&file), block, rows: 0 };
            let rows = unread.in_place()?.num_rows() as u64;
            Ok(Self { rows, ..unread })
        };
        blocks.into_iter().map(in_file).collect()
    }

    /// How many rows it has.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of its columns.
    pub(super) fn bytes(&self) -> u64 {
        u64::try_from(self.block.bodyLength()).unwrap_or(0)
    }

    /// Its columns, beside the file.
    pub(super) fn read(&self) -> Result<RecordBatch, ArrowError> {
        let block = self.file.block(&self.block)?;
        self.file.decode(&self.block, &Buffer::from(block.as_slice()))
    }

    /// Its columns where they lie, for who does not keep them.
    pub(super) fn in_place(&self) -> Result<RecordBatch, ArrowError> {
        self.file.decode(&self.block, &self.file.block(&self.block)?)
    }
}

/// The bytes of a block, where the file has them.
fn block_of(bytes: &Buffer, block: &Block) -> Result<Buffer, ArrowError> {
    let whole = || {
        let from = usize::try_from(block.offset()).ok()?;
        let head = usize::try_from(block.metaDataLength()).ok()?;
        let length = head.checked_add(usize::try_from(block.bodyLength()).ok()?)?;
        (from.checked_add(length)? <= bytes.len()).then(|| bytes.slice_with_length(from, length))
    };
    whole().ok_or_else(|| ArrowError::IpcError("a batch lies beyond its end".to_owned()))
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Int64Array, StringArray};
    use arrow_ipc::writer::FileWriter;
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    fn batches() -> Vec<RecordBatch> {
        let fields = vec![Field::new("v", DataType::Int64, true), Field::new("t", DataType::Utf8, true)];
        let schema = Arc::new(Schema::new(fields));
        let batch = |values: Vec<Option<i64>>| {
            let texts = values.iter().map(|value| value.map(|value| format!("value {value}"))).collect::<StringArray>();
            let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(values)), Arc::new(texts)];
            RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
        };
        vec![batch(vec![Some(1), None, Some(3)]), batch(vec![]), batch((0..5_000).map(Some).collect())]
    }

    fn file(batches: &[RecordBatch]) -> Vec<u8> {
        let mut writer = FileWriter::try_new(Vec::new(), batches[0].schema_ref()).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn batches_come_as_they_were_and_apart_from_the_file() {
        let written = batches();
        let bytes = file(&written);
        let size = bytes.len();
        let read = InFile::all(Bytes::from(bytes)).unwrap();
        assert_eq!(read.iter().map(InFile::rows).collect::<Vec<_>>(), [3, 0, 5_000]);
        for (read, written) in read.iter().zip(&written) {
            let batch = read.read().unwrap();
            assert_eq!((&batch, &read.in_place().unwrap()), (written, written));
            // Of all columns together: they lie in one buffer.
            let buffers = batch.columns().iter().flat_map(|column| column.to_data().buffers().to_vec());
            assert!(
                buffers
                    .map(|buffer| buffer.capacity())
                    .all(|capacity| capacity <= size.min(read.bytes() as usize + 1_024))
            );
        }
    }

    /// Whatever bytes there are: an error, or batches; never a panic.
    #[test]
    fn what_is_cut_off_or_changed_is_no_crash() {
        let bytes = file(&batches()[..1]);
        for to in 0..bytes.len() {
            assert!(InFile::all(Bytes::copy_from_slice(&bytes[..to])).is_err(), "{to}");
        }
        for block in [Block::new(0, 8, i64::MAX), Block::new(-1, 8, 8), Block::new(i64::MAX, i32::MAX, 0)] {
            assert!(block_of(&Buffer::from(bytes.as_slice()), &block).is_err());
        }
    }
}
