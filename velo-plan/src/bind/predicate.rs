//! Predicates: IS, BETWEEN, IN, LIKE.

use arrow_schema::DataType;
use datafusion_expr::expr::InList;
use datafusion_expr::{Between, Expr, Like, Operator};
use velo_sql::Diagnostic;
use velo_sql::ast::{Expr as Ast, ExprKind, LikeKind, Literal, Truth};

use super::expr::{ExprBinder, Typed, article, binary_expr};
use crate::codes;

impl ExprBinder<'_> {
    /// Binds a predicate.
    pub(super) fn predicate(&mut self, ast: &Ast) -> Option<Typed> {
        let span = ast.span;
        let truth = |expr: Expr, nullable: bool| {
            Some(Typed { expr, data_type: DataType::Boolean, nullable, unknown: false, span })
        };
        match &ast.kind {
            ExprKind::IsNull { expr, negated } => {
                let operand = Box::new(self.bind(expr)?.expr);
                truth(if *negated { Expr::IsNotNull(operand) } else { Expr::IsNull(operand) }, false)
            }
            ExprKind::IsTruth { expr, value, negated } => {
                let operand = Box::new(self.condition(expr, "IS")?.expr);
                let expr = match (value, negated) {
                    (Truth::True, false) => Expr::IsTrue(operand),
                    (Truth::True, true) => Expr::IsNotTrue(operand),
                    (Truth::False, false) => Expr::IsFalse(operand),
                    (Truth::False, true) => Expr::IsNotFalse(operand),
                    (Truth::Unknown, false) => Expr::IsUnknown(operand),
                    (Truth::Unknown, true) => Expr::IsNotUnknown(operand),
                };
                truth(expr, false)
            }
            ExprKind::IsDistinctFrom { left, right, negated } => {
                let (left, right) = (self.bind(left), self.bind(right));
                let op = if *negated { Operator::IsNotDistinctFrom } else { Operator::IsDistinctFrom };
                let compared = self.compare(op, left?, right?, span, span)?;
                Some(Typed { nullable: false, ..compared })
            }
            ExprKind::Between { expr, low, high, negated, symmetric } => {
                let parts = [self.bind(expr), self.bind(low), self.bind(high)];
                let parts: Vec<Typed> = parts.into_iter().collect::<Option<_>>()?;
                let nullable = parts.iter().any(|typed| typed.nullable);
                let (mut parts, _) = self.unify(parts, span, "the value and its bounds,")?;
                let (high, low, operand) = (parts.pop()?, parts.pop()?, parts.pop()?);
                let [high, low, operand] = [high, low, operand].map(|typed| Box::new(self.comparable(typed).expr));
                let between = |low: Box<Expr>, high: Box<Expr>| {
                    Expr::Between(Between { expr: operand.clone(), negated: *negated, low, high })
                };
                if !symmetric {
                    return truth(between(low, high), nullable);
                }
                let op = if *negated { Operator::And } else { Operator::Or };
                truth(binary_expr(between(low.clone(), high.clone()), op, between(high, low)), nullable)
            }
            ExprKind::InList { expr, list, negated } => {
                let operand = self.bind(expr);
                let list = self.bind_all(list);
                let mut all = vec![operand?];
                all.extend(list?);
                let nullable = all.iter().any(|typed| typed.nullable);
                let (mut all, _) = self.unify(all, span, "the value and the list,")?;
                let operand = self.comparable(all.remove(0));
                let list = all.into_iter().map(|typed| self.comparable(typed).expr).collect();
                truth(Expr::InList(InList { expr: Box::new(operand.expr), list, negated: *negated }), nullable)
            }
            ExprKind::Like { kind, expr, pattern, escape, negated } => {
                self.like(*kind, expr, pattern, escape.as_deref(), *negated, span)
            }
            _ => None,
        }
    }

    fn like(
        &mut self,
        kind: LikeKind,
        operand: &Ast,
        pattern: &Ast,
        escape: Option<&Ast>,
        negated: bool,
        span: velo_sql::Span,
    ) -> Option<Typed> {
        let (operand, pattern) = (self.bind(operand), self.bind(pattern));
        let (operand, pattern) = (operand?, pattern?);
        let escape_text = match escape.map(|ast| &ast.kind) {
            None => "\\",
            Some(ExprKind::Literal(Literal::String(text))) if text.chars().count() <= 1 => text,
            Some(_) => {
                let at = escape.map_or(span, |ast| ast.span);
                return self.report(
                    Diagnostic::error(codes::LITERAL, at, "ESCAPE needs one character in quotes")
                        .help(r"write ESCAPE '\', which is the default, or leave it out"),
                );
            }
        };
        if kind == LikeKind::Regexp
            && let Some(escape) = escape
        {
            return self.report(
                Diagnostic::error(codes::ARGUMENTS, escape.span, "a regular expression has no ESCAPE")
                    .help(r"leave it out: a backslash escapes, as in '\.'"),
            );
        }
        if kind == LikeKind::Regexp {
            let op = if negated { Operator::RegexNotMatch } else { Operator::RegexMatch };
            return self.regex(op, operand, pattern, span);
        }
        for side in [&operand, &pattern] {
            if !matches!(side.data_type, DataType::Utf8 | DataType::Null) {
                let message = format!("LIKE compares text, and this is {}", article(&side.data_type));
                return self
                    .report(Diagnostic::error(codes::TYPE_MISMATCH, side.span, message).help("CAST it to STRING"));
            }
        }
        let (operand, pattern) = (self.as_text(operand)?, self.as_text(pattern)?);
        let nullable = operand.nullable || pattern.nullable;
        if kind == LikeKind::SimilarTo {
            let pattern = self.translated(pattern, "similar_pattern", escape_text)?;
            let op = if negated { Operator::RegexNotMatch } else { Operator::RegexMatch };
            let expr = binary_expr(operand.expr, op, pattern.expr);
            return Some(Typed { expr, data_type: DataType::Boolean, nullable, unknown: false, span });
        }
        let pattern = match escape_text {
            "\\" => pattern,
            other => self.translated(pattern, "like_pattern", other)?,
        };
        let (left, right) = (Box::new(operand.expr), Box::new(pattern.expr));
        let expr = Expr::Like(Like::new(negated, left, right, None, kind == LikeKind::ILike));
        Some(Typed { expr, data_type: DataType::Boolean, nullable, unknown: false, span })
    }
}
