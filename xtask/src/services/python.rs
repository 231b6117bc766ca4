//! Python with some packages, in a virtual environment of its own: other people's programs as yardsticks.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::run;

/// The interpreter of the environment below `folder`, which has these packages, each as it is imported and as it is installed; what
/// is missing is installed.
pub fn python_with(folder: &Path, packages: &[(&str, &str)]) -> Result<PathBuf> {
    let venv = folder.join("venv");
    let python = venv.join("bin/python");
    if !python.exists() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(&venv);
        run(make).context("this needs Python 3 with venv (on Debian: python3-venv)")?;
    }
    let mut look = Command::new(&python);
    let imports: Vec<&str> = packages.iter().map(|(import, _)| *import).collect();
    look.arg("-c").arg(format!("import {}", imports.join(", ")));
    if !look.output().is_ok_and(|looked| looked.status.success()) {
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet"]).args(packages.iter().map(|(_, name)| name));
        run(install)?;
    }
    Ok(python)
}
