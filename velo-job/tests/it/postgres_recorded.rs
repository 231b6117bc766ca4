//! The recorded answers, without a server.

use crate::postgres;

#[tokio::test]
async fn velo_agrees_with_the_recorded_answers() {
    let recorded = postgres::recorded();
    let cases: Vec<_> = recorded.iter().map(|(case, _)| case.clone()).collect();
    assert_eq!(
        cases,
        postgres::cases(),
        "other expressions: `cargo xtask integration --record` asks a server for their answers"
    );
    postgres::check(&postgres::compare(&recorded).await);
}
