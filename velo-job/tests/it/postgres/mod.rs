//! Expressions that Velo and PostgreSQL 15 evaluate alike: recorded answers of a real server, and what differs with the reason.
//!
//! `cargo test` compares with the recorded answers; `cargo xtask integration` asks a server again.

pub mod differences;
pub mod generate;
pub mod sample;
pub mod value;
pub mod velo;

use std::collections::BTreeMap;

use self::velo::Velo;

/// The seed of the generated expressions, and how many there are.
pub const GENERATED: (u64, usize) = (15, 2_600);

const HAND_PICKED: &str = include_str!("hand_picked.txt");
const RECORDED: &str = include_str!("recorded.txt");

/// One expression over one row of the sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The row, from 1.
    pub row: usize,
    /// The expression, which both sides read.
    pub expression: String,
}

/// What PostgreSQL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An error, by its SQLSTATE.
    Error(String),
    /// A value: its type and its text, `None` for NULL.
    Value(String, Option<String>),
}

/// All expressions: hand-picked ones (`@` and a number before one is its row, by default 1), then generated ones.
pub fn cases() -> Vec<Case> {
    let lines = HAND_PICKED.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--"));
    let picked = lines.map(|line| match line.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
        Some((row, expression)) => Case { row: row.parse().unwrap(), expression: expression.to_owned() },
        None => Case { row: 1, expression: line.to_owned() },
    });
    let (seed, count) = GENERATED;
    picked.chain(generate::expressions(seed, count)).collect()
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        out.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                other => other.unwrap_or('\\'),
            },
            other => other,
        });
    }
    out
}

/// Answers as lines of a file: row, expression, type and value, with tabs in between.
pub fn read(text: &str) -> Vec<(Case, Answer)> {
    text.lines()
        .map(|line| {
            let parts: Vec<&str> = line.split('\t').collect();
            let [row, expression, kind, value] = parts.as_slice() else { panic!("four parts: {line}") };
            let case = Case { row: row.parse().unwrap(), expression: (*expression).to_owned() };
            let answer = match (*kind, *value) {
                ("error", state) => Answer::Error(state.to_owned()),
                (kind, "\\N") => Answer::Value(kind.to_owned(), None),
                (kind, text) => Answer::Value(kind.to_owned(), Some(unescaped(text))),
            };
            (case, answer)
        })
        .collect()
}

/// The recorded answers.
pub fn recorded() -> Vec<(Case, Answer)> {
    read(RECORDED)
}

/// How the two sides compare.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Compared in all, and those that gave a value on both sides.
    pub compared: usize,
    /// Those that gave a value on both sides.
    pub values: usize,
    /// Those that differ for a documented reason, by the reason's name.
    pub listed: BTreeMap<&'static str, usize>,
    /// Those that differ for none.
    pub wrong: Vec<String>,
}

/// Evaluates every case with Velo and compares.
pub async fn compare(answers: &[(Case, Answer)]) -> Comparison {
    let velo = Velo::new().await;
    let listed = differences::listed();
    let mut comparison = Comparison { compared: answers.len(), ..Comparison::default() };
    for (case, answer) in answers {
        let ours = velo.evaluate(case.row, &case.expression).await;
        let same = match (&ours, answer) {
            (Err(_), Answer::Error(_)) => true,
            (Ok(ours), Answer::Value(kind, theirs)) => {
                comparison.values += 1;
                value::same(ours, kind, theirs.as_deref())
            }
            _ => false,
        };
        let shown = match &ours {
            Ok(ours) => format!("{:?} ({})", value::text(ours.as_ref(), 0), ours.data_type()),
            Err(error) => format!("error: {error}"),
        };
        match (same, differences::reason(&listed, case)) {
            (true, None) => {}
            (false, Some(reason)) => *comparison.listed.entry(reason).or_default() += 1,
            (true, Some(_)) => comparison.wrong.push(format!("{} {}: listed, and the same", case.row, case.expression)),
            (false, None) => comparison
                .wrong
                .push(format!("{} {}\n    velo {shown}\n    them {answer:?}", case.row, case.expression)),
        }
    }
    comparison
}

/// Fails where more than documented differs.
pub fn check(comparison: &Comparison) {
    let listed: usize = comparison.listed.values().sum();
    println!(
        "{} expressions compared, {} with a value on both sides, {listed} different for a documented reason: {:?}",
        comparison.compared, comparison.values, comparison.listed
    );
    assert!(comparison.wrong.is_empty(), "{} differ:\n{}", comparison.wrong.len(), comparison.wrong.join("\n"));
    assert!(comparison.values >= 2_000, "only {} gave values", comparison.values);
    assert!(listed * 20 <= comparison.compared, "more than 5 % differ");
}
