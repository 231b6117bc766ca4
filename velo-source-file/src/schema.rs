//! The columns of files without declared ones: those of the first records, or of the footer.

use std::fs::File;

use arrow_schema::SchemaRef;
use velo_core::Result;

use crate::source::FileSource;
use crate::{error, row_groups};

/// The columns of the first file that has something in it.
pub(crate) fn infer(source: &FileSource) -> Result<SchemaRef> {
    let files = source.files.list().map_err(|failed| error::listing(&source.files, failed))?;
    let Some(first) = files.iter().find(|found| found.length > 0).or(files.first()) else {
        return Err(error::nothing_to_infer(&source.files));
    };
    let failed = |failure| error::reading(&first.path, failure);
    let file = File::open(&first.path).map_err(failed)?;
    if source.framing.has_row_groups() {
        let footer = row_groups::footer(&first.path, &file)?;
        return footer.schema().map_err(|failed| {
            let message = format!("{}: {}", first.path, failed.message);
            velo_core::ConnectorError { message, ..failed }
        });
    }
    let content = source.framing.coding(&first.path).open(file, u64::MAX).map_err(failed)?;
    source.framing.infer(&first.path, content)
}
