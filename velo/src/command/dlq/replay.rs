//! `velo dlq replay`: records of dead letters as they were, one behind the other in a file of their own, or back where they were read.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;

use super::read::{self, Letter, Writer};
use super::{LetterArguments, back};
use crate::command::print_error;
use crate::exit::{Failure, Outcome};

/// What `dlq replay` takes.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    #[command(flatten)]
    letters: LetterArguments,
    #[command(flatten)]
    to: Target,
    /// A first line for the file, such as the header that a source of CSV expects.
    #[arg(long, value_name = "LINE", conflicts_with = "to_source")]
    header: Option<String>,
}

/// Where the records go.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// The file that gets the records, which must not be there yet: a source of their format reads it.
    #[arg(long, value_name = "FILE")]
    to: Option<String>,
    /// Sends each record to the topic and partition that it was read from, with its bytes, key, headers and time. The dead letters are
    /// those of a script, whose sources say where the topics are.
    #[arg(long)]
    to_source: bool,
}

/// What was written, and what not.
#[derive(Default)]
struct Tally {
    written: u64,
    /// Of them rows as JSON, which an operator gave up.
    rows: u64,
    /// Of those changes that take something back or replace it.
    changes: u64,
    /// Of them records with line breaks.
    broken: u64,
    /// Letters that no bytes were kept of.
    empty: u64,
    /// The source or statement that they are of.
    source: Option<String>,
}

/// Replays the records of dead letters.
pub async fn run(arguments: &ReplayArguments) -> Outcome {
    let writer = read::writer(&arguments.letters.from).await?;
    match &arguments.to.to {
        Some(file) => to_file(arguments, writer.as_ref(), file).await,
        None => back::to_source(&arguments.letters.selection(), writer.as_ref()).await,
    }
}

/// Writes them into a file.
async fn to_file(arguments: &ReplayArguments, writer: Option<&Writer>, to: &str) -> Outcome {
    let target = target(to)?;
    let temporary = Temporary::beside(&target)?;
    let mut out = BufWriter::new(temporary.file()?);
    let failed = |error: std::io::Error| Failure::Job(anyhow!(error).context(format!("writing {}", target.display())));
    if let Some(header) = &arguments.header {
        writeln!(out, "{header}").map_err(failed)?;
    }
    let mut tally = Tally::default();
    let selection = arguments.letters.selection();
    read::letters(&selection, writer, async |letter| tally.take(&letter, &mut out, &failed)).await?;
    if tally.written == 0 {
        tally.tell_of_the_rest();
        return Err(Failure::Usage(anyhow!("there is nothing to replay, and {} was not made", target.display())));
    }
    let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    temporary.publish(&target)?;
    let what = if tally.rows > 0 { "rows" } else { "records" };
    let source = tally.source.as_deref().unwrap_or_default();
    print_error(&format!("{} {what} of {source} were written to {}\n", tally.written, target.display()));
    tally.tell_of_the_rest();
    Ok(())
}

/// A path that can be written to.
fn target(to: &str) -> std::result::Result<PathBuf, Failure> {
    let path = to.strip_prefix("file://").unwrap_or(to);
    if path.contains("://") {
        return Err(Failure::Usage(anyhow!(
            "--to takes a path, and '{to}' is another system: --to-source sends records back to where they were read"
        )));
    }
    let path = Path::new(path);
    if path.extension().is_some_and(|extension| matches!(extension.to_str(), Some("gz" | "zst"))) {
        return Err(Failure::Usage(anyhow!(
            "records are replayed as they were, without compression: choose another name than {to}"
        )));
    }
    // Looked at again when it is published; here, so that nothing is read in vain.
    if path.exists() {
        return Err(there_already(path));
    }
    Ok(path.to_owned())
}

fn there_already(path: &Path) -> Failure {
    Failure::Usage(anyhow!("{} is there already, and is not overwritten: choose another name", path.display()))
}

impl Tally {
    fn take(&mut self, letter: &Letter, out: &mut impl Write, failed: &impl Fn(std::io::Error) -> Failure) -> Outcome {
        let Some(record) = letter.bytes() else {
            self.empty += 1;
            return Ok(());
        };
        // Rows of several would be read as those of one.
        if let Some(known) = self.source.as_ref().filter(|known| **known != letter.source) {
            return Err(Failure::Usage(anyhow!(
                "there are dead letters of '{known}' and of '{}', which do not belong into one file: choose with --source",
                letter.source
            )));
        }
        self.source = Some(letter.source.clone());
        if is_row(letter) {
            self.rows += 1;
            self.changes += u64::from(record.starts_with(b"{\"_op\":"));
        } else {
            self.broken += u64::from(record.contains(&b'\n'));
        }
        self.written += 1;
        out.write_all(record).and_then(|()| out.write_all(b"\n")).map_err(failed)
    }

    fn tell_of_the_rest(&self) {
        if self.empty > 0 {
            print_error(&format!("{} were not: no bytes of them were kept\n", self.empty));
        }
        if self.broken > 0 {
            print_error(&format!("note: {} of the records have line breaks in them\n", self.broken));
        }
        if self.changes > 0 {
            print_error(&format!(
                "note: {} of the rows are changes, with their kind in _op: a source with 'changelog.mode' = 'full' reads them\n",
                self.changes
            ));
        }
    }
}

/// Whether it is a row that an operator gave up, and no record of a source.
pub(super) fn is_row(letter: &Letter) -> bool {
    matches!(letter.stage.as_str(), "late" | "compute")
}

/// A file that becomes the target when it is whole, and else goes.
struct Temporary(PathBuf);

impl Temporary {
    fn beside(target: &Path) -> std::result::Result<Self, Failure> {
        let name = target.file_name().ok_or_else(|| Failure::Usage(anyhow!("{} names no file", target.display())))?;
        let hidden = format!(".{}.replay-{}", name.to_string_lossy(), std::process::id());
        Ok(Self(target.with_file_name(hidden)))
    }

    fn file(&self) -> std::result::Result<File, Failure> {
        let file = OpenOptions::new().write(true).create_new(true).open(&self.0);
        file.with_context(|| format!("making {}", self.0.display())).map_err(Failure::Usage)
    }

    /// Gives it its name, where that is still free: a link is made or not, and never replaces.
    fn publish(&self, target: &Path) -> Outcome {
        match std::fs::hard_link(&self.0, target) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(there_already(target)),
            Err(error) => Err(Failure::Job(anyhow!(error).context(format!("making {}", target.display())))),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What is left of a failed attempt is of no use; where it was published it has another name by now.
        drop(std::fs::remove_file(&self.0));
    }
}
