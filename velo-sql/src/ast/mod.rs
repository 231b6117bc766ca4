//! The syntax tree: what a script says, with the place of everything that can be wrong.

mod expr;
mod from;
mod query;
mod statement;
mod types;
mod window;

pub use expr::{
    Argument, ArgumentValue, BinaryOp, Call, CaseBranch, Expr, ExprKind, Frame, FrameBound, FrameUnits, IsTest, LikeKind,
    Literal, NullTreatment, OrderItem, Over, RowBuffer, RowBufferEmit, RowBufferExpire, RowWindow, UnaryOp,
};
pub use from::{
    AfterMatch, Join, JoinConstraint, JoinKind, MatchRecognize, Pattern, TableAlias, TableArgument, TableRef, TableRefKind,
};
pub use query::{
    Cte, Distinct, Emit, GroupItem, Query, Select, SelectInto, SelectItem, SelectItemKind, SetExpr, SetOp, SetOperation,
};
pub use statement::{
    Annotation, ColumnDef, Create, CreateFunction, Explain, ExplainFormat, Insert, JobAction, ObjectKind, Property, SetValue,
    Show, ShowKind, Statement, StatementKind, TableElement,
};
pub use types::{SqlType, TypeKind};
pub use window::{TimeWindow, TimeWindowKind, WindowArgument};

use crate::span::Span;

/// A name. Plain names match without regard to case, quoted ones exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ident {
    /// The name without its quotes.
    pub value: String,
    /// Whether it was quoted.
    pub quoted: bool,
    /// Where it stands.
    pub span: Span,
}

impl Ident {
    /// A plain name.
    pub fn plain(value: impl Into<String>) -> Self {
        Self { value: value.into(), quoted: false, span: Span::default() }
    }

    /// Whether the name means `other`.
    pub fn matches(&self, other: &str) -> bool {
        if self.quoted { self.value == other } else { self.value.eq_ignore_ascii_case(other) }
    }
}

/// A name of one or more parts: `trades`, `t.price`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    /// The parts, at least one.
    pub parts: Vec<Ident>,
    /// Where it stands.
    pub span: Span,
}

impl ObjectName {
    /// The parts joined by dots.
    pub fn text(&self) -> String {
        self.parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".")
    }
}
