//! What a checkpoint holds, and how it is made and read: state by key group, files on a store, a manifest that names them.

pub(crate) mod beside;
pub(crate) mod columns;
mod commit_point;
mod coordinator;
mod counts;
mod files;
mod folder;
mod in_file;
mod inventory;
mod job_file;
mod line;
mod manifest;
mod policy;
mod remote;
mod resume;
pub mod rows;
#[cfg(feature = "s3")]
mod s3;
mod saved_table;
pub(crate) mod sequence;
pub mod state;
mod upgrade;

pub use commit_point::{CommitPoint, Committed};
pub use coordinator::{Checkpoints, Coordinator, OnCheckpoint, Participants};
pub(crate) use counts::{load_counts, save_counts};
pub(crate) use files::aside;
pub use folder::{CallFails, Created, Folder};
pub use in_file::InFile;
pub use inventory::{
    Decision, Found, Inventory, Standing, begin_run, committed, complete, complete_name, discard, forget_runs,
};
pub use job_file::{JobFile, forget_attempts, new_id, next_attempt, next_attempt_after};
pub use line::{Asked, Kept, Line, Next, Report, Saved};
pub use manifest::{FORMAT, Manifest, PartitionState, SavedSink, SavedTask, SourceState, StateFile};
pub use policy::CheckpointPolicy;
pub use resume::{Resumed, Start, start, verify};
pub use saved_table::KeptTable;
pub use state::{Chunk, Keyed, OperatorState, Reached, Share, StateReader, StateWriter};
pub(crate) use state::{SavedRows, bytes_of};
pub use upgrade::{NewPlan, Part, PartFate, carry, compare};
