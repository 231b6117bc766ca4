//! ROW_NUMBER, RANK and DENSE_RANK, which count; PERCENT_RANK, CUME_DIST and NTILE, which need the whole partition.

use arrow_schema::DataType;

use super::results::{ResultColumn, Results, RowRef};
use super::saved::make_room;
use super::{Call, Rows, Undecided, Waiting};
use crate::checkpoint::columns::{Columns, Saved};
use crate::error::Result;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Rows,
    Rank,
    DenseRank,
}

/// ROW_NUMBER, RANK or DENSE_RANK.
pub(super) struct Rank {
    counted: Counted,
    /// At most so many rows are in the buffer.
    most: i64,
    partitions: Vec<Count>,
    results: Results<i64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    rows: i64,
    rank: i64,
    peer: i128,
}

impl Rank {
    pub(super) fn new(counted: Counted, most: i64) -> Self {
        Self { counted, most, partitions: Vec::new(), results: Results::new(DataType::Int64) }
    }
}

impl Call for Rank {
    fn is_delayed(&self) -> bool {
        false
    }

    fn push(&mut self, rows: &Rows<'_>, _decided: &mut Vec<RowRef>) -> Result<()> {
        self.results.begin(rows.chunk, rows.len());
        if self.partitions.len() < rows.partitions {
            self.partitions.resize_with(rows.partitions, Count::default);
        }
        for place in 0..rows.len() {
            let row = rows.row(place);
            let count = &mut self.partitions[rows.keys[row] as usize];
            if rows.begins(row) {
                *count = Count::default();
            }
            count.rows = (count.rows + 1).min(self.most);
            let peer = rows.peers.map_or(0, |peers| peers[row]);
            if peer != count.peer {
                (count.peer, count.rank) = (peer, count.rows);
            }
            let result = match self.counted {
                Counted::Rows => count.rows,
                Counted::Rank => count.rank,
                // A partition has fewer rows than 64 bits count.
                Counted::DenseRank => peer as i64,
            };
            self.results.set(RowRef { chunk: rows.chunk, row: row as u32 }, Some(result));
        }
        Ok(())
    }

    fn end_partition(&mut self, key: u32, _decided: &mut Vec<RowRef>) -> Result<()> {
        if let Some(count) = self.partitions.get_mut(key as usize) {
            *count = Count::default();
        }
        Ok(())
    }

    fn partitions(&self) -> usize {
        self.partitions.len()
    }

    fn clear(&mut self) {
        self.partitions.clear();
    }

    fn renumber(&mut self, numbers: &[u32], partitions: usize) {
        super::renumber(&mut self.partitions, numbers, partitions);
    }

    fn results(&mut self) -> &mut dyn ResultColumn {
        &mut self.results
    }

    fn save(&mut self, keys: &[u32]) -> Result<Columns> {
        let counts = || keys.iter().map(|key| self.partitions.get(*key as usize).copied().unwrap_or_default());
        let mut saved = Columns::default();
        saved.numbers("rows", counts().map(|count| count.rows));
        saved.numbers("rank", counts().map(|count| count.rank));
        // A partition has fewer rows than 64 bits count.
        saved.numbers("peer", counts().map(|count| count.peer as i64));
        Ok(saved)
    }

    fn load(&mut self, keys: &[u32], saved: &Saved<'_>) -> Result<()> {
        let (rows, ranks, peers) = (saved.numbers("rows")?, saved.numbers("rank")?, saved.numbers("peer")?);
        make_room(&mut self.partitions, keys);
        for (row, key) in keys.iter().enumerate() {
            self.partitions[*key as usize] = Count { rows: rows[row], rank: ranks[row], peer: i128::from(peers[row]) };
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.partitions.capacity() * size_of::<Count>()
    }
}

/// What is told of a row's place in its whole partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    PercentRank,
    CumeDist,
    Ntile(u64),
}

/// PERCENT_RANK, CUME_DIST or NTILE.
pub(super) struct Distribution {
    told: Told,
    /// The rows of each partition, each with its number among the different values of ORDER BY.
    partitions: Vec<Vec<(RowRef, i128)>>,
    floats: Results<f64>,
    numbers: Results<i64>,
}

impl Distribution {
    pub(super) fn new(told: Told) -> Self {
        let (floats, numbers) = (Results::new(DataType::Float64), Results::new(DataType::Int64));
        Self { told, partitions: Vec::new(), floats, numbers }
    }
}

impl Call for Distribution {
    fn is_delayed(&self) -> bool {
        true
    }

    fn push(&mut self, rows: &Rows<'_>, decided: &mut Vec<RowRef>) -> Result<()> {
        match self.told {
            Told::Ntile(_) => self.numbers.begin(rows.chunk, rows.len()),
            _ => self.floats.begin(rows.chunk, rows.len()),
        }
        if self.partitions.len() < rows.partitions {
            self.partitions.resize_with(rows.partitions, Vec::new);
        }
        for place in 0..rows.len() {
            let row = rows.row(place);
            if rows.begins(row) {
                self.end_partition(rows.keys[row], decided)?;
            }
            let at = RowRef { chunk: rows.chunk, row: row as u32 };
            let peer = rows.peers.map_or(0, |peers| peers[row]);
            self.partitions[rows.keys[row] as usize].push((at, peer));
        }
        Ok(())
    }

    fn end_partition(&mut self, key: u32, decided: &mut Vec<RowRef>) -> Result<()> {
        let rows = self.partitions.get_mut(key as usize).map(std::mem::take).unwrap_or_default();
        let total = rows.len();
        decided.extend(rows.iter().map(|(at, _)| *at));
        if let Told::Ntile(parts) = self.told {
            // The first parts are one larger where the rows cannot be divided.
            let parts = u64::max(parts, 1);
            let (size, larger) = (total as u64 / parts, total as u64 % parts);
            for (at, (row, _)) in rows.iter().enumerate() {
                let at = at as u64;
                let in_larger = larger * (size + 1);
                let part = if at < in_larger { at / (size + 1) } else { larger + (at - in_larger) / size.max(1) };
                self.numbers.set(*row, Some(part as i64 + 1));
            }
            return Ok(());
        }
        let mut before = 0;
        for peers in rows.chunk_by(|left, right| left.1 == right.1) {
            let value = match self.told {
                Told::CumeDist => (before + peers.len()) as f64 / total as f64,
                _ if total == 1 => 0.0,
                _ => before as f64 / (total - 1) as f64,
            };
            peers.iter().for_each(|(row, _)| self.floats.set(*row, Some(value)));
            before += peers.len();
        }
        Ok(())
    }

    fn partitions(&self) -> usize {
        self.partitions.len()
    }

    fn clear(&mut self) {
        self.partitions.clear();
    }

    fn renumber(&mut self, numbers: &[u32], partitions: usize) {
        super::renumber(&mut self.partitions, numbers, partitions);
    }

    fn results(&mut self) -> &mut dyn ResultColumn {
        match self.told {
            Told::Ntile(_) => &mut self.numbers,
            _ => &mut self.floats,
        }
    }

    fn save(&mut self, _keys: &[u32]) -> Result<Columns> {
        Ok(Columns::default())
    }

    fn undecided(&self) -> Result<Undecided> {
        let mut undecided = Undecided::default();
        for (key, rows) in self.partitions.iter().enumerate() {
            for ((at, _), number) in rows.iter().zip(0..) {
                undecided.push(*at, key, number);
            }
        }
        let rows = self.partitions.iter().flatten();
        // A partition has fewer rows than 64 bits count.
        undecided.columns.numbers("peer", rows.map(|(_, peer)| *peer as i64));
        Ok(undecided)
    }

    fn load(&mut self, keys: &[u32], _saved: &Saved<'_>) -> Result<()> {
        make_room(&mut self.partitions, keys);
        Ok(())
    }

    fn wait(&mut self, rows: &[Waiting], saved: &Saved<'_>) -> Result<()> {
        let peers = saved.numbers("peer")?;
        for row in rows {
            let partition = self.partitions.get_mut(row.key as usize);
            let Some(partition) = partition.filter(|partition| partition.len() as u64 == row.number) else {
                return Err(saved.damaged("rows that wait are not those that their partition lacks"));
            };
            partition.push((row.at, i128::from(peers[row.place])));
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.partitions.iter().map(|rows| rows.capacity() * size_of::<(RowRef, i128)>()).sum()
    }
}
