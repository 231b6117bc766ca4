//! The client of schema registries, against a server on this machine that answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use velo_core::clock::Clock;
use velo_core::connector::ChangelogMode;
use velo_core::error::{ConnectorError, ErrorKind, Retry};
use velo_core::properties::{Options, Properties};
use velo_core::resilience::{Backoff, RetryPolicy};
use velo_format::records::properties::RegistryProperties;
use velo_format::records::registry::Registry;
use velo_format::records::{RecordFormat, SchemaKind, Schemas, confluent};

use super::formats::{columns, read, sink, source, wait};
use super::{batch_of, columns_of, encode, rows};

/// A server that gives its answers in order, and keeps what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
}

impl Server {
    async fn start(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers: VecDeque<(u16, String)> = answers.iter().map(|(code, body)| (*code, (*body).to_owned())).collect();
        let (asked, answers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(answers)));
        let (kept, given) = (Arc::clone(&asked), Arc::clone(&answers));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (mut bytes, mut block) = (Vec::new(), [0; 4096]);
                let text = loop {
                    let count = stream.read(&mut block).await.unwrap_or(0);
                    bytes.extend_from_slice(&block[..count]);
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let length = |head: &str| {
                        let mut lines = head.lines().filter_map(|line| {
                            line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
                        });
                        lines.next_back().map_or(0, |length| length.parse::<usize>().unwrap())
                    };
                    if count == 0 || text.split_once("\r\n\r\n").is_some_and(|(head, body)| body.len() >= length(head))
                    {
                        break text;
                    }
                };
                let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
                let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1");
                let login = head.lines().find_map(|line| {
                    line.to_ascii_lowercase().starts_with("authorization: ").then(|| line[15..].to_owned())
                });
                let parts = [Some(line.to_owned()), login, (!body.is_empty()).then(|| body.to_owned())];
                kept.lock().unwrap().push(parts.into_iter().flatten().collect::<Vec<_>>().join(" "));
                let Some((code, body)) = given.lock().unwrap().pop_front() else { continue };
                let answer =
                    format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, asked, answers }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn answer(&self, code: u16, body: &str) {
        self.answers.lock().unwrap().push_back((code, body.to_owned()));
    }
}

fn properties(pairs: &[(&str, &str)]) -> RegistryProperties {
    RegistryProperties::read(&mut Options::from_pairs(pairs.iter().copied()))
}

fn client(pairs: &[(&str, &str)]) -> Registry {
    let at_once = Backoff { first: Duration::ZERO, longest: Duration::ZERO };
    let retries = RetryPolicy { backoff: at_once, attempts: Some(3) };
    Registry::new(&properties(pairs), Clock::system()).unwrap().retrying(retries)
}

fn text(error: &ConnectorError, url: &str) -> String {
    error.message.replace(&format!("{url}/"), "URL")
}

#[test]
fn schemas_are_asked_for_once() {
    wait(async {
        let server = Server::start(&[
            (200, r#"{"schema":"\"string\""}"#),
            (404, r#"{"error_code":40403,"message":"Schema not found"}"#),
        ])
        .await;
        let schemas = Schemas::of(Arc::new(client(&[("schema.registry.url", &server.url)])));
        schemas.ensure(&[1, 2]).await.unwrap();
        assert_eq!(server.asked(), ["GET /schemas/ids/1", "GET /schemas/ids/2"]);
        assert_eq!(schemas.get(1, SchemaKind::Avro).unwrap().text, "\"string\"");
        let unknown = schemas.get(2, SchemaKind::Avro).unwrap_err();
        assert!(unknown.starts_with("the registry has no schema 2, which the record names"), "{unknown}");
        // What is there stays there; what was not is asked for again.
        server.answer(200, r#"{"schema":"syntax = \"proto3\";","schemaType":"PROTOBUF"}"#);
        schemas.ensure(&[1, 2]).await.unwrap();
        schemas.ensure(&[1, 2]).await.unwrap();
        assert_eq!(server.asked(), ["GET /schemas/ids/2"]);
        assert_eq!(schemas.get(2, SchemaKind::Protobuf).unwrap().id, 2);
    });
}

#[test]
fn references_are_followed() {
    wait(async {
        let server = Server::start(&[
            (200, r#"{"subject":"o","version":3,"id":7,"schema":"main","references":[{"name":"a","subject":"s/a","version":1},{"name":"b","subject":"b","version":2}]}"#),
            (200, r#"{"id":5,"schema":"A","references":[{"name":"c","subject":"c","version":1}]}"#),
            (200, r#"{"id":4,"schema":"C"}"#),
            (200, r#"{"id":6,"schema":"B","references":[{"name":"c","subject":"c","version":1}]}"#),
        ])
        .await;
        let schema =
            client(&[("schema.registry.url", &format!("{}/", server.url))]).latest("o").await.unwrap().unwrap();
        assert_eq!((schema.id, schema.kind, schema.text.as_str()), (7, SchemaKind::Avro, "main"));
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(schema.references, [pair("c", "C"), pair("a", "A"), pair("b", "B")]);
        let expected = [
            "GET /subjects/o/versions/latest",
            "GET /subjects/s%2Fa/versions/1",
            "GET /subjects/c/versions/1",
            "GET /subjects/b/versions/2",
        ];
        assert_eq!(server.asked(), expected);
    });
}

#[test]
fn errors_that_may_pass_are_tried_again_and_others_are_not() {
    wait(async {
        let server = Server::start(&[
            (500, ""),
            (503, r#"{"error_code":50002,"message":"timeout"}"#),
            (200, r#"{"schema":"\"int\""}"#),
        ])
        .await;
        let one = client(&[("schema.registry.url", &server.url)]);
        assert!(one.schema(1).await.unwrap().is_some());
        assert_eq!(server.asked().len(), 3);
        for _ in 0..3 {
            server.answer(500, r#"{"message":"out of order"}"#);
        }
        let error = one.schema(1).await.unwrap_err();
        assert_eq!(
            text(&error, &server.url),
            "URL answered 500 Internal Server Error about the schema 1: out of order"
        );
        assert_eq!((error.kind, error.retry, server.asked().len()), (ErrorKind::Unavailable, Retry::Temporary, 3));
        server.answer(401, r#"{"error_code":401,"message":"Unauthorized"}"#);
        let error = one.schema(1).await.unwrap_err();
        assert_eq!(text(&error, &server.url), "URL refused the schema 1 (401 Unauthorized, code 401): Unauthorized");
        assert!(error.advice.as_ref().is_some_and(|advice| advice.contains("schema.registry.password")));
        assert_eq!((error.kind, error.retry, server.asked().len()), (ErrorKind::PermissionDenied, Retry::Permanent, 1));
        server.answer(200, "<html>");
        let error = one.latest("x").await.unwrap_err();
        let expected =
            "the answer of URL about the subject 'x' (version latest) is not that of a schema registry: it is no JSON";
        assert_eq!(text(&error, &server.url), expected);
        server.answer(404, r#"{"error_code":40401,"message":"Subject not found"}"#);
        assert_eq!(one.version("x", 2).await.unwrap(), None);
        server.answer(409, r#"{"error_code":409,"message":"incompatible"}"#);
        let error = one.register("x", SchemaKind::Avro, "\"int\"").await.unwrap_err();
        assert_eq!(
            text(&error, &server.url),
            "URL refused a new version of the subject 'x' (409 Conflict, code 409): incompatible"
        );
        server.answer(422, r#"{"error_code":42201,"message":"Invalid schema"}"#);
        let error = one.register("x", SchemaKind::Protobuf, "no").await.unwrap_err();
        assert!(error.message.ends_with("(422 Unprocessable Entity, code 42201): Invalid schema"), "{error}");
        let asked = server.asked();
        assert_eq!(asked[asked.len() - 1], r#"POST /subjects/x/versions {"schema":"no","schemaType":"PROTOBUF"}"#);
    });
}

#[test]
fn another_url_is_asked_where_one_does_not_answer() {
    wait(async {
        let good = Server::start(&[(200, r#"{"schema":"\"int\""}"#), (200, r#"{"schema":"\"int\""}"#)]).await;
        // Nobody listens there any more.
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone_url = format!("http://{}", gone.local_addr().unwrap());
        drop(gone);
        let both = client(&[("schema.registry.url", &format!("{gone_url}, {}", good.url))]);
        assert!(both.schema(1).await.unwrap().is_some());
        assert!(both.schema(2).await.unwrap().is_some());
        assert_eq!(good.asked(), ["GET /schemas/ids/1", "GET /schemas/ids/2"]);
        let alone = client(&[("schema.registry.url", &gone_url.replace("http://", "http://me:geheim@"))]);
        let error = alone.schema(1).await.unwrap_err();
        assert!(text(&error, &gone_url).starts_with("URL did not answer about the schema 1: "), "{error}");
        assert!(!error.to_string().contains("geheim"), "{error}");
        assert_eq!(error.retry, Retry::Temporary);
    });
}

#[test]
fn who_asks_is_told_to_the_registry_and_to_nobody_else() {
    wait(async {
        let server = Server::start(&[]).await;
        let ask = async |pairs: &[(&str, &str)]| {
            server.answer(200, r#"{"id":3}"#);
            let all: Vec<(&str, &str)> =
                pairs.iter().copied().chain([("schema.registry.url", server.url.as_str())]).collect();
            let registry = client(&all);
            assert!(!format!("{registry:?}").contains("geheim"));
            assert_eq!(registry.lookup("s", SchemaKind::Avro, "\"int\"").await.unwrap(), Some(3));
            server.asked().pop().unwrap()
        };
        let body = r#"{"schema":"\"int\""}"#;
        assert_eq!(ask(&[]).await, format!("POST /subjects/s {body}"));
        let user = [("schema.registry.username", "me"), ("schema.registry.password", "geheim")];
        assert_eq!(ask(&user).await, format!("POST /subjects/s Basic bWU6Z2VoZWlt {body}"));
        assert_eq!(ask(&[("schema.registry.token", "geheim")]).await, format!("POST /subjects/s Bearer geheim {body}"));
        server.answer(200, r#"{"id":3}"#);
        let url = server.url.replace("http://", "http://me:ge%68eim@");
        client(&[("schema.registry.url", &url)]).lookup("s", SchemaKind::Avro, "\"int\"").await.unwrap();
        assert_eq!(server.asked(), [format!("POST /subjects/s Basic bWU6Z2VoZWlt {body}")]);
    });
    let error = |pairs: &[(&str, &str)]| Registry::new(&properties(pairs), Clock::system()).unwrap_err().message;
    assert_eq!(error(&[("schema.registry.url", "ftp://me:geheim@x")]), "a URL in 'schema.registry.url' is none");
    assert_eq!(error(&[("schema.registry.url", " , ")]), "the property 'schema.registry.url' is empty");
    let url = ("schema.registry.url", "http://localhost");
    assert!(error(&[url, ("schema.registry.ca", "/nowhere/ca.pem")]).contains("/nowhere/ca.pem"));
    assert!(
        error(&[url, ("schema.registry.ca", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))])
            .contains("no certificate")
    );
    assert!(error(&[url, ("schema.registry.token", "t"), ("schema.registry.username", "u")]).contains("both set"));
}

const ORDER: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"name","type":["null","string"],"default":null}]}"#;

fn registered(id: u32, text: &str, kind: &str) -> String {
    serde_json::json!({"id": id, "subject": "s", "version": 1, "schema": text, "schemaType": kind}).to_string()
}

#[test]
fn a_source_reads_by_the_schemas_that_its_records_name() {
    wait(async {
        let old = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"int"}]}"#;
        let server = Server::start(&[(200, &registered(2, ORDER, "AVRO"))]).await;
        let formats = read(&[("format", "avro"), ("schema.registry.url", &server.url)], true).unwrap();
        let declared = columns();
        let opened = formats
            .value
            .decoder(&source(&declared), &declared, columns_of(declared.fields()), Some("orders"))
            .await
            .unwrap();
        assert_eq!(server.asked(), ["GET /subjects/orders-value/versions/latest"]);
        let records: [&[u8]; 4] = [b"\0\0\0\0\x02\x02\x02\x02a", b"\0\0\0\0\x01\x04", b"\0\0\0\0\x09\x04", b"no"];
        let (bytes, places) = super::chunk(&records);
        let ids = confluent::schema_ids(&bytes, places.iter().map(|(place, _)| place.clone()));
        assert_eq!(ids, [2, 1, 9]);
        server.answer(200, &registered(2, ORDER, "AVRO"));
        server.answer(200, &registered(1, old, "AVRO"));
        server.answer(404, r#"{"error_code":40403}"#);
        opened.schemas.as_ref().unwrap().ensure(&ids).await.unwrap();
        let found = rows(&*opened.decoder, &records);
        assert_eq!(found[..2], ["100 1 a", "101 2 NULL"]);
        assert!(found[2].starts_with("102: : the registry has no schema 9"), "{found:?}");
        assert!(found[3].starts_with("103: : the record does not begin with a zero byte"), "{found:?}");
        // The columns of the latest schema, where none are declared.
        server.answer(200, &registered(2, ORDER, "AVRO"));
        let inferred = formats.value.infer(Some("orders"), Clock::system()).await.unwrap().unwrap();
        assert_eq!(super::names(inferred.fields()), "id BIGINT, name STRING");
        server.answer(404, "{}");
        let error = formats.key.infer(Some("orders"), Clock::system()).await.unwrap_err();
        assert_eq!(text(&error, &server.url), "URL has no subject 'orders-key'");
        // A column that does not fit the latest schema.
        let wrong: SchemaRef = Arc::new(Schema::new(vec![Field::new("id", DataType::Date32, true)]));
        server.answer(200, &registered(2, ORDER, "AVRO"));
        let error = formats
            .value
            .decoder(&source(&wrong), &wrong, columns_of(wrong.fields()), Some("orders"))
            .await
            .unwrap_err();
        assert!(error.message.ends_with("'id' is long and declared DATE"), "{error}");
        server.answer(200, &registered(2, "syntax = \"proto3\";", "PROTOBUF"));
        let error = formats.value.decoder(&source(&wrong), &wrong, vec![], Some("orders")).await.unwrap_err();
        assert_eq!(error.message, "the schema of the subject 'orders-value' is PROTOBUF and not AVRO");
    });
}

/// Of topics that follow a pattern there may be none yet: what records name is all there is then.
#[test]
fn no_subject_is_asked_for_where_there_is_no_topic_yet() {
    wait(async {
        let server = Server::start(&[]).await;
        let avro = [("format", "avro"), ("schema.registry.url", server.url.as_str())];
        let formats = |more: &[(&str, &str)]| read(&[&avro, more].concat(), true).unwrap();
        let declared = columns();
        let open = formats(&[]);
        assert!(open.value.columns_go_by_topic());
        let opened = open.value.decoder(&source(&declared), &declared, columns_of(declared.fields()), None).await;
        assert!(opened.unwrap().schemas.is_some());
        let error = open.value.infer(None, Clock::system()).await.unwrap_err();
        assert_eq!(error.message, "the subject is named by the topic, and there is none yet");
        assert_eq!(server.asked(), [""; 0]);
        // What is found without a topic does not wait for one.
        let named = formats(&[("schema.registry.subject", "shop")]);
        server.answer(200, &registered(2, ORDER, "AVRO"));
        let inferred = named.value.infer(None, Clock::system()).await.unwrap().unwrap();
        assert_eq!(super::names(inferred.fields()), "id BIGINT, name STRING");
        assert_eq!(server.asked(), ["GET /subjects/shop/versions/latest"]);
        let by_record = formats(&[("schema.registry.subject.strategy", "record")]);
        let by_file = formats(&[("avro.schema.file", "order.avsc")]);
        let go_by_topic = [named, by_record, by_file].map(|formats| formats.value.columns_go_by_topic());
        assert_eq!(go_by_topic, [false; 3]);
        assert!(!read(&[("format", "json")], true).unwrap().value.columns_go_by_topic());
    });
}

#[test]
fn a_sink_registers_its_schema_or_writes_by_the_latest() {
    wait(async {
        let server = Server::start(&[(404, "{}"), (200, r#"{"id":11}"#)]).await;
        let schema = columns();
        let batch = batch_of(&schema, &["{\"id\":1,\"name\":\"a\"}"]);
        let write = async |more: &[(&str, &str)], mode| {
            let url = ("schema.registry.url", server.url.as_str());
            let pairs: Vec<(&str, &str)> = more.iter().copied().chain([url]).collect();
            let formats = read(&pairs, false).unwrap();
            let mut encoder = formats.value.encoder(&sink(&schema, mode), &schema, "orders").await?;
            Ok::<_, ConnectorError>(encode(&mut *encoder, &batch).remove(0))
        };
        let avro = ("format", "avro");
        assert_eq!(write(&[avro], ChangelogMode::Append).await.unwrap(), b"\0\0\0\0\x0b\x02\x02\x02\x02a");
        let asked = server.asked();
        assert_eq!(asked[0], "GET /subjects/orders-value/versions/latest");
        assert!(asked[1].starts_with("POST /subjects/orders-value/versions {\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"orders_out\\\""), "{asked:?}");
        // The latest one fits, so that none is registered.
        server.answer(200, &registered(5, ORDER, "AVRO"));
        assert_eq!(write(&[avro], ChangelogMode::Append).await.unwrap(), b"\0\0\0\0\x05\x02\x02\x02a");
        assert_eq!(server.asked().len(), 1);
        // It does not fit: a new version of the same record.
        server.answer(
            200,
            &registered(5, r#"{"type":"record","name":"shop.Order","fields":[{"name":"id","type":"long"}]}"#, "AVRO"),
        );
        server.answer(200, r#"{"id":12}"#);
        assert_eq!(write(&[avro], ChangelogMode::Append).await.unwrap()[4], 12);
        assert!(server.asked()[1].contains("\\\"name\\\":\\\"shop.Order\\\""));
        // Nothing is registered that is not to be.
        let off = [avro, ("schema.registry.auto_register", "false")];
        server.answer(404, "{}");
        let error = write(&off, ChangelogMode::Append).await.unwrap_err();
        assert_eq!(text(&error, &server.url), "URL has no subject 'orders-value'");
        server.answer(
            200,
            &registered(5, r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}"#, "AVRO"),
        );
        let error = write(&off, ChangelogMode::Append).await.unwrap_err();
        assert!(error.message.ends_with("'name' is no field of it: there are id"), "{error}");
        server.asked();
        // Envelopes, subjects by the record, and Protobuf.
        server.answer(404, "{}");
        server.answer(200, r#"{"id":13}"#);
        let named = [("format", "debezium_avro"), ("schema.registry.subject.strategy", "topic_record")];
        let record = write(&named, ChangelogMode::Debezium).await.unwrap();
        assert_eq!(record, b"\0\0\0\0\x0d\0\x02\x02\x02\x02\x02a\x02c");
        assert_eq!(server.asked()[0], "GET /subjects/orders-orders_out.Envelope/versions/latest");
        server.answer(404, "{}");
        server.answer(200, r#"{"id":14}"#);
        let record =
            write(&[("format", "protobuf"), ("schema.registry.subject", "own")], ChangelogMode::Append).await.unwrap();
        assert_eq!(record, b"\0\0\0\0\x0e\0\x08\x01\x12\x01a");
        let asked = server.asked();
        assert!(
            asked[1].starts_with(
                "POST /subjects/own/versions {\"schema\":\"syntax = \\\"proto3\\\";\\nmessage orders_out {"
            ),
            "{asked:?}"
        );
    });
}

#[test]
fn the_properties_are_read_where_the_format_is() {
    let mut options = Options::from_pairs([("format", "avro"), ("schema.registry.url", "http://localhost:1")]);
    assert!(RecordFormat::read(&mut options, true).is_some());
    assert!(options.is_empty() && !options.has_errors());
}
