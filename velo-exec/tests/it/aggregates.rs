//! Aggregates: exactness, overflow, results without rows, and many keys that come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support;
use crate::support::sim::{Boxed, Mode, run, stamp};
use crate::support::{Calls, Kind, Row, SECOND, cells, library_calls, many_calls, naive, spec, window};
use arrow_array::{ArrayRef, Decimal128Array, Decimal256Array, Int64Array, RecordBatch};
use arrow_buffer::i256;
use arrow_schema::{DataType, Field, Schema};
use datafusion_expr::col;
use velo_core::{Batch, schema as hidden, types};
use velo_eventtime::LateStrategy;
use velo_exec::operator::{GroupSpec, aggregate};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{AggregateCall, AggregateKind, Emission};

/// The result of one aggregate over batches of one column.
fn over(kind: AggregateKind, output: DataType, batches: &[ArrayRef]) -> Result<String, String> {
    let argument = batches[0].data_type().clone();
    let input = Arc::new(Schema::new(vec![Field::new("x", argument.clone(), true)]));
    let call = AggregateCall {
        text: format!("{kind:?}(x)"),
        kind,
        arguments: vec![col("x")],
        argument_types: vec![argument],
        distinct: false,
        filter: None,
        order_by: Vec::new(),
        output: Arc::new(Field::new("a", output.clone(), true)),
    };
    let spec = GroupSpec {
        keys: Vec::new(),
        sets: Vec::new(),
        aggregates: vec![call],
        window: None,
        late: LateStrategy::Drop,
        emission: Emission::default(),
        ttl: None,
        retracts: false,
        output: Arc::new(Schema::new(vec![Field::new("a", output, true)])),
        statement: "totals".to_owned(),
    };
    let mut harness = Harness::new(Boxed(aggregate(&spec, &input).unwrap()));
    for column in batches {
        let columns = RecordBatch::try_new(Arc::clone(&input), vec![Arc::clone(column)]).unwrap();
        harness.batch(Batch::new(columns)).map_err(|error| error.to_string())?;
    }
    harness.end().map_err(|error| error.to_string())?;
    Ok(harness.take_rows().join("; "))
}

fn decimals(precision: u8, scale: i8, values: &[&str]) -> ArrayRef {
    let values = values.iter().map(|text| velo_core::decimal::parse_i128(text.as_bytes(), 38, scale).unwrap());
    Arc::new(Decimal128Array::from_iter_values(values).with_precision_and_scale(precision, scale).unwrap())
}

#[test]
fn bc_34_sums_and_means_of_decimals_are_exact() {
    let large = decimals(20, 2, &["999999999999999999.99", "999999999999999999.99"]);
    let one = decimals(20, 2, &["999999999999999999.99"]);
    let sum = over(AggregateKind::Sum, types::decimal(38, 2), &[large, one]);
    assert_eq!(sum.as_deref(), Ok("2999999999999999999.97"));

    let nines = "99999999999999999999999999999999999999";
    let error = over(AggregateKind::Sum, types::decimal(38, 0), &[decimals(38, 0, &[nines, nines])]).unwrap_err();
    assert_eq!(error, "totals: Sum(x) does not fit in DECIMAL(38,0)");
    // On its way a sum may leave the type, and 128 bits too.
    let minus = format!("-{nines}");
    let there_and_back = [nines, nines, nines, minus.as_str(), minus.as_str(), "1"];
    let values = decimals(38, 0, &there_and_back);
    let sum = over(AggregateKind::Sum, types::decimal(38, 0), std::slice::from_ref(&values));
    assert_eq!(sum.unwrap_err(), "totals: Sum(x) does not fit in DECIMAL(38,0)");
    let back = decimals(38, 0, &[&minus]);
    let sum = over(AggregateKind::Sum, types::decimal(38, 0), &[values, back]);
    assert_eq!(sum.as_deref(), Ok("1"));
    let mean = over(AggregateKind::Avg, types::decimal(38, 0), &[decimals(38, 0, &[nines, nines, nines])]);
    assert_eq!(mean.as_deref(), Ok(nines));

    let mean = over(AggregateKind::Avg, types::decimal(38, 16), &[decimals(10, 2, &["0.01", "0.02"])]);
    assert_eq!(mean.as_deref(), Ok("0.0150000000000000"));
    let mean = over(AggregateKind::Avg, types::decimal(38, 16), &[decimals(18, 4, &["0.0002", "0", "0"])]);
    assert_eq!(mean.as_deref(), Ok("0.0000666666666667"));
}

#[test]
fn wide_decimals() {
    let of = |values: &[i128]| -> ArrayRef {
        let values = values.iter().map(|value| i256::from_i128(*value).wrapping_mul(i256::from_i128(10_i128.pow(38))));
        Arc::new(Decimal256Array::from_iter_values(values).with_precision_and_scale(76, 40).unwrap())
    };
    let sum = over(AggregateKind::Sum, types::decimal(76, 40), &[of(&[1, 2]), of(&[-4])]).unwrap();
    assert_eq!(sum, format!("-0.01{}", "0".repeat(38)));
    let mean = over(AggregateKind::Avg, types::decimal(76, 40), &[of(&[1, 1, 0])]).unwrap();
    assert_eq!(mean, format!("0.00{}7", "6".repeat(37)));
    let huge = 10_i128.pow(38) - 1;
    let error = over(AggregateKind::Sum, types::decimal(76, 40), &[of(&[huge, huge])]).unwrap_err();
    assert_eq!(error, "totals: Sum(x) does not fit in DECIMAL(76,40)");
    let error = over(AggregateKind::Sum, types::decimal(76, 40), &[of(&[huge; 9])]).unwrap_err();
    assert!(error.starts_with("totals: Sum(x): a sum over DECIMAL(76,40)"), "{error}");
}

#[test]
fn sums_of_integers_overflow_at_the_end_only() {
    let of = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    let error = over(AggregateKind::Sum, DataType::Int64, &[of(&[i64::MAX, 1])]).unwrap_err();
    assert_eq!(error, "totals: Sum(x) does not fit in BIGINT");
    assert_eq!(
        over(AggregateKind::Sum, DataType::Int64, &[of(&[i64::MAX, 1]), of(&[-2])]),
        Ok((i64::MAX - 1).to_string())
    );
    let mean = over(AggregateKind::Avg, types::decimal(38, 16), &[of(&[i64::MAX, i64::MAX])]);
    assert_eq!(mean.as_deref(), Ok("9223372036854775807.0000000000000000"));
    assert_eq!(
        over(AggregateKind::Avg, types::decimal(38, 16), &[of(&[-1, 0, 0])]).as_deref(),
        Ok("-0.3333333333333333")
    );
}

#[test]
fn floats() {
    let of = |values: &[f64]| -> ArrayRef { Arc::new(arrow_array::Float64Array::from(values.to_vec())) };
    let sum = over(AggregateKind::Sum, DataType::Float64, &[of(&[1e100, 1.0]), of(&[-1e100])]);
    assert_eq!(sum.as_deref(), Ok("1.0"));
    assert_eq!(over(AggregateKind::Max, DataType::Float64, &[of(&[1.0, f64::NAN, 2.0])]).as_deref(), Ok("NaN"));
    assert_eq!(over(AggregateKind::Min, DataType::Float64, &[of(&[f64::NAN, 2.0])]).as_deref(), Ok("2.0"));
    assert_eq!(over(AggregateKind::Min, DataType::Float64, &[of(&[f64::NAN])]).as_deref(), Ok("NaN"));
}

#[test]
fn without_rows_there_is_one_result_without_keys() {
    for (calls, keys, expected) in
        [(many_calls(), vec![], 1), (library_calls(), vec![], 1), (many_calls(), vec!["key"], 0)]
    {
        let spec = spec(&keys, calls, None);
        let mut harness = Harness::new(Boxed(aggregate(&spec, &support::schema()).unwrap()));
        harness.end().unwrap();
        let rows = harness.take_batches().iter().flat_map(|batch| cells(&batch.columns)).collect::<Vec<_>>();
        assert_eq!(rows.len(), expected);
        for (call, cell) in rows.iter().flat_map(|row| spec.aggregates.iter().zip(row)) {
            let wanted = if call.kind == Kind::Count { "0" } else { "null" };
            assert_eq!(cell, wanted, "{}", call.text);
        }
    }
}

#[test]
fn lists_and_structs() {
    let list = |values: Vec<Option<Vec<Option<i64>>>>| -> ArrayRef {
        Arc::new(arrow_array::ListArray::from_iter_primitive::<arrow_array::types::Int64Type, _, _>(values))
    };
    let batches = [
        list(vec![None, Some(vec![Some(2), None]), Some(vec![Some(1), Some(5)])]),
        list(vec![Some(vec![]), Some(vec![Some(3)])]),
    ];
    let of = |kind| over(kind, types::array(DataType::Int64), &batches).unwrap();
    assert_eq!(of(AggregateKind::Min), "[]");
    assert_eq!(of(AggregateKind::Max), "[3]");
}

/// Keys that come and go: their numbers and groups are collected, and nothing gets lost.
#[test]
fn many_keys_that_come_and_go() {
    let mut random = Random::new(11);
    let rows = |random: &mut Random| {
        let row = |at: i64, random: &mut Random| {
            // A key lives for a while, then never again.
            let key = format!("a key that is long enough {}", at / 4 + random.between(0, 40));
            Row {
                quantity: Some(random.between(-9, 9)),
                ..Row::at(&key, (at / 2 + random.between(-3, 1)) * SECOND, "1.5")
            }
        };
        (0..6_000).map(|at| row(at, random)).collect::<Vec<_>>()
    };
    let mut input = vec![rows(&mut random), rows(&mut random)];
    let bound = 4 * SECOND;
    stamp(&mut input, bound);
    let calls = Calls::new()
        .count_all()
        .add(Kind::Sum, "quantity")
        .add(Kind::Last, "quantity")
        .add(Kind::Count, "quantity")
        .distinct()
        .library("array_agg", &["quantity"], types::array(DataType::Int64));
    for window in [
        window("tumbling", 10, 0, 0),
        window("sliding", 40, 5, 0),
        window("sliding", 64, 1, 0),
        window("session", 2, 0, 0),
    ] {
        let spec = spec(&["key"], calls.clone(), Some(window.clone()));
        let groups = match window.kind {
            velo_plan::plan::WindowKind::Session { gap } => naive::chains(gap.0, &input),
            _ => naive::windowed(&window, &input, LateStrategy::Drop),
        };
        let expected = naive::results(&spec.aggregates, &groups);
        for (batch, two_steps) in [(256, false), (256, true), (100, false)] {
            if two_steps && window.to_string().starts_with("SESSION") {
                continue;
            }
            let mode = Mode { batch, two_steps, seed: 5 };
            naive::assert_equal(run(&spec, &input, bound, mode), &expected, &format!("{window} {mode:?}"));
        }
    }
}

/// Rows without an origin (behind a join or an aggregate) are ordered by time and then by their values.
#[test]
fn without_an_origin_the_values_decide() {
    let spec = spec(&[], Calls::new().add(Kind::First, "note").add(Kind::Last, "note"), None);
    let rows = ["d", "b", "c"].map(|note| Row { note: Some(note.to_owned()), ..Row::at("k", 5, "1") });
    let mut orders = BTreeMap::new();
    for (first, second, third) in [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)] {
        for batch in [1, 3] {
            let mut harness = Harness::new(Boxed(aggregate(&spec, &support::schema()).unwrap()));
            let ordered = [first, second, third].map(|at: usize| rows[at].clone());
            for part in ordered.chunks(batch) {
                let mut part = support::batch(part);
                part.origin = None;
                harness.batch(part).unwrap();
            }
            harness.end().unwrap();
            orders.insert(harness.take_rows(), ());
        }
    }
    assert_eq!(orders.into_keys().collect::<Vec<_>>(), [vec!["b, d".to_owned()]]);
    assert!(hidden::event_time_index(&spec.output).is_some());
}
