//! What comes out of an ASOF join for rows whose partner is known: the condition, what happens where there is none, and what
//! has to be taken back later.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Scalar};
use arrow_schema::Schema;
use arrow_select::zip::zip;
use datafusion_common::ScalarValue;
use velo_core::Batch;
use velo_core::batch::columns_of;
use velo_plan::plan::{AsOfJoin as Plan, JoinKind, Side};

use crate::error::{ExecError, Result};
use crate::join::{JoinColumns, JoinSpec, KeptRows, LEFT, Pairs, RIGHT, RowRef, is_true};
use crate::lookup::{Fate, MissingCounters, fate};
use crate::row_json::row_as_json;

/// What becomes of decided rows.
pub(super) struct Results {
    pub(super) columns: JoinColumns,
    /// Whether a left row comes out without a partner.
    is_left: bool,
    /// What becomes of a row that a table lacks; nothing is missing of a stream.
    missing: Option<Fate>,
    /// The values that stand in for a column, by its place in the output.
    defaults: Vec<(usize, ArrayRef)>,
    /// How many output columns are of the left side.
    of_left: usize,
    counters: Arc<MissingCounters>,
    statement: String,
}

/// Rows whose partner is known.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) pairs: Pairs,
    /// What stands for each of the left rows elsewhere.
    pub(super) numbers: Vec<u32>,
}

impl Decided {
    pub(super) fn push(&mut self, left: RowRef, right: Option<RowRef>, number: u32) {
        self.pairs.push(LEFT, left, right.unwrap_or(RowRef::NONE));
        self.numbers.push(number);
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn clear(&mut self) {
        self.pairs.clear();
        self.numbers.clear();
    }
}

/// Rows that come out, and those that do not.
pub(super) struct Made {
    pub(super) batch: Option<Batch>,
    /// The numbers of the rows of the batch, and of those that were left out.
    pub(super) numbers: Vec<u32>,
    pub(super) left_out: Vec<u32>,
}

impl Results {
    pub(super) fn new(spec: &JoinSpec<Plan>, columns: JoinColumns) -> Result<Self> {
        let join = &spec.join.join;
        let is_left = match join.kind {
            JoinKind::Inner => false,
            JoinKind::Left => true,
            _ => return Err(ExecError::Internal("an ASOF join is INNER or LEFT".to_owned())),
        };
        let missing = spec.join.missing.as_ref();
        let default = |(name, value): &(String, ScalarValue)| -> Option<Result<(usize, ArrayRef)>> {
            let is = |column: &velo_plan::plan::JoinColumn| column.side == Side::Right && column.field.name() == name;
            let at = join.columns.iter().position(is)?;
            Some(value.to_array_of_size(1).map(|value| (at, value)).map_err(ExecError::from))
        };
        let defaults = missing.map_or(&[][..], |missing| missing.defaults.as_slice()).iter().filter_map(default);
        Ok(Self {
            is_left,
            // The watermark is past the row's time, so there is nothing to wait for.
            missing: missing.map(|missing| fate(&join.kind, Some(missing), true)),
            defaults: defaults.collect::<Result<_>>()?,
            of_left: join.columns.iter().filter(|column| column.side == Side::Left).count(),
            counters: Arc::default(),
            statement: spec.statement.clone(),
            columns,
        })
    }

    /// Counts rows that a table lacks, where the right side is one.
    pub(super) fn counters(&self) -> Option<Arc<MissingCounters>> {
        self.missing.map(|_| Arc::clone(&self.counters))
    }

    /// What comes out of decided rows, but for those for which `shown` is false.
    pub(super) fn make(
        &self,
        stores: [&KeptRows; 2],
        decided: &Decided,
        shown: impl Fn(usize) -> bool,
    ) -> Result<Made> {
        let met = self.met(stores, decided)?;
        let mut pairs = Pairs::default();
        let (mut numbers, mut left_out, mut defaults) = (Vec::new(), Vec::new(), Vec::new());
        for (at, number) in decided.numbers.iter().enumerate().filter(|(at, _)| shown(*at)) {
            let [left, right] = [LEFT, RIGHT].map(|side| decided.pairs.sides[side][at]);
            let is_missing = right == RowRef::NONE;
            let right = if met[at] { right } else { RowRef::NONE };
            let fate = self.missing.filter(|_| is_missing);
            if let Some(fate) = fate {
                self.counters.count(fate, 1);
            }
            let comes = match fate {
                Some(Fate::Fail | Fate::Wait) => return Err(self.fails(stores, left)),
                Some(Fate::LeaveOut) => false,
                Some(Fate::Defaults | Fate::Nulls) => true,
                None => right != RowRef::NONE || self.is_left,
            };
            if !comes {
                left_out.push(*number);
                continue;
            }
            defaults.push(fate == Some(Fate::Defaults));
            pairs.push(LEFT, left, right);
            numbers.push(*number);
        }
        if pairs.is_empty() {
            return Ok(Made { batch: None, numbers, left_out });
        }
        let times = pairs.sides[LEFT].iter().map(|left| stores[LEFT].time(*left));
        let mut batch = self.columns.batch(stores, &pairs, times)?;
        if defaults.contains(&true) {
            let mask = BooleanArray::from(defaults);
            let mut columns = batch.columns.columns().to_vec();
            for (at, value) in &self.defaults {
                columns[*at] = zip(&mask, &Scalar::new(Arc::clone(value)), &columns[*at])?;
            }
            batch = batch.with_columns(columns_of(&self.columns.schema, columns, pairs.len())?);
        }
        Ok(Made { batch: Some(batch), numbers, left_out })
    }

    /// Which rows have a partner that meets the condition.
    fn met(&self, stores: [&KeptRows; 2], decided: &Decided) -> Result<Vec<bool>> {
        let right = &decided.pairs.sides[RIGHT];
        let mut met = right.iter().map(|right| *right != RowRef::NONE).collect::<Vec<_>>();
        if !self.columns.has_condition() {
            return Ok(met);
        }
        let mut asked = Pairs::default();
        for (left, right) in decided.pairs.sides[LEFT].iter().zip(right).filter(|(_, right)| **right != RowRef::NONE) {
            asked.push(LEFT, *left, *right);
        }
        let accepted = self.columns.accepted(stores, &asked)?;
        for (at, met) in met.iter_mut().filter(|met| **met).enumerate() {
            *met = is_true(accepted.as_ref(), at);
        }
        Ok(met)
    }

    /// There is no row, and there must be one.
    fn fails(&self, stores: [&KeptRows; 2], left: RowRef) -> ExecError {
        let mut pairs = Pairs::default();
        pairs.push(LEFT, left, RowRef::NONE);
        let time = velo_core::time::iso8601(stores[LEFT].time(left));
        let shown = || -> Result<String> {
            let columns = self.columns.columns(stores, &pairs)?;
            let fields = self.columns.schema.fields()[..self.of_left].to_vec();
            let columns = columns_of(&Arc::new(Schema::new(fields)), columns[..self.of_left].to_vec(), 1)?;
            Ok(String::from_utf8_lossy(&row_as_json(&columns, 0)?).into_owned())
        };
        let row = shown().unwrap_or_default();
        ExecError::Compute {
            statement: self.statement.clone(),
            message: format!(
                "the table has no row for {row} as of {time}, and its 'table.missing.strategy' is 'fail_fast'; \
                 'skip_record', 'emit_with_nulls' or 'use_defaults' goes on without one"
            ),
            place: None,
        }
    }
}
