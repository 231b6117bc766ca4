//! Rows by rule: their values, their ends, and what is said about impossible rules.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int32Type, TimestampMicrosecondType};
use velo_core::connector::{DecodeColumn, Fetch};
use velo_core::{Batch, Clock};
use velo_source_gen::DatagenConnector;

use crate::reading::{Pairs, Reading, bind, mistakes, read, request, schema, texts};

async fn rows(columns: &str, pairs: Pairs<'_>) -> Vec<String> {
    texts(&read(&DatagenConnector, pairs, &schema(columns), 8_192, None).await)
}

#[tokio::test]
async fn sequences() {
    let pairs = [
        ("fields.n.kind", "sequence"),
        ("fields.n.start", "-1"),
        ("fields.n.end", "2"),
        ("fields.price.kind", "sequence"),
        ("fields.price.start", "1.25"),
        ("fields.price.step", "-0.05"),
        ("fields.t.kind", "sequence"),
        ("fields.t.start", "1969-12-31T23:59:59Z"),
        ("fields.d.kind", "sequence"),
        ("fields.d.start", "2024-02-28"),
        ("fields.x.kind", "sequence"),
        ("fields.x.step", "0.5"),
        ("fields.s.kind", "sequence"),
        ("fields.s.start", "9"),
    ];
    let columns = "n:INT price:DECIMAL(40,2) t:TIMESTAMP d:DATE x:DOUBLE s:STRING";
    assert_eq!(
        rows(columns, &pairs).await,
        [
            "-1 1.25 1969-12-31T23:59:59Z 2024-02-28 0.0 9",
            "0 1.20 1970-01-01T00:00:00Z 2024-02-29 0.5 10",
            "1 1.15 1970-01-01T00:00:01Z 2024-03-01 1.0 11",
            "2 1.10 1970-01-01T00:00:02Z 2024-03-02 1.5 12",
        ]
    );
}

#[tokio::test]
async fn the_shortest_sequence_ends_the_rows() {
    let pairs = |more: &'static str| [("fields.n.kind", "sequence"), ("fields.n.end", "9"), ("number.of.rows", more)];
    assert_eq!(rows("n:INT", &pairs("100")).await.len(), 10);
    assert_eq!(rows("n:INT", &pairs("3")).await.len(), 3);
    let fractions = [("fields.x.kind", "sequence"), ("fields.x.step", "0.1"), ("fields.x.end", "1")];
    assert_eq!(rows("x:DOUBLE", &fractions).await.len(), 11);
    assert!(!bind(&DatagenConnector, &[("fields.n.kind", "sequence")]).bounded());
    assert!(bind(&DatagenConnector, &fractions).bounded());
}

/// A column that is not asked for can still end the rows.
#[tokio::test]
async fn a_sequence_that_nobody_reads_ends_the_rows() {
    let declared = schema("n:INT m:INT");
    let binding = bind(&DatagenConnector, &[("fields.m.kind", "sequence"), ("fields.m.end", "4")]);
    let mut wanted = request(&declared, 8_192, &Clock::manual(0));
    wanted.columns.pop();
    let batches = Reading::open(&binding, wanted, None).await.rest().await.unwrap();
    assert_eq!(batches.iter().map(Batch::rows).sum::<usize>(), 5);
}

#[tokio::test]
async fn ranges_choices_and_walks_stay_within() {
    let columns = "i:INT d:DECIMAL(9,3) x:DOUBLE k:STRING w:INT";
    let pairs = [
        ("number.of.rows", "20000"),
        ("fields.i.min", "-3"),
        ("fields.i.max", "3"),
        ("fields.d.min", "0.001"),
        ("fields.d.max", "0.100"),
        ("fields.x.min", "2.5"),
        ("fields.x.max", "2.75"),
        ("fields.k.kind", "choice"),
        ("fields.k.values", "buy, sell, hold"),
        ("fields.k.weights", "6, 3, 0"),
        ("fields.w.kind", "walk"),
        ("fields.w.min", "10"),
        ("fields.w.max", "20"),
        ("fields.w.step", "3"),
    ];
    let batch = read(&DatagenConnector, &pairs, &schema(columns), 8_192, None).await;
    let integers = batch.columns.column(0).as_primitive::<Int32Type>();
    for value in -3..=3 {
        let count = integers.values().iter().filter(|found| **found == value).count();
        assert!((2_600..3_100).contains(&count), "{value} comes {count} times");
    }
    let decimals = batch.columns.column(1).as_primitive::<Decimal128Type>();
    assert_eq!((decimals.values().iter().min(), decimals.values().iter().max()), (Some(&1), Some(&100)));
    assert!(batch.columns.column(2).as_primitive::<Float64Type>().values().iter().all(|x| (2.5..=2.75).contains(x)));
    let words = batch.columns.column(3).as_string::<i32>();
    let count = |word| words.iter().flatten().filter(|found| *found == word).count();
    assert!((12_900..13_800).contains(&count("buy")) && count("hold") == 0 && count("buy") + count("sell") == 20_000);
    let walk = batch.columns.column(4).as_primitive::<Int32Type>().values();
    assert_eq!((walk[0], walk.iter().min(), walk.iter().max()), (15, Some(&10), Some(&20)));
    assert!(walk.windows(2).all(|pair| (pair[1] - pair[0]).abs() <= 3));
}

#[tokio::test]
async fn defaults_and_nulls() {
    let columns = "t:TINYINT u:SMALLINT s:STRING f:BOOLEAN at:TIMESTAMP";
    let pairs = [
        ("number.of.rows", "9000"),
        ("fields.t.null.rate", "0.5"),
        ("fields.s.length", "5"),
        ("fields.u.null-rate", "1"),
    ];
    let batch = read(&DatagenConnector, &pairs, &schema(columns), 8_192, None).await;
    let nulls: Vec<usize> = batch.columns.columns().iter().map(|column| column.null_count()).collect();
    assert!((4_300..4_700).contains(&nulls[0]), "{nulls:?}");
    assert_eq!(nulls[1..], [9_000, 0, 0, 0]);
    assert!(batch.columns.column(2).as_string::<i32>().iter().all(|text| text.unwrap().len() == 5));
    let trues = batch.columns.column(3).as_boolean().true_count();
    assert!((4_300..4_700).contains(&trues), "{trues}");
    let times = batch.columns.column(4).as_primitive::<TimestampMicrosecondType>().values();
    assert_eq!((times[0], times[1] - times[0]), (1_704_067_200_000_000, 1_000_000));
}

/// Any row can be the first: walks and all go on as if nothing had happened.
#[tokio::test]
async fn rows_do_not_depend_on_where_reading_began() {
    let columns = schema("w:DECIMAL(12,4) x:DOUBLE s:STRING at:TIMESTAMP(9) e:BIGINT");
    let pairs = [
        ("number.of.rows", "20000"),
        ("fields.w.kind", "walk"),
        ("fields.x.kind", "walk"),
        ("fields.x.max", "7"),
        ("fields.e.kind", "time"),
        ("time.out_of_orderness", "1m"),
        ("fields.s.length", "3"),
    ];
    let whole = read(&DatagenConnector, &pairs, &columns, 8_192, None).await;
    for from in [1, 2, 8_191, 8_192, 8_193, 19_999, 20_000] {
        let rest = read(&DatagenConnector, &pairs, &columns, 100, Some(from)).await;
        assert_eq!(rest.columns, whole.columns.slice(from as usize, 20_000 - from as usize), "from row {from}");
    }
    let mut other = pairs.to_vec();
    other.push(("seed", "1"));
    assert_ne!(read(&DatagenConnector, &other, &columns, 8_192, None).await.columns, whole.columns);
}

/// The time that an event time is taken from: typed as it is, however it is asked for.
#[tokio::test]
async fn times_are_given_as_they_are() {
    let declared = schema("at:TIMESTAMP k:STRING");
    let binding =
        bind(&DatagenConnector, &[("number.of.rows", "2"), ("time.interval", "1500ms"), ("fields.k.values", "a")]);
    let text = |name: &str| DecodeColumn {
        field: std::sync::Arc::new(arrow_schema::Field::new(name, arrow_schema::DataType::Utf8, true)),
        path: vec![name.to_owned()],
        exact: false,
        raw: true,
    };
    let mut wanted = request(&declared, 8_192, &Clock::manual(0));
    wanted.columns = vec![text("at"), text("_timestamp"), text("k"), text("nothing")];
    let batches = Reading::open(&binding, wanted, None).await.rest().await.unwrap();
    assert_eq!(
        texts(&batches[0]),
        [
            "2024-01-01T00:00:00Z 2024-01-01T00:00:00Z a NULL",
            "2024-01-01T00:00:01.500Z 2024-01-01T00:00:01.500Z a NULL"
        ]
    );
}

#[tokio::test]
async fn a_sequence_that_leaves_its_type_fails_where_it_does() {
    let pairs = [("number.of.rows", "300"), ("fields.n.kind", "sequence"), ("fields.n.start", "1")];
    let binding = bind(&DatagenConnector, &pairs);
    let mut reading = Reading::open(&binding, request(&schema("n:TINYINT"), 8_192, &Clock::manual(0)), None).await;
    let Fetch::Chunk(chunk) = reading.reader.next().await.unwrap() else { panic!("there are rows") };
    let error = reading.decoder.decode(&chunk).unwrap_err();
    assert_eq!(error.message, "the value of 'n' in row 128 is more than TINYINT holds");
    assert!(error.advice.unwrap().contains("'fields.n.end'"));
}

#[test]
fn mistakes_in_rules_are_told_while_planning() {
    let declared = schema("price:DECIMAL(10,2) side:STRING n:INT flag:BOOLEAN list:ARRAY<INT>");
    let of = |key: &str, value: &str| {
        mistakes(&DatagenConnector, &[(key, value)], &declared.project(&[0, 1, 2, 3]).unwrap())
    };
    let one = |key: &str, value: &str| of(key, value).pop().unwrap();
    assert_eq!(
        one("fields.prize.min", "1"),
        "'fields.prize.min': there is no column 'prize' | did you mean 'fields.price.min'?"
    );
    assert_eq!(
        one("fields.colour.min", "1"),
        "'fields.colour.min': there is no column 'colour' | the declared columns are price, side, n, flag"
    );
    assert_eq!(one("fields.n.mni", "1"), "datagen has no property 'fields.n.mni' | did you mean 'fields.n.min'?");
    assert_eq!(
        one("feilds.n.min", "1"),
        "a datagen source has no property 'feilds.n.min' | `velo properties` lists the properties of a datagen source"
    );
    assert_eq!(one("fields.n.min", "cheap"), "'fields.n.min': 'cheap' is no whole number | ");
    assert_eq!(
        one("fields.n.max", "3000000000"),
        "'fields.n.max': '3000000000' is beyond what the column's type holds | "
    );
    assert_eq!(
        one("fields.flag.kind", "walk"),
        "'fields.flag.kind': a BOOLEAN column cannot be of the kind walk | it can be of the kind range or choice"
    );
    assert_eq!(
        one("fields.side.weights", "1, 2"),
        "'fields.side.weights': it says nothing for a column of the kind range | say the column's kind: 'fields.side.kind'"
    );
    assert_eq!(
        of("fields.price.kind", "choice"),
        ["the values that 'price' is chosen from are missing | 'fields.price.values' = 'A, B, C'"]
    );
    let several = |pairs: Pairs<'_>| mistakes(&DatagenConnector, pairs, &declared.project(&[0, 1, 2, 3]).unwrap());
    assert_eq!(
        several(&[("fields.n.min", "2"), ("fields.n.max", "1")]),
        ["'fields.n.min': it is more than the largest value | exchange them"]
    );
    assert_eq!(
        several(&[("fields.side.values", "a, b"), ("fields.side.weights", "1")]),
        ["'fields.side.weights': there are 1 weights for 2 values | write one for each value"]
    );
    assert_eq!(several(&[("rows.per.second", "0"), ("fields.n.kind", "rnage")]).len(), 2);
    assert_eq!(
        mistakes(&DatagenConnector, &[("fields.huge.kind", "walk")], &schema("huge:DECIMAL(76,50)")),
        ["1 does not fit in the column: say its step | "]
    );
    assert_eq!(
        mistakes(&DatagenConnector, &[("fields.text.length", "99999999999")], &schema("text:STRING")),
        ["'fields.text.length': a text has 100000 characters at most | "]
    );
    assert_eq!(
        mistakes(&DatagenConnector, &[], &declared),
        [
            "datagen makes no ARRAY<INT>, as 'list' is declared | leave the column out, or compute it: name type AS expression"
        ]
    );
}
