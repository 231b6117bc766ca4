//! Time windows: `WINDOW TUMBLING(…)` in every spelling, and windowing table functions.

use crate::ast::{Expr, Ident, ObjectName, TimeWindow, TimeWindowKind, WindowArg, WindowInput, WindowTableFunction};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, expected, keyword, list, parens, sign};
use crate::parse::error::Rule;
use crate::parse::expr::{expr, interval, order_by, starts_query, subquery};
use crate::parse::input::{Input, report};
use crate::parse::names::{column, object_name, part};
use crate::span::Span;

static KIND: Rule = Rule {
    name: "`TUMBLING`, `SLIDING`, `SESSION` or `CUMULATE`",
    words: &["TUMBLING", "TUMBLE", "SLIDING", "HOPPING", "HOP", "SESSION", "CUMULATE"],
};

/// The kind that a word names.
pub(crate) fn kind(input: Input<'_>) -> Option<TimeWindowKind> {
    Some(match input.keyword()? {
        Keyword::Tumbling | Keyword::Tumble => TimeWindowKind::Tumbling,
        Keyword::Sliding | Keyword::Hopping | Keyword::Hop => TimeWindowKind::Sliding,
        Keyword::Session => TimeWindowKind::Session,
        Keyword::Cumulate | Keyword::Cumulating => TimeWindowKind::Cumulate,
        _ => return None,
    })
}

/// `WINDOW TUMBLING(…)`.
pub(crate) fn time_window(input: Input<'_>) -> Parsed<'_, TimeWindow> {
    let start = input.span();
    let input = input.skip(1);
    let Some(kind) = kind(input) else { return expected(input, &KIND) };
    let input = input.skip(1);
    if !input.is_kind(0, TokenKind::LeftParen)
        && matches!(input.kind(), TokenKind::Duration | TokenKind::Number | TokenKind::Word(_))
    {
        let name = input.text(input.before()).to_uppercase();
        return report(
            Diagnostic::error(Code::SYNTAX, input.span(), "the size of a window stands in parentheses")
                .help(format!("write WINDOW {name}({})", input.text(input.peek(0)))),
        );
    }
    if input.is_kind(0, TokenKind::LeftParen) && input.is_kind(1, TokenKind::RightParen) {
        return report(
            Diagnostic::error(Code::SYNTAX, input.span().to(input.peek(1).span), "a window needs a length of time")
                .help(example(kind)),
        );
    }
    let (input, args) = parens(list(window_arg))(input)?;
    Ok((input, TimeWindow { kind, args, span: input.since(start) }))
}

fn example(kind: TimeWindowKind) -> &'static str {
    match kind {
        TimeWindowKind::Tumbling => "write TUMBLING(1m)",
        TimeWindowKind::Sliding => "write SLIDING(10m, 2m): size, then advance",
        TimeWindowKind::Session => "write SESSION(30s): the gap that ends a session",
        TimeWindowKind::Cumulate => "write CUMULATE(10m, 1h): step, then size",
    }
}

/// One argument: by position, by name, or after a word of ksqlDB.
fn window_arg(input: Input<'_>) -> Parsed<'_, WindowArg> {
    let start = input.span();
    const WORDS: &[(&[&str], &str)] = &[
        (&["SIZE"], "size"),
        (&["ADVANCE", "BY"], "advance"),
        (&["GAP"], "gap"),
        (&["GRACE", "PERIOD"], "grace"),
        (&["RETENTION"], "retention"),
    ];
    if is_named(input) {
        let (rest, name) = part(input)?;
        let (rest, value) = interval::length(rest.skip(1))?;
        return Ok((rest, WindowArg { name: Some(name), value, span: rest.since(start) }));
    }
    for (words, name) in WORDS {
        let fits = words.iter().enumerate().all(|(ahead, word)| input.is_word(ahead, word));
        let after = input.skip(words.len());
        if fits
            && matches!(
                after.kind(),
                TokenKind::Number | TokenKind::Duration | TokenKind::Word(Some(Keyword::Interval))
            )
        {
            let name = Ident { value: (*name).to_owned(), quoted: false, span: after.since(start) };
            let (rest, value) = interval::length(after)?;
            return Ok((rest, WindowArg { name: Some(name), value, span: rest.since(start) }));
        }
        if fits && matches!(after.kind(), TokenKind::Word(None)) {
            return expected(after, &interval::LENGTH);
        }
    }
    let (rest, value) = interval::length(input)?;
    Ok((rest, WindowArg { name: None, value, span: rest.since(start) }))
}

fn is_named(input: Input<'_>) -> bool {
    matches!(input.kind(), TokenKind::Word(_) | TokenKind::QuotedName)
        && matches!(input.peek(1).kind, TokenKind::FatArrow | TokenKind::ColonEqual)
}

/// Whether a windowing table function begins here: `TUMBLE(TABLE …`, `TUMBLE(DATA => …`, `TUMBLE((SELECT …`.
pub(crate) fn is_table_function(input: Input<'_>) -> bool {
    if kind(input).is_none() || !input.is_kind(1, TokenKind::LeftParen) {
        return false;
    }
    let first = input.skip(2);
    first.is(Keyword::Table)
        || (first.is(Keyword::Data) && matches!(first.peek(1).kind, TokenKind::FatArrow | TokenKind::ColonEqual))
        || (first.is_kind(0, TokenKind::LeftParen) && starts_query(first.skip(1)))
        || (matches!(first.kind(), TokenKind::Word(_) | TokenKind::QuotedName) && first.is_kind(1, TokenKind::Comma))
}

/// `TUMBLE(TABLE t, DESCRIPTOR(ts), …)`.
pub(crate) fn table_function(input: Input<'_>) -> Parsed<'_, WindowTableFunction> {
    let start = input.span();
    let Some(kind) = kind(input) else { return expected(input, &KIND) };
    let (input, _) = sign(TokenKind::LeftParen)(input.skip(1))?;
    let input = if is_named(input) { input.skip(2) } else { input };
    let (input, relation) = window_input(input)?;
    let (input, (partition_by, order_by)) = table_clauses(input)?;
    let mut function = WindowTableFunction {
        kind,
        input: relation,
        partition_by,
        order_by,
        descriptor: Vec::new(),
        args: Vec::new(),
        span: start,
    };
    let mut rest = input;
    while rest.is_kind(0, TokenKind::Comma) {
        let after = rest.skip(1);
        let value = if is_named(after) { after.skip(2) } else { after };
        if value.is(Keyword::Descriptor) && value.is_kind(1, TokenKind::LeftParen) {
            let descriptor: Vec<Ident>;
            (rest, descriptor) = parens(list(column))(value.skip(1))?;
            if !function.descriptor.is_empty() {
                let span: Span = rest.since(value.span());
                return report(Diagnostic::error(Code::DUPLICATE_CLAUSE, span, "DESCRIPTOR is given twice"));
            }
            function.descriptor = descriptor;
        } else {
            let arg: WindowArg;
            (rest, arg) = window_arg(after)?;
            function.args.push(arg);
        }
    }
    let (rest, _) = sign(TokenKind::RightParen)(rest)?;
    function.span = rest.since(start);
    Ok((rest, function))
}

fn window_input(input: Input<'_>) -> Parsed<'_, WindowInput> {
    let input = if input.is(Keyword::Table) { input.skip(1) } else { input };
    if input.is_kind(0, TokenKind::LeftParen) && starts_query(input.skip(1)) {
        return subquery(input).map(|(rest, query)| (rest, WindowInput::Query(Box::new(query))));
    }
    if input.is_kind(0, TokenKind::LeftParen) {
        return parens(object_name)(input).map(|(rest, name): (_, ObjectName)| (rest, WindowInput::Table(name)));
    }
    object_name(input).map(|(rest, name)| (rest, WindowInput::Table(name)))
}

type TableClauses = (Vec<Expr>, Vec<crate::ast::OrderByItem>);

/// `PARTITION BY k ORDER BY t` after the table, with or without parentheses around the list.
fn table_clauses(input: Input<'_>) -> Parsed<'_, TableClauses> {
    let (mut rest, mut partition_by, mut order) = (input, Vec::new(), Vec::new());
    if rest.is(Keyword::Partition) {
        let (after, _) = keyword(Keyword::By)(rest.skip(1))?;
        (rest, partition_by) =
            if after.is_kind(0, TokenKind::LeftParen) { parens(list(expr))(after)? } else { one(after)? };
    }
    if rest.is(Keyword::Order) {
        (rest, order) = order_by(rest)?;
    }
    Ok((rest, (partition_by, order)))
}

/// Partition columns without parentheses. A comma before DESCRIPTOR or before a named argument ends them.
fn one(input: Input<'_>) -> Parsed<'_, Vec<Expr>> {
    let (mut rest, first) = expr(input)?;
    let mut found = vec![first];
    while rest.is_kind(0, TokenKind::Comma)
        && !is_named(rest.skip(1))
        && rest.peek(1).keyword() != Some(Keyword::Descriptor)
        && matches!(rest.peek(1).kind, TokenKind::Word(_) | TokenKind::QuotedName)
        && rest.peek(1).keyword() != Some(Keyword::Interval)
    {
        let next: Expr;
        (rest, next) = expr(rest.skip(1))?;
        found.push(next);
    }
    Ok((rest, found))
}
