//! Programs that services need, installed by apt where that is possible and allowed.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::process::{capture, run};

/// Whether this is root: servers may refuse to run as root, and only root may install.
pub(super) fn is_root() -> Result<bool> {
    let mut id = Command::new("id");
    id.arg("-u");
    Ok(capture(id)?.trim() == "0")
}

/// Installs packages of Debian's; where it cannot, the error is `otherwise`, which says what to do by hand.
pub(super) fn install(what: &str, packages: &[&str], otherwise: &str) -> Result<()> {
    let apt =
        Command::new("apt-get").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !apt || !is_root()? {
        bail!("{what} is not here: {otherwise}");
    }
    println!("{what} is not here; installing it");
    let mut update = Command::new("apt-get");
    update.args(["update", "-qq"]);
    run(update)?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-qq", "-y", "--no-install-recommends"]).args(packages);
    // A package must not start a server of its own.
    install.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").stdout(Stdio::null());
    run(install)
}
