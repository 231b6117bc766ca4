//! A batch against one version of a table: candidates under the keys, pairs that meet the condition, columns that come out.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow_schema::{FieldRef, Schema, SchemaRef};
use velo_core::batch::columns_of;
use velo_core::lookup::{Matches, TableRow, TableVersion};
use velo_core::table_text::value_text;
use velo_core::{Batch, schema};
use velo_plan::plan::{JoinKind, LookupJoin, Side};

use super::Fate;
use crate::compute_errors::ComputeErrors;
use crate::error::{ExecError, Result};
use crate::expr::Evaluator;

/// Pairs of one step at most, but for those of a single row.
pub(crate) const PAIRS: usize = 65_536;

/// Rows of a membership that are looked up at once by their other keys.
const UNSURE: usize = 256;

/// Stands in for a row of the table where the defaults come out.
const DEFAULT: TableRow = TableRow(u64::MAX - 1);

/// What a look-up is made of.
pub(crate) struct ProbeSpec<'a> {
    pub(crate) join: &'a LookupJoin,
    /// The name of the table, and the names of the columns that are looked up.
    pub(crate) table: &'a str,
    pub(crate) key_names: Vec<String>,
    pub(crate) input: &'a SchemaRef,
    pub(crate) output: &'a SchemaRef,
    pub(crate) statement: &'a str,
}

/// Looks batches up.
pub(crate) struct Probe {
    join: LookupJoin,
    table: String,
    key_names: Vec<String>,
    statement: String,
    output: SchemaRef,
    keys: Vec<Evaluator>,
    condition: Option<Condition>,
    /// What comes out: a column of the input, or the place in `taken`.
    columns: Vec<(Side, usize)>,
    /// The places of the table's columns that come out.
    taken: Vec<usize>,
    /// The default of each of these, an array of one row; none: NULL.
    defaults: Vec<Option<ArrayRef>>,
    /// The place of the table's column that is compared in a membership.
    member: Option<usize>,
    scratch: Matches,
}

/// What a pair must meet beside the keys.
struct Condition {
    evaluator: Evaluator,
    schema: SchemaRef,
    /// The places of the input's columns that it reads, then those of the table's.
    left: Vec<usize>,
    right: Vec<usize>,
}

/// The rows of the table under the keys of a batch's rows.
pub(crate) enum Candidates {
    /// One per row, or none.
    One(Vec<TableRow>),
    /// Any number.
    Many(Matches),
}

/// What comes of some rows.
pub(crate) struct Pairs {
    /// Rows of the batch, ascending; none: each row once.
    pub(crate) left: Option<Vec<u32>>,
    /// Their partners.
    rows: Vec<TableRow>,
    /// The truth of a mark.
    marks: Option<BooleanArray>,
    /// Rows of the batch that the table lacks and that are to wait, ascending.
    pub(crate) waits: Vec<u32>,
    /// How many rows met their fate; one that is taken back did so when it came.
    pub(crate) missing: usize,
}

/// Whether a row of a batch is counted where the table lacks it.
fn counted(batch: &Batch) -> impl Fn(usize) -> bool + use<'_> {
    let kinds = batch.kinds.as_ref().map(velo_core::RowKinds::as_slice);
    move |row: usize| kinds.is_none_or(|kinds| !kinds[row].retracts())
}

impl Pairs {
    /// How many rows come out.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

impl Probe {
    pub(crate) fn new(spec: &ProbeSpec<'_>) -> Result<Self> {
        let ProbeSpec { join, input, output, statement, .. } = spec;
        let keys = join.keys.iter().map(|key| Evaluator::new(key, input, statement)).collect::<Result<_>>()?;
        let condition = join.condition.as_ref().map(|condition| {
            let names: Vec<String> = condition.column_refs().iter().map(|column| column.name().to_owned()).collect();
            let left: Vec<usize> =
                (0..input.fields().len()).filter(|at| names.contains(input.field(*at).name())).collect();
            let right: Vec<_> =
                join.table_columns.iter().filter(|column| names.contains(column.field.name())).collect();
            let fields = left.iter().map(|at| Arc::clone(&input.fields()[*at]));
            let nullable = |field: &FieldRef| Arc::new(field.as_ref().clone().with_nullable(true));
            let fields = fields.chain(right.iter().map(|column| nullable(&column.field)));
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            Ok::<_, ExecError>(Condition {
                evaluator: Evaluator::new(condition, &schema, statement)?,
                schema,
                left,
                right: right.iter().map(|column| column.column).collect(),
            })
        });
        let mut taken = Vec::new();
        let mut defaults = Vec::new();
        let mut columns = Vec::with_capacity(join.columns.len());
        for column in &join.columns {
            let name = column.field.name();
            columns.push(match column.side {
                Side::Left => (Side::Left, input.index_of(name)?),
                Side::Right => {
                    let found = join.table_columns.iter().find(|column| column.field.name() == name);
                    let lacks = || ExecError::Internal(format!("a join without its column '{name}'"));
                    taken.push(found.ok_or_else(lacks)?.column);
                    let given = join.missing.iter().flat_map(|missing| &missing.defaults);
                    let given = given.into_iter().find(|(default, _)| default == name);
                    defaults.push(given.map(|(_, value)| value.to_array_of_size(1)).transpose()?);
                    (Side::Right, taken.len() - 1)
                }
            });
        }
        Ok(Self {
            keys,
            condition: condition.transpose()?,
            columns,
            taken,
            defaults,
            member: None,
            join: (*join).clone(),
            table: spec.table.to_owned(),
            key_names: spec.key_names.clone(),
            statement: (*statement).to_owned(),
            output: Arc::clone(output),
            scratch: Matches::default(),
        })
    }

    /// The place in the table of the column that a membership compares.
    pub(crate) fn with_member(mut self, column: Option<usize>) -> Self {
        self.member = column;
        self
    }

    /// Computes the keys, to see whether that fails.
    pub(crate) fn check(&self, batch: &Batch) -> Result<()> {
        self.keys(batch).map(drop)
    }

    /// A pair on which the condition fails is given up: it does not meet it.
    pub(crate) fn give_up(&mut self, errors: &Arc<ComputeErrors>) {
        self.condition.iter_mut().for_each(|condition| condition.evaluator.give_up(errors));
    }

    /// The rows of the table that are under the keys of the batch's.
    pub(crate) fn candidates(&mut self, batch: &Batch, version: &dyn TableVersion) -> Result<Candidates> {
        let keys = self.keys(batch)?;
        let Some(index) = self.join.index else { return self.all(batch.rows(), version) };
        let fail = |error| ExecError::connector(&self.table, error);
        if self.join.as_of {
            let times = batch.event_times().ok_or_else(|| ExecError::Internal("AS OF without a time".to_owned()))?;
            let mut found = Vec::with_capacity(batch.rows());
            version.find_as_of(&keys, times.values(), &mut found).map_err(fail)?;
            return Ok(Candidates::One(found));
        }
        // Who asks only whether there is a partner needs no more than one.
        if version.is_unique(index) || self.enough() == 1 {
            let mut found = Vec::with_capacity(batch.rows());
            version.find_one(index, &keys, &mut found).map_err(fail)?;
            return Ok(Candidates::One(found));
        }
        let mut found = std::mem::take(&mut self.scratch);
        version.find(index, &keys, &mut found).map_err(fail)?;
        Ok(Candidates::Many(found))
    }

    /// How many rows of a batch may be joined at once, so that pairs stay few; none: how many there will be is not known.
    pub(crate) fn rows_at_once(&self, version: &dyn TableVersion) -> Option<usize> {
        match self.join.index {
            Some(index) if self.join.as_of || version.is_unique(index) || self.enough() == 1 => Some(usize::MAX),
            Some(_) => None,
            None => Some((PAIRS / (version.rows() as usize).min(self.enough()).max(1)).max(1)),
        }
    }

    /// How many candidates of a row decide what becomes of it.
    fn enough(&self) -> usize {
        match &self.join.kind {
            _ if self.condition.is_some() => usize::MAX,
            JoinKind::Semi | JoinKind::Anti | JoinKind::Mark(_) => 1,
            JoinKind::Single => 2,
            _ => usize::MAX,
        }
    }

    fn keys(&self, batch: &Batch) -> Result<Vec<ArrayRef>> {
        self.keys.iter().map(|key| key.evaluate(batch)).collect()
    }

    fn all(&mut self, rows: usize, version: &dyn TableVersion) -> Result<Candidates> {
        let mut all = Vec::new();
        version.all(&mut all);
        all.truncate(self.enough());
        let mut matches = std::mem::take(&mut self.scratch);
        matches.clear();
        for row in 0..rows {
            matches.keys.extend(std::iter::repeat_n(row as u32, all.len()));
            matches.rows.extend_from_slice(&all);
        }
        Ok(Candidates::Many(matches))
    }

    /// What comes of the rows of a batch with these candidates; `fate`: what becomes of rows that have none.
    pub(crate) fn pairs(
        &mut self,
        batch: &Batch,
        version: &dyn TableVersion,
        candidates: Candidates,
        fate: Fate,
    ) -> Result<Pairs> {
        match candidates {
            Candidates::One(found) if self.condition.is_none() && self.is_plain() => self.simple(batch, found, fate),
            Candidates::One(found) => {
                let mut matches = std::mem::take(&mut self.scratch);
                matches.clear();
                for (row, found) in found.iter().enumerate().filter(|(_, found)| found.is_some()) {
                    matches.keys.push(row as u32);
                    matches.rows.push(*found);
                }
                let pairs = self.general(batch, version, &matches, fate);
                self.scratch = matches;
                pairs
            }
            Candidates::Many(matches) => {
                let pairs = self.general(batch, version, &matches, fate);
                self.scratch = matches;
                pairs
            }
        }
    }

    /// Whether rows come out with their partners, and not by whether they have one.
    fn is_plain(&self) -> bool {
        matches!(self.join.kind, JoinKind::Inner | JoinKind::Left | JoinKind::Single)
    }

    /// One partner at most, and no condition: nothing is taken apart where none is missing.
    fn simple(&self, batch: &Batch, mut rows: Vec<TableRow>, fate: Fate) -> Result<Pairs> {
        let lacking = rows.iter().filter(|row| !row.is_some()).count();
        let counted = counted(batch);
        let missing = match (lacking, fate) {
            (0, _) | (_, Fate::Wait) => 0,
            _ => rows.iter().enumerate().filter(|(row, found)| !found.is_some() && counted(*row)).count(),
        };
        let whole = |rows| Ok(Pairs { left: None, rows, marks: None, waits: Vec::new(), missing });
        match fate {
            _ if lacking == 0 => whole(rows),
            Fate::Nulls => whole(rows),
            Fate::Defaults => {
                rows.iter_mut().filter(|row| !row.is_some()).for_each(|row| *row = DEFAULT);
                whole(rows)
            }
            Fate::Fail => {
                let first = rows.iter().position(|row| !row.is_some()).unwrap_or(0);
                Err(self.lacks(batch, first)?)
            }
            Fate::LeaveOut | Fate::Wait => {
                let numbers = |found: bool| {
                    let kept = rows.iter().enumerate().filter(move |(_, row)| row.is_some() == found);
                    kept.map(|(at, _)| at as u32).collect::<Vec<_>>()
                };
                let waits = if fate == Fate::Wait { numbers(false) } else { Vec::new() };
                let left = Some(numbers(true));
                rows.retain(|row| row.is_some());
                Ok(Pairs { left, rows, marks: None, missing, waits })
            }
        }
    }

    fn general(&self, batch: &Batch, version: &dyn TableVersion, matches: &Matches, fate: Fate) -> Result<Pairs> {
        let passed = self.passed(batch, version, &matches.keys, &matches.rows)?;
        let passes = |at: usize| passed.as_ref().is_none_or(|passed| passed.value(at));
        let mut left = Vec::with_capacity(matches.keys.len());
        let mut rows = Vec::with_capacity(matches.keys.len());
        let mut marks = Vec::new();
        let (mut waits, mut unsure) = (Vec::new(), Vec::new());
        let (mut missing, mut at) = (0, 0);
        let counted = counted(batch);
        for row in 0..batch.rows() as u32 {
            let from = at;
            let (mut partners, mut first) = (0_usize, TableRow::NONE);
            while matches.keys.get(at) == Some(&row) {
                if passes(at) {
                    if self.is_plain() {
                        left.push(row);
                        rows.push(matches.rows[at]);
                    }
                    first = if partners == 0 { matches.rows[at] } else { first };
                    partners += 1;
                }
                at += 1;
            }
            match &self.join.kind {
                JoinKind::Semi if partners > 0 => left.push(row),
                JoinKind::Anti if partners == 0 => left.push(row),
                JoinKind::Semi | JoinKind::Anti => {}
                JoinKind::Mark(mark) => {
                    if partners == 0 && mark.membership.is_some() {
                        unsure.push(row);
                    }
                    left.push(row);
                    marks.push(Some(partners > 0));
                }
                JoinKind::Single if partners > 1 => return Err(self.several(batch, row as usize)),
                JoinKind::Inner | JoinKind::Left | JoinKind::Single if partners > 0 => {}
                // It has candidates, and a further condition fails: that is no missing row.
                JoinKind::Inner if at > from => {}
                JoinKind::Left | JoinKind::Single if at > from => {
                    left.push(row);
                    rows.push(TableRow::NONE);
                }
                _ => {
                    missing += usize::from(fate != Fate::Wait && counted(row as usize));
                    match fate {
                        Fate::LeaveOut => {}
                        Fate::Wait => waits.push(row),
                        Fate::Fail => return Err(self.lacks(batch, row as usize)?),
                        Fate::Nulls | Fate::Defaults => {
                            left.push(row);
                            rows.push(if fate == Fate::Nulls { TableRow::NONE } else { DEFAULT });
                        }
                    }
                }
            }
        }
        rows.resize(left.len(), TableRow::NONE);
        let marks = match &self.join.kind {
            JoinKind::Mark(_) => {
                self.settle_unsure(batch, version, &unsure, &mut marks)?;
                Some(BooleanArray::from(marks))
            }
            _ => None,
        };
        Ok(Pairs { left: Some(left), rows, marks, waits, missing })
    }

    /// Which candidates meet the condition; none where there is none.
    fn passed(
        &self,
        batch: &Batch,
        version: &dyn TableVersion,
        left: &[u32],
        rows: &[TableRow],
    ) -> Result<Option<BooleanArray>> {
        let Some(condition) = &self.condition else { return Ok(None) };
        let numbers = UInt32Array::from(left.to_vec());
        let mut columns = Vec::with_capacity(condition.left.len() + condition.right.len());
        for at in &condition.left {
            columns.push(arrow_select::take::take(batch.columns.column(*at), &numbers, None)?);
        }
        columns.extend(self.take(version, rows, &condition.right)?);
        let mut candidates = Batch::new(columns_of(&condition.schema, columns, rows.len())?);
        candidates.origin = batch.origin.as_ref().map(|origin| origin.take(&numbers)).transpose()?;
        let passed = condition.evaluator.condition(&candidates)?;
        Ok(Some(match passed.null_count() {
            0 => passed,
            // What is not known does not hold.
            _ => arrow_select::filter::prep_null_mask_filter(&passed),
        }))
    }

    fn take(&self, version: &dyn TableVersion, rows: &[TableRow], columns: &[usize]) -> Result<Vec<ArrayRef>> {
        version.take(rows, columns).map_err(|error| ExecError::connector(&self.table, error))
    }

    /// Of a membership without a match it is not known whether it holds where a value is NULL on one of the sides.
    fn settle_unsure(
        &self,
        batch: &Batch,
        version: &dyn TableVersion,
        unsure: &[u32],
        marks: &mut [Option<bool>],
    ) -> Result<()> {
        let JoinKind::Mark(mark) = &self.join.kind else { return Ok(()) };
        let (Some(membership), false) = (mark.membership, unsure.is_empty()) else { return Ok(()) };
        let keys = self.keys(batch)?;
        let of_left = &keys[membership];
        if self.join.others.is_none() && self.condition.is_none() {
            // All rows of the table are asked.
            let has_null = self.join.index.is_some_and(|index| version.null_keys(index) > 0);
            for row in unsure {
                let unknown = version.rows() > 0 && (has_null || of_left.is_null(*row as usize));
                marks[*row as usize] = if unknown { None } else { Some(false) };
            }
            return Ok(());
        }
        let member = self.member.ok_or_else(|| ExecError::Internal("a membership without its column".to_owned()))?;
        let mut found = Matches::default();
        let mut settle = |found: &Matches| -> Result<()> {
            let passed = self.passed(batch, version, &found.keys, &found.rows)?;
            let values = self.take(version, &found.rows, &[member])?;
            for (at, row) in found.keys.iter().enumerate() {
                let row = *row as usize;
                let holds = passed.as_ref().is_none_or(|passed| passed.value(at));
                if holds && (of_left.is_null(row) || values[0].is_null(at)) {
                    marks[row] = None;
                }
            }
            Ok(())
        };
        if let Some(index) = self.join.others {
            for unsure in unsure.chunks(UNSURE) {
                let numbers = UInt32Array::from(unsure.to_vec());
                let others = keys.iter().enumerate().filter(|(at, _)| *at != membership);
                let others = others.map(|(_, key)| arrow_select::take::take(key, &numbers, None));
                let others = others.collect::<std::result::Result<Vec<_>, _>>()?;
                version.find(index, &others, &mut found).map_err(|error| ExecError::connector(&self.table, error))?;
                found.keys.iter_mut().for_each(|at| *at = unsure[*at as usize]);
                settle(&found)?;
            }
            return Ok(());
        }
        // A value that is there can only be equal to NULLs of the table, and NULL to any of its rows.
        let mut all = Vec::new();
        version.all(&mut all);
        let values = self.take(version, &all, &[member])?;
        let nulls: Vec<TableRow> =
            all.iter().enumerate().filter(|(at, _)| values[0].is_null(*at)).map(|(_, row)| *row).collect();
        for row in unsure {
            let asked = if of_left.is_null(*row as usize) { &all } else { &nulls };
            for asked in asked.chunks(PAIRS) {
                if found.rows.len() + asked.len() > PAIRS {
                    settle(&found)?;
                    found.clear();
                }
                found.keys.extend(std::iter::repeat_n(*row, asked.len()));
                found.rows.extend_from_slice(asked);
            }
        }
        settle(&found)
    }

    /// The rows that come out.
    pub(crate) fn output(&self, batch: &Batch, version: &dyn TableVersion, pairs: &Pairs) -> Result<Batch> {
        let whole = pairs.left.as_ref().is_none_or(|left| {
            left.len() == batch.rows() && left.iter().enumerate().all(|(at, row)| *row as usize == at)
        });
        let rows = match (&pairs.left, whole) {
            (Some(left), false) => batch.take(&UInt32Array::from(left.clone()))?,
            _ => batch.clone(),
        };
        let defaults = pairs.rows.contains(&DEFAULT);
        let mut taken = match defaults {
            false => self.take(version, &pairs.rows, &self.taken)?,
            true => {
                let plain = |row: &TableRow| if *row == DEFAULT { TableRow::NONE } else { *row };
                let plain: Vec<TableRow> = pairs.rows.iter().map(plain).collect();
                self.take(version, &plain, &self.taken)?
            }
        };
        if defaults {
            let mask: BooleanArray = pairs.rows.iter().map(|row| Some(*row == DEFAULT)).collect();
            for (column, default) in taken.iter_mut().zip(&self.defaults) {
                if let Some(default) = default {
                    *column = arrow_select::zip::zip(&mask, &arrow_array::Scalar::new(default), column)?;
                }
            }
        }
        let columns = self.columns.iter().map(|(side, at)| match side {
            Side::Left => Arc::clone(rows.columns.column(*at)),
            Side::Right => Arc::clone(&taken[*at]),
        });
        let marks = pairs.marks.iter().map(|marks| Arc::new(marks.clone()) as ArrayRef);
        let time = schema::event_time_index(&self.output)
            .and_then(|_| schema::event_time_index(rows.columns.schema_ref()))
            .map(|at| Arc::clone(rows.columns.column(at)));
        let columns = columns.chain(marks).chain(time).collect();
        let columns = columns_of(&self.output, columns, rows.rows())?;
        Ok(rows.with_columns(columns))
    }

    /// A row that the table lacks, under `fail_fast`.
    fn lacks(&self, batch: &Batch, row: usize) -> Result<ExecError> {
        let keys = self.keys(batch)?;
        let text = |(name, key): (&String, &ArrayRef)| {
            let value = value_text(key.as_ref(), row).unwrap_or_else(|| "NULL".to_owned());
            let quoted = if key.as_string_opt::<i32>().is_some() && key.is_valid(row) { "'" } else { "" };
            format!("{name} = {quoted}{value}{quoted}")
        };
        let wanted: Vec<String> = self.key_names.iter().zip(&keys).map(text).collect();
        Ok(ExecError::Compute {
            statement: self.statement.clone(),
            message: format!(
                "the table {} has no row with {}, and 'table.missing.strategy' stops the job then; the other strategies are use_defaults, skip_record, emit_with_nulls and wait_and_retry",
                self.table,
                wanted.join(" and ")
            ),
            place: batch.origin.as_ref().map(|origin| origin.place(row)),
        })
    }

    fn several(&self, batch: &Batch, row: usize) -> ExecError {
        ExecError::Compute {
            statement: self.statement.clone(),
            message: format!(
                "the sub-query over the table {} gives more than one row where one value is wanted; an aggregate such as MAX, or a further condition, makes it one",
                self.table
            ),
            place: batch.origin.as_ref().map(|origin| origin.place(row)),
        }
    }
}
