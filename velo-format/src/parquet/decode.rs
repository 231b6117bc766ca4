//! The decoder: row groups into batches.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use bytes::{Buf, Bytes};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use velo_core::batch::Batch;
use velo_core::connector::{Chunk, ChunkDecoder, Decoded, RecordError};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::place::{Origin, Positions};

use super::convert::{Refusal, convert};
use super::footer::Footer;
use super::project::{Projected, Projection};
use super::unreadable;

/// A row group, in [`Chunk::frames`]; the chunk has its bytes.
#[derive(Debug, Clone)]
pub struct RowGroup {
    /// The file's footer.
    pub footer: Footer,
    /// What is made of it.
    pub projection: Arc<Projection>,
    /// The row group's number.
    pub group: usize,
    /// Where in the file the bytes of the chunk are, one range after the other.
    pub ranges: Vec<Range<u64>>,
}

/// Decodes row groups.
#[derive(Debug)]
pub struct ParquetDecoder {
    batch_rows: usize,
}

impl ParquetDecoder {
    /// A decoder that makes batches of at most `batch_rows` rows.
    pub fn new(batch_rows: usize) -> Self {
        Self { batch_rows: batch_rows.max(1) }
    }

    /// Decodes a row group, whose bytes are `bytes` and whose rows begin at `origin`.
    pub fn decode_group(&self, group: &RowGroup, bytes: &Bytes, origin: &Origin) -> Result<Decoded, ConnectorError> {
        let mut decoded = Decoded::default();
        let (mut position, mut good) = (origin.position(0), 0);
        if group.projection.leaves.is_empty() {
            // The footer knows how many rows there are.
            let rows = group.footer.rows(group.group);
            let mut left = usize::try_from(rows).unwrap_or(usize::MAX);
            while left > 0 {
                let rows = left.min(self.batch_rows);
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let columns = RecordBatch::try_new_with_options(Arc::clone(&group.projection.schema), vec![], &options);
                let positions = Positions::Consecutive { first: position };
                let origin = Some(Origin { positions, ..origin.clone() });
                decoded.batches.push(Batch { origin, ..Batch::new(columns.map_err(failed)?) });
                (position, left) = (position + rows as u64, left - rows);
            }
            return Ok(decoded);
        }
        let parts = Parts { ranges: Arc::from(group.ranges.as_slice()), bytes: bytes.clone() };
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(parts, group.footer.metadata.clone())
            .with_projection(group.projection.mask(&group.footer))
            .with_row_groups(vec![group.group])
            .with_batch_size(self.batch_rows)
            .build()
            .map_err(|error| unreadable(&error))?;
        for read in reader {
            let read = read.map_err(failed)?;
            let made = self.batch(group, &read, origin, position, good, &mut decoded.errors)?;
            position += read.num_rows() as u64;
            if let Some(made) = made {
                good += made.rows();
                decoded.batches.push(made);
            }
        }
        Ok(decoded)
    }

    /// The rows of a batch that can be made; the others are errors.
    fn batch(
        &self,
        group: &RowGroup,
        read: &RecordBatch,
        origin: &Origin,
        position: u64,
        good: usize,
        errors: &mut Vec<RecordError>,
    ) -> Result<Option<Batch>, ConnectorError> {
        let projection = &group.projection;
        let at = |positions: Positions| Origin { positions, ..origin.clone() };
        let whole = at(Positions::Consecutive { first: position });
        if let Ok(columns) = columns(&projection.columns, read) {
            let columns = RecordBatch::try_new(Arc::clone(&projection.schema), columns).map_err(failed)?;
            return Ok(Some(Batch { origin: Some(whole), ..Batch::new(columns) }));
        }
        // One of the rows cannot be read, so each is tried alone.
        let mut keep = Vec::with_capacity(read.num_rows());
        for row in 0..read.num_rows() {
            let refused = columns(&projection.columns, &read.slice(row, 1)).err();
            keep.push(refused.is_none());
            if let Some((field, message)) = refused {
                let kept = keep.iter().filter(|kept| **kept).count();
                let place = whole.place(row);
                errors.push(RecordError { place, field: Some(field), message, bytes: None, after_rows: good + kept });
            }
        }
        let mask = BooleanArray::from(keep);
        let kept = arrow_select::filter::filter_record_batch(read, &mask).map_err(failed)?;
        if kept.num_rows() == 0 {
            return Ok(None);
        }
        let columns = columns(&projection.columns, &kept).map_err(|(field, message)| {
            ConnectorError::new(ErrorKind::Decode, "reading Parquet", format!("field '{field}': {message}"))
        })?;
        let columns = RecordBatch::try_new(Arc::clone(&projection.schema), columns).map_err(failed)?;
        let rows = (0..mask.len()).filter(|row| mask.value(*row)).map(|row| whole.position(row));
        let origin = at(Positions::Each(UInt64Array::from_iter_values(rows)));
        Ok(Some(Batch { origin: Some(origin), ..Batch::new(columns) }))
    }
}

impl ChunkDecoder for ParquetDecoder {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded, ConnectorError> {
        let group = chunk.frames.as_ref().and_then(|frames| frames.downcast_ref::<RowGroup>());
        let group = group.ok_or_else(|| {
            ConnectorError::new(ErrorKind::Decode, "reading Parquet", "the chunk is no row group of a Parquet file")
        })?;
        let decoded = self.decode_group(group, &chunk.bytes, &chunk.origin);
        decoded.map_err(|error| if error.place.is_some() { error } else { error.at(chunk.origin.place(0)) })
    }
}

fn failed(error: arrow_schema::ArrowError) -> ConnectorError {
    unreadable(&ParquetError::ArrowError(error.to_string()))
}

/// The wanted columns of what was read; the field and the reason where one has a value that does not fit.
fn columns(wanted: &[Projected], read: &RecordBatch) -> Result<Vec<ArrayRef>, (String, Refusal)> {
    wanted
        .iter()
        .map(|column| {
            let named = |message: Refusal| (column.path.join("."), message);
            let array = within(read, &column.path).ok_or_else(|| named("it was not read".to_owned()))?;
            convert(&array, &column.field).map_err(named)
        })
        .collect()
}

/// The array at a path; where a group is NULL, so is all in it.
fn within(read: &RecordBatch, path: &[String]) -> Option<ArrayRef> {
    let (first, rest) = path.split_first()?;
    let mut array = Arc::clone(read.column_by_name(first)?);
    for name in rest {
        let group = array.as_struct_opt()?;
        let inner = Arc::clone(group.column_by_name(name)?);
        array = match group.nulls() {
            Some(nulls) => arrow_select::nullif::nullif(&inner, &BooleanArray::new(!nulls.inner(), None)).ok()?,
            None => inner,
        };
    }
    Some(array)
}

/// The parts of a file that were read.
#[derive(Debug, Clone)]
struct Parts {
    ranges: Arc<[Range<u64>]>,
    bytes: Bytes,
}

impl Parts {
    /// The bytes from `start` on, as far as they were read.
    fn from(&self, start: u64) -> parquet::errors::Result<Bytes> {
        let mut before = 0;
        for range in self.ranges.iter() {
            let length = range.end - range.start;
            if range.contains(&start) {
                // The lengths add up to that of the bytes, so all fit.
                let from = usize::try_from(before + start - range.start)?;
                let to = usize::try_from(before + length)?;
                if to <= self.bytes.len() {
                    return Ok(self.bytes.slice(from..to));
                }
            }
            before += length;
        }
        Err(ParquetError::EOF(format!("byte {start} belongs to no column that is read")))
    }
}

impl Length for Parts {
    fn len(&self) -> u64 {
        self.ranges.last().map_or(0, |range| range.end)
    }
}

impl ChunkReader for Parts {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let bytes = self.from(start)?;
        if length > bytes.len() {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at {start} are expected, and there are {}",
                bytes.len()
            )));
        }
        Ok(bytes.slice(..length))
    }
}

/// Reads all that is wanted of a row group: `read_at` fills a buffer from a place of the file.
impl RowGroup {
    /// The bytes of the ranges, one after the other.
    pub fn read(
        ranges: &[Range<u64>],
        mut read_at: impl FnMut(&mut [u8], u64) -> std::io::Result<()>,
    ) -> std::io::Result<Bytes> {
        let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let mut bytes = vec![0; usize::try_from(total).map_err(std::io::Error::other)?];
        let mut rest = bytes.as_mut_slice();
        for range in ranges {
            // A part of the total, which fits.
            let (part, more) = rest.split_at_mut((range.end - range.start) as usize);
            read_at(part, range.start)?;
            rest = more;
        }
        Ok(Bytes::from(bytes))
    }
}
