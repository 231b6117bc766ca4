//! A scenario that does not hold must fail, whatever way it fails to hold in.

use std::path::Path;

use velo_job::scenario::parse::parse;
use velo_job::scenario::{Mode, Verdict};

const SCRIPT: &str = "```sql\n\
CREATE STREAM t (k STRING, v DECIMAL(10,2), ts BIGINT) WITH (connector = 'kafka', topic = 't', 'event.time.field' = 'ts', 'watermark.max_out_of_orderness' = '0s');\n\
CREATE STREAM sums AS SELECT k, SUM(v) AS total FROM t GROUP BY k WINDOW TUMBLING(10s);\n```\n";
const ROWS: &str = "```input t\nk v ts\na 1.00 1000\nb 2.00 2000\na 0.50 12000\n```\n";

async fn verdict(blocks: &str) -> Verdict {
    run(&format!("{SCRIPT}{blocks}"), Mode::default()).await
}

async fn run(blocks: &str, mode: Mode) -> Verdict {
    let file = parse(Path::new("t.md"), format!("## One\n{blocks}")).unwrap();
    crate::runner().run(&file, &file.scenarios[0], &mode).await
}

async fn failure(blocks: &str) -> String {
    let verdict = verdict(blocks).await;
    assert_eq!(verdict.failures.len(), 1, "{:?}", verdict.failures);
    format!("{}: {}", verdict.failures[0].line, verdict.failures[0].message)
}

#[tokio::test]
async fn one_that_holds() {
    let verdict = verdict(&format!("{ROWS}```output sums\na 1.00\nb 2.00\na 0.50\n```\n")).await;
    assert_eq!(verdict.failures, []);
}

#[tokio::test]
async fn a_missing_row() {
    let message = failure(&format!("{ROWS}```output sums\na 1.00\nb 2.00\na 0.50\nc 1.00\n```\n")).await;
    assert!(message.starts_with("13: the output sums differs:") && message.ends_with("  - +I c 1.00"), "{message}");
}

#[tokio::test]
async fn a_row_too_many_and_how_it_is_updated() {
    let verdict = verdict(&format!("{ROWS}```output sums\n```\n")).await;
    assert_eq!(verdict.failures.len(), 1);
    let [velo_job::scenario::Update::Block(_, text)] = verdict.updates.as_slice() else { panic!("one update") };
    assert_eq!(text, "   k total\n+I a 1.00\n+I b 2.00\n+I a 0.50\n");
}

#[tokio::test]
async fn a_decimal_with_other_digits() {
    assert!(failure(&format!("{ROWS}```output sums\na 1.0\nb 2.00\na 0.50\n```\n")).await.contains("- +I a 1.0"));
}

#[tokio::test]
async fn a_wrong_name_of_a_column() {
    let message = failure(&format!("{ROWS}```output sums\nk totals\n+I a 1.00\n```\n")).await;
    assert!(message.contains("line 13: the columns are called k total, and not k totals"), "{message}");
}

#[tokio::test]
async fn names_that_the_script_does_not_have() {
    assert!(failure("```input s\na\n1\n```\n```output sums\n```\n").await.contains("no source or table 's'"));
    assert!(failure(&format!("{ROWS}```output other\n```\n")).await.contains("'other'"));
    assert!(failure(&format!("{ROWS}```output\n```\n")).await.contains("no further SELECT"));
    assert!(failure(&format!("{ROWS}```metrics\nt lost=0\n```\n")).await.contains("no counter 'lost'"));
    assert!(
        failure(&format!("{ROWS}```metrics\nq late=0\n```\n")).await.contains("no source, table, sink or query 'q'")
    );
}

#[tokio::test]
async fn rows_that_do_not_fit_their_columns() {
    let message = failure("```input t\nk v ts\na 1.005 1000\n```\n```output sums\n```\n").await;
    assert!(message.starts_with("8: column 'v':"), "{message}");
    assert!(failure("```input t\nk w ts\na 1 1000\n```\n```output sums\n```\n").await.contains("no column 'w'"));
}

#[tokio::test]
async fn an_error_that_does_not_come_and_one_that_is_not_expected() {
    assert!(failure(&format!("{ROWS}```error\nboom\n```\n")).await.contains("was to fail, and it ran to its end"));
    let message = failure("```input t\nk v ts\na 1.00 NULL\n```\n```output sums\n```\n").await;
    assert!(message.contains("the script failed:") && message.contains("t, row 1"), "{message}");
    let broken = run("```sql\nSELECT x FROM nowhere;\n```\n```output\n```\n", Mode::default()).await;
    assert!(broken.failures[0].message.contains("script.sql:1:15"), "{:?}", broken.failures);
}

#[tokio::test]
async fn metrics() {
    let read = format!("{ROWS}```output sums\na 1.00\nb 2.00\na 0.50\n```\n");
    let held = verdict(&format!("{read}```metrics\nt records=3 skipped=0\n```\n")).await;
    assert_eq!(held.failures, []);
    assert!(failure(&format!("{read}```metrics\nt records=4\n```\n")).await.contains("+ t records=3"));
    let unread = verdict(&format!("{ROWS}```metrics\nt records=0\n```\n")).await;
    assert_eq!(unread.failures, [], "a stream that nothing reads does not run");
}

#[tokio::test]
async fn other_orders_and_partitions_give_the_same() {
    let text = SCRIPT.replace("'0s'", "'30s'") + ROWS + "```output sums\na 1.00\nb 2.00\na 0.50\n```\n";
    for seed in 0..20 {
        let mode = Mode { shuffled: true, partitions: 3, parallelism: 2, reprinted: true, seed, ..Mode::default() };
        assert_eq!(run(&text, mode).await.failures, [], "{mode}");
    }
}

/// A scenario whose output depends on the order of its input, and does not say so.
#[tokio::test]
async fn modes_find_what_depends_on_order() {
    let order = "```sql\nCREATE STREAM t (v INT, ts BIGINT) WITH (connector = 'kafka', topic = 't', 'event.time.field' = 'ts');\n\
        SELECT LAST(v) AS last FROM t WINDOW TUMBLING(10s);\n```\n\
        ```input t\nv ts\n1 1000\n2 1000\n3 1000\n4 1000\n```\n```output\n+I 4\n```\n";
    assert_eq!(run(order, Mode::default()).await.failures, []);
    let mut failed = 0;
    for seed in 0..20 {
        failed += run(order, Mode { shuffled: true, seed, ..Mode::default() }).await.failures.len();
    }
    assert!(failed > 0, "20 orders of equal times all end with the same row");

    let late = order.replace("2 1000", "2 60000").replace("+I 4", "+I 1\n+I 2");
    assert_eq!(run(&late, Mode::default()).await.failures, []);
    let dealt = run(&late, Mode { partitions: 3, ..Mode::default() }).await;
    assert_eq!(dealt.failures.len(), 1, "rows of other partitions are not late");
}

#[tokio::test]
async fn a_reprinted_script_is_the_same_script() {
    let text = format!("{SCRIPT}{ROWS}```output sums\na 1.00\nb 2.00\na 0.50\n```\n");
    let mode = Mode { reprinted: true, optimised: false, ..Mode::default() };
    assert_eq!(run(&text, mode).await.failures, []);
}
