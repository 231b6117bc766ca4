//! `cargo xtask bench`: builds velo as it is released, and measures.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::data::Data;
use super::duckdb::DuckDb;
use super::figures::Figures;
use super::timed::load_average;
use super::{base, decoder, latency, nexmark, scale, task};
use crate::binary::{self, Members};
use crate::workspace::Workspace;

/// Every bench by its name.
const NAMES: [&str; 9] = ["json", "csv", "stations", "join", "join_large", "decoder", "scale", "latency", "nexmark"];

/// Measure velo: against DuckDB, against an earlier revision, by the row, and how long one row takes.
#[derive(clap::Args)]
pub struct Args {
    /// Which benches: json, csv, stations, join, join_large, decoder, scale, latency, nexmark; all by default
    names: Vec<String>,
    /// Also build this revision and run it in turn, for the ratio
    #[arg(long)]
    base: Option<String>,
    /// Runs of which the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How long one-row latency is measured
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// A hundredth of the rows: to see whether a bench works, not how fast velo is
    #[arg(long)]
    quick: bool,
    /// Measure this binary instead of building one
    #[arg(long)]
    velo: Option<PathBuf>,
}

/// What every bench gets.
pub struct Bench {
    /// Where inputs, outputs and scripts lie.
    pub folder: PathBuf,
    pub velo: PathBuf,
    /// The earlier revision's binary, if one was asked for.
    pub base: Option<PathBuf>,
    pub data: Data,
    pub figures: Figures,
    pub runs: usize,
}

/// Runs the benches that were named, one after the other.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let wrong = args.names.iter().find(|name| !NAMES.contains(&name.as_str()));
    if let Some(name) = wrong {
        bail!("no bench is called {name}: there are {}", NAMES.join(", "));
    }
    let root = &workspace.root;
    let folder = root.join("target/bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let velo = match &args.velo {
        Some(velo) => velo.canonicalize().with_context(|| format!("no program {}", velo.display()))?,
        None => binary::build(root, Members::Alone, &["--release"])?,
    };
    let base = args.base.as_ref().map(|revision| base::build(root, &folder, revision)).transpose()?;
    let mut bench = Bench {
        data: Data::new(folder.join("data"), args.quick)?,
        figures: Figures::new(root, args.quick)?,
        runs: args.runs.max(1),
        folder,
        velo,
        base,
    };
    println!("load average {}; benches want an idle machine", load_average());
    let wanted = |name: &str| args.names.is_empty() || args.names.iter().any(|wanted| wanted == name);
    let tasks: Vec<_> = task::ALL.iter().filter(|task| wanted(task.name)).collect();
    if !tasks.is_empty() {
        let duckdb = DuckDb::install(&bench.folder)?;
        for task in tasks {
            task.measure(&mut bench, &duckdb)?;
        }
    }
    if wanted("decoder") {
        decoder::measure(root, &mut bench)?;
    }
    if wanted("scale") {
        scale::measure(&mut bench)?;
    }
    if wanted("latency") {
        latency::measure(&mut bench, args.seconds)?;
    }
    if wanted("nexmark") {
        nexmark::measure(&mut bench, args.quick)?;
    }
    bench.figures.finish();
    Ok(())
}
