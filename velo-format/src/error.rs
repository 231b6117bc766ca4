//! Why a value cannot be in its column, and how that is said.

use std::fmt::Write;

use arrow_schema::Field;
use velo_core::types::sql_name_of;

/// How much of a value an error message shows, in characters.
const SHOWN: usize = 200;

/// Why a value cannot be in its column. Small, so that the paths without errors stay cheap; [`ValueError::message`] makes the
/// sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueError {
    /// The text does not write a value of the column's type.
    Syntax,
    /// It is a number with a fraction, and the column holds whole numbers.
    Fraction,
    /// It does not fit in the column's type.
    OutOfRange,
    /// It is a value of another kind: a bare number for a time, an object for a STRING.
    Conflict,
    /// It is bytes that are no UTF-8, and the column is text.
    Encoding,
    /// It is NULL or missing, and the column is NOT NULL.
    Null,
}

impl ValueError {
    /// One sentence with the value and what was expected.
    pub fn message(self, value: &[u8], field: &Field) -> String {
        let shown = show(value);
        let expected = expected(field);
        match self {
            Self::Syntax | Self::Conflict => format!("{shown} is no {expected}"),
            Self::Fraction => format!("{shown} is no {expected}: it has a fraction"),
            Self::OutOfRange => format!("{shown} is out of range for {expected}"),
            Self::Encoding => format!("{shown} is no {expected}: its bytes are not UTF-8"),
            Self::Null => format!("the value is NULL or missing, and the column '{}' is NOT NULL", field.name()),
        }
    }
}

/// The type as SQL writes it, with an example where its text is not obvious.
fn expected(field: &Field) -> String {
    let name = sql_name_of(field);
    let example = match name.as_str() {
        "TIMESTAMP" | "TIMESTAMP(9)" => "2024-01-31T09:30:00Z",
        "DATE" => "2024-01-31",
        "TIME" => "09:30:00",
        "INTERVAL" => "P1DT2H",
        "BYTES" => return format!("{name} (base64)"),
        "BOOLEAN" => return format!("{name} (true or false)"),
        _ => return name,
    };
    format!("{name} (such as {example})")
}

/// A value in quotes for a message, cut at 200 characters; bytes that are no UTF-8 become `�`.
pub fn show(value: &[u8]) -> String {
    // A character has at most four bytes, so this prefix holds all that is shown.
    let text = String::from_utf8_lossy(&value[..value.len().min(SHOWN * 4 + 4)]);
    let mut shown = String::from("'");
    for (at, next) in text.chars().enumerate() {
        if at == SHOWN {
            shown.push('…');
            break;
        }
        if next.is_control() {
            // Writing to a String cannot fail.
            let _ = write!(shown, "{}", next.escape_default());
        } else {
            shown.push(next);
        }
    }
    shown.push('\'');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::DataType;

    #[test]
    fn sentences() {
        let field = Field::new("quantity", DataType::Int64, false);
        assert_eq!(ValueError::Fraction.message(b"1.5", &field), "'1.5' is no BIGINT: it has a fraction");
        assert_eq!(ValueError::OutOfRange.message(b"1e30", &field), "'1e30' is out of range for BIGINT");
        assert!(ValueError::Null.message(b"", &field).contains("'quantity' is NOT NULL"));
        let long = "é".repeat(500);
        assert_eq!(show(long.as_bytes()).chars().count(), 203);
        assert_eq!(show(b"a\nb\xff"), "'a\\nb\u{fffd}'");
    }
}
