//! Rows on which an expression fails, where a statement says that they are given up: which they are, how many there were, and their
//! dead letters.
//!
//! A batch fails as a whole. So when one has failed its rows are asked by halves, which finds a few bad ones among thousands with
//! few questions, and costs nothing where there are none.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use arrow_array::BooleanArray;
use velo_core::Batch;
use velo_core::dead_letter::{DeadLetter, Stage};

use crate::checkpoint::{StateReader, StateWriter, load_counts, save_counts};
use crate::error::{ExecError, Result};
use crate::row_json::change_as_json;

/// The stable code of their dead letters.
pub(crate) const CODE: &str = "compute-error";

/// The table with the counter in a checkpoint.
const TABLE: &str = "compute_errors";

/// The rows that an operator gives up because an expression fails on them; read from outside while it runs.
#[derive(Debug, Default)]
pub struct ComputeErrors {
    /// Whether they are kept as dead letters.
    keeps: bool,
    rows: AtomicU64,
    /// What was counted before is met again, and is not counted twice.
    again: AtomicBool,
    /// Those that no outbox has yet.
    letters: Mutex<Vec<DeadLetter>>,
}

/// A row that fails, and why.
type Bad = (usize, ExecError);

/// The rows that fail, and the pieces between them that do not, each as its first row and how many there are.
type Found = (Vec<Bad>, Vec<(usize, usize)>);

impl ComputeErrors {
    /// None yet; `keeps`: they go to the dead letters.
    pub fn new(keeps: bool) -> Self {
        Self { keeps, ..Self::default() }
    }

    /// How many there were.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Takes what was counted out.
    pub(crate) fn take(&self) -> u64 {
        self.rows.swap(0, Ordering::Relaxed)
    }

    /// Adds what others counted.
    pub(crate) fn add(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// What was counted, under a name for a checkpoint of the operator of this name.
    pub(crate) fn counted(&self, operator: &str) -> (String, u64) {
        (format!("{operator}.{TABLE}"), self.rows())
    }

    /// Puts the counter into a checkpoint.
    pub(crate) fn save(&self, state: &mut StateWriter) -> Result<()> {
        save_counts(state, TABLE, &[("rows", self.rows())])
    }

    /// Takes up what was saved.
    pub(crate) fn load(&self, state: &mut StateReader) -> Result<()> {
        let [rows] = load_counts(state, TABLE, ["rows"])?;
        self.add(rows);
        Ok(())
    }

    /// Does something in which rows are met again that were given up before.
    pub(crate) fn met_again<T>(&self, work: impl FnOnce() -> T) -> T {
        self.again.store(true, Ordering::Relaxed);
        let done = work();
        self.again.store(false, Ordering::Relaxed);
        done
    }

    /// Takes the dead letters that no outbox has yet.
    pub(crate) fn take_letters(&self) -> Vec<DeadLetter> {
        // A list that only grows is whole at any moment.
        std::mem::take(&mut self.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives up a row of a batch.
    fn give_up(&self, batch: &Batch, (row, error): &Bad) -> Result<()> {
        if self.again.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.add(1);
        if self.keeps
            && let ExecError::Row { statement, message, place } = error
        {
            let letter = DeadLetter {
                stage: Stage::Compute,
                source: statement.clone(),
                bytes: change_as_json(batch, *row)?,
                error: message.clone(),
                code: CODE,
                place: place.clone().or_else(|| batch.origin.as_ref().map(|origin| origin.place(*row))),
                attributes: None,
            };
            self.letters.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
        }
        Ok(())
    }

    /// The rows of a batch that has failed `check` which do not: one batch, or none. Where no row fails by itself and all
    /// together do, as in `x <> 0 AND 1 / x > 2`, which skips its second half only where the first is true of no row, the pieces
    /// of it that do not fail.
    pub(crate) fn screen(&self, batch: &Batch, check: impl Fn(&Batch) -> Result<()>) -> Result<Vec<Batch>> {
        let (bad, pieces) = search(batch, |_, piece| check(piece))?;
        bad.iter().try_for_each(|bad| self.give_up(batch, bad))?;
        if !bad.is_empty() {
            let mut good = vec![true; batch.rows()];
            bad.iter().for_each(|(row, _)| good[*row] = false);
            let rest = batch.filter(&BooleanArray::from(good))?;
            if rest.is_empty() {
                return Ok(Vec::new());
            }
            match check(&rest) {
                Ok(()) => return Ok(vec![rest]),
                Err(ExecError::Row { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(pieces.into_iter().map(|(from, rows)| batch.slice(from, rows)).collect())
    }

    /// Computes of each row of a batch what fails for the batch as a whole: `compute` is asked for pieces of it, each with the place of
    /// its first row, and those come in order. The rows on which it fails are given up; the others are in the pieces that it took.
    pub(crate) fn in_pieces(&self, batch: &Batch, compute: impl FnMut(usize, &Batch) -> Result<()>) -> Result<()> {
        let (bad, _) = search(batch, compute)?;
        bad.iter().try_for_each(|bad| self.give_up(batch, bad))
    }
}

/// Asks for the halves of a batch that has failed, and for the halves of those that fail, down to single rows. A piece comes with the
/// place of its first row. Gives the rows that fail, and the pieces between them that do not.
fn search(batch: &Batch, mut ask: impl FnMut(usize, &Batch) -> Result<()>) -> Result<Found> {
    let (mut bad, mut pieces) = (Vec::new(), Vec::new());
    let halves = |from: usize, rows: usize| [(from + rows / 2, rows - rows / 2), (from, rows / 2)];
    // The last is asked first, so that the rows come in their order.
    let mut open = match batch.rows() {
        0 => Vec::new(),
        1 => vec![(0, 1)],
        rows => halves(0, rows).to_vec(),
    };
    while let Some((from, rows)) = open.pop() {
        match ask(from, &batch.slice(from, rows)) {
            Ok(()) => pieces.push((from, rows)),
            Err(error @ ExecError::Row { .. }) if rows == 1 => bad.push((from, error)),
            Err(ExecError::Row { .. }) => open.extend(halves(from, rows)),
            Err(other) => return Err(other),
        }
    }
    Ok((bad, pieces))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{Int64Array, RecordBatch};
    use arrow_schema::{DataType, Field, Schema};
    use velo_core::RowKind;

    use super::*;

    fn batch(values: &[i64]) -> Batch {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        Batch::new(RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap())
    }

    fn values(batch: &Batch) -> Vec<i64> {
        batch.columns.column(0).as_primitive::<Int64Type>().values().to_vec()
    }

    fn fails(message: &str) -> Result<()> {
        Err(ExecError::Row { statement: "s".to_owned(), message: message.to_owned(), place: None })
    }

    #[test]
    fn bad_rows_are_found_and_the_others_stay_together() {
        let errors = ComputeErrors::new(true);
        let asked = Cell::new(0);
        let negative = |batch: &Batch| {
            asked.set(asked.get() + 1);
            if values(batch).iter().any(|value| *value < 0) { fails("negative") } else { Ok(()) }
        };
        let mut all: Vec<i64> = (0..1_000).collect();
        (all[0], all[500], all[999]) = (-1, -2, -3);
        let good = errors.screen(&batch(&all), negative).unwrap();
        assert_eq!(good.len(), 1);
        assert_eq!(values(&good[0]), all.iter().copied().filter(|value| *value >= 0).collect::<Vec<_>>());
        assert!(asked.get() < 64, "{} questions", asked.get());
        assert_eq!(errors.rows(), 3);
        let letters = errors.take_letters();
        let rows = letters.iter().map(|letter| std::str::from_utf8(&letter.bytes).unwrap()).collect::<Vec<_>>();
        assert_eq!(rows, ["{\"v\":-1}", "{\"v\":-2}", "{\"v\":-3}"]);
        assert!(errors.take_letters().is_empty());
        assert!(errors.screen(&batch(&[-1, -1]), negative).unwrap().is_empty());
    }

    #[test]
    fn what_fails_only_together_is_taken_apart() {
        let errors = ComputeErrors::new(false);
        let mixed = |batch: &Batch| {
            let values = values(batch);
            if values.contains(&1) && values.contains(&2) { fails("mixed") } else { Ok(()) }
        };
        let good = errors.screen(&batch(&[1, 1, 2, 2]), mixed).unwrap();
        assert_eq!(good.iter().map(values).collect::<Vec<_>>(), [[1, 1], [2, 2]]);
        assert_eq!(errors.rows(), 0);
    }

    #[test]
    fn a_change_says_in_its_letter_what_it_was() {
        let errors = ComputeErrors::new(true);
        let changes = Batch::changes(batch(&[-1, 1]).columns, vec![RowKind::UpdateBefore, RowKind::UpdateAfter]);
        let negative = |batch: &Batch| if values(batch).contains(&-1) { fails("negative") } else { Ok(()) };
        let good = errors.screen(&changes, negative).unwrap();
        assert_eq!(
            (values(&good[0]), good[0].kinds.clone()),
            (vec![1], Some(velo_core::RowKinds::new(vec![RowKind::Insert])))
        );
        assert_eq!(errors.take_letters()[0].bytes, "{\"_op\":\"-U\",\"v\":-1}".as_bytes());
    }

    #[test]
    fn another_error_is_no_matter_of_a_row() {
        let errors = ComputeErrors::new(false);
        let broken = |_: &Batch| Err(ExecError::Internal("broken".to_owned()));
        assert!(errors.screen(&batch(&[1, 2]), broken).is_err());
    }

    #[test]
    fn what_is_met_again_is_not_counted() {
        let errors = ComputeErrors::new(true);
        errors.met_again(|| errors.screen(&batch(&[1]), |_| fails("bad")).unwrap());
        assert_eq!((errors.rows(), errors.take_letters().len()), (0, 0));
    }
}
