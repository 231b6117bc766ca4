//! The channels between the stages of a job.

use tokio::sync::mpsc;
use velo_plan::plan::SinkId;

use super::{CHANNEL_DEPTH, Outputs};
use crate::operator::Element;
use crate::physical::Stages;

/// The channels into one task, each with the input of its first operator that it belongs to.
pub(super) type TaskInputs = Vec<(usize, mpsc::Receiver<Element>)>;

/// Where a task sends rows that it gives up, by their sinks.
type LetterSenders = Vec<(SinkId, mpsc::Sender<Element>)>;

/// The channels between stages.
pub(super) struct Wiring {
    /// Per stage and task, the receivers of its inputs.
    pub(super) inputs: Vec<Vec<TaskInputs>>,
    /// Per stage, the senders that its tasks take, one set per task, the last task's first.
    senders: Vec<Vec<Vec<Vec<mpsc::Sender<Element>>>>>,
    /// Per stage, where its tasks send rows that they give up, for each task the sinks with their senders.
    letters: Vec<Vec<LetterSenders>>,
}

impl Wiring {
    /// The channels of these stages; and those for dead letters of stages that are `apart`, whose barriers come from somebody else.
    pub(super) fn new(stages: &Stages, apart: &[bool]) -> (Self, Vec<(SinkId, mpsc::Receiver<Element>)>) {
        let mut inputs: Vec<Vec<Vec<_>>> =
            stages.stages.iter().map(|stage| (0..stage.tasks).map(|_| Vec::new()).collect()).collect();
        let mut senders: Vec<Vec<Vec<Vec<_>>>> = stages.stages.iter().map(|_| Vec::new()).collect();
        for (from, stage) in stages.stages.iter().enumerate() {
            for _ in 0..stage.tasks {
                let mut edges = Vec::with_capacity(stage.destinations.len());
                for destination in &stage.destinations {
                    let mut edge = Vec::new();
                    for receivers in &mut inputs[destination.input.stage] {
                        let (sender, receiver) = mpsc::channel(CHANNEL_DEPTH);
                        receivers.push((destination.input.input, receiver));
                        edge.push(sender);
                    }
                    edges.push(edge);
                }
                senders[from].push(edges);
            }
        }
        let mut without_barriers = Vec::new();
        let mut letters: Vec<Vec<_>> = stages.stages.iter().map(|_| Vec::new()).collect();
        for (from, stage) in stages.stages.iter().enumerate() {
            for _ in 0..stage.tasks {
                let mut of_task = Vec::new();
                for sink in &stage.dead_letters {
                    if let Some(target) = stages.sink(*sink) {
                        let (sender, receiver) = mpsc::channel(CHANNEL_DEPTH);
                        match apart[from] {
                            true => without_barriers.push((*sink, receiver)),
                            false => inputs[target][0].push((0, receiver)),
                        }
                        of_task.push((*sink, sender));
                    }
                }
                letters[from].push(of_task);
            }
        }
        (Self { inputs, senders, letters }, without_barriers)
    }

    /// A sink of dead letters takes them beside what else it takes.
    pub(super) fn letters_for(&mut self, stages: &Stages, sink: SinkId, letters: mpsc::Receiver<Element>) {
        if let Some(target) = stages.sink(sink) {
            self.inputs[target][0].push((0, letters));
        }
    }

    pub(super) fn outputs(&mut self, stages: &Stages, stage: usize) -> Outputs {
        let mut outputs = Outputs::new();
        let edges = self.senders[stage].pop().unwrap_or_default();
        for (edge, destination) in edges.into_iter().zip(&stages.stages[stage].destinations) {
            outputs.by_key(edge, destination.key.clone());
        }
        for (sink, letters) in self.letters[stage].pop().unwrap_or_default() {
            outputs.dead_letters_to(Some(sink), letters);
        }
        outputs
    }
}
