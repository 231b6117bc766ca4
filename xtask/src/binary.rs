//! The `velo` binary, built the way a command needs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::connectors::BINARY;
use crate::process::{cargo, display};

/// With whom `velo` shares the features of its libraries.
#[derive(Clone, Copy)]
pub enum Members {
    /// With nobody: only what it needs is built.
    Alone,
    /// With the whole workspace, as the tests do: a library that is built for one is built for both.
    All,
}

/// Builds `velo` in the workspace at `root` with these further arguments of `cargo build`, showing cargo's progress, and says
/// where it lies.
pub fn build(root: &Path, members: Members, choice: &[&str]) -> Result<PathBuf> {
    let mut command = cargo(root, &["build", "--bin", BINARY]);
    match members {
        Members::Alone => command.args(["--package", BINARY]),
        Members::All => command.arg("--workspace"),
    };
    command.args(choice);
    println!("$ {}", display(&command));
    command.arg("--message-format=json-render-diagnostics");
    built(command)
}

/// Runs a `cargo build` that reports in JSON.
fn built(mut command: Command) -> Result<PathBuf> {
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("velo does not build; cargo's output above says why");
    }
    let messages = String::from_utf8(output.stdout).context("cargo wrote something that is not UTF-8")?;
    executable(&messages).context("cargo built velo and did not say where")
}

/// The program that cargo's messages, one JSON object a line, name last.
fn executable(messages: &str) -> Option<PathBuf> {
    let objects = messages.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    objects.filter_map(|object| object.get("executable")?.as_str().map(PathBuf::from)).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/velo\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages), Some(PathBuf::from("/t/debug/velo")));
        assert_eq!(executable(""), None);
    }
}
