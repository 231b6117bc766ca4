//! Files as tables, streams and sinks: the connector `file`.
//!
//! A path is one file, a folder or a pattern; its files are one partition, read in name order. [`tail`] decides what is read
//! next and follows files that grow, are rotated or rewritten, [`row_groups`] does it for Parquet files; [`content`] decompresses and cuts chunks at record ends;
//! [`reader`] does that on a thread ahead of the decoders. [`framing`] is the only module that knows formats. A [`sink`] writes hidden
//! files that a commit makes visible, or appends at once.
//!
//! Decompression goes by suffix: `.gz` and `.zst`.

mod buffers;
mod content;
mod error;
mod framing;
mod glob;
mod identity;
pub mod properties;
mod reader;
mod rotation;
mod row_groups;
mod schema;
mod sink;
mod source;
mod table;
mod tail;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use velo_core::Result;
use velo_core::connector::{Capabilities, Connector, Guarantee, Sink, SinkBinding, SinkRequest, SourceBinding};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::properties::{Options, Properties, PropertyError, PropertySpec};

use crate::framing::Framing;
use crate::glob::FileSet;
use crate::properties::{FileSinkProperties, FileSourceProperties};
use crate::sink::{Direct, Encode, FileSink, Holding, Parts, PartsSpec, Place, State, Whole, is_special};
use crate::source::FileSource;

/// The connector `file`.
pub fn connector() -> Arc<dyn Connector> {
    Arc::new(FileConnector)
}

/// Reads and writes files.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileConnector;

impl Connector for FileConnector {
    fn name(&self) -> &'static str {
        "file"
    }

    fn summary(&self) -> &'static str {
        "Files, folders and patterns of files: JSON, CSV and Parquet, compressed or not, followed as they grow"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source: true,
            sink: true,
            changelog: false,
            transactions: true,
            incremental: true,
            deletes: false,
            replay: true,
            ordered: true,
            record_time: true,
        }
    }

    fn source_properties(&self) -> Vec<&'static PropertySpec> {
        FileSourceProperties::SPECS.iter().chain(Framing::source_specs()).collect()
    }

    fn sink_properties(&self) -> Vec<&'static PropertySpec> {
        FileSinkProperties::SPECS.iter().chain(Framing::sink_specs()).collect()
    }

    fn bind_source(&self, options: &mut Options) -> Option<Arc<dyn SourceBinding>> {
        let before = options.has_errors();
        let properties = FileSourceProperties::read(options);
        let framing = Framing::read(options, properties.path.as_deref().unwrap_or_default(), true);
        let Some(path) = &properties.path else {
            options.missing("path", "the file, folder or pattern to read");
            return None;
        };
        let files = FileSet::new(path).map_err(|message| {
            options.error(PropertyError { key: "path".to_owned(), origin: None, message, help: None });
        });
        if properties.watch && properties.watch_interval.0 <= 0 {
            options.error(PropertyError {
                key: "watch.interval".to_owned(),
                origin: None,
                message: "'watch.interval' must be more than 0".to_owned(),
                help: Some("1s is the default".to_owned()),
            });
        }
        let framing = framing?;
        if properties.watch && framing.has_row_groups() {
            options.error(PropertyError {
                key: "watch".to_owned(),
                origin: None,
                message: "a Parquet file is whole when it is there, so that none can be followed".to_owned(),
                help: Some("leave 'watch' out: the files that are there are read to their end".to_owned()),
            });
        }
        let source = FileSource { files: files.ok()?, properties, framing };
        (before || !options.has_errors()).then(|| Arc::new(source) as Arc<dyn SourceBinding>)
    }

    fn bind_sink(&self, options: &mut Options) -> Option<Arc<dyn SinkBinding>> {
        let before = options.has_errors();
        let properties = FileSinkProperties::read(options);
        let framing = Framing::read(options, properties.path.as_deref().unwrap_or_default(), false);
        let Some(path) = properties.path.as_deref().map(str::trim).filter(|path| !path.is_empty()) else {
            options.missing("path", "the file to write, or the folder of the files");
            return None;
        };
        let path = PathBuf::from(path.strip_prefix("file://").unwrap_or(path));
        let framing = framing?;
        let sink = FileSinkBinding { path, properties, framing };
        if sink.properties.append
            && !sink.is_many()
            && let Some((what, instead)) = sink.framing.whole()
        {
            options.error(PropertyError {
                key: "append".to_owned(),
                origin: None,
                message: format!("nothing can be added to {what}"),
                help: Some(instead.to_owned()),
            });
        }
        (before || !options.has_errors()).then(|| Arc::new(sink) as Arc<dyn SinkBinding>)
    }
}

/// Files as a sink.
#[derive(Debug)]
struct FileSinkBinding {
    path: PathBuf,
    properties: FileSinkProperties,
    framing: Framing,
}

impl FileSinkBinding {
    fn is_many(&self) -> bool {
        let properties = &self.properties;
        properties.partition_by.is_some() || properties.rolling_size.is_some() || properties.rolling_interval.is_some()
    }

    fn parts(&self, request: &SinkRequest, staged: bool, after: Option<State>) -> Result<Place> {
        if self.path.exists() && !self.path.is_dir() {
            let message = format!("'{}' is a file, and many files are to be written", self.path.display());
            return Err(ConnectorError::new(ErrorKind::Configuration, "opening the output", message)
                .advise("name a folder in 'path', or leave out 'partition.by' and 'rolling.*'"));
        }
        let names = self.properties.partition_by.as_deref().unwrap_or_default();
        let mut partition_by = Vec::new();
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let fields = request.schema.fields();
            let found = fields.iter().position(|field| field.name() == name);
            let found = found.or_else(|| fields.iter().position(|field| field.name().eq_ignore_ascii_case(name)));
            let Some(place) = found else {
                let message = format!("'partition.by' names '{name}', and the rows have no such column");
                let near = velo_core::suggest::nearest(name, fields.iter().map(|field| field.name().as_str()));
                let failed = ConnectorError::new(ErrorKind::Configuration, "opening the output", message);
                return Err(match near {
                    Some(near) => failed.advise(format!("did you mean '{near}'?")),
                    None => failed,
                });
            };
            partition_by.push((place, fields[place].name().clone()));
        }
        let spec = PartsSpec {
            root: self.path.clone(),
            partition_by,
            size: self.properties.rolling_size,
            interval: self.properties.rolling_interval,
            suffix: self.framing.suffix().to_owned(),
            append: self.properties.append,
            staged,
            bounded: request.bounded,
            whole: self.framing.whole().is_some(),
        };
        let after = match after {
            Some(State::Parts(after)) => Some(after),
            Some(other) => return Err(self.foreign(&other)),
            None => None,
        };
        Ok(Place::Parts(Box::new(Parts::open(spec, request.clock.clone(), after)?)))
    }

    /// The checkpoint was made when other properties were set.
    fn foreign(&self, state: &State) -> ConnectorError {
        error::foreign_state(&self.path, state.describe())
    }

    fn one(&self, request: &SinkRequest, encoder: &mut dyn Encode, after: Option<State>) -> Result<Place> {
        let direct = |append, after| {
            let after = match after {
                Some(State::Direct(after)) => Some(after),
                Some(other) => return Err(self.foreign(&other)),
                None => None,
            };
            Ok(Place::Direct(Direct::new(self.path.clone(), append, after)))
        };
        if self.path.is_dir() {
            let message = format!("'{}' is a folder", self.path.display());
            return Err(ConnectorError::new(ErrorKind::Configuration, "opening the output", message).advise(
                "name a file in 'path', or have whole files written into the folder: 'rolling.size' = '128MB'",
            ));
        }
        if is_special(&self.path) {
            if let Some((what, _)) = self.framing.whole() {
                let message = format!("'{}' is no file, and {what} is complete only at its end", self.path.display());
                return Err(ConnectorError::new(ErrorKind::Unsupported, "opening the output", message)
                    .advise("name a file in 'path', or write json lines or csv"));
            }
            return direct(true, after);
        }
        if request.guarantee == Guarantee::AtLeastOnce {
            return direct(self.properties.append, after);
        }
        // What a link leads to is replaced, and not the link.
        let target = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let append = self.properties.append;
        match after {
            Some(State::Held(after)) if request.bounded => {
                Ok(Place::Held(Holding::open(target, append, encoder, Some(after))?))
            }
            Some(State::Whole(after)) if !request.bounded => {
                Ok(Place::Whole(Whole::open(target, append, Some(after))?))
            }
            Some(other) => Err(self.foreign(&other)),
            None if request.bounded => Ok(Place::Held(Holding::open(target, append, encoder, None)?)),
            None => Ok(Place::Whole(Whole::open(target, append, None)?)),
        }
    }
}

#[async_trait]
impl SinkBinding for FileSinkBinding {
    fn describe(&self) -> String {
        format!("file {} ({})", self.path.display(), self.framing.name())
    }

    fn has_one_writer(&self) -> Option<String> {
        (!is_special(&self.path)).then(|| format!("file {}", self.path.display()))
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let staged = request.guarantee == Guarantee::ExactlyOnce;
        if let Some((what, instead)) = self.framing.whole().filter(|_| !self.is_many()) {
            let why = match (staged, request.bounded) {
                (true, true) => None,
                (true, false) => Some("the query has none"),
                (false, _) => Some("rows are to be visible at once"),
            };
            if let Some(why) = why {
                let message = format!("'{}': {what} is complete only at its end, and {why}", self.path.display());
                return Err(ConnectorError::new(ErrorKind::Unsupported, "opening the output", message).advise(instead));
            }
        }
        let after = request.after.as_ref().map(State::of).transpose()?;
        let mut encoder = self.framing.encoder(&request)?;
        let place = if self.is_many() {
            self.parts(&request, staged, after)?
        } else {
            self.one(&request, &mut *encoder, after)?
        };
        Ok(Box::new(FileSink::new(encoder, place, self.path.clone())))
    }
}
