//! SELECT: its items, and its clauses in any order, each once.

use crate::ast::{
    Distinct, Emit, Expr, GroupBy, GroupByItem, Ident, NamedWindow, ObjectName, OrderByItem, Properties, Query,
    Relation, RelationKind, Select, SelectItem, SetExpr, TableWithJoins, TimeWindow, Values, ValuesRow,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, deeper, flags, keyword, keywords, list, parens, sign};
use crate::parse::error::{Expected, Fault, Rule};
use crate::parse::expr::{expr, order_by, starts_query};
use crate::parse::input::{Input, report};
use crate::parse::options::with_properties;
use crate::parse::{cte, emit, from, names, row_window, set_op, time_window};
use crate::span::Span;

pub(crate) static QUERY: Rule = Rule { name: "a query", words: &["SELECT", "WITH", "VALUES"] };
pub(crate) static CLAUSE: Rule = Rule {
    name: "a clause such as `WHERE`",
    words: &[
        "WHERE",
        "GROUP",
        "HAVING",
        "WINDOW",
        "QUALIFY",
        "ORDER",
        "LIMIT",
        "OFFSET",
        "EMIT",
        "WITH",
        "INTO",
        "UNION",
        "EXCEPT",
        "INTERSECT",
    ],
};

/// A query and the clauses that belong to the statement around it.
pub(crate) struct Outer {
    pub(crate) query: Query,
    pub(crate) into: Option<ObjectName>,
    pub(crate) properties: Properties,
}

/// The clauses that belong to a query as a whole, with their places.
#[derive(Default)]
pub(crate) struct Tail {
    pub(crate) order_by: Option<(Span, Vec<OrderByItem>)>,
    pub(crate) limit: Option<(Span, Expr)>,
    pub(crate) offset: Option<(Span, Expr)>,
    pub(crate) emit: Option<Emit>,
    pub(crate) into: Option<(Span, ObjectName)>,
    pub(crate) properties: Option<Properties>,
}

impl Tail {
    /// The first of the clauses that only a whole query has.
    pub(crate) fn first(&self) -> Option<(Span, &'static str)> {
        let all = [
            self.order_by.as_ref().map(|(span, _)| (*span, "ORDER BY")),
            self.limit.as_ref().map(|(span, _)| (*span, "LIMIT")),
            self.offset.as_ref().map(|(span, _)| (*span, "OFFSET")),
            self.emit.as_ref().map(|emit| (emit.span, "EMIT")),
            self.properties.as_ref().map(|properties| (properties.span, "WITH")),
        ];
        all.into_iter().flatten().min_by_key(|(span, _)| span.start)
    }
}

/// A query at the top of a statement.
pub(crate) fn outer_query(input: Input<'_>) -> Parsed<'_, Outer> {
    deeper(input, 2, |input| {
        let start = input.span();
        let (input, with) = cte::with(input)?;
        let (input, (body, tail)) = set_op::set_expr(input)?;
        Ok((input, outer(with, body, tail, input.since(start))))
    })
}

fn outer(with: Option<crate::ast::With>, body: SetExpr, tail: Tail, span: Span) -> Outer {
    let query = Query {
        with,
        body,
        order_by: tail.order_by.map(|(_, items)| items).unwrap_or_default(),
        limit: tail.limit.map(|(_, limit)| limit),
        offset: tail.offset.map(|(_, offset)| offset),
        emit: tail.emit,
        span,
    };
    Outer { query, into: tail.into.map(|(_, name)| name), properties: tail.properties.unwrap_or_default() }
}

/// A query inside another statement or query: without INTO and without properties.
pub(crate) fn inner_query(input: Input<'_>) -> Parsed<'_, Query> {
    let start = input.span();
    let (input, outer) = outer_query(input)?;
    only_query(input, outer, start)
}

/// What follows the first part of a query that has been read already.
pub(crate) fn rest_of_query<'a>(input: Input<'a>, first: SetExpr) -> Parsed<'a, Query> {
    let start = first.span();
    let (input, (body, tail)) = set_op::rest_of_set_expr(input, first)?;
    only_query(input, outer(None, body, tail, input.since(start)), start)
}

fn only_query(input: Input<'_>, outer: Outer, start: Span) -> Parsed<'_, Query> {
    if let Some(into) = &outer.into {
        return report(
            Diagnostic::error(
                Code::SYNTAX,
                into.span(),
                "INTO belongs to a statement, and this query is only a part of one",
            )
            .also(start, "the query begins here"),
        );
    }
    if !outer.properties.is_empty() {
        return report(
            Diagnostic::error(
                Code::SYNTAX,
                outer.properties.span,
                "WITH (…) belongs to the whole statement, and this query is only a part of one",
            )
            .help("move it to the end of the statement, or directly after the name of the relation that it binds"),
        );
    }
    Ok((input, outer.query))
}

/// SELECT or VALUES or a query in parentheses, with the clauses after it.
pub(crate) fn operand(input: Input<'_>) -> Parsed<'_, (SetExpr, Tail)> {
    let mut tail = Tail::default();
    if input.is(Keyword::Select) {
        let (input, select) = select(input, &mut tail)?;
        return Ok((input, (SetExpr::Select(Box::new(select)), tail)));
    }
    let (input, body) = if input.is_kind(0, TokenKind::LeftParen) {
        let (input, _) = sign(TokenKind::LeftParen)(input)?;
        let (input, query) = inner_query(input)?;
        let (input, _) = sign(TokenKind::RightParen)(input)?;
        (input, SetExpr::Query(Box::new(query)))
    } else if input.is(Keyword::Values) {
        values(input)?
    } else {
        return input.fail(Expected::Rule(&QUERY));
    };
    let (input, ()) = clauses(input, None, &mut tail)?;
    Ok((input, (body, tail)))
}

/// The clauses after a part that has been read already.
pub(crate) fn tail_of(input: Input<'_>) -> Parsed<'_, Tail> {
    let mut tail = Tail::default();
    let (input, ()) = clauses(input, None, &mut tail)?;
    Ok((input, tail))
}

fn values(input: Input<'_>) -> Parsed<'_, SetExpr> {
    let start = input.span();
    let (input, rows) = list(values_row)(input.skip(1))?;
    Ok((input, SetExpr::Values(Values { rows, span: input.since(start) })))
}

fn values_row(input: Input<'_>) -> Parsed<'_, ValuesRow> {
    let start = input.span();
    let input = if input.is(Keyword::Row) { input.skip(1) } else { input };
    let (input, values) = parens(list(expr))(input)?;
    Ok((input, ValuesRow { values, span: input.since(start) }))
}

/// The clauses of one SELECT, with the places of those that stand once.
#[derive(Default)]
struct Clauses {
    selection: Option<(Span, Expr)>,
    group_by: Option<GroupBy>,
    time_window: Option<TimeWindow>,
    having: Option<(Span, Expr)>,
    qualify: Option<(Span, Expr)>,
    named_windows: Option<(Span, Vec<NamedWindow>)>,
}

fn select<'a>(input: Input<'a>, tail: &mut Tail) -> Parsed<'a, Select> {
    let start = input.span();
    let (input, distinct) = distinct(input.skip(1))?;
    let (input, items) = list(select_item)(input)?;
    let mut from = Vec::new();
    let mut found = Clauses::default();
    let mut rest = input;
    if rest.is(Keyword::Into) {
        (rest, ()) = clauses_until_from(rest, tail)?;
    }
    if rest.is(Keyword::From) {
        (rest, from) = list(from::table)(rest.skip(1))?;
    } else {
        rest.note(Expected::Keyword(Keyword::From));
    }
    let after_from = rest;
    let (rest, ()) = clauses(rest, Some(&mut found), tail)?;
    claim_trailing_properties(&mut from, after_from, tail);
    let select = Select {
        distinct,
        items,
        from,
        selection: found.selection.map(|(_, condition)| condition),
        group_by: found.group_by,
        time_window: found.time_window,
        having: found.having.map(|(_, condition)| condition),
        qualify: found.qualify.map(|(_, condition)| condition),
        named_windows: found.named_windows.map(|(_, windows)| windows).unwrap_or_default(),
        span: rest.since(start),
    };
    Ok((rest, select))
}

/// `SELECT … INTO name FROM …`.
fn clauses_until_from<'a>(input: Input<'a>, tail: &mut Tail) -> Parsed<'a, ()> {
    let start = input.span();
    let (rest, name) = names::object_name(input.skip(1))?;
    tail.into = Some((rest.since(start), name));
    Ok((rest, ()))
}

/// A WITH directly after the last relation binds that relation in place only if it names a connector; else it is the statement's, which
/// may stand directly after FROM too.
fn claim_trailing_properties(from: &mut [TableWithJoins], after_from: Input<'_>, tail: &mut Tail) {
    let relation = from.last_mut().map(|table| match table.joins.last_mut() {
        Some(join) => &mut join.relation,
        None => &mut table.relation,
    });
    let Some(Relation { kind: RelationKind::Named { properties, .. }, .. }) = relation else { return };
    let is_last = properties.span.end == after_from.before().span.end;
    let binds = properties.entries.iter().any(|entry| entry.key.binds());
    if !is_last || binds || properties.is_empty() {
        return;
    }
    let mut claimed = std::mem::take(properties);
    match &mut tail.properties {
        None => tail.properties = Some(claimed),
        Some(own) => {
            claimed.entries.append(&mut own.entries);
            own.entries = claimed.entries;
        }
    }
}

fn distinct(input: Input<'_>) -> Parsed<'_, Option<Distinct>> {
    let start = input.span();
    if input.is(Keyword::All) {
        return Ok((input.skip(1), None));
    }
    if !input.is(Keyword::Distinct) {
        return Ok((input, None));
    }
    let mut rest = input.skip(1);
    let mut on = Vec::new();
    if rest.is(Keyword::On) {
        (rest, on) = parens(list(expr))(rest.skip(1))?;
    }
    Ok((rest, Some(Distinct { on, span: rest.since(start) })))
}

fn select_item(input: Input<'_>) -> Parsed<'_, SelectItem> {
    let start = input.span();
    if input.is_kind(0, TokenKind::Star) {
        let (input, except) = except(input.skip(1))?;
        return Ok((input, SelectItem::Wildcard { except, span: input.since(start) }));
    }
    if is_qualified_wildcard(input) {
        let (input, name) = names::object_name(input)?;
        let (input, except) = except(input.skip(2))?;
        return Ok((input, SelectItem::QualifiedWildcard { name, except, span: input.since(start) }));
    }
    let (input, found) = expr(input)?;
    let (input, alias) = names::alias(input)?;
    let (input, primary_key) =
        if input.is(Keyword::Primary) { flags(&[Keyword::Primary, Keyword::Key])(input)? } else { (input, None) };
    Ok((input, SelectItem::Expr { expr: found, alias, primary_key }))
}

fn is_qualified_wildcard(input: Input<'_>) -> bool {
    let mut ahead = 0;
    while matches!(input.peek(ahead).kind, TokenKind::Word(_) | TokenKind::QuotedName)
        && input.is_kind(ahead + 1, TokenKind::Dot)
    {
        if input.is_kind(ahead + 2, TokenKind::Star) {
            return true;
        }
        ahead += 2;
    }
    false
}

/// `EXCEPT (a, b)` after a star; before a query it is the set operation.
fn except(input: Input<'_>) -> Parsed<'_, Vec<Ident>> {
    let is_list = matches!(input.keyword(), Some(Keyword::Except | Keyword::Exclude))
        && input.is_kind(1, TokenKind::LeftParen)
        && !starts_query(input.skip(2));
    if !is_list {
        return Ok((input, Vec::new()));
    }
    parens(list(names::column))(input.skip(1))
}

/// The clauses after FROM, in any order. Without `select` only those of the whole query.
fn clauses<'a>(input: Input<'a>, mut select: Option<&mut Clauses>, tail: &mut Tail) -> Parsed<'a, ()> {
    let mut rest = input;
    loop {
        let start = rest.span();
        rest = match (rest.keyword(), select.as_deref_mut()) {
            (Some(Keyword::Where), Some(found)) => {
                once("WHERE", start, found.selection.as_ref().map(|(span, _)| *span), "join the conditions with AND")?;
                let (after, condition) = expr(rest.skip(1))?;
                found.selection = Some((after.since(start), condition));
                after
            }
            (Some(Keyword::Group), Some(found)) => {
                once(
                    "GROUP BY",
                    start,
                    found.group_by.as_ref().map(|group_by| group_by.span),
                    "write all columns in one GROUP BY",
                )?;
                let (after, group_by) = group_by(rest)?;
                found.group_by = Some(group_by);
                after
            }
            (Some(Keyword::Having), Some(found)) => {
                once("HAVING", start, found.having.as_ref().map(|(span, _)| *span), "join the conditions with AND")?;
                let (after, condition) = expr(rest.skip(1))?;
                found.having = Some((after.since(start), condition));
                after
            }
            (Some(Keyword::Qualify), Some(found)) => {
                once("QUALIFY", start, found.qualify.as_ref().map(|(span, _)| *span), "join the conditions with AND")?;
                let (after, condition) = expr(rest.skip(1))?;
                found.qualify = Some((after.since(start), condition));
                after
            }
            (Some(Keyword::Window), Some(found)) => window(rest, found)?.0,
            (Some(Keyword::Order), _) => {
                once(
                    "ORDER BY",
                    start,
                    tail.order_by.as_ref().map(|(span, _)| *span),
                    "write all columns in one ORDER BY",
                )?;
                let (after, items) = order_by(rest)?;
                tail.order_by = Some((after.since(start), items));
                after
            }
            (Some(Keyword::Limit), _) => limit(rest, tail)?.0,
            (Some(Keyword::Fetch), _) => fetch(rest, tail)?.0,
            (Some(Keyword::Offset), _) => {
                once("OFFSET", start, tail.offset.as_ref().map(|(span, _)| *span), "")?;
                let (after, offset) = expr(rest.skip(1))?;
                let after =
                    if matches!(after.keyword(), Some(Keyword::Row | Keyword::Rows)) { after.skip(1) } else { after };
                tail.offset = Some((after.since(start), offset));
                after
            }
            (Some(Keyword::Emit), _) => {
                once(
                    "EMIT",
                    start,
                    tail.emit.as_ref().map(|emit| emit.span),
                    "a query is either EMIT CHANGES or EMIT FINAL",
                )?;
                let (after, emit) = emit::emit(rest)?;
                tail.emit = Some(emit);
                after
            }
            (Some(Keyword::With), _) => {
                once(
                    "WITH",
                    start,
                    tail.properties.as_ref().map(|properties| properties.span),
                    "put all properties into one WITH",
                )?;
                let (after, properties) = with_properties(rest)?;
                tail.properties = Some(properties);
                after
            }
            (Some(Keyword::Into), _) => {
                once(
                    "INTO",
                    start,
                    tail.into.as_ref().map(|(span, _)| *span),
                    "a SELECT writes into one sink; write a second statement",
                )?;
                let (after, name) = names::object_name(rest.skip(1))?;
                tail.into = Some((after.since(start), name));
                sink_properties(after, tail)?.0
            }
            _ => {
                rest.note(Expected::Rule(&CLAUSE));
                return Ok((rest, ()));
            }
        };
    }
}

/// A second WITH, directly after the name of the sink: it adds to the first.
fn sink_properties<'a>(input: Input<'a>, tail: &mut Tail) -> Parsed<'a, ()> {
    let Some(before) = tail.properties.as_mut().filter(|_| input.is(Keyword::With)) else { return Ok((input, ())) };
    let (rest, more) = with_properties(input)?;
    before.entries.extend(more.entries);
    Ok((rest, ()))
}

/// An error where a clause that stands once stands a second time.
pub(crate) fn once(name: &str, here: Span, before: Option<Span>, help: &str) -> Result<(), nom::Err<Fault>> {
    let Some(before) = before else { return Ok(()) };
    let mut diagnostic = Diagnostic::error(Code::DUPLICATE_CLAUSE, here, format!("{name} is given twice"))
        .label("the second one")
        .also(before, "the first one");
    if !help.is_empty() {
        diagnostic = diagnostic.help(help);
    }
    report(diagnostic)
}

fn window<'a>(input: Input<'a>, found: &mut Clauses) -> Parsed<'a, ()> {
    let start = input.span();
    if input.peek(2).keyword() == Some(Keyword::As) {
        once(
            "WINDOW",
            start,
            found.named_windows.as_ref().map(|(span, _)| *span),
            "put a comma between the named windows",
        )?;
        let (after, windows) = list(row_window::named)(input.skip(1))?;
        found.named_windows = Some((after.since(start), windows));
        return Ok((after, ()));
    }
    once(
        "WINDOW",
        start,
        found.time_window.as_ref().map(|window| window.span),
        "a query has one time window; use two statements for two",
    )?;
    let (after, window) = time_window::time_window(input)?;
    found.time_window = Some(window);
    Ok((after, ()))
}

fn limit<'a>(input: Input<'a>, tail: &mut Tail) -> Parsed<'a, ()> {
    let start = input.span();
    once("LIMIT", start, tail.limit.as_ref().map(|(span, _)| *span), "")?;
    let (after, limit) = expr(input.skip(1))?;
    if after.is_kind(0, TokenKind::Comma) {
        let (text, first, second) = (after.context.text, limit.span, after.peek(1).span);
        return report(
            Diagnostic::error(Code::OTHER_DIALECT, start.to(second), "LIMIT takes one number").help(format!(
                "write LIMIT {} OFFSET {}",
                second.text(text),
                first.text(text)
            )),
        );
    }
    tail.limit = Some((after.since(start), limit));
    Ok((after, ()))
}

/// `FETCH FIRST n ROWS ONLY`.
fn fetch<'a>(input: Input<'a>, tail: &mut Tail) -> Parsed<'a, ()> {
    let start = input.span();
    once("FETCH", start, tail.limit.as_ref().map(|(span, _)| *span), "it is another spelling of LIMIT")?;
    let rest = input.skip(1);
    let rest = if rest.is(Keyword::Next) { rest.skip(1) } else { keyword(Keyword::First)(rest)?.0 };
    let (rest, limit) = expr(rest)?;
    let rest = if rest.is(Keyword::Row) { rest.skip(1) } else { keyword(Keyword::Rows)(rest)?.0 };
    let (rest, _) = keyword(Keyword::Only)(rest)?;
    tail.limit = Some((rest.since(start), limit));
    Ok((rest, ()))
}

fn group_by(input: Input<'_>) -> Parsed<'_, GroupBy> {
    let start = input.span();
    let (input, _) = keywords(&[Keyword::Group, Keyword::By])(input)?;
    let (input, items) = list(group_by_item)(input)?;
    Ok((input, GroupBy { items, span: input.since(start) }))
}

fn group_by_item(input: Input<'_>) -> Parsed<'_, GroupByItem> {
    let start = input.span();
    if input.is_kind(0, TokenKind::LeftParen) && input.is_kind(1, TokenKind::RightParen) {
        return Ok((input.skip(2), GroupByItem::Empty(start.to(input.peek(1).span))));
    }
    if input.are(&[Keyword::Grouping, Keyword::Sets]) {
        let (rest, sets) = parens(list(grouping_set))(input.skip(2))?;
        return Ok((rest, GroupByItem::GroupingSets { sets, span: rest.since(start) }));
    }
    if matches!(input.keyword(), Some(Keyword::Rollup | Keyword::Cube)) && input.is_kind(1, TokenKind::LeftParen) {
        let (rest, sets) = parens(list(grouping_set))(input.skip(1))?;
        let span = rest.since(start);
        let item = if input.is(Keyword::Rollup) {
            GroupByItem::Rollup { sets, span }
        } else {
            GroupByItem::Cube { sets, span }
        };
        return Ok((rest, item));
    }
    expr(input).map(|(rest, found)| (rest, GroupByItem::Expr(found)))
}

/// `(a, b)`, `a`, `()`.
fn grouping_set(input: Input<'_>) -> Parsed<'_, Vec<Expr>> {
    if input.is_kind(0, TokenKind::LeftParen) {
        if input.is_kind(1, TokenKind::RightParen) {
            return Ok((input.skip(2), Vec::new()));
        }
        return parens(list(expr))(input);
    }
    expr(input).map(|(rest, found)| (rest, vec![found]))
}
