//! Types.

use super::parser::{Parse, Parser};
use crate::ast::{SqlType, TypeKind};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::TokenKind;
use crate::nearest::nearest;
use crate::span::Span;

/// Every word that begins a type, for "did you mean".
const TYPE_WORDS: &[&str] = &[
    "BOOLEAN", "TINYINT", "SMALLINT", "INT", "INTEGER", "BIGINT", "REAL", "FLOAT", "DOUBLE", "DECIMAL", "NUMERIC", "STRING", "TEXT",
    "VARCHAR", "CHAR", "BYTES", "DATE", "TIME", "TIMESTAMP", "INTERVAL", "JSON", "ARRAY", "MAP", "STRUCT", "ROW",
];

impl Parser<'_> {
    pub(super) fn sql_type(&mut self) -> Parse<SqlType> {
        self.nested(|p| {
            let start = p.span();
            let mut kind = p.simple_type()?;
            while p.is_symbol(0, "[") && p.is_symbol(1, "]") {
                p.advance();
                p.advance();
                let element = SqlType { kind, span: start.to(p.last_span()) };
                kind = TypeKind::Array(Box::new(element));
            }
            Ok(SqlType { kind, span: start.to(p.last_span()) })
        })
    }

    fn simple_type(&mut self) -> Parse<TypeKind> {
        let span = self.span();
        let Some(word) = self.word_ahead(0) else { return Err(self.unexpected("a type")) };
        let word = word.to_ascii_uppercase();
        self.advance();
        Ok(match word.as_str() {
            "BOOLEAN" | "BOOL" => TypeKind::Boolean,
            "TINYINT" | "INT1" => TypeKind::TinyInt { unsigned: self.eat("UNSIGNED") },
            "SMALLINT" | "INT2" => TypeKind::SmallInt { unsigned: self.eat("UNSIGNED") },
            "INT" | "INTEGER" | "INT4" => TypeKind::Int { unsigned: self.eat("UNSIGNED") },
            "BIGINT" | "INT8" | "LONG" => TypeKind::BigInt { unsigned: self.eat("UNSIGNED") },
            "UTINYINT" => TypeKind::TinyInt { unsigned: true },
            "USMALLINT" => TypeKind::SmallInt { unsigned: true },
            "UINT" | "UINTEGER" => TypeKind::Int { unsigned: true },
            "UBIGINT" => TypeKind::BigInt { unsigned: true },
            "REAL" | "FLOAT4" => TypeKind::Real,
            "FLOAT" | "FLOAT8" => TypeKind::Double,
            "DOUBLE" => {
                self.eat("PRECISION");
                TypeKind::Double
            }
            "DECIMAL" | "NUMERIC" | "DEC" => self.decimal(span)?,
            "STRING" | "TEXT" => TypeKind::String,
            "VARCHAR" | "CHAR" | "CHARACTER" => {
                self.eat("VARYING");
                self.type_number()?;
                TypeKind::String
            }
            "BYTES" | "BYTEA" | "BLOB" | "VARBINARY" | "BINARY" => {
                self.type_number()?;
                TypeKind::Bytes
            }
            "DATE" => TypeKind::Date,
            "TIME" => {
                self.type_number()?;
                TypeKind::Time
            }
            "TIMESTAMP" | "TIMESTAMP_LTZ" | "TIMESTAMPTZ" | "DATETIME" => {
                let digits = self.type_number()?;
                self.eat_all(&["WITHOUT", "TIME", "ZONE"]);
                if self.eat("WITH") {
                    self.eat("LOCAL");
                    self.need("TIME")?;
                    self.need("ZONE")?;
                }
                match digits {
                    Some((digits, at)) if digits > 9 => {
                        return Err(self.report(
                            Diagnostic::error(Code::TYPE, at, format!("a TIMESTAMP has at most 9 fractional digits, not {digits}"))
                                .help("TIMESTAMP counts microseconds, TIMESTAMP(9) nanoseconds"),
                        ));
                    }
                    digits => TypeKind::Timestamp { nanos: digits.is_some_and(|(digits, _)| digits > 6) },
                }
            }
            "INTERVAL" => TypeKind::Interval,
            "JSON" | "JSONB" => TypeKind::Json,
            "ARRAY" => {
                self.need_symbol("<")?;
                let element = self.sql_type()?;
                self.close_angle()?;
                TypeKind::Array(Box::new(element))
            }
            "MAP" => {
                self.need_symbol("<")?;
                let key = self.sql_type()?;
                self.need_symbol(",")?;
                let value = self.sql_type()?;
                self.close_angle()?;
                TypeKind::Map(Box::new(key), Box::new(value))
            }
            "STRUCT" | "ROW" => self.structure()?,
            _ => {
                let mut diagnostic = Diagnostic::error(Code::TYPE, span, format!("'{}' is no type", span.text(self.text)));
                match nearest(&word, TYPE_WORDS.iter().copied()) {
                    Some(near) => diagnostic = diagnostic.help(format!("did you mean {near}?")),
                    None => diagnostic = diagnostic.help("types are STRING, BIGINT, DECIMAL(p,s), DOUBLE, BOOLEAN, TIMESTAMP, DATE, …"),
                }
                return Err(self.report(diagnostic));
            }
        })
    }

    fn structure(&mut self) -> Parse<TypeKind> {
        let parenthesis = self.is_symbol(0, "(").then(|| self.span());
        if parenthesis.is_some() {
            self.advance();
        } else {
            self.need_symbol("<")?;
        }
        let fields = self.list(|p| {
            let name = p.label("a field name")?;
            p.eat_symbol(":");
            Ok((name, p.sql_type()?))
        })?;
        match parenthesis {
            Some(open) => {
                self.close(open)?;
            }
            None => self.close_angle()?,
        }
        Ok(TypeKind::Struct(fields))
    }

    /// `>`, which may be half of a `>>` that the lexer does not make, or part of `>=`.
    fn close_angle(&mut self) -> Parse<()> {
        self.need_symbol(">").map(|_| ())
    }

    fn decimal(&mut self, span: Span) -> Parse<TypeKind> {
        if !self.is_symbol(0, "(") {
            return Ok(TypeKind::Decimal { precision: 38, scale: 10 });
        }
        let open = self.advance().span;
        let (precision, precision_span) = self.small_number("the number of digits")?;
        let (scale, scale_span) =
            if self.eat_symbol(",") { self.small_number("the number of fractional digits")? } else { (0, precision_span) };
        self.close(open)?;
        if !(1..=76).contains(&precision) {
            return Err(self.report(
                Diagnostic::error(Code::TYPE, precision_span, format!("a DECIMAL has 1 to 76 digits, not {precision}"))
                    .also(span, "in this type"),
            ));
        }
        if scale > precision {
            return Err(self.report(
                Diagnostic::error(
                    Code::TYPE,
                    scale_span,
                    format!("a DECIMAL of {precision} digits cannot have {scale} of them behind the point"),
                )
                .help(format!("DECIMAL({scale},{scale}) has as many; the first number counts all digits")),
            ));
        }
        Ok(TypeKind::Decimal { precision: precision as u8, scale: scale as i8 })
    }

    /// `(n)`, if it is there.
    fn type_number(&mut self) -> Parse<Option<(u32, Span)>> {
        if !self.is_symbol(0, "(") {
            return Ok(None);
        }
        let open = self.advance().span;
        let number = self.small_number("a number")?;
        self.close(open)?;
        Ok(Some(number))
    }

    pub(super) fn small_number(&mut self, what: &'static str) -> Parse<(u32, Span)> {
        let span = self.span();
        if self.token().kind == TokenKind::Number
            && let Ok(number) = span.text(self.text).parse()
        {
            self.advance();
            return Ok((number, span));
        }
        Err(self.unexpected(what))
    }
}
