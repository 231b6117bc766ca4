//! A table source whose loads give what a script says, at the times that it says.
//!
//! Each call of [`TableDataSource::bulk_load`] plays the next of the whole loads of its script, each call of
//! [`TableDataSource::incremental_load`] the next of the increments; the last one of each is played again and again. The offset of a load is
//! the number of loads that came to their end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use velo_core::connector::{RecordError, SizeHint, TableDataSource, TableItem, TableStream};
use velo_core::error::ErrorKind;
use velo_core::offset::{Position, SourceOffset};
use velo_core::progress::Progress;
use velo_core::{Batch, Clock, ConnectorError, Place, Result};

use crate::gate::Gate;

/// What a load does next.
#[allow(clippy::large_enum_variant, reason = "a script has few steps")]
#[derive(Debug, Clone)]
pub enum LoadStep {
    /// Gives these rows.
    Rows(Batch),
    /// Gives a record that cannot be decoded.
    Bad(String),
    /// Takes so long.
    Takes(Duration),
    /// Gives nothing until the gate is open.
    Hold(Gate),
    /// Fails in a way that may pass.
    Breaks(String),
    /// Fails for good.
    Fails(String),
    /// The position is no longer known.
    Lost,
}

/// A table source that plays a script.
#[derive(Debug, Clone)]
pub struct ScriptedLoads {
    clock: Clock,
    progress: Arc<Progress>,
    size: SizeHint,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    whole: VecDeque<Vec<LoadStep>>,
    after: Option<VecDeque<Vec<LoadStep>>>,
    ended: u64,
    calls: Vec<(i64, String)>,
}

impl ScriptedLoads {
    /// A source without a script, which counts in `progress`.
    pub fn new(clock: &Clock, progress: &Arc<Progress>) -> Self {
        let (clock, progress) = (clock.clone(), Arc::clone(progress));
        Self { clock, progress, size: SizeHint::UNKNOWN, state: Arc::default() }
    }

    /// Adds a load of everything.
    #[must_use]
    pub fn whole(self, steps: impl IntoIterator<Item = LoadStep>) -> Self {
        self.change(|state| state.whole.push_back(steps.into_iter().collect()))
    }

    /// Adds a load of what came since; without one the source knows no increments.
    #[must_use]
    pub fn after(self, steps: impl IntoIterator<Item = LoadStep>) -> Self {
        self.change(|state| state.after.get_or_insert_default().push_back(steps.into_iter().collect()))
    }

    /// Says how large it is.
    #[must_use]
    pub fn sized(self, size: SizeHint) -> Self {
        Self { size, ..self }
    }

    /// What was asked for, and when.
    pub fn calls(&self) -> Vec<(i64, String)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).calls.clone()
    }

    /// Its offset after so many loads.
    pub fn offset(loads: u64) -> SourceOffset {
        SourceOffset { partitions: BTreeMap::from([("script".to_owned(), Position::Row(loads))]) }
    }

    fn change(self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self
    }

    fn play(&self, what: &str, pick: impl FnOnce(&mut State) -> Option<&mut VecDeque<Vec<LoadStep>>>) -> TableStream {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.calls.push((self.clock.now(), what.to_owned()));
        let steps = match pick(&mut state) {
            Some(loads) if loads.len() > 1 => loads.pop_front().unwrap_or_default(),
            Some(loads) => loads.front().cloned().unwrap_or_default(),
            None => Vec::new(),
        };
        drop(state);
        stream::unfold((self.clone(), Some(VecDeque::from(steps)), 0), Self::step).boxed()
    }

    /// The next item; none behind the offset or an error.
    async fn step(
        (this, steps, mut row): (Self, Option<VecDeque<LoadStep>>, u64),
    ) -> Option<(Result<TableItem>, (Self, Option<VecDeque<LoadStep>>, u64))> {
        let mut steps = steps?;
        loop {
            let Some(step) = steps.pop_front() else {
                let mut state = this.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.ended += 1;
                let offset = Self::offset(state.ended);
                drop(state);
                return Some((Ok(TableItem::Offset(offset)), (this, None, row)));
            };
            let failed = |kind, message: &str| ConnectorError::new(kind, "reading the script", message);
            let error = match step {
                LoadStep::Takes(duration) => {
                    this.clock.sleep(duration).await;
                    continue;
                }
                LoadStep::Hold(gate) => {
                    gate.pass().await;
                    continue;
                }
                LoadStep::Rows(batch) => {
                    row += batch.rows() as u64;
                    this.count(batch.rows() as u64, batch.memory() as u64);
                    return Some((Ok(TableItem::Batch(batch)), (this, Some(steps), row)));
                }
                LoadStep::Bad(message) => {
                    row += 1;
                    this.count(1, message.len() as u64);
                    let place = Place::Row { source: "script".to_owned(), row };
                    let bytes = Some(message.clone().into());
                    let bad = RecordError { place, field: None, message, bytes, after_rows: 0 };
                    return Some((Ok(TableItem::Bad(bad)), (this, Some(steps), row)));
                }
                LoadStep::Breaks(message) => failed(ErrorKind::Unavailable, &message).temporary(),
                LoadStep::Fails(message) => failed(ErrorKind::Io, &message),
                LoadStep::Lost => failed(ErrorKind::OffsetLost, "the position is no longer known"),
            };
            return Some((Err(error), (this, None, row)));
        }
    }

    fn count(&self, records: u64, bytes: u64) {
        Progress::add(&self.progress.records, records);
        Progress::add(&self.progress.bytes, bytes);
    }
}

#[async_trait]
impl TableDataSource for ScriptedLoads {
    async fn bulk_load(&self) -> Result<TableStream> {
        Ok(self.play("whole", |state| Some(&mut state.whole)))
    }

    async fn incremental_load(&self, since: SourceOffset) -> Result<TableStream> {
        let since = match since.partitions.get("script") {
            Some(Position::Row(loads)) => format!("after {loads}"),
            other => format!("after {other:?}"),
        };
        Ok(self.play(&since, |state| state.after.as_mut()))
    }

    async fn get_current_offset(&self) -> Result<SourceOffset> {
        Ok(Self::offset(self.state.lock().unwrap_or_else(PoisonError::into_inner).ended))
    }

    fn supports_incremental(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).after.is_some()
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}
