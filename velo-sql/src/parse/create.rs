//! CREATE: streams, tables, sinks, views and functions.

use crate::ast::{
    ColumnDef, Create, CreateFunction, FunctionParam, Ident, MetadataColumn, ObjectKind, ObjectName, PrimaryKey,
    Properties, StatementKind, TableSchema, WatermarkDef,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind, literal};
use crate::parse::combinator::{Parsed, expected, flags, keyword, keywords, list, parens, sign};
use crate::parse::error::{Expected, Rule};
use crate::parse::expr::{expr, starts_query};
use crate::parse::input::{Input, report};
use crate::parse::names::{column, ident, ident_as, object_name};
use crate::parse::options::with_properties;
use crate::parse::select::{once, outer_query};
use crate::parse::types::{TYPE, data_type};
use crate::span::Span;

pub(crate) static OBJECT: Rule = Rule {
    name: "`STREAM`, `TABLE`, `SINK`, `VIEW` or `FUNCTION`",
    words: &["STREAM", "TABLE", "SINK", "VIEW", "FUNCTION"],
};
static ELEMENT: Rule = Rule { name: "a column name", words: &["WATERMARK", "PRIMARY"] };

/// `CREATE …`.
pub(crate) fn create(input: Input<'_>) -> Parsed<'_, StatementKind> {
    let input = input.skip(1);
    let (input, or_replace) = flags(&[Keyword::Or, Keyword::Replace])(input)?;
    let or_replace = or_replace.is_some();
    if input.is(Keyword::Function) {
        let (input, function) = function(input.skip(1), or_replace)?;
        return Ok((input, StatementKind::CreateFunction(Box::new(function))));
    }
    let Some(kind) = object_kind(input) else { return expected(input, &OBJECT) };
    let input = input.skip(1);
    let (input, if_not_exists) = flags(&[Keyword::If, Keyword::Not, Keyword::Exists])(input)?;
    let (input, name) = object_name(input)?;
    let mut found = Create {
        or_replace,
        kind,
        if_not_exists: if_not_exists.is_some(),
        name,
        schema: None,
        comment: None,
        properties: Properties::default(),
        query: None,
        into: None,
    };
    let (input, ()) = body(input, &mut found)?;
    complete(&found)?;
    Ok((input, StatementKind::Create(Box::new(found))))
}

/// The kind that a word names.
pub(crate) fn object_kind(input: Input<'_>) -> Option<ObjectKind> {
    Some(match input.keyword()? {
        Keyword::Stream => ObjectKind::Stream,
        Keyword::Table => ObjectKind::Table,
        Keyword::Sink => ObjectKind::Sink,
        Keyword::View => ObjectKind::View,
        _ => return None,
    })
}

/// What follows the name: columns, COMMENT, WITH, AS.
fn body<'a>(input: Input<'a>, found: &mut Create) -> Parsed<'a, ()> {
    let mut rest = input;
    if rest.is_kind(0, TokenKind::LeftParen) {
        let (after, schema) = schema(rest)?;
        (rest, found.schema) = (after, Some(schema));
    } else {
        rest.note(Expected::Sign(TokenKind::LeftParen));
    }
    if rest.is(Keyword::Comment) {
        (rest, found.comment) = comment(rest)?;
    }
    if rest.is(Keyword::With) {
        (rest, found.properties) = with_properties(rest)?;
    } else {
        rest.note(Expected::Keyword(Keyword::With));
    }
    if !rest.is(Keyword::As) {
        rest.note(Expected::Keyword(Keyword::As));
        return Ok((rest, ()));
    }
    let as_span = rest.span();
    if found.kind == ObjectKind::Sink {
        return report(
            Diagnostic::error(Code::SYNTAX, as_span, "a sink is declared without a query")
                .help("declare it with WITH (…), and fill it with INSERT INTO, or write CREATE STREAM … AS SELECT"),
        );
    }
    let (rest, outer) = outer_query(rest.skip(1))?;
    if !outer.properties.is_empty() {
        let before = (!found.properties.is_empty()).then_some(found.properties.span);
        once("WITH", outer.properties.span, before, "put all properties into one WITH")?;
        found.properties = outer.properties;
    }
    found.query = Some(Box::new(outer.query));
    found.into = outer.into;
    Ok((rest, ()))
}

/// What no statement of this kind can do without.
fn complete(found: &Create) -> Result<(), nom::Err<crate::parse::error::Fault>> {
    let untyped = found
        .schema
        .iter()
        .flat_map(|schema| &schema.columns)
        .find(|column| column.data_type.is_none() && column.computed.is_none());
    match (untyped, &found.query) {
        (Some(column), None) => report(
            Diagnostic::error(Code::SYNTAX, column.name.span, format!("column `{}` needs a type", column.name.value))
                .help(format!("write for example: {} STRING", column.name.value)),
        ),
        _ => Ok(()),
    }
}

/// `COMMENT '…'`.
fn comment(input: Input<'_>) -> Parsed<'_, Option<String>> {
    let (rest, token) = sign(TokenKind::String)(input.skip(1))?;
    Ok((rest, Some(literal::unquote(input.text(token)))))
}

enum Element {
    Column(ColumnDef, Option<Span>),
    Watermark(WatermarkDef),
    Key(PrimaryKey),
}

/// The parentheses after the name.
fn schema(input: Input<'_>) -> Parsed<'_, TableSchema> {
    let start = input.span();
    let (input, elements) = parens(list(element))(input)?;
    let mut schema = TableSchema { span: input.since(start), ..TableSchema::default() };
    for element in elements {
        let key = match element {
            Element::Watermark(watermark) => {
                schema.watermarks.push(watermark);
                continue;
            }
            Element::Key(key) => {
                once(
                    "PRIMARY KEY",
                    key.span,
                    schema.primary_key.as_ref().map(|key| key.span),
                    "write all its columns in one: PRIMARY KEY (a, b)",
                )?;
                key
            }
            Element::Column(column, None) => {
                schema.columns.push(column);
                continue;
            }
            Element::Column(column, Some(span)) => {
                let mut columns: Vec<Ident> = schema.primary_key.take().map(|key| key.columns).unwrap_or_default();
                columns.push(column.name.clone());
                schema.columns.push(column);
                PrimaryKey { columns, span }
            }
        };
        schema.primary_key = Some(key);
    }
    Ok((input, schema))
}

fn element(input: Input<'_>) -> Parsed<'_, Element> {
    let start = input.span();
    if input.are(&[Keyword::Watermark, Keyword::For]) {
        return watermark(input).map(|(rest, found)| (rest, Element::Watermark(found)));
    }
    let named = input.is_word(0, "CONSTRAINT") && input.peek(2).keyword() == Some(Keyword::Primary);
    let rest = if named { input.skip(2) } else { input };
    if rest.are(&[Keyword::Primary, Keyword::Key]) {
        let (rest, columns) = parens(list(column))(rest.skip(2))?;
        let (rest, _) = flags(&[Keyword::Not, Keyword::Enforced])(rest)?;
        return Ok((rest, Element::Key(PrimaryKey { columns, span: rest.since(start) })));
    }
    column_def(input)
}

/// `WATERMARK FOR column [AS expr]`.
fn watermark(input: Input<'_>) -> Parsed<'_, WatermarkDef> {
    let start = input.span();
    let (input, column) = object_name(input.skip(2))?;
    let (input, expr) = if input.is(Keyword::As) {
        let (rest, found) = expr(input.skip(1))?;
        (rest, Some(found))
    } else {
        input.note(Expected::Keyword(Keyword::As));
        (input, None)
    };
    Ok((input, WatermarkDef { column, expr, span: input.since(start) }))
}

fn column_def(input: Input<'_>) -> Parsed<'_, Element> {
    let start = input.span();
    let (mut rest, name) = ident_as(input, &ELEMENT)?;
    let mut found = ColumnDef {
        name,
        data_type: None,
        not_null: false,
        computed: None,
        default: None,
        metadata: None,
        comment: None,
        span: start,
    };
    let mut key = None;
    if !matches!(rest.kind(), TokenKind::Comma | TokenKind::RightParen) && !rest.is(Keyword::As) {
        if rest.is_kind(0, TokenKind::Colon) {
            let message = "a type follows its column without a colon";
            rest.soft(Diagnostic::error(Code::OTHER_DIALECT, rest.span(), message).help("leave the colon out"));
            rest = rest.skip(1);
        }
        let (after, data_type) = data_type(rest)?;
        (rest, found.data_type) = (after, Some(data_type));
    } else {
        rest.note(Expected::Rule(&TYPE));
    }
    loop {
        let here = rest.span();
        rest = match rest.keyword() {
            Some(Keyword::Not) => {
                found.not_null = true;
                keywords(&[Keyword::Not, Keyword::Null])(rest)?.0
            }
            Some(Keyword::Null) => rest.skip(1),
            Some(Keyword::As) => {
                let (after, computed) = expr(rest.skip(1))?;
                found.computed = Some(computed);
                after
            }
            Some(Keyword::Default) => {
                let (after, default) = expr(rest.skip(1))?;
                found.default = Some(default);
                after
            }
            Some(Keyword::Metadata) => {
                let (after, metadata) = metadata(rest)?;
                found.metadata = Some(metadata);
                after
            }
            Some(Keyword::Comment) => {
                let (after, text) = comment(rest)?;
                found.comment = text;
                after
            }
            Some(Keyword::Primary) => {
                let (after, span) = keywords(&[Keyword::Primary, Keyword::Key])(rest)?;
                key = Some(span);
                flags(&[Keyword::Not, Keyword::Enforced])(after)?.0
            }
            Some(Keyword::Key) => {
                key = Some(here);
                rest.skip(1)
            }
            _ => break,
        };
    }
    found.span = rest.since(start);
    Ok((rest, Element::Column(found, key)))
}

/// `METADATA [FROM 'key'] [VIRTUAL]`.
fn metadata(input: Input<'_>) -> Parsed<'_, MetadataColumn> {
    let start = input.span();
    let mut rest = input.skip(1);
    let mut key = None;
    if rest.is(Keyword::From) {
        let (after, token) = sign(TokenKind::String)(rest.skip(1))?;
        key = Some(literal::unquote(rest.text(token)));
        rest = after;
    }
    let is_virtual = rest.is(Keyword::Virtual);
    let rest = if is_virtual { rest.skip(1) } else { rest };
    Ok((rest, MetadataColumn { key, is_virtual, span: rest.since(start) }))
}

/// `name(a type, …) RETURNS type AS expression`.
fn function(input: Input<'_>, or_replace: bool) -> Parsed<'_, CreateFunction> {
    let (input, if_not_exists) = flags(&[Keyword::If, Keyword::Not, Keyword::Exists])(input)?;
    let (input, name): (_, ObjectName) = object_name(input)?;
    let (input, params) = if input.is_kind(0, TokenKind::LeftParen) && input.is_kind(1, TokenKind::RightParen) {
        (input.skip(2), Vec::new())
    } else {
        parens(list(param))(input)?
    };
    let (input, _) = keyword(Keyword::Returns)(input)?;
    let (input, returns) = data_type(input)?;
    let (input, _) = keyword(Keyword::As)(input)?;
    if starts_query(input) {
        return report(
            Diagnostic::error(Code::SYNTAX, input.span(), "a function stands for an expression, not for a query")
                .help("write the expression after AS; a query with a name is a view"),
        );
    }
    let (input, body) = expr(input)?;
    Ok((input, CreateFunction { or_replace, if_not_exists: if_not_exists.is_some(), name, params, returns, body }))
}

fn param(input: Input<'_>) -> Parsed<'_, FunctionParam> {
    let (input, name) = ident(input)?;
    let (input, data_type) = data_type(input)?;
    Ok((input, FunctionParam { name, data_type }))
}
