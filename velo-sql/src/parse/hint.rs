//! What people most likely meant: reports that say more than which token was expected.

use crate::diagnostic::suggest::nearest;
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, Token, TokenKind, Use};
use crate::parse::error::{Expected, Farthest};
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
        .or_else(|| reserved_name(context, farthest, index, found))
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
    let mut words: Vec<&'static str> =
        vec!["FROM", "JOIN", "ON", "LEFT", "RIGHT", "INNER", "CROSS", "PRIMARY", "PARTITION"];
    words.extend(CLAUSE.words);
    let near = nearest(word, words)?;
    let next = found.span.text(context.text);
    // `GROUP` and `ORDER` need BY after them, so a misspelt one has it there.
    if matches!(near, "GROUP" | "ORDER" | "PARTITION") && !next.eq_ignore_ascii_case("BY") {
        return None;
    }
    Some(
        Diagnostic::error(
            Code::SYNTAX,
            before.span,
            format!("`{word}` is no keyword, and as a name it cannot be followed by `{next}`"),
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
fn reserved_name(context: &Context<'_>, farthest: &Farthest, index: usize, found: Token) -> Option<Diagnostic> {
    let keyword = found.keyword().filter(|keyword| keyword.usage() == Use::Reserved)?;
    let wants_name =
        farthest.expected.iter().any(|expected| matches!(expected, Expected::Rule(rule) if names::is_name(rule)));
    if !wants_name || farthest.expects_rule(&EXPRESSION) {
        return None;
    }
    let before = index.checked_sub(1).and_then(|before| context.tokens.get(before))?;
    if keyword == Keyword::Select && before.kind == TokenKind::LeftParen {
        let message = "a query stands here, where column names are expected";
        return Some(Diagnostic::error(Code::SYNTAX, found.span, message).help("write AS before the parenthesis"));
    }
    // Where a clause really begins, the name is missing.
    let next = context.tokens.get(index + 1)?.kind;
    let begins_clause =
        matches!(keyword, Keyword::Select | Keyword::From | Keyword::As | Keyword::Where | Keyword::With);
    if begins_clause && matches!(next, TokenKind::Word(None) | TokenKind::Number | TokenKind::String | TokenKind::Star)
    {
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
    if !diagnostic.help.is_empty() {
        return diagnostic;
    }
    let text = |token: Token| token.span.text(context.text);
    let before = index.checked_sub(1).and_then(|before| context.tokens.get(before)).copied();
    let word = text(found).to_ascii_uppercase();
    let last = before.map(|before| text(before).to_ascii_uppercase()).unwrap_or_default();
    let help = of_word(&word, &last)
        .map(str::to_owned)
        .or_else(|| of_sign(found, before).map(str::to_owned))
        .or_else(|| missing_comma(context, farthest, found, before))
        .or_else(|| of_expected(farthest, found, &last));
    match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// Help for a word that did not fit, by itself or after the word before it.
fn of_word(word: &str, last: &str) -> Option<&'static str> {
    Some(match (last, word) {
        ("SELECT", "FROM") => "say what to select: SELECT * FROM …",
        (_, "TUMBLING" | "SLIDING" | "HOPPING" | "SESSION") => "a time window is written WINDOW TUMBLING(1m)",
        (
            _,
            "AUTO_INCREMENT" | "UNIQUE" | "REFERENCES" | "CHECK" | "COLLATE" | "GENERATED" | "IDENTITY" | "ENGINE"
            | "FOREIGN",
        ) => "that belongs to databases that store rows; leave it out",
        (_, "PARTITIONED") => "how an output is partitioned is a property: WITH ('partition.by' = 'column')",
        (_, "PARTITION") => "PARTITION BY belongs into OVER (…); the key of an output is marked with PRIMARY KEY",
        ("TOP", _) => "write LIMIT n at the end",
        ("CREATE" | "DROP", "SOURCE") => "a source is a STREAM, or a TABLE where it is a reference table",
        ("CREATE" | "DROP", "INDEX") => "tables are indexed by their primary key and by the columns that joins need",
        ("CREATE" | "DROP", "DATABASE" | "SCHEMA" | "CATALOG") => {
            "there are no databases; names are those of the script"
        }
        ("CREATE" | "DROP", "MATERIALIZED") => "write CREATE TABLE … AS SELECT",
        ("CREATE" | "DROP", "TEMPORARY" | "TEMP" | "EXTERNAL") => "leave it out",
        ("INSERT", "OVERWRITE") => "write INSERT INTO; whether an output is replaced is a property of the sink",
        (_, "FILTER") => "write FILTER (WHERE …) directly after the aggregate",
        ("FOR", "SYSTEM") => "it is one word: SYSTEM_TIME",
        (_, "BY") => "BY follows GROUP, ORDER or PARTITION",
        ("VALUES", _) => "each row stands in parentheses: VALUES (1, 'a'), (2, 'b')",
        ("IN", _) => "the values stand in parentheses: IN (1, 2)",
        ("WITH", _) => "properties stand in parentheses: WITH (key = 'value')",
        ("EXCEPT" | "EXCLUDE", _) => "columns to leave out stand in parentheses: * EXCEPT (a, b)",
        ("AS", "SELECT") => "a query inside a statement stands in parentheses: AS (SELECT …)",
        ("GROUP", _) => "write GROUP BY",
        ("ORDER", _) => "write ORDER BY",
        ("PARTITION", _) => "write PARTITION BY",
        _ => return None,
    })
}

/// Help for a sign of other languages.
fn of_sign(found: Token, before: Option<Token>) -> Option<&'static str> {
    use TokenKind::*;
    Some(match (before.map(|before| before.kind), found.kind) {
        (Some(Comma), Comma) => "there is one comma too many",
        (Some(Equal), Equal) => "equality is written with one =",
        (Some(Equal), Less) => "write <=",
        (Some(Equal), Greater) => "write >=",
        (_, FatArrow) => "at least is written >=; => gives a named argument",
        (_, DoubleEqual | ColonEqual) => "write =",
        (_, Caret) => "a power is written POWER(x, y)",
        (_, Question) => "a choice is written CASE WHEN a THEN b ELSE c END",
        (_, Dollar) => "${NAME} stands in quoted property values only",
        (_, Semicolon) => "a semicolon ends a statement; inside parentheses items are separated by commas",
        _ => return None,
    })
}

fn missing_comma(context: &Context<'_>, farthest: &Farthest, found: Token, before: Option<Token>) -> Option<String> {
    use TokenKind::*;
    let follows = matches!(before?.kind, Word(None) | QuotedName | String | Number | RightParen);
    let is_item = matches!(found.kind, Word(None) | QuotedName | String | Number | Duration);
    let fits = follows && is_item && farthest.expects(Comma);
    fits.then(|| format!("is a comma missing before {}?", found.span.text(context.text)))
}

/// Help by what was expected.
fn of_expected(farthest: &Farthest, found: Token, last: &str) -> Option<String> {
    let words = farthest.words();
    let expects = |word: &str| words.contains(&word);
    let is_query = found.keyword() == Some(Keyword::Select);
    let help = if is_query && expects("AS") {
        "write AS before the query"
    } else if is_query && farthest.expects(TokenKind::End) {
        "a query inside an expression stands in parentheses; the next statement comes after a semicolon"
    } else if found.kind == TokenKind::Comma && expects("AS") {
        "write CAST(value AS type)"
    } else if found.kind == TokenKind::LeftParen && expects("WITH") {
        "write WITH before the properties"
    } else if expects("END") {
        "a CASE ends with END"
    } else if matches!(farthest.expected.as_slice(), [Expected::Sign(TokenKind::Equal)])
        && matches!(found.kind, TokenKind::Word(_))
    {
        "a property is written key = value; a key of several words has dots in between"
    } else if matches!(farthest.expected.as_slice(), [Expected::Sign(TokenKind::LeftParen)])
        && found.kind != TokenKind::End
    {
        return Some(format!("what belongs to {last} stands in parentheses"));
    } else {
        return None;
    };
    Some(help.to_owned())
}
