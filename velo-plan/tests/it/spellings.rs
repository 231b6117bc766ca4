//! Different spellings of the same thing give the same plan.

use expect_test::expect;
use velo_sql::render;

use crate::world;

const STREAM: &str = "CREATE STREAM trades (symbol STRING, price DECIMAL(18,4), ts TIMESTAMP) \
                      WITH (connector = 'rows', 'event.time.field' = 'ts');\n";

const QUOTES: &str = "CREATE STREAM quotes (symbol STRING, bid DECIMAL(18,4), qts TIMESTAMP) \
                      WITH (connector = 'rows', 'event.time.field' = 'qts');\n\
                      CREATE TABLE names (symbol STRING PRIMARY KEY, name STRING) WITH (connector = 'rows');\n";

/// The plan of a query over trades.
fn plan(query: &str) -> String {
    let script = format!("{STREAM}{QUOTES}{query}");
    let planned = world::plan(&script, true);
    assert!(planned.is_runnable(), "{}", render(&planned.diagnostics, "script.sql", &script));
    planned.plan.text()
}

/// Asserts that all queries have one plan, and gives it.
fn all_alike(queries: &[&str]) -> String {
    let first = plan(queries[0]);
    for query in queries {
        assert_eq!(plan(query), first, "{query}");
    }
    first
}

#[test]
fn tumbling_windows() {
    expect![[r#"
        Sink terminal → terminal (symbol, n), at least once, visible at once
          Project $key0 AS symbol, $agg0 AS n
            Aggregate by $key0 = symbol TUMBLING(1m): $agg0 = COUNT(*); late rows are dropped
              Source trades ← scripted (symbol), ends; event time ts as auto in UTC, watermark 5s behind
    "#]].assert_eq(&all_alike(&[
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol WINDOW TUMBLING(1m)",
        "SELECT symbol, COUNT(*) AS n FROM trades WINDOW TUMBLING(1m) GROUP BY symbol",
        "SELECT symbol, COUNT(*) AS n FROM trades WINDOW TUMBLING(SIZE 1 MINUTE) GROUP BY symbol",
        "SELECT symbol, COUNT(*) AS n FROM trades WINDOW TUMBLING(size => 1m) GROUP BY symbol",
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol WINDOW TUMBLING(ts, 60s)",
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol, TUMBLE(ts, INTERVAL '1' MINUTE)",
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY TUMBLE(ts, 1m), symbol",
        "SELECT symbol, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE trades, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY symbol, window_start, window_end",
        "SELECT symbol, COUNT(*) AS n FROM TUMBLE(TABLE trades, DESCRIPTOR(ts), 1m) GROUP BY window_start, window_end, symbol",
        "SELECT symbol, COUNT(*) AS n FROM TABLE(TUMBLE(DATA => TABLE trades, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' MINUTE)) GROUP BY symbol, window_start, window_end, window_time",
    ]));
}

#[test]
fn sliding_windows() {
    // As a function the advance stands first, in the WINDOW clause the size; names settle it in both.
    expect![[r#"
        Sink terminal → terminal (symbol, n), at least once, visible at once
          Project $key0 AS symbol, $agg0 AS n
            Aggregate by $key0 = symbol SLIDING(10m, 2m): $agg0 = COUNT(*); late rows are dropped
              Source trades ← scripted (symbol), ends; event time ts as auto in UTC, watermark 5s behind
    "#]].assert_eq(&all_alike(&[
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol WINDOW SLIDING(10m, 2m)",
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol WINDOW HOPPING(SIZE 10 MINUTES, ADVANCE BY 2 MINUTES)",
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol WINDOW HOPPING(ADVANCE BY 2 MINUTES, SIZE 10 MINUTES)",
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol WINDOW SLIDING(advance => 2m, size => 10m)",
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol, HOP(ts, INTERVAL '2' MINUTE, INTERVAL '10' MINUTE)",
        "SELECT symbol, COUNT(*) AS n FROM TABLE(HOP(TABLE trades, DESCRIPTOR(ts), 2m, 10m)) GROUP BY symbol, window_start, window_end",
        "SELECT symbol, COUNT(*) AS n FROM TABLE(HOP(DATA => TABLE trades, TIMECOL => DESCRIPTOR(ts), SIZE => 10m, SLIDE => 2m)) GROUP BY symbol, window_start, window_end",
    ]));
}

#[test]
fn cumulating_windows() {
    expect![[r#"
        Sink terminal → terminal (symbol, n), at least once, visible at once
          Project $key0 AS symbol, $agg0 AS n
            Aggregate by $key0 = symbol CUMULATE(1h, 10m): $agg0 = COUNT(*); late rows are dropped
              Source trades ← scripted (symbol), ends; event time ts as auto in UTC, watermark 5s behind
    "#]].assert_eq(&all_alike(&[
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol WINDOW CUMULATE(1h, 10m)",
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol WINDOW CUMULATE(10m, 1h)",
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol, CUMULATE(ts, 10m, 1h)",
        "SELECT symbol, COUNT(*) AS n FROM TABLE(CUMULATE(TABLE trades, DESCRIPTOR(ts), 10m, 1h)) GROUP BY symbol, window_start, window_end",
        "SELECT symbol, COUNT(*) AS n FROM TABLE(CUMULATE(TABLE trades, DESCRIPTOR(ts), STEP => 10m, SIZE => 1h)) GROUP BY symbol, window_start, window_end",
    ]));
}

#[test]
fn sessions() {
    expect![[r#"
        Sink terminal → terminal (symbol, n), at least once, visible at once
          Project $key0 AS symbol, $agg0 AS n
            Aggregate by $key0 = symbol SESSION(30s): $agg0 = COUNT(*); late rows are dropped
              Source trades ← scripted (symbol), ends; event time ts as auto in UTC, watermark 5s behind
    "#]].assert_eq(&all_alike(&[
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol WINDOW SESSION(30s)",
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol WINDOW SESSION(GAP 30 SECONDS)",
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol, SESSION(ts, INTERVAL '30' SECOND)",
        "SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol, SESSION(ts, 30s, symbol)",
        "SELECT symbol, COUNT(*) AS n FROM TABLE(SESSION(TABLE trades PARTITION BY symbol, DESCRIPTOR(ts), 30s)) GROUP BY symbol, window_start, window_end",
    ]));
}

#[test]
fn offsets_and_zones() {
    expect![[r#"
        Sink terminal → terminal (n), at least once, visible at once
          Project $agg0 AS n
            Aggregate TUMBLING(1d) offset 9h zone America/New_York: $agg0 = COUNT(*); late rows are dropped
              Source trades ← scripted (), ends; event time ts as auto in UTC, watermark 5s behind
    "#]]
    .assert_eq(&all_alike(&[
        "SELECT COUNT(*) AS n FROM trades WINDOW TUMBLING(1d, offset => 9h, zone => 'America/New_York')",
        "SELECT COUNT(*) AS n FROM trades WINDOW TUMBLING(1d, 'America/New_York', OFFSET => INTERVAL '9' HOUR)",
        "SELECT COUNT(*) AS n FROM trades WINDOW TUMBLING(1 DAY, 9h, 'America/New_York')",
        "SELECT COUNT(*) AS n FROM trades GROUP BY TUMBLE(ts, 1d, 9h, 'America/New_York')",
    ]));
}

#[test]
fn the_bounds_of_a_window() {
    expect![[r#"
        Sink terminal → terminal (s, e, n), at least once, visible at once
          Project $window_start AS s, $window_end AS e, $agg0 AS n
            Aggregate TUMBLING(1m): $agg0 = COUNT(*); late rows are dropped
              Source trades ← scripted (), ends; event time ts as auto in UTC, watermark 5s behind
    "#]].assert_eq(&all_alike(&[
        "SELECT _window_start AS s, _window_end AS e, COUNT(*) AS n FROM trades WINDOW TUMBLING(1m)",
        "SELECT TUMBLE_START(ts, 1m) AS s, TUMBLE_END(ts, INTERVAL '1' MINUTE) AS e, COUNT(*) AS n FROM trades GROUP BY TUMBLE(ts, 1m)",
        "SELECT TUMBLE_START() AS s, window_end() AS e, COUNT(*) AS n FROM trades WINDOW TUMBLING(1m)",
        "SELECT window_start AS s, window_end AS e, COUNT(*) AS n FROM TUMBLE(TABLE trades, DESCRIPTOR(ts), 1m) GROUP BY window_start, window_end",
    ]));
}

#[test]
fn event_times() {
    let spelt = |with: &str, columns: &str| {
        let script = format!(
            "CREATE STREAM t (id INT, ts TIMESTAMP{columns}) WITH (connector = 'rows'{with});\n\
             SELECT id, COUNT(*) AS n FROM t GROUP BY id WINDOW TUMBLING(1m)"
        );
        let planned = world::plan(&script, true);
        assert!(planned.is_runnable(), "{}", render(&planned.diagnostics, "script.sql", &script));
        planned.plan.text()
    };
    let plans = [
        spelt(", 'event.time.field' = 'ts', 'watermark.max_out_of_orderness' = '2s'", ""),
        spelt("", ", WATERMARK FOR ts AS ts - INTERVAL '2' SECOND"),
        spelt(", 'event.time.field' = 'ts'", ", WATERMARK FOR ts AS ts - 2s"),
        spelt(", 'watermark.max_out_of_orderness' = '2000ms'", ", WATERMARK FOR ts AS ts - INTERVAL '2' SECOND"),
    ];
    for plan in &plans {
        assert_eq!(*plan, plans[0]);
    }
    expect![[r#"
        Sink terminal → terminal (id, n), at least once, visible at once
          Project $key0 AS id, $agg0 AS n
            Aggregate by $key0 = id TUMBLING(1m): $agg0 = COUNT(*); late rows are dropped
              Source t ← scripted (id), ends; event time ts as auto in UTC, watermark 2s behind
    "#]]
    .assert_eq(&plans[0]);
}

#[test]
fn names_and_forms_of_functions() {
    for [left, right] in [
        ["SELECT COUNT(DISTINCT symbol) AS n FROM trades", "SELECT COUNT_DISTINCT(symbol) AS n FROM trades"],
        ["SELECT DELTA(price) AS d FROM trades", "SELECT MAX(price) - MIN(price) AS d FROM trades"],
        ["SELECT price::STRING AS s FROM trades", "SELECT CAST(price AS STRING) AS s FROM trades"],
        ["SELECT NVL(symbol, 'x') AS s FROM trades", "SELECT COALESCE(symbol, 'x') AS s FROM trades"],
        ["SELECT SUBSTRING(symbol FROM 2 FOR 3) AS s FROM trades", "SELECT SUBSTR(symbol, 2, 3) AS s FROM trades"],
        [
            "SELECT symbol IS NOT UNKNOWN AS b FROM (SELECT price > 1 AS symbol FROM trades)",
            "SELECT symbol IS NOT UNKNOWN AS b FROM (SELECT (price) > (1) AS symbol FROM trades) AS d",
        ],
        ["SELECT symbol, price FROM trades", "SELECT * EXCEPT (ts) FROM trades"],
        ["SELECT Symbol FROM trades", "SELECT trades.symbol FROM trades"],
        [
            "SELECT symbol FROM trades UNION ALL (SELECT symbol FROM trades)",
            "(SELECT symbol FROM trades) UNION ALL SELECT symbol FROM trades",
        ],
    ] {
        // The text of an aggregate is shown as it is written.
        let known = |plan: String| plan.replace("COUNT_DISTINCT(symbol)", "COUNT(DISTINCT symbol)");
        assert_eq!(known(plan(left)), known(plan(right)));
    }
}

#[test]
fn joins_by_time() {
    expect![[r#"
        Sink terminal → terminal (price, bid), at least once, visible at once
          Project price, bid
            Inner join on symbol = symbol#2 from -5m to 5m of the left row's time; late rows are dropped
              Source trades ← scripted (symbol, price), ends; event time ts as auto in UTC, watermark 5s behind
              Project symbol AS symbol#2, bid
                Source quotes ← scripted (symbol, bid), ends; event time qts as auto in UTC, watermark 5s behind
    "#]]
    .assert_eq(&all_alike(&[
        "SELECT t.price, q.bid FROM trades t JOIN quotes q WITHIN 5m ON t.symbol = q.symbol",
        "SELECT t.price, q.bid FROM trades t JOIN quotes q WITHIN (5m, 5m) ON q.symbol = t.symbol",
        "SELECT t.price, q.bid FROM trades t JOIN quotes q WITHIN 5m USING (symbol)",
        "SELECT t.price, q.bid FROM trades t NATURAL JOIN quotes q WITHIN 5m",
        "SELECT t.price, q.bid FROM trades t JOIN quotes q ON t.symbol = q.symbol AND q.qts BETWEEN t.ts - INTERVAL '5' MINUTE AND t.ts + INTERVAL '5' MINUTE",
        "SELECT t.price, q.bid FROM trades t JOIN quotes q ON t.symbol = q.symbol AND t.ts BETWEEN q.qts - INTERVAL '5' MINUTE AND q.qts + INTERVAL '5' MINUTE",
        "SELECT t.price, q.bid FROM trades t JOIN quotes q ON t.symbol = q.symbol AND (q.qts >= t.ts - INTERVAL '5' MINUTE AND q.qts - t.ts <= INTERVAL '5' MINUTE)",
        "SELECT t.price, q.bid FROM trades t JOIN quotes q ON t.symbol = q.symbol AND t.ts - INTERVAL '5' MINUTE <= q._event_time AND q.qts <= t._event_time + INTERVAL '5' MINUTE",
        "SELECT t.price, q.bid FROM trades t, quotes q WHERE t.symbol = q.symbol AND q.qts BETWEEN t.ts - INTERVAL '5' MINUTE AND t.ts + INTERVAL '5' MINUTE",
        "SELECT t.price, q.bid FROM trades t CROSS JOIN quotes q WHERE t.symbol = q.symbol AND q.qts BETWEEN t.ts - INTERVAL '5' MINUTE AND t.ts + INTERVAL '5' MINUTE",
        "SELECT t.price, q.bid FROM trades t JOIN quotes q USING (symbol) WHERE q.qts BETWEEN t.ts - INTERVAL '5' MINUTE AND t.ts + INTERVAL '5' MINUTE",
        "SELECT t.price, q.bid FROM (trades t JOIN quotes q WITHIN 5m ON t.symbol = q.symbol)",
    ]));
}

#[test]
fn nearest_rows() {
    expect![[r#"
        Sink terminal → terminal (price, bid), at least once, visible at once
          Project price, bid
            Inner join with the newest row at or before its time on symbol = symbol#2, 5s away at most; late rows are dropped
              Source trades ← scripted (symbol, price), ends; event time ts as auto in UTC, watermark 5s behind
              Project symbol AS symbol#2, bid
                Source quotes ← scripted (symbol, bid), ends; event time qts as auto in UTC, watermark 5s behind
    "#]]
    .assert_eq(&all_alike(&[
        "SELECT t.price, q.bid FROM trades t ASOF JOIN quotes q MATCH_CONDITION (t.ts >= q.qts) ON t.symbol = q.symbol WITHIN 5s",
        "SELECT t.price, q.bid FROM trades t ASOF JOIN quotes q MATCH_CONDITION (q.qts <= t.ts) USING (symbol) WITHIN 5s",
        "SELECT t.price, q.bid FROM trades t ASOF INNER JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.qts AND t.ts - q.qts <= INTERVAL '5' SECOND",
        "SELECT t.price, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND q.qts BETWEEN t.ts - INTERVAL '5' SECOND AND t.ts",
    ]));
}

#[test]
fn lookups_in_tables() {
    expect![[r#"
        Sink terminal → terminal (price, name), at least once, visible at once
          Project price, name
            Inner join with the table names as it is (results depend on when it runs) on symbol = symbol; missing rows are left out
              Source trades ← scripted (symbol, price), ends; event time ts as auto in UTC, watermark 5s behind
        Table names ← scripted (symbol, name), key symbol
    "#]]
    .assert_eq(&all_alike(&[
        "SELECT t.price, n.name FROM trades t JOIN names n ON t.symbol = n.symbol",
        "SELECT t.price, n.name FROM trades t INNER JOIN names n ON n.symbol = t.symbol AND TRUE",
        "SELECT t.price, n.name FROM trades t JOIN names n USING (symbol)",
        "SELECT t.price, n.name FROM trades t NATURAL JOIN names n",
        "SELECT t.price, n.name FROM trades t, names n WHERE t.symbol = n.symbol",
        "SELECT t.price, n.name FROM trades t JOIN names AS n (symbol, name) USING (symbol)",
    ]));
}
