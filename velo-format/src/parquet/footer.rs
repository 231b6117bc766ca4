//! The footer of a file: its columns and where its row groups are.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow_schema::{FieldRef, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use velo_core::error::{ConnectorError, ErrorKind};

use super::project::Projection;
use super::types::{Node, nodes};
use super::unreadable;

/// What the end of a file says about it.
#[derive(Debug, Clone)]
pub struct Footer {
    pub(super) metadata: ArrowReaderMetadata,
    pub(super) nodes: Arc<Vec<Node>>,
}

impl Footer {
    /// Reads the footer of `file`.
    pub fn read(file: &File) -> Result<Self, ConnectorError> {
        let options = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(file, options()).map_err(|error| unreadable(&error))?;
        let nodes = nodes(metadata.schema().fields(), metadata.parquet_schema());
        let read: Vec<FieldRef> = nodes.iter().map(|node| Arc::clone(&node.read)).collect();
        let metadata = if read.iter().eq(metadata.schema().fields()) {
            metadata
        } else {
            let schema = Arc::new(Schema::new_with_metadata(read, metadata.schema().metadata().clone()));
            let metadata = Arc::clone(metadata.metadata());
            ArrowReaderMetadata::try_new(metadata, options().with_schema(schema)).map_err(|error| unreadable(&error))?
        };
        Ok(Self { metadata, nodes: Arc::new(nodes) })
    }

    /// The columns; all may hold NULL. Errors for one whose type we do not have.
    pub fn schema(&self) -> Result<SchemaRef, ConnectorError> {
        let fields = self.nodes.iter().map(|node| {
            node.ours.clone().ok_or_else(|| {
                let message = format!(
                    "the column '{}' has a type that no column has: {}",
                    node.read.name(),
                    node.read.data_type()
                );
                ConnectorError::new(ErrorKind::Unsupported, "inferring the columns", message)
                    .advise("declare the other columns in the statement")
            })
        });
        Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>, _>>()?)))
    }

    /// How many row groups there are.
    pub fn groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// The rows of a row group.
    pub fn rows(&self, group: usize) -> u64 {
        u64::try_from(self.metadata.metadata().row_group(group).num_rows()).unwrap_or(0)
    }

    /// Where the bytes of a row group are that `projection` needs, in order. Errors where the footer says what cannot be.
    pub fn ranges(&self, group: usize, projection: &Projection) -> Result<Vec<Range<u64>>, ConnectorError> {
        let columns = self.metadata.metadata().row_group(group).columns();
        let mut ranges = Vec::with_capacity(projection.leaves.len());
        for leaf in &projection.leaves {
            let column = columns.get(*leaf);
            let start = column.map(|column| column.dictionary_page_offset().unwrap_or(column.data_page_offset()));
            let start = start.and_then(|start| u64::try_from(start).ok());
            let length = column.and_then(|column| u64::try_from(column.compressed_size()).ok());
            let end = start.zip(length).and_then(|(start, length)| start.checked_add(length));
            match start.zip(end) {
                Some((start, end)) => ranges.push(start..end),
                None => {
                    let message = format!("the footer has no place for a column of row group {group}");
                    return Err(ConnectorError::new(ErrorKind::Decode, "reading Parquet", message)
                        .advise("the file is damaged: write it again"));
                }
            }
        }
        ranges.sort_by_key(|range| range.start);
        Ok(ranges)
    }
}
