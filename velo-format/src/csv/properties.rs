//! The properties of a CSV file, and the dialect that they describe.

use encoding_rs::Encoding;
use velo_core::properties::{Options, PropertyError, PropertyValue};

velo_core::properties! {
    /// How a CSV file is written.
    pub struct CsvProperties {
        /// The character between fields, one ASCII character; `\t` or `tab` is the tabulator.
        "csv.delimiter" => delimiter: char = ',',
        /// Whether the first record holds the names of the columns. Columns are then found by name, an exact match before one that
        /// differs in case; without a header they are found by their place among the declared columns.
        "csv.header" => header: bool = true,
        /// The character around a field that may hold delimiters and line breaks; empty or `none` turns quoting off, so that a quote
        /// is text. A quote within an unquoted field is always text.
        "csv.quote" => quote: OptionalChar = OptionalChar(Some('"')),
        /// The character that makes a quote text within a quoted field, such as a backslash; also before itself. A doubled quote is
        /// always accepted; by default it is the only way.
        "csv.escape" => escape: OptionalChar = OptionalChar(None),
        /// Texts that mean NULL where they stand unquoted, separated by `|`: `NA`, `NULL|n/a`. An empty unquoted field is always NULL, and
        /// `""` is the empty string (NULL as well in a column that is neither text nor BYTES). The first is what a sink writes for NULL.
        "csv.null" => null: NullTexts = NullTexts::default(),
        /// Physical lines to leave out at the start of a file, before the header.
        "csv.skip_lines" => skip_lines: u64 = 0,
        /// A line that begins with this character is left out; off by default.
        "csv.comment" => comment: OptionalChar = OptionalChar(None),
        /// The character encoding, by its name for browsers: `utf-8`, `latin1`, `windows-1252`, `utf-16`, `shift_jis`, … A byte-order mark
        /// wins over it. Sinks write UTF-8.
        "csv.encoding" => encoding: FileEncoding = FileEncoding::default(),
    }
}

/// One character, or none: empty or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OptionalChar(pub Option<char>);

impl PropertyValue for OptionalChar {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || ["none", "off"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
            return Ok(Self(None));
        }
        char::parse(text).map(|only| Self(Some(only))).map_err(|error| format!("{error}, nor `none`"))
    }

    fn kind() -> String {
        "one character, or `none`".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(match &self.0 {
            Some(only) => only.show()?,
            None => "none".to_owned(),
        })
    }
}

/// Texts that mean NULL, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NullTexts(pub Vec<String>);

impl PropertyValue for NullTexts {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.split('|').filter(|part| !part.is_empty()).map(str::to_owned).collect()))
    }

    fn kind() -> String {
        "texts separated by `|`".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(self.0.join("|"))
    }
}

/// A character encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileEncoding(pub &'static Encoding);

impl Default for FileEncoding {
    fn default() -> Self {
        Self(encoding_rs::UTF_8)
    }
}

impl PropertyValue for FileEncoding {
    fn parse(text: &str) -> Result<Self, String> {
        Encoding::for_label_no_replacement(text.trim().as_bytes()).map(Self).ok_or_else(|| {
            let some = [
                "utf-8",
                "latin1",
                "windows-1252",
                "utf-16le",
                "utf-16be",
                "shift_jis",
                "euc-jp",
                "gb18030",
                "big5",
                "euc-kr",
            ];
            let mut message = format!("'{text}' is no known encoding (such as {})", some.join(", "));
            if let Some(near) = velo_core::suggest::nearest(text.trim(), some) {
                message.push_str(&format!("; did you mean '{near}'?"));
            }
            message
        })
    }

    fn kind() -> String {
        "a character encoding".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(self.0.name().to_ascii_lowercase())
    }
}

/// What cuts a file into records and records into fields. Made from [`CsvProperties`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: Option<u8>,
    pub(super) escape: Option<u8>,
    pub(super) comment: Option<u8>,
    pub(super) nulls: Vec<Vec<u8>>,
    pub(super) header: bool,
    pub(super) skip_lines: u64,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            comment: None,
            nulls: Vec::new(),
            header: true,
            skip_lines: 0,
        }
    }
}

impl Dialect {
    /// The same for records that stand one by one, none of which is a header.
    #[must_use]
    pub fn without_header(self) -> Self {
        Self { header: false, skip_lines: 0, ..self }
    }
}

impl CsvProperties {
    /// The dialect that the properties describe, or what is wrong with them together.
    pub fn dialect(&self) -> Result<Dialect, Vec<PropertyError>> {
        let mut errors = Vec::new();
        let mut used: Vec<(u8, &str)> = Vec::new();
        let mut byte = |key: &'static str, value: Option<char>| -> Option<u8> {
            let value = value?;
            let wrong = if !value.is_ascii() || matches!(value, '\n' | '\r' | '\0') {
                Some(format!("'{key}': {value:?} is not an ASCII character that can stand in a line"))
            } else {
                // The escape may be the quote itself: that is the doubled quote.
                used.iter()
                    .find(|(other, of)| *other == value as u8 && (*of, key) != ("csv.quote", "csv.escape"))
                    .map(|(_, of)| format!("'{key}' and '{of}' are both {value:?}"))
            };
            if let Some(message) = wrong {
                errors.push(PropertyError { key: key.to_owned(), origin: None, message, help: None });
                return None;
            }
            used.push((value as u8, key));
            Some(value as u8)
        };
        let delimiter = byte("csv.delimiter", Some(self.delimiter));
        let quote = byte("csv.quote", self.quote.0);
        let escape = byte("csv.escape", self.escape.0).filter(|escape| quote.is_some_and(|quote| quote != *escape));
        let comment = byte("csv.comment", self.comment.0);
        match delimiter {
            Some(delimiter) if errors.is_empty() => Ok(Dialect {
                delimiter,
                quote,
                escape,
                comment,
                nulls: self.null.0.iter().map(|text| text.clone().into_bytes()).collect(),
                header: self.header,
                skip_lines: self.skip_lines,
            }),
            _ => Err(errors),
        }
    }

    /// Reads the properties and their dialect; mistakes are noted in `options`, and the default dialect takes their place.
    pub fn read_dialect(options: &mut Options) -> (Self, Dialect) {
        let properties = <Self as velo_core::properties::Properties>::read(options);
        let dialect = properties.dialect().unwrap_or_else(|errors| {
            errors.into_iter().for_each(|error| options.error(error));
            Dialect::default()
        });
        (properties, dialect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use velo_core::properties::Properties;

    fn read(pairs: &[(&str, &str)]) -> (CsvProperties, Vec<String>) {
        let mut options = Options::from_pairs(pairs.iter().copied());
        let (properties, _) = CsvProperties::read_dialect(&mut options);
        (
            properties,
            options.finish("a CSV file", CsvProperties::SPECS).into_iter().map(|error| error.message).collect(),
        )
    }

    #[test]
    fn all_values() {
        let (properties, errors) = read(&[
            ("csv.delimiter", "tab"),
            ("csv.quote", "none"),
            ("csv.escape", "\\"),
            ("csv.null", "NA|NULL"),
            ("csv.encoding", "latin1"),
            ("csv.comment", "#"),
        ]);
        assert_eq!(errors, Vec::<String>::new());
        let dialect = properties.dialect().unwrap();
        assert_eq!((dialect.delimiter, dialect.quote, dialect.escape), (b'\t', None, None));
        assert_eq!(dialect.nulls, vec![b"NA".to_vec(), b"NULL".to_vec()]);
        assert_eq!(properties.encoding.show().as_deref(), Some("windows-1252"));
        assert_eq!(dialect.comment, Some(b'#'));
    }

    #[test]
    fn mistakes_name_the_key() {
        let (_, errors) = read(&[("csv.delimiter", "\""), ("csv.encoding", "utf-9")]);
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].contains("did you mean 'utf-8'?"), "{errors:?}");
        assert_eq!(errors[1], "'csv.quote' and 'csv.delimiter' are both '\"'", "{errors:?}");
        assert!(read(&[("csv.delimiter", "€")]).1[0].contains("ASCII"));
        assert!(read(&[("csv.quote", "ab")]).1[0].contains("nor `none`"));
    }
}
