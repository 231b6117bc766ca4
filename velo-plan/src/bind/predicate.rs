//! Predicates: IS, BETWEEN, IN, LIKE.

use arrow_schema::DataType;
use datafusion_expr::expr::InList;
use datafusion_expr::{Between, Expr, Like, Operator};
use velo_sql::Diagnostic;
use velo_sql::ast::{Expr as Ast, ExprKind, LikeKind, Literal, Truth};

use super::expr::{ExprBinder, Typed, article};
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
                if *symmetric {
                    self.report(
                        Diagnostic::error(codes::NOT_SUPPORTED, span, "BETWEEN SYMMETRIC cannot run yet")
                            .help("write BETWEEN LEAST(a, b) AND GREATEST(a, b)"),
                    );
                    return None;
                }
                let parts = [self.bind(expr), self.bind(low), self.bind(high)];
                let parts: Vec<Typed> = parts.into_iter().collect::<Option<_>>()?;
                let nullable = parts.iter().any(|typed| typed.nullable);
                let (mut parts, _) = self.unify(parts, span, "the value and its bounds,")?;
                let (high, low, operand) = (parts.pop()?, parts.pop()?, parts.pop()?);
                let between = Between {
                    expr: Box::new(operand.expr),
                    negated: *negated,
                    low: Box::new(low.expr),
                    high: Box::new(high.expr),
                };
                truth(Expr::Between(between), nullable)
            }
            ExprKind::InList { expr, list, negated } => {
                let operand = self.bind(expr);
                let list = self.bind_all(list);
                let mut all = vec![operand?];
                all.extend(list?);
                let nullable = all.iter().any(|typed| typed.nullable);
                let (mut all, _) = self.unify(all, span, "the value and the list,")?;
                let operand = all.remove(0);
                let list = all.into_iter().map(|typed| typed.expr).collect();
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
        let escape_char = match escape.map(|ast| &ast.kind) {
            None => None,
            Some(ExprKind::Literal(Literal::String(text))) if text.chars().count() == 1 => text.chars().next(),
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
        if let (Some(escape), Some(_)) = (escape, escape_char.filter(|escape| *escape != '\\')) {
            return self.report(
                Diagnostic::error(
                    codes::NOT_SUPPORTED,
                    escape.span,
                    "an ESCAPE other than the backslash cannot run yet",
                )
                .help(r"leave it out, and write \% or \_ in the pattern"),
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
        let nullable = operand.nullable || pattern.nullable;
        let (left, right) = (Box::new(operand.expr), Box::new(pattern.expr));
        let expr = match kind {
            LikeKind::SimilarTo => {
                return self.report(
                    Diagnostic::error(codes::NOT_SUPPORTED, span, "SIMILAR TO cannot run yet")
                        .help("use LIKE, or ~ with a regular expression"),
                );
            }
            _ => Expr::Like(Like::new(negated, left, right, escape_char, kind == LikeKind::ILike)),
        };
        Some(Typed { expr, data_type: DataType::Boolean, nullable, unknown: false, span })
    }
}
