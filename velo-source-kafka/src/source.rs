//! A topic as a source or table: which partitions there are, where they begin and end, and what makes rows of their records.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use regex::Regex;
use velo_core::connector::{Replay, SourceBinding, SourceRequest, StreamSource, TableDataSource};
use velo_core::error::ErrorKind;
use velo_core::properties::PropertyError;
use velo_core::{Clock, ConnectorError, Result};
use velo_format::system::SystemColumns;

use crate::cluster::{Client, Cluster, HEARD, REQUEST, Said, topic_name};
use crate::decode::{Deletes, KafkaDecoder, System};
use crate::error::may_pass;
use crate::formats::SourceFormat;
use crate::keyed::{KeyColumns, Split, no_column, place_of};
use crate::properties::{Bounded, KafkaSourceProperties, Reset, Startup, ValueFields};
use crate::replay::KafkaReplay;
use crate::stream::{KafkaStream, Partition};

/// A consumer that is given its partitions.
pub(crate) type Consuming = Client<BaseConsumer<Said>>;

/// Which topics are read.
#[derive(Debug, Clone)]
pub(crate) enum Topics {
    /// This one.
    One(String),
    /// All that have such names.
    Pattern(Regex),
}

impl Topics {
    /// Whether a topic of this name is one of them.
    pub(crate) fn have(&self, name: &str) -> bool {
        match self {
            Self::One(topic) => topic == name,
            Self::Pattern(pattern) => matches_whole(pattern, name),
        }
    }

    pub(crate) fn shown(&self) -> String {
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
    /// The declared columns that are in the keys of records.
    pub(crate) key_fields: Vec<String>,
    /// Whether records must have the times at which they were created.
    pub(crate) created_times: bool,
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
            // Where partitions end is said with it.
            ("statistics.interval.ms", "1000"),
        ])
    }

    /// The partitions that are there now, by topic; waits for a topic as long as `topic.wait.timeout` says, and else a moment.
    async fn wait(&self, consumer: &Consuming, clock: &Clock) -> Result<Vec<(Arc<str>, i32)>> {
        let until = clock.after(self.properties.wait.map_or(HEARD, |wait| wait.to_std()));
        let mut told = self.properties.wait.is_none();
        loop {
            let found = self.partitions(consumer).await?;
            if !found.is_empty() || matches!(self.topics, Topics::Pattern(_)) {
                return Ok(found);
            }
            let now = clock.now();
            if now >= until {
                return Err(self.missing());
            }
            if !std::mem::replace(&mut told, true) {
                tracing::info!(topic = self.topics.shown(), "waiting for a topic");
            }
            clock.sleep_until(now.saturating_add(LOOK_AGAIN).min(until)).await;
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

    /// The partitions that are there now, by topic.
    pub(crate) async fn partitions(&self, consumer: &Consuming) -> Result<Vec<(Arc<str>, i32)>> {
        let metadata = match &self.topics {
            Topics::One(topic) => consumer.metadata(Some(topic)).await?,
            Topics::Pattern(_) => consumer.metadata(None).await?,
        };
        let mut found = Vec::new();
        for topic in metadata.topics() {
            if self.topics.have(topic.name()) {
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

    fn by_created_times(&self) -> Option<Arc<dyn SourceBinding>> {
        // The versions of a table are those of an event time that is asked for.
        let is_stream = self.key.is_empty();
        is_stream.then(|| Arc::new(Self { created_times: true, ..self.clone() }) as Arc<dyn SourceBinding>)
    }

    fn system_columns(&self) -> Vec<Field> {
        System::fields()
    }

    fn check_columns(&self, declared: &Schema) -> Vec<PropertyError> {
        let wrong = |key: &str, message: String, help: &str| {
            let (key, help) = (key.to_owned(), Some(help.to_owned()));
            PropertyError { key, origin: None, message, help }
        };
        let mut errors = Vec::new();
        for name in self.key_fields.iter().filter(|name| place_of(declared, name).is_none()) {
            let help = "name columns that are declared; they are read from the keys of the records";
            errors.push(wrong("key.fields", no_column(declared, "key.fields", name), help));
        }
        if self.key_fields.is_empty() && self.format.has_key_format() && !self.deletes() {
            let message = "'key.format' means nothing here: no column is read from the keys".to_owned();
            errors.push(wrong("key.format", message, "name the columns that are in the keys: 'key.fields' = '…'"));
        }
        if self.key_fields.is_empty() && self.properties.value_fields == ValueFields::ExceptKey {
            let message = "'value.fields.include' = 'except_key' means nothing without 'key.fields'".to_owned();
            errors.push(wrong(
                "value.fields.include",
                message,
                "name the columns that are in the keys, or leave it out",
            ));
        }
        let not_in_key = |name: &&String| !self.key_fields.iter().any(|key| key.eq_ignore_ascii_case(name));
        let outside = self.key.iter().find(not_in_key).filter(|_| self.deletes() && !self.key_fields.is_empty());
        if let Some(outside) = outside {
            let message = format!(
                "the primary key has the column {outside}, which 'key.fields' does not name: a record without a value, which deletes, has nothing but its key"
            );
            errors.push(wrong("key.fields", message, "name all columns of the primary key"));
        }
        errors
    }

    async fn infer_schema(&self) -> Result<SchemaRef> {
        let consumer = self.consumer()?;
        // A schema in a file, or of a subject that is named, needs no cluster.
        let found = match &self.topics {
            Topics::Pattern(_) if self.format.columns_go_by_topic() => self.partitions(&consumer).await?,
            Topics::Pattern(_) | Topics::One(_) => Vec::new(),
        };
        if let Some(known) = self.format.infer(self.one_topic(&found)).await? {
            return Ok(known);
        }
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
        let consumer = self.consumer()?;
        let found = self.wait(&consumer, &request.clock).await?;
        let decoder = Arc::new(self.decoder(&request, self.one_topic(&found)).await?);
        let partitions = self.bounds(&consumer, found, self.startup()).await?;
        Ok(Box::new(KafkaStream::new(self.clone(), request, decoder, consumer, partitions)?))
    }

    async fn open_table(&self, _request: SourceRequest) -> Result<Arc<dyn TableDataSource>> {
        let message = "a table over a topic is declared: its records are read on as they come";
        Err(ConnectorError::new(ErrorKind::Unsupported, "opening a table", message)
            .advise("CREATE TABLE name (…, PRIMARY KEY (…)) WITH (connector = 'kafka', …)"))
    }

    async fn open_replay(&self) -> Result<Option<Box<dyn Replay>>> {
        Ok(Some(Box::new(KafkaReplay::open(&self.cluster, &self.topics).await?)))
    }
}

impl KafkaSource {
    /// Finds out where partitions begin and end. All of it is known before the first record is read, so that nothing that comes
    /// meanwhile is lost or read by chance.
    pub(crate) async fn bounds(
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
        let bounds = consumer.bounds(found.clone()).await?;
        let mut partitions = Vec::with_capacity(found.len());
        for ((topic, number), there) in found.into_iter().zip(bounds) {
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

    /// The topic after which the subjects of a registry are named: of several the first that is there, as they are read alike.
    fn one_topic<'a>(&'a self, found: &'a [(Arc<str>, i32)]) -> Option<&'a str> {
        match &self.topics {
            Topics::One(topic) => Some(topic),
            Topics::Pattern(_) => found.first().map(|(topic, _)| &**topic),
        }
    }

    /// What makes rows of records: of their values and keys, and of those that delete.
    async fn decoder(&self, request: &SourceRequest, topic: Option<&str>) -> Result<KafkaDecoder> {
        let (system, columns) = SystemColumns::split(&request.columns, &request.declared)?;
        let in_values = self.properties.value_fields == ValueFields::All;
        let split = Split::new(&request.declared, &self.key_fields, in_values);
        let (mut places, mut of_keys, mut of_values) = (Vec::new(), Vec::new(), Vec::new());
        for (at, column) in columns.into_iter().enumerate() {
            if split.is_key(&column) {
                places.push(at);
                of_keys.push(column);
            } else {
                of_values.push(column);
            }
        }
        let values = self.format.values(request, &split.values, of_values, topic).await?;
        let mut decoder = KafkaDecoder::new(values, system, request.keep_bytes);
        if !places.is_empty() {
            let schema = of_keys.iter().map(|column| Arc::clone(&column.field)).collect::<Vec<_>>();
            let schema = Arc::new(Schema::new(schema));
            let keys = self.format.keys(request, &split.keys, of_keys, topic).await?;
            decoder = decoder.with_keys(KeyColumns { keys, places, schema });
        }
        if self.deletes() {
            decoder = decoder.with_deletes(self.deletes_of(request, topic).await?);
        }
        Ok(decoder)
    }

    /// What makes rows of records that delete: their keys are the columns of the table's.
    async fn deletes_of(&self, request: &SourceRequest, topic: Option<&str>) -> Result<Deletes> {
        let key = if self.key_fields.is_empty() { &self.key } else { &self.key_fields };
        let split = Split::new(&request.declared, key, true);
        let mut places = Vec::new();
        let mut columns = Vec::new();
        for (at, column) in request.columns.iter().enumerate() {
            match column.path.as_slice() {
                [_] if split.is_key(column) && !column.raw => {
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
        let keys = self.format.keys(request, &split.keys, columns, topic).await?;
        Ok(Deletes { keys, places })
    }

    fn startup(&self) -> Startup {
        self.properties.startup.unwrap_or(match self.properties.reset {
            Some(Reset::Latest) => Startup::Latest,
            Some(Reset::Earliest) | None => Startup::Earliest,
        })
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
