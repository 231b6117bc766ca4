//! A topic as a running stream: its partitions are given to readers, looked for while the job runs, and their positions told to the
//! cluster.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use velo_core::connector::{ChunkDecoder, PartitionInfo, PartitionReader, SourceBinding, SourceRequest, StreamSource};
use velo_core::error::ErrorKind;
use velo_core::offset::{Position, SourceOffset};
use velo_core::{Clock, ConnectorError, Result};

use crate::cluster::topic_name;
use crate::decode::KafkaDecoder;
use crate::lag::Lags;
use crate::properties::Startup;
use crate::reader::{Reader, Reading};
use crate::source::{Consuming, KafkaSource};

/// A thread that takes what librdkafka says of its connections and of what is there, as long as this lives.
struct Events(Arc<AtomicBool>);

impl Events {
    fn serve(consumer: &Consuming, lags: Arc<Lags>) -> Result<Self> {
        let (over, client) = (Arc::new(AtomicBool::new(false)), Arc::clone(&consumer.client));
        let said = consumer.said.clone();
        let told = Arc::clone(&over);
        let serve = move || {
            while !told.load(Ordering::Relaxed) {
                // Records come through the queues of their partitions.
                drop(client.poll(Duration::from_millis(200)));
                said.ends().iter().for_each(|ends| lags.compare(ends));
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
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) number: i32,
    /// Where it is begun without a saved position.
    pub(crate) start: i64,
    /// The first offset that is there, and the one behind the last that can be read.
    pub(crate) there: (i64, i64),
    /// The first offset that is not wanted any more.
    pub(crate) end: Option<i64>,
}

impl Partition {
    fn name(&self) -> String {
        format!("{}/{}", self.topic, self.number)
    }

    fn place(&self) -> (Arc<str>, i32) {
        (Arc::clone(&self.topic), self.number)
    }
}

/// The partitions that are read.
pub(crate) struct KafkaStream {
    source: KafkaSource,
    request: SourceRequest,
    decoder: Arc<KafkaDecoder>,
    consumer: Consuming,
    partitions: Vec<Partition>,
    discovered: Option<Discovered>,
    lags: Arc<Lags>,
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
    /// Reads `partitions`, and those that come later, where the stream does not end: one that does has what was there when it began.
    pub(crate) fn new(
        source: KafkaSource,
        request: SourceRequest,
        decoder: Arc<KafkaDecoder>,
        consumer: Consuming,
        partitions: Vec<Partition>,
    ) -> Result<Self> {
        let lags = Arc::new(Lags::new(Arc::clone(&request.progress), source.properties.isolation));
        let events = Events::serve(&consumer, Arc::clone(&lags))?;
        let discovered = (!source.bounded()).then(|| source.discover(&consumer, &partitions, &request.clock));
        Ok(Self { source, request, decoder, consumer, partitions, discovered, lags, _events: events })
    }
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
            // It was reached before the stream was opened, so what was there then decides; what is gone since is told when it is read.
            Some(Position::Offset(from)) => {
                self.source.properties.lost.goes_on((&partition.topic, partition.number), *from, partition.there)?
            }
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
            created_times: self.source.created_times,
            lost: self.source.properties.lost,
            next: self.lags.of(&partition.topic, partition.number, from),
        };
        Ok(Box::new(Reader::start(self.consumer.clone(), queue, reading, self.decoder.schemas())?))
    }

    fn decoder(&self) -> Arc<dyn ChunkDecoder> {
        Arc::clone(&self.decoder) as Arc<dyn ChunkDecoder>
    }

    fn checkpointed(&mut self, offset: &SourceOffset) {
        if self.source.properties.group.is_none() {
            return;
        }
        let mut list = TopicPartitionList::new();
        for partition in &self.partitions {
            if let Some(Position::Offset(read)) = offset.partitions.get(&partition.name()) {
                // There are no other mistakes than an offset below 0.
                drop(list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(*read)));
            }
        }
        if list.count() == 0 {
            return;
        }
        // Members of the group, where it has some, are the only ones who may say where it is.
        if let Err(error) = self.consumer.client.commit(&list, CommitMode::Async) {
            tracing::info!(target: "kafka", %error, "the group's offsets are not committed");
        }
    }
}
