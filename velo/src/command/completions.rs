//! `velo completions SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Arguments;
use crate::exit::Outcome;

/// What `completions` takes.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell.
    shell: Shell,
}

/// Prints the completions.
pub fn run(arguments: &CompletionsArguments) -> Outcome {
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "velo", &mut std::io::stdout());
    Ok(())
}
