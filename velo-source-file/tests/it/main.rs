//! Files read, followed and written through the connector, as the runtime does it.

mod conformance;
mod harness;
mod sink;
mod source;
mod table;
mod watch;
