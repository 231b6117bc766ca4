//! Types as SQL writes them.

use super::Ident;
use crate::span::Span;

/// A type and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlType {
    /// The type.
    pub kind: TypeKind,
    /// Where it stands.
    pub span: Span,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeKind {
    /// BOOLEAN
    Boolean,
    /// TINYINT, signed or not.
    TinyInt {
        /// UNSIGNED
        unsigned: bool,
    },
    /// SMALLINT, signed or not.
    SmallInt {
        /// UNSIGNED
        unsigned: bool,
    },
    /// INT, signed or not.
    Int {
        /// UNSIGNED
        unsigned: bool,
    },
    /// BIGINT, signed or not.
    BigInt {
        /// UNSIGNED
        unsigned: bool,
    },
    /// REAL
    Real,
    /// DOUBLE
    Double,
    /// DECIMAL(precision, scale)
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: i8,
    },
    /// STRING
    String,
    /// BYTES
    Bytes,
    /// DATE
    Date,
    /// TIME
    Time,
    /// TIMESTAMP, or TIMESTAMP(9)
    Timestamp {
        /// Nanoseconds instead of microseconds.
        nanos: bool,
    },
    /// INTERVAL
    Interval,
    /// JSON
    Json,
    /// ARRAY<element>
    Array(Box<SqlType>),
    /// MAP<key, value>
    Map(Box<SqlType>, Box<SqlType>),
    /// STRUCT<name type, …>
    Struct(Vec<(Ident, SqlType)>),
}
