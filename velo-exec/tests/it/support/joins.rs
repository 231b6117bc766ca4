//! Two inputs of a join, the order in which they come, and joins by brute force.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use datafusion_expr::{Expr, col};
use velo_core::{Batch, Watermark, schema as hidden};
use velo_exec::operator::JoinSpec;
use velo_exec::testing::Random;
use velo_plan::plan::{Join, JoinColumn, JoinKey, JoinKind, Side};

use super::sim::{random_partitions, stamp, turns};
use super::tasks::Target;
use super::{Row, SECOND, batch, cells, schema};

/// The columns of both sides that come out.
const SHOWN: [&str; 3] = ["key", "quantity", "note"];

/// The right input's columns: those of the left one with another name.
pub fn right_schema() -> SchemaRef {
    let visible = hidden::visible(&schema());
    let field = |field: &Arc<Field>| field.as_ref().clone().with_name(format!("r_{}", field.name()));
    hidden::with_event_time(&Schema::new(visible.fields().iter().map(field).collect::<Vec<_>>()))
}

/// Rows of one partition of a side.
pub fn side_batch(side: usize, rows: &[Row]) -> Batch {
    renamed(side, batch(rows))
}

/// A batch as one of that side.
pub fn renamed(side: usize, batch: Batch) -> Batch {
    if side == 0 {
        return batch;
    }
    let columns = RecordBatch::try_new(right_schema(), batch.columns.columns().to_vec()).unwrap();
    batch.with_columns(columns)
}

/// A join on `key = r_key`.
pub fn join(kind: JoinKind, condition: Option<Expr>) -> Join {
    let left_only = matches!(kind, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark(_));
    let columns = |side: Side, schema: SchemaRef, prefix: &str| {
        let column = |name: &&str| {
            let field = schema.field_with_name(&format!("{prefix}{name}")).unwrap().clone();
            JoinColumn { side, field: Arc::new(field.with_nullable(true)) }
        };
        SHOWN.iter().map(column).collect::<Vec<_>>()
    };
    let mut all = columns(Side::Left, schema(), "");
    if !left_only {
        all.extend(columns(Side::Right, right_schema(), "r_"));
    }
    Join { kind, keys: vec![JoinKey { left: col("key"), right: col("r_key") }], condition, columns: all }
}

/// What the operator of a join is made from.
pub fn spec<N>(plan: N, join: &Join) -> JoinSpec<N> {
    let mut fields = join.columns.iter().map(|column| column.field.as_ref().clone()).collect::<Vec<_>>();
    fields.extend(join.kind.mark().map(|mark| mark.as_ref().clone()));
    JoinSpec {
        join: plan,
        left: schema(),
        right: right_schema(),
        output: hidden::with_event_time(&Schema::new(fields)),
        statement: "result".to_owned(),
        ttl: None,
        retracts: [false; 2],
    }
}

/// `quantity <= r_quantity`.
pub fn condition() -> Expr {
    col("quantity").lt_eq(col("r_quantity"))
}

/// Whether a pair meets [`condition`].
pub fn meets(left: &Row, right: &Row) -> bool {
    left.quantity.zip(right.quantity).is_some_and(|(left, right)| left <= right)
}

/// Whether a pair has the same key.
pub fn same_key(left: &Row, right: &Row) -> bool {
    left.key.is_some() && left.key == right.key
}

/// Stamped partitions of both sides, of few keys, over about the same time.
pub fn random_sides(random: &mut Random, rows: usize, disorder: i64) -> [Vec<Vec<Row>>; 2] {
    [0, 1].map(|_| {
        let partitions = 1 + random.below(2) as usize;
        let mut partitions = random_partitions(random, partitions, rows, disorder, true);
        stamp(&mut partitions, disorder * SECOND);
        partitions
    })
}

/// The rows of a side that are on time.
pub fn on_time(partitions: &[Vec<Row>]) -> Vec<Row> {
    partitions.iter().flatten().filter(|row| row.late_by <= 0).cloned().collect()
}

/// How rows come: the bound of their disorder, the rows of a batch, and what decides the turns.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    pub bound: i64,
    pub size: usize,
    pub seed: u64,
}

/// Hands the rows of both sides to a join, `size` at a time, in any turn.
pub fn feed<T: Target>(
    harness: &mut T,
    sides: &[Vec<Vec<Row>>; 2],
    make: impl Fn(usize, &[Row]) -> Batch,
    Way { bound, size, seed }: Way,
    mut take: impl FnMut(&mut T),
) {
    let mut random = Random::new(seed);
    let mut waiting = [0, 1].map(|side| turns(&sides[side], bound, size, seed + side as u64).into_iter());
    let mut watermarks = [Watermark::NONE; 2];
    let mut merged = Watermark::NONE;
    // At times one side is far ahead.
    let ahead = random.below(3);
    let mut left = 1;
    while left > 0 {
        let first = match ahead {
            0 => random.below(2) as usize,
            _ if random.below(40) == 0 => ahead as usize % 2,
            _ => ahead as usize - 1,
        };
        for side in [first, 1 - first] {
            let Some(turn) = waiting[side].next() else { continue };
            harness.batch_at(side, make(side, turn.rows));
            // A watermark may come later than it could.
            if random.below(4) > 0 || turn.watermark == Watermark::END {
                watermarks[side] = watermarks[side].max(turn.watermark);
                harness.input_watermark(side, watermarks[side]);
            }
            break;
        }
        let both = watermarks[0].min(watermarks[1]);
        if both > merged && both != Watermark::END {
            merged = both;
            harness.watermark(both);
        }
        take(harness);
        left = waiting.iter().map(ExactSizeIterator::len).sum();
    }
    harness.end();
    take(harness);
}

/// What came out, as text with the event time last.
pub fn texts(batches: &[Batch]) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for batch in batches {
        let times = batch.event_times().unwrap();
        for (at, mut row) in cells(&batch.columns).into_iter().enumerate() {
            row.push(times.value(at).to_string());
            all.push(row);
        }
    }
    all
}

/// The cells of a row that come out, or of none.
pub fn shown(row: Option<&Row>) -> Vec<String> {
    let text = |text: Option<String>| text.unwrap_or_else(|| "null".to_owned());
    let Some(row) = row else { return vec!["null".to_owned(); SHOWN.len()] };
    vec![text(row.key.clone()), text(row.quantity.map(|value| value.to_string())), text(row.note.clone())]
}

/// A pair as text, with its event time.
pub fn pair(left: Option<&Row>, right: Option<&Row>, time: i64) -> Vec<String> {
    let mut cells = shown(left);
    cells.extend(shown(right));
    cells.push(time.to_string());
    cells
}

/// A left row alone as text, with its event time.
pub fn alone(left: &Row) -> Vec<String> {
    let mut cells = shown(Some(left));
    cells.push(left.time.to_string());
    cells
}

/// A join by brute force; the event time is that of `time`.
pub fn naive(
    kind: &JoinKind,
    left: &[Row],
    right: &[Row],
    partners: impl Fn(&Row, &Row) -> bool,
    time: impl Fn(Option<&Row>, Option<&Row>) -> i64,
) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for of_left in left {
        let found = right.iter().filter(|of_right| partners(of_left, of_right)).collect::<Vec<_>>();
        match kind {
            JoinKind::Semi if !found.is_empty() => rows.push(alone(of_left)),
            JoinKind::Anti if found.is_empty() => rows.push(alone(of_left)),
            JoinKind::Semi | JoinKind::Anti => {}
            _ => {
                let both = found.iter().map(|right| pair(Some(of_left), Some(right), time(Some(of_left), Some(right))));
                rows.extend(both);
                if found.is_empty() && kind.keeps_left() {
                    rows.push(pair(Some(of_left), None, time(Some(of_left), None)));
                }
            }
        }
    }
    for of_right in right.iter().filter(|_| kind.keeps_right()) {
        if !left.iter().any(|of_left| partners(of_left, of_right)) {
            rows.push(pair(None, Some(of_right), time(None, Some(of_right))));
        }
    }
    rows.sort();
    rows
}

/// The later of the times of both sides, or that of the one that is there.
pub fn later(left: Option<&Row>, right: Option<&Row>) -> i64 {
    left.into_iter().chain(right).map(|row| row.time).max().unwrap()
}
