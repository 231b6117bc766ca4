//! What is read of records that were written by one schema: made once for a schema, and followed for each record.
//!
//! The declared columns are the reader's schema. Where there is another one that is meant (a schema file, or the latest of a
//! registry), a column is found in it first, so that its aliases and defaults count: a field that was renamed is found under its
//! older name, and one that older records lack has its default. Source:
//! <https://avro.apache.org/docs/1.12.0/specification/#schema-resolution>.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef};
use velo_core::connector::DecodeColumn;
use velo_core::suggest::nearest;
use velo_core::types::{is_json, sql_name_of};

use super::read::{Inner, Missing, Reader, Step, Steps, Target};
use super::schema::{self, AvroSchema, Logical, Type};
use super::text::default_bytes;
use crate::json::read::same_folded;
use crate::value::ValueFormats;
use crate::value::typed::Kind;

/// What is read of records of one schema.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) writer: Arc<AvroSchema>,
    pub(super) reader: Arc<AvroSchema>,
    pub(super) steps: Steps,
    /// Fields of a record that are not declared.
    pub(super) unknown: u64,
}

/// A column that is wanted of a record.
#[derive(Clone)]
struct Wanted<'a> {
    /// Where it is among the columns.
    at: usize,
    path: &'a [String],
    exact: bool,
    field: &'a FieldRef,
}

/// What plans are made for.
#[derive(Debug, Clone)]
pub(super) struct Wants {
    pub(super) columns: Vec<DecodeColumn>,
    /// The names of all declared columns.
    pub(super) declared: Option<Vec<String>>,
    pub(super) formats: ValueFormats,
    /// The schema that is meant.
    pub(super) reader: Option<Arc<AvroSchema>>,
    /// A column that the schema lacks is a mistake, for all records have that one.
    pub(super) strict: bool,
}

impl Wants {
    /// The plan for records that were written by `writer`, or what does not fit.
    pub(super) fn plan(&self, writer: &Arc<AvroSchema>) -> Result<Plan, String> {
        let every: Vec<usize> = (0..self.columns.len()).collect();
        self.plan_of(writer, writer.root, self.reader.as_ref().map(|reader| reader.root), &every)
    }

    /// The same for the columns at `which` and one type of `writer`, whose like in the reader's schema is `reader_ty`.
    pub(super) fn plan_of(
        &self,
        writer: &Arc<AvroSchema>,
        ty: usize,
        reader_ty: Option<usize>,
        which: &[usize],
    ) -> Result<Plan, String> {
        let reader = self.reader.as_ref().unwrap_or(writer);
        let making = Making { writer, reader, wants: self };
        let wanted: Vec<Wanted<'_>> = which
            .iter()
            .map(|at| {
                let column = &self.columns[*at];
                Wanted { at: *at, path: &column.path, exact: column.exact, field: &column.field }
            })
            .collect();
        let (steps, unknown) = match writer.at(ty) {
            Type::Record { fields, .. } => {
                let reader_ty = reader_ty.filter(|ty| matches!(reader.at(*ty), Type::Record { .. }));
                let known = |field: &&schema::Field| match &self.declared {
                    Some(names) => names.iter().any(|name| same_folded(name, field.name.as_bytes())),
                    None => true,
                };
                let unknown = fields.iter().filter(|field| !known(field)).count() as u64;
                (making.steps(fields, reader_ty, &wanted, "")?, unknown)
            }
            _ => (making.value(ty, &wanted)?, 0),
        };
        Ok(Plan { writer: Arc::clone(writer), reader: Arc::clone(reader), steps, unknown })
    }
}

struct Making<'a> {
    writer: &'a AvroSchema,
    reader: &'a AvroSchema,
    wants: &'a Wants,
}

impl<'a> Making<'a> {
    /// A schema that is no record: it is the value of each column.
    fn value(&self, ty: usize, wanted: &[Wanted<'_>]) -> Result<Steps, String> {
        let mut targets = Vec::new();
        for column in wanted {
            if column.path.len() > 1 {
                let path = column.path.join(".");
                return Err(format!("there is no '{path}': the records are {} each", self.writer.describe(ty)));
            }
            targets.push(Target::Column(column.at, self.of(ty, None, column.field, column.field.name())?));
        }
        Ok(Steps { steps: vec![Step { name: String::new(), ty, targets }], missing: Vec::new() })
    }

    /// What is done with the fields of a record.
    fn steps(
        &self,
        fields: &[schema::Field],
        reader_ty: Option<usize>,
        wanted: &[Wanted<'_>],
        inside: &str,
    ) -> Result<Steps, String> {
        let mut steps: Vec<Step> =
            fields.iter().map(|field| Step { name: field.name.clone(), ty: field.ty, targets: Vec::new() }).collect();
        let mut missing = Vec::new();
        // Columns of one field's inside are read together.
        let mut inner: Vec<(usize, Option<usize>, Vec<Wanted<'_>>)> = Vec::new();
        for column in wanted {
            let Some((name, rest)) = column.path.split_first() else { continue };
            let path = format!("{inside}{name}");
            let meant = self.meant(reader_ty, name, column.exact);
            let written = self.written(fields, meant, name, column.exact);
            match (written, rest) {
                (Some(at), []) => {
                    let reader = self.of(fields[at].ty, meant.map(|meant| meant.ty), column.field, &path)?;
                    steps[at].targets.push(Target::Column(column.at, reader));
                }
                (Some(at), rest) => {
                    let column = Wanted { path: rest, ..column.clone() };
                    match inner.iter_mut().find(|(field, ..)| *field == at) {
                        Some((_, _, columns)) => columns.push(column),
                        None => inner.push((at, meant.map(|meant| meant.ty), vec![column])),
                    }
                }
                (None, rest) => {
                    let instead = self.instead(meant.filter(|_| rest.is_empty()), column, &path)?;
                    if meant.is_none() && (self.wants.strict || !column.field.is_nullable()) {
                        return Err(lacks(fields, &path, name));
                    }
                    missing.push((column.at, instead));
                }
            }
        }
        for (at, meant, columns) in inner {
            let path = format!("{inside}{}.", fields[at].name);
            let target = self.inner(fields[at].ty, meant, &columns, &path)?;
            steps[at].targets.push(Target::Inner(target));
        }
        Ok(Steps { steps, missing })
    }

    /// The field that a name means in the reader's schema.
    fn meant(&self, reader_ty: Option<usize>, name: &str, exact: bool) -> Option<&'a schema::Field> {
        let Type::Record { fields, .. } = self.reader.at(reader_ty?) else { return None };
        let found = fields.iter().find(|field| field.name == name);
        let folded = || fields.iter().find(|field| !exact && same_folded(&field.name, name.as_bytes()));
        let alias = || fields.iter().find(|field| field.aliases.iter().any(|alias| alias == name));
        found.or_else(folded).or_else(alias)
    }

    /// Where it is among those that were written.
    fn written(
        &self,
        fields: &[schema::Field],
        meant: Option<&schema::Field>,
        name: &str,
        exact: bool,
    ) -> Option<usize> {
        let named = |name: &str| fields.iter().position(|field| field.name == name);
        match meant {
            Some(meant) => named(&meant.name).or_else(|| meant.aliases.iter().find_map(|alias| named(alias))),
            None => named(name)
                .or_else(|| fields.iter().position(|field| !exact && same_folded(&field.name, name.as_bytes()))),
        }
    }

    /// What stands for a field that was not written.
    fn instead(&self, meant: Option<&schema::Field>, column: &Wanted<'_>, path: &str) -> Result<Missing, String> {
        let Some((meant, default)) = meant.and_then(|meant| Some((meant, meant.default.as_ref()?))) else {
            return Ok(Missing::Null);
        };
        let mut bytes = Vec::new();
        default_bytes(self.reader, meant.ty, default, &mut bytes).map_err(|error| format!("'{path}': {error}"))?;
        let own = Making { writer: self.reader, ..*self };
        let reader = own.of(meant.ty, Some(meant.ty), column.field, path)?;
        Ok(Missing::Default { bytes, reader })
    }

    /// A record whose fields are columns of their own.
    fn inner(&self, ty: usize, meant: Option<usize>, columns: &[Wanted<'_>], path: &str) -> Result<Inner, String> {
        let (union, branches) = match self.writer.at(ty) {
            Type::Union(branches) => (true, branches.as_slice()),
            _ => (false, std::slice::from_ref(&ty)),
        };
        let mut made = Vec::new();
        for branch in branches {
            made.push(match self.writer.at(*branch) {
                Type::Null => None,
                Type::Record { fields, .. } => {
                    Some(self.steps(fields, meant.and_then(|meant| self.record_in(meant)), columns, path)?)
                }
                _ => {
                    let name = columns.first().map_or_else(String::new, |column| column.path.join("."));
                    let whole = path.trim_end_matches('.');
                    let found = self.writer.describe(ty);
                    return Err(format!("there is no '{path}{name}': '{whole}' is {found} and no record"));
                }
            });
        }
        Ok(Inner { union, branches: made, columns: columns.iter().map(|column| column.at).collect() })
    }

    /// The record that a type of the reader's schema is, or that is in a union of it.
    fn record_in(&self, ty: usize) -> Option<usize> {
        match self.reader.at(ty) {
            Type::Record { .. } => Some(ty),
            Type::Union(branches) => {
                branches.iter().copied().find(|branch| matches!(self.reader.at(*branch), Type::Record { .. }))
            }
            _ => None,
        }
    }

    /// What is within an array or map of the reader's schema.
    fn item_in(&self, ty: usize) -> Option<usize> {
        match self.reader.at(ty) {
            Type::Array(item) | Type::Map(item) => Some(*item),
            Type::Union(branches) => branches.iter().find_map(|branch| match self.reader.at(*branch) {
                Type::Array(item) | Type::Map(item) => Some(*item),
                _ => None,
            }),
            _ => None,
        }
    }

    /// How values of a type become those of a column.
    fn of(&self, ty: usize, meant: Option<usize>, field: &Field, path: &str) -> Result<Reader, String> {
        let conflict = || {
            let (found, wanted) = (self.writer.describe(ty), sql_name_of(field));
            Err(format!("'{path}' is {found} and declared {wanted}"))
        };
        let kind = |kind: Kind, reader: Reader| match kind.fits(field, &self.wants.formats) {
            true => Ok(reader),
            false => conflict(),
        };
        let found = self.writer.at(ty);
        if let Type::Union(branches) = found {
            return self.union(ty, branches, meant, field, path);
        }
        // Text is the JSON itself; all else becomes JSON.
        if is_json(field) && !matches!(found, Type::String(_) | Type::Null) {
            return Ok(Reader::Json(ty));
        }
        match found {
            Type::Null if field.is_nullable() => Ok(Reader::Null),
            Type::Null | Type::Union(_) => conflict(),
            Type::Boolean => kind(Kind::Boolean, Reader::Boolean),
            Type::Int(Logical::Date) => kind(Kind::Date, Reader::Date),
            Type::Int(Logical::Time(digits)) => kind(Kind::Time, Reader::Time { digits: *digits, int: true }),
            Type::Int(_) => kind(Kind::Whole, Reader::Int),
            Type::Long(Logical::Time(digits)) => kind(Kind::Time, Reader::Time { digits: *digits, int: false }),
            Type::Long(Logical::Timestamp(digits)) => kind(Kind::Timestamp, Reader::Timestamp(*digits)),
            Type::Long(_) => kind(Kind::Whole, Reader::Long),
            Type::Float => kind(Kind::Float, Reader::Float),
            Type::Double => kind(Kind::Float, Reader::Double),
            Type::Bytes(Logical::Decimal { scale, .. }) => kind(Kind::Decimal, Reader::Decimal(*scale as i32)),
            Type::Bytes(_) => kind(Kind::Bytes, Reader::Bytes),
            Type::String(_) => kind(Kind::Text, Reader::Text),
            Type::Fixed { size, logical: Logical::Decimal { scale, .. }, .. } => {
                kind(Kind::Decimal, Reader::FixedDecimal { size: *size, scale: *scale as i32 })
            }
            Type::Fixed { logical: Logical::Uuid, .. } => kind(Kind::Bytes, Reader::FixedUuid),
            Type::Fixed { logical: Logical::Duration, .. } => kind(Kind::Interval, Reader::Duration),
            Type::Fixed { size, .. } => kind(Kind::Bytes, Reader::Fixed(*size)),
            Type::Enum { symbols, .. } => kind(Kind::Text, Reader::Enum(symbols.clone())),
            Type::Array(item) => self.array(*item, meant, field, path).unwrap_or_else(conflict),
            Type::Map(value) => {
                let Some((key, entry)) = map_fields(field) else { return conflict() };
                if !Kind::Text.fits(key, &self.wants.formats) {
                    return conflict();
                }
                let meant = meant.and_then(|meant| self.item_in(meant));
                let reader = self.of(*value, meant, entry, &format!("{path}[]"))?;
                Ok(Reader::Map { value: Box::new(reader), smallest: self.writer.smallest(*value) + 1 })
            }
            Type::Record { logical: Logical::ScaledDecimal, .. } if Kind::Decimal.fits(field, &self.wants.formats) => {
                Ok(Reader::ScaledDecimal)
            }
            Type::Record { fields: written, .. } => {
                let DataType::Struct(fields) = field.data_type() else { return conflict() };
                let paths: Vec<Vec<String>> = fields.iter().map(|field| vec![field.name().clone()]).collect();
                let wanted: Vec<Wanted<'_>> = fields
                    .iter()
                    .zip(&paths)
                    .enumerate()
                    .map(|(at, (field, path))| Wanted { at, path, exact: false, field })
                    .collect();
                let meant = meant.and_then(|meant| self.record_in(meant));
                let steps = self.steps(written, meant, &wanted, &format!("{path}."))?;
                Ok(Reader::Record(Box::new(steps)))
            }
        }
    }

    /// An array as a list, or as a map where its items are pairs; `None` where the column is neither.
    fn array(&self, item: usize, meant: Option<usize>, field: &Field, path: &str) -> Option<Result<Reader, String>> {
        let (meant, smallest) = (meant.and_then(|meant| self.item_in(meant)), self.writer.smallest(item));
        if let DataType::List(inner) = field.data_type() {
            let reader = self.of(item, meant, inner, &format!("{path}[]"));
            return Some(reader.map(|reader| Reader::Array { item: Box::new(reader), smallest }));
        }
        let ((key, value), Type::Record { fields, .. }) = (map_fields(field)?, self.writer.at(item)) else {
            return None;
        };
        let paths = [vec!["key".to_owned()], vec!["value".to_owned()]];
        let wanted = [
            Wanted { at: 0, path: &paths[0], exact: false, field: key },
            Wanted { at: 1, path: &paths[1], exact: false, field: value },
        ];
        let steps = self.steps(fields, meant, &wanted, &format!("{path}[]."));
        Some(steps.map(|steps| Reader::Pairs { steps: Box::new(steps), smallest }))
    }

    fn union(
        &self,
        ty: usize,
        branches: &[usize],
        meant: Option<usize>,
        field: &Field,
        path: &str,
    ) -> Result<Reader, String> {
        let is_null = |branch: &usize| matches!(self.writer.at(*branch), Type::Null);
        let null = branches.iter().position(is_null);
        if let ([first, second], Some(null)) = (branches, null) {
            let value = if null == 0 { *second } else { *first };
            let value =
                self.of(value, meant, field, path).map_err(|error| self.whole(error, ty, value, field, path))?;
            return Ok(Reader::Nullable { null, value: Box::new(value) });
        }
        if is_json(field) {
            return Ok(Reader::Json(ty));
        }
        let mut fits = false;
        let readers = branches.iter().map(|branch| match self.of(*branch, meant, field, path) {
            Ok(reader) => {
                fits |= !is_null(branch);
                reader
            }
            Err(_) if is_null(branch) => Reader::Null,
            Err(error) => Reader::Refused(error),
        });
        let readers: Vec<Reader> = readers.collect();
        if fits {
            return Ok(Reader::Union(readers));
        }
        Err(format!("'{path}' is {} and declared {}", self.writer.describe(ty), sql_name_of(field)))
    }

    /// A conflict of the only branch is one of the union.
    fn whole(&self, error: String, ty: usize, branch: usize, field: &Field, path: &str) -> String {
        let own = format!("'{path}' is {} and declared {}", self.writer.describe(branch), sql_name_of(field));
        match error == own {
            true => format!("'{path}' is {} and declared {}", self.writer.describe(ty), sql_name_of(field)),
            false => error,
        }
    }
}

/// The key and the value of a column that is a MAP.
fn map_fields(field: &Field) -> Option<(&FieldRef, &FieldRef)> {
    let DataType::Map(entries, _) = field.data_type() else { return None };
    let DataType::Struct(fields) = entries.data_type() else { return None };
    Some((fields.first()?, fields.get(1)?))
}

fn lacks(fields: &[schema::Field], path: &str, name: &str) -> String {
    let names = || fields.iter().map(|field| field.name.as_str());
    let there = match nearest(name, names()) {
        Some(near) => format!("did you mean '{near}'?"),
        None if fields.is_empty() => "no fields are in it".to_owned(),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    format!("there is no '{path}' in the schema ({there})")
}
