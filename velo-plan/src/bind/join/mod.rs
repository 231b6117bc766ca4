//! Joins in FROM: which of them a join is, by what stands on its sides and in its condition.
//!
//! With a table on the right each row of the left side is looked up in it. Two streams are joined by the distance of their event
//! times, by their time windows, or, where neither bounds what must be kept, as results that change.

mod as_of;
mod changelog;
mod condition;
mod interval;
mod lookup;
mod sides;
mod window;

use std::collections::BTreeSet;

use velo_sql::ast::{
    EmitMode, Expr as Ast, Join as AstJoin, JoinConstraint, JoinKind as AstKind, JoinWithin, ObjectName,
    Relation as FromItem, RelationKind,
};
use velo_sql::{Diagnostic, Span};

pub(super) use condition::Wheres;
pub(super) use condition::conjuncts;
use condition::{Both, Condition};
pub(super) use lookup::loses;
use sides::{Prepared, Shared, called, combined, is_literal_true, join_of, keys, names_of};

use super::query::column_of;
use super::scope::{Scope, ScopeColumn};
use crate::catalog::{Object, Pairs, Relation, Table};
use crate::codes;
use crate::plan::{Join, JoinKind, NodeId, NodeKind, Side};
use crate::planner::{Planner, visible};

/// A join of two inputs, but for what kind of join it is.
struct Paired {
    join: Join,
    inputs: Vec<NodeId>,
    left: Prepared,
    right: Prepared,
}

/// A join as written, or the comma between two items of FROM.
pub(super) struct Written<'a> {
    kind: AstKind,
    item: &'a FromItem,
    constraint: &'a JoinConstraint,
    within: Option<&'a JoinWithin>,
    matching: Option<&'a Ast>,
    comma: bool,
    span: Span,
}

impl<'a> Written<'a> {
    pub(super) fn join(join: &'a AstJoin) -> Self {
        Self {
            kind: join.kind,
            item: &join.relation,
            constraint: &join.constraint,
            within: join.within.as_ref(),
            matching: join.match_condition.as_deref(),
            comma: false,
            span: join.span,
        }
    }

    pub(super) fn comma(item: &'a FromItem) -> Self {
        let (constraint, span) = (&JoinConstraint::None, item.span);
        Self { kind: AstKind::Cross, item, constraint, within: None, matching: None, comma: true, span }
    }

    /// Whether it is an ASOF JOIN.
    fn is_as_of(&self) -> bool {
        matches!(self.kind, AstKind::AsOf | AstKind::AsOfLeft)
    }

    /// Which rows come out, and whether its sides change their places for that.
    fn plan_kind(&self) -> (JoinKind, bool) {
        match self.kind {
            AstKind::Inner | AstKind::Cross | AstKind::AsOf => (JoinKind::Inner, false),
            AstKind::Left | AstKind::AsOfLeft => (JoinKind::Left, false),
            AstKind::Right => (JoinKind::Right, false),
            AstKind::Full => (JoinKind::Full, false),
            AstKind::LeftSemi => (JoinKind::Semi, false),
            AstKind::LeftAnti => (JoinKind::Anti, false),
            AstKind::RightSemi => (JoinKind::Semi, true),
            AstKind::RightAnti => (JoinKind::Anti, true),
        }
    }

    fn words(&self) -> &'static str {
        match self.kind {
            AstKind::Inner => "JOIN",
            AstKind::Left => "LEFT JOIN",
            AstKind::Right => "RIGHT JOIN",
            AstKind::Full => "FULL JOIN",
            AstKind::Cross => "CROSS JOIN",
            AstKind::LeftSemi => "SEMI JOIN",
            AstKind::LeftAnti => "ANTI JOIN",
            AstKind::RightSemi => "RIGHT SEMI JOIN",
            AstKind::RightAnti => "RIGHT ANTI JOIN",
            AstKind::AsOf => "ASOF JOIN",
            AstKind::AsOfLeft => "ASOF LEFT JOIN",
        }
    }
}

/// Two relations to be joined, and by what.
struct Joining<'a> {
    kind: JoinKind,
    left: Relation,
    right: Relation,
    conditions: Vec<&'a Ast>,
    /// Columns of USING and NATURAL.
    shared: Vec<Shared>,
    within: Option<&'a JoinWithin>,
    matching: Option<&'a Ast>,
    span: Span,
    /// The join as it is called in messages.
    words: &'static str,
    /// Whether the left side is the one that is written on the right.
    swapped: bool,
    /// The conditions without those on the distance of the times.
    others: Vec<&'a Ast>,
    /// Where the distance of the times is bounded on one side only.
    one_sided: Option<Span>,
}

impl Planner<'_> {
    /// Joins an item of FROM to what stands before it. `wheres` are conditions that hold behind all joins, where it may take some
    /// of them.
    pub(super) async fn join<'a>(
        &mut self,
        left: Relation,
        written: Written<'a>,
        wheres: Option<&mut Wheres<'a>>,
        pairs: &mut Pairs,
        owner: &str,
    ) -> Option<Relation> {
        let table = match self.table_of(written.item, pairs) {
            Some(table) => Some(table),
            None => self.bound_as_table(&left, &written, pairs).await?,
        };
        let as_of = match &written.item.kind {
            RelationKind::Named { as_of, .. } => as_of.as_deref(),
            _ => None,
        };
        if let (Some(as_of), None) = (as_of, &table) {
            // That the relation is not there at all is the mistake to tell.
            if let RelationKind::Named { name, .. } = &written.item.kind
                && self.catalog.get(name).is_none()
            {
                let diagnostic = self.unknown_relation(name);
                self.error(diagnostic);
                return None;
            }
            let message = "FOR SYSTEM_TIME AS OF needs a table, and this is none";
            self.error(
                Diagnostic::error(codes::ARGUMENTS, as_of.span, message)
                    .help("CREATE TABLE with PRIMARY KEY and an event time keeps what was; ASOF JOIN finds the nearest earlier row of a stream"),
            );
            return None;
        }
        let swapped = written.plan_kind().1;
        let of_tables = self.is_of_tables(left.node);
        let looked_up = table.as_ref().filter(|_| {
            let kind = written.plan_kind().0;
            let can = matches!(kind, JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti);
            can && !swapped && !of_tables && !written.is_as_of()
        });
        if let Some(table) = looked_up {
            let (table, alias) = (table.clone(), written.item);
            return self.lookup(left, (table, alias), as_of, written, wheres, owner);
        }
        if let Some(as_of) = as_of {
            let message = match of_tables {
                true => "a table has no row whose time another one could be asked as of".to_owned(),
                false => format!("{} cannot ask a table as of a time", written.words()),
            };
            self.error(
                Diagnostic::error(codes::ARGUMENTS, as_of.span, message)
                    .help("FOR SYSTEM_TIME AS OF is for a stream with JOIN or LEFT JOIN and a table behind it"),
            );
            return None;
        }
        let right = Box::pin(self.from(written.item, pairs, owner)).await?;
        let right = anonymous(written.item, right);
        self.join_relations(left, right, table.as_ref(), written, wheres, owner)
    }

    /// The table that an item of FROM names.
    pub(super) fn table_of(&self, item: &FromItem, pairs: &Pairs) -> Option<Table> {
        let RelationKind::Named { name, properties, .. } = &item.kind else { return None };
        let prefix = format!("{}.", name.text().to_lowercase());
        let bound = !properties.entries.is_empty()
            || pairs.pairs.iter().any(|(key, ..)| key.to_lowercase().starts_with(&prefix));
        let is_cte = |single: &ObjectName| match single.parts.as_slice() {
            [single] => self.query.ctes.iter().any(|(cte, _)| single.matches(&cte.value)),
            _ => false,
        };
        match self.catalog.get(name) {
            Some(Object::Table(table)) if !bound && !is_cte(name) => Some(table.as_ref().clone()),
            _ => None,
        }
    }

    /// The right side of a join that is bound in place and is a table: what ends is read whole, unless it is joined by time.
    async fn bound_as_table(
        &mut self,
        left: &Relation,
        written: &Written<'_>,
        pairs: &mut Pairs,
    ) -> Option<Option<Table>> {
        let RelationKind::Named { name, properties, .. } = &written.item.kind else { return Some(None) };
        let (kind, swapped) = written.plan_kind();
        let looks_up = matches!(kind, JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti) && !swapped;
        let by_time = written.within.is_some() || written.is_as_of();
        if !looks_up || by_time || self.catalog.get(name).is_some() || self.is_of_tables(left.node) {
            return Some(None);
        }
        let mut rest = pairs.clone();
        let mut own = rest.take_prefixed(&name.text(), name.span());
        own.pairs.extend(Pairs::new(&properties.entries, name.span()).pairs);
        let timed = own.pairs.iter().any(|(key, ..)| {
            let key = key.to_lowercase();
            key.starts_with("event.time.") || key.starts_with("watermark.")
        });
        if own.pairs.is_empty() || timed {
            return Some(None);
        }
        let told = self.diagnostics.len();
        let Some(bound) = self.resolver().table(&own).filter(|bound| bound.source.binding.bounded()) else {
            // What is wrong with it is told when it is bound as a stream.
            self.diagnostics.truncate(told);
            return Some(None);
        };
        *pairs = rest;
        self.table_in_place(name, bound, &own).await.map(Some)
    }

    /// Whether the rows of a node come from tables alone.
    pub(super) fn is_of_tables(&self, node: NodeId) -> bool {
        let upstream = self.plan.upstream(node);
        let has = |is: fn(&NodeKind) -> bool| upstream.iter().any(|node| is(&self.plan.nodes[node.0].kind));
        has(|kind| matches!(kind, NodeKind::TableScan(_))) && !has(|kind| matches!(kind, NodeKind::Source(_)))
    }

    /// Two relations as what their join is.
    fn join_relations<'a>(
        &mut self,
        left: Relation,
        right: Relation,
        table: Option<&Table>,
        written: Written<'a>,
        wheres: Option<&mut Wheres<'a>>,
        owner: &str,
    ) -> Option<Relation> {
        self.names_differ(&left.scope, &right.scope, written.item.span)?;
        let (kind, swapped) = written.plan_kind();
        let (left, right) = if swapped { (right, left) } else { (left, right) };
        // A window that is only named becomes columns.
        let left = self.in_its_window(left, written.span, owner)?;
        let right = self.in_its_window(right, written.item.span, owner)?;
        let mut conditions = match written.constraint {
            JoinConstraint::On(condition) => conjuncts(condition),
            _ => Vec::new(),
        };
        let shared = self.shared(&left.scope, &right.scope, &written)?;
        if kind == JoinKind::Inner
            && !written.is_as_of()
            && let Some(wheres) = wheres
        {
            let both = Both { left: &left.scope, right: &right.scope };
            let times = condition::Times::of(&left, &right);
            let any = written.kind == AstKind::Cross;
            conditions
                .extend(wheres.take(|condition| {
                    (any && both.is_equality(condition)) || both.bounds(condition, &times).is_some()
                }));
        }
        let bare = conditions.is_empty() && shared.is_empty() && written.within.is_none() && written.matching.is_none();
        if bare && written.kind != AstKind::Cross && !matches!(written.constraint, JoinConstraint::On(_)) {
            self.error(
                Diagnostic::error(codes::ARGUMENTS, written.span, format!("{} needs its condition", written.words()))
                    .help("write ON and the equality of a column of each side, USING (column), or CROSS JOIN for all pairs"),
            );
            return None;
        }
        if let Some(matching) = written.matching.filter(|_| !written.is_as_of()) {
            self.error(
                Diagnostic::error(codes::ARGUMENTS, matching.span, "MATCH_CONDITION belongs to ASOF JOIN")
                    .help("write ASOF JOIN for the nearest row, or the condition into ON"),
            );
            return None;
        }
        if let Some(grace) = written.within.and_then(|within| within.grace.as_ref()) {
            self.error(
                Diagnostic::error(codes::NOT_SUPPORTED, grace.span, "GRACE PERIOD of a join cannot run yet").help(
                    "leave it out: rows may be out of order by 'watermark.max_out_of_orderness' of their stream, and a join waits for that",
                ),
            );
            return None;
        }
        let mut joining = Joining {
            kind,
            left,
            right,
            conditions,
            shared,
            within: written.within,
            matching: written.matching,
            span: written.span,
            words: written.words(),
            swapped,
            others: Vec::new(),
            one_sided: None,
        };
        if written.is_as_of() {
            return self.as_of_join(joining, table, owner);
        }
        if let Some(within) = written.within.filter(|_| table.is_some() || self.is_of_tables(joining.left.node)) {
            self.error(
                Diagnostic::error(codes::ARGUMENTS, within.span, "WITHIN is for two streams, and here is a table")
                    .help("leave it out: a table has the row that stands; FOR SYSTEM_TIME AS OF asks for the one of a time"),
            );
            return None;
        }
        let tables = table.is_some() || [&joining.left, &joining.right].iter().any(|side| self.is_of_tables(side.node));
        if !tables {
            if let Some(window) = self.common_window(&joining)? {
                return self.window_join(joining, window, owner);
            }
            if let Some(interval) = self.interval_of(&mut joining, owner)? {
                return self.interval_join(joining, interval, owner);
            }
        }
        self.changelog_join(joining, table.is_some(), owner)
    }

    /// The rows of a windowing table function that a join reads.
    fn in_its_window(&mut self, mut relation: Relation, span: Span, owner: &str) -> Option<Relation> {
        match relation.window.take() {
            Some(window) => self.windowed_rows(relation, window, span, owner),
            None => Some(relation),
        }
    }

    /// Two relations of one name cannot be told apart.
    fn names_differ(&mut self, left: &Scope, right: &Scope, span: Span) -> Option<()> {
        let names = |scope: &Scope| -> BTreeSet<String> {
            scope.columns.iter().filter_map(|column| column.relation.clone()).collect()
        };
        let known = names(left);
        let Some(twice) =
            names(right).into_iter().find(|name| known.iter().any(|other| other.eq_ignore_ascii_case(name)))
        else {
            return Some(());
        };
        self.error(
            Diagnostic::error(codes::DUPLICATE_NAME, span, format!("two relations of FROM are called '{twice}'"))
                .help(format!("give this one another name, as in {twice} AS other")),
        );
        None
    }

    /// The columns of USING or NATURAL.
    fn shared(&mut self, left: &Scope, right: &Scope, written: &Written<'_>) -> Option<Vec<Shared>> {
        let names: Vec<(String, Span)> = match written.constraint {
            JoinConstraint::None | JoinConstraint::On(_) => return Some(Vec::new()),
            JoinConstraint::Using(columns) => {
                let mut found = Vec::with_capacity(columns.len());
                for column in columns {
                    let name = ObjectName { parts: vec![column.clone()] };
                    for (scope, side) in [(left, "left"), (right, "right")] {
                        match scope.resolve(&name) {
                            Ok(_) => {}
                            Err(diagnostic) if diagnostic.code == codes::UNKNOWN_COLUMN => {
                                let message = format!("the {side} side of USING has no column '{}'", column.value);
                                let names: Vec<&str> = visible(scope).map(|column| column.name.as_str()).collect();
                                self.error(
                                    Diagnostic::error(codes::UNKNOWN_COLUMN, column.span, message)
                                        .help(format!("its columns are {}", names.join(", ")))
                                        .help("ON joins columns with different names"),
                                );
                                return None;
                            }
                            Err(diagnostic) => {
                                self.error(diagnostic);
                                return None;
                            }
                        }
                    }
                    found.push((column.value.clone(), column.span));
                }
                found
            }
            JoinConstraint::Natural => {
                let on_right = |name: &str| visible(right).any(|column| column.name.eq_ignore_ascii_case(name));
                let found: Vec<(String, Span)> = visible(left)
                    .filter(|column| on_right(&column.name))
                    .map(|column| (column.name.clone(), written.span))
                    .collect();
                if found.is_empty() {
                    self.error(
                        Diagnostic::error(
                            codes::ARGUMENTS,
                            written.span,
                            "NATURAL joins by the columns that both sides have, and there are none",
                        )
                        .help("write ON and the equality of a column of each side, or CROSS JOIN for all pairs"),
                    );
                    return None;
                }
                found
            }
        };
        let mut shared = Vec::with_capacity(names.len());
        for (name, span) in names {
            let path = ObjectName { parts: vec![velo_sql::ast::Ident { span, ..velo_sql::ast::Ident::plain(&name) }] };
            let found = |scope: &Scope| {
                scope.resolve(&path).map(|found| (found.column.name.clone(), found.column.field.name().clone()))
            };
            match (found(left), found(right)) {
                (Ok((name, left)), Ok((_, right))) => shared.push(Shared { name, left, right, is_time: false }),
                (Err(diagnostic), _) | (_, Err(diagnostic)) => {
                    self.error(diagnostic);
                    return None;
                }
            }
        }
        Some(shared)
    }

    /// What a join of two inputs is made of: both sides with names of their own, the conditions over them as keys and the rest, the
    /// nodes below. `times`: which event times become columns.
    fn paired(&mut self, joining: &mut Joining<'_>, times: (bool, bool), owner: &str) -> Option<Paired> {
        let mut taken = BTreeSet::new();
        let mut left = self.prepare(joining.left.clone(), &mut taken, times.0);
        let mut right = self.prepare(joining.right.clone(), &mut taken, times.1);
        let scope = combined(&left.relation, &right.relation);
        let of_right = names_of(&right);
        let mut condition = self.join_condition(&joining.conditions, &scope, &of_right, false)?;
        for one in &mut joining.shared {
            let field = |old: &Scope, new: &Scope, name: &str| {
                let at = old.columns.iter().position(|column| column.field.name() == name)?;
                new.columns.get(at).cloned()
            };
            let of_left = field(&joining.left.scope, &left.relation.scope, &one.left)?;
            let of_right = field(&joining.right.scope, &right.relation.scope, &one.right)?;
            (one.left, one.right) = (of_left.field.name().clone(), of_right.field.name().clone());
            if one.is_time {
                continue;
            }
            let typed = |column: &ScopeColumn| column_of(column, joining.span);
            let (left, right) = (typed(&of_left), typed(&of_right));
            let names = (qualified(&of_left), qualified(&of_right));
            condition.equalities.push(self.shared_equality((left, right), names, joining.span, &scope)?);
        }
        let keys = keys(&condition.equalities, &mut left, &mut right, &mut taken);
        let others = condition.others.into_iter().filter(|typed| !is_literal_true(&typed.expr)).collect();
        let join = join_of(joining.kind.clone(), keys, Condition::rest(others), &left, &right);
        let sides = [&left, &right];
        let inputs = sides.map(|side| self.node_of_side(&side.outputs, side.relation.node, owner)).to_vec();
        Some(Paired { join, inputs, left, right })
    }

    /// A join whose pairs come once is of rows that only come; `what` and `instead` say which join it is, and what to write.
    fn only_come(&mut self, joining: &Joining<'_>, place: Span, what: &str, instead: &str) -> Option<()> {
        for (relation, side) in [(&joining.left, Side::Left), (&joining.right, Side::Right)] {
            if !self.changes(relation.node).is_append() {
                let changing = called(relation, side);
                let message = format!("{what} rows that only come, and those of {changing} change after they came");
                self.error(Diagnostic::error(codes::UNBOUNDED, place, message).help(instead.to_owned()));
                return None;
            }
        }
        Some(())
    }

    /// EMIT FINAL of what changes as long as rows come needs inputs that end.
    pub(super) fn final_has_an_end(&mut self, node: NodeId, place: Span, message: &str, help: &str) -> Option<()> {
        if self.query.emit != Some(EmitMode::Final) || self.is_bounded(node) || self.changes(node).is_append() {
            return Some(());
        }
        self.error(Diagnostic::error(codes::UNBOUNDED, place, message).help(help.to_owned()));
        None
    }

    /// The equality of two columns of USING or NATURAL, which are written as `names`.
    fn shared_equality(
        &mut self,
        (left, right): (crate::bind::Typed, crate::bind::Typed),
        names: (String, String),
        span: Span,
        scope: &Scope,
    ) -> Option<condition::Equality> {
        let (one, other) = (super::expr::article(&left.data_type), super::expr::article(&right.data_type));
        let to = velo_core::types::sql_name(&right.data_type);
        let before = self.diagnostics.len();
        let equality = self.equality(left, right, span, span, scope, false);
        if equality.is_none() && self.diagnostics.len() > before {
            // The places of the columns are one and the same.
            self.diagnostics.truncate(before);
            let (left, right) = names;
            let message = format!("{left} is {one}, and {right} is {other}: rows cannot be brought together by them");
            self.error(
                Diagnostic::error(codes::TYPE_MISMATCH, span, message)
                    .help(format!("write ON CAST({left} AS {to}) = {right}")),
            );
        }
        equality
    }
}

/// A column with its relation.
fn qualified(column: &ScopeColumn) -> String {
    match &column.relation {
        Some(relation) => format!("{relation}.{}", column.name),
        None => column.name.clone(),
    }
}

/// A query without an alias gives its columns no name to stand before them.
pub(super) fn anonymous(item: &FromItem, mut relation: Relation) -> Relation {
    if item.alias.is_none() && matches!(item.kind, RelationKind::Derived { .. } | RelationKind::MatchRecognize(_)) {
        relation.scope.columns.iter_mut().for_each(|column| column.relation = None);
    }
    relation
}
