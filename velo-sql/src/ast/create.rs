//! CREATE: streams, tables, sinks, views, functions.

use crate::ast::expr::Expr;
use crate::ast::ident::{Ident, ObjectName};
use crate::ast::options::Properties;
use crate::ast::select::Query;
use crate::ast::types::DataType;
use crate::span::Span;

/// `CREATE [OR REPLACE] STREAM|TABLE|SINK|VIEW [IF NOT EXISTS] name …`.
#[derive(Clone, Debug, PartialEq)]
pub struct Create {
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// What is created.
    pub kind: ObjectKind,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Its name.
    pub name: ObjectName,
    /// The parentheses with columns, where they are written.
    pub schema: Option<TableSchema>,
    /// `COMMENT '…'`.
    pub comment: Option<String>,
    /// The properties, wherever their WITH stands: before AS, before EMIT, or at the end.
    pub properties: Properties,
    /// `AS select`.
    pub query: Option<Box<Query>>,
    /// `AS select INTO name`: the results go to that sink as well.
    pub into: Option<ObjectName>,
}

/// What CREATE and DROP speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// STREAM.
    Stream,
    /// TABLE.
    Table,
    /// SINK.
    Sink,
    /// VIEW.
    View,
}

/// `(col type …, WATERMARK FOR …, PRIMARY KEY (…))`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableSchema {
    /// The columns.
    pub columns: Vec<ColumnDef>,
    /// `WATERMARK FOR`; more than one is the planner's to report.
    pub watermarks: Vec<WatermarkDef>,
    /// `PRIMARY KEY (…)` and columns marked PRIMARY KEY, in one list.
    pub primary_key: Option<PrimaryKey>,
    /// The parentheses.
    pub span: Span,
}

/// One column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDef {
    /// Its name.
    pub name: Ident,
    /// Its type; left out in a computed column and in a list of names before AS.
    pub data_type: Option<DataType>,
    /// `NOT NULL`.
    pub not_null: bool,
    /// `AS expr`.
    pub computed: Option<Expr>,
    /// `DEFAULT expr`.
    pub default: Option<Expr>,
    /// `METADATA [FROM 'key'] [VIRTUAL]`.
    pub metadata: Option<MetadataColumn>,
    /// `COMMENT '…'`.
    pub comment: Option<String>,
    /// The whole definition.
    pub span: Span,
}

/// A column that is a system column of the connector under another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataColumn {
    /// `FROM 'key'`: which one; by default the column's own name.
    pub key: Option<String>,
    /// `VIRTUAL`: read and never written.
    pub is_virtual: bool,
    /// Where it stands.
    pub span: Span,
}

/// `WATERMARK FOR column AS expr`.
#[derive(Clone, Debug, PartialEq)]
pub struct WatermarkDef {
    /// The event-time column; dotted for a nested field.
    pub column: ObjectName,
    /// What the watermark is: the column, or the column less an interval.
    pub expr: Option<Expr>,
    /// The whole clause.
    pub span: Span,
}

/// `PRIMARY KEY (a, b) [NOT ENFORCED]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryKey {
    /// Its columns; at least one.
    pub columns: Vec<Ident>,
    /// Where it stands.
    pub span: Span,
}

/// `CREATE FUNCTION name(a type, …) RETURNS type AS expression`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateFunction {
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Its name.
    pub name: ObjectName,
    /// Its parameters.
    pub params: Vec<FunctionParam>,
    /// `RETURNS`.
    pub returns: DataType,
    /// What it stands for.
    pub body: Expr,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionParam {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub data_type: DataType,
}
