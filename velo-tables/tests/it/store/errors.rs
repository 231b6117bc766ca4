//! Mistakes: what is said, and that nothing has gone in.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use velo_core::lookup::{IndexId, Matches, TableReader, TableWriter};
use velo_core::place::{Origin, Positions, Resource};
use velo_core::{Batch, RowKind};
use velo_tables::{StoreSpec, table};

use super::rows::{BY_KEY, Key, Row, batch, changes, keyed, keyless, scan, schema};

#[tokio::test]
async fn a_null_in_the_key_names_its_place() {
    let (reader, mut writer) = table(keyed(Key::LongAndText, false)).unwrap();
    let columns: Vec<arrow_array::ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])),
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3])),
    ];
    let rows = RecordBatch::try_new(schema(Key::LongAndText), columns).unwrap();
    let origin = Origin {
        source: 0,
        partition: 0,
        base: 0,
        resource: Resource::File(Arc::from("users.csv")),
        positions: Positions::Consecutive { first: 10 },
    };
    let error = writer.apply(&Batch { origin: Some(origin.clone()), ..Batch::new(rows.clone()) }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "writing a table: a row for table `t` has NULL in column `key1` of its primary key (at users.csv:11)\n  \
         help: filter such rows (WHERE key1 IS NOT NULL), or choose another key"
    );
    // Where rows are left out before, the place is still the row's own.
    let kinds = vec![RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Insert];
    let error = writer.apply(&Batch { origin: Some(origin), ..Batch::changes(rows, kinds) }).unwrap_err();
    assert!(error.to_string().contains("users.csv:11"), "{error}");
    writer.publish().await.unwrap();
    assert_eq!((reader.version().number(), scan(reader.version().as_ref())), (0, vec![]));
}

#[tokio::test]
async fn keys_and_rows_of_another_type_are_refused() {
    let (reader, mut writer) = table(keyed(Key::Long, false)).unwrap();
    let row = Row { key: 1, value: 1, group: None, time: 0 };
    writer.apply(&changes(Key::Long, &[(RowKind::Insert, row.clone())])).unwrap();
    writer.publish().await.unwrap();
    let version = reader.version();
    let (mut found, mut matches) = (Vec::new(), Matches::default());
    let text = Key::Text.columns(&[1]);
    for error in [
        version.find_one(BY_KEY, &text, &mut found).unwrap_err(),
        version.find(BY_KEY, &text, &mut matches).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("a key of STRING") && text.contains("has BIGINT") && text.contains("CAST"), "{text}");
    }
    assert!(version.find(BY_KEY, &[], &mut matches).unwrap_err().message.contains("0 key columns"));
    assert!(version.find(IndexId(7), &text, &mut matches).unwrap_err().message.contains("no index 7"));
    let error = version.find_as_of(&Key::Long.columns(&[1]), &[1], &mut found).unwrap_err();
    assert!(error.message.contains("does not keep its versions"), "{error}");
    let error = writer.apply(&Batch::new(batch(Key::Text, std::slice::from_ref(&row)))).unwrap_err();
    assert!(error.message.contains("a STRING for column `key0`"), "{error}");
    let error = writer.apply(&Batch::new(batch(Key::LongAndText, std::slice::from_ref(&row)))).unwrap_err();
    assert!(error.message.contains("rows of 6 columns"), "{error}");
    writer.finish().await.unwrap();
    assert!(writer.apply(&Batch::new(batch(Key::Long, &[row]))).unwrap_err().message.contains("was finished"));
}

#[test]
fn a_table_that_cannot_be_kept_says_why() {
    let refused = |spec: StoreSpec| table(spec).map(|_| ()).unwrap_err().to_string();
    let without_key = refused(StoreSpec { keeps_versions: true, ..keyless(Key::Long) });
    assert!(without_key.contains("no primary key") && without_key.contains("PRIMARY KEY"), "{without_key}");
    let visible = velo_core::schema::visible(&schema(Key::Long));
    let without_time = refused(StoreSpec { schema: visible, ..keyed(Key::Long, true) });
    assert!(without_time.contains("no event time") && without_time.contains("event.time.field"), "{without_time}");
    assert!(refused(StoreSpec { indexes: vec![vec![1]], ..keyed(Key::Long, false) }).contains("not its key"));
    assert!(refused(StoreSpec { indexes: vec![vec![99]], ..keyless(Key::Long) }).contains("no column 99"));
}
