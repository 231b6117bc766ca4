//! `velo explain SCRIPT`.

use clap::{Args, ValueEnum};
use velo_job::Script;
use velo_sql::render;

use super::{print_error, print_line};
use crate::context;
use crate::exit::{Failure, Outcome};

/// What `explain` takes.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The script; `-` is standard input.
    script: String,
    /// How the plan is printed.
    #[arg(long, value_enum, default_value_t)]
    output: PlanFormat,
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
enum PlanFormat {
    /// An indented tree.
    #[default]
    Text,
    /// Graphviz.
    Dot,
    /// For machines.
    Json,
}

/// Plans a script and shows the plan.
pub fn run(arguments: &ExplainArguments) -> Outcome {
    let text = context::read(&arguments.script)?;
    let runtime = super::run::runtime(Some(1))?;
    let script = runtime.block_on(Script::plan(&text.text, &context::plan_context(&text.folder)));
    print_error(&render(script.diagnostics(), &text.name, &text.text));
    if !script.is_runnable() {
        return Err(Failure::Reported);
    }
    let plan = script.graph();
    if plan.sinks.is_empty() {
        print_error(super::NOTHING_RUNS);
    }
    let shown = match arguments.output {
        PlanFormat::Text => plan.text(),
        PlanFormat::Dot => plan.dot(),
        PlanFormat::Json => plan.json().to_string(),
    };
    print_line(shown.trim_end());
    Ok(())
}
