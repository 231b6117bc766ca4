//! One run of a program: wall time, processor time and peak memory.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::display;

/// How often a running program is looked at; its last look misses what it did after.
const LOOK: Duration = Duration::from_millis(5);

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    pub seconds: f64,
    /// The largest resident size, in mebibytes.
    pub peak_mib: f64,
}

/// `program` on the first core alone if there is to be one thread, else wherever the system puts it.
pub fn pinned(threads: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
    if threads > 1 {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

/// Runs a program to its end; its output is shown only if it fails.
pub fn run(mut command: Command) -> Result<(Run, String)> {
    let line = display(&command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
    let (done, id) = (AtomicBool::new(false), child.id());
    let (output, seconds, peak_mib) = thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut peak = 0.0;
            while !done.load(Ordering::Relaxed) {
                peak = peak_resident(id).unwrap_or(peak);
                thread::sleep(LOOK);
            }
            peak
        });
        let output = Child::wait_with_output(child);
        let seconds = start.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        (output, seconds, looks.join().unwrap_or_default())
    });
    let output = output.with_context(|| format!("lost `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok((Run { seconds, peak_mib }, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// The high-water mark of a running process; none where the system does not tell, or the process is gone.
fn peak_resident(id: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes / 1024.0)
}

/// The load average of the last minute, as the system writes it.
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_run_to_its_end() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo done"]);
        let (run, output) = run(command).unwrap();
        assert_eq!(output, "done\n");
        assert!(run.seconds > 0.0);
    }

    #[test]
    fn a_failure_shows_what_the_program_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo broken >&2; exit 3"]);
        assert!(run(command).unwrap_err().to_string().contains("broken"));
    }
}
