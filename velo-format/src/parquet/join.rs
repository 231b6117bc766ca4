//! Several files as one: their row groups are copied as they are, and get a footer together.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use bytes::Bytes;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::SerializedFileWriter;
use velo_core::error::ConnectorError;

use super::encode::{created_by, not_written};

/// Bytes that are handed to the system at once.
const PIECE: usize = 1 << 20;

/// Writes one file to `to`, with the row groups of all files that lie one behind the other in `from` and end where `ends` say. All are
/// of one encoder's columns.
pub fn join(from: &File, ends: &[u64], to: &File) -> Result<(), ConnectorError> {
    copy_groups(from, ends, to).map_err(|error| not_written(&error))
}

fn copy_groups(from: &File, ends: &[u64], to: &File) -> ParquetResult<()> {
    let mut start = 0;
    let mut writer = None;
    for &end in ends {
        let section = Section { file: from, start, length: end.saturating_sub(start) };
        start = end;
        let metadata = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Optional)
            .parse_and_finish(&section)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(begin(&metadata, to)?),
        };
        for (number, group) in metadata.row_groups().iter().enumerate() {
            let mut out = writer.next_row_group()?;
            for (at, column) in group.columns().iter().enumerate() {
                let column_index = metadata.column_index().and_then(|groups| groups.get(number)?.get(at));
                let offset_index = metadata.offset_index().and_then(|groups| groups.get(number)?.get(at));
                let written = ColumnCloseResult {
                    bytes_written: column.compressed_size().unsigned_abs(),
                    rows_written: group.num_rows().unsigned_abs(),
                    metadata: column.clone(),
                    // Our encoder makes none.
                    bloom_filter: None,
                    column_index: column_index.cloned(),
                    offset_index: offset_index.cloned(),
                };
                out.append_column(&section, written)?;
            }
            out.close()?;
        }
    }
    let Some(mut writer) = writer else { return Err(ParquetError::General("there is no file to join".to_owned())) };
    writer.finish()?;
    writer.inner_mut().flush()?;
    Ok(())
}

/// The writer of a file like that of `first`.
fn begin<'a>(first: &ParquetMetaData, to: &'a File) -> ParquetResult<SerializedFileWriter<BufWriter<&'a File>>> {
    let about = first.file_metadata();
    let properties = WriterProperties::builder()
        .set_created_by(created_by())
        .set_key_value_metadata(about.key_value_metadata().cloned())
        .build();
    let out = BufWriter::with_capacity(PIECE, to);
    SerializedFileWriter::new(out, about.schema_descr().root_schema_ptr(), Arc::new(properties))
}

/// A part of a file that is a file in itself. Only one of its readers is used at a time: they share the place at which the file stands.
struct Section<'a> {
    file: &'a File,
    start: u64,
    length: u64,
}

impl Section<'_> {
    fn at(&self, start: u64) -> io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(self.start + start))?;
        Ok(file)
    }
}

impl Length for Section<'_> {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Section<'_> {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(BufReader::with_capacity(PIECE, self.at(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let mut bytes = Vec::with_capacity(length);
        let read = self.at(start)?.take(length as u64).read_to_end(&mut bytes)?;
        if read < length {
            return Err(ParquetError::EOF(format!("a file ends after {read} of {length} bytes")));
        }
        Ok(bytes.into())
    }
}
