//! The functions by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion_expr::{AggregateUDF, ScalarUDF};
use velo_core::Clock;
use velo_core::suggest::nearest;

/// Names of Velo that the library calls otherwise.
const SCALAR_ALIASES: &[(&str, &str)] = &[
    ("len", "character_length"),
    ("ucase", "upper"),
    ("lcase", "lower"),
    ("ifnull", "coalesce"),
    ("element_at", "array_element"),
    ("pow", "power"),
    ("ceiling", "ceil"),
];

/// Functions of the library that speak of its own types, or that it only has as a form of CAST.
const LEFT_OUT: &[&str] =
    &["arrow_cast", "arrow_try_cast", "arrow_typeof", "arrow_metadata", "cast_to_type", "try_cast_to_type"];

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

/// Every function by its lower-case name.
#[derive(Debug, Clone)]
pub struct Functions {
    scalars: BTreeMap<String, Arc<ScalarUDF>>,
    aggregates: BTreeMap<String, Arc<AggregateUDF>>,
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
            .chain(datafusion_functions::all_default_functions())
            .chain(datafusion_functions_nested::all_default_nested_functions());
        for function in all.filter(|function| !LEFT_OUT.contains(&function.name())) {
            for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
                scalars.entry(name.to_lowercase()).or_insert_with(|| Arc::clone(&function));
            }
        }
        for (alias, name) in SCALAR_ALIASES {
            if let Some(function) = scalars.get(*name).cloned() {
                scalars.entry((*alias).to_owned()).or_insert(function);
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
        Self { scalars, aggregates }
    }

    /// The scalar function called `name`, without regard to case.
    pub fn scalar(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        self.scalars.get(&name.to_lowercase())
    }

    /// The library's aggregate called `name`, without regard to case.
    pub fn aggregate(&self, name: &str) -> Option<&Arc<AggregateUDF>> {
        self.aggregates.get(&name.to_lowercase())
    }

    /// The name nearest to a misspelt one.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        nearest(&name.to_lowercase(), self.scalars.keys().chain(self.aggregates.keys()).map(String::as_str))
    }

    /// All scalar functions by name.
    pub fn scalars(&self) -> impl Iterator<Item = (&str, &Arc<ScalarUDF>)> {
        self.scalars.iter().map(|(name, function)| (name.as_str(), function))
    }

    /// All aggregates of the library by name.
    pub fn aggregates(&self) -> impl Iterator<Item = (&str, &Arc<AggregateUDF>)> {
        self.aggregates.iter().map(|(name, function)| (name.as_str(), function))
    }
}
