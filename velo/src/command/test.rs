//! `velo test PATH …`.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use serde_json::json;
use velo_core::Clock;
use velo_job::scenario::{Modes, Record, Report, Runner, Suite, SuiteOptions};

use super::{ListFormat, print_error, print_line};
use crate::context;
use crate::exit::{Failure, Outcome};

/// What `test` takes.
#[derive(Debug, Args)]
pub struct TestArguments {
    /// Scenario files, and folders of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Only scenarios whose name or file contains this.
    #[arg(long)]
    filter: Option<String>,
    /// Writes what came into the files in the place of what was expected.
    #[arg(long, conflicts_with = "modes")]
    update: bool,
    /// In how many ways each scenario runs: other batches, orders, partitions and parallelism must give the same.
    #[arg(long, value_enum, default_value_t)]
    modes: ModesArgument,
    /// So many runs in which jobs are killed and fail at random, each decided by its seed: simulation.
    #[arg(long, value_name = "RUNS", conflicts_with_all = ["modes", "update"])]
    simulate: Option<u64>,
    /// Reproduces a choice of modes and their orders, or begins the seeds of a simulation.
    #[arg(long)]
    seed: Option<u64>,
    /// Writes a report as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// How results are printed.
    #[arg(long, value_enum, default_value_t)]
    output: ListFormat,
}

/// `--modes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
enum ModesArgument {
    /// As written.
    #[default]
    Plain,
    /// As written, and in four modes a file that the seed chooses.
    Chosen,
    /// Once for each call to the store of checkpoints and to sinks, which fails in that run.
    EachCall,
    /// In all modes.
    All,
}

/// Runs scenarios; fails where one does not hold.
pub fn run(arguments: &TestArguments) -> Outcome {
    let seed = arguments.seed.unwrap_or_else(|| (Clock::system().now() / 1_000).unsigned_abs() % 1_000_000);
    let options = SuiteOptions {
        modes: match (arguments.simulate, arguments.modes) {
            (Some(runs), _) => Modes::Simulated { seed, runs },
            (None, ModesArgument::Plain) => Modes::Plain,
            (None, ModesArgument::Chosen) => Modes::Chosen(seed),
            (None, ModesArgument::All) => Modes::All(seed),
            (None, ModesArgument::EachCall) => Modes::EachCall,
        },
        filter: arguments.filter.clone(),
        update: arguments.update,
    };
    let suite = Suite::load(&arguments.paths);
    for error in &suite.errors {
        print_error(&format!("error: {error}\n"));
    }
    if suite.files.is_empty() && suite.errors.is_empty() {
        return Err(Failure::Usage(anyhow!("there are no scenarios: a scenario is a .md file with a block ```sql")));
    }
    let runner = Runner::new(context::plan_context);
    let runtime = super::run::runtime(None)?;
    let report = runtime.block_on(suite.run(&runner, &options, |record| tell(arguments.output, record)));
    finish(arguments, &options, &report)
}

fn tell(format: ListFormat, record: &Record) {
    match format {
        ListFormat::Json => print_line(
            &json!({
                "file": record.path.to_string_lossy(),
                "line": record.line,
                "scenario": record.scenario,
                "mode": record.mode,
                "passed": record.failures.is_empty(),
                "seconds": record.took.as_secs_f64(),
                "failures": record.failures.iter().map(|failure| json!({
                    "line": failure.line,
                    "message": failure.message,
                })).collect::<Vec<_>>(),
            })
            .to_string(),
        ),
        ListFormat::Text if record.failures.is_empty() => {}
        ListFormat::Text => print_error(&format!(
            "{}: {} ({})\n{}\n",
            if record.passed() { "CHANGED" } else { "FAILED" },
            record.scenario,
            record.mode,
            record.failure_text()
        )),
    }
}

fn finish(arguments: &TestArguments, options: &SuiteOptions, report: &Report) -> Outcome {
    if let Some(path) = &arguments.junit {
        std::fs::write(path, report.junit())
            .with_context(|| format!("writing {}", path.display()))
            .map_err(Failure::Usage)?;
    }
    let mut summary = report.summary();
    if let Modes::Chosen(seed) | Modes::All(seed) | Modes::Simulated { seed, .. } = options.modes {
        summary.push_str(&format!(" (seed {seed})"));
    }
    if report.passed() {
        if arguments.output == ListFormat::Text {
            print_line(&summary);
        }
        return Ok(());
    }
    Err(Failure::Job(anyhow!("{summary}")))
}
