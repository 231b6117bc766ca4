//! The transactions of a job: the commit of each is the commit point of a checkpoint, and carries its number.
//!
//! A job has two transactional producers, and epoch n is written by that of n mod 2: so the next epoch begins while the last one is
//! committed. With each transaction an offset is committed for a group of the job's own, whose metadata is the checkpoint's number:
//! a read of it says which checkpoint was committed last. See "Transactions in Apache Kafka" (KIP-98) and, for fencing by the producer's
//! epoch, KIP-360.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;
use rdkafka::{Offset, TopicPartitionList};
use velo_core::connector::{CheckpointId, TransactionalSystem, Transactions, TransactionsRequest};
use velo_core::error::ErrorKind;
use velo_core::{Clock, ConnectorError, Result};

use crate::cluster::{Client, Cluster, Producer};
use crate::properties::KafkaSinkProperties;
use crate::topics;

/// The cluster of a sink, for the transactions of its job.
#[derive(Debug, Clone)]
pub(crate) struct KafkaSystem {
    pub(crate) cluster: Cluster,
    /// The topic whose partition 0 has the offsets that carry the numbers of checkpoints.
    pub(crate) topic: String,
    /// What is said of that topic, and what stands before the job's id.
    pub(crate) properties: KafkaSinkProperties,
}

#[async_trait]
impl TransactionalSystem for KafkaSystem {
    fn name(&self) -> String {
        self.cluster.name()
    }

    async fn connect(&self, request: TransactionsRequest) -> Result<Arc<dyn Transactions>> {
        let id = format!("{}.{}", self.properties.prefix, request.job);
        let (system, open_for, clock) = (self.clone(), request.open_for, request.clock);
        Ok(Arc::new(KafkaTransactions { system, id, open_for, clock, producers: Mutex::default() }))
    }
}

/// The transactions of one job in one cluster.
pub(crate) struct KafkaTransactions {
    system: KafkaSystem,
    /// What the ids of its producers begin with; also the group that has the numbers of its checkpoints.
    id: String,
    /// How long a transaction can stay open.
    open_for: Duration,
    clock: Clock,
    producers: Mutex<Option<Producers>>,
}

impl fmt::Debug for KafkaTransactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transactions {} in {}", self.id, self.system.cluster.name())
    }
}

/// The two producers of a job.
#[derive(Clone)]
struct Producers {
    each: [Client<Producer>; 2],
    /// The group that has the numbers of checkpoints, as a transaction names it.
    group: Arc<ConsumerGroupMetadata>,
    /// The epoch that each has a transaction open for.
    open: [Option<CheckpointId>; 2],
    /// The epoch that is written now.
    current: Option<CheckpointId>,
}

fn of(checkpoint: CheckpointId) -> usize {
    (checkpoint.0 % 2) as usize
}

impl KafkaTransactions {
    fn producers(&self) -> MutexGuard<'_, Option<Producers>> {
        self.producers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The producer of the epoch that is written now.
    pub(crate) fn current(&self) -> Result<Client<Producer>> {
        let producers = self.producers();
        let current = producers.as_ref().and_then(|producers| Some(producers.each[of(producers.current?)].clone()));
        current.ok_or_else(|| no_transaction("no transaction has begun"))
    }

    fn change<R>(&self, change: impl FnOnce(&mut Producers) -> R) -> Result<R> {
        self.producers()
            .as_mut()
            .map(change)
            .ok_or_else(|| no_transaction("the job's transactions were not taken over"))
    }

    /// The partition whose committed offset carries a number.
    fn marker(&self, checkpoint: Option<CheckpointId>) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        let offset = checkpoint
            .map_or(Offset::Invalid, |checkpoint| Offset::Offset(i64::try_from(checkpoint.0).unwrap_or(i64::MAX)));
        let added = list.add_partition_offset(&self.system.topic, 0, offset);
        added.map_err(|error| crate::error::failed("committing", &self.system.topic, &error))?;
        if let (Some(checkpoint), Some(mut element)) = (checkpoint, list.find_partition(&self.system.topic, 0)) {
            element.set_metadata(checkpoint.to_string());
        }
        Ok(list)
    }

    /// Asks again as long as the answer is that it may be given later, and nobody else has taken over.
    async fn insist<R: Send + 'static>(
        &self,
        producer: &Client<Producer>,
        operation: &'static str,
        step: impl Fn(&Producer, Duration) -> Result<R, KafkaError> + Clone + Send + 'static,
    ) -> Result<R> {
        let what = format!("the transactions {}", self.id);
        let until = self.clock.after(self.open_for);
        let answer = producer.step((operation, &what), (&self.clock, until), step).await;
        // The cluster gives up a transaction that was open for too long, and fences a producer for a new one of its id: both look the same
        // from here. The next run begins with the question who runs the job.
        answer.map_err(ConnectorError::temporary)
    }
}

fn no_transaction(why: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::Io, "writing", why)
}

#[async_trait]
impl Transactions for KafkaTransactions {
    async fn take_over(&self) -> Result<Option<CheckpointId>> {
        // Offsets are committed for partitions that are there, and the first of them before the sinks open.
        topics::see_to(&self.system.cluster, &self.system.topic, &self.system.properties).await?;
        let millis = self.open_for.as_millis().min(i32::MAX as u128).to_string();
        let made = |number: usize| {
            let id = format!("{}-{number}", self.id);
            self.system.cluster.producer(&[("transactional.id", &id), ("transaction.timeout.ms", &millis)])
        };
        let each = [made(0)?, made(1)?];
        for producer in &each {
            // Fences the older self, aborts what that left open, and waits for a commit that had begun.
            self.insist(producer, "taking over", Producer::init_transactions).await?;
        }
        // Only now: a commit of the older self cannot end later any more.
        let reader = self.system.cluster.consumer(&[("group.id", &self.id), ("isolation.level", "read_committed")])?;
        let marker = self.marker(None)?;
        let committed = reader.committed(marker).await;
        let group = reader.client.group_metadata().map(Arc::new);
        reader.close().await;
        let (committed, group) = (committed?, group.ok_or_else(|| no_transaction("a group without metadata"))?);
        *self.producers() = Some(Producers { each, group, open: [None; 2], current: None });
        let element = committed.find_partition(&self.system.topic, 0);
        let Some(element) = element.filter(|element| matches!(element.offset(), Offset::Offset(_))) else {
            return Ok(None);
        };
        let number = element.metadata().parse().map_err(|_| {
            let message = format!(
                "the group {} has committed an offset with the metadata '{}', and not the number of a checkpoint",
                self.id,
                element.metadata()
            );
            ConnectorError::new(ErrorKind::Configuration, "taking over", message).advise(
                "nobody else may commit offsets for the group of a job; choose another 'transactional.id.prefix'",
            )
        })?;
        Ok(Some(CheckpointId(number)))
    }

    async fn begin(&self, checkpoint: CheckpointId) -> Result<()> {
        let producer = self.change(|producers| producers.each[of(checkpoint)].clone())?;
        self.insist(&producer, "beginning a transaction", |producer, _| producer.begin_transaction()).await?;
        self.change(|producers| {
            producers.open[of(checkpoint)] = Some(checkpoint);
            producers.current = Some(checkpoint);
        })
    }

    async fn commit(&self, checkpoint: CheckpointId) -> Result<()> {
        let (producer, group, open) = self.change(|producers| {
            let at = of(checkpoint);
            (producers.each[at].clone(), Arc::clone(&producers.group), producers.open[at])
        })?;
        if open != Some(checkpoint) {
            self.insist(&producer, "beginning a transaction", |producer, _| producer.begin_transaction()).await?;
        }
        producer.flush().await.map_err(ConnectorError::temporary)?;
        let marker = Arc::new(Marker(self.marker(Some(checkpoint))?));
        self.insist(&producer, "committing the number of a checkpoint", move |producer, within| {
            producer.send_offsets_to_transaction(&marker.0, &group, within)
        })
        .await?;
        // Of an error the next run finds out whether it was committed all the same.
        self.insist(&producer, "committing", Producer::commit_transaction).await?;
        self.change(|producers| producers.open[of(checkpoint)] = None)
    }
}

/// A list that threads share; nobody changes it.
struct Marker(TopicPartitionList);
