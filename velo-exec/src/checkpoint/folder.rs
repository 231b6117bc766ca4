//! Where checkpoints lie: objects under names, each written once and whole.
//!
//! An object is put only where there is none ([`Folder::create`]); nothing is ever rewritten. So whoever finds a name taken knows
//! that somebody else was there, and a reader never sees half an object. A local folder, a bucket or memory are alike.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use velo_core::ConnectorError;
use velo_core::error::ErrorKind;

use crate::error::{ExecError, Result};

/// A folder of objects. Their names have letters, digits, `.`, `_`, `-` and `=`, and `/` between folders ([`plain`]).
#[derive(Clone)]
pub struct Folder {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// As the user named it, for messages.
    name: Arc<str>,
    trouble: Option<Arc<Trouble>>,
}

/// Asked at each call of a folder that a simulation troubles: whether it fails, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFails {
    /// Nothing has been done.
    Before,
    /// It has been done, and nobody is told.
    After,
}

type Trouble = dyn Fn() -> Option<CallFails> + Send + Sync;

/// What became of [`Folder::create`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is there now.
    New,
    /// There was one of that name already; it is as it was.
    Taken,
}

impl Folder {
    /// The folder of a `checkpoint.dir`: a path, or a `file://` address. It is created where it is missing.
    ///
    /// # Errors
    ///
    /// Where the scheme of the address is not built in, or the folder can neither be found nor created.
    pub fn open(address: &str) -> Result<Self> {
        let path = match address.split_once("://") {
            None => address,
            Some(("file", path)) => path,
            Some((scheme, _)) => {
                let message = format!("'{scheme}://' is not built in; a local folder or file:// is");
                return Err(failed(address, ErrorKind::Unsupported, "opening", message));
            }
        };
        let io = |error: std::io::Error| failed(address, kind_of(&error), "opening", error.to_string());
        std::fs::create_dir_all(path).map_err(io)?;
        let whole = std::path::Path::new(path).canonicalize().map_err(io)?;
        let store = LocalFileSystem::new_with_prefix(whole)
            .map_err(|error| failed(address, ErrorKind::Configuration, "opening", error.to_string()))?;
        Ok(Self::of(Arc::new(store), address))
    }

    /// A folder in memory, which all of its clones share.
    pub fn in_memory() -> Self {
        Self::of(Arc::new(InMemory::new()), "memory")
    }

    /// A whole store as a folder; `name` is what messages call it.
    pub fn of(store: Arc<dyn ObjectStore>, name: &str) -> Self {
        Self { store, prefix: Path::default(), name: Arc::from(name), trouble: None }
    }

    /// The same folder with calls that fail when `trouble` says so, in a way that may pass: for simulations.
    #[must_use]
    pub fn with_trouble(&self, trouble: impl Fn() -> Option<CallFails> + Send + Sync + 'static) -> Self {
        Self { trouble: Some(Arc::new(trouble)), ..self.clone() }
    }

    /// Makes a call, unless trouble comes before it; trouble behind it hides what came of it.
    async fn call<T>(&self, operation: &'static str, call: impl Future<Output = T>) -> Result<T> {
        let trouble = self.trouble.as_ref().and_then(|trouble| trouble());
        let broken = || {
            let error = ConnectorError::new(ErrorKind::Unavailable, operation, "the store does not answer").temporary();
            Err(ExecError::connector(&format!("checkpoint.dir {}", self.name), error))
        };
        match trouble {
            None => Ok(call.await),
            Some(CallFails::Before) => broken(),
            Some(CallFails::After) => {
                call.await;
                broken()
            }
        }
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn error(&self, operation: &'static str, name: &str, error: &object_store::Error) -> ExecError {
        let kind = match error {
            object_store::Error::NotFound { .. } => ErrorKind::NotFound,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                ErrorKind::PermissionDenied
            }
            other => source_io(other).map_or(ErrorKind::Io, kind_of),
        };
        failed(&self.name, kind, operation, format!("{name}: {}", with_causes(error)))
    }

    /// Writes an object where there is none of that name.
    pub async fn create(&self, name: &str, bytes: impl Into<PutPayload>) -> Result<Created> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.call("writing", self.store.put_opts(&self.path(name), bytes.into(), options)).await? {
            Ok(_) => Ok(Created::New),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Taken),
            Err(error) => Err(self.error("writing", name, &error)),
        }
    }

    /// The bytes of an object; `None` where there is none.
    pub async fn read(&self, name: &str) -> Result<Option<Bytes>> {
        let error = |error: object_store::Error| self.error("reading", name, &error);
        match self.call("reading", self.store.get(&self.path(name))).await? {
            Ok(found) => found.bytes().await.map(Some).map_err(error),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(failure) => Err(error(failure)),
        }
    }

    /// The names of all objects below a folder of it (`""` for all), each with its size in bytes; ascending.
    pub async fn list(&self, below: &str) -> Result<Vec<(String, u64)>> {
        let prefix = if below.is_empty() { self.prefix.clone() } else { self.path(below) };
        let found = self.store.list(Some(&prefix)).map_ok(|meta| {
            let parts = meta
                .location
                .prefix_match(&self.prefix)
                .map(|parts| parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"));
            (parts.unwrap_or_default(), meta.size)
        });
        let mut found: Vec<_> = match self.call("listing", found.try_collect()).await? {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(self.error("listing", below, &error)),
        };
        found.sort();
        Ok(found)
    }

    /// The numbers that stand as names of objects below a folder of it.
    pub async fn numbers(&self, below: &str) -> Result<Vec<u64>> {
        let number = |(name, _): &(String, u64)| name.rsplit('/').next().and_then(|last| last.parse().ok());
        Ok(self.list(below).await?.iter().filter_map(number).collect())
    }

    /// Removes those of these objects whose number is below `first`.
    pub async fn remove_numbers(&self, below: &str, first: u64) -> Result<()> {
        for number in self.numbers(below).await?.into_iter().filter(|number| *number < first) {
            self.remove(&format!("{below}/{number}")).await?;
        }
        Ok(())
    }

    /// Removes an object; one that is not there is as good as removed.
    pub async fn remove(&self, name: &str) -> Result<()> {
        match self.call("removing", self.store.delete(&self.path(name))).await? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error("removing", name, &error)),
        }
    }
}

/// A name with which every store and system can do: what is no letter, digit, `.`, `_` or `-` becomes `=` and its bytes in
/// hexadecimal digits.
pub fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'_' | b'-' => plain.push(char::from(byte)),
            other => plain.push_str(&format!("={other:02x}")),
        }
    }
    plain
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Folder").field(&self.name).finish()
    }
}

fn failed(folder: &str, kind: ErrorKind, operation: &'static str, message: String) -> ExecError {
    ExecError::connector(&format!("checkpoint.dir {folder}"), ConnectorError::new(kind, operation, message))
}

fn kind_of(error: &std::io::Error) -> ErrorKind {
    match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
        _ => ErrorKind::Io,
    }
}

/// The system's error behind one of the store.
fn source_io(error: &object_store::Error) -> Option<&std::io::Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        next = error.source();
    }
    None
}

/// An error with what caused it, each said once.
fn with_causes(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_object_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let local = Folder::open(folder.path().join("a/b").to_str().unwrap()).unwrap();
        for folder in [local, Folder::in_memory()] {
            assert_eq!(folder.create("1/manifest.json", "one").await.unwrap(), Created::New);
            assert_eq!(folder.create("1/manifest.json", "two").await.unwrap(), Created::Taken);
            assert_eq!(folder.create("1/state/a.b/t-0.arrow", "rows").await.unwrap(), Created::New);
            assert_eq!(folder.read("1/manifest.json").await.unwrap().unwrap(), "one");
            assert_eq!(folder.read("2/manifest.json").await.unwrap(), None);
            let names: Vec<_> = folder.list("1").await.unwrap().into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["1/manifest.json", "1/state/a.b/t-0.arrow"]);
            for name in names {
                folder.remove(&name).await.unwrap();
                folder.remove(&name).await.unwrap();
            }
            assert!(folder.list("").await.unwrap().is_empty() && folder.list("9").await.unwrap().is_empty());
        }
    }

    #[test]
    fn names_are_plain() {
        assert_eq!(plain("bars.aggregate-2"), "bars.aggregate-2");
        assert_eq!(plain("../a b%é"), "..=2fa=20b=25=c3=a9");
    }

    #[test]
    fn a_scheme_that_is_not_built_in_is_named() {
        let error = Folder::open("s3://bucket/x").unwrap_err().to_string();
        assert!(error.contains("'s3://' is not built in"), "{error}");
    }
}
