//! Debezium's envelopes in Avro: which rows of which kinds come of them, as [`crate::debezium`] says of those in JSON.

use std::sync::Arc;

use arrow_schema::Fields;
use velo_core::row_kind::RowKind;

use super::cursor::{Cursor, problem};
use super::plan::{Plan, Wants};
use super::read::Reading;
use super::schema::{AvroSchema, Type};
use crate::debezium::{AROUND, UNAVAILABLE};
use crate::decode::RecordAssembler;
use crate::error::show;
use crate::json::cursor::{Outcome, Problem};
use crate::json::read::same_folded;

/// What is read of envelopes of one schema.
#[derive(Debug)]
pub(super) struct Changes {
    writer: Arc<AvroSchema>,
    fields: Vec<Part>,
    before: Option<Image>,
    after: Option<Image>,
    /// Columns that are read of the envelope.
    around: Option<Plan>,
}

/// A field of the envelope.
#[derive(Debug)]
struct Part {
    name: String,
    ty: usize,
    role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Before,
    After,
    Op,
    Other,
}

/// A row as it was or is.
#[derive(Debug)]
struct Image {
    /// Whether it is in a union, and by its branches what is read of it; `None` where the branch is null.
    union: bool,
    branches: Vec<Option<Plan>>,
}

/// The record of the rows in envelopes.
fn row_type(schema: &AvroSchema) -> Option<usize> {
    let fields = schema.root_fields();
    ["after", "before"].iter().find_map(|name| {
        let ty = fields.iter().find(|field| field.name == *name)?.ty;
        record_in(schema, ty)
    })
}

fn record_in(schema: &AvroSchema, ty: usize) -> Option<usize> {
    match schema.at(ty) {
        Type::Record { .. } => Some(ty),
        Type::Union(branches) => branches.iter().find_map(|branch| record_in(schema, *branch)),
        _ => None,
    }
}

/// The columns of the rows in envelopes; `None` where the schema is none of envelopes.
pub(crate) fn row_columns(schema: &AvroSchema) -> Option<Fields> {
    Some(schema.fields_of(row_type(schema)?, &mut Vec::new()))
}

/// Where a column's path begins: in the envelope or in the row.
pub(super) fn root_of(schema: &AvroSchema, path: &[String]) -> Option<usize> {
    match path.first() {
        Some(first) if AROUND.contains(&first.as_str()) => Some(schema.root),
        _ => row_type(schema),
    }
}

impl Changes {
    pub(super) fn new(wants: &Wants, writer: &Arc<AvroSchema>) -> Result<Self, String> {
        let role = |name: &str| match name {
            "before" => Role::Before,
            "after" => Role::After,
            "op" => Role::Op,
            _ => Role::Other,
        };
        let fields = writer.root_fields().iter();
        let fields = fields.map(|field| Part { name: field.name.clone(), ty: field.ty, role: role(&field.name) });
        let fields: Vec<Part> = fields.collect();
        if !fields.iter().any(|field| field.role == Role::Op) || row_type(writer).is_none() {
            let found = writer.describe(writer.root);
            return Err(format!("{found} is no envelope of Debezium, with before, after and op; is 'avro' meant?"));
        }
        let declared = |name: &str| {
            let names = wants.declared.iter().flatten();
            names.into_iter().any(|declared| same_folded(declared, name.as_bytes()))
        };
        let is_around = |at: &usize| {
            let first = wants.columns[*at].path.first().map_or("", String::as_str);
            AROUND.contains(&first) && !declared(first)
        };
        let (around, row): (Vec<usize>, Vec<usize>) = (0..wants.columns.len()).partition(is_around);
        let reader = wants.reader.as_deref();
        let reader_row = reader.and_then(row_type);
        let image = |role: Role| -> Result<Option<Image>, String> {
            let Some(part) = fields.iter().find(|field| field.role == role) else { return Ok(None) };
            let (union, branches) = match writer.at(part.ty) {
                Type::Union(branches) => (true, branches.clone()),
                _ => (false, vec![part.ty]),
            };
            let plan = |branch: &usize| match writer.at(*branch) {
                Type::Record { .. } => wants.plan_of(writer, *branch, reader_row, &row).map(Some),
                _ => Ok(None),
            };
            let branches = branches.iter().map(plan).collect::<Result<Vec<_>, String>>()?;
            Ok(Some(Image { union, branches }))
        };
        let (before, after) = (image(Role::Before)?, image(Role::After)?);
        let around = match around.is_empty() {
            true => None,
            false => Some(wants.plan_of(writer, writer.root, reader.map(|reader| reader.root), &around)?),
        };
        Ok(Self { writer: Arc::clone(writer), fields, before, after, around })
    }

    /// The names that a column can be read of.
    pub(super) fn fields(&self) -> Vec<String> {
        let row = row_type(&self.writer).map(|ty| match self.writer.at(ty) {
            Type::Record { fields, .. } => fields.iter().map(|field| field.name.clone()).collect(),
            _ => Vec::new(),
        });
        let around = self.fields.iter().map(|field| field.name.clone());
        let around = around.filter(|name| AROUND.contains(&name.as_str()));
        row.unwrap_or_default().into_iter().chain(around).collect()
    }

    /// Reads the envelope at the cursor into none, one or two rows.
    pub(super) fn record(
        &self,
        out: &mut RecordAssembler<'_>,
        cursor: &mut Cursor<'_>,
        scratch: &mut Vec<u8>,
        holes: bool,
    ) -> Outcome<()> {
        let start = cursor.at;
        let (mut before, mut after, mut op) = (None, None, None);
        for field in &self.fields {
            let at = cursor.at;
            cursor.skip(&self.writer, field.ty, 0).map_err(|problem| problem.inside(&field.name))?;
            match field.role {
                Role::Before => before = Some(at),
                Role::After => after = Some(at),
                Role::Op => op = text(&mut Cursor { at, ..*cursor }, &self.writer, field.ty)?,
                Role::Other => {}
            }
        }
        let bytes = cursor.bytes;
        let before = image(&self.before, before, bytes)?;
        let after = image(&self.after, after, bytes)?;
        let mut push = |name: &'static str, image: (&Plan, usize), kind: RowKind| {
            self.push(out, Cursor { bytes, at: image.1 }, image.0, name, start, scratch, holes)?;
            out.hold(kind);
            Ok(())
        };
        match (op.as_deref(), before, after) {
            (Some(b"c" | b"r"), _, Some(after)) => push("after", after, RowKind::Insert),
            (Some(b"u"), Some(before), Some(after)) => {
                push("before", before, RowKind::UpdateBefore)?;
                push("after", after, RowKind::UpdateAfter)
            }
            (Some(b"d"), Some(before), _) => push("before", before, RowKind::Delete),
            (op, before, _) => Err(crate::debezium::not_read(op, before.is_some())),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the places of one row in one envelope")]
    fn push(
        &self,
        out: &mut RecordAssembler<'_>,
        mut cursor: Cursor<'_>,
        plan: &Plan,
        name: &'static str,
        start: usize,
        scratch: &mut Vec<u8>,
        holes: bool,
    ) -> Outcome<()> {
        let inside = |problem: Box<Problem>| problem.inside(&format!("{name}."));
        let mut with = Reading { schema: &plan.writer, reader_schema: &plan.reader, scratch };
        plan.steps.run(&mut cursor, &mut out.columns, &mut with).map_err(inside)?;
        out.count_unknown(plan.unknown);
        if let Some(around) = &self.around {
            let mut cursor = Cursor { at: start, ..cursor };
            around.steps.run(&mut cursor, &mut out.columns, &mut with)?;
        }
        if holes && let Some(hole) = out.columns.iter().find(|column| column.last_text() == Some(UNAVAILABLE)) {
            return Err(crate::debezium::hole_in(name, hole.field().name()));
        }
        Ok(())
    }
}

/// The image that begins at a place: what is read of it and where, or `None` where it is null.
fn image<'a>(image: &'a Option<Image>, at: Option<usize>, bytes: &[u8]) -> Outcome<Option<(&'a Plan, usize)>> {
    let (Some(image), Some(at)) = (image, at) else { return Ok(None) };
    let mut cursor = Cursor { bytes, at };
    let branch = if image.union { cursor.branch(image.branches.len())? } else { 0 };
    Ok(image.branches[branch].as_ref().map(|plan| (plan, cursor.at)))
}

/// A text, or `None` where it is null.
fn text(cursor: &mut Cursor<'_>, schema: &AvroSchema, ty: usize) -> Outcome<Option<Vec<u8>>> {
    Ok(match schema.at(ty) {
        Type::Null => None,
        Type::String(_) => Some(cursor.bytes()?.to_vec()),
        Type::Enum { symbols, .. } => {
            let symbol = cursor.branch(symbols.len())?;
            Some(symbols[symbol].clone().into_bytes())
        }
        Type::Union(branches) => {
            let branch = cursor.branch(branches.len())?;
            return text(cursor, schema, branches[branch]);
        }
        _ => {
            let found = schema.describe(ty);
            return Err(problem(format!("{} is no text", show(found.as_bytes()))).inside("op"));
        }
    })
}
