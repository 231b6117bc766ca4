//! Annotations: what a comment says about the statement after it.

use crate::span::Span;

/// `@name: value` in a comment before a statement.
///
/// The header line `-- SQL Application: name` gives the annotation `application`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// The name without `@`, in lower case.
    pub name: String,
    /// The rest up to the next annotation or the end of the line, trimmed; one pair of quotes around it is taken off.
    pub value: String,
    /// Where the name stands, `@` included.
    pub name_span: Span,
    /// Where the value stands, quotes included.
    pub value_span: Span,
}
