//! Time windows of a plan.

use std::fmt;

use velo_core::duration::Span;

/// What kind of window, with its lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// Windows that follow each other.
    Tumbling {
        /// The length.
        size: Span,
    },
    /// Windows that overlap, or leave gaps where the advance is the longer.
    Sliding {
        /// The length.
        size: Span,
        /// The distance between two starts.
        advance: Span,
    },
    /// Windows that grow by `step` up to `size`, and start again.
    Cumulate {
        /// The longest length.
        size: Span,
        /// By how much they grow.
        step: Span,
    },
    /// Windows around records that are at most `gap` apart.
    Session {
        /// The gap.
        gap: Span,
    },
}

/// A time window: its kind and where it is aligned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowSpec {
    /// Kind and lengths.
    pub kind: WindowKind,
    /// Starts are multiples of the advance plus this.
    pub offset: Span,
    /// Windows of whole days follow the local midnights of this zone.
    pub zone: Option<chrono_tz::Tz>,
}

impl fmt::Display for WindowSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            WindowKind::Tumbling { size } => write!(f, "TUMBLING({size})")?,
            WindowKind::Sliding { size, advance } => write!(f, "SLIDING({size}, {advance})")?,
            WindowKind::Cumulate { size, step } => write!(f, "CUMULATE({size}, {step})")?,
            WindowKind::Session { gap } => write!(f, "SESSION({gap})")?,
        }
        if self.offset.micros() != 0 {
            write!(f, " offset {}", self.offset)?;
        }
        if let Some(zone) = self.zone {
            write!(f, " zone {zone}")?;
        }
        Ok(())
    }
}
