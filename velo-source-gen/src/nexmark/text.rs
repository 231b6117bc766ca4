//! Texts of the benchmark: random letters and words, names, places, channels and their addresses.

use crate::random::{Bits, Draws};

pub(super) const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
pub(super) const LAST_NAMES: [&str; 9] =
    ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
pub(super) const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
pub(super) const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];

const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const CHANNELS: u64 = 10_000;

/// The shortest random word.
const SHORTEST: u64 = 3;

/// Two letters for each 12 bits.
const PAIRS: [[u8; 2]; 4096] = {
    let mut pairs = [[0; 2]; 4096];
    let mut bits = 0;
    while bits < 4096 {
        let pair = bits * 26 * 26 / 4096;
        pairs[bits] = [b'a' + (pair / 26) as u8, b'a' + (pair % 26) as u8];
        bits += 1;
    }
    pairs
};

/// Adds `length` letters.
#[inline]
pub(super) fn letters(draws: &mut Draws, length: usize, out: &mut Vec<u8>) {
    const LETTERS: usize = 10;
    let at = out.len();
    out.resize(at + length.next_multiple_of(LETTERS), 0);
    let (tens, _) = out[at..].as_chunks_mut::<LETTERS>();
    for ten in tens {
        let mut bits = draws.bits();
        for pair in ten.as_chunks_mut::<2>().0 {
            *pair = PAIRS[(bits & 4095) as usize];
            bits >>= 12;
        }
    }
    out.truncate(at + length);
}

/// Adds a word of 3 letters or more, and fewer than `longest`; one of 13 letters is `special`. Blanks at its ends are left out.
pub(super) fn word(draws: &mut Draws, longest: u64, special: u8, out: &mut Vec<u8>) {
    let length = (SHORTEST + draws.below(longest - SHORTEST)) as usize;
    let at = out.len();
    let mut bits = 0;
    for turn in 0..length {
        if turn % 4 == 0 {
            bits = draws.bits();
        }
        // 13 parts: the first is the special letter, each of the others the alphabet.
        let part = (bits & 0xffff) * 13;
        bits >>= 16;
        out.push(if part >> 16 == 0 { special } else { b'a' + (((part & 0xffff) * 26) >> 16) as u8 });
    }
    if special == b' ' {
        while out.len() > at && out.last() == Some(&b' ') {
            out.pop();
        }
        let blanks = out[at..].iter().take_while(|letter| **letter == b' ').count();
        out.drain(at..at + blanks);
    }
}

/// Adds letters, so that what is `size` bytes long becomes about `wanted` long: between four and six fifths of what is lacking.
#[inline]
pub(super) fn extra(draws: &mut Draws, size: usize, wanted: usize, out: &mut Vec<u8>) {
    let Some(lacking) = wanted.checked_sub(size) else { return };
    // A fifth, rounded.
    let slack = (lacking + 2) / 5;
    let length = lacking - slack + draws.below(2 * slack as u64) as usize;
    letters(draws, length, out);
}

/// The channels that bids come through, and their addresses.
#[derive(Debug)]
pub(super) struct Channels {
    bits: Bits,
    names: Texts,
    addresses: Texts,
}

#[derive(Debug, Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    #[inline]
    fn get(&self, at: usize) -> &[u8] {
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[from..self.ends[at]]
    }
}

impl Channels {
    /// The channels under `seed`.
    pub(super) fn new(seed: u64) -> Self {
        let made = Bits::new(seed, "channel.url");
        let (mut names, mut addresses) = (Texts::default(), Texts::default());
        let hot = HOT_CHANNELS.len() as u64;
        for channel in 0..hot + CHANNELS {
            let mut draws = made.draws(channel);
            addresses.bytes.extend_from_slice(b"https://www.nexmark.com/");
            for _ in 0..3 {
                word(&mut draws, 5, b'_', &mut addresses.bytes);
                addresses.bytes.push(b'/');
            }
            addresses.bytes.extend_from_slice(b"item.htm?query=1");
            match channel.checked_sub(hot) {
                None => names.bytes.extend_from_slice(HOT_CHANNELS[channel as usize].as_bytes()),
                Some(number) => {
                    names.bytes.extend_from_slice(format!("channel-{number}").as_bytes());
                    if draws.below(10) > 0 {
                        let id = (number as i32).reverse_bits().unsigned_abs();
                        addresses.bytes.extend_from_slice(format!("&channel_id={id}").as_bytes());
                    }
                }
            }
            names.end();
            addresses.end();
        }
        Self { bits: Bits::new(seed, "bid.channel"), names, addresses }
    }

    /// One of the four hot channels in half of the cases, else one of ten thousand.
    #[inline]
    fn of(&self, event: u64) -> usize {
        let mut draws = self.bits.draws(event);
        let hot = HOT_CHANNELS.len() as u64;
        (if draws.below(2) > 0 { draws.below(hot) } else { hot + draws.below(CHANNELS) }) as usize
    }

    /// The channel of a bid.
    #[inline]
    pub(super) fn name(&self, event: u64) -> &[u8] {
        self.names.get(self.of(event))
    }

    /// The address of a bid's channel.
    #[inline]
    pub(super) fn address(&self, event: u64) -> &[u8] {
        self.addresses.get(self.of(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_letters() {
        let bits = Bits::new(1, "words");
        let (mut blanks, mut all) = (0, 0);
        for number in 0..2_000 {
            let mut out = b"x".to_vec();
            word(&mut bits.draws(number), 20, b' ', &mut out);
            let text = String::from_utf8(out[1..].to_vec()).unwrap();
            assert!(text.len() < 20 && text.trim() == text, "{text:?}");
            assert!(text.bytes().all(|letter| letter == b' ' || letter.is_ascii_lowercase()), "{text:?}");
            blanks += text.matches(' ').count();
            all += text.len();
            let mut out = Vec::new();
            letters(&mut bits.draws(number), number as usize % 33, &mut out);
            assert_eq!(out.len(), number as usize % 33);
            assert!(out.iter().all(u8::is_ascii_lowercase));
        }
        // Fewer than one of 13, as those at the ends are gone.
        assert!((14..20).contains(&(all / blanks)), "{all} letters, {blanks} blanks");
    }

    #[test]
    fn extras_fill_up() {
        let bits = Bits::new(1, "extra");
        let lengths: Vec<usize> = (0..1_000)
            .map(|number| {
                let mut out = Vec::new();
                extra(&mut bits.draws(number), 32, 100, &mut out);
                out.len()
            })
            .collect();
        assert_eq!((lengths.iter().min(), lengths.iter().max()), (Some(&54), Some(&81)));
        let mut out = Vec::new();
        extra(&mut bits.draws(0), 120, 100, &mut out);
        assert_eq!(out, b"");
    }

    #[test]
    fn half_of_the_bids_come_through_four_channels() {
        let channels = Channels::new(0);
        let hot = (0..10_000).filter(|event| HOT_CHANNELS.iter().any(|name| name.as_bytes() == channels.name(*event)));
        assert!((4_700..5_300).contains(&hot.count()));
        let other = (0..100).find(|event| channels.name(*event).starts_with(b"channel-")).unwrap();
        let address = String::from_utf8(channels.address(other).to_vec()).unwrap();
        assert!(address.starts_with("https://www.nexmark.com/") && address.contains("/item.htm?query=1"), "{address}");
    }
}
