//! The reference: one page per list that the binary has.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

use super::page::{Velo, cell, code, head, member};

/// Every page of docs/reference, by its path.
pub fn pages(velo: &Velo) -> Result<Vec<(String, String)>> {
    let pages = [
        ("properties", properties(&velo.list("properties")?)),
        ("functions", functions(&velo.list("functions")?)),
        ("errors", errors(&velo.list("errors")?)),
        ("cli", commands(velo)?),
    ];
    Ok(pages.into_iter().map(|(name, text)| (format!("docs/reference/{name}.md"), text)).collect())
}

fn properties(entries: &[Value]) -> String {
    let mut out = head("Properties", "velo properties --output json");
    out.push_str(
        "What can stand in `WITH (…)`, quoted or bare. `velo properties PATTERN` prints the same. An unknown property is an error that\n\
         names the nearest known one.\n",
    );
    for owner in distinct(entries, "of") {
        let _ = write!(out, "\n## Of {owner}\n\n| property | value | default | |\n|---|---|---|---|\n");
        for entry in entries.iter().filter(|entry| member(entry, "of") == owner) {
            let aliases: Vec<_> = entry.get("aliases").and_then(Value::as_array).into_iter().flatten().collect();
            let mut text = cell(member(entry, "text"));
            if !aliases.is_empty() {
                let names: Vec<_> = aliases.iter().filter_map(|alias| alias.as_str()).map(code).collect();
                let _ = write!(text, " Also {}.", names.join(", "));
            }
            let (key, kind) = (code(member(entry, "key")), cell(member(entry, "kind")));
            let _ = writeln!(out, "| {key} | {kind} | {} | {text} |", code(member(entry, "default")));
        }
    }
    out
}

fn functions(entries: &[Value]) -> String {
    let mut out = head("Functions", "velo functions --output json");
    out.push_str(
        "`velo functions PATTERN` prints the same. Names are matched without regard to case. Every example is run by a test. An argument in \
         brackets\ncan be left out; a number is any of the integers, DECIMAL, REAL and DOUBLE. Aggregates take DISTINCT and FILTER (WHERE …). \
         Their examples\nare over four rows: `x` is 1, 2, 2, 5, `d` is 1.50, 2.25, 0.25, 4.00, `s` is p, q, r and null, `k` is a in all.\n\
         What differs from PostgreSQL is in [postgres-differences.md](postgres-differences.md).\n",
    );
    for subject in distinct(entries, "subject") {
        let _ = write!(out, "\n## {}\n\n| function | form | | example |\n|---|---|---|---|\n", capitalised(subject));
        for entry in entries.iter().filter(|entry| member(entry, "subject") == subject) {
            let list = |name: &str| entry.get(name).and_then(Value::as_array).into_iter().flatten();
            let also: Vec<String> = list("also").filter_map(|name| name.as_str()).map(code).collect();
            let mut text = cell(member(entry, "text"));
            if !also.is_empty() {
                let _ = write!(text, " Also {}.", also.join(", "));
            }
            let example =
                |example: &Value| format!("{} = {}", code(member(example, "sql")), code(member(example, "result")));
            let examples: Vec<String> = list("examples").map(example).collect();
            let (name, form) = (code(member(entry, "name")), code(member(entry, "syntax")));
            let _ = writeln!(out, "| {name} | {form} | {text} | {} |", examples.join("<br>"));
        }
    }
    out
}

fn errors(entries: &[Value]) -> String {
    let mut out = head("Errors", "velo errors --output json");
    out.push_str(
        "Every mistake has a stable code: in brackets behind `error` or `warning`, and as `code` in `velo validate --output json`.\n\
         `velo errors CODE` prints the same.\n",
    );
    for found in distinct(entries, "found") {
        let _ = write!(out, "\n## {}\n", capitalised(found));
        for entry in entries.iter().filter(|entry| member(entry, "found") == found) {
            let (name, example) = (member(entry, "code"), member(entry, "example"));
            let _ = write!(out, "\n### {name}\n\n{} {}\n", member(entry, "meaning"), member(entry, "remedy"));
            if !example.is_empty() {
                let _ = write!(out, "\n```sql\n{example}\n```\n");
            }
        }
    }
    out
}

fn commands(velo: &Velo) -> Result<String> {
    let mut out = head("Command line", "velo help");
    let overview = velo.text(&["help"])?;
    let names = command_names(&overview).context("`velo help` lists no commands")?;
    let _ = write!(out, "```text\n{}```\n", plain(&overview));
    for name in names {
        let _ = write!(out, "\n## velo {name}\n\n```text\n{}```\n", plain(&velo.text(&["help", name])?));
    }
    out.push_str("\nExit codes: 0 done, 1 the job failed, 2 the script or the options are wrong.\n");
    Ok(out)
}

/// The commands in clap's overview: the first words of the lines below `Commands:`, `help` itself left out.
fn command_names(overview: &str) -> Option<Vec<&str>> {
    let (_, list) = overview.split_once("Commands:\n")?;
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    Some(lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect())
}

/// Without blanks at the ends of lines.
fn plain(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The values of a member, each once, in the order in which they come.
fn distinct<'a>(entries: &'a [Value], name: &str) -> Vec<&'a str> {
    let mut values = Vec::new();
    for value in entries.iter().map(|entry| member(entry, name)) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn properties_are_grouped_by_owner() {
        let entries = [
            json!({"key": "path", "of": "a file source", "kind": "text", "default": null, "text": "Where.", "aliases": []}),
            json!({"key": "topic", "of": "a kafka source", "kind": "text", "default": "t", "text": "Which.", "aliases": ["topic.name"]}),
        ];
        let page = properties(&entries);
        assert!(page.contains("## Of a file source\n\n| property | value | default | |\n|---|---|---|---|\n| `path` | text |  | Where. |\n"));
        assert!(page.contains("| `topic` | text | `t` | Which. Also `topic.name`. |\n"), "{page}");
    }

    #[test]
    fn errors_have_a_heading_each() {
        let entry =
            json!({"code": "syntax", "found": "reading", "meaning": "A.", "remedy": "B.", "example": "SELECT ,"});
        assert!(errors(&[entry]).ends_with("## Reading\n\n### syntax\n\nA. B.\n\n```sql\nSELECT ,\n```\n"));
    }

    #[test]
    fn commands_are_read_from_the_overview() {
        let overview =
            "About\n\nUsage: velo\n\nCommands:\n  run   Runs\n  fmt   Writes\n  help  Print\n\nOptions:\n  -h\n";
        assert_eq!(command_names(overview).unwrap(), ["run", "fmt"]);
    }
}
