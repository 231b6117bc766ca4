//! Local times to UTC: which offset holds, and local times that occur twice or never.

use std::fmt;
use std::str::FromStr;

use chrono_tz::Tz;

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
