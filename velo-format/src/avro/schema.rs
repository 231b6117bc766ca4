//! A schema as a graph of types, from its JSON text.
//!
//! Read by us, because the times and decimals of Kafka Connect and Debezium are told apart by attributes of primitive types
//! (`connect.name`), which the libraries drop. As the specification says, logical types that are unknown or do not fit the type
//! below them are ignored. Source: <https://avro.apache.org/docs/1.12.0/specification/>.

use std::collections::HashMap;

use serde_json::{Map, Value};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::suggest::nearest;
use velo_core::types::DECIMAL_DIGITS;

/// The deepest that a schema's types are within each other.
const DEPTH_LIMIT: usize = 128;

/// A schema that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct AvroSchema {
    pub(crate) types: Vec<Type>,
    pub(crate) root: usize,
    /// The least number of bytes that a value of each type takes.
    smallest: Vec<usize>,
}

/// A type; the types within it are places in [`AvroSchema::types`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Null,
    Boolean,
    Int(Logical),
    Long(Logical),
    Float,
    Double,
    Bytes(Logical),
    String(Logical),
    Fixed { name: String, size: usize, logical: Logical },
    Enum { name: String, symbols: Vec<String>, default: Option<String> },
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record { name: String, fields: Vec<Field>, logical: Logical },
}

/// What the values of a type mean beyond its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logical {
    None,
    /// Units of 10^-scale.
    Decimal {
        precision: usize,
        scale: usize,
    },
    Uuid,
    Date,
    /// Units of 10^-digits seconds since midnight.
    Time(u8),
    /// Units of 10^-digits seconds since 1970.
    Timestamp(u8),
    Duration,
    /// Text that is JSON (`io.debezium.data.Json`).
    Json,
    /// Text that is a time with a zone (`io.debezium.time.ZonedTimestamp`).
    ZonedTimestamp,
    /// A record of a scale and a number (`io.debezium.data.VariableScaleDecimal`).
    ScaledDecimal,
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) default: Option<Value>,
    pub(crate) ty: usize,
}

impl AvroSchema {
    /// Reads a schema. `references` are the schemas whose names it uses, each behind those that it uses itself.
    ///
    /// # Errors
    ///
    /// Where the text is no JSON, or no schema by the specification; the message names the type or field.
    pub fn parse(text: &str, references: &[String]) -> Result<Self, ConnectorError> {
        let mut parser = Parser { types: Vec::new(), names: HashMap::new() };
        let mut root = 0;
        for text in references.iter().map(String::as_str).chain([text]) {
            let json: Value = match serde_json::from_str(text) {
                Ok(json) => json,
                // A primitive type alone may be written without quotes.
                Err(_) if primitive(text.trim(), Logical::None).is_some() => Value::String(text.trim().to_owned()),
                Err(error) => return Err(no_schema(format!("it is no JSON: {error}"))),
            };
            root = parser.read(&json, "", 0).map_err(no_schema)?;
        }
        let mut smallest = vec![None; parser.types.len()];
        (0..parser.types.len()).for_each(|ty| {
            smallest_of(&parser.types, ty, &mut smallest);
        });
        let smallest = smallest.into_iter().map(|bytes| bytes.unwrap_or(0)).collect();
        Ok(Self { types: parser.types, root, smallest })
    }

    /// The least number of bytes that a value takes; 0 where it may take none.
    pub(crate) fn smallest(&self, ty: usize) -> usize {
        self.smallest[ty]
    }

    pub(crate) fn at(&self, ty: usize) -> &Type {
        &self.types[ty]
    }

    /// The fields of the record that the schema is; none where it is no record.
    pub(crate) fn root_fields(&self) -> &[Field] {
        match self.at(self.root) {
            Type::Record { fields, .. } => fields,
            _ => &[],
        }
    }

    /// The full name of the record that the schema is.
    pub fn record_name(&self) -> Option<&str> {
        match self.at(self.root) {
            Type::Record { name, .. } => Some(name),
            _ => None,
        }
    }

    /// A type as messages show it: `decimal(10,2)`, `union of null and string`, `record Trade`.
    pub(crate) fn describe(&self, ty: usize) -> String {
        let logical = |name: &str, logical: &Logical| match logical {
            Logical::None => name.to_owned(),
            Logical::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            Logical::Uuid => "uuid".to_owned(),
            Logical::Date => "date".to_owned(),
            Logical::Time(digits) => format!("time-{}", unit(*digits)),
            Logical::Timestamp(digits) => format!("timestamp-{}", unit(*digits)),
            Logical::Duration => "duration".to_owned(),
            Logical::Json => "JSON in a string".to_owned(),
            Logical::ZonedTimestamp => "a time with a zone in a string".to_owned(),
            Logical::ScaledDecimal => "a decimal with its scale".to_owned(),
        };
        match self.at(ty) {
            Type::Null => "null".to_owned(),
            Type::Boolean => "boolean".to_owned(),
            Type::Int(kind) => logical("int", kind),
            Type::Long(kind) => logical("long", kind),
            Type::Float => "float".to_owned(),
            Type::Double => "double".to_owned(),
            Type::Bytes(kind) => logical("bytes", kind),
            Type::String(kind) => logical("string", kind),
            Type::Fixed { size, logical: kind, .. } => logical(&format!("fixed({size})"), kind),
            Type::Enum { name, .. } => format!("enum {name}"),
            Type::Array(_) => "array".to_owned(),
            Type::Map(_) => "map".to_owned(),
            Type::Union(branches) => {
                let branches: Vec<_> = branches.iter().map(|branch| self.describe(*branch)).collect();
                format!("union of {}", branches.join(" and "))
            }
            Type::Record { name, logical: kind, .. } => logical(&format!("record {name}"), kind),
        }
    }
}

fn smallest_of(types: &[Type], ty: usize, known: &mut [Option<usize>]) -> usize {
    if let Some(bytes) = known[ty] {
        return bytes;
    }
    let bytes = match &types[ty] {
        Type::Null => 0,
        Type::Float => 4,
        Type::Double => 8,
        Type::Fixed { size, .. } => *size,
        Type::Record { fields, .. } => {
            // A record that stands in itself does so in a union or an array, which take a byte.
            known[ty] = Some(0);
            fields.iter().map(|field| smallest_of(types, field.ty, known)).fold(0, usize::saturating_add)
        }
        _ => 1,
    };
    known[ty] = Some(bytes);
    bytes
}

fn unit(digits: u8) -> &'static str {
    match digits {
        3 => "millis",
        6 => "micros",
        _ => "nanos",
    }
}

#[cold]
fn no_schema(why: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::Configuration, "reading the Avro schema", why)
        .advise("see https://avro.apache.org/docs/1.12.0/specification/#schema-declaration")
}

struct Parser {
    types: Vec<Type>,
    /// Named types by their full names.
    names: HashMap<String, usize>,
}

type Parsed<T> = Result<T, String>;

impl Parser {
    fn add(&mut self, ty: Type) -> usize {
        self.types.push(ty);
        self.types.len() - 1
    }

    fn read(&mut self, json: &Value, namespace: &str, depth: usize) -> Parsed<usize> {
        if depth > DEPTH_LIMIT {
            return Err(format!("types are deeper than {DEPTH_LIMIT} within each other"));
        }
        match json {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.read(branch, namespace, depth + 1));
                let branches = branches.collect::<Parsed<Vec<_>>>()?;
                self.check_union(&branches)?;
                Ok(self.add(Type::Union(branches)))
            }
            Value::Object(object) => self.object(object, namespace, depth),
            other => Err(format!("{other} is no type: a name, an object or an array of types is")),
        }
    }

    /// A type by its name alone.
    fn named(&mut self, name: &str, namespace: &str) -> Parsed<usize> {
        if let Some(ty) = primitive(name, Logical::None) {
            return Ok(self.add(ty));
        }
        let full = full_name(name, namespace);
        // Names of the older specification are looked for without a namespace, too.
        if let Some(ty) = self.names.get(&full).or_else(|| self.names.get(name)) {
            return Ok(*ty);
        }
        let known = PRIMITIVES.iter().copied().chain(self.names.keys().map(String::as_str));
        let near = nearest(name, known).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
        Err(format!("the type '{full}' is not defined before it is used{near}"))
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str, depth: usize) -> Parsed<usize> {
        let ty = match object.get("type") {
            Some(Value::String(ty)) => ty.as_str(),
            // A type wrapped in an object once more.
            Some(inner @ (Value::Object(_) | Value::Array(_))) => return self.read(inner, namespace, depth + 1),
            _ => return Err("a type without 'type'".to_owned()),
        };
        match ty {
            "record" | "error" => self.record(object, namespace, depth),
            "enum" => self.symbols(object, namespace),
            "fixed" => self.fixed(object, namespace),
            "array" | "map" => {
                let key = if ty == "array" { "items" } else { "values" };
                let inner = object.get(key).ok_or_else(|| format!("the {ty} lacks '{key}'"))?;
                let inner = self.read(inner, namespace, depth + 1)?;
                Ok(self.add(if ty == "array" { Type::Array(inner) } else { Type::Map(inner) }))
            }
            _ => match primitive(ty, logical_of(ty, object)) {
                Some(ty) => Ok(self.add(ty)),
                None => self.named(ty, namespace),
            },
        }
    }

    /// The full name of a named type and its namespace.
    fn name(object: &Map<String, Value>, namespace: &str) -> Parsed<(String, String)> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let name = text("name").ok_or_else(|| "a named type without 'name'".to_owned())?;
        let full = full_name(name, text("namespace").unwrap_or(namespace));
        if !full.split('.').all(is_name) {
            return Err(format!("'{full}' is no name: letters, digits and _ are, and no digit first"));
        }
        let namespace = full.rsplit_once('.').map_or(String::new(), |(namespace, _)| namespace.to_owned());
        Ok((full, namespace))
    }

    fn define(&mut self, name: &str, ty: Type) -> Parsed<usize> {
        if self.names.contains_key(name) {
            return Err(format!("the type '{name}' is defined twice"));
        }
        let at = self.add(ty);
        self.names.insert(name.to_owned(), at);
        Ok(at)
    }

    fn record(&mut self, object: &Map<String, Value>, namespace: &str, depth: usize) -> Parsed<usize> {
        let (name, namespace) = Self::name(object, namespace)?;
        let connect = object.get("connect.name").and_then(Value::as_str).unwrap_or(&name);
        let logical = match connect {
            "io.debezium.data.VariableScaleDecimal" => Logical::ScaledDecimal,
            _ => Logical::None,
        };
        // A record may stand in itself, so its name is known before its fields.
        let at = self.define(&name, Type::Record { name: name.clone(), fields: Vec::new(), logical })?;
        let fields = object.get("fields").and_then(Value::as_array);
        let fields = fields.ok_or_else(|| format!("the record '{name}' lacks 'fields'"))?;
        let mut read: Vec<Field> = Vec::with_capacity(fields.len());
        for field in fields {
            let field = field.as_object().ok_or_else(|| format!("a field of '{name}' is no object"))?;
            let own = field.get("name").and_then(Value::as_str);
            let own = own.ok_or_else(|| format!("a field of '{name}' lacks 'name'"))?;
            if !is_name(own) {
                return Err(format!("'{own}' in '{name}' is no name: letters, digits and _ are, and no digit first"));
            }
            if read.iter().any(|other| other.name == own) {
                return Err(format!("the field '{own}' of '{name}' is defined twice"));
            }
            let inner = field.get("type").ok_or_else(|| format!("the field '{own}' of '{name}' lacks 'type'"))?;
            let ty = self.read(inner, &namespace, depth + 1).map_err(|error| format!("field '{own}': {error}"))?;
            let ty = self.with_attributes(ty, field);
            let aliases = texts(field.get("aliases"));
            read.push(Field { name: own.to_owned(), aliases, default: field.get("default").cloned(), ty });
        }
        if let Type::Record { fields, .. } = &mut self.types[at] {
            *fields = read;
        }
        Ok(at)
    }

    /// Many write a logical type beside the type of a field instead of within it.
    fn with_attributes(&mut self, ty: usize, field: &Map<String, Value>) -> usize {
        let plain = match &self.types[ty] {
            Type::Int(Logical::None) => "int",
            Type::Long(Logical::None) => "long",
            Type::Bytes(Logical::None) => "bytes",
            Type::String(Logical::None) => "string",
            _ => return ty,
        };
        match logical_of(plain, field) {
            Logical::None => ty,
            logical => match primitive(plain, logical) {
                Some(made) => self.add(made),
                None => ty,
            },
        }
    }

    fn symbols(&mut self, object: &Map<String, Value>, namespace: &str) -> Parsed<usize> {
        let (name, _) = Self::name(object, namespace)?;
        let symbols = texts(object.get("symbols"));
        if symbols.is_empty() {
            return Err(format!("the enum '{name}' has no symbols"));
        }
        let default = object.get("default").and_then(Value::as_str).map(str::to_owned);
        self.define(&name, Type::Enum { name: name.clone(), symbols, default })
    }

    fn fixed(&mut self, object: &Map<String, Value>, namespace: &str) -> Parsed<usize> {
        let (name, _) = Self::name(object, namespace)?;
        let size = object.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let size = size.ok_or_else(|| format!("the fixed '{name}' has no 'size'"))?;
        let logical = match logical_of("fixed", object) {
            Logical::Uuid if size != 16 => Logical::None,
            Logical::Duration if size != 12 => Logical::None,
            logical => logical,
        };
        self.define(&name, Type::Fixed { name: name.clone(), size, logical })
    }

    fn check_union(&self, branches: &[usize]) -> Parsed<()> {
        for (at, branch) in branches.iter().enumerate() {
            let branch = &self.types[*branch];
            if matches!(branch, Type::Union(_)) {
                return Err("a union directly in a union".to_owned());
            }
            let same = |other: &usize| {
                let other = &self.types[*other];
                let named = matches!(other, Type::Record { .. } | Type::Enum { .. } | Type::Fixed { .. });
                !named && std::mem::discriminant(other) == std::mem::discriminant(branch)
            };
            if branches[..at].iter().any(same) {
                return Err("a union has two branches of the same type".to_owned());
            }
        }
        Ok(())
    }
}

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

fn primitive(name: &str, logical: Logical) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int(logical),
        "long" => Type::Long(logical),
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes(logical),
        "string" => Type::String(logical),
        _ => return None,
    })
}

/// What a type's attributes say about its values: the logical types of Avro first, then the names of Connect and Debezium.
fn logical_of(ty: &str, object: &Map<String, Value>) -> Logical {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let decimal = || {
        let number =
            |key: &str| object.get(key).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
        // Without a precision it is that of Kafka Connect, which knows none.
        let scale = number("scale").unwrap_or(0);
        let precision = number("precision").unwrap_or(usize::from(DECIMAL_DIGITS).min(38));
        if precision == 0 || scale > precision { Logical::None } else { Logical::Decimal { precision, scale } }
    };
    match (ty, text("logicalType")) {
        ("bytes" | "fixed", "decimal") => return decimal(),
        ("string" | "fixed", "uuid") => return Logical::Uuid,
        ("fixed", "duration") => return Logical::Duration,
        ("int", "date") => return Logical::Date,
        ("int", "time-millis") => return Logical::Time(3),
        ("long", "time-micros") => return Logical::Time(6),
        ("long", "timestamp-millis" | "local-timestamp-millis") => return Logical::Timestamp(3),
        ("long", "timestamp-micros" | "local-timestamp-micros") => return Logical::Timestamp(6),
        ("long", "timestamp-nanos" | "local-timestamp-nanos") => return Logical::Timestamp(9),
        _ => {}
    }
    match (ty, text("connect.name")) {
        ("int", "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date") => Logical::Date,
        ("int", "io.debezium.time.Time" | "org.apache.kafka.connect.data.Time") => Logical::Time(3),
        ("long", "io.debezium.time.MicroTime") => Logical::Time(6),
        ("long", "io.debezium.time.NanoTime") => Logical::Time(9),
        ("long", "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp") => Logical::Timestamp(3),
        ("long", "io.debezium.time.MicroTimestamp") => Logical::Timestamp(6),
        ("long", "io.debezium.time.NanoTimestamp") => Logical::Timestamp(9),
        ("string", "io.debezium.data.Json") => Logical::Json,
        ("string", "io.debezium.time.ZonedTimestamp") => Logical::ZonedTimestamp,
        _ => Logical::None,
    }
}

fn texts(json: Option<&Value>) -> Vec<String> {
    json.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn full_name(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// Whether Avro takes it as a name.
pub(crate) fn is_name(name: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(first) && name.bytes().all(|byte| first(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<String> {
        let schema = AvroSchema::parse(text, &[]).unwrap();
        schema.root_fields().iter().map(|field| format!("{} {}", field.name, schema.describe(field.ty))).collect()
    }

    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"R","namespace":"n.s","fields":[{fields}]}}"#)
    }

    #[test]
    fn types_and_what_they_mean() {
        let text = record(
            r#"{"name":"a","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
            {"name":"b","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},
            {"name":"c","type":"bytes","logicalType":"decimal","precision":2,"scale":4},
            {"name":"d","type":{"type":"int","connect.version":1,"connect.name":"io.debezium.time.Date"}},
            {"name":"e","type":"long","logicalType":"local-timestamp-nanos"},
            {"name":"f","type":{"type":"fixed","name":"F","size":12,"logicalType":"duration"}},
            {"name":"g","type":"F"},{"name":"h","type":["null","n.s.R"]},
            {"name":"i","type":{"type":{"type":"enum","name":"E","symbols":["X"]}}}"#,
        );
        let expected = [
            "a union of null and timestamp-micros",
            "b decimal(10,2)",
            "c bytes",
            "d date",
            "e timestamp-nanos",
            "f duration",
            "g duration",
            "h union of null and record n.s.R",
            "i enum n.s.E",
        ];
        assert_eq!(fields(&text), expected);
    }

    #[test]
    fn references_come_first() {
        let shared = r#"{"type":"enum","name":"com.side.Side","symbols":["BUY","SELL"]}"#.to_owned();
        let text = record(r#"{"name":"side","type":"com.side.Side"}"#);
        let schema = AvroSchema::parse(&text, &[shared]).unwrap();
        assert_eq!(schema.describe(schema.root_fields()[0].ty), "enum com.side.Side");
        let alone = AvroSchema::parse(&text, &[]).unwrap_err().message;
        assert_eq!(alone, "field 'side': the type 'com.side.Side' is not defined before it is used");
    }

    #[test]
    fn what_is_no_schema_is_said() {
        for (text, expected) in [
            ("{", "it is no JSON"),
            ("5", "5 is no type"),
            (r#""strng""#, "did you mean 'string'?"),
            (r#"["null",["int"]]"#, "a union directly in a union"),
            (r#"["int","int"]"#, "two branches of the same type"),
            (r#"{"type":"record","name":"2R","fields":[]}"#, "'2R' is no name"),
            (r#"{"type":"record","name":"R"}"#, "lacks 'fields'"),
            (r#"{"type":"array"}"#, "lacks 'items'"),
            (r#"{"type":"fixed","name":"F"}"#, "has no 'size'"),
            (r#"{"type":"enum","name":"E","symbols":[]}"#, "has no symbols"),
        ] {
            let message = AvroSchema::parse(text, &[]).unwrap_err().message;
            assert!(message.contains(expected), "{text}: {message}");
        }
        let deep = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(100), "}".repeat(100));
        assert!(AvroSchema::parse(&deep, &[]).is_ok());
        let deep = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(200), "}".repeat(200));
        assert!(AvroSchema::parse(&deep, &[]).is_err());
    }
}
