//! The rounds of a run: what is done to the job and to the brokers, and what has to hold behind it.

use std::collections::HashMap;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::PARTITIONS;
use super::job::{Job, Life};
use super::monitor::Monitor;
use super::plan::{Kind, Round};
use super::producer::Producer;
use super::rows::{self, Sent};
use super::topics::{Cluster, Partition};
use crate::chaos::place::terminate;
use crate::chaos::trouble::{Random, signal, wait};

/// How long rows may take to come through behind trouble: a broker that was killed counts as there for some seconds, and a job that
/// failed meanwhile waits before it begins again.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a process may take to find out that it is to end.
const END: Duration = Duration::from_secs(120);
/// How long an election of leaders is given before it is asked for again.
const ELECTION: Duration = Duration::from_secs(1);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A run, with all that takes part in it.
pub(super) struct Run<'a> {
    cluster: &'a Cluster,
    topics: String,
    pub(super) job: Job,
    life: Life,
    pub(super) producer: Producer,
    pub(super) monitor: Monitor,
    /// How many partitions the input has.
    pub(super) partitions: i32,
    /// The most memory that a broker took, in MB.
    pub(super) memory: u64,
    /// How often the processes of the job before this one began again by themselves.
    restarts: usize,
}

impl<'a> Run<'a> {
    /// Makes the topics, and starts everything.
    pub(super) fn start(velo: &Path, folder: &Path, cluster: &'a Cluster, topics: &str) -> Result<Self> {
        let (rows, joined, windows) =
            (format!("{topics}-rows"), format!("{topics}-joined"), format!("{topics}-windows"));
        for (topic, partitions) in [(&rows, PARTITIONS.0), (&joined, PARTITIONS.1), (&windows, PARTITIONS.1)] {
            cluster.make_topic(topic, partitions)?;
        }
        let mut job = Job::new(velo, folder, &cluster.servers, topics)?;
        let topics = topics.to_owned();
        let life = job.start()?;
        let producer = Producer::start(cluster, &rows, PARTITIONS.0)?;
        let monitor = Monitor::start(cluster, &joined, &windows)?;
        let (partitions, memory, restarts) = (PARTITIONS.0, 0, 0);
        let mut run = Self { cluster, topics, job, life, producer, monitor, partitions, memory, restarts };
        run.rows_come_through().context("before the first round")?;
        Ok(run)
    }

    /// Makes trouble once.
    pub(super) fn round(&mut self, round: &Round, random: &mut Random) -> Result<()> {
        self.memory = self.memory.max(self.cluster.memory().into_iter().max().unwrap_or_default());
        match round.kind {
            Kind::Killed => {
                some_time(random, 4_000);
                self.kill_job()?;
            }
            Kind::Frozen => self.freeze(random)?,
            Kind::Broker => self.kill_broker(round, random)?,
            Kind::Leader => self.move_leaders(round, random)?,
            Kind::Partitions => self.grow(round, random)?,
        }
        if round.recovers {
            self.rows_come_through()?;
        }
        self.check()
    }

    /// Ends the process of the job wherever it is, and starts the next one.
    fn kill_job(&mut self) -> Result<()> {
        self.life.check()?;
        self.life.run.end()?;
        self.restarts += self.life.restarts();
        self.life = self.job.start()?;
        Ok(())
    }

    /// How often processes of the job failed for a while, and began again by themselves.
    pub(super) fn restarts(&self) -> usize {
        self.restarts + self.life.restarts()
    }

    fn freeze(&mut self, random: &mut Random) -> Result<()> {
        // One that has not taken the job over yet would do so when it goes on, and with right.
        self.rows_come_through()?;
        some_time(random, 1_500);
        self.life.check()?;
        signal(&self.life.run, "STOP")?;
        some_time(random, 1_500);
        let new = self.job.start()?;
        let mut old = std::mem::replace(&mut self.life, new);
        self.restarts += old.restarts();
        self.rows_come_through().context("from the process that replaces a frozen one")?;
        signal(&old.run, "CONT")?;
        let Some(status) = wait(&mut old.run, END)? else {
            bail!("a process that was replaced goes on for {} s; {}", END.as_secs(), old.end_of_log());
        };
        if status.success() || !old.said().contains("another process") {
            bail!("a process that was replaced ended with {status} and does not say so; {}", old.end_of_log());
        }
        Ok(())
    }

    fn kill_broker(&mut self, round: &Round, random: &mut Random) -> Result<()> {
        self.brokers_agree()?;
        some_time(random, 2_000);
        let node = 1 + random.below(3) as usize;
        self.cluster.kafka.kill_broker(node)?;
        some_time(random, 5_000);
        if round.killed_too {
            self.kill_job()?;
        }
        some_time(random, 5_000);
        self.cluster.kafka.start_broker(node)
    }

    /// Kills the leader of a partition, waits for another one, and has all leaders be the preferred ones again.
    fn move_leaders(&mut self, round: &Round, random: &mut Random) -> Result<()> {
        self.brokers_agree()?;
        let mut partitions = self.cluster.partitions()?;
        partitions.retain(|partition| partition.topic.starts_with(&self.topics));
        let chosen = partitions.swap_remove(random.below(partitions.len() as u64) as usize);
        let (cluster, what) = (self.cluster, format!("partition {} of {}", chosen.number, chosen.topic));
        cluster.kafka.kill_broker(usize::try_from(chosen.leader)?)?;
        if round.killed_too {
            some_time(random, 1_000);
            self.kill_job()?;
        }
        self.until(&format!("a leader of {what} other than broker {}", chosen.leader), |_| {
            let now = cluster.partitions_of(&chosen.topic)?;
            Ok(now.iter().any(|now| now.number == chosen.number && now.leader >= 0 && now.leader != chosen.leader))
        })?;
        cluster.kafka.start_broker(usize::try_from(chosen.leader)?)?;
        self.brokers_agree()?;
        let mut asked: Option<Instant> = None;
        self.until("each partition to be led by its first replica", |_| {
            if cluster.partitions()?.iter().all(Partition::has_its_leader) {
                return Ok(true);
            }
            // A replica that the controller does not know to be in sync yet is passed over: it is asked again.
            if asked.is_none_or(|asked| asked.elapsed() > ELECTION) {
                cluster.kafka.prefer_leaders()?;
                asked = Some(Instant::now());
            }
            Ok(false)
        })
    }

    fn grow(&mut self, round: &Round, random: &mut Random) -> Result<()> {
        self.brokers_agree()?;
        let (cluster, topic, before) = (self.cluster, format!("{}-rows", self.topics), self.partitions);
        let after = before + 1 + random.below(3) as i32;
        self.producer.hold(true);
        cluster.grow(&topic, usize::try_from(after)?)?;
        self.partitions = after;
        self.producer.spread(after);
        if round.killed_too {
            some_time(random, 3_000);
            self.kill_job()?;
        }
        let first = usize::try_from(before)?;
        self.until("rows of the new partitions to come through", |run| {
            Ok(run.producer.first_rows(first).is_some_and(|ids| run.monitor.has(&ids)))
        })?;
        self.producer.hold(false);
        Ok(())
    }

    /// Waits until all brokers are there and have all that they should: a cluster of three bears the loss of one.
    fn brokers_agree(&mut self) -> Result<()> {
        let cluster = self.cluster;
        self.until("all replicas to be in sync", |_| Ok(cluster.partitions()?.iter().all(Partition::is_whole)))
    }

    /// Waits until a row that is produced now is in the output.
    fn rows_come_through(&mut self) -> Result<()> {
        let id = self.producer.sent();
        self.until(&format!("row {id} to come through"), |run| Ok(run.monitor.has(&[id])))
    }

    /// Whether all is well so far.
    fn check(&mut self) -> Result<()> {
        self.monitor.check()?;
        self.producer.check()?;
        self.life.check()
    }

    /// Looks until a condition holds. An error of the condition only says that it does not hold yet: brokers come and go.
    fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let last = match holds(self) {
                Ok(true) => return Ok(()),
                Ok(false) => String::new(),
                Err(error) => format!(" ({error:#})"),
            };
            self.check()?;
            if Instant::now() > until {
                let (joined, windows) = self.monitor.counts();
                bail!(
                    "waited {} s for {what}{last}; {joined} of {} rows and {windows} windows have come through; the reader was told: {}; {}",
                    PATIENCE.as_secs(),
                    self.producer.sent(),
                    self.monitor.said(),
                    self.life.end_of_log()
                );
            }
            sleep(LOOK);
        }
    }

    /// Ends the input, waits for the whole output, and stops the job. Gives all rows of the input, as they lie there.
    pub(super) fn finish(mut self) -> Result<Vec<(u64, Sent)>> {
        self.brokers_agree()?;
        let sent = self.producer.finish()?;
        let mut input = Vec::with_capacity(sent.len());
        for (partition, record) in self.cluster.records(&format!("{}-rows", self.topics))? {
            input.extend(rows::parsed(partition, &record)?);
        }
        // A client whose connection broke may write what was already there once more, under a new epoch of its producer: idempotence
        // holds within an epoch. So the job is measured by what the input has, once all is in it that was sent.
        let found: HashMap<u64, Sent> = input.iter().copied().collect();
        if let Some((id, sent)) = (0..).zip(&sent).find(|(id, sent)| found.get(id) != Some(sent)) {
            bail!(
                "row {id} was delivered to the input as {sent:?}, where is now {:?}: that is no doing of the job",
                found.get(&id)
            );
        }
        let expected = (input.len(), rows::windows(&input).len());
        let until = Instant::now() + PATIENCE;
        // What is missing then is told by the comparison.
        while self.monitor.counts() != expected && Instant::now() < until {
            self.monitor.check()?;
            self.life.check()?;
            sleep(LOOK);
        }
        if self.monitor.counts() != expected {
            let (joined, windows) = self.monitor.counts();
            println!(
                "waited {} s for {} rows and {} windows, and {joined} and {windows} came; {}",
                PATIENCE.as_secs(),
                expected.0,
                expected.1,
                self.life.end_of_log()
            );
        }
        terminate(&self.life.run)?;
        let Some(status) = wait(&mut self.life.run, END)? else {
            bail!("asked to stop, the job goes on for {} s; {}", END.as_secs(), self.life.end_of_log());
        };
        if !status.success() {
            bail!("asked to stop, the job failed ({status}); {}", self.life.end_of_log());
        }
        for topic in ["joined", "windows"] {
            let open = self.cluster.unstable(&format!("{}-{topic}", self.topics))?;
            if !open.is_empty() {
                bail!("the job has stopped, and a transaction of it is open: {}", open.join(", "));
            }
        }
        Ok(input)
    }
}

fn some_time(random: &mut Random, millis: u64) {
    sleep(Duration::from_millis(random.below(millis)));
}
