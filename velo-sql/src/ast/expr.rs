//! Expressions.

use crate::ast::ident::{Ident, ObjectName};
use crate::ast::literal::Literal;
use crate::ast::select::Query;
use crate::ast::types::DataType;
use crate::ast::window::Over;
use crate::span::Span;

/// An expression with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

impl Expr {
    /// An expression at a place.
    pub fn new(kind: ExprKind, span: Span) -> Expr {
        Expr { kind, span }
    }

    /// The expression inside any number of parentheses.
    pub fn without_parentheses(&self) -> &Expr {
        let mut expr = self;
        while let ExprKind::Nested(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }
}

/// Every form of expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A constant.
    Literal(Literal),
    /// A name of one or more parts: a column, with table or schema before it and struct fields after it. Which part is what,
    /// the planner decides.
    Path(ObjectName),
    /// `$1`, `?`: a parameter of a prepared statement; the text with its sign.
    Parameter(String),
    /// `(expr)`: kept, so that a formatted script has the parentheses of its author.
    Nested(Box<Expr>),
    /// `-x`, `+x`, `NOT x`.
    Unary {
        /// Which operator.
        op: UnaryOp,
        /// Its operand.
        expr: Box<Expr>,
    },
    /// `left op right`. A chain is left-deep and of limited length.
    Binary {
        /// Left operand.
        left: Box<Expr>,
        /// Which operator.
        op: BinaryOp,
        /// Where the operator stands.
        op_span: Span,
        /// Right operand.
        right: Box<Expr>,
    },
    /// `a AND b AND …`: two or more operands, flat, so that a list of any length is no deep tree.
    And(Vec<Expr>),
    /// `a OR b OR …`: two or more operands, flat.
    Or(Vec<Expr>),
    /// `x IS [NOT] NULL`.
    IsNull {
        /// What is tested.
        expr: Box<Expr>,
        /// NOT.
        negated: bool,
    },
    /// `x IS [NOT] TRUE|FALSE|UNKNOWN`.
    IsTruth {
        /// What is tested.
        expr: Box<Expr>,
        /// For which value.
        value: Truth,
        /// NOT.
        negated: bool,
    },
    /// `x IS [NOT] DISTINCT FROM y`.
    IsDistinctFrom {
        /// Left side.
        left: Box<Expr>,
        /// Right side.
        right: Box<Expr>,
        /// NOT: the sides are the same, nulls included.
        negated: bool,
    },
    /// `x IS [NOT] JSON [VALUE|OBJECT|ARRAY|SCALAR]`.
    IsJson {
        /// What is tested.
        expr: Box<Expr>,
        /// Which kind of JSON.
        kind: JsonKind,
        /// NOT.
        negated: bool,
    },
    /// `x [NOT] BETWEEN [SYMMETRIC] low AND high`.
    Between {
        /// What is tested.
        expr: Box<Expr>,
        /// Lower end.
        low: Box<Expr>,
        /// Upper end.
        high: Box<Expr>,
        /// NOT.
        negated: bool,
        /// SYMMETRIC: the ends may come in either order.
        symmetric: bool,
    },
    /// `x [NOT] IN (a, b, …)`.
    InList {
        /// What is looked for.
        expr: Box<Expr>,
        /// Where; never empty.
        list: Vec<Expr>,
        /// NOT.
        negated: bool,
    },
    /// `x [NOT] IN (SELECT …)`.
    InSubquery {
        /// What is looked for.
        expr: Box<Expr>,
        /// Where.
        query: Box<Query>,
        /// NOT.
        negated: bool,
    },
    /// `x [NOT] LIKE|ILIKE|SIMILAR TO|REGEXP|RLIKE pattern [ESCAPE 'c']`.
    Like {
        /// Which test.
        kind: LikeKind,
        /// What is tested.
        expr: Box<Expr>,
        /// The pattern.
        pattern: Box<Expr>,
        /// The escape character.
        escape: Option<Box<Expr>>,
        /// NOT.
        negated: bool,
    },
    /// `EXISTS (SELECT …)`.
    Exists(Box<Query>),
    /// `(SELECT …)` as a value.
    Subquery(Box<Query>),
    /// `x op ANY|ALL (…)`.
    Quantified {
        /// Left side.
        left: Box<Expr>,
        /// The comparison.
        op: BinaryOp,
        /// Where the comparison stands.
        op_span: Span,
        /// ANY (SOME) or ALL.
        quantifier: Quantifier,
        /// What it is compared with.
        right: QuantifiedSet,
    },
    /// `CASE [x] WHEN … THEN … [ELSE …] END`.
    Case {
        /// The operand of the form `CASE x WHEN value`.
        operand: Option<Box<Expr>>,
        /// The branches; at least one.
        branches: Vec<CaseBranch>,
        /// ELSE.
        otherwise: Option<Box<Expr>>,
    },
    /// `CAST(x AS type)`, `TRY_CAST(x AS type)`, `x::type`.
    Cast {
        /// What is converted.
        expr: Box<Expr>,
        /// Into what.
        data_type: DataType,
        /// How it is spelt.
        spelling: CastSpelling,
    },
    /// `name(…)` with everything that can follow it.
    Call(Box<Call>),
    /// `EXTRACT(field FROM x)`.
    Extract {
        /// The field as written: `HOUR`, `EPOCH`, `DOW`, …
        field: Ident,
        /// Of what.
        expr: Box<Expr>,
    },
    /// `POSITION(needle IN haystack)`.
    Position {
        /// What is looked for.
        needle: Box<Expr>,
        /// Where.
        haystack: Box<Expr>,
    },
    /// `SUBSTRING(x FROM a [FOR b])`; with commas it is an ordinary call.
    Substring {
        /// Of what.
        expr: Box<Expr>,
        /// From which character, from 1.
        from: Option<Box<Expr>>,
        /// How many.
        length: Option<Box<Expr>>,
    },
    /// `TRIM([BOTH|LEADING|TRAILING] [what] FROM x)`; `TRIM(x)` is an ordinary call.
    Trim {
        /// Which end.
        side: TrimSide,
        /// Which characters; blanks where it is left out.
        what: Option<Box<Expr>>,
        /// Of what.
        expr: Box<Expr>,
    },
    /// `FLOOR(x TO unit)`, `CEIL(x TO unit)`.
    RoundTo {
        /// FLOOR, or CEIL.
        rounding: Rounding,
        /// What is rounded.
        expr: Box<Expr>,
        /// The unit as written: `HOUR`, `DAY`, …
        unit: Ident,
    },
    /// `x AT TIME ZONE zone`.
    AtTimeZone {
        /// The time.
        expr: Box<Expr>,
        /// The zone.
        zone: Box<Expr>,
    },
    /// `ARRAY[a, b]`.
    Array(Vec<Expr>),
    /// `MAP[k, v, …]`, `MAP(k := v, …)`.
    Map {
        /// Keys with their values.
        entries: Vec<MapEntry>,
        /// How it is spelt.
        spelling: MapSpelling,
    },
    /// `STRUCT(a := 1, …)`.
    Struct(Vec<StructItem>),
    /// `ROW(a, b)`, and `(a, b)` with at least two.
    Row {
        /// The values.
        items: Vec<Expr>,
        /// Whether the word ROW is written.
        explicit: bool,
    },
    /// `x[i]`.
    Index {
        /// An array, a map, or JSON.
        expr: Box<Expr>,
        /// Position (from 1) or key.
        index: Box<Expr>,
    },
    /// `x.field`, where `x` is more than a name: `f(y).field`, `a[1].field`, `(s).field`.
    Field {
        /// A struct or JSON.
        expr: Box<Expr>,
        /// Its field.
        field: Ident,
    },
}

/// Operators before their operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// MINUS.
    Minus,
    /// PLUS.
    Plus,
    /// NOT.
    Not,
}

/// Operators between two operands, other than AND and OR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// `||`
    Concat,
    /// `=`
    Equal,
    /// `<>`, `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `~`
    RegexMatch,
    /// `~*`
    RegexMatchIgnoreCase,
    /// `!~`
    NotRegexMatch,
    /// `!~*`
    NotRegexMatchIgnoreCase,
    /// `->`
    JsonGet,
    /// `->>`
    JsonGetText,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
}

/// The values of `IS TRUE` and kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// TRUE.
    True,
    /// FALSE.
    False,
    /// UNKNOWN.
    Unknown,
}

/// What `IS JSON` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    /// VALUE.
    Value,
    /// OBJECT.
    Object,
    /// ARRAY.
    Array,
    /// SCALAR.
    Scalar,
}

/// The word of a pattern test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LikeKind {
    /// `LIKE`.
    Like,
    /// `ILIKE`.
    ILike,
    /// `SIMILAR TO`.
    SimilarTo,
    /// `REGEXP`, `RLIKE`.
    Regexp,
}

/// ANY or ALL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// ANY.
    Any,
    /// ALL.
    All,
}

/// The right side of `x = ANY (…)`.
#[derive(Clone, Debug, PartialEq)]
pub enum QuantifiedSet {
    /// A sub-query.
    Query(Box<Query>),
    /// An array.
    Expr(Box<Expr>),
}

/// `WHEN condition THEN result`.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseBranch {
    /// The condition, or the value to compare the operand with.
    pub condition: Expr,
    /// The result.
    pub result: Expr,
}

/// How a conversion is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CastSpelling {
    /// `CAST(x AS t)`: an error where it does not go.
    Cast,
    /// `TRY_CAST(x AS t)`: null where it does not go.
    TryCast,
    /// `x::t`: as CAST.
    DoubleColon,
}

/// A function call: scalar, aggregate or window function.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The name as written.
    pub name: ObjectName,
    /// `f(DISTINCT …)`.
    pub distinct: bool,
    /// The arguments.
    pub args: Vec<CallArg>,
    /// `ORDER BY` inside the parentheses.
    pub order_by: Vec<OrderByItem>,
    /// `IGNORE NULLS`, `RESPECT NULLS`, inside the parentheses or after them.
    pub nulls: Option<NullTreatment>,
    /// `WITHIN GROUP (ORDER BY …)`.
    pub within_group: Vec<OrderByItem>,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Expr>,
    /// `OVER …`.
    pub over: Option<Over>,
}

/// One argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallArg {
    /// By position.
    Positional(Expr),
    /// `name => value`, `name := value`. Also how a lambda of one parameter (`x => x + 1`) arrives.
    Named {
        /// The name.
        name: Ident,
        /// The value.
        value: Expr,
    },
    /// `*` in `COUNT(*)`.
    Wildcard(Span),
}

impl CallArg {
    /// Where the argument stands.
    pub fn span(&self) -> Span {
        match self {
            CallArg::Positional(expr) => expr.span,
            CallArg::Named { name, value } => name.span.to(value.span),
            CallArg::Wildcard(span) => *span,
        }
    }
}

/// What an aggregate or window function does with nulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullTreatment {
    /// IGNORE.
    Ignore,
    /// RESPECT.
    Respect,
}

/// The ends that TRIM takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimSide {
    /// BOTH.
    Both,
    /// LEADING.
    Leading,
    /// TRAILING.
    Trailing,
}

/// FLOOR or CEIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// FLOOR.
    Floor,
    /// CEIL.
    Ceil,
}

/// One entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct MapEntry {
    /// Key.
    pub key: Expr,
    /// Value.
    pub value: Expr,
}

/// How a map is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapSpelling {
    /// `MAP[k, v]`.
    Brackets,
    /// `MAP(k := v)`.
    Parentheses,
}

/// One item of `STRUCT(…)`.
#[derive(Clone, Debug, PartialEq)]
pub struct StructItem {
    /// The name, where there is one.
    pub name: Option<Ident>,
    /// The value.
    pub value: Expr,
}

/// One item of ORDER BY.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderByItem {
    /// By what.
    pub expr: Expr,
    /// `ASC` or `DESC`, where one is written.
    pub direction: Option<Direction>,
    /// `NULLS FIRST` or `NULLS LAST`, where one is written.
    pub nulls: Option<NullsOrder>,
    /// The whole item.
    pub span: Span,
}

/// ASC or DESC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// ASCENDING.
    Ascending,
    /// DESCENDING.
    Descending,
}

/// Where nulls go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullsOrder {
    /// FIRST.
    First,
    /// LAST.
    Last,
}
