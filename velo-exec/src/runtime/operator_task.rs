//! A task of operators: takes from its inputs, drives its chain, hands on.

use super::{Drive, Inputs, Stop};
use crate::checkpoint::Report;
use crate::error::Result;
use crate::operator::Element;

/// A chain of operators between channels.
pub struct OperatorTask {
    inputs: Inputs,
    drive: Drive,
    stop: Stop,
}

impl OperatorTask {
    /// A task that is ready to run.
    pub fn new(inputs: Inputs, drive: Drive, stop: Stop) -> Self {
        Self { inputs, drive, stop }
    }

    /// Runs to the end of its inputs, and until they are gone. What its operators took up of a checkpoint is looked at once
    /// `open` says that its tables are ready; until then there can be nothing but barriers.
    pub async fn run(mut self, open: impl Future<Output = Result<bool>>) -> Result<()> {
        tokio::pin!(open);
        let (mut started, mut ended, line) = (false, false, self.drive.line());
        loop {
            let (stop, waits, full) = (self.stop.clone(), self.drive.waits(), self.drive.is_full());
            // The last barrier comes behind this end too, which may wait for a table.
            if ended && !waits {
                ended = false;
                line.report(Report::Ended);
            }
            let next = tokio::select! {
                biased;
                opened = &mut open, if !started => {
                    started = true;
                    if opened? {
                        self.drive.start().await?;
                    }
                    continue;
                }
                // Before the input, so that one that never pauses does not hold it up.
                () = self.drive.due(), if started => {
                    self.drive.fire().await?;
                    continue;
                }
                _ = stop.asked(), if waits => {
                    self.drive.give_up().await?;
                    continue;
                }
                _ = stop.asked(), if full => continue,
                next = self.inputs.next(), if !full => next?,
            };
            match next {
                Some((_, Element::Barrier(checkpoint))) => self.drive.barrier(checkpoint, None).await?,
                Some((input, element)) => {
                    ended |= matches!(element, Element::End);
                    self.drive.offer(input, element).await?;
                }
                None => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use arrow_array::{Int64Array, RecordBatch};
    use arrow_schema::{DataType, Field, Schema};
    use tokio::sync::mpsc;
    use velo_core::{Batch, Clock};

    use super::*;
    use crate::operator::{Flow, InputId, Operator, Outbox};
    use crate::runtime::{Chain, Outputs};

    /// Holds the last row for ten microseconds.
    #[derive(Default)]
    struct Late(Option<Batch>);

    impl Operator for Late {
        fn on_batch(&mut self, _: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
            self.0 = Some(batch);
            out.timer_at(out.now() + 10);
            Ok(Flow::Done)
        }

        fn on_timer(&mut self, _: i64, out: &mut Outbox) -> Result<Flow> {
            self.0.take().into_iter().for_each(|batch| out.batch(batch));
            Ok(Flow::Done)
        }
    }

    #[tokio::test]
    async fn a_timer_comes_while_no_input_does() {
        let (input, receiver) = mpsc::channel(1);
        let (sender, mut output) = mpsc::channel(1);
        let mut outputs = Outputs::new();
        outputs.forward(sender);
        let clock = Clock::manual(0);
        let chain = Chain::new(vec![Box::<Late>::default()]);
        let drive = Drive::new(chain, outputs, clock.clone(), Stop::new(), Arc::default());
        let task = OperatorTask::new(Inputs::new(vec![receiver]), drive, Stop::new());
        let test = async {
            let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
            let row = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
            input.send(Element::Batch(Batch::new(row))).await.unwrap();
            // The channel is empty again once the task has taken it.
            drop(input.reserve().await.unwrap());
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            clock.advance(Duration::from_micros(9));
            tokio::task::yield_now().await;
            assert!(output.try_recv().is_err());
            clock.advance(Duration::from_micros(1));
            assert!(matches!(output.recv().await, Some(Element::Batch(_))));
            input.send(Element::End).await.unwrap();
            drop(input);
            while !matches!(output.recv().await, Some(Element::End)) {}
        };
        assert!(tokio::join!(task.run(async { Ok(true) }), test).0.is_ok());
    }
}
