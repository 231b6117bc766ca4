//! Time windows as a clause: `WINDOW TUMBLING(1m)`.

use super::{Expr, Ident};
use crate::span::Span;

/// What kind of time window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeWindowKind {
    /// TUMBLING, TUMBLE
    Tumbling,
    /// SLIDING, HOPPING, HOP
    Sliding,
    /// SESSION
    Session,
    /// CUMULATE
    Cumulate,
}

impl TimeWindowKind {
    /// The word of the WINDOW clause.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Tumbling => "TUMBLING",
            Self::Sliding => "SLIDING",
            Self::Session => "SESSION",
            Self::Cumulate => "CUMULATE",
        }
    }

    /// The kind that a word of either spelling means.
    pub fn from_word(word: &str) -> Option<Self> {
        match word.to_ascii_uppercase().as_str() {
            "TUMBLING" | "TUMBLE" => Some(Self::Tumbling),
            "SLIDING" | "HOPPING" | "HOP" | "SLIDE" => Some(Self::Sliding),
            "SESSION" => Some(Self::Session),
            "CUMULATE" | "CUMULATING" => Some(Self::Cumulate),
            _ => None,
        }
    }
}

/// A WINDOW clause.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeWindow {
    /// The kind.
    pub kind: TimeWindowKind,
    /// The arguments in order: durations, a column, named ones.
    pub arguments: Vec<WindowArgument>,
    /// The window from its keyword to its closing parenthesis.
    pub span: Span,
}

/// An argument of a WINDOW clause.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowArgument {
    /// Its name: `SIZE 1 HOUR`, `offset => 8h`.
    pub name: Option<Ident>,
    /// Its value.
    pub value: Expr,
}
