//! The order of tables, and cycles.

use velo_tables::{Declared, GraphError, TableGraph, TableNumber};
use velo_testkit::Random;

fn graph(tables: &[(&str, &[usize])]) -> Result<TableGraph, GraphError> {
    let declared = |(at, (name, needs)): (usize, &(&str, &[usize]))| Declared {
        name: (*name).to_owned(),
        place: format!("{}:14", at * 3 + 1),
        needs: needs.iter().copied().map(TableNumber).collect(),
    };
    TableGraph::new(tables.iter().enumerate().map(declared).collect())
}

#[test]
fn cycles_name_their_tables_in_order() {
    let message = |tables: &[(&str, &[usize])]| graph(tables).unwrap_err().to_string();
    assert_eq!(
        message(&[("a", &[]), ("b", &[1, 0])]),
        "table 'b' (4:14) reads itself, so that it can never be ready\n  \
         help: have one of them read a stream, a file or another table instead"
    );
    assert_eq!(
        message(&[("a", &[1]), ("b", &[0])]),
        "tables wait for each other, so that none of them can ever be ready: 'a' (1:14) reads 'b' (4:14), which reads 'a'\n  \
         help: have one of them read a stream, a file or another table instead"
    );
    let three = message(&[("x", &[]), ("a", &[0, 3]), ("b", &[1, 4]), ("c", &[2]), ("y", &[])]);
    assert!(three.contains("'a' (4:14) reads 'c' (10:14), which reads 'b' (7:14), which reads 'a'"), "{three}");
}

#[test]
fn a_table_that_is_not_there() {
    let error = graph(&[("a", &[7])]).unwrap_err();
    assert!(error.to_string().contains("'a' (1:14) needs table number 7, and there are 1 tables"), "{error}");
}

#[test]
fn no_tables() {
    let none = graph(&[]).unwrap();
    assert!(none.is_empty() && none.order().is_empty());
}

/// Any graph: either an order in which needs come first, and the first declared of those that can be next; or a real cycle.
#[test]
fn an_order_or_a_cycle() {
    let (mut orders, mut cycles) = (0, 0);
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let count = 1 + random.below(12) as usize;
        let edges = random.below(count as u64 * 2);
        let mut needs = vec![Vec::new(); count];
        for _ in 0..edges {
            needs[random.below(count as u64) as usize].push(random.below(count as u64) as usize);
        }
        let names: Vec<String> = (0..count).map(|at| format!("t{at}")).collect();
        let tables: Vec<(&str, &[usize])> =
            names.iter().map(String::as_str).zip(needs.iter().map(Vec::as_slice)).collect();
        match graph(&tables) {
            Ok(graph) => {
                let mut done = vec![false; count];
                for number in graph.order() {
                    let free = |at: &usize| !done[*at] && needs[*at].iter().all(|need| done[*need]);
                    assert_eq!((0..count).find(free), Some(number.0), "seed {seed}");
                    done[number.0] = true;
                }
                assert!(done.iter().all(|done| *done), "seed {seed}");
                orders += 1;
            }
            Err(GraphError::Cycle(cycle)) => {
                for (at, table) in cycle.iter().enumerate() {
                    let next = cycle[(at + 1) % cycle.len()].number.0;
                    assert!(needs[table.number.0].contains(&next), "seed {seed}: {cycle:?}");
                }
                let mut numbers: Vec<usize> = cycle.iter().map(|table| table.number.0).collect();
                numbers.sort_unstable();
                numbers.dedup();
                assert_eq!(numbers.len(), cycle.len(), "seed {seed}: each once");
                cycles += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(orders > 300 && cycles > 300, "{orders} orders, {cycles} cycles");
}
