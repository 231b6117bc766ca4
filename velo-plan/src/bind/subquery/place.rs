//! The joins that sub-queries become, under the node that evaluates their expression.

use std::sync::Arc;

use arrow_schema::{DataType, FieldRef, SchemaRef};
use datafusion_expr::Expr;
use velo_core::schema;
use velo_eventtime::LateStrategy;
use velo_sql::Diagnostic;

use super::plan::own_name;
use super::{Asked, Pair, Rows, Subqueries, column, columns_of};
use crate::bind::expr::Typed;
use crate::bind::join::loses;
use crate::bind::scope::{Scope, ScopeColumn, unique};
use crate::bind::types::common_type;
use crate::catalog::Relation;
use crate::codes;
use crate::functions::cast::CastFunction;
use crate::plan::{
    ChangelogJoin, Join, JoinColumn, JoinKey, JoinKind, LookupJoin, Mark, NodeKind, Output, Side, TableColumn, TableId,
    joined_schema,
};
use crate::planner::Planner;

/// The event time of rows behind a join that has none, as a column.
pub(super) const TIME: &str = "$time.row";

/// What is looked up in a table.
#[derive(Default)]
struct Keys {
    keys: Vec<Expr>,
    columns: Vec<usize>,
    member: Option<usize>,
}

impl Planner<'_> {
    /// Joins what an expression reads of a sub-query to the rows over which it is evaluated.
    pub(in crate::bind) fn place(
        &mut self,
        left: Relation,
        subqueries: &Subqueries,
        mut asked: Asked,
        owner: &str,
    ) -> Option<Relation> {
        let planned = &subqueries.planned[asked.planned];
        let own = format!("{}{}", super::INNER, planned.number);
        for typed in asked.expressions_mut() {
            typed.expr = self.retimed(typed.expr.clone(), &left);
        }
        let schema = Arc::clone(&self.plan.nodes[left.node.0].schema);
        let stray = asked.expressions_mut().find_map(|typed| {
            let stray = |name: &String| !name.starts_with(&own) && schema.field_with_name(name).is_err();
            columns_of(&typed.expr).into_iter().find(stray).map(|name| (name, typed.span))
        });
        if let Some((name, span)) = stray {
            let window = name.starts_with("$window");
            let message = match window {
                true => "the window of the rows is not known where a sub-query needs it".to_owned(),
                false => format!("'{}' is not there where a sub-query needs it", name.trim_start_matches('$')),
            };
            self.error(
                Diagnostic::error(codes::NOT_SUPPORTED, span, message)
                    .help("compute it in a query of FROM under a name, and write the sub-query around that"),
            );
            return None;
        }
        match &planned.rows {
            Rows::Table { table, columns, one } => self.look_up(left, (*table, columns, *one), asked, owner),
            Rows::Stream(_, right) => self.changing(left, right, planned.number, asked, owner),
            Rows::Outer => Some(left),
        }
    }

    /// Each row with what the table of a sub-query has under its keys.
    fn look_up(
        &mut self,
        left: Relation,
        (table, columns, one): (TableId, &[TableColumn], bool),
        asked: Asked,
        owner: &str,
    ) -> Option<Relation> {
        let Asked { mut kind, pairs, conditions, member, out, span, .. } = asked;
        let mut conditions: Vec<Expr> = conditions.into_iter().map(|typed| typed.expr).collect();
        let Keys { keys, columns: key, member } = self.table_keys(table, pairs, member, columns, &mut conditions);
        if let JoinKind::Mark(Mark { membership, .. }) = &mut kind {
            *membership = membership.and(member);
        }
        let unsure = matches!(&kind, JoinKind::Mark(Mark { membership: Some(_), .. }));
        let others: Vec<usize> =
            key.iter().enumerate().filter(|(at, _)| Some(*at) != member).map(|(_, column)| *column).collect();
        let node = &mut self.plan.tables[table.0];
        let index = (!keys.is_empty()).then(|| node.index(&key));
        let others = (unsure && !others.is_empty()).then(|| node.index(&others));
        if keys.is_empty() && !one {
            let name = node.name.clone();
            self.diagnostics.push(
                Diagnostic::warning(codes::EVERY_PAIR, span, format!("every row meets every row of '{name}'"))
                    .help("that is right where there are a few; the equality of a column of each side, or IN, finds the right ones at once"),
            );
        }
        let input = Arc::clone(&self.plan.nodes[left.node.0].schema);
        let mut output: Vec<JoinColumn> = passed(&input);
        output.extend(columns.iter().filter(|column| out.contains(column.field.name())).map(of_right));
        let schema = joined_schema(&output, kind.mark(), schema::event_time_index(&input).is_some());
        let condition = conditions.into_iter().reduce(Expr::and);
        let join = LookupJoin {
            table,
            kind,
            keys,
            index,
            others,
            condition,
            table_columns: columns.to_vec(),
            columns: output,
            as_of: false,
            missing: None,
            late: LateStrategy::Drop,
        };
        let node = self.node(NodeKind::LookupJoin(Box::new(join)), vec![left.node], schema, owner);
        Some(Relation { node, ranked: None, key: Vec::new(), ..left })
    }

    /// The equalities that are looked up: by the primary key where all of it is there, else by all columns; a membership by all.
    /// What is no key, or more than that, becomes a condition.
    fn table_keys(
        &self,
        table: TableId,
        pairs: Vec<Pair>,
        member: Option<usize>,
        columns: &[TableColumn],
        conditions: &mut Vec<Expr>,
    ) -> Keys {
        let column_of = |inner: &Expr| match inner {
            Expr::Column(known) => {
                columns.iter().find(|column| column.field.name() == known.name()).map(|column| column.column)
            }
            _ => None,
        };
        let key = &self.plan.tables[table.0].key;
        let by_key = member.is_none()
            && !key.is_empty()
            && key.iter().all(|column| pairs.iter().any(|pair| column_of(&pair.inner.expr) == Some(*column)));
        let mut found = Keys::default();
        // A column that is compared twice is looked up by the membership.
        let of_member = member.and_then(|at| column_of(&pairs[at].inner.expr));
        for (at, pair) in pairs.into_iter().enumerate() {
            let is_member = Some(at) == member;
            let column = column_of(&pair.inner.expr).filter(|column| {
                let twice = found.columns.contains(column) || (!is_member && of_member == Some(*column));
                !twice && (!by_key || key.contains(column))
            });
            let Some(column) = column else {
                conditions.push(pair.whole.expr);
                continue;
            };
            let (from, to) = (&pair.outer.data_type, &pair.inner.data_type);
            if is_member {
                found.member = Some(found.keys.len());
            }
            found.columns.push(column);
            found.keys.push(match from == to {
                true => pair.outer.expr,
                // What does not fit into the column's type is in none of its rows.
                false => CastFunction::call(pair.outer.expr, to.clone(), true),
            });
            if loses(from, to) {
                conditions.push(pair.whole.expr);
            }
        }
        found
    }

    /// Each row with what the rows of a stream say of it, as long as both go on.
    fn changing(
        &mut self,
        left: Relation,
        right: &Relation,
        number: usize,
        asked: Asked,
        owner: &str,
    ) -> Option<Relation> {
        let Asked { mut kind, pairs, conditions, member, out, span, .. } = asked;
        if left.window.is_some() {
            self.error(
                Diagnostic::error(
                    codes::NOT_SUPPORTED,
                    span,
                    "a sub-query over a stream beside a window of FROM cannot run yet",
                )
                .help(
                    "CREATE TABLE instead of CREATE STREAM for what it reads: then each row is looked up when it comes",
                ),
            );
            return None;
        }
        let input = Arc::clone(&self.plan.nodes[left.node.0].schema);
        let of_right = Arc::clone(&self.plan.nodes[right.node.0].schema);
        let mut below = (Below::passing(&input), Below::of_subquery(&of_right, number));
        let mut keys: Vec<JoinKey> = Vec::with_capacity(pairs.len());
        let mut place = None;
        for (at, pair) in pairs.iter().enumerate() {
            let common = common_type(&pair.outer.data_type, &pair.inner.data_type)?;
            let inner = super::renamed(&pair.inner.expr, &|name| below.1.old(name));
            let key = JoinKey {
                left: below.0.key(&pair.outer, pair.outer.expr.clone(), &common, &format!("$left{number}")),
                right: below.1.key(&pair.inner, inner, &common, &format!("$right{number}")),
            };
            let known = keys.iter().position(|known| *known == key).unwrap_or(keys.len());
            if known == keys.len() {
                keys.push(key);
            }
            place = place.or((Some(at) == member).then_some(known));
        }
        if let JoinKind::Mark(Mark { membership, .. }) = &mut kind {
            *membership = membership.and(place);
        }
        self.state_is_bounded(&left, right, &keys, span)?;
        let mut columns: Vec<JoinColumn> = below.0.outputs[..below.0.own]
            .iter()
            .map(|output| JoinColumn { side: Side::Left, field: Arc::clone(&output.field) })
            .collect();
        let outputs = below.1.outputs[..below.1.own].iter();
        columns.extend(outputs.filter(|output| out.contains(output.field.name())).map(|output| JoinColumn {
            side: Side::Right,
            field: Arc::new(output.field.as_ref().clone().with_nullable(true)),
        }));
        let condition = conditions.into_iter().map(|typed| typed.expr).reduce(Expr::and);
        let schema = joined_schema(&columns, kind.mark(), false);
        let sides = [(&below.0, left.node), (&below.1, right.node)];
        let inputs = sides.map(|(side, node)| self.node_of_side(&side.outputs, node, owner)).to_vec();
        let join = Join { kind, keys, condition, columns };
        let node = self.node(NodeKind::ChangelogJoin(Box::new(ChangelogJoin { join })), inputs, schema, owner);
        self.final_has_an_end(
            node,
            span,
            "EMIT FINAL of a sub-query over a stream needs inputs that end, and one of these does not",
            "write EMIT CHANGES; or CREATE TABLE instead of CREATE STREAM for what it reads",
        )?;
        let scope = left.scope.columns.iter().map(|known| match known.field.name() == schema::EVENT_TIME {
            true => ScopeColumn { field: time_field(), ..known.clone() },
            false => known.clone(),
        });
        Some(Relation {
            late: left.late.clone(),
            dead_letter_sink: left.dead_letter_sink.clone(),
            identity: left.identity.clone(),
            timeless: Some(span),
            ..Relation::new(node, Scope::of(scope.collect()))
        })
    }

    /// State without a key grows with every row, and every row is met by every other one.
    fn state_is_bounded(
        &mut self,
        left: &Relation,
        right: &Relation,
        keys: &[JoinKey],
        span: velo_sql::Span,
    ) -> Option<()> {
        let ends = [left, right].map(|side| self.is_bounded(side.node));
        if ends == [true; 2] || self.query.properties.state_ttl.is_some() {
            return Some(());
        }
        if self.is_of_tables(left.node) && !self.reads_stream(right.node) {
            return Some(());
        }
        if keys.is_empty() {
            self.error(
                Diagnostic::error(
                    codes::UNBOUNDED,
                    span,
                    "this sub-query reads a stream, and nothing brings its rows together with those of the outer query but that all meet: every row would be kept as long as the job runs",
                )
                .help("write the equality of a column of each side into its WHERE, or IN; or CREATE TABLE … AS SELECT of what it computes, which is looked up when a row comes"),
            );
            return None;
        }
        self.diagnostics.push(
            Diagnostic::warning(
                codes::KEPT_STATE,
                span,
                "every row of both the outer query and this sub-query is kept as long as the job runs, and a row that comes can change the answer for earlier ones",
            )
            .help("CREATE TABLE instead of CREATE STREAM for what it reads: then each row is looked up once; 'state.ttl' = '1d' lets go what was not touched for a day"),
        );
        Some(())
    }
}

/// What a side of a join of changing rows gives: its columns, and behind them what is computed for keys.
struct Below {
    outputs: Vec<Output>,
    own: usize,
}

impl Below {
    fn passing(input: &SchemaRef) -> Self {
        let mut outputs: Vec<Output> = schema::visible(input)
            .fields()
            .iter()
            .map(|field| Output { expr: column(field.name()), field: Arc::clone(field) })
            .collect();
        if schema::event_time_index(input).is_some() {
            outputs.push(Output { expr: column(schema::EVENT_TIME), field: time_field() });
        }
        Self { own: outputs.len(), outputs }
    }

    fn of_subquery(input: &SchemaRef, number: usize) -> Self {
        let renamed = |field: &FieldRef| Output {
            expr: column(field.name()),
            field: Arc::new(field.as_ref().clone().with_name(own_name(number, field.name()))),
        };
        let outputs: Vec<Output> = schema::visible(input).fields().iter().map(renamed).collect();
        Self { own: outputs.len(), outputs }
    }

    /// The name below of a column.
    fn old(&self, name: &str) -> Option<String> {
        let output = self.outputs.iter().find(|output| output.field.name() == name)?;
        match &output.expr {
            Expr::Column(column) => Some(column.name().to_owned()),
            _ => None,
        }
    }

    /// The column with the value of an expression, which is over the columns below, in a type.
    fn key(&mut self, typed: &Typed, expr: Expr, common: &DataType, name: &str) -> Expr {
        let expr = match typed.data_type == *common {
            true => expr,
            false => CastFunction::call(expr, common.clone(), false),
        };
        // The event time is a column under another name.
        let known = self.outputs.iter().find(|output| output.expr == expr);
        if let Some(known) = known {
            return column(known.field.name());
        }
        let mut taken = self.outputs.iter().map(|output| output.field.name().clone()).collect();
        let unique = unique(name, &mut taken);
        let field = Arc::new(arrow_schema::Field::new(&unique, common.clone(), typed.nullable));
        self.outputs.push(Output { expr, field });
        column(&unique)
    }
}

fn time_field() -> FieldRef {
    Arc::new(schema::event_time_field().with_name(TIME))
}

/// The columns of the rows that pass.
fn passed(input: &SchemaRef) -> Vec<JoinColumn> {
    let fields = schema::visible(input);
    fields.fields().iter().map(|field| JoinColumn { side: Side::Left, field: Arc::clone(field) }).collect()
}

fn of_right(column: &TableColumn) -> JoinColumn {
    JoinColumn { side: Side::Right, field: Arc::new(column.field.as_ref().clone().with_nullable(true)) }
}

/// Whether every value of one type is one of the other, and different ones stay different.
pub(super) fn widens(from: &DataType, to: &DataType) -> bool {
    let nanos = matches!(to, DataType::Timestamp(arrow_schema::TimeUnit::Nanosecond, _));
    from == to || (!nanos && common_type(from, to).as_ref() == Some(to) && !loses(from, to))
}
