//! CREATE FUNCTION: an expression with a name, put in where it is called.

use std::sync::Arc;

use arrow_schema::Field;
use datafusion_common::Column;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::Expr;
use velo_core::types;
use velo_sql::ast::visit::{Visitor, walk_expr};
use velo_sql::ast::{CreateFunction, DropStatement, Expr as Ast, ExprKind};
use velo_sql::{Diagnostic, Span};

use super::expr::{ExprBinder, Typed, article};
use super::scope::{Scope, ScopeColumn};
use super::types::{arrow_type, common_type};
use crate::codes;
use crate::functions::UserFunction;
use crate::planner::Planner;

/// The column that stands for a parameter within the body.
fn parameter(at: usize) -> String {
    format!("$parameter{at}")
}

impl Planner<'_> {
    /// CREATE FUNCTION: the body is bound now, so that its mistakes are those of the declaration.
    pub(crate) fn create_function(&mut self, function: &CreateFunction) {
        let (name, span) = (function.name.text(), function.name.span());
        let there = self.functions.user(&name).is_some();
        if there && function.if_not_exists {
            return;
        }
        if self.functions.is_known(&name) || (there && !function.or_replace) {
            let help = match there {
                true => "choose another name, or write CREATE OR REPLACE FUNCTION",
                false => "it is one of Velo's own: choose another name",
            };
            let message = format!("there is a function '{name}' already");
            return self.error(Diagnostic::error(codes::DUPLICATE_NAME, span, message).help(help));
        }
        if let Some(place) = own_call(&function.body, &name) {
            let message = format!("'{name}' stands for an expression that contains '{name}'");
            return self.error(
                Diagnostic::error(codes::UNKNOWN_FUNCTION, place, message)
                    .help("a function cannot call itself: write what it stands for without it"),
            );
        }
        if let Some(bound) = self.bound_function(function) {
            self.functions.add_user(&name, bound);
        }
    }

    fn bound_function(&mut self, function: &CreateFunction) -> Option<UserFunction> {
        let mut columns: Vec<ScopeColumn> = Vec::with_capacity(function.params.len());
        let mut parameters = Vec::with_capacity(function.params.len());
        for (at, param) in function.params.iter().enumerate() {
            let data_type = match arrow_type(&param.data_type) {
                Ok(data_type) => data_type,
                Err(diagnostic) => {
                    self.error(diagnostic);
                    return None;
                }
            };
            if columns.iter().any(|column| column.name.eq_ignore_ascii_case(&param.name.value)) {
                let message = format!("a second parameter called '{}'", param.name.value);
                self.error(
                    Diagnostic::error(codes::DUPLICATE_NAME, param.name.span, message).help("give it another name"),
                );
                return None;
            }
            columns.push(ScopeColumn {
                relation: None,
                name: param.name.value.clone(),
                field: Arc::new(Field::new(parameter(at), data_type.clone(), true)),
                hidden: false,
                qualified: false,
            });
            parameters.push((param.name.value.clone(), data_type));
        }
        let returns = match arrow_type(&function.returns) {
            Ok(returns) => returns,
            Err(diagnostic) => {
                self.error(diagnostic);
                return None;
            }
        };
        let scope = Scope::of(columns);
        let body = self.binder(&scope, Err("the body of a function")).bind(&function.body)?;
        if !body.unknown && common_type(&body.data_type, &returns).is_none() {
            let message =
                format!("the body is {}, and RETURNS says {}", article(&body.data_type), types::sql_name(&returns));
            self.error(
                Diagnostic::error(codes::TYPE_MISMATCH, function.body.span, message)
                    .also(function.returns.span, "what it should return")
                    .help("CAST the body, or write its type after RETURNS"),
            );
            return None;
        }
        let span = function.body.span;
        let body = self.binder(&scope, Err("the body of a function")).cast(body, &returns, false, span)?;
        Some(UserFunction { parameters, returns, body: body.expr })
    }

    /// DROP FUNCTION: what was planned with it stays.
    pub(crate) fn drop_function(&mut self, drop: &DropStatement) {
        let name = drop.name.text();
        if self.functions.remove_user(&name) || drop.if_exists {
            return;
        }
        let (message, help) = match self.functions.is_known(&name) {
            true => (format!("'{name}' is one of Velo's own functions"), "leave the statement out"),
            false => {
                (format!("there is no function '{name}' to drop"), "leave it out, or write IF EXISTS before the name")
            }
        };
        self.error(Diagnostic::error(codes::UNKNOWN_FUNCTION, drop.name.span(), message).help(help));
    }
}

/// Where an expression calls the function of this name.
fn own_call(body: &Ast, name: &str) -> Option<Span> {
    struct Finder<'a> {
        name: &'a str,
        found: Option<Span>,
    }
    impl Visitor for Finder<'_> {
        fn expr(&mut self, expr: &Ast) {
            if let ExprKind::Call(call) = &expr.kind
                && call.name.text().eq_ignore_ascii_case(self.name)
            {
                self.found.get_or_insert(call.name.span());
            }
            walk_expr(self, expr);
        }
    }
    let mut finder = Finder { name, found: None };
    finder.expr(body);
    finder.found
}

impl ExprBinder<'_> {
    /// A call of a function of the script's own: its body with the arguments in the places of the parameters.
    pub(super) fn user_call(
        &mut self,
        name: &str,
        function: &UserFunction,
        arguments: Vec<Typed>,
        span: Span,
    ) -> Option<Typed> {
        let written = || {
            let parameters = function.parameters.iter().map(|(name, of)| format!("{name} {}", types::sql_name(of)));
            format!("it is declared as {name}({})", parameters.collect::<Vec<_>>().join(", "))
        };
        if arguments.len() != function.parameters.len() {
            let count = match function.parameters.len() {
                0 => "no arguments".to_owned(),
                1 => "one argument".to_owned(),
                several => format!("{several} arguments"),
            };
            let message = format!("'{name}' takes {count}, not {}", arguments.len());
            return self.report(Diagnostic::error(codes::ARGUMENTS, span, message).help(written()));
        }
        let mut values = Vec::with_capacity(arguments.len());
        for (argument, (parameter, of)) in arguments.into_iter().zip(&function.parameters) {
            if !argument.unknown && common_type(&argument.data_type, of).is_none() {
                let message = format!(
                    "the argument '{parameter}' of '{name}' is {}, and this is {}",
                    article(of),
                    article(&argument.data_type)
                );
                return self.report(Diagnostic::error(codes::ARGUMENTS, argument.span, message).help(written()));
            }
            let at = argument.span;
            let value = self.cast(argument, of, false, at)?;
            values.push(value.expr);
        }
        let body = function.body.clone().transform_up(|expr| {
            let at = match &expr {
                Expr::Column(column) => (0..values.len()).find(|at| *column == Column::new_unqualified(parameter(*at))),
                _ => None,
            };
            Ok(match at {
                Some(at) => Transformed::yes(values[at].clone()),
                None => Transformed::no(expr),
            })
        });
        // The closure above never fails, so neither does the walk.
        let expr = body.ok()?.data;
        // A body can make a null of what is none, as NULLIF does.
        Some(Typed { expr, data_type: function.returns.clone(), nullable: true, unknown: false, span })
    }
}
