//! What an operator that was cut counts, over all its shards.

use std::sync::Arc;

use crate::MissingCounters;
use crate::checkpoint::{StateReader, StateWriter};
use crate::compute_errors::ComputeErrors;
use crate::error::Result;
use crate::operator::Operator;
use crate::window::LateCounters;

/// The counters of an operator, which outlive it; those of its shards are added to them.
pub(super) struct Counters {
    pub(super) late: Option<Arc<LateCounters>>,
    pub(super) missing: Option<Arc<MissingCounters>>,
    pub(super) errors: Option<Arc<ComputeErrors>>,
}

/// What was taken out of counters.
pub(super) struct Counted {
    late: [u64; 2],
    missing: [u64; 2],
    errors: u64,
}

impl Counters {
    /// Those of an operator.
    pub(super) fn of(operator: &dyn Operator) -> Self {
        Self { late: operator.late(), missing: operator.missing(), errors: operator.compute_errors() }
    }

    /// Takes out what was counted.
    pub(super) fn take(&self) -> Counted {
        Counted {
            late: self.late.as_ref().map_or([0; 2], |late| late.take()),
            missing: self.missing.as_ref().map_or([0; 2], |missing| missing.take()),
            errors: self.errors.as_ref().map_or(0, |errors| errors.take()),
        }
    }

    /// Adds what was counted elsewhere.
    pub(super) fn add(&self, counted: &Counted) {
        let [rows, windows] = counted.late;
        self.late.iter().for_each(|late| late.add(rows, windows));
        self.missing.iter().for_each(|missing| missing.add(counted.missing));
        self.errors.iter().for_each(|errors| errors.add(counted.errors));
    }

    /// Puts them into a checkpoint, as the operator itself would.
    pub(super) fn save(&self, state: &mut StateWriter) -> Result<()> {
        self.late.iter().try_for_each(|late| late.save(state))?;
        self.missing.iter().try_for_each(|missing| missing.save(state))?;
        self.errors.iter().try_for_each(|errors| errors.save(state))
    }

    /// Takes up what was saved.
    pub(super) fn load(&self, state: &mut StateReader) -> Result<()> {
        self.late.iter().try_for_each(|late| late.load(state))?;
        self.missing.iter().try_for_each(|missing| missing.load(state))?;
        self.errors.iter().try_for_each(|errors| errors.load(state))
    }
}
