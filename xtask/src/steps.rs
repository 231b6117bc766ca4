//! A list of steps that all run, each timed, with one summary at the end: a failure does not hide the next one.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The error of a command that has said everything already, because something else must be its last line.
#[derive(Debug)]
pub struct Reported;

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed, as reported above")
    }
}

impl std::error::Error for Reported {}

/// What became of a step.
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

struct Step {
    name: String,
    took: Duration,
    outcome: Outcome,
}

/// Runs steps one after the other and remembers how each ended.
#[derive(Default)]
pub struct Steps {
    done: Vec<Step>,
}

impl Steps {
    /// Runs one step; its error is printed at once, and again at the end.
    pub fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = match step() {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                let text = format!("{error:#}");
                println!("{text}");
                Outcome::Failed(text)
            }
        };
        self.done.push(Step { name: name.to_owned(), took: start.elapsed(), outcome });
    }

    /// Records that a step cannot run here, and why.
    pub fn skip(&mut self, name: &str, why: &str) {
        println!("\n== {name}: skipped, {why}");
        let outcome = Outcome::Skipped(why.to_owned());
        self.done.push(Step { name: name.to_owned(), took: Duration::ZERO, outcome });
    }

    /// Prints a line per step; fails if one failed, and says what went wrong in those that did.
    pub fn finish(self, what: &str) -> Result<()> {
        println!("\n== {what}: summary");
        for step in &self.done {
            println!("{}", summary_line(step));
        }
        let failed = self.done.iter().filter_map(|step| match &step.outcome {
            Outcome::Failed(why) => Some((step.name.as_str(), why)),
            Outcome::Passed | Outcome::Skipped(_) => None,
        });
        let (names, whys): (Vec<_>, Vec<_>) = failed.map(|(name, why)| (name, format!("\n{name}: {why}"))).unzip();
        if names.is_empty() {
            return Ok(());
        }
        bail!("{what} failed in: {}{}", names.join(", "), whys.concat())
    }
}

fn summary_line(step: &Step) -> String {
    let (mark, why) = match &step.outcome {
        Outcome::Passed => ("ok     ", String::new()),
        Outcome::Failed(why) => ("FAILED ", format!(": {}", why.lines().next().unwrap_or_default())),
        Outcome::Skipped(why) => ("skipped", format!(": {why}")),
    };
    format!("{mark} {:>7.1} s  {}{why}", step.took.as_secs_f64(), step.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_runs_and_one_failure_fails_all() {
        let mut steps = Steps::default();
        let mut ran = 0;
        steps.run("first", || bail!("broken"));
        steps.run("second", || {
            ran += 1;
            Ok(())
        });
        steps.skip("third", "no such tool");
        assert_eq!(ran, 1);
        let error = steps.finish("demo").unwrap_err().to_string();
        assert_eq!(error, "demo failed in: first\nfirst: broken");
    }

    #[test]
    fn skipped_steps_do_not_fail() {
        let mut steps = Steps::default();
        steps.skip("only", "no such tool");
        assert!(steps.finish("demo").is_ok());
    }
}
