//! Results: on the terminal, in files, whole or not at all.

use expect_test::expect;

use crate::support::Folder;

const TRADES: &str = "symbol,price,quantity,ts
A,1.10,100,2024-01-01T00:00:01Z
B,7.00,5,2024-01-01T00:00:02Z
A,0.05,50,2024-01-01T00:00:59.5Z
A,2.00,10,2024-01-01T00:01:00Z
";

const SOURCE: &str = "CREATE STREAM trades (symbol STRING, price DECIMAL(18,4), quantity BIGINT, ts TIMESTAMP)
WITH (connector = 'file', path = 'trades.csv', format = 'csv', 'event.time.field' = 'ts');
";

fn folder() -> Folder {
    Folder::new().file("trades.csv", TRADES)
}

#[test]
fn a_table_on_the_terminal() {
    let out = folder().ran(&format!(
        "{SOURCE}SELECT symbol, _window_start AS minute, SUM(price) AS total, COUNT(*) AS n FROM trades GROUP BY symbol WINDOW TUMBLING(1m);"
    ));
    expect![[r#"
        symbol  minute                 total  n
        ───────────────────────────────────────
        A       2024-01-01T00:00:00Z  1.1500  2
        B       2024-01-01T00:00:00Z  7.0000  1
        A       2024-01-01T00:01:00Z  2.0000  1
        3 rows
    "#]]
    .assert_eq(&out);
}

#[test]
fn json_and_csv_for_machines() {
    let folder = folder()
        .file("q.sql", format!("{SOURCE}SELECT symbol, price * 2 AS twice, ts FROM trades WHERE quantity >= 50;"));
    let ran = folder.velo(&["run", "--output", "json", "q.sql"]);
    expect![[r#"
        {"symbol":"A","twice":2.2000,"ts":"2024-01-01T00:00:01Z"}
        {"symbol":"A","twice":0.1000,"ts":"2024-01-01T00:00:59.500Z"}
    "#]]
    .assert_eq(&ran.stdout);
    let ran = folder.velo(&["run", "--output", "csv", "q.sql"]);
    expect![[r#"
        symbol,twice,ts
        A,2.2000,2024-01-01T00:00:01Z
        A,0.1000,2024-01-01T00:00:59.500Z
    "#]]
    .assert_eq(&ran.stdout);
}

#[test]
fn a_filter_from_file_to_file() {
    let folder = folder();
    folder.ran(&format!(
        "{SOURCE}CREATE SINK big WITH (connector = 'file', path = 'out/big.jsonl', format = 'json');
INSERT INTO big SELECT symbol, price, quantity FROM trades WHERE quantity > 10;"
    ));
    expect![[r#"
        {"symbol":"A","price":1.1000,"quantity":100}
        {"symbol":"A","price":0.0500,"quantity":50}
    "#]]
    .assert_eq(&folder.read("out/big.jsonl"));
}

#[test]
fn both_spellings_of_a_binding() {
    let folder = folder();
    folder.ran(
        "CREATE STREAM big AS SELECT * FROM trades_in WHERE quantity > 10 EMIT CHANGES
WITH ('trades_in.type' = 'file_source', 'trades_in.path' = 'trades.csv', 'trades_in.format' = 'csv',
      'big.type' = 'file_sink', 'big.path' = 'big.csv', 'big.format' = 'csv');",
    );
    expect![[r#"
        symbol,price,quantity,ts
        A,1.10,100,2024-01-01T00:00:01Z
        A,0.05,50,2024-01-01T00:00:59.500Z
    "#]]
    .assert_eq(&folder.read("big.csv"));
}

#[test]
fn statements_feed_each_other() {
    let out = folder().ran(&format!(
        "{SOURCE}CREATE STREAM per_second AS SELECT symbol, SUM(quantity) AS q FROM trades GROUP BY symbol WINDOW TUMBLING(1s);
CREATE VIEW busy AS SELECT * FROM per_second WHERE q >= 10;
SELECT _window_end AS minute, SUM(q) AS q, COUNT(*) AS n FROM busy WINDOW TUMBLING(1m);"
    ));
    expect![[r#"
        minute                  q  n
        ────────────────────────────
        2024-01-01T00:01:00Z  150  2
        2024-01-01T00:02:00Z   10  1
        2 rows
    "#]]
    .assert_eq(&out);
}

#[test]
fn configuration_files_and_secrets() {
    let folder = folder()
        .file("base.yaml", "connector: file\nformat: csv\n")
        .file("own.yaml", "extends: base.yaml\npath: ${WHERE}\nevent.time:\n  field: ts\n")
        .file("secrets.env", "WHERE=trades.csv\n");
    let out = folder.ran(
        "SET secrets.file = 'secrets.env';
CREATE STREAM trades (symbol STRING, price DECIMAL(18,4), quantity BIGINT, ts TIMESTAMP) WITH (config_file = 'own.yaml');
SELECT MAX(price) AS top FROM trades WINDOW TUMBLING(1h);",
    );
    expect![[r#"
           top
        ──────
        7.0000
        1 row
    "#]]
    .assert_eq(&out);
}

#[test]
fn results_do_not_depend_on_batches_threads_or_parallelism() {
    let rows: String = (0..500)
        .map(|row| {
            format!(
                "S{},{}.{:02},{},{}\n",
                row % 7,
                row % 13,
                row % 100,
                row,
                1_704_067_200_000_i64 + i64::from(row * 37 % 400) * 500
            )
        })
        .collect();
    let folder = Folder::new().file("t.csv", format!("symbol,price,quantity,ts\n{rows}")).file(
        "q.sql",
        "CREATE STREAM t (symbol STRING, price DECIMAL(10,2), quantity BIGINT, ts BIGINT)
WITH (connector = 'file', path = 't.csv', format = 'csv', 'event.time.field' = 'ts', 'watermark.max_out_of_orderness' = '10m');
SELECT symbol, _window_start AS s, FIRST(price) AS f, LAST(price) AS l, SUM(price) AS t, AVG(quantity) AS a, COUNT(DISTINCT quantity % 5) AS d
FROM t GROUP BY symbol WINDOW SLIDING(30s, 10s);",
    );
    let mut all = Vec::new();
    for rows in ["1", "2", "8192"] {
        for parallelism in ["1", "2", "8"] {
            let ran = folder.velo(&[
                "run",
                "q.sql",
                "--output",
                "csv",
                "--batch-rows",
                rows,
                "--parallelism",
                parallelism,
                "--threads",
                "2",
            ]);
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            let mut lines: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
            lines.sort();
            all.push(lines);
        }
    }
    assert!(all[0].len() > 100, "{}", all[0].len());
    assert!(all.iter().all(|lines| *lines == all[0]));
}

#[test]
fn a_parquet_file_comes_back_as_it_was() {
    let folder = Folder::new().file(
        "in.jsonl",
        r#"{"id":1,"price":1.10,"at":"2024-01-01T00:00:01.000001Z","fine":"2024-01-01T00:00:01.123456789Z","day":"1582-10-15","tags":["a",null],"doc":{"k":1},"who":{"name":"Zoë","n":2},"m":{"x":1}}
{"id":2,"price":null,"at":"1969-12-31T23:59:59.999999Z"}
"#,
    );
    let columns = "id INT, price DECIMAL(18,4), at TIMESTAMP, fine TIMESTAMP(9), day DATE, tags ARRAY<STRING>, doc JSON, \
                   who STRUCT<name STRING, n BIGINT>, m MAP<STRING, INT>";
    folder.ran(&format!(
        "CREATE STREAM rows ({columns}) WITH (connector = 'file', path = 'in.jsonl');
         CREATE SINK out WITH (connector = 'file', path = 'out.parquet', 'parquet.compression' = 'snappy');
         CREATE SINK parts WITH (connector = 'file', path = 'parts', format = 'parquet', 'partition.by' = 'id');
         INSERT INTO out SELECT * FROM rows;
         INSERT INTO parts SELECT id, price FROM rows;"
    ));
    let back = folder.file(
        "back.sql",
        "CREATE STREAM rows WITH (connector = 'file', path = 'out.parquet', 'event.time.field' = 'at');
         CREATE SINK back WITH (connector = 'file', path = 'back.jsonl');
         CREATE STREAM parts WITH (connector = 'file', path = 'parts/*/*.parquet');
         CREATE SINK ids WITH (connector = 'file', path = 'ids.csv');
         INSERT INTO back SELECT * FROM rows;
         INSERT INTO ids SELECT id, price, _line FROM parts;",
    );
    let ran = back.velo(&["run", "back.sql"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    expect![[r#"
        {"id":1,"price":1.1000,"at":"2024-01-01T00:00:01.000001Z","fine":"2024-01-01T00:00:01.123456789Z","day":"1582-10-15","tags":["a",null],"doc":{"k":1},"who":{"name":"Zoë","n":2},"m":{"x":1}}
        {"id":2,"price":null,"at":"1969-12-31T23:59:59.999999Z","fine":null,"day":null,"tags":null,"doc":null,"who":null,"m":null}
    "#]]
    .assert_eq(&back.read("back.jsonl"));
    expect![[r#"
        id,price,_line
        1,1.1000,1
        2,,1
    "#]]
    .assert_eq(&back.read("ids.csv"));
}
