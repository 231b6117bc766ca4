//! `velo dlq list|replay`: what a job could not use.

mod read;
mod replay;

use clap::{Args, Subcommand};
use serde_json::json;
use velo_job::Shown;

use self::read::{Letter, Selection};
use super::{ListFormat, print_error, print_line};
use crate::exit::Outcome;
use crate::output;

/// What `dlq` takes.
#[derive(Debug, Args)]
pub struct DlqArguments {
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Debug, Subcommand)]
enum DlqCommand {
    /// Lists dead letters: records and rows that a job could not use, and why.
    List(ListArguments),
    /// Writes the records of dead letters into a file, as they were, so that they can be read again.
    Replay(replay::ReplayArguments),
}

/// Which dead letters are meant.
#[derive(Debug, Args)]
struct LetterArguments {
    /// Files or folders of dead letters (JSON, CSV or Parquet), or a script (`.sql`), whose `dead.letter.sink` says where they are.
    #[arg(required = true)]
    from: Vec<String>,
    /// Only those with this code: `decode`, `late-data`, `compute-error` and others; `velo errors` explains them.
    #[arg(long)]
    code: Option<String>,
    /// Only those of this source or statement.
    #[arg(long)]
    source: Option<String>,
}

/// What `dlq list` takes.
#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    letters: LetterArguments,
    /// Lists so many at most; 100 of a list for people, without it.
    #[arg(long)]
    limit: Option<usize>,
    /// How the list is printed.
    #[arg(long, value_enum, default_value_t)]
    output: ListFormat,
}

/// Lines of a list for people, where nothing else is said.
const LINES: usize = 100;

/// Characters of a record that a list for people shows, and of an error.
const SHOWN: (usize, usize) = (60, 90);

impl LetterArguments {
    fn selection(&self) -> Selection<'_> {
        Selection { from: &self.from, code: self.code.as_deref(), source: self.source.as_deref() }
    }
}

/// Lists or replays dead letters.
pub fn run(arguments: &DlqArguments) -> Outcome {
    let runtime = super::run::runtime(Some(1))?;
    match &arguments.command {
        DlqCommand::List(arguments) => runtime.block_on(list(arguments)),
        DlqCommand::Replay(arguments) => runtime.block_on(replay::run(arguments)),
    }
}

async fn list(arguments: &ListArguments) -> Outcome {
    let limit = match arguments.output {
        ListFormat::Text => arguments.limit.unwrap_or(LINES),
        ListFormat::Json => arguments.limit.unwrap_or(usize::MAX),
    };
    let (mut rows, mut found) = (Vec::new(), 0_usize);
    read::letters(&arguments.letters.selection(), |letter| {
        found += 1;
        if found > limit {
            return Ok(());
        }
        match arguments.output {
            ListFormat::Json => print_line(&as_json(&letter).to_string()),
            ListFormat::Text => rows.push(as_row(&letter)),
        }
        Ok(())
    })
    .await?;
    if found == 0 {
        print_error("there are no such dead letters\n");
        return Ok(());
    }
    if let ListFormat::Text = arguments.output {
        let header = ["stage", "source", "place", "code", "error", "record"].map(str::to_owned).to_vec();
        print_line(output::shown(&Shown { title: String::new(), header, rows }).trim_end());
    }
    if found > limit {
        print_error(&format!("{limit} of {found} are listed; --limit {found} lists all\n"));
    }
    Ok(())
}

fn as_row(letter: &Letter) -> Vec<String> {
    let record = letter.record.as_deref().map_or_else(|| "–".to_owned(), |record| shortened(&shown(record), SHOWN.0));
    vec![
        letter.stage.clone(),
        letter.source.clone(),
        letter.place.clone().unwrap_or_else(|| "–".to_owned()),
        letter.code.clone(),
        shortened(&shown(letter.error.as_bytes()), SHOWN.1),
        record,
    ]
}

/// One line of a table, whatever the bytes are.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn as_json(letter: &Letter) -> serde_json::Value {
    let text = letter.record.as_deref().map(std::str::from_utf8);
    let bytes = match &text {
        // No text; as numbers, so that nobody has to guess how they were written.
        Some(Err(_)) => letter.record.clone(),
        _ => None,
    };
    json!({
        "stage": letter.stage,
        "source": letter.source,
        "place": letter.place,
        "code": letter.code,
        "error": letter.error,
        "record": text.and_then(Result::ok),
        "bytes": bytes,
    })
}
