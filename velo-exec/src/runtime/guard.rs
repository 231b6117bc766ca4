//! What every operator promises, checked around each of them in debug builds and tests, so that a broken promise is found at
//! the operator that broke it.
//!
//! 1. The schema of its batches does not change.
//! 2. Its watermark never goes back.
//! 3. No row comes out behind the watermark that it forwarded, but for late source rows that are only passed on.
//! 4. `-U` stands directly before its `+U`.
//! 5. Nothing but barriers follows the end.

use arrow_schema::SchemaRef;
use velo_core::{Batch, RowKind, Watermark};

use crate::error::{ExecError, Result};
use crate::operator::Element;

/// Watches what comes out of one operator.
#[derive(Debug)]
pub struct Guard {
    /// The operator, for the message.
    operator: String,
    schema: Option<SchemaRef>,
    watermark: Watermark,
    ended: bool,
}

impl Guard {
    /// Watches an operator of this name.
    pub fn new(operator: String) -> Self {
        Self { operator, schema: None, watermark: Watermark::NONE, ended: false }
    }

    /// Looks at one element; the error names the promise.
    pub fn check(&mut self, element: &Element) -> Result<()> {
        if self.ended && !matches!(element, Element::Barrier(_)) {
            return Err(self.broken("something follows the end"));
        }
        match element {
            Element::Batch(batch) => self.check_batch(batch),
            Element::Watermark(watermark) if *watermark < self.watermark => {
                Err(self.broken(&format!("the watermark goes back from {} to {watermark}", self.watermark)))
            }
            Element::Watermark(watermark) => {
                self.watermark = *watermark;
                Ok(())
            }
            Element::End => {
                self.ended = true;
                Ok(())
            }
            Element::InputWatermark(_) => Err(self.broken("the watermark of one input comes out")),
            Element::Idle | Element::Barrier(_) | Element::CaughtUp | Element::Stop => Ok(()),
        }
    }

    fn check_batch(&mut self, batch: &Batch) -> Result<()> {
        let schema = batch.schema();
        match &self.schema {
            Some(known) if *known != schema => return Err(self.broken("the schema changes")),
            Some(_) => {}
            None => self.schema = Some(schema),
        }
        if let Some(times) = batch.event_times() {
            let passed_on = |row: usize| batch.late_by.as_ref().is_some_and(|late_by| late_by.value(row) > 0);
            let behind = (0..times.len()).find(|row| times.value(*row) < self.watermark.0 && !passed_on(*row));
            if let Some(row) = behind {
                let time = velo_core::time::iso8601(times.value(row));
                return Err(self.broken(&format!("a row of {time} comes out behind the watermark {}", self.watermark)));
            }
        }
        let Some(kinds) = &batch.kinds else { return Ok(()) };
        let kinds = kinds.as_slice();
        let alone = kinds.iter().enumerate().find(|(row, kind)| match kind {
            RowKind::UpdateBefore => kinds.get(row + 1) != Some(&RowKind::UpdateAfter),
            RowKind::UpdateAfter => {
                row.checked_sub(1).and_then(|before| kinds.get(before)) != Some(&RowKind::UpdateBefore)
            }
            RowKind::Insert | RowKind::Delete => false,
        });
        match alone {
            Some((_, kind)) => Err(self.broken(&format!("a {} stands alone", kind.symbol()))),
            None => Ok(()),
        }
    }

    fn broken(&self, promise: &str) -> ExecError {
        ExecError::Internal(format!("{}: {promise}", self.operator))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
    use arrow_schema::{DataType, Field, Schema};
    use velo_core::{RowKinds, schema};

    use super::*;

    fn batch(time: i64) -> Batch {
        let schema = Schema::new(vec![Field::new("v", DataType::Int64, false)]);
        let columns =
            vec![Arc::new(Int64Array::from(vec![1])) as _, Arc::new(TimestampMicrosecondArray::from(vec![time])) as _];
        Batch::new(RecordBatch::try_new(schema::with_event_time(&schema), columns).unwrap())
    }

    fn broken(elements: Vec<Element>) -> String {
        let mut guard = Guard::new("op".to_owned());
        let found = elements.iter().try_for_each(|element| guard.check(element));
        found.map_or_else(|error| error.to_string(), |()| "kept".to_owned())
    }

    #[test]
    fn promises() {
        let watermark = |at| Element::Watermark(Watermark(at));
        assert_eq!(
            broken(vec![Element::Batch(batch(5)), watermark(5), Element::Batch(batch(5)), Element::End]),
            "kept"
        );
        assert!(broken(vec![watermark(6), Element::Batch(batch(5))]).contains("behind the watermark"));
        assert!(broken(vec![watermark(6), watermark(5)]).contains("goes back"));
        assert!(broken(vec![Element::End, Element::Idle]).contains("follows the end"));
        let late = Batch { late_by: Some(Int64Array::from(vec![1])), ..batch(5) };
        assert_eq!(broken(vec![watermark(6), Element::Batch(late)]), "kept");
        let alone = Batch { kinds: Some(RowKinds::new(vec![RowKind::UpdateBefore])), ..batch(5) };
        assert!(broken(vec![Element::Batch(alone)]).contains("-U stands alone"));
    }
}
