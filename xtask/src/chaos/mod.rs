//! `cargo xtask chaos`: a job that is killed over and over writes what it would have written.
//!
//! The job follows a file that grows while it runs, and writes four outputs: windows, a join with a table, results that change, and
//! parts in folders. Each of its lives ends with SIGKILL, and in some more goes wrong ([`trouble`]). At every end what a reader sees is
//! compared with what is expected: no torn line, no row that is not among those of an undisturbed run, none twice.
//!
//! `cargo xtask chaos kafka` does the like to a job between topics, and to their brokers ([`kafka`]).

#[cfg(feature = "kafka")]
mod kafka;
mod place;
mod trouble;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use self::place::{Place, SYMBOLS};
use self::trouble::{Random, Trouble, Troubles};
use crate::binary::{self, Members};
use crate::process::run_step;
#[cfg(not(feature = "kafka"))]
use crate::process::{cargo, run as run_command};
use crate::workspace::Workspace;

/// Kill a long job from files to files with SIGKILL at random moments, start it again, and compare its output with that of an
/// undisturbed run. In some of its lives its clock jumps, it is frozen while another one takes its place, its checkpoints cannot be
/// written, or one of them is damaged.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// How often it is killed.
    #[arg(long, default_value_t = 300)]
    kills: u32,
    /// Decides when; printed, so that a run can be repeated as far as the machine allows.
    #[arg(long)]
    seed: Option<u64>,
    /// This velo instead of one that is built.
    #[arg(long)]
    velo: Option<PathBuf>,
}

/// Jobs over something else than files.
#[derive(clap::Subcommand)]
enum Other {
    #[cfg(feature = "kafka")]
    Kafka(kafka::Args),
    /// Do the like to a job between topics, and to their brokers; `kafka --help` says more.
    #[cfg(not(feature = "kafka"))]
    #[command(disable_help_flag = true)]
    Kafka(Passed),
}

/// What is for a build of this program that can do it.
#[cfg(not(feature = "kafka"))]
#[derive(clap::Args)]
struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Hands `chaos kafka` to a build of this program that talks to brokers.
#[cfg(not(feature = "kafka"))]
fn with_client(workspace: &Workspace, passed: &Passed) -> Result<()> {
    crate::services::libraries()?;
    let mut command = cargo(&workspace.root, &["run", "--quiet", "--package", "xtask", "--", "chaos", "kafka"]);
    command.args(&passed.arguments);
    run_command(command)
}

/// For CI: `chaos kafka` with one round of each trouble, by programs that the tests have built already, but for linking them.
pub fn kafka_once(workspace: &Workspace) -> Result<()> {
    crate::services::libraries()?;
    let [velo, with_client] = binary::with_self(&workspace.root)?;
    let mut command = Command::new(with_client);
    command.current_dir(&workspace.root).args(["chaos", "kafka", "--rounds", ROUNDS, "--velo"]).arg(velo);
    run_step(command)
}

/// So many rounds have one of each trouble.
const ROUNDS: &str = "5";

/// Lines that are appended between two kills.
const STEP: u64 = 400;

/// Runs it.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if let Some(Other::Kafka(args)) = &args.other {
        #[cfg(feature = "kafka")]
        return kafka::run(workspace, args);
        #[cfg(not(feature = "kafka"))]
        return with_client(workspace, args);
    }
    let velo = program(workspace, args.velo.as_deref())?;
    let seed = seed(args.seed);
    println!("seed {seed}, {} kills", args.kills);
    let folder = std::env::temp_dir().join(format!("velo-chaos-{}", std::process::id()));
    let outcome = chaos(&velo, &folder, args.kills, seed);
    if outcome.is_ok() {
        fs::remove_dir_all(&folder)?;
    } else {
        println!("what is left lies in {}", folder.display());
    }
    outcome
}

/// The velo that was named, or one that is built.
fn program(workspace: &Workspace, named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(velo) => Ok(velo.to_owned()),
        None => binary::build(&workspace.root, Members::Alone, &["--release"]),
    }
}

/// The seed that was given, or one of this process.
fn seed(given: Option<u64>) -> u64 {
    given.unwrap_or_else(|| u64::from(std::process::id()) * 7_919)
}

fn chaos(velo: &Path, folder: &Path, kills: u32, seed: u64) -> Result<()> {
    let lines = u64::from(kills) * STEP;
    let (calm, wild) = (Place::new(velo, folder, "calm")?, Place::new(velo, folder, "wild")?);
    calm.append(0..lines)?;
    calm.append_last(lines)?;
    // Every trade is in a part, and changes the total of its symbol: the first of each adds one, and all others replace one.
    let rows = lines as usize;
    let began = Instant::now();
    let mut first = None;
    calm.finish(|seen| {
        if first.is_none() && seen.rows() > 0 {
            first = Some(began.elapsed());
        }
        seen.of("parts") == rows && seen.of("totals.jsonl") == 2 * rows - SYMBOLS.len()
    })?;
    // So long a life is at most: some end before their first checkpoint, and most behind several.
    let longest = first.unwrap_or_default().as_millis() as u64 * 3 + 100;
    let expected = calm.seen()?;
    println!("expected: {expected}");
    let started = Instant::now();
    let mut random = Random::new(seed);
    let troubles = Troubles::new(&wild, longest)?;
    let (mut written, mut visible, mut came_on) = (0, 0, 0);
    let mut met = [0; Trouble::ALL.len()];
    for kill in 1..=kills {
        wild.append(written..written + STEP)?;
        written += STEP;
        let trouble = Trouble::next(&mut random);
        let told = troubles.live(trouble, &mut random).with_context(|| format!("life {kill}, {trouble:?}"))?;
        met[trouble as usize] += u32::from(told);
        let seen = wild.seen()?;
        seen.is_part_of(&expected).with_context(|| format!("after life {kill}, {trouble:?}"))?;
        came_on += u32::from(seen.rows() > visible);
        visible = seen.rows();
        if kill % 50 == 0 {
            println!("{kill} kills, {visible} of {} rows visible", expected.rows());
        }
    }
    wild.append_last(lines)?;
    if came_on * 4 < kills {
        bail!(
            "of {kills} lives only {came_on} came to a checkpoint with rows: nothing was tried; is the machine busy?"
        );
    }
    wild.finish(|seen| *seen == expected)?;
    if wild.seen()? != expected {
        bail!("the last checkpoint changed the output");
    }
    let left = wild.hidden()?;
    if !left.is_empty() {
        bail!("files that no run needs any more: {left:?}");
    }
    println!(
        "killed {kills} times in {:.0} s, {came_on} times behind rows that had become visible: {} rows, each as in the undisturbed run, none lost, none twice",
        started.elapsed().as_secs_f64(),
        expected.rows()
    );
    for trouble in Trouble::ALL.into_iter().filter(|trouble| *trouble != Trouble::None) {
        println!("  {}: {} times", trouble.text(), met[trouble as usize]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }

    fn typed(line: &str) -> Result<Args, clap::Error> {
        Typed::try_parse_from(line.split(' ')).map(|typed| typed.args)
    }

    #[test]
    fn files_are_meant_where_nothing_is_said() {
        let args = typed("chaos --kills 3 --seed 5").unwrap();
        assert!(args.other.is_none());
        assert_eq!((args.kills, args.seed), (3, Some(5)));
        assert_eq!(typed("chaos").unwrap().kills, 300);
    }

    #[test]
    fn each_has_options_of_its_own() {
        assert!(matches!(typed("chaos kafka --rounds 5 --seed 1").unwrap().other, Some(Other::Kafka(_))));
        assert!(typed("chaos --kills 3 kafka").is_err());
        assert!(typed("chaos kafka --kills 3").is_err());
    }
}
