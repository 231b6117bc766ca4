//! A task of operators: takes from its inputs, drives its chain, hands on.

use super::{Drive, Inputs};
use crate::error::{ExecError, Result};
use crate::operator::Element;

/// A chain of operators between channels.
pub struct OperatorTask {
    inputs: Inputs,
    drive: Drive,
}

impl OperatorTask {
    /// A task that is ready to run.
    pub fn new(inputs: Inputs, drive: Drive) -> Self {
        Self { inputs, drive }
    }

    /// Runs to the end of its inputs.
    pub async fn run(mut self) -> Result<()> {
        loop {
            let next = tokio::select! {
                biased;
                // First, so that an input that never pauses does not hold it up.
                () = self.drive.due() => {
                    self.drive.fire().await?;
                    continue;
                }
                next = self.inputs.next() => next,
            };
            let (input, element) = next.ok_or(ExecError::Stopped)?;
            let end = matches!(element, Element::End | Element::Stop);
            self.drive.offer(input, element).await?;
            if end {
                return Ok(());
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
    use crate::runtime::{Chain, Outputs, Stop};

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
        let task = OperatorTask::new(Inputs::new(vec![receiver]), drive);
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
            while !matches!(output.recv().await, Some(Element::End)) {}
        };
        assert!(tokio::join!(task.run(), test).0.is_ok());
    }
}
