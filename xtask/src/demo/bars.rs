//! Bars out of CSV: by minute, with the text of their numbers.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// What a bar says, in the order of its columns.
pub const FIELDS: [&str; 5] = ["open", "high", "low", "close", "volume"];

/// The values of one bar, written so that equal numbers are equal texts.
pub type Bar = [String; FIELDS.len()];

/// Bars by the minute in which they begin, as ISO 8601.
pub struct Bars(pub BTreeMap<String, Bar>);

impl Bars {
    /// Bars from CSV with a header; `time` is the column of the minute: ISO 8601, or epoch milliseconds.
    pub fn parse(text: &str, time: &str) -> Result<Self> {
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let place = |name: &str| {
            let found = header.iter().position(|column| *column == name);
            found.with_context(|| format!("no column '{name}' among {}", header.join(", ")))
        };
        let time = place(time)?;
        let fields = FIELDS.iter().map(|name| place(name)).collect::<Result<Vec<_>>>()?;
        let mut bars = BTreeMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let cells: Vec<&str> = line.split(',').collect();
            let cell = |at: usize| cells.get(at).copied().with_context(|| format!("too few fields in: {line}"));
            let minute = minute(cell(time)?)?;
            let mut bar = Bar::default();
            for (value, at) in bar.iter_mut().zip(&fields) {
                *value = plain(cell(*at)?).to_owned();
            }
            if bars.insert(minute.clone(), bar).is_some() {
                bail!("two bars for {minute}");
            }
        }
        Ok(Self(bars))
    }
}

/// Without the zeros that do not change a number: 1.14570 and 1.1457 are one.
fn plain(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// A time as ISO 8601 with seconds; digits alone are epoch milliseconds.
fn minute(text: &str) -> Result<String> {
    if text.is_empty() {
        bail!("a bar without a time");
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    let seconds = text.parse::<i64>().with_context(|| format!("{text} is no time"))? / 1_000;
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    Ok(format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60))
}

/// The date of a day counted from 1970-01-01. Years are counted from March, so that the leap day is the last of its year.
fn date(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / (ERA - 1)) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_zeros_do_not_count() {
        let bars = Bars::parse("volume,ts,low,high,open,close\n293.50,1549238400000,1,2.0,1.14570,7\n", "ts").unwrap();
        let bar = bars.0.get("2019-02-04T00:00:00Z").unwrap();
        assert_eq!(*bar, ["1.1457", "2", "1", "7", "293.5"].map(str::to_owned));
    }

    #[test]
    fn what_is_no_bar_is_an_error() {
        assert!(Bars::parse("", "ts").is_err());
        let header = "ts,open,high,low,close,volume";
        assert!(Bars::parse(&format!("{header}\n60000,1,1,1,1\n"), "ts").is_err());
        assert!(Bars::parse(&format!("{header}\n60000,1,1,1,1,1\n60000,1,1,1,1,1\n"), "ts").is_err());
    }

    #[test]
    fn milliseconds_are_times() {
        assert_eq!(minute("0").unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(minute("951782400000").unwrap(), "2000-02-29T00:00:00Z");
        assert_eq!(minute("1767225599999").unwrap(), "2025-12-31T23:59:59Z");
        assert_eq!(minute("2024-01-01T00:01:00Z").unwrap(), "2024-01-01T00:01:00Z");
    }
}
