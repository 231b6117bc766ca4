//! Where checkpoints lie: objects under names, each written once and whole.
//!
//! An object is put only where there is none ([`Folder::create`]); nothing is ever rewritten. So whoever finds a name taken knows
//! that somebody else was there, and a reader never sees half an object. A local folder, a bucket or memory are alike.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult,
};
use velo_core::ConnectorError;
use velo_core::error::ErrorKind;

use super::remote::{Remote, causes, with_causes};
use crate::error::{ExecError, Result};

/// A folder of objects. Their names have letters, digits, `.`, `_`, `-` and `=`, and `/` between folders ([`plain`]).
#[derive(Clone)]
pub struct Folder {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// As the user named it, for messages.
    name: Arc<str>,
    trouble: Option<Arc<Trouble>>,
    /// What is different where the store is a service.
    remote: Option<Arc<dyn Remote>>,
    /// Whether the service was seen to refuse an object where there is one.
    refuses: Arc<AtomicBool>,
}

/// What tells what this process puts from what others do.
pub(super) fn own_mark() -> &'static str {
    static MARK: OnceLock<String> = OnceLock::new();
    MARK.get_or_init(|| format!("{}-{:016x}", std::process::id(), RandomState::new().hash_one(0)))
}

/// Goes with an object that is put, and was never given before: so a process knows what it has put itself.
fn next_mark() -> String {
    static PUTS: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", own_mark(), PUTS.fetch_add(1, Ordering::Relaxed))
}

/// The name under which [`next_mark`] lies beside an object.
const MARK: Attribute = Attribute::Metadata(std::borrow::Cow::Borrowed("velo-put"));

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
    /// The folder of a `checkpoint.dir`: a path or a `file://` address, which is created where it is missing, or
    /// `s3://BUCKET/PREFIX` with the service that the environment names.
    ///
    /// # Errors
    ///
    /// Where the scheme of the address is not built in, the folder can neither be found nor created, or the environment does not
    /// say what a service must be told. A service is not asked anything yet.
    pub fn open(address: &str) -> Result<Self> {
        let path = match address.split_once("://") {
            None => address,
            Some(("file", path)) => path,
            #[cfg(feature = "s3")]
            Some(("s3", _)) => return Self::of_s3(address),
            Some((scheme, _)) => {
                let s3 = if cfg!(feature = "s3") { ", and s3://" } else { "" };
                let message = format!("'{scheme}://' is not built in; local folders are, file://{s3}");
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

    #[cfg(feature = "s3")]
    fn of_s3(address: &str) -> Result<Self> {
        let opened = super::s3::open(address);
        // What stands before an '@' may be a secret.
        let shown = match address.rsplit_once('@') {
            Some((_, rest)) => format!("s3://…@{rest}"),
            None => address.to_owned(),
        };
        let (store, prefix, bucket) = opened.map_err(|error| told(&shown, error))?;
        Ok(Self { prefix, remote: Some(Arc::new(bucket)), ..Self::of(store, &shown) })
    }

    /// A folder in memory, which all of its clones share.
    pub fn in_memory() -> Self {
        Self::of(Arc::new(InMemory::new()), "memory")
    }

    /// A whole store as a folder; `name` is what messages call it.
    pub fn of(store: Arc<dyn ObjectStore>, name: &str) -> Self {
        let refuses = Arc::new(AtomicBool::new(false));
        Self { store, prefix: Path::default(), name: Arc::from(name), trouble: None, remote: None, refuses }
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
            Err(told(&self.name, error))
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

    /// Whether what was not found is the place of the whole folder.
    fn is_gone(&self, error: &object_store::Error) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.is_gone(error))
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn error(&self, operation: &'static str, name: &str, error: &object_store::Error) -> ExecError {
        if let Some(remote) = &self.remote {
            return told(&self.name, remote.explain(operation, name, error));
        }
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
        let (path, bytes) = (self.path(name), bytes.into());
        let Some(remote) = &self.remote else {
            return match self.call("writing", self.put(&path, bytes, None)).await? {
                Ok(_) => Ok(Created::New),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Taken),
                Err(error) => Err(self.error("writing", name, &error)),
            };
        };
        let mark = next_mark();
        let mut put = self.call("writing", self.put(&path, bytes.clone(), Some(&mark))).await?;
        if put.is_ok() && !self.refuses.load(Ordering::Relaxed) {
            // Some services know no condition, and say nothing: the first object is put once more, the same as it is.
            put = self.call("writing", self.put(&path, bytes, Some(&mark))).await?;
            if put.is_ok() {
                return Err(told(&self.name, remote.no_conditions("writing")));
            }
        }
        match put {
            Ok(_) => Ok(Created::New),
            Err(object_store::Error::AlreadyExists { .. }) => {
                self.refuses.store(true, Ordering::Relaxed);
                // It is this one where an answer was lost and the client has tried again.
                Ok(if self.has_mark(&path, name, &mark).await? { Created::New } else { Created::Taken })
            }
            Err(error) => Err(self.error("writing", name, &error)),
        }
    }

    async fn put(&self, path: &Path, bytes: PutPayload, mark: Option<&str>) -> object_store::Result<PutResult> {
        let attributes = mark.map(|mark| (MARK, mark.to_owned())).into_iter().collect::<Attributes>();
        let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
        self.store.put_opts(path, bytes, options).await
    }

    /// Whether an object is the one that was put with this mark.
    async fn has_mark(&self, path: &Path, name: &str, mark: &str) -> Result<bool> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        match self.call("reading", self.store.get_opts(path, options)).await? {
            Ok(found) => Ok(found.attributes.get(&MARK).is_some_and(|found| **found == *mark)),
            // It came and went.
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.error("reading", name, &error)),
        }
    }

    /// The bytes of an object; `None` where there is none.
    pub async fn read(&self, name: &str) -> Result<Option<Bytes>> {
        let error = |error: object_store::Error| self.error("reading", name, &error);
        match self.call("reading", self.store.get(&self.path(name))).await? {
            Ok(found) => found.bytes().await.map(Some).map_err(error),
            Err(failure @ object_store::Error::NotFound { .. }) if !self.is_gone(&failure) => Ok(None),
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
    told(folder, ConnectorError::new(kind, operation, message))
}

/// An error of a folder.
fn told(folder: &str, error: ConnectorError) -> ExecError {
    ExecError::connector(&format!("checkpoint.dir {folder}"), error)
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
    causes(error).find_map(|cause| cause.downcast_ref())
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
        let error = Folder::open("gs://bucket/x").unwrap_err().to_string();
        assert!(error.contains("'gs://' is not built in; local folders are, file://"), "{error}");
    }
}
