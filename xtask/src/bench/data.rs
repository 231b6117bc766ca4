//! Inputs of the benches, made once and kept.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::generate::{self, What};

/// Made-up inputs in one folder.
pub struct Data {
    folder: PathBuf,
    /// A hundredth of the rows that are asked for.
    quick: bool,
}

/// One input.
pub struct Input {
    pub path: PathBuf,
    pub rows: u64,
}

impl Data {
    /// Inputs in `folder`, which is made.
    pub fn new(folder: PathBuf, quick: bool) -> Result<Self> {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { folder, quick })
    }

    /// An input of so many rows; made unless it is there.
    pub fn get(&self, what: What, rows: u64) -> Result<Input> {
        let rows = if self.quick { (rows / 100).max(1) } else { rows };
        let (name, ending) = match what {
            What::Trades => ("trades".to_owned(), "jsonl"),
            What::TradesCsv => ("trades".to_owned(), "csv"),
            What::Stations => ("stations".to_owned(), "csv"),
            What::Orders(customers) => (format!("orders-of-{customers}"), "jsonl"),
            What::Customers => ("customers".to_owned(), "csv"),
        };
        let path = self.folder.join(format!("{name}-{rows}.{ending}"));
        if !path.exists() {
            // A file that is half written when this is stopped must not be taken for an input.
            let partial = path.with_extension("partial");
            generate::write(what, rows, generate::SEED, &partial)?;
            std::fs::rename(&partial, &path).with_context(|| format!("cannot name {}", path.display()))?;
        }
        Ok(Input { path, rows })
    }
}
