//! Text to tokens, each with its place. Comments are kept apart: annotations and the formatter need them.

mod scan;
mod token;

pub use scan::lex;
pub use token::{Comment, Lexed, Token, TokenKind};
