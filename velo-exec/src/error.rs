//! What can end a running job.

use arrow_schema::ArrowError;
use datafusion_common::DataFusionError;
use thiserror::Error;
use velo_core::{ConnectorError, Place};

/// The result of an operator or task.
pub type Result<T, E = ExecError> = std::result::Result<T, E>;

/// Why a job failed.
#[derive(Debug, Error)]
pub enum ExecError {
    /// An expression failed on a row: overflow, division by zero, a failed CAST.
    #[error("{statement}: {message}{}\n  help: 'on.compute.error' = 'skip' or 'dead_letter' goes on without such rows", at(.place))]
    Row {
        /// The stream, table or view whose statement computes it.
        statement: String,
        /// What failed, with the values.
        message: String,
        /// Where the row came from, while it still has one origin.
        place: Option<Place>,
    },
    /// A computation failed in a way that leaving a row out does not mend: an aggregate that overflows, a sub-query with two rows.
    #[error("{statement}: {message}{}", at(.place))]
    Compute {
        /// The stream, table or view whose statement computes it.
        statement: String,
        /// What failed, with the values.
        message: String,
        /// Where the row came from, while it still has one origin.
        place: Option<Place>,
    },
    /// A record could not be decoded, under `on.error = 'fail'`.
    #[error("{source_name}: {message}{}\n  help: 'on.error' = 'skip' or 'dead_letter' goes on without such records", at(.place))]
    Record {
        /// The source.
        source_name: String,
        /// What was wrong.
        message: String,
        /// Where the record is.
        place: Option<Place>,
    },
    /// A record has no usable event time, under `event.time.on.error = 'fail'`.
    #[error(
        "{source_name}: {message}\n  help: 'event.time.on.error' = 'skip' or 'dead_letter' goes on without such records"
    )]
    EventTime {
        /// The source.
        source_name: String,
        /// What was wrong, with the place.
        message: String,
    },
    /// A connector failed.
    #[error("{name}: {error}")]
    Connector {
        /// The source or sink.
        name: String,
        /// What it met.
        error: ConnectorError,
    },
    /// A kernel of the library failed on well-typed input.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// A function of the library failed outside a row's expression.
    #[error(transparent)]
    Library(#[from] DataFusionError),
    /// Another task of the job failed first.
    #[error("stopped because another task of the job failed")]
    Stopped,
    /// The folder of checkpoints belongs to another job.
    #[error(
        "checkpoint.dir {folder} belongs to the job '{found}', and this is '{wanted}'\n  help: give each job a folder of its own, or the job its old name (@name)"
    )]
    OtherJob {
        /// The folder.
        folder: String,
        /// Whose it is.
        found: String,
        /// Who came.
        wanted: String,
    },
    /// Another process runs the same job.
    #[error("another process has taken this job over ({what} is there already), so this one stops")]
    Replaced {
        /// What was found of it.
        what: String,
    },
    /// The process before this one was only frozen, and has made one more checkpoint.
    #[error("the process that ran this job before has made checkpoint {checkpoint}; this one goes on from there")]
    Overtaken {
        /// The checkpoint.
        checkpoint: u64,
    },
    /// The plan is not the one that the checkpoint was made for.
    #[error(
        "checkpoint {checkpoint} in {folder} was made by another plan: {why}\n  help: velo upgrade --plan says what a resumed job would keep; --fresh starts anew"
    )]
    OtherPlan {
        /// The folder.
        folder: String,
        /// The checkpoint.
        checkpoint: u64,
        /// What is different.
        why: String,
    },
    /// Only the user can know whether a checkpoint is valid.
    #[error(
        "checkpoint {checkpoint} in {folder} is valid if {system} has committed its transaction, and that knows of no commit of this job\n  help: look there whether the last results are visible; then 'velo checkpoint resolve {folder} {checkpoint} --committed' where they are, '--discard' where they are not"
    )]
    Undecided {
        /// The folder.
        folder: String,
        /// The checkpoint.
        checkpoint: u64,
        /// The system.
        system: String,
    },
    /// No checkpoint can be resumed.
    #[error("{0}")]
    NoCheckpoint(String),
    /// A checkpoint was not finished in time.
    #[error(
        "checkpoint {checkpoint} was not finished within {after} ('checkpoint.timeout'); {missing}\n  help: a longer 'checkpoint.timeout', or look at what is slow"
    )]
    CheckpointTimeout {
        /// The checkpoint.
        checkpoint: u64,
        /// How long it was waited for.
        after: String,
        /// Who had not done its part.
        missing: String,
    },
    /// A saved state that does not have the form in which it was saved.
    #[error(
        "the saved state '{what}' cannot be used: {why}\n  help: resume from another checkpoint (velo checkpoint list), or start anew with --fresh"
    )]
    State {
        /// Which part of it.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// State that was to make room in memory cannot be put on disk, or read back.
    #[error(
        "state does not fit into 'max.memory.mb', and {folder} cannot hold it: {why}\n  help: make room there, or name another folder with 'spill.dir'"
    )]
    Spill {
        /// Where it was to lie.
        folder: String,
        /// Why it does not.
        why: String,
    },
    /// What must stay in memory is more than there may be.
    #[error(
        "{statement}: its state does not fit into 'max.memory.mb' ({limit} MiB): it keeps {keeps} MiB, all statements {all} MiB, and what this one keeps cannot be put on disk\n  help: raise 'max.memory.mb', group or join by columns, shorten windows, or set 'state.ttl'"
    )]
    Memory {
        /// The statement that keeps it.
        statement: String,
        /// What it keeps, in MiB.
        keeps: u64,
        /// What all statements of the job keep, in MiB.
        all: u64,
        /// The bound, in MiB.
        limit: u64,
    },
    /// A broken promise inside Velo; never the user's fault.
    #[error("internal error: {0}; please report it with the script")]
    Internal(String),
}

fn at(place: &Option<Place>) -> String {
    place.as_ref().map(|place| format!(" (at {place})")).unwrap_or_default()
}

impl ExecError {
    /// The same, where nobody can say that the row is to be given up.
    #[must_use]
    pub fn without_choice(self) -> Self {
        match self {
            Self::Row { statement, message, place } => Self::Compute { statement, message, place },
            other => other,
        }
    }

    /// An error of the connector behind `name`.
    pub fn connector(name: &str, error: ConnectorError) -> Self {
        Self::Connector { name: name.to_owned(), error }
    }
}
