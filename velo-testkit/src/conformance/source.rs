//! Cases about reading.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use futures::{FutureExt, StreamExt};
use velo_core::connector::{
    Chunk, ChunkDecoder, Connector, Fetch, PartitionReader, SourceBinding, SourceRequest, StreamSource, TableItem,
    TableStream,
};
use velo_core::error::ErrorKind;
use velo_core::offset::{Position, SourceOffset};
use velo_core::progress::Progress;
use velo_core::{Batch, Clock};

use super::{Harness, Pairs, misspelt, options};

/// A request for all columns, from a source that is not the first of its script.
pub(super) fn request(schema: &SchemaRef) -> SourceRequest {
    SourceRequest { ordinal: 3, ..crate::source_request("conformance", schema, &Clock::system()) }
}

pub(super) fn bind(connector: &dyn Connector, pairs: &Pairs) -> Arc<dyn SourceBinding> {
    let mut options = options(pairs);
    let bound = connector.bind_source(&mut options);
    let errors = options.finish("the source", connector.source_properties());
    bound.filter(|_| errors.is_empty()).unwrap_or_else(|| panic!("the source's properties are right: {errors:?}"))
}

/// All rows of a bounded source.
pub(super) async fn read(connector: &dyn Connector, pairs: &Pairs, schema: &SchemaRef) -> Batch {
    let mut source = bind(connector, pairs).open(request(schema)).await.expect("the source opens");
    let decoder = source.decoder();
    let mut batches = Vec::new();
    for partition in source.partitions().await.expect("partitions are listed") {
        let mut reader = source.reader(partition.number, None).await.expect("the partition is read from its start");
        for chunk in drain(&mut *reader).await {
            batches.extend(decode(&*decoder, &chunk));
        }
    }
    Batch::concat(schema, &batches).expect("batches have the columns asked for")
}

/// The chunks up to the end.
async fn drain(reader: &mut dyn PartitionReader) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    loop {
        match reader.next().await.expect("reading goes well") {
            Fetch::Chunk(chunk) => {
                assert_eq!(chunk.number, chunks.len() as u64, "chunks are numbered from 0 without gaps");
                chunks.push(chunk);
            }
            Fetch::CaughtUp => {}
            Fetch::End => break,
        }
    }
    let again = reader.next().await.expect("an ended partition can be asked again");
    assert!(matches!(again, Fetch::End), "an ended partition stays ended");
    chunks
}

fn decode(decoder: &dyn ChunkDecoder, chunk: &Chunk) -> Vec<Batch> {
    let decoded = decoder.decode(chunk).expect("a chunk of good records is decoded");
    assert_eq!(decoded.errors, [], "good records give no errors");
    decoded.batches
}

async fn open(connector: &dyn Connector, harness: &dyn Harness) -> (Box<dyn StreamSource>, Batch) {
    let rows = harness.put(harness.rows());
    let pairs = harness.filled(&rows);
    let binding = bind(connector, &pairs);
    assert!(binding.bounded(), "the harness gives a bounded source");
    assert!(!binding.describe().is_empty(), "the source says what it reads");
    (binding.open(request(&harness.schema())).await.expect("the source opens"), rows)
}

pub(super) fn unknown_property(connector: &dyn Connector, harness: &dyn Harness) {
    let mut options = options(&harness.filled(&harness.put(1)));
    assert!(connector.bind_source(&mut options).is_some(), "the harness gives good properties");
    misspelt(options, &connector.source_properties(), connector.name());
    if !harness.is_outside() {
        return;
    }
    let mut empty = velo_core::properties::Options::new();
    assert!(connector.bind_source(&mut empty).is_none(), "without properties there is no source");
    assert!(empty.has_errors(), "what is missing is said");
}

pub(super) async fn missing(connector: &dyn Connector, harness: &dyn Harness) {
    let opened = bind(connector, &harness.missing()).open(request(&harness.schema())).await;
    let error = opened.err().expect("a thing that is not there cannot be opened");
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    assert!(error.advice.is_some(), "{error} says what to do");
}

pub(super) async fn read_all(connector: &dyn Connector, harness: &dyn Harness) {
    let (mut source, rows) = open(connector, harness).await;
    let decoder = source.decoder();
    let mut batches = Vec::new();
    for partition in source.partitions().await.expect("partitions are listed") {
        let mut reader = source.reader(partition.number, None).await.expect("the partition is read from its start");
        let mut last = None;
        for chunk in drain(&mut *reader).await {
            for batch in decode(&*decoder, &chunk) {
                let origin = batch.origin.as_ref().expect("a batch of a source knows where it is from");
                assert_eq!((origin.source, origin.partition), (3, partition.number), "origins name their partition");
                for row in 0..batch.rows() {
                    let order = origin.order(row);
                    assert!(last.is_none_or(|last| last < order), "the order grows through a partition");
                    last = Some(order);
                }
                assert!(batch.rows() <= 8_192, "a batch is not longer than asked for");
                batches.push(batch);
            }
        }
    }
    let read = Batch::concat(&harness.schema(), &batches).expect("batches have the columns asked for");
    assert_eq!(read.columns, rows.columns, "what is read is what was put there");
}

pub(super) async fn dropped_futures(connector: &dyn Connector, harness: &dyn Harness) {
    let (mut source, rows) = open(connector, harness).await;
    let decoder = source.decoder();
    let mut read = 0;
    for partition in source.partitions().await.expect("partitions are listed") {
        let mut reader = source.reader(partition.number, None).await.expect("the partition is read from its start");
        loop {
            let Some(fetch) = reader.next().now_or_never() else {
                tokio::task::yield_now().await;
                continue;
            };
            match fetch.expect("reading goes well") {
                Fetch::Chunk(chunk) => read += decode(&*decoder, &chunk).iter().map(Batch::rows).sum::<usize>(),
                Fetch::CaughtUp => {}
                Fetch::End => break,
            }
        }
    }
    assert_eq!(read, rows.rows(), "dropping the future of `next` loses nothing");
}

pub(super) async fn resume(connector: &dyn Connector, harness: &dyn Harness) {
    let (mut source, _) = open(connector, harness).await;
    let decoder = source.decoder();
    for partition in source.partitions().await.expect("partitions are listed") {
        let mut reader = source.reader(partition.number, None).await.expect("the partition is read from its start");
        let whole = drain(&mut *reader).await;
        let decoded: Vec<Vec<Batch>> = whole.iter().map(|chunk| decode(&*decoder, chunk)).collect();
        for (at, chunk) in whole.iter().enumerate() {
            // A checkpoint keeps positions as text.
            let text = serde_json::to_string(&chunk.end).expect("a position can be saved");
            let end: Position = serde_json::from_str(&text).expect("a saved position can be read");
            let mut reader =
                source.reader(partition.number, Some(&end)).await.expect("a partition is read on from a chunk's end");
            let rest: Vec<Batch> =
                drain(&mut *reader).await.iter().flat_map(|chunk| decode(&*decoder, chunk)).collect();
            let expected: Vec<Batch> = decoded[at + 1..].iter().flatten().cloned().collect();
            let one = |batches: &[Batch]| Batch::concat(&harness.schema(), batches).expect("one schema");
            assert_eq!(one(&rest).columns, one(&expected).columns, "resumed behind chunk {at}");
            let places = |batches: &[Batch]| -> Vec<u64> {
                let orders = |batch: &Batch| {
                    let origin = batch.origin.clone().expect("a batch of a source knows where it is from");
                    (0..batch.rows()).map(move |row| origin.order(row)).collect::<Vec<_>>()
                };
                batches.iter().flat_map(orders).collect()
            };
            assert_eq!(places(&rest), places(&expected), "positions after resuming behind chunk {at}");
        }
        let mut reader =
            source.reader(partition.number, Some(&Position::Finished)).await.expect("a finished partition");
        assert!(drain(&mut *reader).await.is_empty(), "a finished partition gives nothing more");
    }
}

async fn load(mut items: TableStream) -> (Vec<Batch>, SourceOffset) {
    let mut batches = Vec::new();
    let mut offset = None;
    while let Some(item) = items.next().await {
        assert!(offset.is_none(), "the offset is the last item");
        match item.expect("loading goes well") {
            TableItem::Batch(batch) => batches.push(batch),
            TableItem::Bad(bad) => panic!("a good record is bad: {}", bad.message),
            TableItem::Offset(reached) => offset = Some(reached),
        }
    }
    (batches, offset.expect("a load ends with the offset it reached"))
}

pub(super) async fn table(connector: &dyn Connector, harness: &dyn Harness, incremental: bool) {
    let rows = harness.put(harness.rows());
    let schema = harness.schema();
    let binding = bind(connector, &harness.filled(&rows));
    let request = request(&schema);
    let progress = Arc::clone(&request.progress);
    let table = binding.open_table(request).await.expect("the table opens");
    let (batches, offset) = load(table.bulk_load().await.expect("the table loads")).await;
    let loaded = Batch::concat(&schema, &batches).expect("batches have the columns asked for");
    assert_eq!(loaded.columns, rows.columns, "a bulk load gives what the stream gives");
    assert_eq!(Progress::get(&progress.records), rows.rows() as u64, "records are counted as they are read");
    assert_eq!(Progress::get(&progress.delivered), 0, "what becomes of them is counted by who loads the table");
    assert_eq!(table.supports_incremental(), incremental, "capabilities and table agree");
    if !incremental {
        return;
    }
    assert_eq!(table.get_current_offset().await.expect("the offset now"), offset, "nothing has changed since the load");
    let text = serde_json::to_string(&offset).expect("an offset can be saved");
    let offset: SourceOffset = serde_json::from_str(&text).expect("a saved offset can be read");
    let (more, again) = load(table.incremental_load(offset.clone()).await.expect("the rest loads")).await;
    assert_eq!(more.iter().map(Batch::rows).sum::<usize>(), 0, "nothing came after the offset");
    assert_eq!(again, offset, "so the offset stays");
}
