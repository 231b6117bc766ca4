//! Buffers that come back: a chunk's memory is used for a later chunk as soon as nobody holds its bytes.
//!
//! Fresh memory of that size has to be mapped page by page and cleared, which costs a fifth of what reading it does.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::content::CHUNK;

/// Unused buffers kept at most; a partition has about twice as many chunks in work as there are cores.
const KEPT: usize = 8;

/// Buffers of [`CHUNK`] bytes; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// A buffer of [`CHUNK`] bytes; what they are is of no meaning.
    pub(crate) fn take(&self) -> Vec<u8> {
        // Nothing panics while it holds the lock; if it did, the buffer would be a new one.
        let used = self.0.lock().ok().and_then(|mut unused| unused.pop());
        used.unwrap_or_else(|| vec![0; CHUNK])
    }

    /// The buffer is needed no more. One of another size, as a very long record needs it, is let go.
    pub(crate) fn put(&self, buffer: Vec<u8>) {
        if buffer.len() == CHUNK
            && let Ok(mut unused) = self.0.lock()
            && unused.len() < KEPT
        {
            unused.push(buffer);
        }
    }

    /// The bytes of a buffer, which comes back when the last of them is dropped.
    pub(crate) fn lend(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, home: self.clone() })
    }
}

struct Lent {
    buffer: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.put(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_slice_goes() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        buffer[7] = 7;
        let slice = buffers.lend(buffer).slice(7..9);
        assert_eq!((&slice[..], buffers.take()[7]), (&[7, 0][..], 0), "another one while it is held");
        drop(slice);
        assert_eq!(buffers.take()[7], 7, "the same one");
        drop(buffers.lend(vec![1; CHUNK + 1]));
        assert_eq!(buffers.take().len(), CHUNK, "long ones are not kept");
    }
}
