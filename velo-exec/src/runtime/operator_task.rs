//! A task of operators: takes from its inputs, drives its chain, hands on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Chain, Inputs, Outputs};
use crate::error::{ExecError, Result};
use crate::operator::Element;

/// A chain of operators between channels.
pub struct OperatorTask {
    inputs: Inputs,
    chain: Chain,
    outputs: Outputs,
    held: Arc<AtomicU64>,
}

impl OperatorTask {
    /// A task that is ready to run; what its windows hold when it is stopped is added to `held`.
    pub fn new(inputs: Inputs, chain: Chain, outputs: Outputs, held: Arc<AtomicU64>) -> Self {
        Self { inputs, chain, outputs, held }
    }

    /// Runs to the end of its inputs.
    pub async fn run(mut self) -> Result<()> {
        loop {
            let (input, element) = self.inputs.next().await.ok_or(ExecError::Stopped)?;
            let end = matches!(element, Element::End | Element::Stop);
            if let Element::Stop = element {
                self.held.fetch_add(self.chain.held(), Ordering::Relaxed);
            }
            self.chain.offer(input, element)?;
            loop {
                let next = self.chain.take()?;
                self.outputs.dead_letters(self.chain.take_dead_letters()).await?;
                let Some(element) = next else { break };
                self.outputs.send(element).await?;
                // One element is a batch's work: others of this thread get their turn.
                tokio::task::yield_now().await;
            }
            if end {
                return Ok(());
            }
        }
    }
}
