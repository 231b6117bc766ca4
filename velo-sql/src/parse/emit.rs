//! `EMIT CHANGES`, `EMIT FINAL`.

use crate::ast::{Emit, EmitMode};
use crate::lex::Keyword;
use crate::parse::combinator::{Parsed, expected};
use crate::parse::error::Rule;
use crate::parse::input::Input;

static MODE: Rule = Rule { name: "`CHANGES` or `FINAL`", words: &["CHANGES", "FINAL"] };

/// `EMIT CHANGES|FINAL`.
pub(crate) fn emit(input: Input<'_>) -> Parsed<'_, Emit> {
    let start = input.span();
    let input = input.skip(1);
    let mode = match input.keyword() {
        Some(Keyword::Changes) => EmitMode::Changes,
        Some(Keyword::Final) => EmitMode::Final,
        _ => return expected(input, &MODE),
    };
    Ok((input.skip(1), Emit { mode, span: input.skip(1).since(start) }))
}
