//! One file's content: decompressed, and cut into runs of whole records.
//!
//! Reading is blocking and happens on a thread of its own (see [`crate::reader`]). A [`ContentReader`] fills a buffer of [`CHUNK`]
//! bytes, asks a [`Framer`] where its last record ends, hands that part on without a copy and keeps the rest.

use std::any::Any;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Take};
use std::sync::Arc;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use velo_core::ConnectorError;
use velo_format::csv::{FileEncoding, Transcoder};
use velo_format::framing::{Cut, Framer};

use crate::buffers::Buffers;
use crate::identity::Fingerprint;

/// Bytes of a chunk, about. Measured with two cores: a mebibyte takes 3 % longer, for the chunks in work then no longer lie in
/// the cache; half of this takes 10 % longer, for the hops between threads.
pub(crate) const CHUNK: usize = 512 << 10;

/// A compressed file is read in pieces of this size.
const COMPRESSED_BUFFER: usize = 256 << 10;

/// How a file is compressed, by its suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstandard,
}

impl Compression {
    /// That of a file called so.
    pub(crate) fn of(path: &str) -> Self {
        let suffix = |suffix: &str| {
            let at = path.len().saturating_sub(suffix.len());
            path.as_bytes()[at..].eq_ignore_ascii_case(suffix.as_bytes())
        };
        if suffix(".gz") || suffix(".gzip") {
            Self::Gzip
        } else if suffix(".zst") || suffix(".zstd") {
            Self::Zstandard
        } else {
            Self::None
        }
    }
}

/// How a file's bytes are text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coding {
    compression: Compression,
    encoding: Option<FileEncoding>,
}

impl Coding {
    /// That of the file at `path`, in `encoding` where that is not UTF-8.
    pub(crate) fn of(path: &str, encoding: Option<FileEncoding>) -> Self {
        let encoding = encoding.filter(|encoding| *encoding != FileEncoding::default());
        Self { compression: Compression::of(path), encoding }
    }

    /// Whether bytes of the content are bytes of the file, so that reading can begin anywhere.
    pub(crate) fn is_plain(&self) -> bool {
        self.compression == Compression::None && self.encoding.is_none()
    }

    /// The content of a file that stands at its start; where it is not plain, that of its first `raw` bytes.
    pub(crate) fn open(&self, file: File, raw: u64) -> io::Result<Content> {
        let buffered = |file: File| BufReader::with_capacity(COMPRESSED_BUFFER, file.take(raw));
        let bytes = match self.compression {
            // No bytes at all are no content, also where a compressed file would have a frame.
            Compression::Gzip | Compression::Zstandard if file.metadata()?.len() == 0 => Content::Limited(file.take(0)),
            Compression::None if self.encoding.is_none() => Content::Plain(file),
            Compression::None => Content::Limited(file.take(raw)),
            Compression::Gzip => Content::Gzip(Box::new(MultiGzDecoder::new(buffered(file)))),
            Compression::Zstandard => Content::Zstandard(Box::new(zstd::Decoder::with_buffer(buffered(file))?)),
        };
        Ok(match self.encoding.and_then(Transcoder::new) {
            Some(transcoder) => Content::Transcoded(Box::new(Transcoded {
                bytes,
                transcoder,
                input: vec![0; COMPRESSED_BUFFER],
                text: Vec::new(),
                at: 0,
                ended: false,
            })),
            None => bytes,
        })
    }

    /// Bytes and physical lines of the content that the first `raw` bytes of a file hold.
    pub(crate) fn measure(&self, file: File, raw: u64) -> io::Result<(u64, u64)> {
        let (mut bytes, mut lines) = (0, 0);
        let mut buffer = vec![0; COMPRESSED_BUFFER];
        let mut content = self.open(file, raw)?;
        loop {
            let left = if self.is_plain() { raw - bytes } else { u64::MAX };
            let size = left.min(buffer.len() as u64) as usize;
            let read = content.read(&mut buffer[..size])?;
            if read == 0 {
                return Ok((bytes, lines));
            }
            bytes += read as u64;
            lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
        }
    }
}

/// The text of a file.
pub(crate) enum Content {
    Plain(File),
    Limited(Take<File>),
    Gzip(Box<MultiGzDecoder<BufReader<Take<File>>>>),
    Zstandard(Box<zstd::Decoder<'static, BufReader<Take<File>>>>),
    Transcoded(Box<Transcoded>),
}

impl Content {
    /// Goes to `at` of the content.
    fn skip_to(&mut self, at: u64) -> io::Result<()> {
        if let Self::Plain(file) = self {
            return file.seek(SeekFrom::Start(at)).map(drop);
        }
        let skipped = io::copy(&mut self.by_ref().take(at), &mut io::sink())?;
        if skipped < at {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("it ends before byte {at}")));
        }
        Ok(())
    }
}

impl Read for Content {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(out),
            Self::Limited(file) => file.read(out),
            Self::Gzip(content) => content.read(out),
            Self::Zstandard(content) => content.read(out),
            Self::Transcoded(content) => content.read(out),
        }
    }
}

/// Text in another encoding, as UTF-8.
pub(crate) struct Transcoded {
    bytes: Content,
    transcoder: Transcoder,
    input: Vec<u8>,
    text: Vec<u8>,
    /// How much of `text` was handed on.
    at: usize,
    ended: bool,
}

impl Read for Transcoded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text.len() && !self.ended {
            (self.at, self.text) = (0, std::mem::take(&mut self.text));
            self.text.clear();
            let read = self.bytes.read(&mut self.input)?;
            self.ended = read == 0;
            self.transcoder.push(&self.input[..read], self.ended, &mut self.text).map_err(|error| {
                // At the end it may just be that the rest of a character is still to come.
                let kind = if read == 0 { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData };
                io::Error::new(kind, error.to_string())
            })?;
        }
        let size = out.len().min(self.text.len() - self.at);
        out[..size].copy_from_slice(&self.text[self.at..self.at + size]);
        self.at += size;
        Ok(size)
    }
}

/// Whole records that follow each other.
#[derive(Debug)]
pub(crate) struct Piece {
    /// The records.
    pub(crate) bytes: Bytes,
    /// The physical line on which the first one begins, from 1.
    pub(crate) first_line: u64,
}

/// Why a content cannot be read on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The file cannot be read.
    Io(io::Error),
    /// The bytes are no records.
    Records(ConnectorError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Where reading begins and has come to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// Bytes of the content up to there.
    pub(crate) bytes: u64,
    /// Physical lines up to there.
    pub(crate) lines: u64,
    /// What a plain file has up to there; of another one, all that it had when it was opened.
    pub(crate) print: Fingerprint,
}

/// Reads a file's content in pieces of whole records.
pub(crate) struct ContentReader {
    content: Content,
    framer: Box<dyn Framer>,
    buffers: Buffers,
    /// Empty before the first byte is read.
    buffer: Vec<u8>,
    /// How much of the buffer is read.
    filled: usize,
    /// The place of the start of the buffer.
    place: Place,
}

impl ContentReader {
    /// Goes on at `place`, where `framer` stands.
    pub(crate) fn open(
        file: File,
        coding: Coding,
        framer: Box<dyn Framer>,
        place: Place,
        buffers: Buffers,
    ) -> io::Result<Self> {
        let mut content = coding.open(file, u64::MAX)?;
        content.skip_to(place.bytes)?;
        Ok(Self { content, framer, buffers, buffer: Vec::new(), filled: 0, place })
    }

    /// The file below, where bytes of the content are its bytes.
    pub(crate) fn file(&self) -> Option<&File> {
        if let Content::Plain(file) = &self.content { Some(file) } else { None }
    }

    /// The place behind the last piece.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The framer, for going on at [`ContentReader::place`] later; `None` where it has looked at bytes behind that, which may be
    /// others by then.
    pub(crate) fn into_framer(self) -> Option<Box<dyn Framer>> {
        self.buffers.put(self.buffer);
        (self.filled == 0).then_some(self.framer)
    }

    /// What belongs to the last piece beside its bytes.
    pub(crate) fn frames(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.framer.frames()
    }

    /// The next whole records; `None` where there are none up to the end of what is there now. With `last` that end is the end
    /// of the last record too.
    pub(crate) fn next(&mut self, last: bool) -> Result<Option<Piece>, Failure> {
        let mut want = CHUNK;
        loop {
            let ended = self.fill(want)?;
            let cut = self.framer.cut(&self.buffer[..self.filled], last && ended).map_err(Failure::Records)?;
            if cut.total() > 0 {
                let first_line = self.place.lines + cut.skip_lines + 1;
                let bytes = self.take(cut);
                if !bytes.is_empty() {
                    return Ok(Some(Piece { bytes, first_line }));
                }
            } else if ended {
                return Ok(None);
            } else {
                want = self.filled * 2;
            }
        }
    }

    /// Reads until `want` bytes are there; true at the end of the content.
    fn fill(&mut self, want: usize) -> io::Result<bool> {
        if self.buffer.is_empty() {
            self.buffer = self.buffers.take();
        }
        if self.buffer.len() < want {
            self.buffer.resize(want, 0);
        }
        while self.filled < want {
            match self.content.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Ok(true),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn take(&mut self, cut: Cut) -> Bytes {
        let whole = cut.total();
        if self.file().is_some() {
            self.place.print.extend(&self.buffer[..whole]);
        }
        self.place.bytes += whole as u64;
        self.place.lines += cut.total_lines();
        let bytes = if whole < self.buffer.len() / 4 {
            // A short piece must not keep a long buffer alive.
            let bytes = Bytes::copy_from_slice(&self.buffer[cut.skip..whole]);
            self.buffer.copy_within(whole..self.filled, 0);
            bytes
        } else {
            let rest = self.filled - whole;
            let mut next = self.buffers.take();
            if next.len() < rest {
                next.resize(rest, 0);
            }
            next[..rest].copy_from_slice(&self.buffer[whole..self.filled]);
            let buffer = std::mem::replace(&mut self.buffer, next);
            self.buffers.lend(buffer).slice(cut.skip..whole)
        };
        self.filled -= whole;
        bytes
    }
}
