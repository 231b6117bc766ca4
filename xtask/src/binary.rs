//! The `velo` binary, built the way a command needs it; and this program, for what it does not have in it.

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
    let [velo] = build_all(root, members, [BINARY], choice)?;
    Ok(velo)
}

/// The name of this program.
const SELF: &str = "xtask";

/// Builds `velo`, and this program with all of its features, as the tests build them: of libraries there is nothing left to do behind
/// those. Says where both lie.
pub fn with_self(root: &Path) -> Result<[PathBuf; 2]> {
    build_all(root, Members::All, [BINARY, SELF], &[])
}

fn build_all<const N: usize>(root: &Path, members: Members, names: [&str; N], choice: &[&str]) -> Result<[PathBuf; N]> {
    let mut command = cargo(root, &["build"]);
    for name in names {
        command.args(["--bin", name]);
    }
    match members {
        Members::Alone => command.args(["--package", BINARY]),
        Members::All => command.arg("--workspace"),
    };
    command.args(choice);
    println!("$ {}", display(&command));
    command.arg("--message-format=json-render-diagnostics");
    let messages = built(command)?;
    let places = names.map(|name| executable(&messages, name));
    let missing = names.into_iter().zip(&places).find(|(_, place)| place.is_none());
    if let Some((name, _)) = missing {
        bail!("cargo built {name} and did not say where");
    }
    Ok(places.map(Option::unwrap_or_default))
}

/// What a `cargo build` reports in JSON.
fn built(mut command: Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("it does not build; cargo's output above says why");
    }
    String::from_utf8(output.stdout).context("cargo wrote something that is not UTF-8")
}

/// Where a program of this name lies, by cargo's messages, one JSON object a line.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let objects = messages.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs = objects.filter_map(|object| object.get("executable")?.as_str().map(PathBuf::from));
    programs.find(|program| program.file_stem().is_some_and(|stem| stem == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/velo\"}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/xtask\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages, "velo"), Some(PathBuf::from("/t/debug/velo")));
        assert_eq!(executable(messages, "xtask"), Some(PathBuf::from("/t/debug/xtask")));
        assert_eq!(executable(messages, "vel"), None);
        assert_eq!(executable("", "velo"), None);
    }
}
