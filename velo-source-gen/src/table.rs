//! A generator as a table: all rows of one that ends; of an endless one, which is ready at once, what comes after a position.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use velo_core::connector::{ChunkDecoder, Fetch, PartitionReader, SizeHint, TableDataSource, TableItem, TableStream};
use velo_core::offset::{Position, SourceOffset};
use velo_core::progress::Progress;
use velo_core::{Batch, Result};

use crate::stream::{Maker, PARTITION, Reader, Rows, number_of};

/// A generator as a table.
#[derive(Debug)]
pub(crate) struct MadeTable(pub(crate) Rows);

fn offset(number: u64) -> SourceOffset {
    SourceOffset { partitions: BTreeMap::from([(PARTITION.to_owned(), Position::Row(number))]) }
}

/// A load on its way.
struct Load {
    reader: Reader,
    maker: Maker,
    ended: bool,
}

impl MadeTable {
    async fn load(&self, from: u64) -> Result<TableStream> {
        let load = Load { reader: self.0.from(from).await?, maker: self.0.maker(), ended: false };
        let progress = self.0.request.progress.clone();
        let chunks = stream::try_unfold(load, move |mut load| {
            let progress = progress.clone();
            async move {
                if load.ended {
                    return Ok(None);
                }
                let items: Vec<Result<TableItem>> = match load.reader.next().await? {
                    Fetch::Chunk(chunk) => {
                        let batches = load.maker.decode(&chunk)?.batches;
                        let rows: usize = batches.iter().map(Batch::rows).sum();
                        Progress::add(&progress.records, rows as u64);
                        batches.into_iter().map(|batch| Ok(TableItem::Batch(batch))).collect()
                    }
                    Fetch::CaughtUp => Vec::new(),
                    Fetch::End => {
                        load.ended = true;
                        vec![Ok(TableItem::Offset(offset(load.reader.next_number())))]
                    }
                };
                Ok(Some((stream::iter(items), load)))
            }
        });
        Ok(futures::TryStreamExt::try_flatten(chunks).boxed())
    }
}

#[async_trait]
impl TableDataSource for MadeTable {
    async fn bulk_load(&self) -> Result<TableStream> {
        match self.0.generator.total() {
            Some(_) => self.load(0).await,
            None => Ok(stream::iter([Ok(TableItem::Offset(offset(0)))]).boxed()),
        }
    }

    async fn incremental_load(&self, since: SourceOffset) -> Result<TableStream> {
        let number = number_of(since.partitions.get(PARTITION))?;
        self.load(number.or(self.0.generator.total()).unwrap_or(u64::MAX)).await
    }

    async fn get_current_offset(&self) -> Result<SourceOffset> {
        Ok(offset(self.0.generator.total().unwrap_or(0)))
    }

    fn supports_incremental(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        let rows = self.0.generator.total().map(|total| self.0.generator.rows_before(total));
        SizeHint { rows, bytes: None }
    }
}
