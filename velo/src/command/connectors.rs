//! `velo connectors`.

use serde_json::json;

use super::{ListArguments, ListFormat, print_line};
use crate::connectors::registry;
use crate::exit::Outcome;

/// Lists the connectors of this build.
pub fn run(arguments: &ListArguments) -> Outcome {
    for connector in registry().iter().filter(|connector| arguments.matches(connector.name())) {
        let can = connector.capabilities();
        match arguments.output {
            ListFormat::Text => {
                let faces = match (can.source, can.sink) {
                    (true, true) => "source, table, sink",
                    (true, false) => "source, table",
                    _ => "sink",
                };
                print_line(&format!("{}  ({faces})  {}", connector.name(), connector.summary()));
            }
            ListFormat::Json => print_line(
                &json!({
                    "name": connector.name(),
                    "summary": connector.summary(),
                    "source": can.source,
                    "sink": can.sink,
                    "replay": can.replay,
                    "deletes": can.deletes,
                    "incremental": can.incremental,
                })
                .to_string(),
            ),
        }
    }
    Ok(())
}
