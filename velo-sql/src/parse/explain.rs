//! EXPLAIN.

use crate::ast::{Explain, ExplainFormat, Statement, StatementKind};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, expected, flag, keyword, sign};
use crate::parse::error::Rule;
use crate::parse::input::Input;
use crate::parse::statement;

static FORMAT: Rule = Rule { name: "`TEXT`, `DOT` or `JSON`", words: &["TEXT", "DOT", "JSON"] };

/// `EXPLAIN [ANALYZE] [(FORMAT …)] statement`.
pub(crate) fn explain(input: Input<'_>) -> Parsed<'_, StatementKind> {
    let (input, analyze) = flag(Keyword::Analyze)(input.skip(1))?;
    let (input, format) = if input.is_kind(0, TokenKind::LeftParen) && input.peek(1).keyword() == Some(Keyword::Format)
    {
        let (rest, _) = keyword(Keyword::Format)(input.skip(1))?;
        let format = if rest.is_word(0, "TEXT") {
            ExplainFormat::Text
        } else if rest.is_word(0, "DOT") {
            ExplainFormat::Dot
        } else if rest.is(Keyword::Json) {
            ExplainFormat::Json
        } else {
            return expected(rest, &FORMAT);
        };
        let (rest, _) = sign(TokenKind::RightParen)(rest.skip(1))?;
        (rest, Some(format))
    } else {
        (input, None)
    };
    let start = input.span();
    if matches!(input.keyword(), Some(Keyword::Explain | Keyword::Start)) {
        return expected(input, &statement::RUNNABLE);
    }
    let (input, kind) = statement::kind(input)?;
    let inner = Statement { kind, annotations: Vec::new(), span: input.since(start) };
    Ok((input, StatementKind::Explain(Explain { analyze, format, statement: Box::new(inner) })))
}
