//! GROUPING SETS, ROLLUP and CUBE as sets of keys, and GROUPING, which tells them apart.

use datafusion_common::{Column, ScalarValue};
use datafusion_expr::{BinaryExpr, Expr, Operator};
use velo_sql::ast::{Call, CallArg, Expr as Ast, ExprKind, GroupBy, GroupByItem};
use velo_sql::{Diagnostic, Span};

use super::expr::{ExprBinder, Typed};
use super::group::is_window_column;
use super::group_window::window_call;
use super::scope::Scope;
use super::select::Item;
use crate::codes;
use crate::functions::grouping::{grouping, grouping_of};
use crate::plan::GroupingSet;
use crate::planner::Planner;

/// The column that tells the grouping sets apart.
pub(super) const SET: &str = "$set";

/// The most sets of one GROUP BY, as in PostgreSQL.
const MOST_SETS: usize = 4_096;
/// The most columns of GROUPING SETS: a number of a set has a bit for each.
const MOST_KEYS: usize = 40;

/// What a GROUP BY groups by.
#[derive(Default)]
pub(super) struct GroupKeys {
    /// Each once, in the order in which they are first written.
    pub(super) keys: Vec<Typed>,
    /// The sets of them; none: all keys, once.
    pub(super) sets: Vec<GroupingSet>,
    /// Whether the window's own columns are among them.
    pub(super) by_window: bool,
}

/// Alternatives, each of which is a set of keys by their places.
type Alternatives = Vec<Vec<usize>>;

impl Planner<'_> {
    /// The keys of a GROUP BY: expressions over the input, ordinals and aliases of the select list.
    pub(super) fn group_keys(
        &mut self,
        group_by: Option<&GroupBy>,
        scope: &Scope,
        items: &[Item],
    ) -> Option<GroupKeys> {
        let mut found = GroupKeys::default();
        let Some(group_by) = group_by else { return Some(found) };
        let mut product: Alternatives = vec![vec![]];
        let mut failed = false;
        for item in &group_by.items {
            let alternatives = match item {
                GroupByItem::Expr(expr) if window_call(expr).is_some() => continue,
                GroupByItem::Empty(_) => continue,
                GroupByItem::Expr(expr) => {
                    self.set_of(std::slice::from_ref(expr), false, scope, items, &mut found).map(|set| vec![set])
                }
                GroupByItem::GroupingSets { sets, .. } => self.grouping_sets(sets, scope, items, &mut found),
                GroupByItem::Rollup { sets, .. } => {
                    self.elements(sets, scope, items, &mut found).map(|elements| rollup(&elements))
                }
                GroupByItem::Cube { sets, span } => {
                    let elements = self.elements(sets, scope, items, &mut found);
                    elements.and_then(|elements| self.cube(&elements, *span))
                }
            };
            let Some(alternatives) = alternatives else {
                failed = true;
                continue;
            };
            if product.len() * alternatives.len() > MOST_SETS {
                self.too_many(group_by.span);
                return None;
            }
            product = product
                .iter()
                .flat_map(|left| alternatives.iter().map(move |right| [left.as_slice(), right].concat()))
                .collect();
        }
        if failed {
            return None;
        }
        let keys = found.keys.len();
        let plain = |set: &Vec<usize>| (0..keys).all(|key| set.contains(&key));
        if product.len() == 1 && product.iter().all(plain) {
            return Some(found);
        }
        if keys > MOST_KEYS {
            self.error(
                Diagnostic::error(
                    codes::ARGUMENTS,
                    group_by.span,
                    format!("there are grouping sets of {keys} columns"),
                )
                .help(format!("{MOST_KEYS} are the most; join some of them to one text or struct")),
            );
            return None;
        }
        found.sets = numbered(&product, keys);
        Some(found)
    }

    fn too_many(&mut self, span: Span) {
        self.error(
            Diagnostic::error(codes::ARGUMENTS, span, format!("there are more than {MOST_SETS} grouping sets"))
                .help("a CUBE of n columns has 2^n of them: leave some out, or list those that count in GROUPING SETS"),
        );
    }

    /// The sets that GROUPING SETS lists, among them those of a ROLLUP or CUBE.
    fn grouping_sets(
        &mut self,
        sets: &[Vec<Ast>],
        scope: &Scope,
        items: &[Item],
        found: &mut GroupKeys,
    ) -> Option<Alternatives> {
        let mut all = Vec::with_capacity(sets.len());
        let mut failed = false;
        for set in sets {
            match set.as_slice() {
                [only] if inner_sets(only).is_some() => {
                    let (cube, parts) = inner_sets(only)?;
                    match self.elements(&parts, scope, items, found) {
                        Some(elements) if cube => all.extend(self.cube(&elements, only.span)?),
                        Some(elements) => all.extend(rollup(&elements)),
                        None => failed = true,
                    }
                }
                set => match self.set_of(set, true, scope, items, found) {
                    Some(set) => all.push(set),
                    None => failed = true,
                },
            }
        }
        (!failed).then_some(all)
    }

    fn elements(
        &mut self,
        sets: &[Vec<Ast>],
        scope: &Scope,
        items: &[Item],
        found: &mut GroupKeys,
    ) -> Option<Alternatives> {
        let elements: Vec<Option<Vec<usize>>> =
            sets.iter().map(|set| self.set_of(set, true, scope, items, found)).collect();
        elements.into_iter().collect()
    }

    fn cube(&mut self, elements: &[Vec<usize>], span: Span) -> Option<Alternatives> {
        if elements.len() > MOST_SETS.ilog2() as usize {
            self.too_many(span);
            return None;
        }
        // As in PostgreSQL: all columns first, the empty set last.
        let sets = (0..1_usize << elements.len()).rev();
        let chosen = |set: usize| {
            let last = elements.len() - 1;
            let in_set = elements.iter().enumerate().filter(move |(at, _)| set >> (last - at) & 1 == 1);
            in_set.flat_map(|(_, element)| element.iter().copied()).collect()
        };
        Some(sets.map(chosen).collect())
    }

    /// The places of some keys, which are added where they are new.
    fn set_of(
        &mut self,
        exprs: &[Ast],
        in_sets: bool,
        scope: &Scope,
        items: &[Item],
        found: &mut GroupKeys,
    ) -> Option<Vec<usize>> {
        let mut set = Vec::with_capacity(exprs.len());
        let mut failed = false;
        for expr in exprs {
            let key = match window_call(expr) {
                Some(_) => None,
                None => match self.group_key(expr, scope, items) {
                    Some(key) => Some(key),
                    None => {
                        failed = true;
                        continue;
                    }
                },
            };
            match key.filter(|key| !is_window_column(&key.expr)) {
                Some(key) => {
                    let place = found.keys.iter().position(|other| other.expr == key.expr);
                    set.push(place.unwrap_or(found.keys.len()));
                    if place.is_none() {
                        found.keys.push(key);
                    }
                }
                // The window's own columns among the keys say that the window is grouped by.
                None if !in_sets => found.by_window = true,
                None => {
                    self.error(
                        Diagnostic::error(codes::WINDOW, expr.span, "the window stands in a grouping set")
                            .help("every set is grouped by the window: write it beside the sets, as in GROUP BY window_start, window_end, ROLLUP (…)"),
                    );
                    failed = true;
                }
            }
        }
        (!failed).then_some(set)
    }
}

fn rollup(elements: &[Vec<usize>]) -> Alternatives {
    (0..=elements.len()).rev().map(|length| elements[..length].concat()).collect()
}

/// ROLLUP (…) and CUBE (…) as a set of GROUPING SETS: whether it is a CUBE, and its parts.
fn inner_sets(expr: &Ast) -> Option<(bool, Vec<Vec<Ast>>)> {
    let ExprKind::Call(call) = &expr.kind else { return None };
    let cube = match call.name.text().to_lowercase().as_str() {
        "cube" => true,
        "rollup" => false,
        _ => return None,
    };
    let parts = call.args.iter().map(|arg| match arg {
        CallArg::Positional(Ast { kind: ExprKind::Row { items, explicit: false }, .. }) => Some(items.clone()),
        CallArg::Positional(expr) => Some(vec![expr.without_parentheses().clone()]),
        _ => None,
    });
    Some((cube, parts.collect::<Option<_>>()?))
}

fn numbered(sets: &[Vec<usize>], keys: usize) -> Vec<GroupingSet> {
    let mut numbered: Vec<GroupingSet> = Vec::with_capacity(sets.len());
    for set in sets {
        let counts: Vec<bool> = (0..keys).map(|key| set.contains(&key)).collect();
        let left_out = counts.iter().enumerate().filter(|(_, counts)| !**counts).map(|(key, _)| 1_i64 << key);
        let same = numbered.iter().filter(|other| other.keys == counts).count() as i64;
        numbered.push(GroupingSet { number: left_out.sum::<i64>() + (same << keys), keys: counts });
    }
    numbered
}

impl ExprBinder<'_> {
    /// GROUPING(a, b): a bit for each argument, the last one's lowest, which says that it is not grouped by.
    pub(super) fn grouping(&mut self, call: &Call, span: Span) -> Option<Typed> {
        if let Err(place) = self.aggregates {
            let message = format!("GROUPING cannot stand in {place}");
            return self.report(
                Diagnostic::error(codes::MISPLACED_AGGREGATE, span, message)
                    .help("it tells groups apart: it stands in SELECT and HAVING"),
            );
        }
        let arguments = self.arguments(call)?;
        if arguments.is_empty() {
            return self.report(
                Diagnostic::error(codes::ARGUMENTS, span, "GROUPING needs arguments")
                    .help("write GROUPING(a): 1 in the rows that are not grouped by a, else 0"),
            );
        }
        if arguments.len() > MOST_KEYS {
            return self.report(
                Diagnostic::error(codes::ARGUMENTS, span, format!("GROUPING has {} arguments", arguments.len()))
                    .help(format!("{MOST_KEYS} are the most")),
            );
        }
        let expr = grouping(arguments.into_iter().map(|typed| typed.expr).collect());
        let data_type = arrow_schema::DataType::Int64;
        Some(Typed { expr, data_type, nullable: false, unknown: false, span })
    }
}

/// Whether an expression has GROUPING in it.
pub(super) fn has_grouping(expr: &Expr) -> bool {
    use datafusion_common::tree_node::TreeNode;
    expr.exists(|part| Ok(grouping_of(part).is_some())).unwrap_or(false)
}

/// What GROUPING of some keys is, by the number of the set: a key's bit there says that it does not count. `Err` is the place
/// of an argument that is no key.
pub(super) fn grouping_bits(arguments: &[Expr], keys: &[Typed], in_sets: bool) -> Result<Expr, usize> {
    let number = |value: i64| Expr::Literal(ScalarValue::Int64(Some(value)), None);
    let binary = |left: Expr, op: Operator, right: Expr| {
        Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) })
    };
    let mut bits: Option<Expr> = None;
    for (at, argument) in arguments.iter().enumerate() {
        let key = keys.iter().position(|key| key.expr == *argument).ok_or(at)?;
        let set = Expr::Column(Column::new_unqualified(SET));
        let bit = binary(binary(set, Operator::BitwiseShiftRight, number(key as i64)), Operator::BitwiseAnd, number(1));
        bits = Some(match bits {
            None => bit,
            Some(before) => binary(binary(before, Operator::BitwiseShiftLeft, number(1)), Operator::BitwiseOr, bit),
        });
    }
    Ok(bits.filter(|_| in_sets).unwrap_or_else(|| number(0)))
}
