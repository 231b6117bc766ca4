//! The sink that counts rows and keeps none: what a query costs without its output.

use std::sync::Arc;

use async_trait::async_trait;
use velo_core::connector::{Capabilities, Connector, DirectSink, Sink, SinkBinding, SinkRequest, SourceBinding};
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
impl DirectSink for Blackhole {
    async fn show(&mut self, _batch: Batch) -> Result<()> {
        Ok(())
    }
}
