//! What is done to a plan when all its statements are in it.

use velo_sql::Diagnostic;

use crate::codes;
use crate::plan::{NodeKind, TableId, TableNode};
use crate::planner::Planner;
use crate::rules::{self, ReadTwice, Statement};

impl Planner<'_> {
    /// Runs the passes over the plan, and tells what they find.
    pub(crate) fn optimise(&mut self) {
        for ReadTwice { source, first, waiting } in rules::apply(&mut self.plan, self.context) {
            let place = |statement: Statement| match statement {
                Statement::Sink(sink) => self.sink_places.get(&sink).copied().unwrap_or_default(),
                Statement::Table(table) => self.plan.tables[table.0].place,
            };
            let (first, waiting) = (place(first), place(waiting));
            let message = format!(
                "this waits for a table that '{source}' feeds, and reads '{source}' itself from the beginning, which cannot be read twice"
            );
            self.error(
                Diagnostic::error(codes::CONFLICT, waiting, message)
                    .also(first, format!("this reads '{source}' first"))
                    .help("write one of the two from a stream that can be read again, such as a file or a topic that the other one fills"),
            );
        }
    }

    /// The tables in the order in which they stand in the script, whenever they were planned.
    pub(crate) fn order_tables(&mut self) {
        let mut order: Vec<usize> = (0..self.plan.tables.len()).collect();
        order.sort_by_key(|table| self.plan.tables[*table].place.start);
        let place = |table: &mut TableId| {
            *table = TableId(order.iter().position(|other| *other == table.0).unwrap_or(table.0));
        };
        for node in &mut self.plan.nodes {
            match &mut node.kind {
                NodeKind::LookupJoin(join) => place(&mut join.table),
                NodeKind::TableScan(scan) => place(&mut scan.table),
                NodeKind::TableSink(table) => place(table),
                _ => {}
            }
        }
        self.catalog.tables_mut().for_each(|table| place(&mut table.id));
        let tables = std::mem::take(&mut self.plan.tables);
        let mut tables: Vec<Option<TableNode>> = tables.into_iter().map(Some).collect();
        self.plan.tables = order.iter().filter_map(|table| tables[*table].take()).collect();
    }
}
