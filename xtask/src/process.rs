//! Programs run on behalf of a command: shown before they start, and failing with what they were.

use std::path::Path;
use std::process::{Command, Stdio};

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
    fn failing_programs_are_named() {
        let error = run(Command::new("false")).unwrap_err().to_string();
        assert!(error.contains("`false` failed"), "{error}");
    }
}
