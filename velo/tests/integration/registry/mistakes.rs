//! What is said where schemas cannot be had: with the record that it is about, and what to do.

use std::net::TcpListener;

use serde_json::json;

use super::{Place, with_id};
use crate::kafka::{rows, run};
use crate::proxy::{self, Fate};

const ROW: &str = r#"{"type":"record","name":"Row","fields":[{"name":"id","type":"long"}]}"#;

const SCRIPT: &str =
    "CREATE STREAM t (id BIGINT) WITH (KAFKA, 'scan.bounded' = 'latest', format = 'avro'MORE); SELECT * FROM t;";

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A registry that is down when a job starts.
#[test]
fn a_registry_that_does_not_answer_is_named() {
    let mut place = Place::new();
    place.registry.url = nobody();
    for script in [
        SCRIPT.replace("MORE", ""),
        SCRIPT.replace("MORE", "").replace("(id BIGINT)", ""),
        SCRIPT.replace("MORE", "").replace("'avro'", "'protobuf'"),
        "CREATE SINK o WITH (KAFKA, format = 'avro'); INSERT INTO o SELECT 1 AS id;".to_owned(),
    ] {
        let failed = run(&place.job(&script));
        assert_ne!(failed.code, 0, "{script}");
        let said = format!("{}/ did not answer about the subject '{}'", place.registry.url, place.subject());
        assert!(failed.stderr.contains(&said), "{script}: {}", failed.stderr);
        assert!(failed.stderr.contains("check 'schema.registry.url'"), "{script}: {}", failed.stderr);
    }
}

/// A registry that goes down behind the start: the record is named that needs it.
#[test]
fn a_registry_that_goes_away_is_named_with_the_record_that_needs_it() {
    let place = Place::new();
    let id = place.registry.register(&place.subject(), "AVRO", ROW, &json!([]));
    let key_id = place.registry.register(&format!("{}-key", place.topic), "AVRO", ROW, &json!([]));
    let server = place.registry.url.strip_prefix("http://").unwrap();
    let (server, path) = server.split_once('/').unwrap();
    // Subjects are answered for, and schemas are not.
    let address = proxy::start(server, |line| if line.contains("/schemas/ids/") { Fate::Break } else { Fate::Pass });
    let mut through = Place::new();
    through.registry.url = format!("http://{address}/{path}");
    through.topic.clone_from(&place.topic);
    let key = Some(with_id(key_id, &[2]));
    place.broker.put_bytes(&place.topic, &[(key.clone(), Some(b"x".to_vec())), (key.clone(), Some(with_id(id, &[2])))]);
    let failed = run(&through.job(&SCRIPT.replace("MORE", ", 'on.error' = 'skip'")));
    assert_eq!(failed.code, 1);
    for said in [
        format!("did not answer about the schema {id}"),
        format!("topic {}, partition 0, offset 1", place.topic),
        "check 'schema.registry.url'".to_owned(),
    ] {
        assert!(failed.stderr.contains(&said), "{said}: {}", failed.stderr);
    }
    // The key of a record that deletes needs one, too.
    let table = place.broker.topic(1, &[]);
    place.registry.register(&format!("{table}-key"), "AVRO", ROW, &json!([]));
    place.broker.put_bytes(&table, &[(None, Some(b"{\"id\":1}".to_vec())), (key, None)]);
    through.topic = table;
    let script = "CREATE TABLE k (id BIGINT, v BIGINT, PRIMARY KEY (id)) WITH (KAFKA, 'scan.bounded' = 'latest', format = 'json',
          'key.format' = 'avro');
        SELECT id FROM k;";
    let failed = run(&through.job(script));
    assert_eq!(failed.code, 1);
    for said in
        [format!("did not answer about the schema {key_id}"), format!("topic {}, partition 0, offset 1", through.topic)]
    {
        assert!(failed.stderr.contains(&said), "{said}: {}", failed.stderr);
    }
}

/// Ids that the registry does not have, records without one, and those of another language.
#[test]
fn records_without_a_schema_have_their_place() {
    let place = Place::new();
    let id = place.registry.register(&place.subject(), "AVRO", ROW, &json!([]));
    let other = place.registry.register(
        &format!("{}-other", place.topic),
        "PROTOBUF",
        "syntax = \"proto3\"; message Row { int64 id = 1; }",
        &json!([]),
    );
    let wrong: [(Vec<u8>, String); 4] = [
        (with_id(4_000_000_000, &[2]), "the registry has no schema 4000000000, which the record names".to_owned()),
        (
            b"{\"id\":1}".to_vec(),
            "the record does not begin with a zero byte and the id of a schema (it begins with 7b 22 69 64 22)"
                .to_owned(),
        ),
        (
            with_id(other, b"\0\x08\x01"),
            format!("the schema {other}, which the record names, is PROTOBUF and not AVRO"),
        ),
        (with_id(id, &[2, 2]), "1 byte is left behind the record".to_owned()),
    ];
    place.broker.put_bytes(&place.topic, &[(None, Some(with_id(id, &[2])))]);
    let all = wrong.iter().map(|(record, _)| (None, Some(record.clone()))).collect::<Vec<_>>();
    place.broker.put_bytes(&place.topic, &all);
    place.broker.put_bytes(&place.topic, &[(None, Some(with_id(id, &[4])))]);
    let skipped = run(&place.job(&SCRIPT.replace("MORE", ", 'on.error' = 'skip'")));
    assert_eq!(rows(&skipped), [r#"{"id":1}"#, r#"{"id":2}"#]);
    assert!(skipped.stderr.contains("t: 4 records were skipped"), "{}", skipped.stderr);
    // Each of them alone.
    for (record, said) in &wrong {
        let alone = Place::new();
        alone.broker.put_bytes(&alone.topic, &[(None, Some(with_id(id, &[2]))), (None, Some(record.clone()))]);
        let failed = run(&alone.job(&SCRIPT.replace("MORE", "")));
        assert_eq!(failed.code, 1, "{said}");
        let at = format!("topic {}, partition 0, offset 1", alone.topic);
        assert!(failed.stderr.contains(&at) && failed.stderr.contains(said), "{said}: {}", failed.stderr);
    }
    // With their exact bytes they can be sent again.
    let letters = place.broker.topic(1, &[]);
    let script = format!(
        "CREATE SINK bad WITH (connector = 'kafka', 'bootstrap.servers' = '{}', topic = '{letters}', format = 'json');\n",
        place.broker.servers
    );
    let more = ", 'on.error' = 'dead_letter', 'dead.letter.sink' = 'bad'";
    rows(&run(&place.job(&(script + &SCRIPT.replace("MORE", more)))));
    assert_eq!(place.broker.values(&letters).len(), 4);
}

/// Subjects that are not there, and schemas of another language under the subject.
#[test]
fn subjects_that_do_not_fit_are_named() {
    let place = Place::new();
    let said = |script: &str| {
        let failed = run(&place.job(script));
        assert_ne!(failed.code, 0, "{script}");
        failed.stderr
    };
    let undeclared = SCRIPT.replace("(id BIGINT)", "").replace("MORE", "");
    let none = said(&undeclared);
    assert!(none.contains(&format!("has no subject '{}'", place.subject())), "{none}");
    assert!(none.contains("check the topic and 'schema.registry.subject'"), "{none}");
    let sink = "CREATE SINK o WITH (KAFKA, format = 'avro', 'schema.registry.auto_register' = 'false'); INSERT INTO o SELECT 1 AS id;";
    let none = said(sink);
    assert!(none.contains("has no subject") && none.contains("'schema.registry.auto_register' = 'true'"), "{none}");
    place.registry.register(&place.subject(), "AVRO", ROW, &json!([]));
    let other = said(&undeclared.replace("'avro'", "'protobuf'"));
    let kinds = format!("the schema of the subject '{}' is AVRO and not PROTOBUF", place.subject());
    assert!(other.contains(&kinds), "{other}");
    let column = said(&SCRIPT.replace("id BIGINT", "id DATE").replace("MORE", ""));
    assert!(column.contains("'id' is long and declared DATE"), "{column}");
    let more = said(
        "CREATE SINK o WITH (KAFKA, format = 'avro', 'schema.registry.auto_register' = 'false'); INSERT INTO o SELECT 1 AS idd;",
    );
    assert!(more.contains("'idd' is no field of it: there are id"), "{more}");
}
