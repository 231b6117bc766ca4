//! Time windows in every spelling, as one [`WindowSpec`].

use velo_core::duration::Span as Length;
use velo_sql::ast::{Expr as Ast, ExprKind, Literal, ObjectName, TimeWindowKind, WindowArg};
use velo_sql::{Diagnostic, Span};

use super::literal;
use super::scope::ScopeColumn;
use crate::catalog::Relation;
use crate::codes;
use crate::plan::{WindowKind, WindowSpec};
use crate::planner::Planner;

/// The arguments of a window, sorted by what they are.
#[derive(Debug, Default)]
struct Arguments<'a> {
    /// Each with the name that it was given, where it was.
    lengths: Vec<(Option<&'static str>, i64, Span)>,
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
        self.needs_event_time(input, span, "a time window")?;
        self.has_watermark(input, span)?;
        let mut sorted = Arguments::default();
        for arg in args {
            self.window_argument(arg, kind, &mut sorted)?;
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

    /// What goes by event time needs one; the message says `what` that is, and what to do.
    pub(super) fn needs_event_time(&mut self, input: &Relation, span: Span, what: &str) -> Option<()> {
        if input.has_event_time() {
            return Some(());
        }
        let source = input.source.map(|id| self.plan.sources[id.0].name.clone());
        let owner = source.clone().unwrap_or_else(|| "its input".to_owned());
        let mut diagnostic = Diagnostic::error(
            codes::EVENT_TIME_MISSING,
            span,
            format!("{what} needs an event time, and {owner} has none"),
        );
        if what == "a time window" {
            diagnostic = diagnostic.label("this window");
        }
        if let Some(join) = input.timeless {
            diagnostic = diagnostic
                .also(join, "its rows come of this join")
                .help("a row of a join without a bound of time comes whenever its partner does, so that no watermark says when a window is complete: bound the join, as in WITHIN 5m, or window its sides and join the windows");
        } else if let Some(source) = source {
            let candidate = input.scope.columns.iter().find(|column| {
                ["ts", "timestamp", "time", "event_time", "created_at"].contains(&column.name.to_lowercase().as_str())
            });
            let field = candidate.map_or("…", |column| column.name.as_str());
            diagnostic = diagnostic.help(format!("add 'event.time.field' = '{field}' to the WITH clause of {source}"));
        } else {
            diagnostic = diagnostic.help(
                "a stream has one by 'event.time.field', the result of a window has its own, and other aggregates have none",
            );
        }
        self.error(diagnostic);
        None
    }

    /// A relation that goes by the time which `name` is, where that is the time of one side of a join.
    pub(super) fn with_time_argument(&mut self, input: Relation, name: &ObjectName, owner: &str) -> Option<Relation> {
        let column = match input.scope.resolve(name) {
            Ok(found) if found.fields.is_empty() => found.column.field.name().clone(),
            // What is wrong with it is told where it is used.
            _ => return Some(input),
        };
        self.by_side_time(input, &column, name.span(), owner)
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
        // Behind a join by time either side's time can be gone by.
        let named = |column: &ScopeColumn| match &column.relation {
            Some(relation) => format!("{relation}.{}", column.name),
            None => column.name.clone(),
        };
        let of_sides: Vec<String> = input
            .scope
            .columns
            .iter()
            .filter(|column| input.side_times.iter().any(|side| side.columns.contains(column.field.name())))
            .map(named)
            .collect();
        let help = match input.event_time_columns.first() {
            None if !of_sides.is_empty() => {
                format!(
                    "a window can go by _event_time, the newer one of both sides, or by {}",
                    of_sides.join(" or by ")
                )
            }
            Some(right) => format!("the event time is {right}; a window can go by nothing else"),
            None if input.has_event_time() => {
                "the event time is _event_time; a window can go by nothing else".to_owned()
            }
            None => {
                format!("there is no event time yet: add 'event.time.field' = '{}' to the stream's WITH", name.text())
            }
        };
        self.error(
            Diagnostic::error(codes::NOT_EVENT_TIME, name.span(), format!("'{}' is not the event time", name.text()))
                .help(help),
        );
        None
    }

    fn window_argument<'a>(
        &mut self,
        arg: &'a WindowArg,
        kind: TimeWindowKind,
        sorted: &mut Arguments<'a>,
    ) -> Option<()> {
        let name = arg.name.as_ref().map(|name| name.value.to_lowercase());
        let again = match name.as_deref() {
            Some("offset") => sorted.offset.is_some(),
            Some("zone" | "timezone" | "time_zone") => sorted.zone.is_some(),
            Some(name) => {
                length_name(name).is_some_and(|name| sorted.lengths.iter().any(|(other, ..)| *other == Some(name)))
            }
            None => matches!(arg.value.kind, ExprKind::Literal(Literal::String(_))) && sorted.zone.is_some(),
        };
        if again {
            let name = name.unwrap_or_else(|| "zone".to_owned());
            self.error(
                Diagnostic::error(codes::WINDOW, arg.span, format!("the window's {name} is given twice"))
                    .help("leave one of them out"),
            );
            return None;
        }
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
                        .help("a window fires once: 'watermark.max_out_of_orderness' of the source has it wait longer"),
                );
                return None;
            }
            (Some("zone" | "timezone" | "time_zone"), _) => {
                self.error(
                    Diagnostic::error(codes::WINDOW, arg.value.span, "a time zone is a name in quotes")
                        .help("write it as in 'America/New_York'"),
                );
                return None;
            }
            (None | Some("timecol"), ExprKind::Path(column)) => sorted.columns.push(column),
            (None, _) => {
                let length = self.length(&arg.value)?;
                sorted.lengths.push((None, length, arg.value.span));
            }
            (Some(name), _) => {
                let (names, ..) = form(kind, false);
                let Some(role) = length_name(name).filter(|role| names.contains(role)) else {
                    let message = format!("this window has no '{name}'");
                    self.error(
                        Diagnostic::error(codes::WINDOW, arg.span, message)
                            .help(format!("it has {}, offset and zone", names.join(", "))),
                    );
                    return None;
                };
                let length = self.length(&arg.value)?;
                sorted.lengths.push((Some(role), length, arg.value.span));
            }
        }
        Some(())
    }

    pub(super) fn length(&mut self, value: &Ast) -> Option<i64> {
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
        let (names, form) = form(kind, function);
        let mut places: Vec<Option<(i64, Span)>> = vec![None; names.len()];
        let (mut given, mut fits) = (0, true);
        for (name, length, at) in std::mem::take(&mut sorted.lengths) {
            let named = name.and_then(|name| names.iter().position(|other| *other == name));
            match named.or_else(|| places.iter().position(Option::is_none)) {
                Some(place) => places[place] = Some((length, at)),
                // A length too many is the offset, as in TUMBLE(TABLE t, DESCRIPTOR(ts), size, offset).
                None if sorted.offset.is_none() && kind != TimeWindowKind::Session => sorted.offset = Some(length),
                None => fits = false,
            }
            given += 1;
        }
        let lengths: Option<Vec<(i64, Span)>> = places.into_iter().collect();
        let Some(lengths) = lengths.filter(|_| fits) else {
            let has = if given == 1 { "one length".to_owned() } else { format!("{given} lengths") };
            self.error(
                Diagnostic::error(codes::WINDOW, span, format!("this window has {has}, and needs {}", names.len()))
                    .help(format!("write {form}")),
            );
            return None;
        };
        for (name, (length, at)) in names.iter().zip(&lengths) {
            if *length <= 0 {
                let message = format!("a window's {name} must be more than zero");
                self.error(Diagnostic::error(codes::WINDOW, *at, message));
                return None;
            }
        }
        let first = lengths[0].0;
        let second = lengths.get(1).map_or(first, |(length, _)| *length);
        let kind = match kind {
            TimeWindowKind::Tumbling => WindowKind::Tumbling { size: Length(first) },
            TimeWindowKind::Session => WindowKind::Session { gap: Length(first) },
            TimeWindowKind::Sliding if function => WindowKind::Sliding { size: Length(second), advance: Length(first) },
            TimeWindowKind::Sliding => WindowKind::Sliding { size: Length(first), advance: Length(second) },
            TimeWindowKind::Cumulate => {
                // By position they may come in either order: the size is the longer.
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

/// The lengths of a window in the order in which they are written, and how it is written.
fn form(kind: TimeWindowKind, function: bool) -> (&'static [&'static str], &'static str) {
    match (kind, function) {
        (TimeWindowKind::Tumbling, false) => (&["size"], "TUMBLING(size)"),
        (TimeWindowKind::Tumbling, true) => (&["size"], "TUMBLE(ts, size)"),
        (TimeWindowKind::Sliding, false) => (&["size", "advance"], "SLIDING(size, advance)"),
        (TimeWindowKind::Sliding, true) => (&["advance", "size"], "HOP(ts, advance, size)"),
        (TimeWindowKind::Session, false) => (&["gap"], "SESSION(gap)"),
        (TimeWindowKind::Session, true) => (&["gap"], "SESSION(ts, gap)"),
        (TimeWindowKind::Cumulate, false) => (&["size", "step"], "CUMULATE(size, step)"),
        (TimeWindowKind::Cumulate, true) => (&["step", "size"], "CUMULATE(ts, step, size)"),
    }
}

/// Which length a named argument is.
fn length_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "size" => "size",
        "advance" | "slide" => "advance",
        "gap" => "gap",
        "step" => "step",
        _ => return None,
    })
}
