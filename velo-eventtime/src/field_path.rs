//! The name of a field, dotted for nested ones.

use std::fmt;
use std::str::FromStr;

/// The way to a field: `ts`, `payload.ts`. A part that itself holds a dot is written in double quotes or backquotes:
/// `payload."a.b"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPath {
    parts: Vec<String>,
}

impl FieldPath {
    /// The field called `name` at the top, whatever characters the name has.
    pub fn top(name: impl Into<String>) -> Self {
        Self { parts: vec![name.into()] }
    }

    /// The names from the outside in; at least one.
    pub fn parts(&self) -> &[String] {
        &self.parts
    }

    /// The outermost name.
    pub fn first(&self) -> &str {
        self.parts.first().map_or("", String::as_str)
    }

    /// Whether the field is inside another.
    pub fn is_nested(&self) -> bool {
        self.parts.len() > 1
    }
}

impl FromStr for FieldPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' is no field: write a name, with dots for nested fields, such as payload.ts");
        let mut parts = Vec::new();
        let mut rest = text.trim();
        loop {
            let (part, after) = match rest.chars().next() {
                Some(quote @ ('"' | '`')) => {
                    let inner = &rest[1..];
                    let end = inner.find(quote).ok_or_else(bad)?;
                    (&inner[..end], &inner[end + 1..])
                }
                _ => rest.split_at(rest.find('.').unwrap_or(rest.len())),
            };
            if part.is_empty() {
                return Err(bad());
            }
            parts.push(part.to_owned());
            if after.is_empty() {
                return Ok(Self { parts });
            }
            rest = after.strip_prefix('.').ok_or_else(bad)?;
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.parts.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            if part.contains(['.', '"', '`']) {
                let quote = if part.contains('"') { '`' } else { '"' };
                write!(f, "{quote}{part}{quote}")?;
            } else {
                f.write_str(part)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_quotes() {
        for (text, parts) in [
            ("ts", vec!["ts"]),
            ("payload.ts", vec!["payload", "ts"]),
            ("a.b.c", vec!["a", "b", "c"]),
            ("\"a.b\".c", vec!["a.b", "c"]),
            ("`weird name`", vec!["weird name"]),
        ] {
            let path: FieldPath = text.parse().unwrap();
            assert_eq!(path.parts(), parts, "{text}");
            assert_eq!(path.to_string().parse::<FieldPath>().unwrap(), path);
        }
        for bad in ["", ".", "a.", ".a", "a..b", "\"a", "\"a\"b"] {
            assert!(bad.parse::<FieldPath>().is_err(), "{bad}");
        }
        assert!("a.b".parse::<FieldPath>().unwrap().is_nested());
        assert_eq!(FieldPath::top("a.b").to_string(), "\"a.b\"");
    }
}
