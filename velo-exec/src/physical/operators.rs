//! The operator of each step of a stage.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use velo_core::lookup::TableReader;
use velo_plan::plan::{self, Emission, JoinKind, Node, NodeKind, Plan, TableFeed};

use super::exchange::held_together;
use super::shared_by::{shared_by, shared_with_input};
use super::stage::Step;
use crate::error::{ExecError, Result};
use crate::operator::{
    AsOfJoin, ChangelogJoin, DistinctOn, EmitInterval, FilterProject, Fold, FoldByTime, GroupFinal, GroupPartial,
    GroupSpec, IdleClose, IntervalJoin, JoinSpec, LatestByKey, Limit, LookupJoin, LookupSpec, MatchRecognize,
    MatchSpec, Operator, Over as OverOperator, OverSpec, SetOperation, Sort, TopN, TopNSpec, Unnest, WindowAssign,
    WindowFinal, WindowJoin, WindowLimit, WindowPartial, aggregate,
};

impl Step {
    pub(super) fn operator(&self, plan: &Plan, tables: &[Arc<dyn TableReader>]) -> Result<Box<dyn Operator>> {
        let node = &plan.nodes[self.node().0];
        let input: SchemaRef = plan.nodes[node.inputs[0].0].schema.clone();
        Ok(match (&node.kind, self) {
            (_, Self::EmitInterval(_)) => {
                let nothing = || ExecError::Internal("nothing is held together".to_owned());
                let (interval, key, windowed) = held_together(node)?.ok_or_else(nothing)?;
                let held = EmitInterval::new(interval, key, windowed, node.schema.clone())?;
                Box::new(held.shared_by(shared_by(plan, self.node())?))
            }
            (NodeKind::Filter(condition), _) => Box::new(FilterProject::filter(condition, &input, &node.owner)?),
            (NodeKind::Project(outputs), _) => {
                Box::new(FilterProject::project(outputs, &input, node.schema.clone(), &node.owner)?)
            }
            (NodeKind::Window(window), _) => Box::new(WindowAssign::new(window, node.schema.clone())?),
            (NodeKind::LookupJoin(join), _) => Box::new(LookupJoin::new(lookup_spec(plan, node, join, tables)?)?),
            (NodeKind::Unnest(unnest), _) => Box::new(Unnest::new(unnest, &input, node.schema.clone(), &node.owner)?),
            (NodeKind::Over(over), _) => {
                let spec = OverSpec { over: over.clone(), output: node.schema.clone(), statement: node.owner.clone() };
                Box::new(OverOperator::new(&spec, &input)?)
            }
            (NodeKind::TopN(top), _) => {
                let spec = TopNSpec {
                    top: top.clone(),
                    retracts: !plan.nodes[node.inputs[0].0].changes.is_append(),
                    ttl: node.state_ttl,
                    output: node.schema.clone(),
                    statement: node.owner.clone(),
                };
                Box::new(TopN::new(&spec, &input)?)
            }
            (NodeKind::MatchRecognize(matching), _) => {
                let (matching, output) = (matching.as_ref().clone(), node.schema.clone());
                let spec = MatchSpec { matching, output, statement: node.owner.clone() };
                Box::new(MatchRecognize::new(&spec, &input)?)
            }
            (NodeKind::AsOfJoin(join), _) => Box::new(AsOfJoin::new(&join_spec(plan, node, join.as_ref())?)?),
            (NodeKind::ChangelogJoin(join), _) => Box::new(ChangelogJoin::new(&join_spec(plan, node, join.as_ref())?)?),
            (NodeKind::IntervalJoin(join), _) => Box::new(IntervalJoin::new(&join_spec(plan, node, join.as_ref())?)?),
            (NodeKind::WindowJoin(join), _) => Box::new(WindowJoin::new(&join_spec(plan, node, join.as_ref())?)?),
            (NodeKind::SetOperation { kind, all, emission }, _) => {
                Box::new(SetOperation::new(*kind, *all, *emission, node.state_ttl, node.schema.clone())?)
            }
            (NodeKind::DistinctOn { keys, order }, _) => Box::new(DistinctOn::new(keys, order, input, &node.owner)?),
            (NodeKind::WindowLimit { order, skip, count }, _) => {
                Box::new(WindowLimit::new(order, *skip, *count, input, &node.owner)?)
            }
            (NodeKind::Sort(keys), _) => Box::new(Sort::new(keys, input, &node.owner)?),
            (NodeKind::LatestByKey(key), _) => Box::new(LatestByKey::new(key, node.state_ttl, input)?),
            (NodeKind::Fold, _) => Box::new(Fold::new(input)?),
            (NodeKind::FoldByTime(late), _) => {
                let fold = FoldByTime::new(input, *late, &node.owner)?;
                Box::new(fold.shared_by(shared_with_input(plan, node)?))
            }
            (NodeKind::Limit { skip, count }, _) => Box::new(Limit::new(*skip, *count)),
            (
                NodeKind::Aggregate {
                    window: Some(window), emission: Emission { idle_close: Some(after), .. }, ..
                },
                Self::IdleClose(_),
            ) => Box::new(IdleClose::new(*after, window)?),
            (NodeKind::Aggregate { .. }, Self::Whole(_)) => aggregate(&group_spec(plan, node)?, &input)?,
            (NodeKind::Aggregate { window: None, .. }, Self::Partial(_)) => {
                Box::new(GroupPartial::new(&group_spec(plan, node)?, &input)?)
            }
            (NodeKind::Aggregate { window: None, .. }, Self::Final(_)) => {
                Box::new(GroupFinal::new(&group_spec(plan, node)?, &input)?)
            }
            (NodeKind::Aggregate { .. }, Self::Partial(_)) => {
                Box::new(WindowPartial::new(&group_spec(plan, node)?, &input)?)
            }
            (NodeKind::Aggregate { .. }, Self::Final(_)) => {
                Box::new(WindowFinal::new(&group_spec(plan, node)?, &input)?)
            }
            (other, _) => return Err(ExecError::Internal(format!("{other:?} is no operator"))),
        })
    }
}

fn lookup_spec(
    plan: &Plan,
    node: &Node,
    join: &plan::LookupJoin,
    tables: &[Arc<dyn TableReader>],
) -> Result<LookupSpec> {
    let (of_plan, input) = (&plan.tables[join.table.0], node.inputs[0]);
    let lacks = || ExecError::Internal(format!("the table {} is not there", of_plan.name));
    let columns = join.index.map(|index| of_plan.indexes[index.0].as_slice()).unwrap_or_default();
    let membership = match &join.kind {
        JoinKind::Mark(mark) => mark.membership,
        _ => None,
    };
    Ok(LookupSpec {
        join: join.clone(),
        table: tables.get(join.table.0).cloned().ok_or_else(lacks)?,
        key_names: columns.iter().map(|column| of_plan.schema.field(*column).name().clone()).collect(),
        member: membership.and_then(|at| columns.get(at).copied()),
        settled: plan.is_settled(join.table),
        loaded: matches!(of_plan.feed, TableFeed::Connector(_)),
        retracts: !plan.nodes[input.0].changes.is_append(),
        ttl: node.state_ttl,
        shared_by: shared_with_input(plan, node)?.unwrap_or_default(),
        input: plan.nodes[input.0].schema.clone(),
        output: node.schema.clone(),
        statement: node.owner.clone(),
    })
}

/// What the operator of a join is made from.
fn join_spec<N: Clone>(plan: &Plan, node: &Node, join: &N) -> Result<JoinSpec<N>> {
    let &[left, right] = node.inputs.as_slice() else {
        return Err(ExecError::Internal("a join has two inputs".to_owned()));
    };
    let [left, right] = [left, right].map(|input| &plan.nodes[input.0]);
    Ok(JoinSpec {
        join: join.clone(),
        left: left.schema.clone(),
        right: right.schema.clone(),
        output: node.schema.clone(),
        statement: node.owner.clone(),
        ttl: node.state_ttl,
        retracts: [left, right].map(|input| !input.changes.is_append()),
    })
}

fn group_spec(plan: &Plan, node: &Node) -> Result<GroupSpec> {
    match &node.kind {
        NodeKind::Aggregate { keys, sets, aggregates, window, late, emission } => Ok(GroupSpec {
            keys: keys.clone(),
            sets: sets.clone(),
            aggregates: aggregates.clone(),
            window: window.clone(),
            late: *late,
            emission: *emission,
            ttl: node.state_ttl,
            retracts: !plan.nodes[node.inputs[0].0].changes.is_append(),
            output: node.schema.clone(),
            statement: node.owner.clone(),
        }),
        other => Err(ExecError::Internal(format!("{other:?} is no aggregate"))),
    }
}
