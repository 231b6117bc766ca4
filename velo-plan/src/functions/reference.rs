//! What is said of each function, read from the text that the reference is made of: form, a sentence, examples with results.

/// What a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of one row.
    Scalar,
    /// Of many rows.
    Aggregate,
    /// An expression with words in it, such as EXTRACT.
    Form,
}

impl Kind {
    /// As it is listed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Aggregate => "aggregate",
            Self::Form => "form",
        }
    }
}

/// One function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it belongs to.
    pub subject: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its lower-case names; the first is the usual one.
    pub names: Vec<&'static str>,
    /// How it is written: arguments with their types, and the type of the result.
    pub form: &'static str,
    /// What it does.
    pub text: &'static str,
    /// Expressions with their results.
    pub examples: Vec<(&'static str, &'static str)>,
}

const TEXT: &str = include_str!("reference.txt");

/// All of them, in the order of the text: `[kind subject]`, then blocks of the names, the form, the sentence and the examples.
pub fn entries() -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    let (mut subject, mut kind) = ("", Kind::Scalar);
    for block in TEXT.split("\n\n") {
        let mut lines = block.lines().filter(|line| !line.is_empty()).peekable();
        if let Some(heading) =
            lines.peek().and_then(|line| line.strip_prefix('[')).and_then(|line| line.strip_suffix(']'))
        {
            let (word, rest) = heading.split_once(' ').unwrap_or((heading, ""));
            kind = match word {
                "aggregate" => Kind::Aggregate,
                "form" => Kind::Form,
                _ => Kind::Scalar,
            };
            subject = rest;
            lines.next();
        }
        let (Some(names), Some(form), Some(text)) = (lines.next(), lines.next(), lines.next()) else { continue };
        let names = names.split(',').map(str::trim).collect();
        let examples = lines.filter_map(|line| line.trim().rsplit_once(" => ")).collect();
        all.push(Entry { subject, kind, names, form: form.trim(), text: text.trim(), examples });
    }
    all
}

#[cfg(test)]
mod tests {
    use crate::functions::Functions;

    #[test]
    fn each_name_is_a_function_and_stands_once() {
        let functions = Functions::new();
        let mut seen = std::collections::BTreeSet::new();
        for entry in functions.reference() {
            assert!(!entry.examples.is_empty(), "{:?} has no example", entry.names);
            assert!(entry.text.ends_with('.'), "{}", entry.text);
            for name in &entry.names {
                assert!(seen.insert(*name), "{name} stands twice");
                assert_eq!(*name, name.to_lowercase());
            }
        }
        assert!(seen.len() > 250, "{}", seen.len());
    }
}
