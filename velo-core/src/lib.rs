//! The vocabulary of Velo: what every other crate speaks.
//!
//! It holds the batch that flows between operators ([`Batch`]), the types ([`types`]), exact decimals ([`decimal`]), time
//! ([`time`], [`clock`], [`duration`]), where a record is ([`place`]), how far a source has been read ([`offset`]), the
//! traits that a connector implements ([`connector`]), reference tables as others see them ([`lookup`]), typed properties ([`properties`]), the errors of connectors
//! ([`error`]) and what is done about those that pass ([`resilience`]). It knows no SQL, no plan and no operator.

pub mod batch;
pub mod clock;
pub mod connector;
pub mod dead_letter;
pub mod decimal;
pub mod duration;
pub mod error;
pub mod hash;
pub mod lookup;
pub mod offset;
pub mod place;
pub mod progress;
pub mod properties;
pub mod resilience;
pub mod row_kind;
pub mod schema;
pub mod secret;
pub mod suggest;
pub mod table_text;
pub mod time;
pub mod types;

pub use batch::Batch;
pub use clock::Clock;
pub use error::{ConnectorError, Result};
pub use place::{Origin, Place};
pub use row_kind::{RowKind, RowKinds};
pub use time::Watermark;
