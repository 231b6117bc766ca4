//! A stop in the middle of a row that becomes very many: what was read reaches the sinks, and the series ends.

use velo_testkit::Gate;
use velo_testkit::collecting::Collected;
use velo_testkit::scripted::{Script as Rows, Step};

use crate::support::{Scripted, rows};

/// Two rows, of which each becomes as many as nobody waits for.
async fn stopped(sql: &str, sources: &[&str]) {
    let table = || rows("id:BIGINT n:BIGINT\n1 1000000000000\n2 1000000000000\n");
    let source = || {
        let table = table();
        Rows::new(&table.schema).partition(table.batches.into_iter().map(Step::Rows)).endless()
    };
    let sources = sources.iter().map(|name| (*name, source())).collect();
    let scripted = Scripted::new(sql, sources).await;
    let (collected, gate) = (Collected::new(), Gate::closed());
    let test = async {
        gate.open();
        collected.wait_for(30_000).await;
        scripted.stop.stop();
    };
    tokio::join!(scripted.run(&collected, Some(gate.clone())), test);
    let found = collected.batch().unwrap();
    let ids = arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Int64Type>(found.columns.column(0));
    let last = ids.iter().filter(|id| *id == Some(2)).count();
    assert!(last >= 8_192, "{last} rows came of the last one that was read");
}

#[tokio::test]
async fn in_the_task_of_a_source() {
    let sql = "CREATE STREAM t (id BIGINT, n BIGINT) WITH (connector = 'scripted', script = 't');
        SELECT id, s FROM t, GENERATE_SERIES(1, n) AS g(s);";
    stopped(sql, &["t"]).await;
}

#[tokio::test]
async fn in_a_task_of_operators() {
    let sql = "CREATE STREAM t (id BIGINT, n BIGINT) WITH (connector = 'scripted', script = 't');
        CREATE STREAM u (id BIGINT, n BIGINT) WITH (connector = 'scripted', script = 'u');
        SELECT id, s FROM (SELECT * FROM t UNION ALL SELECT * FROM u) AS both, GENERATE_SERIES(1, n) AS g(s);";
    stopped(sql, &["t", "u"]).await;
}

#[tokio::test]
async fn in_the_task_of_rows_of_the_script() {
    let sql = "SELECT CAST(id AS BIGINT) AS id, s FROM (VALUES (2, 1000000000000)) AS v(id, n), GENERATE_SERIES(1, n) AS g(s);";
    stopped(sql, &[]).await;
}

#[tokio::test]
async fn where_nothing_comes_out() {
    let table = rows("id:BIGINT n:BIGINT\n1 1000000000000\n");
    let source = Rows::of(&table.schema, &table.batches).endless();
    let sql = "CREATE STREAM t (id BIGINT, n BIGINT) WITH (connector = 'scripted', script = 't');
        SELECT id, s FROM t, GENERATE_SERIES(1, n) AS g(s) WHERE s < 0;";
    let scripted = Scripted::new(sql, vec![("t", source)]).await;
    let collected = Collected::new();
    let test = async {
        crate::support::reached(&scripted.progress.sources[0].delivered, 1).await;
        scripted.stop.stop();
    };
    tokio::join!(scripted.run(&collected, None), test);
    assert_eq!(collected.rows(), 0);
}
