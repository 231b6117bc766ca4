//! The writer: batches into one file.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMicrosecondType, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, ListArray, MapArray, PrimitiveArray, RecordBatch, StringArray, StructArray};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, LogicalType, Type as Physical, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::{SchemaDescriptor, Type};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::row_kind::{RowKind, RowKinds};
use velo_core::types::is_json;

use crate::encode::Encoder;

/// Rows of a row group: enough for the codecs, few enough that readers share a file.
const GROUP_ROWS: usize = 64 << 10;
/// A row group that has so many encoded bytes ends as well, so that wide rows do not fill the memory.
const GROUP_BYTES: usize = 64 << 20;

/// How the pages of a file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ParquetCompression {
    /// Zstandard.
    #[default]
    Zstd,
    /// Snappy: quicker, and larger files.
    Snappy,
    /// Not at all.
    None,
}

velo_core::property_choices!(ParquetCompression { Zstd = "zstd", Snappy = "snappy", None = "none" | "uncompressed" });

/// Writes one Parquet file: what was encoded is a file once [`Encoder::footer`] was called, and is complete then.
pub struct ParquetEncoder {
    writer: ArrowWriter<Vec<u8>>,
    /// The columns as the file has them.
    schema: SchemaRef,
    /// A column `_op` comes first.
    changes: bool,
}

impl ParquetEncoder {
    /// A writer of rows of `schema`; with `changes` each with its kind as a first column `_op`. Errors for a column whose type Parquet
    /// does not have.
    pub fn new(schema: &SchemaRef, compression: ParquetCompression, changes: bool) -> Result<Self, ConnectorError> {
        let op = changes.then(|| Arc::new(Field::new("_op", DataType::Utf8, false)));
        let fields = schema.fields().iter().map(|field| stored(field).map(Arc::new));
        let fields: Vec<FieldRef> = op.into_iter().map(Ok).chain(fields).collect::<Result<_, _>>()?;
        if fields.is_empty() {
            let message = "a Parquet file has a column at least";
            return Err(ConnectorError::new(ErrorKind::Unsupported, "opening the output", message));
        }
        let schema = Arc::new(Schema::new(fields));
        let codec = match compression {
            ParquetCompression::Zstd => Compression::ZSTD(ZstdLevel::default()),
            ParquetCompression::Snappy => Compression::SNAPPY,
            ParquetCompression::None => Compression::UNCOMPRESSED,
        };
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_created_by(created_by())
            // The names of lists and maps that the format asks for, and not Arrow's.
            .set_coerce_types(true)
            .build();
        let columns = file_schema(&schema).map_err(|error| not_written(&error))?;
        let options = ArrowWriterOptions::new().with_properties(properties).with_parquet_schema(columns);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options);
        Ok(Self { writer: writer.map_err(|error| not_written(&error))?, schema, changes })
    }

    fn write(&mut self, columns: Vec<ArrayRef>, out: &mut Vec<u8>) -> Result<(), ConnectorError> {
        let stored = columns.iter().zip(self.schema.fields()).map(|(column, field)| retyped(column, field.data_type()));
        let stored = stored.collect::<Result<Vec<_>, _>>();
        let batch = stored.and_then(|stored| RecordBatch::try_new(Arc::clone(&self.schema), stored));
        let batch = batch.map_err(|error| not_written(&ParquetError::ArrowError(error.to_string())))?;
        self.writer.write(&batch).map_err(|error| not_written(&error))?;
        if self.writer.in_progress_size() > GROUP_BYTES {
            self.writer.flush().map_err(|error| not_written(&error))?;
        }
        self.hand_on(out)
    }

    /// Moves what is encoded into `out`.
    fn hand_on(&mut self, out: &mut Vec<u8>) -> Result<(), ConnectorError> {
        self.writer.sync().map_err(|error| not_written(&ParquetError::External(Box::new(error))))?;
        out.append(self.writer.inner_mut());
        Ok(())
    }
}

impl Encoder for ParquetEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ConnectorError> {
        self.write(batch.columns().to_vec(), out)
    }

    fn encode_changes(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<&RowKinds>,
        out: &mut Vec<u8>,
    ) -> Result<(), ConnectorError> {
        debug_assert!(self.changes, "the file has a column for the kinds");
        let symbols = match kinds {
            Some(kinds) => StringArray::from_iter_values(kinds.as_slice().iter().map(|kind| kind.symbol())),
            None => StringArray::from_iter_values(std::iter::repeat_n(RowKind::Insert.symbol(), batch.num_rows())),
        };
        let op: ArrayRef = Arc::new(symbols);
        self.write(std::iter::once(op).chain(batch.columns().iter().cloned()).collect(), out)
    }

    fn pending(&self) -> (usize, usize) {
        (self.writer.in_progress_size(), self.writer.memory_size())
    }

    fn release(&mut self, out: &mut Vec<u8>) -> Result<(), ConnectorError> {
        self.writer.flush().map_err(|error| not_written(&error))?;
        self.hand_on(out)
    }

    fn footer(&mut self, out: &mut Vec<u8>) -> Result<(), ConnectorError> {
        self.writer.finish().map_err(|error| not_written(&error))?;
        self.hand_on(out)
    }
}

/// The program that a file says it was written by.
pub(super) fn created_by() -> String {
    format!("velo version {}", env!("CARGO_PKG_VERSION"))
}

/// A column as it is stored: times are instants, which Parquet says by a zone.
fn stored(field: &FieldRef) -> Result<Field, ConnectorError> {
    let data_type = stored_type(field.data_type()).ok_or_else(|| {
        let message = format!(
            "the column '{}' is {}, which Parquet does not have",
            field.name(),
            velo_core::types::sql_name_of(field)
        );
        ConnectorError::new(ErrorKind::Unsupported, "opening the output", message)
            .advise("CAST it to STRING, or write json or csv")
    })?;
    Ok(field.as_ref().clone().with_data_type(data_type))
}

fn stored_type(data_type: &DataType) -> Option<DataType> {
    let inner =
        |field: &FieldRef| Some(Arc::new(field.as_ref().clone().with_data_type(stored_type(field.data_type())?)));
    Some(match data_type {
        DataType::Timestamp(unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond), None) => {
            DataType::Timestamp(*unit, Some("UTC".into()))
        }
        DataType::Interval(_) | DataType::Duration(_) => return None,
        DataType::List(item) => DataType::List(inner(item)?),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries)?, *sorted),
        // A group without fields has no place in a file.
        DataType::Struct(fields) if fields.is_empty() => return None,
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect::<Option<Fields>>()?),
        other => other.clone(),
    })
}

/// The same values with the types that are stored. The library's cast would go by calendars, and lose years that they do not have.
fn retyped(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    Ok(match to {
        DataType::Timestamp(TimeUnit::Microsecond, zone) if let Some(times) = array.as_primitive_opt() => {
            Arc::new(PrimitiveArray::<TimestampMicrosecondType>::clone(times).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) if let Some(times) = array.as_primitive_opt() => {
            Arc::new(PrimitiveArray::<TimestampNanosecondType>::clone(times).with_timezone_opt(zone.clone()))
        }
        DataType::List(item) if let Some(list) = array.as_list_opt::<i32>() => {
            let items = retyped(list.values(), item.data_type())?;
            Arc::new(ListArray::try_new(Arc::clone(item), list.offsets().clone(), items, list.nulls().cloned())?)
        }
        DataType::Map(entries, sorted) if let Some(map) = array.as_map_opt() => {
            let pairs: ArrayRef = Arc::new(map.entries().clone());
            let pairs = retyped(&pairs, entries.data_type())?.as_struct().clone();
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)?)
        }
        DataType::Struct(fields) if let Some(group) = array.as_struct_opt() => {
            let columns = group.columns().iter().zip(fields).map(|(column, field)| retyped(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, group.nulls().cloned())?)
        }
        _ => {
            let message = format!("a column is {} and was said to be {to}", array.data_type());
            return Err(ArrowError::SchemaError(message));
        }
    })
}

/// The file's own schema: what Arrow's is there, with JSON columns said to be that.
fn file_schema(schema: &Schema) -> Result<SchemaDescriptor, ParquetError> {
    let converted = ArrowSchemaConverter::new().with_coerce_types(true).convert(schema)?;
    let columns = converted.root_schema().get_fields().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| {
        if !is_json(field) {
            return Ok(Arc::clone(column));
        }
        Type::primitive_type_builder(column.name(), Physical::BYTE_ARRAY)
            .with_repetition(column.get_basic_info().repetition())
            .with_logical_type(Some(LogicalType::Json))
            .build()
            .map(Arc::new)
    });
    let root = Type::group_type_builder(converted.root_schema().name()).with_fields(columns.collect::<Result<_, _>>()?);
    Ok(SchemaDescriptor::new(Arc::new(root.build()?)))
}

#[cold]
pub(super) fn not_written(error: &ParquetError) -> ConnectorError {
    ConnectorError::new(ErrorKind::Encode, "writing Parquet", error.to_string())
}
