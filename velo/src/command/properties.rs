//! `velo properties`.

use serde_json::json;
use velo_core::properties::PropertySpec;
use velo_plan::catalog::all_specs;

use super::{ListArguments, ListFormat, print_line};
use crate::connectors::registry;
use crate::exit::Outcome;

/// Lists the properties.
pub fn run(arguments: &ListArguments) -> Outcome {
    let mut listed: Vec<(String, &'static PropertySpec)> = Vec::new();
    for (owner, specs) in all_specs() {
        listed.extend(specs.iter().map(|spec| (owner.to_owned(), spec)));
    }
    for connector in registry().iter() {
        let owner = |face: &str| format!("a {} {face}", connector.name());
        listed.extend(connector.source_properties().into_iter().map(|spec| (owner("source"), spec)));
        listed.extend(connector.sink_properties().into_iter().map(|spec| (owner("sink"), spec)));
    }
    for (owner, spec) in listed.iter().filter(|(_, spec)| arguments.matches(spec.key)) {
        let (kind, default) = ((spec.kind)(), (spec.default)());
        match arguments.output {
            ListFormat::Text => {
                let default = default.map(|default| format!(", default {default}")).unwrap_or_default();
                print_line(&format!("{} of {owner} ({kind}{default})\n    {}", spec.key, spec.doc.trim()));
            }
            ListFormat::Json => print_line(
                &json!({
                    "key": spec.key,
                    "aliases": spec.aliases,
                    "of": owner,
                    "kind": kind,
                    "default": default,
                    "text": spec.doc.trim(),
                })
                .to_string(),
            ),
        }
    }
    Ok(())
}
