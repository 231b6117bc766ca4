-- SQL Application: trading
-- Version: 1.0
-- @name: trades          @description: all trades of the day
-- @metric: trades_total          @metric_type: counter
-- @metric_labels: symbol, venue  @metric_field: price     @metric_help: "number of trades"
-- @metric_buckets: 1, 5, 10      @metric_condition: price > 0
CREATE STREAM trades (symbol STRING, price DECIMAL(18,4), quantity BIGINT, ts BIGINT)
WITH (connector = 'kafka', topic = 'trades', format = 'json',
      'event.time.field' = 'ts', 'event.time.format' = 'epoch_millis');

CREATE STREAM big_trades AS SELECT * FROM trades_in WHERE quantity > 10000 EMIT CHANGES
WITH ('trades_in.type' = 'kafka_source', 'trades_in.topic.name' = 'trades',
      'big_trades.type' = 'file_sink', 'big_trades.path' = 'out/big.jsonl', 'big_trades.format' = 'json');

CREATE OR REPLACE STREAM IF NOT EXISTS s (a INT NOT NULL, b STRING DEFAULT 'x', c BIGINT AS a * 2, d AS UPPER(b), e TIMESTAMP(3) METADATA FROM 'timestamp' VIRTUAL, f STRING COMMENT 'the ''f''', WATERMARK FOR e AS e - INTERVAL '5' SECOND, PRIMARY KEY (a, b) NOT ENFORCED) WITH (connector = 'file', path = "in.csv");
CREATE TABLE users (id BIGINT PRIMARY KEY, name STRING, WATERMARK FOR payload.ts) WITH (connector = 'sql', url = '${DB_URL:?set it}', 'refresh.interval' = 5m, retries = 3, 'batch' = -1, enabled = true);
CREATE STREAM no_columns WITH (connector = 'kafka', topic = 't');
CREATE STREAM w WITH ('x.type' = 'file_source') AS SELECT a FROM x;
CREATE STREAM before_emit AS SELECT a FROM x WHERE a > 1 WITH ('x.type' = 'file_source') EMIT CHANGES;
CREATE TABLE totals AS SELECT symbol, SUM(price) AS total FROM trades GROUP BY symbol EMIT CHANGES;
CREATE TABLE named (a, b) AS SELECT 1, 2;
CREATE SINK out_file WITH (connector = 'file', path = 'out.json');
CREATE SINK typed (a INT, b STRING) WITH (connector = 'print');
CREATE VIEW v AS WITH x (a, b) AS (SELECT 1, 2), y AS (SELECT a FROM x) SELECT * FROM x, y;
CREATE VIEW v2 AS SELECT * FROM v;
CREATE FUNCTION mid(bid DECIMAL(18,4), ask DECIMAL(18,4)) RETURNS DECIMAL(18,4) AS (bid + ask) / 2;
CREATE OR REPLACE FUNCTION one() RETURNS INT AS 1;
CREATE STREAM "Quoted Name" (`back quoted` INT, "select" STRING) WITH (connector = 'print');
CREATE STREAM my.schema.s AS SELECT 1;
CREATE STREAM hist (a INT) COMMENT 'prices' WITH (connector = 'kafka', bootstrap.servers = 'a:9092', auto-offset-reset = earliest);
