//! The decoder: envelopes of a chunk into changes of rows.

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;
use velo_core::connector::{Chunk, ChunkDecoder, DecodeColumn, Decoded};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::place::Origin;
use velo_core::row_kind::RowKind;

use super::envelope::Envelope;
use super::schema::{Meaning, row_fields};
use super::{UNAVAILABLE, UNAVAILABLE_BASE64};
use crate::error::show;
use crate::json::cursor::{Cursor, Outcome, Problem};
use crate::json::decode::Run;
use crate::json::elements::record_at;
use crate::json::plan::Plan;
use crate::json::read::same_folded;
use crate::json::{JsonDecodeOptions, JsonDecoder, Layout};
use crate::records::RecordDecoder;
use crate::value::{Column, EpochUnit, TextKind, TimestampFormat, Values};

/// Fields of an envelope that an event time can be read of.
pub(crate) const AROUND: [&str; 6] = ["source", "ts_ms", "ts_us", "ts_ns", "op", "transaction"];

/// Decodes Debezium's records.
#[derive(Debug)]
pub struct DebeziumDecoder {
    json: JsonDecoder,
    /// What a bare number is in a column of times, where the record brings no schema.
    unit: Option<EpochUnit>,
}

impl DebeziumDecoder {
    /// A decoder. A column whose path begins with a field of the envelope (`source.ts_ms`) is read of that, unless a column is
    /// declared under that name; all others are of the row. Errors for a path into one of the images.
    pub fn new(options: JsonDecodeOptions) -> Result<Self, ConnectorError> {
        let declared = options.declared_names();
        let is_declared = |name: &str| declared.iter().any(|declared| same_folded(declared, name.as_bytes()));
        let around = |column: &DecodeColumn| {
            let path = match column.path.as_slice() {
                // The envelope is all that is in the payload.
                [payload, rest @ ..] if payload == "payload" && !rest.is_empty() && !is_declared(payload) => rest,
                path => path,
            };
            let first = path.first()?;
            (AROUND.contains(&first.as_str()) && !is_declared(first)).then(|| path.to_vec())
        };
        for column in &options.columns {
            let path: Vec<&str> = column.path.iter().map(String::as_str).collect();
            let inner = match path.as_slice() {
                ["before" | "after", inner @ ..] | ["payload", "before" | "after", inner @ ..] => inner,
                _ => continue,
            };
            if !inner.is_empty() && !is_declared(path[0]) {
                let message = format!("'{}' is a field of one image of the row only", path.join("."));
                let advice = format!("write '{}': it is read of the image that a row comes from", inner.join("."));
                return Err(ConnectorError::new(ErrorKind::Configuration, "opening", message).advise(advice));
            }
        }
        let plan = Plan::split(&options.columns, declared.clone(), around);
        let unit = match options.formats.timestamp {
            TimestampFormat::Epoch(unit) | TimestampFormat::Either(unit) => Some(unit),
            _ => None,
        };
        Ok(Self { json: JsonDecoder::with_plan(options, plan)?, unit })
    }

    /// Decodes the records of `bytes`, which begins at `origin`.
    pub fn decode_bytes(&self, bytes: &Bytes, origin: &Origin, layout: Layout) -> Result<Decoded, ConnectorError> {
        let mut run = self.json.run(bytes, origin, layout == Layout::Lines)?;
        let mut changes = self.changes(&mut run, bytes);
        run.all(layout, origin.position(0), |run, at| changes.record(run, at))?;
        self.json.end(run)
    }

    /// Begins to read the records of `bytes`.
    fn changes<'a>(&'a self, run: &mut Run<'a>, bytes: &'a Bytes) -> Changes<'a> {
        let holes = memmem::find(bytes, UNAVAILABLE).is_some() || memmem::find(bytes, UNAVAILABLE_BASE64).is_some();
        let changes = Changes { decoder: self, envelope: Envelope::default(), schema: None, holes };
        run.out.set_changes();
        changes.means(run, None);
        changes
    }
}

impl RecordDecoder for DebeziumDecoder {
    fn decode_records(
        &self,
        bytes: &Bytes,
        origin: &Origin,
        records: &mut dyn Iterator<Item = (Range<usize>, u64)>,
    ) -> Result<Decoded, ConnectorError> {
        let mut run = self.json.run(bytes, origin, false)?;
        let mut changes = self.changes(&mut run, bytes);
        for (record, position) in records {
            run.bytes = &bytes[..record.end];
            run.one(record, position, |run, at| changes.record(run, at))?;
        }
        self.json.end(run)
    }

    fn fields_of(&self, record: &[u8]) -> Vec<String> {
        serde_json::from_slice(record).map_or_else(|_| Vec::new(), |record| fields(&record))
    }
}

impl ChunkDecoder for DebeziumDecoder {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded, ConnectorError> {
        self.decode_bytes(&chunk.bytes, &chunk.origin, Layout::of(chunk))
    }

    fn fields_at(&self, chunk: &Chunk, position: u64) -> Vec<String> {
        record_at(chunk, position).map_or_else(Vec::new, |record| fields(&record))
    }
}

/// The fields that a column can be read of.
fn fields(record: &serde_json::Value) -> Vec<String> {
    let envelope = record.get("payload").unwrap_or(record);
    let image = ["after", "before"].iter().find_map(|image| envelope.get(image)?.as_object());
    let around = envelope.as_object().into_iter().flat_map(|fields| fields.keys());
    let around = around.filter(|name| AROUND.contains(&name.as_str()));
    image.into_iter().flat_map(|fields| fields.keys()).chain(around).cloned().collect()
}

/// The reading of one chunk.
struct Changes<'a> {
    decoder: &'a DebeziumDecoder,
    envelope: Envelope<'a>,
    /// The schema that the columns are set to.
    schema: Option<&'a [u8]>,
    /// Somewhere in the chunk is a value that was not sent.
    holes: bool,
}

impl<'a> Changes<'a> {
    /// Reads the record at `start` into none, one or two rows; gives its end.
    fn record(&mut self, run: &mut Run<'a>, start: usize) -> Outcome<usize> {
        run.unknown = 0;
        let mut cursor = Cursor { bytes: run.bytes, at: start, lines: run.lines, start };
        if !matches!(cursor.peek(), Some(b'{' | b'n')) {
            return Err(run.no_object(start));
        }
        self.envelope.read(&mut cursor, &run.plan.around, self.schema)?;
        let end = cursor.at;
        if self.envelope.tombstone {
            return Ok(end);
        }
        // An equal one is the very same.
        let same = match (self.envelope.schema, self.schema) {
            (Some(schema), Some(last)) => std::ptr::eq(schema, last),
            (schema, last) => schema.is_none() && last.is_none(),
        };
        if !same {
            self.schema = self.envelope.schema;
            self.means(run, self.schema);
        }
        let Envelope { before, after, op, .. } = self.envelope;
        match (op, before, after) {
            (Some(b"c" | b"r"), _, Some(after)) => self.image(run, start, "after", after, RowKind::Insert)?,
            (Some(b"u"), Some(before), Some(after)) => {
                self.image(run, start, "before", before, RowKind::UpdateBefore)?;
                self.image(run, start, "after", after, RowKind::UpdateAfter)?;
            }
            (Some(b"d"), Some(before), _) => self.image(run, start, "before", before, RowKind::Delete)?,
            (None, ..) if self.envelope.is_empty() => {
                let message = "it is missing: the record is no envelope of Debezium; is 'format' = 'json' meant?";
                return Err(Problem::value("op", message.to_owned()));
            }
            (op, before, _) => return Err(not_read(op, before.is_some())),
        }
        Ok(end)
    }

    /// Reads one image of the row.
    fn image(&mut self, run: &mut Run<'a>, start: usize, name: &'static str, at: usize, kind: RowKind) -> Outcome<()> {
        let unknown = std::mem::take(&mut run.unknown);
        if let Err(problem) = run.record(at) {
            return Err(self.explained(run, problem, name));
        }
        run.unknown += unknown;
        if !run.plan.around.slots.is_empty() {
            run.around(&self.envelope.around, start, self.envelope.depth + 1)?;
        }
        if self.holes
            && let Some(hole) = run.out.columns.iter().find(|column| column.last_text() == Some(UNAVAILABLE))
        {
            return Err(hole_in(name, hole.field().name()));
        }
        run.out.hold(kind);
        Ok(())
    }

    /// A problem of an image is one of a field within it. Where a number or base64 came and no schema with it, what to do is said.
    #[cold]
    fn explained(&self, run: &Run<'_>, problem: Box<Problem>, image: &str) -> Box<Problem> {
        let mut problem = problem;
        let named = problem.field.as_ref().and_then(|field| {
            run.columns.iter().zip(&run.out.columns).find(|(column, _)| column.path.join(".") == *field)
        });
        if let Some((_, column)) = named {
            let number = problem.message.as_bytes().get(1).is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-');
            let advice = match &column.values {
                Values::Timestamp { .. } | Values::Time(_) if number && column.numbers.is_none() => {
                    Some("say what numbers are: 'timestamp.format' = 'epoch_micros' (or epoch_millis, epoch_nanos)")
                }
                Values::Decimal128 { .. } | Values::Decimal256 { .. } if self.schema.is_none() && !number => Some(
                    "base64 needs the schema beside it: send schemas (schemas.enable), or set Debezium's decimal.handling.mode to string",
                ),
                _ => None,
            };
            if let Some(advice) = advice {
                problem.message = format!("{}; {advice}", problem.message);
            }
        }
        problem.inside(&format!("{image}."))
    }

    /// Sets the columns to what a schema says about them.
    fn means(&self, run: &mut Run<'_>, schema: Option<&[u8]>) {
        let fields = schema.and_then(row_fields).unwrap_or_default();
        for (wanted, column) in run.columns.iter().zip(&mut run.out.columns) {
            let [name] = wanted.path.as_slice() else { continue };
            let exact = fields.iter().find(|field| field.name == *name);
            let field = exact.or_else(|| fields.iter().find(|field| same_folded(&field.name, name.as_bytes())));
            set(column, field.and_then(|field| field.meaning), self.decoder.unit);
        }
    }
}

/// Why an envelope is no change of a row.
#[cold]
pub(crate) fn not_read(op: Option<&[u8]>, before: bool) -> Box<Problem> {
    let whole = "have the database send whole rows (PostgreSQL: ALTER TABLE … REPLICA IDENTITY FULL; MySQL: binlog_row_image = FULL)";
    let (field, message) = match op {
        None => ("op", "it is missing or null, and it says what happened to the row".to_owned()),
        Some(b"u") if !before => ("before", format!("an update without the row as it was cannot be applied: {whole}")),
        Some(b"d") => ("before", format!("a delete without the row as it was cannot be applied: {whole}")),
        Some(b"c" | b"r" | b"u") => ("after", "the row as it is now is missing".to_owned()),
        Some(b"t") => (
            "op",
            "the table was emptied (TRUNCATE), and the record does not say which rows were in it; set 'on.error' = 'skip' to go on \
             with them, or start anew from a snapshot"
                .to_owned(),
        ),
        Some(b"m") => ("op", "'m' is a message of an application and no change of a row".to_owned()),
        Some(other) => ("op", format!("{} is none of c, r, u, d, t", show(other))),
    };
    Problem::value(field, message)
}

/// A value that the database did not send.
#[cold]
pub(crate) fn hole_in(image: &str, column: &str) -> Box<Problem> {
    let message = "the database did not send the value, which had not changed; have it sent (PostgreSQL: ALTER TABLE … \
                   REPLICA IDENTITY FULL), or leave the column out";
    Problem::value(format!("{image}.{column}"), message.to_owned())
}

/// Sets how a column reads its values.
fn set(column: &mut Column, meaning: Option<Meaning>, unit: Option<EpochUnit>) {
    let said = match meaning {
        Some(Meaning::Timestamp(unit) | Meaning::Time(unit)) => Some(unit),
        _ => unit,
    };
    column.set_unscaled(match meaning {
        Some(Meaning::Decimal(scale)) => Some(scale),
        // Text is none of it, and an object has its own scale.
        Some(Meaning::ScaledDecimal) => Some(0),
        _ => None,
    });
    match &mut column.values {
        Values::Timestamp { .. } => {
            column.numbers = said;
            match said {
                Some(unit) => column.timestamp = TimestampFormat::Either(unit),
                // A pattern stays.
                None if matches!(column.timestamp, TimestampFormat::Either(_)) => {
                    column.timestamp = TimestampFormat::Iso8601;
                }
                None => {}
            }
        }
        Values::Time(_) => column.numbers = said,
        // Days are all that there is.
        Values::Date(_) => column.numbers = Some(EpochUnit::Seconds),
        Values::Text { kind: kind @ TextKind::Json, .. } => *kind = TextKind::Embedded,
        _ => {}
    }
}
