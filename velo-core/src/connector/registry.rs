//! The connectors that this build has, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Connector;
use crate::suggest::nearest;

/// Connectors by name.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<&'static str, Arc<dyn Connector>>);

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Registry {
    /// No connectors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a connector; a later one of the same name takes the place of an earlier one.
    pub fn add(&mut self, connector: Arc<dyn Connector>) -> &mut Self {
        self.0.insert(connector.name(), connector);
        self
    }

    /// The connector called `name`, without regard to case.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Connector>> {
        self.0.get(name.to_ascii_lowercase().as_str())
    }

    /// All connectors, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.0.values()
    }

    /// The name nearest to a misspelt one.
    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.0.keys().copied())
    }
}
