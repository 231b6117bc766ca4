//! The same results by brute force over all rows at once.

use std::collections::{BTreeMap, BTreeSet};

use velo_core::RowKind;
use velo_core::decimal::to_text_i128;
use velo_eventtime::LateStrategy;
use velo_plan::plan::{AggregateCall, AggregateKind, WindowKind, WindowSpec};

use super::Row;

/// Seconds and fractions as the harness writes them.
pub fn time(micros: i64) -> String {
    let text = velo_core::time::iso8601(micros);
    text.trim_end_matches('Z').to_owned()
}

/// All windows that hold a time, in the order of their ends: brute force over a range around it.
pub fn windows_of(spec: &WindowSpec, at: i64) -> Vec<(i64, i64)> {
    let around = |advance: i64, size: i64| {
        let from = (at - size - spec.offset.0) / advance - 2;
        (from..from + size / advance + 6).map(move |number| number * advance)
    };
    let offset = spec.offset.0;
    let mut all = match spec.kind {
        WindowKind::Tumbling { size } => {
            around(size.0, size.0).map(|s| (s + offset, s + offset + size.0)).collect::<Vec<_>>()
        }
        WindowKind::Sliding { size, advance } => {
            around(advance.0, size.0).map(|s| (s + offset, s + offset + size.0)).collect()
        }
        WindowKind::Cumulate { size, step } => around(size.0, size.0)
            .flat_map(|s| (1..=size.0 / step.0).map(move |n| (s + offset, s + offset + n * step.0)))
            .collect(),
        WindowKind::Session { .. } => Vec::new(),
    };
    all.retain(|(start, end)| *start <= at && at < *end);
    all.sort_by_key(|(_, end)| *end);
    all
}

/// The earliest window whose end is after `at`.
fn next_window(spec: &WindowSpec, at: i64) -> (i64, i64) {
    // Windows that hold `at` or something soon behind it.
    let step = 1_000_000;
    let soon = (0..200).flat_map(|n| windows_of(spec, at + n * step)).filter(|(_, end)| *end > at);
    soon.min_by_key(|(_, end)| *end).unwrap()
}

/// By window and key: the rows that count in it.
pub fn windowed(
    spec: &WindowSpec,
    partitions: &[Vec<Row>],
    late: LateStrategy,
) -> BTreeMap<(i64, i64, Option<String>), Vec<Row>> {
    let mut all: BTreeMap<_, Vec<Row>> = BTreeMap::new();
    for row in partitions.iter().flatten() {
        let watermark = row.time + row.late_by;
        let windows = windows_of(spec, row.time);
        let mut open = windows.iter().filter(|(_, end)| *end > watermark).copied().collect::<Vec<_>>();
        if open.is_empty() && !windows.is_empty() && late == LateStrategy::IncludeInNextWindow {
            open.push(next_window(spec, watermark));
        }
        for (start, end) in open {
            all.entry((start, end, row.key.clone())).or_default().push(row.clone());
        }
    }
    all
}

/// By session and key: the rows of it, for one partition; row by row as they come.
pub fn sessions(gap: i64, rows: &[Row]) -> BTreeMap<(i64, i64, Option<String>), Vec<Row>> {
    let mut open: Vec<(Option<String>, Vec<Row>)> = Vec::new();
    for row in rows {
        let watermark = row.time + row.late_by;
        if watermark > row.time + gap {
            continue;
        }
        let joins = |(key, members): &(Option<String>, Vec<Row>)| {
            let start = members.iter().map(|row| row.time).min().unwrap();
            let last = members.iter().map(|row| row.time).max().unwrap();
            *key == row.key && row.time <= last + gap && row.time >= start - gap && last + gap >= watermark
        };
        let (joined, mut others): (Vec<_>, Vec<_>) = open.into_iter().partition(joins);
        let mut members = joined.into_iter().flat_map(|(_, members)| members).collect::<Vec<_>>();
        members.push(row.clone());
        others.push((row.key.clone(), members));
        open = others;
    }
    let bounds = |members: &[Row]| {
        let times = members.iter().map(|row| row.time);
        (times.clone().min().unwrap(), times.max().unwrap() + gap)
    };
    let all = open.into_iter().map(|(key, members)| {
        let (start, end) = bounds(&members);
        ((start, end, key), members)
    });
    all.collect()
}

/// By session and key: the rows that are left of a changelog, row by row as they come. A session takes rows and gives them back
/// until `allowed` after its end.
pub fn revised_sessions(
    gap: i64,
    allowed: i64,
    log: &[(RowKind, Row)],
) -> BTreeMap<(i64, i64, Option<String>), Vec<Row>> {
    let open = |end: i64, watermark: i64| watermark <= end || watermark < end + allowed;
    let last = |rows: &[Row]| rows.iter().map(|row| row.time).max().unwrap();
    let start = |rows: &[Row]| rows.iter().map(|row| row.time).min().unwrap();
    let same = |left: &Row, right: &Row| {
        let place = |row: &Row| Row { partition: 0, position: 0, late_by: 0, ..row.clone() };
        place(left) == place(right)
    };
    let mut sessions: Vec<Vec<Row>> = Vec::new();
    for (kind, row) in log {
        let watermark = row.time + row.late_by.max(0);
        if !open(row.time + gap, watermark) {
            continue;
        }
        if kind.retracts() {
            let at = sessions.iter().position(|rows| rows.iter().any(|known| same(known, row)));
            let Some(at) = at else { continue };
            let mut rows = sessions.swap_remove(at);
            rows.remove(rows.iter().position(|known| same(known, row)).unwrap());
            rows.sort_by_key(|row| row.time);
            sessions.extend(rows.chunk_by(|left, right| right.time - left.time <= gap).map(<[Row]>::to_vec));
            continue;
        }
        let joins = |rows: &Vec<Row>| {
            rows[0].key == row.key
                && row.time <= last(rows) + gap
                && row.time >= start(rows) - gap
                && open(last(rows) + gap, watermark)
        };
        let (joined, mut others): (Vec<_>, Vec<_>) = sessions.into_iter().partition(joins);
        let mut rows = joined.concat();
        rows.push(row.clone());
        others.push(rows);
        sessions = others;
    }
    sessions.into_iter().map(|rows| ((start(&rows), last(&rows) + gap, rows[0].key.clone()), rows)).collect()
}

/// By chain and key: sessions of rows none of which is late.
pub fn chains(gap: i64, partitions: &[Vec<Row>]) -> BTreeMap<(i64, i64, Option<String>), Vec<Row>> {
    let mut by_key: BTreeMap<Option<String>, Vec<Row>> = BTreeMap::new();
    for row in partitions.iter().flatten() {
        by_key.entry(row.key.clone()).or_default().push(row.clone());
    }
    let mut all = BTreeMap::new();
    for (key, mut rows) in by_key {
        rows.sort_by_key(|row| row.time);
        for chain in rows.chunk_by(|left, right| right.time - left.time <= gap) {
            let (start, end) = (chain[0].time, chain[chain.len() - 1].time + gap);
            all.insert((start, end, key.clone()), chain.to_vec());
        }
    }
    all
}

/// `sum / count` with `digits` digits, rounded half away from zero.
fn mean(sum: i128, count: usize, scale: i8, digits: i8) -> String {
    let numerator = sum * 10_i128.pow(u32::from((digits - scale).unsigned_abs()));
    let count = count as i128;
    let (whole, rest) = (numerator / count, numerator % count);
    let up = if rest.abs() * 2 >= count { numerator.signum() } else { 0 };
    to_text_i128(whole + up, digits)
}

/// The result of one call over the rows of a group, as text.
pub fn aggregate(call: &AggregateCall, rows: &[Row]) -> String {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| (row.time, row.partition, row.position));
    if call.filter.is_some() {
        // The one filter that these tests use: quantity > 0.
        rows.retain(|row| row.quantity.is_some_and(|quantity| quantity > 0));
    }
    let columns = call.arguments.iter().filter_map(|argument| match argument {
        datafusion_expr::Expr::Column(column) => Some(column.name().to_owned()),
        _ => None,
    });
    let columns = columns.collect::<Vec<_>>();
    let cell = |row: &Row, column: &str| -> Option<Cell> {
        match column {
            "price" => row.price.map(Cell::Price),
            "quantity" => row.quantity.map(Cell::Quantity),
            "weight" => row.weight().map(Cell::Weight),
            "note" => row.note.clone().map(Cell::Note),
            "flag" => row.flag.map(Cell::Flag),
            "key" => row.key.clone().map(Cell::Note),
            other => panic!("{other}"),
        }
    };
    let first = |row: &Row| columns.first().and_then(|column| cell(row, column));
    let mut values = rows.iter().filter_map(first).collect::<Vec<_>>();
    if call.distinct {
        let mut seen = BTreeSet::new();
        values.retain(|value| seen.insert(format!("{value:?}")));
    }
    let null = || "null".to_owned();
    match &call.kind {
        AggregateKind::Count if columns.is_empty() => rows.len().to_string(),
        AggregateKind::Count => values.len().to_string(),
        _ if values.is_empty() && !matches!(call.kind, AggregateKind::Library(_)) => null(),
        AggregateKind::Sum | AggregateKind::Avg => {
            let average = call.kind == AggregateKind::Avg;
            match &values[0] {
                Cell::Price(_) | Cell::Quantity(_) => {
                    let sum = values.iter().map(Cell::exact).sum::<i128>();
                    let scale = if matches!(values[0], Cell::Price(_)) { 4 } else { 0 };
                    if average { mean(sum, values.len(), scale, 16) } else { to_text_i128(sum, scale) }
                }
                _ => {
                    let sum = values.iter().map(Cell::float).sum::<f64>();
                    format!("~{}", if average { sum / values.len() as f64 } else { sum })
                }
            }
        }
        AggregateKind::Min | AggregateKind::BoolAnd => {
            values.iter().min_by(|left, right| left.compare(right)).map_or_else(null, Cell::text)
        }
        AggregateKind::Max | AggregateKind::BoolOr => {
            values.iter().max_by(|left, right| left.compare(right)).map_or_else(null, Cell::text)
        }
        AggregateKind::First => values.first().map_or_else(null, Cell::text),
        AggregateKind::Last => values.last().map_or_else(null, Cell::text),
        AggregateKind::ArgMin | AggregateKind::ArgMax => {
            let key = |row: &Row| cell(row, &columns[1]);
            let mut best: Option<&Row> = None;
            for row in rows.iter().filter(|row| key(row).is_some()) {
                let better = best.is_none_or(|best| {
                    let order = key(row).unwrap().compare(&key(best).unwrap());
                    if call.kind == AggregateKind::ArgMin { order.is_lt() } else { order.is_gt() }
                });
                if better {
                    best = Some(row);
                }
            }
            best.and_then(first).as_ref().map_or_else(null, Cell::text)
        }
        AggregateKind::Library(function) => match function.name() {
            "array_agg" => {
                let all = rows.iter().map(|row| first(row).as_ref().map_or_else(|| "null".to_owned(), Cell::text));
                let mut all = all.collect::<Vec<_>>();
                if call.distinct {
                    let mut seen = BTreeSet::new();
                    all.retain(|value| seen.insert(value.clone()));
                }
                if rows.is_empty() { null() } else { format!("[{}]", all.join(", ")) }
            }
            "string_agg" => {
                // ORDER BY price DESC NULLS LAST.
                rows.sort_by_key(|row| std::cmp::Reverse(row.price));
                let notes = rows.iter().filter_map(|row| row.note.clone()).collect::<Vec<_>>();
                if notes.is_empty() { null() } else { notes.join("|") }
            }
            "stddev" => {
                let count = values.len() as f64;
                if values.len() < 2 {
                    return null();
                }
                let mean = values.iter().map(Cell::float).sum::<f64>() / count;
                let squares = values.iter().map(|value| (value.float() - mean).powi(2)).sum::<f64>();
                format!("~{}", (squares / (count - 1.0)).sqrt())
            }
            "median" => {
                let mut sorted = values.iter().map(Cell::float).collect::<Vec<_>>();
                sorted.sort_by(f64::total_cmp);
                let middle = sorted.len() / 2;
                match sorted.len() {
                    0 => null(),
                    n if n % 2 == 1 => format!("~{}", sorted[middle]),
                    _ => format!("~{}", f64::midpoint(sorted[middle - 1], sorted[middle])),
                }
            }
            other => panic!("{other}"),
        },
    }
}

#[derive(Debug, Clone)]
enum Cell {
    Price(i128),
    Quantity(i64),
    Weight(f64),
    Note(String),
    Flag(bool),
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Self::Price(price) => to_text_i128(*price, 4),
            Self::Quantity(quantity) => quantity.to_string(),
            Self::Weight(weight) => format!("~{weight}"),
            Self::Note(note) => note.clone(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
    fn exact(&self) -> i128 {
        match self {
            Self::Price(price) => *price,
            Self::Quantity(quantity) => i128::from(*quantity),
            other => panic!("{other:?}"),
        }
    }
    fn float(&self) -> f64 {
        match self {
            Self::Weight(weight) => *weight,
            Self::Price(price) => *price as f64 / 1e4,
            other => other.exact() as f64,
        }
    }
    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        match (self, other) {
            (Self::Weight(left), Self::Weight(right)) => left.total_cmp(right),
            (Self::Note(left), Self::Note(right)) => left.cmp(right),
            (Self::Flag(left), Self::Flag(right)) => left.cmp(right),
            _ => self.exact().cmp(&other.exact()),
        }
    }
}

/// The expected output rows: key, results, start and end, sorted.
pub fn results(calls: &[AggregateCall], groups: &BTreeMap<(i64, i64, Option<String>), Vec<Row>>) -> Vec<Vec<String>> {
    let rows = groups.iter().map(|((start, end, key), rows)| {
        let mut cells = vec![key.clone().unwrap_or_else(|| "null".to_owned())];
        cells.extend(calls.iter().map(|call| aggregate(call, rows)));
        cells.extend([time(*start), time(*end)]);
        cells
    });
    let mut rows = rows.collect::<Vec<_>>();
    rows.sort_by(|left, right| {
        (left.first(), &left[left.len() - 2..]).cmp(&(right.first(), &right[right.len() - 2..]))
    });
    rows
}

/// Compares results; cells that begin with `~` are floats.
pub fn assert_equal(mut found: Vec<Vec<String>>, expected: &[Vec<String>], context: &str) {
    found.sort_by(|left, right| {
        (left.first(), &left[left.len() - 2..]).cmp(&(right.first(), &right[right.len() - 2..]))
    });
    for (row, wanted) in found.iter().zip(expected) {
        let equal = row.len() == wanted.len()
            && row.iter().zip(wanted).all(|(cell, wanted)| match wanted.strip_prefix('~') {
                Some(number) => {
                    let wanted = number.parse::<f64>().unwrap();
                    let cell = cell.parse::<f64>();
                    cell.is_ok_and(|cell| (cell - wanted).abs() <= 1e-9 * wanted.abs().max(1.0))
                }
                None => cell == wanted,
            });
        assert!(equal, "{context}\n   found {row:?}\nexpected {wanted:?}");
    }
    assert_eq!(found.len(), expected.len(), "{context}");
}
