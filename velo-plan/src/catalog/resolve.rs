//! WITH to sources and sinks: both spellings, interpolation, and the mistakes with their places.

use std::path::Path;
use std::sync::Arc;

use arrow_schema::{Field, SchemaRef};
use velo_core::connector::{Connector, Registry, SinkBinding, SourceBinding};
use velo_core::properties::{Entry, Options, Properties, PropertyError, PropertySpec, config_file, interpolate};
use velo_core::resilience::{CircuitBreakerProperties, ResilienceProperties, RetryPolicy};
use velo_eventtime::{EventTimeProperties, LateProperties, WatermarkProperties};
use velo_sql::ast::{Ident, Property};
use velo_sql::{Diagnostic, Span};

use super::history::{self, BoundHistory};
use super::properties::{SinkProperties, SourceProperties, TableProperties};
use crate::codes;

/// Origins from here on are settings, by their place.
const SETTING: usize = 1 << 32;

/// Properties as written, with their places.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pairs {
    /// Key, value, and the places of both.
    pub pairs: Vec<(String, String, Span, Span)>,
    /// What they belong to, for a property that is missing.
    pub owner: Span,
}

impl Pairs {
    /// The properties of a WITH.
    pub fn new(properties: &[Property], owner: Span) -> Self {
        let pairs =
            properties.iter().map(|p| (p.key.text.clone(), p.value.text.clone(), p.key.span, p.value.span)).collect();
        Self { pairs, owner }
    }

    /// Takes the properties that are prefixed with `name.`; they lose the prefix.
    pub fn take_prefixed(&mut self, name: &str, owner: Span) -> Self {
        let prefix = format!("{}.", name.to_lowercase());
        let (mine, rest) = std::mem::take(&mut self.pairs)
            .into_iter()
            .partition::<Vec<_>, _>(|(key, ..)| key.to_lowercase().starts_with(&prefix));
        self.pairs = rest;
        let pairs = mine.into_iter().map(|(key, value, k, v)| (key[prefix.len()..].to_owned(), value, k, v)).collect();
        Self { pairs, owner }
    }

    /// Takes the properties whose key (in lower case) is `wanted`.
    pub fn take_where(&mut self, wanted: impl Fn(&str) -> bool) -> Self {
        let (taken, rest) =
            std::mem::take(&mut self.pairs).into_iter().partition::<Vec<_>, _>(|(key, ..)| wanted(&key.to_lowercase()));
        self.pairs = rest;
        Self { pairs: taken, owner: self.owner }
    }

    /// Puts the properties of `config_file` where they are not given; its path is relative to `folder`.
    pub fn with_config_file(&self, folder: &Path, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut all = self.clone();
        let files = all.take_where(|key| key == "config_file");
        for (_, file, key_span, value_span) in files.pairs {
            match config_file::load(&folder.join(&file)) {
                Ok(entries) => {
                    for (key, value) in entries {
                        if !all.has(&key) {
                            all.pairs.push((key, value, key_span, value_span));
                        }
                    }
                }
                Err(message) => diagnostics.push(Diagnostic::error(codes::PROPERTY, value_span, message)),
            }
        }
        all
    }

    /// Where a property is written, key and value.
    pub fn place(&self, key: &str) -> Option<Span> {
        self.pairs.iter().find(|(name, ..)| name.eq_ignore_ascii_case(key)).map(|(_, _, key, value)| key.to(*value))
    }

    /// Without what says how a stream is read, and nothing about how it is written.
    pub fn for_writing(&self, connector: Option<&dyn Connector>) -> Self {
        let of_source = |key: &str| {
            let own = connector.map(Connector::source_properties).unwrap_or_default();
            let all = [
                SourceProperties::SPECS,
                EventTimeProperties::SPECS,
                WatermarkProperties::SPECS,
                LateProperties::SPECS,
            ];
            let known = all.into_iter().flatten().chain(own).any(|spec| spec.names(key));
            known || key.to_lowercase().starts_with("history.")
        };
        let of_sink = |key: &str| {
            let own = connector.map(Connector::sink_properties).unwrap_or_default();
            SinkProperties::SPECS.iter().chain(own).any(|spec| spec.names(key))
        };
        let mut pairs = self.clone();
        pairs.pairs.retain(|(key, ..)| of_sink(key) || !of_source(key));
        pairs
    }

    /// Whether a key is there, without regard to case.
    pub fn has(&self, key: &str) -> bool {
        self.pairs.iter().any(|(name, ..)| name.eq_ignore_ascii_case(key))
    }
}

/// A source with everything that its statement said about it.
#[derive(Debug, Clone)]
pub struct BoundSource {
    /// The connector's side.
    pub binding: Arc<dyn SourceBinding>,
    /// What is read before it.
    pub history: Option<BoundHistory>,
    /// What every source has.
    pub common: SourceProperties,
    /// Its event time.
    pub event_time: EventTimeProperties,
    /// Its watermark.
    pub watermark: WatermarkProperties,
    /// Whether a property of event time or watermark was given at all.
    pub timed: bool,
    /// What happens to its late rows, unless the query says otherwise.
    pub late: LateProperties,
    /// Whether it can be read more than once from the same position.
    pub replays: bool,
    /// Whether its table sees that rows were deleted.
    pub sees_deletes: bool,
}

impl BoundSource {
    /// The system columns that its records can have beside the declared ones.
    pub fn system_columns(&self) -> Vec<Field> {
        history::system_columns(self.binding.as_ref(), self.history.as_ref())
    }

    /// Whether all its records have a time of their own.
    pub fn has_record_time(&self) -> bool {
        let mut of_both = std::iter::once(&self.binding).chain(self.history.as_ref().map(|history| &history.binding));
        of_both.all(|binding| binding.system_columns().iter().any(|field| field.name() == "_timestamp"))
    }
}

/// A table with everything that its statement said about it.
#[derive(Debug, Clone)]
pub struct BoundTable {
    /// Where its rows come from.
    pub source: BoundSource,
    /// What every table has.
    pub properties: TableProperties,
    /// How often its load is tried, and how soon.
    pub retry: RetryPolicy,
    /// When its connection is left alone.
    pub breaker: CircuitBreakerProperties,
}

/// A sink with everything that its statement said about it.
#[derive(Debug, Clone)]
pub struct BoundSink {
    /// The connector's side.
    pub binding: Arc<dyn SinkBinding>,
    /// What every sink has.
    pub common: SinkProperties,
    /// The columns that it was declared with, where it was.
    pub declared: Option<SchemaRef>,
    /// The declared key.
    pub key: Vec<Ident>,
    /// Whether it can replace and delete rows by their key.
    pub replaces: bool,
    /// Whether it can make the rows of a checkpoint visible together, and once.
    pub transactions: bool,
}

/// Turns properties into sources and sinks.
pub struct Resolver<'a> {
    /// The connectors of this build.
    pub registry: &'a Registry,
    /// Gives the value of `${NAME}`.
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
    /// The folder that paths of configuration files are relative to.
    pub folder: &'a Path,
    /// What SET has said so far: defaults for what a statement does not say.
    pub settings: &'a [(String, String, Span, Span)],
    /// The mistakes found.
    pub diagnostics: &'a mut Vec<Diagnostic>,
}

impl Resolver<'_> {
    /// The options of `pairs`, with `${…}` replaced.
    ///
    /// Settings stand in for those of `specs` that are not given.
    pub fn options(&mut self, pairs: &Pairs, specs: &[&'static [PropertySpec]]) -> Options {
        let mut options = Options::new();
        for (origin, (key, value, _, value_span)) in pairs.pairs.iter().enumerate() {
            match interpolate(value, self.lookup) {
                Ok(value) => options.set(Entry { key: key.clone(), value, origin }),
                Err(message) => self.diagnostics.push(Diagnostic::error(codes::PROPERTY, *value_span, message)),
            }
        }
        for (at, (key, value, ..)) in self.settings.iter().enumerate() {
            let spec = specs.iter().flat_map(|specs| specs.iter()).find(|spec| spec.names(key));
            let given = spec.is_none_or(|spec| {
                options.get(spec.key).is_some() || spec.aliases.iter().any(|alias| options.get(alias).is_some())
            });
            if !given && let Ok(value) = interpolate(value, self.lookup) {
                options.set(Entry { key: key.clone(), value, origin: SETTING + at });
            }
        }
        options
    }

    /// Reports the mistakes of `errors` at their places in `pairs`.
    pub fn report(&mut self, errors: Vec<PropertyError>, pairs: &Pairs) {
        for error in errors {
            let written = error.origin.and_then(|origin| match origin.checked_sub(SETTING) {
                Some(setting) => self.settings.get(setting),
                None => pairs.pairs.get(origin),
            });
            let span = written.map_or(pairs.place(&error.key).unwrap_or(pairs.owner), |(_, _, key, value)| {
                // An unknown key is wrong itself; else its value is.
                if error
                    .help
                    .as_deref()
                    .is_some_and(|help| help.starts_with("did you mean") || help.contains("lists the properties"))
                {
                    *key
                } else {
                    key.to(*value)
                }
            });
            let mut diagnostic = Diagnostic::error(codes::PROPERTY, span, error.message);
            if let Some(help) = error.help {
                diagnostic = diagnostic.help(help);
            }
            self.diagnostics.push(diagnostic);
        }
    }

    /// The connector that `connector = '…'` or `type = '…_source'` names.
    pub(super) fn connector(&mut self, options: &mut Options, pairs: &Pairs, face: &str) -> Option<Arc<dyn Connector>> {
        let entry = match (options.take("connector"), options.take("type")) {
            (Some(entry), None) | (None, Some(entry)) => entry,
            (Some(_), Some(second)) => {
                let span = pairs.pairs.get(second.origin).map_or(pairs.owner, |(_, _, key, _)| *key);
                self.diagnostics.push(
                    Diagnostic::error(codes::PROPERTY, span, "'connector' and 'type' say the same")
                        .help("leave one of them out"),
                );
                return None;
            }
            (None, None) => {
                let known: Vec<&str> = self.registry.iter().map(|connector| connector.name()).collect();
                self.diagnostics.push(
                    Diagnostic::error(
                        codes::PROPERTY,
                        pairs.owner,
                        "the property 'connector' is missing: what is it over?",
                    )
                    .help(format!("write connector = '…' with one of {}", known.join(", "))),
                );
                return None;
            }
        };
        let suffix = format!("_{face}");
        let name = entry.value.strip_suffix(&suffix).unwrap_or(&entry.value);
        let name = match name {
            "file_source_mmap" => "file",
            "database" => "sql",
            other => other,
        };
        if let Some(connector) = self.registry.get(name) {
            return Some(Arc::clone(connector));
        }
        let span = pairs.pairs.get(entry.origin).map_or(pairs.owner, |(_, _, _, value)| *value);
        let other = if face == "source" { "_sink" } else { "_source" };
        if let Some(name) = name.strip_suffix(other).filter(|name| self.registry.get(name).is_some()) {
            let message = format!("'{}' is a {}, and this needs a {face}", entry.value, &other[1..]);
            let diagnostic = Diagnostic::error(codes::UNKNOWN_CONNECTOR, span, message);
            self.diagnostics.push(diagnostic.help(format!("write connector = '{name}', which is right for both")));
            return None;
        }
        let mut diagnostic =
            Diagnostic::error(codes::UNKNOWN_CONNECTOR, span, format!("there is no connector '{}'", entry.value));
        diagnostic = match self.registry.nearest(name) {
            Some(near) => diagnostic.help(format!("did you mean '{near}'?")),
            None => {
                let known: Vec<&str> = self.registry.iter().map(|connector| connector.name()).collect();
                diagnostic.help(format!("this build has {}", known.join(", ")))
            }
        };
        self.diagnostics.push(diagnostic);
        None
    }

    /// A source.
    pub fn source(&mut self, pairs: &Pairs) -> Option<BoundSource> {
        self.bound(pairs, "source", false).map(|bound| bound.source)
    }

    /// A table, which is loaded from a source.
    pub fn table(&mut self, pairs: &Pairs) -> Option<BoundTable> {
        self.bound(pairs, "table", true)
    }

    fn bound(&mut self, pairs: &Pairs, what: &str, is_table: bool) -> Option<BoundTable> {
        let pairs = &pairs.with_config_file(self.folder, self.diagnostics);
        let of_source = [
            SourceProperties::SPECS,
            EventTimeProperties::SPECS,
            WatermarkProperties::SPECS,
            LateProperties::SPECS,
            TableProperties::SPECS,
            ResilienceProperties::SPECS,
            CircuitBreakerProperties::SPECS,
        ];
        let specs = if is_table { of_source.as_slice() } else { &of_source[..4] };
        let mut options = self.options(pairs, specs);
        let timed = pairs.pairs.iter().any(|(key, ..)| {
            let key = key.to_lowercase();
            key.starts_with("event.time.") || key.starts_with("watermark.")
        });
        let common = SourceProperties::read(&mut options);
        let event_time = EventTimeProperties::read(&mut options);
        let watermark = WatermarkProperties::read(&mut options);
        let late = LateProperties::read(&mut options);
        let mut none = Options::new();
        let of_table = if is_table { &mut options } else { &mut none };
        let properties = TableProperties::read(of_table);
        let retry = ResilienceProperties::read(of_table).policy();
        let breaker = CircuitBreakerProperties::read(of_table);
        let history = self.history(&mut options, pairs, is_table);
        let Some(connector) = self.connector(&mut options, pairs, "source") else {
            let errors = options.take_errors();
            self.report(errors, pairs);
            return None;
        };
        let binding = connector.bind_source(&mut options);
        let owner = format!("a {} {what}", connector.name());
        let known: Vec<&'static PropertySpec> =
            connector.source_properties().into_iter().chain(specs.iter().copied().flatten()).collect();
        let errors = options.finish(&owner, known);
        let failed = !errors.is_empty();
        self.report(errors, pairs);
        let (binding, can, history) = (binding?, connector.capabilities(), history.ok()?);
        if let Some(place) = pairs.place("history.connector")
            && history.as_ref().is_some_and(|history| history.binding.gives_kinds() != binding.gives_kinds())
        {
            let message = "either the history or what comes live says what happened to a row, and the other does not";
            let help = "both need records of the same meaning: 'format' = 'debezium_json' for both, or for neither";
            self.diagnostics.push(Diagnostic::error(codes::CONFLICT, place, message).help(help));
            return None;
        }
        let replays = can.replay && history.as_ref().is_none_or(|history| history.replays);
        let sees_deletes = can.deletes;
        let source =
            BoundSource { binding, history, common, event_time, watermark, timed, late, replays, sees_deletes };
        (!failed).then_some(BoundTable { source, properties, retry, breaker })
    }

    /// A stream, declared to be read, as a sink.
    pub fn sink_of_stream(&mut self, pairs: &Pairs) -> Option<BoundSink> {
        let name = pairs.pairs.iter().find(|(key, ..)| key.eq_ignore_ascii_case("connector"));
        let connector = name.and_then(|(_, name, ..)| self.registry.get(name)).map(Arc::clone);
        self.sink(&pairs.for_writing(connector.as_deref()))
    }

    /// A sink.
    pub fn sink(&mut self, pairs: &Pairs) -> Option<BoundSink> {
        let pairs = &pairs.with_config_file(self.folder, self.diagnostics);
        let mut options = self.options(pairs, &[SinkProperties::SPECS]);
        let common = SinkProperties::read(&mut options);
        let Some(connector) = self.connector(&mut options, pairs, "sink") else {
            let errors = options.take_errors();
            self.report(errors, pairs);
            return None;
        };
        let binding = connector.bind_sink(&mut options);
        let owner = format!("a {} sink", connector.name());
        let known: Vec<&'static PropertySpec> =
            connector.sink_properties().into_iter().chain(SinkProperties::SPECS).collect();
        let errors = options.finish(&owner, known);
        let failed = !errors.is_empty();
        self.report(errors, pairs);
        let binding = binding?;
        let can = connector.capabilities();
        let (replaces, transactions) = (can.changelog, can.transactions || binding.transactional().is_some());
        (!failed).then(|| BoundSink { binding, common, declared: None, key: Vec::new(), replaces, transactions })
    }
}
