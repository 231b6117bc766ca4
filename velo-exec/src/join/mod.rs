//! What joins of two inputs share: numbers for keys of both sides, rows that are kept, and what pairs of them become.

mod hash;
mod kept;
mod keys;
mod pairs;
mod run;
mod shown;
mod sides;
mod timed;
mod versions;

use arrow_schema::SchemaRef;
use velo_core::{Batch, RowKinds, Watermark};
use velo_plan::plan::StateTtl;

use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};

pub(crate) use hash::{Gives, HashJoin};
pub(crate) use kept::{KeptRows, RowRef};
pub(crate) use keys::{JoinKeys, NO_KEY};
pub(crate) use pairs::{JoinColumns, Pairs, is_true};
pub(crate) use run::{Entry, Run};
pub(crate) use shown::ShownRows;
pub(crate) use sides::{Held, HeldSide, Numbers};
pub(crate) use timed::TimedRows;
pub(crate) use versions::{Choice, FOREVER, Nearest, Version, Versions};

/// What a join's operator is made from: a plan's node, and what is around it.
#[derive(Debug, Clone)]
pub struct JoinSpec<N> {
    /// The node.
    pub join: N,
    /// The schema of the left input.
    pub left: SchemaRef,
    /// The schema of the right input.
    pub right: SchemaRef,
    /// What comes out.
    pub output: SchemaRef,
    /// The stream, table or view whose statement it is, for errors and dead letters.
    pub statement: String,
    /// For how long a row is kept that nothing else bounds.
    pub ttl: Option<StateTtl>,
    /// Whether rows of the left and of the right input can be taken back.
    pub retracts: [bool; 2],
}

/// The left side's place among two.
pub(crate) const LEFT: usize = 0;
/// The right side's.
pub(crate) const RIGHT: usize = 1;

/// The state tables of the rows of either side.
pub(crate) const SIDES: [&str; 2] = ["left", "right"];
/// The name of the key columns in a state table.
pub(crate) const KEY: &str = "_key";

const WATERMARKS: &str = "watermarks";

/// Puts the watermarks of either input into a checkpoint, which an operator is told beside that of both.
pub(crate) fn save_watermarks(state: &mut StateWriter, watermarks: [Watermark; 2]) -> Result<()> {
    state.value(WATERMARKS, &watermarks)
}

/// The watermarks of either input that all former tasks had come to.
pub(crate) fn load_watermarks(state: &StateReader) -> Result<[Watermark; 2]> {
    let all = state.values::<[Watermark; 2]>(WATERMARKS)?.into_iter();
    let least = all.reduce(|one, other| [one[LEFT].min(other[LEFT]), one[RIGHT].min(other[RIGHT])]);
    Ok(least.unwrap_or([Watermark::NONE; 2]))
}

/// Rows can be taken back only where the plan says so.
pub(crate) fn check_kinds(batch: &Batch, retracts: bool) -> Result<()> {
    let kinds = batch.kinds.as_ref().map_or(&[][..], RowKinds::as_slice);
    if !retracts && kinds.iter().any(|kind| kind.retracts()) {
        return Err(ExecError::Internal("a join of rows that only come got a retraction".to_owned()));
    }
    Ok(())
}
