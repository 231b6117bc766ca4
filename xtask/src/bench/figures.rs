//! What was measured: one JSON object a line, to bench-results.jsonl and to stdout.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::process::capture;

/// Takes figures.
pub struct Figures {
    /// Where they are kept; nowhere for a quick look.
    file: Option<PathBuf>,
    revision: String,
    /// Those of this run, so that one bench can use what another found.
    taken: Vec<(String, String, f64)>,
}

impl Figures {
    /// Figures of the revision that is checked out at `root`.
    pub fn new(root: &Path, quick: bool) -> Result<Self> {
        let mut git = Command::new("git");
        git.current_dir(root).args(["describe", "--always", "--dirty"]);
        let revision = capture(git)?.trim().to_owned();
        Ok(Self { file: (!quick).then(|| root.join("bench-results.jsonl")), revision, taken: Vec::new() })
    }

    /// Takes one figure of a bench, with whatever else is worth keeping about it.
    pub fn take(&mut self, bench: &str, figure: &str, value: f64, unit: &str, more: &Value) -> Result<()> {
        let mut line = json!({
            "bench": bench,
            "figure": figure,
            "value": rounded(value),
            "unit": unit,
            "revision": self.revision,
        });
        if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
            line.extend(more.clone());
        }
        println!("{line}");
        if let Some(path) = &self.file {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let written = file.and_then(|mut file| writeln!(file, "{line}"));
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
        self.taken.push((bench.to_owned(), figure.to_owned(), value));
        Ok(())
    }

    /// A figure of this run.
    pub fn get(&self, bench: &str, figure: &str) -> Option<f64> {
        self.taken.iter().find(|(of, name, _)| of == bench && name == figure).map(|(_, _, value)| *value)
    }

    /// Says where the figures are.
    pub fn finish(&self) {
        match &self.file {
            Some(path) => println!("{} figures added to {}", self.taken.len(), path.display()),
            None => println!("{} figures, none kept: this was a quick look", self.taken.len()),
        }
    }
}

/// Four digits that count are more than a bench knows.
pub fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// The middle one; of an even number the lower of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_runs() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn four_digits() {
        assert_eq!(rounded(1.234_567), 1.235);
        assert_eq!(rounded(12_345_678.0), 12_350_000.0);
    }
}
