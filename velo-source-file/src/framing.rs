//! Bytes as records and values, by the format that the properties name. The only module that tells formats apart.

use std::any::Any;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use velo_core::connector::{ChangelogMode, ChunkDecoder, DecodeColumn, SinkRequest, SourceRequest};
use velo_core::error::ErrorKind;
use velo_core::properties::{Options, Properties, PropertyError, PropertySpec};
use velo_core::row_kind::RowKind;
use velo_core::{Batch, ConnectorError, Result};
use velo_format::Encoder;
use velo_format::csv::{CsvDecodeOptions, CsvDecoder, CsvEncodeOptions, CsvEncoder, CsvFramer, CsvProperties, Dialect};
use velo_format::debezium::{DebeziumDecoder, infer_debezium};
use velo_format::framing::{Framer, RECORD_LIMIT, json_framer};
use velo_format::infer::{InferProperties, Sample, infer_csv, infer_json};
use velo_format::json::{JsonDecodeOptions, JsonDecoder, JsonEncodeOptions, JsonEncoder};
use velo_format::parquet::{ParquetDecoder, ParquetEncoder};
use velo_format::properties::{Format, FormatProperties, JsonLayout, ParquetProperties};
use velo_format::value::ValueFormats;

use crate::content::{Coding, Compression, Content};
use crate::error;
use crate::sink::{Encode, Join};

/// A sample for inference grows from this to [`RECORD_LIMIT`].
const SAMPLE: usize = 4 << 20;

/// What belongs to a chunk of a file beside its bytes.
#[derive(Debug)]
pub(crate) struct FileFrames {
    /// What the format's framer adds.
    pub(crate) format: Option<Arc<dyn Any + Send + Sync>>,
    /// When the file was last changed, in microseconds since 1970.
    pub(crate) modified: i64,
}

/// How a file's bytes are records and values.
#[derive(Debug, Clone)]
pub(crate) struct Framing(Arc<Spec>);

#[derive(Debug)]
struct Spec {
    format: Format,
    properties: FormatProperties,
    csv: CsvProperties,
    parquet: ParquetProperties,
    dialect: Dialect,
    sample_records: usize,
    values: ValueFormats,
}

impl Framing {
    /// The properties that a source reads.
    pub(crate) fn source_specs() -> impl Iterator<Item = &'static PropertySpec> {
        FormatProperties::SPECS.iter().chain(CsvProperties::SPECS).chain(InferProperties::SPECS)
    }

    /// The properties that a sink reads.
    pub(crate) fn sink_specs() -> impl Iterator<Item = &'static PropertySpec> {
        FormatProperties::SPECS.iter().chain(CsvProperties::SPECS).chain(ParquetProperties::SPECS)
    }

    /// Reads the properties; mistakes are noted in `options`.
    pub(crate) fn read(options: &mut Options, path: &str, source: bool) -> Option<Self> {
        let properties = FormatProperties::read(options);
        let format = properties.format_for(Some(path), source, options);
        let (csv, dialect) = CsvProperties::read_dialect(options);
        let sample_records =
            if source { InferProperties::read(options).records } else { InferProperties::default().records };
        let parquet = if source { ParquetProperties::default() } else { ParquetProperties::read(options) };
        if format == Some(Format::Parquet) && Compression::of(path) != Compression::None {
            options.error(PropertyError {
                key: "path".to_owned(),
                origin: None,
                message: "a Parquet file is compressed within, page by page, and not as a whole".to_owned(),
                help: Some("end its name in .parquet; a sink has 'parquet.compression'".to_owned()),
            });
        }
        let timestamp = properties.timestamp(options);
        let values = ValueFormats { timestamp: timestamp? };
        Some(Self(Arc::new(Spec { format: format?, properties, csv, parquet, dialect, sample_records, values })))
    }

    /// The format's name.
    pub(crate) fn name(&self) -> String {
        velo_core::properties::PropertyValue::show(&self.0.format).unwrap_or_default()
    }

    /// Whether its records say what happened to a row.
    pub(crate) fn has_changes(&self) -> bool {
        self.0.format.has_changes()
    }

    /// What a file of this format is called at its end.
    pub(crate) fn suffix(&self) -> &'static str {
        match self.0.format {
            Format::Csv => ".csv",
            Format::Parquet => ".parquet",
            _ if self.writes_array() => ".json",
            _ => ".jsonl",
        }
    }

    /// Whether files are row groups with a footer, and no bytes that can be cut anywhere.
    pub(crate) fn has_row_groups(&self) -> bool {
        self.0.format == Format::Parquet
    }

    /// What an output is that nothing can be added to, and what to do instead; `None` where rows can be added.
    pub(crate) fn whole(&self) -> Option<(&'static str, &'static str)> {
        match self.0.format {
            Format::Parquet => Some((
                "a Parquet file",
                "write whole files into a folder: 'rolling.size' = '128MB', 'rolling.interval' or 'partition.by'",
            )),
            _ if self.writes_array() => Some(("a JSON array", "write lines: leave out 'json.layout' = 'array'")),
            _ => None,
        }
    }

    fn writes_array(&self) -> bool {
        self.0.format == Format::Json && self.0.properties.json_layout == JsonLayout::Array
    }

    /// How the bytes of the file at `path` are text.
    pub(crate) fn coding(&self, path: &str) -> Coding {
        let encoding = (self.0.format == Format::Csv).then_some(self.0.csv.encoding);
        Coding::of(path, encoding)
    }

    /// A framer for the file at `path`, standing at byte `at` of its content. `head` is the file, at its start.
    pub(crate) fn framer(&self, path: &str, head: File, at: u64) -> Result<Box<dyn Framer>> {
        let mut framer: Box<dyn Framer> = match self.0.format {
            Format::Csv => Box::new(CsvFramer::new(self.0.dialect.clone())),
            _ => json_framer(self.0.properties.json_layout, RECORD_LIMIT),
        };
        if at == 0 {
            return Ok(framer);
        }
        if self.0.format == Format::Csv {
            // The header stands at the file's start, wherever reading goes on.
            let mut content = self.coding(path).open(head, u64::MAX).map_err(|failed| error::reading(path, failed))?;
            let mut bytes = Vec::new();
            loop {
                let more = (SAMPLE / 16).max(bytes.len()) as u64;
                let read = content.by_ref().take(more).read_to_end(&mut bytes);
                let ended = read.map_err(|failed| error::reading(path, failed))? == 0;
                if framer.cut(&bytes, ended)?.total() > 0 || ended {
                    break;
                }
            }
        }
        framer.resume();
        Ok(framer)
    }

    /// The columns of the content that begins so.
    pub(crate) fn infer(&self, path: &str, mut content: Content) -> Result<SchemaRef> {
        let mut bytes = Vec::new();
        loop {
            let want = (bytes.len() * 2).max(SAMPLE);
            content
                .by_ref()
                .take((want - bytes.len()) as u64)
                .read_to_end(&mut bytes)
                .map_err(|failed| error::reading(path, failed))?;
            let complete = bytes.len() < want;
            let sample = Sample { bytes: &bytes, complete, records: self.0.sample_records };
            let inferred = match self.0.format {
                Format::Csv => infer_csv(sample, &self.0.dialect, &self.0.values),
                Format::DebeziumJson => infer_debezium(sample, self.0.properties.json_layout, &self.0.values),
                _ => infer_json(sample, self.0.properties.json_layout, &self.0.values),
            };
            match inferred {
                Err(failed) if complete || bytes.len() >= RECORD_LIMIT => {
                    let message = format!("{path}: {}", failed.message);
                    return Err(ConnectorError { message, ..failed });
                }
                Err(_) => {}
                Ok(schema) => return Ok(schema),
            }
        }
    }

    /// A decoder of `columns`.
    pub(crate) fn decoder(&self, request: &SourceRequest, columns: Vec<DecodeColumn>) -> Result<Box<dyn ChunkDecoder>> {
        let (batch_rows, keep_bytes) = (request.batch_rows, request.keep_bytes);
        let formats = self.0.values.clone();
        let declared = SchemaRef::clone(&request.declared);
        Ok(match self.0.format {
            Format::Csv => {
                let dialect = self.0.dialect.clone();
                Box::new(CsvDecoder::new(CsvDecodeOptions {
                    dialect,
                    formats,
                    declared,
                    columns,
                    batch_rows,
                    keep_bytes,
                })?)
            }
            Format::Parquet => Box::new(ParquetDecoder::new(batch_rows)),
            format => {
                let declared = Some(declared);
                let options = JsonDecodeOptions { columns, declared, batch_rows, keep_bytes, formats };
                match format {
                    Format::DebeziumJson => Box::new(DebeziumDecoder::new(options)?),
                    _ => Box::new(JsonDecoder::new(options)?),
                }
            }
        })
    }

    /// An encoder of the rows of a sink.
    pub(crate) fn encoder(&self, request: &SinkRequest) -> Result<Box<dyn Encode>> {
        let schema = SchemaRef::clone(&request.schema);
        let changes = request.mode == ChangelogMode::Full;
        if request.mode == ChangelogMode::Debezium {
            let message = "a file sink does not write Debezium envelopes";
            return Err(ConnectorError::new(ErrorKind::Unsupported, "opening the output", message)
                .advise("set 'changelog.mode' = 'full', which writes the kind of each row as _op"));
        }
        let encoder: Box<dyn Encoder> = match self.0.format {
            Format::Parquet => {
                // A file is written as a whole, so each needs a writer of its own.
                let compression = self.0.parquet.compression;
                let make = move || ParquetEncoder::new(&schema, compression, changes);
                let encoder = Box::new(make()?);
                let make: Fresh = Arc::new(move || Ok(Box::new(make()?) as Box<dyn Encoder>));
                let join = Some(velo_format::parquet::join as Join);
                return Ok(Box::new(RowEncoder { encoder, mode: request.mode, fresh: Some(make), join }));
            }
            Format::Csv => {
                let options =
                    CsvEncodeOptions { dialect: self.0.dialect.clone(), formats: self.0.values.clone(), changes };
                Box::new(CsvEncoder::new(schema, options)?)
            }
            _ => {
                let options = JsonEncodeOptions {
                    timestamp: self.0.values.timestamp.clone(),
                    decimal: self.0.properties.decimal_format,
                    layout: self.0.properties.json_layout,
                };
                let encoder = Box::new(JsonEncoder::new(SchemaRef::clone(&schema), options.clone())?);
                // The first row of each array has no comma before it.
                let make: Fresh = Arc::new(move || {
                    let encoder = JsonEncoder::new(SchemaRef::clone(&schema), options.clone())?;
                    Ok(Box::new(encoder) as Box<dyn Encoder>)
                });
                let fresh = self.writes_array().then_some(make);
                return Ok(Box::new(RowEncoder { encoder, mode: request.mode, fresh, join: None }));
            }
        };
        Ok(Box::new(RowEncoder { encoder, mode: request.mode, fresh: None, join: None }))
    }
}

/// Makes a writer of another file.
type Fresh = Arc<dyn Fn() -> Result<Box<dyn Encoder>> + Send + Sync>;

/// Writes rows by the sink's mode.
struct RowEncoder {
    encoder: Box<dyn Encoder>,
    mode: ChangelogMode,
    /// For a format whose writers belong to one file.
    fresh: Option<Fresh>,
    join: Option<Join>,
}

impl Encode for RowEncoder {
    fn header(&mut self, out: &mut Vec<u8>) {
        self.encoder.header(out);
    }

    fn footer(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.encoder.footer(out)
    }

    fn pending(&self) -> (usize, usize) {
        self.encoder.pending()
    }

    fn release(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.encoder.release(out)
    }

    fn resume(&mut self) {
        self.encoder.resume();
    }

    fn joins(&self) -> Option<Join> {
        self.join
    }

    fn of_one_file(&self) -> Result<Option<Box<dyn Encode>>> {
        let Some(fresh) = &self.fresh else { return Ok(None) };
        Ok(Some(Box::new(Self { encoder: fresh()?, mode: self.mode, fresh: None, join: None })))
    }

    fn encode(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        if self.mode == ChangelogMode::Full {
            return self.encoder.encode_changes(&batch.columns, batch.kinds.as_ref(), out);
        }
        let Some(kinds) = &batch.kinds else { return self.encoder.encode(&batch.columns, out) };
        let written = |kind: &RowKind| match (kind, self.mode) {
            (RowKind::Insert, _) => Ok(true),
            (RowKind::UpdateAfter, ChangelogMode::Upsert) => Ok(true),
            (RowKind::UpdateBefore, ChangelogMode::Upsert) => Ok(false),
            (kind, _) => {
                let message =
                    format!("a row of the kind {} cannot be written to a file without its kind", kind.symbol());
                Err(ConnectorError::new(ErrorKind::Encode, "writing", message)
                    .advise("set 'changelog.mode' = 'full', which writes the kind of each row as _op"))
            }
        };
        let mask = kinds.as_slice().iter().map(written).collect::<Result<Vec<bool>>>()?;
        let kept = batch.filter(&arrow_array::BooleanArray::from(mask)).map_err(|failed| {
            ConnectorError::new(ErrorKind::Encode, "leaving out rows before updates", failed.to_string())
        })?;
        self.encoder.encode(&kept.columns, out)
    }
}
