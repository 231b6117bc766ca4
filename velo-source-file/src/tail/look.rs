//! Looking: which files are there, and what became of those that were known.

use std::collections::{HashMap, HashSet};
use std::fs::File;

use velo_core::Result;
use velo_core::offset::FileIdentity;

use super::{Cursor, Leaving, Tail};
use crate::error;
use crate::glob::Found;
use crate::identity::begins_as;
use crate::rotation::{between, find_moved};

impl Tail {
    /// Says that a file was written to; false where that needs a [`Tail::look`].
    pub(crate) fn touch(&mut self, path: &str) -> bool {
        let plain = path.strip_prefix("./").unwrap_or(path);
        let Some(path) = [path, plain].into_iter().find(|path| self.known.contains_key(*path)) else { return false };
        if !self.leaving.is_empty() {
            return false;
        }
        if self.work.back().is_none_or(|last| last != path) {
            self.work.push_back(path.to_owned());
        }
        true
    }

    /// Lists what is there and notes what is to be read. `tick` says that the clock called and not a change.
    pub(crate) fn look(&mut self, tick: bool) -> Result<()> {
        let listing = self.spec.files.list().map_err(|error| error::listing(&self.spec.files, error))?;
        let at: HashMap<&str, &Found> = listing.iter().map(|found| (found.path.as_str(), found)).collect();
        let mut by_inode: HashMap<(u64, u64), &Found> = HashMap::new();
        for found in &listing {
            by_inode.insert(found.inode, found);
        }
        self.leave(tick, &at);
        let mut moved = Vec::new();
        for path in self.known.keys().cloned().collect::<Vec<_>>() {
            let Some(cursor) = self.known.get(&path) else { continue };
            let here = at.get(path.as_str()).copied();
            if here.is_some_and(|here| here.inode == cursor.inode) {
                continue;
            }
            let elsewhere = by_inode.get(&cursor.inode).filter(|found| found.inode != (0, 0));
            let taken = |found: &Found| self.known.get(&found.path).is_some_and(|other| other.inode == found.inode);
            // Systems give the inode of a removed file to the next one.
            let same = |found: &Found| !taken(found) && same_content(&found.path, &cursor.identity());
            if let Some(found) = elsewhere.filter(|found| same(found)) {
                moved.push((path, found.path.clone()));
            } else if self.spec.watch {
                self.lose(&path, here)?;
            }
        }
        // Taken out before any is put back, so that two files may exchange their names.
        let moved: Vec<_> = moved.into_iter().filter_map(|(from, to)| Some((to, self.known.remove(&from)?))).collect();
        for (to, cursor) in moved {
            self.known.insert(to.clone(), cursor);
            self.work.push_back(to);
        }
        let queued: HashSet<String> = self.work.iter().cloned().collect();
        for found in listing.into_iter().filter(|found| !queued.contains(&found.path)) {
            self.note(found);
        }
        Ok(())
    }

    /// Queues a listed file if there may be something to read.
    fn note(&mut self, found: Found) {
        if self.after.as_ref().is_some_and(|after| found.path < *after) {
            return;
        }
        let unchanged =
            self.known.get(&found.path).is_some_and(|cursor| cursor.seen == Some((found.length, found.changed)));
        if !unchanged {
            self.work.push_back(found.path);
        }
    }

    /// Has the files that left their names read again, and says which of them end if nothing new is found.
    fn leave(&mut self, tick: bool, at: &HashMap<&str, &Found>) {
        for leaving in &mut self.leaving {
            let replaced = at.get(leaving.path.as_str()).is_some_and(|found| found.inode != leaving.cursor.inode);
            let finished = replaced || self.many || leaving.cursor.handle.as_ref().is_some_and(is_deleted);
            leaving.closing = tick && leaving.passes > 0 && finished;
            leaving.drained = false;
        }
    }

    /// The file at `path` is another one now, or gone.
    fn lose(&mut self, path: &str, here: Option<&Found>) -> Result<()> {
        let failed = |error| error::reading(path, error);
        let Some(cursor) = self.known.get_mut(path) else { return Ok(()) };
        let identity = cursor.identity();
        let replaced = match &cursor.handle {
            Some(file) => is_deleted(file),
            None => {
                cursor.handle = find_moved(path, &identity).map_err(failed)?;
                cursor.handle.is_none()
            }
        };
        if let Some(here) = here.filter(|_| replaced && same_content(path, &identity)) {
            // The old file is gone and the new one begins with what was read of it: it was saved anew or restored.
            cursor.inode = here.inode;
            cursor.handle = None;
            if let Some(saved) = &mut cursor.saved {
                saved.inode = here.inode;
            }
            return Ok(());
        }
        if cursor.handle.is_none() && cursor.saved.is_some() && identity.prefix > 0 && !self.many {
            return Err(error::position_lost(path));
        }
        let Some(cursor) = self.known.remove(path) else { return Ok(()) };
        self.work.retain(|work| work != path);
        self.torn.get_or_insert_with(|| path.to_owned());
        if cursor.handle.is_none() {
            return Ok(());
        }
        let from = cursor.inode;
        self.leaving.push_back(Leaving::new(path, cursor, false));
        if !self.many {
            for (found, file) in between(path, from, here.map(|here| here.inode)).map_err(failed)? {
                let version = self.version();
                let missed = Cursor { version, inode: found.inode, handle: Some(file), ..Cursor::default() };
                self.leaving.push_back(Leaving::new(path, missed, false));
            }
        }
        Ok(())
    }
}

/// Whether no name leads to the file any more.
fn is_deleted(file: &File) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }
    #[cfg(not(unix))]
    {
        _ = file;
        false
    }
}

/// Whether the file at `path` begins with what `identity` covers, which is something.
fn same_content(path: &str, identity: &FileIdentity) -> bool {
    identity.prefix > 0
        && File::open(path).and_then(|file| begins_as(&file, identity)).is_ok_and(|print| print.is_some())
}
