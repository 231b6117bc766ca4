//! System columns: what a connector knows of a record beside its content (`_path`, `_offset`), among the columns that are asked for.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::{DataType, Schema};
use velo_core::batch::Batch;
use velo_core::connector::DecodeColumn;
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::table_text::value_text;

/// A system column of a connector.
pub trait SystemColumn: Copy + 'static {
    /// All that the connector has, by their names in small letters.
    const ALL: &'static [(&'static str, Self)];

    /// Its type.
    fn data_type(self) -> DataType;
}

/// The system columns among those asked for.
#[derive(Debug)]
pub struct SystemColumns<T> {
    /// With their places, ascending.
    places: Vec<(usize, T)>,
    columns: Vec<DecodeColumn>,
}

impl<T: SystemColumn> SystemColumns<T> {
    /// Those of `columns`, and the others, which are made of the records. A declared column goes before a system column of its name.
    ///
    /// # Errors
    ///
    /// Where one is asked for with another type than it has.
    pub fn split(columns: &[DecodeColumn], declared: &Schema) -> Result<(Self, Vec<DecodeColumn>), ConnectorError> {
        let (mut places, mut of_records) = (Vec::new(), Vec::new());
        for (at, column) in columns.iter().enumerate() {
            match Self::of(column, declared) {
                Some(kind) if column.raw || *column.field.data_type() == kind.data_type() => places.push((at, kind)),
                Some(kind) => {
                    let message = format!(
                        "{} is {}, not {}",
                        column.field.name(),
                        velo_core::types::sql_name(&kind.data_type()),
                        velo_core::types::sql_name(column.field.data_type())
                    );
                    return Err(ConnectorError::new(ErrorKind::Configuration, "adding system columns", message));
                }
                None => of_records.push(column.clone()),
            }
        }
        Ok((Self { places, columns: columns.to_vec() }, of_records))
    }

    fn of(column: &DecodeColumn, declared: &Schema) -> Option<T> {
        let [name] = column.path.as_slice() else { return None };
        if declared.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name)) {
            return None;
        }
        T::ALL.iter().find(|(system, _)| system.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
    }

    /// All columns that are asked for.
    pub fn columns(&self) -> &[DecodeColumn] {
        &self.columns
    }

    /// The system columns, with their places.
    pub fn places(&self) -> &[(usize, T)] {
        &self.places
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A batch of records with them; `make` gives the values of each for its rows.
    ///
    /// # Errors
    ///
    /// Where they are no columns of these rows.
    pub fn add(&self, batch: &Batch, make: impl Fn(T) -> ArrayRef) -> Result<Batch, ConnectorError> {
        let further = self.places.iter().map(|(at, kind)| {
            let (wanted, column) = (&self.columns[*at], make(*kind));
            (*at, Arc::clone(&wanted.field), if wanted.raw { as_text(&column) } else { column })
        });
        batch
            .with_inserted(further)
            .map_err(|failed| ConnectorError::new(ErrorKind::Decode, "adding system columns", failed.to_string()))
    }
}

/// Values as text, for event times whose meaning is decided later.
fn as_text(column: &ArrayRef) -> ArrayRef {
    Arc::new((0..column.len()).map(|row| value_text(column, row)).collect::<StringArray>())
}
