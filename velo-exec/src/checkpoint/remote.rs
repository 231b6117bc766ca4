//! What is different where objects lie behind a network.

use std::error::Error;

use velo_core::ConnectorError;

/// A store behind a network: a call may have done its work though its answer was lost, and errors are those of a service.
pub(super) trait Remote: Send + Sync {
    /// Whether what was not found is the place of the whole folder.
    fn is_gone(&self, error: &object_store::Error) -> bool;

    /// What a failed call about an object means, and what to do about it.
    fn explain(&self, operation: &'static str, object: &str, error: &object_store::Error) -> ConnectorError;

    /// The error of a service that does not refuse to put an object where there is one.
    fn no_conditions(&self, operation: &'static str) -> ConnectorError;
}

/// What caused an error, and what caused that.
pub(super) fn causes(error: &object_store::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// An error with what caused it, each said once.
pub(super) fn with_causes(error: &object_store::Error) -> String {
    causes(error).map(ToString::to_string).fold(error.to_string(), |text, cause| {
        // Some repeat what is in them.
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}
