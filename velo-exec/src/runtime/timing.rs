//! The event time of decoded rows: made by a worker right after decoding, so that no connector can forget it.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use datafusion_common::Column;
use datafusion_expr::Expr;
use velo_core::batch::columns_of;
use velo_core::connector::{Chunk, ChunkDecoder, DecodeColumn, Decoded};
use velo_core::dead_letter::{DeadLetter, RecordAttributes, Stage};
use velo_core::{Batch, Place, RowKind, RowKinds, schema};
use velo_eventtime::{EventTimeError, EventTimeErrorKind, Extractor};
use velo_plan::plan::{Punctuation, SourceNode, TimeOrigin};

use crate::error::{ExecError, Result};
use crate::expr::Evaluator;

/// A record that cannot be used, with what is known about it.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Whether its bytes could be decoded and only its event time is missing or none.
    pub decoded: bool,
    /// What was wrong.
    pub message: String,
    /// The stable code.
    pub code: &'static str,
    /// Where it is.
    pub place: Place,
    /// Its bytes, where they are kept.
    pub bytes: Option<bytes::Bytes>,
    /// What it has beside them, where that is kept.
    pub attributes: Option<Box<RecordAttributes>>,
}

impl Refused {
    /// The dead letter of a record of `source`.
    pub fn into_letter(self, source: &str) -> DeadLetter {
        DeadLetter {
            stage: if self.decoded { Stage::EventTime } else { Stage::Decode },
            source: source.to_owned(),
            bytes: self.bytes.unwrap_or_default(),
            error: self.message,
            code: self.code,
            place: Some(self.place),
            attributes: self.attributes,
        }
    }

    /// Asks the decoder of its chunk what the record has beside its bytes.
    pub fn with_attributes(mut self, chunk: &Chunk, decoder: &dyn ChunkDecoder) -> Self {
        let attributes = self.place.position().and_then(|position| decoder.attributes_at(chunk, position));
        self.attributes = attributes.map(Box::new);
        self
    }
}

/// Rows with their event time.
#[derive(Debug, Clone)]
pub struct Timed {
    /// The rows.
    pub batch: Batch,
    /// What each says the watermark is, where the strategy goes by that.
    pub punctuation: Option<Int64Array>,
    /// Where in the chunk each row's record is, where that is kept.
    pub kept: Vec<Range<usize>>,
}

/// The field with the kind of a row.
const KIND: &str = "_op";

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
    /// Computes the event time over the decoded columns.
    computed: Option<Evaluator>,
    /// Reads the column behind, which says the watermark.
    punctuation: Option<Arc<Extractor>>,
    /// The last column is the kind of the row; not where the decoder gives the kinds itself.
    kinds: bool,
    source: String,
}

impl Timing {
    /// The decoding of `source`, whose output schema in the plan is `output`.
    pub fn new(source: &SourceNode, output: &SchemaRef) -> Result<Self> {
        let mut columns: Vec<DecodeColumn> = source
            .used
            .iter()
            .map(|at| source.declared.fields()[*at].clone())
            .chain(source.system.iter().cloned())
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
                    let declared = column.map(|column| source.declared.fields()[column].clone());
                    columns.push(match declared.filter(|declared| !is_time(declared.data_type())) {
                        // A declared number is decoded as one; only what has no type of its own comes as text.
                        Some(declared) => {
                            DecodeColumn { path: path.clone(), exact: false, raw: false, field: declared }
                        }
                        None => {
                            let name = path.last().cloned().unwrap_or_default();
                            DecodeColumn { path: path.clone(), exact: false, raw: true, field: text_field(&name) }
                        }
                    });
                }
            }
        }
        let computed = match &from {
            Some(TimeOrigin::Computed(expr)) => Some(Evaluator::new(expr, &schema::visible(output), &source.name)?),
            Some(TimeOrigin::Record) => {
                let record = Expr::Column(Column::new_unqualified("_timestamp"));
                Some(Evaluator::new(&record, &schema::visible(output), &source.name)?)
            }
            _ => None,
        };
        let punctuation = source.event_time.as_ref().and_then(|time| time.punctuation.as_ref());
        if let Some(Punctuation { path, .. }) = punctuation {
            let name = path.last().cloned().unwrap_or_default();
            columns.push(DecodeColumn { path: path.clone(), exact: false, raw: true, field: text_field(&name) });
        }
        let punctuation = punctuation.map(|punctuation| Arc::clone(&punctuation.extractor));
        let kinds = source.changelog && !source.binding.gives_kinds();
        if kinds {
            columns.push(DecodeColumn {
                path: vec![KIND.to_owned()],
                exact: true,
                raw: false,
                field: text_field(KIND),
            });
        }
        let (output, source) = (Arc::clone(output), source.name.clone());
        Ok(Self { columns, output, from, field, extra, computed, punctuation, kinds, source })
    }

    /// Adds the hidden event time to the batches of a chunk; rows without one are taken out and told.
    ///
    /// The chunk and its decoder give what a message about a row says beside its time: its bytes and its fields.
    pub fn apply(
        &self,
        decoded: Decoded,
        chunk: &Chunk,
        decoder: &dyn ChunkDecoder,
        read_at: i64,
    ) -> Result<(Vec<Timed>, Vec<Refused>)> {
        let fields = |position: u64| decoder.fields_at(chunk, position);
        let mut refused: Vec<Refused> = decoded
            .errors
            .into_iter()
            .map(|error| {
                // A declared number that is none is no event time either.
                let is_time = error.field.is_some() && error.field == self.time_field();
                Refused {
                    decoded: is_time,
                    message: match error.field {
                        Some(field) => format!("field '{field}': {}", error.message),
                        None => error.message,
                    },
                    code: if is_time { EventTimeErrorKind::TypeMismatch.code() } else { "decode" },
                    place: error.place,
                    bytes: error.bytes,
                    attributes: None,
                }
            })
            .collect();
        let mut batches = Vec::with_capacity(decoded.batches.len());
        let mut before = 0;
        for batch in decoded.batches {
            let rows = batch.rows();
            // Which rows of the chunk a batch has, so that a refused one's bytes are found.
            let mut kept = decoded.row_bytes.get(before..before + rows).unwrap_or_default().to_vec();
            let record_times = decoded.record_times.get(before..before + rows).unwrap_or_default();
            before += rows;
            batches.push(self.timed(
                batch,
                (&chunk.bytes, &mut kept),
                (read_at, record_times),
                &fields,
                &mut refused,
            )?);
        }
        let refused = refused.into_iter().map(|one| one.with_attributes(chunk, decoder)).collect();
        Ok((batches, refused))
    }

    /// The name of the event-time field, as errors of decoding have it.
    fn time_field(&self) -> Option<String> {
        self.field.map(|at| self.columns[at].path.join("."))
    }

    /// The same for rows of a table, whose bytes are not there any more.
    pub fn rows(&self, batch: Batch, read_at: i64) -> Result<(Batch, Vec<Refused>)> {
        let mut refused = Vec::new();
        let timed =
            self.timed(batch, (&Bytes::new(), &mut Vec::new()), (read_at, &[]), &|_| Vec::new(), &mut refused)?;
        Ok((timed.batch, refused))
    }

    /// Decoded rows with their kinds and times. `kept` says where in `bytes` each row is, where that is known, and `record_times` what
    /// time the system gives each.
    fn timed(
        &self,
        batch: Batch,
        (bytes, kept): (&Bytes, &mut Vec<Range<usize>>),
        (read_at, record_times): (i64, &[i64]),
        fields: &dyn Fn(u64) -> Vec<String>,
        refused: &mut Vec<Refused>,
    ) -> Result<Timed> {
        let batch = if self.kinds { self.with_kinds(batch, bytes, kept, refused)? } else { batch };
        let Some(from) = &self.from else {
            return Ok(Timed { batch: self.restore(batch)?, punctuation: None, kept: Vec::new() });
        };
        let mut without = Vec::new();
        let mut stamped = self.stamp(batch, from, (read_at, record_times), fields, &mut without)?;
        let mut good = vec![true; if without.is_empty() { 0 } else { kept.len() }];
        for (row, mut one) in without {
            one.bytes = kept.get(row).map(|range| bytes.slice(range.clone()));
            good.get_mut(row).into_iter().for_each(|good| *good = false);
            refused.push(one);
        }
        stamped.kept = std::mem::take(kept);
        if !good.is_empty() {
            let mut good = good.into_iter();
            stamped.kept.retain(|_| good.next().unwrap_or(true));
        }
        Ok(stamped)
    }

    /// The last column as the kinds of the rows; a row that does not say its kind is taken out and told.
    fn with_kinds(
        &self,
        batch: Batch,
        bytes: &Bytes,
        kept: &mut Vec<Range<usize>>,
        refused: &mut Vec<Refused>,
    ) -> Result<Batch> {
        let mut columns: Vec<ArrayRef> = batch.columns.columns().to_vec();
        let said = columns.pop().and_then(|said| said.as_string_opt::<i32>().cloned());
        let said = said.ok_or_else(|| ExecError::Internal(format!("{} has no kinds of rows", self.source)))?;
        let kinds: Vec<Option<RowKind>> = said.iter().map(|said| said.and_then(RowKind::from_symbol)).collect();
        let fields = batch.columns.schema_ref().fields();
        let schema = Arc::new(Schema::new(fields[..fields.len() - 1].to_vec()));
        let batch = batch.with_columns(columns_of(&schema, columns, said.len())?);
        let of = |kinds: Vec<RowKind>| Some(RowKinds::new(kinds).paired());
        if kinds.iter().all(Option::is_some) {
            return Ok(Batch { kinds: of(kinds.into_iter().flatten().collect()), ..batch });
        }
        for (row, _) in kinds.iter().enumerate().filter(|(_, kind)| kind.is_none()) {
            let found =
                if said.is_valid(row) { format!("'{}'", said.value(row)) } else { "missing or null".to_owned() };
            let place = batch.origin.as_ref().map(|origin| origin.place(row));
            refused.push(Refused {
                decoded: false,
                message: format!("field '{KIND}' is {found}, and the kind of a row is +I, -U, +U or -D"),
                code: "decode",
                place: place.unwrap_or(Place::Row { source: self.source.clone(), row: row as u64 + 1 }),
                bytes: kept.get(row).map(|range| bytes.slice(range.clone())),
                attributes: None,
            });
        }
        let good = BooleanArray::from_iter(kinds.iter().map(|kind| Some(kind.is_some())));
        let mut row = 0;
        kept.retain(|_| {
            row += 1;
            good.value(row - 1)
        });
        Ok(Batch { kinds: of(kinds.into_iter().flatten().collect()), ..batch.filter(&good)? })
    }

    fn restore(&self, batch: Batch) -> Result<Batch> {
        let columns = columns_of(&self.output, batch.columns.columns().to_vec(), batch.rows())?;
        Ok(batch.with_columns(columns))
    }

    fn stamp(
        &self,
        batch: Batch,
        from: &TimeOrigin,
        (read_at, record_times): (i64, &[i64]),
        fields: &dyn Fn(u64) -> Vec<String>,
        refused: &mut Vec<(usize, Refused)>,
    ) -> Result<Timed> {
        let (mut times, mut errors) = match (from, self.field) {
            (TimeOrigin::Field { extractor, .. }, Some(at)) => {
                let origin = batch.origin.clone();
                let place = move |row: usize| match &origin {
                    Some(origin) => origin.place(row),
                    None => Place::Row { source: String::new(), row: row as u64 + 1 },
                };
                let positions = batch.origin.clone();
                let present =
                    move |row: usize| positions.as_ref().map_or_else(Vec::new, |origin| fields(origin.position(row)));
                let extracted = extractor.extract(batch.columns.column(at).as_ref(), &place, Some(&present));
                (extracted.times, extracted.errors)
            }
            (TimeOrigin::Computed(_) | TimeOrigin::Record, _) => self.computed_times(&batch)?,
            (TimeOrigin::Arrival, _) => (TimestampMicrosecondArray::from(vec![read_at; batch.rows()]), vec![]),
            (TimeOrigin::Field { .. }, None) => {
                return Err(ExecError::Internal(format!("the event time of {} is not decoded", self.source)));
            }
        };
        if let Some(kinds) = batch.kinds.as_ref().filter(|_| !record_times.is_empty()) {
            // A row that deletes may have its key alone, and happened when its record says.
            let deletes = |row: usize| kinds.as_slice()[row] == RowKind::Delete;
            times = (0..times.len())
                .map(|row| {
                    times.is_valid(row).then(|| times.value(row)).or_else(|| deletes(row).then(|| record_times[row]))
                })
                .collect();
            errors.retain(|(row, _)| !deletes(*row));
        }
        let mut columns: Vec<ArrayRef> = batch.columns.columns().to_vec();
        let mut punctuation = match (&self.punctuation, self.punctuation.is_some().then(|| columns.pop()).flatten()) {
            (Some(extractor), Some(said)) => Some(self.said(extractor, said.as_ref(), &batch, &mut errors)),
            _ => None,
        };
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
        let stamped = columns_of(&nullable_time(&self.output), columns, batch.rows())?;
        let batch = batch.with_columns(stamped);
        let batch = if errors.is_empty() {
            batch
        } else {
            for (row, error) in &errors {
                refused.push((*row, refuse(error)));
            }
            let mut keep = vec![true; batch.rows()];
            errors.iter().for_each(|(row, _)| keep[*row] = false);
            let keep = BooleanArray::from(keep);
            if let Some(said) = &mut punctuation {
                *said = arrow_select::filter::filter(said, &keep)?.as_primitive().clone();
            }
            batch.filter(&keep)?
        };
        Ok(Timed { batch: self.restore(batch)?, punctuation, kept: Vec::new() })
    }

    /// What the rows say the watermark is; null where one says nothing. One that says what cannot be read is an error.
    fn said(
        &self,
        extractor: &Extractor,
        said: &dyn Array,
        batch: &Batch,
        errors: &mut Vec<(usize, EventTimeError)>,
    ) -> Int64Array {
        let place = |row: usize| match &batch.origin {
            Some(origin) => origin.place(row),
            None => Place::Row { source: self.source.clone(), row: row as u64 + 1 },
        };
        let extracted = extractor.extract(said, &place, None);
        for (row, error) in extracted.errors {
            if error.kind != EventTimeErrorKind::MissingField && !errors.iter().any(|(other, _)| *other == row) {
                errors.push((row, error));
            }
        }
        errors.sort_by_key(|(row, _)| *row);
        extracted.times.reinterpret_cast()
    }
}

impl Timing {
    /// The event times that an expression computes; a row on which it fails or is null has none.
    fn computed_times(&self, batch: &Batch) -> Result<(TimestampMicrosecondArray, Vec<(usize, EventTimeError)>)> {
        let Some(computed) = &self.computed else {
            return Err(ExecError::Internal(format!("the event time of {} has no expression", self.source)));
        };
        let place = |row: usize| batch.origin.as_ref().map(|origin| origin.place(row));
        let wrong = |row: usize, kind: EventTimeErrorKind, detail: String| EventTimeError {
            kind,
            source: self.source.clone(),
            field: "computed event time".to_owned(),
            value: None,
            expected: "a TIMESTAMP".to_owned(),
            detail: detail.into(),
            present: Vec::new(),
            place: place(row),
        };
        let mut errors = Vec::new();
        let values = match computed.evaluate(&with_visible(batch, &self.output)?) {
            Ok(values) => values,
            // The batch fails as a whole, so each row is tried alone.
            Err(_) => {
                let mut parts: Vec<ArrayRef> = Vec::with_capacity(batch.rows());
                for row in 0..batch.rows() {
                    match computed.evaluate(&with_visible(&batch.slice(row, 1), &self.output)?) {
                        Ok(one) => parts.push(one),
                        Err(error) => {
                            errors.push((
                                row,
                                wrong(row, EventTimeErrorKind::ParseError, error.without_choice().to_string()),
                            ));
                            parts.push(arrow_array::new_null_array(&velo_core::types::TIMESTAMP, 1));
                        }
                    }
                }
                let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
                arrow_select::concat::concat(&parts)?
            }
        };
        let micros = arrow_cast::cast(&values, &velo_core::types::TIMESTAMP)?;
        let times = micros
            .as_any()
            .downcast_ref::<TimestampMicrosecondArray>()
            .cloned()
            .ok_or_else(|| ExecError::Internal("a computed event time is no TIMESTAMP".to_owned()))?;
        for row in 0..times.len() {
            if times.is_null(row) && !errors.iter().any(|(failed, _)| *failed == row) {
                errors.push((row, wrong(row, EventTimeErrorKind::MissingField, "it is null".to_owned())));
            }
        }
        errors.sort_by_key(|(row, _)| *row);
        Ok((times, errors))
    }
}

/// A decoded batch under the names that the plan gives its columns.
fn with_visible(batch: &Batch, output: &SchemaRef) -> Result<Batch> {
    let columns = columns_of(&schema::visible(output), batch.columns.columns().to_vec(), batch.rows())?;
    Ok(batch.with_columns(columns))
}

fn refuse(error: &EventTimeError) -> Refused {
    Refused {
        decoded: true,
        message: error.to_string(),
        code: error.code(),
        place: error.place.clone().unwrap_or(Place::Row { source: error.source.clone(), row: 0 }),
        bytes: None,
        attributes: None,
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
