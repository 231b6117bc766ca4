//! Weather stations: the rows of the one-billion-row task, `station;temperature`, with names of our own.

use super::digits::push_decimal;
use super::random::Random;

const HEADS: [&str; 21] = [
    "Alder", "Ash", "Birken", "Black", "Castel", "Dun", "Eisen", "Fair", "Grün", "Hohen", "Kings", "Lang", "Mar",
    "Neu", "Port ", "Rosen", "San ", "Stein", "Wester", "Øst", "Żar",
];

const TAILS: [&str; 20] = [
    "bach", "berg", "borough", "burg", "by", "dale", "field", "ford", "furt", "ham", "haven", "hof", "kirk", "mouth",
    "sea", "stad", "ville", "wald", "wick", "ów",
];

/// Number of stations: every head with every tail.
const STATIONS: u32 = 420;

/// Appends one row after the other.
pub struct Stations {
    random: Random,
    /// Name with `;` behind it, and mean temperature in tenths.
    stations: Vec<(Vec<u8>, i64)>,
}

impl Stations {
    /// Names are always the same; the seed decides climate and weather.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let names = HEADS.iter().flat_map(|head| TAILS.iter().map(move |tail| format!("{head}{tail};").into_bytes()));
        let stations = names.map(|name| (name, random.between(-150, 300))).collect();
        Self { random, stations }
    }

    /// Appends the next row.
    pub fn push(&mut self, out: &mut Vec<u8>) {
        let index = self.random.below(STATIONS);
        let Some((name, mean)) = self.stations.get(index as usize) else { return };
        let tenths = (mean + weather(&mut self.random)).clamp(-999, 999);
        out.extend_from_slice(name);
        if tenths < 0 {
            out.push(b'-');
        }
        push_decimal(out, tenths.unsigned_abs(), 1);
        out.push(b'\n');
    }
}

/// Four sixteen-bit numbers of one draw, added: close to a bell of standard deviation 10 degrees, in tenths.
fn weather(random: &mut Random) -> i64 {
    let bits = random.next();
    let sum: u64 = [0, 16, 32, 48].iter().map(|shift| (bits >> shift) & 0xffff).sum();
    // The sum has mean 131,070 and standard deviation 37,837.
    (i64::try_from(sum).unwrap_or_default() - 131_070) / 378
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn text(rows: u64, seed: u64) -> String {
        let mut stations = Stations::new(seed);
        let mut out = Vec::new();
        (0..rows).for_each(|_| stations.push(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_seed_means_these_rows() {
        assert_eq!(text(3, 1), "Żarford;-7.9\nCastelburg;8.1\nBlackford;-6.6\n");
    }

    #[test]
    fn every_station_reports_in_tenths_within_bounds() {
        let text = text(50_000, 2);
        let rows: Vec<_> = text.lines().map(|line| line.split_once(';').unwrap()).collect();
        let names: BTreeSet<_> = rows.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), STATIONS as usize);
        for (_, temperature) in rows {
            let (_, places) = temperature.split_once('.').unwrap();
            assert_eq!(places.len(), 1, "{temperature}");
            assert!(temperature.parse::<f64>().unwrap().abs() <= 99.9);
        }
    }

    #[test]
    fn temperatures_form_a_bell() {
        let mut random = Random::new(5);
        let draws: Vec<i64> = (0..100_000).map(|_| weather(&mut random)).collect();
        let within = draws.iter().filter(|tenths| tenths.abs() <= 100).count();
        assert!((67_000..70_000).contains(&within), "{within}");
    }
}
