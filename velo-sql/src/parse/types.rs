//! Data types in every spelling.

use crate::ast::{DataType, DataTypeKind, StructField};
use crate::diagnostic::suggest::nearest;
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, expected, flags, keyword, list, nested, parens, sign, word};
use crate::parse::error::Rule;
use crate::parse::input::{Input, report};
use crate::parse::names::ident;

pub(crate) static TYPE: Rule = Rule { name: "a type", words: &[] };

const NAMES: &[&str] = &[
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "INTEGER",
    "BIGINT",
    "REAL",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "NUMERIC",
    "STRING",
    "TEXT",
    "VARCHAR",
    "CHAR",
    "BYTES",
    "VARBINARY",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "DATETIME",
    "INTERVAL",
    "ARRAY",
    "MAP",
    "STRUCT",
    "ROW",
    "JSON",
];

/// A type with its parameters and array brackets.
pub(crate) fn data_type(input: Input<'_>) -> Parsed<'_, DataType> {
    nested(input, |input| {
        let start = input.span();
        let (mut rest, kind) = base(input)?;
        let mut found = DataType { kind, span: rest.since(start) };
        let mut levels = 0;
        loop {
            let after = if rest.is_kind(0, TokenKind::LeftBracket) {
                let after = if rest.is_kind(1, TokenKind::Number) { rest.skip(2) } else { rest.skip(1) };
                sign(TokenKind::RightBracket)(after)?.0
            } else if rest.is(Keyword::Array) {
                rest.skip(1)
            } else {
                return Ok((rest, found));
            };
            rest = after;
            levels += 1;
            if levels > 32 {
                return report(Diagnostic::error(
                    Code::NESTING_TOO_DEEP,
                    rest.since(start),
                    "an array type has at most 32 dimensions",
                ));
            }
            found = DataType { kind: DataTypeKind::Array(Box::new(found)), span: rest.since(start) };
        }
    })
}

fn base(input: Input<'_>) -> Parsed<'_, DataTypeKind> {
    use DataTypeKind::*;
    let token = input.peek(0);
    if !matches!(token.kind, TokenKind::Word(_))
        || token.keyword().is_some_and(|word| word.usage() == crate::lex::Use::Reserved)
    {
        return expected(input, &TYPE);
    }
    let name = input.text(token).to_ascii_uppercase();
    let input = input.skip(1);
    match name.as_str() {
        "BOOLEAN" | "BOOL" => Ok((input, Boolean)),
        "TINYINT" | "INT1" => Ok(unsigned(input, TinyInt, TinyIntUnsigned)),
        "SMALLINT" | "INT2" => Ok(unsigned(input, SmallInt, SmallIntUnsigned)),
        "INT" | "INTEGER" | "INT4" => Ok(unsigned(input, Int, IntUnsigned)),
        "BIGINT" | "INT8" | "LONG" => Ok(unsigned(input, BigInt, BigIntUnsigned)),
        "UTINYINT" => Ok((input, TinyIntUnsigned)),
        "USMALLINT" => Ok((input, SmallIntUnsigned)),
        "UINT" | "UINTEGER" => Ok((input, IntUnsigned)),
        "UBIGINT" => Ok((input, BigIntUnsigned)),
        "REAL" | "FLOAT4" => Ok((input, Real)),
        "DOUBLE" => Ok((if input.is_word(0, "PRECISION") { input.skip(1) } else { input }, Double)),
        "FLOAT" | "FLOAT8" => Ok((input, Double)),
        "DECIMAL" | "NUMERIC" | "DEC" => decimal(input),
        "STRING" | "TEXT" => Ok((input, String { length: None })),
        "VARCHAR" | "CHAR" | "NVARCHAR" => length(input).map(|(rest, length)| (rest, String { length })),
        "CHARACTER" => {
            let input = if input.is_word(0, "VARYING") { input.skip(1) } else { input };
            length(input).map(|(rest, length)| (rest, String { length }))
        }
        "BYTES" | "BYTEA" | "BLOB" => Ok((input, Bytes { length: None })),
        "VARBINARY" | "BINARY" => length(input).map(|(rest, length)| (rest, Bytes { length })),
        "DATE" => Ok((input, Date)),
        "TIME" => {
            let (input, precision) = precision(input)?;
            let (input, _) = zone(input)?;
            Ok((input, Time { precision }))
        }
        "TIMESTAMP" | "DATETIME" => {
            let (input, precision) = precision(input)?;
            let (input, zoned) = zone(input)?;
            Ok((input, Timestamp { precision, zoned }))
        }
        "TIMESTAMPTZ" | "TIMESTAMP_LTZ" | "TIMESTAMP_TZ" => {
            let (input, precision) = precision(input)?;
            Ok((input, Timestamp { precision, zoned: true }))
        }
        "INTERVAL" => Ok((input, Interval)),
        "JSON" | "JSONB" => Ok((input, Json)),
        "ARRAY" => {
            let (input, _) = sign(TokenKind::Less)(input)?;
            let (input, item) = data_type(input)?;
            let (input, _) = sign(TokenKind::Greater)(input)?;
            Ok((input, Array(Box::new(item))))
        }
        "MAP" => {
            let (input, _) = sign(TokenKind::Less)(input)?;
            let (input, key) = data_type(input)?;
            let (input, _) = sign(TokenKind::Comma)(input)?;
            let (input, value) = data_type(input)?;
            let (input, _) = sign(TokenKind::Greater)(input)?;
            Ok((input, Map(Box::new(key), Box::new(value))))
        }
        "ROW" | "STRUCT" if input.is_kind(0, TokenKind::LeftParen) => {
            parens(list(field))(input).map(|(rest, fields)| (rest, Struct(fields)))
        }
        "ROW" | "STRUCT" => {
            let (input, _) = sign(TokenKind::Less)(input)?;
            let (input, fields) = list(field)(input)?;
            let (input, _) = sign(TokenKind::Greater)(input)?;
            Ok((input, Struct(fields)))
        }
        _ => {
            let mut diagnostic = Diagnostic::error(
                Code::UNKNOWN_TYPE,
                token.span,
                format!("there is no type `{}`", token.span.text(input.context.text)),
            );
            diagnostic = match (other_dialect(&name), nearest(&name, NAMES.iter().copied())) {
                (Some(ours), _) => diagnostic.help(format!("use {ours}")),
                (None, Some(near)) => diagnostic.help(format!("did you mean {near}?")),
                (None, None) => diagnostic.help("the types are BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, REAL, DOUBLE, DECIMAL(p, s), STRING, BYTES, DATE, TIME, TIMESTAMP, INTERVAL, ARRAY<T>, MAP<K, V>, STRUCT<…>, JSON"),
            };
            report(diagnostic)
        }
    }
}

fn other_dialect(name: &str) -> Option<&'static str> {
    Some(match name {
        "NUMBER" | "MONEY" => "DECIMAL(p, s)",
        "SERIAL" | "BIGSERIAL" => "BIGINT",
        "UUID" | "VARCHAR2" | "CLOB" | "NTEXT" | "ENUM" => "STRING",
        "MEDIUMINT" => "INT",
        "BIT" => "BOOLEAN",
        "DATETIME2" | "SMALLDATETIME" => "TIMESTAMP",
        "LIST" => "ARRAY<T>",
        "OBJECT" | "VARIANT" => "JSON, or STRUCT<…>",
        _ => return None,
    })
}

fn field(input: Input<'_>) -> Parsed<'_, StructField> {
    let (input, name) = ident(input)?;
    let input = if input.is_kind(0, TokenKind::Colon) { input.skip(1) } else { input };
    let (input, data_type) = data_type(input)?;
    let (input, not_null) = flags(&[Keyword::Not, Keyword::Null])(input)?;
    Ok((input, StructField { name, data_type, not_null: not_null.is_some() }))
}

fn unsigned(input: Input<'_>, signed: DataTypeKind, unsigned: DataTypeKind) -> (Input<'_>, DataTypeKind) {
    if input.is_word(0, "UNSIGNED") { (input.skip(1), unsigned) } else { (input, signed) }
}

fn decimal(input: Input<'_>) -> Parsed<'_, DataTypeKind> {
    if !input.is_kind(0, TokenKind::LeftParen) {
        return Ok((input, DataTypeKind::Decimal { precision: None, scale: None }));
    }
    let (input, precision) = small_number(input.skip(1), 76, "a DECIMAL has at most 76 digits")?;
    let (input, scale) = if input.is_kind(0, TokenKind::Comma) {
        small_number(input.skip(1), 76, "a DECIMAL has at most 76 digits")
            .map(|(rest, scale)| (rest, Some(scale as i8)))?
    } else {
        sign(TokenKind::Comma)(input).ok();
        (input, None)
    };
    let (input, _) = sign(TokenKind::RightParen)(input)?;
    Ok((input, DataTypeKind::Decimal { precision: Some(precision as u8), scale }))
}

fn precision(input: Input<'_>) -> Parsed<'_, Option<u8>> {
    if !input.is_kind(0, TokenKind::LeftParen) {
        return Ok((input, None));
    }
    parens(|input| small_number(input, 9, "a time has at most 9 fractional digits"))(input)
        .map(|(rest, digits)| (rest, Some(digits as u8)))
}

fn length(input: Input<'_>) -> Parsed<'_, Option<u32>> {
    if !input.is_kind(0, TokenKind::LeftParen) {
        return Ok((input, None));
    }
    if input.is_word(1, "MAX") {
        return sign(TokenKind::RightParen)(input.skip(2)).map(|(rest, _)| (rest, None));
    }
    parens(|input| small_number(input, u32::MAX, "this length is too large"))(input)
        .map(|(rest, length)| (rest, Some(length)))
}

/// `WITH TIME ZONE`, `WITHOUT TIME ZONE`, `WITH LOCAL TIME ZONE`.
fn zone(input: Input<'_>) -> Parsed<'_, bool> {
    let with = input.is(Keyword::With) && (input.peek(1).keyword() == Some(Keyword::Time) || input.is_word(1, "LOCAL"));
    let without = input.is(Keyword::Without);
    if !with && !without {
        return Ok((input, false));
    }
    let rest = input.skip(1);
    let rest = if rest.is_word(0, "LOCAL") { word("LOCAL")(rest)?.0 } else { rest };
    let (rest, _) = keyword(Keyword::Time)(rest)?;
    let (rest, _) = keyword(Keyword::Zone)(rest)?;
    Ok((rest, with))
}

fn small_number<'a>(input: Input<'a>, most: u32, too_large: &'static str) -> Parsed<'a, u32> {
    let (rest, token) = sign(TokenKind::Number)(input)?;
    match input.text(token).parse::<u32>() {
        Ok(number) if number <= most => Ok((rest, number)),
        _ => report(Diagnostic::error(Code::INVALID_LITERAL, token.span, too_large)),
    }
}
