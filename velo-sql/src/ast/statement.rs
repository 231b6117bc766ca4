//! Statements.

use crate::ast::annotation::Annotation;
use crate::ast::create::{Create, CreateFunction, ObjectKind};
use crate::ast::ident::{Ident, ObjectName};
use crate::ast::options::{Properties, PropertyKey, PropertyValue};
use crate::ast::select::Query;
use crate::span::Span;

/// One statement of a script.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What it does.
    pub kind: StatementKind,
    /// What the comments before it say about it.
    pub annotations: Vec<Annotation>,
    /// From its first word to its last, without the semicolon.
    pub span: Span,
}

/// The kinds of statements.
#[derive(Clone, Debug, PartialEq)]
pub enum StatementKind {
    /// `CREATE STREAM|TABLE|SINK|VIEW`.
    Create(Box<Create>),
    /// `CREATE FUNCTION`.
    CreateFunction(Box<CreateFunction>),
    /// `INSERT INTO`.
    Insert(Box<Insert>),
    /// `SELECT …`, `VALUES …`, `SELECT … INTO …`.
    Select(Box<SelectStatement>),
    /// `EXPLAIN`.
    Explain(Explain),
    /// `DESCRIBE name`.
    Describe(ObjectName),
    /// `SHOW …`, `LIST …`.
    Show(Show),
    /// `DROP …`.
    Drop(DropStatement),
    /// `START JOB name AS statement`.
    StartJob(StartJob),
    /// `STOP JOB name [FORCE]`.
    StopJob {
        /// Which job.
        name: ObjectName,
        /// `FORCE`.
        force: bool,
    },
    /// `PAUSE JOB name`.
    PauseJob(ObjectName),
    /// `RESUME JOB name`.
    ResumeJob(ObjectName),
    /// `SET name = value`.
    Set {
        /// The property.
        key: PropertyKey,
        /// Its value.
        value: PropertyValue,
    },
}

/// `INSERT INTO name [(columns)] select`.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// Into what.
    pub into: ObjectName,
    /// Which columns; empty where none are named.
    pub columns: Vec<Ident>,
    /// What.
    pub query: Box<Query>,
    /// `WITH (…)` among the clauses of the query.
    pub properties: Properties,
}

/// A query as a statement.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectStatement {
    /// The query.
    pub query: Query,
    /// `INTO name`.
    pub into: Option<ObjectName>,
    /// `WITH (…)` among its clauses.
    pub properties: Properties,
}

/// `EXPLAIN [ANALYZE] [(FORMAT …)] statement`.
#[derive(Clone, Debug, PartialEq)]
pub struct Explain {
    /// `ANALYZE`.
    pub analyze: bool,
    /// `FORMAT`.
    pub format: Option<ExplainFormat>,
    /// What is explained.
    pub statement: Box<Statement>,
}

/// How a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainFormat {
    /// TEXT.
    Text,
    /// DOT.
    Dot,
    /// JSON.
    Json,
}

/// `SHOW …`.
#[derive(Clone, Debug, PartialEq)]
pub enum Show {
    /// `SHOW|LIST STREAMS|TABLES|… [LIKE 'p%']`.
    List {
        /// What is listed.
        what: ShowList,
        /// The pattern.
        like: Option<String>,
    },
    /// `SHOW CREATE [STREAM|TABLE|…] name`.
    Create {
        /// The word before the name, where there is one.
        kind: Option<ObjectKind>,
        /// Of what.
        name: ObjectName,
    },
    /// `SHOW STATUS [job]`.
    Status(Option<ObjectName>),
    /// `SHOW METRICS [job]`.
    Metrics(Option<ObjectName>),
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowList {
    /// STREAMS.
    Streams,
    /// TABLES.
    Tables,
    /// SINKS.
    Sinks,
    /// VIEWS.
    Views,
    /// JOBS.
    Jobs,
    /// FUNCTIONS.
    Functions,
    /// TOPICS.
    Topics,
    /// PROPERTIES.
    Properties,
}

/// `DROP …`.
#[derive(Clone, Debug, PartialEq)]
pub struct DropStatement {
    /// What kind of thing.
    pub kind: DropKind,
    /// `IF EXISTS`.
    pub if_exists: bool,
    /// Which.
    pub name: ObjectName,
}

/// What can be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropKind {
    /// A stream, table, sink or view.
    Object(ObjectKind),
    /// A function.
    Function,
    /// A job.
    Job,
}

/// `START JOB name AS statement [WITH (…)]`.
#[derive(Clone, Debug, PartialEq)]
pub struct StartJob {
    /// Its name.
    pub name: ObjectName,
    /// What it runs: SELECT, INSERT or CREATE … AS.
    pub statement: Box<Statement>,
}
