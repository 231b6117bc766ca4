//! Timestamp formats, event-time extraction over columns, watermark strategies and lateness.
