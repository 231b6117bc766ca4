//! The layout of a time as text, in the notations of chrono, Java and PostgreSQL.

use std::fmt::Write as _;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;
use velo_core::time::{MICROS_PER_DAY, MICROS_PER_SECOND, civil_from_days};

use super::calendar::Part;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// How letters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letters {
    AsIs,
    Upper,
    Lower,
}

/// One piece of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A part as a number with at least so many digits.
    Number(Part, usize),
    /// The last two digits of a year.
    ShortYear,
    Hour12(usize),
    Noon(Letters),
    /// So many digits of the fraction of a second.
    Fraction(usize),
    MonthName {
        short: bool,
        letters: Letters,
        padded: bool,
    },
    DayName {
        short: bool,
        letters: Letters,
        padded: bool,
    },
    /// `+00:00`, `+0000` or `Z`: times are in UTC.
    Zone(&'static str),
}

/// How a time is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pieces: Vec<Piece>,
}

/// What the clocks of a zone show at a time, as if they were in UTC.
pub fn local(micros: i64, zone: Tz) -> i64 {
    let moment = DateTime::from_timestamp(micros.div_euclid(MICROS_PER_SECOND), 0);
    let offset = moment.map_or(0, |moment| zone.offset_from_utc_datetime(&moment.naive_utc()).fix().local_minus_utc());
    micros + i64::from(offset) * MICROS_PER_SECOND
}

impl Layout {
    /// Reads a layout; which notation it is in shows in its letters.
    pub fn read(text: &str) -> Result<Self, String> {
        let postgres = ["YY", "HH24", "HH12", "MI", "MON", "Mon", "DD", "FM", "Day", "DAY", "IW", "SS"];
        let pieces = if text.contains('%') {
            chrono_pieces(text)?
        } else if postgres.iter().any(|letters| text.contains(letters)) && !text.contains("yy") && !text.contains("mm")
        {
            postgres_pieces(text)
        } else {
            java_pieces(text)?
        };
        Ok(Self { pieces })
    }

    /// Writes a time.
    pub fn write(&self, out: &mut String, micros: i64) {
        let value = |part: Part| part.value(micros);
        for piece in &self.pieces {
            // Writing to a String does not fail.
            let _ = match piece {
                Piece::Text(text) => out.write_str(text),
                Piece::Number(part, digits) => write!(out, "{:0digits$}", value(*part)),
                Piece::ShortYear => write!(out, "{:02}", value(Part::Year).rem_euclid(100)),
                Piece::Hour12(digits) => write!(out, "{:0digits$}", (value(Part::Hour) + 11) % 12 + 1),
                Piece::Noon(letters) => {
                    let word = if value(Part::Hour) < 12 { "AM" } else { "PM" };
                    out.write_str(&cased(word, *letters))
                }
                Piece::Fraction(digits) => {
                    let nanos = format!("{:09}", micros.rem_euclid(MICROS_PER_SECOND) * 1_000);
                    out.write_str(&nanos[..*digits])
                }
                Piece::MonthName { short, letters, padded } => {
                    let (_, month, _) = civil_from_days(micros.div_euclid(MICROS_PER_DAY));
                    let name = MONTHS[month as usize - 1];
                    named(out, if *short { &name[..3] } else { name }, *letters, *padded)
                }
                Piece::DayName { short, letters, padded } => {
                    let name = DAYS[value(Part::IsoDayOfWeek) as usize - 1];
                    named(out, if *short { &name[..3] } else { name }, *letters, *padded)
                }
                Piece::Zone(text) => out.write_str(text),
            };
        }
    }

    /// The layout as chrono reads it.
    pub fn chrono(&self) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(&text.replace('%', "%%")),
                Piece::Number(part, _) => out.push_str(match part {
                    Part::Year => "%Y",
                    Part::IsoYear => "%G",
                    Part::Quarter => "%q",
                    Part::Month => "%m",
                    Part::Week => "%V",
                    Part::Day => "%d",
                    Part::DayOfYear => "%j",
                    Part::DayOfWeek => "%w",
                    Part::IsoDayOfWeek => "%u",
                    Part::Hour => "%H",
                    Part::Minute => "%M",
                    Part::Second => "%S",
                    _ => "%f",
                }),
                Piece::ShortYear => out.push_str("%y"),
                Piece::Hour12(_) => out.push_str("%I"),
                Piece::Noon(_) => out.push_str("%p"),
                Piece::Fraction(digits) => {
                    // Chrono reads a fraction of fixed length with its point.
                    if out.ends_with('.') {
                        out.pop();
                        out.push_str(match digits {
                            1..=3 => "%.3f",
                            4..=6 => "%.6f",
                            _ => "%.9f",
                        });
                    } else {
                        out.push_str(match digits {
                            1..=3 => "%3f",
                            4..=6 => "%6f",
                            _ => "%9f",
                        });
                    }
                }
                Piece::MonthName { short, .. } => out.push_str(if *short { "%b" } else { "%B" }),
                Piece::DayName { short, .. } => out.push_str(if *short { "%a" } else { "%A" }),
                Piece::Zone("Z") => out.push('Z'),
                Piece::Zone("+00:00") => out.push_str("%:z"),
                Piece::Zone(_) => out.push_str("%z"),
            }
        }
        out
    }
}

fn cased(text: &str, letters: Letters) -> String {
    match letters {
        Letters::AsIs => text.to_owned(),
        Letters::Upper => text.to_uppercase(),
        Letters::Lower => text.to_lowercase(),
    }
}

fn named(out: &mut String, name: &str, letters: Letters, padded: bool) -> std::fmt::Result {
    let name = cased(name, letters);
    if padded { write!(out, "{name:<9}") } else { out.write_str(&name) }
}

fn text(pieces: &mut Vec<Piece>, letter: char) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.push(letter),
        _ => pieces.push(Piece::Text(letter.to_string())),
    }
}

fn chrono_pieces(layout: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = layout;
    let name = |short| Piece::MonthName { short, letters: Letters::AsIs, padded: false };
    let day = |short| Piece::DayName { short, letters: Letters::AsIs, padded: false };
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        if letter != '%' {
            text(&mut pieces, letter);
            continue;
        }
        let known: &[(&str, &[Piece])] = &[
            (".3f", &[Piece::Text(".".to_owned()), Piece::Fraction(3)]),
            (".6f", &[Piece::Text(".".to_owned()), Piece::Fraction(6)]),
            (".9f", &[Piece::Text(".".to_owned()), Piece::Fraction(9)]),
            (".f", &[Piece::Text(".".to_owned()), Piece::Fraction(6)]),
            ("3f", &[Piece::Fraction(3)]),
            ("6f", &[Piece::Fraction(6)]),
            ("9f", &[Piece::Fraction(9)]),
            ("f", &[Piece::Fraction(9)]),
            ("Y", &[Piece::Number(Part::Year, 4)]),
            ("G", &[Piece::Number(Part::IsoYear, 4)]),
            ("y", &[Piece::ShortYear]),
            ("q", &[Piece::Number(Part::Quarter, 1)]),
            ("-m", &[Piece::Number(Part::Month, 1)]),
            ("m", &[Piece::Number(Part::Month, 2)]),
            ("b", &[name(true)]),
            ("h", &[name(true)]),
            ("B", &[name(false)]),
            ("-d", &[Piece::Number(Part::Day, 1)]),
            ("d", &[Piece::Number(Part::Day, 2)]),
            ("j", &[Piece::Number(Part::DayOfYear, 3)]),
            ("V", &[Piece::Number(Part::Week, 2)]),
            ("w", &[Piece::Number(Part::DayOfWeek, 1)]),
            ("u", &[Piece::Number(Part::IsoDayOfWeek, 1)]),
            ("a", &[day(true)]),
            ("A", &[day(false)]),
            ("H", &[Piece::Number(Part::Hour, 2)]),
            ("I", &[Piece::Hour12(2)]),
            ("p", &[Piece::Noon(Letters::AsIs)]),
            ("P", &[Piece::Noon(Letters::Lower)]),
            ("M", &[Piece::Number(Part::Minute, 2)]),
            // MySQL's letter for the minute.
            ("i", &[Piece::Number(Part::Minute, 2)]),
            ("S", &[Piece::Number(Part::Second, 2)]),
            ("s", &[Piece::Number(Part::Epoch, 1)]),
            (":z", &[Piece::Zone("+00:00")]),
            ("z", &[Piece::Zone("+0000")]),
            ("Z", &[Piece::Zone("UTC")]),
            ("%", &[Piece::Text("%".to_owned())]),
        ];
        let whole: &[(&str, &str)] = &[
            ("F", "%Y-%m-%d"),
            ("T", "%H:%M:%S"),
            ("R", "%H:%M"),
            ("D", "%m/%d/%y"),
            ("+", "%Y-%m-%dT%H:%M:%S%.6f%:z"),
        ];
        if let Some((letters, found)) = known.iter().find(|(letters, _)| rest.starts_with(letters)) {
            pieces.extend(found.iter().cloned());
            rest = &rest[letters.len()..];
        } else if let Some((letters, found)) = whole.iter().find(|(letters, _)| rest.starts_with(letters)) {
            pieces.extend(chrono_pieces(found)?);
            rest = &rest[letters.len()..];
        } else {
            return Err(format!(
                "'{layout}' is no layout of a time: there is no '%{}'",
                rest.chars().take(1).collect::<String>()
            ));
        }
    }
    Ok(pieces)
}

fn java_pieces(layout: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut letters = layout.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\'' {
            // Quoted text; two quotes are one.
            if letters.next_if_eq(&'\'').is_some() {
                text(&mut pieces, '\'');
                continue;
            }
            while let Some(quoted) = letters.next() {
                if quoted == '\'' && letters.next_if_eq(&'\'').is_none() {
                    break;
                }
                text(&mut pieces, quoted);
            }
            continue;
        }
        if !letter.is_ascii_alphabetic() {
            text(&mut pieces, letter);
            continue;
        }
        let mut count = 1;
        while letters.next_if_eq(&letter).is_some() {
            count += 1;
        }
        pieces.push(match (letter, count) {
            ('y' | 'u', 2) => Piece::ShortYear,
            ('y' | 'u', _) => Piece::Number(Part::Year, count),
            ('Y', _) => Piece::Number(Part::IsoYear, count),
            ('Q' | 'q', _) => Piece::Number(Part::Quarter, count),
            ('M' | 'L', 1 | 2) => Piece::Number(Part::Month, count),
            ('M' | 'L', _) => Piece::MonthName { short: count == 3, letters: Letters::AsIs, padded: false },
            ('w', _) => Piece::Number(Part::Week, count),
            ('d', _) => Piece::Number(Part::Day, count),
            ('D', _) => Piece::Number(Part::DayOfYear, count),
            ('E', _) => Piece::DayName { short: count < 4, letters: Letters::AsIs, padded: false },
            ('e', _) => Piece::Number(Part::IsoDayOfWeek, count),
            ('H', _) => Piece::Number(Part::Hour, count),
            ('h', _) => Piece::Hour12(count),
            ('a', _) => Piece::Noon(Letters::AsIs),
            ('m', _) => Piece::Number(Part::Minute, count),
            ('s', _) => Piece::Number(Part::Second, count),
            ('S', 1..=9) => Piece::Fraction(count),
            ('X', _) => Piece::Zone("Z"),
            ('x' | 'Z', 1 | 2) => Piece::Zone("+0000"),
            ('x' | 'Z', _) => Piece::Zone("+00:00"),
            ('z' | 'V', _) => Piece::Zone("UTC"),
            _ => {
                return Err(format!(
                    "'{layout}' is no layout of a time: there is no '{letter}'; text stands in quotes"
                ));
            }
        });
    }
    Ok(pieces)
}

fn postgres_pieces(layout: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = layout;
    let mut plain = false;
    while let Some(letter) = rest.chars().next() {
        if letter == '"' {
            rest = &rest[1..];
            let end = rest.find('"').unwrap_or(rest.len());
            rest[..end].chars().for_each(|quoted| text(&mut pieces, quoted));
            rest = rest.get(end + 1..).unwrap_or_default();
            continue;
        }
        if let Some(after) = rest.strip_prefix("FM") {
            (rest, plain) = (after, true);
            continue;
        }
        let digits = |count| if plain { 1 } else { count };
        let name = |short, letters| Piece::MonthName { short, letters, padded: !plain && !short };
        let day = |short, letters| Piece::DayName { short, letters, padded: !plain && !short };
        let known = [
            ("YYYY", Piece::Number(Part::Year, digits(4))),
            ("IYYY", Piece::Number(Part::IsoYear, digits(4))),
            ("YY", Piece::ShortYear),
            ("HH24", Piece::Number(Part::Hour, digits(2))),
            ("HH12", Piece::Hour12(digits(2))),
            ("HH", Piece::Hour12(digits(2))),
            ("MI", Piece::Number(Part::Minute, digits(2))),
            ("MM", Piece::Number(Part::Month, digits(2))),
            ("MONTH", name(false, Letters::Upper)),
            ("Month", name(false, Letters::AsIs)),
            ("month", name(false, Letters::Lower)),
            ("MON", name(true, Letters::Upper)),
            ("Mon", name(true, Letters::AsIs)),
            ("mon", name(true, Letters::Lower)),
            ("MS", Piece::Fraction(3)),
            ("US", Piece::Fraction(6)),
            ("SS", Piece::Number(Part::Second, digits(2))),
            ("AM", Piece::Noon(Letters::AsIs)),
            ("PM", Piece::Noon(Letters::AsIs)),
            ("am", Piece::Noon(Letters::Lower)),
            ("pm", Piece::Noon(Letters::Lower)),
            ("DAY", day(false, Letters::Upper)),
            ("Day", day(false, Letters::AsIs)),
            ("day", day(false, Letters::Lower)),
            ("DY", day(true, Letters::Upper)),
            ("Dy", day(true, Letters::AsIs)),
            ("dy", day(true, Letters::Lower)),
            ("DDD", Piece::Number(Part::DayOfYear, digits(3))),
            ("DD", Piece::Number(Part::Day, digits(2))),
            ("ID", Piece::Number(Part::IsoDayOfWeek, 1)),
            ("D", Piece::Number(Part::WeekdayFromOne, 1)),
            ("IW", Piece::Number(Part::Week, digits(2))),
            ("Q", Piece::Number(Part::Quarter, 1)),
            ("TZ", Piece::Zone("UTC")),
            ("OF", Piece::Zone("+00")),
        ];
        match known.into_iter().find(|(letters, _)| rest.starts_with(letters)) {
            Some((letters, piece)) => {
                pieces.push(piece);
                (rest, plain) = (&rest[letters.len()..], false);
            }
            None => {
                text(&mut pieces, letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(layout: &str) -> String {
        let mut out = String::new();
        let micros = velo_eventtime::parse_timestamp("2024-02-09 13:04:05.678901", chrono_tz::UTC).unwrap();
        Layout::read(layout).unwrap().write(&mut out, micros);
        out
    }

    #[test]
    fn three_notations() {
        assert_eq!(written("%Y-%m-%d %H:%M:%S%.3f"), "2024-02-09 13:04:05.678");
        assert_eq!(written("yyyy-MM-dd'T'HH:mm:ss.SSS"), "2024-02-09T13:04:05.678");
        assert_eq!(written("YYYY-MM-DD HH24:MI:SS.US"), "2024-02-09 13:04:05.678901");
        assert_eq!(written("EEE, d MMM yy h:mm a"), "Fri, 9 Feb 24 1:04 PM");
    }

    #[test]
    fn chrono_reads_them() {
        assert_eq!(Layout::read("yyyy-MM-dd HH:mm:ss.SSS").unwrap().chrono(), "%Y-%m-%d %H:%M:%S%.3f");
        assert_eq!(Layout::read("DD.MM.YYYY").unwrap().chrono(), "%d.%m.%Y");
        assert!(Layout::read("jjjj").is_err());
    }
}
