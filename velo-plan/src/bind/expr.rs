//! Expressions: names resolved, types fitted to each other.

use arrow_schema::{DataType, FieldRef};
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::{BinaryExpr, Case, Expr, Operator};
use velo_core::types;
use velo_sql::ast::{
    BinaryOp, CaseBranch, CastSpelling, DataTypeKind, Expr as Ast, ExprKind, Literal, ObjectName, QuantifiedSet,
    Rounding, StructItem, TrimSide, UnaryOp,
};
use velo_sql::{Diagnostic, Span};

use super::literal;
use super::match_value::MatchScope;
use super::row_window::RowWindows;
use super::scope::Scope;
use super::subquery::Subqueries;
use super::types::{arrow_type, common_type};
use crate::codes;
use crate::functions::Functions;
use crate::functions::arithmetic::{Arithmetic, ArithmeticFunction, TypeProblem, signature};
use crate::functions::cast::{CastFunction, can_cast};
use crate::functions::json::gives_json;
use crate::plan::AggregateCall;

/// A bound expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed {
    /// The expression over the plan's columns.
    pub expr: Expr,
    /// Its type.
    pub data_type: DataType,
    /// Whether it can be null.
    pub nullable: bool,
    /// Whether it is a string literal, whose type follows from what it meets (as in PostgreSQL).
    pub unknown: bool,
    /// Where it stands.
    pub span: Span,
}

/// Binds expressions over one scope. A mistake is noted and gives `None`, so that binding goes on with the next expression.
#[derive(Debug)]
pub struct ExprBinder<'a> {
    /// What can be named.
    pub scope: &'a Scope,
    /// The functions.
    pub functions: &'a Functions,
    /// The script, for the text of expressions.
    pub script: &'a str,
    /// The mistakes found.
    pub diagnostics: &'a mut Vec<Diagnostic>,
    /// Where aggregates are gathered; `None` where there can be none, with the name of the place.
    pub aggregates: Result<&'a mut Vec<AggregateCall>, &'static str>,
    /// Where row windows are gathered; else the name of the place, where there can be none.
    pub row_windows: Result<&'a mut RowWindows, &'static str>,
    /// The pattern whose conditions or measures it binds.
    pub matching: Option<&'a mut MatchScope>,
    /// The planned sub-queries, which take what is asked of them; else the name of the place, where there can be none.
    pub subqueries: Result<&'a mut Subqueries, &'static str>,
    /// What the queries around a sub-query can name, the innermost last.
    pub outer: &'a [Scope],
    /// Whether columns of the query around it can be named here.
    pub correlates: bool,
}

impl ExprBinder<'_> {
    pub(super) fn report(&mut self, diagnostic: Diagnostic) -> Option<Typed> {
        self.diagnostics.push(diagnostic);
        None
    }

    fn not_supported(&mut self, span: Span, what: &str, later: &str) -> Option<Typed> {
        self.report(
            Diagnostic::error(codes::NOT_SUPPORTED, span, format!("{what} cannot run yet")).help(later.to_owned()),
        )
    }

    /// Binds one expression.
    pub fn bind(&mut self, ast: &Ast) -> Option<Typed> {
        let span = ast.span;
        match &ast.kind {
            ExprKind::Literal(value) => self.literal(value, span),
            ExprKind::Path(name) if self.matching.is_some() => self.match_path(name),
            ExprKind::Path(name) => self.path(name),
            ExprKind::Nested(inner) => self.bind(inner).map(|typed| Typed { span, ..typed }),
            ExprKind::Unary { op, expr } => self.unary(*op, expr, span),
            ExprKind::Binary { left, op, op_span, right } => self.binary(left, *op, *op_span, right, span),
            ExprKind::And(operands) => self.junction(operands, Operator::And, span),
            ExprKind::Or(operands) => self.junction(operands, Operator::Or, span),
            ExprKind::Case { operand, branches, otherwise } => {
                self.case(operand.as_deref(), branches, otherwise.as_deref(), span)
            }
            ExprKind::Cast { expr, data_type, spelling } => {
                let operand = self.bind(expr)?;
                let to = match arrow_type(data_type) {
                    Ok(to) => to,
                    Err(diagnostic) => return self.report(diagnostic),
                };
                if let DataTypeKind::String { length: Some(length), .. } = &data_type.kind {
                    let help = format!("CAST to STRING keeps all of it; LEFT(x, {length}) cuts it off");
                    return self.not_supported(data_type.span, "a CAST to a text of limited length", &help);
                }
                let json = |column: &Column| {
                    let mut of_scope = self.scope.columns.iter().map(|known| &known.field);
                    let mut of_match = self.matching.iter().flat_map(|scope| scope.fields());
                    let same = |field: &&FieldRef| field.name() == column.name();
                    of_scope.find(same).or_else(|| of_match.find(same)).is_some_and(|field| types::is_json(field))
                };
                if to == DataType::Utf8
                    && data_type.kind != DataTypeKind::Json
                    && matches!(&operand.expr, Expr::Column(column) if json(column))
                {
                    // Of one type and not the same: JSON is written as it is, its text in quotes.
                    return Some(Typed { expr: CastFunction::call(operand.expr, to, false), span, ..operand });
                }
                if data_type.kind == DataTypeKind::Json {
                    let known =
                        gives_json(&operand.expr) || matches!(&operand.expr, Expr::Column(column) if json(column));
                    return match known {
                        true => Some(Typed { span, ..operand }),
                        false => self.cast_to_json(operand, *spelling == CastSpelling::TryCast, span),
                    };
                }
                self.cast(operand, &to, *spelling == CastSpelling::TryCast, span)
            }
            ExprKind::Call(call) => self.call(call, span),
            ExprKind::Extract { field, expr } => self.extract(field, expr, span),
            ExprKind::Position { needle, haystack } => {
                let (needle, haystack) = (self.bind(needle)?, self.bind(haystack)?);
                self.scalar_call("strpos", vec![haystack, needle], span, span)
            }
            ExprKind::Substring { expr, from, length } => {
                let mut arguments = vec![self.bind(expr)?];
                arguments.push(match from {
                    Some(from) => {
                        let from = self.bind(from)?;
                        if from.data_type == DataType::Utf8 && length.is_none() {
                            // SUBSTRING(x FROM 'a.c'): what a regular expression finds.
                            arguments.push(from);
                            return self.scalar_call("regexp_extract", arguments, span, span);
                        }
                        from
                    }
                    None => self.literal(&Literal::Number("1".to_owned()), span)?,
                });
                if let Some(length) = length {
                    arguments.push(self.bind(length)?);
                }
                self.scalar_call("substr", arguments, span, span)
            }
            ExprKind::Trim { side, what, expr } => {
                let mut arguments = vec![self.bind(expr)?];
                if let Some(what) = what {
                    arguments.push(self.bind(what)?);
                }
                let name = match side {
                    TrimSide::Leading => "ltrim",
                    TrimSide::Trailing => "rtrim",
                    _ => "btrim",
                };
                self.scalar_call(name, arguments, span, span)
            }
            ExprKind::RoundTo { rounding, expr, unit } => {
                let function = if *rounding == Rounding::Floor { "date_trunc" } else { "date_ceil" };
                self.round_time(function, unit, expr, span)
            }
            ExprKind::Array(items) => {
                let items = self.bind_all(items)?;
                let (items, _) = self.unify(items, span, "the elements of an array,")?;
                self.scalar_call("make_array", items, span, span)
            }
            ExprKind::IsNull { .. }
            | ExprKind::IsTruth { .. }
            | ExprKind::IsDistinctFrom { .. }
            | ExprKind::Between { .. }
            | ExprKind::InList { .. }
            | ExprKind::Like { .. } => self.predicate(ast),
            ExprKind::InSubquery { .. }
            | ExprKind::Exists(_)
            | ExprKind::Subquery(_)
            | ExprKind::Quantified { right: QuantifiedSet::Query(_), .. } => self.subquery(ast),
            ExprKind::Quantified { left, op, op_span, quantifier, right } => {
                self.quantified(left, (*op, *op_span), *quantifier, right, span)
            }
            ExprKind::Parameter(_) => {
                self.not_supported(span, "a parameter", "parameters are not built yet: write the value itself")
            }
            ExprKind::Index { expr, index } => {
                let (operand, index) = (self.bind(expr), self.bind(index));
                self.index(operand?, index?, span)
            }
            ExprKind::Field { expr, field } => {
                let operand = self.bind(expr)?;
                self.field(operand, field)
            }
            ExprKind::Struct(items) => self.structure(items, span),
            ExprKind::Map { entries, .. } => self.map(entries, span),
            ExprKind::AtTimeZone { expr, zone } => self.at_time_zone(expr, zone, span),
            ExprKind::IsJson { expr, kind, negated } => self.is_json(expr, *kind, *negated, span),
            ExprKind::Row { items, .. } => {
                let items: Vec<StructItem> =
                    items.iter().map(|value| StructItem { name: None, value: value.clone() }).collect();
                self.structure(&items, span)
            }
        }
    }

    /// Binds several expressions; all their mistakes are found.
    pub fn bind_all(&mut self, all: &[Ast]) -> Option<Vec<Typed>> {
        let bound: Vec<Option<Typed>> = all.iter().map(|ast| self.bind(ast)).collect();
        bound.into_iter().collect()
    }

    /// Binds a condition: it must be BOOLEAN.
    pub fn condition(&mut self, ast: &Ast, clause: &str) -> Option<Typed> {
        let typed = self.bind(ast)?;
        match typed.data_type {
            DataType::Boolean => Some(typed),
            DataType::Null => self.cast(typed, &DataType::Boolean, false, ast.span),
            other => self.report(
                Diagnostic::error(
                    codes::TYPE_MISMATCH,
                    ast.span,
                    format!("{clause} needs a condition, and this is {}", article(&other)),
                )
                .help("compare it with something, for example with <> 0 or IS NOT NULL"),
            ),
        }
    }

    pub(super) fn text(&self, value: &str, span: Span) -> Typed {
        let scalar = ScalarValue::Utf8(Some(value.to_owned()));
        Typed { expr: Expr::Literal(scalar, None), data_type: DataType::Utf8, nullable: false, unknown: true, span }
    }

    pub(super) fn literal(&mut self, value: &Literal, span: Span) -> Option<Typed> {
        match literal::scalar(value, span) {
            Ok(scalar) => Some(Typed {
                data_type: scalar.data_type(),
                nullable: scalar.is_null(),
                unknown: matches!(value, Literal::String(_)),
                expr: Expr::Literal(scalar, None),
                span,
            }),
            Err(diagnostic) => self.report(diagnostic),
        }
    }

    pub(super) fn path(&mut self, name: &ObjectName) -> Option<Typed> {
        let span = name.span();
        let scope = self.scope;
        let resolved = match scope.resolve(name) {
            Ok(resolved) => resolved,
            Err(diagnostic) => {
                return match scope.alias(name) {
                    Some(typed) => Some(Typed { span, ..typed.clone() }),
                    None => self.outer_path(name, diagnostic),
                };
            }
        };
        let fields = resolved.fields;
        let field: FieldRef = resolved.column.field.clone();
        let column = Typed {
            expr: Expr::Column(Column::new_unqualified(field.name())),
            data_type: field.data_type().clone(),
            nullable: field.is_nullable(),
            unknown: false,
            span,
        };
        fields.iter().try_fold(column, |inner, field| self.field(inner, field))
    }

    /// A column that is none of the query's own: one of the query around it, where that can be named.
    fn outer_path(&mut self, name: &ObjectName, unknown: Diagnostic) -> Option<Typed> {
        let span = name.span();
        if unknown.code != codes::UNKNOWN_COLUMN {
            return self.report(unknown);
        }
        let Some(depth) = self.outer.iter().rev().position(|outer| outer.resolve(name).is_ok()) else {
            return self.report(unknown);
        };
        if depth > 0 {
            let message = format!("'{}' is a column of a query more than one level out", name.text());
            return self.report(
                Diagnostic::error(codes::NOT_SUPPORTED, span, message)
                    .help("a sub-query sees the query that it stands in: select the column there, or join the two in one sub-query"),
            );
        }
        if !self.correlates {
            let message = format!("'{}' is a column of the outer query, which cannot be named here", name.text());
            return self.report(
                Diagnostic::error(codes::NOT_SUPPORTED, span, message)
                    .help("name it in a condition of the sub-query's own WHERE, such as inner.column = outer.column; compute with it outside of the sub-query"),
            );
        }
        let outer = self.outer;
        let resolved = outer.last()?.resolve(name).ok()?;
        let column = super::query::column_of(resolved.column, span);
        resolved.fields.iter().try_fold(column, |inner, field| self.field(inner, field))
    }

    fn unary(&mut self, op: UnaryOp, operand: &Ast, span: Span) -> Option<Typed> {
        if op == UnaryOp::Not {
            let operand = self.condition(operand, "NOT")?;
            return Some(Typed { expr: Expr::Not(Box::new(operand.expr)), span, ..operand });
        }
        // The sign belongs to a number's text, so that the smallest BIGINT can be written.
        if let (UnaryOp::Minus, ExprKind::Literal(Literal::Number(text))) = (op, &operand.kind) {
            return self.literal(&Literal::Number(format!("-{text}")), span);
        }
        let operand = self.bind(operand)?;
        if !(operand.data_type.is_numeric() || matches!(operand.data_type, DataType::Interval(_) | DataType::Null)) {
            let message = format!("a sign needs a number, and this is {}", article(&operand.data_type));
            let diagnostic = Diagnostic::error(codes::TYPE_MISMATCH, span, message);
            return self.report(diagnostic.help("CAST it to a number"));
        }
        if op == UnaryOp::Plus {
            return Some(Typed { span, ..operand });
        }
        self.negative(operand, span)
    }

    fn junction(&mut self, operands: &[Ast], op: Operator, span: Span) -> Option<Typed> {
        let word = if op == Operator::And { "AND" } else { "OR" };
        let bound: Vec<Option<Typed>> = operands.iter().map(|operand| self.condition(operand, word)).collect();
        let bound: Vec<Typed> = bound.into_iter().collect::<Option<_>>()?;
        let nullable = bound.iter().any(|typed| typed.nullable);
        let expr = balanced(bound.into_iter().map(|typed| typed.expr).collect(), op)?;
        Some(Typed { expr, data_type: DataType::Boolean, nullable, unknown: false, span })
    }

    fn binary(&mut self, left: &Ast, op: BinaryOp, op_span: Span, right: &Ast, span: Span) -> Option<Typed> {
        let (left, right) = (self.bind(left), self.bind(right));
        let (left, right) = (left?, right?);
        let arithmetic = match op {
            BinaryOp::Add => Arithmetic::Add,
            BinaryOp::Subtract => Arithmetic::Subtract,
            BinaryOp::Multiply => Arithmetic::Multiply,
            BinaryOp::Divide => Arithmetic::Divide,
            BinaryOp::Modulo => Arithmetic::Remainder,
            BinaryOp::Equal => return self.compare(Operator::Eq, left, right, op_span, span),
            BinaryOp::NotEqual => return self.compare(Operator::NotEq, left, right, op_span, span),
            BinaryOp::Less => return self.compare(Operator::Lt, left, right, op_span, span),
            BinaryOp::LessOrEqual => return self.compare(Operator::LtEq, left, right, op_span, span),
            BinaryOp::Greater => return self.compare(Operator::Gt, left, right, op_span, span),
            BinaryOp::GreaterOrEqual => return self.compare(Operator::GtEq, left, right, op_span, span),
            BinaryOp::Concat => return self.concat(left, right, op_span, span),
            BinaryOp::RegexMatch => return self.regex(Operator::RegexMatch, left, right, span),
            BinaryOp::RegexMatchIgnoreCase => return self.regex(Operator::RegexIMatch, left, right, span),
            BinaryOp::NotRegexMatch => return self.regex(Operator::RegexNotMatch, left, right, span),
            BinaryOp::NotRegexMatchIgnoreCase => return self.regex(Operator::RegexNotIMatch, left, right, span),
            BinaryOp::JsonGet | BinaryOp::JsonGetText => return self.json_step(op, left, right, op_span, span),
            BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::ShiftLeft | BinaryOp::ShiftRight => {
                return self.bits(op, left, right, op_span, span);
            }
        };
        self.arithmetic(arithmetic, left, right, op_span, span)
    }

    pub(super) fn regex(&mut self, op: Operator, left: Typed, right: Typed, span: Span) -> Option<Typed> {
        for side in [&left, &right] {
            if !matches!(side.data_type, DataType::Utf8 | DataType::Null) {
                let message =
                    format!("a regular expression is matched with text, and this is {}", article(&side.data_type));
                return self
                    .report(Diagnostic::error(codes::TYPE_MISMATCH, side.span, message).help("CAST it to STRING"));
            }
        }
        let (left, right) = (self.as_text(left)?, self.as_text(right)?);
        let right = self.expression_pattern(right);
        let nullable = left.nullable || right.nullable;
        Some(Typed {
            expr: binary_expr(left.expr, op, right.expr),
            data_type: DataType::Boolean,
            nullable,
            unknown: false,
            span,
        })
    }

    pub(super) fn arithmetic(
        &mut self,
        op: Arithmetic,
        left: Typed,
        right: Typed,
        op_span: Span,
        span: Span,
    ) -> Option<Typed> {
        // A string literal takes the type of the other side, as an unknown literal does in PostgreSQL.
        let (left, right) = match (left.unknown, right.unknown) {
            (true, false) if !matches!(right.data_type, DataType::Interval(_)) => {
                let (to, at) = (right.data_type.clone(), left.span);
                (self.cast(left, &to, false, at)?, right)
            }
            (false, true) => {
                let (to, at) = (left.data_type.clone(), right.span);
                let right = self.cast(right, &to, false, at)?;
                (left, right)
            }
            _ => (left, right),
        };
        let fitted = match signature(op, &left.data_type, &right.data_type) {
            Ok(fitted) => fitted,
            Err(TypeProblem::NoOperator) => {
                let message = format!(
                    "there is no {} {} {}",
                    types::sql_name(&left.data_type),
                    op.symbol(),
                    types::sql_name(&right.data_type)
                );
                let text = [&left, &right].iter().any(|side| side.data_type == DataType::Utf8);
                let help = match op {
                    Arithmetic::Add if text => "|| joins texts; CAST a text to a number to count with it",
                    _ if text => "CAST the text to a number",
                    _ => "numbers go with numbers, times with intervals: CAST one of the sides",
                };
                return self.report(Diagnostic::error(codes::TYPE_MISMATCH, op_span, message).help(help));
            }
            Err(TypeProblem::Scale { scale, cap }) => {
                return self.report(
                    Diagnostic::error(
                        codes::TYPE_MISMATCH,
                        op_span,
                        format!("the product would have {scale} digits behind the point, and {cap} is the most"),
                    )
                    .help("CAST one of the factors to a DECIMAL with a smaller scale"),
                );
            }
        };
        let columns = |typed: &Typed| !matches!(typed.expr, Expr::Literal(..));
        if op == Arithmetic::Divide && fitted.result.is_integer() && columns(&left) && columns(&right) {
            self.diagnostics.push(
                Diagnostic::warning(codes::INTEGER_DIVISION, op_span, "integer / integer cuts the fraction off")
                    .help("CAST one of the sides to DECIMAL to keep it"),
            );
        }
        let nullable = left.nullable || right.nullable;
        let (left_span, right_span) = (left.span, right.span);
        let left = self.cast(left, &fitted.left, false, left_span)?;
        let right = self.cast(right, &fitted.right, false, right_span)?;
        let expr = ArithmeticFunction::call(op, fitted.result.clone(), left.expr, right.expr);
        Some(Typed { expr, data_type: fitted.result, nullable, unknown: false, span })
    }

    /// Two values in one type, for comparisons and alternatives.
    pub(super) fn unify(&mut self, values: Vec<Typed>, span: Span, what: &str) -> Option<(Vec<Typed>, DataType)> {
        let known: Vec<&Typed> = values.iter().filter(|typed| !typed.unknown).collect();
        let mut to = known.first().map_or(DataType::Utf8, |typed| typed.data_type.clone());
        for typed in known.iter().skip(1) {
            match common_type(&to, &typed.data_type) {
                Some(common) => to = common,
                None => {
                    let message =
                        format!("{what} {} and {} have no type in common", article(&to), article(&typed.data_type));
                    self.report(
                        Diagnostic::error(codes::TYPE_MISMATCH, span, message)
                            .also(typed.span, format!("this is {}", article(&typed.data_type)))
                            .help("CAST one of them to the other's type"),
                    );
                    return None;
                }
            }
        }
        if to == DataType::Null && known.len() < values.len() {
            to = DataType::Utf8;
        }
        let cast: Vec<Option<Typed>> = values
            .into_iter()
            .map(|typed| {
                let at = typed.span;
                self.cast(typed, &to, false, at)
            })
            .collect();
        Some((cast.into_iter().collect::<Option<_>>()?, to))
    }

    pub(super) fn compare(
        &mut self,
        op: Operator,
        left: Typed,
        right: Typed,
        op_span: Span,
        span: Span,
    ) -> Option<Typed> {
        let nullable = left.nullable || right.nullable;
        let (mut sides, _) = self.unify(vec![left, right], op_span, "these sides,")?;
        let (right, left) = (sides.pop()?, sides.pop()?);
        let (left, right) = (self.comparable(left), self.comparable(right));
        Some(Typed {
            expr: binary_expr(left.expr, op, right.expr),
            data_type: DataType::Boolean,
            nullable,
            unknown: false,
            span,
        })
    }

    fn case(
        &mut self,
        operand: Option<&Ast>,
        branches: &[CaseBranch],
        otherwise: Option<&Ast>,
        span: Span,
    ) -> Option<Typed> {
        let operand = match operand {
            Some(ast) => Some(self.bind(ast)?),
            None => None,
        };
        let mut conditions = Vec::with_capacity(branches.len());
        let mut results = Vec::with_capacity(branches.len() + 1);
        for branch in branches {
            let condition = match &operand {
                None => self.condition(&branch.condition, "WHEN"),
                Some(operand) => {
                    let value = self.bind(&branch.condition);
                    value.and_then(|value| {
                        let at = value.span;
                        self.compare(Operator::Eq, operand.clone(), value, at, at)
                    })
                }
            };
            let result = self.bind(&branch.result);
            conditions.push(condition);
            results.push(result);
        }
        if let Some(ast) = otherwise {
            results.push(self.bind(ast));
        }
        let conditions: Vec<Typed> = conditions.into_iter().collect::<Option<_>>()?;
        let results: Vec<Typed> = results.into_iter().collect::<Option<_>>()?;
        let nullable = otherwise.is_none() || results.iter().any(|typed| typed.nullable);
        let (mut results, data_type) = self.unify(results, span, "the results of CASE,")?;
        let otherwise = if otherwise.is_some() { results.pop() } else { None };
        let when_then = conditions
            .into_iter()
            .zip(results)
            .map(|(condition, result)| (Box::new(condition.expr), Box::new(result.expr)))
            .collect();
        let expr =
            Expr::Case(Case { expr: None, when_then_expr: when_then, else_expr: otherwise.map(|t| Box::new(t.expr)) });
        Some(Typed { expr, data_type, nullable, unknown: false, span })
    }

    /// Converts a value; a literal is converted here and now, so that a bad one is a planning error.
    pub fn cast(&mut self, operand: Typed, to: &DataType, lenient: bool, span: Span) -> Option<Typed> {
        if operand.data_type == *to {
            return Some(Typed { span, unknown: false, ..operand });
        }
        if !can_cast(&operand.data_type, to) {
            let message = format!("{} cannot be converted to {}", article(&operand.data_type), types::sql_name(to));
            return self.report(Diagnostic::error(codes::TYPE_MISMATCH, span, message));
        }
        if let Expr::Literal(value, _) = &operand.expr {
            let converted = value
                .to_array()
                .and_then(|array| crate::functions::cast::cast(&array, to, lenient))
                .and_then(|array| ScalarValue::try_from_array(&array, 0));
            return match converted {
                Ok(scalar) => Some(Typed {
                    nullable: scalar.is_null(),
                    expr: Expr::Literal(scalar, None),
                    data_type: to.clone(),
                    unknown: false,
                    span,
                }),
                Err(error) => {
                    let message = error.to_string();
                    let message = message.strip_prefix("Execution error: ").unwrap_or(&message).to_owned();
                    self.report(Diagnostic::error(codes::LITERAL, span, message))
                }
            };
        }
        Some(Typed {
            expr: CastFunction::call(operand.expr, to.clone(), lenient),
            data_type: to.clone(),
            nullable: operand.nullable || lenient,
            unknown: false,
            span,
        })
    }
}

pub(super) fn binary_expr(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) })
}

/// Many conditions as a tree of small depth, since everything that walks it does so on the stack.
fn balanced(mut exprs: Vec<Expr>, op: Operator) -> Option<Expr> {
    if exprs.len() <= 1 {
        return exprs.pop();
    }
    let right = exprs.split_off(exprs.len() / 2);
    Some(binary_expr(balanced(exprs, op)?, op, balanced(right, op)?))
}

/// `a BIGINT`, `an INT`.
pub(super) fn article(data_type: &DataType) -> String {
    let name = types::sql_name(data_type);
    let vowel = name.starts_with(['A', 'E', 'I', 'O']);
    format!("{} {name}", if vowel { "an" } else { "a" })
}
