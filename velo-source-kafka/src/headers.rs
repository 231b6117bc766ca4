//! Columns of rows as headers of records.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, MapArray, RecordBatch};
use arrow_schema::DataType;
use rdkafka::message::{Header, OwnedHeaders};
use velo_core::Result;
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::table_text::value_text;

/// Whether a value of this type can be a header, or several.
pub(crate) fn is_header(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => fields.iter().all(|field| is_bytes(field.data_type())),
            _ => false,
        },
        DataType::List(_) | DataType::Struct(_) => false,
        _ => true,
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Binary)
}

/// The headers of the rows of a batch.
pub(crate) struct Headers<'a> {
    columns: Vec<(&'a str, Column<'a>)>,
}

enum Column<'a> {
    /// A header of the column's name: texts and bytes as they are, anything else as its text.
    One(&'a ArrayRef),
    /// A header for each entry.
    Entries(&'a MapArray),
}

impl<'a> Headers<'a> {
    /// Those that the columns at `places` are, which [`is_header`] says they can be.
    pub(crate) fn new(columns: &'a RecordBatch, places: &[usize]) -> Result<Self> {
        let column = |at: &usize| {
            let (column, name) = (columns.column(*at), columns.schema_ref().field(*at).name());
            // The schema outlives what is made of it.
            Ok((
                name.as_str(),
                match column.data_type() {
                    DataType::Map(..) => Column::Entries(column.as_map_opt().ok_or_else(no_map)?),
                    _ => Column::One(column),
                },
            ))
        };
        Ok(Self { columns: places.iter().map(column).collect::<Result<_>>()? })
    }

    /// Those of a row; none where it has none.
    pub(crate) fn of(&self, row: usize) -> Option<OwnedHeaders> {
        let mut headers = None;
        let mut push = |key: &str, value: Option<&[u8]>| {
            let all = headers.take().unwrap_or_else(OwnedHeaders::new);
            headers = Some(all.insert(Header { key, value }));
        };
        for (name, column) in &self.columns {
            match column {
                Column::One(column) => match bytes(column.as_ref(), row) {
                    _ if column.is_null(row) => {}
                    Some(bytes) => push(name, Some(bytes)),
                    None => push(name, value_text(column.as_ref(), row).as_deref().map(str::as_bytes)),
                },
                Column::Entries(map) if map.is_null(row) => {}
                Column::Entries(map) => {
                    let (from, to) = (map.value_offsets()[row] as usize, map.value_offsets()[row + 1] as usize);
                    for at in from..to {
                        let key = bytes(map.keys().as_ref(), at).unwrap_or_default();
                        push(&String::from_utf8_lossy(key), bytes(map.values().as_ref(), at));
                    }
                }
            }
        }
        headers
    }
}

/// A text or bytes; none of NULL and of other types.
fn bytes(column: &dyn Array, row: usize) -> Option<&[u8]> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string_opt::<i32>().map(|texts| texts.value(row).as_bytes()),
        DataType::Binary => column.as_binary_opt::<i32>().map(|all| all.value(row)),
        _ => None,
    }
}

#[cold]
fn no_map() -> ConnectorError {
    ConnectorError::new(ErrorKind::Encode, "writing", "the headers are no map")
}
