//! The commands, one file each.

mod checkpoint;
mod completions;
mod connectors;
mod dlq;
mod errors;
mod explain;
mod fmt;
mod functions;
mod properties;
mod run;
mod tables;
mod test;
mod upgrade;
mod validate;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::Outcome;

/// What a script is told that only declares things, and shows nothing.
const NOTHING_RUNS: &str =
    "the script declares things and has no statement that runs: add a SELECT or an INSERT INTO\n";

/// Streaming SQL from one binary.
#[derive(Debug, Parser)]
#[command(name = "velo", version, about, propagate_version = true)]
pub struct Arguments {
    /// Says more: -v what happens, -vv its details.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a script to its end, or until it is stopped.
    Run(run::RunArguments),
    /// Reports the mistakes of a script without running it.
    Validate(validate::ValidateArguments),
    /// Shows how a script would run.
    Explain(explain::ExplainArguments),
    /// Shows the tables of a script, what each needs, and the order in which they are loaded.
    Tables(tables::TablesArguments),
    /// Lists, shows and checks the checkpoints of a job.
    Checkpoint(checkpoint::CheckpointArguments),
    /// Says what a changed script keeps of its job's checkpoint, and makes a checkpoint for it.
    Upgrade(upgrade::UpgradeArguments),
    /// Lists dead letters, and writes their records so that they can be read again.
    Dlq(dlq::DlqArguments),
    /// Writes a script in the standard layout.
    Fmt(fmt::FmtArguments),
    /// Runs scenario files: scripts with the rows that go in and the rows that must come out.
    Test(test::TestArguments),
    /// Lists the functions.
    Functions(ListArguments),
    /// Lists the properties.
    Properties(ListArguments),
    /// Lists the connectors of this build.
    Connectors(ListArguments),
    /// Explains the codes of errors.
    Errors(ListArguments),
    /// Prints the completions of a shell.
    Completions(completions::CompletionsArguments),
}

/// What listing commands take.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Only those whose name contains this.
    pattern: Option<String>,
    /// How the list is printed.
    #[arg(long, value_enum, default_value_t)]
    output: ListFormat,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
enum ListFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

impl ListArguments {
    fn matches(&self, name: &str) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| name.to_lowercase().contains(&pattern.to_lowercase()))
    }
}

/// Runs a command.
pub fn run(arguments: Arguments) -> Outcome {
    match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Tables(arguments) => tables::run(&arguments),
        Command::Checkpoint(arguments) => checkpoint::run(&arguments),
        Command::Upgrade(arguments) => upgrade::run(&arguments),
        Command::Dlq(arguments) => dlq::run(&arguments),
        Command::Fmt(arguments) => fmt::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Functions(arguments) => functions::run(&arguments),
        Command::Properties(arguments) => properties::run(&arguments),
        Command::Connectors(arguments) => connectors::run(&arguments),
        Command::Errors(arguments) => errors::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
    }
}

/// Prints a line of a result.
#[expect(clippy::print_stdout, reason = "results of commands go to stdout")]
fn print_line(line: &str) {
    println!("{line}");
}

/// Prints to stderr.
#[expect(clippy::print_stderr, reason = "what is no result goes to stderr")]
fn print_error(text: &str) {
    eprint!("{text}");
}
