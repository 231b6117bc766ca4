//! Expressions without columns are computed once, while planning.
//!
//! One that fails is left as it is: whether it is reached at all is decided when it runs (`CASE WHEN false THEN 1/0 …`).

use std::sync::Arc;

use arrow_array::Array;
use datafusion_common::ScalarValue;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::{ColumnarValue, Expr, ScalarFunctionArgs, Volatility};

use crate::plan::{Join, NodeKind, OverFunction, Plan, UnnestItem};

/// Folds the constants of every node.
pub(super) fn run(plan: &mut Plan) {
    for node in &mut plan.nodes {
        match &mut node.kind {
            NodeKind::Filter(condition) => fold(condition),
            NodeKind::Project(outputs) => outputs.iter_mut().for_each(|output| fold(&mut output.expr)),
            NodeKind::Values(rows) => rows.iter_mut().flatten().for_each(fold),
            NodeKind::Unnest(unnest) => unnest.items.iter_mut().flat_map(UnnestItem::exprs_mut).for_each(fold),
            NodeKind::Aggregate { aggregates, .. } => {
                for aggregate in aggregates {
                    aggregate.arguments.iter_mut().for_each(fold);
                    aggregate.filter.iter_mut().for_each(fold);
                }
            }
            NodeKind::Over(over) => {
                for call in &mut over.calls {
                    call.arguments.iter_mut().for_each(fold);
                    if let OverFunction::Aggregate(aggregate) = &mut call.function {
                        aggregate.arguments.iter_mut().for_each(fold);
                        aggregate.filter.iter_mut().for_each(fold);
                    }
                }
            }
            NodeKind::MatchRecognize(matching) => {
                matching.columns.iter_mut().flat_map(|column| column.value.expressions_mut()).for_each(fold);
                matching.variables.iter_mut().flat_map(|variable| &mut variable.conditions).for_each(fold);
                matching.measures.iter_mut().for_each(|measure| fold(&mut measure.expr));
            }
            NodeKind::LookupJoin(join) => join.keys.iter_mut().chain(&mut join.condition).for_each(fold),
            kind => kind.join_mut().into_iter().flat_map(Join::expressions_mut).for_each(fold),
        }
    }
}

/// Computes what has no columns in it.
pub(crate) fn fold(expr: &mut Expr) {
    let folded = std::mem::take(expr).transform_up(|expr| {
        Ok(match constant(&expr) {
            Some(value) => Transformed::yes(Expr::Literal(value, None)),
            None => Transformed::no(expr),
        })
    });
    // The closure above never fails, so neither does the walk.
    if let Ok(folded) = folded {
        *expr = folded.data;
    }
}

/// The value of a function of literals that gives the same every time.
fn constant(expr: &Expr) -> Option<ScalarValue> {
    let Expr::ScalarFunction(call) = expr else { return None };
    if call.func.signature().volatility != Volatility::Immutable || call.args.is_empty() {
        return None;
    }
    let mut values = Vec::with_capacity(call.args.len());
    let mut fields = Vec::with_capacity(call.args.len());
    for argument in &call.args {
        let Expr::Literal(value, _) = argument else { return None };
        fields.push(Arc::new(arrow_schema::Field::new("a", value.data_type(), value.is_null())));
        values.push(ColumnarValue::Scalar(value.clone()));
    }
    let types: Vec<_> = fields.iter().map(|field| field.data_type().clone()).collect();
    let result_type = call.func.return_type(&types).ok()?;
    let returned = call.func.invoke_with_args(ScalarFunctionArgs {
        args: values,
        arg_fields: fields,
        number_rows: 1,
        return_field: Arc::new(arrow_schema::Field::new("r", result_type, true)),
        config_options: Arc::new(ConfigOptions::default()),
    });
    match returned.ok()? {
        ColumnarValue::Scalar(value) => Some(value),
        ColumnarValue::Array(array) if array.len() == 1 => ScalarValue::try_from_array(&array, 0).ok(),
        ColumnarValue::Array(_) => None,
    }
}
