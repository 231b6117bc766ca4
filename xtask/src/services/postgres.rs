//! PostgreSQL 15: found or installed by apt, initialised once, started on a free loopback port.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::apt;
use super::daemon::end_of;
use crate::process::run;
use crate::workspace::Workspace;

/// Where Debian and its kin put the server's programs; elsewhere they are looked for on the PATH.
const DEBIAN: &str = "/usr/lib/postgresql/15/bin";

/// What the server needs beyond its defaults; tests need no durability.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nwal_level = logical\nmax_replication_slots = 10\n\
     max_wal_senders = 10\nfsync = off\nshared_buffers = 64MB\n";

/// One server, which lives in a folder.
pub struct Postgres {
    folder: PathBuf,
    /// The server refuses to run as root: then it is this user, whom the package makes.
    user: Option<&'static str>,
}

impl Postgres {
    /// The server of this workspace.
    pub fn of(workspace: &Workspace) -> Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.root.join("target"), PathBuf::from);
        let root = apt::is_root()?;
        let mut folder = target.join("services/postgres");
        if root && !folder.join("data").exists() && !reachable(&target) {
            // The user that the server runs as may not enter this one's folders.
            let name = format!("velo-services-{:08x}", hash(&target.to_string_lossy()));
            folder = std::env::temp_dir().join(name).join("postgres");
        }
        Ok(Self { folder, user: root.then_some("postgres") })
    }

    /// Where its data and log lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts it, unless it runs; its address.
    pub fn up(&self) -> Result<String> {
        if let Some(url) = self.running()? {
            return Ok(url);
        }
        let programs = programs()?;
        self.initialise(&programs)?;
        let port = free_port()?;
        let options = format!("-p {port} -k ''");
        let log = self.folder.join("log");
        let mut start = self.command(&programs.join("pg_ctl"));
        // Its output goes to the log: a pipe would stay open as long as the server runs.
        start.stdout(Stdio::null()).stderr(Stdio::null());
        start.arg("-D").arg(self.data()).arg("-l").arg(&log).args(["-w", "-t", "60", "-o", &options, "start"]);
        if run(start).is_err() {
            bail!("the server did not start; {}", end_of(&log));
        }
        self.running()?.context("the server started and is gone again; its log says why")
    }

    /// Stops it; whether it ran.
    pub fn down(&self) -> Result<bool> {
        if self.running()?.is_none() {
            return Ok(false);
        }
        let mut stop = self.command(&programs()?.join("pg_ctl"));
        stop.stdout(Stdio::null()).arg("-D").arg(self.data()).args(["-m", "fast", "-w", "stop"]);
        run(stop)?;
        Ok(true)
    }

    /// Its address, where it runs: the first lines of its pid file are the process, the folder, the start and the port.
    pub fn running(&self) -> Result<Option<String>> {
        let Ok(text) = std::fs::read_to_string(self.data().join("postmaster.pid")) else { return Ok(None) };
        let mut lines = text.lines();
        let (Some(process), Some(port)) = (lines.next(), lines.nth(2)) else { return Ok(None) };
        // A crash leaves the file behind.
        let mut alive = Command::new("kill");
        alive.args(["-0", process.trim()]).stdout(Stdio::null()).stderr(Stdio::null());
        let alive = alive.status().is_ok_and(|status| status.success());
        Ok(alive.then(|| format!("postgresql://postgres@127.0.0.1:{}/postgres", port.trim())))
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A program of the server's, as the user that it runs as.
    fn command(&self, program: &Path) -> Command {
        let mut command = match self.user {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]).arg(program);
                command
            }
        };
        // A folder that the user may enter.
        command.current_dir(&self.folder);
        command
    }

    fn initialise(&self, programs: &Path) -> Result<()> {
        if self.data().join("PG_VERSION").is_file() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        if let Some(user) = self.user {
            run(words("chown", &[&format!("{user}:{user}"), &self.folder.to_string_lossy()]))?;
        }
        let mut init = self.command(&programs.join("initdb"));
        init.arg("-D").arg(self.data()).stdout(Stdio::null());
        init.args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]);
        run(init)?;
        let settings = self.data().join("postgresql.conf");
        let text = std::fs::read_to_string(&settings).with_context(|| format!("cannot read {}", settings.display()))?;
        std::fs::write(&settings, format!("{text}\n{SETTINGS}"))
            .with_context(|| format!("cannot write {}", settings.display()))
    }
}

fn words(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// Whether other users can enter a folder.
fn reachable(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let closed = |folder: &Path| std::fs::metadata(folder).is_ok_and(|data| data.permissions().mode() & 0o001 == 0);
    !folder.ancestors().any(closed)
}

/// A number for a name; the same on every run.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A port that nothing listens on; the server takes it at once.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("there is no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// The folder of the server's programs; installed where they are missing and that is allowed.
fn programs() -> Result<PathBuf> {
    if let Some(folder) = found() {
        return Ok(folder);
    }
    let otherwise = "install it, on Debian 12 by `sudo apt-get install postgresql-15`, elsewhere so that initdb and pg_ctl are on the PATH";
    apt::install("PostgreSQL 15", &["postgresql-15"], otherwise)?;
    found().context("postgresql-15 is installed, and initdb is nowhere to be found")
}

fn found() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(PathBuf::from(DEBIAN))
        .chain(std::env::split_paths(&path))
        .find(|folder| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_free() {
        let port = free_port().unwrap();
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
    }

    #[test]
    fn names_of_folders_stay() {
        assert_eq!(hash("target"), hash("target"));
        assert_ne!(hash("target"), hash("other"));
    }

    #[test]
    fn what_is_not_there_does_not_run() {
        let server = Postgres { folder: PathBuf::from("/nowhere/at/all"), user: None };
        assert!(server.running().unwrap().is_none());
        assert!(!server.down().unwrap());
    }
}
