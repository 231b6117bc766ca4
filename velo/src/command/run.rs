//! `velo run SCRIPT`.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Args;
use tokio::runtime::Runtime;
use velo_core::connector::{Guarantee, Sink};
use velo_core::progress::Progress;
use velo_job::{JobProgress, Resume, RunOptions, Script};
use velo_sql::render;

use super::{print_error, print_line};
use crate::context::{self, ScriptText};
use crate::exit::{Failure, Outcome};
use crate::output::{self, Counted, OutputFormat, TerminalSink};
use crate::progress::{ProgressLine, TableBars};
use crate::signals;

/// What `run` takes.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The script; `-` is standard input.
    script: String,
    /// How rows of a SELECT are printed.
    #[arg(long, value_enum, default_value_t)]
    output: OutputFormat,
    /// Threads that work; as many as there are cores by default.
    #[arg(long)]
    threads: Option<usize>,
    /// Tasks that share the keys of a GROUP BY; as many as there are threads by default.
    #[arg(long)]
    parallelism: Option<usize>,
    /// The largest number of rows of a batch.
    #[arg(long, default_value_t = 8_192)]
    batch_rows: usize,
    /// When stopped, ends the inputs, so that open windows fire.
    #[arg(long)]
    finish_on_stop: bool,
    /// Begins anew, whatever there is in `checkpoint.dir`.
    #[arg(long, conflicts_with = "from_checkpoint")]
    fresh: bool,
    /// Goes on from this checkpoint of `checkpoint.dir` instead of the newest.
    #[arg(long, value_name = "N", requires = "accept_duplicates")]
    from_checkpoint: Option<u64>,
    /// Rows that were written behind that checkpoint may come twice.
    #[arg(long, requires = "from_checkpoint")]
    accept_duplicates: bool,
    /// No progress line.
    #[arg(long, short)]
    quiet: bool,
}

/// Threads for a job.
pub fn runtime(threads: Option<usize>) -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        if threads == 0 {
            return Err(Failure::Usage(anyhow!("--threads must be at least 1")));
        }
        builder.worker_threads(threads);
    }
    builder.enable_all().build().context("starting threads").map_err(Failure::Job)
}

/// Runs a script.
pub fn run(arguments: &RunArguments) -> Outcome {
    let text = context::read(&arguments.script)?;
    let runtime = runtime(arguments.threads)?;
    runtime.block_on(run_script(arguments, &text))
}

async fn run_script(arguments: &RunArguments, text: &ScriptText) -> Outcome {
    let script = Script::plan(&text.text, &context::plan_context(&text.folder)).await;
    print_error(&render(script.diagnostics(), &text.name, &text.text));
    if !script.is_runnable() {
        return Err(Failure::Reported);
    }
    for shown in script.shown() {
        print_line(output::shown(shown).trim_end());
    }
    if script.graph().sinks.is_empty() && !script.shown().is_empty() {
        return Ok(());
    }
    if script.graph().sinks.is_empty() {
        print_error(super::NOTHING_RUNS);
        return Ok(());
    }
    let threads = arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let mut options = RunOptions::new(threads);
    options.batch_rows = arguments.batch_rows.max(1);
    if let Some(parallelism) = arguments.parallelism {
        if !(1..=256).contains(&parallelism) {
            return Err(Failure::Usage(anyhow!("--parallelism is between 1 and 256, not {parallelism}")));
        }
        options.parallelism = parallelism;
    }
    for (at, sink) in script.terminals() {
        let terminal: Box<dyn Sink> = if script.is_analyzed(at) {
            Box::new(Counted)
        } else {
            Box::new(TerminalSink::new(sink, arguments.output).map_err(|error| Failure::Usage(error.into()))?)
        };
        options.terminals.insert(at, terminal);
    }
    options.name = text.job_name();
    options.resume = match arguments.from_checkpoint {
        Some(number) => Resume::From(number),
        None if arguments.fresh => Resume::Fresh,
        None => Resume::Newest,
    };
    if script.checkpoint_dir().is_none() && options.resume != Resume::Newest {
        return Err(Failure::Usage(anyhow!("the script has no 'checkpoint.dir', so each run begins anew")));
    }
    options.on_note = Some(Arc::new(|note: &str| print_error(&format!("note: {note}\n"))));
    guarantees(&script);
    signals::watch(options.stop.clone(), arguments.finish_on_stop);
    let progress = script.progress();
    let hidden = arguments.quiet || script.terminals().next().is_some();
    let bars = TableBars::new(arguments.quiet);
    options.on_tables = Some(bars.watch());
    let line = ProgressLine::start(&progress, hidden);
    let result = script.run(options, &progress).await;
    line.finish();
    bars.finish();
    result.map_err(|error| Failure::Job(error.into()))?;
    for analysis in script.analysis(&progress) {
        print_line(analysis.trim_end());
    }
    summary(&script, &progress);
    Ok(())
}

/// What a restart repeats, where it repeats something.
fn guarantees(script: &Script) {
    for sink in &script.graph().sinks {
        if sink.binding.is_some() && !sink.bounded && sink.guarantee == Guarantee::AtLeastOnce {
            let repeats = match script.checkpoint_dir() {
                Some(_) => "a restart may write the rows since the last checkpoint again",
                None => "a restart reads from the beginning and writes its rows again ('checkpoint.dir' changes that)",
            };
            print_error(&format!("note: {} is written at least once: {repeats}\n", sink.name));
        }
    }
}

/// One line per sink that has a connector: what was written.
fn summary(script: &Script, progress: &JobProgress) {
    for (sink, counters) in script.graph().sinks.iter().zip(&progress.sinks) {
        if let Some(binding) = &sink.binding {
            let rows = Progress::get(&counters.delivered);
            print_error(&format!("{}: {rows} rows to {}\n", sink.name, binding.describe()));
        }
    }
    for (statement, rows) in progress.late_rows(script.graph()) {
        print_error(&format!("{statement}: {rows} rows came too late\n"));
    }
    for (statement, rows) in progress.compute_errors(script.graph()) {
        print_error(&format!("{statement}: {rows} rows could not be computed and were left out\n"));
    }
    for (table, rows) in progress.missing_rows(script.graph()) {
        print_error(&format!("{table}: {rows} rows found nothing in it\n"));
    }
    let held = progress.held.load(std::sync::atomic::Ordering::Relaxed);
    // With checkpoints they are in the last one.
    if held > 0 && script.checkpoint_dir().is_none() {
        print_error(&format!(
            "stopped: open windows held {held} rows, which are not in the output; --finish-on-stop ends the inputs instead\n"
        ));
    }
    for (source, counters) in script.graph().sources.iter().zip(&progress.sources) {
        let skipped = Progress::get(&counters.skipped);
        if skipped > 0 {
            print_error(&format!("{}: {skipped} records were skipped\n", source.name));
        }
        let overlap = Progress::get(&counters.overlap);
        if overlap > 0 {
            print_error(&format!(
                "{}: {overlap} rows were left out where the history and what comes live overlap
",
                source.name
            ));
        }
        let rewritten = Progress::get(&counters.rewritten);
        if rewritten > 0 {
            print_error(&format!(
                "{}: files were cut or rewritten {rewritten} times; lines that were written just before, and are in no copy, were not read\n",
                source.name
            ));
        }
    }
}
