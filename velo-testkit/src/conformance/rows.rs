//! Rows for the cases: every common type, NULLs, and text that needs care.

use std::sync::Arc;

use arrow_array::{
    BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use velo_core::{Batch, types};

use crate::random::Random;

/// The columns of [`made_rows`].
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("price", types::decimal(18, 4), true),
        Field::new("ratio", DataType::Float64, true),
        Field::new("flag", DataType::Boolean, true),
        Field::new("day", DataType::Date32, true),
        Field::new("at", types::TIMESTAMP, true),
    ]))
}

/// `count` rows, always the same ones.
pub fn made_rows(count: usize) -> Batch {
    let mut random = Random::new(count as u64);
    let names = ["A", "two words", "Zoë", "a,b", "say \"x\"", "back\\slash", "line\nbreak", "日本", " edge ", "'"];
    let mut null = || random.chance(1, 10);
    let nulls: Vec<[bool; 6]> = (0..count).map(|_| std::array::from_fn(|_| null())).collect();
    let mut random = Random::new(count as u64 + 1);
    let micros = 1_704_067_200_000_000;
    let column = |at: usize| nulls.iter().map(move |row| !row[at]);
    let name: StringArray = column(0).map(|some| some.then(|| *random.pick(&names))).collect();
    let price: Decimal128Array =
        column(1).map(|some| some.then(|| i128::from(random.below(2_000_000)) - 1_000_000)).collect();
    let ratio: Float64Array = column(2).map(|some| some.then(|| random.below(1_000) as f64 / 8.0)).collect();
    let flag: BooleanArray = column(3).map(|some| some.then(|| random.chance(1, 2))).collect();
    let day: Date32Array = column(4).map(|some| some.then(|| random.below(40_000) as i32 - 10_000)).collect();
    let at: TimestampMicrosecondArray =
        column(5).enumerate().map(|(row, some)| some.then_some(micros + row as i64 * 1_001)).collect();
    let columns = RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from_iter_values(0..count as i64)),
            Arc::new(name),
            Arc::new(price.with_precision_and_scale(18, 4).expect("the type of the schema")),
            Arc::new(ratio),
            Arc::new(flag),
            Arc::new(day),
            Arc::new(at),
        ],
    );
    Batch::new(columns.expect("columns of the schema"))
}
