//! Topics of a cluster of three brokers, some of which go.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::kafka::broker::{Broker, WAIT};
use crate::kafka::copying;
use crate::kafka::running::Running;
use crate::kafka::streams::{printing, record, row};

/// The cluster, for one test at a time: what is done to its brokers is done to all who use it.
fn cluster() -> (Broker, MutexGuard<'static, ()>) {
    static TESTS: Mutex<()> = Mutex::new(());
    let alone = TESTS.lock().unwrap_or_else(PoisonError::into_inner);
    (Broker::of("VELO_KAFKA_CLUSTER_PLAINTEXT", "kafka-cluster"), alone)
}

/// The folder of one broker.
fn folder(node: usize) -> PathBuf {
    let folders = std::env::var("VELO_KAFKA_CLUSTER_BROKERS").unwrap();
    folders.split(':').nth(node - 1).unwrap().into()
}

fn signal(node: usize, signal: &str) {
    let process = std::fs::read_to_string(folder(node).join("pid")).unwrap();
    assert!(Command::new("kill").args([signal, process.trim()]).status().unwrap().success());
}

fn start(node: usize) {
    let started = Command::new("sh").args(["-c", "\"$0\" >/dev/null 2>&1 &"]).arg(folder(node).join("start")).status();
    assert!(started.unwrap().success());
}

/// Waits until the partition of a topic has a leader, or none.
fn until_led(brokers: &Broker, topic: &str, led: bool) {
    let consumer: BaseConsumer = brokers.config().create().unwrap();
    let is_led = || {
        let found = consumer.fetch_metadata(Some(topic), WAIT).ok()?;
        Some(found.topics().first()?.partitions().first()?.leader() >= 0)
    };
    while is_led() != Some(led) {
        // It reads nothing: this is a pause in which it hears of the brokers.
        drop(consumer.poll(Duration::from_millis(50)));
    }
}

/// A partition of which there is one copy, and its broker is gone: a job that is to go on there waits for it.
#[test]
fn a_partition_without_a_leader_is_waited_for() {
    let (brokers, _alone) = cluster();
    let topic = format!("one-copy-{}", std::process::id());
    brokers.make_topic(NewTopic::new(&topic, 1, TopicReplication::Variable(&[&[2]])));
    brokers.put(&topic, &[record(1)]);
    let job = printing(&brokers, &format!("topic = '{topic}'"), "");
    let mut running = Running::start(&job);
    assert_eq!(running.row(), row(1));
    running.stop();
    brokers.put(&topic, &[record(2)]);
    signal(2, "-KILL");
    until_led(&brokers, &topic, false);
    let mut running = Running::start_until_it_says(&job, "asked again");
    start(2);
    assert_eq!(running.row(), row(2));
    running.stop();
    // Whoever comes next finds all brokers.
    until_led(&brokers, &topic, true);
}

/// A cluster that does not answer when a job is started, whose commits are in it, is one that may answer later.
#[test]
fn a_job_that_starts_while_no_broker_answers_comes_through() {
    let (brokers, _alone) = cluster();
    let [from, to] = ["from", "to"].map(|name| format!("{name}-{}", std::process::id()));
    for topic in [&from, &to] {
        brokers.make_topic(NewTopic::new(topic, 1, TopicReplication::Fixed(3)));
    }
    brokers.put(&from, &[record(1)]);
    let job = copying(&brokers, &from, &to, ", 'scan.bounded' = 'latest'");
    (1..=3).for_each(|node| signal(node, "-STOP"));
    let running = Running::start_until_it_says(&job, "; starting again in ");
    (1..=3).for_each(|node| signal(node, "-CONT"));
    let ran = running.ended();
    assert_eq!((ran.code, brokers.values(&to)), (0, vec![row(1)]));
}
