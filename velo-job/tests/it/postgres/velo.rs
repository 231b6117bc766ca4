//! Velo's side: an expression through the real planner, then evaluated over one row of the sample.

use std::path::PathBuf;

use arrow_array::{Array, ArrayRef};
use arrow_schema::SchemaRef;
use velo_core::Batch;
use velo_core::connector::Registry;
use velo_exec::expr::Evaluator;
use velo_job::PlanContext;
use velo_plan::plan::{NodeKind, Plan};
use velo_plan::plan_script;
use velo_testkit::Table;

use super::sample::{COLUMNS, ROWS};

/// Evaluates expressions.
pub struct Velo {
    plain: PlanContext,
    optimised: PlanContext,
    sample: Batch,
}

fn context(optimise: bool) -> PlanContext {
    let mut registry = Registry::new();
    registry.add(velo_source_file::connector());
    let folder = PathBuf::from(".");
    PlanContext { optimise, ..PlanContext::new(registry, folder) }
}

fn script(select: &str) -> String {
    format!(
        "CREATE STREAM sample ({COLUMNS}) WITH (connector = 'file', path = 'sample.jsonl', format = 'json');\n\
         SELECT {select} FROM sample;"
    )
}

fn source(plan: &Plan) -> Option<SchemaRef> {
    let node = plan.nodes.iter().find(|node| matches!(node.kind, NodeKind::Source(_)));
    node.map(|node| SchemaRef::clone(&node.schema))
}

impl Velo {
    /// With the sample's rows.
    pub async fn new() -> Self {
        let plain = context(false);
        let planned = plan_script(&script("*"), &plain).await;
        assert!(planned.is_runnable(), "{:?}", planned.diagnostics);
        let table = Table::typed(&planned.plan.sources[0].declared, ROWS);
        Self { plain, optimised: context(true), sample: table.batches[0].clone() }
    }

    /// The value of `expression` over a row, counted from 1; without and with the optimiser it must be the same.
    pub async fn evaluate(&self, row: usize, expression: &str) -> Result<ArrayRef, String> {
        let plain = self.run(&self.plain, row, expression).await;
        let optimised = self.run(&self.optimised, row, expression).await;
        match (&plain, &optimised) {
            (Ok(one), Ok(other)) => assert_eq!(one, other, "with and without the optimiser: {expression}"),
            (Err(_), Err(_)) => {}
            _ => panic!("with and without the optimiser: {expression}: {plain:?}, {optimised:?}"),
        }
        plain
    }

    async fn run(&self, context: &PlanContext, row: usize, expression: &str) -> Result<ArrayRef, String> {
        let planned = plan_script(&script(&format!("{expression} AS v")), context).await;
        if let Some(error) = planned.diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
            return Err(format!("planning: {}", error.message));
        }
        let input = source(&planned.plan).ok_or("no source")?;
        let output = planned.plan.nodes.iter().find_map(|node| match &node.kind {
            NodeKind::Project(outputs) => outputs.iter().find(|output| output.field.name() == "v"),
            _ => None,
        });
        let output = output.ok_or("no projection")?;
        let columns = &self.sample.columns;
        let places: Vec<usize> =
            input.fields().iter().filter_map(|field| columns.schema_ref().index_of(field.name()).ok()).collect();
        let columns = columns.project(&places).map_err(|error| error.to_string())?;
        let batch = Batch::new(columns.slice(row - 1, 1));
        let evaluator = Evaluator::new(&output.expr, &batch.schema(), "v").map_err(|error| error.to_string())?;
        let value = evaluator.evaluate(&batch).map_err(|error| error.to_string())?;
        assert_eq!(value.data_type(), output.field.data_type(), "the planned type of {expression}");
        Ok(value)
    }
}
