//! The properties of records that stand one by one: their schemas, and the registry that has them.

use velo_core::secret::Secret;

use crate::properties::Format;

velo_core::properties! {
    /// How the schema registry is asked (`avro`, `debezium_avro` and `protobuf`).
    pub struct RegistryProperties {
        /// The schema registry's URL (`https://HOST:8081`), or several with commas between them: where one does not answer, the next is
        /// asked. Records then begin with the id of their schema, as Confluent's serializers write them. Without it the schema is in
        /// `avro.schema.file` or `protobuf.schema.file`, and nothing stands before a record.
        "schema.registry.url" => url: Option<String>,
        /// The user of the schema registry (HTTP basic authentication).
        "schema.registry.username" => username: Option<String>,
        /// The password of that user.
        "schema.registry.password" => password: Option<Secret>,
        /// A bearer token for the schema registry, instead of a user.
        "schema.registry.token" => token: Option<Secret>,
        /// A file with the certificates (PEM) of those who sign the registry's, beside those of the system.
        "schema.registry.ca" => ca: Option<String>,
        /// The subject under which the schema of values is registered. Default: by `schema.registry.subject.strategy`.
        "schema.registry.subject" => subject: Option<String>,
        /// Whether a sink registers the schema of its columns where the subject lacks it. Else it writes by the subject's latest schema,
        /// and is refused where the columns do not fit that.
        "schema.registry.auto_register" | "auto.register" => auto_register: bool = true,
        /// How a subject is named: `topic` (`TOPIC-value`, `TOPIC-key`), `record` (the full name of the record or message) or `topic_record`
        /// (`TOPIC-RECORD`).
        "schema.registry.subject.strategy" => strategy: SubjectStrategy = SubjectStrategy::Topic,
    }
}

velo_core::properties! {
    /// Schemas in files.
    pub struct SchemaFileProperties {
        /// A file with an Avro schema (`.avsc`). Without a registry all records are written by it; with one it is the reader's schema: its
        /// aliases and the defaults of its fields count for records that were written by others.
        "avro.schema.file" => avro: Option<String>,
        /// A file that describes Protobuf messages: a `.proto` file, whose imports are looked for beside it, or a descriptor set (`protoc
        /// --include_imports --descriptor_set_out`).
        "protobuf.schema.file" => protobuf: Option<String>,
        /// The full name of the Protobuf message that a record is (`shop.Order`). It may be left out where the file has one message
        /// alone, or where the schemas come from a registry, whose records say it.
        "protobuf.message" => message: Option<String>,
    }
}

velo_core::properties! {
    /// How the keys of records are values.
    pub struct KeyProperties {
        /// The form of the keys: `json`, `csv`, `raw`, `avro` or `protobuf`. Default: that of the values where the key is columns, as JSON
        /// where those are Debezium's envelopes.
        "key.format" => format: Option<Format>,
        /// As `avro.schema.file`, for keys.
        "key.avro.schema.file" => avro: Option<String>,
        /// As `protobuf.schema.file`, for keys.
        "key.protobuf.schema.file" => protobuf: Option<String>,
        /// As `protobuf.message`, for keys.
        "key.protobuf.message" => message: Option<String>,
        /// The subject under which the schema of keys is registered. Default: by `schema.registry.subject.strategy`.
        "key.schema.registry.subject" => subject: Option<String>,
    }
}

/// How the subject of a schema is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SubjectStrategy {
    /// By the topic, and whether it is of values or of keys.
    #[default]
    Topic,
    /// By the full name of the record.
    Record,
    /// By both.
    TopicRecord,
}

velo_core::property_choices!(SubjectStrategy {
    Topic = "topic" | "topic_name",
    Record = "record" | "record_name",
    TopicRecord = "topic_record" | "topic_record_name",
});

impl SubjectStrategy {
    /// The subject of a schema; `None` where a name is needed that is not known.
    pub fn subject(self, topic: Option<&str>, is_key: bool, record: Option<&str>) -> Option<String> {
        match self {
            Self::Topic => topic.map(|topic| format!("{topic}-{}", if is_key { "key" } else { "value" })),
            Self::Record => record.map(str::to_owned),
            Self::TopicRecord => topic.zip(record).map(|(topic, record)| format!("{topic}-{record}")),
        }
    }
}
