//! The keys and values that a statement gives, and the mistakes found in them.

use std::collections::BTreeMap;

use super::PropertySpec;
use super::value::PropertyValue;
use crate::suggest::nearest;

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key as written.
    pub key: String,
    /// The value, interpolated.
    pub value: String,
    /// A number of the caller's own: which place in the script this came from.
    pub origin: usize,
}

/// A mistake in a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyError {
    /// The key it is about; for a missing one, the key to write.
    pub key: String,
    /// Where the key was written; `None` for a missing one.
    pub origin: Option<usize>,
    /// What is wrong and what was expected.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// The keys and values of one statement, source or sink. Keys match without regard to case.
#[derive(Debug, Clone, Default)]
pub struct Options {
    entries: BTreeMap<String, Entry>,
    errors: Vec<PropertyError>,
}

impl Options {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Options from plain pairs, for programs and tests.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut options = Self::new();
        for (origin, (key, value)) in pairs.into_iter().enumerate() {
            options.set(Entry { key: key.to_owned(), value: value.to_owned(), origin });
        }
        options
    }

    /// Adds an entry; a repeated key is a mistake.
    pub fn set(&mut self, entry: Entry) {
        let folded = entry.key.to_ascii_lowercase();
        if self.entries.contains_key(&folded) {
            self.error(PropertyError {
                message: format!("the property '{}' is given twice", entry.key),
                origin: Some(entry.origin),
                key: entry.key,
                help: Some("leave one of them out".to_owned()),
            });
            return;
        }
        self.entries.insert(folded, entry);
    }

    /// Takes an entry out, as text.
    pub fn take(&mut self, key: &str) -> Option<Entry> {
        self.entries.remove(&key.to_ascii_lowercase())
    }

    /// Looks at an entry without taking it.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(&key.to_ascii_lowercase())
    }

    /// The keys that nobody has taken yet, in small letters.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Takes all entries whose key begins with `prefix`; their keys lose it.
    pub fn take_prefix(&mut self, prefix: &str) -> Vec<Entry> {
        let folded = prefix.to_ascii_lowercase();
        let keys: Vec<String> = self.entries.keys().filter(|key| key.starts_with(&folded)).cloned().collect();
        keys.iter()
            .filter_map(|key| self.entries.remove(key))
            .map(|entry| Entry { key: entry.key[prefix.len()..].to_owned(), ..entry })
            .collect()
    }

    /// Takes `key` (or one of its other spellings) out and parses it; a mistake is noted and gives `None`.
    pub fn read<T: PropertyValue>(&mut self, key: &str, aliases: &[&str]) -> Option<T> {
        let mut found: Option<Entry> = None;
        for name in std::iter::once(&key).chain(aliases) {
            let Some(entry) = self.take(name) else { continue };
            if let Some(first) = &found {
                self.errors.push(PropertyError {
                    message: format!("'{}' and '{}' are the same property", first.key, entry.key),
                    key: entry.key,
                    origin: Some(entry.origin),
                    help: Some("leave one of them out".to_owned()),
                });
            } else {
                found = Some(entry);
            }
        }
        let entry = found?;
        match T::parse(&entry.value) {
            Ok(value) => Some(value),
            Err(message) => {
                self.errors.push(PropertyError {
                    message: format!("'{}': {message}", entry.key),
                    origin: Some(entry.origin),
                    key: entry.key,
                    help: None,
                });
                None
            }
        }
    }

    /// Notes a mistake.
    pub fn error(&mut self, error: PropertyError) {
        self.errors.push(error);
    }

    /// Notes that `key` is missing.
    pub fn missing(&mut self, key: &str, what: &str) {
        self.error(PropertyError {
            key: key.to_owned(),
            origin: None,
            message: format!("the property '{key}' is missing: {what}"),
            help: None,
        });
    }

    /// Whether a mistake was noted so far.
    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Takes the mistakes noted so far, leaving the entries that are not read yet.
    pub fn take_errors(&mut self) -> Vec<PropertyError> {
        std::mem::take(&mut self.errors)
    }

    /// Whether nothing is left over.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All mistakes; whatever no reader took is one, with the nearest of the keys in `known`.
    pub fn finish<'a>(mut self, owner: &str, known: impl IntoIterator<Item = &'a PropertySpec>) -> Vec<PropertyError> {
        let names: Vec<&str> =
            known.into_iter().flat_map(|spec| std::iter::once(spec.key).chain(spec.aliases.iter().copied())).collect();
        for entry in std::mem::take(&mut self.entries).into_values() {
            let help = match nearest(&entry.key, names.iter().copied()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("`velo properties` lists the properties of {owner}"),
            };
            self.errors.push(PropertyError {
                message: format!("{owner} has no property '{}'", entry.key),
                key: entry.key,
                origin: Some(entry.origin),
                help: Some(help),
            });
        }
        self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration::Span;
    use crate::properties::Properties;

    crate::properties! {
        /// Waiting.
        struct Wait {
            /// How long.
            "wait.timeout" | "timeout" => timeout: Span = Span(5_000_000),
            /// Whether.
            "wait" => wait: bool,
        }
    }

    #[test]
    fn mistakes_come_at_once() {
        let mut options = Options::from_pairs([("Timeout", "soon"), ("wiat", "true"), ("colour", "red")]);
        let read = Wait::read(&mut options);
        assert_eq!(read, Wait::default());
        let errors = options.finish("a file source", Wait::SPECS);
        let messages: Vec<_> = errors.iter().map(|e| e.message.as_str()).collect();
        assert_eq!(errors.len(), 3, "{messages:?}");
        assert!(messages[0].contains("soon"));
        assert!(errors.iter().any(|e| e.help.as_deref() == Some("did you mean 'wait'?")));
    }

    #[test]
    fn both_spellings_are_a_mistake() {
        let mut options = Options::from_pairs([("timeout", "1s"), ("wait.timeout", "2s")]);
        assert_eq!(Wait::read(&mut options).timeout, Span(2_000_000));
        assert_eq!(options.finish("x", Wait::SPECS).len(), 1);
    }
}
