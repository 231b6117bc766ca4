//! ISO 8601 and RFC 3339: a fixed layout for what most data looks like, and a full reader for the rest.

use velo_core::time::{MICROS_PER_SECOND, days_from_civil, days_in_month};

use crate::error::TimeError;

const SECONDS_PER_DAY: i64 = 86_400;

/// A time as written: on clocks at `offset` seconds from UTC, or at the zone's where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// Seconds since 1970-01-01T00:00:00 on those clocks.
    pub(crate) seconds: i64,
    /// Nanoseconds in that second; finer digits are cut off, which floors.
    pub(crate) nanos: u32,
    /// Seconds that the clocks are ahead of UTC.
    pub(crate) offset: Option<i32>,
}

/// What follows the seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing: local time.
    Local,
    /// `Z`.
    Zulu,
    /// `±HH:MM`, in seconds.
    Offset(i32),
}

/// Date text to microseconds, remembering the last one: consecutive rows mostly have the same date.
#[derive(Debug, Clone)]
pub(crate) struct Dates {
    text: [u8; 10],
    micros: i64,
}

impl Dates {
    pub(crate) fn new() -> Self {
        Self { text: *b"1970-01-01", micros: 0 }
    }

    /// Midnight of `YYYY-MM-DD` in microseconds.
    #[inline]
    pub(crate) fn micros(&mut self, text: &[u8; 10]) -> Option<i64> {
        if *text == self.text {
            return Some(self.micros);
        }
        let days = plain_date(text)?;
        self.text = *text;
        self.micros = days * velo_core::time::MICROS_PER_DAY;
        Some(self.micros)
    }
}

#[inline]
fn plain_date(text: &[u8; 10]) -> Option<i64> {
    let digit = |at: usize| u32::from(text[at].wrapping_sub(b'0'));
    let digits = [digit(0), digit(1), digit(2), digit(3), digit(5), digit(6), digit(8), digit(9)];
    if text[4] != b'-' || text[7] != b'-' || digits.iter().any(|digit| *digit > 9) {
        return None;
    }
    let year = i64::from(digits[0] * 1_000 + digits[1] * 100 + digits[2] * 10 + digits[3]);
    let (month, day) = (digits[4] * 10 + digits[5], digits[6] * 10 + digits[7]);
    if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    Some(days_from_civil(year, month, day))
}

/// `HH:MM:SS` as seconds of the day, all eight bytes at once.
#[inline]
fn plain_time(text: [u8; 8]) -> Option<i64> {
    // Digits become 0 to 9 and colons 0; adding lifts everything else to the high bit.
    let bytes = u64::from_le_bytes(text) ^ u64::from_le_bytes(*b"00:00:00");
    let lifted = bytes.wrapping_add(u64::from_le_bytes([0x76, 0x76, 0x7F, 0x76, 0x76, 0x7F, 0x76, 0x76]));
    if (bytes | lifted) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let two = |shift: u32| (bytes >> shift & 0xF) * 10 + (bytes >> (shift + 8) & 0xF);
    let (hour, minute, second) = (two(0), two(24), two(48));
    (hour < 24 && minute < 60 && second < 60).then_some((hour * 3_600 + minute * 60 + second) as i64)
}

/// One to nine digits behind the point as microseconds, finer ones cut off.
#[inline]
fn fraction_micros(digits: &[u8]) -> Option<i64> {
    // Three and six digits are what most data has: without a loop.
    if let Ok(three) = <&[u8; 3]>::try_from(digits) {
        return Some(number(three)? * 1_000);
    }
    if let Ok(six) = <&[u8; 6]>::try_from(digits) {
        return number(six);
    }
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let shown = &digits[..digits.len().min(6)];
    let value = shown.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(value * MICRO_FACTORS[shown.len()])
}

#[inline]
fn number<const N: usize>(digits: &[u8; N]) -> Option<i64> {
    let mut value = 0;
    let mut all = true;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        all &= digit <= 9;
        value = value * 10 + i64::from(digit);
    }
    all.then_some(value)
}

const MICRO_FACTORS: [i64; 7] = [1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

/// The fixed layout `YYYY-MM-DDTHH:MM:SS`, then at most nine fractional digits, then `Z`, `±HH:MM` or nothing; a space may
/// stand for the `T`. Gives local microseconds, the number of fractional digits, and what followed. `None` is no judgement:
/// the full reader decides.
#[inline]
pub(crate) fn fixed(text: &[u8], dates: &mut Dates) -> Option<(i64, usize, Tail)> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let (date, time) = head.split_first_chunk::<10>()?;
    let (&[separator], time) = time.split_first_chunk::<1>()?;
    if separator != b'T' && separator != b' ' {
        return None;
    }
    let seconds = plain_time(*time.first_chunk::<8>()?)?;
    let (fraction, tail) = match rest {
        [] => (rest, Tail::Local),
        [fraction @ .., b'Z'] => (fraction, Tail::Zulu),
        [fraction @ .., sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let digits = [h1, h2, m1, m2].map(|byte| i32::from(byte.wrapping_sub(b'0')));
            let (hours, minutes) = (digits[0] * 10 + digits[1], digits[2] * 10 + digits[3]);
            if digits.iter().any(|digit| *digit > 9) || hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 3_600 + minutes * 60;
            (fraction, Tail::Offset(if *sign == b'-' { -offset } else { offset }))
        }
        _ => (rest, Tail::Local),
    };
    let (micros, count) = match fraction {
        [] => (0, 0),
        [b'.', digits @ ..] => (fraction_micros(digits)?, digits.len()),
        _ => return None,
    };
    Some((dates.micros(date)? + seconds * MICROS_PER_SECOND + micros, count, tail))
}

/// Walks over the text.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn digits_ahead(&self) -> usize {
        self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// Exactly `count` digits; at most nine.
    fn number(&mut self, count: usize) -> Option<u32> {
        if self.digits_ahead() < count {
            return None;
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        Some(digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
    }
}

fn not_iso() -> TimeError {
    TimeError::syntax("is no ISO 8601 time")
}

/// Any date of ISO 8601's calendar form, extended (`2024-01-31`, `+12024-01-31`) or basic (`20240131`), as days since
/// 1970-01-01. Tells also whether it was the basic form.
fn date(cursor: &mut Cursor<'_>, not: fn() -> TimeError) -> Result<(i64, bool), TimeError> {
    let sign = match cursor.peek() {
        Some(byte @ (b'+' | b'-')) => {
            cursor.rest = &cursor.rest[1..];
            Some(byte)
        }
        _ => None,
    };
    let length = cursor.digits_ahead();
    let (year_digits, basic) = match (length, sign) {
        (4, _) => (4, false),
        (5..=7, Some(_)) => (length, false),
        (8, None) => (4, true),
        _ => return Err(not()),
    };
    let year = i64::from(cursor.number(year_digits).ok_or_else(not)?);
    let year = if sign == Some(b'-') { -year } else { year };
    let mut part = |dash: bool| if dash && !cursor.eat(b'-') { None } else { cursor.number(2) };
    let month = part(!basic).ok_or_else(not)?;
    let day = part(!basic).ok_or_else(not)?;
    if !(1..=12).contains(&month) {
        return Err(TimeError::invalid(format!("has month {month:02}")));
    }
    if day == 0 || day > days_in_month(year, month) {
        return Err(TimeError::invalid(format!("has day {day:02}, which {year:04}-{month:02} does not have")));
    }
    Ok((days_from_civil(year, month, day), basic))
}

/// `HH`, `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fff`, without colons in the basic form: seconds of the day and nanoseconds.
fn time_of_day(cursor: &mut Cursor<'_>, basic: bool) -> Result<(i64, u32), TimeError> {
    let hour = cursor.number(2).ok_or_else(not_iso)?;
    let part = |cursor: &mut Cursor<'_>| -> Result<Option<u32>, TimeError> {
        let present = if basic { cursor.digits_ahead() >= 2 } else { cursor.eat(b':') };
        if present { cursor.number(2).map(Some).ok_or_else(not_iso) } else { Ok(None) }
    };
    let minute = part(cursor)?.ok_or_else(not_iso)?;
    let second = part(cursor)?;
    let mut nanos = 0;
    if second.is_some() && (cursor.eat(b'.') || cursor.eat(b',')) {
        let count = cursor.digits_ahead();
        if count == 0 {
            return Err(not_iso());
        }
        let shown = count.min(9);
        nanos = cursor.number(shown).ok_or_else(not_iso)? * 10_u32.pow((9 - shown) as u32);
        cursor.rest = &cursor.rest[count - shown..];
    }
    let second = second.unwrap_or(0);
    // A leap second is the first second of the next minute; 24:00 is the next day's midnight.
    let leap = second == 60 && minute == 59;
    let midnight = hour == 24 && minute == 0 && second == 0 && nanos == 0;
    if minute > 59 || (second > 59 && !leap) || (hour > 23 && !midnight) {
        return Err(TimeError::invalid(format!("has the time of day {hour:02}:{minute:02}:{second:02}")));
    }
    Ok((i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second), nanos))
}

/// `Z`, `±HH`, `±HHMM` or `±HH:MM`, a space before it allowed; nothing is a local time.
fn offset(cursor: &mut Cursor<'_>) -> Result<Option<i32>, TimeError> {
    if cursor.rest.len() > 1 && cursor.peek() == Some(b' ') {
        cursor.rest = &cursor.rest[1..];
    }
    let sign = match cursor.peek() {
        None => return Ok(None),
        Some(b'Z' | b'z') => {
            cursor.rest = &cursor.rest[1..];
            return Ok(Some(0));
        }
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(_) => return Err(not_iso()),
    };
    cursor.rest = &cursor.rest[1..];
    let hours = cursor.number(2).ok_or_else(not_iso)?;
    let minutes =
        if cursor.eat(b':') || cursor.digits_ahead() > 0 { cursor.number(2).ok_or_else(not_iso)? } else { 0 };
    if hours > 23 || minutes > 59 {
        return Err(TimeError::invalid(format!("has the offset {hours:02}:{minutes:02}")));
    }
    Ok(Some(sign * (hours * 3_600 + minutes * 60) as i32))
}

/// Any ISO 8601 calendar date, alone (midnight) or with a time of day; also Java's `[Europe/Berlin]` behind an offset.
pub(crate) fn read(text: &[u8]) -> Result<Written, TimeError> {
    let mut text = text.trim_ascii();
    if let [inner @ .., b']'] = text
        && let Some(at) = inner.iter().position(|byte| *byte == b'[')
        && at > 0
    {
        text = &inner[..at];
        if !matches!(text, [.., b'Z' | b'z'])
            && !text.get(10..).is_some_and(|time| time.contains(&b'+') || time.contains(&b'-'))
        {
            return Err(TimeError::syntax("names a zone without an offset"));
        }
    }
    let mut cursor = Cursor { rest: text };
    let (days, basic) = date(&mut cursor, not_iso)?;
    let mut written = Written { seconds: days * SECONDS_PER_DAY, nanos: 0, offset: None };
    let has_time = match cursor.rest {
        [b'T' | b't' | b' ', b'0'..=b'9', ..] => {
            cursor.rest = &cursor.rest[1..];
            true
        }
        _ => false,
    };
    if has_time {
        let (seconds, nanos) = time_of_day(&mut cursor, basic)?;
        written.seconds += seconds;
        written.nanos = nanos;
    } else if basic {
        // Eight digits alone are a number.
        return Err(not_iso());
    }
    written.offset = offset(&mut cursor)?;
    if cursor.rest.is_empty() { Ok(written) } else { Err(not_iso()) }
}

/// A calendar date alone, as days since 1970-01-01.
pub(crate) fn read_date(text: &[u8]) -> Result<i64, TimeError> {
    let not_date = || TimeError::syntax("is no date such as 2024-01-31");
    let mut cursor = Cursor { rest: text.trim_ascii() };
    let (days, basic) = date(&mut cursor, not_date)?;
    if basic || !cursor.rest.is_empty() { Err(not_date()) } else { Ok(days) }
}
