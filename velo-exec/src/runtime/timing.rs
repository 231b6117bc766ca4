//! The event time of decoded rows: made by a worker right after decoding, so that no connector can forget it.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use velo_core::connector::{DecodeColumn, Decoded};
use velo_core::{Batch, Place, schema};
use velo_eventtime::EventTimeError;
use velo_plan::plan::{SourceNode, TimeOrigin};

use crate::error::{ExecError, Result};

/// A record that cannot be used, with what is known about it.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Whether its bytes could be decoded and only its event time is missing.
    pub decoded: bool,
    /// What was wrong.
    pub message: String,
    /// The stable code.
    pub code: &'static str,
    /// Where it is.
    pub place: Place,
    /// Its bytes, where they are kept.
    pub bytes: Option<bytes::Bytes>,
}

/// What a decoder must make for a source, and how its event time comes about.
#[derive(Debug, Clone)]
pub struct Timing {
    /// The columns to decode, the raw event-time field last where it is no declared column.
    pub columns: Vec<DecodeColumn>,
    output: SchemaRef,
    from: Option<TimeOrigin>,
    /// The place of the event-time field among the decoded columns.
    field: Option<usize>,
    /// The field was decoded only for its time and is dropped.
    extra: bool,
}

impl Timing {
    /// The decoding of `source`, whose output schema in the plan is `output`.
    pub fn new(source: &SourceNode, output: &SchemaRef) -> Self {
        let mut columns: Vec<DecodeColumn> = source
            .used
            .iter()
            .map(|at| source.declared.fields()[*at].clone())
            .map(|field| DecodeColumn { path: vec![field.name().clone()], exact: false, raw: false, field })
            .collect();
        let from = source.event_time.as_ref().map(|time| time.from.clone());
        let (mut field, mut extra) = (None, false);
        if let Some(TimeOrigin::Field { path, column, .. }) = &from {
            field = column.and_then(|column| source.used.iter().position(|used| *used == column));
            match field {
                // The format of the event time says how a TIMESTAMP is read, so its own text is wanted.
                Some(at) if is_time(columns[at].field.data_type()) => {
                    columns[at].raw = true;
                    columns[at].field = text_field(columns[at].field.name());
                }
                Some(_) => {}
                None => {
                    field = Some(columns.len());
                    extra = true;
                    let name = path.last().cloned().unwrap_or_default();
                    columns.push(DecodeColumn { path: path.clone(), exact: false, raw: true, field: text_field(&name) });
                }
            }
        }
        Self { columns, output: Arc::clone(output), from, field, extra }
    }

    /// Adds the hidden event time to the batches of a chunk; rows without one are taken out and told.
    pub fn apply(&self, decoded: Decoded, read_at: i64) -> Result<(Vec<Batch>, Vec<Refused>)> {
        let mut refused: Vec<Refused> = decoded
            .errors
            .into_iter()
            .map(|error| Refused {
                decoded: false,
                message: error.message,
                code: "decode",
                place: error.place,
                bytes: error.bytes,
            })
            .collect();
        let mut batches = Vec::with_capacity(decoded.batches.len());
        for batch in decoded.batches {
            batches.push(match &self.from {
                None => self.restore(batch)?,
                Some(from) => self.stamp(batch, from, read_at, &mut refused)?,
            });
        }
        Ok((batches, refused))
    }

    fn restore(&self, batch: Batch) -> Result<Batch> {
        let columns = RecordBatch::try_new(Arc::clone(&self.output), batch.columns.columns().to_vec())?;
        Ok(batch.with_columns(columns))
    }

    fn stamp(&self, batch: Batch, from: &TimeOrigin, read_at: i64, refused: &mut Vec<Refused>) -> Result<Batch> {
        let (times, errors) = match (from, self.field) {
            (TimeOrigin::Field { extractor, .. }, Some(at)) => {
                let origin = batch.origin.clone();
                let place = move |row: usize| match &origin {
                    Some(origin) => origin.place(row),
                    None => Place::Row { source: String::new(), row: row as u64 + 1 },
                };
                let extracted = extractor.extract(batch.columns.column(at).as_ref(), &place, None);
                (extracted.times, extracted.errors)
            }
            (TimeOrigin::Arrival, _) => (TimestampMicrosecondArray::from(vec![read_at; batch.rows()]), vec![]),
            _ => return Err(ExecError::Internal("this origin of an event time cannot run yet".to_owned())),
        };
        let mut columns: Vec<ArrayRef> = batch.columns.columns().to_vec();
        if self.extra {
            columns.pop();
        } else if let Some(at) = self.field
            && is_time(self.output.field(at).data_type())
        {
            let times: ArrayRef = Arc::new(times.clone());
            columns[at] = arrow_cast::cast(&times, self.output.field(at).data_type())?;
        }
        columns.push(Arc::new(times.clone()));
        // Rows without a time are null in the hidden column until they are taken out.
        let stamped = RecordBatch::try_new(nullable_time(&self.output), columns)?;
        let batch = batch.with_columns(stamped);
        let batch = if errors.is_empty() {
            batch
        } else {
            for (_, error) in &errors {
                refused.push(refuse(error));
            }
            batch.filter(&BooleanArray::from_iter((0..times.len()).map(|row| Some(times.is_valid(row)))))?
        };
        self.restore(batch)
    }
}

fn refuse(error: &EventTimeError) -> Refused {
    Refused {
        decoded: true,
        message: error.to_string(),
        code: error.code(),
        place: error.place.clone().unwrap_or(Place::Row { source: error.source.clone(), row: 0 }),
        bytes: None,
    }
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Date32)
}

fn text_field(name: &str) -> FieldRef {
    Arc::new(Field::new(name, DataType::Utf8, true))
}

fn nullable_time(output: &SchemaRef) -> SchemaRef {
    let fields: Vec<FieldRef> = output
        .fields()
        .iter()
        .map(|field| {
            if field.name() == schema::EVENT_TIME || is_time(field.data_type()) {
                Arc::new(field.as_ref().clone().with_nullable(true))
            } else {
                Arc::clone(field)
            }
        })
        .collect();
    Arc::new(Schema::new(fields))
}
