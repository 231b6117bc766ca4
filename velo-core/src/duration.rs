//! Durations and sizes as users write them: `5s`, `1h30m`, `100ms`, `2d`; `64MB`.

use std::fmt;
use std::str::FromStr;

/// A span of time in microseconds, as written in a property: `5s`, `100ms`, `1h30m`, `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub i64);

/// Units by name, longest first where one is the beginning of another.
const UNITS: &[(&str, i64)] = &[
    ("us", 1),
    ("µs", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
    ("w", 7 * 86_400_000_000),
];

/// Names that are accepted beside the short ones.
const LONG_UNITS: &[(&str, &str)] = &[
    ("microsecond", "us"),
    ("microseconds", "us"),
    ("millisecond", "ms"),
    ("milliseconds", "ms"),
    ("millis", "ms"),
    ("second", "s"),
    ("seconds", "s"),
    ("sec", "s"),
    ("min", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("week", "w"),
    ("weeks", "w"),
];

impl Span {
    /// Microseconds.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// As the standard library's duration; a negative span is zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_micros(u64::try_from(self.0).unwrap_or(0))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("'{text}' is no duration: write a number and a unit, such as 5s, 100ms, 1h30m or 2d");
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(expected());
        }
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: i64 = rest[..digits].parse().map_err(|_| expected())?;
            rest = rest[digits..].trim_start();
            let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
            let unit = rest[..letters].to_lowercase();
            rest = rest[letters..].trim_start();
            let short = LONG_UNITS.iter().find(|(long, _)| *long == unit).map_or(unit.as_str(), |(_, short)| short);
            let Some((_, micros)) = UNITS.iter().find(|(name, _)| *name == short) else {
                return Err(if unit.is_empty() {
                    format!("'{text}' has no unit: write {number}s for seconds or {number}ms for milliseconds")
                } else {
                    format!("'{unit}' is no unit of time: use us, ms, s, m, h, d or w")
                });
            };
            total = number
                .checked_mul(*micros)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(|| format!("'{text}' is longer than 292,000 years"))?;
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        for (name, micros) in [
            ("d", 86_400_000_000_u64),
            ("h", 3_600_000_000),
            ("m", 60_000_000),
            ("s", 1_000_000),
            ("ms", 1_000),
            ("us", 1),
        ] {
            let count = rest / micros;
            rest %= micros;
            if count > 0 {
                write!(f, "{count}{name}")?;
            }
        }
        Ok(())
    }
}

/// A number of bytes, as written in a property: `64MB`, `512KiB`, `1048576`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("'{text}' is no size: write a number of bytes or a unit, such as 64MB or 512KiB");
        let trimmed = text.trim();
        let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = trimmed[..digits].parse().map_err(|_| expected())?;
        let factor: u64 = match trimmed[digits..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1_000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return Err(expected()),
        };
        number.checked_mul(factor).map(Self).ok_or_else(expected)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, factor) in [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{name}", self.0 / factor);
            }
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_round_trip() {
        for (text, micros) in
            [("5s", 5_000_000), ("1h30m", 5_400_000_000), ("100ms", 100_000), ("0", 0), ("1 day", 86_400_000_000)]
        {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0, micros);
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
        assert!("5".parse::<Span>().unwrap_err().contains("5s"));
        assert!("5 parsecs".parse::<Span>().unwrap_err().contains("parsecs"));
        assert!("99999999999999999999s".parse::<Span>().is_err());
        assert!("9999999999999w".parse::<Span>().is_err());
        assert!("".parse::<Span>().is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!("64MB".parse::<ByteSize>().unwrap().0, 64_000_000);
        assert_eq!("1MiB".parse::<ByteSize>().unwrap().to_string(), "1MiB");
        assert!("lots".parse::<ByteSize>().is_err());
    }
}
