//! `velo checkpoint list|show|verify|resolve`.

use std::path::Path;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use serde_json::json;
use velo_core::offset::Position;
use velo_core::time;
use velo_exec::checkpoint::{Found, Inventory, Manifest, Standing, committed, discard, verify};
use velo_job::{Folder, Script, Shown};
use velo_sql::render;

use super::{ListFormat, print_error, print_line};
use crate::context;
use crate::exit::{Failure, Outcome};
use crate::output;

/// What `checkpoint` takes.
#[derive(Debug, Args)]
pub struct CheckpointArguments {
    #[command(subcommand)]
    command: CheckpointCommand,
}

#[derive(Debug, Subcommand)]
enum CheckpointCommand {
    /// Lists the checkpoints of a job.
    List(FolderArguments),
    /// Shows what one of them consists of.
    Show(OneArguments),
    /// Reads all files of one of them, or of all, and checks them.
    Verify(VerifyArguments),
    /// Says of one that waits for another system whether its transaction was committed there, where that does not know any more.
    Resolve(ResolveArguments),
}

#[derive(Debug, Args)]
struct FolderArguments {
    /// The `checkpoint.dir`, or the script that names it.
    from: String,
    /// How the list is printed.
    #[arg(long, value_enum, default_value_t)]
    output: ListFormat,
}

#[derive(Debug, Args)]
struct OneArguments {
    #[command(flatten)]
    folder: FolderArguments,
    /// The checkpoint; the newest by default.
    number: Option<u64>,
}

#[derive(Debug, Args)]
struct VerifyArguments {
    #[command(flatten)]
    folder: FolderArguments,
    /// The checkpoint; all by default.
    number: Option<u64>,
}

#[derive(Debug, Args)]
struct ResolveArguments {
    /// The `checkpoint.dir`, or the script that names it.
    from: String,
    /// The checkpoint.
    number: u64,
    /// It was: the last results are visible in that system. The job goes on behind them.
    #[arg(long, conflicts_with = "discard", required_unless_present = "discard")]
    committed: bool,
    /// It was not: nothing of it is visible there. The job goes on from the one before.
    #[arg(long)]
    discard: bool,
}

/// Lists, shows, checks or resolves checkpoints.
pub fn run(arguments: &CheckpointArguments) -> Outcome {
    let runtime = super::run::runtime(Some(1))?;
    runtime.block_on(async {
        match &arguments.command {
            CheckpointCommand::List(arguments) => list(arguments).await,
            CheckpointCommand::Show(arguments) => show(arguments).await,
            CheckpointCommand::Verify(arguments) => check(arguments).await,
            CheckpointCommand::Resolve(arguments) => resolve(arguments).await,
        }
    })
}

/// The folder that is named, or that a script names.
async fn folder(from: &str) -> Result<(Folder, Inventory), Failure> {
    let address = if Path::new(from).is_file() {
        let text = context::read(from)?;
        let script = Script::plan(&text.text, &context::plan_context(&text.folder)).await;
        if !script.is_runnable() {
            print_error(&render(script.diagnostics(), &text.name, &text.text));
            return Err(Failure::Reported);
        }
        let dir = script.checkpoint_dir().map(str::to_owned);
        dir.ok_or_else(|| Failure::Usage(anyhow!("{from} has no 'checkpoint.dir'")))?
    } else {
        from.to_owned()
    };
    // Opening would create it.
    if !address.contains("://") && !Path::new(&address).is_dir() {
        return Err(Failure::Usage(anyhow!("there is no folder {address}, and so no checkpoint")));
    }
    let job = |error: velo_exec::ExecError| Failure::Job(error.into());
    let folder = Folder::open(&address).map_err(job)?;
    let inventory = Inventory::take(&folder).await.map_err(job)?;
    Ok((folder, inventory))
}

/// How a checkpoint stands, in a word.
fn state(found: &Found, run_from: u64) -> &'static str {
    match &found.manifest {
        Err(_) => "damaged",
        Ok(_) if found.number < run_from => "of an earlier run",
        Ok(manifest) => match found.standing {
            Standing::Discarded => "discarded",
            Standing::Pending | Standing::Committed => "pending",
            Standing::Complete if manifest.ended => "ended",
            Standing::Complete => "complete",
        },
    }
}

async fn list(arguments: &FolderArguments) -> Outcome {
    let (_, inventory) = folder(&arguments.from).await?;
    if let ListFormat::Json = arguments.output {
        for found in &inventory.checkpoints {
            let manifest = found.manifest.as_ref().ok();
            let line = json!({
                "checkpoint": found.number,
                "state": state(found, inventory.run_from),
                "time": manifest.map(|manifest| time::iso8601(manifest.time)),
                "attempt": manifest.map(|manifest| manifest.attempt),
                "bytes": manifest.map(Manifest::state_bytes),
                "wrong": found.manifest.as_ref().err(),
            });
            print_line(&line.to_string());
        }
        return Ok(());
    }
    if inventory.checkpoints.is_empty() {
        print_error("there is no checkpoint\n");
        return Ok(());
    }
    let row = |found: &Found| {
        let of = |text: &dyn Fn(&Manifest) -> String| found.manifest.as_ref().map_or("–".to_owned(), text);
        vec![
            found.number.to_string(),
            state(found, inventory.run_from).to_owned(),
            of(&|manifest| time::iso8601(manifest.time)),
            of(&|manifest| manifest.attempt.to_string()),
            of(&|manifest| HumanBytes(manifest.state_bytes()).to_string()),
            found.manifest.as_ref().err().cloned().unwrap_or_default(),
        ]
    };
    let header = ["checkpoint", "state", "time", "attempt", "size", "wrong"].map(str::to_owned).to_vec();
    let rows = inventory.checkpoints.iter().map(row).collect();
    print_line(output::shown(&Shown { title: String::new(), header, rows }).trim_end());
    Ok(())
}

fn one(inventory: &Inventory, number: Option<u64>) -> Result<&Found, Failure> {
    let found = match number {
        Some(number) => inventory.checkpoints.iter().find(|found| found.number == number),
        None => inventory.checkpoints.last(),
    };
    found.ok_or_else(|| {
        let numbers: Vec<String> = inventory.checkpoints.iter().map(|found| found.number.to_string()).collect();
        Failure::Usage(match (number, numbers.is_empty()) {
            (Some(number), false) => anyhow!("there is no checkpoint {number}; there are {}", numbers.join(", ")),
            _ => anyhow!("there is no checkpoint"),
        })
    })
}

async fn show(arguments: &OneArguments) -> Outcome {
    let (_, inventory) = folder(&arguments.folder.from).await?;
    let found = one(&inventory, arguments.number)?;
    let manifest = found
        .manifest
        .as_ref()
        .map_err(|why| Failure::Job(anyhow!("checkpoint {} cannot be read: {why}", found.number)))?;
    if let ListFormat::Json = arguments.folder.output {
        let text = serde_json::to_string(manifest).map_err(|error| Failure::Job(error.into()))?;
        print_line(&text);
        return Ok(());
    }
    print_line(&format!(
        "checkpoint {} of {}, {}, attempt {}",
        manifest.checkpoint,
        time::iso8601(manifest.time),
        state(found, inventory.run_from),
        manifest.attempt
    ));
    if let Some(system) = &manifest.commit_point {
        print_line(&format!("valid where {system} has committed its transaction"));
    }
    let mut rows = Vec::new();
    for (source, saved) in &manifest.sources {
        for (name, partition) in &saved.partitions {
            let idle = if partition.idle { ", idle" } else { "" };
            let highest = partition.highest.map_or(String::new(), |at| format!(", up to {}", time::iso8601(at)));
            let read = format!("{}{highest}{idle}", position(partition.position.as_ref()));
            rows.push(vec![format!("source {source}"), name.clone(), read]);
        }
    }
    for (operator, tasks) in &manifest.operators {
        for (at, task) in tasks.iter().enumerate() {
            for file in &task.files {
                let text = format!("{} rows, {} in {}", file.rows, HumanBytes(file.bytes), file.path);
                rows.push(vec![format!("operator {operator}"), format!("{} of task {at}", file.table), text]);
            }
        }
    }
    for (sink, saved) in &manifest.sinks {
        let delivered = saved.counters.get("delivered").copied().unwrap_or(0);
        rows.push(vec![format!("sink {sink}"), "–".to_owned(), format!("{delivered} rows so far")]);
    }
    let header = ["what", "part", "state"].map(str::to_owned).to_vec();
    print_line(output::shown(&Shown { title: String::new(), header, rows }).trim_end());
    Ok(())
}

fn position(position: Option<&Position>) -> String {
    match position {
        None => "nothing read yet".to_owned(),
        Some(Position::File(file)) => format!("{} to byte {} (line {})", file.path, file.bytes, file.lines),
        Some(Position::Offset(offset)) => format!("to offset {offset}"),
        Some(Position::Row(row)) => format!("to row {row}"),
        Some(Position::Finished) => "to its end".to_owned(),
    }
}

async fn check(arguments: &VerifyArguments) -> Outcome {
    let (folder, inventory) = folder(&arguments.folder.from).await?;
    let chosen: Vec<&Found> = match arguments.number {
        Some(number) => vec![one(&inventory, Some(number))?],
        None => inventory.checkpoints.iter().collect(),
    };
    let mut damaged = 0;
    for found in chosen {
        let result = verify(&folder, found).await;
        damaged += usize::from(result.is_err());
        let wrong = result.as_ref().err().map(|error| match error {
            velo_exec::ExecError::State { what, why } => format!("{what}: {why}"),
            other => other.to_string(),
        });
        print_line(&match arguments.folder.output {
            ListFormat::Json => {
                json!({ "checkpoint": found.number, "whole": wrong.is_none(), "wrong": wrong }).to_string()
            }
            ListFormat::Text => {
                let files = found.manifest.as_ref().map_or(0, |manifest| manifest.files().count());
                let whole = || format!("whole, {files} files");
                format!(
                    "checkpoint {}: {}",
                    found.number,
                    wrong.map_or_else(whole, |wrong| format!("damaged: {wrong}"))
                )
            }
        });
    }
    if damaged > 0 {
        return Err(Failure::Job(anyhow!("{damaged} of the checkpoints are damaged")));
    }
    Ok(())
}

async fn resolve(arguments: &ResolveArguments) -> Outcome {
    let (folder, inventory) = folder(&arguments.from).await?;
    let number = arguments.number;
    let found = one(&inventory, Some(number))?;
    let nothing = |why: String| Err(Failure::Usage(anyhow!("checkpoint {number} {why}: there is nothing to resolve")));
    match (found.standing, &found.manifest) {
        _ if number < inventory.run_from => return nothing("belongs to an earlier run".to_owned()),
        (Standing::Complete, _) => return nothing("is complete".to_owned()),
        (Standing::Committed, _) => return nothing("is committed already".to_owned()),
        (Standing::Discarded, _) => return nothing("is discarded already".to_owned()),
        (Standing::Pending, Ok(manifest)) if manifest.commit_point.is_none() => {
            return nothing("is valid as it is, and its sinks finish it at the next start".to_owned());
        }
        (Standing::Pending, Err(why)) if arguments.committed => {
            return Err(Failure::Usage(anyhow!(
                "checkpoint {number} cannot be gone on from: {why}\n  help: if its results are visible, velo run --from-checkpoint N --accept-duplicates goes on from an older one, and --fresh begins anew"
            )));
        }
        (Standing::Pending, _) => {}
    }
    let written = if arguments.committed { committed(&folder, number).await } else { discard(&folder, number).await };
    written.map_err(|error| Failure::Job(error.into()))?;
    print_line(&if arguments.committed {
        format!("checkpoint {number} is committed: velo run goes on behind it")
    } else {
        format!("checkpoint {number} is discarded: velo run goes on from the one before")
    });
    Ok(())
}
