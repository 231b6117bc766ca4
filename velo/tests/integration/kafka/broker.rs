//! A real broker as tests use it: topics of their own, records put in and read back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const WAIT: Duration = Duration::from_secs(30);

/// The broker that the tests were given.
pub struct Broker {
    pub servers: String,
}

/// A record, as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    pub key: Option<String>,
    pub value: Option<String>,
    pub partition: i32,
    /// In milliseconds since 1970.
    pub time: i64,
    pub headers: BTreeMap<String, String>,
}

impl Record {
    pub fn value(value: impl Into<String>) -> Self {
        Self { value: Some(value.into()), time: 1_000, ..Self::default() }
    }

    pub fn keyed(key: &str, value: Option<&str>) -> Self {
        Self { key: Some(key.to_owned()), value: value.map(str::to_owned), time: 1_000, ..Self::default() }
    }
}

impl Broker {
    pub fn new() -> Self {
        let servers = std::env::var("VELO_KAFKA_PLAINTEXT");
        Self {
            servers: servers
                .unwrap_or_else(|_| panic!("`cargo xtask integration kafka` starts a broker and says where it is")),
        }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers);
        config
    }

    /// Makes a topic with a name of its own.
    pub fn topic(&self, partitions: i32, settings: &[(&str, &str)]) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.make(&name, partitions, settings);
        name
    }

    pub fn make(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(WAIT));
        let made = wait(admin.create_topics([&topic], &options)).unwrap();
        made.into_iter().for_each(|result| drop(result.unwrap()));
    }

    /// Gives a topic so many partitions.
    pub fn grow(&self, topic: &str, partitions: usize) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(WAIT));
        let grown = wait(admin.create_partitions([&NewPartitions::new(topic, partitions)], &options)).unwrap();
        grown.into_iter().for_each(|result| drop(result.unwrap()));
    }

    /// Deletes the records of partition 0 before an offset.
    pub fn forget(&self, topic: &str, before: i64) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(before)).unwrap();
        let options = AdminOptions::new().operation_timeout(Some(WAIT));
        wait(admin.delete_records(&list, &options)).unwrap();
    }

    /// Puts records into a topic, in their order.
    pub fn put(&self, topic: &str, records: &[Record]) {
        self.put_by(&self.config().create().unwrap(), topic, records);
    }

    fn put_by(&self, producer: &BaseProducer, topic: &str, records: &[Record]) {
        for record in records {
            let mut made: BaseRecord<'_, str, str> =
                BaseRecord::to(topic).partition(record.partition).timestamp(record.time);
            if let Some(key) = &record.key {
                made = made.key(key);
            }
            if let Some(value) = &record.value {
                made = made.payload(value);
            }
            let headers = record
                .headers
                .iter()
                .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
            if !record.headers.is_empty() {
                made = made.headers(headers);
            }
            while let Err((error, back)) = producer.send(made) {
                assert!(error.to_string().contains("QueueFull"), "{error}");
                producer.poll(Duration::from_millis(10));
                made = back;
            }
        }
        producer.flush(WAIT).unwrap();
    }

    /// A transaction with these records: committed, or aborted.
    pub fn transaction(&self, topic: &str, records: &[Record], commit: bool) {
        let producer = self.open_transaction(topic, records);
        if commit {
            producer.commit_transaction(WAIT).unwrap();
        } else {
            producer.abort_transaction(WAIT).unwrap();
        }
    }

    /// A transaction with these records that stays open.
    pub fn open_transaction(&self, topic: &str, records: &[Record]) -> BaseProducer {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let producer: BaseProducer = self.config().set("transactional.id", id).create().unwrap();
        producer.init_transactions(WAIT).unwrap();
        producer.begin_transaction().unwrap();
        self.put_by(&producer, topic, records);
        producer
    }

    /// All records of a topic that can be read now with this isolation, partition by partition.
    pub fn read(&self, topic: &str, isolation: &str) -> Vec<Record> {
        let consumer: BaseConsumer = self
            .config()
            .set("group.id", "reader")
            .set("isolation.level", isolation)
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), WAIT).unwrap();
        let mut list = TopicPartitionList::new();
        let partitions = metadata.topics()[0].partitions();
        for partition in partitions {
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut records, mut ended) = (Vec::new(), 0);
        while ended < partitions.len() {
            match consumer.poll(WAIT).unwrap() {
                Ok(message) => records.push(record(&message)),
                Err(KafkaError::PartitionEOF(_)) => ended += 1,
                Err(error) => panic!("{error}"),
            }
        }
        records.sort_by_key(|record: &Record| record.partition);
        records
    }

    /// Whether no transaction is open in partition 0.
    pub fn is_stable(&self, topic: &str) -> bool {
        let end = |isolation: &str| {
            let consumer: BaseConsumer = self.config().set("isolation.level", isolation).create().unwrap();
            consumer.fetch_watermarks(topic, 0, WAIT).unwrap().1
        };
        end("read_committed") == end("read_uncommitted")
    }

    /// The values of all committed records of a topic, sorted.
    pub fn values(&self, topic: &str) -> Vec<String> {
        let values = self.read(topic, "read_committed").into_iter().filter_map(|record| record.value);
        let mut values = values.collect::<Vec<_>>();
        values.sort();
        values
    }
}

fn record(message: &rdkafka::message::BorrowedMessage<'_>) -> Record {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    Record {
        key: message.key().map(text),
        value: message.payload().map(text),
        partition: message.partition(),
        time: message.timestamp().to_millis().unwrap_or(-1),
        headers: headers.map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default()))).collect(),
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
