//! The functions by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::DataType;
use datafusion_expr::{AggregateUDF, Expr, ScalarUDF};
use velo_core::Clock;
use velo_core::suggest::nearest;

use super::reference::{Entry, Kind, entries};

/// Names of Velo that the library calls otherwise.
const SCALAR_ALIASES: &[(&str, &str)] = &[
    ("len", "character_length"),
    ("ucase", "upper"),
    ("lcase", "lower"),
    ("ifnull", "coalesce"),
    ("element_at", "array_element"),
    ("pow", "power"),
    ("ceiling", "ceil"),
    ("sign", "signum"),
    ("date_add", "timestampadd"),
    ("dateadd", "timestampadd"),
    ("timestamp_add", "timestampadd"),
    ("date_diff", "datediff"),
    ("timestamp_diff", "timestampdiff"),
    ("weekofyear", "week"),
    ("dayofmonth", "day"),
    ("to_timestamp_ltz", "to_timestamp"),
    ("to_unixtime", "unix_timestamp"),
    ("extractjsonfield", "json_extract_string"),
    ("json_type", "json_typeof"),
    ("json_string", "to_json"),
    ("regexp_matches", "regexp_like"),
    ("regexp_split_to_array", "regexp_split"),
    ("from_hex", "unhex"),
    ("array_remove", "array_remove_all"),
    ("list_remove", "array_remove_all"),
    ("array_replace", "array_replace_all"),
    ("list_replace", "array_replace_all"),
];

/// Names of aggregates that the library calls otherwise.
const AGGREGATE_ALIASES: &[(&str, &str)] = &[
    ("listagg", "string_agg"),
    ("group_concat", "string_agg"),
    ("collect", "array_agg"),
    ("approx_count_distinct", "approx_distinct"),
    ("approx_percentile", "approx_percentile_cont"),
    ("stddev_samp", "stddev"),
    ("variance", "var"),
];

/// An expression that a script has given a name.
#[derive(Debug, Clone, PartialEq)]
pub struct UserFunction {
    /// The parameters: name and type.
    pub parameters: Vec<(String, DataType)>,
    /// The type of the result.
    pub returns: DataType,
    /// The expression, over columns that stand for the parameters.
    pub body: Expr,
}

/// Every function by its lower-case name.
#[derive(Debug, Clone)]
pub struct Functions {
    scalars: BTreeMap<String, Arc<ScalarUDF>>,
    aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    reference: Arc<[Entry]>,
    /// What can be called: each name with its place in the reference.
    known: BTreeMap<String, usize>,
    users: BTreeMap<String, Arc<UserFunction>>,
}

impl Default for Functions {
    fn default() -> Self {
        Self::new()
    }
}

impl Functions {
    /// All that there are, by the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(&Clock::system())
    }

    /// All that there are; NOW() goes by `clock`.
    pub fn with_clock(clock: &Clock) -> Self {
        let mut scalars = BTreeMap::new();
        // Ours stand first, and the first of a name stays.
        let all = super::time::functions(clock)
            .into_iter()
            .chain(super::math::functions())
            .chain(super::calendar::functions())
            .chain(super::interval::functions())
            .chain(super::time_text::functions(clock))
            .chain(super::pattern::functions())
            .chain(super::text::functions())
            .chain(super::json::functions())
            .chain(datafusion_functions::all_default_functions())
            .chain(datafusion_functions_nested::all_default_nested_functions());
        for function in all {
            for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
                scalars.entry(name.to_lowercase()).or_insert_with(|| Arc::clone(&function));
            }
        }
        for (alias, name) in SCALAR_ALIASES {
            if let Some(function) = scalars.get(*name).cloned() {
                scalars.insert((*alias).to_owned(), function);
            }
        }
        let mut aggregates = BTreeMap::new();
        let all = super::aggregates::functions()
            .into_iter()
            .chain(datafusion_functions_aggregate::all_default_aggregate_functions());
        for function in all {
            for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
                aggregates.entry(name.to_lowercase()).or_insert_with(|| Arc::clone(&function));
            }
        }
        for (alias, name) in AGGREGATE_ALIASES {
            if let Some(function) = aggregates.get(*name).cloned() {
                aggregates.entry((*alias).to_owned()).or_insert(function);
            }
        }
        let reference: Arc<[Entry]> = entries().into();
        let mut known = BTreeMap::new();
        for (at, entry) in reference.iter().enumerate().filter(|(_, entry)| entry.kind != Kind::Form) {
            for name in &entry.names {
                known.insert((*name).to_owned(), at);
            }
            // The library's other names of the same function.
            let first = entry.names[0];
            if let (Kind::Scalar, Some(function)) = (entry.kind, scalars.get(first)) {
                let same = scalars.iter().filter(|(_, other)| Arc::ptr_eq(function, other));
                same.for_each(|(name, _)| {
                    known.entry(name.clone()).or_insert(at);
                });
            }
            if let (Kind::Aggregate, Some(function)) = (entry.kind, aggregates.get(first)) {
                let same = aggregates.iter().filter(|(_, other)| Arc::ptr_eq(function, other));
                same.for_each(|(name, _)| {
                    known.entry(name.clone()).or_insert(at);
                });
            }
        }
        Self { scalars, aggregates, reference, known, users: BTreeMap::new() }
    }

    /// The scalar function called `name`, without regard to case; also one that has only a form of its own in SQL.
    pub fn scalar(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        self.scalars.get(&name.to_lowercase())
    }

    /// Whether `name` is an aggregate.
    pub fn is_aggregate(&self, name: &str) -> bool {
        let own = ["first", "last", "mean", "every", "arg_min", "arg_max", "min_by", "max_by", "count_distinct"];
        own.contains(&name.to_lowercase().as_str()) || self.aggregate(name).is_some()
    }

    /// The library's aggregate called `name`, without regard to case.
    pub fn aggregate(&self, name: &str) -> Option<&Arc<AggregateUDF>> {
        self.aggregates.get(&name.to_lowercase())
    }

    /// Whether `name(…)` can be written, without regard to case.
    pub fn is_known(&self, name: &str) -> bool {
        self.known.contains_key(&name.to_lowercase())
    }

    /// What the reference says of the function called `name`.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.known.get(&name.to_lowercase()).map(|at| &self.reference[*at])
    }

    /// The name nearest to a misspelt one.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        nearest(&name.to_lowercase(), self.known.keys().chain(self.users.keys()).map(String::as_str))
    }

    /// What is said of each function, by subject.
    pub fn reference(&self) -> &[Entry] {
        &self.reference
    }

    /// Every name with the place of what is said of it in [`Functions::reference`].
    pub fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.known.iter().map(|(name, at)| (name.as_str(), *at))
    }

    /// The function of the script's own that is called `name`.
    pub fn user(&self, name: &str) -> Option<&Arc<UserFunction>> {
        self.users.get(&name.to_lowercase())
    }

    /// The functions of the script's own.
    pub fn users(&self) -> impl Iterator<Item = (&str, &Arc<UserFunction>)> {
        self.users.iter().map(|(name, function)| (name.as_str(), function))
    }

    /// Adds a function of the script's own.
    pub(crate) fn add_user(&mut self, name: &str, function: UserFunction) {
        self.users.insert(name.to_lowercase(), Arc::new(function));
    }

    /// Takes a function of the script's own away; whether it was there.
    pub(crate) fn remove_user(&mut self, name: &str) -> bool {
        self.users.remove(&name.to_lowercase()).is_some()
    }
}
