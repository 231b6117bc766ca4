//! Values into columns, by a reader that was made for a type and a column.

use super::cursor::{Cursor, problem};
use super::logical::{duration, push_uuid};
use super::schema::AvroSchema;
use crate::error::{ValueError, show};
use crate::json::cursor::{Outcome, Problem};
use crate::value::typed::Columns;
use crate::value::{Column, Values};

/// How values of one type become values of one column.
#[derive(Debug, Clone)]
pub(super) enum Reader {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    /// The texts of the symbols.
    Enum(Vec<String>),
    Date,
    Time {
        digits: u8,
        int: bool,
    },
    Timestamp(u8),
    Decimal(i32),
    FixedDecimal {
        size: usize,
        scale: i32,
    },
    FixedUuid,
    Duration,
    /// A scale and a number of units of it.
    ScaledDecimal,
    /// Of null and one other type, null being that branch.
    Nullable {
        null: usize,
        value: Box<Reader>,
    },
    Union(Vec<Reader>),
    /// A branch that the column cannot take: why.
    Refused(String),
    Array {
        item: Box<Reader>,
        smallest: usize,
    },
    Map {
        value: Box<Reader>,
        smallest: usize,
    },
    /// A map as pairs of a list, as Kafka Connect writes those whose keys are no strings.
    Pairs {
        steps: Box<Steps>,
        smallest: usize,
    },
    Record(Box<Steps>),
    /// Any value as JSON text.
    Json(usize),
}

/// What is done with the fields of a record, in the order in which they were written.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    /// Columns that no field was written for.
    pub(super) missing: Vec<(usize, Missing)>,
}

/// One field.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) ty: usize,
    pub(super) targets: Vec<Target>,
}

/// Where the value of a field goes.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Column(usize, Reader),
    /// Fields of it go to columns of their own.
    Inner(Inner),
}

/// A record whose fields go to columns of their own, by branches where it is in a union.
#[derive(Debug, Clone)]
pub(super) struct Inner {
    pub(super) union: bool,
    /// `None` for a branch that is null, or no record.
    pub(super) branches: Vec<Option<Steps>>,
    /// The columns, which are NULL where it is.
    pub(super) columns: Vec<usize>,
}

/// What stands for a field that was not written.
#[derive(Debug, Clone)]
pub(super) enum Missing {
    Null,
    /// The default of the reader's schema, by a reader for that.
    Default {
        bytes: Vec<u8>,
        reader: Reader,
    },
}

/// The reading of records by one schema.
pub(super) struct Reading<'a> {
    pub(super) schema: &'a AvroSchema,
    /// The reader's schema, which defaults are of.
    pub(super) reader_schema: &'a AvroSchema,
    pub(super) scratch: &'a mut Vec<u8>,
}

/// A value that its column refuses.
#[cold]
fn refused(error: ValueError, value: &[u8], column: &Column) -> Box<Problem> {
    Problem::value("", error.message(value, column.field()))
}

#[cold]
fn refused_number(error: ValueError, value: impl ToString, column: &Column) -> Box<Problem> {
    refused(error, value.to_string().as_bytes(), column)
}

/// Bytes in a message: as text where they are, else in hexadecimal.
#[cold]
fn refused_bytes(error: ValueError, value: &[u8], column: &Column) -> Box<Problem> {
    if std::str::from_utf8(value).is_ok() || error == ValueError::Encoding {
        return refused(error, value, column);
    }
    let mut text = b"0x".to_vec();
    for byte in value.iter().take(32) {
        text.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
    refused(error, &text, column)
}

impl Reader {
    /// Reads the value at the cursor into `column`.
    #[inline]
    pub(super) fn read(&self, cursor: &mut Cursor<'_>, column: &mut Column, with: &mut Reading<'_>) -> Outcome<()> {
        match self {
            Self::Long => {
                let value = cursor.long()?;
                column.push_i64(value).map_err(|error| refused_number(error, value, column))
            }
            Self::Int => {
                let value = cursor.int()?;
                column.push_i64(value.into()).map_err(|error| refused_number(error, value, column))
            }
            Self::Text => {
                let text = cursor.bytes()?;
                column.push_utf8(text).map_err(|error| refused(error, text, column))
            }
            Self::Nullable { null, value } => {
                if cursor.branch(2)? == *null {
                    return column.push_null_checked().map_err(|error| refused(error, b"", column));
                }
                value.read_value(cursor, column, with)
            }
            Self::Double => {
                let value = cursor.double()?;
                column.push_f64(value).map_err(|error| refused_number(error, value, column))
            }
            Self::Timestamp(digits) => {
                let value = cursor.long()?;
                column.push_timestamp(value, *digits).map_err(|error| refused_number(error, value, column))
            }
            Self::Decimal(scale) => {
                let bytes = cursor.bytes()?;
                column.push_decimal_bytes(bytes, *scale).map_err(|error| refused_decimal(error, bytes, *scale, column))
            }
            _ => self.read_value(cursor, column, with),
        }
    }

    /// The same for all; the one above holds what is worth to be in its caller.
    #[inline(never)]
    fn read_value(&self, cursor: &mut Cursor<'_>, column: &mut Column, with: &mut Reading<'_>) -> Outcome<()> {
        match self {
            Self::Long | Self::Int | Self::Text | Self::Nullable { .. } => self.read(cursor, column, with),
            Self::Double | Self::Timestamp(_) | Self::Decimal(_) => self.read(cursor, column, with),
            Self::Null => column.push_null_checked().map_err(|error| refused(error, b"", column)),
            Self::Boolean => {
                let value = cursor.boolean()?;
                column.push_bool(value).map_err(|error| refused_number(error, value, column))
            }
            Self::Float => {
                let value = cursor.float()?;
                column.push_f32(value).map_err(|error| refused_number(error, value, column))
            }
            Self::Bytes => {
                let bytes = cursor.bytes()?;
                column.push_binary(bytes).map_err(|error| refused_bytes(error, bytes, column))
            }
            Self::Fixed(size) => {
                let bytes = cursor.take(*size)?;
                column.push_binary(bytes).map_err(|error| refused_bytes(error, bytes, column))
            }
            Self::Enum(symbols) => {
                let symbol = cursor.long()?;
                let known = usize::try_from(symbol).ok().and_then(|symbol| symbols.get(symbol));
                let Some(text) = known else {
                    return Err(problem(format!("there is no symbol {symbol} in an enum of {}", symbols.len())));
                };
                column.push_utf8(text.as_bytes()).map_err(|error| refused(error, text.as_bytes(), column))
            }
            Self::Date => {
                let days = cursor.int()?;
                column.push_date(days.into()).map_err(|error| refused_number(error, days, column))
            }
            Self::Time { digits, int } => {
                let value = if *int { cursor.int()?.into() } else { cursor.long()? };
                column.push_time(value, *digits).map_err(|error| refused_number(error, value, column))
            }
            Self::FixedDecimal { size, scale } => {
                let bytes = cursor.take(*size)?;
                column.push_decimal_bytes(bytes, *scale).map_err(|error| refused_decimal(error, bytes, *scale, column))
            }
            Self::FixedUuid => {
                let bytes = cursor.take(16)?;
                if matches!(column.values, Values::Binary { .. }) {
                    return column.push_binary(bytes).map_err(|error| refused_bytes(error, bytes, column));
                }
                with.scratch.clear();
                push_uuid(with.scratch, bytes);
                column.push_utf8(with.scratch).map_err(|error| refused(error, with.scratch, column))
            }
            Self::Duration => {
                let value = duration(cursor.take(12)?)?;
                column.push_interval(value).map_err(|error| refused(error, b"a duration", column))
            }
            Self::ScaledDecimal => {
                let scale = cursor.int()?;
                let bytes = cursor.bytes()?;
                column.push_decimal_bytes(bytes, scale).map_err(|error| refused_decimal(error, bytes, scale, column))
            }
            Self::Union(branches) => {
                let branch = cursor.branch(branches.len())?;
                branches[branch].read(cursor, column, with)
            }
            Self::Refused(why) => Err(problem(why.clone())),
            Self::Array { item, smallest } => read_array(cursor, column, with, *smallest, item),
            Self::Map { value, smallest } => {
                let Values::Map { ends, keys, values } = &mut column.values else { return Err(conflict(column)) };
                let mut before = 0;
                loop {
                    let count = cursor.block(*smallest, before)?;
                    if count == 0 {
                        break;
                    }
                    before += count;
                    for _ in 0..count {
                        let key = cursor.bytes()?;
                        keys.push_utf8(key).map_err(|error| refused(error, key, keys))?;
                        value
                            .read(cursor, values, with)
                            .map_err(|problem| problem.inside(&format!("[{}]", show(key))))?;
                    }
                }
                // `Column::finish` refuses what is longer.
                ends.push(keys.len() as i32);
                Ok(())
            }
            Self::Pairs { steps, smallest } => {
                let Values::Map { ends, keys, values } = &mut column.values else { return Err(conflict(column)) };
                let mut before = 0;
                loop {
                    let count = cursor.block(*smallest, before)?;
                    if count == 0 {
                        break;
                    }
                    before += count;
                    for _ in 0..count {
                        steps.run(cursor, &mut [&mut **keys, &mut **values], with)?;
                    }
                }
                // `Column::finish` refuses what is longer.
                ends.push(keys.len() as i32);
                Ok(())
            }
            Self::Record(steps) => {
                let Values::Struct { fields, rows } = &mut column.values else { return Err(conflict(column)) };
                steps.run(cursor, fields, with).map_err(|problem| problem.inside("."))?;
                *rows += 1;
                Ok(())
            }
            Self::Json(ty) => {
                let mut text = std::mem::take(with.scratch);
                text.clear();
                let done = cursor.json(with.schema, *ty, 0, &mut text);
                let done =
                    done.and_then(|()| column.push_made_json(&text).map_err(|error| refused(error, &text, column)));
                *with.scratch = text;
                done
            }
        }
    }
}

fn read_array(
    cursor: &mut Cursor<'_>,
    column: &mut Column,
    with: &mut Reading<'_>,
    smallest: usize,
    item: &Reader,
) -> Outcome<()> {
    let Values::List { ends, items } = &mut column.values else { return Err(conflict(column)) };
    let mut before = 0;
    loop {
        let count = cursor.block(smallest, before)?;
        if count == 0 {
            break;
        }
        for at in 0..count {
            item.read(cursor, items, with).map_err(|problem| problem.inside(&format!("[{}]", before + at)))?;
        }
        before += count;
    }
    // `Column::finish` refuses what is longer.
    ends.push(items.len() as i32);
    Ok(())
}

#[cold]
fn conflict(column: &Column) -> Box<Problem> {
    refused(ValueError::Conflict, b"the value", column)
}

#[cold]
fn refused_decimal(error: ValueError, bytes: &[u8], scale: i32, column: &Column) -> Box<Problem> {
    match crate::value::unscaled::from_bytes(bytes) {
        Ok(value) => {
            let mut text = Vec::new();
            crate::value::typed::push_units(&mut text, value, scale);
            refused(error, &text, column)
        }
        Err(_) => refused_bytes(error, bytes, column),
    }
}

impl Steps {
    /// Reads a record, and what stands for the fields that it lacks.
    #[inline]
    pub(super) fn run<C: Columns + ?Sized>(
        &self,
        cursor: &mut Cursor<'_>,
        columns: &mut C,
        with: &mut Reading<'_>,
    ) -> Outcome<()> {
        for step in &self.steps {
            match step.targets.as_slice() {
                [Target::Column(at, reader)] => {
                    reader.read(cursor, columns.column(*at), with).map_err(|problem| problem.inside(&step.name))?;
                }
                [] => {
                    cursor.skip(with.schema, step.ty, 0).map_err(|problem| problem.inside(&step.name))?;
                }
                targets => {
                    let start = cursor.at;
                    for target in targets {
                        cursor.at = start;
                        match target {
                            Target::Column(at, reader) => reader.read(cursor, columns.column(*at), with),
                            Target::Inner(inner) => inner.run(cursor, columns, with),
                        }
                        .map_err(|problem| problem.inside(&step.name))?;
                    }
                }
            }
        }
        for (at, missing) in &self.missing {
            missing.push(columns.column(*at), with)?;
        }
        Ok(())
    }
}

impl Inner {
    fn run<C: Columns + ?Sized>(
        &self,
        cursor: &mut Cursor<'_>,
        columns: &mut C,
        with: &mut Reading<'_>,
    ) -> Outcome<()> {
        let branch = if self.union { cursor.branch(self.branches.len())? } else { 0 };
        if let Some(steps) = &self.branches[branch] {
            return steps.run(cursor, columns, with).map_err(|problem| problem.inside("."));
        }
        for at in &self.columns {
            let column = columns.column(*at);
            column.push_null_checked().map_err(|error| refused(error, b"", column))?;
        }
        Ok(())
    }
}

impl Missing {
    fn push(&self, column: &mut Column, with: &mut Reading<'_>) -> Outcome<()> {
        let name = |problem: Box<Problem>, column: &Column| problem.inside(column.field().name());
        match self {
            Self::Null => column.push_null_checked().map_err(|error| name(refused(error, b"", column), column)),
            Self::Default { bytes, reader } => {
                let mut cursor = Cursor { bytes, at: 0 };
                let schema = with.reader_schema;
                let mut with = Reading { schema, reader_schema: schema, scratch: with.scratch };
                reader.read(&mut cursor, column, &mut with).map_err(|problem| name(problem, column))
            }
        }
    }
}
