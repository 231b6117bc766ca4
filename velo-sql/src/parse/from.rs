//! Relations: names, sub-queries, functions, windowing table functions, with their aliases.

use crate::ast::{Ident, Properties, Relation, RelationKind, SetExpr, TableAlias, TableWithJoins};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, expected, keyword, keywords, list, nested, parens, sign};
use crate::parse::error::Rule;
use crate::parse::expr::{call_args, expr, starts_query, subquery};
use crate::parse::input::{Input, report};
use crate::parse::names::{self, object_name};
use crate::parse::options::with_properties;
use crate::parse::{cte, join, match_recognize, select, time_window};

static RELATION: Rule =
    Rule { name: "a stream, a table or a query in parentheses", words: &["LATERAL", "UNNEST", "TABLE"] };

/// A relation and its joins.
pub(crate) fn table(input: Input<'_>) -> Parsed<'_, TableWithJoins> {
    let (input, relation) = relation(input)?;
    let (input, joins) = join::joins(input)?;
    Ok((input, TableWithJoins { relation, joins }))
}

/// One relation with its alias, and with MATCH_RECOGNIZE where it follows.
pub(crate) fn relation(input: Input<'_>) -> Parsed<'_, Relation> {
    let start = input.span();
    let (rest, kind) = match input.kind() {
        TokenKind::LeftParen => parenthesis(input)?,
        TokenKind::Word(_) | TokenKind::QuotedName => unparenthesised(input)?,
        TokenKind::String => {
            let text = crate::lex::literal::unquote(input.text(input.peek(0)));
            return report(
                Diagnostic::error(Code::SYNTAX, start, "a relation is a name, and this is a text")
                    .help(format!("write the name plainly or in double quotes: \"{text}\""))
                    .help(
                        "to read a file in place, write: FROM name WITH (connector = 'file', path = '…', format = '…')",
                    ),
            );
        }
        _ => return expected(input, &RELATION),
    };
    let (rest, alias) = table_alias(rest)?;
    let (rest, kind) = late_as_of(rest, kind)?;
    let (rest, kind) = late_properties(rest, kind)?;
    let mut found = Relation { kind, alias, span: rest.since(start) };
    if rest.is(Keyword::MatchRecognize) {
        let (rest, matching) = match_recognize::match_recognize(rest, found)?;
        let (rest, alias) = table_alias(rest)?;
        found = Relation { kind: RelationKind::MatchRecognize(Box::new(matching)), alias, span: rest.since(start) };
        return Ok((rest, found));
    }
    Ok((rest, found))
}

/// `[AS] alias [(columns)]`.
fn table_alias(input: Input<'_>) -> Parsed<'_, Option<TableAlias>> {
    let (rest, name) = names::alias(input)?;
    let Some(name) = name else { return Ok((rest, None)) };
    let (rest, columns) = cte::columns(rest)?;
    Ok((rest, Some(TableAlias { name, columns })))
}

fn unparenthesised(input: Input<'_>) -> Parsed<'_, RelationKind> {
    let called = input.is_kind(1, TokenKind::LeftParen);
    let lateral = input.is(Keyword::Lateral) && (called || matches!(input.peek(1).kind, TokenKind::Word(_)));
    let input = if lateral { input.skip(1) } else { input };
    let called = input.is_kind(1, TokenKind::LeftParen);
    if lateral && input.is_kind(0, TokenKind::LeftParen) {
        return subquery(input).map(|(rest, query)| (rest, RelationKind::Derived { lateral, query: Box::new(query) }));
    }
    if input.is(Keyword::Unnest) && called {
        let (rest, args) = parens(list(expr))(input.skip(1))?;
        let (rest, ordinality) = ordinality(rest)?;
        return Ok((rest, RelationKind::Unnest { lateral, args, ordinality }));
    }
    if input.is(Keyword::Table) && called {
        let (rest, _) = sign(TokenKind::LeftParen)(input.skip(1))?;
        let (rest, kind) = nested(rest, |rest| function(rest, lateral))?;
        let (rest, _) = sign(TokenKind::RightParen)(rest)?;
        return Ok((rest, kind));
    }
    if called {
        return function(input, lateral);
    }
    named(input)
}

/// A table function, windowing or other.
fn function(input: Input<'_>, lateral: bool) -> Parsed<'_, RelationKind> {
    if time_window::is_table_function(input) {
        let (rest, function) = time_window::table_function(input)?;
        return Ok((rest, RelationKind::WindowFunction(Box::new(function))));
    }
    let (input, name) = object_name(input)?;
    let (input, _) = sign(TokenKind::LeftParen)(input)?;
    let (input, args) = if input.is_kind(0, TokenKind::RightParen) { (input, Vec::new()) } else { call_args(input)? };
    let (input, _) = sign(TokenKind::RightParen)(input)?;
    let (input, ordinality) = ordinality(input)?;
    Ok((input, RelationKind::Function { lateral, name, args, ordinality }))
}

fn ordinality(input: Input<'_>) -> Parsed<'_, bool> {
    if input.are(&[Keyword::With, Keyword::Ordinality]) { Ok((input.skip(2), true)) } else { Ok((input, false)) }
}

fn named(input: Input<'_>) -> Parsed<'_, RelationKind> {
    let (rest, name) = names::ident_as(input, &RELATION).and_then(|_| object_name(input))?;
    let (rest, properties) = if rest.is(Keyword::With) && rest.is_kind(1, TokenKind::LeftParen) {
        with_properties(rest)?
    } else {
        (rest, Properties::default())
    };
    let (rest, as_of) = as_of(rest)?;
    Ok((rest, RelationKind::Named { name, properties, as_of }))
}

/// `FOR SYSTEM_TIME AS OF t`.
fn as_of(input: Input<'_>) -> Parsed<'_, Option<Box<crate::ast::Expr>>> {
    if !input.is(Keyword::For) {
        return Ok((input, None));
    }
    let (rest, _) = keywords(&[Keyword::For, Keyword::SystemTime, Keyword::As])(input)?;
    let (rest, _) = crate::parse::combinator::word("OF")(rest)?;
    let (rest, time) = expr(rest)?;
    Ok((rest, Some(Box::new(time))))
}

/// FOR SYSTEM_TIME after the alias.
fn late_as_of(input: Input<'_>, kind: RelationKind) -> Parsed<'_, RelationKind> {
    match kind {
        RelationKind::Named { name, properties, as_of: None } => {
            let (rest, as_of) = as_of(input)?;
            Ok((rest, RelationKind::Named { name, properties, as_of }))
        }
        kind => Ok((input, kind)),
    }
}

/// WITH after the alias.
fn late_properties(input: Input<'_>, kind: RelationKind) -> Parsed<'_, RelationKind> {
    match kind {
        RelationKind::Named { name, properties, as_of }
            if properties.is_empty() && input.is(Keyword::With) && input.is_kind(1, TokenKind::LeftParen) =>
        {
            let (rest, properties) = with_properties(input)?;
            Ok((rest, RelationKind::Named { name, properties, as_of }))
        }
        kind => Ok((input, kind)),
    }
}

/// `(query)`, `(a JOIN b …)`.
fn parenthesis(input: Input<'_>) -> Parsed<'_, RelationKind> {
    if starts_query(input.skip(1)) {
        return subquery(input)
            .map(|(rest, query)| (rest, RelationKind::Derived { lateral: false, query: Box::new(query) }));
    }
    let (input, _) = sign(TokenKind::LeftParen)(input)?;
    nested(input, |input| {
        let (rest, inner) = table(input)?;
        let continues = subquery_continues(rest);
        match inner {
            TableWithJoins {
                relation: Relation { kind: RelationKind::Derived { lateral: false, query }, alias: None, .. },
                joins,
            } if joins.is_empty() && continues => {
                let (rest, query) = select::rest_of_query(rest, SetExpr::Query(query))?;
                let (rest, _) = sign(TokenKind::RightParen)(rest)?;
                Ok((rest, RelationKind::Derived { lateral: false, query: Box::new(query) }))
            }
            inner => {
                let (rest, _) = sign(TokenKind::RightParen)(rest)?;
                Ok((rest, RelationKind::Nested(Box::new(inner))))
            }
        }
    })
}

fn subquery_continues(input: Input<'_>) -> bool {
    matches!(
        input.keyword(),
        Some(Keyword::Union | Keyword::Except | Keyword::Intersect | Keyword::Order | Keyword::Limit)
    )
}

/// `USING (a, b)`.
pub(crate) fn using(input: Input<'_>) -> Parsed<'_, Vec<Ident>> {
    let (input, _) = keyword(Keyword::Using)(input)?;
    parens(list(names::column))(input)
}
