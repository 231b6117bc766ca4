//! Data types as they are written.

use crate::ast::ident::Ident;
use crate::span::Span;

/// A type with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataType {
    /// Which type.
    pub kind: DataTypeKind,
    /// Where it stands, parameters included.
    pub span: Span,
}

/// The types of the dialect; other names of the same type (`TEXT`, `VARCHAR`, `INT8`, …) give the same variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataTypeKind {
    /// `BOOLEAN`, `BOOL`.
    Boolean,
    /// `TINYINT`: 8 bits.
    TinyInt,
    /// `SMALLINT`, `INT2`: 16 bits.
    SmallInt,
    /// `INT`, `INTEGER`, `INT4`: 32 bits.
    Int,
    /// `BIGINT`, `INT8`, `LONG`: 64 bits.
    BigInt,
    /// `TINYINT UNSIGNED`, `UTINYINT`.
    TinyIntUnsigned,
    /// `SMALLINT UNSIGNED`, `USMALLINT`.
    SmallIntUnsigned,
    /// `INT UNSIGNED`, `UINT`.
    IntUnsigned,
    /// `BIGINT UNSIGNED`, `UBIGINT`.
    BigIntUnsigned,
    /// `REAL`, `FLOAT4`: 32 bits.
    Real,
    /// `DOUBLE`, `DOUBLE PRECISION`, `FLOAT`, `FLOAT8`: 64 bits.
    Double,
    /// `DECIMAL`, `NUMERIC`, with precision and scale as far as they are written.
    Decimal {
        /// Digits in all.
        precision: Option<u8>,
        /// Digits after the point.
        scale: Option<i8>,
    },
    /// `STRING`, `TEXT`, `VARCHAR`, `CHAR`.
    String {
        /// The length in parentheses, which means nothing to Velo but is kept.
        length: Option<u32>,
    },
    /// `BYTES`, `BYTEA`, `VARBINARY`, `BINARY`, `BLOB`.
    Bytes {
        /// The length in parentheses.
        length: Option<u32>,
    },
    /// `DATE`.
    Date,
    /// `TIME`.
    Time {
        /// Fractional digits.
        precision: Option<u8>,
    },
    /// `TIMESTAMP`, `DATETIME`, `TIMESTAMP_LTZ`, `TIMESTAMPTZ`.
    Timestamp {
        /// Fractional digits.
        precision: Option<u8>,
        /// Whether it was written with a time zone (`TIMESTAMPTZ`, `TIMESTAMP WITH TIME ZONE`, `TIMESTAMP_LTZ`).
        zoned: bool,
    },
    /// `INTERVAL`.
    Interval,
    /// `ARRAY<T>`, `T[]`, `T ARRAY`.
    Array(Box<DataType>),
    /// `MAP<K, V>`.
    Map(Box<DataType>, Box<DataType>),
    /// `STRUCT<a T, …>`, `ROW<…>`, `ROW(…)`.
    Struct(Vec<StructField>),
    /// `JSON`, `JSONB`.
    Json,
}

/// One field of a `STRUCT<…>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructField {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub data_type: DataType,
    /// `NOT NULL`.
    pub not_null: bool,
}
