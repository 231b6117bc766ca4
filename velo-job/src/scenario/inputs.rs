//! The rows of an `input` block, cut into what its partition gives step by step.

use velo_core::duration::Span;
use velo_core::table_text::{TextTable, parse as parse_table};

use super::parse::Block;

/// What a partition does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// Gives these rows of the table as one chunk.
    Rows(Vec<usize>),
    /// Moves the clock on by this many microseconds, once all that was given is taken.
    Clock(i64),
    /// Gives nothing until the source's watermark is this or later.
    Watermark(i64),
    /// Says that what was there at the start has been given.
    CaughtUp,
}

/// The rows of one partition and the order in which they come.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    /// The cells, with a header.
    pub(super) table: TextTable,
    /// What happens, in order.
    pub(super) events: Vec<Event>,
}

impl Feed {
    /// Cuts a block. A mistake has its line in the file.
    pub(super) fn cut(block: &Block) -> Result<Self, (usize, String)> {
        let mut steps: Vec<(usize, Event)> = Vec::new();
        let mut rows = String::new();
        for (at, line) in block.text.lines().enumerate() {
            match step(line).map_err(|message| (block.line + at, message))? {
                Some(event) => steps.push((at + 1, event)),
                None => rows.push_str(line),
            }
            rows.push('\n');
        }
        let table =
            TextTable::cut(&rows, |_| true).map_err(|error| (block.line + error.line - 1, error.message.clone()))?;
        let width = match &table.header {
            Some(header) => header.columns.len(),
            None if table.rows.is_empty() => 0,
            None => return Err((block.line, "begin with a line of column names".to_owned())),
        };
        if let Some(row) = table.rows.iter().find(|row| row.cells.len() != width) {
            let message = format!("{width} values were expected, and there are {}", row.cells.len());
            return Err((block.line + row.line - 1, message));
        }
        let mut events = Vec::new();
        let mut steps = steps.into_iter().peekable();
        let mut batch = 0;
        for (at, row) in table.rows.iter().enumerate() {
            while let Some((_, event)) = steps.next_if(|(line, _)| *line < row.line) {
                events.push(event);
            }
            match events.last_mut() {
                Some(Event::Rows(rows)) if row.batch == batch => rows.push(at),
                _ => events.push(Event::Rows(vec![at])),
            }
            batch = row.batch;
        }
        events.extend(steps.map(|(_, event)| event));
        Ok(Self { table, events })
    }

    /// Whether nothing but rows comes, so that they may come in other batches, orders and partitions.
    pub(super) fn is_plain(&self) -> bool {
        self.events.iter().all(|event| matches!(event, Event::Rows(_)))
    }

    /// The same rows in chunks of at most `rows`; steps stay where they are.
    pub(super) fn rebatch(&mut self, rows: usize) {
        let mut events: Vec<Event> = Vec::new();
        for event in std::mem::take(&mut self.events) {
            match event {
                Event::Rows(given) => {
                    for row in given {
                        match events.last_mut() {
                            Some(Event::Rows(last)) if last.len() < rows => last.push(row),
                            _ => events.push(Event::Rows(vec![row])),
                        }
                    }
                }
                other => events.push(other),
            }
        }
        self.events = events;
    }

    /// All rows in the order in which they come.
    pub(super) fn order(&self) -> Vec<usize> {
        let rows = |event: &Event| if let Event::Rows(rows) = event { rows.clone() } else { Vec::new() };
        self.events.iter().flat_map(rows).collect()
    }

    /// Gives the rows in another order, in chunks as long as before.
    pub(super) fn reorder(&mut self, order: &[usize]) {
        let mut rows = order.iter().copied();
        for event in &mut self.events {
            if let Event::Rows(given) = event {
                *given = rows.by_ref().take(given.len()).collect();
            }
        }
    }

    /// Deals the rows to `count` partitions in turn; each keeps their order and the ends of batches.
    pub(super) fn deal(&self, count: usize) -> Vec<Self> {
        let mut dealt: Vec<Vec<Event>> = vec![Vec::new(); count];
        let mut next = 0;
        for event in &self.events {
            let Event::Rows(rows) = event else { continue };
            let mut parts = vec![Vec::new(); count];
            for row in rows {
                parts[next % count].push(*row);
                next += 1;
            }
            for (events, part) in dealt.iter_mut().zip(parts) {
                if !part.is_empty() {
                    events.push(Event::Rows(part));
                }
            }
        }
        dealt.into_iter().map(|events| Self { table: self.table.clone(), events }).collect()
    }

    /// The place of a column in the header: the exact name, else one that differs only in case.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        let columns = &self.table.header.as_ref()?.columns;
        let exact = columns.iter().position(|(column, _)| column == name);
        exact.or_else(|| columns.iter().position(|(column, _)| column.eq_ignore_ascii_case(name)))
    }
}

/// `clock +60s`, `watermark 64000` or `caught up`, where a line is one of these.
fn step(line: &str) -> Result<Option<Event>, String> {
    let words = line.split("--").next().unwrap_or_default();
    let mut words = words.split_whitespace();
    if words.clone().eq(["caught", "up"]) {
        return Ok(Some(Event::CaughtUp));
    }
    let (Some(kind @ ("clock" | "watermark")), Some(value), None) = (words.next(), words.next(), words.next()) else {
        return Ok(None);
    };
    if kind == "watermark" {
        return Ok(Some(Event::Watermark(timestamp(value)?)));
    }
    let by = value.strip_prefix('+').ok_or_else(|| format!("the clock only moves on: write clock +{value}"))?;
    let by: Span = by.parse()?;
    Ok(Some(Event::Clock(by.0)))
}

/// A time as a TIMESTAMP cell writes it, in microseconds.
fn timestamp(text: &str) -> Result<i64, String> {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::TimestampMicrosecondType;
    use arrow_schema::{Field, Schema};
    let schema = Arc::new(Schema::new(vec![Field::new("time", velo_core::types::TIMESTAMP, true)]));
    let batches = parse_table(&format!("+I {text}"), &schema).map_err(|error| error.message)?;
    let column = batches.first().map(|batch| Arc::clone(batch.columns.column(0)));
    let value = column.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>().map(|c| c.value(0)));
    value.ok_or_else(|| format!("'{text}' is no time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(text: &str) -> Result<Feed, (usize, String)> {
        Feed::cut(&Block { text: text.to_owned(), line: 10, range: 0..0 })
    }

    #[test]
    fn batches_and_steps() {
        let feed =
            feed("a b\n1 x\n2 y -- so\n---\n3 z\nclock +1m\n4 z\nwatermark 64000 -- closes\ncaught up\n").unwrap();
        let expected = [
            Event::Rows(vec![0, 1]),
            Event::Rows(vec![2]),
            Event::Clock(60_000_000),
            Event::Rows(vec![3]),
            Event::Watermark(64_000_000),
            Event::CaughtUp,
        ];
        assert_eq!(feed.events, expected);
        assert!(!feed.is_plain());
        assert_eq!(feed.column("B"), Some(1));
    }

    #[test]
    fn other_batches_orders_and_partitions() {
        let plain = feed("a\n1\n2\n---\n3\n4\n5\n").unwrap();
        let mut two = plain.clone();
        two.rebatch(2);
        assert_eq!(two.events, [Event::Rows(vec![0, 1]), Event::Rows(vec![2, 3]), Event::Rows(vec![4])]);
        let mut turned = plain.clone();
        turned.reorder(&[4, 3, 2, 1, 0]);
        assert_eq!(turned.events, [Event::Rows(vec![4, 3]), Event::Rows(vec![2, 1, 0])]);
        let dealt = plain.deal(3);
        assert_eq!(dealt[0].events, [Event::Rows(vec![0]), Event::Rows(vec![3])]);
        assert_eq!(dealt[2].events, [Event::Rows(vec![2])]);
        assert_eq!(dealt.iter().map(|part| part.order().len()).sum::<usize>(), 5);
    }

    #[test]
    fn mistakes_have_their_line_in_the_file() {
        assert_eq!(feed("a b\n1 2\n3\n").unwrap_err(), (12, "2 values were expected, and there are 1".to_owned()));
        assert_eq!(feed("+I 1\n").unwrap_err().1, "begin with a line of column names");
        assert_eq!(feed("a\n1\nclock 5s\n").unwrap_err(), (12, "the clock only moves on: write clock +5s".to_owned()));
        assert_eq!(feed("a\nclock +soon\n").unwrap_err().0, 11);
    }
}
