//! What people most likely meant: reports that say more than which token was expected.

use crate::diagnostic::suggest::nearest;
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, Token, TokenKind, Use};
use crate::parse::error::Farthest;
use crate::parse::expr::EXPRESSION;
use crate::parse::input::Context;
use crate::parse::select::CLAUSE;
use crate::parse::{names, statement};

/// What to do instead of a statement of another system.
pub(crate) fn foreign_statement(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_uppercase().as_str() {
        "UPDATE" | "DELETE" | "MERGE" | "UPSERT" => {
            "rows of streams and tables are changed by their source; a sink in upsert mode replaces and deletes by key"
        }
        "TRUNCATE" => "drop it and create it anew",
        "ALTER" => "write CREATE OR REPLACE; the job goes on from its state where its operators are the same",
        "USE" => "there are no databases to choose; names are those of the script",
        "BEGIN" | "COMMIT" | "ROLLBACK" => {
            "statements are not in transactions; the statements of a script are one job with one checkpoint"
        }
        "EXECUTE" => "all statements of a script run together as one job; leave STATEMENT SET, BEGIN and END out",
        "END" => "leave BEGIN and END out: the statements of a script run together as one job",
        "TERMINATE" | "KILL" | "CANCEL" => "write STOP JOB name",
        "DEPLOY" | "RUN" => "write START JOB name AS followed by the query",
        "PRINT" => "write SELECT * FROM name; it prints to the terminal",
        "DEFINE" | "DECLARE" => "there are no variables; values in WITH can hold ${NAME}, taken from the environment",
        "UNSET" | "RESET" => "SET holds for the statements after it; set the default value again",
        "GRANT" | "REVOKE" => "rights belong to the systems that are read and written",
        "COPY" | "LOAD" | "IMPORT" => {
            "declare the file with CREATE STREAM or CREATE TABLE … WITH (connector = 'file', …)"
        }
        "ANALYZE" => "write EXPLAIN ANALYZE followed by the query",
        "CALL" => "there are no procedures; call functions in a SELECT",
        _ => return None,
    })
}

/// A report in place of the plain one, where the likely mistake lies elsewhere than the token that did not fit.
pub(crate) fn instead(context: &Context<'_>, farthest: &Farthest, index: usize, found: Token) -> Option<Diagnostic> {
    unclosed(context, farthest, found)
        .or_else(|| misspelt_clause(context, index, found))
        .or_else(|| trailing_comma(context, farthest, index, found))
        .or_else(|| missing_semicolon(context, farthest, index, found))
        .or_else(|| extra_parenthesis(farthest, found))
        .or_else(|| reserved_name(context, farthest, found))
}

/// The end of the statement, or the next clause, inside a parenthesis that is closed nowhere: the opener is at fault.
fn unclosed(context: &Context<'_>, farthest: &Farthest, found: Token) -> Option<Diagnostic> {
    let clause = found.keyword().is_some_and(|keyword| keyword.usage() == Use::Reserved)
        && (farthest.expects(TokenKind::RightParen) || farthest.expects(TokenKind::RightBracket));
    if found.kind != TokenKind::End && !clause {
        return None;
    }
    let mut open: Vec<Token> = Vec::new();
    let mut opener_here = None;
    for token in context.tokens {
        if token.span.start == found.span.start {
            opener_here = open.last().copied();
        }
        match token.kind {
            TokenKind::LeftParen | TokenKind::LeftBracket => open.push(*token),
            TokenKind::RightParen | TokenKind::RightBracket => {
                open.pop();
            }
            _ => {}
        }
    }
    // More are opened than closed: the one that is open here is it.
    open.pop()?;
    let opener = opener_here?;
    let (what, close) = if opener.kind == TokenKind::LeftParen { ("parenthesis", ")") } else { ("bracket", "]") };
    let (place, told) = if found.kind == TokenKind::End {
        let before = context.tokens.iter().rev().nth(1).map_or(opener.span, |token| token.span);
        (before.end_point(), "the statement ends here".to_owned())
    } else {
        (found.span, format!("`{close}` is expected before this"))
    };
    Some(
        Diagnostic::error(Code::UNCLOSED, opener.span, format!("this {what} is never closed"))
            .label("it opens here")
            .also(place, told)
            .help(format!("close it with {close}")),
    )
}

/// `FROM trades WHER price > 1`: WHER was taken as an alias.
fn misspelt_clause(context: &Context<'_>, index: usize, found: Token) -> Option<Diagnostic> {
    let before = context.tokens.get(index.checked_sub(1)?)?;
    let alias = context.bare_alias.get()?;
    if !alias.same_place(before.span) {
        return None;
    }
    let word = before.span.text(context.text);
    let mut words: Vec<&'static str> = vec!["FROM", "JOIN", "ON", "LEFT", "RIGHT", "INNER", "CROSS", "PRIMARY"];
    words.extend(CLAUSE.words);
    let near = nearest(word, words)?;
    let next = found.span.text(context.text);
    // `GROUP` and `ORDER` need BY after them, so a misspelt one has it there.
    if matches!(near, "GROUP" | "ORDER") && !next.eq_ignore_ascii_case("BY") {
        return None;
    }
    Some(
        Diagnostic::error(
            Code::SYNTAX,
            before.span,
            format!("`{word}` is no keyword, and as an alias it cannot be followed by `{next}`"),
        )
        .help(format!("did you mean {near}?")),
    )
}

/// `SELECT a, FROM t`, `(a, b,)`.
fn trailing_comma(context: &Context<'_>, farthest: &Farthest, index: usize, found: Token) -> Option<Diagnostic> {
    let before = context.tokens.get(index.checked_sub(1)?)?;
    let ends_list = match found.kind {
        TokenKind::RightParen | TokenKind::RightBracket | TokenKind::End => true,
        TokenKind::Word(Some(keyword)) => {
            keyword.usage() == Use::Reserved && !farthest.words().contains(&keyword.text())
        }
        _ => false,
    };
    if before.kind != TokenKind::Comma || !ends_list {
        return None;
    }
    let next = match found.kind {
        TokenKind::End => "the end of the statement".to_owned(),
        _ => format!("`{}`", found.span.text(context.text)),
    };
    Some(
        Diagnostic::error(
            Code::SYNTAX,
            before.span,
            format!("after this comma another item is expected, and {next} follows"),
        )
        .label("one comma too many")
        .help("remove the comma, or write the item that is missing"),
    )
}

/// The next statement begins where this one has not been ended.
fn missing_semicolon(context: &Context<'_>, farthest: &Farthest, index: usize, found: Token) -> Option<Diagnostic> {
    let keyword = found.keyword()?;
    let before = context.tokens.get(index.checked_sub(1)?)?;
    let new_line =
        context.text.get(before.span.end as usize..found.span.start as usize).is_some_and(|gap| gap.contains('\n'));
    let begins = statement::begins(keyword) && keyword != Keyword::With && keyword != Keyword::Values;
    if !begins || !new_line || !farthest.expects(TokenKind::End) {
        return None;
    }
    let word = found.span.text(context.text);
    Some(
        Diagnostic::error(Code::LEFT_OVER, before.span.end_point(), format!("a semicolon is missing before `{word}`"))
            .label("the statement ends here")
            .also(found.span, "the next one begins here")
            .help("write ; between two statements"),
    )
}

/// A closing parenthesis that nothing opens.
fn extra_parenthesis(farthest: &Farthest, found: Token) -> Option<Diagnostic> {
    if found.kind != TokenKind::RightParen || !farthest.expects(TokenKind::End) {
        return None;
    }
    Some(
        Diagnostic::error(Code::SYNTAX, found.span, "this parenthesis closes nothing")
            .help("remove it, or open one before it"),
    )
}

/// A reserved word where only a name fits.
fn reserved_name(context: &Context<'_>, farthest: &Farthest, found: Token) -> Option<Diagnostic> {
    let keyword = found.keyword().filter(|keyword| keyword.usage() == Use::Reserved)?;
    let wants_name = farthest.expects_rule(&names::NAME) || farthest.expects_rule(&names::COLUMN_NAME);
    if !wants_name || farthest.expects_rule(&EXPRESSION) || statement::begins(keyword) && keyword != Keyword::Select {
        return None;
    }
    let word = found.span.text(context.text);
    Some(
        Diagnostic::error(Code::RESERVED_WORD, found.span, format!("`{word}` is a keyword and cannot be a plain name"))
            .help(format!("put it in double quotes: \"{word}\"; or choose another name")),
    )
}

/// Adds help to the plain report.
pub(crate) fn add(
    context: &Context<'_>,
    farthest: &Farthest,
    index: usize,
    found: Token,
    diagnostic: Diagnostic,
) -> Diagnostic {
    let text = |token: Token| token.span.text(context.text);
    let before = index.checked_sub(1).and_then(|before| context.tokens.get(before)).copied();
    let word = text(found).to_ascii_uppercase();
    if !diagnostic.help.is_empty() {
        return diagnostic;
    }
    let follows_value = before.is_some_and(|before| {
        matches!(
            before.kind,
            TokenKind::Word(None)
                | TokenKind::QuotedName
                | TokenKind::String
                | TokenKind::Number
                | TokenKind::RightParen
        )
    });
    let is_value = matches!(
        found.kind,
        TokenKind::Word(None) | TokenKind::QuotedName | TokenKind::String | TokenKind::Number | TokenKind::Duration
    );
    if follows_value && is_value && farthest.expects(TokenKind::Comma) {
        return diagnostic.help(format!("is a comma missing before {}?", text(found)));
    }
    match (word.as_str(), before.map(|before| text(before).to_ascii_uppercase()).as_deref()) {
        ("TUMBLING" | "SLIDING" | "HOPPING" | "SESSION", _) => {
            diagnostic.help("a time window is written WINDOW TUMBLING(1m)")
        }
        ("AUTO_INCREMENT" | "UNIQUE" | "REFERENCES" | "CHECK" | "COLLATE" | "GENERATED" | "IDENTITY" | "ENGINE", _) => {
            diagnostic.help(format!("{word} belongs to databases that store rows; leave it out"))
        }
        ("PARTITIONED", _) => {
            diagnostic.help("how an output is partitioned is a property: WITH ('partition.by' = 'column')")
        }
        ("PARTITION", _) => {
            diagnostic.help("PARTITION BY belongs into OVER (…); the key of an output is marked with PRIMARY KEY")
        }
        ("BY", _) => diagnostic.help("BY follows GROUP, ORDER or PARTITION"),
        ("TOP", _) | (_, Some("TOP")) => diagnostic.help("write LIMIT n at the end"),
        (_, Some("=")) if found.kind == TokenKind::Equal => diagnostic.help("equality is written with one ="),
        _ if found.kind == TokenKind::DoubleEqual => diagnostic.help("write ="),
        _ if found.kind == TokenKind::ColonEqual => diagnostic.help("write ="),
        _ if found.kind == TokenKind::Caret => diagnostic.help("a power is written POWER(x, y)"),
        _ if found.kind == TokenKind::Dollar => diagnostic.help("${NAME} stands in quoted property values only"),
        _ if found.kind == TokenKind::Semicolon => {
            diagnostic.help("a semicolon ends a statement; inside parentheses items are separated by commas")
        }
        _ => diagnostic,
    }
}
