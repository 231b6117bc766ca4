//! Java, and what Maven fetches for it once: servers that are published as jars.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::apt;
use crate::process::run;

/// The oldest Java that the servers run on.
const OLDEST: u32 = 17;

/// What fetches and unpacks; pinned, so that the same is done everywhere.
const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1";

/// The program `java`; installed where none is new enough and that is allowed.
pub(super) fn java() -> Result<PathBuf> {
    if let Some(java) = found() {
        return Ok(java);
    }
    let otherwise = format!(
        "install a Java runtime, on Debian by `sudo apt-get install default-jre-headless`, elsewhere so that `java` is on the \
         PATH or below JAVA_HOME; `java -version` has to say {OLDEST} or later"
    );
    apt::install(&format!("Java {OLDEST} or later"), &["default-jre-headless"], &otherwise)?;
    found().with_context(|| format!("default-jre-headless is installed, and is older than Java {OLDEST}: {otherwise}"))
}

fn found() -> Option<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    home.into_iter().chain([PathBuf::from("java")]).find(|java| {
        let said = Command::new(java).arg("-version").stdin(Stdio::null()).output();
        said.is_ok_and(|said| version(&String::from_utf8_lossy(&said.stderr)).is_some_and(|found| found >= OLDEST))
    })
}

/// The version in what `java -version` says: `openjdk version "17.0.15" 2025-04-15`, of old ones `"1.8.0_402"`.
fn version(said: &str) -> Option<u32> {
    let mut parts = said.split('"').nth(1)?.split(['.', '-', '+', '_']).map(|part| part.parse().ok());
    match parts.next()?? {
        1 => parts.next()?,
        major => Some(major),
    }
}

/// The folder `name` below `folder`, with what one goal of Maven's dependency plugin put there. `what` says which versions that
/// are: it is fetched again when that changes.
fn fetched(folder: &Path, name: &str, what: &str, goal: impl FnOnce(&Path) -> Vec<String>) -> Result<PathBuf> {
    let (done, part) = (folder.join(name), folder.join(format!("{name}.part")));
    let record = "fetched.xml";
    if fs::read_to_string(done.join(record)).is_ok_and(|before| before == what) {
        return Ok(done);
    }
    for old in [&done, &part] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
    fs::write(part.join(record), what).with_context(|| format!("cannot write into {}", part.display()))?;
    if !Command::new("mvn").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        let otherwise = "install it, on Debian by `sudo apt-get install maven`, elsewhere so that `mvn` is on the PATH";
        apt::install("Maven", &["maven"], otherwise)?;
    }
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B"]).args(goal(&part)).current_dir(&part);
    run(maven).context("the server's jars come from Maven's repository: this needs the network once")?;
    // Only a whole folder has the name.
    fs::rename(&part, &done).with_context(|| format!("cannot rename {}", part.display()))?;
    Ok(done)
}

/// The folder of the jars that a project's dependencies are, with all that they need.
pub(super) fn jars(folder: &Path, project: &str) -> Result<PathBuf> {
    fetched(folder, "lib", project, |part| {
        let file = part.join("fetched.xml").to_string_lossy().into_owned();
        let output = format!("-DoutputDirectory={}", part.display());
        vec!["-f".to_owned(), file, format!("{PLUGIN}:copy-dependencies"), "-DincludeScope=runtime".to_owned(), output]
    })
}

/// The folder into which an archive was unpacked: `GROUP:ARTIFACT:VERSION:TYPE:CLASSIFIER`.
pub(super) fn unpacked(folder: &Path, artifact: &str) -> Result<PathBuf> {
    fetched(folder, "app", artifact, |part| {
        let output = format!("-DoutputDirectory={}", part.display());
        vec![format!("{PLUGIN}:unpack"), format!("-Dartifact={artifact}"), output]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_java() {
        for (said, expected) in [
            ("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime", Some(17)),
            ("openjdk version \"21\" 2023-09-19", Some(21)),
            ("openjdk version \"22-ea\" 2024-03-19", Some(22)),
            ("java version \"1.8.0_402\"", Some(8)),
            ("command not found", None),
        ] {
            assert_eq!(version(said), expected, "{said}");
        }
    }

    #[test]
    fn what_is_there_is_not_fetched_again() {
        let folder = std::env::temp_dir().join(format!("xtask-java-{}", std::process::id()));
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::write(folder.join("lib/fetched.xml"), "these").unwrap();
        assert_eq!(jars(&folder, "these").unwrap(), folder.join("lib"));
        fs::remove_dir_all(folder).unwrap();
    }
}
