//! A planned script with blocks in the place of its connectors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::Array;
use arrow_schema::{DataType, Field, SchemaRef};
use velo_core::Place;
use velo_core::connector::{DecodeColumn, Guarantee, Registry, Sink, SinkBinding, SourceBinding};
use velo_core::properties::PropertyValue;
use velo_plan::plan::{Plan, SourceNode, TableFeed, TimeOrigin};

use super::broker::Broker;
use super::inputs::{Event, Feed};
use super::killed::SharedFate;
use super::modes::{Batching, Mode, Random};
use super::parse::{Input, Output, Scenario};
use super::sink::Kept;
use super::source::{ScenarioBinding, decode};
use super::stand_in::{Bound, file_sink, file_source};

/// A line of the scenario file and what is wrong there.
pub(super) type Mistake = (usize, String);

/// What the bindings of a plan are made of.
pub(super) struct Wiring<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) mode: &'a Mode,
    /// What paths in the scenario are relative to.
    pub(super) folder: &'a Path,
    /// Where bytes lie while the scenario runs.
    pub(super) temporary: &'a Path,
    /// The connectors of the build.
    pub(super) registry: &'a Registry,
    /// What was bound while planning.
    pub(super) bound: &'a Bound,
    /// What the sinks ask whether they fail.
    pub(super) fate: SharedFate,
    /// What those of them write into that share transactions.
    pub(super) broker: Broker,
}

/// Where the rows of an output are after a run.
pub(super) struct Got<'a> {
    /// What was expected.
    pub(super) output: &'a Output,
    /// The columns.
    pub(super) schema: SchemaRef,
    /// The places of the key that the plan knows.
    pub(super) key: Vec<usize>,
    /// The rows, or the file with the lines.
    pub(super) place: GotPlace,
}

/// The rows, or the file with the lines.
pub(super) enum GotPlace {
    Rows(Kept),
    File(PathBuf),
}

/// The sinks of a plan with a place for their rows.
#[derive(Default)]
pub(super) struct Wired<'a> {
    /// Where rows will be.
    pub(super) got: Vec<Got<'a>>,
    /// The sinks of SELECTs, by their place in the plan.
    pub(super) terminals: BTreeMap<usize, Box<dyn Sink>>,
    /// The same where the plan has them as bindings.
    bindings: BTreeMap<usize, Arc<dyn SinkBinding>>,
}

/// The sources of a plan, and those of its tables, each with whether it is one of these.
fn read(plan: &mut Plan) -> impl Iterator<Item = (&mut SourceNode, bool)> {
    let of_tables = plan.tables.iter_mut().filter_map(|table| match &mut table.feed {
        TableFeed::Connector(feed) => Some((&mut feed.source, true)),
        TableFeed::Query(_) => None,
    });
    plan.sources.iter_mut().map(|source| (source, false)).chain(of_tables)
}

impl<'a> Wiring<'a> {
    /// Gives the plan's sources their rows.
    pub(super) fn sources(&self, plan: &mut Plan) -> Result<(), Mistake> {
        for input in &self.scenario.inputs {
            if !read(plan).any(|(source, _)| source.name.eq_ignore_ascii_case(&input.name)) {
                return Err((input.block.line, format!("the script has no source or table '{}'", input.name)));
            }
        }
        for (source, of_table) in read(plan) {
            let is_for = |input: &&Input| input.name.eq_ignore_ascii_case(&source.name);
            let inputs = self.scenario.inputs.iter().filter(is_for);
            let (of_history, inputs): (Vec<&Input>, Vec<&Input>) = inputs.partition(|input| input.history);
            if let Some(binding) = self.input(source, &source.binding, &inputs, of_table)? {
                source.binding = binding;
            }
            let history = source.history.as_ref().map(|history| Arc::clone(&history.binding));
            let binding = match (&history, of_history.first()) {
                (None, Some(input)) => {
                    return Err((input.block.line, format!("the source '{}' has no history", source.name)));
                }
                (None, None) => None,
                (Some(history), _) => self.input(source, history, &of_history, of_table)?,
            };
            if let (Some(history), Some(binding)) = (&mut source.history, binding) {
                history.binding = binding;
            }
        }
        Ok(())
    }

    /// What stands in for a binding of a source, where there are blocks for it.
    fn input(
        &self,
        source: &SourceNode,
        binding: &Arc<dyn SourceBinding>,
        inputs: &[&Input],
        of_table: bool,
    ) -> Result<Option<Arc<dyn SourceBinding>>, Mistake> {
        match inputs {
            [] => Ok(None),
            [input] if input.raw.is_some() || input.file.is_some() => self.bytes(source, binding, input).map(Some),
            inputs => self.rows(source, binding.bounded(), inputs, of_table).map(Some),
        }
    }

    fn bytes(
        &self,
        source: &SourceNode,
        binding: &Arc<dyn SourceBinding>,
        input: &Input,
    ) -> Result<Arc<dyn SourceBinding>, Mistake> {
        let given = self.bound.source_options(binding).unwrap_or_default();
        let format = input.raw.map(super::parse::Raw::format);
        let path = match &input.file {
            Some(file) => self.folder.join(file),
            None => {
                let history = if input.history { ".history" } else { "" };
                let path = self.temporary.join(format!("{}{history}.{}", source.name, format.unwrap_or("json")));
                std::fs::write(&path, &input.block.text).map_err(|error| (input.block.line, error.to_string()))?;
                path
            }
        };
        file_source(self.registry, given, &path, format).map_err(|message| (input.block.line, message))
    }

    fn rows(
        &self,
        source: &SourceNode,
        bounded: bool,
        inputs: &[&Input],
        of_table: bool,
    ) -> Result<Arc<dyn SourceBinding>, Mistake> {
        let mut partitions: BTreeMap<u32, Feed> = BTreeMap::new();
        for (at, input) in inputs.iter().enumerate() {
            if input.raw.is_some() || input.file.is_some() {
                return Err((input.block.line, "records as bytes are the only input of their source".to_owned()));
            }
            let feed = Feed::cut(&input.block)?;
            check(&feed, source, input)?;
            let number = input.partition.unwrap_or(at as u32);
            if partitions.insert(number, feed).is_some() {
                return Err((input.block.line, format!("the partition {number} is there already")));
            }
        }
        let mut feeds: Vec<Feed> = partitions.into_values().collect();
        // Of several rows under a key of a table the last one counts.
        if let [feed] = &mut feeds[..]
            && feed.is_plain()
            && !of_table
        {
            if self.mode.shuffled {
                shuffle(feed, source, self.mode.seed);
            }
            if self.mode.partitions > 1 && inputs[0].partition.is_none() {
                feeds = feeds[0].deal(self.mode.partitions);
            }
        }
        if let Batching::Of(rows) = self.mode.batching {
            feeds.iter_mut().for_each(|feed| feed.rebatch(rows));
        }
        Ok(Arc::new(ScenarioBinding::new(feeds, bounded, Arc::clone(&source.declared))))
    }

    /// Whether records have times of their own: some block has a column for them.
    pub(super) fn have_times(&self) -> bool {
        let has = |input: &Input| {
            input.raw.is_none() && Feed::cut(&input.block).is_ok_and(|feed| feed.column("_timestamp").is_some())
        };
        self.scenario.inputs.iter().any(has)
    }

    /// Whether some input moves the clock: what is read again after a restart then comes at another time.
    pub(super) fn moves_clock(&self) -> bool {
        let moves = |input: &Input| {
            input.raw.is_none()
                && Feed::cut(&input.block)
                    .is_ok_and(|feed| feed.events.iter().any(|event| matches!(event, Event::Clock(_))))
        };
        self.scenario.inputs.iter().any(moves)
    }

    /// Gives the plan's sinks a place where their rows are kept, and says where. With `epochs` all of them show rows at checkpoints
    /// alone, so that a job that is killed can go on.
    pub(super) fn sinks(&self, plan: &mut Plan, epochs: bool) -> Result<Wired<'a>, Mistake> {
        let mut wired = self.terminals(plan, epochs)?;
        if epochs {
            plan.sinks.iter_mut().for_each(|sink| sink.guarantee = Guarantee::ExactlyOnce);
        }
        let taken: Vec<Arc<dyn SinkBinding>> = wired.bindings.values().cloned().collect();
        for (at, sink) in plan.sinks.iter_mut().enumerate() {
            let Some(binding) = &sink.binding else { continue };
            if taken.iter().any(|taken| Arc::ptr_eq(taken, binding)) {
                continue;
            }
            let output = self.named(&sink.name);
            let is_it = |got: &&Got<'_>| output.is_some_and(|output| std::ptr::eq(output, got.output));
            let again = wired.got.iter().find(is_it).map(|got| &got.place);
            let kept = match (again, output) {
                (Some(GotPlace::Rows(kept)), _) => {
                    sink.binding = Some(kept.binding(self.broker_of(at, epochs)));
                    continue;
                }
                (Some(GotPlace::File(_)), Some(output)) => {
                    let message = "two statements write these lines: compare rows".to_owned();
                    return Err((output.block.line, message));
                }
                _ => Kept::with_fate(self.fate.clone()),
            };
            let (schema, key) = (Arc::clone(&sink.schema), sink.key.clone());
            match output {
                Some(output) if output.raw.is_some() => {
                    let given = self.bound.sink_options(binding).unwrap_or_default();
                    let format = output.raw.map(super::parse::Raw::format);
                    let path = self.temporary.join(format!("{}.out", sink.name));
                    let real = file_sink(self.registry, given, &path, format);
                    sink.binding = Some(real.map_err(|message| (output.block.line, message))?);
                    wired.got.push(Got { output, schema, key, place: GotPlace::File(path) });
                }
                output => {
                    sink.binding = Some(kept.binding(self.broker_of(at, epochs)));
                    let place = GotPlace::Rows(kept);
                    wired.got.extend(output.map(|output| Got { output, schema, key, place }));
                }
            }
        }
        Ok(wired)
    }

    /// What the sink of this number shares transactions of, where it does.
    fn broker_of(&self, sink: usize, epochs: bool) -> Option<&Broker> {
        (epochs && self.mode.commits.is_atomic(sink)).then_some(&self.broker)
    }

    /// The sinks of SELECTs: those of the script, then those that the runner added for streams without a sink.
    fn terminals(&self, plan: &mut Plan, epochs: bool) -> Result<Wired<'a>, Mistake> {
        let mut wired = Wired::default();
        let selects: Vec<usize> = (0..plan.sinks.len()).filter(|at| plan.sinks[*at].binding.is_none()).collect();
        let appended = self.appended(plan);
        let own = selects.len().saturating_sub(appended.len());
        let unnamed: Vec<&'a Output> = self.scenario.outputs.iter().filter(|output| output.name.is_none()).collect();
        if let Some(output) = unnamed.get(own) {
            return Err((output.block.line, "the script has no further SELECT".to_owned()));
        }
        let outputs = (0..own).map(|at| unnamed.get(at).copied()).chain(appended.into_iter().map(Some));
        for (at, output) in selects.into_iter().zip(outputs) {
            let kept = Kept::with_fate(self.fate.clone());
            if epochs {
                let binding = kept.binding(self.broker_of(at, epochs));
                wired.bindings.insert(at, Arc::clone(&binding));
                plan.sinks[at].binding = Some(binding);
            } else {
                wired.terminals.insert(at, kept.terminal());
            }
            let (schema, key) = (Arc::clone(&plan.sinks[at].schema), plan.sinks[at].key.clone());
            wired.got.extend(output.map(|output| Got { output, schema, key, place: GotPlace::Rows(kept) }));
        }
        Ok(wired)
    }

    fn named(&self, name: &str) -> Option<&'a Output> {
        let is = |output: &&Output| output.name.as_deref().is_some_and(|given| given.eq_ignore_ascii_case(name));
        self.scenario.outputs.iter().find(is)
    }

    /// The outputs of streams that have no sink of their own: the runner selects from them behind the script.
    pub(super) fn appended(&self, plan: &Plan) -> Vec<&'a Output> {
        let has_sink =
            |name: &str| plan.sinks.iter().any(|sink| sink.binding.is_some() && sink.name.eq_ignore_ascii_case(name));
        let lacks = |output: &&Output| output.name.as_deref().is_some_and(|name| !has_sink(name));
        self.scenario.outputs.iter().filter(lacks).collect()
    }
}

/// Sees to it that every cell of an input is a value of its column.
fn check(feed: &Feed, source: &SourceNode, input: &Input) -> Result<(), Mistake> {
    let Some(header) = &feed.table.header else { return Ok(()) };
    let time = source.event_time.as_ref().map(|time| &time.from);
    let (time_path, time_column) = match time {
        Some(TimeOrigin::Field { path, column, .. }) => (path.first(), *column),
        _ => (None, None),
    };
    let line = |line: usize| input.block.line + line - 1;
    for (name, _) in &header.columns {
        let declared = source.declared.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
        let is_time = time_path.is_some_and(|path| path.eq_ignore_ascii_case(name));
        if !declared && !is_time && !name.starts_with('_') {
            return Err((line(header.line), format!("'{}' has no column '{name}'", source.name)));
        }
    }
    let rows = feed.order();
    for (at, field) in source.declared.fields().iter().enumerate() {
        // The format of the event time says how its column is read.
        if time_column == Some(at) {
            continue;
        }
        decode(feed, &rows, &DecodeColumn::of(field)).map_err(|error| (line(error.line), error.message))?;
    }
    Ok(())
}

/// Another order of the rows in which none comes behind a row that is later by more than the watermark's bound: each row's
/// time is moved on by at most the bound, and the rows are sorted by that.
fn shuffle(feed: &mut Feed, source: &SourceNode, seed: u64) {
    let rows = feed.order();
    let (times, bound): (Vec<i64>, u64) = match &source.event_time {
        None => (vec![0; rows.len()], 1 << 40),
        Some(time) => {
            let TimeOrigin::Field { path, extractor, .. } = &time.from else { return };
            let bound = match PropertyValue::show(&time.watermark.strategy).as_deref() {
                Some("bounded_out_of_orderness") => time.watermark.max_out_of_orderness.0,
                Some("ascending") => 0,
                _ => return,
            };
            let field = Arc::new(Field::new("time", DataType::Utf8, true));
            let column = DecodeColumn { field, path: path.clone(), exact: false, raw: true };
            let Ok(column) = decode(feed, &rows, &column) else { return };
            let place = |row: usize| Place::Row { source: String::new(), row: row as u64 };
            let found = extractor.extract(column.as_ref(), &place, None);
            if found.times.null_count() > 0 {
                return;
            }
            (found.times.values().to_vec(), bound.unsigned_abs())
        }
    };
    let mut random = Random::new(seed);
    let moved = times.iter().map(|time| i128::from(*time) + i128::from(random.below(bound.saturating_add(1))));
    let mut order: Vec<(i128, usize)> = moved.zip(rows).collect();
    order.sort_by_key(|(time, _)| *time);
    feed.reorder(&order.into_iter().map(|(_, row)| row).collect::<Vec<_>>());
}
