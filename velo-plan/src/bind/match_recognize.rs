//! MATCH_RECOGNIZE: its clauses bound to a node, and what a pattern cannot be.

use std::sync::Arc;

use arrow_schema::{Field, FieldRef, Schema};
use datafusion_expr::{BinaryExpr, Expr, Operator};
use velo_core::duration::Span as Duration;
use velo_core::schema;
use velo_eventtime::LateStrategy;
use velo_sql::ast::{
    AfterMatch, Define, EmptyMatches, ExprKind, Ident, Literal, MatchRecognize as Ast, Pattern, PatternKind,
};
use velo_sql::{Diagnostic, Span};

use super::expr::{ExprBinder, Typed};
use super::literal;
use super::match_value::{MatchScope, comes_before, same_name};
use super::over::{TimeColumns, endless_changes};
use super::query::sort_key;
use super::scope::{Scope, ScopeColumn};
use super::select::hidden_event_time;
use crate::catalog::{Pairs, Relation};
use crate::codes;
use crate::functions::json::gives_json;
use crate::plan::{
    MatchColumn, MatchRecognize, MatchSkip, MatchValue, MatchVariable, NodeKind, Output, RowPattern, SortKey,
    VariableSet,
};
use crate::planner::Planner;

/// The most places for a variable that a pattern can have when its repetitions are written out.
const MOST_PLACES: u64 = 1_000;
/// The most patterns that PERMUTE puts into every order.
const MOST_PERMUTED: usize = 5;

impl Planner<'_> {
    /// The relation of the matches.
    pub(super) async fn match_recognize(&mut self, matching: &Ast, pairs: &mut Pairs, owner: &str) -> Option<Relation> {
        let mut input = Box::pin(self.from(&matching.input, pairs, owner)).await?;
        if let Some(ExprKind::Path(name)) = matching.order_by.first().map(|item| &item.expr.without_parentheses().kind)
        {
            input = self.with_time_argument(input, name, owner)?;
        }
        let changing = !self.changes(input.node).is_append() && !self.is_bounded(input.node);
        if changing && !input.has_event_time() {
            self.error(endless_changes(matching.span, "MATCH_RECOGNIZE"));
            return None;
        }
        let input = if changing { input } else { self.folded(input, owner) };
        let keys = self.match_keys(matching, &input);
        let order = self.match_order(matching, &input);
        let pattern = self.row_pattern(matching);
        let within = self.within(matching);
        let (keys, order, (variables, pattern), within) = (keys?, order?, pattern?, within?);
        let omit_empty = self.rows_of_match(matching, &pattern)?;
        if pattern.max_rows().is_none() && within.is_none() && !self.is_bounded(input.node) {
            self.diagnostics.push(
                Diagnostic::warning(
                    codes::KEPT_STATE,
                    matching.pattern.span,
                    "rows are kept as long as a match could go on, and nothing ends it",
                )
                .help("WITHIN INTERVAL '1' HOUR behind the pattern bounds a match; it is right without where every match soon ends"),
            );
        }
        let mut scope = MatchScope::new(variables, pattern);
        self.subsets(matching, &mut scope)?;
        let after_match = self.after_match(matching, &scope);
        let conditions = self.conditions(matching, &input, &mut scope);
        let measures = self.measures(matching, &input, &keys, &mut scope);
        let (after_match, variables, (measures, measure_texts)) = (after_match?, conditions?, measures?);
        if keys.is_empty() && measures.is_empty() {
            self.error(
                Diagnostic::error(codes::ARGUMENTS, matching.span, "nothing comes out of a match")
                    .help("add MEASURES FIRST(ts) AS start, COUNT(*) AS n or what else is to be known of it"),
            );
            return None;
        }
        let (mut late, mut dead_letters) = self.late_rows(&input, matching.span)?;
        let input = if changing {
            // What has passed is on time.
            let policy = (std::mem::replace(&mut late, LateStrategy::Drop), dead_letters.take());
            self.folded_by_time(input, policy, owner)
        } else {
            input
        };
        let node = MatchRecognize {
            partition_by: keys,
            order_by: order,
            variables,
            pattern: scope.pattern,
            omit_empty,
            after_match,
            within,
            columns: scope.columns,
            measures,
            measure_texts,
            late,
        };
        let relation = self.matches(node, &input, owner);
        self.plan.nodes[relation.node.0].dead_letters = dead_letters;
        Some(relation)
    }

    /// The node and its columns.
    fn matches(&mut self, node: MatchRecognize, input: &Relation, owner: &str) -> Relation {
        let time = TimeColumns::of(input);
        let is_time = |measure: &Output| {
            let column = |column: &&MatchColumn| matches!(&measure.expr, Expr::Column(read) if read.name() == column.field.name());
            node.columns.iter().find(column).is_some_and(|column| {
                matches!(&column.value, MatchValue::Row { of: VariableSet::ALL, from_last: true, nth: 0, offset: 0, expr }
                    if time.is_same(expr))
            })
        };
        let named = |field: &FieldRef| ScopeColumn {
            relation: None,
            name: field.name().clone(),
            field: Arc::clone(field),
            hidden: false,
            qualified: false,
        };
        let outputs = || node.partition_by.iter().chain(&node.measures);
        let mut columns = outputs().map(|output| named(&output.field)).collect::<Vec<_>>();
        columns.push(hidden_event_time());
        let name = |output: &Output| output.field.name().clone();
        let event_time_columns = node.measures.iter().filter(|measure| is_time(measure)).map(name).collect();
        let of_window = |key: &&Output| matches!(&key.expr, Expr::Column(column) if input.window_columns.iter().any(|name| name == column.name()));
        let window_columns = node.partition_by.iter().filter(of_window).map(name).collect();
        let visible = Schema::new(outputs().map(|output| Arc::clone(&output.field)).collect::<Vec<_>>());
        let kind = NodeKind::MatchRecognize(Box::new(node));
        let node = self.node(kind, vec![input.node], schema::with_event_time(&visible), owner);
        Relation {
            event_time_columns,
            window_columns,
            late: input.late.clone(),
            dead_letter_sink: input.dead_letter_sink.clone(),
            ..Relation::new(node, Scope::of(columns))
        }
    }

    fn match_keys(&mut self, matching: &Ast, input: &Relation) -> Option<Vec<Output>> {
        let bound = self.binder(&input.scope, Err("PARTITION BY")).bind_all(&matching.partition_by)?;
        let mut keys: Vec<Output> = Vec::with_capacity(bound.len());
        for typed in bound {
            let column = match &typed.expr {
                Expr::Column(column) if column.name() != schema::EVENT_TIME => {
                    input.scope.columns.iter().find(|known| known.field.name() == column.name())
                }
                _ => None,
            };
            let Some(column) = column else {
                self.error(
                    Diagnostic::error(codes::ARGUMENTS, typed.span, "PARTITION BY of a pattern takes columns").help(
                        "compute it in a query, and read that: FROM (SELECT …, x AS name FROM …) MATCH_RECOGNIZE (…)",
                    ),
                );
                return None;
            };
            let field = Arc::new(column.field.as_ref().clone().with_name(&column.name));
            if let Some(taken) = keys.iter().find(|key| key.field.name() == field.name()) {
                let diagnostic = self.taken(taken.field.name(), typed.span);
                self.error(diagnostic);
                return None;
            }
            keys.push(Output { expr: typed.expr, field });
        }
        Some(keys)
    }

    fn taken(&self, name: &str, span: Span) -> Diagnostic {
        Diagnostic::error(codes::DUPLICATE_NAME, span, format!("a second column '{name}' of the match"))
            .help("the columns are those of PARTITION BY and the measures: give the measure another name")
    }

    /// Rows are matched in the order of event time; what else is written orders those of one time.
    fn match_order(&mut self, matching: &Ast, input: &Relation) -> Option<Vec<SortKey>> {
        let time = TimeColumns::of(input);
        let named = time.name(input);
        let Some(name) = named else {
            self.error(
                Diagnostic::error(
                    codes::EVENT_TIME_MISSING,
                    matching.span,
                    "rows are matched in the order of event time, and this stream has none",
                )
                .help("add 'event.time.field' to its WITH clause, and ORDER BY that field"),
            );
            return None;
        };
        let Some(first) = matching.order_by.first() else {
            self.error(
                Diagnostic::error(codes::ARGUMENTS, matching.span, "a pattern needs an order of its rows")
                    .help(format!("add ORDER BY {name} behind PARTITION BY")),
            );
            return None;
        };
        let exprs = matching.order_by.iter().map(|item| item.expr.clone()).collect::<Vec<_>>();
        let bound = self.binder(&input.scope, Err("ORDER BY")).bind_all(&exprs)?;
        let mut keys = matching.order_by.iter().zip(bound).map(|(item, typed)| sort_key(item, typed.expr));
        let by_time = keys.next().filter(|key| time.is_time(&key.expr));
        match by_time {
            Some(key) if !key.descending => Some(keys.collect()),
            found => {
                let text = first.expr.span.text(self.script);
                let message = match found {
                    Some(_) => {
                        "the latest row first cannot be matched: rows come in the order of their times".to_owned()
                    }
                    None => format!("'{text}' is not the event time, and a pattern goes by that first"),
                };
                let mut help = format!("write ORDER BY {name}");
                if found.is_none() {
                    help.push_str(&format!(", {text} to order rows of one time"));
                }
                self.error(Diagnostic::error(codes::NOT_EVENT_TIME, first.expr.span, message).help(help));
                None
            }
        }
    }

    fn within(&mut self, matching: &Ast) -> Option<Option<Duration>> {
        let Some(length) = &matching.within else { return Some(None) };
        let micros = match &length.without_parentheses().kind {
            ExprKind::Literal(Literal::Interval(interval)) => literal::micros(interval, length.span),
            _ => Err(Diagnostic::error(codes::WINDOW, length.span, "WITHIN takes a duration")
                .help("write INTERVAL '5' MINUTE or 5m")),
        };
        match micros {
            Ok(micros) if micros > 0 => Some(Some(Duration(micros))),
            Ok(_) => {
                self.error(
                    Diagnostic::error(codes::WINDOW, length.span, "WITHIN must be more than zero")
                        .help("the last row of a match comes less than this after its first"),
                );
                None
            }
            Err(diagnostic) => {
                self.error(diagnostic);
                None
            }
        }
    }

    /// Whether matches without rows are left out.
    fn rows_of_match(&mut self, matching: &Ast, pattern: &RowPattern) -> Option<bool> {
        let rows = matching.rows_per_match;
        if let Some(rows) = rows.filter(|rows| rows.all) {
            self.not_yet(
                rows.span,
                "ALL ROWS PER MATCH",
                "ONE ROW PER MATCH is built: ARRAY_AGG(A.price) as a measure gives the values of all rows of A",
            );
            return None;
        }
        let empty = rows.and_then(|rows| rows.empty);
        if let Some(rows) = rows.filter(|_| empty == Some(EmptyMatches::Show)) {
            self.not_yet(
                rows.span,
                "SHOW EMPTY MATCHES",
                "a match without rows has no event time: OMIT EMPTY MATCHES leaves it out",
            );
            return None;
        }
        if pattern.can_be_empty() && empty.is_none() {
            self.error(
                Diagnostic::error(codes::ARGUMENTS, matching.pattern.span, "this pattern matches no row at all, everywhere")
                    .help("write + for *, or another part that takes a row; ONE ROW PER MATCH OMIT EMPTY MATCHES leaves such matches out"),
            );
            return None;
        }
        Some(empty.is_some())
    }

    /// The pattern's variables in the order in which they stand, and the pattern over them.
    fn row_pattern(&mut self, matching: &Ast) -> Option<(Vec<Ident>, RowPattern)> {
        let mut variables = Vec::new();
        let pattern = self.pattern_part(&matching.pattern, &mut variables)?;
        if variables.len() > VariableSet::MOST {
            let message = format!("a pattern of {} variables, and {} is the most", variables.len(), VariableSet::MOST);
            self.error(
                Diagnostic::error(codes::ARGUMENTS, matching.pattern.span, message)
                    .help("a variable can stand at several places"),
            );
            return None;
        }
        if pattern.places() > MOST_PLACES {
            let message = format!("a pattern of more than {MOST_PLACES} places, with what is repeated written out");
            self.error(
                Diagnostic::error(codes::ARGUMENTS, matching.pattern.span, message)
                    .help("count in a condition instead, as in A+ with DEFINE A AS COUNT(A.x) <= 5000"),
            );
            return None;
        }
        if pattern.max_rows() == Some(0) {
            self.error(
                Diagnostic::error(codes::ARGUMENTS, matching.pattern.span, "this pattern takes no row")
                    .help("name at least one variable, as in PATTERN (A B+)"),
            );
            return None;
        }
        Some((variables, pattern))
    }

    fn pattern_part(&mut self, part: &Pattern, variables: &mut Vec<Ident>) -> Option<RowPattern> {
        let mut all = |planner: &mut Self, parts: &[Pattern]| {
            let bound = parts.iter().map(|part| planner.pattern_part(part, variables)).collect::<Vec<_>>();
            bound.into_iter().collect::<Option<Vec<_>>>()
        };
        match &part.kind {
            PatternKind::Variable(name) => {
                let at = variables.iter().position(|known| same_name(name, known)).unwrap_or_else(|| {
                    variables.push(name.clone());
                    variables.len() - 1
                });
                // More of them than there are bits are told of when all are known.
                Some(RowPattern::Variable(at))
            }
            PatternKind::Sequence(parts) => Some(RowPattern::Sequence(all(self, parts)?)),
            PatternKind::Alternatives(parts) => Some(RowPattern::Alternatives(all(self, parts)?)),
            PatternKind::Group(inner) => self.pattern_part(inner, variables),
            PatternKind::Repeat { pattern, min, max, greedy } => {
                let inner = self.pattern_part(pattern, variables)?;
                if inner.can_be_empty() {
                    self.not_yet(
                        part.span,
                        "a repetition of what can be no row",
                        "repeat what takes at least one row: (A | B)* stands for (A* B*)*, (A+)? for (A*)?",
                    );
                    return None;
                }
                Some(RowPattern::Repeat { pattern: Box::new(inner), min: *min, max: *max, greedy: *greedy })
            }
            PatternKind::Permute(parts) => {
                let parts = all(self, parts)?;
                if parts.len() > MOST_PERMUTED {
                    let message =
                        format!("PERMUTE of {} has too many orders, and {MOST_PERMUTED} is the most", parts.len());
                    self.error(
                        Diagnostic::error(codes::ARGUMENTS, part.span, message)
                            .help("(A | B | C){3} takes three rows, and conditions can tell them apart"),
                    );
                    return None;
                }
                let places = (0..parts.len()).collect::<Vec<_>>();
                let orders = permutations(&places);
                let order = |order: Vec<usize>| {
                    RowPattern::Sequence(order.into_iter().filter_map(|at| parts.get(at).cloned()).collect())
                };
                Some(RowPattern::Alternatives(orders.into_iter().map(order).collect()))
            }
            PatternKind::Start | PatternKind::End => {
                self.not_yet(
                    part.span,
                    "the beginning or the end of a partition in a pattern",
                    "leave it out; PREV(x) IS NULL in a condition is true of a partition's first row, where x is never NULL",
                );
                None
            }
            PatternKind::Exclude(_) => {
                self.not_yet(
                    part.span,
                    "leaving rows of a match out",
                    "it counts with ALL ROWS PER MATCH alone: write the pattern without {- and -}",
                );
                None
            }
        }
    }

    fn subsets(&mut self, matching: &Ast, scope: &mut MatchScope) -> Option<()> {
        for subset in &matching.subsets {
            if scope.find(&subset.name).is_some() {
                let message = format!("a second pattern variable '{}'", subset.name.value);
                self.error(
                    Diagnostic::error(codes::DUPLICATE_NAME, subset.name.span, message)
                        .help("give the SUBSET another name"),
                );
                return None;
            }
            let mut bits = 0;
            for member in &subset.members {
                match scope.variables.iter().position(|known| same_name(member, known)) {
                    Some(at) => bits |= VariableSet::of(at).0,
                    None => {
                        let unknown = scope.unknown(member);
                        self.error(unknown);
                        return None;
                    }
                }
            }
            scope.subsets.push((subset.name.clone(), VariableSet(bits)));
        }
        Some(())
    }

    fn after_match(&mut self, matching: &Ast, scope: &MatchScope) -> Option<MatchSkip> {
        let (name, first) = match &matching.after_match {
            None | Some(AfterMatch::PastLastRow) => return Some(MatchSkip::PastLastRow),
            Some(AfterMatch::ToNextRow) => return Some(MatchSkip::ToNextRow),
            Some(AfterMatch::ToFirst(name)) => (name, true),
            Some(AfterMatch::ToLast(name)) => (name, false),
        };
        let Some(set) = scope.find(name) else {
            let unknown = scope.unknown(name);
            self.error(unknown);
            return None;
        };
        let begins = scope.pattern.first_variables();
        let always_first = begins.0 & !set.0 == 0 && (first || !comes_before(&scope.pattern, VariableSet::ALL, set));
        if always_first {
            let message =
                format!("a match begins with {}: the search would find the same match again, for ever", name.value);
            self.error(
                Diagnostic::error(codes::ARGUMENTS, name.span, message)
                    .help("skip to a variable that comes behind it, or TO NEXT ROW"),
            );
            return None;
        }
        Some(if first { MatchSkip::ToFirst(set) } else { MatchSkip::ToLast(set) })
    }

    fn match_binder<'b>(
        &'b mut self,
        input: &'b Relation,
        scope: &'b mut MatchScope,
        clause: &'static str,
    ) -> ExprBinder<'b> {
        let mut binder = self.binder(&input.scope, Err(clause));
        binder.matching = Some(scope);
        binder
    }

    /// DEFINE: the conditions of the variables.
    fn conditions(&mut self, matching: &Ast, input: &Relation, scope: &mut MatchScope) -> Option<Vec<MatchVariable>> {
        let name = |variable: &Ident| MatchVariable {
            name: variable.value.clone(),
            conditions: Vec::new(),
            text: String::new(),
        };
        let mut variables = scope.variables.iter().map(name).collect::<Vec<_>>();
        let mut fine = true;
        let mut seen: Vec<&Define> = Vec::new();
        for define in &matching.defines {
            if let Some(first) = seen.iter().find(|other| same_name(&define.name, &other.name)) {
                let message = format!("'{}' is defined a second time", define.name.value);
                self.error(
                    Diagnostic::error(codes::DUPLICATE_NAME, define.name.span, message)
                        .also(first.name.span, "the first")
                        .help("join the two conditions with AND or OR"),
                );
                fine = false;
                continue;
            }
            seen.push(define);
            let Some(at) = scope.variables.iter().position(|known| same_name(&define.name, known)) else {
                let message = match scope.find(&define.name) {
                    Some(_) => format!("'{}' is a SUBSET, and its variables have the conditions", define.name.value),
                    None => format!("'{}' is defined, and the pattern does not have it", define.name.value),
                };
                let help = scope.unknown(&define.name).help;
                let mut diagnostic = Diagnostic::error(codes::UNKNOWN_COLUMN, define.name.span, message);
                diagnostic.help = help;
                self.error(diagnostic);
                fine = false;
                continue;
            };
            scope.defines = Some(at);
            let bound = self.match_binder(input, scope, "DEFINE").condition(&define.condition, "DEFINE");
            scope.defines = None;
            match bound {
                Some(typed) => {
                    conjuncts(typed.expr, &mut variables[at].conditions);
                    variables[at].text = text_of(&define.condition.span, self.script);
                }
                None => fine = false,
            }
        }
        fine.then_some(variables)
    }

    /// MEASURES, with their texts.
    fn measures(
        &mut self,
        matching: &Ast,
        input: &Relation,
        keys: &[Output],
        scope: &mut MatchScope,
    ) -> Option<(Vec<Output>, Vec<String>)> {
        let mut measures: Vec<Output> = Vec::with_capacity(matching.measures.len());
        let mut texts = Vec::with_capacity(matching.measures.len());
        let mut fine = true;
        for measure in &matching.measures {
            // RUNNING and FINAL are the same at the last row of a match, and ONE ROW PER MATCH is that.
            let bound = self.match_binder(input, scope, "MEASURES").bind(&measure.expr);
            let name = &measure.alias.value;
            let known = keys.iter().chain(&measures).any(|output| output.field.name() == name);
            if known {
                let diagnostic = self.taken(name, measure.alias.span);
                self.error(diagnostic);
            } else if name.starts_with('$') {
                let message = format!("the name '{name}' begins with $");
                self.error(
                    Diagnostic::error(codes::DUPLICATE_NAME, measure.alias.span, message)
                        .help("choose another one: such names are Velo's own"),
                );
            }
            let Some(typed) = bound.filter(|_| !known && !name.starts_with('$')) else {
                fine = false;
                continue;
            };
            measures.push(Output { field: Arc::new(measure_field(name, &typed, scope)), expr: typed.expr });
            texts.push(text_of(&measure.expr.span, self.script));
        }
        fine.then_some((measures, texts))
    }
}

/// The field of a measure: a value that only passes stays what it is, also where its type alone does not say so.
fn measure_field(name: &str, typed: &Typed, scope: &MatchScope) -> Field {
    let field = Field::new(name, typed.data_type.clone(), typed.nullable);
    if gives_json(&typed.expr) {
        return velo_core::types::json_field(name, typed.nullable);
    }
    let Expr::Column(column) = &typed.expr else { return field };
    match scope.columns.iter().find(|known| known.field.name() == column.name()) {
        Some(known) => field.with_metadata(known.field.metadata().clone()),
        None => field,
    }
}

fn text_of(span: &Span, script: &str) -> String {
    span.text(script).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The parts of a conjunction.
fn conjuncts(expr: Expr, into: &mut Vec<Expr>) {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            conjuncts(*left, into);
            conjuncts(*right, into);
        }
        other => into.push(other),
    }
}

/// All orders, those that begin with the first first.
fn permutations(places: &[usize]) -> Vec<Vec<usize>> {
    if places.len() <= 1 {
        return vec![places.to_vec()];
    }
    let mut found = Vec::new();
    for (at, first) in places.iter().enumerate() {
        let others = places.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, place)| *place);
        for rest in permutations(&others.collect::<Vec<_>>()) {
            found.push(std::iter::once(*first).chain(rest).collect());
        }
    }
    found
}
