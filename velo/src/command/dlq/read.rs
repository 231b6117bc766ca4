//! Dead letters out of where they were written to: files by the connector that reads any file, other systems as their sink says.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use async_trait::async_trait;
use tokio::sync::mpsc;
use velo_core::connector::{DirectSink, SinkBinding, SourceBinding};
use velo_core::dead_letter::{self, RecordAttributes};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::{Batch, Result};
use velo_job::{RunOptions, Script, read_back};
use velo_sql::ast::{Create, ObjectKind, StatementKind};
use velo_sql::{parse_script, render};

use crate::command::print_error;
use crate::context::{self, ScriptText};
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
    /// The bytes, where the record has some and they were kept.
    pub(super) record: Option<Vec<u8>>,
    /// What the record had beside them, where its system has that.
    pub(super) attributes: RecordAttributes,
}

impl Letter {
    /// The bytes, where there are any.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.record.as_deref().filter(|record| !record.is_empty())
    }
}

/// A script that writes dead letters.
pub(super) struct Writer {
    text: ScriptText,
    pub(super) script: Script,
}

/// Where dead letters lie.
enum Place {
    /// In files: the properties of a source that reads them.
    Files { path: String, properties: Vec<(String, String)> },
    /// In another system: what its sink says about reading them.
    System { source: Arc<dyn SourceBinding>, name: String },
}

impl Place {
    /// What messages call it.
    fn name(&self) -> String {
        match self {
            Self::Files { path, .. } => path.clone(),
            Self::System { source, .. } => source.describe(),
        }
    }
}

/// The script, where the dead letters are those of one.
pub(super) async fn writer(from: &[String]) -> std::result::Result<Option<Writer>, Failure> {
    let is_script = |name: &String| Path::new(name).extension().is_some_and(|extension| extension == "sql");
    let [path] = from else {
        return match from.iter().find(|name| is_script(name)) {
            Some(script) => Err(Failure::Usage(anyhow!(
                "{script} is a script, which stands alone: give it, or files of dead letters"
            ))),
            None => Ok(None),
        };
    };
    if path.contains("://") && !path.starts_with("file://") {
        return Err(Failure::Usage(anyhow!(
            "dead letters in other systems are found by the script that wrote them: give that, and not '{path}'"
        )));
    }
    if !is_script(path) {
        return Ok(None);
    }
    let text = context::read(path)?;
    let script = Script::plan(&text.text, &context::plan_context(&text.folder)).await;
    if !script.is_runnable() {
        print_error(&render(script.diagnostics(), &text.name, &text.text));
        return Err(Failure::Reported);
    }
    Ok(Some(Writer { text, script }))
}

/// Hands the dead letters that are meant to `take`, in the order in which they were written: in a topic that of each partition.
pub(super) async fn letters(
    selection: &Selection<'_>,
    writer: Option<&Writer>,
    mut take: impl AsyncFnMut(Letter) -> Outcome,
) -> Outcome {
    let is_meant = |letter: &Letter| {
        selection.code.is_none_or(|code| letter.code == code)
            && selection.source.is_none_or(|source| letter.source.eq_ignore_ascii_case(source))
    };
    let places = match writer {
        Some(writer) => places_of(writer)?,
        None => selection.from.iter().map(|path| typed(path)).collect(),
    };
    for place in places {
        let (sender, receiver) = mpsc::channel(4);
        let name = place.name();
        let taking = hand_on(receiver, &name, async |letter| match is_meant(&letter) {
            true => take(letter).await,
            false => Ok(()),
        });
        let (read, taken) = tokio::join!(read(&place, sender), taking);
        // Whoever does not want more ends the reading too, and says why.
        taken?;
        read?;
    }
    Ok(())
}

/// Gives `rows` all that lies in a place.
async fn read(place: &Place, rows: mpsc::Sender<RecordBatch>) -> Outcome {
    let (path, properties) = match place {
        Place::Files { path, properties } => (path, properties),
        Place::System { source, name } => {
            return match read_back(source.as_ref(), name, &dead_letter::schema(), rows).await {
                Err(error) if error.kind == ErrorKind::NotFound => {
                    print_error(&format!("note: {}: no run has shown dead letters\n", error.message));
                    Ok(())
                }
                read => read.map_err(|error| Failure::Job(anyhow!(error).context(format!("reading {}", place.name())))),
            };
        }
    };
    let script = Script::plan(&script_of(path, properties), &context::plan_context(Path::new("."))).await;
    if !script.is_runnable() {
        let wrong = script.diagnostics().first().map_or_else(String::new, |mistake| mistake.message.clone());
        return Err(Failure::Usage(anyhow!("the dead letters in {path} cannot be read: {wrong}")));
    }
    let mut options = RunOptions::new(1);
    for (at, _) in script.terminals() {
        options.terminals.insert(at, Box::new(Channel(rows.clone())));
    }
    drop(rows);
    let progress = script.progress();
    let read = script.run(options, &progress).await;
    read.map_err(|error| Failure::Job(anyhow!(error).context(format!("reading {path}"))))
}

async fn hand_on(
    mut batches: mpsc::Receiver<RecordBatch>,
    path: &str,
    mut take: impl AsyncFnMut(Letter) -> Outcome,
) -> Outcome {
    while let Some(batch) = batches.recv().await {
        for letter in each(&batch, path)? {
            take(letter).await?;
        }
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
    let bytes = |name: &str, row: usize| {
        let column = batch.column_by_name(name).and_then(|column| column.as_binary_opt::<i32>());
        column.filter(|column| column.is_valid(row)).map(|column| column.value(row).to_vec())
    };
    let time = |row: usize| {
        let column = batch.column_by_name("record_time")?.as_primitive_opt::<TimestampMicrosecondType>()?;
        column.is_valid(row).then(|| column.value(row))
    };
    let letter = |row: usize| {
        let lacks = |name: &str| {
            Failure::Usage(anyhow!(
                "{path} has no dead letters: a row of it has no '{name}'; those that a sink named by 'dead.letter.sink' wrote have"
            ))
        };
        let (stage, source) = (text("stage", row), text("source", row));
        let headers = text("headers", row).map(|headers| {
            RecordAttributes::headers_from_json(&headers).ok_or_else(|| {
                Failure::Usage(anyhow!("{path} has a dead letter whose 'headers' are no list of headers: {headers}"))
            })
        });
        let record = text("record", row).map(String::into_bytes).or_else(|| bytes("bytes", row));
        let key = text("key", row).map(String::into_bytes).or_else(|| bytes("key_bytes", row));
        let attributes = RecordAttributes {
            key: key.map(Into::into),
            has_value: record.is_some(),
            headers: headers.transpose()?.unwrap_or_default(),
            time: time(row),
        };
        Ok(Letter {
            stage: stage.ok_or_else(|| lacks("stage"))?,
            source: source.ok_or_else(|| lacks("source"))?,
            code: text("code", row).ok_or_else(|| lacks("code"))?,
            error: text("error", row).unwrap_or_default(),
            place: text("place", row),
            record,
            attributes,
        })
    };
    (0..batch.num_rows()).map(letter).collect()
}

/// The script that reads files: the connector knows the form and the compression by the name, or by what the properties say.
fn script_of(path: &str, properties: &[(String, String)]) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut with = vec![("connector".to_owned(), "file".to_owned()), ("path".to_owned(), path.to_owned())];
    with.extend(properties.iter().cloned());
    let with: Vec<String> = with.iter().map(|(key, value)| format!("{} = {}", quoted(key), quoted(value))).collect();
    format!(
        "CREATE STREAM letters (stage STRING, source STRING, code STRING, error STRING, place STRING, record STRING, bytes BYTES,\n\
         key STRING, key_bytes BYTES, headers STRING, record_time TIMESTAMP)\n\
         WITH ({});\nSELECT * FROM letters;",
        with.join(", ")
    )
}

/// A file or folder that is named by the caller.
fn typed(path: &str) -> Place {
    // In a path that is typed nothing stands for anything else.
    Place::Files { path: path.replace("${", "$${"), properties: Vec::new() }
}

/// Where a script sends dead letters.
fn places_of(writer: &Writer) -> std::result::Result<Vec<Place>, Failure> {
    let Writer { text, script } = writer;
    let sinks = script.dead_letter_sinks();
    if sinks.is_empty() {
        return Err(Failure::Usage(anyhow!(
            "nothing in {} goes to dead letters: no policy of it is 'dead_letter'",
            text.name
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
        if let Some(source) = script.sink(&sink).and_then(SinkBinding::read_back) {
            places.push(Place::System { source, name: sink });
            continue;
        }
        let Some(create) = created(&sink) else { continue };
        let (path, properties) = files_of_sink(&sink, create)?;
        // The sink makes its file when rows become visible.
        if !path.contains("${") && !Path::new(&path).exists() {
            print_error(&format!("note: {path} is not there yet: no run has shown dead letters\n"));
            continue;
        }
        places.push(Place::Files { path, properties });
    }
    Ok(places)
}

/// The path of a sink's files, and its properties that say how they are read.
fn files_of_sink(name: &str, create: &Create) -> std::result::Result<(String, Vec<(String, String)>), Failure> {
    let pairs = create.properties.entries.iter();
    let pairs: Vec<(String, String)> =
        pairs.map(|property| (property.key.text.to_lowercase(), property.value.text.clone())).collect();
    let value =
        |keys: &[&str]| pairs.iter().find(|(key, _)| keys.contains(&key.as_str())).map(|(_, value)| value.clone());
    let connector = value(&["connector", "type"]).unwrap_or_default();
    let path = value(&["path", "file.path"]).filter(|_| connector.eq_ignore_ascii_case("file"));
    let path = path.ok_or_else(|| {
        Failure::Usage(anyhow!(
            "the dead letters in '{name}' go to the connector '{connector}', with properties under which velo dlq cannot read them: it reads files, and topics whose records have all columns in the value or the key"
        ))
    })?;
    let is_form = |key: &str| matches!(key, "format" | "value.format" | "json.layout") || key.starts_with("csv.");
    let properties = pairs.into_iter().filter(|(key, _)| is_form(key)).collect();
    Ok((path, properties))
}
