//! The thread that reads a partition: what librdkafka has ready becomes a chunk at once, so that a record waits for no other.
//!
//! A full channel stops the thread, the partition's queue in librdkafka fills up, and that stops to fetch: so a pipeline that is behind
//! holds the partition back. Dropping the [`Reader`] ends the thread.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, Timestamp};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use velo_core::connector::{Chunk, Fetch, PartitionReader};
use velo_core::error::ErrorKind;
use velo_core::offset::Position;
use velo_core::place::{Origin, Place, Positions, Resource};
use velo_core::{ConnectorError, Result};
use velo_format::records::Schemas;
use velo_format::records::confluent::{schema_id, schema_ids};

use crate::cluster::{AGAIN, Client, Said, bounds_of};
use crate::decode::NamedSchemas;
use crate::error::{is_lost, may_pass};
use crate::frames::{Frames, Gathering, Wanted};
use crate::properties::OffsetLost;

/// Chunks that are read ahead.
const AHEAD: usize = 2;

/// A chunk has about so many bytes at most, and so many records.
const BYTES: usize = 512 << 10;
const RECORDS: usize = 65_536;

/// How long the thread waits for a record before it looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// A partition, and what is to be read of it.
pub(crate) struct Reading {
    /// The topic.
    pub(crate) topic: Arc<str>,
    /// The partition within the topic.
    pub(crate) partition: i32,
    /// The source's number in the script, and the partition's within the source.
    pub(crate) source: u32,
    pub(crate) number: u32,
    /// The next offset that is wanted.
    pub(crate) from: i64,
    /// The offset behind the last that was there when the job started.
    pub(crate) seen: i64,
    /// The first offset that is not wanted any more, for a source that ends.
    pub(crate) end: Option<i64>,
    /// What is wanted beside the values.
    pub(crate) wanted: Wanted,
    /// Whether records must have the times at which they were created.
    pub(crate) created_times: bool,
    /// What is done where the cluster no longer has what comes next.
    pub(crate) lost: OffsetLost,
    /// The offset of the next record, for whoever watches.
    pub(crate) next: Arc<AtomicI64>,
}

/// Where a record stands to what is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// It was given before, or is not asked for.
    Before,
    /// It is the next one.
    Next,
    /// It is behind the last that is wanted.
    Behind,
}

impl Reading {
    /// Where the record at an offset stands. librdkafka may begin before the offset that was asked for, and may give records again when
    /// a leader changes.
    fn place_of(&self, offset: i64) -> At {
        match self.end {
            _ if offset < self.from => At::Before,
            Some(end) if offset >= end => At::Behind,
            _ => At::Next,
        }
    }

    /// The record at an offset was taken.
    fn took(&mut self, offset: i64) {
        self.from = offset + 1;
    }
}

/// Reads a partition on a thread of its own.
pub(crate) struct Reader {
    fetched: mpsc::Receiver<Result<Fetch>>,
    /// What came and waits for its schemas.
    waiting: Option<Result<Fetch>>,
    /// The schemas that records name.
    schemas: NamedSchemas,
    ended: bool,
}

type Consumer = rdkafka::consumer::BaseConsumer<Said>;

impl Reader {
    /// Begins to read what `consumer` puts into `queue`.
    pub(crate) fn start(
        client: Client<Consumer>,
        queue: PartitionQueue<Said>,
        reading: Reading,
        schemas: NamedSchemas,
    ) -> Result<Self> {
        let (sender, fetched) = mpsc::channel(AHEAD);
        let name = format!("{}-{}", reading.topic, reading.partition);
        let thread = Thread {
            gathering: Gathering::new(reading.wanted),
            client,
            reading,
            sender,
            chunks: 0,
            told: false,
            lost: false,
        };
        let thread = std::thread::Builder::new().name(format!("kafka {name}")).spawn(move || thread.run(&queue));
        thread.map_err(|error| ConnectorError::from_io(error, "reading", &name))?;
        Ok(Self { fetched, waiting: None, schemas, ended: false })
    }

    /// A partition that was read to its end before.
    pub(crate) fn finished() -> Self {
        Self { fetched: mpsc::channel(1).1, waiting: None, schemas: NamedSchemas::default(), ended: true }
    }
}

#[async_trait]
impl PartitionReader for Reader {
    async fn next(&mut self) -> Result<Fetch> {
        if self.ended {
            return Ok(Fetch::End);
        }
        // A dropped `recv` takes nothing, and what it gave is kept until its schemas are there.
        let fetch = match self.waiting.take() {
            Some(fetch) => fetch,
            None => self.fetched.recv().await.unwrap_or_else(|| {
                let message = "the thread that reads the partition ended unexpectedly";
                Err(ConnectorError::new(ErrorKind::Io, "reading", message))
            }),
        };
        if let Ok(Fetch::Chunk(chunk)) = &fetch {
            let named = self.schemas.named_in(chunk);
            if !named.is_empty() {
                self.waiting = Some(fetch);
                for (part, schemas, ids) in named {
                    for id in ids {
                        if let Err(error) = schemas.ensure(&[id]).await {
                            return Err(self.at_record_of(part, id, error));
                        }
                    }
                }
                return self.waiting.take().unwrap_or(Ok(Fetch::End));
            }
        }
        self.ended = matches!(fetch, Ok(Fetch::End));
        fetch
    }
}

impl Reader {
    /// An error about a schema, with the place of the first record that waits for it.
    #[cold]
    fn at_record_of(&self, part: Part, id: u32, error: ConnectorError) -> ConnectorError {
        let Some(Ok(Fetch::Chunk(chunk))) = &self.waiting else { return error };
        let Some(frames) = chunk.frames.as_ref().and_then(|frames| frames.downcast_ref::<Frames>()) else {
            return error;
        };
        let names = |bytes: &[u8], record: Range<usize>| bytes.get(record).and_then(schema_id) == Some(id);
        let offset = match part {
            Part::Values => frames.values().find(|(record, _)| names(&chunk.bytes, record.clone())),
            Part::Keys => {
                let mut keys = frames.keys_of_values().chain(frames.keys_of_deletes());
                keys.find(|(record, _)| names(&frames.keys.bytes, record.clone()))
            }
        };
        match (offset, &chunk.origin.resource) {
            (Some((_, offset)), Resource::Topic(topic, partition)) => {
                error.at(Place::Offset { topic: topic.to_string(), partition: *partition, offset })
            }
            _ => error,
        }
    }
}

/// What of a record names a schema.
#[derive(Debug, Clone, Copy)]
enum Part {
    Values,
    Keys,
}

impl NamedSchemas {
    /// The numbers of the schemas that the values and the keys of a chunk name, with what keeps them.
    fn named_in(&self, chunk: &Chunk) -> Vec<(Part, Arc<Schemas>, Vec<u32>)> {
        let Some(frames) = chunk.frames.as_ref().and_then(|frames| frames.downcast_ref::<Frames>()) else {
            return Vec::new();
        };
        let values = |schemas: &Arc<Schemas>| {
            (Part::Values, Arc::clone(schemas), schema_ids(&chunk.bytes, frames.values().map(|(value, _)| value)))
        };
        let keys = |schemas: &Arc<Schemas>| {
            let keys = frames.keys_of_values().chain(frames.keys_of_deletes());
            (Part::Keys, Arc::clone(schemas), schema_ids(&frames.keys.bytes, keys.map(|(key, _)| key)))
        };
        self.values.iter().map(values).chain(self.keys.iter().map(keys)).collect()
    }
}

struct Thread {
    client: Client<Consumer>,
    reading: Reading,
    sender: mpsc::Sender<Result<Fetch>>,
    gathering: Gathering,
    /// How many chunks there were.
    chunks: u64,
    /// It was said that all that was there has been given.
    told: bool,
    /// The cluster no longer has what comes next, and nothing was done about that yet.
    lost: bool,
}

/// What a look into the queue brought.
enum Found {
    Record,
    /// Nothing more now.
    Nothing,
    /// The end of what is there now.
    LastOne,
    /// The record behind the last that is wanted.
    Beyond,
    Failed(ConnectorError),
}

impl Thread {
    fn run(mut self, queue: &PartitionQueue<Said>) {
        // Where nothing is to be read, nobody may ever come and say so.
        let mut caught_up = self.reading.from >= self.reading.seen;
        let mut ended = self.reading.end.is_some_and(|end| self.reading.from >= end);
        loop {
            let mut failed = None;
            if !ended {
                let mut wait = if caught_up && !self.told { Duration::ZERO } else { LOOK };
                loop {
                    match self.look(queue, wait) {
                        Found::Record if self.gathering.size() < BYTES && self.gathering.records() < RECORDS => {}
                        Found::Record | Found::Nothing => break,
                        Found::LastOne => {
                            caught_up = true;
                            ended = self.reading.end.is_some();
                            break;
                        }
                        Found::Beyond => {
                            ended = true;
                            break;
                        }
                        Found::Failed(error) => {
                            failed = Some(error);
                            break;
                        }
                    }
                    wait = Duration::ZERO;
                }
            }
            let last = self.gathering.last();
            caught_up |= ended || last.is_some_and(|last| last + 1 >= self.reading.seen);
            let mut given = vec![];
            given.extend(self.chunk().map(Fetch::Chunk).map(Ok));
            if caught_up && !std::mem::replace(&mut self.told, caught_up) {
                given.push(Ok(Fetch::CaughtUp));
            }
            let over = ended || failed.is_some();
            given.extend(failed.map(Err));
            if ended {
                given.push(Ok(Fetch::End));
            }
            let unwanted = given.into_iter().any(|fetch| self.sender.blocking_send(fetch).is_err());
            if over || unwanted || self.sender.is_closed() {
                return;
            }
        }
    }

    fn look(&mut self, queue: &PartitionQueue<Said>, wait: Duration) -> Found {
        if self.lost {
            return self.passed_over(queue);
        }
        match queue.poll(wait) {
            None => Found::Nothing,
            Some(Ok(message)) => {
                match self.reading.place_of(message.offset()) {
                    At::Before => return Found::Record,
                    At::Behind => return Found::Beyond,
                    At::Next => {}
                }
                if self.reading.created_times && matches!(message.timestamp(), Timestamp::LogAppendTime(_)) {
                    return Found::Failed(self.appended());
                }
                self.gathering.push(&message);
                self.reading.took(message.offset());
                Found::Record
            }
            Some(Err(KafkaError::PartitionEOF(_))) => Found::LastOne,
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_lost) => {
                self.lost = true;
                Found::Nothing
            }
            // librdkafka goes on by itself where it is only that a broker is gone for a while.
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(may_pass) => Found::Nothing,
            Some(Err(error)) => Found::Failed(self.failed(&error)),
        }
    }

    #[cold]
    fn failed(&self, error: &KafkaError) -> ConnectorError {
        let what = format!("topic {}, partition {}", self.reading.topic, self.reading.partition);
        self.client.failed("reading", &what, error)
    }

    /// Goes on as the script says where the cluster no longer has what comes next.
    #[cold]
    fn passed_over(&mut self, queue: &PartitionQueue<Said>) -> Found {
        let (topic, partition) = (Arc::clone(&self.reading.topic), self.reading.partition);
        // Nothing comes of a partition that librdkafka does not read.
        let pause = || drop(queue.poll(AGAIN));
        let there = match bounds_of(&self.client.client, &[(Arc::clone(&topic), partition)]) {
            // Of one partition there is one answer.
            Ok(there) => there[0],
            Err(error) if error.rdkafka_error_code().is_some_and(may_pass) => {
                pause();
                return Found::Nothing;
            }
            // A broker may not have heard of a partition that was read: who resumes it asks with more patience.
            Err(error) => {
                let failed = self.failed(&error);
                let passes = failed.kind == ErrorKind::NotFound;
                return Found::Failed(if passes { failed.temporary() } else { failed });
            }
        };
        let on = match self.reading.lost.goes_on((&topic, partition), self.reading.from, there) {
            Ok(on) => on,
            Err(error) => return Found::Failed(error),
        };
        if on == self.reading.from {
            // It is there after all: who said otherwise, perhaps a leader that was none any more, may say so once more.
            pause();
        }
        // librdkafka has stopped to read the partition, and begins to as if it were new.
        let assign = || {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, partition, Offset::Offset(on))?;
            self.client.client.incremental_unassign(&list)?;
            self.client.client.incremental_assign(&list)
        };
        if let Err(error) = assign() {
            return Found::Failed(self.failed(&error));
        }
        (self.reading.from, self.lost) = (on, false);
        Found::Nothing
    }

    #[cold]
    fn appended(&self) -> ConnectorError {
        let topic = &self.reading.topic;
        let message = format!(
            "the query goes by event time, none was named, and the records of topic {topic} have the time at which the broker appended them (message.timestamp.type = LogAppendTime)"
        );
        ConnectorError::new(ErrorKind::Configuration, "reading", message).advise(
            "name the field that has the event time: 'event.time.field' = '…'; or say that the time of the broker is meant: 'event.time.source' = 'record'",
        )
    }

    fn chunk(&mut self) -> Option<Chunk> {
        if self.gathering.is_empty() {
            return None;
        }
        let (bytes, frames) = self.gathering.take();
        // It is not empty.
        let (first, last) = (frames.offsets[0], frames.offsets[frames.len() - 1]);
        let chunk = Chunk {
            partition: self.reading.number,
            number: self.chunks,
            bytes,
            origin: Origin {
                source: self.reading.source,
                partition: self.reading.number,
                base: 0,
                resource: Resource::Topic(Arc::clone(&self.reading.topic), self.reading.partition),
                positions: Positions::Consecutive { first: first as u64 },
            },
            end: Position::Offset(last + 1),
            frames: Some(Arc::new(frames)),
        };
        self.chunks += 1;
        self.reading.next.store(last + 1, Ordering::Relaxed);
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_is_taken_twice() {
        let mut reading = Reading {
            topic: "t".into(),
            partition: 0,
            source: 0,
            number: 0,
            from: 5,
            seen: 9,
            end: Some(9),
            wanted: Wanted::default(),
            created_times: false,
            lost: OffsetLost::Fail,
            next: Arc::default(),
        };
        let mut taken = Vec::new();
        // It begins with a batch in which the position is, and after a change of leaders some come again; 6 was compacted away.
        for offset in [3, 4, 5, 7, 5, 7, 8, 7, 8, 9] {
            if reading.place_of(offset) == At::Next {
                reading.took(offset);
                taken.push(offset);
            }
        }
        assert_eq!(taken, [5, 7, 8]);
        assert_eq!(
            [4, 8, 9, 10].map(|offset| reading.place_of(offset)),
            [At::Before, At::Before, At::Behind, At::Behind]
        );
    }
}
