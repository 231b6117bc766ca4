//! A certificate authority of a cluster's own, and the certificate of its brokers: made at each start, never kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::process::capture;
use crate::services::apt;

/// What the two certificates may be used for; clients check the address.
const EXTENSIONS: &str = "\
[req]
distinguished_name=name
[name]
[authority]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
[server]
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=IP:127.0.0.1,DNS:localhost
";

/// The files that are needed.
pub(super) struct Certificates {
    /// What clients trust.
    pub(super) authority: PathBuf,
    /// The brokers' key, their certificate and the authority's, as Kafka reads them from one file.
    pub(super) keystore: PathBuf,
}

/// Makes them in a folder.
pub(super) fn make(folder: &Path) -> Result<Certificates> {
    let there = Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok_and(|said| said.success());
    if !there {
        let otherwise =
            "install it, on Debian by `sudo apt-get install openssl`, elsewhere so that `openssl` is on the PATH";
        apt::install("OpenSSL", &["openssl"], otherwise)?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(folder.join("extensions.cnf"), EXTENSIONS)
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    let openssl = |line: &str| {
        let mut command = Command::new("openssl");
        command.args(line.split_whitespace()).current_dir(folder).stdin(Stdio::null());
        capture(command)
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config extensions.cnf";
    openssl(&format!(
        "req -x509 {key} -extensions authority -subj /CN=velo-test-authority -days 365 -keyout ca.key -out ca.pem"
    ))?;
    openssl(&format!("req -new {key} -subj /CN=localhost -keyout server.key -out server.csr"))?;
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions.cnf -extensions server \
         -days 365 -out server.crt",
    )?;
    let (authority, keystore) = (folder.join("ca.pem"), folder.join("server.pem"));
    let parts = ["server.key", "server.crt", "ca.pem"].map(|part| fs::read_to_string(folder.join(part)));
    let parts = parts.into_iter().collect::<std::io::Result<String>>().context("openssl left a file out")?;
    fs::write(&keystore, parts).with_context(|| format!("cannot write {}", keystore.display()))?;
    Ok(Certificates { authority, keystore })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_are_trusted_under_their_address() {
        let folder = std::env::temp_dir().join(format!("xtask-certificates-{}", std::process::id()));
        let made = make(&folder).unwrap();
        let verify = |address: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(["verify", "-verify_ip", address, "-purpose", "sslserver", "-CAfile"]);
            openssl.arg(&made.authority).arg(folder.join("server.crt")).stderr(Stdio::null()).stdout(Stdio::null());
            openssl.status().unwrap().success()
        };
        assert!(verify("127.0.0.1"));
        assert!(!verify("127.0.0.2"));
        let keystore = fs::read_to_string(&made.keystore).unwrap();
        assert!(keystore.starts_with("-----BEGIN PRIVATE KEY-----"), "Kafka reads keys in this form alone");
        assert_eq!(keystore.matches("BEGIN CERTIFICATE").count(), 2);
        fs::remove_dir_all(folder).unwrap();
    }
}
