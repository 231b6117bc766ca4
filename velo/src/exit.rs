//! Exit codes that scripts can go by: 0 done, 1 the job failed, 2 the script or the options are wrong.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug)]
pub enum Failure {
    /// The job failed while it ran.
    Job(anyhow::Error),
    /// The script or the options are wrong; nothing has run.
    Usage(anyhow::Error),
    /// The same, and the mistakes are printed already.
    Reported,
}

/// The result of a command.
pub type Outcome = Result<(), Failure>;

/// Prints what went wrong, and gives the exit code.
#[expect(clippy::print_stderr, reason = "errors of commands go to stderr")]
pub fn code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Job(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
        Err(Failure::Reported) => ExitCode::from(2),
    }
}
