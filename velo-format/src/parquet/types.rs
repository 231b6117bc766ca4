//! Which column of ours a column of a file is, and which declared one it may become.

use std::ops::Range;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use parquet::basic::{LogicalType, Type as Physical};
use parquet::schema::types::SchemaDescriptor;
use velo_core::types;

/// A column of a file, or a field within one.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// As the library reads it.
    pub(super) read: FieldRef,
    /// As ours; `None` where we have no such type.
    pub(super) ours: Option<FieldRef>,
    /// Its leaves among those of the file.
    pub(super) leaves: Range<usize>,
    /// The fields of a group.
    pub(super) fields: Vec<Node>,
}

/// The columns of a file that the library would read as `fields`.
pub(super) fn nodes(fields: &Fields, file: &SchemaDescriptor) -> Vec<Node> {
    let mut leaf = 0;
    fields.iter().map(|field| node(field, file, &mut leaf)).collect()
}

fn node(field: &FieldRef, file: &SchemaDescriptor, leaf: &mut usize) -> Node {
    let first = *leaf;
    let made = |read: DataType, ours: Option<Field>, leaf: &usize, fields| Node {
        read: Arc::new(field.as_ref().clone().with_data_type(read)),
        ours: ours.map(Arc::new),
        leaves: first..*leaf,
        fields,
    };
    let named = |data_type: DataType| Field::new(field.name(), data_type, true);
    match field.data_type() {
        DataType::List(item) | DataType::LargeList(item) => {
            let item = node(item, file, leaf);
            let ours = item.ours.as_ref().map(|ours| named(types::array(ours.data_type().clone())));
            let read = match field.data_type() {
                DataType::LargeList(_) => DataType::LargeList(item.read),
                _ => DataType::List(item.read),
            };
            made(read, ours, leaf, vec![])
        }
        DataType::Map(entries, sorted) => {
            let inner = node(entries, file, leaf);
            let ours = match inner.fields.as_slice() {
                [key, value] => key.ours.as_ref().zip(value.ours.as_ref()),
                _ => None,
            };
            let ours = ours.map(|(key, value)| named(types::map(key.data_type().clone(), value.data_type().clone())));
            made(DataType::Map(inner.read, *sorted), ours, leaf, vec![])
        }
        DataType::Struct(inner) => {
            let inner: Vec<Node> = inner.iter().map(|field| node(field, file, leaf)).collect();
            let ours = inner.iter().map(|field| field.ours.clone()).collect::<Option<Fields>>();
            let read = inner.iter().map(|field| Arc::clone(&field.read)).collect();
            made(DataType::Struct(read), ours.map(|ours| named(DataType::Struct(ours))), leaf, inner)
        }
        data_type => {
            let column = (first < file.num_columns()).then(|| file.column(first));
            *leaf += 1;
            // Read as nanoseconds it would end in 2262, and wrap.
            let ancient = column.as_ref().is_some_and(|column| column.physical_type() == Physical::INT96);
            let json = column.is_some_and(|column| column.logical_type_ref() == Some(&LogicalType::Json));
            let read = if ancient { types::TIMESTAMP } else { data_type.clone() };
            let ours = match json {
                true => Some(types::json_field(field.name(), true)),
                false => leaf_type(&read).map(named),
            };
            made(read, ours, leaf, vec![])
        }
    }
}

fn leaf_type(read: &DataType) -> Option<DataType> {
    Some(match read {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32
        | DataType::Interval(IntervalUnit::MonthDayNano) => read.clone(),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => types::decimal(*precision, *scale),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Time32(_) | DataType::Time64(_) => types::TIME,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => types::TIMESTAMP_NANOS,
        DataType::Timestamp(..) => types::TIMESTAMP,
        _ => return None,
    })
}

/// Whether a column of type `found` can be read as `wanted`: where not every value fits, a row can still be an error.
pub(super) fn fits(found: &DataType, wanted: &DataType) -> bool {
    use DataType::{Binary, Decimal128, Decimal256, Float32, Float64, List, Map, Struct, Timestamp, Utf8};
    if found == wanted {
        return true;
    }
    let decimal = |data_type: &DataType| match data_type {
        Decimal128(precision, scale) | Decimal256(precision, scale) => Some((i16::from(*precision), i16::from(*scale))),
        _ => None,
    };
    match (found, wanted) {
        (Float32, Float64) | (Binary, Utf8) => true,
        (Timestamp(_, None), Timestamp(_, None)) => true,
        (List(found), List(wanted)) => fits(found.data_type(), wanted.data_type()),
        (Map(found, _), Map(wanted, _)) => match (found.data_type(), wanted.data_type()) {
            (Struct(found), Struct(wanted)) => {
                found.iter().zip(wanted).all(|(found, wanted)| fits(found.data_type(), wanted.data_type()))
            }
            _ => false,
        },
        (Struct(found), Struct(wanted)) => wanted.iter().all(|wanted| {
            field_at(found, wanted.name()).is_some_and(|at| fits(found[at].data_type(), wanted.data_type()))
        }),
        _ => match (integer(found), integer(wanted), decimal(found), decimal(wanted)) {
            (Some((signed, bits)), Some((wide, room)), ..) => match (signed, wide) {
                (true, false) => false,
                (false, true) => bits < room,
                _ => bits <= room,
            },
            // 2^8 has three digits, 2^16 five, 2^32 ten, 2^64 nineteen, or twenty without a sign.
            (Some((signed, bits)), _, _, Some((precision, scale))) => {
                let digits = match bits {
                    8 => 3,
                    16 => 5,
                    32 => 10,
                    _ => 20 - i16::from(signed),
                };
                precision - scale >= digits
            }
            (Some((_, bits)), ..) => bits <= 32 && *wanted == Float64,
            (_, _, Some((precision, scale)), Some((wide, room))) => room >= scale && wide - room >= precision - scale,
            _ => false,
        },
    }
}

fn integer(data_type: &DataType) -> Option<(bool, u8)> {
    Some(match data_type {
        DataType::Int8 => (true, 8),
        DataType::Int16 => (true, 16),
        DataType::Int32 => (true, 32),
        DataType::Int64 => (true, 64),
        DataType::UInt8 => (false, 8),
        DataType::UInt16 => (false, 16),
        DataType::UInt32 => (false, 32),
        DataType::UInt64 => (false, 64),
        _ => return None,
    })
}

/// The field called `name`: the exact spelling, else one that differs in case only.
pub(super) fn field_at(fields: &Fields, name: &str) -> Option<usize> {
    let exact = fields.iter().position(|field| field.name() == name);
    exact.or_else(|| fields.iter().position(|field| crate::json::read::same_folded(field.name(), name.as_bytes())))
}
