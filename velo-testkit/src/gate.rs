//! A gate that a test opens: what waits at it goes on then, and not by a time.

use std::sync::Arc;

use tokio::sync::watch;

/// Closed until it is opened; all copies are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A gate that is closed.
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Opens it for good.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is open.
    pub async fn pass(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives as long as this gate.
        receiver.wait_for(|open| *open).await.map(drop).unwrap_or_default();
    }

    /// Waits until somebody waits at it, so that a test knows that it was reached.
    pub async fn reached(&self) {
        while self.0.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
    }
}
