//! The connector `nexmark`: the events of an auction site, as the benchmark Nexmark has them.
//!
//! Of fifty events one is a person who registers, three are auctions and 46 are bids; most bids are for a hot auction and by a
//! hot bidder. Times, numbers, sizes and proportions follow the benchmark's generator; random values are our own.

mod columns;
mod config;
mod text;

use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, PrimitiveArray, RecordBatch, new_null_array};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use async_trait::async_trait;
use velo_core::batch::columns_of;
use velo_core::connector::{
    Capabilities, Connector, DecodeColumn, SinkBinding, SourceBinding, SourceRequest, StreamSource, TableDataSource,
};
use velo_core::error::ErrorKind;
use velo_core::properties::{Options, Properties, PropertyError, PropertySpec};
use velo_core::suggest::nearest;
use velo_core::types::{TIMESTAMP, sql_name, sql_name_of};
use velo_core::{ConnectorError, Result};

use self::columns::{Column, Events, Values, columns, event_types, fields, structs};
use self::config::{Course, Kind};
use crate::generator::Generator;
use crate::properties::{NexmarkProperties, Table};
use crate::stream::Rows;
use crate::table::MadeTable;

/// Rows of a chunk, about.
const CHUNK: u64 = 8_192;

const KINDS: [(&str, Kind); 3] = [("person", Kind::Person), ("auction", Kind::Auction), ("bid", Kind::Bid)];

/// The connector `nexmark`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NexmarkConnector;

impl Connector for NexmarkConnector {
    fn name(&self) -> &'static str {
        "nexmark"
    }

    fn summary(&self) -> &'static str {
        "The events of the benchmark Nexmark: persons, auctions and bids"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source: true,
            incremental: true,
            deletes: true,
            replay: true,
            ordered: true,
            record_time: true,
            ..Capabilities::default()
        }
    }

    fn source_properties(&self) -> Vec<&'static PropertySpec> {
        NexmarkProperties::SPECS.iter().collect()
    }

    fn sink_properties(&self) -> Vec<&'static PropertySpec> {
        Vec::new()
    }

    fn bind_source(&self, options: &mut Options) -> Option<Arc<dyn SourceBinding>> {
        let before = options.has_errors();
        let properties = NexmarkProperties::read(options);
        let course = Course::new(properties, options);
        (before || !options.has_errors()).then(|| Arc::new(Nexmark { course }) as Arc<dyn SourceBinding>)
    }

    fn bind_sink(&self, options: &mut Options) -> Option<Arc<dyn SinkBinding>> {
        crate::print::only_a_source(options, self.name());
        None
    }
}

/// The events as a source.
#[derive(Debug)]
struct Nexmark {
    course: Course,
}

impl Nexmark {
    fn schema(&self) -> Fields {
        match one_kind(self.course.properties.table) {
            Some(kind) => fields(kind),
            None => {
                let mut all = vec![Arc::new(Field::new("event_type", DataType::Int32, true))];
                let kinds = KINDS.iter().map(|(name, kind)| Field::new(*name, DataType::Struct(fields(*kind)), true));
                all.extend(kinds.map(Arc::new));
                all.into()
            }
        }
    }

    fn rows(&self, request: SourceRequest) -> Rows {
        let only = one_kind(self.course.properties.table);
        let wanted = request.columns.iter().map(|column| Wanted::of(column, only)).collect();
        let fields: Vec<FieldRef> = request.columns.iter().map(|column| typed(column, &self.schema())).collect();
        let generator =
            Auctions { values: Values::new(self.course.clone()), only, wanted, schema: Arc::new(Schema::new(fields)) };
        Rows { generator: Arc::new(generator), rate: self.course.properties.rows_per_second, request }
    }
}

/// The kind that a table has alone.
fn one_kind(table: Table) -> Option<Kind> {
    match table {
        Table::All => None,
        Table::Person => Some(Kind::Person),
        Table::Auction => Some(Kind::Auction),
        Table::Bid => Some(Kind::Bid),
    }
}

/// The field of the column that is made. Where the text of a value is wanted, the value itself is given, which is a TIMESTAMP or
/// a number.
fn typed(column: &DecodeColumn, schema: &Fields) -> FieldRef {
    if !column.raw {
        return Arc::clone(&column.field);
    }
    let found = column.path.iter().try_fold((schema.clone(), None), |(fields, _), name| {
        let field = find(&fields, name)?;
        let inner = match field.data_type() {
            DataType::Struct(inner) => inner.clone(),
            _ => Fields::empty(),
        };
        Some((inner, Some(field.data_type().clone())))
    });
    let system = (column.path == ["_timestamp"]).then_some(TIMESTAMP);
    let data_type = found.and_then(|(_, data_type)| data_type).or(system).unwrap_or(DataType::Utf8);
    Arc::new(Field::new(column.field.name(), data_type, true))
}

/// The field called `name`: the exact spelling, else one that differs in case only.
fn find<'a>(fields: &'a Fields, name: &str) -> Option<&'a FieldRef> {
    let exact = fields.iter().find(|field| field.name() == name);
    exact.or_else(|| fields.iter().find(|field| field.name().eq_ignore_ascii_case(name)))
}

/// What is wrong with `declared`, where the generator makes `made`.
fn compare(declared: &Fields, made: &Fields, inside: &str, errors: &mut Vec<PropertyError>) {
    for field in declared {
        let path = format!("{inside}{}", field.name());
        let wrong = |message: String, help: String| PropertyError {
            key: "connector".to_owned(),
            origin: None,
            message,
            help: Some(help),
        };
        let Some(found) = find(made, field.name()) else {
            let names: Vec<&str> = made.iter().map(|field| field.name().as_str()).collect();
            let help = match nearest(field.name(), names.iter().copied()) {
                Some(near) => format!("did you mean '{inside}{near}'?"),
                None => format!("there are {}", names.join(", ")),
            };
            errors.push(wrong(format!("nexmark makes no column '{path}'"), help));
            continue;
        };
        match (field.data_type(), found.data_type()) {
            (DataType::Struct(declared), DataType::Struct(made)) => {
                compare(declared, made, &format!("{path}."), errors);
            }
            (declared, made) if declared == made => {}
            (_, made) => errors.push(wrong(
                format!("'{path}' is declared {}, and nexmark makes {}", sql_name_of(field), sql_name(made)),
                format!("declare it {}, or leave all columns out", sql_name(made)),
            )),
        }
    }
}

#[async_trait]
impl SourceBinding for Nexmark {
    fn describe(&self) -> String {
        let properties = &self.course.properties;
        let what = KINDS.iter().find(|(_, kind)| one_kind(properties.table) == Some(*kind));
        let what = what.map_or_else(String::new, |(name, _)| format!(" {name}"));
        match properties.events {
            Some(events) => format!("nexmark{what} ({events} events, seed {})", properties.seed),
            None => format!("nexmark{what} (endless, seed {})", properties.seed),
        }
    }

    fn bounded(&self) -> bool {
        self.course.properties.events.is_some()
    }

    fn system_columns(&self) -> Vec<Field> {
        vec![Field::new("_timestamp", TIMESTAMP, false)]
    }

    async fn infer_schema(&self) -> Result<SchemaRef> {
        Ok(Arc::new(Schema::new(self.schema())))
    }

    fn check_columns(&self, declared: &Schema) -> Vec<PropertyError> {
        let mut errors = Vec::new();
        compare(declared.fields(), &self.schema(), "", &mut errors);
        errors
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn StreamSource>> {
        Ok(Box::new(self.rows(request)))
    }

    async fn open_table(&self, request: SourceRequest) -> Result<Arc<dyn TableDataSource>> {
        Ok(Arc::new(MadeTable(self.rows(request))))
    }
}

/// A column that is asked for.
#[derive(Debug)]
enum Wanted {
    EventType,
    /// The time of any event.
    Time,
    One(Kind, Column),
    Whole(Kind, Fields, Vec<Column>),
    /// There is no such thing.
    Nothing,
}

impl Wanted {
    fn of(column: &DecodeColumn, only: Option<Kind>) -> Self {
        let one = |kind: Kind, name: &str| {
            let known = columns(kind);
            let found = known.iter().find(|(known, _)| *known == name);
            found
                .or_else(|| known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)))
                .map(|(_, column)| *column)
        };
        let names: Vec<&str> = column.path.iter().map(String::as_str).collect();
        let kind_of =
            |name: &str| KINDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind);
        match (names.as_slice(), only) {
            ([name], Some(kind)) if one(kind, name).is_some() => {
                one(kind, name).map_or(Self::Nothing, |column| Self::One(kind, column))
            }
            ([name], _) if name.eq_ignore_ascii_case("_timestamp") => Self::Time,
            ([name], None) if name.eq_ignore_ascii_case("event_type") => Self::EventType,
            ([name], None) => match (kind_of(name), column.field.data_type()) {
                (Some(kind), DataType::Struct(fields)) => {
                    let columns = fields.iter().filter_map(|field| one(kind, field.name())).collect();
                    Self::Whole(kind, fields.clone(), columns)
                }
                _ => Self::Nothing,
            },
            ([outer, inner], None) => {
                let found = kind_of(outer).and_then(|kind| Some(Self::One(kind, one(kind, inner)?)));
                found.unwrap_or(Self::Nothing)
            }
            _ => Self::Nothing,
        }
    }

    fn kind(&self) -> Option<Kind> {
        match self {
            Self::One(kind, _) | Self::Whole(kind, ..) => Some(*kind),
            _ => None,
        }
    }
}

/// Makes the events.
#[derive(Debug)]
struct Auctions {
    values: Values,
    only: Option<Kind>,
    wanted: Vec<Wanted>,
    schema: SchemaRef,
}

impl Auctions {
    /// The events of `kind` at their rows.
    fn events(&self, kind: Kind, numbers: &[u64]) -> Events {
        let course = &self.values.course;
        let rows = numbers.len();
        if self.only.is_some() {
            return Events { rows, at: numbers.iter().copied().enumerate().collect(), nulls: None };
        }
        let valid = BooleanBuffer::collect_bool(rows, |row| course.kind(numbers[row]) == kind);
        let at = valid.set_indices().map(|row| (row, numbers[row])).collect();
        Events { rows, at, nulls: Some(NullBuffer::new(valid)) }
    }

    fn column(&self, wanted: &Wanted, events: Option<&Events>, numbers: &[u64], field: &Field) -> Result<ArrayRef> {
        let course = &self.values.course;
        let made = match (wanted, events) {
            (Wanted::One(_, column), Some(events)) => self.values.column(*column, events),
            (Wanted::Whole(_, fields, columns), Some(events)) => {
                let columns =
                    columns.iter().map(|column| self.values.column(*column, events)).collect::<Result<_, _>>();
                columns.and_then(|columns| structs(fields.clone(), columns, events))
            }
            (Wanted::EventType, _) => Ok(event_types(numbers.iter().map(|event| course.kind(*event)))),
            (Wanted::Time, _) => {
                let times = numbers.iter().map(|event| course.micros(*event));
                Ok(Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(times)) as ArrayRef)
            }
            _ => Ok(new_null_array(field.data_type(), numbers.len())),
        };
        made.map_err(|error| ConnectorError::new(ErrorKind::Decode, "making events", error.to_string()))
    }
}

impl Generator for Auctions {
    fn total(&self) -> Option<u64> {
        self.values.course.properties.events
    }

    fn chunk(&self) -> u64 {
        let course = &self.values.course;
        match self.only {
            None => CHUNK,
            // About as many rows as for all kinds.
            Some(kind) => CHUNK * CHUNK / course.count(kind, CHUNK).max(CHUNK / 64),
        }
    }

    fn rows_before(&self, number: u64) -> u64 {
        self.only.map_or(number, |kind| self.values.course.count(kind, number))
    }

    fn make(&self, turns: Range<u64>, _sums: &[i64]) -> Result<RecordBatch> {
        let course = &self.values.course;
        let events = turns.map(|turn| course.event(turn));
        let numbers: Vec<u64> = match self.only {
            None => events.collect(),
            Some(kind) => events.filter(|event| course.kind(*event) == kind).collect(),
        };
        let mut by_kind: [Option<Events>; 3] = [None, None, None];
        let mut made = Vec::with_capacity(self.wanted.len());
        for (wanted, field) in self.wanted.iter().zip(self.schema.fields()) {
            let events =
                wanted.kind().map(|kind| &*by_kind[kind as usize].get_or_insert_with(|| self.events(kind, &numbers)));
            made.push(self.column(wanted, events, &numbers, field)?);
        }
        columns_of(&self.schema, made, numbers.len())
            .map_err(|error| ConnectorError::new(ErrorKind::Decode, "making events", error.to_string()))
    }
}
