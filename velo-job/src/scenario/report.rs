//! What became of many scenarios, for people and as JUnit XML.

use std::path::PathBuf;
use std::time::Duration;

use super::parse::ScenarioError;
use super::run::Failure;

/// One scenario in one mode.
#[derive(Debug, Clone)]
pub struct Record {
    /// The file.
    pub path: PathBuf,
    /// The scenario's heading.
    pub scenario: String,
    /// The heading's line.
    pub line: usize,
    /// The mode, as it prints.
    pub mode: String,
    /// What is not as expected.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub took: Duration,
    /// Whether the file now expects what came.
    pub updated: bool,
}

impl Record {
    /// Whether the scenario holds.
    pub fn passed(&self) -> bool {
        self.failures.is_empty() || self.updated
    }

    /// The failures as text; empty where there are none.
    pub fn failure_text(&self) -> String {
        let mut text = String::new();
        for failure in &self.failures {
            text.push_str(&format!("{}:{}: {}\n", self.path.display(), failure.line, failure.message));
        }
        text
    }
}

/// All that was run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Runs in order.
    pub records: Vec<Record>,
    /// Files that are no scenarios.
    pub errors: Vec<ScenarioError>,
}

impl Report {
    /// Whether all holds.
    pub fn passed(&self) -> bool {
        self.errors.is_empty() && self.records.iter().all(Record::passed)
    }

    /// Runs that do not hold.
    pub fn failed(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| !record.passed())
    }

    /// How many different scenarios were run.
    pub fn scenarios(&self) -> usize {
        let names: std::collections::BTreeSet<_> =
            self.records.iter().map(|record| (&record.path, &record.scenario)).collect();
        names.len()
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let (runs, failed) = (self.records.len(), self.failed().count());
        let mut text = format!("{} scenarios in {runs} runs: ", self.scenarios());
        match failed {
            0 => text.push_str("all as expected"),
            failed => text.push_str(&format!("{failed} not as expected")),
        }
        let updated = self.records.iter().filter(|record| record.updated).count();
        if updated > 0 {
            text.push_str(&format!(", {updated} updated"));
        }
        if !self.errors.is_empty() {
            text.push_str(&format!(", {} files cannot be read", self.errors.len()));
        }
        text
    }

    /// The report as JUnit XML: a suite per file, a case per run.
    pub fn junit(&self) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
        for records in self.records.chunk_by(|one, next| one.path == next.path) {
            let path = escaped(&records[0].path.to_string_lossy());
            let failed = records.iter().filter(|record| !record.passed()).count();
            out.push_str(&format!("  <testsuite name=\"{path}\" tests=\"{}\" failures=\"{failed}\">\n", records.len()));
            for record in records {
                let name = escaped(&format!("{} ({})", record.scenario, record.mode));
                let head = format!("classname=\"{path}\" name=\"{name}\" time=\"{:.3}\"", record.took.as_secs_f64());
                if record.passed() {
                    out.push_str(&format!("    <testcase {head}/>\n"));
                } else {
                    let text = escaped(&record.failure_text());
                    out.push_str(&format!("    <testcase {head}>\n      <failure>{text}</failure>\n    </testcase>\n"));
                }
            }
            out.push_str("  </testsuite>\n");
        }
        for error in &self.errors {
            let (path, text) = (escaped(&error.path.to_string_lossy()), escaped(&error.to_string()));
            out.push_str(&format!("  <testsuite name=\"{path}\" tests=\"1\" failures=\"0\" errors=\"1\">\n"));
            out.push_str(&format!("    <testcase name=\"{path}\"><error>{text}</error></testcase>\n  </testsuite>\n"));
        }
        out.push_str("</testsuites>\n");
        out
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for next in text.chars() {
        match next {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(next),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junit_counts_and_escapes() {
        let record = |failures: Vec<Failure>| Record {
            path: PathBuf::from("a.md"),
            scenario: "a < b".to_owned(),
            line: 3,
            mode: "plain".to_owned(),
            failures,
            took: Duration::from_millis(12),
            updated: false,
        };
        let failure = Failure { line: 9, message: "\"x\" & y".to_owned() };
        let report = Report { records: vec![record(vec![]), record(vec![failure])], errors: vec![] };
        assert!(!report.passed());
        assert_eq!(report.summary(), "1 scenarios in 2 runs: 1 not as expected");
        let xml = report.junit();
        assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");
        assert!(xml.contains("a &lt; b (plain)") && xml.contains("a.md:9: &quot;x&quot; &amp; y"), "{xml}");
    }
}
