//! Rows that come by the clock: as many as are due, and no others.

use std::time::Duration;

use futures::FutureExt;
use velo_core::connector::Fetch;
use velo_core::offset::Position;
use velo_core::{Batch, Clock};
use velo_source_gen::{DatagenConnector, NexmarkConnector};

use crate::reading::{Reading, bind, request, schema};

/// The rows that are due now.
fn due(reading: &mut Reading) -> usize {
    let mut rows = 0;
    while let Some(fetch) = reading.reader.next().now_or_never() {
        match fetch.unwrap() {
            Fetch::Chunk(chunk) => {
                rows += reading.decoder.decode(&chunk).unwrap().batches.iter().map(Batch::rows).sum::<usize>();
                assert!(matches!(chunk.end, Position::Row(_)));
            }
            Fetch::CaughtUp => {}
            Fetch::End => break,
        }
    }
    rows
}

#[tokio::test]
async fn rows_come_when_they_are_due() {
    let clock = Clock::manual(1_000_000);
    let binding = bind(&DatagenConnector, &[("rows.per.second", "10"), ("number.of.rows", "25")]);
    assert!(binding.bounded());
    let mut reading = Reading::open(&binding, request(&schema("n:INT"), 8_192, &clock), Some(3)).await;
    assert_eq!(due(&mut reading), 1, "the first comes at once");
    clock.advance(Duration::from_millis(99));
    assert_eq!(due(&mut reading), 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(due(&mut reading), 1);
    clock.advance(Duration::from_millis(1_000));
    assert_eq!(due(&mut reading), 10, "what was missed is made up for");
    clock.advance(Duration::from_secs(60));
    assert_eq!(due(&mut reading), 10, "and no more than there are");
}

#[tokio::test]
async fn a_rate_that_is_no_whole_number_of_microseconds_is_kept() {
    let clock = Clock::manual(0);
    let binding = bind(&NexmarkConnector, &[("rows.per.second", "300000")]);
    assert!(!binding.bounded());
    let schema = binding.infer_schema().await.unwrap();
    let mut reading = Reading::open(&binding, request(&schema, 8_192, &clock), None).await;
    let mut rows = 0;
    for _ in 0..100 {
        rows += due(&mut reading);
        clock.advance(Duration::from_millis(10));
    }
    rows += due(&mut reading);
    assert_eq!(rows, 300_001);
}
