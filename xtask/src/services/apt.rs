//! Programs that services need, installed by apt where that is possible and allowed.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::process::{capture, run};

/// What the client of Kafka is built with: a name, the command that finds it, and Debian's package.
const LIBRARIES: &[(&str, &[&str], &str)] = &[
    ("cmake", &["cmake", "--version"], "cmake"),
    ("pkg-config", &["pkg-config", "--version"], "pkg-config"),
    ("OpenSSL's headers", &["pkg-config", "--exists", "openssl"], "libssl-dev"),
    ("zlib's headers", &["pkg-config", "--exists", "zlib"], "zlib1g-dev"),
];

/// Sees to it that all connectors can be built.
pub fn libraries() -> Result<()> {
    for (what, command, package) in LIBRARIES {
        let found = Command::new(command[0]).args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            let otherwise =
                format!("the tests build the client of Kafka with it; on Debian it is the package {package}");
            install(what, &[package], &otherwise)?;
        }
    }
    Ok(())
}

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
