//! Event time and watermark of a source: by properties, or by WATERMARK FOR.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::Expr;
use velo_core::types;
use velo_eventtime::{EventTimeSource, Extractor, FieldPath, Format, WatermarkStrategy};
use velo_sql::Diagnostic;
use velo_sql::ast::{BinaryOp, ExprKind, Literal, ObjectName, WatermarkDef};

use super::expr::{Typed, article};
use super::literal;
use crate::catalog::{BoundSource, Pairs};
use crate::codes;
use crate::plan::{Punctuation, SourceTime, TimeOrigin};
use crate::planner::Planner;

impl Planner<'_> {
    /// `WATERMARK FOR ts AS ts - INTERVAL '5' SECOND` is the properties in another spelling.
    pub(super) fn watermark_clause(
        &mut self,
        clause: &WatermarkDef,
        source: &mut BoundSource,
        pairs: &Pairs,
    ) -> Option<()> {
        let column = clause.column.text();
        match column.parse() {
            Ok(path) if source.event_time.field.is_none() => source.event_time.field = Some(path),
            Ok(path) if source.event_time.field.as_ref() == Some(&path) => {}
            Ok(_) => {
                self.error(
                    Diagnostic::error(
                        codes::CONFLICT,
                        clause.span,
                        "WATERMARK FOR and 'event.time.field' name different fields",
                    )
                    .help("leave one of them out"),
                );
                return None;
            }
            Err(message) => {
                self.error(Diagnostic::error(codes::PROPERTY, clause.span, message));
                return None;
            }
        }
        source.timed = true;
        let Some(expr) = &clause.expr else { return Some(()) };
        let bound = match &expr.without_parentheses().kind {
            ExprKind::Path(name) if same_column(name, &column) => Some(0),
            ExprKind::Binary { left, op: BinaryOp::Subtract, right, .. } => {
                match (&left.without_parentheses().kind, &right.without_parentheses().kind) {
                    (ExprKind::Path(name), ExprKind::Literal(Literal::Interval(interval)))
                        if same_column(name, &column) =>
                    {
                        match literal::micros(interval, right.span) {
                            Ok(micros) => Some(micros),
                            Err(diagnostic) => {
                                self.error(diagnostic);
                                return None;
                            }
                        }
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        let Some(micros) = bound.filter(|micros| *micros >= 0) else {
            self.not_yet(
                expr.span,
                "another watermark than the column, or the column less an interval,",
                &format!("write WATERMARK FOR {column} AS {column} - INTERVAL '5' SECOND"),
            );
            return None;
        };
        let bound = velo_core::duration::Span(micros);
        if let Some(place) = pairs.place("watermark.max_out_of_orderness")
            && source.watermark.max_out_of_orderness != bound
        {
            self.error(
                Diagnostic::error(
                    codes::CONFLICT,
                    expr.span,
                    "WATERMARK FOR and 'watermark.max_out_of_orderness' say different lengths",
                )
                .also(place, "the other")
                .help("leave one of them out"),
            );
            return None;
        }
        source.watermark.max_out_of_orderness = bound;
        Some(())
    }

    pub(super) fn source_time(
        &self,
        name: &ObjectName,
        source: &BoundSource,
        physical: &SchemaRef,
        computed: &[(String, Typed)],
        pairs: &Pairs,
    ) -> Result<Option<SourceTime>, Box<Diagnostic>> {
        let properties = &source.event_time;
        let extractor = |path: &FieldPath| {
            let format = properties.format.as_ref().map_or(Format::Auto, |format| format.format().clone());
            Arc::new(Extractor::new(&name.text(), &path.to_string(), format, properties.zone))
        };
        let place = |key: &str| pairs.place(key).unwrap_or(pairs.owner);
        let punctuated = source.watermark.strategy == WatermarkStrategy::Punctuated;
        let punctuation = match &source.watermark.punctuation_field {
            Some(path) if punctuated => Some(Punctuation { path: path.parts().to_vec(), extractor: extractor(path) }),
            None if !punctuated => None,
            None => {
                return Err(Box::new(
                    Diagnostic::error(
                        codes::PROPERTY,
                        place("watermark.strategy"),
                        "a punctuated watermark needs the field that says it",
                    )
                    .help("add 'watermark.punctuation.field' = '…'"),
                ));
            }
            Some(_) => {
                return Err(Box::new(
                    Diagnostic::error(
                        codes::CONFLICT,
                        place("watermark.punctuation.field"),
                        "only the strategy 'punctuated' goes by a field that says the watermark",
                    )
                    .help("add 'watermark.strategy' = 'punctuated', or leave the field out"),
                ));
            }
        };
        let time_by = |from: TimeOrigin, by_default| {
            let (on_error, watermark) = (properties.on_error, source.watermark.clone());
            Ok(Some(SourceTime { from, by_default, on_error, watermark, punctuation: punctuation.clone() }))
        };
        let time = |from: TimeOrigin| time_by(from, false);
        match (properties.source, &properties.field) {
            (Some(EventTimeSource::Arrival | EventTimeSource::Record), Some(field)) => Err(Box::new(
                Diagnostic::error(
                    codes::CONFLICT,
                    place("event.time.source"),
                    format!("the event time is the field '{field}', and 'event.time.source' says that it is none"),
                )
                .help("leave one of them out"),
            )),
            (Some(EventTimeSource::Arrival), _) => time(TimeOrigin::Arrival),
            (Some(EventTimeSource::Record), _) => {
                if source.has_record_time() {
                    return time(TimeOrigin::Record);
                }
                Err(Box::new(
                    Diagnostic::error(
                        codes::PROPERTY,
                        place("event.time.source"),
                        match &source.history {
                            None => "the records of this connector have no time of their own",
                            Some(_) => {
                                "either the records of the history or those that come live have no time of their own"
                            }
                        },
                    )
                    .help("name a field: 'event.time.field' = '…'"),
                ))
            }
            (_, Some(path)) => {
                let column = (!path.is_nested()).then(|| declared_column(physical, path.first())).flatten();
                let is_computed = |(name, typed): &&(String, Typed)| {
                    name.eq_ignore_ascii_case(path.first())
                        && !matches!(&typed.expr, Expr::Column(c) if c.name() == name.as_str())
                };
                if let Some((_, typed)) = computed.iter().find(is_computed).filter(|_| !path.is_nested()) {
                    if !matches!(typed.data_type, DataType::Timestamp(..)) {
                        let message = format!("the computed event time is a {}", types::sql_name(&typed.data_type));
                        return Err(Box::new(
                            Diagnostic::error(codes::TYPE_MISMATCH, typed.span, message)
                                .help("compute a TIMESTAMP, for example with TO_TIMESTAMP(…)"),
                        ));
                    }
                    return time(TimeOrigin::Computed(typed.expr.clone()));
                }
                if let Some(column) = column {
                    self.time_type(physical.field(column), pairs)?;
                }
                time(TimeOrigin::Field { path: path.parts().to_vec(), column, extractor: extractor(path) })
            }
            // The time of an archive's file is not that of its records.
            (None, None) if source.history.is_none() && source.binding.by_created_times().is_some() => {
                time_by(TimeOrigin::Record, true)
            }
            (_, None) if source.timed => Err(Box::new(
                Diagnostic::error(
                    codes::EVENT_TIME_MISSING,
                    pairs.owner,
                    "properties of event time are given, and not which field it is",
                )
                .help("add 'event.time.field' = '…'"),
            )),
            _ => Ok(None),
        }
    }

    fn time_type(&self, field: &Field, pairs: &Pairs) -> Result<(), Box<Diagnostic>> {
        let usable = field.data_type().is_integer()
            || matches!(
                field.data_type(),
                DataType::Utf8
                    | DataType::Timestamp(..)
                    | DataType::Date32
                    | DataType::Decimal128(..)
                    | DataType::Float64
            );
        if usable {
            return Ok(());
        }
        let message = format!("'{}' is {} and cannot be an event time", field.name(), article(field.data_type()));
        Err(Box::new(
            Diagnostic::error(codes::TYPE_MISMATCH, pairs.place("event.time.field").unwrap_or(pairs.owner), message)
                .help("an event time is a number, a text or a TIMESTAMP"),
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
