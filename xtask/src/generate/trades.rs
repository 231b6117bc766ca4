//! Trades: 1,000 symbols, a few traded often and most of them seldom, over thirty minutes of event time.

use super::digits::{push_decimal, push_number, push_padded};
use super::random::{Choice, Random};

const SYMBOLS: u32 = 1_000;

/// 2024-01-01T00:00:00Z, and what the trades cover from there, however many there are.
const START_MILLIS: u64 = 1_704_067_200_000;
const SPAN_MILLIS: u64 = 30 * 60 * 1_000;

/// A row comes less than this behind the newest one before it.
const DISORDER_MILLIS: u32 = 2_000;

const VENUES: [&str; 8] = ["XNAS", "XNYS", "ARCX", "BATS", "IEX", "EDGX", "MEMX", "CBOE"];

/// How a row is written.
#[derive(Clone, Copy)]
pub enum Form {
    Json,
    Csv,
}

/// Appends one row after the other; 5 million JSON lines average 99 bytes.
pub struct Trades {
    form: Form,
    rows: u64,
    next: u64,
    random: Random,
    symbols: Choice,
    /// Per symbol: last price, and the price it started from, in units of 0.0001.
    prices: Vec<(i64, i64)>,
}

struct Trade {
    symbol: u64,
    price: u64,
    quantity: u64,
    ts: u64,
    venue: &'static str,
    id: u64,
}

impl Trades {
    /// `rows` trades spread evenly over the thirty minutes.
    pub fn new(form: Form, rows: u64, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let prices = (0..SYMBOLS).map(|_| first_price(&mut random)).map(|price| (price, price)).collect();
        Self { form, rows, next: 0, random, symbols: Choice::zipf(SYMBOLS), prices }
    }

    /// The first line of the file, if its form has one.
    pub fn header(&self) -> &'static str {
        match self.form {
            Form::Json => "",
            Form::Csv => "symbol,price,quantity,ts,venue,id\n",
        }
    }

    /// Appends the next row.
    pub fn push(&mut self, out: &mut Vec<u8>) {
        let trade = self.trade();
        match self.form {
            Form::Json => push_json(out, &trade),
            Form::Csv => push_csv(out, &trade),
        }
    }

    fn trade(&mut self) -> Trade {
        let symbol = self.symbols.pick(&mut self.random);
        let price = self.move_price(symbol as usize);
        let quantity = quantity(&mut self.random);
        let ts = self.time();
        let venue = VENUES.get(self.random.below(8) as usize).copied().unwrap_or_default();
        self.next += 1;
        Trade { symbol: u64::from(symbol), price, quantity, ts, venue, id: self.next }
    }

    /// A step of at most a thousandth, within half and twice the first price.
    fn move_price(&mut self, symbol: usize) -> u64 {
        let Some((price, first)) = self.prices.get_mut(symbol) else { return 0 };
        let step = *price / 1_000;
        *price = (*price + self.random.between(-step, step)).clamp(*first / 2, *first * 2);
        price.unsigned_abs()
    }

    /// Time goes on with the rows; every fourth row comes late, but by less than two seconds.
    fn time(&mut self) -> u64 {
        let newest = START_MILLIS + self.next * SPAN_MILLIS / self.rows.max(1);
        let bits = self.random.below(4 * DISORDER_MILLIS);
        let behind = if bits < DISORDER_MILLIS { u64::from(bits) } else { 0 };
        newest.saturating_sub(behind).max(START_MILLIS)
    }
}

/// Two symbols in five cost single dollars, two in five tens, one in five hundreds.
fn first_price(random: &mut Random) -> i64 {
    match random.below(5) {
        0 | 1 => random.between(20_000, 89_999),
        2 | 3 => random.between(120_000, 899_999),
        _ => random.between(1_200_000, 4_999_999),
    }
}

/// Mostly small lots, seldom large ones.
fn quantity(random: &mut Random) -> u64 {
    let limit = match random.below(20) {
        0..=4 => 9,
        5..=13 => 99,
        14..=17 => 999,
        _ => 9_999,
    };
    1 + u64::from(random.below(limit))
}

fn push_json(out: &mut Vec<u8>, trade: &Trade) {
    out.extend_from_slice(br#"{"symbol":"SYM"#);
    push_padded(out, trade.symbol, 4);
    out.extend_from_slice(br#"","price":""#);
    push_decimal(out, trade.price, 4);
    out.extend_from_slice(br#"","quantity":"#);
    push_number(out, trade.quantity);
    out.extend_from_slice(br#","ts":"#);
    push_number(out, trade.ts);
    out.extend_from_slice(br#","venue":""#);
    out.extend_from_slice(trade.venue.as_bytes());
    out.extend_from_slice(br#"","id":"#);
    push_number(out, trade.id);
    out.extend_from_slice(b"}\n");
}

fn push_csv(out: &mut Vec<u8>, trade: &Trade) {
    out.extend_from_slice(b"SYM");
    push_padded(out, trade.symbol, 4);
    out.push(b',');
    push_decimal(out, trade.price, 4);
    out.push(b',');
    push_number(out, trade.quantity);
    out.push(b',');
    push_number(out, trade.ts);
    out.push(b',');
    out.extend_from_slice(trade.venue.as_bytes());
    out.push(b',');
    push_number(out, trade.id);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(form: Form, rows: u64, seed: u64) -> String {
        let mut trades = Trades::new(form, rows, seed);
        let mut out = trades.header().as_bytes().to_vec();
        (0..rows).for_each(|_| trades.push(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_seed_means_these_rows() {
        let json = r#"{"symbol":"SYM0109","price":"6.9739","quantity":306,"ts":1704067200000,"venue":"BATS","id":1}
{"symbol":"SYM0015","price":"57.7513","quantity":52,"ts":1704068100000,"venue":"MEMX","id":2}
"#;
        assert_eq!(text(Form::Json, 2, 1), json);
        let csv = "symbol,price,quantity,ts,venue,id\nSYM0109,6.9739,306,1704067200000,BATS,1\n\
                   SYM0015,57.7513,52,1704068100000,MEMX,2\n";
        assert_eq!(text(Form::Csv, 2, 1), csv);
        assert_ne!(text(Form::Json, 2, 2), json);
    }

    #[test]
    fn five_million_lines_average_99_bytes() {
        let rows = 5_000_000;
        let mut trades = Trades::new(Form::Json, rows, 42);
        let (mut out, mut bytes) = (Vec::new(), 0);
        for _ in 0..rows {
            out.clear();
            trades.push(&mut out);
            bytes += out.len() as u64;
        }
        let hundredths = bytes * 100 / rows;
        assert!((9_930..=9_950).contains(&hundredths), "{hundredths} hundredths of a byte");
    }

    #[test]
    fn times_span_half_an_hour_and_stray_less_than_two_seconds() {
        let mut trades = Trades::new(Form::Csv, 100_000, 3);
        let times: Vec<u64> = (0..100_000).map(|_| trades.trade().ts).collect();
        let (mut newest, mut behind) = (0, 0);
        for ts in &times {
            newest = newest.max(*ts);
            behind = behind.max(newest - ts);
        }
        assert!((1_900..2_000).contains(&behind), "{behind}");
        assert_eq!(times.iter().min(), Some(&START_MILLIS));
        assert!(newest - START_MILLIS > SPAN_MILLIS - 100);
    }

    #[test]
    fn every_symbol_trades_and_the_first_most() {
        let mut trades = Trades::new(Form::Csv, 200_000, 4);
        let mut counts = vec![0_u32; SYMBOLS as usize];
        for _ in 0..200_000 {
            counts[trades.trade().symbol as usize] += 1;
        }
        assert!(counts.iter().all(|count| *count > 0));
        assert_eq!(counts.iter().max(), counts.first());
    }
}
