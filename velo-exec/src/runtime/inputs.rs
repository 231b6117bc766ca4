//! The inputs of a task: batches as they come, the minimum of the watermarks, one end when all have ended, and barriers that have
//! come through all of them.

use std::collections::VecDeque;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use velo_core::Watermark;
use velo_core::connector::CheckpointId;
use velo_eventtime::{Change, Merge};

use crate::error::{ExecError, Result};
use crate::operator::{Element, InputId};

type Waiting = std::pin::Pin<Box<dyn Future<Output = (usize, mpsc::Receiver<Element>, Option<Element>)> + Send>>;

/// Several channels as one stream of elements. Those of one input of an operator can be several: one from each task before it.
pub struct Inputs {
    waiting: FuturesUnordered<Waiting>,
    channels: Vec<Channel>,
    merge: Merge,
    /// The watermark of each input, where there are several.
    sides: Vec<Merge>,
    /// The barrier that has come through some channels, which are not read before it has come through all.
    barrier: Option<CheckpointId>,
    held: Vec<(usize, mpsc::Receiver<Element>)>,
    /// The end or the stop was told.
    told_last: bool,
    ready: VecDeque<(InputId, Element)>,
}

/// One channel.
struct Channel {
    /// The input that it belongs to, and its place among the channels of that.
    of: (usize, usize),
    caught_up: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Nothing but barriers comes.
    Ended,
    /// The job was stopped.
    Stopped,
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
        let mut places = vec![0; inputs];
        let mut channels = Vec::with_capacity(receivers.len());
        for (input, _) in &receivers {
            channels.push(Channel { of: (*input, places[*input]), caught_up: false, state: State::Open });
            places[*input] += 1;
        }
        let sides = if inputs > 1 { places.into_iter().map(Merge::new).collect() } else { Vec::new() };
        Self {
            merge: Merge::new(receivers.len()),
            sides,
            waiting: receivers
                .into_iter()
                .enumerate()
                .map(|(channel, (_, receiver))| wait(channel, receiver))
                .collect(),
            channels,
            barrier: None,
            held: Vec::new(),
            told_last: false,
            ready: VecDeque::new(),
        }
    }

    /// The next element; `None` when all senders are gone, each behind its end. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`ExecError::Stopped`] when a sender is gone before its end, which means that its task has failed.
    pub async fn next(&mut self) -> Result<Option<(InputId, Element)>> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(Some(ready));
            }
            let Some((channel, receiver, element)) = self.waiting.next().await else {
                // With a barrier under way and nobody left to bring it, the job is failing.
                return if self.held.is_empty() { Ok(None) } else { Err(ExecError::Stopped) };
            };
            let Some(element) = element else {
                if self.channels[channel].state == State::Open {
                    return Err(ExecError::Stopped);
                }
                // Who is gone brings no barrier.
                self.align();
                continue;
            };
            match element {
                Element::Barrier(checkpoint) => {
                    self.barrier = Some(checkpoint);
                    self.held.push((channel, receiver));
                    self.align();
                    continue;
                }
                Element::Stop => {
                    self.channels[channel].state = State::Stopped;
                    self.last();
                    // Nothing comes behind a stop, a barrier neither.
                    self.align();
                    continue;
                }
                Element::End => {
                    self.channels[channel].state = State::Ended;
                    self.side(channel, |merge, place| merge.end(place));
                    let change = self.merge.end(channel);
                    if !self.last() {
                        self.tell(change);
                        // What has ended has given everything.
                        self.catch_up(channel);
                    }
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
                    self.ready.push_back((InputId(self.channels[channel].of.0), other));
                }
            }
            self.waiting.push(wait(channel, receiver));
        }
    }

    /// Passes a barrier on that has come through all channels, and reads them again.
    fn align(&mut self) {
        if self.waiting.is_empty()
            && let Some(checkpoint) = self.barrier.take()
        {
            self.ready.push_back((InputId(0), Element::Barrier(checkpoint)));
            let held = std::mem::take(&mut self.held);
            self.waiting.extend(held.into_iter().map(|(channel, receiver)| wait(channel, receiver)));
        }
    }

    /// Tells the end when all channels have ended, and the stop when they have ended or were stopped; false where some are open.
    fn last(&mut self) -> bool {
        if self.channels.iter().any(|channel| channel.state == State::Open) {
            return false;
        }
        if std::mem::replace(&mut self.told_last, true) {
            return true;
        }
        if self.channels.iter().any(|channel| channel.state == State::Stopped) {
            self.ready.push_back((InputId(0), Element::Stop));
        } else {
            // The end of the last input says more than any watermark.
            self.ready.push_back((InputId(0), Element::Watermark(Watermark::END)));
            self.ready.push_back((InputId(0), Element::End));
        }
        true
    }

    /// Changes the watermark of the input that a channel belongs to, where there are several.
    fn side(&mut self, channel: usize, change: impl FnOnce(&mut Merge, usize) -> Change) {
        let (input, place) = self.channels[channel].of;
        let Some(side) = self.sides.get_mut(input) else { return };
        if let Some(watermark) = change(side, place).watermark {
            self.ready.push_back((InputId(input), Element::InputWatermark(watermark)));
        }
    }

    /// A channel has given what was there at the start; so has the task when all have.
    fn catch_up(&mut self, channel: usize) {
        if !std::mem::replace(&mut self.channels[channel].caught_up, true)
            && self.channels.iter().all(|channel| channel.caught_up)
        {
            self.ready.push_back((InputId(0), Element::CaughtUp));
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(inputs: &mut Inputs) -> String {
        inputs.next().await.unwrap().map_or("none".to_owned(), |(input, element)| format!("{} {element:?}", input.0))
    }

    #[tokio::test]
    async fn what_comes_behind_a_barrier_waits_until_it_has_come_through_all() {
        let ((one, first), (two, second)) = (mpsc::channel(8), mpsc::channel(8));
        let mut inputs = Inputs::of_several(vec![(0, first), (1, second)]);
        one.send(Element::Barrier(CheckpointId(1))).await.unwrap();
        one.send(Element::Watermark(Watermark(9))).await.unwrap();
        two.send(Element::Watermark(Watermark(5))).await.unwrap();
        assert_eq!(next(&mut inputs).await, "1 InputWatermark(Watermark(5))");
        two.send(Element::Barrier(CheckpointId(1))).await.unwrap();
        assert_eq!(next(&mut inputs).await, "0 Barrier(CheckpointId(1))");
        assert_eq!(next(&mut inputs).await, "0 InputWatermark(Watermark(9))");
        assert_eq!(next(&mut inputs).await, "0 Watermark(Watermark(5))");
        // What has ended still brings barriers, and what is gone behind its end none.
        one.send(Element::End).await.unwrap();
        assert_eq!(next(&mut inputs).await, format!("0 {:?}", Element::InputWatermark(Watermark::END)));
        two.send(Element::Barrier(CheckpointId(2))).await.unwrap();
        one.send(Element::Barrier(CheckpointId(2))).await.unwrap();
        assert_eq!(next(&mut inputs).await, "0 Barrier(CheckpointId(2))");
        two.send(Element::Barrier(CheckpointId(3))).await.unwrap();
        drop(one);
        assert_eq!(next(&mut inputs).await, "0 Barrier(CheckpointId(3))");
        two.send(Element::End).await.unwrap();
        assert_eq!(next(&mut inputs).await, format!("1 {:?}", Element::InputWatermark(Watermark::END)));
        assert_eq!(next(&mut inputs).await, format!("0 {:?}", Element::Watermark(Watermark::END)));
        assert_eq!(next(&mut inputs).await, "0 End");
        two.send(Element::Barrier(CheckpointId(4))).await.unwrap();
        assert_eq!(next(&mut inputs).await, "0 Barrier(CheckpointId(4))");
        drop(two);
        assert_eq!(next(&mut inputs).await, "none");
    }

    #[tokio::test]
    async fn a_sender_that_is_gone_before_its_end_has_failed() {
        let ((one, first), (two, second)) = (mpsc::channel(8), mpsc::channel(8));
        let mut inputs = Inputs::new(vec![first, second]);
        one.send(Element::Barrier(CheckpointId(1))).await.unwrap();
        two.send(Element::Stop).await.unwrap();
        assert_eq!(next(&mut inputs).await, "0 Barrier(CheckpointId(1))");
        drop(one);
        assert!(inputs.next().await.is_err());
    }
}
