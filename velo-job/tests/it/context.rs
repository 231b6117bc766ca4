//! What scripts are planned with in tests and benches.

use std::path::Path;

use velo_core::connector::Registry;
use velo_job::PlanContext;

/// The connectors of files and of Kafka, and the generators.
pub fn context(folder: &Path) -> PlanContext {
    let mut registry = Registry::new();
    registry.add(velo_source_file::connector());
    registry.add(velo_source_kafka::connector());
    for connector in velo_source_gen::connectors() {
        registry.add(connector);
    }
    PlanContext::new(registry, folder)
}
