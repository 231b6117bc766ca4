//! The first content of a table, which nobody reads before it is complete: rows go in as they come, and the index over the key is
//! made when all are there.
//!
//! An index that grows puts each of its slots into another place again and again; made at the end, each is put once, and by as many
//! threads as there are.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use velo_core::batch::Batch;
use velo_core::error::{ConnectorError, ErrorKind, Result};

use crate::store::apply::Tally;
use crate::store::index::{Index, KeyColumns, Layout, Part, failed};
use crate::store::ops::Ops;
use crate::store::segments::Segments;
use crate::store::state::State;
use crate::store::table::TableCounts;

/// A first content that is coming.
#[derive(Debug)]
pub(crate) struct First {
    /// What the table had counted before.
    pub(crate) before: TableCounts,
    /// Rows that are not in the index yet.
    pub(crate) unindexed: Option<Unindexed>,
}

/// The hashes of the keys of all rows of a state that has no index yet, by their positions.
#[derive(Debug, Default)]
pub(crate) struct Unindexed(Vec<u64>);

/// So few rows are not worth a thread.
const ROWS_OF_PART: usize = 1 << 19;
/// So many parts of the index are made by each thread, one after the other: what one needs is little beside the table, and each
/// reads all hashes, so that there are no more of them where there are more rows.
const PARTS_OF_THREAD: usize = 8;

fn rows_of_part(rows: usize, threads: usize) -> usize {
    (rows / (PARTS_OF_THREAD * threads)).max(ROWS_OF_PART)
}

impl First {
    /// For a state without rows.
    pub(crate) fn new(state: &State, before: TableCounts) -> Self {
        let shape = &state.shape;
        // Versions are put in as they come, and NULLs that are equal are counted as they go.
        let later = !shape.key.is_empty() && !shape.keeps_versions && !shape.null_keys;
        Self { before, unindexed: later.then(Unindexed::default) }
    }
}

impl Unindexed {
    /// Bytes of memory that it takes beside the rows.
    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<u64>()
    }

    /// Takes rows, unless there is one among them that takes another back; whether it did.
    pub(crate) fn take(&mut self, state: &mut State, batch: &Batch) -> Result<bool> {
        if batch.kinds.as_ref().is_some_and(|kinds| !kinds.all_inserts()) {
            return Ok(false);
        }
        state.may_take(batch)?;
        let (columns, _) = state.key_of(batch)?;
        self.0.extend(state.indexes[0].keys.keys(&columns)?.hashes);
        state.segments.push(&batch.columns).map_err(failed)?;
        state.rows += batch.rows() as u64;
        Ok(true)
    }

    /// Makes the index, on all threads of the runtime.
    pub(crate) async fn index(mut self, state: &mut State, ops: &mut Ops) -> Result<Tally> {
        if self.0.len() <= ROWS_OF_PART {
            return self.index_here(state, ops);
        }
        let layout = Layout::new(self.0.len());
        let threads = tokio::runtime::Handle::current().metrics().num_workers();
        self.0.shrink_to_fit();
        let hashes = Arc::new(self.0);
        let parts = layout.ranges(rows_of_part(hashes.len(), threads)).map(|range| {
            let (keys, segments, hashes) =
                (Arc::clone(&state.indexes[0].keys), state.segments.clone(), Arc::clone(&hashes));
            let part = tokio::task::spawn_blocking(move || layout.part(range, &hashes, same(&keys, &segments)));
            async {
                let stopped = |error: tokio::task::JoinError| {
                    ConnectorError::new(ErrorKind::Io, "making the index of a table", error.to_string())
                };
                part.await.map_err(stopped)?
            }
        });
        let parts = stream::iter(parts).buffered(threads).try_collect().await?;
        finish(state, layout, parts, ops)
    }

    /// Makes the index, on this thread.
    pub(crate) fn index_here(self, state: &mut State, ops: &mut Ops) -> Result<Tally> {
        let layout = Layout::new(self.0.len());
        let keys = Arc::clone(&state.indexes[0].keys);
        let part = |range| layout.part(range, &self.0, same(&keys, &state.segments));
        let parts = layout.ranges(rows_of_part(self.0.len(), 1)).map(part).collect::<Result<_>>()?;
        finish(state, layout, parts, ops)
    }
}

fn same(keys: &KeyColumns, segments: &Segments) -> impl Fn(u64, u64) -> Result<bool> {
    move |a, b| keys.same((segments, a), (segments, b))
}

/// Gives the state its index; of rows with one key the last stands.
fn finish(state: &mut State, layout: Layout, parts: Vec<Part>, ops: &mut Ops) -> Result<Tally> {
    let mut tally = Tally::default();
    for replaced in parts.iter().flat_map(|part| &part.replaced) {
        state.dead.set(*replaced);
        state.rows -= 1;
        tally.replaced += 1;
    }
    state.indexes[0] = Index::of_parts(Arc::clone(&state.indexes[0].keys), layout, parts);
    state.positions().for_each(|position| ops.added(position));
    if state.indexes.len() > 1 {
        let standing: Vec<u64> = state.positions().collect();
        state.index(&standing)?;
    }
    Ok(tally)
}
