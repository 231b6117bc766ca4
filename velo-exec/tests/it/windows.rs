//! Time windows: the boundary cases by name, on operators alone.

use crate::support::{Calls, Kind, Row, SECOND, batch, rows_at, schema, spec, window};
use velo_core::Watermark;
use velo_core::types;
use velo_eventtime::LateStrategy;
use velo_exec::operator::{
    Element, GroupSpec, Operator, SessionAggregate, WindowAggregate, WindowFinal, WindowPartial,
};
use velo_exec::testing::Harness;
use velo_plan::plan::WindowSpec;

fn seconds(text: &str) -> String {
    // Windows as `[0,60)`, in seconds.
    let parts = text.split(", ").collect::<Vec<_>>();
    let second = |text: &str| {
        let micros = velo_eventtime::parse_timestamp(text, velo_eventtime::Zone::UTC).unwrap();
        let whole = micros as f64 / 1e6;
        whole.to_string()
    };
    let (values, bounds) = parts.split_at(parts.len() - 2);
    format!("{} [{},{})", values.join(", "), second(bounds[0]), second(bounds[1]))
}

/// Feeds rows of one partition, each in its own batch, with its watermark behind it; then the end, if `end`.
fn feed<O: Operator>(harness: &mut Harness<O>, bound: f64, rows: &[(&str, f64, &str)]) -> Vec<Vec<String>> {
    let bound = (bound * 1e6).round() as i64;
    let mut highest = i64::MIN;
    let mut after = Vec::new();
    for (position, (key, time, price)) in rows.iter().enumerate() {
        let time = (time * 1e6).round() as i64;
        highest = highest.max(time);
        let row = Row { position: position as u64, late_by: highest - bound - time, ..Row::at(key, time, price) };
        harness.batch(batch(&[row])).unwrap();
        harness.watermark(Watermark(highest - bound)).unwrap();
        after.push(harness.take_rows().iter().map(|row| seconds(row)).collect());
    }
    after
}

fn rest<O: Operator>(harness: &mut Harness<O>) -> Vec<String> {
    harness.end().unwrap();
    harness.take_rows().iter().map(|row| seconds(row)).collect()
}

fn count(keys: &[&str], window: WindowSpec) -> GroupSpec {
    spec(keys, Calls::new().count_all(), Some(window))
}

fn windows(spec: &GroupSpec) -> Harness<WindowAggregate> {
    Harness::new(WindowAggregate::new(spec, &schema()).unwrap())
}

fn sessions(spec: &GroupSpec) -> Harness<SessionAggregate> {
    Harness::new(SessionAggregate::new(spec, &schema()).unwrap())
}

#[test]
fn tumbling_in_one_step() {
    let calls = Calls::new()
        .count_all()
        .add(Kind::Sum, "price")
        .add(Kind::Avg, "price")
        .add(Kind::Min, "price")
        .add(Kind::Max, "price")
        .add(Kind::First, "price")
        .add(Kind::Last, "price");
    let mut harness = windows(&spec(&["key"], calls, Some(window("tumbling", 60, 0, 0))));
    harness
        .batch(rows_at(&[("a", 1.0, "1.5"), ("b", 2.0, "4"), ("a", 3.0, "2.5001"), ("a", 2.5, ""), ("a", 61.0, "7")]))
        .unwrap();
    harness.watermark(Watermark(59 * SECOND)).unwrap();
    assert!(harness.take_rows().is_empty());
    harness.watermark(Watermark(60 * SECOND)).unwrap();
    assert_eq!(
        harness.take_rows(),
        [
            "a, 3, 4.0001, 2.0000500000000000, 1.5000, 2.5001, 1.5000, 2.5001, 1970-01-01T00:00:00, 1970-01-01T00:01:00",
            "b, 1, 4.0000, 4.0000000000000000, 4.0000, 4.0000, 4.0000, 4.0000, 1970-01-01T00:00:00, 1970-01-01T00:01:00",
        ]
    );
    assert_eq!(harness.forwarded(), Watermark(60 * SECOND));
    harness.end().unwrap();
    assert_eq!(harness.take_rows().len(), 1);
}

#[test]
fn bc_04_windows_before_1970() {
    let mut harness = windows(&count(&[], window("tumbling", 60, 0, 0)));
    harness
        .batch(rows_at(&[("a", -61.0 + 0.999 - 1.0, ""), ("a", -60.0, ""), ("a", -0.001, ""), ("a", 0.0, "")]))
        .unwrap();
    assert_eq!(rest(&mut harness), ["1 [-120,-60)", "2 [-60,0)", "1 [0,60)"]);
    let mut harness = windows(&count(&[], window("sliding", 10, 4, 0)));
    harness.batch(rows_at(&[("a", -1.0, "")])).unwrap();
    assert_eq!(rest(&mut harness), ["1 [-8,2)", "1 [-4,6)"]);
    for time in [i64::MIN, i64::MIN + 1, i64::MAX - 1] {
        let mut harness = windows(&count(&[], window("tumbling", 60, 0, 0)));
        let error = harness.batch(batch(&[Row::at("a", time, "")])).unwrap_err().to_string();
        assert!(error.contains("result: the window of") && error.contains("outside the range"), "{error}");
    }
    let mut harness = sessions(&count(&[], window("session", 60, 0, 0)));
    assert!(harness.batch(batch(&[Row::at("a", i64::MAX - 1, "")])).is_err());
}

#[test]
fn bc_05_an_offset_also_moves_the_firing() {
    let (day, hour) = (86_400, 3_600);
    // 2024-01-01T00:00:00Z.
    let base = 1_704_067_200.0;
    let at = |h: f64, m: f64, s: f64| base + h * 3_600.0 + m * 60.0 + s;
    for offset in [8 * hour, -16 * hour, 32 * hour] {
        let mut harness = windows(&count(&[], window("tumbling", day, 0, offset)));
        let late = harness.operator.late().unwrap();
        let rows = [
            ("a", at(1.0, 30.0, 2.0), ""),
            ("a", at(7.0, 59.0, 59.0), ""),
            ("a", at(8.0, 0.0, 6.0), ""),
            ("a", at(7.0, 59.0, 58.0), ""),
        ];
        let after = feed(&mut harness, 5.0, &rows);
        let window = |count: i32, start: f64| format!("{count} [{},{})", start, start + 86_400.0);
        assert_eq!(after, [vec![], vec![], vec![window(2, at(-16.0, 0.0, 0.0))], vec![]], "{offset}");
        assert_eq!(rest(&mut harness), [window(1, at(8.0, 0.0, 0.0))]);
        assert_eq!((late.rows(), late.windows()), (1, 1));
    }
}

#[test]
fn bc_07_sessions_that_touch_are_one() {
    let spec = count(&["key"], window("session", 30, 0, 0));
    for (bound, rows) in [
        (0.0, [("a", 0.0, ""), ("a", 30.0, "")]),
        (60.0, [("a", 30.0, ""), ("a", 0.0, "")]),
        (0.0, [("a", 0.0, ""), ("a", 30.0, "")]),
    ] {
        let mut harness = sessions(&spec);
        assert_eq!(feed(&mut harness, bound, &rows), [vec![] as Vec<String>, vec![]]);
        assert_eq!(rest(&mut harness), ["a, 2 [0,60)"]);
    }
    let mut harness = sessions(&spec);
    let after = feed(&mut harness, 0.0, &[("a", 0.0, ""), ("a", 30.000_001, "")]);
    assert_eq!(after[1], ["a, 1 [0,30)"]);
    assert_eq!(harness.forwarded(), Watermark(30 * SECOND), "held back by a microsecond");
    assert_eq!(rest(&mut harness), ["a, 1 [30.000001,60.000001)"]);
}

#[test]
fn bc_08_a_bridging_row_merges_two_sessions() {
    let calls =
        Calls::new().count_all().add(Kind::Sum, "price").add(Kind::First, "note").add(Kind::Count, "price").distinct();
    let calls = calls.library("array_agg", &["note"], types::array(arrow_schema::DataType::Utf8));
    let mut harness = sessions(&spec(&["key"], calls, Some(window("session", 10, 0, 0))));
    let after = feed(&mut harness, 20.0, &[("a", 0.0, "1"), ("a", 15.0, "2"), ("a", 8.0, "3")]);
    assert!(after.iter().all(Vec::is_empty));
    assert_eq!(rest(&mut harness), ["a, 3, 6.0000, 1, 3, [1, 3, 2] [0,25)"]);
}

#[test]
fn bc_10_all_due_windows_fire_and_no_empty_ones() {
    let mut harness = windows(&count(&["key"], window("sliding", 10, 5, 0)));
    harness.batch(rows_at(&[("a", 1.0, ""), ("b", 2.0, ""), ("a", 100.0, "")])).unwrap();
    assert_eq!(
        rest(&mut harness),
        ["a, 1 [-5,5)", "b, 1 [-5,5)", "a, 1 [0,10)", "b, 1 [0,10)", "a, 1 [95,105)", "a, 1 [100,110)"]
    );
    let rows = (0..20).map(|second| ("a", f64::from(second), "")).collect::<Vec<_>>();
    for each in [true, false] {
        let mut harness = windows(&count(&[], window("sliding", 10, 2, 0)));
        let mut all = Vec::new();
        if each {
            all.extend(feed(&mut harness, 0.0, &rows).into_iter().flatten());
        } else {
            harness.batch(rows_at(&rows)).unwrap();
        }
        all.extend(rest(&mut harness));
        let expected = [2, 4, 6, 8, 10, 10, 10, 10, 10, 10, 8, 6, 4, 2].iter().zip((2..).step_by(2));
        let expected = expected.map(|(count, end)| format!("{count} [{},{end})", end - 10)).collect::<Vec<_>>();
        assert_eq!(all, expected);
    }
}

#[test]
fn bc_11_equal_times_are_on_time() {
    let mut harness = windows(&count(&[], window("tumbling", 10, 0, 0)));
    let late = harness.operator.late().unwrap();
    let after = feed(&mut harness, 0.0, &[("a", 10.0, ""), ("a", 10.0, ""), ("a", 9.9995, "")]);
    assert!(after.iter().all(Vec::is_empty));
    assert_eq!(rest(&mut harness), ["2 [10,20)"]);
    assert_eq!(late.rows(), 1);

    let mut harness = windows(&count(&[], window("tumbling", 10, 0, 0)));
    let after = feed(&mut harness, 5.0, &[("a", 0.0, ""), ("a", 14.999, ""), ("a", 15.0, "")]);
    assert_eq!(after, [vec![], vec![], vec!["1 [0,10)".to_owned()]]);
    assert_eq!(rest(&mut harness), ["2 [10,20)"]);
}

#[test]
fn a_late_row_goes_to_the_dead_letters_with_its_window() {
    let spec = GroupSpec { late: LateStrategy::DeadLetter, ..count(&["key"], window("sliding", 10, 5, 0)) };
    let mut harness = windows(&spec);
    let late = harness.operator.late().unwrap();
    // 9 is late for [0,10) and counts in [5,15); 3 is late for both.
    feed(&mut harness, 0.0, &[("a", 8.0, "1"), ("a", 12.0, "2"), ("a", 9.0, "3"), ("b\"", 3.0, "4.5")]);
    let letters = harness.take_dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        letters[0].error,
        "event time 1970-01-01T00:00:03Z came late for window [1970-01-01T00:00:00Z, 1970-01-01T00:00:10Z): \
         the watermark was 1970-01-01T00:00:12Z, 9s after the event time"
    );
    assert_eq!(
        letters[0].bytes,
        r#"{"key":"b\"","price":4.5000,"quantity":1,"weight":15000.0,"note":"4.5","flag":true}"#
    );
    assert_eq!(letters[0].place.as_ref().unwrap().to_string(), "input, row 3");
    assert_eq!((late.rows(), late.windows()), (1, 3));
    let all = rest(&mut harness);
    assert_eq!(all, ["a, 3 [5,15)", "a, 1 [10,20)"]);

    let spec = GroupSpec { late: LateStrategy::DeadLetter, ..count(&["key"], window("session", 5, 0, 0)) };
    let mut harness = sessions(&spec);
    feed(&mut harness, 0.0, &[("a", 10.0, ""), ("a", 5.0, ""), ("a", 4.999, "")]);
    let letters = harness.take_dead_letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].error.contains("a session with a gap of 5s"), "{}", letters[0].error);
    assert_eq!(rest(&mut harness), ["a, 2 [5,15)"]);
}

#[test]
fn a_large_window_comes_in_pieces() {
    let spec = count(&["key"], window("tumbling", 10, 0, 0));
    let rows = (0..50_000).map(|n| Row::at(&format!("key {n}"), 1_000_000, "1")).collect::<Vec<_>>();
    for kind in 0..3 {
        let sizes = |elements: Vec<Element>| {
            let sizes = elements.into_iter().map(|element| match element {
                Element::Batch(batch) => batch.rows(),
                _ => 0,
            });
            sizes.collect::<Vec<_>>()
        };
        let found = match kind {
            0 => {
                let mut harness = windows(&spec);
                harness.batch(batch(&rows)).unwrap();
                harness.watermark(Watermark(10 * SECOND)).unwrap();
                sizes(harness.take())
            }
            1 => {
                let mut harness = Harness::new(WindowPartial::new(&spec, &schema()).unwrap());
                harness.batch(batch(&rows)).unwrap();
                harness.watermark(Watermark(10 * SECOND)).unwrap();
                sizes(harness.take())
            }
            _ => {
                let spec = count(&["key"], window("session", 5, 0, 0));
                let mut harness = sessions(&spec);
                harness.batch(batch(&rows)).unwrap();
                harness.watermark(Watermark(10 * SECOND)).unwrap();
                sizes(harness.take())
            }
        };
        // The watermark comes last.
        assert_eq!(found, [8_192, 8_192, 8_192, 8_192, 8_192, 8_192, 848, 0], "{kind}");
    }
}

#[test]
fn an_idle_first_step_gives_everything() {
    let spec = count(&["key"], window("tumbling", 10, 0, 0));
    let mut idle = Harness::new(WindowPartial::new(&spec, &schema()).unwrap());
    let mut busy = Harness::new(WindowPartial::new(&spec, &schema()).unwrap());
    let mut last = Harness::new(WindowFinal::new(&spec, &schema()).unwrap());
    let late = last.operator.late().unwrap();
    idle.batch(rows_at(&[("a", 1.0, "")])).unwrap();
    idle.idle().unwrap();
    busy.batch(rows_at(&[("a", 2.0, ""), ("a", 12.0, "")])).unwrap();
    busy.watermark(Watermark(12 * SECOND)).unwrap();
    for states in idle.take_batches().into_iter().chain(busy.take_batches()) {
        last.batch(states).unwrap();
    }
    last.watermark(Watermark(12 * SECOND)).unwrap();
    assert_eq!(last.take_rows().len(), 1);
    // What it sends when it wakes up behind the others is late there.
    idle.batch(rows_at(&[("a", 3.0, ""), ("b", 4.0, ""), ("a", 15.0, "")])).unwrap();
    idle.end().unwrap();
    for states in idle.take_batches() {
        last.batch(states).unwrap();
    }
    assert_eq!(late.rows(), 2);
    busy.end().unwrap();
    for states in busy.take_batches() {
        last.batch(states).unwrap();
    }
    assert_eq!(rest(&mut last), ["a, 2 [10,20)"]);
}

#[test]
fn windows_without_keys_are_empty_without_rows() {
    let mut harness = windows(&count(&[], window("tumbling", 10, 0, 0)));
    harness.watermark(Watermark(100 * SECOND)).unwrap();
    assert!(rest(&mut harness).is_empty());
}
