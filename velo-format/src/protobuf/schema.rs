//! Messages by their descriptors: from a `.proto` file, from a descriptor set, or from the texts of a registry.

use std::collections::HashMap;
use std::path::Path;

use prost_reflect::{DescriptorPool, MessageDescriptor};
use protox::Compiler;
use protox::file::{File, FileResolver, GoogleFileResolver};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::suggest::nearest;

/// What Confluent's registries take for known.
const CONFLUENT: [(&str, &str); 2] = [
    (
        "confluent/type/decimal.proto",
        "syntax = \"proto3\"; package confluent.type; message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }",
    ),
    (
        "confluent/meta.proto",
        "syntax = \"proto3\"; package confluent; import \"google/protobuf/descriptor.proto\"; \
         message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; } \
         extend google.protobuf.FileOptions { Meta file_meta = 1088; } \
         extend google.protobuf.MessageOptions { Meta message_meta = 1088; } \
         extend google.protobuf.FieldOptions { Meta field_meta = 1088; } \
         extend google.protobuf.EnumOptions { Meta enum_meta = 1088; } \
         extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }",
    ),
];

/// The name under which the text of a schema without one is compiled.
const MAIN: &str = "schema.proto";

/// The messages of a schema.
#[derive(Debug, Clone)]
pub struct ProtoSchema {
    pool: DescriptorPool,
    /// The file whose messages are meant, where it is one.
    file: Option<String>,
}

impl ProtoSchema {
    /// Reads a `.proto` file, whose imports are looked for in its folder, or else a descriptor set.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or is neither; the message has the line of a mistake.
    pub fn open(path: &Path) -> Result<Self, ConnectorError> {
        let shown = path.display().to_string();
        let bytes = std::fs::read(path)
            .map_err(|error| ConnectorError::from_io(error, "reading the Protobuf schema", &shown))?;
        if path.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("proto")) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let text = String::from_utf8(bytes).map_err(|_| no_schema(format!("{shown} is not UTF-8")))?;
            let sources = Sources { texts: HashMap::from([(name.clone(), text)]), folder: Some(folder.to_owned()) };
            return Self::compile(sources, &name);
        }
        let pool = DescriptorPool::decode(bytes.as_slice())
            .map_err(|error| no_schema(format!("{shown} is no descriptor set: {error}")))?;
        // The files come behind those that they import.
        let file = pool.files().map(|file| file.name().to_owned()).last();
        Ok(Self { pool, file })
    }

    /// Reads the text of a `.proto` file. `references` are those that it imports, by their names.
    ///
    /// # Errors
    ///
    /// Where the text is none; the message has the line of a mistake.
    pub fn parse(text: &str, references: &[(String, String)]) -> Result<Self, ConnectorError> {
        let mut texts: HashMap<String, String> = references.iter().cloned().collect();
        texts.insert(MAIN.to_owned(), text.to_owned());
        Self::compile(Sources { texts, folder: None }, MAIN)
    }

    fn compile(sources: Sources, name: &str) -> Result<Self, ConnectorError> {
        let mut compiler = Compiler::with_file_resolver(sources);
        compiler.include_imports(true);
        if let Err(error) = compiler.open_file(name) {
            // The debug form has the line.
            return Err(no_schema(format!("{error:?}")));
        }
        Ok(Self { pool: compiler.descriptor_pool(), file: Some(name.to_owned()) })
    }

    /// The message of a full name, or the only one where none is given.
    ///
    /// # Errors
    ///
    /// Where there is none, or more than one without a name.
    pub fn message(&self, name: Option<&str>) -> Result<MessageDescriptor, ConnectorError> {
        if let Some(name) = name {
            let name = name.trim_start_matches('.');
            let names: Vec<String> = self.pool.all_messages().map(|message| message.full_name().to_owned()).collect();
            return self.pool.get_message_by_name(name).ok_or_else(|| {
                let near = nearest(name, names.iter().map(String::as_str));
                let near = near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
                configuration(format!("there is no message '{name}' in the schema{near}"))
                    .advise("set 'protobuf.message' to the full name, with the package: 'shop.Order'")
            });
        }
        let top = self.top();
        match top.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(configuration("there is no message in the schema".to_owned())),
            many => {
                let names: Vec<&str> = many.iter().map(MessageDescriptor::full_name).collect();
                Err(configuration(format!("there are several messages in the schema: {}", names.join(", ")))
                    .advise("say which a record is: 'protobuf.message'"))
            }
        }
    }

    /// The messages of the file that is meant, not those within others.
    fn top(&self) -> Vec<MessageDescriptor> {
        match self.file.as_deref().and_then(|file| self.pool.get_file_by_name(file)) {
            Some(file) => file.messages().collect(),
            None => Vec::new(),
        }
    }

    /// The message at indexes, from the outermost inwards.
    pub(crate) fn at(&self, indexes: &[usize]) -> Option<MessageDescriptor> {
        let (first, rest) = indexes.split_first()?;
        let mut message = self.top().into_iter().nth(*first)?;
        for index in rest {
            let inner = message.child_messages().nth(*index)?;
            message = inner;
        }
        Some(message)
    }

    /// The indexes of a message, as [`ProtoSchema::at`] takes them.
    pub(crate) fn indexes(message: &MessageDescriptor) -> Vec<usize> {
        let mut indexes = Vec::new();
        let mut this = message.clone();
        while let Some(parent) = this.parent_message() {
            indexes.push(parent.child_messages().position(|child| child == this).unwrap_or(0));
            this = parent;
        }
        indexes.push(this.parent_file().messages().position(|child| child == this).unwrap_or(0));
        indexes.reverse();
        indexes
    }
}

#[cold]
fn configuration(message: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::Configuration, "reading the Protobuf schema", message)
}

#[cold]
fn no_schema(message: String) -> ConnectorError {
    configuration(message).advise("check the .proto file, and that all files that it imports lie beside it")
}

/// Where files come from: texts that are known, a folder, and what comes with Protocol buffers.
struct Sources {
    texts: HashMap<String, String>,
    folder: Option<std::path::PathBuf>,
}

impl FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if let Some(text) = self.texts.get(name) {
            return File::from_source(name, text);
        }
        if let Some(folder) = &self.folder {
            let path = folder.join(name);
            if path.exists() {
                return File::open(name, &path);
            }
        }
        if let Some((_, text)) = CONFLUENT.iter().find(|(known, _)| *known == name) {
            return File::from_source(name, text);
        }
        GoogleFileResolver::new().open_file(name)
    }
}
