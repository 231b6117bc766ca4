//! The inputs of a task: batches as they come, the minimum of the watermarks, one end when all have ended.

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use velo_eventtime::{Change, Merge};

use crate::operator::{Element, InputId};

type Waiting = std::pin::Pin<Box<dyn Future<Output = (usize, mpsc::Receiver<Element>, Option<Element>)> + Send>>;

/// Several channels as one stream of elements.
pub struct Inputs {
    waiting: FuturesUnordered<Waiting>,
    merge: Merge,
    ended: bool,
    stopped: bool,
    ready: std::collections::VecDeque<(InputId, Element)>,
}

fn wait(input: usize, mut receiver: mpsc::Receiver<Element>) -> Waiting {
    Box::pin(async move {
        let element = receiver.recv().await;
        (input, receiver, element)
    })
}

impl Inputs {
    /// The inputs in the order of their numbers.
    pub fn new(receivers: Vec<mpsc::Receiver<Element>>) -> Self {
        let merge = Merge::new(receivers.len());
        let waiting = receivers.into_iter().enumerate().map(|(input, receiver)| wait(input, receiver)).collect();
        Self { waiting, merge, ended: false, stopped: false, ready: std::collections::VecDeque::new() }
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
            let (input, receiver, element) = self.waiting.next().await?;
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
                    let change = self.merge.end(input);
                    if self.waiting.is_empty() {
                        // The end of the last input says more than any watermark.
                        self.ended = true;
                        self.ready.push_back((InputId(0), Element::Watermark(velo_core::Watermark::END)));
                        self.ready.push_back((InputId(0), Element::End));
                    } else {
                        self.tell(change);
                    }
                    continue;
                }
                Element::Watermark(watermark) => {
                    let change = self.merge.update(input, watermark);
                    self.tell(change);
                }
                Element::Idle => {
                    let change = self.merge.set_idle(input, true);
                    self.tell(change);
                }
                other => {
                    if self.merge.is_input_idle(input) {
                        let change = self.merge.set_idle(input, false);
                        self.tell(change);
                    }
                    self.ready.push_back((InputId(input), other));
                }
            }
            self.waiting.push(wait(input, receiver));
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
