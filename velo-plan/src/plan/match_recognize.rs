//! MATCH_RECOGNIZE of a plan: which rows of a partition are a match, and what comes out of it.

use std::fmt;

use arrow_schema::FieldRef;
use datafusion_expr::Expr;
use velo_core::duration::Span;
use velo_eventtime::LateStrategy;

use super::aggregate::{AggregateCall, SortKey};
use super::expr_text::expr_text;
use super::node::Output;
use super::over::sort_text;

/// One node of row pattern matching. What comes out are the columns of the partition, then the measures.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchRecognize {
    /// The columns of the input whose equal values are a partition, with their names in the output.
    pub partition_by: Vec<Output>,
    /// The order of rows of one event time.
    pub order_by: Vec<SortKey>,
    /// The pattern variables: their places are what a pattern and a [`VariableSet`] name.
    pub variables: Vec<MatchVariable>,
    /// The pattern.
    pub pattern: RowPattern,
    /// Whether the pattern can match no row at all, which gives nothing and goes on with the next row.
    pub omit_empty: bool,
    /// Where the search goes on after a match.
    pub after_match: MatchSkip,
    /// The last row of a match comes less than this after its first.
    pub within: Option<Span>,
    /// What conditions and measures are computed over, each a column of its name.
    pub columns: Vec<MatchColumn>,
    /// What a match gives, over the columns.
    pub measures: Vec<Output>,
    /// The measures as written, for EXPLAIN.
    pub measure_texts: Vec<String>,
    /// What happens to rows that are behind the watermark.
    pub late: LateStrategy,
}

/// A pattern variable.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchVariable {
    /// Its name.
    pub name: String,
    /// When a row can be it, over the columns, as a conjunction: all must be true. Without any, every row can.
    pub conditions: Vec<Expr>,
    /// The condition as written, for EXPLAIN.
    pub text: String,
}

/// Pattern variables as bits, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VariableSet(pub u64);

impl VariableSet {
    /// All variables: any row of a match.
    pub const ALL: Self = Self(u64::MAX);
    /// The most variables that a pattern can have.
    pub const MOST: usize = 64;

    /// One variable.
    pub fn of(variable: usize) -> Self {
        Self(1 << variable)
    }

    /// Whether it holds a variable.
    pub fn contains(self, variable: usize) -> bool {
        self.0 & (1 << variable) != 0
    }
}

/// A value that conditions or measures are computed over.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchColumn {
    /// Name, type and nullability.
    pub field: FieldRef,
    /// What it is.
    pub value: MatchValue,
}

/// What a [`MatchColumn`] holds.
#[derive(Debug, Clone, PartialEq)]
pub enum MatchValue {
    /// An expression over the input, of one row. NULL where there is no such row.
    Row {
        /// The rows of the match that count.
        of: VariableSet,
        /// Counted from the first or the last of them; in DEFINE the last is the row that is tested.
        from_last: bool,
        /// How many rows from there, inwards.
        nth: u32,
        /// How many rows of the partition behind that; before it where negative.
        offset: i32,
        /// What is computed of the row.
        expr: Expr,
    },
    /// An aggregate over rows of the match, in DEFINE up to the row that is tested.
    Aggregate {
        /// The rows of the match that count.
        of: VariableSet,
        /// The aggregate, over the input.
        call: Box<AggregateCall>,
    },
    /// The variable of the match's last row.
    Classifier,
    /// The number of the match in its partition, from 1.
    MatchNumber,
}

impl MatchValue {
    /// All expressions over the input that it needs.
    pub fn expressions(&self) -> Vec<&Expr> {
        match self {
            Self::Row { expr, .. } => vec![expr],
            Self::Aggregate { call, .. } => {
                let order = call.order_by.iter().map(|key| &key.expr);
                call.arguments.iter().chain(&call.filter).chain(order).collect()
            }
            Self::Classifier | Self::MatchNumber => Vec::new(),
        }
    }

    /// See [`Self::expressions`].
    pub fn expressions_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Self::Row { expr, .. } => vec![expr],
            Self::Aggregate { call, .. } => call.arguments.iter_mut().chain(&mut call.filter).collect(),
            Self::Classifier | Self::MatchNumber => Vec::new(),
        }
    }
}

/// A row pattern. Its matches are tried in an order; the first that fits is the match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowPattern {
    /// One row of a variable.
    Variable(usize),
    /// One after the other.
    Sequence(Vec<RowPattern>),
    /// The first that fits.
    Alternatives(Vec<RowPattern>),
    /// So many times.
    Repeat {
        /// What; it takes at least one row.
        pattern: Box<RowPattern>,
        /// At least.
        min: u32,
        /// At most.
        max: Option<u32>,
        /// As often as possible, else as rarely.
        greedy: bool,
    },
}

/// Where the search goes on after a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchSkip {
    /// Behind the match's last row.
    PastLastRow,
    /// Behind its first row.
    ToNextRow,
    /// At the first row of these variables.
    ToFirst(VariableSet),
    /// At their last row.
    ToLast(VariableSet),
}

impl RowPattern {
    /// Whether it matches no row at all.
    pub fn can_be_empty(&self) -> bool {
        match self {
            Self::Variable(_) => false,
            Self::Sequence(all) => all.iter().all(Self::can_be_empty),
            Self::Alternatives(all) => all.iter().any(Self::can_be_empty),
            Self::Repeat { pattern, min, .. } => *min == 0 || pattern.can_be_empty(),
        }
    }

    /// The fewest rows that it matches.
    pub fn min_rows(&self) -> u64 {
        match self {
            Self::Variable(_) => 1,
            Self::Sequence(all) => all.iter().fold(0, |rows, one| rows.saturating_add(one.min_rows())),
            Self::Alternatives(all) => all.iter().map(Self::min_rows).min().unwrap_or(0),
            Self::Repeat { pattern, min, .. } => pattern.min_rows().saturating_mul(u64::from(*min)),
        }
    }

    /// The most rows that it matches; none: there is no most.
    pub fn max_rows(&self) -> Option<u64> {
        match self {
            Self::Variable(_) => Some(1),
            Self::Sequence(all) => all.iter().try_fold(0_u64, |rows, one| Some(rows.saturating_add(one.max_rows()?))),
            Self::Alternatives(all) => all.iter().try_fold(0_u64, |rows, one| Some(rows.max(one.max_rows()?))),
            Self::Repeat { pattern, max, .. } => Some(pattern.max_rows()?.saturating_mul(u64::from((*max)?))),
        }
    }

    /// How many places for a variable it has when its repetitions are written out.
    pub fn places(&self) -> u64 {
        match self {
            Self::Variable(_) => 1,
            Self::Sequence(all) | Self::Alternatives(all) => {
                all.iter().fold(0, |places, one| places.saturating_add(one.places()))
            }
            Self::Repeat { pattern, min, max, .. } => {
                // Without a most, the last repetition goes round.
                let times = max.map_or(u64::from(*min).max(1), u64::from);
                pattern.places().saturating_mul(times)
            }
        }
    }

    /// The variables that the first row of a match can be.
    pub fn first_variables(&self) -> VariableSet {
        match self {
            Self::Variable(variable) => VariableSet::of(*variable),
            Self::Sequence(all) => {
                let mut found = 0;
                for one in all {
                    found |= one.first_variables().0;
                    if !one.can_be_empty() {
                        break;
                    }
                }
                VariableSet(found)
            }
            Self::Alternatives(all) => VariableSet(all.iter().fold(0, |found, one| found | one.first_variables().0)),
            Self::Repeat { pattern, max, .. } => {
                if *max == Some(0) {
                    VariableSet(0)
                } else {
                    pattern.first_variables()
                }
            }
        }
    }

    /// As SQL writes it.
    fn text(&self, variables: &[MatchVariable], within: bool) -> String {
        let joined = |all: &[Self], between: &str| {
            all.iter().map(|one| one.text(variables, true)).collect::<Vec<_>>().join(between)
        };
        match self {
            Self::Variable(variable) => variables.get(*variable).map(|known| known.name.clone()).unwrap_or_default(),
            Self::Sequence(all) => {
                let text = joined(all, " ");
                if within { format!("({text})") } else { text }
            }
            Self::Alternatives(all) => {
                let text = joined(all, " | ");
                if within { format!("({text})") } else { text }
            }
            Self::Repeat { pattern, min, max, greedy } => {
                let times = match (min, max) {
                    (0, None) => "*".to_owned(),
                    (1, None) => "+".to_owned(),
                    (0, Some(1)) => "?".to_owned(),
                    (min, Some(max)) if min == max => format!("{{{min}}}"),
                    (min, Some(max)) => format!("{{{min},{max}}}"),
                    (min, None) => format!("{{{min},}}"),
                };
                format!("{}{times}{}", pattern.text(variables, true), if *greedy { "" } else { "?" })
            }
        }
    }
}

impl MatchRecognize {
    /// All expressions over the input that it needs.
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let keys = self.partition_by.iter().map(|key| &key.expr).chain(self.order_by.iter().map(|key| &key.expr));
        keys.chain(self.columns.iter().flat_map(|column| column.value.expressions()))
    }

    /// Drops the measures that nothing reads, and the columns that nothing is computed over.
    pub(crate) fn keep_measures(&mut self, needed: impl Fn(&str) -> bool) {
        let keeps = self.measures.iter().map(|measure| needed(measure.field.name())).collect::<Vec<_>>();
        let mut stays = keeps.iter();
        self.measure_texts.retain(|_| stays.next().copied().unwrap_or(true));
        let mut stays = keeps.iter();
        self.measures.retain(|_| stays.next().copied().unwrap_or(true));
        let conditions = self.variables.iter().flat_map(|variable| &variable.conditions);
        let over = conditions.chain(self.measures.iter().map(|measure| &measure.expr));
        let read = over.flat_map(|expr| expr.column_refs().into_iter().map(|column| column.name().to_owned()));
        let read = read.collect::<std::collections::BTreeSet<_>>();
        self.columns.retain(|column| read.contains(column.field.name()));
    }
}

impl fmt::Display for MatchRecognize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Match by event time")?;
        if !self.order_by.is_empty() {
            write!(f, " and {}", sort_text(&self.order_by))?;
        }
        if !self.partition_by.is_empty() {
            let keys = self.partition_by.iter().map(|key| expr_text(&key.expr)).collect::<Vec<_>>();
            write!(f, " of each {}", keys.join(", "))?;
        }
        write!(f, ": {}", self.pattern.text(&self.variables, false))?;
        if let Some(within) = self.within {
            write!(f, " within {within}")?;
        }
        for variable in self.variables.iter().filter(|variable| !variable.conditions.is_empty()) {
            write!(f, ", {} where {}", variable.name, variable.text)?;
        }
        let names = |set: VariableSet| {
            let known = self.variables.iter().enumerate().filter(|(at, _)| set.contains(*at));
            known.map(|(_, variable)| variable.name.as_str()).collect::<Vec<_>>().join(" or ")
        };
        match self.after_match {
            MatchSkip::PastLastRow => {}
            MatchSkip::ToNextRow => f.write_str("; then from the next row")?,
            MatchSkip::ToFirst(set) => write!(f, "; then from the first {}", names(set))?,
            MatchSkip::ToLast(set) => write!(f, "; then from the last {}", names(set))?,
        }
        for (at, (measure, text)) in self.measures.iter().zip(&self.measure_texts).enumerate() {
            f.write_str(if at == 0 { "; " } else { ", " })?;
            write!(f, "{} = {text}", measure.field.name())?;
        }
        f.write_str(match self.late {
            LateStrategy::DeadLetter => "; late rows go to the dead letters",
            _ => "; late rows are dropped",
        })
    }
}
