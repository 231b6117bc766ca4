//! Where the content of a file went that is no longer under its name: renamed, copied, or several times rotated.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use velo_core::offset::FileIdentity;

use crate::content::Compression;
use crate::glob::{Found, folder_of, look};
use crate::identity::begins_as;

/// The files in the folder of `path`, with their times of change.
fn siblings(path: &str) -> io::Result<Vec<(Found, SystemTime)>> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder_of(Path::new(path))) else { return Ok(found) };
    for entry in entries {
        let entry = entry?;
        // A sibling may go between the listing and the look.
        if let Ok(Some(file)) = look(&entry.path())
            && let Some(time) = file.changed
        {
            found.push((file, time));
        }
    }
    Ok(found)
}

fn name_of(path: &str) -> String {
    Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether rotation gives the file called `own` this name: `app.jsonl.1`, `app.jsonl-20240131`, `app-20240131.jsonl`.
fn is_rotated_name(own: &str, name: &str) -> bool {
    let counts = |middle: &str| {
        middle.starts_with(['.', '-', '_'])
            && middle.bytes().any(|byte| byte.is_ascii_digit())
            && middle.bytes().all(|byte| byte.is_ascii_digit() || b".-_T:Z".contains(&byte))
    };
    let (stem, extension) = own.split_at(own.rfind('.').unwrap_or(own.len()));
    let within = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension));
    name.strip_prefix(own).is_some_and(counts) || within.is_some_and(counts)
}

/// The file with this inode and content in the folder of `path`, under whatever name.
pub(crate) fn find_moved(path: &str, identity: &FileIdentity) -> io::Result<Option<File>> {
    for (found, _) in siblings(path)? {
        if found.inode != identity.inode || found.inode == (0, 0) {
            continue;
        }
        let Ok(file) = File::open(&found.path) else { continue };
        if begins_as(&file, identity)?.is_some() {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// The newest copy of the file at `path` (with this inode) that begins with what `identity` covers.
pub(crate) fn find_copy(path: &str, inode: (u64, u64), identity: &FileIdentity) -> io::Result<Option<File>> {
    let own = name_of(path);
    let stem = own.split('.').next().unwrap_or_default();
    let mut found = siblings(path)?;
    found.retain(|(found, _)| {
        (found.inode != inode || inode == (0, 0))
            && name_of(&found.path) != own
            && name_of(&found.path).starts_with(stem)
            && found.length >= identity.prefix
            && Compression::of(&found.path) == Compression::None
    });
    found.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    for (found, _) in found {
        let Ok(file) = File::open(&found.path) else { continue };
        if begins_as(&file, identity)?.is_some() {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Files that had the name of `path` after the one with inode `from` and before that with inode `to`, oldest first.
pub(crate) fn between(path: &str, from: (u64, u64), to: Option<(u64, u64)>) -> io::Result<Vec<(Found, File)>> {
    let own = name_of(path);
    let siblings = siblings(path)?;
    let Some(then) = siblings.iter().find(|(found, _)| found.inode == from).map(|(_, time)| *time) else {
        return Ok(Vec::new());
    };
    let mut missed: Vec<_> = siblings
        .into_iter()
        .filter(|(found, time)| *time > then && found.inode != from && Some(found.inode) != to)
        .filter(|(found, _)| is_rotated_name(&own, &name_of(&found.path)))
        .collect();
    missed.sort_by(|(one, one_time), (other, other_time)| (one_time, &other.path).cmp(&(other_time, &one.path)));
    Ok(missed.into_iter().filter_map(|(found, _)| File::open(&found.path).ok().map(|file| (found, file))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rotated_files() {
        for name in
            ["app.jsonl.1", "app.jsonl-20240131", "app-20240131.jsonl", "app.1.jsonl", "app.jsonl.2024-01-31T10:00"]
        {
            assert!(is_rotated_name("app.jsonl", name), "{name}");
        }
        for name in ["app.jsonl", "app.jsonl.bak", "application.jsonl", "app2.jsonl", "app.jsonl.1.gz", "app-new.jsonl"]
        {
            assert!(!is_rotated_name("app.jsonl", name), "{name}");
        }
    }
}
