//! How a staged file becomes visible: renamed to its target, or appended to it. Each can be repeated from any point at which a process
//! died, because the staged file goes last, and the target's length tells how far the bytes had come.
//!
//! A process that was frozen may go on at any point of this, when another one has long taken its place. So whoever changes a target
//! holds its lock meanwhile, and takes away only what was there when its run began.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use velo_core::Result;
use velo_core::error::ErrorKind;

use super::stage::{claim, remove_file, sync_folder};
use crate::error;

/// A staged file and its place in the target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// The target's length before.
    pub(super) at: u64,
    /// The staged file's length.
    pub(super) length: u64,
    /// The target's length when a run began that goes on behind this: what was there beyond came later, and goes. Else what is beyond
    /// is none of ours.
    pub(super) seen: Option<u64>,
}

impl Span {
    fn end(&self) -> u64 {
        self.at + self.length
    }

    /// Whether the target, which has so many bytes now, is as this run knows it.
    fn check(&self, target: &Path, now: u64) -> Result<()> {
        match self.seen {
            _ if now < self.at => Err(error::rows_lost(target, &shorter(now, self.at))),
            Some(seen) if now != seen => Err(error::written_by_others(target)),
            None if now > self.end() => Err(error::written_by_others(target)),
            _ => Ok(()),
        }
    }
}

/// The target, to be changed by nobody else as long as this is there.
fn locked(options: &mut OpenOptions, target: &Path) -> Result<File> {
    let file = options.open(target).map_err(|failure| error::writing(target, failure))?;
    claim(&file, target, target)?;
    Ok(file)
}

/// Puts a staged file in the place of its target.
pub(super) fn replace(staged: &Path, target: &Path, span: Span) -> Result<()> {
    let failed = |failure| error::writing(target, failure);
    // What the target's owner allowed stays allowed.
    if let Ok(metadata) = std::fs::metadata(target) {
        match std::fs::set_permissions(staged, metadata.permissions()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    match std::fs::rename(staged, target) {
        // An earlier commit has done it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => settled(staged, target, span),
        other => other.and_then(|()| sync_folder(target)).map_err(failed),
    }
}

/// Appends a staged file to its target.
pub(super) fn append(staged: &Path, target: &Path, span: Span) -> Result<()> {
    let failed = |failure| error::writing(target, failure);
    let from = match File::open(staged) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return settled(staged, target, span),
        from => from.map_err(failed)?,
    };
    let mut to = locked(OpenOptions::new().read(true).append(true).create(true), target)?;
    let now = to.metadata().map_err(failed)?.len();
    span.check(target, now)?;
    if let Err(error) = append_bytes(from, &mut to, span, now).and_then(|()| to.sync_all()) {
        // Nothing half-written stays; the staged file is still there for the next try.
        to.set_len(span.at).map_err(failed)?;
        return Err(failed(error));
    }
    sync_folder(target).and_then(|()| remove_file(staged)).and_then(|()| sync_folder(target)).map_err(failed)
}

/// Takes away what is behind an epoch that a run goes on behind.
pub(super) fn cut(target: &Path, span: Span) -> Result<()> {
    let failed = |failure| error::writing(target, failure);
    let (file, now) = match locked(OpenOptions::new().write(true), target) {
        Err(error) if error.kind == ErrorKind::NotFound => (None, 0),
        file => {
            let file = file?;
            let now = file.metadata().map_err(failed)?.len();
            (Some(file), now)
        }
    };
    if now < span.end() {
        return Err(error::rows_lost(target, &shorter(now, span.end())));
    }
    span.check(target, now)?;
    match file {
        Some(file) if now > span.end() => file.set_len(span.end()).and_then(|()| file.sync_all()).map_err(failed),
        _ => Ok(()),
    }
}

/// The staged file is gone, which it is only after all of it was seen.
fn settled(staged: &Path, target: &Path, span: Span) -> Result<()> {
    let now = std::fs::metadata(target).map(|metadata| metadata.len()).ok();
    match now {
        Some(now) if now >= span.end() && span.seen.is_some() => cut(target, span),
        Some(now) if now >= span.end() => Ok(()),
        _ => {
            let message = format!("'{}', which holds them, is gone", staged.display());
            Err(error::rows_lost(target, &message))
        }
    }
}

fn shorter(now: u64, at: u64) -> String {
    format!("the file has {now} bytes, and had {at} when they were prepared")
}

/// Appends `from` to `to`, whose length is `now`. What an earlier try has appended stays, so that nobody sees rows go and come again.
fn append_bytes(from: File, to: &mut File, span: Span, now: u64) -> io::Result<()> {
    let there = alike(&from, to, span, (now - span.at).min(span.length))?;
    if now > span.at + there {
        to.set_len(span.at + there)?;
    }
    let mut from = from;
    from.seek(SeekFrom::Start(there))?;
    let copied = io::copy(&mut from.take(span.length - there), to)?;
    if there + copied < span.length {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the rows that were prepared have become fewer"));
    }
    Ok(())
}

/// How many of the first `most` bytes of `from` the target has at its place.
fn alike(from: &File, to: &File, span: Span, most: u64) -> io::Result<u64> {
    let (mut from, mut to) = (from, to);
    from.seek(SeekFrom::Start(0))?;
    to.seek(SeekFrom::Start(span.at))?;
    let (mut one, mut other) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut found = 0;
    while found < most {
        let size = (most - found).min(one.len() as u64) as usize;
        from.read_exact(&mut one[..size])?;
        to.read_exact(&mut other[..size])?;
        let same = one[..size].iter().zip(&other[..size]).take_while(|(one, other)| one == other).count();
        found += same as u64;
        if same < size {
            break;
        }
    }
    Ok(found)
}
