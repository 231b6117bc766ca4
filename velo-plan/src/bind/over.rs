//! Row windows as nodes: in which order rows come to each, and whether that can be known.
//!
//! Rows of an input that does not end can only be ordered by event time, since the watermark alone says that no earlier one
//! will come; rows of one time window are whole when it closes, and can have any order. An input that ends can have any order,
//! at its end. A buffer goes by arrival, unless it is ordered by event time.

use std::sync::Arc;

use arrow_schema::{DataType, FieldRef, TimeUnit};
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::Expr;
use velo_core::schema;
use velo_eventtime::LateStrategy;
use velo_eventtime::late::LateUse;
use velo_sql::ast::{Expr as Ast, ExprKind, Frame, FrameBound, FrameBoundKind, FrameUnits as AstUnits};
use velo_sql::{Diagnostic, Span};

use super::expr::{Typed, article};
use super::row_window::{BoundOver, BoundWindow, output};
use super::scope::Scope;
use super::select::{WINDOW_END, WINDOW_START, WINDOW_TIME};
use crate::catalog::Relation;
use crate::codes;
use crate::plan::{
    FrameUnits, NodeKind, Over, OverCall, OverFunction, OverOrder, RowFrame, RowWindow, SinkId, SortKey, WindowKind,
    WindowSpec,
};
use crate::planner::Planner;
use crate::rules::with_results;

/// The columns of a windowed relation that say which window a row is of: its end, and its start where windows have one length.
pub(super) fn window_columns_of(window: &WindowSpec) -> Vec<String> {
    let mut columns = vec![WINDOW_END.to_owned(), WINDOW_TIME.to_owned()];
    if matches!(window.kind, WindowKind::Tumbling { .. } | WindowKind::Sliding { .. }) {
        columns.push(WINDOW_START.to_owned());
    }
    columns
}

/// One call in its place.
struct Placed {
    order: OverOrder,
    window: RowWindow,
    call: OverCall,
}

impl Planner<'_> {
    /// The relation with the results of its row windows behind its columns. `sources`: its rows are those of sources, and can
    /// come late.
    pub(super) fn over(
        &mut self,
        input: Relation,
        calls: Vec<BoundOver>,
        sources: bool,
        owner: &str,
    ) -> Option<Relation> {
        if calls.is_empty() {
            return Some(input);
        }
        // An order by the time of one side of a join has the rows go by that.
        let mut input = input;
        let keys = calls.iter().filter_map(|call| call.window.order_by.first());
        let first = keys.filter_map(|key| match &key.typed.expr {
            Expr::Column(column) => Some((column.name().to_owned(), key.typed.span)),
            _ => None,
        });
        for (column, span) in first.take(1).collect::<Vec<_>>() {
            input = self.by_side_time(input, &column, span, owner)?;
        }
        let changing = !self.changes(input.node).is_append() && !self.is_bounded(input.node);
        // A Top-N, if something cuts it.
        let top = self.needs_cut(&input, &calls, changing);
        let others = || calls.iter().enumerate().filter(|(at, _)| Some(*at) != top).map(|(_, call)| call);
        // Other functions wait until rows change no more; a Top-N takes changes as they come.
        let waits = changing && others().next().is_some();
        if waits && !self.can_pass(&input, others()) {
            return None;
        }
        let input = if changing { input } else { self.folded(input, owner) };
        let mut placed = Vec::with_capacity(calls.len());
        let mut failed = false;
        let mut first = None;
        let mut uncut = None;
        for (at, mut bound) in calls.into_iter().enumerate() {
            let span = bound.span;
            if Some(at) == top {
                match self.mistake(&input, &mut bound, changing) {
                    Some(mistake) => uncut = Some((bound, at, mistake)),
                    None => failed = true,
                }
                continue;
            }
            match self.placed(&input, bound, at) {
                Some(call) => {
                    if call.order == OverOrder::EventTime {
                        first.get_or_insert(span);
                    }
                    placed.push(call);
                }
                None => failed = true,
            }
        }
        if failed {
            return None;
        }
        let mut late = match first.filter(|_| sources) {
            Some(span) => Some(self.late_rows(&input, span)?),
            None => None,
        };
        let mut relation = input;
        if waits {
            // What has passed is on time.
            relation = self.folded_by_time(relation, late.take().unwrap_or((LateStrategy::Drop, None)), owner);
        }
        // Rows that go by arrival pass first: behind the others they would come by event time.
        for order in [OverOrder::Arrival, OverOrder::EventTime, OverOrder::Window, OverOrder::End] {
            let (now, others): (Vec<_>, Vec<_>) = placed.into_iter().partition(|call| call.order == order);
            placed = others;
            if now.is_empty() {
                continue;
            }
            let mut windows: Vec<RowWindow> = Vec::new();
            let mut calls = Vec::with_capacity(now.len());
            for Placed { window, call, .. } in now {
                let at = windows.iter().position(|known| *known == window).unwrap_or_else(|| {
                    windows.push(window);
                    windows.len() - 1
                });
                calls.push(OverCall { window: at, ..call });
            }
            let results: Vec<FieldRef> = calls.iter().map(|call| Arc::clone(&call.output)).collect();
            let schema = with_results(&self.plan.nodes[relation.node.0].schema, results);
            let (strategy, letters) = match (&late, order) {
                (Some((strategy, letters)), OverOrder::EventTime) => (*strategy, *letters),
                _ => (LateStrategy::Drop, None),
            };
            let kind = NodeKind::Over(Over { order, windows, calls, late: strategy });
            relation.node = self.node(kind, vec![relation.node], schema, owner);
            self.plan.nodes[relation.node.0].dead_letters = letters;
        }
        match uncut {
            Some((bound, at, mistake)) => self.uncut(relation, (&bound, at), mistake, sources, owner),
            None => Some(relation),
        }
    }

    /// What is wrong with a ROW_NUMBER that nothing cuts; none where it is wrong in itself.
    fn mistake(&mut self, input: &Relation, bound: &mut BoundOver, changing: bool) -> Option<Diagnostic> {
        self.is_flat(bound)?;
        let time = TimeColumns::of(input);
        let cut = "a condition such as <= 10 on the number, in QUALIFY or around the query, makes a Top-N of it, which can have any order";
        let mistake = if changing {
            endless_changes(bound.span, "a row window")
        } else {
            // Only its diagnostic is of interest.
            let known = self.diagnostics.len();
            let _ = self.order_of(input, bound, &time, false);
            self.diagnostics.drain(known..).next()?
        };
        time.replace_in(bound);
        Some(mistake.help(cut))
    }

    /// No call stands in a call.
    fn is_flat(&mut self, bound: &mut BoundOver) -> Option<()> {
        let nested = |expr: &Expr| expr.column_refs().iter().any(|column| column.name().starts_with("$over"));
        let inner = bound.expressions().find(|typed| nested(&typed.expr)).map(|inner| inner.span);
        let Some(span) = inner else { return Some(()) };
        self.error(
            Diagnostic::error(codes::MISPLACED_AGGREGATE, span, "a row window cannot stand in a row window")
                .help("compute the inner one in a query of its own, and read that in FROM"),
        );
        None
    }

    /// Whether the rows of a changing relation can be waited for, until the watermark has passed them and they change no more.
    fn can_pass<'c>(&mut self, input: &Relation, mut calls: impl Iterator<Item = &'c BoundOver> + Clone) -> bool {
        let Some(first) = calls.clone().next() else { return true };
        if !input.has_event_time() {
            self.error(endless_changes(first.span, "a row window"));
            return false;
        }
        let by_arrival = |call: &&BoundOver| call.window.buffer.is_some() && call.window.order_by.is_empty();
        if let Some(call) = calls.find(by_arrival) {
            self.error(
                Diagnostic::error(
                    codes::UNBOUNDED,
                    call.span,
                    "a buffer goes by arrival, and these rows change after they came",
                )
                .help("add ORDER BY with the event time: then a row comes when it no longer changes"),
            );
            return false;
        }
        true
    }

    /// What happens to rows behind the watermark: what the query says, else what its source says.
    pub(super) fn late_rows(&mut self, input: &Relation, span: Span) -> Option<(LateStrategy, Option<SinkId>)> {
        let late = self.query.late.clone().unwrap_or_else(|| input.late.clone());
        self.query.late_used = true;
        let span = self.query.late_place.unwrap_or(span);
        if let Err(message) = late.check(LateUse::Other) {
            self.error(Diagnostic::error(codes::CONFLICT, span, message));
            return None;
        }
        if late.strategy != LateStrategy::DeadLetter {
            return Some((late.strategy, None));
        }
        self.query.letters_used = true;
        let span = self.query.letters_place.unwrap_or(span);
        let own = self.query.properties.dead_letter_sink.clone().or_else(|| input.dead_letter_sink.clone());
        let sink = self.dead_letters(span, own.as_deref())?;
        Some((late.strategy, Some(sink)))
    }

    /// A call with its window, and the order in which it can be computed.
    fn placed(&mut self, input: &Relation, mut bound: BoundOver, at: usize) -> Option<Placed> {
        self.is_flat(&mut bound)?;
        let time = TimeColumns::of(input);
        time.replace_in(&mut bound);
        let framed = matches!(bound.function, OverFunction::Nth(_) | OverFunction::Last | OverFunction::Aggregate(_));
        let whole_partition =
            matches!(bound.function, OverFunction::PercentRank | OverFunction::CumeDist | OverFunction::Ntile(_));
        let ends = bound.window.frame.as_ref().and_then(|frame| frame.end.as_ref());
        let to_the_end = framed
            && match (ends, &bound.window.frame) {
                (Some(end), _) => matches!(end.kind, FrameBoundKind::UnboundedFollowing),
                (None, Some(_)) => false,
                (None, None) => bound.window.order_by.is_empty() && bound.window.buffer.is_none(),
            };
        let order = self.order_of(input, &bound, &time, whole_partition || to_the_end)?;
        if bound.window.buffer.is_some() {
            self.fits_buffer(&bound)?;
        }
        let ranks = whole_partition || matches!(bound.function, OverFunction::Rank | OverFunction::DenseRank);
        let orders = bound.window.order_by.len() > usize::from(order == OverOrder::EventTime);
        // The rows of a buffer are ordered for each row, unless it holds them in order.
        let in_buffer = bound.window.buffer.is_some() && (ranks || orders);
        let frame = if framed {
            self.frame(&bound.window, order, in_buffer)?
        } else {
            // These do not look at the frame; a wrong one is a mistake all the same.
            if bound.window.frame.is_some() {
                self.frame(&bound.window, order, in_buffer)?;
            }
            RowFrame { units: FrameUnits::Rows, start: None, end: Some(0) }
        };
        let BoundOver { function, arguments, filter, ignore_nulls, window, text, .. } = &bound;
        let mut order_by = window.order_by.iter().map(|key| SortKey {
            expr: key.typed.expr.clone(),
            descending: key.descending,
            nulls_first: key.nulls_first,
        });
        if order == OverOrder::EventTime && !in_buffer {
            // The node has it.
            order_by.next();
        }
        let exprs = arguments.iter().map(|typed| typed.expr.clone()).collect::<Vec<_>>();
        let function = match function {
            OverFunction::Aggregate(aggregate) => {
                let mut aggregate = aggregate.clone();
                aggregate.arguments.clone_from(&exprs);
                aggregate.filter = filter.as_ref().map(|filter| filter.expr.clone());
                OverFunction::Aggregate(aggregate)
            }
            other => other.clone(),
        };
        let passes = matches!(function, OverFunction::Shift(_) | OverFunction::Nth(_) | OverFunction::Last);
        let mut field = output(&bound, at).as_ref().clone();
        if let (true, Some(first)) = (passes, exprs.first()) {
            field = self.marked(field, first, input);
        }
        let call = OverCall {
            window: 0,
            function,
            argument_types: arguments.iter().map(|typed| typed.data_type.clone()).collect(),
            arguments: exprs,
            ignore_nulls: *ignore_nulls,
            output: Arc::new(field),
            text: text.clone(),
        };
        let window = RowWindow {
            partition_by: window.partition_by.iter().map(|typed| typed.expr.clone()).collect(),
            order_by: order_by.collect(),
            frame,
            buffer: window.buffer.map(|(buffer, _)| buffer),
        };
        Some(Placed { order, window, call })
    }

    /// In which order the rows of a window come. `whole`: the call needs to know the end of the partition.
    fn order_of(&mut self, input: &Relation, bound: &BoundOver, time: &TimeColumns, whole: bool) -> Option<OverOrder> {
        let window = &bound.window;
        let by_time = window.order_by.first().is_some_and(|key| !key.descending && time.is_time(&key.typed.expr));
        if window.buffer.is_some() {
            // Which rows a buffer holds is a matter of arrival, or of event time where that is the order; any other order is
            // one of the rows in it.
            return Some(if by_time { OverOrder::EventTime } else { OverOrder::Arrival });
        }
        if by_time && !whole {
            return Some(OverOrder::EventTime);
        }
        let per_window =
            !input.window_columns.is_empty() && window.partition_by.iter().any(|key| time.is_time(&key.expr));
        if per_window {
            return Some(OverOrder::Window);
        }
        if self.is_bounded(input.node) {
            return Some(OverOrder::End);
        }
        let named = time.name(input);
        let diagnostic = match window.order_by.first() {
            _ if by_time => Diagnostic::error(
                codes::UNBOUNDED,
                bound.span,
                "this needs to know where the partition ends, and the input does not end",
            )
            .help("end the frame at CURRENT ROW or some rows FOLLOWING; PERCENT_RANK, CUME_DIST and NTILE need an input that ends, or PARTITION BY a time window"),
            Some(key) if time.is_time(&key.typed.expr) => {
                let name = named.unwrap_or_else(|| "_event_time".to_owned());
                Diagnostic::error(
                    codes::UNBOUNDED,
                    key.typed.span,
                    "the latest row first needs an input that ends, and this one does not",
                )
                .help(format!("write ORDER BY {name} without DESC: rows come in the order of their times"))
            }
            Some(key) => {
                let text = key.typed.span.text(self.script).to_owned();
                let diagnostic = Diagnostic::error(
                    codes::NOT_EVENT_TIME,
                    key.typed.span,
                    format!("'{text}' is not the event time, and rows of an input that does not end can be ordered by nothing else"),
                );
                match named {
                    Some(name) => diagnostic.help(format!(
                        "write ORDER BY {name}; ROWS WINDOW BUFFER n ROWS goes by arrival; PARTITION BY a time window can have any order"
                    )),
                    None => diagnostic.help("the stream has no event time: add 'event.time.field' to its WITH clause, or write ROWS WINDOW BUFFER n ROWS, which goes by arrival"),
                }
            }
            None => {
                let help = match named {
                    Some(name) => format!("add ORDER BY {name}; ROWS WINDOW BUFFER n ROWS goes by arrival"),
                    None => "the stream has no event time: add 'event.time.field' to its WITH clause and ORDER BY it, or write ROWS WINDOW BUFFER n ROWS, which goes by arrival".to_owned(),
                };
                Diagnostic::error(
                    codes::UNBOUNDED,
                    window.span,
                    "a row window without ORDER BY needs an input that ends, and this one does not",
                )
                .help(help)
            }
        };
        self.error(diagnostic);
        None
    }

    /// What a buffer cannot do.
    fn fits_buffer(&mut self, bound: &BoundOver) -> Option<()> {
        let Some((buffer, span)) = bound.window.buffer else { return Some(()) };
        if let OverFunction::Shift(by) = bound.function
            && by < 0
            && by.unsigned_abs() >= buffer.rows
        {
            let message = format!(
                "LAG looks {} rows back, and the buffer holds {} with the current one",
                by.unsigned_abs(),
                buffer.rows
            );
            self.error(
                Diagnostic::error(codes::WINDOW, bound.span, message)
                    .also(span, "the buffer")
                    .help("make the buffer larger"),
            );
            return None;
        }
        Some(())
    }

    /// The frame of a window.
    fn frame(&mut self, window: &BoundWindow, order: OverOrder, in_buffer: bool) -> Option<RowFrame> {
        let Some(frame) = &window.frame else {
            return Some(match (&window.buffer, window.order_by.is_empty()) {
                // All that the buffer holds; where it goes by its rows' order, the current one is the last.
                (Some(_), _) => RowFrame { units: FrameUnits::Rows, start: None, end: (!in_buffer).then_some(0) },
                (None, true) => RowFrame { units: FrameUnits::Rows, start: None, end: None },
                (None, false) => RowFrame { units: FrameUnits::Peers, start: None, end: Some(0) },
            });
        };
        let none = FrameBound { kind: FrameBoundKind::CurrentRow, span: frame.span };
        let end = frame.end.as_ref().unwrap_or(&none);
        let impossible = match (&frame.start.kind, &end.kind) {
            (FrameBoundKind::UnboundedFollowing, _) => Some("a frame cannot begin at the partition's end"),
            (_, FrameBoundKind::UnboundedPreceding) => Some("a frame cannot end at the partition's beginning"),
            _ => None,
        };
        if let Some(message) = impossible {
            self.error(
                Diagnostic::error(codes::WINDOW, frame.span, message)
                    .help("for example ROWS BETWEEN 9 PRECEDING AND CURRENT ROW"),
            );
            return None;
        }
        if window.buffer.is_some() && !in_buffer && frame.units != AstUnits::Rows {
            self.error(
                Diagnostic::error(codes::WINDOW, frame.span, "the frame of a buffer counts rows")
                    .help("write ROWS BETWEEN …"),
            );
            return None;
        }
        let measured =
            |bound: &FrameBound| matches!(bound.kind, FrameBoundKind::Preceding(_) | FrameBoundKind::Following(_));
        let units = match frame.units {
            AstUnits::Rows => FrameUnits::Rows,
            AstUnits::Range if measured(&frame.start) || measured(end) => {
                if let [key] = window.order_by.as_slice() {
                    if order == OverOrder::EventTime && !in_buffer {
                        FrameUnits::Time
                    } else {
                        self.can_measure(&key.typed.data_type, frame)?;
                        FrameUnits::Value
                    }
                } else {
                    let message =
                        format!("RANGE with a distance needs one ORDER BY expression, not {}", window.order_by.len());
                    self.error(
                        Diagnostic::error(codes::WINDOW, frame.span, message)
                            .help("order by the event time or by a number; ROWS counts rows in any order"),
                    );
                    return None;
                }
            }
            AstUnits::Groups if window.order_by.is_empty() => {
                self.error(
                    Diagnostic::error(
                        codes::WINDOW,
                        frame.span,
                        "GROUPS counts the values of ORDER BY, and there is none",
                    )
                    .help("add ORDER BY, or count ROWS"),
                );
                return None;
            }
            AstUnits::Range | AstUnits::Groups => FrameUnits::Peers,
        };
        let key = window.order_by.first().map(|key| &key.typed.data_type);
        let start = self.bound(&frame.start, units, key);
        let end = self.bound(end, units, key);
        let (start, end) = (start?, end?);
        if let (Some(first), Some(last)) = (start, end)
            && first > last
        {
            self.error(
                Diagnostic::error(codes::WINDOW, frame.span, "this frame ends before it begins")
                    .help("write the earlier bound first, as in BETWEEN 9 PRECEDING AND 1 PRECEDING"),
            );
            return None;
        }
        Some(RowFrame { units, start, end })
    }

    fn can_measure(&mut self, data_type: &DataType, frame: &Frame) -> Option<()> {
        let exact = data_type.is_integer() || matches!(data_type, DataType::Decimal128(..));
        if exact || matches!(data_type, DataType::Date32 | DataType::Timestamp(..)) {
            return Some(());
        }
        let message = format!("there is no RANGE with a distance over {}", article(data_type));
        self.error(
            Diagnostic::error(codes::WINDOW, frame.span, message)
                .help("it goes over times, dates, whole numbers and decimals: CAST the ORDER BY expression to one"),
        );
        None
    }

    /// A bound as a distance; none: there is none.
    fn bound(&mut self, bound: &FrameBound, units: FrameUnits, key: Option<&DataType>) -> Option<Option<i128>> {
        match &bound.kind {
            FrameBoundKind::UnboundedPreceding | FrameBoundKind::UnboundedFollowing => Some(None),
            FrameBoundKind::CurrentRow => Some(Some(0)),
            FrameBoundKind::Preceding(length) => Some(Some(-self.distance(length, units, key)?)),
            FrameBoundKind::Following(length) => Some(Some(self.distance(length, units, key)?)),
        }
    }

    fn distance(&mut self, length: &Ast, units: FrameUnits, key: Option<&DataType>) -> Option<i128> {
        let scope = Scope::default();
        let constant = matches!(length.without_parentheses().kind, ExprKind::Literal(_));
        let typed = if constant { Some(self.binder(&scope, Err("a frame")).bind(length)?) } else { None };
        let Some(Typed { expr: Expr::Literal(value, _), data_type, .. }) = &typed else {
            self.error(
                Diagnostic::error(codes::LITERAL, length.span, "a distance of a frame is the same for all rows")
                    .help("write a number or an interval"),
            );
            return None;
        };
        let wanted = match (units, key) {
            (FrameUnits::Time, _) => "an interval, as in INTERVAL '5' MINUTE",
            (FrameUnits::Value, Some(DataType::Timestamp(..))) => "an interval, as in INTERVAL '5' MINUTE",
            (FrameUnits::Value, Some(DataType::Date32)) => "an interval of days, as in INTERVAL '5' DAY",
            (FrameUnits::Value, _) => "a number, as in 10 PRECEDING",
            _ => "a whole number of rows, as in 10 PRECEDING",
        };
        let found = match (units, key) {
            (FrameUnits::Time, _) => micros(value),
            (FrameUnits::Value, Some(DataType::Timestamp(unit, _))) => micros(value).and_then(|micros| match unit {
                TimeUnit::Nanosecond => micros.checked_mul(1_000),
                TimeUnit::Microsecond => Some(micros),
                TimeUnit::Millisecond => (micros % 1_000 == 0).then_some(micros / 1_000),
                TimeUnit::Second => (micros % 1_000_000 == 0).then_some(micros / 1_000_000),
            }),
            (FrameUnits::Value, Some(DataType::Date32)) => {
                let day = i128::from(velo_core::time::MICROS_PER_DAY);
                micros(value).filter(|micros| micros % day == 0).map(|micros| micros / day)
            }
            (FrameUnits::Value, Some(data_type)) => {
                let scale = match data_type {
                    DataType::Decimal128(_, scale) => *scale,
                    _ => 0,
                };
                scaled(value, scale)
            }
            _ => scaled(value, 0),
        };
        match found.filter(|distance| *distance >= 0) {
            Some(distance) => Some(distance),
            None => {
                let months = matches!(value, ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months != 0);
                let message = match months {
                    true => "a month has no fixed length".to_owned(),
                    false => format!("this distance is {}, and {wanted}, is needed", article(data_type)),
                };
                let diagnostic = Diagnostic::error(codes::WINDOW, length.span, message);
                self.error(if months { diagnostic.help("write days") } else { diagnostic });
                None
            }
        }
    }
}

/// `what` goes over rows that change, and nothing says when they no longer do.
pub(super) fn endless_changes(span: Span, what: &str) -> Diagnostic {
    let message = format!("{what} over results that change as long as the input goes on");
    Diagnostic::error(codes::UNBOUNDED, span, message)
        .help("group by a WINDOW: its results have a time, and no longer change when the watermark has passed it")
}

fn event_time() -> Expr {
    Expr::Column(Column::new_unqualified(schema::EVENT_TIME))
}

/// The columns that rows of a relation are ordered by in event time.
pub(super) struct TimeColumns {
    /// The event time itself.
    same: Vec<String>,
    /// Those that ascend with it.
    windows: Vec<String>,
}

impl TimeColumns {
    pub(super) fn of(input: &Relation) -> Self {
        if !input.has_event_time() {
            return Self { same: Vec::new(), windows: Vec::new() };
        }
        let same = std::iter::once(schema::EVENT_TIME.to_owned()).chain(input.event_time_columns.iter().cloned());
        Self { same: same.collect(), windows: input.window_columns.clone() }
    }

    pub(super) fn is_same(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Column(column) if self.same.iter().any(|name| name == column.name()))
    }

    /// The event time under any name is one column.
    fn replace_in(&self, bound: &mut BoundOver) {
        for typed in bound.expressions().filter(|typed| self.is_same(&typed.expr)) {
            typed.expr = event_time();
            typed.data_type = schema::EVENT_TIME_TYPE;
        }
    }

    pub(super) fn is_time(&self, expr: &Expr) -> bool {
        self.is_same(expr)
            || matches!(expr, Expr::Column(column) if self.windows.iter().any(|name| name == column.name()))
    }

    /// What the user calls it.
    pub(super) fn name(&self, input: &Relation) -> Option<String> {
        let column = |name: &String| {
            let found = input.scope.columns.iter().find(|column| column.field.name() == name && !column.hidden);
            found.map(|column| column.name.clone())
        };
        let named = input.event_time_columns.iter().chain(&input.window_columns).find_map(column);
        named.or_else(|| (!self.same.is_empty()).then(|| "_event_time".to_owned()))
    }
}

/// An interval of fixed length in microseconds.
fn micros(value: &ScalarValue) -> Option<i128> {
    let ScalarValue::IntervalMonthDayNano(Some(interval)) = value else { return None };
    if interval.months != 0 || interval.nanoseconds % 1_000 != 0 {
        return None;
    }
    let days = i128::from(interval.days) * i128::from(velo_core::time::MICROS_PER_DAY);
    Some(days + i128::from(interval.nanoseconds / 1_000))
}

/// A number in units of a scale.
fn scaled(value: &ScalarValue, scale: i8) -> Option<i128> {
    let (number, own) = match value {
        ScalarValue::Int32(Some(value)) => (i128::from(*value), 0),
        ScalarValue::Int64(Some(value)) => (i128::from(*value), 0),
        ScalarValue::Decimal128(Some(value), _, own) => (*value, *own),
        _ => return None,
    };
    let more = i32::from(scale) - i32::from(own);
    let factor = 10_i128.checked_pow(more.unsigned_abs())?;
    if more >= 0 { number.checked_mul(factor) } else { (number % factor == 0).then_some(number / factor) }
}
