//! Function calls: scalar functions fitted to their signature, aggregates gathered.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef};
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::type_coercion::functions::fields_with_udf;
use datafusion_expr::{AggregateUDF, Case, Expr, ReturnFieldArgs, ScalarUDF};
use velo_core::types;
use velo_sql::ast::{Call, CallArg, Direction, Ident, NullTreatment, NullsOrder, ObjectName, TimeWindowKind};
use velo_sql::{Diagnostic, Span};

use super::expr::{ExprBinder, Typed, article};
use super::query::column_of;
use super::row_window::needs_over;
use crate::codes;
use crate::functions::arithmetic::Arithmetic;
use crate::plan::{AggregateCall, AggregateKind, SortKey};

/// The kind of window that a function of this lower-case name puts around rows.
pub(super) fn window_kind(name: &str) -> Option<TimeWindowKind> {
    Some(match name {
        "tumble" | "tumbling" => TimeWindowKind::Tumbling,
        "hop" | "hopping" | "sliding" => TimeWindowKind::Sliding,
        "session" => TimeWindowKind::Session,
        "cumulate" => TimeWindowKind::Cumulate,
        _ => return None,
    })
}

/// `TUMBLE_START(…)` and its like stand for the start or end of the window that is grouped by.
pub(super) fn window_bound(name: &str) -> Option<(TimeWindowKind, &'static str)> {
    let (window, bound) = name.rsplit_once('_')?;
    let kind = match window {
        "window" => TimeWindowKind::Tumbling,
        window => window_kind(window)?,
    };
    match bound {
        "start" => Some((kind, "_window_start")),
        "end" => Some((kind, "_window_end")),
        _ => None,
    }
}

/// COALESCE: arguments behind the first one that is not null are not computed.
fn first_known(mut arguments: Vec<Typed>, data_type: DataType, nullable: bool, span: Span) -> Option<Typed> {
    let last = arguments.pop()?;
    let branches: Vec<(Expr, Expr)> =
        arguments.into_iter().map(|typed| (Expr::IsNotNull(Box::new(typed.expr.clone())), typed.expr)).collect();
    let expr = if branches.is_empty() { last.expr } else { case(branches, last.expr) };
    Some(Typed { expr, data_type, nullable, unknown: false, span })
}

pub(super) fn case(branches: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
    let when_then_expr = branches.into_iter().map(|(when, then)| (Box::new(when), Box::new(then))).collect();
    Expr::Case(Case { expr: None, when_then_expr, else_expr: Some(Box::new(otherwise)) })
}

const HOW_AGGREGATES: &str = "docs/reference/functions.md says what each aggregate takes";

/// Aggregates that make one text of many.
fn is_list(name: &str) -> bool {
    ["listagg", "group_concat", "string_agg"].contains(&name.to_lowercase().as_str())
}

/// Functions whose arguments are alternatives of one type.
const ALTERNATIVES: &[&str] = &["coalesce", "ifnull", "nvl", "greatest", "least", "nullif"];

impl ExprBinder<'_> {
    pub(super) fn call(&mut self, call: &Call, span: Span) -> Option<Typed> {
        let name = call.name.text().to_lowercase();
        let name_span = call.name.span();
        if let Some(over) = &call.over {
            return self.over_call(call, over, span);
        }
        if self.matching.is_some()
            && let Some(bound) = self.match_call(call, &name, span)
        {
            return bound;
        }
        if needs_over(&name) && self.functions.scalar(&name).is_none() {
            return self.without_over(call, span);
        }
        if let Some((_, column)) = window_bound(&name) {
            if let Some(found) = self.scope.columns.iter().find(|candidate| candidate.name == column) {
                return Some(column_of(found, span));
            }
            let message = format!("{} is of a window, and there is none here", call.name.text().to_uppercase());
            return self.report(
                Diagnostic::error(codes::WINDOW, span, message)
                    .help("it stands in SELECT and HAVING, where the query has a WINDOW or groups by TUMBLE(…)"),
            );
        }
        if window_kind(&name).is_some() {
            let message = format!("{}(…) is no value: it puts a window around rows", call.name.text().to_uppercase());
            return self.report(
                Diagnostic::error(codes::WINDOW, span, message)
                    .help("it stands in GROUP BY or FROM; _window_start and _window_end are its bounds"),
            );
        }
        if name == "delta" {
            return self.delta(call, span);
        }
        if name == "grouping" || name == "grouping_id" {
            return self.grouping(call, span);
        }
        if let Some(kind) = self.aggregate_kind(&name) {
            return self.aggregate(call, kind, span);
        }
        let user = self.functions.user(&name).cloned();
        if user.is_none() && !self.functions.is_known(&name) {
            let mut diagnostic = Diagnostic::error(
                codes::UNKNOWN_FUNCTION,
                name_span,
                format!("there is no function '{}'", call.name.text()),
            );
            diagnostic = match self.functions.nearest(&name) {
                Some(near) => diagnostic.help(format!("did you mean {}?", near.to_uppercase())),
                None => diagnostic.help("`velo functions` lists them"),
            };
            return self.report(diagnostic);
        }
        let ordered = !call.order_by.is_empty() || !call.within_group.is_empty();
        if call.filter.is_some() || call.distinct || ordered || call.nulls.is_some() {
            let message = format!(
                "{} is no aggregate: DISTINCT, ORDER BY, FILTER and IGNORE NULLS have no meaning here",
                call.name.text()
            );
            return self.report(Diagnostic::error(codes::ARGUMENTS, span, message).help("leave it out"));
        }
        if let Some(function) = user {
            let arguments = self.arguments(call)?;
            return self.user_call(call.name.text().as_str(), &function, arguments, span);
        }
        if let Some(bound) = self.with_unit(&name, call, span) {
            return bound;
        }
        let arguments = self.arguments(call)?;
        let arguments = match self.special(&name, arguments, name_span, span) {
            Ok(bound) => return bound,
            Err(arguments) => arguments,
        };
        if ALTERNATIVES.contains(&name.as_str()) && !arguments.is_empty() {
            let nullable = match name.as_str() {
                "nullif" => true,
                _ => arguments.iter().all(|typed| typed.nullable),
            };
            let what = format!("the arguments of {},", call.name.text().to_uppercase());
            let (arguments, data_type) = self.unify(arguments, span, &what)?;
            if let DataType::Interval(_) = data_type
                && ["greatest", "least", "nullif"].contains(&name.as_str())
            {
                return self.interval_alternatives(&name, arguments, nullable, span);
            }
            if ["coalesce", "ifnull", "nvl"].contains(&name.as_str()) {
                return first_known(arguments, data_type, nullable, span);
            }
            let typed = self.scalar_call(&name, arguments, name_span, span)?;
            return Some(Typed { nullable, ..typed });
        }
        if name == "nvl2" {
            let arguments: [Typed; 3] = match arguments.try_into() {
                Ok(arguments) => arguments,
                Err(arguments) => return self.wrong_arguments(&name, &arguments, name_span),
            };
            let [tested, known, unknown] = arguments;
            let nullable = known.nullable || unknown.nullable;
            let (mut results, data_type) = self.unify(vec![known, unknown], span, "the results of NVL2,")?;
            let (unknown, known) = (results.pop()?, results.pop()?);
            let expr = case(vec![(Expr::IsNotNull(Box::new(tested.expr)), known.expr)], unknown.expr);
            return Some(Typed { expr, data_type, nullable, unknown: false, span });
        }
        self.scalar_call(&name, arguments, name_span, span)
    }

    pub(super) fn arguments(&mut self, call: &Call) -> Option<Vec<Typed>> {
        let mut bound = Vec::with_capacity(call.args.len());
        for argument in &call.args {
            bound.push(match argument {
                CallArg::Positional(expr) => self.bind(expr),
                CallArg::Named { name, .. } => self.report(
                    Diagnostic::error(
                        codes::ARGUMENTS,
                        name.span,
                        format!("{} takes its arguments by position", call.name.text()),
                    )
                    .help("write the values alone, in their order"),
                ),
                CallArg::Wildcard(at) => self.report(
                    Diagnostic::error(codes::ARGUMENTS, *at, "* stands for rows only in COUNT(*)")
                        .help("name a column, or write an expression"),
                ),
            });
        }
        bound.into_iter().collect()
    }

    /// A call of a library function with its arguments converted to what it takes.
    pub(super) fn scalar_call(
        &mut self,
        name: &str,
        arguments: Vec<Typed>,
        name_span: Span,
        span: Span,
    ) -> Option<Typed> {
        let function: Arc<ScalarUDF> = match self.functions.scalar(name) {
            Some(function) => Arc::clone(function),
            None => {
                return self.report(Diagnostic::error(
                    codes::UNKNOWN_FUNCTION,
                    name_span,
                    format!("there is no function '{name}'"),
                ));
            }
        };
        match self.try_call(&function, arguments.clone(), span) {
            Some(found) => found,
            None => self.wrong_arguments(name, &arguments, name_span),
        }
    }

    /// A call with its arguments converted to what the function takes; `None` where it does not take them.
    pub(super) fn try_call(
        &mut self,
        function: &Arc<ScalarUDF>,
        arguments: Vec<Typed>,
        span: Span,
    ) -> Option<Option<Typed>> {
        let fields: Vec<FieldRef> = arguments
            .iter()
            .enumerate()
            .map(|(at, typed)| Arc::new(Field::new(format!("a{at}"), typed.data_type.clone(), typed.nullable)))
            .collect();
        let fitted = fields_with_udf(&fields, function.as_ref()).ok()?;
        let mut converted = Vec::with_capacity(arguments.len());
        for (typed, field) in arguments.into_iter().zip(&fitted) {
            let at = typed.span;
            match self.cast(typed, field.data_type(), false, at) {
                Some(typed) => converted.push(typed),
                None => return Some(None),
            }
        }
        let scalars: Vec<Option<ScalarValue>> = converted
            .iter()
            .map(|typed| match &typed.expr {
                Expr::Literal(value, _) => Some(value.clone()),
                _ => None,
            })
            .collect();
        let scalar_refs: Vec<Option<&ScalarValue>> = scalars.iter().map(Option::as_ref).collect();
        let given = ReturnFieldArgs { arg_fields: &fitted, scalar_arguments: &scalar_refs };
        let returned = function.return_field_from_args(given).ok()?;
        let exprs = converted.into_iter().map(|typed| typed.expr).collect();
        let found = Typed {
            expr: Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), exprs)),
            data_type: returned.data_type().clone(),
            nullable: returned.is_nullable(),
            unknown: false,
            span,
        };
        // The library counts without a sign, and has several types of text.
        let ours = match &found.data_type {
            DataType::UInt64 | DataType::UInt32 => DataType::Int64,
            DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
            _ => return Some(Some(found)),
        };
        Some(self.cast(found, &ours, false, span))
    }

    /// The library's own message speaks of its bugs and versions; ours says what was given.
    pub(super) fn wrong_arguments(&mut self, name: &str, arguments: &[Typed], span: Span) -> Option<Typed> {
        let given: Vec<String> = arguments.iter().map(|typed| types::sql_name(&typed.data_type)).collect();
        // POSITION(a IN b) and its like are functions of other names within.
        let written =
            span.text(self.script).split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        if !written.is_empty() && !written.eq_ignore_ascii_case(name) {
            let message = format!("there is no {} of {}", written.to_uppercase(), given.join(" and "));
            return self.report(
                Diagnostic::error(codes::ARGUMENTS, span, message)
                    .help("it takes texts, and whole numbers for places: CAST what is none"),
            );
        }
        let message = match given.as_slice() {
            [] => format!("{} needs arguments", name.to_uppercase()),
            given => format!("there is no {}({})", name.to_uppercase(), given.join(", ")),
        };
        let mut diagnostic = Diagnostic::error(codes::ARGUMENTS, span, message);
        if let Some(entry) = self.functions.entry(name) {
            diagnostic = diagnostic.help(format!("it is written {}", entry.form));
        }
        self.report(diagnostic)
    }

    pub(super) fn aggregate_kind(&self, name: &str) -> Option<AggregateKind> {
        Some(match name {
            "count" => AggregateKind::Count,
            "sum" => AggregateKind::Sum,
            "avg" | "mean" => AggregateKind::Avg,
            "min" => AggregateKind::Min,
            "max" => AggregateKind::Max,
            "first" | "first_value" => AggregateKind::First,
            "last" | "last_value" => AggregateKind::Last,
            "arg_min" | "min_by" => AggregateKind::ArgMin,
            "arg_max" | "max_by" => AggregateKind::ArgMax,
            "bool_and" | "every" => AggregateKind::BoolAnd,
            "bool_or" => AggregateKind::BoolOr,
            "count_distinct" => AggregateKind::Count,
            other => AggregateKind::Library(Arc::clone(self.functions.aggregate(other)?)),
        })
    }

    /// DELTA(x) is MAX(x) - MIN(x).
    fn delta(&mut self, call: &Call, span: Span) -> Option<Typed> {
        let part = |name: &str| Call { name: ObjectName { parts: vec![Ident::plain(name)] }, ..call.clone() };
        let high = self.aggregate(&part("max"), AggregateKind::Max, span)?;
        if !(high.data_type.is_numeric() || high.data_type.is_temporal()) {
            let first = call.args.first().map_or(span, CallArg::span);
            let message = format!("there is no DELTA of {}", article(&high.data_type));
            return self.report(
                Diagnostic::error(codes::ARGUMENTS, first, message)
                    .help("DELTA(x) is MAX(x) - MIN(x), of numbers and times"),
            );
        }
        let low = self.aggregate(&part("min"), AggregateKind::Min, span)?;
        self.arithmetic(Arithmetic::Subtract, high, low, span, span)
    }

    fn aggregate(&mut self, call: &Call, kind: AggregateKind, span: Span) -> Option<Typed> {
        if self.matching.is_some() {
            return self.match_aggregate(call, kind, span);
        }
        if let Err(place) = self.aggregates {
            let help = match place {
                "ORDER BY" => "give it a name in the select list, and order by that name",
                "the argument of an aggregate" => "compute the inner one in a query of its own, and read that in FROM",
                _ => "aggregates stand in SELECT and HAVING; conditions on them belong in HAVING",
            };
            return self.report(
                Diagnostic::error(codes::MISPLACED_AGGREGATE, span, format!("an aggregate cannot stand in {place}"))
                    .help(help),
            );
        }
        // An aggregate's own arguments cannot hold another aggregate.
        let gathered = std::mem::replace(&mut self.aggregates, Err("the argument of an aggregate"));
        let windows = std::mem::replace(&mut self.row_windows, Err("the argument of an aggregate"));
        let aggregate = self.aggregate_call(call, kind, span);
        (self.aggregates, self.row_windows) = (gathered, windows);
        let aggregate = aggregate?;
        let (data_type, nullable) = (aggregate.output.data_type().clone(), aggregate.output.is_nullable());
        let column = self.gather(aggregate)?;
        Some(Typed { expr: Expr::Column(Column::new_unqualified(column)), data_type, nullable, unknown: false, span })
    }

    /// An aggregate with its arguments.
    pub(super) fn aggregate_call(&mut self, call: &Call, kind: AggregateKind, span: Span) -> Option<AggregateCall> {
        let name = call.name.text();
        let lists = is_list(&name);
        if let Some(item) = call.within_group.first()
            && !lists
            && !name.to_lowercase().contains("percentile")
            && !name.to_lowercase().starts_with("quantile")
        {
            self.report(
                Diagnostic::error(codes::ARGUMENTS, item.span, format!("{} has no WITHIN GROUP", name.to_uppercase()))
                    .help("an order stands inside the parentheses, as in FIRST(price ORDER BY ts)"),
            )?;
        }
        let star = call.args.iter().find_map(|argument| match argument {
            CallArg::Wildcard(at) => Some(*at),
            _ => None,
        });
        if let Some(at) = star
            && (call.distinct || name.eq_ignore_ascii_case("count_distinct"))
        {
            self.report(
                Diagnostic::error(codes::ARGUMENTS, at, "DISTINCT compares values, and * stands for whole rows")
                    .help("name what is compared: COUNT(DISTINCT column)"),
            )?;
        }
        if call.nulls == Some(NullTreatment::Respect) {
            self.report(
                Diagnostic::error(codes::NOT_SUPPORTED, span, "RESPECT NULLS of an aggregate cannot run yet")
                    .help("aggregates leave nulls out; COALESCE(x, value) puts a value in their place"),
            )?;
        }
        let arguments = if star.is_some() && kind == AggregateKind::Count && call.args.len() == 1 {
            Some(vec![])
        } else {
            self.arguments(call)
        };
        let (kind, arguments) = self.standard_form(call, &name, kind, arguments, span);
        let filter = call.filter.as_ref().map(|filter| self.condition(filter, "FILTER"));
        // LISTAGG(x) WITHIN GROUP (ORDER BY y) is LISTAGG(x ORDER BY y).
        let within: &[_] = if lists { &call.within_group } else { &[] };
        let order_by: Vec<Option<SortKey>> = call
            .order_by
            .iter()
            .chain(within)
            .map(|item| {
                let descending = item.direction == Some(Direction::Descending);
                self.bind(&item.expr).map(|typed| SortKey {
                    expr: typed.expr,
                    descending,
                    // As in PostgreSQL, nulls count as larger than any value.
                    nulls_first: item.nulls.map_or(descending, |nulls| nulls == NullsOrder::First),
                })
            })
            .collect();
        let (arguments, order_by) = (arguments?, order_by.into_iter().collect::<Option<Vec<_>>>()?);
        let filter = match filter {
            Some(filter) => Some(filter?.expr),
            None => None,
        };
        let arguments = match &kind {
            AggregateKind::Library(function) => self.fit(function, &name, arguments, span)?,
            _ => arguments,
        };
        let distinct = call.distinct || name.eq_ignore_ascii_case("count_distinct");
        let (data_type, nullable) = self.aggregate_type(&name, &kind, &arguments, span)?;
        let mut text = span.text(self.script).split_whitespace().collect::<Vec<_>>().join(" ");
        if text.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("delta")) {
            // Its two halves are shown as what they are.
            text.replace_range(..5, &name.to_uppercase());
        }
        Some(AggregateCall {
            kind,
            argument_types: arguments.iter().map(|typed| typed.data_type.clone()).collect(),
            arguments: arguments.into_iter().map(|typed| typed.expr).collect(),
            distinct,
            filter,
            order_by,
            output: Arc::new(Field::new(&text, data_type.clone(), nullable)),
            text,
        })
    }

    /// What the library takes for the forms of the standard: PERCENTILE_CONT(f) WITHIN GROUP (ORDER BY x) is
    /// percentile_cont(x, f), and a list of texts without a separator has commas.
    fn standard_form(
        &mut self,
        call: &Call,
        name: &str,
        kind: AggregateKind,
        arguments: Option<Vec<Typed>>,
        span: Span,
    ) -> (AggregateKind, Option<Vec<Typed>>) {
        let Some(mut arguments) = arguments else { return (kind, None) };
        let lists = is_list(name);
        if lists {
            // Its order is an order.
        } else if let [item] = call.within_group.as_slice() {
            let Some(value) = self.bind(&item.expr) else { return (kind, None) };
            arguments.insert(0, value);
            if item.direction == Some(Direction::Descending) {
                self.report(
                    Diagnostic::error(codes::NOT_SUPPORTED, item.span, "DESC within a percentile cannot run yet")
                        .help("write 1 - fraction, and leave DESC out"),
                );
                return (kind, None);
            }
        } else if let Some(second) = call.within_group.get(1) {
            self.report(
                Diagnostic::error(codes::ARGUMENTS, second.span, "WITHIN GROUP orders by one expression")
                    .help("leave out the others"),
            );
            return (kind, None);
        }
        if lists && arguments.len() == 1 {
            arguments.push(self.text(",", span));
        }
        if lists {
            let Some(first) = arguments.first().cloned() else { return (kind, Some(arguments)) };
            let at = first.span;
            match self.cast(first, &DataType::Utf8, false, at) {
                Some(text) => arguments[0] = text,
                None => return (kind, None),
            }
        }
        (kind, Some(arguments))
    }

    /// The column of an aggregate; the same aggregate is computed once.
    fn gather(&mut self, mut aggregate: AggregateCall) -> Option<String> {
        let Ok(gathered) = &mut self.aggregates else { return None };
        let same = |other: &&AggregateCall| {
            other.kind == aggregate.kind
                && other.arguments == aggregate.arguments
                && other.distinct == aggregate.distinct
                && other.filter == aggregate.filter
                && other.order_by == aggregate.order_by
        };
        if let Some(found) = gathered.iter().find(same) {
            return Some(found.output.name().clone());
        }
        let name = format!("$agg{}", gathered.len());
        aggregate.output = Arc::new(aggregate.output.as_ref().clone().with_name(&name));
        gathered.push(aggregate);
        Some(name)
    }

    fn aggregate_type(
        &mut self,
        name: &str,
        kind: &AggregateKind,
        arguments: &[Typed],
        span: Span,
    ) -> Option<(DataType, bool)> {
        let expected = match kind {
            AggregateKind::Count => arguments.len().min(1),
            AggregateKind::ArgMin | AggregateKind::ArgMax => 2,
            AggregateKind::Library(_) => arguments.len(),
            _ => 1,
        };
        if arguments.len() != expected {
            let takes = if expected == 1 { "one argument".to_owned() } else { format!("{expected} arguments") };
            let (name, given) = (name.to_uppercase(), arguments.len());
            let help = match kind {
                AggregateKind::ArgMin | AggregateKind::ArgMax => {
                    format!("write {name}(a, b): a of the row with the smallest or largest b")
                }
                _ => format!("write {name}(x) for each of them"),
            };
            let message = format!("{name} takes {takes}, not {given}");
            self.report(Diagnostic::error(codes::ARGUMENTS, span, message).help(help));
            return None;
        }
        let first = arguments.first().map_or(DataType::Null, |typed| typed.data_type.clone());
        let data_type = match kind {
            AggregateKind::Count => return Some((DataType::Int64, false)),
            AggregateKind::Min | AggregateKind::Max | AggregateKind::First | AggregateKind::Last => first,
            AggregateKind::ArgMin | AggregateKind::ArgMax => first,
            AggregateKind::BoolAnd | AggregateKind::BoolOr if first == DataType::Boolean => first,
            AggregateKind::Sum => match &first {
                DataType::Decimal128(_, scale) => types::decimal(types::DECIMAL128_DIGITS, *scale),
                DataType::Decimal256(_, scale) => types::decimal(types::DECIMAL_DIGITS, *scale),
                other if other.is_integer() => DataType::Int64,
                DataType::Float32 | DataType::Float64 => DataType::Float64,
                other => return self.no_aggregate(name, other, arguments, span),
            },
            AggregateKind::Avg => match &first {
                DataType::Decimal128(_, scale) => types::decimal(types::DECIMAL128_DIGITS, (*scale).max(16)),
                DataType::Decimal256(_, scale) => types::decimal(types::DECIMAL_DIGITS, (*scale).max(16)),
                other if other.is_integer() => types::decimal(types::DECIMAL128_DIGITS, 16),
                DataType::Float32 | DataType::Float64 => DataType::Float64,
                other => return self.no_aggregate(name, other, arguments, span),
            },
            AggregateKind::Library(function) => {
                let fields: Vec<FieldRef> = arguments
                    .iter()
                    .enumerate()
                    .map(|(at, typed)| Arc::new(Field::new(format!("a{at}"), typed.data_type.clone(), typed.nullable)))
                    .collect();
                let returned =
                    fields_with_udf(&fields, function.as_ref()).and_then(|fitted| function.return_field(&fitted));
                match returned {
                    Ok(field) => field.data_type().clone(),
                    Err(_) => return self.no_aggregate(name, &first, arguments, span),
                }
            }
            _ => return self.no_aggregate(name, &first, arguments, span),
        };
        Some((data_type, true))
    }

    /// The arguments in the types that a library aggregate takes.
    fn fit(&mut self, function: &AggregateUDF, name: &str, arguments: Vec<Typed>, span: Span) -> Option<Vec<Typed>> {
        let fields: Vec<FieldRef> = arguments
            .iter()
            .enumerate()
            .map(|(at, typed)| Arc::new(Field::new(format!("a{at}"), typed.data_type.clone(), typed.nullable)))
            .collect();
        let Ok(fitted) = fields_with_udf(&fields, function) else {
            let first = arguments.first().map_or(DataType::Null, |typed| typed.data_type.clone());
            self.no_aggregate(name, &first, &arguments, span)?;
            return None;
        };
        let cast: Vec<Option<Typed>> = arguments
            .into_iter()
            .zip(&fitted)
            .map(|(typed, field)| {
                let at = typed.span;
                self.cast(typed, field.data_type(), false, at)
            })
            .collect();
        cast.into_iter().collect()
    }

    fn no_aggregate(&mut self, name: &str, of: &DataType, arguments: &[Typed], span: Span) -> Option<(DataType, bool)> {
        let name = name.to_uppercase();
        if let [_, _, ..] | [] = arguments {
            let types: Vec<String> = arguments.iter().map(|typed| types::sql_name(&typed.data_type)).collect();
            let message = match arguments {
                [] => format!("{name} needs arguments"),
                _ => format!("there is no {name}({})", types.join(", ")),
            };
            self.report(Diagnostic::error(codes::ARGUMENTS, span, message).help(HOW_AGGREGATES));
            return None;
        }
        let at = arguments.first().map_or(span, |typed| typed.span);
        let message = format!("there is no {name} of {}", article(of));
        let help = match name.as_str() {
            "SUM" | "AVG" | "MEAN" => "it takes numbers: CAST the argument to one, or COUNT it".to_owned(),
            "BOOL_AND" | "BOOL_OR" | "EVERY" => "it takes a condition: compare the argument with something".to_owned(),
            _ => HOW_AGGREGATES.to_owned(),
        };
        self.report(Diagnostic::error(codes::ARGUMENTS, at, message).help(help));
        None
    }
}
