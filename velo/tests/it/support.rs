//! Runs the built binary in a folder of its own.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder with files, and the command to run in it.
pub struct Folder(TempDir);

/// What a run gave.
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Results.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

impl Ran {
    /// What a command gave that has ended.
    pub fn of(output: Output) -> Self {
        let mut stderr = String::from_utf8(output.stderr).unwrap();
        if output.status.code().is_none() {
            stderr.push_str(&format!("\n{}", output.status));
        }
        Self { code: output.status.code().unwrap_or(-1), stdout: String::from_utf8(output.stdout).unwrap(), stderr }
    }
}

impl Folder {
    /// An empty folder.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file; folders before it are made.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Where a file lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file's content.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The same, whatever it is.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// The names in the folder, in order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The command with these arguments, in the folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_velo"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null()).env_remove("VELO_LOG");
        command
    }

    /// Runs the command to its end.
    pub fn velo(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Runs a script that is wrong: exit code 2, nothing on stdout, and the report.
    pub fn refused(&self, script: &str) -> String {
        std::fs::write(self.0.path().join("script.sql"), script).unwrap();
        let ran = self.velo(&["run", "script.sql"]);
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
        ran.stderr
    }

    /// Runs a script that fails while it runs: exit code 1, and what it said.
    pub fn failed(&self, script: &str) -> String {
        std::fs::write(self.0.path().join("script.sql"), script).unwrap();
        let ran = self.velo(&["run", "script.sql"]);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        ran.stderr
    }

    /// Runs a script that is right, and gives its results.
    pub fn ran(&self, script: &str) -> String {
        std::fs::write(self.0.path().join("script.sql"), script).unwrap();
        let ran = self.velo(&["run", "script.sql"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    }
}
