//! Records sent back to where they were read: in one transaction, so that whoever reads committed records sees all of them or none.

use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};
use velo_core::connector::{Replay, ReplayedRecord};
use velo_core::error::ErrorKind;
use velo_core::{Clock, ConnectorError, Place, Result};

use crate::cluster::{Client, Cluster, FULL, Producer, topic_name};
use crate::source::Topics;

/// How long the transaction may stay open: as long as nobody sees what is sent to the topic behind it, should this process be killed.
const OPEN: Duration = Duration::from_secs(120);

/// The way back into the topics of a source.
pub(crate) struct KafkaReplay {
    topics: Topics,
    producer: Client<Producer>,
    clock: Clock,
}

impl KafkaReplay {
    /// Opens it. Who replays into the same topics meanwhile is fenced, and sends nothing.
    pub(crate) async fn open(cluster: &Cluster, topics: &Topics) -> Result<Self> {
        // Always the same, so that a transaction which a process left open that was killed is aborted by the next one.
        let id = format!("velo-replay.{}", topics.shown());
        let millis = OPEN.as_millis().to_string();
        let set = [("transactional.id", id.as_str()), ("transaction.timeout.ms", &millis)];
        let producer = cluster.that_writes().producer(&set)?;
        let replay = Self { topics: topics.clone(), producer, clock: Clock::system() };
        replay.insist("beginning a transaction", Producer::init_transactions).await?;
        replay.insist("beginning a transaction", |producer, _| producer.begin_transaction()).await?;
        Ok(replay)
    }

    /// Asks again as long as the answer is that it may be given later.
    async fn insist<R: Send + 'static>(
        &self,
        operation: &'static str,
        step: impl Fn(&Producer, Duration) -> Result<R, KafkaError> + Clone + Send + 'static,
    ) -> Result<R> {
        self.producer.step((operation, &self.topics.shown()), (&self.clock, self.clock.after(OPEN)), step).await
    }
}

#[async_trait]
impl Replay for KafkaReplay {
    async fn send(&mut self, record: ReplayedRecord) -> Result<()> {
        let wrong = |message: String| ConnectorError::new(ErrorKind::Configuration, "replaying", message);
        let Place::Offset { topic, partition, .. } = &record.place else {
            return Err(wrong(format!("{} is no place of a topic", record.place)));
        };
        if !self.topics.have(topic) {
            let message = format!("the record at {} is of a topic that the source does not read", record.place);
            return Err(wrong(message).advise("use the script that wrote the dead letter"));
        }
        self.producer.delivered()?;
        let attributes = &record.attributes;
        // The partition that it had: whatever chose that, all records of its key are there.
        let mut made = BaseRecord::<[u8], [u8]>::to(topic).partition(*partition);
        if attributes.has_value {
            made = made.payload(&record.bytes);
        }
        if let Some(key) = &attributes.key {
            made = made.key(key);
        }
        if !attributes.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(attributes.headers.len());
            let header = |headers: OwnedHeaders, (key, value): &(String, Option<bytes::Bytes>)| {
                headers.insert(Header { key, value: value.as_deref() })
            };
            made = made.headers(attributes.headers.iter().fold(headers, header));
        }
        // What is sent with 0 gets the time of sending.
        if let Some(time) = attributes.time.map(|time| time.div_euclid(1_000)).filter(|time| *time > 0) {
            made = made.timestamp(time);
        }
        while let Err((error, back)) = self.producer.client.send(made) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(self.producer.failed("replaying", &topic_name(topic), &error));
            }
            self.clock.sleep(FULL).await;
            self.producer.delivered()?;
            made = back;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        self.producer.flush().await?;
        self.insist("committing", Producer::commit_transaction).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.insist("aborting", Producer::abort_transaction).await
    }
}
