//! Tests that need services: `cargo xtask integration` starts those and says where they are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on panics with the reason"
)]

#[path = "../it/context.rs"]
mod context;
#[path = "../it/postgres/mod.rs"]
mod postgres;
mod server;
mod state_files;

use std::fmt::Write as _;

use self::postgres::{Answer, Case, check, compare, recorded};

/// The real server answers as recorded, and Velo agrees with what it says today.
#[tokio::test]
async fn velo_agrees_with_a_server() {
    let answers = server::answers(&postgres::cases());
    if std::env::var_os("VELO_RECORD").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/postgres/recorded.txt"), write(&answers))
            .unwrap();
    } else {
        let recorded = recorded();
        assert_eq!(answers.len(), recorded.len(), "`cargo xtask integration --record` writes the answers anew");
        for (now, then) in answers.iter().zip(&recorded) {
            assert_eq!(now, then, "the recorded answer is another");
        }
    }
    check(&compare(&answers).await);
}

/// Answers as the file of recorded ones has them.
fn write(answers: &[(Case, Answer)]) -> String {
    let mut out = String::new();
    for (case, answer) in answers {
        let (kind, text) = match answer {
            Answer::Error(state) => ("error", state.clone()),
            Answer::Value(kind, None) => (kind.as_str(), "\\N".to_owned()),
            Answer::Value(kind, Some(text)) => (kind.as_str(), escaped(text)),
        };
        let _ = writeln!(out, "{}\t{}\t{kind}\t{text}", case.row, case.expression);
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t")
}
