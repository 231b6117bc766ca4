//! Local times to UTC: which offset holds, and local times that occur twice or never.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, MappedLocalTime, Offset, TimeZone};
use chrono_tz::Tz;

use crate::error::{EventTimeErrorKind, TimeError};

/// An IANA time zone; UTC where none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zone(pub Tz);

impl Zone {
    /// UTC.
    pub const UTC: Self = Self(Tz::UTC);
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl From<Tz> for Zone {
    fn from(zone: Tz) -> Self {
        Self(zone)
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = text.trim();
        if wanted.eq_ignore_ascii_case("z") {
            return Ok(Self::UTC);
        }
        let found = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(wanted));
        found.map(|zone| Self(*zone)).ok_or_else(|| {
            let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
            let near = velo_core::suggest::nearest(wanted, names);
            let hint = near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
            format!("'{text}' is no IANA time zone such as Europe/Berlin or UTC{hint}")
        })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

/// A stretch of local time in which one offset holds and no local time is double: `[from, to)` in local seconds since
/// 1970-01-01T00:00:00.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: i64,
    to: i64,
    offset: i64,
}

/// Seconds between two looks for a transition. No zone of the database changes its offset twice within six days, which a
/// test checks; so two equal offsets this far apart have none between them.
const STEP: i64 = 3 * 86_400;

/// Looks in each direction. What lies beyond is found when it is needed.
const STEPS: i64 = 150;

/// Stretches that are kept; random dates over two centuries need fewer.
const KEPT: usize = 512;

/// The offsets of one zone, with the stretches that were used so far, so that a row mostly costs two comparisons.
#[derive(Debug, Clone)]
pub(crate) struct Offsets {
    zone: Tz,
    last: Stretch,
    /// By `from`; they do not overlap.
    known: Vec<Stretch>,
}

impl Offsets {
    pub(crate) fn new(zone: Zone) -> Self {
        let last = match zone.0 {
            Tz::UTC | Tz::Etc__UTC | Tz::Etc__GMT | Tz::GMT | Tz::Zulu | Tz::Universal | Tz::UCT => {
                Stretch { from: i64::MIN, to: i64::MAX, offset: 0 }
            }
            _ => Stretch { from: 0, to: 0, offset: 0 },
        };
        Self { zone: zone.0, last, known: Vec::new() }
    }

    /// Seconds to take off a local time (seconds since 1970-01-01T00:00:00 on the zone's clocks) to get UTC.
    #[inline]
    pub(crate) fn of_local(&mut self, local: i64) -> Result<i64, TimeError> {
        if self.last.from <= local && local < self.last.to { Ok(self.last.offset) } else { self.look_up(local) }
    }

    #[cold]
    #[inline(never)]
    fn look_up(&mut self, local: i64) -> Result<i64, TimeError> {
        let after = self.known.partition_point(|stretch| stretch.from <= local);
        if let Some(stretch) = after.checked_sub(1).map(|at| self.known[at]).filter(|stretch| local < stretch.to) {
            self.last = stretch;
            return Ok(stretch.offset);
        }
        let naive = DateTime::from_timestamp(local, 0).ok_or_else(TimeError::out_of_range)?.naive_utc();
        let ambiguous = |detail: String| TimeError::new(EventTimeErrorKind::AmbiguousTimezone, detail);
        let offset = match self.zone.offset_from_local_datetime(&naive) {
            MappedLocalTime::Single(offset) => i64::from(offset.fix().local_minus_utc()),
            MappedLocalTime::Ambiguous(..) => {
                return Err(ambiguous(format!(
                    "occurs twice in {}, where the clocks are set back: give the offset, or a zone without changes",
                    self.zone.name()
                )));
            }
            MappedLocalTime::None => {
                return Err(ambiguous(format!(
                    "never occurs in {}, where the clocks are set forward: give the offset, or a zone without changes",
                    self.zone.name()
                )));
            }
        };
        let stretch = self.stretch_around(local, offset);
        if stretch.from <= local && local < stretch.to {
            if self.known.len() >= KEPT {
                self.known.clear();
            }
            let at = self.known.partition_point(|known| known.from <= stretch.from);
            self.known.insert(at, stretch);
            self.last = stretch;
        }
        Ok(offset)
    }

    /// The offset that holds at a time in UTC.
    fn at(&self, utc: i64) -> Option<i64> {
        let naive = DateTime::from_timestamp(utc, 0)?.naive_utc();
        Some(i64::from(self.zone.offset_from_utc_datetime(&naive).fix().local_minus_utc()))
    }

    fn stretch_around(&self, local: i64, offset: i64) -> Stretch {
        let utc = local - offset;
        // Forward: where the first change is, local times before it are double or missing from the smaller offset on.
        let (end, next) = self.edge(utc, offset, STEP);
        let (start, previous) = self.edge(utc, offset, -STEP);
        Stretch { from: start + offset.max(previous), to: end + offset.min(next), offset }
    }

    /// Walks from `utc` in steps to the first change of the offset: the transition (the first second of the later offset) and
    /// the offset on its other side. Without a change, as far as it walked, less than a step from the last look.
    fn edge(&self, utc: i64, offset: i64, step: i64) -> (i64, i64) {
        let mut same = utc;
        for _ in 0..STEPS {
            match self.at(same + step) {
                Some(found) if found == offset => same += step,
                None => break,
                Some(found) => {
                    // Between `same` and `same + step` lies one transition.
                    let (mut inside, mut outside) = (same, same + step);
                    while (outside - inside).abs() > 1 {
                        let middle = inside + (outside - inside) / 2;
                        if self.at(middle) == Some(offset) { inside = middle } else { outside = middle }
                    }
                    return (inside.max(outside), found);
                }
            }
        }
        // A change right behind the last look must not make local times double: two days are more than two offsets differ.
        let margin = 2 * 86_400 * step.signum();
        if (same - utc).abs() > margin.abs() { (same - margin, offset) } else { (utc, offset) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!("america/new_york".parse::<Zone>().unwrap().to_string(), "America/New_York");
        assert_eq!("Z".parse::<Zone>().unwrap(), Zone::UTC);
        assert_eq!(
            "America/New_Yrok".parse::<Zone>().unwrap_err(),
            "'America/New_Yrok' is no IANA time zone such as Europe/Berlin or UTC; did you mean 'America/New_York'?"
        );
    }

    fn naive(zone: Tz, local: i64) -> Result<i64, EventTimeErrorKind> {
        let naive = DateTime::from_timestamp(local, 0).unwrap().naive_utc();
        match zone.offset_from_local_datetime(&naive) {
            MappedLocalTime::Single(offset) => Ok(i64::from(offset.fix().local_minus_utc())),
            _ => Err(EventTimeErrorKind::AmbiguousTimezone),
        }
    }

    #[test]
    fn equals_the_database_everywhere_near_transitions_and_at_random() {
        let mut random = crate::fuzz::Random::new(7);
        for zone in [
            Tz::America__New_York,
            Tz::Europe__Berlin,
            Tz::Asia__Tokyo,
            Tz::Australia__Lord_Howe,
            Tz::Pacific__Apia,
            Tz::Africa__Casablanca,
            Tz::Asia__Gaza,
            Tz::America__Noronha,
            Tz::Asia__Manila,
            Tz::Africa__Monrovia,
        ] {
            let mut offsets = Offsets::new(Zone(zone));
            let mut check = |local: i64| {
                assert_eq!(offsets.of_local(local).map_err(|e| e.kind), naive(zone, local), "{zone} {local}");
            };
            // In order through two years by quarter hours, then at random from 1840 to 2140.
            for quarter in 0..2 * 365 * 96 {
                check(1_388_534_400 - 3 * 365 * 86_400 + quarter * 900);
            }
            for _ in 0..2_000 {
                let local = -4_102_444_800 + (random.next() % (300 * 365 * 86_400)) as i64;
                check(local);
                check(local - local.rem_euclid(1_800) + 1_799);
            }
        }
    }

    #[test]
    fn transitions_are_more_than_six_days_apart() {
        for zone in [Tz::America__Noronha, Tz::Asia__Gaza, Tz::Africa__Tunis, Tz::America__Recife, Tz::Europe__Vienna] {
            let offsets = Offsets::new(Zone(zone));
            let (mut last, mut changed_at) = (offsets.at(-1_000_000_000), i64::MIN);
            for hour in 0..(3_400_000_000 / 3_600) {
                let utc = -1_000_000_000 + hour * 3_600;
                let found = offsets.at(utc);
                if found != last {
                    assert!(utc.saturating_sub(changed_at) > 6 * 86_400, "{zone} {utc}");
                    (last, changed_at) = (found, utc);
                }
            }
        }
    }

    #[test]
    fn far_times_are_out_of_range_not_a_panic() {
        let mut offsets = Offsets::new(Zone(Tz::America__New_York));
        for local in [i64::MIN, i64::MAX, 9_223_372_036_854, -9_223_372_036_854] {
            let _ = offsets.of_local(local);
        }
        assert_eq!(Offsets::new(Zone::UTC).of_local(i64::MAX - 1), Ok(0));
    }
}
