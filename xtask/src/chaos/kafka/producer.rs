//! Who writes the input topic: it goes on while there is trouble, and knows all that it has sent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rdkafka::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use super::rows::{self, EventClock, Sent};
use super::topics::Cluster;

/// Rows come in small lots, so that they come all the time: this many …
const LOT: usize = 10;
/// … and then a pause.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a record may take to be taken by the client, or all of them by the cluster: it may be without a leader for a while.
const PATIENCE: Duration = Duration::from_secs(120);

/// A thread that produces.
pub(super) struct Producer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

struct Shared {
    state: Mutex<State>,
    over: AtomicBool,
    held: AtomicBool,
    deliveries: Deliveries,
}

struct State {
    sent: Vec<Sent>,
    partitions: i32,
    /// The first row of each partition.
    first: Vec<Option<u64>>,
}

/// What became of records.
#[derive(Clone, Default)]
struct Deliveries {
    delivered: Arc<AtomicU64>,
    failed: Arc<Mutex<Option<String>>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        match delivered {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, record)) => {
                let failed = format!("partition {}: {error}", record.partition());
                self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failed);
            }
        }
    }
}

impl Producer {
    /// Begins to fill a topic with so many partitions.
    pub(super) fn start(cluster: &Cluster, topic: &str, partitions: i32) -> Result<Self> {
        let mut config = cluster.config();
        config.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "5");
        let deliveries = Deliveries::default();
        let client = config.create_with_context(deliveries.clone()).context("a producer cannot be made")?;
        let state = State { sent: Vec::new(), partitions, first: vec![None; partitions as usize] };
        let (over, held) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::new(Shared { state: Mutex::new(state), over, held, deliveries });
        let producing = Producing { client, topic: topic.to_owned(), shared: Arc::clone(&shared) };
        let thread = thread::Builder::new().name("producer".to_owned()).spawn(move || producing.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// How many rows were handed over so far; their ids are all below this.
    pub(super) fn sent(&self) -> u64 {
        self.shared.state().sent.len() as u64
    }

    /// Whether it can still produce; an error says why not.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(failed) = &*self.shared.deliveries.failed.lock().unwrap_or_else(PoisonError::into_inner) {
            bail!("a record was not delivered to the input topic ({failed}): what was expected is not known");
        }
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) && !self.shared.over.load(Ordering::Relaxed) {
            bail!("the producer ended before it was told to");
        }
        Ok(())
    }

    /// Lets event time stand still, or go on.
    ///
    /// A partition that comes while the job runs does not hold its watermark back until the job has found it. As long as event time stands,
    /// the watermark does not pass the rows of such a partition, which would be late then.
    pub(super) fn hold(&self, held: bool) {
        self.shared.held.store(held, Ordering::SeqCst);
    }

    /// Rows go into so many partitions from now on.
    pub(super) fn spread(&self, partitions: i32) {
        let mut state = self.shared.state();
        state.partitions = partitions;
        state.first.resize(partitions as usize, None);
    }

    /// The first row of each partition from this one on; none while there is one without a row.
    pub(super) fn first_rows(&self, partition: usize) -> Option<Vec<u64>> {
        self.shared.state().first.get(partition..)?.iter().copied().collect()
    }

    /// Ends it: all rows are delivered, and behind them one in each partition that moves its watermark past them. Gives all rows.
    pub(super) fn finish(mut self) -> Result<Vec<Sent>> {
        self.shared.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the producer has ended before")?;
        thread.join().map_err(|_| anyhow!("the producer panicked"))??;
        self.check()?;
        let mut state = self.shared.state();
        let (sent, delivered) = (state.sent.len(), self.shared.deliveries.delivered.load(Ordering::Relaxed));
        let expected = sent as u64 + state.partitions as u64;
        if delivered != expected {
            bail!("{expected} records were sent to the input topic, and {delivered} of them delivered");
        }
        Ok(std::mem::take(&mut state.sent))
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's part.
struct Producing {
    client: ThreadedProducer<Deliveries>,
    topic: String,
    shared: Arc<Shared>,
}

impl Producing {
    fn run(self) -> Result<()> {
        let mut clock = EventClock::new();
        while !self.shared.over.load(Ordering::Relaxed) {
            for _ in 0..LOT {
                let (id, sent) = self.next(&mut clock);
                self.send(sent.partition, &rows::record(id, sent.time))?;
            }
            // The pace of the run, and nothing that is waited for.
            thread::sleep(PAUSE);
        }
        let partitions = self.shared.state().partitions;
        for partition in 0..partitions {
            self.send(partition, &rows::last_record(clock.end()))?;
        }
        self.client.flush(PATIENCE).context("the last rows do not arrive in the input topic")
    }

    fn next(&self, clock: &mut EventClock) -> (u64, Sent) {
        let mut state = self.shared.state();
        let id = state.sent.len() as u64;
        let partition = rows::partition(id, state.partitions);
        let sent = Sent { partition, time: clock.next(id, self.shared.held.load(Ordering::SeqCst)) };
        state.sent.push(sent);
        state.first[partition as usize].get_or_insert(id);
        (id, sent)
    }

    fn send(&self, partition: i32, record: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let mut made = BaseRecord::<(), str>::to(&self.topic).partition(partition).payload(record);
        while let Err((error, back)) = self.client.send(made) {
            // Full while a leader is missing; and a new partition is not known at once.
            let passes = [RDKafkaErrorCode::QueueFull, RDKafkaErrorCode::UnknownPartition];
            if !error.rdkafka_error_code().is_some_and(|code| passes.contains(&code)) || Instant::now() > until {
                return Err(error).with_context(|| format!("producing into partition {partition} of the input topic"));
            }
            thread::sleep(PAUSE);
            made = back;
        }
        Ok(())
    }
}
