//! Which files a path names: one file, the files of a folder, or those that a pattern matches.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use velo_core::clock::unix_micros;

use crate::identity::inode;

/// A path as written in `path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSet {
    /// As written, without a leading `file://`.
    pub(crate) path: String,
    pattern: Option<glob::Pattern>,
}

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its path, spelt as the user's path begins.
    pub(crate) path: String,
    /// Device and inode.
    pub(crate) inode: (u64, u64),
    /// Its length in bytes.
    pub(crate) length: u64,
    /// When it was last changed, where the system tells.
    pub(crate) changed: Option<SystemTime>,
}

/// What a path turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Pattern,
    /// Nothing is there.
    Missing,
}

impl FileSet {
    /// Checks the path; a pattern that cannot be one is refused.
    pub(crate) fn new(path: &str) -> Result<Self, String> {
        let path = path.trim();
        let path = path.strip_prefix("file://").unwrap_or(path);
        let path = path.strip_prefix("./").filter(|rest| !rest.is_empty()).unwrap_or(path);
        if path.is_empty() {
            return Err("a path is empty".to_owned());
        }
        let pattern = if path.contains(['*', '?', '[']) {
            let pattern = glob::Pattern::new(path)
                .map_err(|error| format!("'{path}' is no pattern: {} (at character {})", error.msg, error.pos + 1))?;
            Some(pattern)
        } else {
            None
        };
        Ok(Self { path: path.to_owned(), pattern })
    }

    /// What is there now.
    pub(crate) fn kind(&self) -> Kind {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_dir() => Kind::Folder,
            Ok(_) => Kind::File,
            Err(_) if self.pattern.is_some() => Kind::Pattern,
            Err(_) => Kind::Missing,
        }
    }

    /// Whether it may name more than one file.
    pub(crate) fn is_many(&self) -> bool {
        matches!(self.kind(), Kind::Folder | Kind::Pattern)
    }

    /// The files that are there, in name order. Hidden ones (`.x`) are left out, in a folder also those that begin with `_`.
    pub(crate) fn list(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        match self.kind() {
            Kind::Missing => {}
            Kind::File => found.extend(look(Path::new(&self.path))?),
            Kind::Folder => walk(Path::new(&self.path), &mut found)?,
            Kind::Pattern => {
                let options = glob::MatchOptions {
                    case_sensitive: true,
                    require_literal_separator: true,
                    require_literal_leading_dot: true,
                };
                // The pattern was checked when the statement was planned.
                let paths = glob::glob_with(&self.path, options).map_err(io::Error::other)?;
                for path in paths {
                    found.extend(look(&path.map_err(std::io::Error::from)?)?);
                }
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    /// The folders in which files can appear: for a file that which holds it.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        match self.kind() {
            Kind::Folder => vec![PathBuf::from(&self.path)],
            Kind::File | Kind::Missing => vec![folder_of(Path::new(&self.path))],
            Kind::Pattern => vec![self.base()],
        }
    }

    /// Whether files can appear below the folders and not only in them.
    pub(crate) fn is_deep(&self) -> bool {
        match self.kind() {
            Kind::Folder => true,
            Kind::Pattern => {
                Path::new(&self.path).strip_prefix(self.base()).is_ok_and(|rest| rest.components().count() > 1)
            }
            Kind::File | Kind::Missing => false,
        }
    }

    /// The folder before the first part of the path that is a pattern.
    pub(crate) fn base(&self) -> PathBuf {
        let mut base = PathBuf::new();
        for part in Path::new(&self.path).components() {
            if part.as_os_str().to_string_lossy().contains(['*', '?', '[']) {
                break;
            }
            base.push(part);
        }
        if base.as_os_str().is_empty() { PathBuf::from(".") } else { base }
    }
}

/// The folder that holds `path`.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A file as it is listed; `None` for a folder, or where it is gone again.
pub(crate) fn look(path: &Path) -> io::Result<Option<Found>> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(None),
        Ok(metadata) => Ok(Some(Found {
            path: path.to_string_lossy().into_owned(),
            inode: inode(&metadata),
            length: metadata.len(),
            changed: metadata.modified().ok(),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

/// When the file was last changed, in microseconds since 1970.
pub(crate) fn modified(metadata: &Metadata) -> i64 {
    metadata.modified().map_or(0, unix_micros)
}

fn walk(folder: &Path, found: &mut Vec<Found>) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
    for entry in std::fs::read_dir(folder).map_err(named)? {
        let entry = entry.map_err(named)?;
        if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        let path = entry.path();
        match look(&path)? {
            Some(file) => found.push(file),
            None if path.is_dir() => walk(&path, found)?,
            None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(set: &FileSet, root: &Path) -> Vec<String> {
        let list = set.list().unwrap();
        list.iter().map(|f| f.path.strip_prefix(&format!("{}/", root.display())).unwrap().to_owned()).collect()
    }

    #[test]
    fn files_folders_and_patterns() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in ["b.json", "a.json", "c.csv", ".a.json", "_SUCCESS", "day=2/x.json", "day=1/y.json", "a[1].json"] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let set = |tail: &str| FileSet::new(&root.join(tail).to_string_lossy()).unwrap();
        assert_eq!(names(&set("*.json"), root), ["a.json", "a[1].json", "b.json"]);
        assert_eq!(names(&set("**/*.json"), root), ["a.json", "a[1].json", "b.json", "day=1/y.json", "day=2/x.json"]);
        assert_eq!(names(&set("a[1].json"), root), ["a[1].json"]);
        assert_eq!(names(&set("day=*"), root), [] as [&str; 0]);
        assert_eq!(names(&set(""), root), ["a.json", "a[1].json", "b.json", "c.csv", "day=1/y.json", "day=2/x.json"]);
        assert_eq!(set("day=*/x.json").folders(), [root]);
        assert!(set("day=*/x.json").is_deep() && !set("*.json").is_deep());
        assert_eq!(set("no.json").kind(), Kind::Missing);
        assert_eq!(FileSet::new("x.json").unwrap().folders(), [PathBuf::from(".")]);
        assert!(FileSet::new("a[.json").unwrap_err().contains("is no pattern"));
    }
}
