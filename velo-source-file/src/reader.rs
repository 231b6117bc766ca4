//! The thread that reads: chunks are cut ahead of the decoder, and a watched path is looked at when the system says that
//! something changed, and at each tick of the clock.
//!
//! The thread blocks in reads, in a full channel or in [`Wakes`]; it never waits for time itself. The clock's ticks come from a
//! small async task, so that tests with a manual clock say when they come. Dropping the [`Reader`] ends both.

use std::path::{Path, PathBuf};
use std::sync::mpsc as wakes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use velo_core::connector::{Fetch, PartitionReader};
use velo_core::error::ErrorKind;
use velo_core::offset::Position;
use velo_core::{Clock, ConnectorError, Result};

use crate::error;
use crate::glob::FileSet;
use crate::properties::OffsetLost;
use crate::tail::Walk;

/// Chunks that are read ahead.
const AHEAD: usize = 2;

/// Why a waiting thread goes on.
enum Wake {
    /// These paths were written to.
    Written(Vec<PathBuf>),
    /// Files came or went.
    Listing,
    /// The clock says so.
    Tick,
    /// Nobody wants more.
    Stop,
}

/// How a path is watched.
#[derive(Debug, Clone)]
pub(crate) struct Watching {
    /// Whether the system's notifications are used.
    pub(crate) events: bool,
    /// How often the files are looked at in any case.
    pub(crate) interval: Duration,
    /// The clock for that.
    pub(crate) clock: Clock,
}

/// Reads a partition on a thread of its own.
pub(crate) struct Reader {
    chunks: mpsc::Receiver<Result<Fetch>>,
    wakes: wakes::Sender<Wake>,
    ticker: Option<AbortHandle>,
    ended: bool,
}

impl Reader {
    /// Starts reading; `watching` is there for a source that is followed, and `lost` says what to do where the position that it
    /// begins from is no longer there.
    pub(crate) fn start(
        tail: Box<dyn Walk>,
        files: &FileSet,
        watching: Option<Watching>,
        lost: OffsetLost,
    ) -> Result<Self> {
        let (chunk_sender, chunks) = mpsc::channel(AHEAD);
        let (wake_sender, wake_receiver) = wakes::channel();
        let watcher = match &watching {
            Some(Watching { events: true, .. }) => watch(files, wake_sender.clone()),
            _ => None,
        };
        let watched = watching.is_some();
        let ticker = watching.map(|watching| tick(watching, wake_sender.clone()));
        let reading = Reading { tail, wakes: wake_receiver, chunks: chunk_sender, lost };
        spawn(files, move || {
            // Notifications come as long as the watcher lives.
            let _watcher = watcher;
            reading.run(watched);
        })?;
        Ok(Self { chunks, wakes: wake_sender, ticker, ended: false })
    }

    /// Reads what is there now, once, and leaves the position that was reached in `reached`. `check` has the last word on whether
    /// what was read belongs together.
    pub(crate) fn pass(
        tail: Box<dyn Walk>,
        files: &FileSet,
        reached: Arc<Mutex<Option<Position>>>,
        check: impl FnOnce(&dyn Walk) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let (chunk_sender, chunks) = mpsc::channel(AHEAD);
        let (wake_sender, wake_receiver) = wakes::channel();
        let mut reading = Reading { tail, wakes: wake_receiver, chunks: chunk_sender, lost: OffsetLost::Fail };
        spawn(files, move || {
            if !reading.pass() {
                return;
            }
            if let Err(error) = check(&*reading.tail) {
                reading.send(Err(error));
            } else {
                *reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading.tail.position());
                reading.send(Ok(Fetch::End));
            }
        })?;
        Ok(Self { chunks, wakes: wake_sender, ticker: None, ended: false })
    }

    /// A partition that was read to its end before.
    pub(crate) fn finished() -> Self {
        Self { chunks: mpsc::channel(1).1, wakes: wakes::channel().0, ticker: None, ended: true }
    }
}

fn spawn(files: &FileSet, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name("velo-file".to_owned()).spawn(run);
    thread.map(drop).map_err(|failure| error::reading(&files.path, failure))
}

#[async_trait]
impl PartitionReader for Reader {
    async fn next(&mut self) -> Result<Fetch> {
        if self.ended {
            return Ok(Fetch::End);
        }
        // A dropped `recv` takes nothing.
        let fetch = self.chunks.recv().await.unwrap_or_else(|| {
            let message = "the thread that reads the files ended unexpectedly";
            Err(ConnectorError::new(ErrorKind::Io, "reading", message))
        });
        self.ended = matches!(fetch, Ok(Fetch::End));
        fetch
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(ticker) = &self.ticker {
            ticker.abort();
        }
        // Where the thread has ended already, nobody is there to be told.
        self.wakes.send(Wake::Stop).unwrap_or_default();
    }
}

/// A task that wakes the thread regularly.
fn tick(watching: Watching, wakes: wakes::Sender<Wake>) -> AbortHandle {
    let task = tokio::spawn(async move {
        loop {
            watching.clock.sleep(watching.interval).await;
            if wakes.send(Wake::Tick).is_err() {
                return;
            }
        }
    });
    task.abort_handle()
}

/// Has the system tell of changes; `None` where it cannot, and the clock's ticks have to do.
fn watch(files: &FileSet, wakes: wakes::Sender<Wake>) -> Option<notify::RecommendedWatcher> {
    let folders = files.folders();
    // Events bear absolute paths; files are known by the user's.
    let here = std::env::current_dir().unwrap_or_default();
    let spelt: Vec<(PathBuf, PathBuf)> = folders.iter().map(|folder| (here.join(folder), folder.clone())).collect();
    let known_as = move |path: PathBuf| {
        let found = spelt.iter().find_map(|(full, folder)| Some(folder.join(path.strip_prefix(full).ok()?)));
        found.unwrap_or(path)
    };
    let tell = move |event: notify::Result<notify::Event>| {
        let wake = match event {
            // Our own reading is no change.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => return,
            Ok(event) if matches!(event.kind, EventKind::Modify(notify::event::ModifyKind::Data(_))) => {
                Wake::Written(event.paths.into_iter().map(&known_as).collect())
            }
            // Also where events were lost.
            Ok(_) | Err(_) => Wake::Listing,
        };
        // Where the thread has ended, nobody is there to be told.
        wakes.send(wake).unwrap_or_default();
    };
    let started = notify::recommended_watcher(tell).and_then(|mut watcher| {
        let mode = if files.is_deep() { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        for folder in &folders {
            watcher.watch(folder, mode)?;
        }
        Ok(watcher)
    });
    match started {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(path = files.path, %error, "the system gives no notice of changes; the files are looked at regularly");
            None
        }
    }
}

/// What the thread has.
struct Reading {
    tail: Box<dyn Walk>,
    wakes: wakes::Receiver<Wake>,
    chunks: mpsc::Sender<Result<Fetch>>,
    lost: OffsetLost,
}

impl Reading {
    /// Hands something on; false where nobody wants more.
    fn send(&self, fetch: Result<Fetch>) -> bool {
        self.chunks.blocking_send(fetch).is_ok()
    }

    /// Reads to the end, or as long as somebody wants more.
    fn run(mut self, watched: bool) {
        let mut looked = self.tail.look(false);
        let mut behind = watched;
        loop {
            let done = looked.and_then(|()| self.drain());
            match done {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => match self.recover(error) {
                    Ok(()) => {
                        looked = Ok(());
                        continue;
                    }
                    Err(error) => {
                        self.send(Err(error));
                        return;
                    }
                },
            }
            if !watched {
                self.send(Ok(Fetch::End));
                return;
            }
            if std::mem::take(&mut behind) && !self.send(Ok(Fetch::CaughtUp)) {
                return;
            }
            looked = match wait(&mut *self.tail, &self.wakes) {
                Some(looked) => looked,
                None => return,
            };
        }
    }

    /// Hands on all that there is to read now; false where nobody wants more.
    fn drain(&mut self) -> Result<bool> {
        while let Some(chunk) = self.tail.next()? {
            if !self.send(Ok(Fetch::Chunk(chunk))) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where the saved position is lost, goes on as `offset.lost` says.
    fn recover(&mut self, error: ConnectorError) -> Result<()> {
        if error.kind != ErrorKind::OffsetLost || self.lost == OffsetLost::Fail {
            return Err(error);
        }
        tracing::warn!(%error, "the saved position is lost; going on as 'offset.lost' says");
        self.tail.restart();
        self.tail.look(false)?;
        if self.lost == OffsetLost::Latest {
            while self.tail.next()?.is_some() {}
        }
        self.lost = OffsetLost::Fail;
        Ok(())
    }

    /// One pass over what is there; false where it failed or nobody wants more.
    fn pass(&mut self) -> bool {
        // Renamed files are left at the second look, so that files that took their names are read too.
        for tick in [false, true, true] {
            match self.tail.look(tick).and_then(|()| self.drain()) {
                Ok(true) if self.tail.is_settled() => return true,
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    self.send(Err(error));
                    return false;
                }
            }
        }
        true
    }
}

/// Waits for something to do, and looks; `None` when nobody wants more.
fn wait(tail: &mut dyn Walk, wakes: &wakes::Receiver<Wake>) -> Option<Result<()>> {
    let (mut listing, mut tick) = (false, false);
    let mut wake = wakes.recv().ok()?;
    loop {
        match wake {
            Wake::Stop => return None,
            Wake::Tick => tick = true,
            Wake::Listing => listing = true,
            Wake::Written(paths) => listing |= !paths.iter().all(|path| tail.touch(&path_text(path))),
        }
        match wakes.try_recv() {
            Ok(next) => wake = next,
            Err(_) => break,
        }
    }
    Some(if listing || tick { tail.look(tick) } else { Ok(()) })
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
