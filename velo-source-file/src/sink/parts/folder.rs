//! The folder of many files: what is there, what is hidden in it, and how an epoch's files take their places.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use velo_core::Result;
use velo_core::connector::CheckpointId;

use super::PartsSpec;
use crate::content::Compression;
use crate::error;
use crate::sink::stage::{PREPARED, WRITTEN, claim, create_folders, heal, next_name, remove_file, sync_folder};

/// A hidden folder that files are written into, locked as long as somebody is at it.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    _lock: File,
    /// It is prepared, and stays when this is dropped.
    kept: bool,
}

impl Staging {
    /// An empty one below `root`.
    pub(super) fn create(root: &Path) -> io::Result<Self> {
        create_folders(root)?;
        let path = loop {
            let path = root.join(format!("{WRITTEN}{}", next_name()));
            match std::fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => break created.map(|()| path)?,
            }
        };
        let lock = File::create(path.join("lock"))?;
        if let Err(error) = lock.try_lock() {
            tracing::debug!(path = %path.display(), %error, "the staging folder is not locked");
        }
        Ok(Self { path, _lock: lock, kept: false })
    }

    /// That of an earlier run; `None` where it is gone.
    pub(super) fn find(root: &Path, name: &str) -> Result<Option<Self>> {
        let path = root.join(name);
        let lock = match OpenOptions::new().write(true).create(true).truncate(false).open(path.join("lock")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            lock => lock.map_err(|failed| error::writing(&path, failed))?,
        };
        claim(&lock, &path, root)?;
        Ok(Some(Self { path, _lock: lock, kept: true }))
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Whether a run can go on behind it.
    pub(super) fn is_kept(&self) -> bool {
        self.kept
    }

    /// Gives it a name that a run can go on behind; what is in it is durable already.
    pub(super) fn keep(&mut self, id: CheckpointId) -> io::Result<String> {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if self.kept {
            return Ok(name);
        }
        let name = name.replace(WRITTEN, &format!("{PREPARED}{id}-"));
        let path = self.path.with_file_name(&name);
        std::fs::rename(&self.path, &path)?;
        self.path = path;
        self.kept = true;
        sync_folder(&self.path)?;
        Ok(name)
    }

    /// Removes it, also if it is prepared.
    pub(super) fn remove(mut self) {
        self.kept = false;
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = std::fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished output stays");
        }
    }
}

/// Moves files from the hidden folder to their places. Can be repeated: the hidden folder goes last.
pub(super) fn publish(root: &Path, staging: Option<&str>, files: &[PathBuf], replaced: &[PathBuf]) -> Result<()> {
    let failed = |failure| error::writing(root, failure);
    let hidden = staging.map(|name| root.join(name));
    if let Some(hidden) = &hidden {
        for file in files {
            let (from, to) = (hidden.join(file), root.join(file));
            if let Some(folder) = to.parent() {
                create_folders(folder).map_err(failed)?;
            }
            match std::fs::rename(&from, &to) {
                // An earlier commit has done it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let message = format!("neither '{}' nor '{}' is there", from.display(), to.display());
                    return Err(error::rows_lost(root, &message));
                }
                other => other.map_err(|failure| error::writing(&to, failure))?,
            }
        }
        sync_folders(root, files).map_err(failed)?;
    }
    for file in replaced {
        remove_file(&root.join(file)).map_err(failed)?;
    }
    match &hidden {
        Some(hidden) => match std::fs::remove_dir_all(hidden) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        },
        None => Ok(()),
    }
}

/// Makes files below `base` durable, and their names.
pub(super) fn sync_files(base: &Path, files: &[PathBuf]) -> io::Result<()> {
    for file in files {
        File::open(base.join(file))?.sync_all()?;
    }
    sync_folders(base, files)
}

/// Makes the names of files durable in all folders between them and `base`.
fn sync_folders(base: &Path, files: &[PathBuf]) -> io::Result<()> {
    let folders: BTreeSet<&Path> = files.iter().flat_map(|file| file.ancestors().skip(1)).collect();
    folders.into_iter().try_for_each(|folder| sync_folder(&base.join(folder).join("part")))
}

/// The files below `root` that are numbered as ours, in name order.
pub(super) fn existing(root: &Path, suffix: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(root, Path::new(""), &mut |file| {
        if numbered(&file, suffix).is_some() {
            found.push(file);
        }
    })?;
    found.sort();
    Ok(found)
}

/// All files in the folder and in the folders of values below it.
fn walk(root: &Path, below: &Path, found: &mut impl FnMut(PathBuf)) -> io::Result<()> {
    let entries = match std::fs::read_dir(root.join(below)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.file_type()?.is_dir() {
            found(below.join(name));
        } else if name.contains('=') {
            walk(root, &below.join(name), found)?;
        }
    }
    Ok(())
}

/// The number of a file of ours.
pub(super) fn numbered(file: &Path, suffix: &str) -> Option<u64> {
    let name = file.file_name()?.to_string_lossy();
    let (task, number) = name.strip_prefix("part-")?.strip_suffix(suffix)?.split_once('-')?;
    task.parse::<u64>().ok()?;
    number.parse().ok()
}

/// Holds the folder as long as this is there; where folders have no locks, nothing.
pub(super) fn lock(root: &Path) -> Result<Option<File>> {
    match File::open(root) {
        Ok(folder) => claim(&folder, root, root).map(|()| Some(folder)),
        Err(error) => {
            tracing::debug!(path = %root.display(), %error, "the folder is not locked");
            Ok(None)
        }
    }
}

/// What tells a file from another one of the same name: its length and when it was written.
type Stamp = (u64, Option<SystemTime>);

/// The files that came behind an epoch, as they were when a run began that goes on from it. A process that was frozen then may find
/// others of the same names, by the one that took its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Later(BTreeMap<PathBuf, Stamp>);

impl Later {
    /// Those of the `existing` files with the number `next` or a higher one.
    pub(super) fn among(spec: &PartsSpec, existing: &[PathBuf], next: u64) -> io::Result<Self> {
        let later = |file: &&PathBuf| numbered(file, &spec.suffix).is_some_and(|number| number >= next);
        let stamped = |file: &PathBuf| {
            let metadata = std::fs::metadata(spec.root.join(file))?;
            Ok((file.clone(), (metadata.len(), metadata.modified().ok())))
        };
        existing.iter().filter(later).map(stamped).collect::<io::Result<_>>().map(Self)
    }

    /// Sees that they are what is there.
    pub(super) fn check(&self, spec: &PartsSpec, next: u64) -> Result<()> {
        let now = existing(&spec.root, &spec.suffix).and_then(|existing| Self::among(spec, &existing, next));
        let now = now.map_err(|failure| error::writing(&spec.root, failure))?;
        // Of those that go, some may be gone: an earlier try has come so far.
        let known = now.0.iter().all(|(file, stamp)| self.0.get(file) == Some(stamp));
        if known { Ok(()) } else { Err(error::written_by_others(&spec.root)) }
    }

    pub(super) fn remove(&self, root: &Path) -> io::Result<()> {
        self.0.keys().try_for_each(|file| remove_file(&root.join(file)))
    }
}

/// Of files that are written at once, and of those that came behind a checkpoint, cuts those that end in the middle of a row.
pub(super) fn cut_later(spec: &PartsSpec, later: &Later, open: &[(PathBuf, u64)]) -> io::Result<()> {
    for (file, kept) in open.iter().cloned().chain(later.0.keys().map(|file| (file.clone(), 0))) {
        let path = spec.root.join(&file);
        let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        heal(&mut file, kept, Compression::of(&path.to_string_lossy()))?;
        if kept == 0 && file.metadata()?.len() == 0 {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// Removes staging folders that nobody holds any more, but for the one that is `kept`.
pub(super) fn remove_leftovers(root: &Path, kept: Option<&str>) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if (name.starts_with(WRITTEN) || name.starts_with(PREPARED))
            && Some(name.as_str()) != kept
            && File::open(entry.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok())
            && std::fs::remove_dir_all(entry.path()).is_ok()
        {
            tracing::info!(path = %entry.path().display(), "removed an unfinished output of an earlier run");
        }
    }
}

/// Removes hidden files that were to be seen when they are whole, and of which the run was killed before.
pub(super) fn remove_hidden(root: &Path, end: &str) {
    let mut found = Vec::new();
    let walked = walk(root, Path::new(""), &mut |file| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(".part-") && name.ends_with(end) {
            found.push(root.join(&file));
        }
    });
    for path in found {
        if let Err(error) = remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "an unfinished output of an earlier run stays");
        }
    }
    if let Err(error) = walked {
        tracing::debug!(path = %root.display(), %error, "the folder cannot be looked at");
    }
}

/// Appends `text` so that it is one plain part of a path: all but letters, digits and `-_.~` is percent-encoded, and `.` too
/// where the whole would else be `.` or `..`.
pub(super) fn push_encoded(out: &mut String, text: &str) {
    let dots = text.bytes().all(|byte| byte == b'.');
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || (byte == b'.' && !dots) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parts_of_a_path() {
        let encoded = |text: &str| {
            let mut out = String::new();
            push_encoded(&mut out, text);
            out
        };
        assert_eq!(encoded("../a b/é=1"), "..%2Fa%20b%2F%C3%A9%3D1");
        assert_eq!(encoded(".."), "%2E%2E");
        assert_eq!(encoded("2024-01-31T10:00:00.5Z"), "2024-01-31T10%3A00%3A00.5Z");
    }

    #[test]
    fn names_of_parts() {
        assert_eq!(numbered(Path::new("a=1/part-0-12.jsonl"), ".jsonl"), Some(12));
        for name in ["part-0-12.csv", "part-x-1.jsonl", "part-1.jsonl", "other-0-1.jsonl"] {
            assert_eq!(numbered(Path::new(name), ".jsonl"), None, "{name}");
        }
    }
}
