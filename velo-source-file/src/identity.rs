//! What tells one file from another under the same name.
//!
//! The inode alone misses a rewrite in place; the first bytes alone miss a rotation to a file that begins alike. So a
//! [`Fingerprint`] covers a length: it holds the first bytes of that length and the last ones, and with the inode it makes the
//! [`FileIdentity`] that a position keeps. A file that was cut and written anew, even longer than before and within the time
//! between two looks, differs in it.

use std::fs::{File, Metadata};
use std::io;

use velo_core::offset::FileIdentity;
use xxhash_rust::xxh3::Xxh3;

/// How many bytes a fingerprint holds of each end.
const SPAN: usize = 4_096;

/// The first and the last bytes of the first `length` bytes of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    head: Vec<u8>,
    tail: Vec<u8>,
    length: u64,
}

impl Fingerprint {
    /// How many bytes it covers.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Covers `bytes` too, which follow.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let room = SPAN - self.head.len();
        self.head.extend_from_slice(&bytes[..room.min(bytes.len())]);
        let kept = SPAN.saturating_sub(bytes.len()).min(self.tail.len());
        self.tail.drain(..self.tail.len() - kept);
        self.tail.extend_from_slice(&bytes[bytes.len() - SPAN.min(bytes.len())..]);
        self.length += bytes.len() as u64;
    }

    /// That of the first `length` bytes of `file`; `None` where it is shorter.
    pub(crate) fn read(file: &File, length: u64) -> io::Result<Option<Self>> {
        if file.metadata()?.len() < length {
            return Ok(None);
        }
        let size = length.min(SPAN as u64) as usize;
        let (mut head, mut tail) = (vec![0; size], vec![0; size]);
        let whole = read_at(file, &mut head, 0)? && read_at(file, &mut tail, length - size as u64)?;
        Ok(whole.then_some(Self { head, tail, length }))
    }

    /// Whether `file` still begins with the bytes that were covered.
    pub(crate) fn holds(&self, file: &File) -> io::Result<bool> {
        Ok(Self::read(file, self.length)?.is_some_and(|now| now == *self))
    }

    /// The identity of a file with this content and `inode`.
    pub(crate) fn identity(&self, inode: (u64, u64)) -> FileIdentity {
        let mut hash = Xxh3::new();
        hash.update(&self.head);
        hash.update(&self.tail);
        FileIdentity { inode, prefix: self.length, hash: hash.digest() }
    }
}

/// Whether `file` begins with the content that `identity` stands for, whatever its inode; if so, its fingerprint.
pub(crate) fn begins_as(file: &File, identity: &FileIdentity) -> io::Result<Option<Fingerprint>> {
    let now = Fingerprint::read(file, identity.prefix)?;
    Ok(now.filter(|now| now.identity(identity.inode) == *identity))
}

/// Device and inode; zero where the system has none.
#[cfg(unix)]
pub(crate) fn inode(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// Device and inode; zero where the system has none.
#[cfg(not(unix))]
pub(crate) fn inode(_metadata: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// Fills `out` from `offset` on without moving the file's own position; false where the file is too short.
pub(crate) fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<bool> {
    #[cfg(unix)]
    let result = std::os::unix::fs::FileExt::read_exact_at(file, out, offset);
    #[cfg(not(unix))]
    let result = {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = file;
        let before = file.stream_position()?;
        let result = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(out));
        file.seek(SeekFrom::Start(before))?;
        result
    };
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn piece_by_piece_is_as_at_once() {
        let bytes: Vec<u8> = (0..30_000_u32).map(|at| (at * at % 251) as u8).collect();
        for cuts in [vec![1, 5, 4_090, 4_100, 9_000], vec![10_000], vec![4_096, 8_192], vec![]] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let (mut print, mut from) = (Fingerprint::default(), 0);
            for to in cuts.into_iter().chain([20_000]) {
                print.extend(&bytes[from..to]);
                from = to;
                assert_eq!(Fingerprint::read(&file, to as u64).unwrap().as_ref(), Some(&print), "{to}");
                assert!(print.holds(&file).unwrap());
            }
            let identity = print.identity((1, 2));
            assert_eq!(begins_as(&file, &identity).unwrap().as_ref(), Some(&print));
            file.set_len(19_999).unwrap();
            assert!(!print.holds(&file).unwrap());
        }
    }
}
