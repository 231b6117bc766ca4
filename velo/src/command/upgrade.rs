//! `velo upgrade SCRIPT`.

use anyhow::anyhow;
use clap::Args;
use serde_json::json;
use velo_exec::checkpoint::PartFate;
use velo_job::{Folder, Script, Shown, upgrade};
use velo_sql::render;

use super::{ListFormat, print_error, print_line};
use crate::context;
use crate::exit::{Failure, Outcome};
use crate::output;

/// What `upgrade` takes.
#[derive(Debug, Args)]
pub struct UpgradeArguments {
    /// The script, as it is to run from now on.
    script: String,
    /// Only says what would be kept, and makes nothing.
    #[arg(long)]
    plan: bool,
    /// How the list is printed.
    #[arg(long, value_enum, default_value_t)]
    output: ListFormat,
}

/// Says what a changed script keeps of its job's checkpoint, and makes a checkpoint for it.
pub fn run(arguments: &UpgradeArguments) -> Outcome {
    let text = context::read(&arguments.script)?;
    let runtime = super::run::runtime(Some(1))?;
    runtime.block_on(async {
        let script = Script::plan(&text.text, &context::plan_context(&text.folder)).await;
        print_error(&render(script.diagnostics(), &text.name, &text.text));
        if !script.is_runnable() {
            return Err(Failure::Reported);
        }
        let Some(dir) = script.checkpoint_dir() else {
            return Err(Failure::Usage(anyhow!("{} has no 'checkpoint.dir'", arguments.script)));
        };
        let job = |error: velo_exec::ExecError| Failure::Job(error.into());
        let folder = Folder::open(dir).map_err(job)?;
        let name = script.name().map_or_else(|| text.job_name(), str::to_owned);
        let done = upgrade(&script, &folder, &name, !arguments.plan).await.map_err(job)?;
        let Some(done) = done else {
            print_error("there is no checkpoint to go on from: a run begins anew\n");
            return Ok(());
        };
        let fate = |fate| match fate {
            PartFate::Kept => "kept",
            PartFate::Begins => "begins empty",
            PartFate::Lost => "lost",
        };
        match arguments.output {
            ListFormat::Json => {
                for part in &done.parts {
                    print_line(&json!({ "part": part.name, "fate": fate(part.fate), "why": part.why }).to_string());
                }
            }
            ListFormat::Text => {
                let row = |part: &velo_exec::checkpoint::Part| {
                    vec![part.name.clone(), fate(part.fate).to_owned(), part.why.clone()]
                };
                let header = ["part", "state", "why"].map(str::to_owned).to_vec();
                let rows = done.parts.iter().map(row).collect();
                print_line(output::shown(&Shown { title: String::new(), header, rows }).trim_end());
            }
        }
        print_error(&match done.made {
            Some(made) => format!("checkpoint {made} was made of {}: velo run goes on from it\n", done.checkpoint),
            None => format!("of checkpoint {}; without --plan a checkpoint is made for the script\n", done.checkpoint),
        });
        Ok(())
    })
}
