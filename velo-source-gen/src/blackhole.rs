//! The sink that counts rows and keeps none: what a query costs without its output.

use std::sync::Arc;

use async_trait::async_trait;
use velo_core::connector::{
    Capabilities, CheckpointId, CommitKind, Connector, PreparedCommit, Sink, SinkBinding, SinkRequest, SourceBinding,
};
use velo_core::properties::{Options, PropertySpec};
use velo_core::{Batch, Result};

/// The connector `blackhole`.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlackholeConnector;

impl Connector for BlackholeConnector {
    fn name(&self) -> &'static str {
        "blackhole"
    }

    fn summary(&self) -> &'static str {
        "Counts rows and drops them"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { sink: true, changelog: true, ..Capabilities::default() }
    }

    fn source_properties(&self) -> Vec<&'static PropertySpec> {
        Vec::new()
    }

    fn sink_properties(&self) -> Vec<&'static PropertySpec> {
        Vec::new()
    }

    fn bind_source(&self, options: &mut Options) -> Option<Arc<dyn SourceBinding>> {
        crate::print::only_a_sink(options, self.name());
        None
    }

    fn bind_sink(&self, _options: &mut Options) -> Option<Arc<dyn SinkBinding>> {
        Some(Arc::new(Blackhole))
    }
}

#[derive(Debug)]
struct Blackhole;

#[async_trait]
impl SinkBinding for Blackhole {
    fn describe(&self) -> String {
        "blackhole".to_owned()
    }

    async fn open(&self, _request: SinkRequest) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Self))
    }
}

/// The runtime counts what a sink is given.
#[async_trait]
impl Sink for Blackhole {
    async fn write(&mut self, _batch: Batch) -> Result<()> {
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn prepare(&mut self, id: CheckpointId) -> Result<PreparedCommit> {
        // Nothing is buffered, and nothing is kept that a later run could go on behind.
        Ok(PreparedCommit { checkpoint: id, state: serde_json::Value::Null })
    }

    async fn commit(&mut self, _prepared: PreparedCommit) -> Result<()> {
        Ok(())
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(())
    }

    fn commit_kind(&self) -> CommitKind {
        CommitKind::Direct
    }
}
