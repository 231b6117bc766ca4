//! Bytes to Arrow batches and back: JSON and CSV, exact and with places.
