//! Rows that the script itself holds: VALUES, and the one row of a SELECT without FROM.

use std::sync::Arc;

use arrow_schema::{Field, FieldRef, Schema};
use datafusion_expr::Expr;
use velo_sql::Diagnostic;
use velo_sql::ast::Values;

use super::expr::Typed;
use super::scope::{Scope, ScopeColumn};
use crate::catalog::Relation;
use crate::codes;
use crate::plan::NodeKind;
use crate::planner::Planner;

impl Planner<'_> {
    /// VALUES (…), (…): columns called `column1`, `column2`, … as in PostgreSQL, each with the type that its values have in common.
    pub(super) fn values(&mut self, values: &Values, owner: &str) -> Option<Relation> {
        let first = values.rows.first()?;
        let width = first.values.len();
        let scope = Scope::default();
        let mut columns: Vec<Vec<Typed>> = vec![Vec::with_capacity(values.rows.len()); width];
        let mut failed = false;
        for row in &values.rows {
            if row.values.len() != width {
                let message = format!("this row has {}, and the first has {width}", row.values.len());
                self.error(
                    Diagnostic::error(codes::TYPE_MISMATCH, row.span, message)
                        .also(first.span, "the first row")
                        .help("every row of VALUES has as many values; NULL stands in for one that is not there"),
                );
                failed = true;
                continue;
            }
            match self.binder(&scope, Err("VALUES")).bind_all(&row.values) {
                Some(bound) => columns.iter_mut().zip(bound).for_each(|(column, value)| column.push(value)),
                None => failed = true,
            }
        }
        if failed {
            return None;
        }
        let mut rows: Vec<Vec<Expr>> = vec![Vec::with_capacity(width); values.rows.len()];
        let mut fields: Vec<FieldRef> = Vec::with_capacity(width);
        for (at, column) in columns.into_iter().enumerate() {
            let span = first.values.get(at).map_or(values.span, |value| value.span);
            let nullable = column.iter().any(|value| value.nullable);
            let (column, data_type) =
                self.binder(&scope, Err("VALUES")).unify(column, span, "the values of a column,")?;
            fields.push(Arc::new(Field::new(format!("column{}", at + 1), data_type, nullable)));
            rows.iter_mut().zip(column).for_each(|(row, value)| row.push(value.expr));
        }
        Some(self.rows(rows, fields, owner))
    }

    /// What a SELECT without FROM computes over: one row without columns.
    pub(super) fn one_row(&mut self, owner: &str) -> Relation {
        self.rows(vec![vec![]], vec![], owner)
    }

    fn rows(&mut self, rows: Vec<Vec<Expr>>, fields: Vec<FieldRef>, owner: &str) -> Relation {
        let columns = fields.iter().map(|field| ScopeColumn {
            relation: None,
            name: field.name().clone(),
            field: Arc::clone(field),
            hidden: false,
            qualified: false,
        });
        let scope = Scope::of(columns.collect());
        let node = self.node(NodeKind::Values(rows), vec![], Arc::new(Schema::new(fields)), owner);
        Relation::new(node, scope)
    }
}
