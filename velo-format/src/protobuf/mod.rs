//! Protocol buffers: messages of a `.proto` file, a descriptor set or the schemas of a registry into columns and back.
//!
//! Descriptors come from libraries; the wire format is followed by a plan of our own, because a message that is made as an object
//! first costs several times as much. Which field becomes which column without declared ones: [`ProtoSchema::columns`].
//!
//! | field | column |
//! |---|---|
//! | absent, with presence (`optional`, proto2, messages, `oneof`) | NULL; the default that the field declares, if one |
//! | absent, without presence (proto3) | its default: 0, `false`, the empty text |
//! | enum | the name of its value; the number of one without a name; whole numbers take the number |
//! | `google.protobuf.Timestamp`, `Duration`, wrappers | TIMESTAMP, INTERVAL, the value or NULL |
//! | `confluent.type.Decimal`, `google.type.Decimal` | DECIMAL |
//! | message | STRUCT; JSON by the mapping of Protocol buffers, which `Struct`, `Value` and `Any` have too |
//! | `repeated`, `map` | ARRAY, MAP; empty where absent |
//!
//! Fields may come in any order and twice: the last one counts, and messages are merged. Source:
//! <https://protobuf.dev/programming-guides/encoding/>.

mod columns;
mod decode;
mod encode;
mod made;
mod plan;
mod read;
mod schema;
mod wire;

pub use decode::{ProtoDecodeOptions, ProtoDecoder, ProtoSource};
pub use encode::ProtoEncoder;
pub use made::{proto_of_columns, proto_version_of_columns};
pub use schema::ProtoSchema;
