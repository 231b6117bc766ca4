//! Inferred columns of real files.

use expect_test::expect;
use velo_core::properties::{Options, Properties};
use velo_core::types::sql_name_of;
use velo_format::csv::CsvProperties;
use velo_format::infer::{InferProperties, Sample, infer_csv, infer_json};
use velo_format::properties::JsonLayout;
use velo_format::value::ValueFormats;

fn csv(text: &str, pairs: &[(&str, &str)]) -> String {
    let (_, dialect) = CsvProperties::read_dialect(&mut Options::from_pairs(pairs.iter().copied()));
    let sample = Sample { bytes: text.as_bytes(), complete: true, records: 1000 };
    show(infer_csv(sample, &dialect, &ValueFormats::default()))
}

fn json(text: &str) -> String {
    let sample = Sample { bytes: text.as_bytes(), complete: true, records: 1000 };
    show(infer_json(sample, JsonLayout::Auto, &ValueFormats::default()))
}

fn show(schema: Result<arrow_schema::SchemaRef, velo_core::ConnectorError>) -> String {
    match schema {
        Ok(schema) => {
            let fields = schema.fields().iter().map(|field| format!("{} {}", field.name(), sql_name_of(field)));
            fields.collect::<Vec<_>>().join("\n")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn trades_and_flights() {
    expect![[r#"
        trade_id BIGINT
        trade_time BIGINT
        price DECIMAL(38,8)
        maker BOOLEAN"#]]
    .assert_eq(&csv("trade_id,trade_time,price,maker\n3735683259,1723161255342,61837.63000000,true\n", &[]));
    let flights = "dep_time,delay,carrier,flight,hour,time_hour\n517,2,UA,0145,5,2013-01-01T10:00:00Z\nNA,-4,NA,1714,NA,2013-01-01T10:00:00Z\n";
    expect![[r#"
        dep_time STRING
        delay BIGINT
        carrier STRING
        flight STRING
        hour STRING
        time_hour TIMESTAMP"#]]
    .assert_eq(&csv(flights, &[]));
    expect![[r#"
        dep_time BIGINT
        delay BIGINT
        carrier STRING
        flight STRING
        hour BIGINT
        time_hour TIMESTAMP"#]]
    .assert_eq(&csv(flights, &[("csv.null", "NA")]));
}

#[test]
fn files_without_a_header_have_numbered_columns() {
    expect![[r#"
        column_1 BIGINT
        column_2 STRING"#]]
    .assert_eq(&csv("\n1,a\n", &[("csv.header", "false")]));
}

#[test]
fn records_of_an_exchange() {
    expect![[r#"
        e STRING
        E BIGINT
        p STRING
        T BIGINT
        t BIGINT
        m BOOLEAN
        bids ARRAY<ARRAY<STRING>>
        fee STRUCT<asset STRING, rate DECIMAL(38,4)>
        meta JSON"#]]
    .assert_eq(&json(
        "{\"e\":\"trade\",\"E\":1723161255343,\"p\":\"61837.63\",\"T\":1,\"t\":2,\"m\":true,\"bids\":[[\"1\",\"2\"]],\
         \"fee\":{\"asset\":\"BTC\",\"rate\":0.0010},\"meta\":{}}\n{\"e\":\"x\",\"meta\":[1]}",
    ));
}

#[test]
fn one_thousand_records_by_default() {
    assert_eq!(InferProperties::default().records, 1000);
    assert_eq!(InferProperties::SPECS[0].key, "schema.infer.records");
}
