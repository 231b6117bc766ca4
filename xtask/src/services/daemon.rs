//! A server as a process apart from the command that starts it: known by its pid, stopped by it, started again by a script.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{capture, run};
use crate::workspace::Workspace;

/// Where a service lies, below `target/`; absolute, because its processes run in folders of their own.
pub(super) fn service_folder(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.root.join("target"), PathBuf::from);
    std::path::absolute(target.join("services").join(name)).context("the current folder is gone")
}

/// How long a killed process may take to be gone.
const END: Duration = Duration::from_secs(10);

/// How long to wait before one looks again.
const LOOK: Duration = Duration::from_millis(50);

/// A server in a folder of its own: there `start` starts it, with the same ports and data each time, and `pid` holds its process.
/// Tests use these two files as this does, to kill a server and to start it again.
pub(super) struct Daemon {
    folder: PathBuf,
    log: PathBuf,
}

impl Daemon {
    pub(super) fn new(folder: PathBuf, log: PathBuf) -> Self {
        Self { folder, log }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the script, and empties the log. One of the arguments has to name a file in the folder: by it the process is
    /// recognised.
    pub(super) fn prepare(&self, program: &Path, arguments: &[String]) -> Result<()> {
        let script = self.folder.join("start");
        fs::write(&script, self.script(program, arguments))
            .with_context(|| format!("cannot write {}", script.display()))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        File::create(&self.log).with_context(|| format!("cannot write {}", self.log.display()))?;
        Ok(())
    }

    fn script(&self, program: &Path, arguments: &[String]) -> String {
        let quoted = |path: &Path| quote(&path.to_string_lossy());
        let arguments: String = arguments.iter().map(|argument| format!(" {}", quote(argument))).collect();
        format!(
            "#!/bin/sh\n\
             # Starts this server, or starts it again: in the foreground, as the very process that runs this script.\n\
             cd {folder} || exit\n\
             # Whoever looks just now finds a number: the one before, or this.\n\
             echo $$ >pid.new && mv pid.new pid\n\
             exec {program}{arguments} </dev/null >>{log} 2>&1\n",
            folder = quoted(&self.folder),
            program = quoted(program),
            log = quoted(&self.log),
        )
    }

    /// Starts it; it answers later.
    pub(super) fn start(&self) -> Result<()> {
        let mut start = Command::new("sh");
        // As a grandchild it is nobody's to wait for: a killed child of ours would remain as a zombie and look alive.
        start.args(["-c", "\"$0\" >/dev/null 2>&1 & echo $!"]).arg(self.folder.join("start"));
        // What stops the command that started it is not meant for it.
        start.process_group(0);
        let process = capture(start)?;
        fs::write(self.pid(), process).with_context(|| format!("cannot write {}", self.pid().display()))
    }

    /// Its process, while it lives: a crash leaves the file behind, and later the number belongs to somebody else.
    pub(super) fn process(&self) -> Option<String> {
        let process = fs::read_to_string(self.pid()).ok()?.trim().to_owned();
        let mut look = Command::new("ps");
        look.args(["-ww", "-o", "stat=,args=", "-p", &process]).stdin(Stdio::null()).stderr(Stdio::null());
        let found = String::from_utf8_lossy(&look.output().ok()?.stdout).into_owned();
        let ours = !found.trim_start().starts_with('Z') && found.contains(&*self.folder.to_string_lossy());
        ours.then_some(process)
    }

    /// Ends it at once, also where it is stopped by a signal; whether it ran. Nothing that it holds is needed again, and of
    /// brokers that end in good order the last one waits minutes for the others.
    pub(super) fn kill(&self) -> Result<bool> {
        let Some(process) = self.process() else { return Ok(false) };
        let mut kill = Command::new("kill");
        kill.args(["-9", &process]);
        run(kill)?;
        let begun = Instant::now();
        while self.process().is_some() {
            if begun.elapsed() > END {
                bail!("process {process} is still there {} s after it was killed", END.as_secs());
            }
            std::thread::sleep(LOOK);
        }
        Ok(true)
    }

    fn pid(&self) -> PathBuf {
        self.folder.join("pid")
    }
}

/// Asks until servers answer; fails with the end of a log once one of them has ended or the time is over.
pub(super) fn wait(
    what: &str,
    daemons: &[Daemon],
    patience: Duration,
    answer: impl Fn() -> Result<bool>,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        let last = match answer() {
            Ok(true) => return Ok(()),
            Ok(false) => "it answers, and is not ready".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        // In the moment in which it becomes another program a process has no arguments.
        let is_gone = |daemon: &&Daemon| {
            daemon.process().is_none() && {
                std::thread::sleep(LOOK);
                daemon.process().is_none()
            }
        };
        if let Some(ended) = daemons.iter().find(is_gone) {
            bail!("{what} ended while it started; {}", end_of(&ended.log));
        }
        if begun.elapsed() > patience {
            let logs: Vec<String> = daemons.iter().map(|daemon| end_of(&daemon.log)).collect();
            bail!("{what} was not ready within {} s: {last}; {}", patience.as_secs(), logs.join(""));
        }
        std::thread::sleep(LOOK);
    }
}

/// The last lines of a log, as an error shows them.
pub(super) fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let last: Vec<&str> = text.lines().rev().take(10).collect();
    let last: String = last.into_iter().rev().map(|line| format!("  {line}\n")).collect();
    format!("the end of {} says why:\n{last}", log.display())
}

/// The ports from which systems choose for connections begin above this (Linux: 32768). While a server is down, one that calls
/// it from such a port could be given the server's own, and keep it from coming back.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// So many ports on which nothing listens, for servers that have to come back on the same ones.
pub(super) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let width = PORTS.end - PORTS.start;
    // Commands that run at the same time begin at different places.
    let first = u16::try_from(std::process::id() * 7919 % u32::from(width)).unwrap_or_default();
    // All are held until all are found: none is given twice.
    let held: Vec<(TcpListener, u16)> = (0..width)
        .map(|step| PORTS.start + (first + step) % width)
        .filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok().map(|listener| (listener, port)))
        .take(count)
        .collect();
    if held.len() < count {
        bail!("{count} free ports are needed on 127.0.0.1 between {} and {}", PORTS.start, PORTS.end);
    }
    Ok(held.into_iter().map(|(_, port)| port).collect())
}

/// A word as the shell takes it.
pub(super) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Variables for the tests, in a file that a shell can read too.
pub(super) fn write_environment(file: &Path, variables: &[(String, String)]) -> Result<()> {
    let text: String = variables.iter().map(|(name, value)| format!("export {name}={}\n", quote(value))).collect();
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// What such a file says; nothing where there is none.
pub(super) fn read_environment(file: &Path) -> Option<Vec<(String, String)>> {
    let text = fs::read_to_string(file).ok()?;
    let variable = |line: &str| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        let value = value.strip_prefix('\'')?.strip_suffix('\'')?.replace(r"'\''", "'");
        Some((name.to_owned(), value))
    };
    text.lines().map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test run.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-daemon-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_server_is_started_killed_and_started_again() {
        let folder = folder("again");
        let daemon = Daemon::new(folder.clone(), folder.join("log"));
        // It ends by itself if the test does not end it, and its last argument says which folder it is of.
        let arguments = ["-c", "echo began; read line <fifo", &folder.to_string_lossy()].map(str::to_owned);
        assert!(Command::new("mkfifo").arg(folder.join("fifo")).status().unwrap().success());
        daemon.prepare(Path::new("/bin/sh"), &arguments).unwrap();
        let began = |times: usize| Ok(fs::read_to_string(folder.join("log"))?.matches("began").count() == times);
        let only = std::slice::from_ref(&daemon);
        assert!(!daemon.kill().unwrap());
        daemon.start().unwrap();
        wait("it", only, END, || began(1)).unwrap();
        let first = daemon.process().unwrap();
        assert!(daemon.kill().unwrap());
        assert!(daemon.process().is_none());
        daemon.start().unwrap();
        wait("it", only, END, || began(2)).unwrap();
        assert_ne!(daemon.process().unwrap(), first);
        assert!(daemon.kill().unwrap());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn one_that_ends_says_why() {
        let folder = folder("ends");
        let daemon = Daemon::new(folder.clone(), folder.join("log"));
        daemon.prepare(Path::new("/bin/sh"), &["-c".to_owned(), "echo no port; exit 1".to_owned()]).unwrap();
        daemon.start().unwrap();
        let error = wait("the broker", &[daemon], END, || bail!("refused")).unwrap_err().to_string();
        assert!(error.starts_with("the broker ended while it started; the end of "), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_process_of_another_folder_is_not_ours() {
        let folder = folder("other");
        fs::write(folder.join("pid"), std::process::id().to_string()).unwrap();
        let daemon = Daemon::new(folder.clone(), folder.join("log"));
        assert!(daemon.process().is_none());
        assert!(!daemon.kill().unwrap());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn ports_are_free_and_different() {
        let mut ports = free_ports(9).unwrap();
        assert!(ports.iter().all(|port| PORTS.contains(port)));
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 9);
    }

    #[test]
    fn variables_come_back_as_they_were_written() {
        let folder = folder("variables");
        let file = folder.join("environment");
        let variables =
            [("VELO_A", "1"), ("VELO_B", "it's = here"), ("VELO_C", "")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(read_environment(&file), None);
        write_environment(&file, &variables).unwrap();
        assert_eq!(read_environment(&file).unwrap(), variables);
        let shell = Command::new("sh").args(["-c", ". \"$0\"; printf %s \"$VELO_B\""]).arg(&file).output().unwrap();
        assert_eq!(String::from_utf8(shell.stdout).unwrap(), "it's = here");
        fs::remove_dir_all(folder).unwrap();
    }
}
