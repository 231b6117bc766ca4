//! Statements.

use super::{Expr, Ident, ObjectName, Query, SqlType};
use crate::span::Span;

/// A statement with the annotations that stand before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// What it is.
    pub kind: StatementKind,
    /// `-- @name: …` comments before it.
    pub annotations: Vec<Annotation>,
    /// Where it stands, without its semicolon.
    pub span: Span,
}

/// `-- @key: value`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The key without `@`.
    pub key: String,
    /// The value, trimmed.
    pub value: String,
    /// Where it stands.
    pub span: Span,
}

/// What a statement is.
#[derive(Debug, Clone, PartialEq)]
pub enum StatementKind {
    /// CREATE STREAM, TABLE, SINK, VIEW
    Create(Box<Create>),
    /// CREATE FUNCTION
    CreateFunction(Box<CreateFunction>),
    /// INSERT INTO
    Insert(Box<Insert>),
    /// SELECT
    Query(Box<Query>),
    /// EXPLAIN
    Explain(Box<Explain>),
    /// DESCRIBE
    Describe(ObjectName),
    /// SHOW, LIST
    Show(Show),
    /// DROP
    Drop {
        /// What kind.
        object: ObjectKind,
        /// IF EXISTS
        if_exists: bool,
        /// Which.
        name: ObjectName,
    },
    /// START, STOP, PAUSE, RESUME JOB
    Job {
        /// What to do.
        action: JobAction,
        /// With which job.
        name: Ident,
    },
    /// SET name = value
    Set {
        /// The property, dotted.
        key: String,
        /// Where it stands.
        key_span: Span,
        /// The value.
        value: SetValue,
    },
}

/// The value of a property or of SET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetValue {
    /// The text, without quotes.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// Kinds of named objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of SQL")]
pub enum ObjectKind {
    Stream,
    Table,
    Sink,
    View,
    Function,
    Job,
}

impl ObjectKind {
    /// The word.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Stream => "STREAM",
            Self::Table => "TABLE",
            Self::Sink => "SINK",
            Self::View => "VIEW",
            Self::Function => "FUNCTION",
            Self::Job => "JOB",
        }
    }
}

/// CREATE STREAM, TABLE, SINK, VIEW
#[derive(Debug, Clone, PartialEq)]
pub struct Create {
    /// What kind.
    pub object: ObjectKind,
    /// OR REPLACE
    pub or_replace: bool,
    /// IF NOT EXISTS
    pub if_not_exists: bool,
    /// The name.
    pub name: ObjectName,
    /// Columns and constraints.
    pub elements: Vec<TableElement>,
    /// AS query
    pub query: Option<Query>,
    /// WITH (…), wherever it stands.
    pub properties: Vec<Property>,
}

/// An element of a column list.
#[derive(Debug, Clone, PartialEq)]
pub enum TableElement {
    /// A column.
    Column(ColumnDef),
    /// WATERMARK FOR column AS expr
    Watermark {
        /// The column.
        column: Ident,
        /// The watermark.
        expr: Expr,
        /// Where it stands.
        span: Span,
    },
    /// PRIMARY KEY (columns)
    PrimaryKey {
        /// The columns.
        columns: Vec<Ident>,
        /// Where it stands.
        span: Span,
    },
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDef {
    /// Its name.
    pub name: Ident,
    /// Its type; a computed column may leave it out.
    pub data_type: Option<SqlType>,
    /// NOT NULL
    pub not_null: bool,
    /// PRIMARY KEY
    pub primary_key: bool,
    /// AS expr
    pub computed: Option<Expr>,
    /// Where it stands.
    pub span: Span,
}

/// A key and value of WITH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// The key, without quotes.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value, without quotes.
    pub value: String,
    /// Where the value stands.
    pub value_span: Span,
}

/// CREATE FUNCTION name(args) RETURNS type AS expr
#[derive(Debug, Clone, PartialEq)]
pub struct CreateFunction {
    /// OR REPLACE
    pub or_replace: bool,
    /// IF NOT EXISTS
    pub if_not_exists: bool,
    /// The name.
    pub name: ObjectName,
    /// The arguments.
    pub arguments: Vec<(Ident, SqlType)>,
    /// RETURNS
    pub returns: SqlType,
    /// AS
    pub body: Expr,
}

/// INSERT INTO
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// Into what.
    pub name: ObjectName,
    /// Which columns.
    pub columns: Vec<Ident>,
    /// What.
    pub query: Query,
}

/// EXPLAIN
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    /// ANALYZE
    pub analyze: bool,
    /// FORMAT
    pub format: ExplainFormat,
    /// What is explained.
    pub statement: Statement,
}

/// The format of an EXPLAIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the words of SQL")]
pub enum ExplainFormat {
    #[default]
    Text,
    Dot,
    Json,
}

/// SHOW, LIST
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Show {
    /// What.
    pub kind: ShowKind,
    /// LIKE
    pub like: Option<String>,
}

/// What SHOW shows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of SQL")]
pub enum ShowKind {
    Streams,
    Tables,
    Sinks,
    Views,
    Jobs,
    Functions,
    Topics,
    Properties,
    Create(ObjectName),
    Status(Option<Ident>),
    Metrics(Option<Ident>),
}

/// What to do with a job.
#[derive(Debug, Clone, PartialEq)]
pub enum JobAction {
    /// START JOB name AS statement
    Start(Box<Statement>),
    /// STOP JOB name
    Stop {
        /// FORCE
        force: bool,
    },
    /// PAUSE JOB name
    Pause,
    /// RESUME JOB name
    Resume,
}
