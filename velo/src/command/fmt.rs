//! `velo fmt SCRIPT …`.

use anyhow::Context;
use clap::Args;
use velo_sql::{format_script, render};

use super::{print_error, print_line};
use crate::context;
use crate::exit::{Failure, Outcome};

/// What `fmt` takes.
#[derive(Debug, Args)]
pub struct FmtArguments {
    /// The scripts; `-` is standard input.
    #[arg(required = true)]
    scripts: Vec<String>,
    /// Changes nothing; fails where a script is not in the standard layout.
    #[arg(long)]
    check: bool,
}

/// Formats scripts in place; standard input to standard output.
#[expect(clippy::print_stdout, reason = "the formatted script is the result")]
pub fn run(arguments: &FmtArguments) -> Outcome {
    let mut failed = false;
    for path in &arguments.scripts {
        let script = context::read(path)?;
        let formatted = match format_script(&script.text) {
            Ok(formatted) => formatted,
            Err(diagnostics) => {
                print_error(&render(&diagnostics, &script.name, &script.text));
                failed = true;
                continue;
            }
        };
        if arguments.check {
            if formatted != script.text {
                print_line(path);
                failed = true;
            }
        } else if path == "-" {
            print!("{formatted}");
        } else if formatted != script.text {
            std::fs::write(path, formatted).with_context(|| format!("writing {path}")).map_err(Failure::Usage)?;
        }
    }
    if failed { Err(Failure::Reported) } else { Ok(()) }
}
