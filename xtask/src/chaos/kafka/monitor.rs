//! A reader of the outputs that goes along with the run: what has come through so far, and at once which window came twice.
//!
//! A row that came twice may be there twice in the input, which the comparison in the end knows; of a window there is one, whatever it has
//! in it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::Message;

use super::topics::Cluster;

/// The reader, on a thread of its own.
pub(super) struct Monitor {
    shared: Arc<Shared>,
}

struct Shared {
    seen: Mutex<Seen>,
    over: AtomicBool,
}

/// What has come through.
#[derive(Default)]
struct Seen {
    /// Whether the row with this id was joined.
    joined: Vec<bool>,
    rows: usize,
    /// How many of these rows had come before.
    repeated: usize,
    windows: HashSet<String>,
    /// What cannot be.
    wrong: Option<String>,
    /// What the client said last instead of a record.
    said: Option<String>,
}

impl Monitor {
    pub(super) fn start(cluster: &Cluster, joined: &str, windows: &str) -> Result<Self> {
        let (consumer, _) = cluster.consumer(&[joined, windows])?;
        let shared = Arc::new(Shared { seen: Mutex::default(), over: AtomicBool::new(false) });
        let (told, joined) = (Arc::clone(&shared), joined.to_owned());
        thread::Builder::new().name("monitor".to_owned()).spawn(move || told.read(&consumer, &joined))?;
        Ok(Self { shared })
    }

    /// An error where a window came twice, or what is no row.
    pub(super) fn check(&self) -> Result<()> {
        match &self.shared.seen().wrong {
            Some(wrong) => bail!("{wrong}"),
            None => Ok(()),
        }
    }

    /// Whether all these rows have come through.
    pub(super) fn has(&self, ids: &[u64]) -> bool {
        let seen = self.shared.seen();
        ids.iter().all(|id| seen.joined.get(*id as usize).copied().unwrap_or(false))
    }

    /// How many rows have been joined, and windows have been closed.
    pub(super) fn counts(&self) -> (usize, usize) {
        let seen = self.shared.seen();
        (seen.rows, seen.windows.len())
    }

    /// How many joined rows came once more than before.
    pub(super) fn repeated(&self) -> usize {
        self.shared.seen().repeated
    }

    /// What its client said last about the brokers.
    pub(super) fn said(&self) -> String {
        self.shared.seen().said.clone().unwrap_or_else(|| "nothing".to_owned())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, consumer: &BaseConsumer, joined: &str) {
        // A client may be given a record again when a leader changes; that is none that is there twice.
        let mut next = std::collections::HashMap::<(bool, i32), i64>::new();
        while !self.over.load(Ordering::Relaxed) {
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Err(error)) => self.seen().said = Some(error.to_string()),
                Some(Ok(record)) => {
                    let is_joined = record.topic() == joined;
                    let next = next.entry((is_joined, record.partition())).or_default();
                    if record.offset() < *next {
                        continue;
                    }
                    *next = record.offset() + 1;
                    let line = String::from_utf8_lossy(record.payload().unwrap_or_default());
                    let place = || format!("{}/{} at {}", record.topic(), record.partition(), record.offset());
                    let mut seen = self.seen();
                    if let Err(wrong) = seen.take(is_joined, &line) {
                        let wrong = format!("{wrong:#}, {}", place());
                        seen.wrong.get_or_insert(wrong);
                    }
                }
            }
        }
    }
}

impl Seen {
    fn take(&mut self, is_joined: bool, line: &str) -> Result<()> {
        let row: serde_json::Value =
            serde_json::from_str(line).with_context(|| format!("an output has no row: {line}"))?;
        if is_joined {
            let id = row["id"].as_u64().with_context(|| format!("a joined row has no id: {line}"))? as usize;
            if self.joined.len() <= id {
                self.joined.resize(id + 1, false);
            }
            self.rows += 1;
            self.repeated += usize::from(std::mem::replace(&mut self.joined[id], true));
        } else if !self.windows.insert(format!("{} {}", row["start"], row["k"])) {
            bail!("a window closed twice: {line}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_is_told() {
        let mut seen = Seen::default();
        for id in [0, 2, 1] {
            seen.take(true, &format!("{{\"id\":{id}}}")).unwrap();
        }
        seen.take(true, "{\"id\":2}").unwrap();
        seen.take(false, "{\"k\":\"a\",\"start\":\"x\",\"n\":1}").unwrap();
        seen.take(false, "{\"k\":\"b\",\"start\":\"x\",\"n\":1}").unwrap();
        // A window that closes again has other figures, maybe.
        let error = seen.take(false, "{\"k\":\"a\",\"start\":\"x\",\"n\":2}").unwrap_err().to_string();
        assert!(error.starts_with("a window closed twice: "), "{error}");
        assert!(seen.take(true, "no row").is_err());
        assert_eq!((seen.rows, seen.repeated, seen.windows.len()), (4, 1, 2));
    }
}
