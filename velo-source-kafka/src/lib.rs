//! Kafka topics as streams, tables and sinks: the connector `kafka`.
//!
//! [`librdkafka`] knows the properties of the C client, which pass through; a [`cluster`] makes clients of it. A [`source`] finds out which
//! partitions there are and where they begin, and a [`stream`] assigns them itself, from positions that checkpoints keep: no group is
//! joined, so that no rebalance moves anything. [`reader`] takes what is ready on a thread for each partition, [`frames`] is what belongs
//! to records beside their values, and [`decode`] makes rows of both, [`keyed`] the columns of their keys; [`lag`] is how far it is
//! behind, and [`lost`] what becomes of positions that are no longer there. A [`sink`] writes at least once, or in the [`transactions`] of the job, whose commit is the commit point of a checkpoint;
//! [`headers`] are columns of its rows. [`replay`] sends records back.

mod cluster;
mod decode;
mod error;
mod formats;
mod frames;
mod headers;
mod keyed;
mod lag;
mod librdkafka;
mod lost;
pub mod properties;
mod reader;
mod replay;
mod sink;
mod source;
mod stream;
mod topics;
mod transactions;

use std::sync::Arc;

use regex::Regex;
use velo_core::connector::{Capabilities, Connector, SinkBinding, SourceBinding};
use velo_core::properties::{Options, Properties, PropertyError, PropertySpec};

use crate::cluster::Cluster;
use crate::formats::{SinkFormat, SourceFormat};
use crate::librdkafka::Role;
use crate::properties::{ClusterProperties, KafkaSinkProperties, KafkaSourceProperties};
use crate::sink::KafkaSinkBinding;
use crate::source::{KafkaSource, Topics};
use crate::transactions::KafkaSystem;

/// The connector `kafka`.
pub fn connector() -> Arc<dyn Connector> {
    Arc::new(KafkaConnector)
}

/// Reads and writes topics.
#[derive(Debug, Clone, Copy, Default)]
pub struct KafkaConnector;

impl Connector for KafkaConnector {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn summary(&self) -> &'static str {
        "Kafka topics: partitions assigned by Velo, positions in checkpoints, transactions as their commit point"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source: true,
            sink: true,
            changelog: true,
            transactions: true,
            incremental: true,
            deletes: true,
            replay: true,
            ordered: true,
            record_time: true,
        }
    }

    fn source_properties(&self) -> Vec<&'static PropertySpec> {
        ClusterProperties::SPECS.iter().chain(KafkaSourceProperties::SPECS).chain(SourceFormat::specs()).collect()
    }

    fn sink_properties(&self) -> Vec<&'static PropertySpec> {
        ClusterProperties::SPECS.iter().chain(KafkaSinkProperties::SPECS).chain(SinkFormat::specs()).collect()
    }

    fn bind_source(&self, options: &mut Options) -> Option<Arc<dyn SourceBinding>> {
        let before = options.has_errors();
        let properties = KafkaSourceProperties::read(options);
        let format = SourceFormat::read(options);
        let cluster = cluster(options, Role::Consumer, &self.source_properties());
        let topics = topics(options, &properties);
        let (cluster, topics, format) = (cluster?, topics?, format?);
        let key_fields = properties.key.as_deref().map(keyed::names).unwrap_or_default();
        let source =
            KafkaSource { cluster, topics, properties, format, key_fields, created_times: false, key: Vec::new() };
        (before || !options.has_errors()).then(|| Arc::new(source) as Arc<dyn SourceBinding>)
    }

    fn bind_sink(&self, options: &mut Options) -> Option<Arc<dyn SinkBinding>> {
        let before = options.has_errors();
        let properties = KafkaSinkProperties::read(options);
        let format = SinkFormat::read(options);
        let cluster = cluster(options, Role::Producer, &self.sink_properties());
        let topic = properties.topic.clone().filter(|topic| !topic.trim().is_empty());
        if topic.is_none() {
            options.missing("topic", "the topic to write");
        }
        let (cluster, topic, format) = (cluster?, topic?, format?);
        let system = KafkaSystem { cluster, topic, properties: properties.clone() };
        let sink = KafkaSinkBinding { system, properties, format };
        (before || !options.has_errors()).then(|| Arc::new(sink) as Arc<dyn SinkBinding>)
    }
}

fn cluster(options: &mut Options, role: Role, own: &[&'static PropertySpec]) -> Option<Cluster> {
    let servers = ClusterProperties::read(options).servers.or_else(|| {
        // As Flink's scripts write it.
        options.read::<String>("properties.bootstrap.servers", &["metadata.broker.list"])
    });
    let passed = librdkafka::take(options, role, own);
    let servers = servers.filter(|servers| !servers.trim().is_empty());
    if servers.is_none() {
        options.missing("bootstrap.servers", "the brokers, such as localhost:9092");
    }
    Some(Cluster::new(servers?, passed))
}

fn topics(options: &mut Options, properties: &KafkaSourceProperties) -> Option<Topics> {
    let mut error = |key: &str, message: String, help: &str| {
        let (key, help) = (key.to_owned(), Some(help.to_owned()));
        options.error(PropertyError { key, origin: None, message, help });
    };
    let topic = properties.topic.as_deref().map(str::trim).filter(|topic| !topic.is_empty());
    match (topic, &properties.pattern) {
        (Some(_), Some(_)) => {
            let message = "'topic' and 'topic.pattern' exclude each other".to_owned();
            error("topic.pattern", message, "leave one of them out");
            None
        }
        (Some(topic), None) => Some(Topics::One(topic.to_owned())),
        (None, Some(pattern)) => match Regex::new(pattern) {
            Ok(pattern) => Some(Topics::Pattern(pattern)),
            Err(wrong) => {
                error("topic.pattern", format!("'{pattern}' is no regular expression: {wrong}"), "trades-.* is one");
                None
            }
        },
        (None, None) => {
            options.missing("topic", "the topic to read; or 'topic.pattern' for several");
            None
        }
    }
}
