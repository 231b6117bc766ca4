//! LIMIT and OFFSET over a finished input.

use serde::{Deserialize, Serialize};
use velo_core::Batch;

use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;

/// Lets some rows pass.
#[derive(Debug)]
pub struct Limit {
    rest: Rest,
}

/// What is still to do.
#[derive(Debug, Serialize, Deserialize)]
struct Rest {
    skip: u64,
    left: Option<u64>,
}

const REST: &str = "rest";

impl Limit {
    /// Lets `count` rows pass after the first `skip`; all of them without a count.
    pub fn new(skip: u64, count: Option<u64>) -> Self {
        Self { rest: Rest { skip, left: count } }
    }
}

impl Operator for Limit {
    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        let rows = batch.rows() as u64;
        let skipped = self.rest.skip.min(rows);
        self.rest.skip -= skipped;
        let passing = self.rest.left.map_or(rows - skipped, |left| left.min(rows - skipped));
        if let Some(left) = &mut self.rest.left {
            *left -= passing;
        }
        // Both are at most the batch's rows, which are a usize.
        out.batch(batch.slice(skipped as usize, passing as usize));
        Ok(Flow::Done)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        state.value(REST, &self.rest)
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        if let Some(rest) = state.value(REST)? {
            self.rest = rest;
        }
        Ok(())
    }
}
