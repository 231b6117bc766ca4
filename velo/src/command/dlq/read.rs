//! Dead letters out of the files that they were written to, by the connector that reads any file.

use std::path::Path;

use anyhow::anyhow;
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use async_trait::async_trait;
use tokio::sync::mpsc;
use velo_core::connector::DirectSink;
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::{Batch, Result};
use velo_job::{RunOptions, Script};
use velo_sql::ast::{Create, ObjectKind, StatementKind};
use velo_sql::{parse_script, render};

use crate::command::print_error;
use crate::context;
use crate::exit::{Failure, Outcome};

/// Which dead letters are meant.
pub(super) struct Selection<'a> {
    /// Files, folders, or a script.
    pub(super) from: &'a [String],
    /// Only with this code.
    pub(super) code: Option<&'a str>,
    /// Only of this source or statement.
    pub(super) source: Option<&'a str>,
}

/// One dead letter.
pub(super) struct Letter {
    pub(super) stage: String,
    /// The source or statement.
    pub(super) source: String,
    pub(super) code: String,
    pub(super) error: String,
    pub(super) place: Option<String>,
    /// The bytes, where they were kept.
    pub(super) record: Option<Vec<u8>>,
}

/// Where dead letters lie: the properties of a source that reads them.
struct Place {
    path: String,
    properties: Vec<(String, String)>,
}

/// Hands the dead letters that are meant to `take`, in the order in which they were written.
pub(super) async fn letters(selection: &Selection<'_>, mut take: impl FnMut(Letter) -> Outcome) -> Outcome {
    let is_meant = |letter: &Letter| {
        selection.code.is_none_or(|code| letter.code == code)
            && selection.source.is_none_or(|source| letter.source.eq_ignore_ascii_case(source))
    };
    for place in places(selection.from).await? {
        let script = script_of(&place);
        let script = Script::plan(&script, &context::plan_context(Path::new("."))).await;
        if !script.is_runnable() {
            let wrong = script.diagnostics().first().map_or_else(String::new, |mistake| mistake.message.clone());
            return Err(Failure::Usage(anyhow!("the dead letters in {} cannot be read: {wrong}", place.path)));
        }
        let (sender, receiver) = mpsc::channel(4);
        let mut options = RunOptions::new(1);
        for (at, _) in script.terminals() {
            options.terminals.insert(at, Box::new(Channel(sender.clone())));
        }
        drop(sender);
        let progress = script.progress();
        let reading = script.run(options, &progress);
        let taking = hand_on(receiver, &place.path, |letter| if is_meant(&letter) { take(letter) } else { Ok(()) });
        let (read, taken) = tokio::join!(reading, taking);
        // Whoever does not want more ends the reading too, and says why.
        taken?;
        read.map_err(|error| Failure::Job(anyhow!(error).context(format!("reading {}", place.path))))?;
    }
    Ok(())
}

async fn hand_on(
    mut batches: mpsc::Receiver<RecordBatch>,
    path: &str,
    mut take: impl FnMut(Letter) -> Outcome,
) -> Outcome {
    while let Some(batch) = batches.recv().await {
        each(&batch, path)?.into_iter().try_for_each(&mut take)?;
    }
    Ok(())
}

/// Takes the rows of the statement that reads.
struct Channel(mpsc::Sender<RecordBatch>);

#[async_trait]
impl DirectSink for Channel {
    async fn show(&mut self, batch: Batch) -> Result<()> {
        let gone = |_| ConnectorError::new(ErrorKind::Io, "handing dead letters on", "nobody takes them any more");
        self.0.send(batch.columns).await.map_err(gone)
    }
}

/// The rows of a batch.
fn each(batch: &RecordBatch, path: &str) -> std::result::Result<Vec<Letter>, Failure> {
    let text = |name: &str, row: usize| {
        let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        column.filter(|column| column.is_valid(row)).map(|column| column.value(row).to_owned())
    };
    let bytes = |row: usize| {
        let column = batch.column_by_name("bytes").and_then(|column| column.as_binary_opt::<i32>());
        column.filter(|column| column.is_valid(row)).map(|column| column.value(row).to_vec())
    };
    let letter = |row: usize| {
        let lacks = |name: &str| {
            Failure::Usage(anyhow!(
                "{path} is no file of dead letters: a row of it has no '{name}'; those that a sink named by 'dead.letter.sink' wrote have"
            ))
        };
        let (stage, source) = (text("stage", row), text("source", row));
        let record = text("record", row).map(String::into_bytes).or_else(|| bytes(row));
        Ok(Letter {
            stage: stage.ok_or_else(|| lacks("stage"))?,
            source: source.ok_or_else(|| lacks("source"))?,
            code: text("code", row).ok_or_else(|| lacks("code"))?,
            error: text("error", row).unwrap_or_default(),
            place: text("place", row),
            record: record.filter(|record| !record.is_empty()),
        })
    };
    (0..batch.num_rows()).map(letter).collect()
}

/// The script that reads a place: the connector knows the form and the compression by the name, or by what the properties say.
fn script_of(place: &Place) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut with = vec![("connector".to_owned(), "file".to_owned()), ("path".to_owned(), place.path.clone())];
    with.extend(place.properties.iter().cloned());
    let with: Vec<String> = with.iter().map(|(key, value)| format!("{} = {}", quoted(key), quoted(value))).collect();
    format!(
        "CREATE STREAM letters (stage STRING, source STRING, code STRING, error STRING, place STRING, record STRING, bytes BYTES)\n\
         WITH ({});\nSELECT * FROM letters;",
        with.join(", ")
    )
}

/// The files that are named, or those of the sinks that a script sends dead letters to.
async fn places(from: &[String]) -> std::result::Result<Vec<Place>, Failure> {
    let is_script = |name: &String| Path::new(name).extension().is_some_and(|extension| extension == "sql");
    match from {
        [script] if is_script(script) => places_of_script(script).await,
        files => {
            if let Some(script) = files.iter().find(|name| is_script(name)) {
                return Err(Failure::Usage(anyhow!(
                    "{script} is a script, which stands alone: give it, or files of dead letters"
                )));
            }
            // In a path that is typed nothing stands for anything else.
            let place = |path: &String| Place { path: path.replace("${", "$${"), properties: Vec::new() };
            Ok(files.iter().map(place).collect())
        }
    }
}

async fn places_of_script(path: &str) -> std::result::Result<Vec<Place>, Failure> {
    let text = context::read(path)?;
    let script = Script::plan(&text.text, &context::plan_context(&text.folder)).await;
    if !script.is_runnable() {
        print_error(&render(script.diagnostics(), &text.name, &text.text));
        return Err(Failure::Reported);
    }
    let sinks = script.dead_letter_sinks();
    if sinks.is_empty() {
        return Err(Failure::Usage(anyhow!(
            "nothing in {path} goes to dead letters: no policy of it is 'dead_letter'"
        )));
    }
    let parsed = parse_script(&text.text);
    let created = |name: &str| {
        parsed.statements.iter().find_map(|statement| match &statement.kind {
            StatementKind::Create(create) if create.kind == ObjectKind::Sink => {
                create.name.text().eq_ignore_ascii_case(name).then_some(create)
            }
            _ => None,
        })
    };
    let mut places = Vec::new();
    for sink in sinks {
        let Some(create) = created(&sink) else { continue };
        let place = place_of_sink(&sink, create)?;
        // The sink makes its file when rows become visible.
        if !place.path.contains("${") && !Path::new(&place.path).exists() {
            print_error(&format!("note: {} is not there yet: no run has shown dead letters\n", place.path));
            continue;
        }
        places.push(place);
    }
    Ok(places)
}

/// The properties of a sink that say how its files are read.
fn place_of_sink(name: &str, create: &Create) -> std::result::Result<Place, Failure> {
    let pairs = create.properties.entries.iter();
    let pairs: Vec<(String, String)> =
        pairs.map(|property| (property.key.text.to_lowercase(), property.value.text.clone())).collect();
    let value =
        |keys: &[&str]| pairs.iter().find(|(key, _)| keys.contains(&key.as_str())).map(|(_, value)| value.clone());
    let connector = value(&["connector", "type"]).unwrap_or_default();
    let path = value(&["path", "file.path"]).filter(|_| connector.eq_ignore_ascii_case("file"));
    let path = path.ok_or_else(|| {
        Failure::Usage(anyhow!(
            "the dead letters in '{name}' go to the connector '{connector}', and velo dlq reads files"
        ))
    })?;
    let is_form = |key: &str| matches!(key, "format" | "value.format" | "json.layout") || key.starts_with("csv.");
    let properties = pairs.into_iter().filter(|(key, _)| is_form(key)).collect();
    Ok(Place { path, properties })
}
