//! Text as a JSON string.

use crate::value::print::{Cell, Out};
use crate::value::words::{before, load, output_marks};

/// Appends a text in quotes, escaped.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends the text at `start..end` of `bytes` in quotes, escaped. Reads whole words, also beyond `end`.
#[inline(always)]
pub(crate) fn push_string_of(out: &mut Vec<u8>, bytes: &[u8], start: usize, end: usize) {
    out.push(b'"');
    let mut at = start;
    while at < end {
        let Some(word) = load(bytes, at) else { break };
        let count = before(output_marks(word)).min(end - at);
        let length = out.len() + count;
        out.extend_from_slice(&word.to_le_bytes());
        out.truncate(length);
        at += count;
        if count < 8 {
            break;
        }
    }
    if at < end {
        push_escaped(out, &bytes[at..end]);
    }
    out.push(b'"');
}

/// As [`push_string_of`], where nothing must be escaped and there is room; else nothing, and `false`.
#[inline(always)]
pub(crate) fn put_string(cell: &mut Cell<'_>, bytes: &[u8], start: usize, end: usize) -> bool {
    if cell.room() < end - start + 16 {
        return false;
    }
    let from = cell.at;
    cell.byte(b'"');
    let mut at = start;
    while at < end {
        let count = (end - at).min(8);
        match load(bytes, at) {
            Some(word) if before(output_marks(word)) >= count => cell.word(word, count),
            _ => {
                cell.at = from;
                return false;
            }
        }
        at += 8;
    }
    cell.byte(b'"');
    true
}

/// Appends a text with what must be escaped escaped: quotes, backslashes and control characters.
#[inline(never)]
pub(crate) fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut from = 0;
    for (at, byte) in text.iter().enumerate() {
        let letter = match byte {
            b'"' | b'\\' => *byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0C => b'f',
            0x00..=0x1F => b'u',
            _ => continue,
        };
        out.extend_from_slice(&text[from..at]);
        out.extend_from_slice(&[b'\\', letter]);
        if letter == b'u' {
            let hex = b"0123456789abcdef";
            out.extend_from_slice(&[b'0', b'0', hex[usize::from(byte >> 4)], hex[usize::from(byte & 15)]]);
        }
        from = at + 1;
    }
    out.extend_from_slice(&text[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_to_serde() {
        for text in
            ["", "a", "plain text of some length", "q\"", "\\", "\u{0}\u{1f}\u{7f}\u{80}", "ünï\tcödé\n€", "1234567\""]
        {
            let expected = serde_json::to_string(text).unwrap();
            let mut out = Vec::new();
            push_string(&mut out, text.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
            for behind in ["", "\"\\ behind the text"] {
                let mut out = Vec::new();
                push_string_of(&mut out, format!("x{text}{behind}").as_bytes(), 1, 1 + text.len());
                assert_eq!(String::from_utf8(out).unwrap(), expected);
            }
        }
    }
}
