//! `velo validate SCRIPT`.

use clap::Args;
use velo_job::Script;
use velo_sql::{render, to_json};

use super::{ListFormat, print_error, print_line};
use crate::context;
use crate::exit::{Failure, Outcome};

/// What `validate` takes.
#[derive(Debug, Args)]
pub struct ValidateArguments {
    /// The script; `-` is standard input.
    script: String,
    /// How mistakes are printed.
    #[arg(long, value_enum, default_value_t)]
    output: ListFormat,
}

/// Plans a script and reports what is wrong with it.
pub fn run(arguments: &ValidateArguments) -> Outcome {
    let text = context::read(&arguments.script)?;
    let runtime = super::run::runtime(Some(1))?;
    let script = runtime.block_on(Script::plan(&text.text, &context::plan_context(&text.folder)));
    match arguments.output {
        ListFormat::Text => print_error(&render(script.diagnostics(), &text.name, &text.text)),
        ListFormat::Json => print_line(&to_json(script.diagnostics(), &text.name, &text.text).to_string()),
    }
    if !script.is_runnable() {
        return Err(Failure::Reported);
    }
    if script.graph().sinks.is_empty() && script.shown().is_empty() {
        print_error(super::NOTHING_RUNS);
    }
    Ok(())
}
