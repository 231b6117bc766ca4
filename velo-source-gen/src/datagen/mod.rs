//! The connector `datagen`: rows whose columns follow rules.

mod given;
mod make;
mod rule;
mod simulated;

use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, PrimitiveArray, RecordBatch, StringArray, new_null_array};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use velo_core::batch::columns_of;
use velo_core::connector::{
    Capabilities, Connector, DecodeColumn, SinkBinding, SourceBinding, SourceRequest, StreamSource, TableDataSource,
};
use velo_core::error::ErrorKind;
use velo_core::properties::{Options, Properties, PropertyError, PropertySpec};
use velo_core::suggest::nearest;
use velo_core::table_text::value_text;
use velo_core::types::TIMESTAMP;
use velo_core::{ConnectorError, Result};

use self::given::Given;
use self::make::Maker;
use self::rule::{Compiled, compile};
use self::simulated::Simulated;
use crate::generator::Generator;
use crate::properties::{DatagenProperties, FieldProperties, Kind};
use crate::stream::Rows;
use crate::table::MadeTable;

/// Rows of a chunk.
const CHUNK: u64 = 8_192;
/// One row in so many microseconds, where nothing else is said.
const INTERVAL: u64 = 1_000_000;

/// The connector `datagen`.
#[derive(Debug, Clone, Copy, Default)]
pub struct DatagenConnector;

impl Connector for DatagenConnector {
    fn name(&self) -> &'static str {
        "datagen"
    }

    fn summary(&self) -> &'static str {
        "Made-up rows: each column a sequence, a range, a choice, a walk or a simulated time"
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
        DatagenProperties::SPECS.iter().chain(FieldProperties::SPECS).collect()
    }

    fn sink_properties(&self) -> Vec<&'static PropertySpec> {
        Vec::new()
    }

    fn bind_source(&self, options: &mut Options) -> Option<Arc<dyn SourceBinding>> {
        let before = options.has_errors();
        let properties = DatagenProperties::read(options);
        let given = given::read(options);
        let mut wrong = |key: &str, message: &str| {
            let message = format!("'{key}' {message}");
            options.error(PropertyError { key: key.to_owned(), origin: None, message, help: None });
        };
        if properties.rows_per_second == Some(0) {
            wrong("rows.per.second", "must be more than 0; leave it out for rows as fast as they are taken");
        }
        for (key, span) in [
            ("time.interval", properties.time_interval.unwrap_or_default()),
            ("time.jitter", properties.time_jitter),
            ("time.out_of_orderness", properties.time_out_of_orderness),
        ] {
            if span.0 < 0 {
                wrong(key, "cannot be negative");
            }
        }
        let source = Datagen { properties, given };
        (before || !options.has_errors()).then(|| Arc::new(source) as Arc<dyn SourceBinding>)
    }

    fn bind_sink(&self, options: &mut Options) -> Option<Arc<dyn SinkBinding>> {
        crate::print::only_a_source(options, self.name());
        None
    }
}

/// Rows by rule, as a source.
#[derive(Debug, Clone)]
struct Datagen {
    properties: DatagenProperties,
    given: Vec<Given>,
}

impl Datagen {
    /// What is written about the column `name`.
    fn given(&self, name: &str) -> Given {
        let exact = self.given.iter().find(|given| given.name == name);
        let found = exact.or_else(|| self.given.iter().find(|given| given.name.eq_ignore_ascii_case(name)));
        found.cloned().unwrap_or_else(|| Given::nothing(name))
    }

    fn times(&self) -> Simulated {
        let properties = &self.properties;
        let pace = match (properties.time_interval, properties.rows_per_second) {
            (Some(interval), _) => (1, interval.0.unsigned_abs()),
            (None, Some(rate)) => (rate, 1_000_000),
            (None, None) => (1, INTERVAL),
        };
        let (jitter, early) =
            (properties.time_jitter.0.unsigned_abs(), properties.time_out_of_orderness.0.unsigned_abs());
        Simulated::new(properties.time_start.0, pace, jitter, early, properties.seed)
    }

    fn rows(&self, request: SourceRequest) -> Result<Rows> {
        let fail = |error: PropertyError| {
            let failed = ConnectorError::new(ErrorKind::Configuration, "opening datagen", error.message);
            match error.help {
                Some(help) => failed.advise(help),
                None => failed,
            }
        };
        let mut total = self.properties.number_of_rows;
        let mut compiled: Vec<(FieldRef, Compiled)> = Vec::new();
        for field in request.declared.fields() {
            let rule = compile(field, &self.given(field.name())).map_err(|error| fail(*error))?;
            total = [total, rule.rows].into_iter().flatten().min();
            compiled.push((Arc::clone(field), rule));
        }
        let wanted: Vec<Wanted> =
            request.columns.iter().map(|column| self.wanted(column, &request.declared, &compiled)).collect();
        let fields: Vec<FieldRef> =
            request.columns.iter().zip(&wanted).map(|(column, wanted)| wanted.field(column)).collect();
        let walks = wanted.iter().filter_map(Wanted::maker).filter(|maker| maker.walks()).cloned().collect();
        let generator = Columns { total, times: self.times(), wanted, walks, schema: Arc::new(Schema::new(fields)) };
        Ok(Rows { generator: Arc::new(generator), rate: self.properties.rows_per_second, request })
    }

    fn wanted(&self, column: &DecodeColumn, declared: &Schema, compiled: &[(FieldRef, Compiled)]) -> Wanted {
        let [name] = column.path.as_slice() else { return Wanted::Nothing };
        let found = declared
            .fields()
            .iter()
            .position(|field| field.name() == name)
            .or_else(|| declared.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name)));
        match found {
            Some(at) => {
                let (field, Compiled { rule, .. }) = &compiled[at];
                let given = self.given(field.name());
                let null_rate = given.properties.null_rate.map_or(0.0, |rate| rate.0);
                let maker = Maker::new(field.as_ref().clone(), rule.clone(), self.properties.seed, null_rate);
                // The text of a time or a number is read again later, so those are given as they are.
                let as_text = column.raw && matches!(field.data_type(), DataType::Utf8 | DataType::Boolean);
                Wanted::Column(Box::new(maker), as_text)
            }
            None if name.eq_ignore_ascii_case("_timestamp") => Wanted::Time,
            None => Wanted::Nothing,
        }
    }
}

#[async_trait]
impl SourceBinding for Datagen {
    fn describe(&self) -> String {
        let rows = match self.properties.number_of_rows {
            Some(rows) => format!("{rows} rows, "),
            None if self.bounded() => String::new(),
            None => "endless, ".to_owned(),
        };
        format!("datagen ({rows}seed {})", self.properties.seed)
    }

    fn bounded(&self) -> bool {
        let ends = |given: &Given| given.properties.kind == Some(Kind::Sequence) && given.properties.end.is_some();
        self.properties.number_of_rows.is_some() || self.given.iter().any(ends)
    }

    fn system_columns(&self) -> Vec<Field> {
        vec![Field::new("_timestamp", TIMESTAMP, false)]
    }

    async fn infer_schema(&self) -> Result<SchemaRef> {
        let message = "datagen has no data to infer columns from";
        Err(ConnectorError::new(ErrorKind::Unsupported, "inferring the columns", message).advise(
            "declare them: CREATE STREAM name (id BIGINT, price DECIMAL(18,4), …) WITH (connector = 'datagen', …)",
        ))
    }

    fn check_columns(&self, declared: &Schema) -> Vec<PropertyError> {
        let mut errors = Vec::new();
        for given in &self.given {
            if declared.fields().iter().any(|field| field.name().eq_ignore_ascii_case(&given.name)) {
                continue;
            }
            let names: Vec<&str> = declared.fields().iter().map(|field| field.name().as_str()).collect();
            let what = given.said().next().unwrap_or("kind");
            let help = match nearest(&given.name, names.iter().copied()) {
                Some(near) => format!("did you mean 'fields.{near}.{what}'?"),
                None => format!("the declared columns are {}", names.join(", ")),
            };
            errors.push(given.error(what, &format!("there is no column '{}'", given.name), Some(help)));
        }
        let compiled = declared.fields().iter().map(|field| compile(field, &self.given(field.name())));
        errors.extend(compiled.filter_map(Result::err).map(|error| *error));
        errors
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn StreamSource>> {
        Ok(Box::new(self.rows(request)?))
    }

    async fn open_table(&self, request: SourceRequest) -> Result<Arc<dyn TableDataSource>> {
        Ok(Arc::new(MadeTable(self.rows(request)?)))
    }
}

/// A column that is asked for.
#[derive(Debug)]
enum Wanted {
    /// A declared one, as text or as it is.
    Column(Box<Maker>, bool),
    /// The row's time.
    Time,
    /// There is no such thing.
    Nothing,
}

impl Wanted {
    fn maker(&self) -> Option<&Maker> {
        match self {
            Self::Column(maker, _) => Some(maker),
            _ => None,
        }
    }

    fn field(&self, column: &DecodeColumn) -> FieldRef {
        let data_type = match self {
            Self::Column(maker, false) => maker.field.data_type().clone(),
            Self::Time => TIMESTAMP,
            _ => return Arc::clone(&column.field),
        };
        Arc::new(column.field.as_ref().clone().with_data_type(data_type))
    }
}

/// Makes rows by rule.
#[derive(Debug)]
struct Columns {
    total: Option<u64>,
    times: Simulated,
    wanted: Vec<Wanted>,
    /// The columns whose values go on from those before.
    walks: Vec<Maker>,
    schema: SchemaRef,
}

impl Generator for Columns {
    fn total(&self) -> Option<u64> {
        self.total
    }

    fn chunk(&self) -> u64 {
        CHUNK
    }

    fn add(&self, sums: &mut Vec<i64>, numbers: Range<u64>) {
        sums.resize(self.walks.len(), 0);
        for (sum, walk) in sums.iter_mut().zip(&self.walks) {
            *sum = sum.wrapping_add(walk.steps(numbers.clone()));
        }
    }

    fn make(&self, numbers: Range<u64>, sums: &[i64]) -> Result<RecordBatch> {
        let rows = (numbers.end - numbers.start) as usize;
        let mut sums = sums.iter().copied();
        let mut made: Vec<ArrayRef> = Vec::with_capacity(self.wanted.len());
        for (wanted, field) in self.wanted.iter().zip(self.schema.fields()) {
            made.push(match wanted {
                Wanted::Column(maker, as_text) => {
                    let sum = if maker.walks() { sums.next().unwrap_or(0) } else { 0 };
                    let column = maker.column(numbers.clone(), sum, &self.times)?;
                    if *as_text {
                        let text: StringArray = (0..rows).map(|row| value_text(&column, row)).collect();
                        Arc::new(text)
                    } else {
                        column
                    }
                }
                Wanted::Time => {
                    let times = numbers.clone().map(|number| self.times.at(number));
                    Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(times))
                }
                Wanted::Nothing => new_null_array(field.data_type(), rows),
            });
        }
        columns_of(&self.schema, made, rows)
            .map_err(|error| ConnectorError::new(ErrorKind::Decode, "making rows", error.to_string()))
    }
}
