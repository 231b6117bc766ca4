//! The scenarios of files and folders, run one after the other.

use std::path::{Path, PathBuf};

use velo_core::clock::Stopwatch;
use velo_exec::checkpoint::CallFails;

use super::modes::{Called, Commits, FailingCall, Mode, Modes, Random};
use super::parse::{Scenario, ScenarioError, ScenarioFile, read};
use super::report::{Record, Report};
use super::run::{Failure, Runner, Verdict};
use super::update;

/// What is run, and how.
#[derive(Debug, Clone)]
pub struct SuiteOptions {
    /// The modes.
    pub modes: Modes,
    /// Only scenarios whose name, or whose file's path, contains this.
    pub filter: Option<String>,
    /// Files expect afterwards what came; only the plain mode is run.
    pub update: bool,
}

impl Default for SuiteOptions {
    fn default() -> Self {
        Self { modes: Modes::Plain, filter: None, update: false }
    }
}

/// Files of scenarios.
#[derive(Debug, Clone, Default)]
pub struct Suite {
    /// Those that could be read, by path.
    pub files: Vec<ScenarioFile>,
    /// What is wrong with the others.
    pub errors: Vec<ScenarioError>,
}

impl Suite {
    /// Reads files, and those `.md` files of folders that have a block of SQL; a `README.md` is about scenarios and is none.
    pub fn load(paths: &[PathBuf]) -> Self {
        let mut suite = Self::default();
        for path in paths {
            if let Err(error) = suite.add(path, true) {
                let message = format!("cannot be read: {error}");
                suite.errors.push(ScenarioError { path: path.clone(), line: 1, message });
            }
        }
        suite
    }

    fn add(&mut self, path: &Path, named: bool) -> std::io::Result<()> {
        if path.is_dir() {
            let mut inner = Vec::new();
            for entry in std::fs::read_dir(path)? {
                inner.push(entry?.path());
            }
            inner.sort();
            return inner.iter().try_for_each(|path| self.add(path, false));
        }
        if named || is_meant(path)? {
            match read(path) {
                Ok(file) => self.files.push(file),
                Err(error) => self.errors.push(error),
            }
        }
        Ok(())
    }

    /// Runs all that the options choose; `each` sees every record as it comes.
    pub async fn run(&self, runner: &Runner, options: &SuiteOptions, mut each: impl FnMut(&Record)) -> Report {
        let modes = if options.update { Modes::Plain } else { options.modes };
        if let Modes::Simulated { seed, runs } = modes {
            return self.simulate(runner, options, (seed, runs), each).await;
        }
        if modes == Modes::EachCall {
            return self.fail_each_call(runner, options, each).await;
        }
        let mut report = Report { records: Vec::new(), errors: self.errors.clone() };
        for (index, file) in self.files.iter().enumerate() {
            let mut updates = Vec::new();
            let first = report.records.len();
            for scenario in file.scenarios.iter().filter(|scenario| chosen(options, file, &scenario.name)) {
                for mode in modes.of_file(index).iter().filter(|mode| mode.applies_to(scenario)) {
                    let (mut record, verdict) = recorded(runner, file, scenario, mode).await;
                    let wanted = verdict.updates;
                    // A failure without an update, such as a mistake in the scenario, cannot be mended by one.
                    record.updated = options.update && record.failures.len() == wanted.len() && !wanted.is_empty();
                    if record.updated {
                        updates.extend(wanted);
                    }
                    report.records.push(record);
                    report.records.last().into_iter().for_each(&mut each);
                }
            }
            if let Err(error) = update::write(file, &updates) {
                for record in report.records[first..].iter_mut().filter(|record| record.updated) {
                    record.updated = false;
                    record.failures.push(Failure { line: record.line, message: format!("cannot be updated: {error}") });
                }
            }
        }
        report
    }
}

impl Suite {
    /// Runs from one seed on: each decides which scenario it is and everything that happens to its job.
    async fn simulate(
        &self,
        runner: &Runner,
        options: &SuiteOptions,
        (first, runs): (u64, u64),
        mut each: impl FnMut(&Record),
    ) -> Report {
        let mut report = Report { records: Vec::new(), errors: self.errors.clone() };
        let all = self.files.iter().flat_map(|file| file.scenarios.iter().map(move |scenario| (file, scenario)));
        let all: Vec<_> = all
            .filter(|(file, scenario)| chosen(options, file, &scenario.name) && runner.can_be_killed(scenario))
            .collect();
        for seed in first..first.saturating_add(runs) {
            let mode = Mode::simulated(seed);
            let fitting: Vec<_> = all.iter().filter(|(_, scenario)| mode.applies_to(scenario)).collect();
            if fitting.is_empty() {
                continue;
            }
            let (file, scenario) = fitting[Random::new(!seed).below(fitting.len() as u64) as usize];
            report.records.push(recorded(runner, file, scenario, &mode).await.0);
            report.records.last().into_iter().for_each(&mut each);
        }
        report
    }
}

impl Suite {
    /// Runs each scenario as often as its job makes calls that can fail.
    async fn fail_each_call(&self, runner: &Runner, options: &SuiteOptions, mut each: impl FnMut(&Record)) -> Report {
        let mut report = Report { records: Vec::new(), errors: self.errors.clone() };
        let all = self.files.iter().flat_map(|file| file.scenarios.iter().map(move |scenario| (file, scenario)));
        let fitting = |(file, scenario): &(&ScenarioFile, &Scenario)| {
            chosen(options, file, &scenario.name)
                && runner.can_be_killed(scenario)
                && Mode { killed: true, ..Mode::default() }.applies_to(scenario)
        };
        let mut kinds = Vec::new();
        for of in [Called::Store, Called::Sink] {
            for fails in [CallFails::Before, CallFails::After] {
                for resumed in [false, true] {
                    let call = FailingCall { of, number: 1, fails, resumed };
                    kinds.extend([Commits::Prepared, Commits::Atomic].map(|commits| (call, commits)));
                }
            }
        }
        for ((file, scenario), (call, commits)) in
            all.filter(fitting).flat_map(|one| kinds.iter().map(move |kind| (one, *kind)))
        {
            for number in 1.. {
                let mode = Mode::failing(FailingCall { number, ..call }, commits);
                let (record, verdict) = recorded(runner, file, scenario, &mode).await;
                let failed = !record.failures.is_empty();
                report.records.push(record);
                report.records.last().into_iter().for_each(&mut each);
                if !verdict.call_failed || failed {
                    break;
                }
            }
        }
        report
    }
}

/// Runs a scenario, and gives what became of it and what would make it hold.
async fn recorded(runner: &Runner, file: &ScenarioFile, scenario: &Scenario, mode: &Mode) -> (Record, Verdict) {
    let watch = Stopwatch::start();
    let mut verdict = runner.run(file, scenario, mode).await;
    let record = Record {
        path: file.path.clone(),
        scenario: scenario.name.clone(),
        line: scenario.line,
        mode: mode.to_string(),
        failures: std::mem::take(&mut verdict.failures),
        took: watch.elapsed(),
        updated: false,
    };
    (record, verdict)
}

fn chosen(options: &SuiteOptions, file: &ScenarioFile, name: &str) -> bool {
    let contains = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
    let filter = options.filter.as_deref();
    filter.is_none_or(|filter| contains(name, filter) || contains(&file.path.to_string_lossy(), filter))
}

/// Whether a file found in a folder is meant as scenarios.
fn is_meant(path: &Path) -> std::io::Result<bool> {
    let is_markdown = path.extension().is_some_and(|extension| extension == "md");
    if !is_markdown || path.file_name().is_some_and(|name| name == "README.md") {
        return Ok(false);
    }
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().any(|line| line.trim_start_matches(['`', '~']) == "sql" && line.starts_with(['`', '~'])))
}
