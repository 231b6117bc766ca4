//! Cases about writing.

use std::sync::Arc;

use velo_core::connector::{
    ChangelogMode, CheckpointId, CommitKind, Connector, Guarantee, PreparedCommit, Sink, SinkRequest,
};
use velo_core::progress::Progress;
use velo_core::{Batch, Clock};

use super::source::read;
use super::{Harness, Output, Pairs, made_rows, misspelt, options};

const ROWS: usize = 20_000;

/// A sink of a run whose inputs end.
async fn open(connector: &dyn Connector, harness: &dyn Harness, pairs: &Pairs, guarantee: Guarantee) -> Box<dyn Sink> {
    open_behind(connector, harness, pairs, (guarantee, true), None).await
}

/// A sink of a run that goes on behind an epoch; the pair says what is promised, and whether the inputs end.
async fn open_behind(
    connector: &dyn Connector,
    harness: &dyn Harness,
    pairs: &Pairs,
    (guarantee, bounded): (Guarantee, bool),
    after: Option<&PreparedCommit>,
) -> Box<dyn Sink> {
    let mut options = options(pairs);
    let bound = connector.bind_sink(&mut options);
    let errors = options.finish("the sink", connector.sink_properties());
    let binding = bound.filter(|_| errors.is_empty()).unwrap_or_else(|| panic!("good properties: {errors:?}"));
    let request = SinkRequest {
        name: "conformance".to_owned(),
        schema: harness.schema(),
        key: Vec::new(),
        mode: ChangelogMode::Append,
        guarantee,
        bounded,
        after: after.map(saved),
        transactions: None,
        clock: Clock::system(),
        progress: Arc::new(Progress::new()),
    };
    binding.open(request).await.expect("the sink opens")
}

fn guarantees(connector: &dyn Connector) -> Vec<Guarantee> {
    if connector.capabilities().transactions {
        vec![Guarantee::ExactlyOnce, Guarantee::AtLeastOnce]
    } else {
        vec![Guarantee::AtLeastOnce]
    }
}

async fn write(sink: &mut dyn Sink, rows: &Batch) {
    for at in (0..rows.rows()).step_by(8_192) {
        let batch = rows.slice(at, 8_192.min(rows.rows() - at));
        sink.write(batch).await.expect("rows are written");
    }
}

/// As a checkpoint keeps it: through text.
fn saved(prepared: &PreparedCommit) -> PreparedCommit {
    let text = serde_json::to_string(prepared).expect("a commit can be saved");
    serde_json::from_str(&text).expect("a saved commit can be read")
}

pub(super) fn unknown_property(connector: &dyn Connector, harness: &dyn Harness) {
    let mut options = options(&harness.output().sink);
    assert!(connector.bind_sink(&mut options).is_some(), "the harness gives good properties");
    misspelt(options, &connector.sink_properties(), connector.name());
}

pub(super) async fn round_trip(connector: &dyn Connector, harness: &dyn Harness) {
    let rows = made_rows(ROWS);
    for guarantee in guarantees(connector) {
        let output = harness.output();
        let mut sink = open(connector, harness, &output.sink, guarantee).await;
        write(&mut *sink, &rows).await;
        if guarantee == Guarantee::AtLeastOnce {
            sink.flush().await.expect("a flush goes well");
            assert!(harness.visible(&output), "at_least_once: rows are seen after a flush");
        } else {
            assert!(!harness.visible(&output), "exactly_once: nothing is seen before the commit");
        }
        sink.end().await.expect("the inputs end");
        let prepared = sink.prepare(CheckpointId(1)).await.expect("the epoch is prepared");
        if sink.commit_kind() == CommitKind::Prepared {
            assert!(!harness.visible(&output), "prepared: nothing is seen before the commit");
        }
        sink.commit(prepared).await.expect("the epoch is committed");
        drop(sink);
        let read = read(connector, &output.source, &harness.schema()).await;
        assert_eq!(read.columns, rows.columns, "what was written is read again ({guarantee:?})");
    }
}

pub(super) async fn nothing_written(connector: &dyn Connector, harness: &dyn Harness) {
    for guarantee in guarantees(connector) {
        let output = harness.output();
        let mut sink = open(connector, harness, &output.sink, guarantee).await;
        sink.end().await.expect("the inputs end");
        let prepared = sink.prepare(CheckpointId(1)).await.expect("an empty epoch is prepared");
        sink.commit(prepared).await.expect("an empty epoch is committed");
        drop(sink);
        let read = read(connector, &output.source, &harness.schema()).await;
        assert_eq!(read.rows(), 0, "an output without rows is there and empty ({guarantee:?})");
    }
}

pub(super) async fn abort(connector: &dyn Connector, harness: &dyn Harness) {
    if !connector.capabilities().transactions {
        return;
    }
    let rows = made_rows(ROWS);
    for (prepare, end) in [(false, false), (true, false), (true, true)] {
        let output = harness.output();
        let mut sink = open(connector, harness, &output.sink, Guarantee::ExactlyOnce).await;
        write(&mut *sink, &rows).await;
        if end {
            sink.end().await.expect("the inputs end");
        }
        if prepare {
            sink.prepare(CheckpointId(1)).await.expect("the epoch is prepared");
        }
        sink.abort().await.expect("the epoch is given up");
        drop(sink);
        assert!(!harness.visible(&output), "an aborted epoch leaves nothing (prepared: {prepare}, ended: {end})");
    }
    let output = harness.output();
    let mut sink = open(connector, harness, &output.sink, Guarantee::ExactlyOnce).await;
    write(&mut *sink, &rows).await;
    drop(sink);
    assert!(!harness.visible(&output), "a sink that is dropped leaves nothing");
}

pub(super) async fn commit_again(connector: &dyn Connector, harness: &dyn Harness) {
    let rows = made_rows(ROWS);
    let output = harness.output();
    let mut sink = open(connector, harness, &output.sink, Guarantee::ExactlyOnce).await;
    write(&mut *sink, &rows).await;
    sink.end().await.expect("the inputs end");
    let prepared = sink.prepare(CheckpointId(1)).await.expect("the epoch is prepared");
    let saved = saved(&prepared);
    sink.commit(prepared).await.expect("the epoch is committed");
    sink.commit(saved.clone()).await.expect("a commit can be repeated");
    drop(sink);
    // As after a crash: another sink finishes what this one prepared.
    let once = (Guarantee::ExactlyOnce, true);
    let mut sink = open_behind(connector, harness, &output.sink, once, Some(&saved)).await;
    sink.commit(saved).await.expect("a commit can be repeated after a restart");
    drop(sink);
    let read = read(connector, &output.source, &harness.schema()).await;
    assert_eq!(read.columns, rows.columns, "committed rows come once");
}

/// A run with several epochs that is killed and goes on, and what others see meanwhile.
struct Run<'a> {
    connector: &'a dyn Connector,
    harness: &'a dyn Harness,
    output: Output,
    bounded: bool,
    rows: Batch,
    /// `None` while nothing runs.
    sink: Option<Box<dyn Sink>>,
}

impl<'a> Run<'a> {
    /// Rows that are written in seven parts.
    async fn begin(connector: &'a dyn Connector, harness: &'a dyn Harness, bounded: bool) -> Self {
        let (output, rows) = (harness.output(), made_rows(7 * PART));
        let once = (Guarantee::ExactlyOnce, bounded);
        let sink = open_behind(connector, harness, &output.sink, once, None).await;
        Self { connector, harness, output, bounded, rows, sink: Some(sink) }
    }

    fn sink(&mut self) -> &mut dyn Sink {
        &mut **self.sink.as_mut().expect("the run has not ended")
    }

    async fn write(&mut self, part: usize) {
        let rows = self.rows.slice(part * PART, PART);
        write(self.sink(), &rows).await;
    }

    async fn prepare(&mut self, id: u64) -> PreparedCommit {
        saved(&self.sink().prepare(CheckpointId(id)).await.expect("the epoch is prepared"))
    }

    async fn commit(&mut self, prepared: &PreparedCommit) {
        self.sink().commit(prepared.clone()).await.expect("the epoch is committed");
    }

    /// The sink is gone, and another one goes on behind `after`.
    async fn go_on(&mut self, after: &PreparedCommit) {
        // A process that was killed holds nothing any more.
        self.sink = None;
        let once = (Guarantee::ExactlyOnce, self.bounded);
        self.sink = Some(open_behind(self.connector, self.harness, &self.output.sink, once, Some(after)).await);
        self.commit(after).await;
    }

    /// Others see the first parts, or nothing where the input is to end first.
    async fn sees(&self, parts: usize, what: &str) {
        if self.bounded || parts == 0 {
            assert!(!self.harness.visible(&self.output), "{what}: nothing is seen");
        } else {
            self.reads(parts, what).await;
        }
    }

    async fn reads(&self, parts: usize, what: &str) {
        let read = read(self.connector, &self.output.source, &self.harness.schema()).await;
        assert_eq!(read.rows(), parts * PART, "{what} (bounded: {})", self.bounded);
        assert_eq!(read.columns, self.rows.slice(0, parts * PART).columns, "{what} (bounded: {})", self.bounded);
    }
}

/// Rows of a part of [`Run`].
const PART: usize = 1_500;

pub(super) async fn epochs(connector: &dyn Connector, harness: &dyn Harness, bounded: bool) {
    let mut run = Run::begin(connector, harness, bounded).await;
    run.write(0).await;
    let first = run.prepare(1).await;
    run.sees(0, "prepared").await;
    run.write(1).await;
    run.commit(&first).await;
    run.sees(1, "committed, and more was written before").await;
    run.write(2).await;
    let second = run.prepare(2).await;
    run.commit(&second).await;
    run.commit(&second).await;
    run.sees(3, "a second epoch, committed twice").await;
    let none = run.prepare(3).await;
    run.commit(&none).await;
    run.sees(3, "an epoch without rows").await;
    run.write(3).await;
    run.go_on(&none).await;
    run.sees(3, "what was not prepared is gone with the sink").await;
    run.write(3).await;
    let fourth = run.prepare(4).await;
    run.go_on(&fourth).await;
    run.sees(4, "an epoch that was prepared is committed after a restart").await;
    run.write(4).await;
    let mut last = run.prepare(5).await;
    if harness.takes_back() {
        run.commit(&last).await;
        run.sees(5, "a fifth epoch").await;
        run.go_on(&fourth).await;
        run.sees(4, "what came behind the checkpoint is taken back").await;
        run.write(4).await;
        last = run.prepare(6).await;
    }
    run.commit(&last).await;
    run.write(5).await;
    run.sees(5, "what is written later is not seen").await;
    run.sink().end().await.expect("the inputs end");
    let ended = run.prepare(7).await;
    run.sees(5, "the end is prepared").await;
    run.go_on(&ended).await;
    run.reads(6, "the end is committed after a restart").await;
    run.sink().end().await.expect("inputs that have ended end again");
    let after = run.prepare(8).await;
    run.commit(&after).await;
    run.commit(&after).await;
    run.sink = None;
    run.reads(6, "an epoch behind the end").await;
}

pub(super) async fn given_up(connector: &dyn Connector, harness: &dyn Harness, bounded: bool) {
    let mut run = Run::begin(connector, harness, bounded).await;
    run.write(0).await;
    let first = run.prepare(1).await;
    run.commit(&first).await;
    run.write(1).await;
    run.prepare(2).await;
    run.write(2).await;
    run.sink().abort().await.expect("what is not committed is given up");
    run.sink = None;
    run.sees(1, "what was committed stays, and nothing else").await;
}

/// What is seen at once stays, and is added to by a run that goes on.
pub(super) async fn goes_on_at_once(connector: &dyn Connector, harness: &dyn Harness, bounded: bool) {
    let (output, rows) = (harness.output(), made_rows(3 * PART));
    let at_once = (Guarantee::AtLeastOnce, bounded);
    let mut after = None;
    for part in 0..3_u64 {
        let mut sink = open_behind(connector, harness, &output.sink, at_once, after.as_ref()).await;
        if let Some(after) = after {
            sink.commit(after).await.expect("a commit can be repeated");
        }
        write(&mut *sink, &rows.slice(part as usize * PART, PART)).await;
        let prepared = sink.prepare(CheckpointId(part + 1)).await.expect("the epoch is prepared");
        let read = read(connector, &output.source, &harness.schema()).await;
        let expected = rows.slice(0, (part as usize + 1) * PART);
        assert_eq!(read.columns, expected.columns, "at_least_once: rows are seen when they are prepared");
        after = Some(saved(&prepared));
    }
}
