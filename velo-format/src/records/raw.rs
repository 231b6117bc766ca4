//! `raw`: a record is the value of one column, as it stands.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema};
use bytes::Bytes;
use velo_core::connector::{DecodeColumn, Decoded};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::place::Origin;
use velo_core::types::{is_json, sql_name_of};

use super::{RecordDecoder, RecordEncoder};
use crate::decode::RecordAssembler;
use crate::value::ValueFormats;

/// Makes each record the value of its one column: STRING, which must be UTF-8, or BYTES.
#[derive(Debug)]
pub struct RawDecoder {
    columns: Vec<DecodeColumn>,
    batch_rows: usize,
    keep_bytes: bool,
    name: Option<String>,
}

impl RawDecoder {
    /// A decoder of `columns` of what is declared in `declared`.
    ///
    /// # Errors
    ///
    /// Where not exactly one column of type STRING or BYTES is declared.
    pub fn new(
        declared: &Schema,
        columns: Vec<DecodeColumn>,
        batch_rows: usize,
        keep_bytes: bool,
    ) -> Result<Self, ConnectorError> {
        check(declared, "opening")?;
        let name = declared.fields().first().map(|field| field.name().clone());
        for column in &columns {
            let [only] = column.path.as_slice() else { return Err(no_field(&column.path.join("."))) };
            if !name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(only)) {
                return Err(no_field(only));
            }
        }
        Ok(Self { columns, batch_rows, keep_bytes, name })
    }
}

#[cold]
fn no_field(name: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::Configuration, "opening", format!("a raw record has no field '{name}'"))
        .advise("name the one declared column: it is the whole record")
}

/// Whether `schema` is one column that raw records can be.
fn check(schema: &Schema, operation: &'static str) -> Result<(), ConnectorError> {
    let found = match schema.fields().as_ref() {
        [only] if !is_json(only) && matches!(only.data_type(), DataType::Utf8 | DataType::Binary) => return Ok(()),
        [only] => format!("'{}' is {}", only.name(), sql_name_of(only)),
        fields => format!("there are {}", fields.len()),
    };
    let message = format!("a raw record is one column of type STRING or BYTES; {found}");
    Err(ConnectorError::new(ErrorKind::Configuration, operation, message)
        .advise("leave one column, or choose another format"))
}

impl RecordDecoder for RawDecoder {
    fn decode_records(
        &self,
        bytes: &Bytes,
        origin: &Origin,
        records: &mut dyn Iterator<Item = (Range<usize>, u64)>,
    ) -> Result<Decoded, ConnectorError> {
        let formats = ValueFormats::default();
        let (rows, keep) = (self.batch_rows, self.keep_bytes);
        let mut out = RecordAssembler::new(&self.columns, &formats, rows, keep, bytes, origin)?;
        for (record, position) in records {
            let value = &bytes[record.clone()];
            let failed = out.columns.iter_mut().find_map(|column| {
                column.push_binary(value).err().map(|error| {
                    let field = column.field();
                    (field.name().clone(), error.message(value, field))
                })
            });
            match failed {
                None => out.accept(record, position)?,
                Some((field, message)) => out.reject(record, position, Some(field), message),
            }
        }
        out.finish()
    }

    fn fields_of(&self, _record: &[u8]) -> Vec<String> {
        self.name.iter().cloned().collect()
    }
}

/// Writes each value of one column as a record.
#[derive(Debug)]
pub struct RawEncoder {
    name: String,
    /// Whether NULL is written as nothing.
    null_is_empty: bool,
}

impl RawEncoder {
    /// An encoder of batches of `schema`.
    ///
    /// # Errors
    ///
    /// Where that is not exactly one column of type STRING or BYTES.
    pub fn new(schema: &Schema) -> Result<Self, ConnectorError> {
        check(schema, "opening the output")?;
        let name = schema.fields().first().map_or_else(String::new, |field| field.name().clone());
        Ok(Self { name, null_is_empty: false })
    }

    /// The same for keys: of NULL nothing is written, and whoever asks leaves the key out.
    ///
    /// # Errors
    ///
    /// As [`RawEncoder::new`].
    pub fn of_keys(schema: &Schema) -> Result<Self, ConnectorError> {
        Ok(Self { null_is_empty: true, ..Self::new(schema)? })
    }
}

impl RecordEncoder for RawEncoder {
    fn encode_records(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), ConnectorError> {
        let column = batch.column(0);
        if column.null_count() > 0 && !self.null_is_empty {
            let message = format!("the column '{}' is NULL, which a raw record cannot be", self.name);
            return Err(ConnectorError::new(ErrorKind::Encode, "writing", message)
                .advise("give a value in its place: COALESCE(…, '')"));
        }
        for row in 0..column.len() {
            match column.data_type() {
                _ if column.is_null(row) => {}
                DataType::Binary => out.extend_from_slice(column.as_binary::<i32>().value(row)),
                _ => out.extend_from_slice(column.as_string::<i32>().value(row).as_bytes()),
            }
            ends.push(out.len());
        }
        Ok(())
    }
}
