//! A table that goes on changing, and one who reads it as rows, killed and stopped anywhere: what comes out is the content of the table,
//! and no row of it twice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use velo_core::connector::CheckpointId;
use velo_core::lookup::TableReader;
use velo_core::progress::Progress;
use velo_core::{Batch, Clock, RowKind, Watermark, schema as hidden};
use velo_exec::Result;
use velo_exec::checkpoint::{Asked, KeptTable, Line, OperatorState, Report, Share, SourceState, StateReader};
use velo_exec::operator::Element;
use velo_exec::runtime::{Chain, Drive, Following, Inputs, Outputs, RowsGiven, Stop, TableScanTask, TableSinkTask};
use velo_exec::testing::Random;
use velo_plan::plan::{TableColumn, TableId, TableScan};
use velo_tables::{StoreSpec, Table, Writer, table};

const SCAN: &str = "scan";

fn schema() -> SchemaRef {
    let field = |name| Field::new(name, DataType::Int64, false);
    hidden::with_event_time(&Schema::new(vec![field("k"), field("v")]))
}

type Row = (i64, i64);

fn batch(rows: &[(RowKind, Row)], time: i64) -> Batch {
    let column =
        |value: fn(&Row) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, row)| value(row))));
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|_| time))
        .with_data_type(schema().field(2).data_type().clone());
    let columns = RecordBatch::try_new(schema(), vec![column(|row| row.0), column(|row| row.1), Arc::new(times)]);
    Batch::changes(columns.unwrap(), rows.iter().map(|(kind, _)| *kind).collect())
}

fn rows(batch: &Batch) -> Vec<(RowKind, Row)> {
    let column = |at: usize| batch.columns.column(at).as_primitive::<Int64Type>().values().to_vec();
    let (keys, values) = (column(0), column(1));
    let kind = |row: usize| batch.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[row]);
    (0..batch.rows()).map(|row| (kind(row), (keys[row], values[row]))).collect()
}

/// Rows with how often they are there.
type Content = BTreeMap<Row, u64>;

/// Applies changes; each that takes something back finds it.
fn apply(content: &mut Content, changes: &[(RowKind, Row)]) {
    for (kind, row) in changes {
        match kind.retracts() {
            false => *content.entry(*row).or_default() += 1,
            true => {
                let count = content.get_mut(row).unwrap_or_else(|| panic!("{row:?} is taken back and was not given"));
                *count -= 1;
                if *count == 0 {
                    content.remove(row);
                }
            }
        }
    }
}

/// Changes of a table, with a key or without.
fn script(random: &mut Random, keyed: bool, batches: usize) -> (Vec<Vec<(RowKind, Row)>>, Content) {
    let (mut content, mut all) = (Content::new(), Vec::new());
    for _ in 0..batches {
        let mut changes = Vec::new();
        for _ in 0..1 + random.below(6) {
            let row = (random.below(9) as i64, random.below(50) as i64);
            let there: Vec<Row> = content.keys().copied().filter(|old| !keyed || old.0 == row.0).collect();
            let old = (!there.is_empty()).then(|| there[random.below(there.len() as u64) as usize]);
            let change = match (old, random.below(4)) {
                (Some(old), 0) => vec![(RowKind::Delete, old)],
                (Some(old), _) if keyed => vec![(RowKind::UpdateBefore, old), (RowKind::UpdateAfter, row)],
                _ => vec![(RowKind::Insert, row)],
            };
            apply(&mut content, &change);
            changes.extend(change);
        }
        all.push(changes);
    }
    (all, content)
}

fn store(keyed: bool) -> (Arc<Table>, Writer) {
    let key = if keyed { vec![0] } else { vec![] };
    let spec = StoreSpec {
        name: "t".to_owned(),
        schema: schema(),
        indexes: vec![vec![0]],
        key,
        null_keys: false,
        keeps_versions: false,
        counters: Arc::default(),
        budget: None,
    };
    table(spec).unwrap()
}

/// What a checkpoint keeps.
#[derive(Clone)]
struct Saved {
    fed: usize,
    table: Vec<OperatorState>,
    source: SourceState,
    scan: Option<Vec<OperatorState>>,
    content: Content,
}

/// The tasks between two restarts.
struct Attempt {
    asked: watch::Sender<Asked>,
    reports: mpsc::UnboundedReceiver<Report>,
    input: mpsc::Sender<Element>,
    output: mpsc::Receiver<Element>,
    clock: Clock,
    stop: Stop,
    tasks: Vec<JoinHandle<Result<()>>>,
    /// What came out, and what of it was behind a barrier when that came.
    content: Content,
    at_barrier: Option<Content>,
    ended: bool,
    stopped: bool,
}

impl Attempt {
    fn start(saved: Option<&Saved>, keyed: bool, depth: usize) -> Self {
        let (asked, asks) = watch::channel(Asked::default());
        let (sender, reports) = mpsc::unbounded_channel();
        let line = || Line::new(asks.clone(), sender.clone(), 0, true);
        let (input, inputs) = mpsc::channel(64);
        let (forward, output) = mpsc::channel(depth);
        let (clock, stop) = (Clock::manual(0), Stop::new());
        let (reader, mut writer) = store(keyed);
        let state = |state: Option<Vec<OperatorState>>| StateReader::new(state.unwrap_or_default(), Share::WHOLE);
        if let Some(saved) = saved {
            let kept = KeptTable::of_state(state(Some(saved.table.clone()))).unwrap().unwrap();
            writer.restore(kept.table).unwrap();
        }
        let before = saved.map(|saved| saved.source.clone()).unwrap_or_default();
        let rows_given = RowsGiven::behind(SCAN.to_owned(), &before);
        let since = (rows_given.rows() > 0).then(|| reader.follow_on());
        let mut waiting = state(saved.and_then(|saved| saved.scan.clone()));
        let following = Following::new(SCAN.to_owned(), &before, &mut waiting, &schema(), since).unwrap();
        let sink = TableSinkTask {
            name: "t".to_owned(),
            inputs: Inputs::new(vec![inputs]),
            writer: Box::new(writer),
            bounded: false,
            publish: Duration::from_millis(100),
            clock: clock.clone(),
            progress: Arc::new(Progress::new()),
            line: line(),
            saved_as: "table".to_owned(),
        };
        let mut outputs = Outputs::new();
        outputs.forward(forward);
        let drive = Drive::new(Chain::new(vec![]), outputs, clock.clone(), stop.clone(), Arc::default());
        let columns = (0..2).map(|column| TableColumn { column, field: schema().fields()[column].clone() }).collect();
        let scan = TableScanTask {
            table: Arc::clone(&reader) as Arc<dyn TableReader>,
            scan: TableScan { table: TableId(0), columns },
            schema: schema(),
            batch_rows: 3,
            drive: drive.with_line(line()),
            stop: stop.clone(),
            given: Arc::default(),
            rows_given,
            ends: true,
            following: Some(following),
        };
        let opened = stop.clone();
        let open = async move {
            tokio::select! {
                biased;
                ready = reader.ready() => Ok(ready.is_ok()),
                _ = opened.asked() => Ok(false),
            }
        };
        let tasks = vec![tokio::spawn(sink.run()), tokio::spawn(scan.run(open))];
        let content = saved.map(|saved| saved.content.clone()).unwrap_or_default();
        Self {
            asked,
            reports,
            input,
            output,
            clock,
            stop,
            tasks,
            content,
            at_barrier: None,
            ended: false,
            stopped: false,
        }
    }

    /// Takes what has come out.
    fn take(&mut self) {
        while let Ok(element) = self.output.try_recv() {
            match element {
                Element::Batch(batch) => apply(&mut self.content, &rows(&batch)),
                Element::Barrier(_) => self.at_barrier = Some(self.content.clone()),
                Element::End => self.ended = true,
                Element::Stop => self.stopped = true,
                _ => {}
            }
        }
    }

    async fn turns(&mut self, turns: u64) {
        for _ in 0..turns {
            tokio::task::yield_now().await;
            self.take();
        }
    }

    /// Waits until both tasks have reported a barrier, and it has come out.
    async fn reported(&mut self, fed: usize) -> Saved {
        let (mut table, mut of_scan) = (None, None);
        while table.is_none() || of_scan.is_none() || self.at_barrier.is_none() {
            tokio::task::yield_now().await;
            self.take();
            let finished = self.tasks.iter().any(JoinHandle::is_finished);
            while let Ok(report) = self.reports.try_recv() {
                match report {
                    Report::Saved(saved) => match saved.source {
                        Some((_, source)) => of_scan = Some((source, saved.operators.into_iter().next())),
                        None => table = saved.operators.into_iter().next(),
                    },
                    Report::Ended => {}
                    other => panic!("{other:?}"),
                }
            }
            // One that is stopped has reported before.
            assert!(!finished || table.is_some() || of_scan.is_some(), "a task has failed");
        }
        let (source, scan) = of_scan.unwrap();
        let content = self.at_barrier.take().unwrap();
        Saved { fed, table: table.unwrap().1, source, scan: scan.map(|(_, state)| state), content }
    }

    async fn joined(&mut self) {
        for task in std::mem::take(&mut self.tasks) {
            task.await.unwrap().unwrap();
        }
    }
}

/// Runs a script to its end with many restarts, and gives what has come out, and how many there were.
async fn run(random: &mut Random, keyed: bool, script: &[Vec<(RowKind, Row)>], start: usize) -> (Content, u64) {
    let (mut saved, mut checkpoint, mut restarts): (Option<Saved>, u64, u64) = (None, 0, 0);
    loop {
        let fed = saved.as_ref().map_or(0, |saved| saved.fed);
        let depth = [1, 4, 1_000][random.below(3) as usize];
        let mut attempt = Attempt::start(saved.as_ref(), keyed, depth);
        let mut left: VecDeque<usize> = (fed..script.len()).collect();
        // What was there at the start has come: behind a given row of the script, or somewhere when that was passed before.
        let mut caught_up = false;
        let ending = loop {
            attempt.turns(random.below(20)).await;
            let next = left.front().copied().unwrap_or(script.len());
            if !caught_up && next >= start && random.below(3) == 0 {
                attempt.input.send(Element::CaughtUp).await.unwrap();
                caught_up = true;
            }
            match random.below(20) {
                0..10 => match left.pop_front() {
                    Some(at) => {
                        let element = Element::Batch(batch(&script[at], at as i64));
                        attempt.input.send(element).await.unwrap();
                        if random.below(2) == 0 {
                            attempt.input.send(Element::Watermark(Watermark(at as i64))).await.unwrap();
                        }
                    }
                    None => break 0,
                },
                10..13 => attempt.clock.advance(Duration::from_millis(60)),
                13..18 => {
                    checkpoint += 1;
                    attempt.asked.send_modify(|asked| asked.barrier = checkpoint);
                    attempt.turns(random.below(8)).await;
                    attempt.input.send(Element::Barrier(CheckpointId(checkpoint))).await.unwrap();
                    // More may come before the barrier is through.
                    let fed = left.front().copied().unwrap_or(script.len());
                    if let Some(at) = left.pop_front() {
                        attempt.input.send(Element::Batch(batch(&script[at], at as i64))).await.unwrap();
                    }
                    if !caught_up && next >= start && random.below(3) == 0 {
                        attempt.input.send(Element::CaughtUp).await.unwrap();
                        caught_up = true;
                    }
                    saved = Some(attempt.reported(fed).await);
                }
                18 => break 1,
                _ => break 2,
            }
        };
        restarts += 1;
        match ending {
            // Its inputs end.
            0 => {
                attempt.input.send(Element::Watermark(Watermark::END)).await.unwrap();
                attempt.input.send(Element::End).await.unwrap();
                while !attempt.ended {
                    attempt.turns(1).await;
                }
                // One more checkpoint, of a table that cannot change any more.
                checkpoint += 1;
                attempt.asked.send_modify(|asked| asked.barrier = checkpoint);
                attempt.input.send(Element::Barrier(CheckpointId(checkpoint))).await.unwrap();
                let last = attempt.reported(script.len()).await;
                assert_eq!(last.content, attempt.content);
                attempt.asked.send_modify(|asked| asked.over = true);
                let Attempt { input, .. } = attempt;
                drop(input);
                for task in attempt.tasks {
                    task.await.unwrap().unwrap();
                }
                return (attempt.content, restarts);
            }
            // It is killed.
            1 => attempt.tasks.iter().for_each(JoinHandle::abort),
            // It is stopped.
            _ => {
                attempt.stop.stop();
                attempt.turns(random.below(8)).await;
                checkpoint += 1;
                attempt.asked.send_modify(|asked| (asked.barrier, asked.last) = (checkpoint, true));
                attempt.input.send(Element::Barrier(CheckpointId(checkpoint))).await.unwrap();
                attempt.input.send(Element::Stop).await.unwrap();
                saved = Some(attempt.reported(left.front().copied().unwrap_or(script.len())).await);
                while !attempt.stopped {
                    attempt.turns(1).await;
                }
                attempt.joined().await;
            }
        }
    }
}

#[tokio::test]
async fn what_is_given_of_a_changing_table_is_given_once_whatever_happens() {
    let mut restarts = 0;
    for seed in 0..120 {
        let mut random = Random::new(seed);
        let keyed = random.below(2) == 0;
        let (script, content) = script(&mut random, keyed, 30);
        let start = random.below(20) as usize;
        let (given, often) = run(&mut random, keyed, &script, start).await;
        assert_eq!(given, content, "seed {seed}");
        restarts += often - 1;
    }
    assert!(restarts > 300, "only {restarts} restarts");
}
