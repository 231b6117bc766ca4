//! The decoder: records one by one into batches.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use memchr::memmem;
use velo_core::connector::{DecodeColumn, Decoded};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::place::Origin;

use super::cursor::{Cursor, problem};
use super::debezium::Changes;
use super::plan::{Plan, Wants};
use super::read::Reading;
use super::schema::{AvroSchema, Type};
use crate::debezium::UNAVAILABLE;
use crate::decode::RecordAssembler;
use crate::json::cursor::{Outcome, Problem};
use crate::json::read::same_folded;
use crate::records::{RecordDecoder, SchemaKind, Schemas, confluent};
use crate::value::{Column, TimestampFormat, ValueFormats};

/// Which schema records were written by.
#[derive(Debug, Clone)]
pub enum AvroSource {
    /// All by this one; nothing stands before a record.
    File(Arc<AvroSchema>),
    /// Each by the one whose id stands before it. The schema, where there is one, is the reader's: its aliases and defaults count.
    Registry(Arc<Schemas>, Option<Arc<AvroSchema>>),
}

/// What a decoder of Avro is to do.
#[derive(Debug, Clone)]
pub struct AvroDecodeOptions {
    /// The columns to make, in order.
    pub columns: Vec<DecodeColumn>,
    /// The names of all declared columns: a field with such a name is not unknown.
    pub declared: Option<Vec<String>>,
    /// The largest number of rows of a batch.
    pub batch_rows: usize,
    /// Whether a record's bytes are wanted.
    pub keep_bytes: bool,
    /// How values are written, where text is to become a column of another type.
    pub formats: ValueFormats,
    /// Which schema records were written by.
    pub source: AvroSource,
    /// The records are Debezium's envelopes.
    pub changes: bool,
}

/// Decodes Avro records.
#[derive(Debug)]
pub struct AvroDecoder {
    wants: Wants,
    source: Source,
    batch_rows: usize,
    keep_bytes: bool,
    changes: bool,
}

#[derive(Debug)]
enum Source {
    File(Arc<Followed>),
    Registry { schemas: Arc<Schemas>, plans: Mutex<HashMap<u32, Arc<Made>>> },
}

/// A plan for a schema of the registry, or why there is none.
type Made = Result<Arc<Followed>, String>;

/// What is followed for a record.
#[derive(Debug)]
pub(super) enum Followed {
    Row(Plan),
    Changes(Changes),
}

impl AvroDecoder {
    /// A decoder.
    ///
    /// # Errors
    ///
    /// Where a declared column cannot be what the schema has, and where a schema file lacks one; all columns are named.
    pub fn new(options: AvroDecodeOptions) -> Result<Self, ConnectorError> {
        let AvroDecodeOptions { columns, declared, batch_rows, keep_bytes, mut formats, source, changes } = options;
        if changes && let TimestampFormat::Epoch(unit) = formats.timestamp {
            // As in JSON: an epoch is what numbers are, and text is ISO 8601.
            formats.timestamp = TimestampFormat::Either(unit);
        }
        let (reader, strict) = match &source {
            AvroSource::File(schema) => (Some(Arc::clone(schema)), true),
            AvroSource::Registry(_, reader) => (reader.clone(), false),
        };
        let columns: Vec<DecodeColumn> = columns
            .into_iter()
            .map(|column| match &reader {
                Some(schema) if column.raw => natural(schema, column, changes),
                _ => column,
            })
            .collect();
        for column in &columns {
            Column::new(&column.field, &formats, 0)?;
        }
        let wants = Wants { columns, declared, formats, reader, strict };
        let source = match source {
            AvroSource::File(schema) => {
                Source::File(Arc::new(followed(&wants, &schema, changes).map_err(does_not_fit)?))
            }
            AvroSource::Registry(schemas, reader) => {
                // What does not fit is said before anything is read.
                if let Some(reader) = reader {
                    followed(&wants, &reader, changes).map_err(does_not_fit)?;
                }
                Source::Registry { schemas, plans: Mutex::default() }
            }
        };
        Ok(Self { wants, source, batch_rows, keep_bytes, changes })
    }

    /// The plan for a record, and where it begins behind what stands before it.
    #[inline]
    fn plan(&self, record: &[u8], last: &mut Option<(u32, Arc<Followed>)>) -> Outcome<(Arc<Followed>, usize)> {
        match &self.source {
            Source::File(followed) => Ok((Arc::clone(followed), 0)),
            Source::Registry { schemas, plans } => {
                let Some(id) = confluent::schema_id(record) else { return Err(no_header(record)) };
                if let Some((last, followed)) = last
                    && *last == id
                {
                    return Ok((Arc::clone(followed), confluent::HEADER));
                }
                let made = self.made(id, schemas, plans);
                match &*made {
                    Ok(followed) => {
                        *last = Some((id, Arc::clone(followed)));
                        Ok((Arc::clone(followed), confluent::HEADER))
                    }
                    Err(why) => Err(Box::new(Problem { field: None, message: why.clone() })),
                }
            }
        }
    }

    fn made(&self, id: u32, schemas: &Schemas, plans: &Mutex<HashMap<u32, Arc<Made>>>) -> Arc<Made> {
        // A panic of another worker leaves the map whole.
        let mut plans = plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = plans.get(&id) {
            return Arc::clone(made);
        }
        let schema = match schemas.get(id, SchemaKind::Avro) {
            Ok(schema) => schema,
            // It may be there the next time.
            Err(why) => return Arc::new(Err(why)),
        };
        let texts: Vec<String> = schema.references.iter().map(|(_, text)| text.clone()).collect();
        let made = AvroSchema::parse(&schema.text, &texts)
            .map_err(|error| error.message)
            .and_then(|schema| followed(&self.wants, &Arc::new(schema), self.changes))
            .map(Arc::new)
            .map_err(|why| format!("the record was written by the schema {id}: {why}"));
        let made = Arc::new(made);
        plans.insert(id, Arc::clone(&made));
        made
    }

    /// Reads one record; the rows are pushed and held when it is good.
    fn record(
        &self,
        out: &mut RecordAssembler<'_>,
        record: &[u8],
        last: &mut Option<(u32, Arc<Followed>)>,
        scratch: &mut Vec<u8>,
        holes: bool,
    ) -> Outcome<()> {
        let (followed, start) = self.plan(record, last)?;
        let mut cursor = Cursor { bytes: record, at: start };
        match &*followed {
            Followed::Row(plan) => {
                let mut with = Reading { schema: &plan.writer, reader_schema: &plan.reader, scratch };
                plan.steps.run(&mut cursor, &mut out.columns, &mut with)?;
                out.count_unknown(plan.unknown);
            }
            Followed::Changes(changes) => changes.record(out, &mut cursor, scratch, holes)?,
        }
        if cursor.at < record.len() {
            let left = record.len() - cursor.at;
            let mut problem = problem(format!(
                "{left} byte{} left behind the record: it was written by another schema",
                if left == 1 { " is" } else { "s are" }
            ));
            problem.field = None;
            return Err(problem);
        }
        Ok(())
    }
}

/// The plan of a schema, for rows or for envelopes.
fn followed(wants: &Wants, writer: &Arc<AvroSchema>, changes: bool) -> Result<Followed, String> {
    Ok(if changes { Followed::Changes(Changes::new(wants, writer)?) } else { Followed::Row(wants.plan(writer)?) })
}

#[cold]
fn does_not_fit(why: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::Configuration, "opening", format!("the columns do not fit the Avro schema: {why}"))
        .advise("declare the types that the schema has, or no columns at all: they are then those of the schema")
}

#[cold]
fn no_header(record: &[u8]) -> Box<Problem> {
    let shown: Vec<String> = record.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    let found = if shown.is_empty() { "it is empty".to_owned() } else { format!("it begins with {}", shown.join(" ")) };
    let message = format!(
        "the record does not begin with a zero byte and the id of a schema ({found}): it was not written with the schema registry; \
         for records without an id set 'avro.schema.file' and leave 'schema.registry.url' out"
    );
    Box::new(Problem { field: None, message })
}

/// A column whose value is wanted as it is, with the type that it has.
fn natural(schema: &AvroSchema, column: DecodeColumn, changes: bool) -> DecodeColumn {
    let root = if changes { super::debezium::root_of(schema, &column.path) } else { Some(schema.root) };
    let found = root.and_then(|root| find(schema, root, &column.path, column.exact));
    match found {
        Some(ty) => {
            let field = schema.field(column.field.name(), ty, &mut Vec::new());
            DecodeColumn { field, raw: false, ..column }
        }
        None => column,
    }
}

/// The type of the field at a path.
fn find(schema: &AvroSchema, ty: usize, path: &[String], exact: bool) -> Option<usize> {
    let Some((name, rest)) = path.split_first() else { return Some(ty) };
    match schema.at(ty) {
        Type::Union(branches) => branches.iter().find_map(|branch| find(schema, *branch, path, exact)),
        Type::Record { fields, .. } => {
            let found = fields.iter().find(|field| field.name == *name);
            let folded = || fields.iter().find(|field| !exact && same_folded(&field.name, name.as_bytes()));
            find(schema, found.or_else(folded)?.ty, rest, exact)
        }
        _ => None,
    }
}

impl RecordDecoder for AvroDecoder {
    fn decode_records(
        &self,
        bytes: &Bytes,
        origin: &Origin,
        records: &mut dyn Iterator<Item = (Range<usize>, u64)>,
    ) -> Result<Decoded, ConnectorError> {
        let Wants { columns, formats, .. } = &self.wants;
        let mut out = RecordAssembler::new(columns, formats, self.batch_rows, self.keep_bytes, bytes, origin)?;
        if self.changes {
            out.set_changes();
        }
        let holes = self.changes && memmem::find(bytes, UNAVAILABLE).is_some();
        let (mut last, mut scratch) = (None, Vec::new());
        for (record, position) in records {
            match self.record(&mut out, &bytes[record.clone()], &mut last, &mut scratch, holes) {
                Ok(()) => out.accept(record, position)?,
                Err(problem) => {
                    let field = problem.field.filter(|field| !field.is_empty());
                    out.reject(record, position, field, problem.message);
                }
            }
        }
        out.finish()
    }

    fn fields_of(&self, record: &[u8]) -> Vec<String> {
        match self.plan(record, &mut None) {
            Ok((followed, _)) => match &*followed {
                Followed::Row(plan) => plan.writer.root_fields().iter().map(|field| field.name.clone()).collect(),
                Followed::Changes(changes) => changes.fields(),
            },
            Err(_) => Vec::new(),
        }
    }
}
