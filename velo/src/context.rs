//! What planning may use: connectors, functions, the environment, the folder of the script.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use velo_job::PlanContext;

use crate::connectors;
use crate::exit::Failure;

/// A script's text with the name to show in messages.
pub struct ScriptText {
    /// The name: the path as given.
    pub name: String,
    /// The text.
    pub text: String,
    /// The folder that its relative paths are relative to: where the command was called.
    pub folder: PathBuf,
}

impl ScriptText {
    /// The name of its job where the script gives none: that of the file.
    pub fn job_name(&self) -> String {
        Path::new(&self.name).file_stem().map_or_else(|| "velo".to_owned(), |stem| stem.to_string_lossy().into_owned())
    }
}

/// Reads a script; `-` is standard input.
pub fn read(path: &str) -> Result<ScriptText, Failure> {
    let bytes = if path == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("reading the script from standard input")
            .map_err(Failure::Usage)?;
        bytes
    } else {
        if Path::new(path).is_dir() {
            return Err(Failure::Usage(anyhow!("{path} is a folder; a script is a file")));
        }
        std::fs::read(path).with_context(|| format!("reading the script {path}")).map_err(Failure::Usage)?
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure::Usage(anyhow!("{path}:{line}: the script is not UTF-8 (byte {at}); save it as UTF-8"))
    })?;
    Ok(ScriptText { name: path.to_owned(), text, folder: PathBuf::from(".") })
}

/// The context of a script.
pub fn plan_context(folder: &Path) -> PlanContext {
    PlanContext {
        lookup: Box::new(|name| std::env::var(name).ok()),
        ..PlanContext::new(connectors::registry(), folder)
    }
}
