//! OVER: the calls of row windows with their windows, as they are written.
//!
//! What is bound here becomes nodes in `over.rs`, when it is known which rows the windows are over.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::Expr;
use velo_core::suggest::nearest;
use velo_sql::ast::{
    BufferEmit, BufferExpire, Call, Direction, ExprKind, Frame, Ident, Literal, NamedWindow, NullTreatment, NullsOrder,
    ObjectName, Over, WindowSpec,
};
use velo_sql::{Diagnostic, Span};

use super::expr::{ExprBinder, Typed, article};
use super::literal;
use crate::codes;
use crate::functions::arithmetic::Arithmetic;
use crate::plan::{OverFunction, RowBuffer};

/// Row windows of one SELECT, as far as they are bound.
#[derive(Debug, Default)]
pub struct RowWindows {
    /// `WINDOW name AS (…)`.
    pub(super) named: Arc<[NamedWindow]>,
    /// The calls, each once.
    pub(super) calls: Vec<BoundOver>,
}

impl RowWindows {
    /// Where the first call stands.
    pub(super) fn first_place(&self) -> Option<Span> {
        self.calls.first().map(|call| call.span)
    }
}

/// One call of a row window.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BoundOver {
    pub(super) function: OverFunction,
    pub(super) arguments: Vec<Typed>,
    /// FILTER of an aggregate.
    pub(super) filter: Option<Typed>,
    pub(super) ignore_nulls: bool,
    pub(super) window: BoundWindow,
    pub(super) data_type: DataType,
    pub(super) nullable: bool,
    pub(super) text: String,
    pub(super) span: Span,
}

/// Its window.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct BoundWindow {
    pub(super) partition_by: Vec<Typed>,
    pub(super) order_by: Vec<BoundKey>,
    pub(super) frame: Option<Frame>,
    pub(super) buffer: Option<(RowBuffer, Span)>,
    pub(super) span: Span,
}

/// One key of its order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BoundKey {
    pub(super) typed: Typed,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

impl BoundOver {
    /// The column of its result.
    pub(super) fn column(at: usize) -> String {
        format!("$over{at}")
    }

    /// Whether two calls are the same, wherever they stand.
    fn same(&self, other: &Self) -> bool {
        let exprs = |all: &[Typed]| all.iter().map(|typed| typed.expr.clone()).collect::<Vec<_>>();
        let order = |window: &BoundWindow| {
            let keys = window.order_by.iter();
            keys.map(|key| (key.typed.expr.clone(), key.descending, key.nulls_first)).collect::<Vec<_>>()
        };
        let (mine, its) = (&self.window, &other.window);
        self.function == other.function
            && self.ignore_nulls == other.ignore_nulls
            && exprs(&self.arguments) == exprs(&other.arguments)
            && exprs(&mine.partition_by) == exprs(&its.partition_by)
            && order(mine) == order(its)
            && mine.frame == its.frame
            && mine.buffer.map(|(buffer, _)| buffer) == its.buffer.map(|(buffer, _)| buffer)
    }

    /// All expressions of the call and its window.
    pub(super) fn expressions(&mut self) -> impl Iterator<Item = &mut Typed> {
        let window = &mut self.window;
        let order = window.order_by.iter_mut().map(|key| &mut key.typed);
        self.arguments.iter_mut().chain(&mut self.filter).chain(window.partition_by.iter_mut()).chain(order)
    }
}

/// Functions that only row windows have.
const ONLY: &[&str] =
    &["row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead", "nth_value"];

/// Whether a function of this lower-case name is nothing without OVER.
pub(super) fn needs_over(name: &str) -> bool {
    ONLY.contains(&name)
}

impl ExprBinder<'_> {
    /// A function that needs OVER and has none.
    pub(super) fn without_over(&mut self, call: &Call, span: Span) -> Option<Typed> {
        let name = call.name.text().to_uppercase();
        self.report(
            Diagnostic::error(codes::ARGUMENTS, span, format!("{name} needs OVER (…)"))
                .help(format!("write {name}(…) OVER (PARTITION BY … ORDER BY …)")),
        )
    }

    /// `f(…) OVER …`.
    pub(super) fn over_call(&mut self, call: &Call, over: &Over, span: Span) -> Option<Typed> {
        if let Err(place) = self.row_windows {
            let help = match place {
                "a row window" | "the argument of an aggregate" => {
                    "compute the inner one in a query of its own, and read that in FROM"
                }
                "ORDER BY" => "select it under a name, and order by that",
                _ => {
                    "row windows are computed over what WHERE, GROUP BY and HAVING leave: read the query in FROM, and write the condition around it"
                }
            };
            return self.report(
                Diagnostic::error(codes::MISPLACED_AGGREGATE, span, format!("a row window cannot stand in {place}"))
                    .help(help),
            );
        }
        if call.name.text().eq_ignore_ascii_case("delta") {
            // DELTA(x) is MAX(x) - MIN(x).
            let part = |name: &str| Call { name: ObjectName { parts: vec![Ident::plain(name)] }, ..call.clone() };
            let (high, low) = (self.over_call(&part("max"), over, span)?, self.over_call(&part("min"), over, span)?);
            return self.arithmetic(Arithmetic::Subtract, high, low, span, span);
        }
        let outer = std::mem::replace(&mut self.row_windows, Err("a row window"));
        let named = outer.as_ref().map(|windows| Arc::clone(&windows.named)).unwrap_or_default();
        let window = match over {
            Over::Named(name) => self.named_window(name, &named),
            Over::Spec(spec) => self.window_spec(spec, &named),
        };
        let at = match over {
            Over::Named(name) => name.span,
            Over::Spec(spec) => spec.span,
        };
        let text = Span::new(span.start, at.start).text(self.script).split_whitespace().collect::<Vec<_>>().join(" ");
        let written = call.name.text();
        let text = match text.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("delta")) {
            // Its two halves are shown as what they are.
            true => format!("{}{}", written.to_uppercase(), &text[5..]),
            false => text,
        };
        let bound = self.over_function(call, text.trim_end_matches(|c: char| c.is_alphabetic()).trim_end(), span);
        self.row_windows = outer;
        let (mut bound, window) = (bound?, window?);
        bound.window = window;
        let Ok(windows) = &mut self.row_windows else { return None };
        let at = match windows.calls.iter().position(|known| known.same(&bound)) {
            Some(at) => at,
            None => {
                windows.calls.push(bound);
                windows.calls.len() - 1
            }
        };
        let bound = &windows.calls[at];
        Some(Typed {
            expr: Expr::Column(Column::new_unqualified(BoundOver::column(at))),
            data_type: bound.data_type.clone(),
            nullable: bound.nullable,
            unknown: false,
            span,
        })
    }

    /// Names of windows must be told apart, and each must be right, whether it is used or not.
    pub(super) fn check_named(&mut self, named: &[NamedWindow]) -> Option<()> {
        let mut fine = true;
        for (at, window) in named.iter().enumerate() {
            if let Some(first) = named[..at].iter().find(|other| other.name.matches(&window.name.value)) {
                let message = format!("a second window '{}'", window.name.value);
                self.report(
                    Diagnostic::error(codes::DUPLICATE_NAME, window.name.span, message)
                        .also(first.name.span, "the first")
                        .help("give one of them another name"),
                );
                fine = false;
            }
            let outer = std::mem::replace(&mut self.row_windows, Err("a row window"));
            fine &= self.window_spec(&window.spec, &named[..at]).is_some();
            self.row_windows = outer;
        }
        fine.then_some(())
    }

    fn named_window(&mut self, name: &Ident, named: &[NamedWindow]) -> Option<BoundWindow> {
        let Some(at) = named.iter().position(|window| name.matches(&window.name.value)) else {
            let message = format!("there is no window '{}'", name.value);
            let diagnostic = Diagnostic::error(codes::WINDOW, name.span, message);
            self.report(match nearest(&name.value, named.iter().map(|window| window.name.value.as_str())) {
                Some(near) => diagnostic.help(format!("did you mean {near}?")),
                None => diagnostic.help(format!("WINDOW {} AS (…) behind FROM declares it", name.value)),
            });
            return None;
        };
        // A window can build on those before it only, so this ends.
        self.window_spec(&named[at].spec, &named[..at])
    }

    fn window_spec(&mut self, spec: &WindowSpec, named: &[NamedWindow]) -> Option<BoundWindow> {
        let mut window = match &spec.base {
            Some(base) => self.named_window(base, named)?,
            None => BoundWindow::default(),
        };
        if let Some(base) = &spec.base {
            let again = [
                (!spec.partition_by.is_empty(), "PARTITION BY"),
                (!spec.order_by.is_empty() && !window.order_by.is_empty(), "ORDER BY"),
                (window.frame.is_some(), "a frame"),
                (spec.buffer.is_some() || window.buffer.is_some(), "a buffer"),
            ];
            if let Some((_, what)) = again.iter().find(|(again, _)| *again) {
                let message = format!("{what} cannot be changed where a window builds on '{}'", base.value);
                self.report(
                    Diagnostic::error(codes::WINDOW, spec.span, message)
                        .help("write the whole window here, without the name"),
                );
                return None;
            }
        }
        window.span = spec.span;
        let partition_by = self.bind_all(&spec.partition_by);
        let mut order_by = Vec::with_capacity(spec.order_by.len());
        for item in &spec.order_by {
            let descending = item.direction == Some(Direction::Descending);
            order_by.push(self.bind(&item.expr).map(|typed| BoundKey {
                typed,
                descending,
                // As in PostgreSQL, nulls count as larger than any value.
                nulls_first: item.nulls.map_or(descending, |nulls| nulls == NullsOrder::First),
            }));
        }
        let (partition_by, order_by) = (partition_by?, order_by.into_iter().collect::<Option<Vec<_>>>()?);
        if spec.base.is_none() {
            window.partition_by = partition_by;
        }
        if !order_by.is_empty() {
            window.order_by = order_by;
        }
        window.frame.clone_from(&spec.frame);
        if let Some(buffer) = &spec.buffer {
            let rows = buffer.size.replace('_', "").parse::<u64>().ok().filter(|rows| *rows > 0);
            let Some(rows) = rows else {
                self.report(
                    Diagnostic::error(codes::WINDOW, buffer.span, "a buffer holds at least one row")
                        .help("write a whole number, as in ROWS WINDOW BUFFER 100 ROWS"),
                );
                return None;
            };
            let expire = match &buffer.expire {
                Some(BufferExpire::AfterInactivity(length)) => {
                    let micros = match &length.without_parentheses().kind {
                        ExprKind::Literal(Literal::Interval(interval)) => literal::micros(interval, length.span),
                        _ => Err(Diagnostic::error(codes::WINDOW, length.span, "EXPIRE AFTER takes a duration")
                            .help("write INTERVAL '5' MINUTE or 5m")),
                    };
                    match micros {
                        Ok(micros) if micros > 0 => Some(velo_core::duration::Span(micros)),
                        Ok(_) => {
                            self.report(Diagnostic::error(
                                codes::WINDOW,
                                length.span,
                                "EXPIRE AFTER must be more than zero",
                            ));
                            return None;
                        }
                        Err(diagnostic) => {
                            self.report(diagnostic);
                            return None;
                        }
                    }
                }
                Some(BufferExpire::Never) | None => None,
            };
            let when_full = buffer.emit == Some(BufferEmit::OnBufferFull);
            window.buffer = Some((RowBuffer { rows, when_full, expire }, buffer.span));
        }
        Some(window)
    }

    /// The function with its arguments; its window is not there yet.
    fn over_function(&mut self, call: &Call, text: &str, span: Span) -> Option<BoundOver> {
        let name = call.name.text().to_lowercase();
        let text = text.to_owned();
        let own = needs_over(&name) || ["first_value", "last_value"].contains(&name.as_str());
        if !own {
            let Some(kind) = self.aggregate_kind(&name) else {
                let message = format!("{} is no function of rows", call.name.text().to_uppercase());
                return self.report_over(
                    Diagnostic::error(codes::ARGUMENTS, call.name.span(), message)
                        .help("OVER takes aggregates, and LAG, LEAD, ROW_NUMBER, RANK and their like"),
                );
            };
            if let Some(item) = call.order_by.first() {
                return self.report_over(
                    Diagnostic::error(
                        codes::NOT_SUPPORTED,
                        item.span,
                        "an order inside an aggregate with OVER cannot run yet",
                    )
                    .help("the ORDER BY of its window says in which order rows go in"),
                );
            }
            let aggregate = self.aggregate_call(call, kind, span)?;
            let typed = |(expr, data_type): (&Expr, &DataType)| Typed {
                expr: expr.clone(),
                data_type: data_type.clone(),
                nullable: true,
                unknown: false,
                span,
            };
            return Some(BoundOver {
                arguments: aggregate.arguments.iter().zip(&aggregate.argument_types).map(typed).collect(),
                filter: aggregate.filter.as_ref().map(|filter| typed((filter, &DataType::Boolean))),
                ignore_nulls: false,
                window: BoundWindow::default(),
                data_type: aggregate.output.data_type().clone(),
                nullable: aggregate.output.is_nullable(),
                function: OverFunction::Aggregate(Box::new(aggregate)),
                text,
                span,
            });
        }
        if call.distinct || call.filter.is_some() || !call.order_by.is_empty() || !call.within_group.is_empty() {
            let message = format!("{} has no DISTINCT, FILTER or order of its own", name.to_uppercase());
            return self.report_over(Diagnostic::error(codes::ARGUMENTS, span, message).help("leave it out"));
        }
        let takes_nulls = ["lag", "lead", "first_value", "last_value", "nth_value"].contains(&name.as_str());
        if call.nulls.is_some() && !takes_nulls {
            let message = format!("{} looks at no values that could be null", name.to_uppercase());
            return self.report_over(
                Diagnostic::error(codes::ARGUMENTS, span, message).help("leave IGNORE NULLS or RESPECT NULLS out"),
            );
        }
        let arguments = self.arguments(call)?;
        let (function, arguments, data_type) = self.own_function(&name, arguments, span)?;
        let nullable = takes_nulls;
        let ignore_nulls = call.nulls == Some(NullTreatment::Ignore);
        let window = BoundWindow::default();
        Some(BoundOver { function, arguments, filter: None, ignore_nulls, window, data_type, nullable, text, span })
    }

    fn report_over(&mut self, diagnostic: Diagnostic) -> Option<BoundOver> {
        self.report(diagnostic);
        None
    }

    /// A function that only row windows have: what it is, the arguments that are computed for each row, and its type.
    fn own_function(
        &mut self,
        name: &str,
        mut arguments: Vec<Typed>,
        span: Span,
    ) -> Option<(OverFunction, Vec<Typed>, DataType)> {
        let (takes, least, most) = match name {
            "ntile" => ("NTILE(parts)", 1, 1),
            "lag" => ("LAG(value [, rows back [, value where there is none]])", 1, 3),
            "lead" => ("LEAD(value [, rows ahead [, value where there is none]])", 1, 3),
            "first_value" => ("FIRST_VALUE(value)", 1, 1),
            "last_value" => ("LAST_VALUE(value)", 1, 1),
            "nth_value" => ("NTH_VALUE(value, n)", 2, 2),
            _ => ("", 0, 0),
        };
        let upper = name.to_uppercase();
        if arguments.len() < least || arguments.len() > most {
            let help = if takes.is_empty() { format!("{upper}()") } else { takes.to_owned() };
            let given = match arguments.len() {
                1 => "one argument".to_owned(),
                given => format!("{given} arguments"),
            };
            self.report(
                Diagnostic::error(codes::ARGUMENTS, span, format!("{upper} does not take {given}"))
                    .help(format!("it is written {help}")),
            );
            return None;
        }
        let number = |function| Some((function, Vec::new(), DataType::Int64));
        match name {
            "row_number" => number(OverFunction::RowNumber),
            "rank" => number(OverFunction::Rank),
            "dense_rank" => number(OverFunction::DenseRank),
            "percent_rank" => Some((OverFunction::PercentRank, Vec::new(), DataType::Float64)),
            "cume_dist" => Some((OverFunction::CumeDist, Vec::new(), DataType::Float64)),
            "ntile" => {
                let parts = self.constant(&arguments[0], 1, "the number of parts of NTILE")?;
                number(OverFunction::Ntile(parts.unsigned_abs()))
            }
            _ => {
                let first_span = arguments[0].span;
                if arguments[0].unknown {
                    // A text that nothing gives another type.
                    arguments[0] = self.cast(arguments[0].clone(), &DataType::Utf8, false, first_span)?;
                }
                let data_type = arguments[0].data_type.clone();
                if matches!(data_type, DataType::Map(..) | DataType::Null) {
                    let message = format!("there is no {upper} of {}", article(&data_type));
                    self.report(
                        Diagnostic::error(codes::ARGUMENTS, first_span, message)
                            .help("name a column, or an element of the map, as in m['key']"),
                    );
                    return None;
                }
                match name {
                    "first_value" => Some((OverFunction::Nth(1), arguments, data_type)),
                    "last_value" => Some((OverFunction::Last, arguments, data_type)),
                    "nth_value" => {
                        let n = self.constant(&arguments[1], 1, "the row of NTH_VALUE")?;
                        arguments.truncate(1);
                        Some((OverFunction::Nth(n.unsigned_abs()), arguments, data_type))
                    }
                    _ => {
                        let rows = match arguments.get(1) {
                            Some(rows) => self.constant(rows, 0, &format!("the distance of {upper}"))?,
                            None => 1,
                        };
                        let by = if name == "lag" { -rows } else { rows };
                        let mut kept = vec![arguments[0].clone()];
                        if let Some(default) = arguments.get(2) {
                            kept.push(default.clone());
                            let what = format!("the value of {upper} and its default,");
                            kept = self.unify(kept, span, &what)?.0;
                        }
                        let data_type = kept[0].data_type.clone();
                        Some((OverFunction::Shift(by), kept, data_type))
                    }
                }
            }
        }
    }

    /// A whole number that is the same for all rows.
    fn constant(&mut self, typed: &Typed, least: i64, what: &str) -> Option<i64> {
        let value = match &typed.expr {
            Expr::Literal(ScalarValue::Int32(Some(value)), _) => Some(i64::from(*value)),
            Expr::Literal(ScalarValue::Int64(Some(value)), _) => Some(*value),
            _ => None,
        };
        match value.filter(|value| *value >= least) {
            Some(value) => Some(value),
            None => {
                self.report(
                    Diagnostic::error(
                        codes::ARGUMENTS,
                        typed.span,
                        format!("{what} is a whole number from {least} on"),
                    )
                    .help("write it as a number: it is the same for all rows"),
                );
                None
            }
        }
    }
}

/// The field of a call's result.
pub(super) fn output(bound: &BoundOver, at: usize) -> Arc<Field> {
    Arc::new(Field::new(BoundOver::column(at), bound.data_type.clone(), bound.nullable))
}
