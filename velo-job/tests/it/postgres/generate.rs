//! Expressions from a seed, over all types and over the operators and functions that Velo and PostgreSQL both have.

use std::collections::BTreeSet;

use velo_testkit::Random;

use super::Case;

/// What an expression gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Integer,
    Decimal,
    Double,
    Text,
    Date,
    Timestamp,
    Interval,
    Array,
}

const KINDS: [Kind; 9] = [
    Kind::Boolean,
    Kind::Integer,
    Kind::Decimal,
    Kind::Double,
    Kind::Text,
    Kind::Date,
    Kind::Timestamp,
    Kind::Interval,
    Kind::Array,
];

const INTEGERS: [&str; 12] = ["0", "1", "-1", "2", "3", "7", "10", "-17", "100", "12345", "2147483647", "9000000000"];
const SMALL: [&str; 7] = ["0", "1", "2", "3", "5", "-1", "-2"];
const DECIMALS: [&str; 11] =
    ["0.5", "-0.5", "1.5", "2.5", "-2.5", "0.001", "12.3456", "-99.99", "1000000.01", "0.00", "3.14159"];
const DOUBLES: [&str; 7] = ["1", "-2.5", "1e10", "3.25e-3", "0", "75", "-1e-5"];
const TEXTS: [&str; 15] = [
    "''",
    "'a'",
    "'abc'",
    "'Hello World'",
    "'  pad '",
    "'ÄÖü ß'",
    "'a_b%c'",
    "'x,y,,z'",
    "'100'",
    "'-7.25'",
    "'O''Neil'",
    "'aaa'",
    "'日本語'",
    "'a\\b'",
    "'tab x'",
];
const DATES: [&str; 7] =
    ["2024-02-29", "1969-12-31", "2000-01-01", "1900-02-28", "2023-12-31", "2024-01-01", "1999-07-15"];
const TIMESTAMPS: [&str; 6] = [
    "2024-02-29 23:59:59.999999",
    "1969-12-31 23:59:59.5",
    "2000-01-01 00:00:00",
    "2023-03-26 01:30:00",
    "1888-08-08 08:08:08.080808",
    "2024-12-31 12:00:00.25",
];
const INTERVALS: [&str; 9] =
    ["1 day", "-3 days", "1 month", "-1 month", "1 year", "90 minutes", "36 hours", "1.5 seconds", "2 weeks"];
const LIKES: [&str; 11] =
    ["'a%'", "'%c'", "'_b_'", "'%'", "''", "'a\\_b%'", "'%\\%%'", "'H%d'", "'%o%'", "'___'", "'Ä%'"];
const SIMILARS: [&str; 8] =
    ["'a%'", "'(a|b)+c*'", "'%(abc|World)'", "'[a-c]+'", "'_{3}'", "'a{1,3}'", "'[^a-z]%'", "'H(e|a)llo%'"];
const REGEXES: [&str; 10] =
    ["'^a'", "'b'", "'[0-9]+'", "'c$'", "'(a|x).'", "'l{2}'", "'^$'", "'W.*d'", "'a+'", "'[[:space:]]'"];
const PARTS: [&str; 14] = [
    "YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOY", "DOW", "ISODOW", "ISOYEAR", "HOUR", "MINUTE", "SECOND", "EPOCH",
    "DECADE",
];
const UNITS: [&str; 9] = ["year", "quarter", "month", "week", "day", "hour", "minute", "second", "decade"];
const BINS: [&str; 5] = ["15 minutes", "1 hour", "1 day", "7 days", "10 seconds"];

/// `count` different expressions of this seed, each with the row of the sample that it is evaluated over.
pub fn expressions(seed: u64, count: usize) -> Vec<Case> {
    let mut generator = Generator { random: Random::new(seed) };
    let mut seen = BTreeSet::new();
    let mut cases = Vec::with_capacity(count);
    while cases.len() < count {
        let kind = *generator.random.pick(&KINDS);
        let depth = 1 + generator.random.below(2) as u32;
        let case = Case { row: 1 + generator.random.below(4) as usize, expression: generator.of(kind, depth) };
        if seen.insert((case.row, case.expression.clone())) {
            cases.push(case);
        }
    }
    cases
}

struct Generator {
    random: Random,
}

impl Generator {
    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.random.below(from.len() as u64) as usize]
    }

    fn of(&mut self, kind: Kind, depth: u32) -> String {
        if depth == 0 || self.random.chance(1, 12) {
            return self.leaf(kind);
        }
        let below = depth - 1;
        // Some forms give every type.
        if self.random.chance(1, 7) {
            return self.any(kind, below);
        }
        match kind {
            Kind::Boolean => self.boolean(below),
            Kind::Integer => self.integer(below),
            Kind::Decimal => self.decimal(below),
            Kind::Double => self.double(below),
            Kind::Text => self.text(below),
            Kind::Date => self.date(below),
            Kind::Timestamp => self.timestamp(below),
            Kind::Interval => self.interval(below),
            Kind::Array => self.array(below),
        }
    }

    fn leaf(&mut self, kind: Kind) -> String {
        let column = self.random.chance(1, 2);
        match kind {
            Kind::Boolean if column => "b1".to_owned(),
            Kind::Boolean => self.pick(&["true", "false", "NULL::BOOLEAN"]).to_owned(),
            Kind::Integer if column => self.pick(&["n2", "n4", "n8"]).to_owned(),
            Kind::Integer => self.pick(&INTEGERS).to_owned(),
            Kind::Decimal if column => self.pick(&["d4", "d2"]).to_owned(),
            Kind::Decimal => self.pick(&DECIMALS).to_owned(),
            Kind::Double if column => "f8".to_owned(),
            Kind::Double => format!("'{}'::DOUBLE PRECISION", self.pick(&DOUBLES)),
            Kind::Text if column => self.pick(&["s1", "s2"]).to_owned(),
            Kind::Text => self.pick(&TEXTS).to_owned(),
            Kind::Date if column => "dy".to_owned(),
            Kind::Date => format!("DATE '{}'", self.pick(&DATES)),
            Kind::Timestamp if column => "ts".to_owned(),
            Kind::Timestamp => format!("TIMESTAMP '{}'", self.pick(&TIMESTAMPS)),
            Kind::Interval => format!("INTERVAL '{}'", self.pick(&INTERVALS)),
            Kind::Array if column => "ia".to_owned(),
            Kind::Array => self.pick(&["ARRAY[1, 2, 3]", "ARRAY[3, NULL, 3]", "ARRAY[7]"]).to_owned(),
        }
    }

    fn number(&mut self, depth: u32) -> String {
        let kind = *self.random.pick(&[Kind::Integer, Kind::Decimal, Kind::Double]);
        self.of(kind, depth)
    }

    fn exact(&mut self, depth: u32) -> String {
        let kind = *self.random.pick(&[Kind::Integer, Kind::Decimal]);
        self.of(kind, depth)
    }

    fn comparable(&mut self) -> Kind {
        *self.random.pick(&[Kind::Integer, Kind::Decimal, Kind::Double, Kind::Text, Kind::Date, Kind::Timestamp])
    }

    fn any(&mut self, kind: Kind, depth: u32) -> String {
        let (one, two) = (self.of(kind, depth), self.of(kind, depth));
        match self.random.below(5) {
            0 => format!("COALESCE({one}, {two})"),
            1 => format!("NULLIF({one}, {two})"),
            2 => format!("CASE WHEN {} THEN {one} ELSE {two} END", self.of(Kind::Boolean, depth)),
            3 => format!("CASE {} WHEN {} THEN {one} END", self.of(Kind::Integer, 0), self.of(Kind::Integer, 0)),
            _ if kind == Kind::Boolean => format!("({one} AND {two})"),
            _ => format!("{}({one}, {two})", self.pick(&["GREATEST", "LEAST"])),
        }
    }

    fn boolean(&mut self, depth: u32) -> String {
        let kind = self.comparable();
        match self.random.below(16) {
            0..=2 => {
                let op = self.pick(&["=", "<>", "<", "<=", ">", ">="]);
                let (left, right) = (self.of(kind, depth), self.of(kind, depth));
                format!("({left} {op} {right})")
            }
            3 => format!("({} {} {})", self.number(depth), self.pick(&["=", "<", ">="]), self.number(depth)),
            4 => {
                let op = self.pick(&["AND", "OR"]);
                format!("({} {op} {})", self.of(Kind::Boolean, depth), self.of(Kind::Boolean, depth))
            }
            5 => format!("(NOT {})", self.of(Kind::Boolean, depth)),
            6 => format!("({} IS {}NULL)", self.of(kind, depth), self.pick(&["", "NOT "])),
            7 => {
                let word = self.pick(&["IS DISTINCT FROM", "IS NOT DISTINCT FROM"]);
                format!("({} {word} {})", self.of(kind, depth), self.of(kind, depth))
            }
            8 => {
                let not = self.pick(&["", "NOT "]);
                format!("({} {not}BETWEEN {} AND {})", self.of(kind, depth), self.of(kind, depth), self.of(kind, depth))
            }
            9 => {
                let not = self.pick(&["", "NOT "]);
                let null = self.pick(&["", ", NULL"]);
                format!("({} {not}IN ({}, {}{null}))", self.of(kind, depth), self.of(kind, 0), self.of(kind, 0))
            }
            10 | 11 => {
                let word = self.pick(&["LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE"]);
                format!("({} {word} {})", self.of(Kind::Text, depth), self.pick(&LIKES))
            }
            12 => format!(
                "({} {}SIMILAR TO {})",
                self.of(Kind::Text, depth),
                self.pick(&["", "NOT "]),
                self.pick(&SIMILARS)
            ),
            13 => {
                let op = self.pick(&["~", "~*", "!~", "!~*"]);
                format!("({} {op} {})", self.of(Kind::Text, depth), self.pick(&REGEXES))
            }
            14 => {
                let value = self.pick(&["TRUE", "FALSE", "UNKNOWN", "NOT TRUE", "NOT FALSE", "NOT UNKNOWN"]);
                format!("({} IS {value})", self.of(Kind::Boolean, depth))
            }
            _ => format!("starts_with({}, {})", self.of(Kind::Text, depth), self.of(Kind::Text, 0)),
        }
    }

    fn integer(&mut self, depth: u32) -> String {
        match self.random.below(14) {
            0..=3 => {
                let op = self.pick(&["+", "-", "*", "/", "%"]);
                format!("({} {op} {})", self.of(Kind::Integer, depth), self.of(Kind::Integer, depth))
            }
            4 => format!("ABS({})", self.of(Kind::Integer, depth)),
            5 => format!("(- {})", self.of(Kind::Integer, depth)),
            6 => format!("MOD({}, {})", self.of(Kind::Integer, depth), self.of(Kind::Integer, depth)),
            7 => format!(
                "{}({})",
                self.pick(&["LENGTH", "CHAR_LENGTH", "OCTET_LENGTH", "ASCII"]),
                self.of(Kind::Text, depth)
            ),
            8 => format!("POSITION({} IN {})", self.of(Kind::Text, 0), self.of(Kind::Text, depth)),
            9 => format!("CAST({} AS {})", self.number(depth), self.pick(&["INT", "BIGINT", "SMALLINT"])),
            10 => format!("({} - {})", self.of(Kind::Date, depth), self.of(Kind::Date, depth)),
            11 => format!("CARDINALITY({})", self.of(Kind::Array, depth)),
            12 => format!("({})[{}]", self.of(Kind::Array, depth), self.pick(&["1", "2", "4", "0"])),
            _ => format!(
                "({} {} {})",
                self.of(Kind::Integer, 0),
                self.pick(&["&", "|", "<<", ">>"]),
                self.pick(&["1", "2", "3", "6"])
            ),
        }
    }

    fn decimal(&mut self, depth: u32) -> String {
        match self.random.below(13) {
            0..=3 => {
                let op = self.pick(&["+", "-", "*", "/", "%"]);
                format!("({} {op} {})", self.of(Kind::Decimal, depth), self.exact(depth))
            }
            4 => format!("ROUND({}, {})", self.of(Kind::Decimal, depth), self.pick(&["0", "1", "2", "-1", "-2"])),
            5 => format!(
                "{}({})",
                self.pick(&["ROUND", "CEIL", "FLOOR", "TRUNC", "ABS", "SIGN"]),
                self.of(Kind::Decimal, depth)
            ),
            6 => format!("TRUNC({}, {})", self.of(Kind::Decimal, depth), self.pick(&["0", "1", "-1", "3"])),
            7 => format!("CAST({} AS DECIMAL({}))", self.exact(depth), self.pick(&["12,2", "20,6", "10,0", "5,1"])),
            8 => format!("(- {})", self.of(Kind::Decimal, depth)),
            9 => format!("CAST({} AS DECIMAL(12,3))", self.pick(&["'1.2345'", "' 7 '", "'-0.0005'", "'abc'", "'1e2'"])),
            10 => format!("EXTRACT({} FROM {})", self.pick(&PARTS), self.of(Kind::Timestamp, depth)),
            11 => format!("EXTRACT({} FROM {})", self.pick(&PARTS[..9]), self.of(Kind::Date, depth)),
            _ => format!("MOD({}, {})", self.of(Kind::Decimal, depth), self.exact(depth)),
        }
    }

    fn double(&mut self, depth: u32) -> String {
        match self.random.below(9) {
            0..=2 => {
                let op = self.pick(&["+", "-", "*", "/"]);
                format!("({} {op} {})", self.of(Kind::Double, depth), self.number(depth))
            }
            3 => format!(
                "{}({})",
                self.pick(&[
                    "ABS", "CEIL", "FLOOR", "SIGN", "SQRT", "EXP", "LN", "SIN", "COS", "ATAN", "CBRT", "DEGREES"
                ]),
                self.of(Kind::Double, depth)
            ),
            4 => format!("ROUND({})", self.of(Kind::Double, depth)),
            5 => format!("POWER({}, {})", self.of(Kind::Double, depth), self.pick(&SMALL)),
            6 => format!("CAST({} AS DOUBLE PRECISION)", self.exact(depth)),
            7 => format!("CAST({} AS DOUBLE PRECISION)", self.pick(&["'1.5'", "'1e3'", "'x'", "' 2 '"])),
            _ => {
                format!("{}(CAST({} AS DOUBLE PRECISION))", self.pick(&["LOG10", "SQRT", "RADIANS"]), self.exact(depth))
            }
        }
    }

    fn text(&mut self, depth: u32) -> String {
        let text = self.of(Kind::Text, depth);
        match self.random.below(20) {
            0 | 1 => format!("({text} || {})", self.of(Kind::Text, depth)),
            2 => format!("{}({text})", self.pick(&["UPPER", "LOWER", "TRIM", "LTRIM", "RTRIM", "REVERSE", "INITCAP"])),
            3 => format!("SUBSTRING({text} FROM {} FOR {})", self.pick(&SMALL), self.pick(&["0", "1", "2", "10"])),
            4 => format!("SUBSTR({text}, {})", self.pick(&SMALL)),
            5 => format!("{}({text}, {})", self.pick(&["LEFT", "RIGHT"]), self.pick(&SMALL)),
            6 => format!(
                "{}({text}, {}, {})",
                self.pick(&["LPAD", "RPAD"]),
                self.pick(&["0", "3", "8"]),
                self.pick(&["'*'", "'ab'", "''"])
            ),
            7 => format!("REPLACE({text}, {}, {})", self.pick(&["'a'", "''", "'bc'"]), self.pick(&["'X'", "''"])),
            8 => format!("SPLIT_PART({text}, ',', {})", self.pick(&["1", "2", "3", "-1", "9"])),
            9 => format!("REPEAT({text}, {})", self.pick(&SMALL)),
            10 => format!("TRANSLATE({text}, 'abc', {})", self.pick(&["'xyz'", "'x'", "''"])),
            11 => format!("OVERLAY({text} PLACING 'ZZ' FROM {})", self.pick(&["1", "2"])),
            12 => format!("TRIM({} 'a' FROM {text})", self.pick(&["BOTH", "LEADING", "TRAILING"])),
            13 => format!("REGEXP_REPLACE({text}, {}, 'R')", self.pick(&REGEXES)),
            14 => format!("CONCAT({text}, {}, NULL)", self.of(Kind::Text, 0)),
            15 => format!("CONCAT_WS('-', {text}, NULL, {})", self.of(Kind::Text, 0)),
            16 => format!("CAST({} AS TEXT)", self.exact(depth)),
            17 => format!("CAST({} AS TEXT)", self.of(Kind::Boolean, depth)),
            18 => format!("CAST({} AS TEXT)", self.of(Kind::Date, depth)),
            _ => format!("{}({text})", self.pick(&["MD5", "BTRIM", "LOWER"])),
        }
    }

    fn date(&mut self, depth: u32) -> String {
        match self.random.below(5) {
            0 => format!("({} + {})", self.of(Kind::Date, depth), self.pick(&["1", "30", "365", "-1"])),
            1 => format!("({} - {})", self.of(Kind::Date, depth), self.pick(&["1", "60"])),
            2 => format!("CAST({} AS DATE)", self.of(Kind::Timestamp, depth)),
            3 => format!("CAST({} AS DATE)", self.pick(&["'2024-02-29'", "'1969-12-31'", "'2023-02-29'", "'nodate'"])),
            _ => format!(
                "MAKE_DATE({}, {}, {})",
                self.pick(&["2024", "1999"]),
                self.pick(&["1", "2", "12"]),
                self.pick(&["1", "28", "29"])
            ),
        }
    }

    fn timestamp(&mut self, depth: u32) -> String {
        match self.random.below(8) {
            0 | 1 => format!("({} + {})", self.of(Kind::Timestamp, depth), self.of(Kind::Interval, depth)),
            2 => format!("({} - {})", self.of(Kind::Timestamp, depth), self.of(Kind::Interval, depth)),
            3 => format!(
                "({} {} {})",
                self.of(Kind::Date, depth),
                self.pick(&["+", "-"]),
                self.of(Kind::Interval, depth)
            ),
            4 => format!("DATE_TRUNC('{}', {})", self.pick(&UNITS), self.of(Kind::Timestamp, depth)),
            5 => format!(
                "DATE_BIN(INTERVAL '{}', {}, TIMESTAMP '2001-01-01 00:00:00')",
                self.pick(&BINS),
                self.of(Kind::Timestamp, depth)
            ),
            6 => format!("CAST({} AS TIMESTAMP)", self.of(Kind::Date, depth)),
            _ => format!(
                "CAST({} AS TIMESTAMP)",
                self.pick(&["'2024-02-29 10:11:12.5'", "'1969-12-31'", "'2024-02-30'", "'2024-01-01T00:00:00'"])
            ),
        }
    }

    fn interval(&mut self, depth: u32) -> String {
        match self.random.below(6) {
            0 => format!("({} + {})", self.of(Kind::Interval, depth), self.of(Kind::Interval, depth)),
            1 => format!("({} - {})", self.of(Kind::Interval, depth), self.of(Kind::Interval, depth)),
            2 => format!("({} - {})", self.of(Kind::Timestamp, depth), self.of(Kind::Timestamp, depth)),
            3 => format!("(- {})", self.of(Kind::Interval, depth)),
            4 => format!("({} * {})", self.of(Kind::Interval, depth), self.pick(&["2", "3", "-1"])),
            _ => self.leaf(Kind::Interval),
        }
    }

    fn array(&mut self, depth: u32) -> String {
        match self.random.below(5) {
            0 => format!("ARRAY[{}, {}]", self.of(Kind::Integer, depth), self.of(Kind::Integer, depth)),
            1 => format!("ARRAY_APPEND({}, {})", self.of(Kind::Array, depth), self.pick(&["1", "9"])),
            2 => format!("ARRAY_CAT({}, {})", self.of(Kind::Array, depth), self.of(Kind::Array, depth)),
            3 => format!("ARRAY_REMOVE({}, {})", self.of(Kind::Array, depth), self.pick(&["3", "7"])),
            _ => format!("STRING_TO_ARRAY({}, ',')", self.of(Kind::Text, depth)),
        }
    }
}
