//! The columns of CREATE STREAM, TABLE and SINK: what is in the data, and what is computed of it.

use std::sync::Arc;

use arrow_schema::{FieldRef, Schema, SchemaRef};
use datafusion_common::Column;
use datafusion_expr::Expr;
use velo_sql::ast::{ColumnDef, TableSchema};
use velo_sql::{Diagnostic, Span};

use super::expr::Typed;
use super::scope::Scope;
use super::types::{arrow_type, field_of};
use crate::codes;
use crate::planner::Planner;

/// The columns of a declaration: what the connector gives, and how the declared columns come of it.
pub(crate) struct Declared {
    /// The columns that are in the data.
    pub(crate) physical: SchemaRef,
    /// All columns in their order, where one of them is not simply in the data.
    pub(super) columns: Vec<DeclaredColumn>,
}

/// A column of a declaration.
pub(crate) enum DeclaredColumn {
    Physical(FieldRef),
    /// `name [type] AS expr`
    Computed(ColumnDef),
    /// `name type METADATA FROM 'key'`: a system column under another name.
    Metadata(ColumnDef, String),
}

impl Planner<'_> {
    /// The columns of a declaration; all mistakes in them are found.
    pub(crate) fn declared(&mut self, written: &TableSchema) -> Option<Declared> {
        let mut names: Vec<&str> = Vec::with_capacity(written.columns.len());
        let mut columns = Vec::with_capacity(written.columns.len());
        let mut failed = false;
        for column in &written.columns {
            let name = &column.name.value;
            if names.contains(&name.as_str()) || name.starts_with('$') {
                let (message, help) = match name.starts_with('$') {
                    true => {
                        (format!("the name '{name}' begins with $"), "choose another one: such names are Velo's own")
                    }
                    false => (format!("the column '{name}' is there already"), "give one of them another name"),
                };
                self.error(Diagnostic::error(codes::DUPLICATE_NAME, column.name.span, message).help(help));
                failed = true;
                continue;
            }
            names.push(name);
            if let Some(default) = &column.default {
                self.not_yet(default.span, "DEFAULT", "write COALESCE(column, value) where the column is used");
                failed = true;
            } else if column.computed.is_some() {
                columns.push(DeclaredColumn::Computed(column.clone()));
            } else if let Some(metadata) = &column.metadata {
                let key = metadata.key.clone().unwrap_or_else(|| name.clone());
                columns.push(DeclaredColumn::Metadata(column.clone(), format!("_{}", key.trim_start_matches('_'))));
            } else if let Some(data_type) = &column.data_type {
                match field_of(name, data_type, !column.not_null) {
                    Ok(field) => columns.push(DeclaredColumn::Physical(Arc::new(field))),
                    Err(diagnostic) => {
                        self.error(diagnostic);
                        failed = true;
                    }
                }
            } else {
                self.error(
                    Diagnostic::error(codes::TYPE_MISMATCH, column.span, format!("the column '{name}' has no type"))
                        .help("write its type behind its name: STRING, BIGINT, DECIMAL(18,4), …"),
                );
                failed = true;
            }
        }
        if failed {
            return None;
        }
        let physical: Vec<FieldRef> = columns
            .iter()
            .filter_map(|column| match column {
                DeclaredColumn::Physical(field) => Some(Arc::clone(field)),
                _ => None,
            })
            .collect();
        let plain = physical.len() == columns.len();
        Some(Declared { physical: Arc::new(Schema::new(physical)), columns: if plain { vec![] } else { columns } })
    }

    /// Binds the declared columns over what is in the data; empty where they are simply that.
    pub(super) fn computed_columns(
        &mut self,
        columns: &[DeclaredColumn],
        scope: &Scope,
    ) -> Option<Vec<(String, Typed)>> {
        let mut bound: Vec<(String, Typed)> = Vec::with_capacity(columns.len());
        let mut failed = false;
        for column in columns {
            let one = match column {
                DeclaredColumn::Physical(field) => Some((field.name().clone(), typed_column(field, Span::default()))),
                DeclaredColumn::Computed(column) => {
                    self.computed(column, scope).map(|typed| (column.name.value.clone(), typed))
                }
                DeclaredColumn::Metadata(column, key) => {
                    self.metadata(column, key, scope).map(|typed| (column.name.value.clone(), typed))
                }
            };
            match one {
                Some(one) => bound.push(one),
                None => failed = true,
            }
        }
        (!failed).then_some(bound)
    }

    fn computed(&mut self, column: &ColumnDef, scope: &Scope) -> Option<Typed> {
        let expr = column.computed.as_ref()?;
        let mut binder = self.binder(scope, Err("a computed column"));
        let typed = binder.bind(expr)?;
        match &column.data_type {
            None => Some(typed),
            Some(written) => match arrow_type(written) {
                Ok(to) => binder.cast(typed, &to, false, expr.span),
                Err(diagnostic) => {
                    self.error(diagnostic);
                    None
                }
            },
        }
    }

    fn metadata(&mut self, column: &ColumnDef, key: &str, scope: &Scope) -> Option<Typed> {
        let found = scope.columns.iter().find(|candidate| candidate.hidden && candidate.name.eq_ignore_ascii_case(key));
        let Some(found) = found else {
            let known: Vec<&str> = scope
                .columns
                .iter()
                .filter(|column| column.hidden)
                .map(|column| column.name.trim_start_matches('_'))
                .collect();
            let message = format!("this connector has no metadata '{}'", key.trim_start_matches('_'));
            let help = match known.as_slice() {
                [] => "it has none at all: leave the column out".to_owned(),
                known => format!("it has {}", known.join(", ")),
            };
            self.error(Diagnostic::error(codes::UNKNOWN_COLUMN, column.span, message).help(help));
            return None;
        };
        let typed = typed_column(&found.field, column.span);
        match &column.data_type {
            None => Some(typed),
            Some(written) => match arrow_type(written) {
                Ok(to) => self.binder(scope, Err("metadata")).cast(typed, &to, false, column.span),
                Err(diagnostic) => {
                    self.error(diagnostic);
                    None
                }
            },
        }
    }
}

/// A column of a source as an expression.
pub(super) fn typed_column(field: &FieldRef, span: Span) -> Typed {
    Typed {
        expr: Expr::Column(Column::new_unqualified(field.name())),
        data_type: field.data_type().clone(),
        nullable: field.is_nullable(),
        unknown: false,
        span,
    }
}
