//! S3 as moto speaks it: installed by pip into an environment of its own, started on a port that it chooses.

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::daemon::end_of;
use super::python::python_with;
use crate::process::run;
use crate::workspace::Workspace;

/// What moto is called where it is imported, and where it is installed.
const MOTO: &[(&str, &str)] = &[("moto.server", "moto[server,s3]~=5.2")];
/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One server, which lives in a folder and keeps its objects in memory.
pub struct S3 {
    folder: PathBuf,
}

impl S3 {
    /// The server of this workspace.
    pub fn of(workspace: &Workspace) -> Self {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.root.join("target"), PathBuf::from);
        Self { folder: target.join("services/s3") }
    }

    /// Where its log lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The interpreter that can run one, for tests that need a server with rules of its own.
    pub fn python(&self) -> Result<PathBuf> {
        std::fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        python_with(&self.folder, MOTO)
    }

    /// Starts it, unless it runs; its address.
    pub fn up(&self) -> Result<String> {
        if let Some(url) = self.running()? {
            return Ok(url);
        }
        let python = self.python()?;
        let log = File::create(self.log()).with_context(|| format!("cannot write {}", self.log().display()))?;
        let mut start = Command::new(python);
        start.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]);
        start.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt as _;
            // What stops the command that started it is not meant for it.
            start.process_group(0);
        }
        let mut child = start.spawn().context("cannot start Python")?;
        std::fs::write(self.process(), child.id().to_string())?;
        let begun = Instant::now();
        loop {
            if let Some(url) = self.running()? {
                return Ok(url);
            }
            let ended = child.try_wait()?.is_some();
            if ended || begun.elapsed() > PATIENCE {
                bail!("the server did not start; {}", end_of(&self.log()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops it; whether it ran.
    pub fn down(&self) -> Result<bool> {
        if self.running()?.is_none() {
            return Ok(false);
        }
        let mut stop = Command::new("kill");
        stop.arg(std::fs::read_to_string(self.process())?.trim());
        run(stop)?;
        std::fs::remove_file(self.process())?;
        Ok(true)
    }

    /// Its address, where it runs: the log says it, the process is alive, and the port answers.
    pub fn running(&self) -> Result<Option<String>> {
        let Ok(process) = std::fs::read_to_string(self.process()) else { return Ok(None) };
        let Ok(log) = std::fs::read_to_string(self.log()) else { return Ok(None) };
        let Some(address) = address(&log) else { return Ok(None) };
        // A crash leaves the files behind.
        let mut alive = Command::new("kill");
        alive.args(["-0", process.trim()]).stdout(Stdio::null()).stderr(Stdio::null());
        let alive = alive.status().is_ok_and(|status| status.success()) && TcpStream::connect(address).is_ok();
        Ok(alive.then(|| format!("http://{address}")))
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn process(&self) -> PathBuf {
        self.folder.join("process")
    }
}

/// Where the server says that it listens.
fn address(log: &str) -> Option<&str> {
    let line = log.lines().find_map(|line| line.split_once("Running on http://"));
    line.map(|(_, address)| address.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_the_log() {
        let log = "WARNING: a development server\n * Running on http://127.0.0.1:39569\nPress CTRL+C to quit\n";
        assert_eq!(address(log), Some("127.0.0.1:39569"));
        assert_eq!(address("Traceback"), None);
    }

    #[test]
    fn what_is_not_there_does_not_run() {
        let server = S3 { folder: PathBuf::from("/nowhere/at/all") };
        assert!(server.running().unwrap().is_none());
        assert!(!server.down().unwrap());
    }
}
