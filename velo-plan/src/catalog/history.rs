//! The history of a stream: the properties of a second source, behind `history.`.

use std::sync::Arc;

use arrow_schema::Field;
use velo_core::connector::SourceBinding;
use velo_core::properties::{Entry, Options, Properties, PropertyError, PropertySpec};
use velo_eventtime::{EventTimeProperties, LateProperties, WatermarkProperties};
use velo_sql::Diagnostic;

use super::properties::{HistoryProperties, SourceProperties, ThenLive};
use super::resolve::{Pairs, Resolver};
use crate::codes;

/// Before the names of the properties.
const PREFIX: &str = "history.";

/// What a stream reads before it reads what comes live.
#[derive(Debug, Clone)]
pub struct BoundHistory {
    /// The connector's side.
    pub binding: Arc<dyn SourceBinding>,
    /// Where what comes live takes over.
    pub then_live: ThenLive,
    /// Whether it can be read more than once from the same position.
    pub replays: bool,
}

/// There was a mistake, and it was told.
pub(super) struct Told;

impl Resolver<'_> {
    /// The history that `options` speak of, where they do; its properties are taken out.
    pub(super) fn history(
        &mut self,
        options: &mut Options,
        pairs: &Pairs,
        is_table: bool,
    ) -> Result<Option<BoundHistory>, Told> {
        let Some(first) = options.keys().find(|key| key.starts_with(PREFIX)).map(str::to_owned) else {
            return Ok(None);
        };
        let named = options.get("history.connector").cloned();
        let HistoryProperties { then_live, .. } = HistoryProperties::read(options);
        let mut own = Options::new();
        options.take_prefix(PREFIX).into_iter().for_each(|entry| own.set(entry));
        let (message, help) = match &named {
            Some(_) if is_table => (
                "a table has no history: it is loaded from one source",
                "leave it out, or declare a STREAM; CREATE TABLE … AS SELECT … FROM that stream keeps its rows",
            ),
            None => (
                "this is a property of a stream's history, and nothing says what that is over",
                "add 'history.connector' = 'file', or leave it out",
            ),
            Some(_) => ("", ""),
        };
        let Some(Entry { value, origin, .. }) = named.filter(|_| !is_table) else {
            let place = pairs.place(&first).unwrap_or(pairs.owner);
            self.diagnostics.push(Diagnostic::error(codes::PROPERTY, place, message).help(help));
            return Err(Told);
        };
        own.set(Entry { key: "connector".to_owned(), value, origin });
        let connector = self.connector(&mut own, pairs, "source").ok_or(Told)?;
        let binding = connector.bind_source(&mut own);
        let owner = format!("the history's {} source", connector.name());
        let errors = own.finish(&owner, connector.source_properties());
        let failed = !errors.is_empty();
        self.report(errors.into_iter().map(prefixed).collect(), pairs);
        let Some(binding) = binding.filter(|_| !failed) else { return Err(Told) };
        if !binding.bounded() {
            let place = pairs.place("history.connector").unwrap_or(pairs.owner);
            self.diagnostics.push(
                Diagnostic::error(codes::PROPERTY, place, "this history does not end, so that nothing that comes live would ever be read")
                    .help("say where it ends ('history.scan.bounded' = 'latest' of a topic), or leave out what has it go on ('history.watch' of files)"),
            );
            return Err(Told);
        }
        Ok(Some(BoundHistory { binding, then_live, replays: connector.capabilities().replay }))
    }
}

/// A mistake under the name that the property has in the statement.
fn prefixed(error: PropertyError) -> PropertyError {
    let shared =
        [SourceProperties::SPECS, EventTimeProperties::SPECS, WatermarkProperties::SPECS, LateProperties::SPECS];
    let is_shared = |spec: &&PropertySpec| spec.names(&error.key);
    let is_unknown = error.message.contains("has no property");
    let help = match shared.into_iter().flatten().find(is_shared).filter(|_| is_unknown) {
        Some(spec) => Some(format!("write '{}': it is for the history and for what comes live", spec.key)),
        None => error.help.map(|help| help.replace("did you mean '", "did you mean 'history.")),
    };
    let (bare, full) = (format!("'{}'", error.key), format!("'{PREFIX}{}'", error.key));
    PropertyError { message: error.message.replace(&bare, &full), key: format!("{PREFIX}{}", error.key), help, ..error }
}

/// The system columns of a stream: those that only one of its sources has are NULL in the rows of the other. One that has another
/// type in each cannot be a column of both.
pub(super) fn system_columns(live: &dyn SourceBinding, history: Option<&BoundHistory>) -> Vec<Field> {
    let mut columns = live.system_columns();
    let Some(history) = history else { return columns };
    let mut only = history.binding.system_columns();
    columns.retain_mut(|column| {
        let at = only.iter().position(|other| other.name() == column.name());
        let other = at.map(|at| only.remove(at));
        let nullable = column.is_nullable() || other.as_ref().is_none_or(Field::is_nullable);
        let is_same = other.is_none_or(|other| other.data_type() == column.data_type());
        column.set_nullable(nullable);
        is_same
    });
    columns.extend(only.into_iter().map(|column| column.with_nullable(true)));
    columns
}
