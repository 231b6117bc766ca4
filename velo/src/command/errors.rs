//! `velo errors`.

use serde_json::json;

use super::{ListArguments, ListFormat, print_line};
use crate::error_pages;
use crate::exit::Outcome;

/// Lists the codes of errors, with what to do about each.
pub fn run(arguments: &ListArguments) -> Outcome {
    for page in error_pages::pages().iter().filter(|page| arguments.matches(page.code)) {
        match arguments.output {
            ListFormat::Text => print_line(&format!("{}\n    {} {}", page.code, page.meaning, page.remedy)),
            ListFormat::Json => print_line(
                &json!({
                    "code": page.code,
                    "found": page.found,
                    "meaning": page.meaning,
                    "remedy": page.remedy,
                    "example": page.example,
                })
                .to_string(),
            ),
        }
    }
    Ok(())
}
