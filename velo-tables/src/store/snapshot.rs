//! A table saved and loaded: its rows as an Arrow IPC stream, and how far its source was read, in frames with a checksum each.
//!
//! The form: eight bytes that name it and its format version, then frames: four bytes of length, the bytes, eight bytes of
//! their XXH3; a frame of no bytes is the end. In the frames are eight bytes of length and the head as JSON, then the stream.
//! Nothing is interpreted before its checksum was compared.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{ArrayRef, Int8Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use velo_core::batch::{Batch, columns_of};
use velo_core::error::{ConnectorError, ErrorKind, Result};
use velo_core::lookup::{TableVersion, TableWriter};
use velo_core::offset::SourceOffset;
use velo_core::time::Watermark;
use xxhash_rust::xxh3::xxh3_64;

use crate::store::apply::Restored;
use crate::store::index::failed;
use crate::store::marks::Marks;
use crate::store::state::{SCAN_ROWS, State};
use crate::store::table::{Table, TableCounts};
use crate::store::writer::Writer;

const MAGIC: &[u8; 6] = b"VELOTB";
/// The version of the form; one that is not known is refused.
const FORMAT: u16 = 1;
/// The most bytes of a frame: what a damaged length can ask for.
const FRAME: usize = 1 << 20;
/// The column that says what a row is, in the snapshot of a table that keeps its versions.
const WHAT: &str = "$what";
const GONE: i8 = 1;
const STANDS: i8 = 2;
const LISTED: i8 = 4;

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    table: String,
    keeps_versions: bool,
    rows: u64,
    watermark: i64,
    offset: SourceOffset,
    counts: TableCounts,
}

/// What was saved beside the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// How far the source had been read.
    pub offset: SourceOffset,
    /// The counters.
    pub counts: TableCounts,
    /// The watermark of the version.
    pub watermark: Watermark,
}

/// Saves the version that stands, and that the source had been read up to `offset` for it.
///
/// # Errors
///
/// Where `out` cannot be written.
pub fn save(table: &Table, offset: &SourceOffset, out: &mut dyn Write) -> Result<()> {
    let version = table.current();
    let state = version.state();
    let head = Head {
        table: state.shape.name.clone(),
        keeps_versions: state.shape.keeps_versions,
        rows: state.rows,
        watermark: version.watermark().0,
        offset: offset.clone(),
        counts: table.counters().counts(),
    };
    let write = |error: io::Error| ConnectorError::from_io(error, "saving a table", &state.shape.name);
    let head = serde_json::to_vec(&head).map_err(|error| write(error.into()))?;
    out.write_all(MAGIC).map_err(write)?;
    out.write_all(&FORMAT.to_le_bytes()).map_err(write)?;
    let mut frames = FrameWriter { out, buffer: Vec::new() };
    frames.write_all(&(head.len() as u64).to_le_bytes()).map_err(write)?;
    frames.write_all(&head).map_err(write)?;
    let arrow = |error: ArrowError| match error {
        ArrowError::IoError(_, error) => write(error),
        other => failed(other),
    };
    let schema = saved_schema(state);
    let mut stream = StreamWriter::try_new(&mut frames, &schema).map_err(arrow)?;
    if state.histories.is_some() {
        for rows in Versions::new(state, schema) {
            stream.write(&rows?).map_err(arrow)?;
        }
    } else {
        for rows in state.scan() {
            stream.write(&rows?).map_err(arrow)?;
        }
    }
    stream.finish().map_err(arrow)?;
    drop(stream);
    frames.frame().map_err(write)?;
    frames.frame().map_err(write)?;
    frames.out.flush().map_err(write)
}

fn saved_schema(state: &State) -> SchemaRef {
    let schema = &state.shape.schema;
    if !state.shape.keeps_versions {
        return Arc::clone(schema);
    }
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(Field::new(WHAT, DataType::Int8, false)));
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Every row that is needed, in the order in which they came, with what it is.
struct Versions<'a> {
    state: &'a State,
    schema: SchemaRef,
    gone: Marks,
    positions: Box<dyn Iterator<Item = u64> + 'a>,
}

impl<'a> Versions<'a> {
    fn new(state: &'a State, schema: SchemaRef) -> Self {
        let mut gone = Marks::default();
        for version in state.histories.iter().flat_map(|histories| histories.iter()).flatten() {
            if version.gone() {
                gone.set(version.position());
            }
        }
        let positions = state.segments.iter().flat_map(|segment| segment.positions());
        let needed = positions.filter(|position| !(state.dead.has(*position) && state.unlisted.has(*position)));
        Self { state, schema, gone, positions: Box::new(needed) }
    }
}

impl Iterator for Versions<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let positions: Vec<u64> = self.positions.by_ref().take(SCAN_ROWS).collect();
        if positions.is_empty() {
            return None;
        }
        let what = positions.iter().map(|position| {
            let gone = if self.gone.has(*position) { GONE } else { 0 };
            let stands = if self.state.dead.has(*position) { 0 } else { STANDS };
            let listed = if self.state.unlisted.has(*position) { 0 } else { LISTED };
            gone | stands | listed
        });
        let what: ArrayRef = Arc::new(Int8Array::from_iter_values(what));
        Some(
            self.state
                .segments
                .rows(&positions)
                .and_then(|rows| {
                    let mut columns = rows.columns().to_vec();
                    columns.push(what);
                    columns_of(&self.schema, columns, positions.len())
                })
                .map_err(failed),
        )
    }
}

/// Loads a snapshot into a table that nothing was written to, as what the next version holds; whether that makes the table ready is
/// for the caller to say.
///
/// # Errors
///
/// Where the snapshot is damaged, cut off, of another format, or of a table with other columns. The writer is not to be used
/// then.
pub fn load(writer: &mut Writer, from: &mut dyn Read) -> Result<Saved> {
    let name = writer.state.shape.name.clone();
    if writer.changed || writer.state.segments.end() > 0 {
        let message = format!("table `{name}` has rows already");
        return Err(ConnectorError::new(ErrorKind::Configuration, "loading a saved table", message));
    }
    let damaged = |what: String| {
        ConnectorError::new(
            ErrorKind::Decode,
            "loading a saved table",
            format!("the snapshot of table `{name}` {what}"),
        )
        .advise("delete it: the table is then loaded from its source again")
    };
    let mut start = [0; 8];
    from.read_exact(&mut start).map_err(|error| damaged(format!("cannot be read: {error}")))?;
    let format = u16::from_le_bytes([start[6], start[7]]);
    if start[..6] != *MAGIC {
        return Err(damaged("is damaged: it does not begin as one".to_owned()));
    }
    if format != FORMAT {
        return Err(damaged(format!("has format {format}; this release reads {FORMAT}")));
    }
    let mut frames = FrameReader { from, frame: Vec::new(), at: 0, ended: false };
    let mut length = [0; 8];
    frames.read_exact(&mut length).map_err(|error| damaged(error.to_string()))?;
    let mut head = Vec::new();
    let read = frames.by_ref().take(u64::from_le_bytes(length)).read_to_end(&mut head);
    read.map_err(|error| damaged(error.to_string()))?;
    let head: Head = serde_json::from_slice(&head).map_err(|error| damaged(format!("is damaged: {error}")))?;
    let other = |what: &str| {
        let message = format!("the snapshot of table `{name}` is of {what}");
        ConnectorError::new(ErrorKind::Configuration, "loading a saved table", message)
            .advise("delete it: the table is then loaded from its source again")
    };
    if head.table != name || head.keeps_versions != writer.state.shape.keeps_versions {
        return Err(other("another table, or of one that was declared otherwise"));
    }
    let mut stream = StreamReader::try_new(&mut frames, None).map_err(|error| damaged(error.to_string()))?;
    let (given, own) = (stream.schema(), saved_schema(&writer.state));
    let same = given.fields().len() == own.fields().len()
        && given
            .fields()
            .iter()
            .zip(own.fields())
            .all(|(given, own)| given.name() == own.name() && given.data_type() == own.data_type());
    if !same {
        return Err(other("a table with other columns"));
    }
    for rows in stream.by_ref() {
        let rows = rows.map_err(|error| damaged(error.to_string()))?;
        restore(writer, &rows)?;
    }
    drop(stream);
    if !frames.at_end().map_err(|error| damaged(error.to_string()))? {
        return Err(damaged("is damaged: it goes on behind its end".to_owned()));
    }
    if writer.state.rows != head.rows {
        return Err(damaged(format!("is damaged: it has {} rows of {}", writer.state.rows, head.rows)));
    }
    let counters = writer.table.counters();
    counters.replaced.store(head.counts.replaced, Ordering::Relaxed);
    counters.absent.store(head.counts.absent, Ordering::Relaxed);
    Ok(Saved { offset: head.offset, counts: head.counts, watermark: Watermark(head.watermark) })
}

fn restore(writer: &mut Writer, rows: &RecordBatch) -> Result<()> {
    if !writer.state.shape.keeps_versions {
        let rows = columns_of(&writer.state.shape.schema, rows.columns().to_vec(), rows.num_rows()).map_err(failed)?;
        return writer.apply(&Batch::new(rows));
    }
    let (columns, what) = rows.columns().split_at(rows.num_columns() - 1);
    let what = what[0].as_primitive::<Int8Type>();
    let restored =
        |what: &i8| Restored { gone: what & GONE != 0, stands: what & STANDS != 0, listed: what & LISTED != 0 };
    let what: Vec<_> = what.values().iter().map(restored).collect();
    let rows = columns_of(&writer.state.shape.schema, columns.to_vec(), rows.num_rows()).map_err(failed)?;
    writer.restore(&Batch::new(rows), &what)
}

/// Cuts what is written into frames.
struct FrameWriter<'a> {
    out: &'a mut dyn Write,
    buffer: Vec<u8>,
}

impl FrameWriter<'_> {
    /// Writes what has come as a frame.
    fn frame(&mut self) -> io::Result<()> {
        self.out.write_all(&(self.buffer.len() as u32).to_le_bytes())?;
        self.out.write_all(&self.buffer)?;
        self.out.write_all(&xxh3_64(&self.buffer).to_le_bytes())?;
        self.buffer.clear();
        Ok(())
    }
}

impl Write for FrameWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(FRAME - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == FRAME {
            self.frame()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives what is in frames, of which each was compared with its checksum.
struct FrameReader<'a> {
    from: &'a mut dyn Read,
    frame: Vec<u8>,
    at: usize,
    ended: bool,
}

impl FrameReader<'_> {
    fn next_frame(&mut self) -> io::Result<()> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let cut = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => bad("is cut off"),
            _ => error,
        };
        let mut length = [0; 4];
        self.from.read_exact(&mut length).map_err(cut)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > FRAME {
            return Err(bad("is damaged: a frame is too long"));
        }
        self.frame.resize(length, 0);
        self.at = 0;
        self.from.read_exact(&mut self.frame).map_err(cut)?;
        let mut sum = [0; 8];
        self.from.read_exact(&mut sum).map_err(cut)?;
        if u64::from_le_bytes(sum) != xxh3_64(&self.frame) {
            return Err(bad("is damaged: a checksum is wrong"));
        }
        self.ended = length == 0;
        Ok(())
    }

    /// Whether all frames have been read, and the one that ends them.
    fn at_end(&mut self) -> io::Result<bool> {
        while self.at == self.frame.len() && !self.ended {
            self.next_frame()?;
        }
        Ok(self.ended)
    }
}

impl Read for FrameReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.frame.len() && !self.ended {
            self.next_frame()?;
        }
        let taken = into.len().min(self.frame.len() - self.at);
        into[..taken].copy_from_slice(&self.frame[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}
