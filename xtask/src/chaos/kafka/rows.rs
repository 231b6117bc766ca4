//! The rows that are produced, and what the job has to make of them. All of a row but its partition and its time follows from its id.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// Where a row went, and its event time in milliseconds since 1970. Its id is its place among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) partition: i32,
    pub(super) time: i64,
}

/// How many keys there are.
pub(super) const KEYS: u64 = 40;
/// The key of rows that only move watermarks; the reference table does not know it, and its window stays open.
const LAST: &str = "END";
/// How long a window is, in milliseconds; the script says the same.
const WINDOW: i64 = 10_000;
/// 2024-01-01T00:00:00Z: the first event time, at the beginning of a window and of a day.
const BEGIN: i64 = 1_704_067_200_000;
/// How much event time passes from row to row, in milliseconds.
const STEP: i64 = 5;
/// Rows come out of order by less than this; the script lets them by 2 s.
const DISORDER: u64 = 1_500;
const DAY: i64 = 86_400_000;

/// The event time that the producer has come to. It can stand still.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventClock(i64);

impl EventClock {
    pub(super) fn new() -> Self {
        // The first rows lie before it.
        Self(BEGIN + 60_000)
    }

    /// The time of the row with this id; time goes on unless it is `held`.
    pub(super) fn next(&mut self, id: u64, held: bool) -> i64 {
        if !held {
            self.0 += STEP;
        }
        self.0 - (mixed(id.rotate_left(17)) % DISORDER) as i64
    }

    /// A time by which every window that has a row is closed.
    pub(super) fn end(self) -> i64 {
        self.0 + 3_600_000
    }
}

/// A number that looks like chance, always the same one for an id.
fn mixed(id: u64) -> u64 {
    let mixed = (id ^ (id >> 31)).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 24
}

/// The partition of a row among so many.
pub(super) fn partition(id: u64, partitions: i32) -> i32 {
    (mixed(id) % partitions.max(1) as u64) as i32
}

fn key(number: u64) -> String {
    format!("k{number:02}")
}

fn key_of(id: u64) -> String {
    key(mixed(id + 1_000_000_007) % KEYS)
}

fn amount(id: u64) -> i64 {
    (mixed(id + 2_000_000_011) % 1_000) as i64
}

/// The record of a row.
pub(super) fn record(id: u64, time: i64) -> String {
    format!("{{\"id\":{id},\"k\":\"{}\",\"amount\":{},\"ts\":{time}}}", key_of(id), amount(id))
}

/// A record that only moves the watermark of its partition.
pub(super) fn last_record(time: i64) -> String {
    format!("{{\"id\":-1,\"k\":\"{LAST}\",\"amount\":0,\"ts\":{time}}}")
}

/// The reference table.
pub(super) fn names() -> String {
    (0..KEYS).map(|number| format!("{{\"k\":\"{0}\",\"name\":\"name of {0}\"}}\n", key(number))).collect()
}

/// The line of a row joined with the reference table.
pub(super) fn joined(id: u64, sent: Sent) -> String {
    let key = key_of(id);
    format!(
        "{{\"id\":{id},\"k\":\"{key}\",\"name\":\"name of {key}\",\"amount\":{},\"part\":{}}}",
        amount(id),
        sent.partition
    )
}

/// The row that a record of the input is; none for those that only move a watermark.
pub(super) fn parsed(partition: i32, record: &str) -> Result<Option<(u64, Sent)>> {
    let row: serde_json::Value = serde_json::from_str(record).with_context(|| format!("this is no row: {record}"))?;
    let time = row["ts"].as_i64().with_context(|| format!("this row has no time: {record}"))?;
    Ok(row["id"].as_u64().map(|id| (id, Sent { partition, time })))
}

/// The lines of all windows.
pub(super) fn windows(all: &[(u64, Sent)]) -> Vec<String> {
    let mut windows = BTreeMap::<(i64, String), (u64, i64)>::new();
    for &(id, sent) in all {
        let window = windows.entry((sent.time.div_euclid(WINDOW) * WINDOW, key_of(id))).or_default();
        window.0 += 1;
        window.1 += amount(id);
    }
    let line = |((start, key), (count, sum)): ((i64, String), (u64, i64))| {
        format!("{{\"k\":\"{key}\",\"start\":\"{}\",\"n\":{count},\"total\":{sum}}}", timestamp(start))
    };
    windows.into_iter().map(line).collect()
}

/// The sum of all amounts.
pub(super) fn total(all: &[(u64, Sent)]) -> i64 {
    all.iter().map(|(id, _)| amount(*id)).sum()
}

/// A time of January 2024 at a full second, as JSON has it; a run does not last until February.
fn timestamp(millis: i64) -> String {
    let (day, second) = ((millis - BEGIN).div_euclid(DAY) + 1, (millis - BEGIN).rem_euclid(DAY) / 1_000);
    format!("2024-01-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_and_key_gets_rows() {
        for partitions in [10, 11, 16] {
            let mut met = vec![0; partitions as usize];
            (0..2_000).for_each(|id| met[partition(id, partitions) as usize] += 1);
            assert!(met.iter().all(|rows| *rows > 60), "{met:?}");
        }
        let mut keys: Vec<_> = (0..4_000).map(key_of).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len() as u64, KEYS);
    }

    /// No row may be late at its place: the job would drop it with right.
    #[test]
    fn disorder_is_bounded_also_where_time_stands_still() {
        let (mut clock, mut newest, mut behind) = (EventClock::new(), 0, 0);
        for id in 0..50_000 {
            let time = clock.next(id, (10_000..20_000).contains(&id));
            newest = newest.max(time);
            behind = behind.max(newest - time);
        }
        assert!((1_000..2_000).contains(&behind), "{behind}");
        assert!(clock.end() - WINDOW > newest);
    }

    #[test]
    fn windows_have_counts_and_sums() {
        let at = |id, time| (id, Sent { partition: 0, time });
        let all = [at(0, BEGIN + DAY + 3_723_000), at(0, BEGIN + DAY + 3_729_999), at(2, BEGIN + DAY + 3_730_000)];
        let lines = windows(&all);
        let (k0, k2) = (key_of(0), key_of(2));
        assert_eq!(
            lines,
            [
                format!("{{\"k\":\"{k0}\",\"start\":\"2024-01-02T01:02:00Z\",\"n\":2,\"total\":{}}}", 2 * amount(0)),
                format!("{{\"k\":\"{k2}\",\"start\":\"2024-01-02T01:02:10Z\",\"n\":1,\"total\":{}}}", amount(2)),
            ]
        );
        let totals = lines.iter().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["total"].as_i64().unwrap()
        });
        assert_eq!(totals.sum::<i64>(), total(&all));
    }

    #[test]
    fn what_goes_in_comes_out() {
        let record: serde_json::Value = serde_json::from_str(&record(7, 5)).unwrap();
        let sent = Sent { partition: 3, time: 5 };
        assert_eq!(parsed(3, &record.to_string()).unwrap(), Some((7, sent)));
        assert_eq!(parsed(3, &last_record(5)).unwrap(), None);
        assert!(parsed(3, "{\"id\":7}").is_err());
        let joined: serde_json::Value = serde_json::from_str(&joined(7, sent)).unwrap();
        for column in ["id", "k", "amount"] {
            assert_eq!(record[column], joined[column]);
        }
        assert_eq!((&record["ts"], &joined["part"]), (&5.into(), &3.into()));
        assert!(names().contains(&format!("\"name\":{}", joined["name"])));
        assert!(!names().contains(LAST) && last_record(5).contains(LAST));
    }
}
