//! Waiting for the tables that the operators of a task read.

use std::sync::Arc;

use futures::future::select_all;
use velo_core::Watermark;
use velo_core::lookup::TableReader;

/// The tables of a task, each with what its operators have seen of it.
#[derive(Debug, Default)]
pub struct TableWatch {
    tables: Vec<(Arc<dyn TableReader>, u64, Watermark)>,
}

impl TableWatch {
    /// Watches these tables, from what stands now.
    pub fn new(tables: Vec<Arc<dyn TableReader>>) -> Self {
        let seen = |table: Arc<dyn TableReader>| {
            let version = table.version();
            let (number, watermark) = (version.number(), version.watermark());
            (table, number, watermark)
        };
        Self { tables: tables.into_iter().map(seen).collect() }
    }

    /// Waits until one of them has a new version, or knows more of its time; for ever where there is none that can. Dropping the
    /// future loses nothing.
    pub async fn changed(&mut self) {
        if self.tables.is_empty() {
            return std::future::pending().await;
        }
        let changes = self.tables.iter().map(|(table, number, watermark)| table.changed(*number, *watermark));
        let ((), at, _) = select_all(changes).await;
        let (table, number, watermark) = &mut self.tables[at];
        let version = table.version();
        (*number, *watermark) = (version.number(), version.watermark());
    }
}
