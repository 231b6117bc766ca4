//! Asking a job to stop.
//!
//! Stopping is not an end of input: sources stop, what was read reaches the sinks, and no open window fires. With
//! [`Stop::finish`] the inputs end instead, and everything that is open closes.

use std::sync::Arc;

use tokio::sync::watch;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StopRequest {
    /// Nothing.
    #[default]
    Run,
    /// Sources stop; open windows do not fire.
    Stop,
    /// The inputs end here.
    Finish,
}

/// A handle by which a job is asked to stop; clones ask the same job.
#[derive(Debug, Clone)]
pub struct Stop(Arc<watch::Sender<StopRequest>>);

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// Nothing asked yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(StopRequest::Run)))
    }

    /// Asks for a stop.
    pub fn stop(&self) {
        self.0.send_replace(StopRequest::Stop);
    }

    /// Ends the inputs.
    pub fn finish(&self) {
        self.0.send_replace(StopRequest::Finish);
    }

    /// What is asked now.
    pub fn requested(&self) -> StopRequest {
        *self.0.borrow()
    }

    /// Waits until something is asked.
    pub async fn asked(&self) -> StopRequest {
        let mut receiver = self.0.subscribe();
        let request = receiver.wait_for(|request| *request != StopRequest::Run).await.map(|request| *request);
        match request {
            Ok(request) => request,
            // The sender lives as long as this handle, so nothing more will be asked.
            Err(_) => std::future::pending().await,
        }
    }
}
