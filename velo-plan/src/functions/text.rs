//! Functions of texts and bytes that the library lacks, or has by other rules.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BinaryArray, Int64Array, StringArray};
use arrow_schema::DataType;
use datafusion_common::Result;
use datafusion_expr::ScalarUDF;

use super::own::{Inputs, failed, is_text, own};

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView) || is_text(data_type)
}

fn one_text(given: &[DataType], result: DataType) -> Option<(Vec<DataType>, DataType)> {
    matches!(given, [text] if is_text(text)).then(|| (vec![DataType::Utf8], result))
}

fn one_bytes(given: &[DataType], result: DataType) -> Option<(Vec<DataType>, DataType)> {
    matches!(given, [bytes] if is_bytes(bytes)).then(|| (vec![DataType::Binary], result))
}

fn integers(given: &[DataType], count: usize, result: DataType) -> Option<(Vec<DataType>, DataType)> {
    let fits = given.len() == count && given.iter().all(|given| given.is_integer() || given.is_null());
    fits.then(|| (vec![DataType::Int64; count], result))
}

/// All of them.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        own(
            "chr",
            |given| integers(given, 1, DataType::Utf8),
            |inputs| {
                let codes = inputs.values::<Int64Type>(0)?;
                let letters = (0..inputs.rows).map(|row| match codes.at(row) {
                    None => Ok(None),
                    Some(0) => failed("CHR(0): a text cannot hold the character 0"),
                    Some(code) => match u32::try_from(code).ok().and_then(char::from_u32) {
                        Some(letter) => Ok(Some(letter.to_string())),
                        None => failed(format!("CHR({code}): there is no such character")),
                    },
                });
                Ok(Arc::new(letters.collect::<Result<StringArray>>()?))
            },
        ),
        own(
            "to_hex",
            |given| match given {
                [DataType::Int8 | DataType::Int16 | DataType::Int32] => Some((vec![DataType::Int32], DataType::Utf8)),
                _ => integers(given, 1, DataType::Utf8),
            },
            |inputs| {
                let (column, _) = inputs.column(0)?;
                let narrow = *column.data_type() == DataType::Int32;
                let wide = arrow_cast::cast(&inputs.full(0)?, &DataType::Int64)?;
                let wide = wide.as_primitive::<Int64Type>();
                let texts = wide.iter().map(|value| {
                    value.map(|value| if narrow { format!("{:x}", value as i32) } else { format!("{value:x}") })
                });
                Ok(Arc::new(texts.collect::<StringArray>()))
            },
        ),
        own(
            "hex",
            |given| one_bytes(given, DataType::Utf8),
            |inputs| bytes_to_text(inputs, |bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        ),
        own(
            "unhex",
            |given| one_text(given, DataType::Binary),
            |inputs| {
                text_to_bytes(inputs, "hexadecimal digits", |text| {
                    let digits = text.as_bytes();
                    let pair = |pair: &[u8]| {
                        std::str::from_utf8(pair)
                            .ok()
                            .filter(|_| pair.len() == 2)
                            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                    };
                    digits.chunks(2).map(pair).collect()
                })
            },
        ),
        own(
            "encode",
            |given| match given {
                [bytes, encoding] if is_bytes(bytes) && is_text(encoding) => {
                    Some((vec![DataType::Binary, DataType::Utf8], DataType::Utf8))
                }
                _ => None,
            },
            |inputs| {
                let (bytes, encodings) = (inputs.full(0)?, inputs.text(1)?);
                let bytes = bytes.as_binary::<i32>();
                let texts = (0..inputs.rows).map(|row| {
                    let (true, Some(encoding)) = (bytes.is_valid(row), encodings.at(row)) else { return Ok(None) };
                    match encoding {
                        "hex" => Ok(Some(bytes.value(row).iter().map(|byte| format!("{byte:02x}")).collect())),
                        "base64" => Ok(Some(base64(bytes.value(row)))),
                        other => failed(format!("'{other}' is no encoding: write 'hex' or 'base64'")),
                    }
                });
                Ok(Arc::new(texts.collect::<Result<StringArray>>()?))
            },
        ),
        own("to_base64", |given| one_bytes(given, DataType::Utf8), |inputs| bytes_to_text(inputs, base64)),
        own(
            "from_base64",
            |given| one_text(given, DataType::Binary),
            |inputs| text_to_bytes(inputs, "base64", unbase64),
        ),
        own(
            "url_encode",
            |given| one_text(given, DataType::Utf8),
            |inputs| texts(inputs, |text| Ok(Some(url_encode(text)))),
        ),
        own("url_decode", |given| one_text(given, DataType::Utf8), |inputs| texts(inputs, |text| Ok(url_decode(text)))),
        own(
            "crc32",
            |given| one_bytes(given, DataType::Int64),
            |inputs| {
                let column = inputs.full(0)?;
                Ok(Arc::new(column.as_binary::<i32>().iter().map(|bytes| bytes.map(crc32)).collect::<Int64Array>()))
            },
        ),
        own(
            "locate",
            |given| match given {
                [needle, text, rest @ ..]
                    if is_text(needle) && is_text(text) && rest.len() < 2 && rest.iter().all(DataType::is_integer) =>
                {
                    let mut taken = vec![DataType::Utf8, DataType::Utf8];
                    taken.extend(rest.iter().map(|_| DataType::Int64));
                    Some((taken, DataType::Int64))
                }
                _ => None,
            },
            locate,
        ),
    ]
}

/// `LOCATE(needle, text, from)`: the place in characters from 1, or 0.
fn locate(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let (needles, haystacks) = (inputs.text(0)?, inputs.text(1)?);
    let starts = if inputs.len() > 2 { Some(inputs.values::<Int64Type>(2)?) } else { None };
    let places = (0..inputs.rows).map(|row| {
        let (needle, text) = (needles.at(row)?, haystacks.at(row)?);
        let start = starts.map_or(Some(1), |starts| starts.at(row))?;
        let Some(skipped) = start.checked_sub(1).and_then(|skipped| usize::try_from(skipped).ok()) else {
            return Some(0);
        };
        let begins = text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len())).nth(skipped);
        let Some(begins) = begins else { return Some(0) };
        Some(text[begins..].find(needle).map_or(0, |at| text[..begins + at].chars().count() as i64 + 1))
    });
    Ok(Arc::new(places.collect::<Int64Array>()))
}

fn texts(inputs: &Inputs<'_>, f: impl Fn(&str) -> Result<Option<String>>) -> Result<ArrayRef> {
    let column = inputs.text(0)?;
    let made = (0..inputs.rows).map(|row| column.at(row).map_or(Ok(None), &f));
    Ok(Arc::new(made.collect::<Result<StringArray>>()?))
}

fn bytes_to_text(inputs: &Inputs<'_>, f: fn(&[u8]) -> String) -> Result<ArrayRef> {
    let column = inputs.full(0)?;
    Ok(Arc::new(column.as_binary::<i32>().iter().map(|bytes| bytes.map(f)).collect::<StringArray>()))
}

fn text_to_bytes(inputs: &Inputs<'_>, what: &str, f: fn(&str) -> Option<Vec<u8>>) -> Result<ArrayRef> {
    let column = inputs.text(0)?;
    let made = (0..inputs.rows).map(|row| match column.at(row) {
        None => Ok(None),
        Some(text) => match f(text) {
            Some(bytes) => Ok(Some(bytes)),
            None => failed(format!("'{text}' is not {what}")),
        },
    });
    let made = made.collect::<Result<Vec<Option<Vec<u8>>>>>()?;
    Ok(Arc::new(made.iter().map(Option::as_deref).collect::<BinaryArray>()))
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let value = chunk.iter().fold(0_u32, |value, byte| (value << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = BASE64[(value >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digits = digits.strip_suffix(b"==").or_else(|| digits.strip_suffix(b"=")).unwrap_or(&digits);
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for chunk in digits.chunks(4) {
        let mut value = 0_u32;
        for digit in chunk {
            // The letters of URLs are read as well.
            let digit = match digit {
                b'-' => b'+',
                b'_' => b'/',
                other => *other,
            };
            value = (value << 6) | BASE64.iter().position(|known| *known == digit)? as u32;
        }
        value <<= 6 * (4 - chunk.len());
        out.extend_from_slice(&value.to_be_bytes()[1..chunk.len()]);
    }
    Some(out)
}

fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `None` where what comes out is no text.
fn url_decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let coded = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match coded.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(if *byte == b'+' { b' ' } else { *byte });
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok()
}

/// The checksum of gzip and PNG.
fn crc32(bytes: &[u8]) -> i64 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    i64::from(!crc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_all_lengths() {
        for text in ["", "a", "ab", "abc", "abcd"] {
            assert_eq!(unbase64(&base64(text.as_bytes())).unwrap(), text.as_bytes());
        }
        assert_eq!(base64(b"ab"), "YWI=");
        assert!(unbase64("a").is_none());
    }

    #[test]
    fn urls_and_checksums() {
        assert_eq!(url_encode("a b/ä"), "a%20b%2F%C3%A4");
        assert_eq!(url_decode("a%20b+%C3%A4").as_deref(), Some("a b ä"));
        assert_eq!(url_decode("%FF"), None);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
