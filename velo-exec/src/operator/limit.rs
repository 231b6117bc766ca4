//! LIMIT and OFFSET over a finished input.

use velo_core::Batch;

use super::{Flow, InputId, Operator, Outbox};
use crate::error::Result;

/// Lets some rows pass.
#[derive(Debug)]
pub struct Limit {
    skip: u64,
    left: Option<u64>,
}

impl Limit {
    /// Lets `count` rows pass after the first `skip`; all of them without a count.
    pub fn new(skip: u64, count: Option<u64>) -> Self {
        Self { skip, left: count }
    }
}

impl Operator for Limit {
    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        let rows = batch.rows() as u64;
        let skipped = self.skip.min(rows);
        self.skip -= skipped;
        let passing = self.left.map_or(rows - skipped, |left| left.min(rows - skipped));
        if let Some(left) = &mut self.left {
            *left -= passing;
        }
        // Both are at most the batch's rows, which are a usize.
        out.batch(batch.slice(skipped as usize, passing as usize));
        Ok(Flow::Done)
    }
}
