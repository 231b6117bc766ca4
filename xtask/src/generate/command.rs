//! `cargo xtask generate`: writes made-up rows to a file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use super::orders::{Customers, Orders};
use super::stations::Stations;
use super::trades::{Form, Trades};

/// Write made-up rows for benches; the same seed gives the same bytes.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    rows: Rows,
}

/// What can be made.
#[derive(Clone, Copy)]
pub enum What {
    /// Trades as JSON lines.
    Trades,
    /// The same as CSV.
    TradesCsv,
    /// Stations and temperatures.
    Stations,
    /// Orders of so many customers, as JSON lines.
    Orders(u32),
    /// The customers, as CSV.
    Customers,
}

/// The seed of what is made without saying which.
pub const SEED: u64 = 42;

#[derive(clap::Subcommand)]
enum Rows {
    /// Trades as JSON lines: symbol, price (in quotes), quantity, ts (epoch milliseconds), venue, id; 5 million average 99 bytes
    Trades(Target),
    /// The same trades as CSV with a header
    TradesCsv(Target),
    /// `station;temperature` without a header: the rows of the one-billion-row task
    Stations(Target),
    /// Orders as JSON lines: id, customer, amount (in quotes), ts (epoch milliseconds)
    Orders {
        #[command(flatten)]
        target: Target,
        /// How many customers they are of
        #[arg(long)]
        customers: u32,
    },
    /// Customers as CSV with a header: id, name, tier, credit
    Customers(Target),
}

#[derive(clap::Args)]
struct Target {
    /// How many rows
    #[arg(long)]
    rows: u64,
    /// Decides every value
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// The file to write; it is replaced
    #[arg(long)]
    out: PathBuf,
}

/// Writes the file and says how large and how fast.
pub fn run(args: &Args) -> Result<()> {
    let (what, target) = match &args.rows {
        Rows::Trades(target) => (What::Trades, target),
        Rows::TradesCsv(target) => (What::TradesCsv, target),
        Rows::Stations(target) => (What::Stations, target),
        Rows::Orders { target, customers } => (What::Orders(*customers), target),
        Rows::Customers(target) => (What::Customers, target),
    };
    write(what, target.rows, target.seed, &target.out)
}

/// Writes `rows` rows to `path` and says how large and how fast.
pub fn write(what: What, rows: u64, seed: u64, path: &Path) -> Result<()> {
    let trades = |form| {
        let mut trades = Trades::new(form, rows, seed);
        write_file(path, rows, trades.header(), |out| trades.push(out))
    };
    match what {
        What::Trades => trades(Form::Json),
        What::TradesCsv => trades(Form::Csv),
        What::Stations => {
            let mut stations = Stations::new(seed);
            write_file(path, rows, "", |out| stations.push(out))
        }
        What::Orders(customers) => {
            let mut orders = Orders::new(customers, seed);
            write_file(path, rows, "", |out| orders.push(out))
        }
        What::Customers => {
            let mut customers = Customers::new(rows, seed);
            write_file(path, rows, Customers::HEADER, |out| customers.push(out))
        }
    }
}

fn write_file(path: &Path, rows: u64, header: &str, row: impl FnMut(&mut Vec<u8>)) -> Result<()> {
    let start = Instant::now();
    let bytes = write_rows(path, rows, header, row);
    let bytes = bytes.with_context(|| format!("cannot write {}", path.display()))?;
    let seconds = start.elapsed().as_secs_f64();
    let average = (bytes - header.len() as u64) as f64 / (rows as f64).max(1.0);
    let speed = rows as f64 / seconds / 1e6;
    println!(
        "{}: {rows} rows, {bytes} bytes, {average:.2} bytes a row, {seconds:.2} s, {speed:.2} million rows a second",
        path.display(),
    );
    Ok(())
}

/// Collects a block, writes it, and so on; returns the number of bytes.
fn write_rows(path: &Path, rows: u64, header: &str, mut row: impl FnMut(&mut Vec<u8>)) -> std::io::Result<u64> {
    const BLOCK: usize = 1 << 20;
    let mut file = File::create(path)?;
    let mut block = Vec::with_capacity(BLOCK + 1_024);
    block.extend_from_slice(header.as_bytes());
    let mut bytes = 0;
    for _ in 0..rows {
        row(&mut block);
        if block.len() >= BLOCK {
            file.write_all(&block)?;
            bytes += block.len() as u64;
            block.clear();
        }
    }
    file.write_all(&block)?;
    Ok(bytes + block.len() as u64)
}
