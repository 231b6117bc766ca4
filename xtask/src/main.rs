//! Developer commands of the workspace: `cargo xtask COMMAND`.
//!
//! One file per command, its help text included; one file per rule of the house under `tidy/`. Nothing is known only to CI:
//! `.ci/run` calls `cargo xtask ci`, and that calls the commands below as functions.

#![cfg_attr(
    not(feature = "kafka"),
    allow(dead_code, reason = "what does things to brokers is there for a build that talks to them")
)]
#![allow(clippy::print_stdout, reason = "these commands report to the person who typed them")]
#![allow(clippy::print_stderr, reason = "and their errors too")]
#![allow(clippy::disallowed_methods, reason = "steps are timed for people; nothing here is simulated")]

mod bench;
mod binary;
mod chaos;
mod check;
mod ci;
mod connectors;
mod demo;
mod docs;
mod generate;
mod integration;
mod process;
mod publish_check;
mod services;
mod sim;
mod steps;
mod test;
mod test_output;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Developer commands of the Velo workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Args),
    Tidy(tidy::Args),
    Test(test::Args),
    Integration(integration::Args),
    Services(services::Args),
    PublishCheck(publish_check::Args),
    Ci(ci::Args),
    Generate(generate::Args),
    Demo(demo::Args),
    Bench(bench::Args),
    Docs(docs::Args),
    Chaos(chaos::Args),
    Sim(sim::Args),
}

fn main() -> ExitCode {
    let outcome = run(Cli::parse().command);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<steps::Reported>() => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let workspace = Workspace::here()?;
    match command {
        Command::Check(args) => check::run(&workspace, &args),
        Command::Tidy(args) => tidy::run(&workspace, &args),
        Command::Test(args) => test::run(&workspace, &args),
        Command::Integration(args) => integration::run(&workspace, &args),
        Command::Services(args) => services::run(&workspace, &args),
        Command::PublishCheck(args) => publish_check::run(&workspace, &args),
        Command::Ci(args) => ci::run(&workspace, &args),
        Command::Generate(args) => generate::run(&args),
        Command::Demo(args) => demo::run(&workspace, &args),
        Command::Bench(args) => bench::run(&workspace, &args),
        Command::Docs(args) => docs::run(&workspace, &args),
        Command::Chaos(args) => chaos::run(&workspace, &args),
        Command::Sim(args) => sim::run(&workspace, &args),
    }
}
