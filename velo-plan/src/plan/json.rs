//! A plan for programs.

use serde_json::{Value, json};
use velo_core::types;

use super::node::Plan;

impl Plan {
    /// The nodes with their inputs and columns.
    pub fn json(&self) -> Value {
        let nodes: Vec<Value> = self
            .nodes
            .iter()
            .enumerate()
            .map(|(at, node)| {
                let columns: Vec<Value> = node
                    .schema
                    .fields()
                    .iter()
                    .map(|field| json!({ "name": field.name(), "type": types::sql_name_of(field), "nullable": field.is_nullable() }))
                    .collect();
                json!({
                    "id": at,
                    "inputs": node.inputs.iter().map(|input| input.0).collect::<Vec<_>>(),
                    "owner": node.owner,
                    "bounded": node.bounded,
                    "text": self.describe(node),
                    "columns": columns,
                })
            })
            .collect();
        json!({ "nodes": nodes })
    }
}
