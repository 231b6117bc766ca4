//! `cargo xtask chaos kafka`: a job from topic to topic writes each row once, whatever happens to it and to the brokers.
//!
//! A producer fills an input topic while rounds of trouble go by ([`plan`]): the job is killed, or frozen and replaced, brokers are killed,
//! leaders move, and the topic gets more partitions. The job joins the rows with a table and sums them up in windows. Whatever of that is
//! committed is read along, and in the end once more from the beginning, and compared with what the rows make.

mod compare;
mod job;
mod monitor;
mod plan;
mod producer;
mod rows;
mod topics;
mod trouble;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use self::compare::Difference;
use self::plan::Kind;
use self::rows::Sent;
use self::topics::Cluster;
use self::trouble::Run;
use crate::chaos::trouble::Random;
use crate::services::{Brokers, Kafka};
use crate::workspace::Workspace;

/// Run a job from topic to topic with exactly-once delivery on three brokers, make trouble at random, and read each row once: the job is
/// killed, or frozen and replaced, brokers are killed, leaders move, and the input gets more partitions.
#[derive(clap::Args)]
pub struct Args {
    /// How often there is trouble; five rounds have one of each kind.
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// Decides what and when; printed, so that a run can be repeated as far as the machine allows.
    #[arg(long)]
    seed: Option<u64>,
    /// This velo instead of one that is built.
    #[arg(long)]
    velo: Option<PathBuf>,
}

/// How many partitions the input has in the beginning; and each output.
const PARTITIONS: (i32, i32) = (10, 3);

/// Runs it.
pub(super) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let velo = super::program(workspace, args.velo.as_deref())?;
    let seed = super::seed(args.seed);
    println!("seed {seed}, {} rounds", args.rounds);
    let kafka = Kafka::of(workspace, Brokers::Three)?;
    let ran = kafka.running().is_some();
    let variables = kafka.up()?;
    let servers = variables.into_iter().find(|(name, _)| name.ends_with("_PLAINTEXT"));
    let (_, servers) = servers.context("the cluster does not say where it listens")?;
    let folder = std::env::temp_dir().join(format!("velo-chaos-kafka-{}", std::process::id()));
    let cluster = Cluster::new(kafka, servers)?;
    let outcome = chaos(&velo, &folder, &cluster, args.rounds, seed);
    if outcome.is_ok() {
        fs::remove_dir_all(&folder)?;
    } else {
        println!("what is left lies in {}: checkpoints, and what each process of the job said", folder.display());
    }
    // With it the topics go.
    if !ran {
        cluster.kafka.down()?;
    }
    outcome
}

fn chaos(velo: &Path, folder: &Path, cluster: &Cluster, rounds: usize, seed: u64) -> Result<()> {
    let topics = format!("chaos-{}", std::process::id());
    let mut random = Random::new(seed);
    let planned = plan::plan(rounds, &mut random);
    let started = Instant::now();
    let mut run = Run::start(velo, folder, cluster, &topics)?;
    for (number, round) in (1..).zip(&planned) {
        let began = Instant::now();
        run.round(round, &mut random)
            .with_context(|| format!("round {number} of {rounds} (seed {seed}), {round:?}"))?;
        let (joined, windows) = run.monitor.counts();
        println!(
            "round {number}: {}{}, {:.1} s; {joined} of {} rows and {windows} windows came through{}",
            round.kind.text(),
            if round.killed_too { ", and the job killed meanwhile" } else { "" },
            began.elapsed().as_secs_f64(),
            run.producer.sent(),
            match run.monitor.repeated() {
                0 => String::new(),
                repeated => format!(" ({repeated} of the rows again)"),
            }
        );
    }
    let troubled = started.elapsed();
    let (lives, partitions, restarts) = (run.job.lives(), run.partitions, run.restarts());
    let memory = run.memory.max(cluster.memory().into_iter().max().unwrap_or_default());
    let input = run.finish().with_context(|| format!("behind {rounds} rounds (seed {seed})"))?;
    let compared = compare(cluster, &topics, &input);
    println!(
        "seed {seed}: {rounds} rounds in {:.0} s, {:.0} s in all",
        troubled.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    for kind in Kind::ALL {
        println!("  {}: {} times", kind.text(), planned.iter().filter(|round| round.kind == kind).count());
    }
    let killed_too = planned.iter().filter(|round| round.killed_too).count();
    println!(
        "  in {killed_too} of these rounds the job was killed beside that; {lives} processes ran it, which began again by themselves {restarts} times"
    );
    println!("  the input had {partitions} partitions in the end; a broker took {memory} MB at most");
    compared
}

/// Compares what is in the outputs with what the rows make.
fn compare(cluster: &Cluster, topics: &str, input: &[(u64, Sent)]) -> Result<()> {
    let (joined, windows) = (format!("{topics}-joined"), format!("{topics}-windows"));
    let (found_rows, found_windows) = (cluster.lines(&joined)?, cluster.lines(&windows)?);
    let sums = |lines: &[String], column: &str| {
        let values =
            lines.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?[column].as_i64());
        values.sum::<i64>()
    };
    println!(
        "in: {} rows, sum {}; joined: {} rows, sum {}; windows: {} with {} rows, sum {}",
        input.len(),
        rows::total(input),
        found_rows.len(),
        sums(&found_rows, "amount"),
        found_windows.len(),
        sums(&found_windows, "n"),
        sums(&found_windows, "total")
    );
    let ids: HashSet<u64> = input.iter().map(|(id, _)| *id).collect();
    if ids.len() < input.len() {
        println!(
            "the producer's client wrote {} rows once more into the input: they are there as often",
            input.len() - ids.len()
        );
    }
    let expected = input.iter().map(|(id, sent)| rows::joined(*id, *sent));
    let rows = Difference::new(expected, found_rows);
    let windows = Difference::new(rows::windows(input), found_windows);
    if rows.is_none() && windows.is_none() {
        println!("each row of the input and each window is there once, with the right columns");
        return Ok(());
    }
    print!("joined rows:\n{rows}windows:\n{windows}");
    bail!("the outputs are not what the input makes")
}
