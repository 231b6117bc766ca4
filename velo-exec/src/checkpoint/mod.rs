//! What a checkpoint holds, and how it is made and read: state by key group, files on a store, a manifest that names them.

pub(crate) mod beside;
pub(crate) mod columns;
mod coordinator;
mod counts;
mod files;
mod folder;
mod in_file;
mod job_file;
mod line;
mod manifest;
mod resume;
pub mod rows;
mod saved_table;
pub(crate) mod sequence;
pub mod state;
mod upgrade;

pub use coordinator::{CheckpointPolicy, Checkpoints, Coordinator, OnCheckpoint, Participants};
pub(crate) use counts::{load_counts, save_counts};
pub(crate) use files::aside;
pub use folder::{CallFails, Created, Folder};
pub use in_file::InFile;
pub use job_file::{JobFile, forget_attempts, next_attempt};
pub use line::{Asked, Line, Next, Report, Saved};
pub use manifest::{FORMAT, Manifest, PartitionState, SavedSink, SavedTask, SourceState, StateFile};
pub use resume::{Decision, Found, Inventory, Resumed, Start, begin_run, complete_name, forget_runs, start, verify};
pub use saved_table::KeptTable;
pub use state::{Chunk, Keyed, OperatorState, Reached, Share, StateReader, StateWriter};
pub(crate) use state::{SavedRows, bytes_of};
pub use upgrade::{NewPlan, Part, PartFate, carry, compare};
