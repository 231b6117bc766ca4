//! Timestamp formats, event-time extraction over columns, watermark strategies and lateness.
//!
//! A column of numbers, text or typed timestamps becomes microseconds in [`Extractor::extract`], by a [`Format`] that was
//! checked when the statement was planned; each row that has no usable time gives an [`EventTimeError`]. A
//! [`PartitionWatermark`] sees the times of one partition in order and says how far each row is behind; [`Merge`] takes the
//! minimum over partitions or inputs, [`IdleTimer`] says when a silent partition no longer holds it back, and [`late`] has
//! the rules for a row that comes too late. Nothing here reads a clock.

pub mod error;
pub mod extract;
pub mod field_path;
pub mod format;
pub mod fuzz;
pub mod late;
pub mod properties;
pub mod watermark;
pub mod zone;

pub use error::{EventTimeError, EventTimeErrorKind, TimeError};
pub use extract::{Extracted, Extractor};
pub use field_path::FieldPath;
pub use format::{Format, TimestampParser, parse_date, parse_timestamp, parse_timestamp_nanos};
pub use properties::{
    EventTimeProperties, EventTimeSource, LateProperties, LateStrategy, OnError, TimeFormatText, WatermarkProperties,
    WatermarkStrategy,
};
pub use watermark::{Change, IdleTimer, Merge, Now, Observed, PartitionWatermark};
pub use zone::Zone;
