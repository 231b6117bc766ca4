//! What an expression asks of a sub-query, with SQL's three values.
//!
//! IN is the OR of equalities, and what ANY and ALL compare with is the OR and the AND of their comparisons: of no row FALSE and
//! TRUE, and unknown where no row decides and one is unknown. So IN is a membership, which the join knows how to answer, and
//! any other comparison two questions: whether a row decides, and whether one is unknown.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, Operator};
use velo_sql::ast::{BinaryOp, Expr as Ast, ExprKind, QuantifiedSet, Quantifier, Query, UnaryOp};
use velo_sql::{Diagnostic, Span};

use super::correlate::{are_keys, do_not_compare};
use super::place::widens;
use super::{Asked, INNER, Pair, Planned, Rows, columns_of};
use crate::bind::call::case;
use crate::bind::expr::{ExprBinder, Typed};
use crate::bind::types::common_type;
use crate::codes;
use crate::plan::{JoinKind, Mark};

/// Whether a sub-query gives rows, or which.
struct Question {
    kind: Kind,
    /// The equality of a membership.
    pair: Option<Pair>,
    /// Whether its truth can be unknown.
    unsure: bool,
    condition: Option<Typed>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Semi,
    Anti,
    Mark,
}

impl Question {
    fn rows(kind: Kind) -> Self {
        Self { kind, pair: None, unsure: false, condition: None }
    }
}

impl ExprBinder<'_> {
    /// Binds a sub-query in an expression.
    pub(in crate::bind) fn subquery(&mut self, ast: &Ast) -> Option<Typed> {
        let span = ast.span;
        match &ast.kind {
            ExprKind::Exists(query) => {
                let at = self.planned(query, span)?;
                let planned = self.subqueries.as_ref().ok()?.planned.get(at)?;
                if planned.always {
                    return Some(truth(Expr::Literal(ScalarValue::Boolean(Some(true)), None), false, span));
                }
                let mark = self.ask(at, Question::rows(Kind::Mark), span)?;
                Some(truth(mark, false, span))
            }
            ExprKind::Subquery(query) => {
                let at = self.planned(query, span)?;
                self.value(at, span)
            }
            ExprKind::InSubquery { expr, query, negated } => {
                let compared = self.compared_with(expr, query, (BinaryOp::Equal, span), Quantifier::Any, span)?;
                Some(if *negated { negative(compared) } else { compared })
            }
            ExprKind::Quantified { left, op, op_span, quantifier, right: QuantifiedSet::Query(query) } => {
                self.compared_with(left, query, (*op, *op_span), *quantifier, span)
            }
            _ => None,
        }
    }

    /// A condition that keeps rows by whether a sub-query has any: EXISTS, NOT EXISTS and IN as they stand.
    pub(in crate::bind) fn keeps_rows(&mut self, ast: &Ast) -> Option<Option<()>> {
        let ast = ast.without_parentheses();
        let (exists, negated) = match &ast.kind {
            ExprKind::Unary { op: UnaryOp::Not, expr } => (expr.without_parentheses(), true),
            _ => (ast, false),
        };
        match &exists.kind {
            ExprKind::Exists(query) => {
                let at = self.planned(query, exists.span);
                let Some(at) = at else { return Some(None) };
                let planned = self.subqueries.as_ref().ok()?.planned.get(at)?;
                if planned.always {
                    return None;
                }
                let kind = if negated { Kind::Anti } else { Kind::Semi };
                Some(self.ask(at, Question::rows(kind), ast.span).map(|_| ()))
            }
            ExprKind::InSubquery { expr, query, negated: false } if !negated => {
                self.kept_members(expr, query, ast.span)
            }
            ExprKind::Quantified {
                left,
                op: BinaryOp::Equal,
                quantifier: Quantifier::Any,
                right: QuantifiedSet::Query(query),
                ..
            } if !negated => self.kept_members(left, query, ast.span),
            _ => None,
        }
    }

    fn kept_members(&mut self, left: &Ast, query: &Query, span: Span) -> Option<Option<()>> {
        let Some(at) = self.planned(query, span) else { return Some(None) };
        if self.subqueries.as_ref().ok()?.planned.get(at)?.always {
            return None;
        }
        Some(self.members(at, left, Kind::Semi, span).map(|_| ()))
    }

    /// The place of a sub-query among those that are planned.
    fn planned(&mut self, query: &Query, span: Span) -> Option<usize> {
        let place = match &self.subqueries {
            Ok(subqueries) => {
                return subqueries.planned.iter().position(|planned| planned.span.same_place(query.span));
            }
            Err(place) => *place,
        };
        let help = match place {
            "ON" => "write it into WHERE, or read the sub-query in FROM and join it",
            "GROUP BY" | "ORDER BY" | "DISTINCT ON" => "select it in a query of FROM under a name, and name that here",
            _ => "compute it in a query of FROM, and read its column here",
        };
        self.report(
            Diagnostic::error(codes::NOT_SUPPORTED, span, format!("a sub-query cannot stand in {place}")).help(help),
        );
        None
    }

    /// The one column of a sub-query that is compared or gives a value.
    fn only_column(&mut self, at: usize) -> Option<Typed> {
        let planned = self.subqueries.as_ref().ok()?.planned.get(at)?;
        if let [value] = planned.values.as_slice() {
            return Some(value.clone());
        }
        let message = format!("this sub-query selects {} columns, and one is wanted here", planned.values.len());
        let diagnostic = Diagnostic::error(codes::ARGUMENTS, planned.span, message);
        self.report(diagnostic.help("select the column that is compared or computed with; EXISTS takes any number"));
        None
    }

    /// The value of a sub-query.
    fn value(&mut self, at: usize, span: Span) -> Option<Typed> {
        let value = self.only_column(at)?;
        let subqueries = self.subqueries.as_mut().ok()?;
        let planned = subqueries.planned.get(at)?;
        if matches!(planned.rows, Rows::Outer) {
            return Some(Typed { span, ..value });
        }
        let expr = match &planned.missing {
            None | Some((_, Expr::Literal(ScalarValue::Null, _))) => value.expr.clone(),
            Some((_, Expr::Literal(missing, _))) if missing.is_null() && matches!(value.expr, Expr::Column(_)) => {
                value.expr.clone()
            }
            Some((found, missing)) => {
                let there = Expr::IsNull(Box::new(found.clone()));
                case(vec![(there, missing.clone())], value.expr.clone())
            }
        };
        let nullable = match &planned.missing {
            Some((_, missing)) => value.nullable || !matches!(missing, Expr::Literal(value, _) if !value.is_null()),
            None => true,
        };
        let out: Vec<String> = columns_of(&expr);
        let own = |name: &String| name.starts_with(&format!("{INNER}{}.", planned.number));
        let out: Vec<String> = out.into_iter().filter(own).collect();
        let (pairs, conditions) = (planned.pairs.clone(), planned.conditions.clone());
        let known = subqueries.asked.iter().any(|asked| asked.planned == at && asked.kind == JoinKind::Single);
        if !known {
            let kind = JoinKind::Single;
            subqueries.asked.push(Asked { planned: at, kind, pairs, conditions, member: None, out, mark: None, span });
        }
        Some(Typed { expr, nullable, unknown: false, span, ..value })
    }

    /// Asks a sub-query for rows; returns the column with the answer, which a semi-join has none of.
    fn ask(&mut self, at: usize, question: Question, span: Span) -> Option<Expr> {
        let subqueries = self.subqueries.as_mut().ok()?;
        let planned = subqueries.planned.get(at)?;
        let (mut pairs, mut conditions) = (planned.pairs.clone(), planned.conditions.clone());
        conditions.extend(question.condition);
        let member = question.pair.map(|pair| {
            pairs.push(pair);
            pairs.len() - 1
        });
        let mut name = format!("{INNER}{}", planned.number);
        let mut count = 1;
        while subqueries.asked.iter().any(|asked| asked.gives(&name)) {
            count += 1;
            name = format!("{INNER}{}#{count}", planned.number);
        }
        let membership = member.filter(|_| question.unsure);
        let (kind, mark) = match question.kind {
            Kind::Semi => (JoinKind::Semi, None),
            Kind::Anti => (JoinKind::Anti, None),
            Kind::Mark => {
                let column = Arc::new(Field::new(&name, DataType::Boolean, membership.is_some()));
                (JoinKind::Mark(Mark { column: Arc::clone(&column), membership }), Some(column))
            }
        };
        subqueries.asked.push(Asked { planned: at, kind, pairs, conditions, member, out: Vec::new(), mark, span });
        Some(super::column(&name))
    }

    /// Whether a value is among those of a sub-query: the column with the answer.
    fn members(&mut self, at: usize, left: &Ast, kind: Kind, span: Span) -> Option<Typed> {
        let (left, value) = self.sides(at, left)?;
        let (left, value) = (left?, value?);
        let left = self.typed_like(left, &value)?;
        let unsure = left.nullable || value.nullable;
        let whole = self.sides_compared(Operator::Eq, &left, &value, span)?;
        let planned = self.subqueries.as_ref().ok()?.planned.get(at)?;
        let keys = are_keys(&left, &value) && is_key(planned, &value);
        let exact = !matches!(planned.rows, Rows::Table { .. }) || widens(&left.data_type, &value.data_type);
        if keys && (exact || !unsure || kind == Kind::Semi) {
            let pair = Pair { outer: left, inner: value, whole };
            let unsure = unsure && kind == Kind::Mark;
            let mark = self.ask(at, Question { kind, pair: Some(pair), unsure, condition: None }, span)?;
            return Some(truth(mark, unsure, span));
        }
        let pair = keys.then(|| Pair { outer: left, inner: value, whole: whole.clone() });
        self.two_questions(at, kind, whole, pair, unsure, span)
    }

    /// Whether there is a row for which a condition holds; where there is none, whether there is one for which it is unknown.
    fn two_questions(
        &mut self,
        at: usize,
        kind: Kind,
        condition: Typed,
        pair: Option<Pair>,
        unsure: bool,
        span: Span,
    ) -> Option<Typed> {
        let own = if pair.is_some() { None } else { Some(condition.clone()) };
        let holds = self.ask(at, Question { kind, pair, unsure: false, condition: own }, span)?;
        if !unsure || kind != Kind::Mark {
            return Some(truth(holds, false, span));
        }
        let unknown = Typed { expr: Expr::IsNull(Box::new(condition.expr.clone())), nullable: false, ..condition };
        let question = Question { condition: Some(unknown), ..Question::rows(Kind::Mark) };
        let unknown = self.ask(at, question, span)?;
        let literal = |value: Option<bool>| Expr::Literal(ScalarValue::Boolean(value), None);
        let answer = case(vec![(holds, literal(Some(true))), (unknown, literal(None))], literal(Some(false)));
        Some(truth(answer, true, span))
    }

    fn compared_with(
        &mut self,
        left: &Ast,
        query: &Query,
        (op, op_span): (BinaryOp, Span),
        quantifier: Quantifier,
        span: Span,
    ) -> Option<Typed> {
        let at = self.planned(query, span)?;
        let (operator, opposite) = match op {
            BinaryOp::Equal => (Operator::Eq, Operator::NotEq),
            BinaryOp::NotEqual => (Operator::NotEq, Operator::Eq),
            BinaryOp::Less => (Operator::Lt, Operator::GtEq),
            BinaryOp::LessOrEqual => (Operator::LtEq, Operator::Gt),
            BinaryOp::Greater => (Operator::Gt, Operator::LtEq),
            BinaryOp::GreaterOrEqual => (Operator::GtEq, Operator::Lt),
            _ => {
                return self.report(
                    Diagnostic::error(codes::ARGUMENTS, op_span, "ANY and ALL compare, and this is no comparison")
                        .help("write =, <>, <, <=, > or >="),
                );
            }
        };
        let all = quantifier == Quantifier::All;
        // Of one row, as an aggregate gives it, the comparison is that with its value.
        if self.subqueries.as_ref().ok()?.planned.get(at)?.always {
            let (left, value) = self.sides(at, left)?;
            let (left, _) = (left?, value?);
            let value = self.value(at, query.span)?;
            let left = self.typed_like(left, &value)?;
            self.sides_compared(operator, &left, &value, op_span)?;
            return self.compare(operator, left, value, op_span, span);
        }
        match (operator, all) {
            (Operator::Eq, false) => return self.members(at, left, Kind::Mark, span),
            (Operator::NotEq, true) => return self.members(at, left, Kind::Mark, span).map(negative),
            _ => {}
        }
        let (left, value) = self.sides(at, left)?;
        let (left, value) = (left?, value?);
        let left = self.typed_like(left, &value)?;
        let decides = if all { opposite } else { operator };
        let condition = self.sides_compared(decides, &left, &value, op_span)?;
        let unsure = left.nullable || value.nullable;
        let any = self.two_questions(at, Kind::Mark, condition, None, unsure, span)?;
        Some(if all { negative(any) } else { any })
    }

    /// Both sides of a comparison; the mistakes of both are found.
    fn sides(&mut self, at: usize, left: &Ast) -> Option<(Option<Typed>, Option<Typed>)> {
        if let ExprKind::Row { items, .. } = &left.without_parentheses().kind {
            let message = format!("a comparison of {} columns with a sub-query cannot run yet", items.len());
            self.report(
                Diagnostic::error(codes::NOT_SUPPORTED, left.span, message)
                    .help("write EXISTS (SELECT … WHERE a = x AND b = y), which asks the same"),
            );
            return None;
        }
        Some((self.bind(left), self.only_column(at)))
    }

    /// A literal takes the type of what it is compared with.
    fn typed_like(&mut self, left: Typed, value: &Typed) -> Option<Typed> {
        match left.unknown && value.data_type != DataType::Null {
            true => {
                let at = left.span;
                self.cast(left, &value.data_type, false, at)
            }
            false => Some(left),
        }
    }

    fn sides_compared(&mut self, op: Operator, left: &Typed, value: &Typed, span: Span) -> Option<Typed> {
        if common_type(&left.data_type, &value.data_type).is_none() {
            let error = do_not_compare(left, value, span, self.script);
            self.report(error);
            return None;
        }
        self.compare(op, left.clone(), value.clone(), span, span)
    }
}

/// Whether a value can be a key of a join with the rows.
fn is_key(planned: &Planned, value: &Typed) -> bool {
    matches!(value.expr, Expr::Column(_)) && !matches!(planned.rows, Rows::Outer)
}

fn truth(expr: Expr, nullable: bool, span: Span) -> Typed {
    Typed { expr, data_type: DataType::Boolean, nullable, unknown: false, span }
}

fn negative(typed: Typed) -> Typed {
    Typed { expr: Expr::Not(Box::new(typed.expr)), ..typed }
}
