//! A topic as a sink: rows become records, delivered at least once, or in the transactions of the job.

use std::any::Any;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, Schema};
use async_trait::async_trait;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::BaseRecord;
use velo_core::connector::{
    ChangelogMode, CheckpointId, CommitKind, Envelopes, Guarantee, PreparedCommit, Sink, SinkBinding, SinkRequest,
    SourceBinding, TransactionalSystem, Transactions,
};
use velo_core::error::ErrorKind;
use velo_core::row_kind::RowKind;
use velo_core::{Batch, Clock, ConnectorError, Result, schema};
use velo_format::records::{EncodedRows, RecordEncoder};

use crate::cluster::{Client, FULL, Producer, topic_name};
use crate::formats::SinkFormat;
use crate::headers::{Headers, is_header};
use crate::keyed::{names, no_column, place_of};
use crate::properties::{Bounded, KafkaSinkProperties, KafkaSourceProperties, ValueFields};
use crate::source::{KafkaSource, Topics};
use crate::topics;
use crate::transactions::{KafkaSystem, KafkaTransactions};

/// A topic that is written.
#[derive(Debug, Clone)]
pub(crate) struct KafkaSinkBinding {
    pub(crate) system: KafkaSystem,
    pub(crate) properties: KafkaSinkProperties,
    pub(crate) format: SinkFormat,
}

#[async_trait]
impl SinkBinding for KafkaSinkBinding {
    fn describe(&self) -> String {
        format!("{}, topic {} ({})", self.system.cluster.name(), self.system.topic, self.format.name())
    }

    fn transactional(&self) -> Option<&dyn TransactionalSystem> {
        Some(&self.system)
    }

    fn key_columns(&self) -> Vec<String> {
        self.properties.key.as_deref().map(names).unwrap_or_default()
    }

    fn takes_event_time(&self) -> bool {
        true
    }

    fn envelopes(&self) -> Envelopes {
        self.format.envelopes()
    }

    fn read_back(&self) -> Option<Arc<dyn SourceBinding>> {
        // Columns that became headers are not read back as columns.
        if self.properties.headers.is_some() {
            return None;
        }
        let properties = KafkaSourceProperties {
            bounded: Some(Bounded::Latest),
            value_fields: self.properties.value_fields,
            ..KafkaSourceProperties::default()
        };
        // Columns of the key are read from there where they are nowhere else.
        let except_key = self.properties.value_fields == ValueFields::ExceptKey;
        let key_fields = self.properties.key.as_deref().filter(|_| except_key).map(names).unwrap_or_default();
        Some(Arc::new(KafkaSource {
            cluster: self.system.cluster.that_reads(),
            topics: Topics::One(self.system.topic.clone()),
            properties,
            format: self.format.read_back(),
            key_fields,
            created_times: false,
            key: Vec::new(),
        }))
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let parts = self.parts(&request)?;
        if request.mode == ChangelogMode::Upsert && parts.key.is_empty() {
            let message = "rows that replace others need a key";
            return Err(ConnectorError::new(ErrorKind::Configuration, "opening the output", message)
                .advise("name its columns with 'key.fields'"));
        }
        topics::see_to(&self.system.cluster, &self.system.topic, &self.properties).await?;
        let columns = Arc::new(request.schema.project(&parts.values).map_err(|error| not_apart(&error))?);
        let values = self.format.values(&request, &columns, &self.system.topic).await?;
        let keys = match parts.key.is_empty() {
            true => None,
            false => Some(self.format.keys(&request, &parts.key, &self.system.topic).await?),
        };
        let way = match (request.guarantee, request.transactions.clone()) {
            (Guarantee::ExactlyOnce, Some(transactions)) => Way::Transactions(own(transactions)?),
            (Guarantee::ExactlyOnce, None) => {
                let message = "rows are written exactly once in the transactions of checkpoints, and this job has none";
                return Err(ConnectorError::new(ErrorKind::Configuration, "opening the output", message)
                    .advise("set 'checkpoint.dir', or 'delivery.guarantee' = 'at_least_once'"));
            }
            (Guarantee::AtLeastOnce, _) => Way::Direct(self.system.cluster.producer(&[])?),
        };
        Ok(Box::new(KafkaSink {
            topic: self.system.topic.clone(),
            mode: request.mode,
            writes_changes: self.format.writes_changes(request.mode),
            values,
            keys,
            parts,
            way,
            clock: request.clock,
            value: EncodedRows::default(),
            key: EncodedRows::default(),
        }))
    }
}

/// Which columns of a row are in which part of its record.
struct Parts {
    /// Those of the key.
    key: Vec<usize>,
    /// Those of the value.
    values: Vec<usize>,
    /// Those that are headers.
    headers: Vec<usize>,
}

impl KafkaSinkBinding {
    fn parts(&self, request: &SinkRequest) -> Result<Parts> {
        let named = |property: &str, text: &Option<String>| match text {
            Some(text) => columns_named(&request.schema, property, text).map(Some),
            None => Ok(None),
        };
        let key = named("key.fields", &self.properties.key)?.unwrap_or_else(|| request.key.clone());
        let headers = named("headers.fields", &self.properties.headers)?.unwrap_or_default();
        for at in &headers {
            let field = request.schema.field(*at);
            if !is_header(field.data_type()) {
                let message = format!(
                    "'headers.fields' names '{}', which is {}",
                    field.name(),
                    velo_core::types::sql_name(field.data_type())
                );
                return Err(ConnectorError::new(ErrorKind::Configuration, "opening the output", message)
                    .advise("a header is a value that can be a text, or a MAP<STRING, STRING>: CAST it"));
            }
        }
        let except_key = self.properties.value_fields == ValueFields::ExceptKey;
        if except_key && key.is_empty() {
            let message = "'value.fields.include' = 'except_key' means nothing without a key";
            return Err(ConnectorError::new(ErrorKind::Configuration, "opening the output", message)
                .advise("name its columns with 'key.fields', or leave it out"));
        }
        let is_elsewhere = |at: &usize| headers.contains(at) || (except_key && key.contains(at));
        let values = (0..request.schema.fields().len()).filter(|at| !is_elsewhere(at)).collect::<Vec<_>>();
        if values.is_empty() {
            let message = "all columns are in the key or in headers, so that nothing is left for the value";
            return Err(ConnectorError::new(ErrorKind::Configuration, "opening the output", message)
                .advise("leave a column out of 'key.fields' or 'headers.fields'"));
        }
        Ok(Parts { key, values, headers })
    }
}

/// The places of the columns that a property names.
fn columns_named(schema: &Schema, property: &str, text: &str) -> Result<Vec<usize>> {
    let place = |name: &String| {
        place_of(schema, name).ok_or_else(|| {
            let message = no_column(schema, property, name);
            ConnectorError::new(ErrorKind::Configuration, "opening the output", message)
        })
    };
    names(text).iter().map(place).collect()
}

#[cold]
fn not_apart(error: &ArrowError) -> ConnectorError {
    ConnectorError::new(ErrorKind::Encode, "writing", format!("the parts of records: {error}"))
}

/// The job's transactions, which are in a cluster.
fn own(transactions: Arc<dyn Transactions>) -> Result<Arc<KafkaTransactions>> {
    let any: Arc<dyn Any + Send + Sync> = transactions;
    any.downcast().map_err(|_| {
        ConnectorError::new(ErrorKind::Configuration, "opening the output", "the job's transactions are not Kafka's")
    })
}

/// How records go.
enum Way {
    /// At once.
    Direct(Client<Producer>),
    /// In the transaction of the epoch.
    Transactions(Arc<KafkaTransactions>),
}

impl Way {
    fn producer(&self) -> Result<Client<Producer>> {
        match self {
            Self::Direct(producer) => Ok(producer.clone()),
            Self::Transactions(transactions) => transactions.current(),
        }
    }
}

impl Way {
    /// What comes of an error: a transaction that was lost, to whomever, is found out about by the next run, which loses nothing.
    fn error(&self, error: ConnectorError) -> ConnectorError {
        match self {
            Self::Transactions(_) if error.kind == ErrorKind::Fenced => error.temporary(),
            _ => error,
        }
    }
}

struct KafkaSink {
    topic: String,
    mode: ChangelogMode,
    /// Whether values say what happens to a row.
    writes_changes: bool,
    values: Box<dyn RecordEncoder>,
    /// Of records that have a key.
    keys: Option<Box<dyn RecordEncoder>>,
    parts: Parts,
    way: Way,
    clock: Clock,
    value: EncodedRows,
    key: EncodedRows,
}

impl KafkaSink {
    fn encode(&mut self, columns: &RecordBatch, batch: &Batch) -> Result<()> {
        self.value.clear();
        self.key.clear();
        let value = &mut self.value;
        let values = columns.project(&self.parts.values).map_err(|error| not_apart(&error))?;
        if self.writes_changes {
            self.values.encode_changes(&values, batch.kinds.as_ref(), &mut value.bytes, &mut value.ends)?;
        } else {
            self.values.encode_records(&values, &mut value.bytes, &mut value.ends)?;
        }
        if let Some(encoder) = &mut self.keys {
            let keys = columns.project(&self.parts.key).map_err(|error| not_apart(&error))?;
            encoder.encode_records(&keys, &mut self.key.bytes, &mut self.key.ends)?;
        }
        Ok(())
    }

    /// What becomes of a row: a record, one without a value, or nothing.
    fn fate(&self, kind: RowKind, row: usize) -> Result<Fate> {
        if self.writes_changes {
            // Of an update that is one record the first half has no bytes.
            return Ok(if self.value.row(row).is_empty() { Fate::Nothing } else { Fate::Record });
        }
        match (self.mode, kind) {
            (_, RowKind::Insert) | (ChangelogMode::Upsert, RowKind::UpdateAfter) => Ok(Fate::Record),
            (ChangelogMode::Upsert, RowKind::UpdateBefore) => Ok(Fate::Nothing),
            (ChangelogMode::Upsert, RowKind::Delete) => Ok(Fate::Tombstone),
            (_, kind) => {
                let message = format!("a row of the kind {} cannot be written without its kind", kind.symbol());
                Err(ConnectorError::new(ErrorKind::Encode, "writing", message)
                    .advise("set 'changelog.mode' = 'full', or 'upsert' with a key"))
            }
        }
    }

    async fn send(&mut self, batch: &Batch, columns: &RecordBatch, times: Option<&[i64]>) -> Result<()> {
        let producer = self.way.producer()?;
        producer.delivered()?;
        let kinds = batch.kinds.as_ref().map(|kinds| kinds.as_slice());
        let headers = Headers::new(columns, &self.parts.headers)?;
        for row in 0..batch.rows() {
            let fate = self.fate(kinds.map_or(RowKind::Insert, |kinds| kinds[row]), row)?;
            if fate == Fate::Nothing {
                continue;
            }
            let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic);
            if fate == Fate::Record {
                record = record.payload(self.value.row(row));
            }
            if self.keys.is_some() && !is_null(columns, &self.parts.key, row) {
                record = record.key(self.key.row(row));
            }
            if let Some(headers) = headers.of(row) {
                record = record.headers(headers);
            }
            // Kafka has no times before 1970, and what is sent with 0 gets the time of sending.
            if let Some(time) = times.map(|times| times[row].div_euclid(1_000)).filter(|time| *time > 0) {
                record = record.timestamp(time);
            }
            while let Err((error, back)) = producer.client.send(record) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(self.failed(&producer, &error));
                }
                // What was handed over has to go first: this is how a cluster that is behind holds the job back.
                self.clock.sleep(FULL).await;
                producer.delivered()?;
                record = back;
            }
        }
        Ok(())
    }

    fn failed(&self, producer: &Client<Producer>, error: &KafkaError) -> ConnectorError {
        producer.failed("writing", &topic_name(&self.topic), error)
    }
}

/// Whether a row has no key: one column that is NULL. In several each may be.
fn is_null(columns: &RecordBatch, key: &[usize], row: usize) -> bool {
    matches!(key, [only] if columns.column(*only).is_null(row))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Record,
    Tombstone,
    Nothing,
}

/// The visible columns of a batch, and its event times.
fn apart(batch: &Batch) -> Result<(RecordBatch, Option<Vec<i64>>)> {
    let Some(time) = schema::event_time_index(batch.columns.schema_ref()) else {
        return Ok((batch.columns.clone(), None));
    };
    let times = batch.columns.column(time).as_primitive_opt::<TimestampMicrosecondType>();
    let times = times.filter(|times| times.null_count() == 0).map(|times| times.values().to_vec());
    let visible = (0..time).collect::<Vec<_>>();
    let columns = batch.columns.project(&visible).map_err(|error| not_apart(&error))?;
    Ok((columns, times))
}

#[async_trait]
impl Sink for KafkaSink {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        let (columns, times) = apart(&batch)?;
        self.encode(&columns, &batch)?;
        let sent = self.send(&batch, &columns, times.as_deref()).await;
        sent.map_err(|error| self.way.error(error))
    }

    async fn flush(&mut self) -> Result<()> {
        // librdkafka sends by itself after `linger.ms`.
        match &self.way {
            Way::Direct(producer) => producer.delivered(),
            Way::Transactions(_) => Ok(()),
        }
    }

    async fn prepare(&mut self, id: CheckpointId) -> Result<PreparedCommit> {
        if let Ok(producer) = self.way.producer() {
            producer.flush().await.map_err(|error| self.way.error(error))?;
        }
        Ok(PreparedCommit { checkpoint: id, state: serde_json::Value::Null })
    }

    async fn commit(&mut self, _prepared: PreparedCommit) -> Result<()> {
        Ok(())
    }

    async fn abort(&mut self) -> Result<()> {
        // What is not committed is aborted by whoever takes over, or by the cluster in time.
        Ok(())
    }

    fn commit_kind(&self) -> CommitKind {
        match self.way {
            Way::Direct(_) => CommitKind::Direct,
            Way::Transactions(_) => CommitKind::Atomic,
        }
    }
}
