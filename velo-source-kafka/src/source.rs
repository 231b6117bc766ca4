//! A topic as a stream: its partitions are given to readers by Velo itself, from positions that are known when the job starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow_schema::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use regex::Regex;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use velo_core::connector::{
    ChunkDecoder, PartitionInfo, PartitionReader, SourceBinding, SourceRequest, StreamSource, TableDataSource,
};
use velo_core::error::ErrorKind;
use velo_core::offset::Position;
use velo_core::{Clock, ConnectorError, Result};

use crate::cluster::{Client, Cluster, REQUEST, Said, topic_name};
use crate::decode::{Deletes, KafkaDecoder, System, split};
use crate::error::may_pass;
use crate::formats::SourceFormat;
use crate::properties::{Bounded, KafkaSourceProperties, OffsetLost, Reset, Startup};
use crate::reader::{Reader, Reading};

type Consuming = Client<BaseConsumer<Said>>;

/// Which topics are read.
#[derive(Debug, Clone)]
pub(crate) enum Topics {
    /// This one.
    One(String),
    /// All that have such names.
    Pattern(Regex),
}

impl Topics {
    fn shown(&self) -> String {
        match self {
            Self::One(topic) => topic.clone(),
            Self::Pattern(pattern) => format!("those like {pattern}"),
        }
    }
}

/// Topics as a source or table.
#[derive(Debug, Clone)]
pub(crate) struct KafkaSource {
    pub(crate) cluster: Cluster,
    pub(crate) topics: Topics,
    pub(crate) properties: KafkaSourceProperties,
    pub(crate) format: SourceFormat,
    /// The key under which records take each other's place, where they are a table.
    pub(crate) key: Vec<String>,
}

impl KafkaSource {
    fn consumer(&self) -> Result<Consuming> {
        // Without one librdkafka gives no partitions by hand.
        let group = self.properties.group.as_deref().unwrap_or("velo");
        let isolation = self.properties.isolation.name();
        self.cluster.consumer(&[
            ("group.id", group),
            ("isolation.level", isolation),
            ("enable.partition.eof", "true"),
            // A topic that is asked for is not made by that.
            ("allow.auto.create.topics", "false"),
        ])
    }

    /// The partitions that are there now, by topic; waits for a topic as long as `topic.wait.timeout` says.
    async fn wait(&self, consumer: &Consuming, clock: &Clock) -> Result<Vec<(Arc<str>, i32)>> {
        let until = self.properties.wait.map(|wait| clock.now().saturating_add(wait.0));
        let mut told = false;
        loop {
            let found = self.partitions(consumer).await?;
            if !found.is_empty() || matches!(self.topics, Topics::Pattern(_)) {
                return Ok(found);
            }
            let again = clock.now().saturating_add(LOOK_AGAIN);
            match until {
                Some(until) if clock.now() < until => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::info!(topic = self.topics.shown(), "waiting for a topic");
                    }
                    clock.sleep_until(again.min(until)).await;
                }
                _ => return Err(self.missing()),
            }
        }
    }

    fn missing(&self) -> ConnectorError {
        let message = format!("{} has no topic '{}'", self.cluster.name(), self.topics.shown());
        let made = ConnectorError::new(ErrorKind::NotFound, "opening", message);
        made.advise(match self.properties.wait {
            None => "create it, or have Velo wait for it: 'topic.wait.timeout' = '60s'".to_owned(),
            Some(waited) => format!("it was waited for as long as 'topic.wait.timeout' says: {waited}"),
        })
    }

    async fn partitions(&self, consumer: &Consuming) -> Result<Vec<(Arc<str>, i32)>> {
        let metadata = match &self.topics {
            Topics::One(topic) => consumer.metadata(Some(topic)).await?,
            Topics::Pattern(_) => consumer.metadata(None).await?,
        };
        let mut found = Vec::new();
        for topic in metadata.topics() {
            let is_wanted = match &self.topics {
                Topics::One(name) => topic.name() == name,
                Topics::Pattern(pattern) => matches_whole(pattern, topic.name()),
            };
            if is_wanted {
                let name: Arc<str> = topic.name().into();
                found.extend(topic.partitions().iter().map(|partition| (Arc::clone(&name), partition.id())));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// The values of some records from the beginnings of these partitions.
fn sample(
    consumer: &BaseConsumer<Said>,
    partitions: &[(Arc<str>, i32)],
    wanted: usize,
) -> Result<Vec<Vec<u8>>, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let (mut found, mut ended) = (Vec::new(), 0);
    while found.len() < wanted && ended < partitions.len() {
        match consumer.poll(REQUEST) {
            Some(Ok(message)) => found.extend(message.payload().map(<[u8]>::to_vec)),
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(may_pass) => {}
            Some(Err(error)) => return Err(error),
            None => return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)),
        }
    }
    Ok(found)
}

/// How long to wait before a topic is looked for again, in microseconds.
const LOOK_AGAIN: i64 = 200_000;

fn matches_whole(pattern: &Regex, name: &str) -> bool {
    pattern.find(name).is_some_and(|found| found.range() == (0..name.len()))
}

#[async_trait]
impl SourceBinding for KafkaSource {
    fn describe(&self) -> String {
        let topics = match &self.topics {
            Topics::One(topic) => format!("topic {topic}"),
            Topics::Pattern(pattern) => format!("topics {pattern}"),
        };
        format!("{}, {topics} ({})", self.cluster.name(), self.format.name())
    }

    fn bounded(&self) -> bool {
        self.properties.bounded.is_some()
    }

    fn gives_kinds(&self) -> bool {
        self.format.has_changes() || self.deletes()
    }

    fn as_table(&self, key: &[String], from_latest: bool) -> Option<Arc<dyn SourceBinding>> {
        let mut table = Self { key: key.to_vec(), ..self.clone() };
        if from_latest {
            table.properties.startup = Some(Startup::Latest);
        }
        Some(Arc::new(table))
    }

    fn system_columns(&self) -> Vec<Field> {
        System::fields()
    }

    async fn infer_schema(&self) -> Result<SchemaRef> {
        if let Some(known) = self.format.infer(&self.topics.shown()).await? {
            return Ok(known);
        }
        let consumer = self.consumer()?;
        let found = self.wait(&consumer, &Clock::system()).await?;
        let wanted = self.format.sample_records();
        let sample = consumer.ask("reading", "some records", move |consumer| sample(consumer, &found, wanted)).await?;
        if sample.is_empty() {
            let message = format!("{} has no records yet that could tell its columns", self.topics.shown());
            return Err(ConnectorError::new(ErrorKind::NotFound, "finding the columns", message)
                .advise("declare the columns: CREATE STREAM name (column TYPE, …) WITH (…)"));
        }
        self.format.infer_of(&sample.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn StreamSource>> {
        let (system, columns) = split(&request.columns, &request.declared);
        let values = self.format.decoder(&request, columns, &self.topics.shown()).await?;
        let mut decoder = KafkaDecoder::new(values, system, request.columns.clone())?;
        if self.deletes() {
            decoder = decoder.with_deletes(self.deletes_of(&request).await?);
        }
        let decoder = Arc::new(decoder);
        let consumer = self.consumer()?;
        let found = self.wait(&consumer, &request.clock).await?;
        let events = Events::serve(&consumer)?;
        let partitions = self.bounds(&consumer, found, self.startup()).await?;
        // A stream that ends has the partitions that were there when it began.
        let discovered = (!self.bounded()).then(|| self.discover(&consumer, &partitions, &request.clock));
        let source = self.clone();
        Ok(Box::new(KafkaStream { source, request, decoder, consumer, partitions, discovered, _events: events }))
    }

    async fn open_table(&self, _request: SourceRequest) -> Result<Arc<dyn TableDataSource>> {
        let message = "a table over a topic is declared: its records are read on as they come";
        Err(ConnectorError::new(ErrorKind::Unsupported, "opening a table", message)
            .advise("CREATE TABLE name (…, PRIMARY KEY (…)) WITH (connector = 'kafka', …)"))
    }
}

impl KafkaSource {
    /// Finds out where partitions begin and end. All of it is known before the first record is read, so that nothing that comes
    /// meanwhile is lost or read by chance.
    async fn bounds(
        &self,
        consumer: &Consuming,
        found: Vec<(Arc<str>, i32)>,
        startup: Startup,
    ) -> Result<Vec<Partition>> {
        let starts = match startup {
            Startup::Committed => asked(consumer, &found, Asked::Committed).await?,
            Startup::Timestamp(time) => asked(consumer, &found, Asked::Time(time)).await?,
            Startup::Earliest | Startup::Latest => BTreeMap::new(),
        };
        let ends = match self.properties.bounded {
            Some(Bounded::Timestamp(time)) => asked(consumer, &found, Asked::Time(time)).await?,
            _ => BTreeMap::new(),
        };
        let mut partitions = Vec::with_capacity(found.len());
        for (topic, number) in found {
            let there = consumer.bounds(&topic, number).await?;
            let place = (Arc::clone(&topic), number);
            let start = match startup {
                Startup::Earliest => there.0,
                // A time behind the last record is the end that stands now.
                Startup::Latest | Startup::Timestamp(_) => starts.get(&place).copied().unwrap_or(there.1),
                Startup::Committed => match (starts.get(&place).copied(), self.properties.reset) {
                    (Some(committed), _) => committed.max(there.0),
                    (None, Some(Reset::Latest)) => there.1,
                    (None, _) => there.0,
                },
            };
            let end = self.properties.bounded.map(|_| ends.get(&place).copied().unwrap_or(there.1));
            partitions.push(Partition { topic, number, start, there, end });
        }
        Ok(partitions)
    }

    /// Whether a record without a value deletes the row of its key. Records that say by themselves what happened to a row have said
    /// that before.
    fn deletes(&self) -> bool {
        !self.key.is_empty() && !self.format.has_changes()
    }

    /// What makes rows of records that delete: their keys are the columns of the table's.
    async fn deletes_of(&self, request: &SourceRequest) -> Result<Deletes> {
        let is_key = |name: &str| self.key.iter().any(|key| key.eq_ignore_ascii_case(name));
        let declared = request.declared.fields().iter().filter(|field| is_key(field.name())).cloned();
        let declared = Arc::new(Schema::new(declared.collect::<Vec<_>>()));
        let mut places = Vec::new();
        let mut columns = Vec::new();
        for (at, column) in request.columns.iter().enumerate() {
            match column.path.as_slice() {
                [name] if is_key(name) && !column.raw => {
                    places.push(at);
                    columns.push(column.clone());
                }
                _ if !column.field.is_nullable() => {
                    let message = format!(
                        "the column {} is NOT NULL, and a record without a value, which deletes, has nothing but its key",
                        column.field.name()
                    );
                    return Err(ConnectorError::new(ErrorKind::Configuration, "opening a table", message)
                        .advise("declare the column without NOT NULL"));
                }
                _ => {}
            }
        }
        let keys = self.format.keys(request, &declared, columns, &self.topics.shown()).await?;
        Ok(Deletes { keys, places })
    }

    fn startup(&self) -> Startup {
        self.properties.startup.unwrap_or(match self.properties.reset {
            Some(Reset::Latest) => Startup::Latest,
            Some(Reset::Earliest) | None => Startup::Earliest,
        })
    }
}

/// A thread that takes what librdkafka says of its connections, as long as this lives.
struct Events(Arc<AtomicBool>);

impl Events {
    fn serve(consumer: &Consuming) -> Result<Self> {
        let (over, client) = (Arc::new(AtomicBool::new(false)), Arc::clone(&consumer.client));
        let told = Arc::clone(&over);
        let serve = move || {
            while !told.load(Ordering::Relaxed) {
                // Records come through the queues of their partitions.
                drop(client.poll(Duration::from_millis(200)));
            }
        };
        let thread = std::thread::Builder::new().name("kafka events".to_owned()).spawn(serve);
        thread.map_err(|error| ConnectorError::from_io(error, "connecting", "a thread"))?;
        Ok(Self(over))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A partition with what was found when it was.
struct Partition {
    topic: Arc<str>,
    number: i32,
    /// Where it is begun without a saved position.
    start: i64,
    /// The first offset that is there, and the one behind the last that can be read.
    there: (i64, i64),
    /// The first offset that is not wanted any more.
    end: Option<i64>,
}

impl Partition {
    fn name(&self) -> String {
        format!("{}/{}", self.topic, self.number)
    }

    fn place(&self) -> (Arc<str>, i32) {
        (Arc::clone(&self.topic), self.number)
    }
}

struct KafkaStream {
    source: KafkaSource,
    request: SourceRequest,
    decoder: Arc<KafkaDecoder>,
    consumer: Consuming,
    partitions: Vec<Partition>,
    discovered: Option<Discovered>,
    _events: Events,
}

/// Partitions that were not there when the job started, as they are found.
struct Discovered {
    partitions: mpsc::UnboundedReceiver<Vec<Partition>>,
    task: AbortHandle,
}

impl Drop for Discovered {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl KafkaSource {
    /// Looks for partitions other than those that are known, as long as somebody wants to hear of them.
    fn discover(&self, consumer: &Consuming, known: &[Partition], clock: &Clock) -> Discovered {
        let (sender, partitions) = mpsc::unbounded_channel();
        let (source, consumer, clock) = (self.clone(), consumer.clone(), clock.clone());
        let mut known = known.iter().map(Partition::place).collect::<BTreeSet<_>>();
        let task = tokio::spawn(async move {
            loop {
                clock.sleep(source.properties.discovery.to_std()).await;
                let found = async {
                    let mut found = source.partitions(&consumer).await?;
                    found.retain(|place| !known.contains(place));
                    // All of what is in them came while the job ran.
                    source.bounds(&consumer, found, Startup::Earliest).await
                };
                match found.await {
                    Ok(found) if found.is_empty() => {}
                    Ok(found) => {
                        known.extend(found.iter().map(Partition::place));
                        if sender.send(found).is_err() {
                            return;
                        }
                    }
                    // Readers say what is wrong, if it is.
                    Err(error) => tracing::info!(%error, "the partitions cannot be asked for"),
                }
            }
        });
        Discovered { partitions, task: task.abort_handle() }
    }
}

impl KafkaStream {
    /// The offset at which a partition is read on that was read to `from` before.
    async fn resumed(&self, partition: &Partition, from: i64) -> Result<i64> {
        let (first, behind) = self.consumer.bounds(&partition.topic, partition.number).await?;
        if (first..=behind).contains(&from) {
            return Ok(from);
        }
        match self.source.properties.lost {
            OffsetLost::Earliest => Ok(first),
            OffsetLost::Latest => Ok(behind),
            OffsetLost::Fail => {
                let message = format!(
                    "{}, partition {}: offset {from} of the checkpoint is no longer there; there are those from {first} to before {behind}",
                    topic_name(&partition.topic),
                    partition.number
                );
                Err(ConnectorError::new(ErrorKind::OffsetLost, "opening a partition", message).advise(
                    "'offset.lost' = 'earliest' goes on at the first that is there, 'latest' behind the last; what is between is not read",
                ))
            }
        }
    }
}

/// Offsets that the cluster knows for partitions; those without one are not among them.
async fn asked(
    consumer: &Consuming,
    found: &[(Arc<str>, i32)],
    asked: Asked,
) -> Result<BTreeMap<(Arc<str>, i32), i64>> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in found {
        let offset = match asked {
            Asked::Committed => Offset::Invalid,
            Asked::Time(micros) => Offset::Offset(micros.div_euclid(1_000) + i64::from(micros.rem_euclid(1_000) > 0)),
        };
        list.add_partition_offset(topic, *partition, offset)
            .map_err(|error| consumer.failed("asking for offsets", &topic_name(topic), &error))?;
    }
    let answered = match asked {
        Asked::Committed => consumer.committed(list).await?,
        Asked::Time(_) => consumer.at_times(list).await?,
    };
    let mut offsets = BTreeMap::new();
    for element in answered.elements() {
        if let Err(error) = element.error() {
            return Err(consumer.failed("asking for offsets", &topic_name(element.topic()), &error));
        }
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert((Arc::from(element.topic()), element.partition()), offset);
        }
    }
    Ok(offsets)
}

/// What offsets are asked for by.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Committed,
    /// In microseconds since 1970.
    Time(i64),
}

#[async_trait]
impl StreamSource for KafkaStream {
    async fn partitions(&mut self) -> Result<Vec<PartitionInfo>> {
        let info = |(number, partition): (usize, &Partition)| PartitionInfo {
            number: number as u32,
            name: partition.name(),
            start: Some(Position::Offset(partition.start)),
        };
        Ok(self.partitions.iter().enumerate().map(info).collect())
    }

    async fn changed(&mut self) -> Result<()> {
        let found = match &mut self.discovered {
            Some(discovered) => discovered.partitions.recv().await,
            None => None,
        };
        match found {
            Some(found) => {
                self.partitions.extend(found);
                Ok(())
            }
            None => std::future::pending().await,
        }
    }

    async fn reader(&mut self, number: u32, from: Option<&Position>) -> Result<Box<dyn PartitionReader>> {
        let Some(partition) = self.partitions.get(number as usize) else {
            let message = format!("there is no partition {number}");
            return Err(ConnectorError::new(ErrorKind::Configuration, "opening a partition", message));
        };
        let from = match from {
            None => partition.start,
            Some(Position::Offset(from)) => self.resumed(partition, *from).await?,
            Some(Position::Finished) => return Ok(Box::new(Reader::finished())),
            Some(other) => {
                let message = format!("{other:?} is no position of a topic");
                return Err(ConnectorError::new(ErrorKind::Configuration, "opening a partition", message));
            }
        };
        let what = topic_name(&partition.topic);
        // Before the partition is given to the consumer, so that no record of it comes another way.
        let queue = self.consumer.client.split_partition_queue(&partition.topic, partition.number);
        let queue = queue.ok_or_else(|| {
            ConnectorError::new(ErrorKind::NotFound, "opening a partition", format!("{what} has no partition {number}"))
        })?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(from))
            .and_then(|()| self.consumer.client.incremental_assign(&list))
            .map_err(|error| self.consumer.failed("opening a partition", &what, &error))?;
        let reading = Reading {
            topic: Arc::clone(&partition.topic),
            partition: partition.number,
            source: self.request.ordinal,
            number,
            from,
            seen: partition.there.1,
            end: partition.end,
            wanted: self.decoder.wanted(),
        };
        Ok(Box::new(Reader::start(self.consumer.clone(), queue, reading, self.decoder.schemas())?))
    }

    fn decoder(&self) -> Arc<dyn ChunkDecoder> {
        Arc::clone(&self.decoder) as Arc<dyn ChunkDecoder>
    }
}
