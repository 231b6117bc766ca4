//! SHOW, LIST and DESCRIBE.

use crate::ast::{Show, ShowList, StatementKind};
use crate::lex::{Keyword, TokenKind, literal};
use crate::parse::combinator::{Parsed, expected, sign};
use crate::parse::create::object_kind;
use crate::parse::error::{Expected, Rule};
use crate::parse::input::Input;
use crate::parse::names::object_name;

static LIST: Rule = Rule {
    name: "what to show, such as `STREAMS`, `TABLES` or `JOBS`",
    words: &[
        "STREAMS",
        "TABLES",
        "SINKS",
        "VIEWS",
        "JOBS",
        "FUNCTIONS",
        "TOPICS",
        "PROPERTIES",
        "CREATE",
        "STATUS",
        "METRICS",
    ],
};

const LISTS: &[(&str, ShowList)] = &[
    ("STREAMS", ShowList::Streams),
    ("TABLES", ShowList::Tables),
    ("SINKS", ShowList::Sinks),
    ("VIEWS", ShowList::Views),
    ("JOBS", ShowList::Jobs),
    ("FUNCTIONS", ShowList::Functions),
    ("TOPICS", ShowList::Topics),
    ("PROPERTIES", ShowList::Properties),
];

/// `SHOW …`, `LIST …`.
pub(crate) fn show(input: Input<'_>) -> Parsed<'_, StatementKind> {
    let input = input.skip(1);
    if input.is(Keyword::Create) {
        let input = input.skip(1);
        let kind =
            object_kind(input).filter(|_| matches!(input.peek(1).kind, TokenKind::Word(_) | TokenKind::QuotedName));
        let input = if kind.is_some() { input.skip(1) } else { input };
        return object_name(input).map(|(rest, name)| (rest, StatementKind::Show(Show::Create { kind, name })));
    }
    if input.is(Keyword::Status) || input.is(Keyword::Metrics) {
        let is_status = input.is(Keyword::Status);
        let rest = input.skip(1);
        let (rest, job) = match rest.kind() {
            TokenKind::Word(_) | TokenKind::QuotedName => object_name(rest).map(|(rest, name)| (rest, Some(name)))?,
            _ => (rest, None),
        };
        return Ok((rest, StatementKind::Show(if is_status { Show::Status(job) } else { Show::Metrics(job) })));
    }
    let Some((_, what)) = LISTS.iter().find(|(word, _)| input.is_word(0, word)) else { return expected(input, &LIST) };
    let input = input.skip(1);
    let (input, like) = if input.is(Keyword::Like) {
        let (rest, token) = sign(TokenKind::String)(input.skip(1))?;
        (rest, Some(literal::unquote(input.text(token))))
    } else {
        input.note(Expected::Keyword(Keyword::Like));
        (input, None)
    };
    Ok((input, StatementKind::Show(Show::List { what: *what, like })))
}

/// `DESCRIBE name`.
pub(crate) fn describe(input: Input<'_>) -> Parsed<'_, StatementKind> {
    let input = input.skip(1);
    let named =
        object_kind(input).is_some() && matches!(input.peek(1).kind, TokenKind::Word(_) | TokenKind::QuotedName);
    let input = if named { input.skip(1) } else { input };
    object_name(input).map(|(rest, name)| (rest, StatementKind::Describe(name)))
}
