//! `velo functions`.

use serde_json::json;
use velo_plan::functions::Functions;

use super::{ListArguments, ListFormat, print_line};
use crate::exit::Outcome;

/// Lists the functions: each with its other names, how it is written, and an example.
pub fn run(arguments: &ListArguments) -> Outcome {
    let functions = Functions::new();
    for (at, entry) in functions.reference().iter().enumerate() {
        let mut names: Vec<&str> = entry.names.clone();
        // The library's other names of the same function.
        names.extend(
            functions.names().filter(|(name, of)| *of == at && !entry.names.contains(name)).map(|(name, _)| name),
        );
        if !names.iter().any(|name| arguments.matches(name)) {
            continue;
        }
        match arguments.output {
            ListFormat::Text => {
                let also = if names.len() > 1 { format!(" (also {})", names[1..].join(", ")) } else { String::new() };
                print_line(&format!("{}{also}", names[0]));
                print_line(&format!("    {}", entry.form));
                print_line(&format!("    {}", entry.text));
                for (example, result) in &entry.examples {
                    print_line(&format!("    {example} = {result}"));
                }
            }
            ListFormat::Json => {
                let examples: Vec<_> = entry
                    .examples
                    .iter()
                    .map(|(example, result)| json!({ "sql": example, "result": result }))
                    .collect();
                let line = json!({
                    "name": names[0],
                    "also": names[1..],
                    "kind": entry.kind.name(),
                    "subject": entry.subject,
                    "syntax": entry.form,
                    "text": entry.text,
                    "examples": examples,
                });
                print_line(&line.to_string());
            }
        }
    }
    Ok(())
}
