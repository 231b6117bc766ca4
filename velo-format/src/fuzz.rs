//! Bodies of the fuzz targets, and the random numbers that tests and benches of this crate use.
//!
//! Each body takes arbitrary bytes and panics only where Velo is wrong. The fuzz targets call them; so do tests, with random
//! bytes, on every run.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use bytes::Bytes;
use velo_core::connector::{DecodeColumn, Decoded};
use velo_core::place::{Origin, Positions, Resource};
use velo_core::types;

use crate::framing::{json_framer, line_breaks};
use crate::json::{JsonDecodeOptions, JsonDecoder, Layout};
use crate::properties::JsonLayout;
use crate::value::ValueFormats;

/// A small reproducible generator (xorshift64*), for tests and benches.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator; equal seeds give equal numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends, so an iterator would only add an Option")]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// True in `percent` of all cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The place of a chunk that begins at `line`.
pub fn origin(line: u64) -> Origin {
    let positions = Positions::Consecutive { first: line };
    Origin { source: 0, partition: 0, base: 0, resource: Resource::File("fuzz.jsonl".into()), positions }
}

fn columns() -> Vec<DecodeColumn> {
    let column = |name: &str, data_type| {
        let path = name.split('.').map(str::to_owned).collect();
        DecodeColumn { field: Arc::new(Field::new(name, data_type, true)), path, exact: false, raw: false }
    };
    let mut all = vec![
        column("a", DataType::Utf8),
        column("b", DataType::Int64),
        column("c", types::decimal(18, 4)),
        column("d", DataType::Float64),
        column("e", types::TIMESTAMP),
        column("f", types::array(DataType::Int32)),
        column("g.h", DataType::Boolean),
        column("i", types::map(DataType::Utf8, DataType::Utf8)),
    ];
    all.push(DecodeColumn {
        field: Arc::new(types::json_field("j", true)),
        path: vec!["j".to_owned()],
        exact: true,
        raw: false,
    });
    all.push(DecodeColumn { raw: true, ..column("b", DataType::Utf8) });
    all
}

fn decode(text: &[u8], line: u64, batch_rows: usize) -> Option<Decoded> {
    let options = JsonDecodeOptions {
        columns: columns(),
        declared: None,
        batch_rows,
        keep_bytes: true,
        formats: ValueFormats::default(),
    };
    let decoder = JsonDecoder::new(options).ok()?;
    decoder.decode_bytes(&Bytes::copy_from_slice(text), &origin(line), Layout::Lines).ok()
}

/// A decoded chunk as text, whatever its batches are.
fn show(decoded: &Decoded) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in &decoded.batches {
        for row in 0..batch.rows() {
            let values = batch.columns.columns().iter();
            let values: Vec<_> = values.map(|column| velo_core::table_text::value_text(column.as_ref(), row)).collect();
            let place = batch.origin.as_ref().map(|origin| origin.place(row).to_string());
            rows.push(format!("{place:?} {values:?}"));
        }
    }
    for (added, error) in decoded.errors.iter().enumerate() {
        rows.insert(
            error.after_rows + added,
            format!("{:?}", (&error.place, &error.field, &error.message, &error.bytes)),
        );
    }
    rows
}

/// Text as JSON lines: any batch size gives the same, and each line what it gives alone.
pub fn json_lines(data: &[u8]) {
    let Some(whole) = decode(data, 1, 8192) else { return };
    let whole = show(&whole);
    let small = decode(data, 1, 2).map(|decoded| show(&decoded));
    assert_eq!(small.as_ref(), Some(&whole), "batches of two rows");
    let mut alone = Vec::new();
    for (at, line) in data.split(|byte| *byte == b'\n').enumerate() {
        let Some(decoded) = decode(line, at as u64 + 1, 1) else { return };
        alone.extend(show(&decoded));
    }
    assert_eq!(alone, whole, "each line alone");
}

/// Text as JSON in pieces: the chunks hold the same bytes and line breaks however it is cut, and nothing is read twice.
pub fn json_framing(data: &[u8], step: usize, layout: JsonLayout) {
    let run = |step: usize| {
        let mut framer = json_framer(layout, 1 << 20);
        let (mut buffer, mut read, mut lines, mut chunks) = (Vec::new(), 0, 0, Vec::new());
        loop {
            let more = &data[read..(read + step).min(data.len())];
            buffer.extend_from_slice(more);
            read += more.len();
            let at_end = read == data.len();
            loop {
                let cut = match framer.cut(&buffer, at_end) {
                    Ok(cut) => cut,
                    Err(error) => return (chunks, lines, Some(error.message)),
                };
                chunks.extend_from_slice(&buffer[cut.skip..cut.total()]);
                lines += cut.total_lines();
                buffer.drain(..cut.total());
                if cut.bytes == 0 {
                    break;
                }
            }
            if at_end {
                return (chunks, lines, None);
            }
        }
    };
    let (whole, lines, error) = run(data.len().max(1));
    let (pieces, piece_lines, piece_error) = run(step.max(1));
    assert_eq!(error.is_some(), piece_error.is_some(), "{error:?} {piece_error:?}");
    let bare = |bytes: &[u8]| bytes.iter().filter(|byte| !matches!(byte, b',' | b' ' | b'\n' | b'\r' | b'\t')).count();
    if error.is_none() {
        assert_eq!(bare(&whole), bare(&pieces), "the same records");
        assert_eq!((lines, piece_lines), (line_breaks(data), line_breaks(data)), "all line breaks");
    }
}
