//! The inputs of a task: batches as they come, the minimum of the watermarks, one end when all have ended.

use std::collections::VecDeque;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use velo_core::Watermark;
use velo_eventtime::{Change, Merge};

use crate::operator::{Element, InputId};

type Waiting = std::pin::Pin<Box<dyn Future<Output = (usize, mpsc::Receiver<Element>, Option<Element>)> + Send>>;

/// Several channels as one stream of elements. Those of one input of an operator can be several: one from each task before it.
pub struct Inputs {
    waiting: FuturesUnordered<Waiting>,
    /// Per channel, the input that it belongs to and its place among the channels of that.
    of: Vec<(usize, usize)>,
    merge: Merge,
    /// The watermark of each input, where there are several.
    sides: Vec<Merge>,
    /// How many channels have not caught up yet.
    behind: usize,
    caught_up: Vec<bool>,
    ended: bool,
    stopped: bool,
    ready: VecDeque<(InputId, Element)>,
}

fn wait(channel: usize, mut receiver: mpsc::Receiver<Element>) -> Waiting {
    Box::pin(async move {
        let element = receiver.recv().await;
        (channel, receiver, element)
    })
}

impl Inputs {
    /// The channels of one input.
    pub fn new(receivers: Vec<mpsc::Receiver<Element>>) -> Self {
        Self::of_several(receivers.into_iter().map(|receiver| (0, receiver)).collect())
    }

    /// Channels, each with the number of the input that it belongs to.
    pub fn of_several(receivers: Vec<(usize, mpsc::Receiver<Element>)>) -> Self {
        let inputs = receivers.iter().map(|(input, _)| input + 1).max().unwrap_or(0);
        let mut channels = vec![0; inputs];
        let mut of = Vec::with_capacity(receivers.len());
        for (input, _) in &receivers {
            of.push((*input, channels[*input]));
            channels[*input] += 1;
        }
        let sides = if inputs > 1 { channels.into_iter().map(Merge::new).collect() } else { Vec::new() };
        Self {
            merge: Merge::new(receivers.len()),
            sides,
            behind: receivers.len(),
            caught_up: vec![false; receivers.len()],
            waiting: receivers
                .into_iter()
                .enumerate()
                .map(|(channel, (_, receiver))| wait(channel, receiver))
                .collect(),
            of,
            ended: false,
            stopped: false,
            ready: VecDeque::new(),
        }
    }

    /// The next element; `None` when a sender is gone before its end, which means that its task has failed.
    pub async fn next(&mut self) -> Option<(InputId, Element)> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            if self.ended {
                return None;
            }
            let (channel, receiver, element) = self.waiting.next().await?;
            match element? {
                Element::Stop => {
                    self.stopped = true;
                    if self.waiting.is_empty() {
                        self.ended = true;
                        self.ready.push_back((InputId(0), Element::Stop));
                    }
                    continue;
                }
                Element::End if self.stopped && self.waiting.is_empty() => {
                    self.ended = true;
                    self.ready.push_back((InputId(0), Element::Stop));
                    continue;
                }
                Element::End => {
                    self.side(channel, |merge, place| merge.end(place));
                    let change = self.merge.end(channel);
                    if self.waiting.is_empty() {
                        // The end of the last input says more than any watermark.
                        self.ended = true;
                        self.ready.push_back((InputId(0), Element::Watermark(Watermark::END)));
                        self.ready.push_back((InputId(0), Element::End));
                    } else {
                        self.tell(change);
                        // What has ended has given everything.
                        self.catch_up(channel);
                    }
                    continue;
                }
                Element::Watermark(watermark) => {
                    self.side(channel, |merge, place| merge.update(place, watermark));
                    let change = self.merge.update(channel, watermark);
                    self.tell(change);
                }
                Element::Idle => {
                    self.side(channel, |merge, place| merge.set_idle(place, true));
                    let change = self.merge.set_idle(channel, true);
                    self.tell(change);
                }
                Element::CaughtUp => self.catch_up(channel),
                other => {
                    if self.merge.is_input_idle(channel) {
                        self.side(channel, |merge, place| merge.set_idle(place, false));
                        let change = self.merge.set_idle(channel, false);
                        self.tell(change);
                    }
                    self.ready.push_back((InputId(self.of[channel].0), other));
                }
            }
            self.waiting.push(wait(channel, receiver));
        }
    }

    /// Changes the watermark of the input that a channel belongs to, where there are several.
    fn side(&mut self, channel: usize, change: impl FnOnce(&mut Merge, usize) -> Change) {
        let (input, place) = self.of[channel];
        let Some(side) = self.sides.get_mut(input) else { return };
        if let Some(watermark) = change(side, place).watermark {
            self.ready.push_back((InputId(input), Element::InputWatermark(watermark)));
        }
    }

    /// A channel has given what was there at the start; so has the task when all have.
    fn catch_up(&mut self, channel: usize) {
        if !std::mem::replace(&mut self.caught_up[channel], true) {
            self.behind -= 1;
            if self.behind == 0 {
                self.ready.push_back((InputId(0), Element::CaughtUp));
            }
        }
    }

    fn tell(&mut self, change: Change) {
        if let Some(watermark) = change.watermark {
            self.ready.push_back((InputId(0), Element::Watermark(watermark)));
        }
        if change.idle == Some(true) {
            self.ready.push_back((InputId(0), Element::Idle));
        }
    }
}
