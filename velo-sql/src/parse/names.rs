//! Names: single, dotted, and the words that may not be one.

use crate::ast::{Ident, ObjectName};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Token, TokenKind, Use, literal};
use crate::parse::combinator::{Parsed, expected};
use crate::parse::error::Rule;
use crate::parse::input::{Input, report};

pub(crate) static NAME: Rule = Rule { name: "a name", words: &[] };
pub(crate) static COLUMN_NAME: Rule = Rule { name: "a column name", words: &[] };
pub(crate) static ALIAS: Rule = Rule { name: "an alias", words: &["AS"] };

/// Whether a rule asks for a name and nothing else.
pub(crate) fn is_name(rule: &Rule) -> bool {
    rule.name == NAME.name || rule.name == COLUMN_NAME.name
}

/// A name: quoted, or a word that is not reserved.
pub(crate) fn ident(input: Input<'_>) -> Parsed<'_, Ident> {
    ident_as(input, &NAME)
}

/// The name of a column.
pub(crate) fn column(input: Input<'_>) -> Parsed<'_, Ident> {
    ident_as(input, &COLUMN_NAME)
}

/// A name that messages call by `rule`.
pub(crate) fn ident_as<'a>(input: Input<'a>, rule: &'static Rule) -> Parsed<'a, Ident> {
    let token = input.peek(0);
    match token.kind {
        TokenKind::QuotedName => Ok((input.skip(1), to_ident(input, token))),
        TokenKind::Word(None) => Ok((input.skip(1), to_ident(input, token))),
        TokenKind::Word(Some(keyword)) if keyword.usage() != Use::Reserved => {
            Ok((input.skip(1), to_ident(input, token)))
        }
        _ => expected(input, rule),
    }
}

/// The name of a part after a dot: any word, but a reserved one only directly behind the dot.
pub(crate) fn part(input: Input<'_>) -> Parsed<'_, Ident> {
    let token = input.peek(0);
    let touches = input.before().span.end == token.span.start;
    match token.kind {
        TokenKind::Word(Some(keyword)) if keyword.usage() == Use::Reserved && !touches => expected(input, &NAME),
        TokenKind::QuotedName | TokenKind::Word(_) => Ok((input.skip(1), to_ident(input, token))),
        _ => expected(input, &NAME),
    }
}

/// `a.b.c`; stops before `.*`.
pub(crate) fn object_name(input: Input<'_>) -> Parsed<'_, ObjectName> {
    let (mut rest, first) = ident(input)?;
    let mut parts = vec![first];
    while rest.is_kind(0, TokenKind::Dot) && !rest.is_kind(1, TokenKind::Star) {
        let (after, next) = part(rest.skip(1))?;
        parts.push(next);
        rest = after;
    }
    Ok((rest, ObjectName { parts }))
}

/// `AS name`, or a name without AS where no clause begins with the word.
pub(crate) fn alias(input: Input<'_>) -> Parsed<'_, Option<Ident>> {
    if input.is(crate::lex::Keyword::As) {
        let input = input.skip(1);
        let token = input.peek(0);
        if matches!(token.kind, TokenKind::String) {
            let text = literal::unquote(input.text(token));
            return report(
                Diagnostic::error(Code::OTHER_DIALECT, token.span, "an alias is a name, and this is a text")
                    .help(format!("write it plainly or in double quotes: AS \"{text}\"")),
            );
        }
        return ident(input).map(|(rest, name)| (rest, Some(name)));
    }
    if is_bare_alias(input) {
        let token = input.peek(0);
        if token.kind != TokenKind::QuotedName {
            input.context.bare_alias.set(Some(token.span));
        }
        return Ok((input.skip(1), Some(to_ident(input, token))));
    }
    input.note(crate::parse::error::Expected::Rule(&ALIAS));
    Ok((input, None))
}

/// Whether the next token can be an alias without AS.
pub(crate) fn is_bare_alias(input: Input<'_>) -> bool {
    match input.kind() {
        TokenKind::QuotedName | TokenKind::Word(None) => true,
        TokenKind::Word(Some(keyword)) => keyword.usage() == Use::Name,
        _ => false,
    }
}

/// A name out of its token.
pub(crate) fn to_ident(input: Input<'_>, token: Token) -> Ident {
    let text = input.text(token);
    let quoted = token.kind == TokenKind::QuotedName;
    Ident { value: if quoted { literal::unquote(text) } else { text.to_owned() }, quoted, span: token.span }
}
