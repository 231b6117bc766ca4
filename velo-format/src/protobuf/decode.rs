//! The decoder: records one by one into batches.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::DataType;
use bytes::Bytes;
use prost_reflect::{Kind as Type, MessageDescriptor};
use velo_core::connector::{DecodeColumn, Decoded};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::place::Origin;

use super::columns::column as column_of;
use super::plan::{Wants, find};
use super::read::Message;
use super::schema::ProtoSchema;
use crate::decode::RecordAssembler;
use crate::json::cursor::{Outcome, Problem};
use crate::records::{RecordDecoder, SchemaKind, Schemas, confluent};
use crate::value::{Column, ValueFormats};

/// Which message a record is.
#[derive(Debug, Clone)]
pub enum ProtoSource {
    /// All are this one; nothing stands before a record.
    File(MessageDescriptor),
    /// What stands before a record says it. The message, where there is one, is what the columns are checked against.
    Registry(Arc<Schemas>, Option<MessageDescriptor>),
}

/// What a decoder of Protocol buffers is to do.
#[derive(Debug, Clone)]
pub struct ProtoDecodeOptions {
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
    /// Which message a record is.
    pub source: ProtoSource,
}

/// Decodes Protobuf messages.
#[derive(Debug)]
pub struct ProtoDecoder {
    wants: Wants,
    source: Source,
    batch_rows: usize,
    keep_bytes: bool,
}

/// Plans that were made, by the schema's id and the place of the message in it.
type Plans = HashMap<(u32, Vec<usize>), Arc<Made>>;

#[derive(Debug)]
enum Source {
    File(Arc<Message>),
    Registry { schemas: Arc<Schemas>, plans: Mutex<Plans> },
}

/// A plan for a message of the registry, or why there is none.
type Made = Result<Arc<Message>, String>;

/// The plan of the record before, by what stood before that.
#[derive(Default)]
struct Last {
    id: u32,
    indexes: Vec<usize>,
    plan: Option<Arc<Message>>,
    read: Vec<usize>,
}

impl ProtoDecoder {
    /// A decoder.
    ///
    /// # Errors
    ///
    /// Where a declared column cannot be what the message has, and where a schema file lacks one.
    pub fn new(options: ProtoDecodeOptions) -> Result<Self, ConnectorError> {
        let ProtoDecodeOptions { columns, declared, batch_rows, keep_bytes, formats, source } = options;
        let known = match &source {
            ProtoSource::File(message) => Some(message.clone()),
            ProtoSource::Registry(_, message) => message.clone(),
        };
        let columns = columns.into_iter().map(|column| match &known {
            Some(message) if column.raw => natural(message, column),
            _ => column,
        });
        let columns: Vec<DecodeColumn> = columns.collect();
        for column in &columns {
            Column::new(&column.field, &formats, 0)?;
        }
        let strict = matches!(source, ProtoSource::File(_));
        let wants = Wants { columns, declared, formats, strict };
        // What does not fit is said before anything is read.
        let plan = known.map(|message| wants.plan(&message)).transpose().map_err(|why| {
            let message = format!("the columns do not fit the Protobuf schema: {why}");
            ConnectorError::new(ErrorKind::Configuration, "opening", message).advise(
                "declare the types that the schema has, or no columns at all: they are then those of the schema",
            )
        })?;
        let source = match (source, plan) {
            (ProtoSource::File(_), Some(plan)) => Source::File(Arc::new(plan)),
            (ProtoSource::Registry(schemas, _), _) => Source::Registry { schemas, plans: Mutex::default() },
            (ProtoSource::File(message), None) => Source::File(Arc::new(
                wants.plan(&message).map_err(|why| ConnectorError::new(ErrorKind::Configuration, "opening", why))?,
            )),
        };
        Ok(Self { wants, source, batch_rows, keep_bytes })
    }

    /// The plan for a record, and where its message begins.
    fn plan(&self, record: &[u8], last: &mut Last) -> Outcome<(Arc<Message>, usize)> {
        let (schemas, plans) = match &self.source {
            Source::File(plan) => return Ok((Arc::clone(plan), 0)),
            Source::Registry { schemas, plans } => (schemas, plans),
        };
        let whole = |message: String| Box::new(Problem { field: None, message });
        let Some(id) = confluent::schema_id(record) else {
            return Err(whole(
                "the record does not begin with a zero byte and the id of a schema: it was not written with the schema registry; for \
                 records without an id set 'protobuf.schema.file' and leave 'schema.registry.url' out"
                    .to_owned(),
            ));
        };
        let mut read = std::mem::take(&mut last.read);
        let start = confluent::message_indexes(&record[confluent::HEADER..], &mut read);
        last.read = read;
        let Some(start) = start else {
            let why = "behind the id of its schema the record does not say which message it is: it was not written by a serializer of \
                       Protocol buffers";
            return Err(whole(why.to_owned()));
        };
        if let Some(plan) = &last.plan
            && last.id == id
            && last.indexes == last.read
        {
            return Ok((Arc::clone(plan), confluent::HEADER + start));
        }
        let made = self.made(id, &last.read, schemas, plans);
        match &*made {
            Ok(plan) => {
                *last = Last { id, indexes: last.read.clone(), plan: Some(Arc::clone(plan)), read: Vec::new() };
                Ok((Arc::clone(plan), confluent::HEADER + start))
            }
            Err(why) => Err(whole(why.clone())),
        }
    }

    fn made(&self, id: u32, indexes: &[usize], schemas: &Schemas, plans: &Mutex<Plans>) -> Arc<Made> {
        // A panic of another worker leaves the map whole.
        let mut plans = plans.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (id, indexes.to_vec());
        if let Some(made) = plans.get(&key) {
            return Arc::clone(made);
        }
        let schema = match schemas.get(id, SchemaKind::Protobuf) {
            Ok(schema) => schema,
            // It may be there the next time.
            Err(why) => return Arc::new(Err(why)),
        };
        let made = ProtoSchema::parse(&schema.text, &schema.references)
            .map_err(|error| error.message)
            .and_then(|schema| {
                schema
                    .at(indexes)
                    .ok_or_else(|| format!("it has no message at {indexes:?}, which the record says it is"))
            })
            .and_then(|message| self.wants.plan(&message))
            .map(Arc::new)
            .map_err(|why| format!("the record was written by the schema {id}: {why}"));
        let made = Arc::new(made);
        plans.insert(key, Arc::clone(&made));
        made
    }
}

/// A column whose value is wanted as it is, with the type that it has.
fn natural(message: &MessageDescriptor, column: DecodeColumn) -> DecodeColumn {
    let mut message = Some(message.clone());
    let mut found = None;
    for name in &column.path {
        let Some(field) = message.as_ref().and_then(|message| find(message, name, column.exact)) else { return column };
        message = match field.kind() {
            Type::Message(inner) => Some(inner),
            _ => None,
        };
        found = Some(field);
    }
    let Some(field) = found else { return column };
    let made = column_of(&field, &mut Vec::new());
    // A time as a number has few digits, and is taken for one where it is a BIGINT.
    let unsigned = !field.is_list() && matches!(field.kind(), Type::Uint64 | Type::Fixed64);
    let made = if unsigned { made.as_ref().clone().with_data_type(DataType::Int64) } else { made.as_ref().clone() };
    DecodeColumn { field: Arc::new(made.with_name(column.field.name())), raw: false, ..column }
}

impl RecordDecoder for ProtoDecoder {
    fn decode_records(
        &self,
        bytes: &Bytes,
        origin: &Origin,
        records: &mut dyn Iterator<Item = (Range<usize>, u64)>,
    ) -> Result<Decoded, ConnectorError> {
        let Wants { columns, formats, .. } = &self.wants;
        let mut out = RecordAssembler::new(columns, formats, self.batch_rows, self.keep_bytes, bytes, origin)?;
        let mut last = Last::default();
        for (record, position) in records {
            let row = out.rows();
            let message = &bytes[record.clone()];
            let mut unknown = 0;
            let done = self
                .plan(message, &mut last)
                .and_then(|(plan, start)| plan.run(&message[start..], &mut out.columns, row, Some(&mut unknown)));
            match done {
                Ok(()) => {
                    out.count_unknown(unknown);
                    out.accept(record, position)?;
                }
                Err(problem) => {
                    let field = problem.field.filter(|field| !field.is_empty());
                    out.reject(record, position, field, problem.message);
                }
            }
        }
        out.finish()
    }

    fn fields_of(&self, record: &[u8]) -> Vec<String> {
        match self.plan(record, &mut Last::default()) {
            Ok((plan, _)) => plan.descriptor.fields().map(|field| field.name().to_owned()).collect(),
            Err(_) => Vec::new(),
        }
    }
}
