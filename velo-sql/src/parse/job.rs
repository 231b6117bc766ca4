//! START, STOP, PAUSE and RESUME JOB; SET; DROP.

use crate::ast::{DropKind, DropStatement, StartJob, Statement, StatementKind};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, expected, flag, flags, keyword};
use crate::parse::create::object_kind;
use crate::parse::error::Rule;
use crate::parse::input::{Input, report};
use crate::parse::names::object_name;
use crate::parse::options::{equals, key, value};
use crate::parse::statement;

static DROPPABLE: Rule = Rule {
    name: "`STREAM`, `TABLE`, `SINK`, `VIEW`, `FUNCTION` or `JOB`",
    words: &["STREAM", "TABLE", "SINK", "VIEW", "FUNCTION", "JOB"],
};

/// `START JOB name AS statement`.
pub(crate) fn start(input: Input<'_>) -> Parsed<'_, StatementKind> {
    let (input, _) = keyword(Keyword::Job)(input.skip(1))?;
    let (input, name) = object_name(input)?;
    let (input, _) = keyword(Keyword::As)(input)?;
    let start = input.span();
    let runs = match input.keyword() {
        Some(Keyword::Select | Keyword::With | Keyword::Values | Keyword::Insert | Keyword::Create) => true,
        Some(_) => false,
        None => input.is_kind(0, TokenKind::LeftParen),
    };
    if !runs {
        return expected(input, &statement::RUNNABLE);
    }
    let (input, kind) = statement::kind(input)?;
    let inner = Statement { kind, annotations: Vec::new(), span: input.since(start) };
    Ok((input, StatementKind::StartJob(StartJob { name, statement: Box::new(inner) })))
}

/// `STOP JOB name [FORCE]`.
pub(crate) fn stop(input: Input<'_>) -> Parsed<'_, StatementKind> {
    let (input, _) = keyword(Keyword::Job)(input.skip(1))?;
    let (input, name) = object_name(input)?;
    let (input, force) = flag(Keyword::Force)(input)?;
    Ok((input, StatementKind::StopJob { name, force }))
}

/// `PAUSE JOB name`.
pub(crate) fn pause(input: Input<'_>) -> Parsed<'_, StatementKind> {
    let (input, _) = keyword(Keyword::Job)(input.skip(1))?;
    object_name(input).map(|(rest, name)| (rest, StatementKind::PauseJob(name)))
}

/// `RESUME JOB name`.
pub(crate) fn resume(input: Input<'_>) -> Parsed<'_, StatementKind> {
    let (input, _) = keyword(Keyword::Job)(input.skip(1))?;
    object_name(input).map(|(rest, name)| (rest, StatementKind::ResumeJob(name)))
}

/// `SET name = value`.
pub(crate) fn set(input: Input<'_>) -> Parsed<'_, StatementKind> {
    let (input, key) = key(input.skip(1))?;
    let input = if input.is(Keyword::To) { input.skip(1) } else { equals(input)?.0 };
    let (input, value) = value(input)?;
    Ok((input, StatementKind::Set { key, value }))
}

/// `DROP kind [IF EXISTS] name`.
pub(crate) fn drop(input: Input<'_>) -> Parsed<'_, StatementKind> {
    let input = input.skip(1);
    let kind = match input.keyword() {
        Some(Keyword::Function) => DropKind::Function,
        Some(Keyword::Job) => DropKind::Job,
        _ => match object_kind(input) {
            Some(kind) => DropKind::Object(kind),
            None => return expected(input, &DROPPABLE),
        },
    };
    let (input, if_exists) = flags(&[Keyword::If, Keyword::Exists])(input.skip(1))?;
    let (input, name) = object_name(input)?;
    if input.is_word(0, "CASCADE") {
        return report(
            Diagnostic::error(Code::OTHER_DIALECT, input.span(), "DROP has no CASCADE")
                .help("drop what depends on it first, by name"),
        );
    }
    Ok((input, StatementKind::Drop(DropStatement { kind, if_exists: if_exists.is_some(), name })))
}
