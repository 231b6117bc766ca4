//! The command `velo`: streaming SQL from one binary.

mod command;
mod connectors;
mod context;
mod error_pages;
mod exit;
mod logging;
mod output;
mod progress;
mod signals;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = command::Arguments::parse();
    logging::start(arguments.verbose);
    exit::code(command::run(arguments))
}
