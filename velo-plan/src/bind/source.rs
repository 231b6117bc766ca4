//! CREATE STREAM over a connector: columns, event time, watermark.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use velo_core::{schema, types};
use velo_eventtime::{EventTimeSource, Extractor, Format};
use velo_sql::ast::{BinaryOp, Create, ExprKind, Literal, ObjectName, TableSchema, WatermarkDef};
use velo_sql::{Diagnostic, Span};

use super::literal;
use super::scope::{Scope, ScopeColumn};
use super::types::field_of;
use crate::catalog::{BoundSource, Object, Pairs, Relation};
use crate::codes;
use crate::plan::{NodeKind, SourceId, SourceNode, SourceTime, TimeOrigin};
use crate::planner::Planner;

impl Planner<'_> {
    /// Declares a stream over a connector.
    pub(crate) async fn create_source(&mut self, create: &Create, pairs: Pairs) {
        let Some(mut source) = self.resolver().source(&pairs) else { return };
        if let Some(watermark) = create.schema.as_ref().and_then(|schema| schema.watermarks.first()) {
            self.watermark_clause(watermark, &mut source);
        }
        let declared = match create.schema.as_ref().filter(|schema| !schema.columns.is_empty()) {
            Some(written) => match self.declared(written) {
                Some(schema) => schema,
                None => return,
            },
            None => match source.binding.infer_schema().await {
                Ok(schema) => schema,
                Err(error) => {
                    self.error(
                        Diagnostic::error(codes::CONNECTOR, create.name.span(), error.to_string())
                            .help("declare the columns, or make the data readable while planning"),
                    );
                    return;
                }
            },
        };
        let relation = self.source_relation(&create.name, source, declared, &pairs);
        if let Some(relation) = relation {
            self.catalog.add(&create.name, Object::Relation { relation, writable: Some(pairs) });
        }
    }

    fn declared(&mut self, written: &TableSchema) -> Option<SchemaRef> {
        let mut fields: Vec<Field> = Vec::with_capacity(written.columns.len());
        let mut failed = false;
        for column in &written.columns {
            if let Some(computed) = &column.computed {
                self.error(
                    Diagnostic::error(codes::NOT_SUPPORTED, computed.span, "a computed column cannot run yet")
                        .help("compute it in a view over the stream"),
                );
                failed = true;
                continue;
            }
            let Some(data_type) = &column.data_type else {
                self.error(
                    Diagnostic::error(codes::TYPE_MISMATCH, column.span, format!("the column '{}' has no type", column.name.value))
                        .help("write its type behind its name: STRING, BIGINT, DECIMAL(18,4), …"),
                );
                failed = true;
                continue;
            };
            if fields.iter().any(|field| *field.name() == column.name.value) || column.name.value.starts_with('$') {
                self.error(Diagnostic::error(
                    codes::DUPLICATE_NAME,
                    column.name.span,
                    format!("the column name '{}' is taken", column.name.value),
                ));
                failed = true;
                continue;
            }
            match field_of(&column.name.value, data_type, !column.not_null) {
                Ok(field) => fields.push(field),
                Err(diagnostic) => {
                    self.error(diagnostic);
                    failed = true;
                }
            }
        }
        (!failed).then(|| Arc::new(Schema::new(fields)) as SchemaRef)
    }

    /// `WATERMARK FOR ts AS ts - INTERVAL '5' SECOND` is the properties in another spelling.
    fn watermark_clause(&mut self, clause: &WatermarkDef, source: &mut BoundSource) {
        let refuse = |this: &mut Self, span: Span| {
            this.error(
                Diagnostic::error(codes::NOT_SUPPORTED, span, "a watermark is the column, or the column less an interval")
                    .help("write WATERMARK FOR ts AS ts - INTERVAL '5' SECOND"),
            );
        };
        let column = clause.column.text();
        match column.parse() {
            Ok(path) if source.event_time.field.is_none() => source.event_time.field = Some(path),
            Ok(path) if source.event_time.field.as_ref() == Some(&path) => {}
            Ok(_) => {
                self.error(
                    Diagnostic::error(codes::CONFLICT, clause.span, "WATERMARK FOR and 'event.time.field' name different fields")
                        .help("leave one of them out"),
                );
                return;
            }
            Err(message) => {
                self.error(Diagnostic::error(codes::PROPERTY, clause.span, message));
                return;
            }
        }
        source.timed = true;
        let Some(expr) = &clause.expr else { return };
        let bound = match &expr.without_parentheses().kind {
            ExprKind::Path(name) if same_column(name, &column) => Some(0),
            ExprKind::Binary { left, op: BinaryOp::Subtract, right, .. } => {
                match (&left.without_parentheses().kind, &right.without_parentheses().kind) {
                    (ExprKind::Path(name), ExprKind::Literal(Literal::Interval(interval))) if same_column(name, &column) => {
                        match literal::micros(interval, right.span) {
                            Ok(micros) => Some(micros),
                            Err(diagnostic) => {
                                self.error(diagnostic);
                                return;
                            }
                        }
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        match bound {
            Some(micros) => source.watermark.max_out_of_orderness = velo_core::duration::Span(micros),
            None => refuse(self, expr.span),
        }
    }

    /// A source read directly, as a relation.
    pub(crate) fn source_relation(
        &mut self,
        name: &ObjectName,
        source: BoundSource,
        declared: SchemaRef,
        pairs: &Pairs,
    ) -> Option<Relation> {
        let event_time = match self.source_time(name, &source, &declared, pairs) {
            Ok(event_time) => event_time,
            Err(diagnostic) => {
                self.error(*diagnostic);
                return None;
            }
        };
        let own_column = match &event_time {
            Some(SourceTime { from: TimeOrigin::Field { column: Some(column), .. }, .. }) => {
                Some(declared.field(*column).name().clone())
            }
            _ => None,
        };
        let timed = event_time.is_some();
        self.plan.sources.push(SourceNode {
            name: name.text(),
            binding: source.binding,
            used: (0..declared.fields().len()).collect(),
            declared: Arc::clone(&declared),
            system: vec![],
            event_time,
            on_error: source.common.on_error,
            decode_parallelism: source.common.decode_parallelism,
        });
        let id = SourceId(self.plan.sources.len() - 1);
        let output = if timed { schema::with_event_time(&declared) } else { Arc::clone(&declared) };
        let node = self.node(NodeKind::Source(id), vec![], output, &name.text());
        let mut columns: Vec<ScopeColumn> = declared
            .fields()
            .iter()
            .map(|field| ScopeColumn {
                relation: Some(name.parts.last().map(|part| part.value.clone()).unwrap_or_default()),
                name: field.name().clone(),
                field: Arc::clone(field),
                hidden: false,
            })
            .collect();
        if timed {
            columns.push(event_time_column(name));
        }
        Some(Relation { node, scope: Scope { columns }, event_time_columns: own_column.into_iter().collect(), source: Some(id) })
    }

    fn source_time(
        &self,
        name: &ObjectName,
        source: &BoundSource,
        declared: &SchemaRef,
        pairs: &Pairs,
    ) -> Result<Option<SourceTime>, Box<Diagnostic>> {
        let properties = &source.event_time;
        let time = |from: TimeOrigin| {
            Ok(Some(SourceTime { from, on_error: properties.on_error, watermark: source.watermark.clone() }))
        };
        match (properties.source, &properties.field) {
            (Some(EventTimeSource::Arrival), _) => time(TimeOrigin::Arrival),
            (Some(EventTimeSource::Record), _) => time(TimeOrigin::Record),
            (_, Some(path)) => {
                let format = properties.format.as_ref().map_or(Format::Auto, |format| format.format().clone());
                let extractor = Arc::new(Extractor::new(&name.text(), &path.to_string(), format, properties.zone));
                let column = (!path.is_nested()).then(|| declared_column(declared, path.first())).flatten();
                if let Some(column) = column {
                    self.time_type(declared.field(column), pairs)?;
                }
                time(TimeOrigin::Field { path: path.parts().to_vec(), column, extractor })
            }
            (_, None) if source.timed => Err(Box::new(
                Diagnostic::error(codes::EVENT_TIME_MISSING, pairs.owner, "properties of event time are given, and not which field it is")
                    .help("add 'event.time.field' = '…'"),
            )),
            _ => Ok(None),
        }
    }

    fn time_type(&self, field: &Field, pairs: &Pairs) -> Result<(), Box<Diagnostic>> {
        let usable = field.data_type().is_integer()
            || matches!(
                field.data_type(),
                DataType::Utf8 | DataType::Timestamp(..) | DataType::Date32 | DataType::Decimal128(..) | DataType::Float64
            );
        if usable {
            return Ok(());
        }
        let message = format!("'{}' is a {} and cannot be an event time", field.name(), types::sql_name_of(field));
        Err(Box::new(
            Diagnostic::error(codes::TYPE_MISMATCH, pairs.owner, message).help("an event time is a number, a text or a TIMESTAMP"),
        ))
    }
}

fn same_column(name: &ObjectName, column: &str) -> bool {
    name.text().eq_ignore_ascii_case(column)
}

/// The declared column called `name`: the exact spelling, else one that differs in case only.
fn declared_column(declared: &Schema, name: &str) -> Option<usize> {
    let fields = declared.fields();
    fields
        .iter()
        .position(|field| field.name() == name)
        .or_else(|| fields.iter().position(|field| field.name().eq_ignore_ascii_case(name)))
}

/// The system column `_event_time`.
pub(crate) fn event_time_column(relation: &ObjectName) -> ScopeColumn {
    let field: FieldRef = Arc::new(schema::event_time_field());
    ScopeColumn {
        relation: relation.parts.last().map(|part| part.value.clone()),
        name: "_event_time".to_owned(),
        field,
        hidden: true,
    }
}
