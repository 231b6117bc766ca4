//! The sides of a join: plan columns with different names, the columns that it is computed by, and what the joined rows are
//! called.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::{DataType, FieldRef, Schema};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::Expr;
use velo_core::schema;

use super::condition::Equality;
use crate::bind::expr::Typed;
use crate::bind::scope::{Scope, ScopeColumn, unique};
use crate::bind::select::hidden_event_time;
use crate::catalog::{OfWindow, Relation, SideTime};
use crate::functions::cast::CastFunction;
use crate::plan::{Join, JoinColumn, JoinKey, JoinKind, NodeId, NodeKind, Output, Side};
use crate::planner::Planner;

/// One side of a join, with a projection that it may need below the join.
pub(super) struct Prepared {
    /// The side with the names that its columns have in the join.
    pub(super) relation: Relation,
    /// What is below the join; as many outputs as the side has columns, and then what is computed.
    pub(super) outputs: Vec<Output>,
    /// Old names by new ones.
    old: BTreeMap<String, String>,
    /// The plan column with the event time, where it was made one.
    pub(super) time: Option<String>,
    /// How many of the outputs come out of the join.
    columns: usize,
}

/// A name that no other column of the join has.
pub(super) fn own_name(name: &str, taken: &mut BTreeSet<String>) -> String {
    // The columns of a window have the plan's own names as long as they are those of the window at hand.
    let base = match name {
        schema::EVENT_TIME => "$time",
        name if name.starts_with("$time") => "$time",
        name => name.trim_start_matches('$'),
    };
    unique(base, taken)
}

/// An expression with its columns renamed.
fn renamed(expr: &Expr, names: &BTreeMap<String, String>) -> Expr {
    let renamed = expr.clone().transform(|expr| {
        Ok(match &expr {
            Expr::Column(column) => match names.get(column.name()) {
                Some(name) => Transformed::yes(Expr::Column(Column::new_unqualified(name))),
                None => Transformed::no(expr),
            },
            _ => Transformed::no(expr),
        })
    });
    // The closure never fails, so neither does the walk.
    renamed.map(|renamed| renamed.data).unwrap_or_else(|_| expr.clone())
}

pub(super) fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

impl Planner<'_> {
    /// Gives the columns of a side names of their own; with `time` its event time becomes a column too.
    pub(super) fn prepare(&self, relation: Relation, taken: &mut BTreeSet<String>, time: bool) -> Prepared {
        let input = &self.plan.nodes[relation.node.0].schema;
        let mut new: BTreeMap<String, String> = BTreeMap::new();
        let mut outputs = Vec::with_capacity(input.fields().len() + 1);
        for field in input.fields().iter().filter(|field| field.name() != schema::EVENT_TIME) {
            let name = own_name(field.name(), taken);
            let renamed: FieldRef = match name == *field.name() {
                true => Arc::clone(field),
                false => Arc::new(field.as_ref().clone().with_name(&name)),
            };
            outputs.push(Output { expr: column(field.name()), field: renamed });
            new.insert(field.name().clone(), name);
        }
        let mut own_time = None;
        if time && relation.has_event_time() {
            let name = own_name(schema::EVENT_TIME, taken);
            let field = Arc::new(schema::event_time_field().with_name(&name));
            outputs.push(Output { expr: column(schema::EVENT_TIME), field });
            new.insert(schema::EVENT_TIME.to_owned(), name.clone());
            own_time = Some(name);
        }
        let of = |name: &String| new.get(name).unwrap_or(name).clone();
        let scope = relation.scope.columns.iter().map(|column| ScopeColumn {
            field: match new.get(column.field.name()) {
                Some(name) => Arc::new(column.field.as_ref().clone().with_name(name)),
                None => Arc::clone(&column.field),
            },
            ..column.clone()
        });
        let relation = Relation {
            scope: Scope::of(scope.collect()),
            event_time_columns: relation.event_time_columns.iter().map(of).collect(),
            window_columns: relation.window_columns.iter().map(of).collect(),
            identity: relation.identity.iter().map(of).collect(),
            side_times: relation
                .side_times
                .iter()
                .map(|side| SideTime {
                    columns: side.columns.iter().map(of).collect(),
                    time: of(&side.time),
                    missing: side.missing.clone(),
                })
                .collect(),
            of_window: relation.of_window.as_ref().map(|of_window| OfWindow {
                start: of_window.start.as_ref().map(of),
                end: of_window.end.as_ref().map(of),
                ..of_window.clone()
            }),
            ranked: None,
            key: Vec::new(),
            ..relation
        };
        let old = new.into_iter().map(|(old, new)| (new, old)).collect();
        let columns = outputs.len();
        Prepared { relation, outputs, old, time: own_time, columns }
    }

    /// The node that gives `outputs` to a join: the input as it is, or a projection of it.
    pub(in crate::bind) fn node_of_side(&mut self, outputs: &[Output], input: NodeId, owner: &str) -> NodeId {
        let unchanged =
            |output: &Output| matches!(&output.expr, Expr::Column(column) if column.name() == output.field.name());
        if outputs.iter().all(unchanged) {
            return input;
        }
        let fields: Vec<FieldRef> = outputs.iter().map(|output| Arc::clone(&output.field)).collect();
        let mut output = Arc::new(Schema::new(fields));
        if schema::event_time_index(&self.plan.nodes[input.0].schema).is_some() {
            output = schema::with_event_time(&output);
        }
        self.node(NodeKind::Project(outputs.to_vec()), vec![input], output, owner)
    }
}

impl Prepared {
    /// The plan column that has the value of an expression over the side, in a type.
    fn key(&mut self, typed: &Typed, common: &DataType, taken: &mut BTreeSet<String>) -> Expr {
        if let Expr::Column(_) = &typed.expr
            && typed.data_type == *common
        {
            return typed.expr.clone();
        }
        let expr = renamed(&typed.expr, &self.old);
        let expr = if typed.data_type == *common { expr } else { CastFunction::call(expr, common.clone(), false) };
        if let Some(known) = self.outputs[self.columns..].iter().find(|output| output.expr == expr) {
            return column(known.field.name());
        }
        let mut count = 0;
        let name = loop {
            let name = format!("$join{count}");
            if taken.insert(name.clone()) {
                break name;
            }
            count += 1;
        };
        let field = Arc::new(arrow_schema::Field::new(&name, common.clone(), typed.nullable));
        self.outputs.push(Output { expr, field });
        column(&name)
    }

    /// The columns that come out of the join.
    fn joined(&self, side: Side, nullable: bool) -> Vec<JoinColumn> {
        let columns = self.outputs[..self.columns].iter();
        columns
            .map(|output| {
                let can_be_null = nullable || output.field.is_nullable();
                let field = Arc::new(output.field.as_ref().clone().with_nullable(can_be_null));
                JoinColumn { side, field }
            })
            .collect()
    }
}

/// The plan columns of a side.
pub(super) fn names_of(side: &Prepared) -> BTreeSet<String> {
    side.outputs[..side.columns].iter().map(|output| output.field.name().clone()).collect()
}

/// Both scopes side by side.
pub(super) fn combined(left: &Relation, right: &Relation) -> Scope {
    Scope::of(left.scope.columns.iter().chain(&right.scope.columns).cloned().collect())
}

/// Equalities as keys, in columns below the join.
pub(super) fn keys(
    equalities: &[Equality],
    left: &mut Prepared,
    right: &mut Prepared,
    taken: &mut BTreeSet<String>,
) -> Vec<JoinKey> {
    let mut keys: Vec<JoinKey> = Vec::with_capacity(equalities.len());
    for equality in equalities {
        let key = JoinKey {
            left: left.key(&equality.left, &equality.common, taken),
            right: right.key(&equality.right, &equality.common, taken),
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// The sides of a join whose rows come out, with what can be NULL.
pub(super) fn join_of(
    kind: JoinKind,
    keys: Vec<JoinKey>,
    condition: Option<Expr>,
    left: &Prepared,
    right: &Prepared,
) -> Join {
    let mut columns = left.joined(Side::Left, kind.keeps_right());
    if !matches!(kind, JoinKind::Semi | JoinKind::Anti) {
        columns.extend(right.joined(Side::Right, kind.keeps_left()));
    }
    Join { kind, keys, condition, columns }
}

/// What the columns of a join are called: those of both sides, each with its relation; the event time of a side by its relation
/// only.
pub(super) fn scope_of(columns: &[JoinColumn], left: &Relation, right: Option<&Relation>) -> Scope {
    let field = |name: &str| columns.iter().find(|column| column.field.name() == name).map(|column| &column.field);
    let of_side = |relation: &Relation| -> Vec<ScopeColumn> {
        let known = relation.scope.columns.iter();
        known
            .filter_map(|column| {
                let is_time = column.name.eq_ignore_ascii_case("_event_time") && column.hidden;
                let field = Arc::clone(field(column.field.name())?);
                Some(ScopeColumn { field, qualified: column.qualified || is_time, ..column.clone() })
            })
            .collect()
    };
    let mut scope = of_side(left);
    scope.extend(right.map(of_side).unwrap_or_default());
    Scope::of(scope)
}

/// The joined rows as a relation without an event time.
pub(super) fn relation_of(
    node: NodeId,
    kind: &JoinKind,
    columns: &[JoinColumn],
    left: &Relation,
    right: &Relation,
) -> Relation {
    let one = matches!(kind, JoinKind::Semi | JoinKind::Anti);
    let identity = match (one, left.identity.is_empty() || right.identity.is_empty()) {
        (true, _) => left.identity.clone(),
        (false, true) => Vec::new(),
        (false, false) => left.identity.iter().chain(&right.identity).cloned().collect(),
    };
    Relation {
        late: left.late.clone(),
        dead_letter_sink: left.dead_letter_sink.clone().or_else(|| right.dead_letter_sink.clone()),
        identity,
        ..Relation::new(node, scope_of(columns, left, (!one).then_some(right)))
    }
}

/// A column that stands for one of each side, as in JOIN … USING.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) left: String,
    pub(super) right: String,
    /// Whether the join goes by it in another way than by a key.
    pub(super) is_time: bool,
}

impl Planner<'_> {
    /// The shared columns of USING and NATURAL in front, named once: that of the side whose rows all come, of FULL the one that
    /// is there.
    pub(super) fn with_shared(
        &mut self,
        relation: Relation,
        kind: &JoinKind,
        shared: &[Shared],
        owner: &str,
    ) -> Relation {
        if shared.is_empty() {
            return relation;
        }
        let schema = Arc::clone(&self.plan.nodes[relation.node.0].schema);
        let mut scope = relation.scope.clone();
        let mut first = Vec::with_capacity(shared.len());
        let mut computed = Vec::new();
        let mut taken: BTreeSet<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        for one in shared {
            for column in &mut scope.columns {
                if [&one.left, &one.right].contains(&column.field.name()) {
                    column.qualified = true;
                }
            }
            let field = |name: &str| schema.field_with_name(name).ok().cloned().map(Arc::new);
            let field = match kind {
                JoinKind::Right => field(&one.right),
                JoinKind::Full => {
                    let (Some(left), Some(right)) = (field(&one.left), field(&one.right)) else { continue };
                    let common = crate::bind::types::common_type(left.data_type(), right.data_type());
                    let common = common.unwrap_or_else(|| left.data_type().clone());
                    let value = |field: &FieldRef| match *field.data_type() == common {
                        true => column(field.name()),
                        false => CastFunction::call(column(field.name()), common.clone(), false),
                    };
                    let there = Expr::IsNotNull(Box::new(column(left.name())));
                    let expr = crate::bind::call::case(vec![(there, value(&left))], value(&right));
                    let name = own_name(&one.name, &mut taken);
                    let metadata = left.metadata().clone();
                    let field: FieldRef =
                        Arc::new(arrow_schema::Field::new(name, common.clone(), true).with_metadata(metadata));
                    computed.push(Output { expr, field: Arc::clone(&field) });
                    Some(field)
                }
                _ => field(&one.left),
            };
            let Some(field) = field else { continue };
            first.push(ScopeColumn { relation: None, name: one.name.clone(), field, hidden: false, qualified: false });
        }
        first.append(&mut scope.columns);
        scope.columns = first;
        let mut node = relation.node;
        if !computed.is_empty() {
            let passed = schema::visible(&schema);
            let outputs: Vec<Output> = passed
                .fields()
                .iter()
                .map(|field| Output { expr: column(field.name()), field: Arc::clone(field) })
                .chain(computed)
                .collect();
            let fields: Vec<FieldRef> = outputs.iter().map(|output| Arc::clone(&output.field)).collect();
            let mut output = Arc::new(Schema::new(fields));
            if schema::event_time_index(&schema).is_some() {
                output = schema::with_event_time(&output);
            }
            node = self.node(NodeKind::Project(outputs), vec![node], output, owner);
        }
        Relation { node, scope, ..relation }
    }

    /// A relation that goes by the time of one side of a join, where `name` is that; else as it is.
    pub(in crate::bind) fn by_side_time(
        &mut self,
        relation: Relation,
        name: &str,
        span: velo_sql::Span,
        owner: &str,
    ) -> Option<Relation> {
        let known = relation.event_time_columns.iter().any(|column| column == name);
        let is_it = |side: &&SideTime| side.time == name || side.columns.iter().any(|column| column == name);
        let Some(side) = relation.side_times.iter().find(is_it).filter(|_| !known).cloned() else {
            return Some(relation);
        };
        if let Some(missing) = &side.missing {
            let text = span.text(self.script).to_owned();
            self.error(
                velo_sql::Diagnostic::error(
                    crate::codes::NOT_EVENT_TIME,
                    span,
                    format!("'{text}' is NULL for a row of {missing} that has no partner, and nothing can go by that"),
                )
                .help(format!("go by _event_time, which every row has, or by the time of {missing}")),
            );
            return None;
        }
        let schema = Arc::clone(&self.plan.nodes[relation.node.0].schema);
        let pass = |field: &FieldRef| Output { expr: column(field.name()), field: Arc::clone(field) };
        let mut outputs: Vec<Output> = schema::visible(&schema).fields().iter().map(pass).collect();
        outputs.push(Output { expr: column(&side.time), field: Arc::new(schema::event_time_field()) });
        let node = self.node(NodeKind::Project(outputs), vec![relation.node], schema, owner);
        let event_time_columns = side.columns.iter().chain([&side.time]).cloned().collect();
        Some(Relation { node, event_time_columns, ..relation })
    }
}

/// The event time of a join's rows, named by itself.
pub(super) fn with_own_time(mut relation: Relation) -> Relation {
    relation.scope.columns.push(hidden_event_time());
    relation
}

/// What a side is called, for messages.
pub(super) fn called(relation: &Relation, side: Side) -> String {
    let mut names = relation.scope.columns.iter().filter(|column| !column.hidden).map(|column| &column.relation);
    match names.next() {
        Some(Some(first)) if names.all(|name| name.as_ref() == Some(first)) => format!("'{first}'"),
        _ if side == Side::Left => "the left side".to_owned(),
        _ => "the right side".to_owned(),
    }
}

/// Whether a condition is no condition.
pub(super) fn is_literal_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}
