//! Records whose schemas are in a real registry, in the topics of a real broker.

mod avro;
mod changes;
mod mistakes;
mod protobuf;
mod server;

use serde_json::json;

use crate::kafka::broker::Broker;
use crate::kafka::running::Running;
use crate::kafka::{guide, rows, run};
use crate::support::Folder;

use self::server::Registry;

/// A broker, a registry, and a topic for one test.
struct Place {
    broker: Broker,
    registry: Registry,
    topic: String,
}

impl Place {
    fn new() -> Self {
        let (broker, registry) = (Broker::new(), Registry::new());
        let topic = broker.topic(1, &[]);
        Self { broker, registry, topic }
    }

    /// A script in a folder of its own, with `TOPIC` for the topic and `KAFKA` for what every stream and sink over it says.
    fn job(&self, script: &str) -> Folder {
        let kafka = format!(
            "connector = 'kafka', 'bootstrap.servers' = '{}', topic = 'TOPIC', 'schema.registry.url' = '{}'",
            self.broker.servers, self.registry.url
        );
        Folder::new().file("q.sql", script.replace("KAFKA", &kafka).replace("TOPIC", &self.topic))
    }

    /// Writes rows, as lines of JSON with these columns, by a sink with these properties.
    fn write(&self, columns: &str, with: &str, lines: &[&str]) {
        let script = format!(
            "CREATE STREAM f ({columns}) WITH (connector = 'file', path = 'in.jsonl', format = 'json');
             CREATE SINK trades WITH (KAFKA, {with});
             INSERT INTO trades SELECT * FROM f;"
        );
        rows(&run(&self.job(&script).file("in.jsonl", lines.join("\n"))));
    }

    /// All rows of the topic as a stream that is declared so, in their order.
    fn read(&self, declared: &str, with: &str) -> Vec<String> {
        let script =
            format!("CREATE STREAM t {declared} WITH (KAFKA, 'scan.bounded' = 'latest', {with}); SELECT * FROM t;");
        let ran = run(&self.job(&script));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout.lines().map(str::to_owned).collect()
    }

    /// The subject of the topic's values.
    fn subject(&self) -> String {
        format!("{}-value", self.topic)
    }

    /// The values of the topic, each with the id that stands before it.
    fn values(&self) -> Vec<(u64, Vec<u8>)> {
        let values = self.broker.read_bytes(&self.topic).into_iter().filter_map(|(_, value)| value);
        let apart = values.map(|value| {
            assert_eq!(value[0], 0, "{value:?}");
            let id = u32::from_be_bytes([value[1], value[2], value[3], value[4]]);
            (u64::from(id), value[5..].to_vec())
        });
        apart.collect()
    }
}

/// A topic of two versions of a record, written by two jobs: the second has a field more, among the others. A reader that was there before
/// it goes on.
fn developed_while_read(with: &str) -> Place {
    let place = Place::new();
    place.write("id BIGINT, name STRING", with, &[r#"{"id":1,"name":"old"}"#]);
    let script =
        format!("CREATE STREAM t (id BIGINT, name STRING, tier STRING) WITH (KAFKA, {with}); SELECT * FROM t;");
    let folder = place.job(&script);
    let mut early = Running::start(&folder);
    assert_eq!(early.row(), r#"{"id":1,"name":"old","tier":null}"#);
    place.write("tier STRING, id BIGINT, name STRING", with, &[r#"{"tier":"gold","id":2,"name":"new"}"#]);
    assert_eq!(early.row(), r#"{"id":2,"name":"new","tier":"gold"}"#);
    early.stop();
    assert_eq!(place.registry.versions(&place.subject()), json!([1, 2]));
    place
}

/// A record with the id of its schema before it.
fn with_id(id: u64, record: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(id).unwrap().to_be_bytes(), record].concat()
}

#[test]
fn what_the_guide_shows_is_printed() {
    // It fills a topic, and reads it by the schema that is registered.
    let registry = Registry::new();
    guide::prints_what_it_shows("sql registry", 2, &[(guide::REGISTRY, &registry.url)]);
}
