//! A table that is kept as tables are, joins with it, and the same joins row by row.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, col};
use tokio::runtime::{Builder, Runtime};
use velo_core::duration::Span;
use velo_core::lookup::{IndexId, TableWriter};
use velo_core::{Batch, schema as hidden};
use velo_eventtime::LateStrategy;
use velo_exec::operator::{LookupJoin, LookupSpec};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{JoinKind, LookupJoin as Plan, Mark, Missing, MissingStrategy, StateTtl, TableColumn, TableId};
use velo_tables::{StoreSpec, Table, Writer, table};

use super::joins::{alone, join, meets, pair, renamed, right_schema};
use super::{Row, SECOND, batch, schema};

/// The places of `r_key` and `r_quantity`.
pub const KEY: usize = 0;
pub const QUANTITY: usize = 2;

/// A table, and the one who writes it.
pub struct Store {
    runtime: Runtime,
    pub table: Arc<Table>,
    pub writer: Writer,
}

impl Store {
    pub fn new(key: &[usize], indexes: &[&[usize]], keeps_versions: bool) -> Self {
        let (table, writer) = table(StoreSpec {
            name: "tiers".to_owned(),
            schema: right_schema(),
            key: key.to_vec(),
            indexes: indexes.iter().map(|index| index.to_vec()).collect(),
            null_keys: false,
            keeps_versions,
            counters: Arc::default(),
            budget: None,
        })
        .unwrap();
        Self { runtime: Builder::new_current_thread().build().unwrap(), table, writer }
    }

    /// By `r_key`: as its primary key, or with any number of rows under each.
    pub fn by_key(unique: bool) -> Self {
        Self::new(if unique { &[KEY] } else { &[] }, &[&[KEY]], false)
    }

    /// Makes changes the next version.
    pub fn apply(&mut self, batch: Batch) {
        self.writer.apply(&renamed(1, batch)).unwrap();
        self.runtime.block_on(self.writer.publish()).unwrap();
    }

    pub fn insert(&mut self, rows: &[Row]) {
        if !rows.is_empty() {
            self.apply(batch(rows));
        }
    }

    /// Makes the version that stands the last.
    pub fn finish(&mut self) {
        self.runtime.block_on(self.writer.finish()).unwrap();
    }
}

/// A join of the usual rows with the table.
#[derive(Debug, Clone)]
pub struct Lookup {
    pub plan: Plan,
    pub member: Option<usize>,
    pub settled: bool,
    pub retracts: bool,
    pub ttl: Option<StateTtl>,
}

impl Lookup {
    /// On `key = r_key`.
    pub fn new(kind: JoinKind) -> Self {
        let join = join(kind, None);
        let visible = hidden::visible(&right_schema());
        let fields = visible.fields().iter().enumerate();
        let plan = Plan {
            table: TableId(0),
            kind: join.kind,
            keys: vec![col("key")],
            index: Some(IndexId(0)),
            others: None,
            condition: None,
            table_columns: fields.map(|(column, field)| TableColumn { column, field: Arc::clone(field) }).collect(),
            columns: join.columns,
            as_of: false,
            missing: None,
            late: LateStrategy::Drop,
        };
        Self { plan, member: None, settled: false, retracts: false, ttl: None }
    }

    /// With every row of the table.
    pub fn crossed(mut self) -> Self {
        self.plan.keys.clear();
        self.plan.index = None;
        self
    }

    pub fn with_condition(mut self, condition: Option<Expr>) -> Self {
        self.plan.condition = condition;
        self
    }

    pub fn retracts(mut self) -> Self {
        self.retracts = true;
        self
    }

    pub fn at_event_time(mut self) -> Self {
        self.plan.as_of = true;
        self
    }

    /// Missing rows meet this; `none` is the default of the note.
    pub fn missing(mut self, strategy: MissingStrategy) -> Self {
        let defaults = vec![("r_note".to_owned(), ScalarValue::Utf8(Some("none".to_owned())))];
        let then = MissingStrategy::FailFast;
        self.plan.missing = Some(Missing { strategy, then, defaults, retries: 0, delay: Span(0) });
        self
    }

    /// Missing rows wait.
    pub fn waits(self, retries: u32, delay: i64, then: MissingStrategy) -> Self {
        let mut waits = self.missing(MissingStrategy::WaitAndRetry);
        let missing = waits.plan.missing.as_mut().unwrap();
        (missing.retries, missing.delay, missing.then) = (retries, Span(delay), then);
        waits
    }

    pub fn harness(&self, store: &Store) -> Harness<LookupJoin> {
        Harness::new(self.operator(store))
    }

    pub fn operator(&self, store: &Store) -> LookupJoin {
        self.operator_of(Arc::clone(&store.table))
    }

    pub fn operator_of(&self, table: Arc<Table>) -> LookupJoin {
        let plan = &self.plan;
        let mut fields = plan.columns.iter().map(|column| column.field.as_ref().clone()).collect::<Vec<_>>();
        fields.extend(plan.kind.mark().map(|mark| mark.as_ref().clone()));
        let spec = LookupSpec {
            join: plan.clone(),
            table,
            key_names: ["key", "quantity"].iter().take(plan.keys.len()).map(|name| (*name).to_owned()).collect(),
            member: self.member,
            settled: self.settled,
            loaded: true,
            retracts: self.retracts,
            ttl: self.ttl,
            shared_by: vec![KEY],
            input: schema(),
            output: hidden::with_event_time(&arrow_schema::Schema::new(fields)),
            statement: "result".to_owned(),
        };
        LookupJoin::new(spec).unwrap()
    }

    /// Whether the keys of a pair are equal; NULL equals nothing.
    fn candidate(&self, left: &Row, right: &Row) -> bool {
        let keys = self.plan.keys.len();
        (keys < 1 || left.key.is_some() && left.key == right.key)
            && (keys < 2 || left.quantity.is_some() && left.quantity == right.quantity)
    }

    fn meets(&self, left: &Row, right: &Row) -> bool {
        self.plan.condition.is_none() || meets(left, right)
    }

    /// Whether the table lacks a row.
    pub fn lacks(&self, left: &Row, table: &[Row]) -> bool {
        !table.iter().any(|right| self.candidate(left, right))
    }

    /// What comes of a row; none: an error.
    pub fn naive(&self, left: &Row, table: &[Row]) -> Option<Vec<Vec<String>>> {
        let found = table.iter().filter(|right| self.candidate(left, right) && self.meets(left, right));
        let pairs = found.map(|right| pair(Some(left), Some(right), left.time)).collect::<Vec<_>>();
        let nulls = || vec![pair(Some(left), None, left.time)];
        Some(match &self.plan.kind {
            JoinKind::Semi => {
                if pairs.is_empty() {
                    vec![]
                } else {
                    vec![alone(left)]
                }
            }
            JoinKind::Anti => {
                if pairs.is_empty() {
                    vec![alone(left)]
                } else {
                    vec![]
                }
            }
            JoinKind::Mark(mark) => {
                let mut cells = alone(left);
                let truth = match mark.membership {
                    None => Some(!pairs.is_empty()),
                    Some(_) => self.member_of(left, table),
                };
                let text = truth.map_or("null".to_owned(), |truth| truth.to_string());
                cells.insert(cells.len() - 1, text);
                vec![cells]
            }
            JoinKind::Single if pairs.len() > 1 => return None,
            _ if !pairs.is_empty() => pairs,
            kind if !self.lacks(left, table) => {
                if kind.keeps_left() {
                    nulls()
                } else {
                    vec![]
                }
            }
            kind => match self.plan.missing.as_ref().map(|missing| missing.strategy) {
                None => {
                    if kind.keeps_left() {
                        nulls()
                    } else {
                        vec![]
                    }
                }
                Some(MissingStrategy::SkipRecord) => vec![],
                Some(MissingStrategy::EmitWithNulls) => nulls(),
                Some(MissingStrategy::UseDefaults) => {
                    let mut cells = pair(Some(left), None, left.time);
                    let note = cells.len() - 2;
                    "none".clone_into(&mut cells[note]);
                    vec![cells]
                }
                Some(_) => return None,
            },
        })
    }

    /// SQL's IN: the OR of the equalities with the rows under the other keys that meet the condition.
    fn member_of(&self, left: &Row, table: &[Row]) -> Option<bool> {
        let others =
            |right: &&Row| self.plan.keys.len() < 2 || left.quantity.is_some() && left.quantity == right.quantity;
        let asked = table.iter().filter(others).filter(|right| self.meets(left, right));
        let equal = asked.map(|right| Some(left.key.as_ref()? == right.key.as_ref()?)).collect::<Vec<_>>();
        match () {
            () if equal.contains(&Some(true)) => Some(true),
            () if equal.contains(&None) => None,
            () => Some(false),
        }
    }

    /// What comes of rows, sorted; none: an error.
    pub fn naive_of(&self, left: &[Row], table: &[Row]) -> Option<Vec<Vec<String>>> {
        let rows = left.iter().map(|row| self.naive(row, table)).collect::<Option<Vec<_>>>()?;
        let mut rows = rows.into_iter().flatten().collect::<Vec<_>>();
        rows.sort();
        Some(rows)
    }
}

/// A mark; `membership`: of the first key.
pub fn mark(membership: bool) -> JoinKind {
    let column = Arc::new(Field::new("mark", DataType::Boolean, true));
    JoinKind::Mark(Mark { column, membership: membership.then_some(0) })
}

/// A row of few keys, some of them NULL, at about this second; its note tells it apart.
pub fn random_row(random: &mut Random, position: usize, second: i64) -> Row {
    Row {
        key: (random.below(7) > 0).then(|| format!("k{}", random.below(5))),
        quantity: (random.below(6) > 0).then(|| random.below(3) as i64),
        position: position as u64,
        ..Row::at("", second * SECOND, &position.to_string())
    }
}

/// Some of these.
pub fn random_rows(random: &mut Random, count: usize) -> Vec<Row> {
    (0..count).map(|position| random_row(random, position, position as i64)).collect()
}

/// One row of each key, the last.
pub fn unique(rows: &[Row]) -> Vec<Row> {
    let last = |(at, row): &(usize, &Row)| row.key.is_some() && rows[at + 1..].iter().all(|other| other.key != row.key);
    rows.iter().enumerate().filter(last).map(|(_, row)| row.clone()).collect()
}
