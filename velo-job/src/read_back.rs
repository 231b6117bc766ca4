//! Rows read back out of where a sink put them: its own binding says how.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use tokio::sync::mpsc;
use velo_core::connector::{DecodeColumn, Fetch, SourceBinding, SourceRequest};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::progress::Progress;
use velo_core::{Clock, Result};

/// Gives `rows` what a source has that ends, partition by partition, with these columns; any of them may be NULL there.
///
/// # Errors
///
/// Where the source cannot be read, and at the first record that has no such columns.
pub async fn read_back(
    source: &dyn SourceBinding,
    name: &str,
    columns: &Schema,
    rows: mpsc::Sender<RecordBatch>,
) -> Result<()> {
    let fields = columns.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
    let declared: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let request = SourceRequest {
        name: name.to_owned(),
        ordinal: 0,
        columns: declared.fields().iter().map(DecodeColumn::of).collect(),
        declared,
        batch_rows: 8_192,
        keep_bytes: false,
        clock: Clock::system(),
        progress: Arc::new(Progress::default()),
    };
    let mut source = source.open(request).await?;
    let decoder = source.decoder();
    for partition in source.partitions().await? {
        let mut reader = source.reader(partition.number, None).await?;
        loop {
            let chunk = match reader.next().await? {
                Fetch::Chunk(chunk) => chunk,
                Fetch::CaughtUp => continue,
                Fetch::End => break,
            };
            let decoded = decoder.decode(&chunk)?;
            if let Some(bad) = decoded.errors.into_iter().next() {
                let mut error = ConnectorError::new(ErrorKind::Decode, "decoding a record", bad.message);
                error.place = Some(bad.place);
                return Err(error);
            }
            for batch in decoded.batches {
                // Whoever wants no more has a reason that is told elsewhere.
                if rows.send(batch.columns).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
