//! The connectors of this build: the only place that knows Cargo's features.

use velo_core::connector::Registry;

/// All connectors that were chosen when this binary was built.
pub fn registry() -> Registry {
    #[cfg_attr(
        not(any(feature = "file", feature = "gen", feature = "kafka")),
        expect(unused_mut, reason = "without connectors there is nothing to add")
    )]
    let mut registry = Registry::new();
    #[cfg(feature = "file")]
    registry.add(velo_source_file::connector());
    #[cfg(feature = "gen")]
    for connector in velo_source_gen::connectors() {
        registry.add(connector);
    }
    #[cfg(feature = "kafka")]
    registry.add(velo_source_kafka::connector());
    registry
}
