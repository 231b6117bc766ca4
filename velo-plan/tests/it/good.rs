//! Scripts that are right, side by side with their plans.

use std::fmt::Write;
use std::fs;

use velo_core::types;
use velo_plan::PlannedScript;
use velo_sql::render;

use crate::{golden, world};

#[test]
fn plans_are_as_the_golden_files_say() {
    let mut count = 0;
    for path in golden::files("good", "txt") {
        let text = fs::read_to_string(&path).unwrap();
        let (prelude, cases) = golden::cases(&text);
        let mut actual = prelude.map(|prelude| format!("{prelude}====\n")).unwrap_or_default();
        for input in cases {
            let script = format!("{}{input}", prelude.unwrap_or_default());
            let planned = world::plan(&script, true);
            let reports = render(&planned.diagnostics, "script.sql", &script);
            assert!(planned.is_runnable(), "{}\n{reports}", path.display());
            write!(actual, "{input}----\n{}{}{}", reports, planned.plan.text(), outputs(&planned)).unwrap();
            for shown in &planned.shown {
                writeln!(actual, "{}", shown.title).unwrap();
                for row in std::iter::once(&shown.header).filter(|header| !header.is_empty()).chain(&shown.rows) {
                    writeln!(actual, "  {}", row.join(" | ").trim_end()).unwrap();
                }
            }
            actual += "====\n";
            count += 1;
        }
        golden::check(&path, &actual);
    }
    assert!(count >= 35, "{count}");
}

#[test]
fn the_optimiser_changes_no_output() {
    for path in golden::files("good", "txt") {
        let text = fs::read_to_string(&path).unwrap();
        let (prelude, cases) = golden::cases(&text);
        for input in cases {
            let script = format!("{}{input}", prelude.unwrap_or_default());
            let (with, without) = (world::plan(&script, true), world::plan(&script, false));
            assert!(without.is_runnable(), "{input}");
            assert_eq!(outputs(&with), outputs(&without), "{input}");
            let schemas =
                |planned: &PlannedScript| planned.plan.nodes.iter().map(|node| node.schema.clone()).collect::<Vec<_>>();
            assert_eq!(schemas(&with), schemas(&without), "{input}");
        }
    }
}

/// The columns of every sink with their types, and its key.
fn outputs(planned: &PlannedScript) -> String {
    let mut out = String::new();
    for sink in &planned.plan.sinks {
        let columns = sink.schema.fields().iter().map(|field| {
            let null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!("{} {}{null}", field.name(), types::sql_name_of(field))
        });
        write!(out, "{}: {}", sink.name, columns.collect::<Vec<_>>().join(", ")).unwrap();
        if !sink.key.is_empty() {
            let key: Vec<&str> = sink.key.iter().map(|at| sink.schema.field(*at).name().as_str()).collect();
            write!(out, "; key {}", key.join(", ")).unwrap();
        }
        out.push('\n');
    }
    out
}
