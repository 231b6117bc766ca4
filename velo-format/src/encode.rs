//! The way out: batches to bytes.

use arrow_array::RecordBatch;
use velo_core::error::ConnectorError;
use velo_core::row_kind::RowKinds;

/// Writes batches of one schema as bytes.
pub trait Encoder: Send {
    /// What comes before the first row of an output (a CSV header, the `[` of an array).
    fn header(&self, _out: &mut Vec<u8>) {}

    /// Rows of the output were written by another encoder before: what is encoded from now on goes behind them.
    fn resume(&mut self) {}

    /// Appends the rows of `batch`, all inserts.
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ConnectorError>;

    /// Appends the rows of `batch` with the kind of each as a first field `_op`; without kinds all are `+I`.
    fn encode_changes(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<&RowKinds>,
        out: &mut Vec<u8>,
    ) -> Result<(), ConnectorError>;

    /// Bytes that were encoded and are held back until more come (a row group): as the output will have them, and in memory.
    fn pending(&self) -> (usize, usize) {
        (0, 0)
    }

    /// Appends what is held back.
    fn release(&mut self, _out: &mut Vec<u8>) -> Result<(), ConnectorError> {
        Ok(())
    }

    /// What comes behind the last row of an output.
    fn footer(&mut self, _out: &mut Vec<u8>) -> Result<(), ConnectorError> {
        Ok(())
    }
}
