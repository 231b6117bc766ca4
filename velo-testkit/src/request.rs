//! What a test asks a source for.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use velo_core::Clock;
use velo_core::connector::{DecodeColumn, SourceRequest};
use velo_core::progress::Progress;

/// A request for all columns of a source that declares these.
pub fn source_request(name: &str, declared: &SchemaRef, clock: &Clock) -> SourceRequest {
    SourceRequest {
        name: name.to_owned(),
        ordinal: 0,
        declared: Arc::clone(declared),
        columns: declared.fields().iter().map(DecodeColumn::of).collect(),
        batch_rows: 8_192,
        keep_bytes: false,
        clock: clock.clone(),
        progress: Arc::new(Progress::new()),
    }
}
