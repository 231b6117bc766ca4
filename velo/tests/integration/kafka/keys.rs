//! Columns that are in the keys of records, and columns that are in their headers.

use std::collections::BTreeMap;

use super::broker::{Broker, Record};
use super::{job, rows, run};

fn reading(broker: &Broker, topic: &str, columns: &str, more: &str, select: &str) -> crate::support::Folder {
    job(
        broker,
        &format!(
            "CREATE STREAM t ({columns}) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
               'scan.bounded' = 'latest', {more});
             {select};"
        ),
    )
}

/// One text is the key's own bytes; a record without a key has NULL.
#[test]
fn a_text_that_is_the_key_is_a_column() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    broker.put(
        &topic,
        &[
            Record::keyed("a", Some("{\"v\":1}")),
            Record::value("{\"v\":2,\"k\":\"not this\"}"),
            Record::keyed("c", None),
            Record::keyed("b", Some("{\"v\":3}")),
        ],
    );
    let read = |columns: &str, select: &str| {
        rows(&run(&reading(&broker, &topic, columns, "'key.fields' = 'k'", select))).join(" ")
    };
    assert_eq!(
        read("k STRING, v BIGINT", "SELECT k, v, _offset FROM t"),
        "{\"k\":\"a\",\"v\":1,\"_offset\":0} {\"k\":\"b\",\"v\":3,\"_offset\":3} {\"k\":null,\"v\":2,\"_offset\":1}"
    );
    assert_eq!(read("v BIGINT, k BYTES", "SELECT k FROM t WHERE v = 1"), "{\"k\":\"YQ==\"}");
    assert_eq!(read("v BIGINT, k STRING", "SELECT v FROM t WHERE k = 'b'"), "{\"v\":3}");
    let strict = run(&reading(&broker, &topic, "k STRING NOT NULL, v BIGINT", "'key.fields' = 'k'", "SELECT k FROM t"));
    assert_eq!(strict.code, 1);
    let said = [&format!("topic {topic}, partition 0, offset 1") as &str, "'k'", "NOT NULL, and the record has no key"];
    assert!(said.iter().all(|said| strict.stderr.contains(said)), "{}", strict.stderr);
}

/// Several columns are in the form of `key.format`; a bad key is a bad record, with its value in the dead letters.
#[test]
fn keys_of_several_columns_are_decoded_and_bad_ones_told() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    let records = [
        ("{\"shop\":7,\"at\":5000}", "{\"v\":1}"),
        ("no json", "{\"v\":2}"),
        ("{\"shop\":\"x\",\"at\":5000}", "{\"v\":3}"),
        ("{\"shop\":8,\"at\":6000}", "{\"v\":true}"),
        ("{\"shop\":9,\"at\":7000}", "{\"v\":5}"),
    ];
    broker.put(&topic, &records.map(|(key, value)| Record::keyed(key, Some(value))));
    let columns = "shop INT, at BIGINT, v BIGINT";
    let more = "'key.fields' = 'shop, at', 'key.format' = 'json', 'event.time.field' = 'at'";
    let folder = reading(
        &broker,
        &topic,
        columns,
        &format!("{more}, 'on.error' = 'dead_letter', 'dead.letter.sink' = 'bad'"),
        "SELECT shop, v, _event_time FROM t",
    );
    let script = std::fs::read_to_string(folder.path("q.sql")).unwrap();
    let sink = "CREATE SINK bad WITH (connector = 'file', path = 'bad.jsonl', format = 'json');\n";
    std::fs::write(folder.path("q.sql"), format!("{sink}{script}")).unwrap();
    assert_eq!(
        rows(&run(&folder)).join(" "),
        "{\"shop\":7,\"v\":1,\"_event_time\":\"1970-01-01T00:00:05Z\"} {\"shop\":9,\"v\":5,\"_event_time\":\"1970-01-01T00:00:07Z\"}"
    );
    let letters = std::fs::read_to_string(folder.path("bad.jsonl")).unwrap();
    let letters = letters.lines().collect::<Vec<_>>();
    assert_eq!(letters.len(), 3, "{letters:?}");
    for (letter, said) in
        letters.iter().zip([["in the key", "{\\\"v\\\":2}"], ["in the key", "{\\\"v\\\":3}"], ["'v'", "true"]])
    {
        assert!(said.iter().all(|said| letter.contains(said)), "{letter}");
    }
    let csv = broker.topic(1, &[]);
    broker.put(&csv, &[Record::keyed("3", Some("4,five"))]);
    let more =
        "'key.fields' = 'k', 'key.format' = 'csv', 'value.format' = 'csv', 'value.fields-include' = 'EXCEPT_KEY'";
    let folder = reading(&broker, &csv, "a INT, k INT, b STRING", more, "SELECT a, k, b FROM t");
    let script = std::fs::read_to_string(folder.path("q.sql")).unwrap().replace("format = 'json',", "");
    std::fs::write(folder.path("q.sql"), script).unwrap();
    assert_eq!(rows(&run(&folder)), ["{\"a\":4,\"k\":3,\"b\":\"five\"}"]);
}

/// A compacted topic whose values lack the key: each record has it in its key alone.
#[test]
fn a_table_can_have_its_key_in_the_keys_alone() {
    let broker = Broker::new();
    let (topic, table) = (broker.topic(1, &[]), broker.topic(1, &[("cleanup.policy", "compact")]));
    broker.put(
        &table,
        &[
            Record::keyed("A", Some("{\"tier\":\"gold\"}")),
            Record::keyed("B", Some("{\"tier\":\"silver\"}")),
            Record::keyed("A", None),
            Record::keyed("B", Some("{\"tier\":\"gold\"}")),
        ],
    );
    broker.put(&topic, &["A", "B"].map(|cust| Record::value(format!("{{\"cust\":\"{cust}\"}}"))));
    let sql = |key: &str| {
        format!(
            "CREATE TABLE tiers (cust STRING, tier STRING, PRIMARY KEY ({key})) WITH (connector = 'kafka', 'bootstrap.servers' = '@',
               topic = '{table}', format = 'json', 'key.fields' = 'cust', 'scan.bounded' = 'latest');
             CREATE STREAM t (cust STRING) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
               'scan.bounded' = 'latest');
             SELECT t.cust, tiers.tier FROM t LEFT JOIN tiers ON t.cust = tiers.cust;"
        )
    };
    let found = rows(&run(&job(&broker, &sql("cust")))).join(" ");
    assert_eq!(found, "{\"cust\":\"A\",\"tier\":null} {\"cust\":\"B\",\"tier\":\"gold\"}");
    let wrong = run(&job(&broker, &sql("tier")));
    assert!(wrong.code == 2 && wrong.stderr.contains("which 'key.fields' does not name"), "{}", wrong.stderr);
}

/// What is named and is not there, and what means nothing.
#[test]
fn mistakes_about_keys_are_told() {
    let broker = Broker::new();
    let said = |more: &str| {
        let ran = run(&reading(&broker, "nowhere", "symbol STRING, v BIGINT", more, "SELECT v FROM t"));
        assert_eq!(ran.code, 2, "{more}");
        ran.stderr
    };
    let misspelt = said("'key.fields' = 'symbl'");
    assert!(misspelt.contains("did you mean 'symbol'?") && misspelt.contains("q.sql:"), "{misspelt}");
    let nothing = said("'key.format' = 'json'");
    assert!(nothing.contains("no column is read from the keys"), "{nothing}");
    let nothing = said("'value.fields.include' = 'except_key'");
    assert!(nothing.contains("means nothing without 'key.fields'"), "{nothing}");
}

/// Columns as headers, and a key that the values do not repeat.
#[test]
fn columns_go_out_as_keys_and_headers() {
    let broker = Broker::new();
    let (from, to) = (broker.topic(1, &[]), broker.topic(3, &[]));
    let rows_in =
        ["{\"k\":\"a\",\"v\":1,\"n\":5,\"h\":{\"x\":\"1\",\"y\":\"2\"}}", "{\"k\":\"b\",\"v\":2}", "{\"v\":3,\"n\":6}"];
    broker.put(&from, &rows_in.map(Record::value));
    let sql = |more: &str, columns: &str| {
        format!(
            "CREATE STREAM t (k STRING, v BIGINT, n INT, h MAP<STRING, STRING>) WITH (connector = 'kafka', 'bootstrap.servers' = '@',
               topic = '{from}', format = 'json', 'scan.bounded' = 'latest');
             CREATE SINK o WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{to}', format = 'json', {more});
             INSERT INTO o SELECT {columns} FROM t;"
        )
    };
    let more = "'key.fields' = 'k', 'value.fields.include' = 'except_key', 'headers.fields' = 'n, h'";
    assert_eq!(rows(&run(&job(&broker, &sql(more, "k, v, n, h")))), Vec::<String>::new());
    let mut written = broker.read(&to, "read_committed");
    written.sort_by(|a, b| a.value.cmp(&b.value));
    let header = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let expected = [
        (Some("a"), 1, BTreeMap::from([header("n", "5"), header("x", "1"), header("y", "2")])),
        (Some("b"), 2, BTreeMap::new()),
        (None, 3, BTreeMap::from([header("n", "6")])),
    ];
    for (record, (key, v, headers)) in written.iter().zip(expected) {
        assert_eq!(record.key.as_deref(), key);
        assert_eq!(record.value, Some(format!("{{\"v\":{v}}}")));
        assert_eq!(record.headers, headers);
    }
    // As Kafka's own clients place a key: murmur2 of "a" and of "b" over three partitions.
    assert_eq!(written.iter().take(2).map(|record| record.partition).collect::<Vec<_>>(), [1, 2]);
    let said = |more: &str, columns: &str| {
        let ran = run(&job(&broker, &sql(more, columns)));
        assert_eq!(ran.code, 1, "{more}");
        ran.stderr
    };
    let misspelt = said("'headers.fields' = 'hh'", "v, h");
    assert!(misspelt.contains("'headers.fields' names 'hh'"), "{misspelt}");
    let nothing = said("'value.fields.include' = 'except_key'", "v");
    assert!(nothing.contains("means nothing without a key"), "{nothing}");
    let all = said("'headers.fields' = 'v'", "v");
    assert!(all.contains("nothing is left for the value"), "{all}");
}
