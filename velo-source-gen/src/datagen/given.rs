//! The rules of columns as they are written: `fields.price.min` is the `min` of the column `price`.

use std::collections::BTreeMap;

use velo_core::properties::{Entry, Options, Properties, PropertyError, PropertySpec};

use crate::properties::FieldProperties;

/// Stands for a column's name where properties are declared.
const PLACEHOLDER: &str = "fields.NAME.";

/// What is written about one column.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// The column's name as written.
    pub(super) name: String,
    /// What is said about it.
    pub(super) properties: FieldProperties,
    /// Where each thing is said, by its name behind that of the column.
    places: BTreeMap<&'static str, usize>,
}

impl Given {
    /// Nothing about the column `name`.
    pub(super) fn nothing(name: &str) -> Self {
        Self { name: name.to_owned(), properties: FieldProperties::default(), places: BTreeMap::new() }
    }

    /// The things that are said, by their names.
    pub(super) fn said(&self) -> impl Iterator<Item = &'static str> {
        self.places.keys().copied()
    }

    /// A mistake in what is said about `what`.
    pub(super) fn error(&self, what: &str, message: &str, help: Option<String>) -> PropertyError {
        let origin = self.places.get(what).or_else(|| self.places.values().next());
        let key = format!("fields.{}.{what}", self.name);
        let message = if self.places.contains_key(what) { format!("'{key}': {message}") } else { message.to_owned() };
        PropertyError { message, key, origin: origin.copied(), help }
    }
}

/// A property's name behind that of the column.
fn what(spec: &PropertySpec) -> &'static str {
    spec.key.strip_prefix(PLACEHOLDER).unwrap_or(spec.key)
}

/// Takes what is written about columns out of `options`; mistakes are noted there.
pub(super) fn read(options: &mut Options) -> Vec<Given> {
    let mut by_name: BTreeMap<String, (String, Vec<Entry>)> = BTreeMap::new();
    for entry in options.take_prefix("fields.") {
        let folded = entry.key.to_ascii_lowercase();
        // A name may have points: what is known about columns ends it.
        let known = FieldProperties::SPECS.iter().flat_map(|spec| std::iter::once(&spec.key).chain(spec.aliases));
        let known = known
            .filter_map(|key| key.strip_prefix(PLACEHOLDER))
            .filter_map(|what| folded.strip_suffix(what)?.strip_suffix('.').map(str::len))
            .min();
        let Some(end) = known.or_else(|| folded.rfind('.')).filter(|end| *end > 0) else {
            options.error(PropertyError {
                message: format!("'fields.{}' says nothing about a column", entry.key),
                key: format!("fields.{}", entry.key),
                origin: Some(entry.origin),
                help: Some("write 'fields.NAME.kind' and the like, with the name of a column".to_owned()),
            });
            continue;
        };
        let name = entry.key[..end].to_owned();
        let key = format!("{PLACEHOLDER}{}", &entry.key[end + 1..]);
        let (_, entries) = by_name.entry(folded[..end].to_owned()).or_insert_with(|| (name, Vec::new()));
        entries.push(Entry { key, ..entry });
    }
    by_name.into_values().map(|(name, entries)| one(name, entries, options)).collect()
}

fn one(name: String, entries: Vec<Entry>, options: &mut Options) -> Given {
    let mut places = BTreeMap::new();
    let mut own = Options::new();
    for entry in entries {
        if let Some(spec) = FieldProperties::SPECS.iter().find(|spec| spec.names(&entry.key)) {
            places.insert(what(spec), entry.origin);
        }
        own.set(entry);
    }
    let properties = FieldProperties::read(&mut own);
    let real = |text: String| text.replace(PLACEHOLDER, &format!("fields.{name}."));
    for error in own.finish("datagen", FieldProperties::SPECS) {
        let help = error.help.map(real).or_else(|| Some("`velo properties fields` lists what there is".to_owned()));
        options.error(PropertyError { key: real(error.key), message: real(error.message), origin: error.origin, help });
    }
    Given { name, properties, places }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(pairs: &[(&str, &str)]) -> Vec<String> {
        let mut options = Options::from_pairs(pairs.iter().copied());
        read(&mut options);
        options.take_errors().into_iter().map(|e| format!("{} | {}", e.message, e.help.unwrap_or_default())).collect()
    }

    #[test]
    fn columns_have_their_own() {
        let mut options = Options::from_pairs([
            ("fields.a.kind", "sequence"),
            ("fields.A.start", "7"),
            ("fields.b.c.null-rate", "0.5"),
            ("seed", "1"),
        ]);
        let given = read(&mut options);
        assert!(!options.has_errors());
        let named: Vec<_> = given.iter().map(|given| given.name.as_str()).collect();
        assert_eq!(named, ["a", "b.c"]);
        assert_eq!(given[0].properties.start.as_deref(), Some("7"));
        assert_eq!(given[1].said().collect::<Vec<_>>(), ["null.rate"]);
        assert!(options.get("seed").is_some());
    }

    #[test]
    fn mistakes_name_the_column() {
        assert_eq!(
            mistakes(&[("fields.price.knid", "range")]),
            ["datagen has no property 'fields.price.knid' | did you mean 'fields.price.kind'?"]
        );
        assert_eq!(
            mistakes(&[("fields.price.kind", "rnage")]),
            [
                "'fields.price.kind': 'rnage' is not one of sequence, range, random, choice, walk, time; did you mean 'range'? | \
                 `velo properties fields` lists what there is"
            ]
        );
        assert!(mistakes(&[("fields.price", "1")])[0].starts_with("'fields.price' says nothing about a column"));
    }
}
