//! BYTES as base64 (RFC 4648, the standard alphabet, padded).

use crate::error::ValueError;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const INVALID: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut values = [INVALID; 256];
    let mut at = 0;
    while at < 64 {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// Appends the bytes that `text` writes. Padding may be missing, but no bits may be left over.
pub(crate) fn decode(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let start = out.len();
    decode_into(text, out).ok_or_else(|| {
        out.truncate(start);
        ValueError::Syntax
    })
}

fn decode_into(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let body = match text {
        [body @ .., b'=', b'='] if text.len().is_multiple_of(4) => body,
        [body @ .., b'='] if text.len().is_multiple_of(4) => body,
        body => body,
    };
    for group in body.chunks(4) {
        let mut bits = 0_u32;
        for byte in group {
            let value = VALUES[usize::from(*byte)];
            if value == INVALID {
                return None;
            }
            bits = (bits << 6) | u32::from(value);
        }
        let bytes = match group.len() {
            4 => 3,
            3 if bits & 0b11 == 0 => 2,
            2 if bits & 0b1111 == 0 => 1,
            _ => return None,
        };
        let aligned = bits << (32 - 6 * group.len());
        out.extend_from_slice(&aligned.to_be_bytes()[..bytes]);
    }
    Some(())
}

/// Appends `bytes` as text.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(padded);
        let mut text = [b'='; 4];
        for (at, digit) in text.iter_mut().take(group.len() + 1).enumerate() {
            *digit = ALPHABET[(bits >> (18 - 6 * at)) as usize & 63];
        }
        out.extend_from_slice(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            encode(bytes.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
            for form in [text, text.trim_end_matches('=')] {
                let mut out = vec![1];
                assert_eq!(decode(form.as_bytes(), &mut out), Ok(()), "{form}");
                assert_eq!(&out[1..], bytes.as_bytes());
            }
        }
        for bad in ["Z", "Zg=", "Zh==", "Zm9=", "Zm 9", "====", "=", "Zg==Zg=="] {
            let mut out = vec![1];
            assert_eq!(decode(bad.as_bytes(), &mut out), Err(ValueError::Syntax), "{bad}");
            assert_eq!(out, [1]);
        }
    }
}
