//! Statements as SQL.

use crate::ast::*;
use crate::print::expr::expr;
use crate::print::layout::Layout;
use crate::print::names::{data_type, ident, idents, object_name, properties, property, text};
use crate::print::query::clauses;

/// A statement without annotations and semicolon.
pub(super) fn statement(out: &mut Layout, statement: &Statement) {
    out.group(|out| match &statement.kind {
        StatementKind::Create(found) => create(out, found),
        StatementKind::CreateFunction(found) => function(out, found),
        StatementKind::Insert(insert) => {
            out.text(format!("INSERT INTO {}", object_name(&insert.into)));
            if !insert.columns.is_empty() {
                out.enclosed(" (", ")", |out| out.items(&insert.columns, |out, column| out.text(ident(column))));
            }
            let before = binds(&insert.properties);
            if before {
                with(out, &insert.properties);
            }
            out.line();
            clauses(out, &insert.query);
            if !before {
                with(out, &insert.properties);
            }
        }
        StatementKind::Select(select) => {
            clauses(out, &select.query);
            if let Some(into) = &select.into {
                out.line();
                out.text(format!("INTO {}", object_name(into)));
            }
            with(out, &select.properties);
        }
        StatementKind::Explain(explain) => {
            out.text(if explain.analyze { "EXPLAIN ANALYZE" } else { "EXPLAIN" });
            match explain.format {
                Some(ExplainFormat::Text) => out.text(" (FORMAT TEXT)"),
                Some(ExplainFormat::Dot) => out.text(" (FORMAT DOT)"),
                Some(ExplainFormat::Json) => out.text(" (FORMAT JSON)"),
                None => {}
            }
            out.line();
            self::statement(out, &explain.statement);
        }
        StatementKind::Describe(name) => out.text(format!("DESCRIBE {}", object_name(name))),
        StatementKind::Show(found) => out.text(show(found)),
        StatementKind::Drop(found) => out.text(drop(found)),
        StatementKind::StartJob(job) => {
            out.text(format!("START JOB {} AS", object_name(&job.name)));
            out.line();
            self::statement(out, &job.statement);
        }
        StatementKind::StopJob { name, force } => {
            out.text(format!("STOP JOB {}{}", object_name(name), if *force { " FORCE" } else { "" }));
        }
        StatementKind::PauseJob(name) => out.text(format!("PAUSE JOB {}", object_name(name))),
        StatementKind::ResumeJob(name) => out.text(format!("RESUME JOB {}", object_name(name))),
        StatementKind::Set { key, value } => {
            out.text(format!("SET {}", property(&Property { key: key.clone(), value: value.clone() })));
        }
    });
}

fn with(out: &mut Layout, found: &Properties) {
    if !found.is_empty() {
        out.line();
        properties(out, found);
    }
}

fn kind(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Stream => "STREAM",
        ObjectKind::Table => "TABLE",
        ObjectKind::Sink => "SINK",
        ObjectKind::View => "VIEW",
    }
}

fn create(out: &mut Layout, create: &Create) {
    let replace = if create.or_replace { " OR REPLACE" } else { "" };
    let exists = if create.if_not_exists { " IF NOT EXISTS" } else { "" };
    out.text(format!("CREATE{replace} {}{exists} {}", kind(create.kind), object_name(&create.name)));
    if let Some(found) = &create.schema {
        schema(out, found);
    }
    if let Some(comment) = &create.comment {
        out.text(format!(" COMMENT {}", text(comment)));
    }
    // At the end, such a property could be taken as one of the last relation's.
    let before = create.query.is_some() && binds(&create.properties);
    if before {
        out.text(" ");
        properties(out, &create.properties);
    }
    if let Some(query) = &create.query {
        out.text(" AS");
        out.line();
        clauses(out, query);
    }
    if let Some(into) = &create.into {
        out.line();
        out.text(format!("INTO {}", object_name(into)));
    }
    if !before {
        with(out, &create.properties);
    }
}

/// Whether properties directly after a relation would bind it.
fn binds(found: &Properties) -> bool {
    found.entries.iter().any(|entry| entry.key.binds())
}

fn schema(out: &mut Layout, schema: &TableSchema) {
    out.enclosed(" (", ")", |out| {
        let mut first = true;
        let mut next = |out: &mut Layout| {
            if !std::mem::replace(&mut first, false) {
                out.text(",");
                out.line();
            }
        };
        for found in &schema.columns {
            next(out);
            column(out, found);
        }
        for watermark in &schema.watermarks {
            next(out);
            out.text(format!("WATERMARK FOR {}", object_name(&watermark.column)));
            if let Some(found) = &watermark.expr {
                out.text(" AS ");
                expr(out, found);
            }
        }
        if let Some(key) = &schema.primary_key {
            next(out);
            out.text(format!("PRIMARY KEY ({})", idents(&key.columns)));
        }
    });
}

fn column(out: &mut Layout, column: &ColumnDef) {
    out.text(ident(&column.name));
    if let Some(found) = &column.data_type {
        out.text(format!(" {}", data_type(found)));
    }
    if column.not_null {
        out.text(" NOT NULL");
    }
    if let Some(found) = &column.computed {
        out.text(" AS ");
        expr(out, found);
    }
    if let Some(found) = &column.default {
        out.text(" DEFAULT ");
        expr(out, found);
    }
    if let Some(metadata) = &column.metadata {
        out.text(" METADATA");
        if let Some(key) = &metadata.key {
            out.text(format!(" FROM {}", text(key)));
        }
        out.text(if metadata.is_virtual { " VIRTUAL" } else { "" });
    }
    if let Some(comment) = &column.comment {
        out.text(format!(" COMMENT {}", text(comment)));
    }
}

fn function(out: &mut Layout, function: &CreateFunction) {
    let replace = if function.or_replace { " OR REPLACE" } else { "" };
    let exists = if function.if_not_exists { " IF NOT EXISTS" } else { "" };
    out.enclosed(&format!("CREATE{replace} FUNCTION{exists} {}(", object_name(&function.name)), ")", |out| {
        out.items(&function.params, |out, param| {
            out.text(format!("{} {}", ident(&param.name), data_type(&param.data_type)))
        });
    });
    out.text(format!(" RETURNS {} AS", data_type(&function.returns)));
    out.indent(|out| {
        out.line();
        expr(out, &function.body);
    });
}

fn show(show: &Show) -> String {
    let with_name = |word: &str, name: &Option<ObjectName>| match name {
        Some(name) => format!("SHOW {word} {}", object_name(name)),
        None => format!("SHOW {word}"),
    };
    match show {
        Show::List { what, like } => {
            let word = match what {
                ShowList::Streams => "STREAMS",
                ShowList::Tables => "TABLES",
                ShowList::Sinks => "SINKS",
                ShowList::Views => "VIEWS",
                ShowList::Jobs => "JOBS",
                ShowList::Functions => "FUNCTIONS",
                ShowList::Topics => "TOPICS",
                ShowList::Properties => "PROPERTIES",
            };
            match like {
                Some(pattern) => format!("SHOW {word} LIKE {}", text(pattern)),
                None => format!("SHOW {word}"),
            }
        }
        Show::Create { kind: found, name } => {
            let word = found.map(|found| format!("{} ", kind(found))).unwrap_or_default();
            format!("SHOW CREATE {word}{}", object_name(name))
        }
        Show::Status(name) => with_name("STATUS", name),
        Show::Metrics(name) => with_name("METRICS", name),
    }
}

fn drop(drop: &DropStatement) -> String {
    let word = match drop.kind {
        DropKind::Object(found) => kind(found),
        DropKind::Function => "FUNCTION",
        DropKind::Job => "JOB",
    };
    format!("DROP {word} {}{}", if drop.if_exists { "IF EXISTS " } else { "" }, object_name(&drop.name))
}
