//! In which order statements are planned: as they stand, but a table before the statements that name it.
//!
//! A statement may name a table that a later one creates. That one is planned first, with the settings of its own place, and
//! before it what it names itself. Tables that wait for each other are a mistake.

use std::collections::{BTreeMap, BTreeSet};

use velo_sql::Diagnostic;
use velo_sql::ast::visit::{Visitor, walk_query, walk_relation, walk_set_expr};
use velo_sql::ast::{
    Create, ObjectKind, ObjectName, Query, Relation, RelationKind, Statement, StatementKind, WindowInput,
};

use crate::catalog::Object;
use crate::codes;
use crate::planner::Planner;

/// The statements of a script, and which of them have been planned.
pub(crate) struct Order {
    planned: Vec<bool>,
    /// By name in lower case, the statements that create something so called.
    created: BTreeMap<String, Vec<usize>>,
}

impl Order {
    pub(crate) fn of(statements: &[Statement]) -> Self {
        let mut created: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, statement) in statements.iter().enumerate() {
            if let Some(create) = created_by(statement) {
                created.entry(create.name.text().to_lowercase()).or_default().push(at);
            }
        }
        Self { planned: vec![false; statements.len()], created }
    }
}

fn created_by(statement: &Statement) -> Option<&Create> {
    match &statement.kind {
        StatementKind::Create(create) => Some(create),
        _ => None,
    }
}

/// The relations that a statement names, those of its own WITH left out.
#[derive(Default)]
struct Named {
    found: Vec<ObjectName>,
    ctes: Vec<String>,
}

impl Named {
    fn of(statement: &Statement) -> Vec<ObjectName> {
        let mut named = Self::default();
        named.statement(statement);
        named.found
    }

    fn name(&mut self, name: &ObjectName) {
        let text = name.text();
        if !self.ctes.iter().any(|cte| cte.eq_ignore_ascii_case(&text)) {
            self.found.push(name.clone());
        }
    }
}

impl Visitor for Named {
    fn query(&mut self, query: &Query) {
        let outer = self.ctes.len();
        let Some(with) = &query.with else { return walk_query(self, query) };
        for cte in &with.ctes {
            self.query(&cte.query);
            self.ctes.push(cte.name.value.clone());
        }
        // The queries of WITH were walked above, each with the names before it.
        walk_set_expr(self, &query.body);
        query.order_by.iter().for_each(|item| self.expr(&item.expr));
        query.limit.iter().chain(&query.offset).for_each(|expr| self.expr(expr));
        self.ctes.truncate(outer);
    }

    fn relation(&mut self, relation: &Relation) {
        match &relation.kind {
            RelationKind::Named { name, properties, .. } if properties.entries.is_empty() => self.name(name),
            RelationKind::WindowFunction(function) => {
                if let WindowInput::Table(name) = &function.input {
                    self.name(name);
                }
            }
            _ => {}
        }
        walk_relation(self, relation);
    }
}

/// A statement whose names are being looked at.
struct Step {
    at: usize,
    names: std::vec::IntoIter<ObjectName>,
}

impl Planner<'_> {
    /// Plans all statements.
    pub(crate) async fn statements(&mut self) {
        let statements = self.statements;
        let mut order = Order::of(statements);
        for at in 0..statements.len() {
            let before = self.before(&mut order, at);
            let settings = (!before.is_empty()).then(|| self.settings.clone());
            for early in before {
                self.settings_until(&statements[at..early], settings.as_deref().unwrap_or_default());
                self.statement(&statements[early]).await;
            }
            if let Some(settings) = settings {
                self.settings = settings;
            }
            if !std::mem::replace(&mut order.planned[at], true) {
                self.statement(&statements[at]).await;
            }
        }
    }

    /// The settings behind `between`, whose mistakes are told when they are reached.
    fn settings_until(&mut self, between: &[Statement], settings: &[(String, String, velo_sql::Span, velo_sql::Span)]) {
        self.settings = settings.to_vec();
        let told = self.diagnostics.len();
        for statement in between {
            if let StatementKind::Set { key, value } = &statement.kind {
                self.set(&key.text, &value.text, key.span, value.span);
            }
        }
        self.diagnostics.truncate(told);
    }

    /// The later statements that have to be planned before one of them, in their order.
    fn before(&mut self, order: &mut Order, at: usize) -> Vec<usize> {
        let statements = self.statements;
        let mut early = Vec::new();
        if order.planned[at] {
            return early;
        }
        let mut open = BTreeSet::from([at]);
        let mut path = vec![Step { at, names: Named::of(&statements[at]).into_iter() }];
        while let Some(step) = path.last_mut() {
            let reader = step.at;
            let Some(name) = step.names.next() else {
                path.pop();
                open.remove(&reader);
                if reader != at && !std::mem::replace(&mut order.planned[reader], true) {
                    early.push(reader);
                }
                continue;
            };
            if self.catalog.get(&name).is_some() {
                continue;
            }
            let created = order.created.get(&name.text().to_lowercase());
            let found = created.into_iter().flatten().copied().find(|other| {
                let is_table = created_by(&statements[*other]).is_some_and(|create| create.kind == ObjectKind::Table);
                !order.planned[*other] && (is_table || *other <= reader)
            });
            match found {
                Some(first) if open.contains(&first) => {
                    let cycle: Vec<usize> = path.iter().map(|step| step.at).skip_while(|step| *step != first).collect();
                    self.cycle(&cycle);
                    // None of them can be planned, and none is missed.
                    for broken in &cycle {
                        order.planned[*broken] = true;
                        if let Some(create) = created_by(&statements[*broken]) {
                            self.catalog.add(&create.name, Object::Broken);
                        }
                    }
                }
                Some(needed) => {
                    // Sinks and functions that stand before it are of use to it by names of other kinds.
                    for (helper, statement) in statements.iter().enumerate().take(needed).skip(at + 1) {
                        let declares = match &statement.kind {
                            StatementKind::CreateFunction(_) => true,
                            StatementKind::Create(create) => create.kind == ObjectKind::Sink,
                            _ => false,
                        };
                        if declares && !std::mem::replace(&mut order.planned[helper], true) {
                            early.push(helper);
                        }
                    }
                    open.insert(needed);
                    path.push(Step { at: needed, names: Named::of(&statements[needed]).into_iter() });
                }
                None => {}
            }
        }
        early
    }

    /// Tables that wait for each other, each for the next one and the last for the first.
    fn cycle(&mut self, cycle: &[usize]) {
        let first = cycle.iter().enumerate().min_by_key(|(_, at)| **at).map_or(0, |(place, _)| place);
        let statements = self.statements;
        let names: Vec<&ObjectName> = cycle[first..]
            .iter()
            .chain(&cycle[..first])
            .filter_map(|at| created_by(&statements[*at]).map(|create| &create.name))
            .collect();
        let Some(start) = names.first() else { return };
        let way: Vec<String> = names.iter().chain([start]).map(|name| name.text()).collect();
        let message = match names.len() {
            1 => format!("'{}' is made from itself: {}", start.text(), way.join(" → ")),
            _ => format!("these are made from each other: {}", way.join(" → ")),
        };
        let mut diagnostic = Diagnostic::error(codes::CONFLICT, start.span(), message);
        for name in &names[1..] {
            diagnostic = diagnostic.also(name.span(), format!("{} is created here", name.text()));
        }
        self.error(
            diagnostic.help("a table is ready when all that it reads is: let one of them read a stream instead"),
        );
    }
}
