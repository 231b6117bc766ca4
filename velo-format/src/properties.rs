//! The properties that say how bytes are values.

use velo_core::properties::{Options, PropertyError, PropertyValue};

use crate::parquet::ParquetCompression;
use crate::value::TimestampFormat;

velo_core::properties! {
    /// How the bytes of a source or sink are values.
    pub struct FormatProperties {
        /// The form of the bytes: `json`, `csv`, `parquet`, or, for sources, `debezium_json`: envelopes with `before`, `after` and `op`, whose rows
        /// are changes. Messages, each of which is a record, can also be `avro`, `protobuf`, `debezium_avro` (such envelopes in Avro) or `raw`
        /// (the bytes are the value of the one column), and no `parquet`. Default: by the name's suffix where there is one (`.csv`,
        /// `.parquet`, `.json`, `.jsonl`, `.ndjson`), else `json`.
        "format" | "value.format" => format: Option<Format>,
        /// How TIMESTAMP columns are written as text: `iso8601`, `epoch_seconds`, `epoch_millis`, `epoch_micros`, `epoch_nanos`, or a
        /// pattern such as `%Y-%m-%d %H:%M:%S`. In `debezium_json` an epoch says what the numbers of TIMESTAMP and TIME columns are where
        /// the records bring no schema, and text is ISO 8601.
        "timestamp.format" => timestamp_format: String = "iso8601".to_owned(),
        /// How a JSON sink writes DECIMAL columns: `number` with its scale's digits, or the same digits as a `string`. Sources read both.
        "decimal.format" => decimal_format: DecimalFormat = DecimalFormat::Number,
        /// How JSON records follow each other: one per line (`lines`), as the elements of one `array`, or `auto`: an array where the
        /// input begins with `[`. Sinks write lines unless this is `array`.
        "json.layout" => json_layout: JsonLayout = JsonLayout::Auto,
    }
}

velo_core::properties! {
    /// How Parquet files are written.
    pub struct ParquetProperties {
        /// How the pages of a Parquet file are compressed: `zstd`, `snappy` or `none`.
        "parquet.compression" | "compression" => compression: ParquetCompression = ParquetCompression::Zstd,
    }
}

/// The form of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JSON, one record per line or one array.
    Json,
    /// Separated values.
    Csv,
    /// Each record is one value.
    Raw,
    /// Avro.
    Avro,
    /// Protocol buffers.
    Protobuf,
    /// Parquet.
    Parquet,
    /// Debezium envelopes in JSON.
    DebeziumJson,
    /// Debezium envelopes in Avro.
    DebeziumAvro,
}

velo_core::property_choices!(Format {
    Json = "json" | "jsonl" | "ndjson",
    Csv = "csv",
    Raw = "raw",
    Avro = "avro",
    Protobuf = "protobuf",
    Parquet = "parquet",
    DebeziumJson = "debezium_json" | "debezium-json",
    DebeziumAvro = "debezium_avro" | "debezium-avro" | "debezium-avro-confluent",
});

/// How DECIMAL is written in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DecimalFormat {
    /// As a number with its scale's digits.
    #[default]
    Number,
    /// As the same digits in quotes, for readers that make binary floats of numbers.
    String,
}

velo_core::property_choices!(DecimalFormat { Number = "number", String = "string" });

/// How JSON records follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum JsonLayout {
    /// An array where the input begins with `[`, else lines.
    #[default]
    Auto,
    /// One record per line.
    Lines,
    /// The elements of one array.
    Array,
}

velo_core::property_choices!(JsonLayout { Auto = "auto", Lines = "lines", Array = "array" });

impl Format {
    /// The format that a path's last suffix names; compression suffixes (`.gz`, `.zst`) are looked past.
    pub fn from_path(path: &str) -> Option<Self> {
        let lower = path.to_ascii_lowercase();
        let plain = lower.trim_end_matches(".gz").trim_end_matches(".zst");
        Some(match plain.rsplit_once('.')?.1 {
            "json" | "jsonl" | "ndjson" => Self::Json,
            "csv" => Self::Csv,
            "parquet" => Self::Parquet,
            "avro" => Self::Avro,
            _ => return None,
        })
    }

    /// Whether its records say what happened to a row, so that a source of it gives changes.
    pub fn has_changes(self) -> bool {
        matches!(self, Self::DebeziumJson | Self::DebeziumAvro)
    }

    /// The formats that a source of whole inputs (files) reads.
    pub const READ: &[Self] = &[Self::Json, Self::Csv, Self::Parquet, Self::DebeziumJson];

    /// The formats that whole outputs (files) are written in.
    pub const WRITTEN: &[Self] = &[Self::Json, Self::Csv, Self::Parquet];

    /// The formats of records that stand one by one, such as the values of messages, for sources and sinks.
    pub const OF_RECORDS: &[Self] =
        &[Self::Json, Self::Csv, Self::Raw, Self::Avro, Self::Protobuf, Self::DebeziumJson, Self::DebeziumAvro];
}

impl FormatProperties {
    /// The format that is set, else that of `path`, else JSON, of whole inputs or outputs: [`Format::READ`] by a `source`, else
    /// [`Format::WRITTEN`]. Another is a mistake noted in `options`, and gives `None`.
    pub fn format_for(&self, path: Option<&str>, source: bool, options: &mut Options) -> Option<Format> {
        self.format_among(if source { Format::READ } else { Format::WRITTEN }, path, source, options)
    }

    /// The same of a connector that says which formats it has.
    pub fn format_among(
        &self,
        formats: &[Format],
        path: Option<&str>,
        source: bool,
        options: &mut Options,
    ) -> Option<Format> {
        let format = self.format.or_else(|| path.and_then(Format::from_path)).unwrap_or(Format::Json);
        among("format", format, formats, source, options)
    }

    /// `timestamp.format`; a mistake in it is noted in `options`.
    pub fn timestamp(&self, options: &mut Options) -> Option<TimestampFormat> {
        let made = TimestampFormat::from_text(&self.timestamp_format);
        let noted = made.map_err(|message| {
            let message = format!("'timestamp.format': {message}");
            options.error(PropertyError { key: "timestamp.format".to_owned(), origin: None, message, help: None });
        });
        noted.ok()
    }
}

/// A format that is set by `key`, if it is one of `formats`; else a mistake noted in `options`.
pub(crate) fn among(
    key: &str,
    format: Format,
    formats: &[Format],
    source: bool,
    options: &mut Options,
) -> Option<Format> {
    if formats.contains(&format) {
        return Some(format);
    }
    let show = |format: &Format| PropertyValue::show(format).unwrap_or_default();
    let name = show(&format);
    let (message, help) = match format {
        Format::DebeziumJson if !source => (
            "the format 'debezium_json' is one of sources only".to_owned(),
            "write json with 'changelog.mode' = 'full', which gives the kind of each row as _op".to_owned(),
        ),
        _ => {
            let names: Vec<String> = formats.iter().map(show).collect();
            let what = match formats.contains(&Format::Parquet) {
                true if source => "whole inputs are read in",
                true => "whole outputs are written in",
                false => "records one by one have",
            };
            let use_these = match names.split_last() {
                Some((last, rest)) if !rest.is_empty() => format!("use {} or {last}", rest.join(", ")),
                _ => format!("use {}", names.join(", ")),
            };
            (format!("the format '{name}' is none that {what}"), use_these)
        }
    };
    options.error(PropertyError { key: key.to_owned(), origin: None, message, help: Some(help) });
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use velo_core::properties::Properties;

    #[test]
    fn formats_by_key_and_path() {
        let read = |pairs: &[(&str, &str)], path| {
            let mut options = Options::from_pairs(pairs.iter().copied());
            let properties = FormatProperties::read(&mut options);
            let format = properties.format_for(path, true, &mut options);
            let messages: Vec<_> =
                options.finish("a file source", FormatProperties::SPECS).into_iter().map(|e| e.message).collect();
            (format, messages)
        };
        assert_eq!(read(&[], Some("a/b.csv.gz")), (Some(Format::Csv), vec![]));
        assert_eq!(read(&[], Some("a/b")), (Some(Format::Json), vec![]));
        assert_eq!(read(&[("value.format", "JSON")], Some("b.csv")), (Some(Format::Json), vec![]));
        let (format, messages) = read(&[("format", "avro")], None);
        assert_eq!(
            (format, messages),
            (None, vec!["the format 'avro' is none that whole inputs are read in".to_owned()])
        );
        assert!(read(&[("decimal.format", "sting")], None).1[0].contains("did you mean 'string'?"));
    }
}
