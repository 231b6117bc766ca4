//! What blocking work uses, for as long as its owner lives.
//!
//! A sink can be dropped while a piece of it is still being written, and the next one of the same output be opened at once. What the
//! old one had begun is then over, and what still waited for its turn does nothing any more.

use std::sync::{Arc, Mutex, PoisonError};

/// A thing that its owner takes away again.
#[derive(Debug)]
pub(crate) struct Shared<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    pub(crate) fn new(thing: T) -> Self {
        Self(Arc::new(Mutex::new(Some(thing))))
    }

    /// Works with the thing; `None` where it was taken away. Who takes it away waits for this.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        // Work that panicked has left a file with too few bytes at worst, which the next run cuts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(work)
    }

    /// Takes it away, as soon as nobody works with it.
    pub(crate) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
