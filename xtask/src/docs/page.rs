//! Asking the binary, and the small Markdown that pages are made of.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::capture;

/// The built program, called from the workspace's root.
pub struct Velo {
    pub program: PathBuf,
    pub root: PathBuf,
}

impl Velo {
    /// `velo ARGS`, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.root).args(args);
        command
    }

    /// What a command prints.
    pub fn text(&self, args: &[&str]) -> Result<String> {
        capture(self.command(args))
    }

    /// The entries of a list that a command prints as JSON, one a line.
    pub fn list(&self, what: &str) -> Result<Vec<Value>> {
        let text = self.text(&[what, "--output", "json"])?;
        let entries = text.lines().map(serde_json::from_str);
        entries.collect::<Result<_, _>>().with_context(|| format!("`velo {what} --output json` printed no JSON"))
    }
}

/// The text of a member; empty where there is none.
pub fn member<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The first lines of every generated page.
pub fn head(title: &str, source: &str) -> String {
    format!("<!-- Written by `cargo xtask docs` from `{source}`; changes belong there. -->\n\n# {title}\n\n")
}

/// Text as the cell of a table: on one line, and with no sign that ends the cell.
pub fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Text as code within a cell; nothing for an empty text.
pub fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", cell(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stay_cells() {
        assert_eq!(cell("a |\n  b"), "a \\| b");
        assert_eq!(code(""), "");
        assert_eq!(code("x"), "`x`");
    }
}
