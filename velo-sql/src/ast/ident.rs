//! Names: single ones, and dotted ones.

use crate::span::Span;

/// One name. A plain one matches without regard to case, a quoted one exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    /// The name without quotes, in the spelling of the script.
    pub value: String,
    /// Whether it stood in `"…"` or `` `…` ``.
    pub quoted: bool,
    /// Where it stands, quotes included.
    pub span: Span,
}

impl Ident {
    /// A plain name that stands nowhere; for trees made by programs.
    pub fn plain(value: impl Into<String>) -> Ident {
        Ident { value: value.into(), quoted: false, span: Span::default() }
    }

    /// Whether this name can mean `declared`: exactly where one of the two is quoted, else without regard to case.
    pub fn matches(&self, declared: &str) -> bool {
        if self.quoted { self.value == declared } else { self.value.eq_ignore_ascii_case(declared) }
    }
}

/// A name of one or more parts with dots in between. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// The parts, outermost first.
    pub parts: Vec<Ident>,
}

impl ObjectName {
    /// From the first part to the last.
    pub fn span(&self) -> Span {
        match (self.parts.first(), self.parts.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => Span::default(),
        }
    }

    /// The innermost part; `None` only for an empty name, which the parser never makes.
    pub fn last(&self) -> Option<&Ident> {
        self.parts.last()
    }

    /// The parts joined by dots, without quotes: for messages and for looking up.
    pub fn text(&self) -> String {
        self.parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".")
    }
}
