//! Time windows: the boundary cases by name, on operators alone.

mod support;

use support::{Calls, Kind, rows_at, spec, window};
use velo_exec::operator::WindowAggregate;
use velo_exec::testing::Harness;
use velo_core::Watermark;

const SECOND: i64 = 1_000_000;

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
    let spec = spec(&["key"], calls, Some(window("tumbling", 60, 0, 0)));
    let mut harness = Harness::new(WindowAggregate::new(&spec, &support::schema()).unwrap());
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
    harness.end().unwrap();
    assert_eq!(harness.take_rows().len(), 1);
}
