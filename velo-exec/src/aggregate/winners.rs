//! One row per group of a batch: what a column that keeps one value copies, once a batch instead of once a row.

/// The best row of each group of a batch.
#[derive(Debug, Default)]
pub(super) struct Winners {
    /// By group: the row, or [`NONE`].
    row: Vec<u32>,
    /// The groups that have one.
    groups: Vec<u32>,
    rows: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Winners {
    /// Begins a batch.
    pub(super) fn start(&mut self, total: usize) {
        for group in self.groups.drain(..) {
            self.row[group as usize] = NONE;
        }
        self.row.resize(total, NONE);
        self.rows.clear();
    }

    /// Offers a row for a group; `better(row, known)` says whether it beats the one that is there.
    #[inline(always)]
    pub(super) fn offer(&mut self, row: usize, group: u32, better: impl FnOnce(usize, usize) -> bool) {
        let known = &mut self.row[group as usize];
        if *known == NONE {
            *known = row as u32;
            self.groups.push(group);
        } else if better(row, *known as usize) {
            *known = row as u32;
        }
    }

    /// Keeps only the winners that also beat what their group has from before, and gives (groups, rows).
    pub(super) fn finish(&mut self, mut beats: impl FnMut(u32, usize) -> bool) -> (&[u32], &[u32]) {
        let (row, rows) = (&mut self.row, &mut self.rows);
        self.groups.retain(|group| {
            let winner = std::mem::replace(&mut row[*group as usize], NONE);
            let better = beats(*group, winner as usize);
            if better {
                rows.push(winner);
            }
            better
        });
        (&self.groups, &self.rows)
    }

    pub(super) fn memory(&self) -> usize {
        (self.row.capacity() + self.groups.capacity() + self.rows.capacity()) * size_of::<u32>()
    }
}
