//! Where a task's elements go: to one task, to all, or to the one that has the key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::{ArrayRef, UInt32Array};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use velo_core::Batch;
use velo_core::dead_letter::{self, DeadLetter, Stage};
use velo_plan::plan::SinkId;

use crate::checkpoint::state::task_of;
use crate::error::{ExecError, Result};
use crate::operator::Element;
use crate::state::{KeyGrouper, shared_out};

/// Elements waiting in a channel at most; measured: deeper queues gain nothing, one costs a switch per element.
pub const CHANNEL_DEPTH: usize = 4;

/// The consumers of a task.
#[derive(Debug, Default)]
pub struct Outputs {
    edges: Vec<Edge>,
    /// Where rows go that were given up, by their sinks.
    letters: Vec<(Option<SinkId>, mpsc::Sender<Element>)>,
    waited: AtomicBool,
}

/// A row that was given up, with the sink that it is for.
pub type Letter = (Option<SinkId>, DeadLetter);

/// The sinks of the rows that an operator gives up.
#[derive(Debug, Clone, Copy, Default)]
pub struct LetterSinks {
    /// Of those that come too late.
    pub late: Option<SinkId>,
    /// Of those on which an expression fails.
    pub compute: Option<SinkId>,
}

impl LetterSinks {
    /// A row that was given up, with its sink.
    pub fn address(self, letter: DeadLetter) -> Letter {
        (if letter.stage == Stage::Compute { self.compute } else { self.late }, letter)
    }
}

#[derive(Debug)]
struct Edge {
    targets: Vec<mpsc::Sender<Element>>,
    /// The places of the key columns; empty: everything goes to the only target.
    key: Vec<usize>,
}

impl Outputs {
    /// No consumer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything goes to `target` too.
    pub fn forward(&mut self, target: mpsc::Sender<Element>) {
        self.edges.push(Edge { targets: vec![target], key: vec![] });
    }

    /// Rows go to the one of `targets` that has their key group; everything else to all of them.
    pub fn by_key(&mut self, targets: Vec<mpsc::Sender<Element>>, key: Vec<usize>) {
        self.edges.push(Edge { targets, key });
    }

    /// Rows that were given up and are for `sink` go to `target`.
    pub fn dead_letters_to(&mut self, sink: Option<SinkId>, target: mpsc::Sender<Element>) {
        self.letters.push((sink, target));
    }

    /// Hands on rows that were given up.
    pub async fn dead_letters(&self, letters: Vec<Letter>) -> Result<()> {
        for of_sink in letters.chunk_by(|one, other| one.0 == other.0) {
            let sink = of_sink[0].0;
            let Some((_, target)) = self.letters.iter().find(|(known, _)| *known == sink) else {
                return Err(ExecError::Internal("dead letters without a sink for them".to_owned()));
            };
            let rows = dead_letter::to_batch(of_sink.iter().map(|(_, letter)| letter))?;
            self.deliver(target, Element::Batch(Batch::new(rows))).await?;
        }
        Ok(())
    }

    /// Hands an element to the consumers; waits while their channels are full.
    pub async fn send(&self, element: Element) -> Result<()> {
        if let Element::End | Element::Stop | Element::Barrier(_) = &element {
            for (_, letters) in &self.letters {
                self.deliver(letters, element.clone()).await?;
            }
        }
        for edge in &self.edges {
            self.send_to(edge, element.clone()).await?;
        }
        Ok(())
    }

    async fn send_to(&self, edge: &Edge, element: Element) -> Result<()> {
        match element {
            Element::Batch(batch) if edge.targets.len() > 1 => {
                for (target, part) in edge.targets.iter().zip(edge.split(&batch)?) {
                    if let Some(part) = part {
                        self.deliver(target, Element::Batch(part)).await?;
                    }
                }
                Ok(())
            }
            other => {
                for target in &edge.targets {
                    self.deliver(target, other.clone()).await?;
                }
                Ok(())
            }
        }
    }

    async fn deliver(&self, target: &mpsc::Sender<Element>, element: Element) -> Result<()> {
        match target.try_send(element) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(element)) => {
                self.waited.store(true, Ordering::Relaxed);
                target.send(element).await.map_err(|_| ExecError::Stopped)
            }
            Err(TrySendError::Closed(_)) => Err(ExecError::Stopped),
        }
    }

    /// Whether a consumer was behind, so that this had to wait, since it was last asked.
    pub fn has_waited(&self) -> bool {
        self.waited.swap(false, Ordering::Relaxed)
    }
}

impl Edge {
    /// The rows for each target: one gather in the order of the targets, then slices of it.
    fn split(&self, batch: &Batch) -> Result<Vec<Option<Batch>>> {
        let keys: Vec<ArrayRef> = self.key.iter().map(|at| Arc::clone(batch.columns.column(*at))).collect();
        let mut groups = Vec::new();
        KeyGrouper::new().key_groups(&keys, batch.rows(), &mut groups)?;
        let tasks = self.targets.len();
        let rows = shared_out(&groups, tasks, |group| task_of(group, tasks));
        let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
        let taken = batch.take(&UInt32Array::from(rows.concat()))?;
        let mut from = 0;
        Ok(lengths
            .into_iter()
            .map(|length| {
                let part = (length > 0).then(|| taken.slice(from, length));
                from += length;
                part
            })
            .collect())
    }
}
