//! Time windows in every spelling, as one [`WindowSpec`].

use velo_core::duration::Span as Length;
use velo_sql::ast::{Expr as Ast, ExprKind, Literal, ObjectName, TimeWindowKind, WindowArg};
use velo_sql::{Diagnostic, Span};

use super::literal;
use crate::catalog::Relation;
use crate::codes;
use crate::plan::{WindowKind, WindowSpec};
use crate::planner::Planner;

/// The arguments of a window, sorted by what they are.
#[derive(Debug, Default)]
struct Arguments<'a> {
    lengths: Vec<(i64, Span)>,
    offset: Option<i64>,
    zone: Option<chrono_tz::Tz>,
    columns: Vec<&'a ObjectName>,
}

impl Planner<'_> {
    /// A window from its kind and arguments; the input must have an event time, and a column argument must be it.
    ///
    /// As a function (`HOP(ts, advance, size)`) a sliding window has its advance first, as in Flink; in the WINDOW clause its
    /// size (`SLIDING(size, advance)`).
    pub(crate) fn window(
        &mut self,
        kind: TimeWindowKind,
        args: &[WindowArg],
        span: Span,
        input: &Relation,
        function: bool,
    ) -> Option<WindowSpec> {
        self.needs_event_time(input, span)?;
        let mut sorted = Arguments::default();
        for arg in args {
            self.window_argument(arg, &mut sorted)?;
        }
        for (at, column) in sorted.columns.iter().enumerate() {
            // SESSION(ts, gap, key): the key is the GROUP BY's, and says nothing new.
            if at > 0 && kind == TimeWindowKind::Session {
                continue;
            }
            self.must_be_event_time(column, input)?;
        }
        self.assemble(kind, sorted, span, function)
    }

    fn needs_event_time(&mut self, input: &Relation, span: Span) -> Option<()> {
        if input.has_event_time() {
            return Some(());
        }
        let source = input.source.map(|id| self.plan.sources[id.0].name.clone());
        let owner = source.clone().unwrap_or_else(|| "its input".to_owned());
        let mut diagnostic = Diagnostic::error(
            codes::EVENT_TIME_MISSING,
            span,
            format!("a time window needs an event time, and {owner} has none"),
        )
        .label("this window");
        if let Some(source) = source {
            let candidate = input.scope.columns.iter().find(|column| {
                ["ts", "timestamp", "time", "event_time", "created_at"].contains(&column.name.to_lowercase().as_str())
            });
            let field = candidate.map_or("…", |column| column.name.as_str());
            diagnostic = diagnostic.help(format!("add 'event.time.field' = '{field}' to the WITH clause of {source}"));
        }
        self.error(diagnostic);
        None
    }

    /// The time argument of a window must be the event time, under whatever name.
    pub(crate) fn must_be_event_time(&mut self, name: &ObjectName, input: &Relation) -> Option<()> {
        let column = match input.scope.resolve(name) {
            Ok(resolved) => resolved.column.field.name().clone(),
            Err(diagnostic) => {
                self.error(diagnostic);
                return None;
            }
        };
        if column == velo_core::schema::EVENT_TIME || input.event_time_columns.contains(&column) {
            return Some(());
        }
        let right = input.event_time_columns.first().map_or("_event_time", String::as_str);
        self.error(
            Diagnostic::error(codes::NOT_EVENT_TIME, name.span(), format!("'{}' is not the event time", name.text()))
                .help(format!("the event time is {right}; a window can go by nothing else")),
        );
        None
    }

    fn window_argument<'a>(&mut self, arg: &'a WindowArg, sorted: &mut Arguments<'a>) -> Option<()> {
        let name = arg.name.as_ref().map(|name| name.value.to_lowercase());
        match (name.as_deref(), &arg.value.without_parentheses().kind) {
            (Some("offset"), _) => {
                sorted.offset = Some(self.length(&arg.value)?);
            }
            (Some("zone" | "timezone" | "time_zone"), ExprKind::Literal(Literal::String(zone)))
            | (None, ExprKind::Literal(Literal::String(zone))) => match zone.parse() {
                Ok(zone) => sorted.zone = Some(zone),
                Err(_) => {
                    self.error(
                        Diagnostic::error(codes::WINDOW, arg.value.span, format!("'{zone}' is no time zone")).help(
                            "zones are written as in 'America/New_York'; lengths as in 1m or INTERVAL '1' MINUTE",
                        ),
                    );
                    return None;
                }
            },
            (Some("grace" | "retention"), _) => {
                self.error(
                    Diagnostic::error(codes::NOT_SUPPORTED, arg.span, "GRACE PERIOD and RETENTION cannot run yet")
                        .help("corrections after the end of a window come with the issue on changing results"),
                );
                return None;
            }
            (_, ExprKind::Path(column)) => sorted.columns.push(column),
            _ => {
                let length = self.length(&arg.value)?;
                sorted.lengths.push((length, arg.value.span));
            }
        }
        Some(())
    }

    fn length(&mut self, value: &Ast) -> Option<i64> {
        let (negative, value) = match &value.without_parentheses().kind {
            ExprKind::Unary { op: velo_sql::ast::UnaryOp::Minus, expr } => (true, expr.without_parentheses()),
            _ => (false, value.without_parentheses()),
        };
        let micros = match &value.kind {
            ExprKind::Literal(Literal::Interval(interval)) => literal::micros(interval, value.span),
            _ => Err(Diagnostic::error(codes::WINDOW, value.span, "a window's length is a duration")
                .help("write 1m, 30s, or INTERVAL '1' MINUTE")),
        };
        match micros {
            Ok(micros) => Some(if negative { -micros } else { micros }),
            Err(diagnostic) => {
                self.error(diagnostic);
                None
            }
        }
    }

    fn assemble(
        &mut self,
        kind: TimeWindowKind,
        mut sorted: Arguments<'_>,
        span: Span,
        function: bool,
    ) -> Option<WindowSpec> {
        let (wanted, form) = match kind {
            TimeWindowKind::Tumbling => (1, "TUMBLING(size)"),
            TimeWindowKind::Sliding => (2, "SLIDING(size, advance)"),
            TimeWindowKind::Session => (1, "SESSION(gap)"),
            TimeWindowKind::Cumulate => (2, "CUMULATE(size, step)"),
        };
        // A length too many is the offset, as in TUMBLE(TABLE t, DESCRIPTOR(ts), size, offset).
        if sorted.lengths.len() == wanted + 1 && sorted.offset.is_none() && kind != TimeWindowKind::Session {
            sorted.offset = sorted.lengths.pop().map(|(offset, _)| offset);
        }
        if sorted.lengths.len() != wanted {
            self.error(
                Diagnostic::error(
                    codes::WINDOW,
                    span,
                    format!("this window has {} lengths, and needs {wanted}", sorted.lengths.len()),
                )
                .help(format!("write {form}")),
            );
            return None;
        }
        for (place, (length, at)) in sorted.lengths.iter().enumerate() {
            if *length <= 0 {
                let what = match (kind, place) {
                    (TimeWindowKind::Session, _) => "gap",
                    (TimeWindowKind::Cumulate, 1) => "step",
                    (TimeWindowKind::Sliding, place) if (place == 1) != function => "advance",
                    _ => "size",
                };
                let message = format!("a window's {what} must be more than zero");
                self.error(Diagnostic::error(codes::WINDOW, *at, message));
                return None;
            }
        }
        let first = sorted.lengths[0].0;
        let second = sorted.lengths.get(1).map_or(first, |(length, _)| *length);
        let kind = match kind {
            TimeWindowKind::Tumbling => WindowKind::Tumbling { size: Length(first) },
            TimeWindowKind::Session => WindowKind::Session { gap: Length(first) },
            TimeWindowKind::Sliding if function => WindowKind::Sliding { size: Length(second), advance: Length(first) },
            TimeWindowKind::Sliding => WindowKind::Sliding { size: Length(first), advance: Length(second) },
            TimeWindowKind::Cumulate => {
                let (size, step) = (first.max(second), first.min(second));
                if size % step != 0 {
                    self.error(
                        Diagnostic::error(codes::WINDOW, span, "the size of CUMULATE must be a multiple of its step")
                            .help("for example CUMULATE(1h, 10m)"),
                    );
                    return None;
                }
                WindowKind::Cumulate { size: Length(size), step: Length(step) }
            }
        };
        Some(WindowSpec { kind, offset: Length(sorted.offset.unwrap_or(0)), zone: sorted.zone })
    }
}
