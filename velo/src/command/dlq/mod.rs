//! `velo dlq list|replay`: what a job could not use.

mod back;
mod read;
mod replay;

use clap::{Args, Subcommand};
use serde_json::json;
use velo_core::time::iso8601;
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
    /// Writes the records of dead letters into a file, or sends them back to where they were read, as they were.
    Replay(replay::ReplayArguments),
}

/// Which dead letters are meant.
#[derive(Debug, Args)]
struct LetterArguments {
    /// Files or folders of dead letters (JSON, CSV or Parquet), or a script (`.sql`), whose `dead.letter.sink` says where they are: in files,
    /// or in a topic.
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
    let writer = read::writer(&arguments.letters.from).await?;
    read::letters(&arguments.letters.selection(), writer.as_ref(), async |letter| {
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
    let record = letter.bytes().map_or_else(|| "–".to_owned(), |record| shortened(&shown(record), SHOWN.0));
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
    // What is no text is shown as numbers, so that nobody has to guess how it was written.
    fn split(bytes: Option<&[u8]>) -> (Option<&str>, Option<&[u8]>) {
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        (text, bytes.filter(|_| text.is_none()))
    }
    let ((record, bytes), (key, key_bytes)) = (split(letter.bytes()), split(letter.attributes.key.as_deref()));
    let header = |(name, value): &(String, _)| {
        let (value, bytes) = split(Option::as_deref(value));
        json!({ "name": name, "value": value, "bytes": bytes })
    };
    json!({
        "stage": letter.stage,
        "source": letter.source,
        "place": letter.place,
        "code": letter.code,
        "error": letter.error,
        "record": record,
        "bytes": bytes,
        "key": key,
        "key_bytes": key_bytes,
        "headers": letter.attributes.headers.iter().map(header).collect::<Vec<_>>(),
        "record_time": letter.attributes.time.map(iso8601),
    })
}
