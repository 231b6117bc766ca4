//! The columns that an expression can name.

use std::collections::BTreeSet;

use arrow_schema::FieldRef;
use velo_core::suggest::nearest;
use velo_sql::ast::{Ident, ObjectName};
use velo_sql::{Diagnostic, Span};

use super::expr::Typed;
use crate::codes;

/// A column that can be named.
#[derive(Debug, Clone, PartialEq)]
pub struct ScopeColumn {
    /// The relation's name or alias.
    pub relation: Option<String>,
    /// The name as declared.
    pub name: String,
    /// Type and nullability; the field's name is the column's name in the plan, which is unique.
    pub field: FieldRef,
    /// Whether `*` leaves it out (system columns).
    pub hidden: bool,
    /// Whether it can be named with its relation only: another column stands for it and for that of another relation, as in
    /// JOIN … USING.
    pub qualified: bool,
}

/// All columns that can be named at one place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    /// The columns, in the order of `*`.
    pub columns: Vec<ScopeColumn>,
    /// Names of select items, which stand for what the items compute where no column has the name.
    pub aliases: Vec<(String, Typed)>,
}

/// What a dotted name means.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved<'a> {
    /// The column.
    pub column: &'a ScopeColumn,
    /// The parts behind it: fields of a struct.
    pub fields: &'a [Ident],
}

impl Scope {
    /// A scope of columns alone.
    pub fn of(columns: Vec<ScopeColumn>) -> Self {
        Self { columns, aliases: Vec::new() }
    }

    /// What the select item called `name` computes.
    pub fn alias(&self, name: &ObjectName) -> Option<&Typed> {
        let [single] = name.parts.as_slice() else { return None };
        self.aliases.iter().find(|(alias, _)| single.matches(alias)).map(|(_, typed)| typed)
    }

    /// The column that `name` means: `column`, `relation.column`, each with struct fields behind it.
    pub fn resolve<'a>(&'a self, name: &'a ObjectName) -> Result<Resolved<'a>, Diagnostic> {
        let parts = name.parts.as_slice();
        if let [relation, column, fields @ ..] = parts
            && let Some(column) = self.find(Some(relation), column, name.span())?
        {
            return Ok(Resolved { column, fields });
        }
        if let [column, fields @ ..] = parts
            && let Some(column) = self.find(None, column, name.span())?
        {
            return Ok(Resolved { column, fields });
        }
        Err(self.unknown(name))
    }

    /// The column with this name: the exact spelling wins over others that differ in case only.
    fn find(&self, relation: Option<&Ident>, name: &Ident, span: Span) -> Result<Option<&ScopeColumn>, Diagnostic> {
        let in_relation = |column: &&ScopeColumn| match (relation, &column.relation) {
            (None, _) => !column.qualified,
            (Some(wanted), Some(have)) => wanted.matches(have),
            (Some(_), None) => false,
        };
        let named: Vec<&ScopeColumn> =
            self.columns.iter().filter(in_relation).filter(|column| name.matches(&column.name)).collect();
        let exact: Vec<&ScopeColumn> = named.iter().copied().filter(|column| column.name == name.value).collect();
        let candidates = if exact.is_empty() { named } else { exact };
        // A column that a query gave the name of a system column stands before it.
        let shown: Vec<&ScopeColumn> = candidates.iter().copied().filter(|column| !column.hidden).collect();
        let candidates = if shown.is_empty() { candidates } else { shown };
        match candidates.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            several => {
                let owners: Vec<String> = several
                    .iter()
                    .map(|column| match &column.relation {
                        Some(relation) => format!("{relation}.{}", column.name),
                        None => column.name.clone(),
                    })
                    .collect();
                let same = several.iter().all(|column| column.name == several[0].name);
                let help = match owners.iter().all(|owner| *owner == owners[0]) {
                    true => "they have one name: give one of them another with AS".to_owned(),
                    false if same => format!("write {}", owners.join(" or ")),
                    false => format!("write the exact spelling in quotes, as in \"{}\"", several[0].name),
                };
                let message = format!("'{}' could be any of {}", name.value, owners.join(", "));
                Err(Diagnostic::error(codes::AMBIGUOUS_COLUMN, span, message).help(help))
            }
        }
    }

    fn unknown(&self, name: &ObjectName) -> Diagnostic {
        let span = name.span();
        let visible: Vec<&ScopeColumn> =
            self.columns.iter().filter(|column| !column.hidden && !column.qualified).collect();
        let wanted = name.parts.last().map(|part| part.value.as_str()).unwrap_or_default();
        let mut diagnostic =
            Diagnostic::error(codes::UNKNOWN_COLUMN, span, format!("there is no column '{}'", name.text()));
        if let [relation, column, ..] = name.parts.as_slice() {
            let is_relation =
                |known: &&ScopeColumn| known.relation.as_ref().is_some_and(|known| relation.matches(known));
            let found = visible.iter().find(|known| column.matches(&known.name));
            if let Some(ScopeColumn { relation: Some(right), name: column, .. }) = found
                && !visible.iter().any(is_relation)
            {
                let message =
                    format!("there is no column '{}': nothing in FROM is called '{}'", name.text(), relation.value);
                return Diagnostic::error(codes::UNKNOWN_COLUMN, span, message)
                    .help(format!("did you mean {right}.{column}?"));
            }
        }
        // What is named with a relation is looked for there.
        let relation = name.parts.iter().rev().nth(1);
        let in_relation = |column: &&ScopeColumn| match (relation, &column.relation) {
            (Some(wanted), Some(have)) => wanted.matches(have),
            _ => false,
        };
        let of_relation: Vec<&ScopeColumn> = visible.iter().copied().filter(in_relation).collect();
        let visible = if of_relation.is_empty() { visible } else { of_relation };
        if let Some(near) = nearest(wanted, visible.iter().map(|column| column.name.as_str())) {
            return diagnostic.help(format!("did you mean {near}?"));
        }
        if let Some(near) = nearest(wanted, self.columns.iter().map(|column| column.name.as_str())) {
            return diagnostic.help(format!("did you mean {near}?"));
        }
        if visible.is_empty() {
            diagnostic =
                diagnostic.help("nothing is read here: write a value, such as 'text' or 1, or read a stream in FROM");
        } else {
            let names: Vec<&str> = visible.iter().take(12).map(|column| column.name.as_str()).collect();
            let more = if visible.len() > names.len() { ", …" } else { "" };
            diagnostic = diagnostic.help(format!("the columns are {}{more}", names.join(", ")));
        }
        diagnostic
    }
}

/// `base`, or where that is taken the first of `base#2`, `base#3`, … that is not; it is taken then.
pub(super) fn unique(base: &str, taken: &mut BTreeSet<String>) -> String {
    let (mut unique, mut count) = (base.to_owned(), 1);
    while !taken.insert(unique.clone()) {
        count += 1;
        unique = format!("{base}#{count}");
    }
    unique
}
