//! Which table needs which: the order in which they can be loaded, and the error where they wait for each other.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use petgraph::Direction;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// The number of a table: its place among all tables of a job, which is its order in the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableNumber(pub usize);

/// A table as far as the order goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its name in the script.
    pub name: String,
    /// Where it was declared, as `line:column`.
    pub place: String,
    /// The tables that must be ready before it can be loaded.
    pub needs: Vec<TableNumber>,
}

/// The tables of a job and what each of them needs; there is no cycle.
#[derive(Debug, Clone)]
pub struct TableGraph {
    /// An edge goes from a table to one that needs it.
    graph: DiGraph<Declared, ()>,
    order: Vec<TableNumber>,
}

/// Why tables have no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Tables need each other; each of them needs the next one, and the last one the first.
    #[error("{}", cycle_message(.0))]
    Cycle(Vec<CycleTable>),
    /// A table needs one that is not there.
    #[error(
        "table '{name}' ({place}) needs table number {needs}, and there are {tables} tables\n  help: declare the table that it reads"
    )]
    Unknown {
        /// The table that needs it.
        name: String,
        /// Where that was declared.
        place: String,
        /// The number that names no table.
        needs: usize,
        /// How many tables there are.
        tables: usize,
    },
}

/// A table of a cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleTable {
    /// Which.
    pub number: TableNumber,
    /// Its name.
    pub name: String,
    /// Where it was declared, as `line:column`.
    pub place: String,
}

impl fmt::Display for CycleTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' ({})", self.name, self.place)
    }
}

fn cycle_message(tables: &[CycleTable]) -> String {
    let help = "help: have one of them read a stream, a file or another table instead";
    match tables {
        [] => "tables need each other".to_owned(),
        [own] => format!("table {own} reads itself, so that it can never be ready\n  {help}"),
        [first, rest @ ..] => {
            let chain: Vec<String> = rest.iter().map(|table| format!(" reads {table}, which")).collect();
            format!(
                "tables wait for each other, so that none of them can ever be ready: {first}{} reads '{}'\n  {help}",
                chain.concat(),
                first.name
            )
        }
    }
}

impl TableGraph {
    /// Orders the tables.
    ///
    /// # Errors
    ///
    /// Where tables need each other, or one that is not there.
    pub fn new(tables: Vec<Declared>) -> Result<Self, GraphError> {
        let count = tables.len();
        let mut graph = DiGraph::with_capacity(count, count);
        for table in &tables {
            graph.add_node(table.clone());
        }
        for (number, table) in tables.iter().enumerate() {
            for needs in table.needs.iter().collect::<BTreeSet<_>>() {
                if needs.0 >= count {
                    let (name, place) = (table.name.clone(), table.place.clone());
                    return Err(GraphError::Unknown { name, place, needs: needs.0, tables: count });
                }
                graph.add_edge(NodeIndex::new(needs.0), NodeIndex::new(number), ());
            }
        }
        if let Some(cycle) = find_cycle(&graph) {
            return Err(GraphError::Cycle(cycle));
        }
        let order = order(&graph);
        Ok(Self { graph, order })
    }

    /// How many tables there are.
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All tables, each behind those that it needs, and otherwise as they were declared.
    pub fn order(&self) -> &[TableNumber] {
        &self.order
    }

    /// What was declared.
    pub fn table(&self, number: TableNumber) -> Option<&Declared> {
        self.graph.node_weight(NodeIndex::new(number.0))
    }

    /// The tables that `number` needs, as they were declared.
    pub fn needs(&self, number: TableNumber) -> Vec<TableNumber> {
        self.neighbours(number, Direction::Incoming)
    }

    /// The tables that need `number`, as they were declared.
    pub fn needed_by(&self, number: TableNumber) -> Vec<TableNumber> {
        self.neighbours(number, Direction::Outgoing)
    }

    /// `number` and everything that it needs, directly or through others.
    pub fn closure(&self, numbers: &[TableNumber]) -> BTreeSet<TableNumber> {
        let mut found: BTreeSet<TableNumber> = BTreeSet::new();
        let mut open = numbers.to_vec();
        while let Some(number) = open.pop() {
            if found.insert(number) {
                open.extend(self.needs(number));
            }
        }
        found
    }

    fn neighbours(&self, number: TableNumber, direction: Direction) -> Vec<TableNumber> {
        let found = self.graph.neighbors_directed(NodeIndex::new(number.0), direction);
        let mut found: Vec<TableNumber> = found.map(|node| TableNumber(node.index())).collect();
        found.sort_unstable();
        found
    }
}

/// Of all tables whose needs come before, always the one that was declared first.
fn order(graph: &DiGraph<Declared, ()>) -> Vec<TableNumber> {
    let missing = |node: NodeIndex| graph.neighbors_directed(node, Direction::Incoming).count();
    let mut missing: Vec<usize> = graph.node_indices().map(missing).collect();
    let mut free: BTreeSet<usize> = (0..missing.len()).filter(|at| missing[*at] == 0).collect();
    let mut order = Vec::with_capacity(missing.len());
    while let Some(next) = free.pop_first() {
        order.push(TableNumber(next));
        for node in graph.neighbors(NodeIndex::new(next)) {
            missing[node.index()] -= 1;
            if missing[node.index()] == 0 {
                free.insert(node.index());
            }
        }
    }
    order
}

/// The shortest cycle through the first table that is in one.
fn find_cycle(graph: &DiGraph<Declared, ()>) -> Option<Vec<CycleTable>> {
    let knots = tarjan_scc(graph).into_iter();
    let first = knots
        .filter(|knot| knot.len() > 1 || knot.iter().any(|node| graph.contains_edge(*node, *node)))
        .filter_map(|knot| knot.into_iter().min())
        .min()?;
    let mut before: Vec<Option<NodeIndex>> = vec![None; graph.node_count()];
    let mut open = VecDeque::from([first]);
    while let Some(node) = open.pop_front() {
        let mut needs: Vec<NodeIndex> = graph.neighbors_directed(node, Direction::Incoming).collect();
        needs.sort_unstable();
        for need in needs {
            if need == first {
                let mut cycle = vec![node];
                while let Some(earlier) = cycle.last().and_then(|last| before[last.index()]) {
                    cycle.push(earlier);
                }
                cycle.reverse();
                let table = |node: NodeIndex| CycleTable {
                    number: TableNumber(node.index()),
                    name: graph[node].name.clone(),
                    place: graph[node].place.clone(),
                };
                return Some(cycle.into_iter().map(table).collect());
            }
            if before[need.index()].is_none() {
                before[need.index()] = Some(node);
                open.push_back(need);
            }
        }
    }
    None
}
