//! Memory as a table counts it.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use velo_core::Batch;
use velo_core::lookup::{TableReader, TableWriter};
use velo_tables::{StoreSpec, TableCounters, table};

use super::rows::{Key, Row, batch, keyed};

#[tokio::test]
async fn a_row_costs_its_columns_and_little_more() {
    let schema =
        Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)]));
    let counters = Arc::new(TableCounters::default());
    let spec = StoreSpec {
        name: "t".to_owned(),
        schema: Arc::clone(&schema),
        key: vec![0],
        indexes: vec![vec![0]],
        null_keys: false,
        keeps_versions: false,
        counters: Arc::clone(&counters),
        budget: None,
    };
    let (reader, mut writer) = table(spec).unwrap();
    let (rows, each) = (400_000, 8_000);
    let mut columns = 0;
    for from in (0..rows).step_by(each) {
        let ids = Int64Array::from_iter_values(from as i64..(from + each) as i64);
        let names = StringArray::from_iter_values((from..from + each).map(|id| format!("name {id}")));
        columns += (0..each).map(|at| 8 + 4 + names.value(at).len()).sum::<usize>();
        // Rows come with more memory than they need: as a part of something larger.
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(ids), Arc::new(names)]).unwrap();
        for at in 0..4 {
            writer.apply(&Batch::new(batch.slice(at * each / 4, each / 4))).unwrap();
        }
        writer.publish().await.unwrap();
        let memory = reader.version().memory();
        let most = columns * 13 / 10 + (from + each) * 24 + 10_000;
        assert!((columns..most).contains(&memory), "{memory} for {columns} bytes in {} rows", from + each);
    }
    assert_eq!(counters.counts().memory, reader.version().memory() as u64);
    assert_eq!(counters.counts().rows, rows as u64);
}

#[tokio::test]
async fn updates_for_ever_do_not_grow_a_table() {
    let key = Key::Long;
    let (reader, mut writer) = table(keyed(key, false)).unwrap();
    let rows =
        |value| -> Vec<Row> { (0..4_000).map(|key| Row { key, value, group: Some(value % 7), time: value }).collect() };
    let mut settled = 0;
    for value in 0..200 {
        writer.apply(&Batch::new(batch(key, &rows(value)))).unwrap();
        writer.publish().await.unwrap();
        writer.settle().await.unwrap();
        if value == 60 {
            settled = reader.version().memory();
        }
    }
    // What differs is how full the tail is: a segment of rows at most, of 40 bytes each with their share of bits.
    let now = reader.version().memory();
    assert!(now < settled + 65_536 * 45, "{now} after {settled}");
}
