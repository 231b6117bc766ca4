//! What is known about the values of one column, and the type that holds them all.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields};
use velo_core::error::ConnectorError;
use velo_core::types::{DECIMAL_DIGITS, DECIMAL128_DIGITS, TIME, TIMESTAMP, decimal, json_field};

use crate::value::{Column, ValueFormats};

/// What one value's text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    /// A whole number of so many digits, and whether it is a BIGINT.
    Whole {
        digits: usize,
        small: bool,
    },
    /// A number with so many digits before and behind its point.
    Decimal {
        whole: usize,
        scale: usize,
    },
    Double,
    Date,
    Time,
    Timestamp,
    Text,
}

/// The values seen so far.
#[derive(Debug, Default)]
pub(super) struct Shape {
    boolean: bool,
    whole: bool,
    big: bool,
    point: bool,
    double: bool,
    date: bool,
    time: bool,
    timestamp: bool,
    text: bool,
    digits: usize,
    scale: usize,
    array: Option<Box<Shape>>,
    object: Option<Object>,
}

/// The fields of the objects seen so far, in the order they came up.
#[derive(Debug, Default)]
struct Object {
    names: HashMap<String, usize>,
    fields: Vec<(String, Shape)>,
}

impl Shape {
    pub(super) fn see(&mut self, kind: Kind) {
        match kind {
            Kind::Boolean => self.boolean = true,
            Kind::Whole { digits, small } => {
                self.whole = true;
                self.big |= !small;
                self.digits = self.digits.max(digits);
            }
            Kind::Decimal { whole, scale } => {
                self.point = true;
                self.digits = self.digits.max(whole);
                self.scale = self.scale.max(scale);
            }
            Kind::Double => self.double = true,
            Kind::Date => self.date = true,
            Kind::Time => self.time = true,
            Kind::Timestamp => self.timestamp = true,
            Kind::Text => self.text = true,
        }
    }

    /// The items of an array of this column.
    pub(super) fn items(&mut self) -> &mut Self {
        self.array.get_or_insert_default()
    }

    /// Notes an object.
    pub(super) fn object(&mut self) {
        self.object.get_or_insert_default();
    }

    /// A field of an object of this column.
    pub(super) fn field(&mut self, name: &str) -> &mut Self {
        let object = self.object.get_or_insert_default();
        let at = match object.names.get(name) {
            Some(at) => *at,
            None => {
                object.fields.push((name.to_owned(), Self::default()));
                object.names.insert(name.to_owned(), object.fields.len() - 1);
                object.fields.len() - 1
            }
        };
        &mut object.fields[at].1
    }

    /// The fields of the objects seen.
    pub(super) fn into_fields(self) -> Fields {
        let fields = self.object.map(|object| object.fields).unwrap_or_default();
        fields.into_iter().map(|(name, shape)| shape.into_field(&name)).collect()
    }

    fn into_field(self, name: &str) -> FieldRef {
        let scalar = self.scalar();
        let data_type = match (scalar, &self.array, &self.object) {
            (Some(scalar), None, None) => scalar,
            (None, None, None) => DataType::Utf8,
            (None, Some(_), None) => {
                let items = self.array.map(|items| *items).unwrap_or_default();
                DataType::List(items.into_field("item"))
            }
            (None, None, Some(object)) if !object.fields.is_empty() => DataType::Struct(self.into_fields()),
            _ => return Arc::new(json_field(name, true)),
        };
        Arc::new(Field::new(name, data_type, true))
    }

    /// The type that holds all values that are neither objects nor arrays; `None` where there were none.
    fn scalar(&self) -> Option<DataType> {
        let number = self.whole || self.point || self.double;
        let time = self.date || self.timestamp;
        let kinds = [self.boolean, number, time, self.time, self.text].into_iter().filter(|seen| *seen).count();
        Some(match kinds {
            0 => return None,
            1 if self.boolean => DataType::Boolean,
            1 if self.double => DataType::Float64,
            1 if number => self.number(),
            1 if self.timestamp => TIMESTAMP,
            1 if self.date => DataType::Date32,
            1 if self.time => TIME,
            _ => DataType::Utf8,
        })
    }

    fn number(&self) -> DataType {
        if !self.point && !self.big {
            return DataType::Int64;
        }
        let digits = self.digits + self.scale;
        // More digits than any DECIMAL has are kept as text rather than rounded.
        let precision = match digits {
            _ if digits <= usize::from(DECIMAL128_DIGITS) => DECIMAL128_DIGITS,
            _ if digits <= usize::from(DECIMAL_DIGITS) => DECIMAL_DIGITS,
            _ => return DataType::Utf8,
        };
        match i8::try_from(self.scale) {
            Ok(scale) => decimal(precision, scale),
            Err(_) => DataType::Utf8,
        }
    }
}

/// Tells what a text is, by the rules of the columns that will read it.
pub(super) struct Classifier {
    date: Column,
    time: Column,
    timestamp: Column,
}

impl Classifier {
    pub(super) fn new(formats: &ValueFormats) -> Result<Self, ConnectorError> {
        // Where a time is a number, all whole numbers would be times.
        let formats = if formats.timestamp.numbers() { ValueFormats::default() } else { formats.clone() };
        let column = |data_type| Column::new(&Arc::new(Field::new("", data_type, true)), &formats, 0);
        Ok(Self { date: column(DataType::Date32)?, time: column(TIME)?, timestamp: column(TIMESTAMP)? })
    }

    /// A number's kind; text where it is none, or would lose its form.
    pub(super) fn number(text: &[u8]) -> Kind {
        let (sign, body) = match text {
            [sign @ (b'-' | b'+'), body @ ..] => (Some(*sign), body),
            body => (None, body),
        };
        if matches!(text, b"NaN" | b"Infinity" | b"-Infinity") {
            return Kind::Double;
        }
        let whole = body.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let rest = &body[whole..];
        let (scale, rest) = match rest {
            [b'.', rest @ ..] => {
                let scale = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                (Some(scale), &rest[scale..])
            }
            rest => (None, rest),
        };
        let leading_zero = whole > 1 && body[0] == b'0';
        if whole + scale.unwrap_or(0) == 0 || leading_zero {
            return Kind::Text;
        }
        match (rest, scale) {
            ([], Some(scale)) => Kind::Decimal { whole, scale },
            ([], None) if sign == Some(b'+') => Kind::Text,
            ([], None) => {
                let small = std::str::from_utf8(text).is_ok_and(|text| text.parse::<i64>().is_ok());
                Kind::Whole { digits: whole, small }
            }
            ([b'e' | b'E', exponent @ ..], _) => {
                let digits = exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")).unwrap_or(exponent);
                let fine = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
                if fine { Kind::Double } else { Kind::Text }
            }
            _ => Kind::Text,
        }
    }

    /// What a text that is no number is.
    pub(super) fn text(&mut self, text: &[u8]) -> Kind {
        // The shortest of them is `9:30`-like, the longest has a zone; this spares most texts three attempts.
        let kind = if text.len() > 64 || text.len() < 4 || std::str::from_utf8(text).is_err() {
            Kind::Text
        } else if self.date.push_text(text).is_ok() {
            Kind::Date
        } else if self.time.push_text(text).is_ok() {
            Kind::Time
        } else if self.timestamp.push_text(text).is_ok() {
            Kind::Timestamp
        } else {
            Kind::Text
        };
        [&mut self.date, &mut self.time, &mut self.timestamp].into_iter().for_each(|column| column.truncate(0));
        kind
    }

    /// What a field of unknown kind is: a truth value, a number, or as [`Self::text`] says.
    pub(super) fn any(&mut self, text: &[u8]) -> Kind {
        if text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false") {
            return Kind::Boolean;
        }
        match Self::number(text) {
            Kind::Text => self.text(text),
            number => number,
        }
    }
}

/// A type as SQL writes it, for tests and messages.
#[cfg(test)]
pub(super) fn describe(fields: &Fields) -> String {
    fields
        .iter()
        .map(|field| format!("{} {}", field.name(), velo_core::types::sql_name_of(field)))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> String {
        let mut classifier = Classifier::new(&ValueFormats::default()).unwrap();
        let mut shape = Shape::default();
        for text in texts {
            let kind = classifier.any(text.as_bytes());
            shape.field("c").see(kind);
        }
        describe(&shape.into_fields())[2..].to_owned()
    }

    #[test]
    fn one_type_for_all() {
        for (texts, expected) in [
            (&["true", "FALSE"][..], "BOOLEAN"),
            (&["1", "-20", "0"], "BIGINT"),
            (&["1", "9223372036854775808"], "DECIMAL(38,0)"),
            (&["1", "0.25", "-100.5"], "DECIMAL(38,2)"),
            (&["1.5", "123456789012345678901234567890123456789012"], "DECIMAL(76,1)"),
            (&["1.5", "1e3"], "DOUBLE"),
            (&["NaN", "2"], "DOUBLE"),
            (&["007", "8"], "STRING"),
            (&["0.5", "-0.5", "0"], "DECIMAL(38,1)"),
            (&["+49301234567"], "STRING"),
            (&["+1.5", "-2"], "DECIMAL(38,1)"),
            (&["2024-01-31", "2024-01-31T10:00:00Z"], "TIMESTAMP"),
            (&["2024-01-31", "2024-02-01"], "DATE"),
            (&["09:30:00", "10:15"], "TIME"),
            (&["2024-01-31", "09:30:00"], "STRING"),
            (&["true", "1"], "STRING"),
            (&["1", "x"], "STRING"),
            (&["1.2.3"], "STRING"),
            (&["-"], "STRING"),
            (&["1e"], "STRING"),
            (&["."], "STRING"),
        ] {
            assert_eq!(of(texts), expected, "{texts:?}");
        }
        assert_eq!(of(&[&"9".repeat(80)]), "STRING");
    }
}
