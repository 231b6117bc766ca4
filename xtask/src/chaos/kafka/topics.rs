//! The cluster as the run sees it: topics made and grown, who leads what, and what lies in a topic.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::services::Kafka;

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(10);
/// How long a change of topics may take, where brokers have just come back.
const CHANGE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long a reader may get nothing, neither a record nor an end.
const SILENCE: Duration = Duration::from_secs(60);

/// A partition of a topic.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    pub(super) topic: String,
    pub(super) number: i32,
    /// Negative where there is none.
    pub(super) leader: i32,
    /// The first is the one that is preferred as the leader.
    pub(super) replicas: Vec<i32>,
    in_sync: usize,
}

impl Partition {
    pub(super) fn is_led(&self) -> bool {
        self.leader >= 0
    }

    pub(super) fn is_whole(&self) -> bool {
        self.is_led() && self.in_sync == self.replicas.len()
    }

    pub(super) fn has_its_leader(&self) -> bool {
        self.replicas.first() == Some(&self.leader)
    }
}

/// The brokers, as processes and by their protocol.
pub(super) struct Cluster {
    pub(super) kafka: Kafka,
    pub(super) servers: String,
    admin: AdminClient<DefaultClientContext>,
    /// How many partitions the topics of the run have: a broker may hear of them later than the one that was told to make them.
    made: Mutex<BTreeMap<String, usize>>,
}

impl Cluster {
    pub(super) fn new(kafka: Kafka, servers: String) -> Result<Self> {
        let admin = config(&servers).create().context("a client of Kafka's cannot be made")?;
        Ok(Self { kafka, servers, admin, made: Mutex::default() })
    }

    /// A client's settings.
    pub(super) fn config(&self) -> ClientConfig {
        config(&self.servers)
    }

    pub(super) fn make_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(3));
        let options = AdminOptions::new().operation_timeout(Some(CHANGE)).request_timeout(Some(CHANGE));
        let what = format!("making the topic {name}");
        let made = block_on(&what, self.admin.create_topics([&topic], &options))?.context(what.clone())?;
        if let Some((_, code)) = made.into_iter().find_map(Result::err) {
            bail!("{what}: {code}");
        }
        self.has(name, usize::try_from(partitions)?);
        self.all_of(name, Partition::is_whole).map(drop)
    }

    fn made(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, topic: &str, partitions: usize) {
        self.made().insert(topic.to_owned(), partitions);
    }

    /// All partitions of a topic of the run; waits until the cluster tells of all of them, and each is as it has to be.
    fn all_of(&self, topic: &str, ready: fn(&Partition) -> bool) -> Result<Vec<Partition>> {
        let partitions = self.made().get(topic).copied().with_context(|| format!("{topic} is no topic of this run"))?;
        let until = Instant::now() + CHANGE;
        loop {
            let found = self.partitions_of(topic);
            if let Ok(found) = &found
                && found.len() == partitions
                && found.iter().all(ready)
            {
                return Ok(found.clone());
            }
            if Instant::now() > until {
                bail!(
                    "the topic {topic} has {partitions} partitions, and the cluster does not tell of all of them, ready, for {} s: {found:?}",
                    CHANGE.as_secs()
                );
            }
            thread::sleep(LOOK);
        }
    }

    /// Gives a topic so many partitions, and waits until they have leaders.
    pub(super) fn grow(&self, topic: &str, partitions: usize) -> Result<()> {
        let options = AdminOptions::new().operation_timeout(Some(CHANGE)).request_timeout(Some(CHANGE));
        let what = format!("giving the topic {topic} {partitions} partitions");
        let all = NewPartitions::new(topic, partitions);
        let grown = self.admin.create_partitions([&all], &options);
        let grown = block_on(&what, grown)?.context(what.clone())?;
        if let Some((_, code)) = grown.into_iter().find_map(Result::err) {
            bail!("{what}: {code}");
        }
        self.has(topic, partitions);
        self.all_of(topic, Partition::is_led).map(drop)
    }

    /// The partitions of all topics, also of Kafka's own.
    pub(super) fn partitions(&self) -> Result<Vec<Partition>> {
        let metadata = self.admin.inner().fetch_metadata(None, REQUEST).context("asking for all topics")?;
        let mut found = Vec::new();
        for topic in metadata.topics() {
            found.extend(topic.partitions().iter().map(|partition| Partition {
                topic: topic.name().to_owned(),
                number: partition.id(),
                leader: partition.leader(),
                replicas: partition.replicas().to_vec(),
                in_sync: partition.isr().len(),
            }));
        }
        Ok(found)
    }

    /// Those of one topic that the broker knows of which is asked.
    pub(super) fn partitions_of(&self, topic: &str) -> Result<Vec<Partition>> {
        let mut found = self.partitions()?;
        found.retain(|partition| partition.topic == topic);
        Ok(found)
    }

    /// A consumer of these topics, from their beginnings; it commits nothing. Records of open and aborted transactions are not given.
    pub(super) fn consumer(&self, topics: &[&str]) -> Result<(BaseConsumer, usize)> {
        let mut config = self.config();
        // A group has to be named, and is not joined.
        config.set("group.id", "chaos").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        config.set("isolation.level", "read_committed").set("auto.offset.reset", "error");
        let consumer: BaseConsumer = config.create().context("a consumer cannot be made")?;
        let mut list = TopicPartitionList::new();
        for topic in topics {
            for partition in self.all_of(topic, Partition::is_led)? {
                list.add_partition_offset(topic, partition.number, Offset::Beginning)?;
            }
        }
        consumer.assign(&list)?;
        Ok((consumer, list.count()))
    }

    /// The committed records of a topic with their partitions, to its end.
    pub(super) fn records(&self, topic: &str) -> Result<Vec<(i32, String)>> {
        let (consumer, partitions) = self.consumer(&[topic])?;
        let (mut records, mut ended) = (Vec::new(), 0);
        while ended < partitions {
            match consumer.poll(SILENCE) {
                Some(Ok(record)) => {
                    let text = String::from_utf8_lossy(record.payload().unwrap_or_default());
                    records.push((record.partition(), text.into_owned()));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(error)) => return Err(error).with_context(|| format!("reading the topic {topic}")),
                None => bail!(
                    "the topic {topic} gave nothing for {} s, and {ended} of its {partitions} partitions had ended",
                    SILENCE.as_secs()
                ),
            }
        }
        Ok(records)
    }

    /// The same without partitions.
    pub(super) fn lines(&self, topic: &str) -> Result<Vec<String>> {
        Ok(self.records(topic)?.into_iter().map(|(_, record)| record).collect())
    }

    /// The partitions of a topic in which a transaction is open, so that its readers do not come to the end.
    pub(super) fn unstable(&self, topic: &str) -> Result<Vec<String>> {
        let end = |isolation: &str, partition: i32| -> Result<i64> {
            let mut config = self.config();
            config.set("group.id", "chaos").set("isolation.level", isolation);
            let consumer: BaseConsumer = config.create().context("a consumer cannot be made")?;
            Ok(consumer.fetch_watermarks(topic, partition, REQUEST)?.1)
        };
        let mut open = Vec::new();
        for partition in self.all_of(topic, Partition::is_led)? {
            let number = partition.number;
            let (stable, last) = (end("read_committed", number)?, end("read_uncommitted", number)?);
            if stable < last {
                open.push(format!("{topic}/{number} (readable to {stable} of {last})"));
            }
        }
        Ok(open)
    }

    /// The most memory that each broker of now has taken so far, in MB; none where the system does not say.
    pub(super) fn memory(&self) -> Vec<u64> {
        let of = |process: String| {
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes / 1_024)
        };
        self.kafka.processes().into_iter().flatten().filter_map(of).collect()
    }
}

fn config(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("topic.metadata.refresh.interval.ms", "1000");
    // Brokers go and come back in this run: their clients look at them again at once, and do not print about it.
    config.set("reconnect.backoff.max.ms", "1000").set("log_level", "0");
    config
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for an answer of the admin client, whose own thread works for it.
fn block_on<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let until = Instant::now() + CHANGE * 2;
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
            return Ok(answer);
        }
        let Some(left) = until.checked_duration_since(Instant::now()) else {
            bail!("{what} was not answered for {} s", (CHANGE * 2).as_secs());
        };
        thread::park_timeout(left);
    }
}
