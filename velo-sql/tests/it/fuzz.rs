//! The fuzz body over random input from a fixed seed, so that it cannot rot.

use crate::golden;
use std::fs;
use velo_sql::fuzz;

/// Marsaglia's xorshift: enough chance for inputs, the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// The words and signs of all good scripts.
fn vocabulary(scripts: &[String]) -> Vec<String> {
    let mut words: Vec<String> = scripts
        .iter()
        .flat_map(|script| script.split_whitespace())
        .flat_map(|word| [word.to_owned(), word.trim_matches(['(', ')', ',', ';']).to_owned()])
        .collect();
    words.extend(
        "( ) [ ] { } , . ; + - * / % || | & ^ ~ ~* !~ = == <> < <= > >= << -> ->> => := : :: $ ? ' \" ` -- /* */ ! @ # \\ é 日 \u{0} \n 1 1.5 1m 1e9 'x' \"y\""
            .split(' ')
            .map(str::to_owned),
    );
    words.sort();
    words.dedup();
    words
}

fn soup(random: &mut Random, words: &[String]) -> String {
    let length = random.below(40);
    (0..length)
        .map(|_| words[random.below(words.len())].clone() + if random.below(4) == 0 { "" } else { " " })
        .collect()
}

fn mutated(random: &mut Random, scripts: &[String], words: &[String]) -> String {
    let script = &scripts[random.below(scripts.len())];
    let statements: Vec<&str> = script.split_inclusive(';').collect();
    let mut tokens: Vec<String> =
        statements[random.below(statements.len())].split_inclusive([' ', '(', ')', ',']).map(str::to_owned).collect();
    for _ in 0..=random.below(3) {
        let at = random.below(tokens.len());
        match random.below(5) {
            0 if tokens.len() > 1 => drop(tokens.remove(at)),
            1 => tokens.insert(at, words[random.below(words.len())].clone() + " "),
            2 => tokens.insert(at, tokens[random.below(tokens.len())].clone()),
            3 => tokens.truncate(at + 1),
            _ => {
                let other = random.below(tokens.len());
                tokens.swap(at, other);
            }
        }
    }
    tokens.concat()
}

fn bytes(random: &mut Random) -> String {
    let length = random.below(200);
    let raw: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
    String::from_utf8_lossy(&raw).into_owned()
}

#[test]
fn two_thousand_random_inputs_keep_every_promise() {
    let scripts: Vec<String> =
        golden::files("good", "sql").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let words = vocabulary(&scripts);
    let mut random = Random(0x5eed_cafe_f00d_0001);
    for round in 0..2_000 {
        let input = match round % 4 {
            0 => soup(&mut random, &words),
            3 => bytes(&mut random),
            _ => mutated(&mut random, &scripts, &words),
        };
        if let Err(broken) = std::panic::catch_unwind(|| fuzz::script(&input)) {
            eprintln!("input {round}: {input:?}");
            std::panic::resume_unwind(broken);
        }
    }
}

#[test]
fn saved_failures_stay_fixed() {
    for path in golden::files("saved", "sql") {
        fuzz::script(&fs::read_to_string(path).unwrap());
    }
}
