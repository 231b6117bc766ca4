//! Errors at the edge: what a connector met, whether trying again can help, and where.

use std::error::Error as StdError;
use std::fmt;

use crate::place::Place;

/// The result of a call to a connector.
pub type Result<T, E = ConnectorError> = std::result::Result<T, E>;

/// What went wrong at the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The thing (file, topic, table) is not there.
    NotFound,
    /// The thing is there and may not be read or written.
    PermissionDenied,
    /// A setting does not fit the thing.
    Configuration,
    /// A record cannot be decoded.
    Decode,
    /// A row cannot be encoded.
    Encode,
    /// No room is left for the output.
    StorageFull,
    /// The other side is unreachable or answered that it is busy.
    Unavailable,
    /// A saved position is no longer there.
    OffsetLost,
    /// What must stay in memory is more than there may be.
    Memory,
    /// Another process has taken over this output.
    Fenced,
    /// Reading or writing failed otherwise.
    Io,
    /// The connector cannot do what was asked.
    Unsupported,
}

impl ErrorKind {
    /// The stable code, as in the error reference.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::PermissionDenied => "permission-denied",
            Self::Configuration => "configuration",
            Self::Decode => "decode",
            Self::Encode => "encode",
            Self::StorageFull => "storage-full",
            Self::Unavailable => "unavailable",
            Self::OffsetLost => "offset-lost",
            Self::Memory => "memory",
            Self::Fenced => "fenced",
            Self::Io => "io",
            Self::Unsupported => "unsupported",
        }
    }
}

/// Whether the same call can succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It would fail again.
    Permanent,
    /// It may succeed when tried again.
    Temporary,
}

/// An error of a connector.
///
/// Callers branch on `kind` and retry on `retry`; people read the message, the place and the advice.
#[derive(Debug)]
pub struct ConnectorError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// Whether trying again can help.
    pub retry: Retry,
    /// What was being done, as a short phrase: `reading`, `opening the output`.
    pub operation: &'static str,
    /// One sentence for people, with the offending value.
    pub message: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// The record or thing it happened at.
    pub place: Option<Place>,
    /// The error below.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl ConnectorError {
    /// A permanent error.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            retry: Retry::Permanent,
            operation,
            message: message.into(),
            advice: None,
            place: None,
            source: None,
        }
    }

    /// Wraps an I/O error; its kind is read from the system's.
    pub fn from_io(error: std::io::Error, operation: &'static str, what: &str) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::PermissionDenied => ErrorKind::PermissionDenied,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::StorageFull,
            Io::TimedOut | Io::ConnectionRefused | Io::ConnectionReset | Io::ConnectionAborted => {
                ErrorKind::Unavailable
            }
            _ => ErrorKind::Io,
        };
        let retry = if kind == ErrorKind::Unavailable { Retry::Temporary } else { Retry::Permanent };
        Self { retry, source: None, ..Self::new(kind, operation, format!("{what}: {error}")) }
    }

    /// Adds what to do.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Marks the error as one that may pass.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.retry = Retry::Temporary;
        self
    }
}

impl fmt::Display for ConnectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.message)?;
        if let Some(place) = &self.place {
            write!(f, " (at {place})")?;
        }
        if let Some(advice) = &self.advice {
            write!(f, "\n  help: {advice}")?;
        }
        Ok(())
    }
}

impl StdError for ConnectorError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}
