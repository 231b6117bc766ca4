//! Two sets of bars side by side, and how many agree.

use std::collections::BTreeSet;
use std::fmt;

use super::bars::{Bar, Bars, FIELDS};

/// One minute of both sides.
struct Row<'a> {
    minute: &'a str,
    ours: Option<&'a Bar>,
    vendor: Option<&'a Bar>,
}

/// All minutes that either side has.
pub struct Comparison<'a> {
    rows: Vec<Row<'a>>,
}

impl<'a> Comparison<'a> {
    /// Puts the two side by side.
    pub fn new(ours: &'a Bars, vendor: &'a Bars) -> Self {
        let minutes: BTreeSet<&str> = ours.0.keys().chain(vendor.0.keys()).map(String::as_str).collect();
        let row = |minute| Row { minute, ours: ours.0.get(minute), vendor: vendor.0.get(minute) };
        Self { rows: minutes.into_iter().map(row).collect() }
    }

    /// How many minutes have the same bar on both sides.
    pub fn equal(&self) -> usize {
        self.rows.iter().filter(|row| row.agrees()).count()
    }

    /// Whether there are bars, and all are the same.
    pub fn agrees(&self) -> bool {
        !self.rows.is_empty() && self.equal() == self.rows.len()
    }
}

impl Row<'_> {
    fn agrees(&self) -> bool {
        self.ours.is_some() && self.ours == self.vendor
    }
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20}  {:<42}  {:<42}", "", "velo", "vendor")?;
        write!(f, "{:<20}", "minute")?;
        for _ in 0..2 {
            write!(f, "  {}", line(FIELDS))?;
        }
        writeln!(f)?;
        for row in &self.rows {
            let side = |bar: Option<&Bar>| match bar {
                Some(bar) => line(bar.each_ref().map(String::as_str)),
                None => format!("{:<42}", "no bar"),
            };
            let mark = if row.agrees() { "=" } else { "DIFFERS" };
            writeln!(f, "{:<20}  {}  {}  {mark}", row.minute, side(row.ours), side(row.vendor))?;
        }
        writeln!(f, "\n{} of {} one-minute bars equal the vendor's", self.equal(), self.rows.len())
    }
}

fn line(cells: [&str; FIELDS.len()]) -> String {
    let [open, high, low, close, volume] = cells;
    format!("{open:>7}  {high:>7}  {low:>7}  {close:>7}  {volume:>6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(rows: &str) -> Bars {
        Bars::parse(&format!("ts,open,high,low,close,volume\n{rows}"), "ts").unwrap()
    }

    #[test]
    fn equal_bars_agree() {
        let (ours, vendor) = (bars("0,1,2,1,2,10.50"), bars("0,1,2.0,1,2,10.5"));
        let comparison = Comparison::new(&ours, &vendor);
        assert!(comparison.agrees());
        assert!(comparison.to_string().ends_with("\n1 of 1 one-minute bars equal the vendor's\n"), "{comparison}");
    }

    #[test]
    fn a_wrong_a_missing_and_an_extra_bar_are_marked() {
        let (ours, vendor) = (bars("0,1,2,1,2,10\n60000,1,1,1,1,1"), bars("0,1,2,1,2,11\n120000,1,1,1,1,1"));
        let comparison = Comparison::new(&ours, &vendor);
        assert!(!comparison.agrees());
        let text = comparison.to_string();
        assert_eq!(text.matches("DIFFERS").count(), 3, "{text}");
        assert_eq!(text.matches("no bar").count(), 2, "{text}");
        assert!(text.contains("0 of 3"), "{text}");
    }

    #[test]
    fn nothing_agrees_with_nothing_is_no_success() {
        let (ours, vendor) = (bars(""), bars(""));
        assert!(!Comparison::new(&ours, &vendor).agrees());
    }
}
