//! The schemas that a registry has, by their ids, so that decoders never wait for it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    /// Avro.
    Avro,
    /// A `.proto` file.
    Protobuf,
    /// JSON Schema.
    Json,
}

impl SchemaKind {
    /// As the registry writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
            Self::Json => "JSON",
        }
    }
}

/// A schema with all that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// Its id, which is the same in all subjects.
    pub id: u32,
    /// Its language.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// The schemas that it refers to, directly or not, by the names that are used for them; each behind those that it refers to.
    pub references: Vec<(String, String)>,
}

/// The schemas that were asked for, kept for ever: the schema of an id never changes.
#[derive(Debug, Default)]
pub struct Schemas {
    /// A schema, or why there is none.
    known: RwLock<HashMap<u32, Result<Arc<RegisteredSchema>, String>>>,
    #[cfg(feature = "registry")]
    registry: Option<Arc<super::registry::Registry>>,
}

impl Schemas {
    /// No schemas yet, and no registry to ask: those that are put in are all.
    pub fn new() -> Self {
        Self::default()
    }

    /// No schemas yet, and a registry to ask for them.
    #[cfg(feature = "registry")]
    pub fn of(registry: Arc<super::registry::Registry>) -> Self {
        Self { registry: Some(registry), ..Self::default() }
    }

    /// Puts a schema in.
    pub fn put(&self, schema: RegisteredSchema) {
        self.note(schema.id, Ok(Arc::new(schema)));
    }

    fn note(&self, id: u32, found: Result<Arc<RegisteredSchema>, String>) {
        // A panic of another worker leaves the map whole.
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(id, found);
    }

    /// The schema of an id, or why records of it cannot be read.
    pub fn get(&self, id: u32, kind: SchemaKind) -> Result<Arc<RegisteredSchema>, String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match known.get(&id) {
            Some(Ok(schema)) if schema.kind == kind => Ok(Arc::clone(schema)),
            Some(Ok(schema)) => Err(format!(
                "the schema {id}, which the record names, is {} and not {}: is another 'format' meant?",
                schema.kind.name(),
                kind.name()
            )),
            Some(Err(why)) => Err(why.clone()),
            None => Err(format!("the schema {id}, which the record names, was not asked for")),
        }
    }

    /// Asks for those of `ids` that are not known yet. Ids that the registry does not have are noted, so that their records are bad
    /// ones, and asked for again the next time.
    ///
    /// # Errors
    ///
    /// Where the registry cannot be asked; that may pass where the error says so.
    #[cfg(feature = "registry")]
    pub async fn ensure(&self, ids: &[u32]) -> Result<(), velo_core::ConnectorError> {
        for id in ids {
            let has = {
                let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
                matches!(known.get(id), Some(Ok(_)))
            };
            let Some(registry) = self.registry.as_ref().filter(|_| !has) else { continue };
            let found = match registry.schema(*id).await? {
                Some(schema) => Ok(Arc::new(schema)),
                None => Err(format!(
                    "the registry has no schema {id}, which the record names: was the record written with another registry?"
                )),
            };
            self.note(*id, found);
        }
        Ok(())
    }
}
