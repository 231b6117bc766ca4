//! Expressions.

use super::{Ident, ObjectName, Query, SqlType, TableArgument};
use crate::span::Span;

/// An expression and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A value.
    Literal(Literal),
    /// A column, perhaps with the relation's name before it and struct fields behind it.
    Column(ObjectName),
    /// An operator before its operand.
    Unary {
        /// The operator.
        op: UnaryOp,
        /// The operand.
        operand: Box<Expr>,
    },
    /// An operator between its operands.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Where the operator stands.
        op_span: Span,
        /// The left operand.
        left: Box<Expr>,
        /// The right operand.
        right: Box<Expr>,
    },
    /// `expr IS [NOT] …`
    Is {
        /// What is tested.
        operand: Box<Expr>,
        /// NOT
        negated: bool,
        /// For what.
        test: IsTest,
    },
    /// `expr [NOT] BETWEEN low AND high`
    Between {
        /// What is compared.
        operand: Box<Expr>,
        /// NOT
        negated: bool,
        /// The lower bound.
        low: Box<Expr>,
        /// The upper bound.
        high: Box<Expr>,
    },
    /// `expr [NOT] IN (list)`
    InList {
        /// What is looked for.
        operand: Box<Expr>,
        /// NOT
        negated: bool,
        /// Where.
        list: Vec<Expr>,
    },
    /// `expr [NOT] IN (query)`
    InQuery {
        /// What is looked for.
        operand: Box<Expr>,
        /// NOT
        negated: bool,
        /// Where.
        query: Box<Query>,
    },
    /// `expr [NOT] LIKE pattern`
    Like {
        /// What is matched.
        operand: Box<Expr>,
        /// NOT
        negated: bool,
        /// Which language the pattern is in.
        kind: LikeKind,
        /// The pattern.
        pattern: Box<Expr>,
        /// ESCAPE
        escape: Option<Box<Expr>>,
    },
    /// CASE
    Case {
        /// `CASE operand WHEN …`
        operand: Option<Box<Expr>>,
        /// The branches.
        branches: Vec<CaseBranch>,
        /// ELSE
        otherwise: Option<Box<Expr>>,
    },
    /// CAST, TRY_CAST, `::`
    Cast {
        /// What is converted.
        operand: Box<Expr>,
        /// To what.
        to: SqlType,
        /// TRY_CAST
        lenient: bool,
    },
    /// A function call.
    Call(Box<Call>),
    /// `EXTRACT(field FROM expr)`
    Extract {
        /// The field.
        field: Ident,
        /// Of what.
        operand: Box<Expr>,
    },
    /// `FLOOR(expr TO unit)`, `CEIL(expr TO unit)`
    FloorTo {
        /// CEIL instead of FLOOR.
        up: bool,
        /// What is floored.
        operand: Box<Expr>,
        /// To what.
        unit: Ident,
    },
    /// `expr AT TIME ZONE zone`
    AtTimeZone {
        /// The time.
        operand: Box<Expr>,
        /// The zone.
        zone: Box<Expr>,
    },
    /// A scalar sub-query.
    Query(Box<Query>),
    /// `EXISTS (query)`
    Exists(Box<Query>),
    /// `expr op ANY|ALL (query)`
    Quantified {
        /// The left side.
        operand: Box<Expr>,
        /// The comparison.
        op: BinaryOp,
        /// ALL instead of ANY.
        all: bool,
        /// The right side.
        query: Box<Query>,
    },
    /// `ARRAY[…]`
    Array(Vec<Expr>),
    /// `MAP[k, v, …]`, `MAP(k := v, …)`
    Map(Vec<(Expr, Expr)>),
    /// `STRUCT(a := 1, …)`, `ROW(…)`
    Struct(Vec<(Option<Ident>, Expr)>),
    /// `(a, b)`
    Tuple(Vec<Expr>),
    /// `expr[index]`
    Index {
        /// The array or map.
        operand: Box<Expr>,
        /// The place or key.
        index: Box<Expr>,
    },
    /// `expr.field`, where `expr` is no plain column
    Field {
        /// The struct.
        operand: Box<Expr>,
        /// The field.
        field: Ident,
    },
}

/// A value as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// NULL
    Null,
    /// TRUE, FALSE
    Boolean(bool),
    /// A number's text: digits, perhaps with a point or an exponent.
    Number(String),
    /// A string's content.
    String(String),
    /// A string in double quotes where only a value can stand.
    Duration(String),
    /// `INTERVAL '1' MINUTE`, `INTERVAL '1 day 2 hours'`, `1 HOUR`
    Interval {
        /// The text.
        value: String,
        /// The unit, if it stands behind the text.
        unit: Option<Ident>,
    },
    /// `DATE '…'`, `TIME '…'`, `TIMESTAMP '…'`
    Typed {
        /// DATE, TIME or TIMESTAMP.
        type_name: String,
        /// The text.
        value: String,
    },
}

/// An operator before its operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-`
    Minus,
    /// `+`
    Plus,
    /// `NOT`
    Not,
}

/// An operator between its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and `symbol` say it")]
pub enum BinaryOp {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Match,
    MatchInsensitive,
    NotMatch,
    NotMatchInsensitive,
    Add,
    Subtract,
    Concat,
    Multiply,
    Divide,
    Remainder,
    JsonGet,
    JsonGetText,
}

impl BinaryOp {
    /// The operator as SQL writes it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Or => "OR",
            Self::And => "AND",
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Match => "~",
            Self::MatchInsensitive => "~*",
            Self::NotMatch => "!~",
            Self::NotMatchInsensitive => "!~*",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Concat => "||",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::JsonGet => "->",
            Self::JsonGetText => "->>",
        }
    }

    /// How tightly it binds: the larger the tighter.
    pub fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Equal | Self::NotEqual | Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual => 4,
            Self::Match | Self::MatchInsensitive | Self::NotMatch | Self::NotMatchInsensitive => 5,
            Self::Concat | Self::JsonGet | Self::JsonGetText => 6,
            Self::Add | Self::Subtract => 7,
            Self::Multiply | Self::Divide | Self::Remainder => 8,
        }
    }

    /// Whether it compares.
    pub fn is_comparison(self) -> bool {
        self.precedence() == 4
    }
}

/// What IS tests for.
#[derive(Debug, Clone, PartialEq)]
pub enum IsTest {
    /// NULL
    Null,
    /// TRUE
    True,
    /// FALSE
    False,
    /// UNKNOWN
    Unknown,
    /// DISTINCT FROM expr
    DistinctFrom(Box<Expr>),
    /// JSON
    Json,
}

/// The language of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeKind {
    /// LIKE
    Like,
    /// ILIKE
    ILike,
    /// SIMILAR TO
    SimilarTo,
    /// REGEXP, RLIKE
    Regexp,
}

/// `WHEN condition THEN result`
#[derive(Debug, Clone, PartialEq)]
pub struct CaseBranch {
    /// The condition, or the value that the operand is compared with.
    pub when: Expr,
    /// The result.
    pub then: Expr,
}

/// A function call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function.
    pub name: ObjectName,
    /// DISTINCT before the arguments.
    pub distinct: bool,
    /// The arguments.
    pub arguments: Vec<Argument>,
    /// ORDER BY behind the arguments.
    pub order_by: Vec<OrderItem>,
    /// RESPECT or IGNORE NULLS.
    pub nulls: Option<NullTreatment>,
    /// WITHIN GROUP (ORDER BY …)
    pub within_group: Vec<OrderItem>,
    /// FILTER (WHERE …)
    pub filter: Option<Expr>,
    /// OVER …
    pub over: Option<Over>,
}

/// An argument of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// `name => value`
    pub name: Option<Ident>,
    /// The value.
    pub value: ArgumentValue,
    /// Where it stands.
    pub span: Span,
}

/// What an argument is.
#[derive(Debug, Clone, PartialEq)]
pub enum ArgumentValue {
    /// An expression.
    Expr(Expr),
    /// `*`
    Star,
    /// `TABLE t`
    Table(TableArgument),
    /// `DESCRIPTOR(a, b)`
    Descriptor(Vec<Ident>),
}

/// What a function does with nulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullTreatment {
    /// IGNORE NULLS
    Ignore,
    /// RESPECT NULLS
    Respect,
}

/// One key of an ORDER BY.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderItem {
    /// What is compared.
    pub expr: Expr,
    /// DESC
    pub descending: bool,
    /// NULLS FIRST (true) or LAST.
    pub nulls_first: Option<bool>,
}

/// OVER
#[derive(Debug, Clone, PartialEq)]
pub enum Over {
    /// A named window.
    Named(Ident),
    /// A window given in place.
    Window(Box<RowWindow>),
}

/// A row window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowWindow {
    /// A named window that this one extends.
    pub base: Option<Ident>,
    /// ROWS WINDOW BUFFER n ROWS
    pub buffer: Option<RowBuffer>,
    /// PARTITION BY
    pub partition_by: Vec<Expr>,
    /// ORDER BY
    pub order_by: Vec<OrderItem>,
    /// ROWS or RANGE
    pub frame: Option<Frame>,
    /// Where it stands.
    pub span: Span,
}

/// The buffered spelling of a row window.
#[derive(Debug, Clone, PartialEq)]
pub struct RowBuffer {
    /// How many rows it holds.
    pub rows: Expr,
    /// EMIT
    pub emit: Option<RowBufferEmit>,
    /// EXPIRE AFTER
    pub expire: Option<RowBufferExpire>,
}

/// When a buffered row window gives results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowBufferEmit {
    /// EMIT EVERY RECORD
    EveryRecord,
    /// EMIT ON BUFFER FULL
    BufferFull,
}

/// When a buffered row window forgets a key.
#[derive(Debug, Clone, PartialEq)]
pub enum RowBufferExpire {
    /// EXPIRE AFTER interval INACTIVITY
    After(Expr),
    /// EXPIRE AFTER NEVER
    Never,
}

/// A frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// In what it counts.
    pub units: FrameUnits,
    /// Where it begins.
    pub start: FrameBound,
    /// Where it ends; none: the current row.
    pub end: Option<FrameBound>,
}

/// In what a frame counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameUnits {
    /// ROWS
    Rows,
    /// RANGE
    Range,
    /// GROUPS
    Groups,
}

/// One end of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum FrameBound {
    /// UNBOUNDED PRECEDING
    UnboundedPreceding,
    /// n PRECEDING
    Preceding(Box<Expr>),
    /// CURRENT ROW
    CurrentRow,
    /// n FOLLOWING
    Following(Box<Expr>),
    /// UNBOUNDED FOLLOWING
    UnboundedFollowing,
}
