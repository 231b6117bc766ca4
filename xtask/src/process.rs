//! Programs run on behalf of a command: shown before they start, and failing with what they were.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write, pipe};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// `cargo ARGS` in the workspace, with the very cargo that runs this program.
pub fn cargo(root: &Path, args: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(args);
    command
}

/// Shows the command line, runs it with its output passed through, and fails if it fails.
pub fn run(mut command: Command) -> Result<()> {
    let line = display(&command);
    println!("$ {line}");
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status}); its output above says why");
    }
    Ok(())
}

/// So many of its last lines are what a command that fails is remembered by.
const LAST: usize = 16;

/// The same for a step among others, whose output stands far above when all have run: the error has the end of it.
pub fn run_step(command: Command) -> Result<()> {
    let line = display(&command);
    let mut last = VecDeque::with_capacity(LAST);
    let status = run_heard(command, |said| {
        if last.len() == LAST {
            last.pop_front();
        }
        last.push_back(format!("\n  {said}"));
    })?;
    if !status.success() {
        bail!("`{line}` failed ({status}); the end of what it said:{}", last.into_iter().collect::<String>());
    }
    Ok(())
}

/// Shows the command line and runs it; `hear` is given each line of its output, which is passed through.
pub fn run_heard(mut command: Command, mut hear: impl FnMut(&str)) -> Result<ExitStatus> {
    let line = display(&command);
    println!("$ {line}");
    let (reader, writer) = pipe()?;
    command.stderr(writer.try_clone()?).stdout(writer);
    let mut child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
    // The command holds our ends of the pipe; without them, reading ends when the last process that it started does.
    drop(command);
    let (mut reader, mut stdout) = (BufReader::new(reader), std::io::stdout().lock());
    let mut said = Vec::new();
    while reader.read_until(b'\n', &mut said)? > 0 {
        stdout.write_all(&said)?;
        hear(String::from_utf8_lossy(&said).trim_end());
        said.clear();
    }
    Ok(child.wait()?)
}

/// Runs a command quietly and returns what it wrote to stdout.
pub fn capture(mut command: Command) -> Result<String> {
    let line = display(&command);
    let output = command.output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` wrote something that is not UTF-8"))
}

/// Whether `cargo NAME` is installed.
pub fn has_subcommand(root: &Path, name: &str) -> bool {
    let mut command = cargo(root, &[name, "--version"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The command line as one would type it.
pub fn display(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut words = vec![program.to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["tree", "-p", "velo"]);
        assert_eq!(display(&command), "cargo tree -p velo");
    }

    #[test]
    fn a_step_that_fails_says_its_end_again() {
        let script = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        run_step(script("echo fine")).unwrap();
        let error = run_step(script("seq 1 40; echo broken >&2; exit 3")).unwrap_err().to_string();
        assert!(error.contains("failed (exit status: 3); the end of what it said:\n  26\n"), "{error}");
        assert!(error.ends_with("\n  40\n  broken"), "{error}");
    }

    #[test]
    fn failing_programs_are_named() {
        let error = run(Command::new("false")).unwrap_err().to_string();
        assert!(error.contains("`false` failed"), "{error}");
    }
}
