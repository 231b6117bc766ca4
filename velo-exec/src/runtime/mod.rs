//! Operators at work: chains that are stepped, and the tasks that drive them.

mod chain;
mod drive;
mod guard;
mod inputs;
mod job;
mod operator_task;
mod outputs;
mod pump;
mod rows_given;
mod sink_task;
mod source_task;
mod stop;
mod table_rows;
mod table_tasks;
mod table_watch;
mod timing;
mod values_task;

pub use chain::{Chain, Member, Step};
pub use drive::Drive;
pub use guard::Guard;
pub use inputs::Inputs;
pub use job::{JobOptions, JobProgress, JobTables, WaitForTables, commit_again, run};
pub use operator_task::OperatorTask;
pub use outputs::{CHANNEL_DEPTH, Outputs};
pub use rows_given::RowsGiven;
pub use sink_task::SinkTask;
pub use source_task::SourceTask;
pub use stop::{Stop, StopRequest};
pub use table_rows::TableRows;
pub use table_tasks::{TableScanTask, TableSinkTask};
pub use table_watch::TableWatch;
pub use timing::{Refused, Timing};
pub use values_task::ValuesTask;
