//! Why a row has no usable event time: six kinds, each with a stable code.

use std::borrow::Cow;
use std::fmt;

use velo_core::Place;

/// The six kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventTimeErrorKind {
    /// The field is null or missing.
    MissingField,
    /// The value is of a type that cannot be a time in this format.
    TypeMismatch,
    /// The value has the right form, but there is no such time, or it is out of range.
    InvalidTimestamp,
    /// The value does not have the form of the format.
    ParseError,
    /// The local time occurs twice or never in its time zone.
    AmbiguousTimezone,
    /// No format was given, and the value is neither a number nor ISO 8601.
    AutoDetectFailed,
}

impl EventTimeErrorKind {
    /// All kinds, for the error reference.
    pub const ALL: [Self; 6] = [
        Self::MissingField,
        Self::TypeMismatch,
        Self::InvalidTimestamp,
        Self::ParseError,
        Self::AmbiguousTimezone,
        Self::AutoDetectFailed,
    ];

    /// The stable code, as in the error reference.
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingField => "event-time-missing-field",
            Self::TypeMismatch => "event-time-type-mismatch",
            Self::InvalidTimestamp => "event-time-invalid-timestamp",
            Self::ParseError => "event-time-parse-error",
            Self::AmbiguousTimezone => "event-time-ambiguous-timezone",
            Self::AutoDetectFailed => "event-time-auto-detect-failed",
        }
    }

    /// The name: `MissingField`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingField => "MissingField",
            Self::TypeMismatch => "TypeMismatch",
            Self::InvalidTimestamp => "InvalidTimestamp",
            Self::ParseError => "ParseError",
            Self::AmbiguousTimezone => "AmbiguousTimezone",
            Self::AutoDetectFailed => "AutoDetectFailed",
        }
    }
}

impl fmt::Display for EventTimeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why one text or number is no time: the kind, and the rest of a sentence that begins with the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct TimeError {
    /// The kind.
    pub kind: EventTimeErrorKind,
    /// What is wrong with the value, as in `'2024-13-01' has no such month`: this is what follows the value.
    pub detail: Cow<'static, str>,
}

impl TimeError {
    /// An error; `detail` continues a sentence that begins with the value.
    pub fn new(kind: EventTimeErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into() }
    }

    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(EventTimeErrorKind::InvalidTimestamp, detail)
    }

    pub(crate) fn syntax(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(EventTimeErrorKind::ParseError, detail)
    }

    pub(crate) fn mismatch(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(EventTimeErrorKind::TypeMismatch, detail)
    }

    pub(crate) fn out_of_range() -> Self {
        Self::invalid("is out of range")
    }
}

/// A row without a usable event time: which source and field, what the value was, what was expected, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTimeError {
    /// The kind.
    pub kind: EventTimeErrorKind,
    /// The source's name.
    pub source: String,
    /// The field, dotted.
    pub field: String,
    /// The value as text; `None` where it is null or missing.
    pub value: Option<String>,
    /// What is wrong with the value: continues a sentence that begins with it.
    pub detail: Cow<'static, str>,
    /// The expected format.
    pub expected: String,
    /// The fields that the record has, where the field is missing and they are known.
    pub present: Vec<String>,
    /// Where the record is.
    pub place: Option<Place>,
}

impl EventTimeError {
    /// The stable code of the kind.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}

/// The longest part of a value that a message shows.
const SHOWN: usize = 120;

impl fmt::Display for EventTimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: event time '{}' of {}: ", self.kind, self.field, self.source)?;
        match &self.value {
            None => f.write_str("the value is null or missing")?,
            Some(value) if value.is_empty() && self.kind == EventTimeErrorKind::TypeMismatch => {
                write!(f, "the value {}", self.detail)?;
            }
            Some(value) => match value.char_indices().nth(SHOWN) {
                Some((end, _)) => write!(f, "'{}…' {}", &value[..end], self.detail)?,
                None => write!(f, "'{value}' {}", self.detail)?,
            },
        }
        write!(f, "; expected {}", self.expected)?;
        if self.kind == EventTimeErrorKind::MissingField && !self.present.is_empty() {
            write!(f, "; the record has {}", self.present.join(", "))?;
        }
        if let Some(place) = &self.place {
            write!(f, " (at {place})")?;
        }
        Ok(())
    }
}

impl std::error::Error for EventTimeError {}
