//! `velo tables SCRIPT`.

use anyhow::anyhow;
use clap::Args;
use indicatif::HumanBytes;
use serde_json::json;
use velo_job::{Roots, RunOptions, Script, Shown, TableCounts, TableOverview, TableState, TableStatus};
use velo_sql::render;

use super::{ListFormat, print_error, print_line};
use crate::context;
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::progress::TableBars;
use crate::signals;

/// What `tables` takes.
#[derive(Debug, Args)]
pub struct TablesArguments {
    /// The script; `-` is standard input.
    script: String,
    /// Loads them too, and shows how long it took and what they hold.
    #[arg(long)]
    load: bool,
    /// How the list is printed.
    #[arg(long, value_enum, default_value_t)]
    output: ListFormat,
    /// No bars.
    #[arg(long, short)]
    quiet: bool,
}

/// Shows the tables of a script in the order in which they are loaded.
pub fn run(arguments: &TablesArguments) -> Outcome {
    let text = context::read(&arguments.script)?;
    let runtime = super::run::runtime(None)?;
    runtime.block_on(async {
        let mut context = context::plan_context(&text.folder);
        context.roots = Roots::Tables;
        let script = Script::plan(&text.text, &context).await;
        print_error(&render(script.diagnostics(), &text.name, &text.text));
        if !script.is_runnable() {
            return Err(Failure::Reported);
        }
        let tables = script.tables().await.map_err(|error| Failure::Job(error.into()))?;
        if tables.is_empty() {
            print_error("the script has no tables\n");
            return Ok(());
        }
        if !arguments.load {
            planned(&tables, arguments.output);
            return Ok(());
        }
        load(&script, &tables, arguments).await
    })
}

fn planned(tables: &[TableOverview], format: ListFormat) {
    match format {
        ListFormat::Text => {
            let row = |(at, table): (usize, &TableOverview)| {
                let size = match (table.size.rows, table.size.bytes) {
                    (Some(rows), _) => format!("{rows} rows"),
                    (None, Some(bytes)) => HumanBytes(bytes).to_string(),
                    (None, None) => "not known".to_owned(),
                };
                let needs = if table.needs.is_empty() { "–".to_owned() } else { table.needs.join(", ") };
                vec![(at + 1).to_string(), table.name.clone(), needs, size, table.place.clone(), table.text.clone()]
            };
            let header = ["order", "table", "needs", "size", "declared", "made of"].map(str::to_owned).to_vec();
            let rows = tables.iter().enumerate().map(row).collect();
            print_line(output::shown(&Shown { title: String::new(), header, rows }).trim_end());
        }
        ListFormat::Json => {
            for table in tables {
                print_line(
                    &json!({
                        "name": table.name,
                        "needs": table.needs,
                        "rows": table.size.rows,
                        "bytes": table.size.bytes,
                        "declared": table.place,
                        "text": table.text,
                    })
                    .to_string(),
                );
            }
        }
    }
}

async fn load(script: &Script, tables: &[TableOverview], arguments: &TablesArguments) -> Outcome {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = RunOptions::new(threads);
    signals::watch(options.stop.clone(), false);
    let bars = TableBars::new(arguments.quiet);
    options.on_tables = Some(bars.watch());
    let loaded = script.load_tables(options, &script.progress()).await;
    bars.finish();
    let loaded = loaded.map_err(|error| Failure::Job(error.into()))?;
    match arguments.output {
        ListFormat::Text => {
            let header =
                ["table", "state", "rows", "read", "seconds", "memory", "replaced"].map(str::to_owned).to_vec();
            let rows = loaded.iter().map(|(status, counts)| row(status, counts)).collect();
            print_line(output::shown(&Shown { title: String::new(), header, rows }).trim_end());
            let order: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
            print_line(&format!("load order: {}", order.join(", ")));
        }
        ListFormat::Json => {
            for (status, counts) in &loaded {
                print_line(&json!({ "status": status, "counts": counts }).to_string());
            }
        }
    }
    for (status, _) in &loaded {
        match &status.state {
            TableState::Failed { error } => print_error(&format!("error: table {}: {error}\n", status.name)),
            TableState::Blocked { by } => {
                print_error(&format!("error: table {} waits for {by}, which will never be ready\n", status.name));
            }
            _ => {}
        }
    }
    let lost = loaded.iter().filter(|(status, _)| status.state != TableState::Ready).count();
    match lost {
        0 => Ok(()),
        lost => Err(Failure::Job(anyhow!("{lost} of {} tables are not ready", loaded.len()))),
    }
}

fn row(status: &TableStatus, counts: &TableCounts) -> Vec<String> {
    let state = match &status.state {
        TableState::Waiting { on } => format!("waits for {}", on.join(", ")),
        TableState::Queued => "queued".to_owned(),
        TableState::Opening => "opening".to_owned(),
        TableState::Loading => "loading".to_owned(),
        TableState::Retrying { .. } => "retrying".to_owned(),
        TableState::Ready => "ready".to_owned(),
        TableState::Blocked { by } => format!("blocked by {by}"),
        TableState::Failed { .. } => "failed".to_owned(),
    };
    let seconds = match (status.started, status.finished) {
        (Some(started), Some(finished)) => format!("{:.3}", (finished - started) as f64 / 1e6),
        _ => "–".to_owned(),
    };
    vec![
        status.name.clone(),
        state,
        counts.rows.to_string(),
        HumanBytes(status.bytes).to_string(),
        seconds,
        HumanBytes(counts.memory).to_string(),
        counts.replaced.to_string(),
    ]
}
