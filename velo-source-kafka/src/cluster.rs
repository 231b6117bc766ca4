//! A cluster as the properties name it, and clients of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::admin::AdminClient;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::statistics::{Partition, Statistics};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::oneshot;
use velo_core::error::{ErrorKind, Retry};
use velo_core::{Clock, ConnectorError, Result};

use crate::error::failed_with;
use crate::lag::{Ends, Place};
use crate::librdkafka::{Passed, Role};

/// How long a cluster is given to answer for the first time, and how long between looks at what the client has said meanwhile.
const CONNECT: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_secs(2);

/// How long records may take to arrive once everything was handed over.
const ARRIVE: Duration = Duration::from_secs(120);

/// How long it may take until all brokers have heard of a topic that was just made.
pub(crate) const HEARD: Duration = Duration::from_secs(2);

/// How long to wait before a question is asked again.
pub(crate) const AGAIN: Duration = Duration::from_millis(100);

/// How long a full queue of records is waited for before it is tried again.
pub(crate) const FULL: Duration = Duration::from_millis(2);

/// How long it takes to hear what a client has to say.
const HEAR: Duration = Duration::from_millis(50);

/// How long one request to a cluster may take.
pub(crate) const REQUEST: Duration = Duration::from_secs(30);

/// How long a step of a transaction may take before it is asked for again, which goes on with it.
const STEP: Duration = Duration::from_secs(10);

/// How long after its time an answer is waited for. librdkafka keeps its limits, but not all: `rd_kafka_send_offsets_to_transaction` may never
/// come back where the coordinator of the group goes (its issues 5456 and 5511).
const OVERDUE: Duration = Duration::from_secs(5);

/// A cluster with everything that a connection to it needs.
#[derive(Clone)]
pub(crate) struct Cluster {
    servers: String,
    passed: Arc<Passed>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kafka {}", self.servers)
    }
}

impl Cluster {
    /// The cluster of these brokers.
    pub(crate) fn new(servers: String, passed: Passed) -> Self {
        Self { servers, passed: Arc::new(passed) }
    }

    /// The same for a source, where this is a sink's: without what only producers know.
    pub(crate) fn that_reads(&self) -> Self {
        self.of(Role::Consumer)
    }

    /// The same for a sink, where this is a source's: without what only consumers know.
    pub(crate) fn that_writes(&self) -> Self {
        self.of(Role::Producer)
    }

    fn of(&self, role: Role) -> Self {
        let known = self.passed.iter().filter(|(key, _)| role.knows(key)).cloned();
        Self::new(self.servers.clone(), known.collect())
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> String {
        format!("kafka {}", self.servers)
    }

    /// What a client is configured with: the user's own settings go before the `defaults`, and what is `set` before both.
    fn config(&self, defaults: &[(&str, &str)], set: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Warning);
        for (key, value) in defaults {
            config.set(*key, *value);
        }
        for (key, value) in self.passed.iter() {
            config.set(key, value.expose());
        }
        for (key, value) in set {
            config.set(*key, *value);
        }
        config.set("bootstrap.servers", &self.servers);
        config
    }

    fn client<T: FromClientConfigAndContext<Said>>(
        &self,
        defaults: &[(&str, &str)],
        set: &[(&str, &str)],
    ) -> Result<(T, Said)> {
        // By itself OpenSSL takes its tables away when the process ends, and threads of librdkafka that shake hands just then crash.
        openssl_sys::init();
        let said = Said::default();
        let made = self.config(defaults, set).create_with_context(said.clone());
        let made = made.map_err(|error| {
            ConnectorError::new(ErrorKind::Configuration, "connecting", format!("{}: {error}", self.name()))
                .advise("correct the property of librdkafka that the message names")
        })?;
        Ok((made, said))
    }

    /// A consumer, which is given its partitions.
    pub(crate) fn consumer(&self, set: &[(&str, &str)]) -> Result<Client<BaseConsumer<Said>>> {
        // What lies ready for a reader that is behind: the default is 64 MiB for each partition.
        let defaults = [("queued.max.messages.kbytes", "16384"), ("fetch.wait.max.ms", "50")];
        let mut set = set.to_vec();
        set.extend([
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // A position that is no longer there is told, and not left silently.
            ("auto.offset.reset", "error"),
        ]);
        let (consumer, said) = self.client(&defaults, &set)?;
        Ok(Client { client: Arc::new(consumer), said, cluster: self.name(), broken: |_| None })
    }

    /// A producer whose records arrive once and in their order, as long as it lives.
    pub(crate) fn producer(&self, set: &[(&str, &str)]) -> Result<Client<Producer>> {
        let mut set = set.to_vec();
        set.push(("enable.idempotence", "true"));
        // As the clients of Java have it, so that records of one key lie in one partition whoever wrote them.
        let (producer, said) = self.client(&[("partitioner", "murmur2_random")], &set)?;
        let broken = |producer: &Producer| producer.client().fatal_error();
        Ok(Client { client: Arc::new(producer), said, cluster: self.name(), broken })
    }

    /// For topics and their settings.
    pub(crate) fn admin(&self) -> Result<Client<AdminClient<Said>>> {
        let (admin, said) = self.client(&[], &[])?;
        Ok(Client { client: Arc::new(admin), said, cluster: self.name(), broken: |_| None })
    }
}

/// What writes records; it has a thread of its own that is told what became of them.
pub(crate) type Producer = ThreadedProducer<Said>;

/// A client, and what it has said.
pub(crate) struct Client<T> {
    /// The client.
    pub(crate) client: Arc<T>,
    /// What it says beside its answers.
    pub(crate) said: Said,
    cluster: String,
    /// What broke it, so that every call fails from there on.
    broken: fn(&T) -> Option<(RDKafkaErrorCode, String)>,
}

impl<T> Clone for Client<T> {
    fn clone(&self) -> Self {
        Self {
            client: Arc::clone(&self.client),
            said: self.said.clone(),
            cluster: self.cluster.clone(),
            broken: self.broken,
        }
    }
}

impl<T: Send + Sync + 'static> Client<T> {
    /// Ends it, on a thread where waiting for that keeps nobody from their work.
    pub(crate) async fn close(self) {
        // Who is dropped with a panic has ended too.
        drop(tokio::task::spawn_blocking(move || drop(self)).await);
    }

    /// Asks the cluster for something that takes no longer than [`ARRIVE`].
    pub(crate) async fn ask<R: Send + 'static>(
        &self,
        operation: &'static str,
        what: &str,
        ask: impl FnOnce(&T) -> Result<R, KafkaError> + Send + 'static,
    ) -> Result<R> {
        // Nothing that is asked this way has more time.
        let answer = self.answer((operation, what), ARRIVE + OVERDUE, ask).await?;
        answer.map_err(|error| self.failed(operation, what, &error))
    }

    /// What comes of a call, which has a thread of its own: one that does not come back keeps nobody, the end of the process included.
    async fn answer<R: Send + 'static>(
        &self,
        (operation, what): (&'static str, &str),
        within: Duration,
        ask: impl FnOnce(&T) -> Result<R, KafkaError> + Send + 'static,
    ) -> Result<Result<R, KafkaError>> {
        let (sender, answer) = oneshot::channel();
        let client = Arc::clone(&self.client);
        let said = self.said.clone();
        let ask = move || {
            let answer = ask(&client);
            if answer.is_ok() {
                said.is_over();
            }
            // Who asked may have gone.
            drop(sender.send(answer));
        };
        let thread = std::thread::Builder::new().name("kafka call".to_owned()).spawn(ask);
        thread.map_err(|error| ConnectorError::from_io(error, operation, what))?;
        let clock = Clock::system();
        let failed =
            |kind, why: String| ConnectorError::new(kind, operation, format!("{}, {what}: {why}", self.cluster));
        tokio::select! {
            answer = answer => answer.map_err(|_| failed(ErrorKind::Io, "the call panicked".to_owned())),
            () = clock.sleep(within) => {
                let why = format!("librdkafka has given no answer within {} s", within.as_secs());
                Err(failed(ErrorKind::Unavailable, why).temporary())
            }
        }
    }

    /// Asks for something that takes no longer than `within`, again until `until` as long as `again` says so of the answer, and of what it is
    /// for users.
    async fn ask_again<R: Send + 'static>(
        &self,
        (operation, what): (&'static str, &str),
        within: Duration,
        (clock, until): (&Clock, i64),
        again: impl Fn(&KafkaError, &ConnectorError) -> bool,
        ask: impl Fn(&T) -> Result<R, KafkaError> + Clone + Send + 'static,
    ) -> Result<R> {
        loop {
            let error = match self.answer((operation, what), within + OVERDUE, ask.clone()).await? {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let failed = self.failed(operation, what, &error);
            if !again(&error, &failed) || clock.now() >= until {
                return Err(failed);
            }
            tracing::info!(error = %failed, "asked again");
            clock.sleep(AGAIN).await;
        }
    }

    /// What failed, with what the client has said about it.
    pub(crate) fn failed(&self, operation: &'static str, what: &str, error: &KafkaError) -> ConnectorError {
        let what = format!("{}, {what}", self.cluster);
        // Of a client that is broken the calls say only that it is. Another one may do better.
        if let Some((code, said)) = (self.broken)(&self.client) {
            return failed_with(operation, &what, &KafkaError::Global(code), Some(said)).temporary();
        }
        // A refused log-in looks like a broker that does not answer, but for what the client says beside it.
        if let Some((code, said)) = self.said.fatal() {
            return failed_with(operation, &what, &KafkaError::Global(code), Some(said));
        }
        failed_with(operation, &what, error, self.said.last())
    }
}

impl Client<BaseConsumer<Said>> {
    /// What the cluster knows of a topic, or of all.
    pub(crate) async fn metadata(&self, topic: Option<&str>) -> Result<Metadata> {
        let (what, topic) = (topic.map_or("its topics".to_owned(), topic_name), topic.map(str::to_owned));
        let asked = move |consumer: &BaseConsumer<Said>| {
            let answer = consumer.fetch_metadata(topic.as_deref(), LOOK);
            if answer.is_err() {
                // What was said about it comes this way, among other things; records come through the queues of their partitions.
                // Without time only the first of it would be heard.
                while consumer.poll(HEAR).is_some() {}
            }
            answer
        };
        self.ask_settled(("asking for topics", &what), (LOOK, CONNECT), asked).await
    }

    /// Asks for something that takes no longer than `within`, again for as long as `patience` while the answer is one that may pass: a cluster
    /// that has just been started, or has lost a broker, finds out who answers, and the client how to reach it. So is that a partition is not
    /// there: nobody asks for one that the cluster has not named, but a broker may hear of it later than another. A log-in that is refused is
    /// refused again.
    async fn ask_settled<R: Send + 'static>(
        &self,
        about: (&'static str, &str),
        (within, patience): (Duration, Duration),
        ask: impl Fn(&BaseConsumer<Said>) -> Result<R, KafkaError> + Clone + Send + 'static,
    ) -> Result<R> {
        let clock = Clock::system();
        let again = |_: &KafkaError, failed: &ConnectorError| {
            failed.retry == Retry::Temporary || failed.kind == ErrorKind::NotFound
        };
        self.ask_again(about, within, (&clock, clock.after(patience)), again, ask).await
    }

    /// [`bounds_of`] each of these partitions, in their order.
    pub(crate) async fn bounds(&self, places: Vec<(Arc<str>, i32)>) -> Result<Vec<(i64, i64)>> {
        let what = match places.as_slice() {
            [(topic, partition)] => format!("topic {topic}, partition {partition}"),
            [(topic, _), others @ ..] if others.iter().all(|(other, _)| other == topic) => topic_name(topic),
            _ => "its topics".to_owned(),
        };
        self.ask_settled(("asking for offsets", &what), (REQUEST, REQUEST), move |consumer| {
            bounds_of(consumer, &places)
        })
        .await
    }

    /// What the group has committed of these partitions.
    pub(crate) async fn committed(&self, partitions: TopicPartitionList) -> Result<TopicPartitionList> {
        self.ask_settled(("asking for committed offsets", "the group"), (REQUEST, REQUEST), move |consumer| {
            without_errors(consumer.committed_offsets(partitions.clone(), REQUEST)?)
        })
        .await
    }

    /// The first offsets whose records are not older than the times that stand for offsets in `times`.
    pub(crate) async fn at_times(&self, times: TopicPartitionList) -> Result<TopicPartitionList> {
        self.ask_settled(("asking for the offsets of a time", "the topic"), (REQUEST, REQUEST), move |consumer| {
            offsets_at(consumer, times.clone())
        })
        .await
    }
}

/// The list, unless the answer for one of its partitions is an error.
fn without_errors(answer: TopicPartitionList) -> Result<TopicPartitionList, KafkaError> {
    answer.elements().iter().try_for_each(|element| element.error())?;
    Ok(answer)
}

/// The offsets at the times that stand for offsets in a list of partitions, which the cluster has named.
fn offsets_at(consumer: &BaseConsumer<Said>, times: TopicPartitionList) -> Result<TopicPartitionList, KafkaError> {
    let answer = match consumer.offsets_for_times(times, REQUEST) {
        // Of partitions none of which has a leader now librdkafka says that they are not known.
        Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition) => {
            Err(KafkaError::OffsetFetch(RDKafkaErrorCode::LeaderNotAvailable))
        }
        answer => answer.and_then(without_errors),
    };
    if answer.as_ref().is_err_and(|error| error.rdkafka_error_code() == Some(RDKafkaErrorCode::LeaderNotAvailable)) {
        // It goes by what it heard last, and does not ask for news: who asks again is to hear of the new leaders.
        drop(consumer.fetch_metadata(None, LOOK));
    }
    answer
}

/// The first offset of each of these partitions, and the one behind its last that can be read: with `read_committed` the last stable one.
///
/// Each is asked for by itself, as a time that Kafka's protocol has for it (ListOffsets, -2 and -1). `fetch_watermarks` asks for both and takes
/// the smaller one for the first, which the last stable one is where records were deleted behind the begin of a transaction that is open.
pub(crate) fn bounds_of(
    consumer: &BaseConsumer<Said>,
    places: &[(Arc<str>, i32)],
) -> Result<Vec<(i64, i64)>, KafkaError> {
    // Of nothing librdkafka may not be asked.
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let asked = |time: Offset| {
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (topic, partition) in places {
            list.add_partition_offset(topic, *partition, time)?;
        }
        offsets_at(consumer, list)
    };
    let (firsts, ends) = (asked(Offset::Beginning)?, asked(Offset::End)?);
    let bounds = places.iter().map(|(topic, partition)| {
        let of = |list: &TopicPartitionList| match list.find_partition(topic, *partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        let first = of(&firsts)?;
        Some((first, of(&ends)?.max(first)))
    });
    bounds.collect::<Option<_>>().ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition))
}

impl Client<Producer> {
    /// Asks for a step of a transaction, again until `until` as long as the answer is that it may be given later. The step gets the time that
    /// it may take.
    pub(crate) async fn step<R: Send + 'static>(
        &self,
        (operation, what): (&'static str, &str),
        (clock, until): (&Clock, i64),
        step: impl Fn(&Producer, Duration) -> Result<R, KafkaError> + Clone + Send + 'static,
    ) -> Result<R> {
        let again = |error: &KafkaError, _: &ConnectorError| matches!(error, KafkaError::Transaction(error) if error.is_retriable());
        let ask = move |producer: &Producer| step(producer, STEP);
        self.ask_again((operation, what), STEP, (clock, until), again, ask).await
    }

    /// Whether all that was handed over so far has arrived, as far as is known.
    pub(crate) fn delivered(&self) -> Result<()> {
        match self.said.undelivered() {
            Some((error, place)) => Err(self.failed("writing", &place, &error)),
            None => Ok(()),
        }
    }

    /// Waits until all that was handed over has arrived.
    ///
    /// # Errors
    ///
    /// Temporary where that takes longer than [`ARRIVE`]: a cluster that lost a broker takes much less, and who waits for ever for one that
    /// does not answer any more is no better off.
    pub(crate) async fn flush(&self) -> Result<()> {
        self.ask("writing", "its topics", |producer| producer.flush(ARRIVE)).await?;
        self.delivered()
    }
}

/// A topic in a message.
pub(crate) fn topic_name(topic: &str) -> String {
    format!("topic {topic}")
}

/// What a client says about its connections beside the answers to its calls, and what became of records that were handed to it.
#[derive(Clone, Default)]
pub(crate) struct Said(Arc<Mutex<Remembered>>);

#[derive(Default)]
struct Remembered {
    /// Where partitions end, where that was said and nobody has heard it.
    ends: Option<BTreeMap<Place, Ends>>,
    errors: Vec<(RDKafkaErrorCode, String)>,
    /// The first record that could not be delivered.
    undelivered: Option<(KafkaError, String)>,
}

/// So many errors are remembered.
const REMEMBERED: usize = 8;

impl Said {
    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, code: RDKafkaErrorCode, said: &str) {
        let errors = &mut self.remembered().errors;
        if errors.len() == REMEMBERED {
            errors.remove(0);
        }
        // Behind the name of a thread and of the connection, which the message says again.
        let said = said.split_once("]: ").map_or(said, |(_, said)| said);
        errors.push((code, said.to_owned()));
    }

    /// What was said about connections no longer holds: the cluster has answered.
    fn is_over(&self) {
        self.remembered().errors.clear();
    }

    /// The last that says more than that nobody answers.
    fn last(&self) -> Option<String> {
        let said = &self.remembered().errors;
        let telling = said.iter().rev().find(|(code, _)| *code != RDKafkaErrorCode::AllBrokersDown);
        telling.or(said.last()).map(|(_, said)| said.clone())
    }

    /// That which will not pass, if it was said.
    fn fatal(&self) -> Option<(RDKafkaErrorCode, String)> {
        let told = |code: RDKafkaErrorCode| {
            // Of a producer that was fenced the calls say only that there was a fatal error.
            let fenced =
                [RDKafkaErrorCode::Fenced, RDKafkaErrorCode::ProducerFenced, RDKafkaErrorCode::InvalidProducerEpoch];
            fenced.contains(&code)
                || matches!(code, RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL | RDKafkaErrorCode::Fatal)
        };
        self.remembered().errors.iter().rev().find(|(code, _)| told(*code)).cloned()
    }

    /// Where partitions end, if that was said since it was asked last.
    pub(crate) fn ends(&self) -> Option<BTreeMap<Place, Ends>> {
        self.remembered().ends.take()
    }

    /// The first record that could not be delivered: why, and to where.
    fn undelivered(&self) -> Option<(KafkaError, String)> {
        self.remembered().undelivered.clone()
    }
}

impl ClientContext for Said {
    fn stats(&self, statistics: Statistics) {
        let partitions = statistics.topics.into_iter().flat_map(|(name, topic)| {
            let ends = |partition: Partition| Ends { last: partition.hi_offset, stable: partition.ls_offset };
            topic.partitions.into_iter().map(move |(number, partition)| ((name.clone(), number), ends(partition)))
        });
        self.remembered().ends = Some(partitions.collect());
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info => tracing::debug!(target: "kafka", facility, "{message}"),
            _ => tracing::info!(target: "kafka", facility, "{message}"),
        }
        // A connection that fails is an error too, but where it is only one that ended.
        if facility == "FAIL" && matches!(level, RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice) {
            self.remember(RDKafkaErrorCode::BrokerTransportFailure, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of what is there now comes this way too. It is no error, comes often, and would push those out that are.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        tracing::info!(target: "kafka", %error, "{reason}");
        // By the code and not by the words, among which are guesses: of a broker that goes soon after it has answered librdkafka says that it
        // might want a log-in.
        self.remember(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail), reason);
    }
}

impl ConsumerContext for Said {}

impl ProducerContext for Said {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        if let Err((error, record)) = delivered {
            let place = format!("topic {}, partition {}", record.topic(), record.partition());
            self.remembered().undelivered.get_or_insert((error.clone(), place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calls of a producer that was fenced fail with `Fatal` alone.
    #[test]
    fn who_was_fenced_is_told_so() {
        let said = Said::default();
        said.error(KafkaError::Global(RDKafkaErrorCode::Fenced), "fenced by newer producer instance");
        for _ in 0..2 * REMEMBERED {
            said.error(KafkaError::Global(RDKafkaErrorCode::PartitionEOF), "reached end of partition");
        }
        let expected = (RDKafkaErrorCode::Fenced, "fenced by newer producer instance".to_owned());
        assert_eq!(said.fatal(), Some(expected));
        assert_eq!(said.last().as_deref(), Some("fenced by newer producer instance"));
    }

    /// librdkafka's guess at why a broker went that has just answered is no refusal, and a refusal is over when the cluster answers.
    #[tokio::test]
    async fn what_is_said_beside_an_answer_is_taken_for_what_it_is() {
        // Nobody hears what it says by itself.
        let client = Cluster::new("127.0.0.1:1".to_owned(), Passed::default()).consumer(&[("group.id", "g")]).unwrap();
        let error = KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure);
        let failed = || client.failed("asking for topics", "topic t", &error);
        let went = "Disconnected: verify that security.protocol is correctly configured, broker might require SASL authentication";
        client.said.error(KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure), went);
        client.said.log(RDKafkaLogLevel::Warning, "FAIL", went);
        assert_eq!(failed().retry, Retry::Temporary);
        assert!(
            failed().message.ends_with(&format!("({went})")) && failed().advice.unwrap().contains("'sasl.mechanism'")
        );
        client.said.error(KafkaError::Global(RDKafkaErrorCode::Authentication), "SASL authentication error: no");
        assert_eq!((failed().kind, failed().retry), (ErrorKind::PermissionDenied, Retry::Permanent));
        client.ask("asking", "anything", |_| Ok(())).await.unwrap();
        assert_eq!((failed().kind, failed().retry), (ErrorKind::Unavailable, Retry::Temporary));
    }

    /// A call that does not come back, as librdkafka has them, keeps nobody: what asked can go on, and begin anew.
    #[tokio::test]
    async fn an_answer_that_does_not_come_is_not_waited_for() {
        let client = Cluster::new("127.0.0.1:1".to_owned(), Passed::default()).producer(&[]).unwrap();
        let (over, never) = std::sync::mpsc::channel::<()>();
        let ask = move |_: &Producer| {
            never.recv().ok();
            Ok(())
        };
        let answer = client.answer(("committing", "the group g"), Duration::from_millis(20), ask).await;
        let error = answer.unwrap_err();
        assert_eq!((error.kind, error.retry), (ErrorKind::Unavailable, Retry::Temporary));
        assert!(error.message.contains("the group g: librdkafka has given no answer within"), "{}", error.message);
        drop(over);
        let answer = client.answer(("committing", "the group g"), Duration::from_secs(60), |_| Ok(7)).await;
        assert_eq!(answer.unwrap().unwrap(), 7);
    }
}
