//! What goes wrong in a life of the job, beside its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::place::{Place, Running};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    /// Another process takes the job over while this one is frozen, and this one goes on later.
    Frozen,
    /// The machine's clock is set, forward and back.
    Clock,
    /// The folder of checkpoints cannot be written.
    ReadOnly,
    /// A file of the newest checkpoint is cut before the job starts.
    Cut,
}

impl Trouble {
    pub(super) const ALL: [Self; 5] = [Self::None, Self::Frozen, Self::Clock, Self::ReadOnly, Self::Cut];

    /// More than half of all lives have none.
    pub(super) fn next(random: &mut Random) -> Self {
        Self::ALL[random.below(10).saturating_sub(5) as usize]
    }

    /// What happened, for the report.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::None => "nothing else",
            Self::Frozen => "frozen, replaced, and stopped when it went on",
            Self::Clock => "with a clock that was set forward and back",
            Self::ReadOnly => "without being able to write checkpoints",
            Self::Cut => "with a cut file in the newest checkpoint",
        }
    }
}

/// Numbers that a seed reproduces (xorshift).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

/// Lives of a job.
pub(super) struct Troubles<'a> {
    place: &'a Place,
    /// So many milliseconds a life takes at most.
    longest: u64,
    /// The library that is preloaded where the clock is to jump.
    library: PathBuf,
    /// By how much it is off.
    offset: PathBuf,
}

/// How long a process may take to find out that it is to end.
const PATIENCE: Duration = Duration::from_secs(60);

impl<'a> Troubles<'a> {
    pub(super) fn new(place: &'a Place, longest: u64) -> Result<Self> {
        let (source, library) = (place.folder.join("clock.c"), place.folder.join("clock.so"));
        fs::write(&source, include_str!("jumping_clock.c"))?;
        let mut compiler = Command::new("cc");
        let built = compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
        if !built.context("cannot start the C compiler")?.success() {
            bail!("the clock that jumps cannot be compiled");
        }
        Ok(Self { place, longest, library, offset: place.folder.join("clock") })
    }

    /// One life, which ends with SIGKILL. Whether what was to go wrong did.
    pub(super) fn live(&self, trouble: Trouble, random: &mut Random) -> Result<bool> {
        match trouble {
            Trouble::None => self.lives(self.place.start()?, random).map(|()| true),
            Trouble::Frozen => self.frozen(random),
            Trouble::Clock => self.clock(random).map(|()| true),
            Trouble::ReadOnly => self.read_only().map(|()| true),
            Trouble::Cut => {
                let cut = self.cut(random)?;
                self.lives(self.place.start()?, random)?;
                Ok(cut)
            }
        }
    }

    fn some_time(&self, random: &mut Random) {
        sleep(Duration::from_millis(random.below(self.longest)));
    }

    /// Lets it run for a while, and kills it.
    fn lives(&self, mut run: Running, random: &mut Random) -> Result<()> {
        self.some_time(random);
        if let Some(status) = run.try_wait()? {
            bail!("the job ended by itself ({status})");
        }
        run.end()
    }

    fn frozen(&self, random: &mut Random) -> Result<bool> {
        let mut old = self.place.start()?;
        self.some_time(random);
        signal(&old, "STOP")?;
        let mut new = self.place.start()?;
        self.some_time(random);
        // What the frozen one still holds of an output nobody else can finish: then the new one does not stay. It may also not have begun
        // to run when the old one was stopped, or the new one when that goes on.
        let mut stays = new.try_wait()?.is_none();
        signal(&old, "CONT")?;
        if stays {
            self.some_time(random);
            stays = new.try_wait()?.is_none();
        }
        if !stays {
            old.end()?;
            return Ok(false);
        }
        let Some(status) = wait(&mut old, PATIENCE)? else {
            bail!("a process that was replaced went on for {} s", PATIENCE.as_secs());
        };
        if status.success() {
            bail!("a process that was replaced ended as if all was well");
        }
        new.end()?;
        Ok(true)
    }

    fn clock(&self, random: &mut Random) -> Result<()> {
        fs::write(&self.offset, 0_i64.to_ne_bytes())?;
        let mut command = Command::new(&self.place.velo);
        command.env("LD_PRELOAD", &self.library).env("VELO_CHAOS_CLOCK", &self.offset);
        let mut run = self.place.start_by(command, "log")?;
        for _ in 0..3 {
            sleep(Duration::from_millis(random.below(self.longest / 3)));
            let seconds = i64::try_from(random.below(200_000))? - 100_000;
            // In place: the file is mapped.
            std::os::unix::fs::FileExt::write_all_at(
                &fs::OpenOptions::new().write(true).open(&self.offset)?,
                &seconds.to_ne_bytes(),
                0,
            )?;
        }
        if let Some(status) = run.try_wait()? {
            bail!("the job ended by itself ({status})");
        }
        run.end()
    }

    /// The job must end and say why.
    fn read_only(&self) -> Result<()> {
        let (state, log) = (self.place.state(), self.place.folder.join("read-only.log"));
        fs::create_dir_all(&state)?;
        fs::write(&log, "")?;
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
        command.arg("mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\"");
        command.arg(&state).arg(&self.place.velo);
        let mut run = self.place.start_by(command, "read-only.log")?;
        let Some(status) = wait(&mut run, PATIENCE)? else {
            bail!("the job runs, and cannot write its checkpoints");
        };
        let said = fs::read_to_string(&log)?;
        if status.success() || !said.contains("checkpoint.dir") || !said.contains("Read-only file system") {
            bail!("without a place for checkpoints the job ended with {status} and said: {said}");
        }
        Ok(())
    }

    /// Cuts a file of the newest checkpoint where another one is whole, so that the job has something to go on from.
    fn cut(&self, random: &mut Random) -> Result<bool> {
        let mut verify = Command::new(&self.place.velo);
        verify.args(["checkpoint", "verify", "--output", "json"]).arg(self.place.state());
        let output = verify.output().context("cannot start velo")?;
        let lines = String::from_utf8(output.stdout)?;
        let mut whole = Vec::new();
        for line in lines.lines() {
            let line: serde_json::Value = serde_json::from_str(line)?;
            if line["whole"] == true {
                whole.extend(line["checkpoint"].as_u64());
            }
        }
        let [.., _, newest] = whole[..] else { return Ok(false) };
        let mut files = Vec::new();
        all_files(&self.place.state().join(newest.to_string()), &mut files)?;
        files.retain(|(path, bytes)| *bytes > 0 && !path.ends_with("complete"));
        files.sort();
        if files.is_empty() {
            return Ok(false);
        }
        let (path, bytes) = &files[random.below(files.len() as u64) as usize];
        fs::OpenOptions::new().write(true).open(path)?.set_len(random.below(*bytes))?;
        Ok(true)
    }
}

fn all_files(folder: &Path, found: &mut Vec<(PathBuf, u64)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            all_files(&entry.path(), found)?;
        } else {
            found.push((entry.path(), metadata.len()));
        }
    }
    Ok(())
}

/// Waits for the end of a process; none if it does not come in time.
pub(super) fn wait(run: &mut Child, patience: Duration) -> Result<Option<std::process::ExitStatus>> {
    let until = Instant::now() + patience;
    loop {
        if let Some(status) = run.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > until {
            return Ok(None);
        }
        sleep(Duration::from_millis(5));
    }
}

/// Sends a signal by its name, without `SIG`.
pub(super) fn signal(child: &Child, name: &str) -> Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    if !status.context("cannot start kill")?.success() {
        bail!("the job cannot be sent SIG{name}");
    }
    Ok(())
}
