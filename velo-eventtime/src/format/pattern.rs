//! Patterns in chrono's notation (`%Y-%m-%d %H:%M:%S%.3f`), checked when the statement is planned.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::format::{Fixed, Item, Numeric, ParseError, ParseErrorKind, Parsed, StrftimeItems, parse};
use chrono::{NaiveTime, Timelike};
use velo_core::time::MICROS_PER_SECOND;

use super::iso8601::{Dates, Tail, Written, fixed};
use crate::error::TimeError;

/// A checked pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Arc<str>,
    items: Arc<[Item<'static>]>,
    /// Where the pattern is that of ISO 8601's fixed layout, values are read by that layout first.
    layout: Option<Layout>,
    /// Whether it has a time of day; without one it is midnight.
    has_time: bool,
    has_minute: bool,
    /// Whether it ends in a literal `Z`, which means UTC.
    zulu: bool,
}

/// What the fixed layout must show for the pattern to accept it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Date,
    DateTime { separator: u8, fraction: Fraction, tail: TailWanted },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fraction {
    Never,
    Any,
    /// None, or exactly as many.
    Exactly(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TailWanted {
    Local,
    Zulu,
    Offset,
}

/// Which parts of a time a pattern sets.
#[derive(Debug, Default)]
struct Parts {
    instant: bool,
    year: bool,
    month: bool,
    day: bool,
    ordinal: bool,
    week: bool,
    iso_year: bool,
    iso_week: bool,
    weekday: bool,
    hour: bool,
    hour12: bool,
    ampm: bool,
    minute: bool,
    second: bool,
    fraction: bool,
}

impl Pattern {
    /// Checks a pattern. The error says what is wrong with it and, for a Java pattern, how chrono writes it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        // Python's `.%f` is any number of digits, chrono's `%f` is a count of nanoseconds: with the point before it the
        // former is meant, and for nine digits both are the same.
        let written = replace_specifier(text, ".%f", "%.f");
        check_specifiers(text, &written)?;
        let items = StrftimeItems::new(&written)
            .parse_to_owned()
            .map_err(|_| format!("the pattern '{text}' has a specifier that chrono does not know"))?;
        let permissive = StrftimeItems::new("%#z").parse_to_owned().unwrap_or_default();
        let items: Vec<Item<'static>> = items
            .into_iter()
            .flat_map(|item| match item {
                // Offsets are read in all their spellings: +02, +0200, +02:00 and Z.
                Item::Fixed(
                    Fixed::TimezoneOffset
                    | Fixed::TimezoneOffsetColon
                    | Fixed::TimezoneOffsetDoubleColon
                    | Fixed::TimezoneOffsetTripleColon
                    | Fixed::TimezoneOffsetColonZ
                    | Fixed::TimezoneOffsetZ,
                ) => permissive.clone(),
                item => vec![item],
            })
            .collect();
        let mut parts = Parts::of(&items);
        // Fractions without a point are items that chrono keeps to itself.
        parts.fraction |= ["%3f", "%6f", "%9f"].iter().any(|fraction| written.contains(fraction));
        parts.check(text)?;
        Ok(Self {
            text: Arc::from(text),
            layout: layout(&written),
            has_time: parts.hour || parts.hour12,
            has_minute: parts.minute,
            zulu: parts.hour && items.last().is_some_and(is_zulu),
            items: items.into(),
        })
    }

    /// The pattern as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads the value by the fixed layout, where the pattern is one and the value has it: local microseconds, and the offset
    /// in seconds where one is given.
    #[inline]
    pub(super) fn quick(&self, text: &[u8], dates: &mut Dates) -> Option<(i64, Option<i32>)> {
        match self.layout? {
            Layout::Date => Some((dates.micros(text.try_into().ok()?)?, None)),
            Layout::DateTime { separator, fraction, tail } => {
                if text.get(10) != Some(&separator) {
                    return None;
                }
                let (micros, digits, found) = fixed(text, dates)?;
                let digits_fit = match fraction {
                    Fraction::Never => digits == 0,
                    Fraction::Any => true,
                    Fraction::Exactly(count) => digits == 0 || digits == count,
                };
                let offset = match (tail, found) {
                    (TailWanted::Local, Tail::Local) => None,
                    (TailWanted::Zulu | TailWanted::Offset, Tail::Zulu) => Some(0),
                    (TailWanted::Offset, Tail::Offset(offset)) => Some(offset),
                    _ => return None,
                };
                digits_fit.then_some((micros, offset))
            }
        }
    }

    /// Reads the value by chrono.
    pub(super) fn read(&self, text: &str) -> Result<Written, TimeError> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, self.items.iter()).map_err(|error| self.explain(error))?;
        let offset = parsed.offset().or(self.zulu.then_some(0));
        if let Some(seconds) = parsed.timestamp() {
            return Ok(Written { seconds, nanos: parsed.nanosecond().unwrap_or(0), offset: Some(0) });
        }
        let date = parsed.to_naive_date().map_err(|error| self.explain(error))?;
        let time = if self.has_time || parsed.hour_mod_12().is_some() {
            if !self.has_minute && parsed.minute().is_none() {
                parsed.set_minute(0).map_err(|error| self.explain(error))?;
            }
            parsed.to_naive_time().map_err(|error| self.explain(error))?
        } else {
            NaiveTime::MIN
        };
        // A leap second has more than a billion nanoseconds: it is the first second of the next minute.
        let nanos = time.nanosecond();
        let seconds = date.and_time(NaiveTime::MIN).and_utc().timestamp() + i64::from(time.num_seconds_from_midnight());
        Ok(Written { seconds: seconds + i64::from(nanos / 1_000_000_000), nanos: nanos % 1_000_000_000, offset })
    }

    fn explain(&self, error: ParseError) -> TimeError {
        match error.kind() {
            ParseErrorKind::OutOfRange => TimeError::invalid("has a part that is out of range"),
            ParseErrorKind::Impossible => TimeError::invalid("contradicts itself"),
            ParseErrorKind::TooShort => TimeError::syntax(format!("ends before the pattern '{}' does", self.text)),
            ParseErrorKind::TooLong => TimeError::syntax(format!("goes on behind the pattern '{}'", self.text)),
            _ => TimeError::syntax(format!("does not have the form of the pattern '{}'", self.text)),
        }
    }
}

fn is_zulu(item: &Item<'_>) -> bool {
    match item {
        Item::Literal(text) => *text == "Z",
        Item::OwnedLiteral(text) => text.as_ref() == "Z",
        _ => false,
    }
}

/// Replaces `from`, which holds a specifier, where its `%` is not the second of `%%`.
fn replace_specifier<'a>(text: &'a str, from: &str, to: &str) -> Cow<'a, str> {
    if !text.contains(from) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("%%") {
            out.push_str("%%");
            rest = after;
        } else if let Some(after) = rest.strip_prefix(from) {
            out.push_str(to);
            rest = after;
        } else {
            let next = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..next]);
            rest = &rest[next..];
        }
    }
    Cow::Owned(out)
}

/// Finds the specifiers that cannot be read or do not mean what they seem to.
fn check_specifiers(text: &str, written: &str) -> Result<(), String> {
    let mut rest = written;
    while let Some(at) = rest.find('%') {
        rest = &rest[at..];
        let mut items = StrftimeItems::new(rest);
        if matches!(items.next(), None | Some(Item::Error)) {
            let end = rest.char_indices().skip(1).find(|(_, c)| c.is_alphabetic() || c.is_whitespace());
            let end = end.map_or(rest.len(), |(at, c)| at + c.len_utf8());
            return Err(format!(
                "the pattern '{text}' has '{}', which is no specifier of chrono",
                rest[..end].trim_end()
            ));
        }
        if rest.starts_with("%Z") {
            return Err(format!(
                "the pattern '{text}' has '%Z', a zone's name, which tells no offset: read an offset with %z, or leave the \
                 name out and set event.time.zone"
            ));
        }
        if rest.starts_with("%f") {
            return Err(format!(
                "the pattern '{text}' has '%f' without a point before it, which would read 123 as 123 nanoseconds: write %3f, \
                 %6f or %9f for that many digits, or %.f for a point and any number"
            ));
        }
        // Past the '%' and the character behind it, which for `%%` is the second '%'.
        rest = rest.char_indices().nth(2).map_or("", |(next, _)| &rest[next..]);
    }
    Ok(())
}

/// The fixed layout that the pattern is, if it is one.
fn layout(pattern: &str) -> Option<Layout> {
    if pattern == "%+" {
        return Some(Layout::DateTime { separator: b'T', fraction: Fraction::Any, tail: TailWanted::Offset });
    }
    let rest = pattern.strip_prefix("%Y-%m-%d").or_else(|| pattern.strip_prefix("%F"))?;
    if rest.is_empty() {
        return Some(Layout::Date);
    }
    let separator = rest.bytes().next().filter(|byte| matches!(byte, b'T' | b' '))?;
    let rest = rest[1..].strip_prefix("%H:%M:%S").or_else(|| rest[1..].strip_prefix("%T"))?;
    let fractions = [
        ("%.f", Fraction::Any),
        ("%.3f", Fraction::Exactly(3)),
        ("%.6f", Fraction::Exactly(6)),
        ("%.9f", Fraction::Exactly(9)),
        ("", Fraction::Never),
    ];
    let (rest, fraction) = fractions.iter().find_map(|(text, fraction)| Some((rest.strip_prefix(text)?, *fraction)))?;
    let tail = match rest {
        "" => TailWanted::Local,
        "Z" => TailWanted::Zulu,
        "%z" | "%:z" | "%#z" => TailWanted::Offset,
        _ => return None,
    };
    Some(Layout::DateTime { separator, fraction, tail })
}

impl Parts {
    fn of(items: &[Item<'_>]) -> Self {
        let mut parts = Self::default();
        for item in items {
            match item {
                Item::Numeric(numeric, _) => match numeric {
                    Numeric::Year | Numeric::YearMod100 => parts.year = true,
                    Numeric::IsoYear | Numeric::IsoYearMod100 => parts.iso_year = true,
                    Numeric::Month => parts.month = true,
                    Numeric::Day => parts.day = true,
                    Numeric::Ordinal => parts.ordinal = true,
                    Numeric::WeekFromSun | Numeric::WeekFromMon => parts.week = true,
                    Numeric::IsoWeek => parts.iso_week = true,
                    Numeric::NumDaysFromSun | Numeric::WeekdayFromMon => parts.weekday = true,
                    Numeric::Hour => parts.hour = true,
                    Numeric::Hour12 => parts.hour12 = true,
                    Numeric::Minute => parts.minute = true,
                    Numeric::Second => parts.second = true,
                    Numeric::Timestamp => parts.instant = true,
                    _ => {}
                },
                Item::Fixed(fixed) => match fixed {
                    Fixed::ShortMonthName | Fixed::LongMonthName => parts.month = true,
                    Fixed::ShortWeekdayName | Fixed::LongWeekdayName => parts.weekday = true,
                    Fixed::LowerAmPm | Fixed::UpperAmPm => parts.ampm = true,
                    Fixed::RFC2822 | Fixed::RFC3339 => parts.instant = true,
                    Fixed::Nanosecond | Fixed::Nanosecond3 | Fixed::Nanosecond6 | Fixed::Nanosecond9 => {
                        parts.fraction = true
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        parts
    }

    fn check(&self, text: &str) -> Result<(), String> {
        if self.instant {
            return Ok(());
        }
        let date = (self.year && ((self.month && self.day) || self.ordinal || (self.week && self.weekday)))
            || (self.iso_year && self.iso_week && self.weekday);
        if !date {
            let missing = if !self.year && !self.iso_year {
                "has no year (%Y), so its values are no points in time"
            } else if !self.month {
                "has no month (%m)"
            } else {
                "has no day (%d)"
            };
            return Err(format!("the pattern '{text}' {missing}"));
        }
        if self.hour12 && !self.hour && !self.ampm {
            return Err(format!(
                "the pattern '{text}' has an hour of twelve (%I) without AM or PM (%p): write %H for 0 to 23"
            ));
        }
        let hour = self.hour || self.hour12;
        if (self.minute || self.second || self.fraction || self.ampm) && !hour {
            return Err(format!("the pattern '{text}' has a part of the time of day but no hour (%H)"));
        }
        if self.second && !self.minute {
            return Err(format!("the pattern '{text}' has a second but no minute (%M)"));
        }
        if self.fraction && !self.second {
            return Err(format!("the pattern '{text}' has a fraction but no second (%S)"));
        }
        Ok(())
    }
}

/// Microseconds of a time on clocks that are `offset` seconds ahead of UTC.
#[inline]
pub(super) fn shift(local_micros: i64, offset: i64) -> Result<i64, TimeError> {
    local_micros.checked_sub(offset * MICROS_PER_SECOND).ok_or_else(TimeError::out_of_range)
}
