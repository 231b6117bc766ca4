//! Other encodings to UTF-8, before a file is cut into records.

use encoding_rs::{Decoder, DecoderResult};
use memchr::memchr_iter;

use super::properties::FileEncoding;

/// Turns the bytes of one file into UTF-8.
///
/// Positions of a transcoded file count UTF-8 bytes: to go on at one, transcode from the start and drop what comes before.
pub struct Transcoder {
    decoder: Decoder,
    name: &'static str,
    lines: u64,
}

/// Bytes that the encoding does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscodeError {
    /// The line they are on.
    pub line: u64,
    /// The encoding's name.
    pub encoding: &'static str,
}

impl std::fmt::Display for TranscodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {} is not {}", self.line, self.encoding)
    }
}

impl std::error::Error for TranscodeError {}

impl Transcoder {
    /// A transcoder for `encoding`; `None` for UTF-8, which needs none.
    pub fn new(encoding: FileEncoding) -> Option<Self> {
        let encoding = encoding.0;
        (encoding != encoding_rs::UTF_8).then(|| Self {
            decoder: encoding.new_decoder(),
            name: encoding.name(),
            lines: 0,
        })
    }

    /// Appends `input` to `out` as UTF-8; `last` tells that the file ends with it. A byte-order mark is left out.
    pub fn push(&mut self, input: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), TranscodeError> {
        let from = out.len();
        let mut rest = input;
        loop {
            let at = out.len();
            out.resize(at + rest.len() + rest.len() / 2 + 16, 0);
            let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(rest, &mut out[at..], last);
            out.truncate(at + written);
            rest = &rest[read..];
            match result {
                DecoderResult::InputEmpty => break,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => {
                    let line = self.lines + memchr_iter(b'\n', &out[from..]).count() as u64 + 1;
                    return Err(TranscodeError { line, encoding: self.name });
                }
            }
        }
        self.lines += memchr_iter(b'\n', &out[from..]).count() as u64;
        Ok(())
    }
}

impl std::fmt::Debug for Transcoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcoder").field("encoding", &self.name).field("lines", &self.lines).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use velo_core::properties::PropertyValue;

    fn run(encoding: &str, input: &[u8], step: usize) -> Result<String, TranscodeError> {
        let mut transcoder = Transcoder::new(FileEncoding::parse(encoding).unwrap()).unwrap();
        let mut out = Vec::new();
        for part in input.chunks(step) {
            transcoder.push(part, false, &mut out)?;
        }
        transcoder.push(b"", true, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn any_cut_gives_the_same_text() {
        for step in 1..8 {
            assert_eq!(run("latin1", b"Jos\xe9,\n\xd8y", step).unwrap(), "José,\nØy");
            assert_eq!(run("utf-16", b"\xff\xfeJ\0\xe9\0\n\0", step).unwrap(), "Jé\n");
            assert_eq!(run("utf-16be", b"\xfe\xff\0J\0\xe9", step).unwrap(), "Jé");
            assert_eq!(run("shift_jis", b"\x96\xbc\x91O,1\n", step).unwrap(), "名前,1\n");
            let error = run("shift_jis", b"a\nb\n\x96", step).unwrap_err();
            assert_eq!(error.to_string(), "line 3 is not Shift_JIS");
        }
        assert!(Transcoder::new(FileEncoding::default()).is_none());
    }
}
