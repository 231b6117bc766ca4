//! What a job wants of its checkpoints.

use velo_core::duration::Span;

/// When checkpoints are made, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointPolicy {
    /// From the end of one to the beginning of the next.
    pub interval: Span,
    /// How long one may take.
    pub timeout: Span,
    /// How many are kept.
    pub keep: usize,
}
