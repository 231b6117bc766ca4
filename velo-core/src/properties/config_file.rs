//! Properties in a YAML file: nested or dotted keys, and `extends` for what several files share.
//!
//! ```yaml
//! extends: base.yaml          # or a list; relative to this file
//! bootstrap.servers: localhost:9092
//! csv:
//!   delimiter: ";"            # is csv.delimiter
//! ```

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The keys and values of a file and of those that it extends. A key in a file stands before the same key in one that it
/// extends; of several extended files the later one does. The error says which file, and what to do.
pub fn load(path: &Path) -> Result<Vec<(String, String)>, String> {
    let mut open = Vec::new();
    load_file(path, &mut open)
}

fn load_file(path: &Path, open: &mut Vec<PathBuf>) -> Result<Vec<(String, String)>, String> {
    let shown = path.display();
    let identity =
        path.canonicalize().map_err(|error| format!("the configuration file {shown} cannot be read: {error}"))?;
    if open.contains(&identity) {
        return Err(format!("the configuration file {shown} extends itself, directly or through others"));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("the configuration file {shown} cannot be read: {error}"))?;
    let root: Value =
        serde_saphyr::from_str(&text).map_err(|error| format!("the configuration file {shown} is no YAML: {error}"))?;
    let Value::Object(mut root) = root else {
        return Err(format!("the configuration file {shown} holds no keys: write one `key: value` per line"));
    };
    open.push(identity);
    let mut entries: Vec<(String, String)> = Vec::new();
    for base in bases(root.remove("extends"), path)? {
        for (key, value) in load_file(&base, open)? {
            set(&mut entries, key, value);
        }
    }
    open.pop();
    let mut own = Vec::new();
    for (key, value) in root {
        flatten(&key, value, &mut own).map_err(|key| {
            format!(
                "the configuration file {shown}: '{key}' is a list of lists or of objects, and a property is a text"
            )
        })?;
    }
    for (key, value) in own {
        set(&mut entries, key, value);
    }
    Ok(entries)
}

fn bases(extends: Option<Value>, path: &Path) -> Result<Vec<PathBuf>, String> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let wrong = || format!("the configuration file {}: `extends` is a file's name, or a list of them", path.display());
    match extends {
        None | Some(Value::Null) => Ok(vec![]),
        Some(Value::String(base)) => Ok(vec![folder.join(base)]),
        Some(Value::Array(bases)) => {
            bases.into_iter().map(|base| base.as_str().map(|base| folder.join(base)).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

fn set(entries: &mut Vec<(String, String)>, key: String, value: String) {
    match entries.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&key)) {
        Some(entry) => entry.1 = value,
        None => entries.push((key, value)),
    }
}

/// Nested keys as dotted ones; the error is the key whose value is no text.
fn flatten(key: &str, value: Value, out: &mut Vec<(String, String)>) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (name, value) in members {
                flatten(&format!("{key}.{name}"), value, out)?;
            }
        }
        Value::Array(items) => {
            let texts = items
                .into_iter()
                .map(|item| scalar(item).ok_or_else(|| key.to_owned()))
                .collect::<Result<Vec<_>, _>>()?;
            out.push((key.to_owned(), texts.join(",")));
        }
        other => {
            if let Some(text) = scalar(other) {
                out.push((key.to_owned(), text));
            }
        }
    }
    Ok(())
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn nested_dotted_and_extended() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "base.yaml", "format: json\ncsv:\n  delimiter: \";\"\nwatch: true\n");
        let path =
            write(folder.path(), "own.yaml", "extends: base.yaml\nformat: csv\nhosts: [a, b]\nport: 9092\nnothing:\n");
        let mut entries = load(&path).unwrap();
        entries.sort();
        let expected =
            [("csv.delimiter", ";"), ("format", "csv"), ("hosts", "a,b"), ("port", "9092"), ("watch", "true")];
        assert_eq!(entries, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn mistakes_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let cycle = write(folder.path(), "a.yaml", "extends: b.yaml\n");
        write(folder.path(), "b.yaml", "extends: a.yaml\n");
        assert!(load(&cycle).unwrap_err().contains("extends itself"));
        let list = write(folder.path(), "list.yaml", "- a\n- b\n");
        assert!(load(&list).unwrap_err().contains("list.yaml holds no keys"));
        let deep = write(folder.path(), "deep.yaml", "a: [[1]]\n");
        assert!(load(&deep).unwrap_err().contains("'a' is a list of lists"));
        let broken = write(folder.path(), "broken.yaml", "a: [\n");
        assert!(load(&broken).unwrap_err().contains("is no YAML"));
        assert!(load(&folder.path().join("none.yaml")).unwrap_err().contains("cannot be read"));
    }
}
