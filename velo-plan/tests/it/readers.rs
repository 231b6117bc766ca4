//! Random scripts of tables in any order: every statement that waits for a table can start behind those that feed it, and what
//! is read twice gives what it gave before.

use std::collections::{BTreeMap, BTreeSet};

use velo_plan::plan::{NodeKind, Plan, TableFeed, TableId};
use velo_sql::render;
use velo_testkit::Random;

use crate::world;

/// A script of streams, tables and queries; every table reads streams and tables that were made before it, and then all
/// statements but the streams are shuffled.
fn script(random: &mut Random) -> String {
    let streams = 1 + random.below(3);
    let mut out = String::new();
    for stream in 0..streams {
        let ends = random.below(2) == 0;
        out += &format!("CREATE STREAM s{stream} (k BIGINT, v BIGINT) WITH (connector = 'rows', ends = '{ends}');\n");
    }
    let (tables, queries) = (random.below(7), 1 + random.below(4));
    let mut statements = Vec::new();
    for at in 0..tables + queries {
        let stream = random.below(streams);
        let mut from = format!("s{stream} s");
        let known = at.min(tables);
        let joins = if known == 0 { 0 } else { random.below(3) };
        for join in 0..joins {
            let table = random.below(known);
            from += &format!(" LEFT JOIN t{table} j{join} ON s.k = j{join}.k");
        }
        let grouped = "SELECT s.k, COUNT(*) AS n";
        statements.push(match at < tables {
            true if random.below(4) == 0 => {
                format!("CREATE TABLE t{at} (k BIGINT, n BIGINT) WITH (connector = 'rows');\n")
            }
            true => format!("CREATE TABLE t{at} AS {grouped} FROM {from} GROUP BY s.k;\n"),
            false => format!("{grouped} FROM {from} GROUP BY s.k;\n"),
        });
    }
    while !statements.is_empty() {
        out += &statements.swap_remove(random.below(statements.len() as u64) as usize);
    }
    out
}

/// The connected part of each node.
fn parts(plan: &Plan) -> Vec<usize> {
    let mut part: Vec<usize> = (0..plan.nodes.len()).collect();
    loop {
        let before = part.clone();
        for (at, node) in plan.nodes.iter().enumerate() {
            for input in &node.inputs {
                let least = part[at].min(part[input.0]);
                (part[at], part[input.0]) = (least, least);
            }
        }
        if part == before {
            return part;
        }
    }
}

fn check(plan: &Plan, script: &str) {
    let parts = parts(plan);
    let mut sinks: BTreeMap<TableId, usize> = BTreeMap::new();
    for (at, node) in plan.nodes.iter().enumerate() {
        assert!(node.inputs.iter().all(|input| input.0 < at), "an input stands behind its consumer\n{script}");
        if let NodeKind::TableSink(table) = node.kind {
            let TableFeed::Query(feed) = plan.tables[table.0].feed else { panic!("{script}") };
            assert_eq!(feed, node.inputs[0], "{script}");
            assert_eq!(sinks.insert(table, parts[at]), None, "a table has two sinks\n{script}");
        }
    }
    // Parts that are started one after the other, each when all that feed its tables were.
    let mut left: BTreeSet<usize> = parts.iter().copied().collect();
    let mut started = BTreeSet::new();
    while !left.is_empty() {
        let ready: Vec<usize> = left
            .iter()
            .copied()
            .filter(|part| {
                let of_part = plan.nodes.iter().zip(&parts).filter(|(_, of)| *of == part).map(|(node, _)| node);
                of_part.filter_map(|node| sinks.get(&node.kind.reads()?)).all(|feeds| started.contains(feeds))
            })
            .collect();
        assert!(!ready.is_empty(), "these wait for each other\n{script}\n{}", plan.text());
        for part in ready {
            left.remove(&part);
            started.insert(part);
        }
    }
    // Each source is read by one node.
    let mut read = BTreeSet::new();
    for node in &plan.nodes {
        if let NodeKind::Source(source) = node.kind {
            assert!(read.insert(source), "two nodes read one reader\n{script}");
        }
    }
    let places: Vec<u32> = plan.tables.iter().map(|table| table.place.start).collect();
    assert!(places.is_sorted(), "tables are in the order of the script\n{script}");
}

#[test]
fn no_statement_waits_for_itself() {
    let mut separated = 0;
    for seed in 0..150 {
        let script = script(&mut Random::new(seed));
        let planned = world::plan(&script, true);
        assert!(
            planned.is_runnable(),
            "seed {seed}\n{script}\n{}",
            render(&planned.diagnostics, "script.sql", &script)
        );
        check(&planned.plan, &script);
        let streams = script.matches("CREATE STREAM").count();
        separated += usize::from(planned.plan.sources.len() > streams);
    }
    assert!(separated > 15, "{separated} scripts had a source that is read twice");
}
