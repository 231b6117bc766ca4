//! Properties: the keys and values of `WITH (…)` and `SET`.

use crate::span::Span;

/// The content of one `WITH (…)`, in the order of the script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// The pairs; the same key may stand there twice, which the planner reports.
    pub entries: Vec<Property>,
    /// From `WITH` to the closing parenthesis; empty where there is no WITH.
    pub span: Span,
}

impl Properties {
    /// Whether there is no property at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The first property with this key (exact spelling).
    pub fn get(&self, key: &str) -> Option<&Property> {
        self.entries.iter().find(|entry| entry.key.text == key)
    }
}

/// One `key = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The key.
    pub key: PropertyKey,
    /// The value.
    pub value: PropertyValue,
}

/// A key, bare and dotted or in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyKey {
    /// The text without quotes.
    pub text: String,
    /// Whether it stood in quotes.
    pub quoted: bool,
    /// Where it stands, quotes included.
    pub span: Span,
}

impl PropertyKey {
    /// Whether it names the connector of what it is given to (`connector`, `type`), without a prefix.
    pub fn binds(&self) -> bool {
        matches!(self.text.as_str(), "connector" | "type")
    }
}

/// A value, in quotes or bare (`5s`, `10`, `true`, `kafka`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyValue {
    /// The text without quotes; `${…}` is not replaced yet.
    pub text: String,
    /// Whether it stood in quotes.
    pub quoted: bool,
    /// Where it stands, quotes included.
    pub span: Span,
}
