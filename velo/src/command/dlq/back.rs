//! `velo dlq replay --to-source`: records of dead letters as they were, back where they were read.

use anyhow::anyhow;
use velo_core::Place;
use velo_core::connector::{Replay, ReplayedRecord};

use super::read::{self, Letter, Selection, Writer};
use super::replay::is_row;
use crate::command::print_error;
use crate::exit::{Failure, Outcome};

/// What is sent, and what is not.
struct Back<'a> {
    writer: &'a Writer,
    /// The ways back that are open, by the name of their source.
    open: Vec<Open>,
    /// Rows that an operator gave up, which were never records.
    rows: u64,
}

struct Open {
    source: String,
    replay: Box<dyn Replay>,
    sent: u64,
}

/// Sends the dead letters that are meant to where they were read: of each source all or none.
pub(super) async fn to_source(selection: &Selection<'_>, writer: Option<&Writer>) -> Outcome {
    let writer = writer.ok_or_else(|| {
        Failure::Usage(anyhow!(
            "--to-source takes the script that wrote the dead letters: its sources say where their records were read"
        ))
    })?;
    let mut back = Back { writer, open: Vec::new(), rows: 0 };
    let sent = read::letters(selection, Some(writer), async |letter| back.take(letter).await).await;
    if sent.is_err() {
        for open in &mut back.open {
            // What is told is why nothing was sent; a transaction that cannot be aborted now is aborted by the cluster.
            drop(open.replay.abort().await);
        }
        return sent;
    }
    for Open { source, replay, sent } in &mut back.open {
        replay.commit().await.map_err(|error| failed(source, error))?;
        print_error(&format!("{sent} records were sent back to where {source} reads them\n"));
    }
    if back.rows > 0 {
        print_error(&format!(
            "{} were not: they are rows of operators, and no records; --to FILE writes them, with --code or --source\n",
            back.rows
        ));
    }
    match back.open.is_empty() {
        true => Err(Failure::Usage(anyhow!("there is nothing to replay, and nothing was sent"))),
        false => Ok(()),
    }
}

fn failed(source: &str, error: velo_core::ConnectorError) -> Failure {
    Failure::Job(anyhow!(error).context(format!("replaying records of {source}")))
}

impl Back<'_> {
    async fn take(&mut self, letter: Letter) -> Outcome {
        if is_row(&letter) {
            self.rows += 1;
            return Ok(());
        }
        let place = letter.place.as_deref().and_then(Place::parse_offset).ok_or_else(|| {
            let place = letter.place.as_deref().unwrap_or("an unknown place");
            Failure::Usage(anyhow!(
                "the record at {place} was not read from a topic, and nothing was sent: --to FILE writes such records, and --source chooses"
            ))
        })?;
        let at = match self.open.iter().position(|open| open.source == letter.source) {
            Some(at) => at,
            None => self.open(&letter.source).await?,
        };
        let open = &mut self.open[at];
        let record =
            ReplayedRecord { place, bytes: letter.record.unwrap_or_default().into(), attributes: letter.attributes };
        open.replay.send(record).await.map_err(|error| failed(&letter.source, error))?;
        open.sent += 1;
        Ok(())
    }

    async fn open(&mut self, source: &str) -> std::result::Result<usize, Failure> {
        let binding = self.writer.script.source(source).ok_or_else(|| {
            Failure::Usage(anyhow!(
                "there are dead letters of '{source}', which the script does not read (any more): choose others with --source"
            ))
        })?;
        let replay = binding.open_replay().await.map_err(|error| failed(source, error))?;
        let replay = replay.ok_or_else(|| {
            Failure::Usage(anyhow!(
                "'{source}' reads {}, which takes no records back: --to FILE writes them",
                binding.describe()
            ))
        })?;
        self.open.push(Open { source: source.to_owned(), replay, sent: 0 });
        Ok(self.open.len() - 1)
    }
}
