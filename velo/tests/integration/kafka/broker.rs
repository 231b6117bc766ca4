//! A real broker as tests use it: topics of their own, records put in and read back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

pub const WAIT: Duration = Duration::from_secs(30);

/// The broker that the tests were given.
pub struct Broker {
    pub servers: String,
}

/// The key and the value of a record, as bytes.
pub type Bytes = (Option<Vec<u8>>, Option<Vec<u8>>);

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
        Self::of("VELO_KAFKA_PLAINTEXT", "kafka")
    }

    /// Those that a variable names, which a service sets.
    pub fn of(variable: &str, service: &str) -> Self {
        let servers = std::env::var(variable);
        let unset = |_| panic!("`cargo xtask integration {service}` starts brokers and says where they are");
        Self { servers: servers.unwrap_or_else(unset) }
    }

    pub fn config(&self) -> ClientConfig {
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
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        self.make_topic(settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value)));
    }

    pub fn make_topic(&self, topic: NewTopic<'_>) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(WAIT));
        let made = wait(admin.create_topics([&topic], &options)).unwrap();
        made.into_iter().for_each(|result| drop(result.unwrap()));
    }

    /// A setting of a topic.
    pub fn setting(&self, topic: &str, name: &str) -> String {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let options = AdminOptions::new().request_timeout(Some(WAIT));
        let described = wait(admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options)).unwrap();
        let described = described.into_iter().next().unwrap().unwrap();
        described.get(name).unwrap().value.clone().unwrap()
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

    /// Puts records into partition 0 of a topic as bytes, in their order: their keys, and their values.
    pub fn put_bytes(&self, topic: &str, records: &[Bytes]) {
        let producer: BaseProducer = self.config().create().unwrap();
        for (key, value) in records {
            let mut made: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(0).timestamp(1_000);
            if let Some(key) = key {
                made = made.key(key);
            }
            if let Some(value) = value {
                made = made.payload(value);
            }
            producer.send(made).map_err(|(error, _)| error).unwrap();
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

    /// What a group has committed for each partition of a topic.
    pub fn committed(&self, topic: &str, group: &str) -> Vec<Option<i64>> {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), WAIT).unwrap();
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            list.add_partition(topic, partition.id());
        }
        let committed = consumer.committed_offsets(list, WAIT).unwrap();
        let offset = |offset| match offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        committed.elements().iter().map(|element| offset(element.offset())).collect()
    }

    /// All records of a topic that can be read now with this isolation, partition by partition.
    pub fn read(&self, topic: &str, isolation: &str) -> Vec<Record> {
        let mut records = self.each(topic, isolation, record);
        records.sort_by_key(|record: &Record| record.partition);
        records
    }

    /// The committed records of a topic with one partition, as bytes: their keys, and their values.
    pub fn read_bytes(&self, topic: &str) -> Vec<Bytes> {
        self.each(topic, "read_committed", |message| {
            (message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec))
        })
    }

    /// What is made of each record of a topic that can be read now.
    fn each<T>(&self, topic: &str, isolation: &str, make: impl Fn(&BorrowedMessage<'_>) -> T) -> Vec<T> {
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
                Ok(message) => records.push(make(&message)),
                Err(KafkaError::PartitionEOF(_)) => ended += 1,
                Err(error) => panic!("{error}"),
            }
        }
        records
    }

    /// Joins a group, waits until it is given partitions of these topics, reads some records, commits how far it came, and leaves. It
    /// ends early when it is over.
    pub fn join_and_leave(&self, topics: &[&str], group: &str, over: &AtomicBool) {
        let consumer: BaseConsumer = self
            .config()
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("session.timeout.ms", "6000")
            .create()
            .unwrap();
        consumer.subscribe(topics).unwrap();
        let mut read = 0;
        while read < 10 && !over.load(Ordering::Relaxed) {
            match consumer.poll(Duration::from_millis(50)) {
                Some(record) => {
                    record.unwrap();
                    read += 1;
                }
                // It may have read all that was there the last time.
                None if consumer.assignment().unwrap().count() > 0 => break,
                None => {}
            }
        }
        if read > 0 {
            consumer.commit_consumer_state(CommitMode::Sync).unwrap();
        }
    }

    /// How many records there can be in partition 0, those of markers and of aborted transactions included.
    pub fn count(&self, topic: &str) -> u64 {
        let consumer: BaseConsumer = self.config().set("isolation.level", "read_committed").create().unwrap();
        consumer.fetch_watermarks(topic, 0, WAIT).unwrap().1 as u64
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

fn record(message: &BorrowedMessage<'_>) -> Record {
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
