//! One scenario in one mode: planned, run on a clock of its own, compared.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use velo_core::progress::Progress;
use velo_core::table_text::value_text;
use velo_core::{Batch, Clock};
use velo_exec::runtime::JobProgress;
use velo_exec::spill::MemoryPool;
use velo_plan::PlanContext;
use velo_sql::{parse_script, print_script, render};

use super::broker::Broker;
use super::compare::{Comparison, as_text, expected, expected_csv, line_differences, rows_of, text_differences};
use super::killed::{self, SharedFate};
use super::modes::{Batching, Commits, Mode};
use super::parse::{Block, Output, Scenario, ScenarioFile};
use super::stand_in::{Bound, registry};
use super::temporary::Folder;
use super::update::Update;
use super::wire::{Got, GotPlace, Mistake, Wired, Wiring};
use crate::{RunOptions, Script};

/// What the clock of a scenario shows at its start: 2030-01-01T00:00:00Z.
pub const START: i64 = 1_893_456_000_000_000;

/// A scenario that has not ended after this much real time never will.
const PATIENCE: Duration = Duration::from_secs(120);

/// The name of the script in reports.
const SCRIPT: &str = "script.sql";

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The line of the scenario file that it is about.
    pub line: usize,
    /// What differs.
    pub message: String,
}

/// What became of a run.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// What is not as expected; empty for a scenario that holds.
    pub failures: Vec<Failure>,
    /// What would make it so.
    pub updates: Vec<Update>,
    /// The call that was to fail in this mode was made.
    pub call_failed: bool,
}

impl Verdict {
    fn fail(&mut self, line: usize, message: impl Into<String>) {
        self.failures.push(Failure { line, message: message.into() });
    }
}

/// What planning may use, for scripts in a folder.
pub type ContextOf = Box<dyn Fn(&Path) -> PlanContext + Send + Sync>;

/// Runs scenarios.
pub struct Runner {
    context: ContextOf,
}

impl Runner {
    /// A runner that plans with what `context` gives: its connectors, less those that blocks stand in for.
    pub fn new(context: impl Fn(&Path) -> PlanContext + Send + Sync + 'static) -> Self {
        Self { context: Box::new(context) }
    }

    /// Runs a scenario of `file` in `mode`.
    pub async fn run(&self, file: &ScenarioFile, scenario: &Scenario, mode: &Mode) -> Verdict {
        let mut verdict = Verdict::default();
        let base = (self.context)(file.folder()).registry;
        let (bound, temporary) = match Folder::new() {
            Ok(folder) => (Bound::default(), folder),
            Err(error) => {
                verdict.fail(scenario.line, format!("no temporary folder can be made: {error}"));
                return verdict;
            }
        };
        let fate = SharedFate::default();
        let wiring = Wiring {
            scenario,
            mode,
            folder: file.folder(),
            temporary: temporary.path(),
            registry: &base,
            bound: &bound,
            broker: Broker::with_fate(fate.clone()),
            fate,
        };
        if let Err((line, message)) = self.play(file, &wiring, &mut verdict).await {
            verdict.fail(line, message);
        }
        verdict
    }

    /// Whether something would be lost by killing a scenario's job: rows come from blocks, and something is expected of them.
    pub(super) fn can_be_killed(&self, scenario: &Scenario) -> bool {
        !scenario.inputs.is_empty() && !scenario.outputs.is_empty()
    }

    async fn plan(&self, text: &str, wiring: &Wiring<'_>) -> Script {
        let mut context = (self.context)(wiring.folder);
        context.registry = registry(wiring.registry, wiring.folder, wiring.bound, wiring.have_times());
        // A scenario gives the same on every machine.
        context.lookup = Box::new(|_| None);
        context.optimise = wiring.mode.optimised;
        Script::plan(text, &context).await
    }

    async fn play(&self, file: &ScenarioFile, wiring: &Wiring<'_>, verdict: &mut Verdict) -> Result<(), Mistake> {
        let scenario = wiring.scenario;
        let mut text = scenario.sql.text.clone();
        if wiring.mode.reprinted {
            let parsed = parse_script(&text);
            if parsed.diagnostics.is_empty() {
                text = print_script(&parsed.statements);
            }
        }
        let mut script = self.plan(&text, wiring).await;
        let report = render(script.diagnostics(), SCRIPT, &text);
        if !script.is_runnable() {
            expect_error(wiring, verdict, &report);
            return Ok(());
        }
        if !wiring.mode.reprinted
            && let Some(warning) = &scenario.warning
        {
            expect_text(wiring, verdict, warning, &report);
        }
        if wiring.mode.is_plain()
            && let Some(plan) = &scenario.plan
        {
            expect_text(wiring, verdict, plan, &script.graph().text());
        }
        if scenario.outputs.is_empty() && scenario.error.is_none() && scenario.metrics.is_none() {
            return Ok(());
        }
        let appended = wiring.appended(script.graph());
        if !appended.is_empty() {
            text.push_str("\n;\n");
            for output in appended {
                text.push_str(&format!("SELECT * FROM {};\n", output.name.as_deref().unwrap_or_default()));
            }
            script = self.plan(&text, wiring).await;
            if !script.is_runnable() {
                let report = render(script.diagnostics(), SCRIPT, &text);
                return Err((scenario.line, format!("an output of the scenario cannot be read:\n{report}")));
            }
        }
        wiring.sources(script.plan_mut())?;
        let killed = wiring.mode.killed && !wiring.moves_clock();
        let Wired { got, terminals, .. } = wiring.sinks(script.plan_mut(), killed)?;
        let clock = Clock::manual(START);
        let options = || {
            let mut options = RunOptions::new(wiring.mode.parallelism);
            options.clock = clock.clone();
            if wiring.mode.spilled {
                options.memory = Some(MemoryPool::forced());
            }
            if let Batching::Of(rows) = wiring.mode.batching {
                options.batch_rows = rows;
            }
            options
        };
        let (progress, ran) = match killed {
            true => {
                let kinds = killed::Kinds {
                    transactions: wiring.mode.commits != Commits::Prepared,
                    freezing: got.iter().all(|got| matches!(got.place, GotPlace::Rows(_))),
                };
                let (ran, call_failed) = killed::run(&script, &options, &wiring.fate, (wiring.mode, kinds), PATIENCE);
                wiring.broker.settle();
                verdict.call_failed = call_failed;
                ran
            }
            false => {
                let (options, progress) = (RunOptions { terminals, ..options() }, script.progress());
                let ran = tokio::time::timeout(PATIENCE, script.run(options, &progress)).await;
                (progress, ran.map_err(drop))
            }
        };
        match ran {
            Err(()) => return Err((scenario.line, format!("the script did not end within {PATIENCE:?}"))),
            Ok(Err(error)) => expect_error(wiring, verdict, &error.to_string()),
            Ok(Ok(())) => {
                if let Some(error) = &scenario.error {
                    verdict.fail(error.line, "the script was to fail, and it ran to its end");
                }
            }
        }
        for got in &got {
            expect_output(file, wiring, verdict, got)?;
        }
        if let Some(metrics) = &scenario.metrics {
            expect_metrics(wiring, verdict, metrics, &script, &progress)?;
        }
        Ok(())
    }
}

/// A report as it would be if the script stood beside its data.
fn portable(wiring: &Wiring<'_>, text: &str) -> String {
    let mut text = text.replace(&format!("{}/", wiring.temporary.display()), "");
    let folder = wiring.folder.display().to_string();
    if folder != "." {
        text = text.replace(&format!("{folder}/"), "");
    }
    text
}

fn expect_text(wiring: &Wiring<'_>, verdict: &mut Verdict, block: &Block, actual: &str) {
    let actual = portable(wiring, actual);
    let actual = actual.trim_end();
    if let Some(differences) = text_differences(&block.text, actual) {
        verdict.fail(block.line, format!("the report is another:\n{differences}"));
        verdict.updates.push(Update::Block(block.range.clone(), format!("{actual}\n")));
    }
}

fn expect_error(wiring: &Wiring<'_>, verdict: &mut Verdict, actual: &str) {
    match &wiring.scenario.error {
        Some(block) => expect_text(wiring, verdict, block, actual),
        None => {
            verdict.fail(wiring.scenario.line, format!("the script failed:\n{}", portable(wiring, actual.trim_end())))
        }
    }
}

fn expect_output(
    file: &ScenarioFile,
    wiring: &Wiring<'_>,
    verdict: &mut Verdict,
    got: &Got<'_>,
) -> Result<(), Mistake> {
    let output = got.output;
    let name = output.name.as_deref().unwrap_or("of SELECT");
    let kept = match &got.place {
        GotPlace::Rows(kept) => kept.batches(),
        GotPlace::File(path) => {
            let actual = std::fs::read_to_string(path).unwrap_or_default();
            if let Some(differences) = line_differences(&output.block.text, &actual) {
                verdict.fail(output.block.line, format!("the output {name} differs:\n{differences}"));
                verdict.updates.push(Update::Block(output.block.range.clone(), actual));
            }
            return Ok(());
        }
    };
    let path = output.file.as_ref().map(|path| file.folder().join(path));
    let wanted = match &path {
        None => expected(&output.block.text, &got.schema),
        Some(path) => {
            // A file that is not there yet expects nothing.
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let csv = path.extension().is_some_and(|extension| extension == "csv");
            if csv { expected_csv(&text, &got.schema) } else { expected(&text, &got.schema) }
        }
    };
    let key = key_of(output, got)?;
    let folded = output.folded || !wiring.mode.is_plain();
    let mut rows = rows_of(&kept);
    for text in rows.iter_mut().flat_map(|row| row.cells.iter_mut().chain(&mut row.shown)) {
        *text = portable(wiring, text);
    }
    let differences = match wanted {
        Ok(wanted) => Comparison { key, folded }.differences(&wanted, &rows),
        Err((line, message)) if path.is_none() => Some(format!("  line {}: {message}", output.block.line + line - 1)),
        Err((line, message)) => Some(format!("  line {line} of the file: {message}")),
    };
    if let Some(differences) = differences {
        verdict.fail(output.block.line, format!("the output {name} differs:\n{differences}"));
        verdict.updates.push(match path {
            None => Update::Block(output.block.range.clone(), as_text(&got.schema, &rows)),
            Some(path) if path.extension().is_some_and(|extension| extension == "csv") => {
                let text = as_csv(&kept);
                Update::File(path, text)
            }
            Some(path) => Update::File(path, as_text(&got.schema, &rows)),
        });
    }
    Ok(())
}

fn key_of(output: &Output, got: &Got<'_>) -> Result<Vec<usize>, Mistake> {
    if output.key.is_empty() {
        return Ok(got.key.clone());
    }
    let place = |name: &String| {
        let found = got.schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| (output.block.line, format!("the key's column '{name}' is no column of the output")))
    };
    output.key.iter().map(place).collect()
}

fn as_csv(batches: &[Batch]) -> String {
    let quoted = |text: String| {
        if text.is_empty() || text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    let mut out = String::new();
    for (at, batch) in batches.iter().enumerate() {
        if at == 0 {
            let names: Vec<String> = batch.schema().fields().iter().map(|field| quoted(field.name().clone())).collect();
            out.push_str(&names.join(","));
            out.push('\n');
        }
        for row in 0..batch.rows() {
            let cell = |column: &Arc<dyn arrow_array::Array>| value_text(column, row).map_or(String::new(), quoted);
            out.push_str(&batch.columns.columns().iter().map(cell).collect::<Vec<_>>().join(","));
            out.push('\n');
        }
    }
    out
}

/// Counters by the names that a `metrics` block uses.
fn counter(progress: &Progress, name: &str) -> Option<u64> {
    let counter = match name {
        "records" => &progress.records,
        "delivered" => &progress.delivered,
        "skipped" => &progress.skipped,
        "dead_letters" => &progress.dead_letters,
        "future" => &progress.future,
        "overlap" => &progress.overlap,
        "unknown_fields" => &progress.unknown_fields,
        _ => return None,
    };
    Some(Progress::get(counter))
}

fn expect_metrics(
    wiring: &Wiring<'_>,
    verdict: &mut Verdict,
    block: &Block,
    script: &Script,
    progress: &JobProgress,
) -> Result<(), Mistake> {
    let plan = script.graph();
    let sources = plan.sources.iter().map(|source| &source.name).zip(&progress.sources);
    let tables = plan.tables.iter().map(|table| &table.name).zip(&progress.tables);
    let sinks = plan.sinks.iter().map(|sink| &sink.name).zip(&progress.sinks);
    let counted: Vec<_> = sources.chain(tables).chain(sinks).collect();
    let (late, missing) = (progress.late_rows(plan), progress.missing_rows(plan));
    let compute_errors = progress.compute_errors(plan);
    let mut actual = String::new();
    for (at, line) in block.text.lines().enumerate() {
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let is_it = |known: &str| known.eq_ignore_ascii_case(name);
        let counters = counted.iter().find(|(known, _)| is_it(known)).map(|(_, progress)| progress);
        if counters.is_none() && !plan.nodes.iter().any(|node| is_it(&node.owner)) {
            return Err((block.line + at, format!("the script has no source, table, sink or query '{name}'")));
        }
        actual.push_str(name);
        for word in words {
            let key = word.split('=').next().unwrap_or_default();
            let value = match key {
                "late" => Some(late.iter().find(|(owner, _)| is_it(owner)).map_or(0, |(_, rows)| *rows)),
                "compute_errors" => {
                    Some(compute_errors.iter().find(|(owner, _)| is_it(owner)).map_or(0, |(_, rows)| *rows))
                }
                "missing" => Some(missing.iter().find(|(table, _)| is_it(table)).map_or(0, |(_, rows)| *rows)),
                _ => counters.and_then(|progress| counter(progress, key)),
            };
            let Some(value) = value else {
                let known = "records, delivered, skipped, dead_letters, future, overlap, unknown_fields; late and compute_errors of queries, missing of tables";
                return Err((block.line + at, format!("'{name}' has no counter '{key}': there are {known}")));
            };
            actual.push_str(&format!(" {key}={value}"));
        }
        actual.push('\n');
    }
    expect_text(wiring, verdict, block, &actual);
    Ok(())
}
