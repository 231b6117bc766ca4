//! `velo functions`.

use serde_json::json;
use velo_plan::functions::Functions;

use super::{ListArguments, ListFormat, print_line};
use crate::exit::Outcome;

/// Lists the functions.
pub fn run(arguments: &ListArguments) -> Outcome {
    let functions = Functions::new();
    let scalars = functions.scalars().map(|(name, function)| (name, "scalar", function.documentation().cloned()));
    let aggregates =
        functions.aggregates().map(|(name, function)| (name, "aggregate", function.documentation().cloned()));
    for (name, kind, documentation) in scalars.chain(aggregates).filter(|(name, ..)| arguments.matches(name)) {
        let (syntax, text) = match &documentation {
            Some(documentation) => (documentation.syntax_example.clone(), first_line(&documentation.description)),
            None => (String::new(), String::new()),
        };
        match arguments.output {
            ListFormat::Text => print_line(&format!("{name:<28} {kind:<10} {text}")),
            ListFormat::Json => {
                print_line(&json!({ "name": name, "kind": kind, "syntax": syntax, "text": text }).to_string())
            }
        }
    }
    Ok(())
}

fn first_line(text: &str) -> String {
    text.trim().lines().next().unwrap_or_default().to_owned()
}
