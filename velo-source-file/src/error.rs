//! What can go wrong with files, in words that say what to do.

use std::io;
use std::path::Path;

use velo_core::ConnectorError;
use velo_core::error::ErrorKind;
use velo_core::offset::Position;

use crate::glob::{FileSet, Kind, folder_of};

/// Reading the file at `path` failed.
pub(crate) fn reading(path: &str, error: io::Error) -> ConnectorError {
    let kind = error.kind();
    let made = match kind {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            let message = format!("{path}: {error}");
            ConnectorError::new(ErrorKind::Decode, "reading", message)
        }
        _ => ConnectorError::from_io(error, "reading", path),
    };
    match kind {
        io::ErrorKind::PermissionDenied => made.advise(format!("allow Velo's user to read it: chmod a+r '{path}'")),
        io::ErrorKind::UnexpectedEof => made.advise("the compressed file is cut off: write it again, whole"),
        _ => made,
    }
}

/// Listing the files failed.
pub(crate) fn listing(files: &FileSet, error: io::Error) -> ConnectorError {
    ConnectorError::from_io(error, "listing files", &files.path)
}

/// Nothing is there to read.
pub(crate) fn missing(files: &FileSet) -> ConnectorError {
    let (message, create) = match files.kind() {
        Kind::Folder => (format!("the folder '{}' has no files", files.path), "put files into it".to_owned()),
        Kind::Pattern => {
            let base = files.base();
            let there = if base.is_dir() { "no file matches it" } else { "its folder does not exist" };
            (format!("'{}': {there}", files.path), format!("put files into '{}'", base.display()))
        }
        Kind::File | Kind::Missing => {
            let folder = folder_of(Path::new(&files.path));
            let near = near(&folder, &files.path).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
            let message = if folder.is_dir() {
                format!("the file '{}' does not exist{near}", files.path)
            } else {
                format!("the file '{}' does not exist: there is no folder '{}'", files.path, folder.display())
            };
            (message, "create it".to_owned())
        }
    };
    ConnectorError::new(ErrorKind::NotFound, "opening", message)
        .advise(format!("{create}, or have Velo wait for it: 'file.wait.timeout' = '60s'"))
}

/// There is no file to infer columns from.
pub(crate) fn nothing_to_infer(files: &FileSet) -> ConnectorError {
    let message = format!("'{}' has no file yet to infer the columns from", files.path);
    ConnectorError::new(ErrorKind::NotFound, "inferring the columns", message)
        .advise("declare the columns in the statement, or have Velo wait for a file: 'file.wait.timeout' = '60s'")
}

/// Nothing came while it was waited for.
pub(crate) fn waited(files: &FileSet, waited: &str) -> ConnectorError {
    let mut error = missing(files);
    error.message.push_str(&format!(", also after {waited}"));
    error.advise("check the path, or wait longer: 'file.wait.timeout'")
}

/// What was read before is no longer there.
pub(crate) fn position_lost(path: &str) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::OffsetLost,
        "going on behind a saved position",
        format!("'{path}' is not the file that was read before: it was replaced or rewritten"),
    )
    .advise("bring the file back, or choose where to go on: 'offset.lost' = 'earliest' or 'latest'; or start anew with --fresh")
}

/// A file was changed while it was read, so that what was read may be of two versions. Reading it again may find it whole.
pub(crate) fn torn(path: &str) -> ConnectorError {
    let message = format!("'{path}' was changed or replaced while it was read");
    ConnectorError::new(ErrorKind::Io, "loading a table", message)
        .advise("write to another name and rename the file when it is whole; a file that only grows is followed with 'watch' = 'true'")
        .temporary()
}

/// What came after a position cannot be told, because files are not those that were read.
pub(crate) fn changed(files: &FileSet) -> ConnectorError {
    let message = format!("what '{}' names has changed since it was read", files.path);
    ConnectorError::new(ErrorKind::OffsetLost, "reading what came after a position", message)
        .advise("load the table whole; files that only grow are followed with 'watch' = 'true'")
}

/// A saved position of another connector.
pub(crate) fn foreign_position(position: &Position) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::Configuration,
        "going on behind a saved position",
        format!("{position:?} is no position in files"),
    )
    .advise("the source was another one when it was saved; start anew with --fresh")
}

/// Writing to `path` failed.
pub(crate) fn writing(path: &Path, error: io::Error) -> ConnectorError {
    let made = ConnectorError::from_io(error, "writing", &path.display().to_string());
    match made.kind {
        ErrorKind::StorageFull => made.advise("make room on the disk; nothing half-written was left"),
        ErrorKind::PermissionDenied => made.advise("allow Velo's user to write there"),
        _ => made,
    }
}

/// Rows that a checkpoint has prepared for `target` are no longer there.
pub(crate) fn rows_lost(target: &Path, what: &str) -> ConnectorError {
    let message = format!("'{}': the rows that the checkpoint holds are not there any more: {what}", target.display());
    ConnectorError::new(ErrorKind::OffsetLost, "going on with an output", message).advise(
        "go on from another checkpoint (--from-checkpoint), or start anew with --fresh, which writes the output again",
    )
}

/// Another process is at the hidden file or folder `path` of `target`; one that was replaced goes when it finds out.
pub(crate) fn in_use(target: &Path, path: &Path) -> ConnectorError {
    let message =
        format!("'{}' is still being written by another run, which holds '{}'", target.display(), path.display());
    ConnectorError::new(ErrorKind::Fenced, "going on with an output", message)
        .advise("stop the other run first, or name another file in 'path'")
        .temporary()
}

/// What was to be written, or to go, is not as it was when the run looked: another process writes there.
pub(crate) fn written_by_others(target: &Path) -> ConnectorError {
    let message = format!("'{}' was changed by another process, and what that wrote stays", target.display());
    ConnectorError::new(ErrorKind::Fenced, "going on with an output", message)
        .advise("if the same job runs twice, stop one of them; start again to go on from the newest checkpoint")
}

/// A checkpoint was made by another kind of output than the one that goes on behind it.
pub(crate) fn foreign_state(path: &Path, what: &str) -> ConnectorError {
    let message = format!("'{}': {what}", path.display());
    ConnectorError::new(ErrorKind::Configuration, "going on with an output", message)
        .advise("'delivery.guarantee', 'partition.by' and 'rolling.*' stay as they were when a job goes on; start anew with --fresh")
}

/// The name in `folder` that is nearest to that of `path`.
fn near(folder: &Path, path: &str) -> Option<String> {
    let own = Path::new(path).file_name()?.to_string_lossy().into_owned();
    let names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    let near = velo_core::suggest::nearest(&own, names.iter().map(String::as_str))?;
    Some(Path::new(path).with_file_name(near).to_string_lossy().into_owned())
}
