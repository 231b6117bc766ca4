//! Schemas of batches: the hidden event-time column and its place.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// The name of the hidden event-time column. No declared column can have it: `$` begins no plain identifier, and the planner
/// refuses it as a quoted one.
pub const EVENT_TIME: &str = "$event_time";

/// The type of the hidden event-time column: microseconds since 1970-01-01T00:00:00Z.
pub const EVENT_TIME_TYPE: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// The field of the hidden event-time column.
pub fn event_time_field() -> Field {
    Field::new(EVENT_TIME, EVENT_TIME_TYPE, false)
}

/// The place of the hidden event-time column, which is the last, where there is one.
pub fn event_time_index(schema: &Schema) -> Option<usize> {
    let last = schema.fields().len().checked_sub(1)?;
    (schema.field(last).name() == EVENT_TIME).then_some(last)
}

/// `schema` with the hidden event-time column behind its columns.
pub fn with_event_time(schema: &Schema) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(event_time_field()));
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// `schema` without the hidden event-time column: what a sink sees.
pub fn visible(schema: &SchemaRef) -> SchemaRef {
    match event_time_index(schema) {
        Some(last) => Arc::new(Schema::new_with_metadata(schema.fields()[..last].to_vec(), schema.metadata().clone())),
        None => Arc::clone(schema),
    }
}
