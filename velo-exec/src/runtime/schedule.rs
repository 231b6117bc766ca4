//! Who gets a turn: a simulation lets the tasks of a job go in an order that its seed decides.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::{AbortHandle, JoinSet};

use crate::error::Result;

/// Asked whenever a task of a job could go on: whether it does, or lets all others that can go first.
pub type Schedule = Arc<dyn Fn() -> bool + Send + Sync>;

/// The tasks of a job.
pub(super) struct Tasks {
    pub(super) set: JoinSet<Result<()>>,
    schedule: Option<Schedule>,
}

impl Tasks {
    pub(super) fn new(schedule: Option<Schedule>) -> Self {
        Self { set: JoinSet::new(), schedule }
    }

    /// Starts a task.
    pub(super) fn spawn(&mut self, task: impl Future<Output = Result<()>> + Send + 'static) -> AbortHandle {
        match &self.schedule {
            None => self.set.spawn(task),
            Some(schedule) => self.set.spawn(Scheduled { task: Box::pin(task), schedule: Arc::clone(schedule) }),
        }
    }
}

/// A task that goes on when it gets its turn.
struct Scheduled<F> {
    task: Pin<Box<F>>,
    schedule: Schedule,
}

impl<F: Future> Future for Scheduled<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if !(self.schedule)() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.task.as_mut().poll(context)
    }
}
