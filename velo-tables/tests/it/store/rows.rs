//! Rows for tests: any type of key from a number, and what a table should hold of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float64Array,
    Int32Array, Int64Array, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow_buffer::i256;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use velo_core::lookup::{IndexId, Matches, TableRow, TableVersion};
use velo_core::schema::with_event_time;
use velo_core::{Batch, RowKind};
use velo_tables::{StoreSpec, TableCounters};
use velo_testkit::Random;

/// The types of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Long,
    Int,
    Text,
    LongText,
    Decimal,
    WideDecimal,
    Timestamp,
    Date,
    Boolean,
    Bytes,
    Double,
    Struct,
    List,
    LongAndText,
    /// Whose first key is NULL.
    OptionalText,
    /// Whose first key has NULL beside a number that other keys have too.
    LongAndOptionalText,
}

pub const KEYS: [Key; 16] = [
    Key::Long,
    Key::Int,
    Key::Text,
    Key::LongText,
    Key::Decimal,
    Key::WideDecimal,
    Key::Timestamp,
    Key::Date,
    Key::Boolean,
    Key::Bytes,
    Key::Double,
    Key::Struct,
    Key::List,
    Key::LongAndText,
    Key::OptionalText,
    Key::LongAndOptionalText,
];

impl Key {
    /// How many different keys there can be.
    pub fn distinct(self, wanted: u64) -> u64 {
        if self == Self::Boolean { wanted.min(2) } else { wanted }
    }

    /// The columns of keys made from numbers.
    pub fn columns(self, numbers: &[u64]) -> Vec<ArrayRef> {
        let signed = || numbers.iter().map(|number| *number as i64 - 50);
        let long = || -> ArrayRef { Arc::new(Int64Array::from_iter_values(signed())) };
        let text = |prefix: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(numbers.iter().map(|number| format!("{prefix}{number}"))))
        };
        let column: ArrayRef = match self {
            Self::Long => long(),
            Self::Int => Arc::new(Int32Array::from_iter_values(signed().map(|number| number as i32))),
            Self::Text => text("k"),
            Self::LongText => text("a key of more than sixteen bytes, "),
            Self::Decimal => {
                let values = signed().map(|number| i128::from(number) << 70);
                Arc::new(Decimal128Array::from_iter_values(values).with_precision_and_scale(38, 4).unwrap())
            }
            Self::WideDecimal => {
                let values = signed().map(|number| i256::from_parts(number.unsigned_abs().into(), number.into()));
                Arc::new(Decimal256Array::from_iter_values(values).with_precision_and_scale(76, 4).unwrap())
            }
            Self::Timestamp => Arc::new(TimestampMicrosecondArray::from_iter_values(signed())),
            Self::Date => Arc::new(Date32Array::from_iter_values(signed().map(|number| number as i32))),
            Self::Boolean => Arc::new(BooleanArray::from_iter(numbers.iter().map(|number| Some(number % 2 == 1)))),
            Self::Bytes => Arc::new(BinaryArray::from_iter_values(numbers.iter().map(|number| number.to_le_bytes()))),
            // Both zeros are one key.
            Self::Double => Arc::new(Float64Array::from_iter_values(
                numbers.iter().enumerate().map(
                    |(at, number)| {
                        if *number == 0 && at % 2 == 1 { -0.0 } else { *number as f64 / 4.0 }
                    },
                ),
            )),
            Self::Struct => Arc::new(StructArray::from(vec![
                (Arc::new(Field::new("a", DataType::Int64, true)), long()),
                (Arc::new(Field::new("b", DataType::Utf8, true)), text("s")),
            ])),
            Self::List => {
                let mut lists = ListBuilder::new(Int64Builder::new());
                for number in numbers {
                    lists.append_value([Some((number % 7) as i64), None, Some((number / 7) as i64)]);
                }
                Arc::new(lists.finish())
            }
            Self::OptionalText => {
                let text = |number: &u64| (!self.is_null(*number)).then(|| format!("k{number}"));
                Arc::new(numbers.iter().map(text).collect::<StringArray>())
            }
            Self::LongAndText | Self::LongAndOptionalText => {
                let high = numbers.iter().map(|number| (number / 5) as i64);
                let low = |number: &u64| (!self.is_null(*number)).then(|| format!("part {}", number % 5));
                return vec![
                    Arc::new(Int64Array::from_iter_values(high)),
                    Arc::new(numbers.iter().map(low).collect::<StringArray>()),
                ];
            }
        };
        vec![column]
    }

    fn width(self) -> usize {
        if matches!(self, Self::LongAndText | Self::LongAndOptionalText) { 2 } else { 1 }
    }

    fn is_optional(self) -> bool {
        matches!(self, Self::OptionalText | Self::LongAndOptionalText)
    }

    /// Whether the key of a number has a NULL.
    pub fn is_null(self, number: u64) -> bool {
        self.is_optional() && number == 0
    }
}

/// A row: its key, a value, a group that may be NULL, an event time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    pub key: u64,
    pub value: i64,
    pub group: Option<i64>,
    pub time: i64,
}

/// The columns of a table with such keys: the key's, `number`, `value`, `group`, and the event time.
pub fn schema(key: Key) -> SchemaRef {
    let columns = key.columns(&[0]);
    let mut fields: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| Field::new(format!("key{at}"), column.data_type().clone(), true))
        .collect();
    for name in ["number", "value", "group"] {
        fields.push(Field::new(name, DataType::Int64, true));
    }
    with_event_time(&Schema::new(fields))
}

pub fn batch(key: Key, rows: &[Row]) -> RecordBatch {
    let mut columns = key.columns(&rows.iter().map(|row| row.key).collect::<Vec<_>>());
    columns.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.key as i64))));
    columns.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.value))));
    columns.push(Arc::new(rows.iter().map(|row| row.group).collect::<Int64Array>()));
    columns.push(Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.time))));
    RecordBatch::try_new(schema(key), columns).unwrap()
}

pub fn changes(key: Key, rows: &[(RowKind, Row)]) -> Batch {
    let kinds = rows.iter().map(|(kind, _)| *kind).collect();
    Batch::changes(batch(key, &rows.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>()), kinds)
}

/// The rows of a batch, as they were made.
pub fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let last = batch.num_columns() - 1;
    let column = |back: usize| batch.column(last - back).as_primitive::<Int64Type>();
    let (numbers, values, groups) = (column(3), column(2), column(1));
    let times = batch.column(last).as_any().downcast_ref::<TimestampMicrosecondArray>().unwrap();
    (0..batch.num_rows())
        .map(|row| Row {
            key: numbers.value(row) as u64,
            value: values.value(row),
            group: groups.is_valid(row).then(|| groups.value(row)),
            time: times.value(row),
        })
        .collect()
}

pub fn scan(version: &dyn TableVersion) -> Vec<Row> {
    version.scan().flat_map(|batch| rows_of(&batch)).collect()
}

pub const BY_KEY: IndexId = IndexId(0);
pub const BY_GROUP: IndexId = IndexId(1);

/// A table by key, found by `group` too.
pub fn keyed(key: Key, keeps_versions: bool) -> StoreSpec {
    let columns: Vec<usize> = (0..key.width()).collect();
    StoreSpec {
        name: "t".to_owned(),
        schema: schema(key),
        key: columns.clone(),
        indexes: vec![columns, vec![key.width() + 2]],
        null_keys: key.is_optional(),
        keeps_versions,
        counters: Arc::new(TableCounters::default()),
        budget: None,
    }
}

/// A table without a key, found by what would be the key, and by `group`.
pub fn keyless(key: Key) -> StoreSpec {
    StoreSpec { key: Vec::new(), ..keyed(key, false) }
}

/// Rows by their order, and the row of each key.
#[derive(Debug, Clone, Default)]
pub struct Naive {
    pub by_place: BTreeMap<u64, Row>,
    by_key: HashMap<u64, u64>,
    next: u64,
    pub replaced: u64,
    pub absent: u64,
}

impl Naive {
    pub fn row(&self, key: u64) -> Option<&Row> {
        self.by_place.get(self.by_key.get(&key)?)
    }

    pub fn apply(&mut self, kind: RowKind, row: &Row) {
        match kind {
            RowKind::UpdateBefore => {}
            RowKind::Delete => match self.by_key.remove(&row.key) {
                Some(place) => drop(self.by_place.remove(&place)),
                None => self.absent += 1,
            },
            RowKind::Insert | RowKind::UpdateAfter => {
                if let Some(place) = self.by_key.insert(row.key, self.next) {
                    self.by_place.remove(&place);
                    self.replaced += u64::from(kind == RowKind::Insert);
                }
                self.by_place.insert(self.next, row.clone());
                self.next += 1;
            }
        }
    }

    /// Random changes of these rows, and their effect.
    pub fn change(&mut self, random: &mut Random, keys: u64, count: usize) -> Vec<(RowKind, Row)> {
        let mut made = Vec::new();
        while made.len() < count {
            let row = random_row(random, keys);
            let before = self.row(row.key).cloned();
            let change = match (random.below(10), before) {
                (0..=1, before) => vec![(RowKind::Delete, before.unwrap_or(row))],
                (2..=4, Some(before)) => vec![(RowKind::UpdateBefore, before), (RowKind::UpdateAfter, row)],
                _ => vec![(RowKind::Insert, row)],
            };
            for (kind, row) in &change {
                self.apply(*kind, row);
            }
            made.extend(change);
        }
        made
    }
}

pub fn random_row(random: &mut Random, keys: u64) -> Row {
    let group = (!random.chance(1, 8)).then(|| random.below(keys / 3 + 2) as i64);
    Row { key: random.below(keys), value: random.below(1_000) as i64, group, time: random.below(100) as i64 }
}

/// Compares what is found under every key and in every group with all rows, which are in their order.
pub fn check_lookups(key: Key, version: &dyn TableVersion, rows: &[Row], keys: u64) {
    let mut by_key: HashMap<u64, Vec<&Row>> = HashMap::new();
    let mut by_group: HashMap<i64, Vec<&Row>> = HashMap::new();
    let nulls = rows.iter().filter(|row| key.is_null(row.key)).count();
    assert_eq!(version.null_keys(BY_KEY), nulls as u64, "{key:?}");
    for row in rows {
        if !key.is_null(row.key) {
            by_key.entry(row.key).or_default().push(row);
        }
        if let Some(group) = row.group {
            by_group.entry(group).or_default().push(row);
        }
    }
    // Some are asked for twice, and some are not there.
    let numbers: Vec<u64> = (0..key.distinct(keys + 5)).chain([0, 0, 1]).collect();
    let columns = key.columns(&numbers);
    let all: Vec<usize> = (0..version_width(key)).collect();
    let values = |found: &[TableRow]| -> Vec<Option<Row>> {
        let columns = version.take(found, &all).unwrap();
        let made = RecordBatch::try_new(schema_with_nulls(key), columns).unwrap();
        let last = made.num_columns() - 1;
        let present = made.column(last - 3).clone();
        rows_of(&made).into_iter().enumerate().map(|(at, row)| present.is_valid(at).then_some(row)).collect()
    };
    let mut found = vec![TableRow(3)];
    version.find_one(BY_KEY, &columns, &mut found).unwrap();
    let expected: Vec<Option<Row>> =
        numbers.iter().map(|number| by_key.get(number).map(|rows| (*rows.last().unwrap()).clone())).collect();
    assert_eq!(values(&found), expected, "{key:?}");
    let check_all = |index: IndexId, columns: &[ArrayRef], expected: Vec<(u32, Row)>| {
        let mut matches = Matches { keys: vec![9], rows: vec![TableRow::NONE] };
        version.find(index, columns, &mut matches).unwrap();
        let found: Vec<_> = values(&matches.rows).into_iter().map(Option::unwrap).collect();
        assert_eq!(matches.keys.into_iter().zip(found).collect::<Vec<_>>(), expected, "{key:?}");
    };
    let expect = |at: usize, rows: Option<&Vec<&Row>>| -> Vec<(u32, Row)> {
        rows.into_iter().flatten().map(|row| (at as u32, (*row).clone())).collect()
    };
    let expected = numbers.iter().enumerate().flat_map(|(at, number)| expect(at, by_key.get(number))).collect();
    check_all(BY_KEY, &columns, expected);
    let groups: Int64Array = (0..keys as i64 / 3 + 4).map(|group| (group % 5 != 4).then_some(group)).collect();
    let expected =
        groups.iter().enumerate().flat_map(|(at, group)| expect(at, group.and_then(|group| by_group.get(&group))));
    check_all(BY_GROUP, &[Arc::new(groups.clone())], expected.collect());
    let last = groups.iter().map(|group| Some((*by_group.get(&group?)?.last()?).clone())).collect::<Vec<_>>();
    version.find_one(BY_GROUP, &[Arc::new(groups)], &mut found).unwrap();
    assert_eq!(values(&found), last);
    assert_eq!(version.null_keys(BY_GROUP), rows.iter().filter(|row| row.group.is_none()).count() as u64);
    assert_eq!(version.is_unique(BY_GROUP), by_group.values().all(|rows| rows.len() == 1));
    assert_eq!(version.is_unique(BY_KEY), by_key.values().all(|rows| rows.len() == 1));
}

fn version_width(key: Key) -> usize {
    key.width() + 4
}

fn schema_with_nulls(key: Key) -> SchemaRef {
    let fields: Vec<_> = schema(key).fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    Arc::new(Schema::new(fields))
}
