//! Which leaves of a file the wanted columns need, and how each column comes of them.

use std::sync::Arc;

use arrow_schema::{Field, FieldRef, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use velo_core::connector::DecodeColumn;
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::suggest::nearest;
use velo_core::types::sql_name_of;

use super::footer::Footer;
use super::types::{Node, fits};
use crate::json::read::same_folded;

/// How the columns that a decoder makes come of a file.
#[derive(Debug, Clone)]
pub struct Projection {
    /// The leaves that are read, ascending.
    pub(super) leaves: Vec<usize>,
    pub(super) columns: Vec<Projected>,
    /// The columns that are made.
    pub(super) schema: SchemaRef,
}

/// One column.
#[derive(Debug, Clone)]
pub(super) struct Projected {
    /// Names from the file's column down to the field that is meant.
    pub(super) path: Vec<String>,
    /// What is made of it.
    pub(super) field: FieldRef,
}

impl Projection {
    /// Finds `columns` in a file. Errors with every column that is not there or of a type that the declared one cannot take.
    pub fn new(footer: &Footer, columns: &[DecodeColumn]) -> Result<Self, ConnectorError> {
        let (mut leaves, mut projected, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for column in columns {
            match find(&footer.nodes, column) {
                Ok((node, path)) => match made(node, column) {
                    Ok(field) => {
                        leaves.extend(node.leaves.clone());
                        projected.push(Projected { path, field });
                    }
                    Err(difference) => wrong.push(difference),
                },
                Err(missing) => wrong.push(missing),
            }
        }
        if !wrong.is_empty() {
            let message = format!("the columns of the file are others than those declared: {}", wrong.join("; "));
            return Err(ConnectorError::new(ErrorKind::Configuration, "reading Parquet", message)
                .advise("declare the types that the file has, or no columns at all: they are then those of the file"));
        }
        leaves.sort_unstable();
        leaves.dedup();
        let fields: Vec<FieldRef> = projected.iter().map(|column| Arc::clone(&column.field)).collect();
        Ok(Self { leaves, columns: projected, schema: Arc::new(Schema::new(fields)) })
    }

    /// The mask by which the library reads.
    pub(super) fn mask(&self, footer: &Footer) -> ProjectionMask {
        ProjectionMask::leaves(footer.metadata.parquet_schema(), self.leaves.iter().copied())
    }
}

/// The column or field that is meant, and the names that lead to it.
fn find<'a>(nodes: &'a [Node], column: &DecodeColumn) -> Result<(&'a Node, Vec<String>), String> {
    let (mut nodes, mut path, mut found) = (nodes, Vec::new(), None);
    for name in &column.path {
        let exact = nodes.iter().find(|node| node.read.name() == name);
        let folded = || nodes.iter().find(|node| same_folded(node.read.name(), name.as_bytes()));
        let Some(node) = exact.or_else(|| if column.exact { None } else { folded() }) else {
            let names: Vec<&str> = nodes.iter().map(|node| node.read.name().as_str()).collect();
            let there = match (nearest(name, names.iter().copied()), names.as_slice()) {
                (Some(near), _) => format!("did you mean '{near}'?"),
                (None, []) => "no fields are in it".to_owned(),
                (None, names) => format!("there are {}", names.join(", ")),
            };
            return Err(format!("there is no '{}' ({there})", column.path.join(".")));
        };
        path.push(node.read.name().clone());
        nodes = &node.fields;
        found = Some(node);
    }
    found.map(|node| (node, path)).ok_or_else(|| "a column has no name".to_owned())
}

/// The field that comes of a node for a column.
fn made(node: &Node, column: &DecodeColumn) -> Result<FieldRef, String> {
    let name = column.path.join(".");
    let Some(ours) = &node.ours else {
        return Err(format!("'{name}' has a type that no column has: {}", node.read.data_type()));
    };
    // What a time is meant by is decided later, of the value as it is.
    if column.raw {
        return Ok(Arc::new(Field::new(column.field.name(), ours.data_type().clone(), true)));
    }
    let wanted = &column.field;
    if fits(ours.data_type(), wanted.data_type()) {
        return Ok(Arc::clone(wanted));
    }
    Err(format!("'{name}' is {} and declared {}", sql_name_of(ours), sql_name_of(wanted)))
}
