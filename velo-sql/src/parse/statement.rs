//! Which statement it is: by its first words.

use crate::ast::StatementKind;
use crate::diagnostic::suggest::nearest;
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, Token, TokenKind};
use crate::parse::combinator::{Parsed, expected};
use crate::parse::error::{Rule, show_token};
use crate::parse::input::{Input, report};
use crate::parse::{create, explain, hint, insert, job, show};

/// The words that statements begin with.
pub(crate) const FIRST_WORDS: &[&str] = &[
    "SELECT", "CREATE", "INSERT", "WITH", "VALUES", "EXPLAIN", "DESCRIBE", "SHOW", "LIST", "DROP", "START", "STOP",
    "PAUSE", "RESUME", "SET",
];

pub(crate) static RUNNABLE: Rule = Rule {
    name: "a statement that runs: SELECT, INSERT or CREATE … AS",
    words: &["SELECT", "INSERT", "CREATE", "WITH"],
};

/// Whether a statement begins with this word.
pub(crate) fn begins(keyword: Keyword) -> bool {
    FIRST_WORDS.contains(&keyword.text())
}

/// Whether a statement seems to begin with this token, though its first word may be misspelt or of another system.
pub(crate) fn may_begin(text: &str, token: Token) -> bool {
    match token.kind {
        TokenKind::End => true,
        TokenKind::Word(Some(keyword)) if begins(keyword) => true,
        TokenKind::Word(_) => {
            let word = token.span.text(text);
            hint::foreign_statement(word).is_some()
                || word.len() > 4 && nearest(word, FIRST_WORDS.iter().copied()).is_some()
        }
        _ => false,
    }
}

/// One statement without what follows it.
pub(crate) fn kind(input: Input<'_>) -> Parsed<'_, StatementKind> {
    match input.kind() {
        TokenKind::LeftParen => insert::select_statement(input),
        TokenKind::Word(Some(keyword)) => match keyword {
            Keyword::Select | Keyword::With | Keyword::Values => insert::select_statement(input),
            Keyword::Create => create::create(input),
            Keyword::Insert => insert::insert(input),
            Keyword::Explain => explain::explain(input),
            Keyword::Describe | Keyword::Desc => show::describe(input),
            Keyword::Show | Keyword::List => show::show(input),
            Keyword::Drop => job::drop(input),
            Keyword::Start => job::start(input),
            Keyword::Stop => job::stop(input),
            Keyword::Pause => job::pause(input),
            Keyword::Resume => job::resume(input),
            Keyword::Set => job::set(input),
            _ => unknown(input),
        },
        _ => unknown(input),
    }
}

fn unknown<T>(input: Input<'_>) -> Result<T, nom::Err<crate::parse::error::Fault>> {
    if input.is_kind(0, TokenKind::End) {
        return expected(input, &RUNNABLE);
    }
    let token = input.peek(0);
    let shown = show_token(input.context.text, token);
    let mut diagnostic =
        Diagnostic::error(Code::UNKNOWN_STATEMENT, token.span, format!("no statement begins with {shown}"));
    let word = input.text(token);
    if let Some(help) = hint::foreign_statement(word) {
        diagnostic.code = Code::OTHER_DIALECT;
        diagnostic = diagnostic.help(help);
    } else if let Some(near) = nearest(word, FIRST_WORDS.iter().copied()) {
        diagnostic = diagnostic.help(format!("did you mean {near}?"));
    } else {
        diagnostic = diagnostic.help("a statement begins with SELECT, CREATE, INSERT INTO, EXPLAIN, DESCRIBE, SHOW, DROP, SET, START, STOP, PAUSE or RESUME");
    }
    report(diagnostic)
}
