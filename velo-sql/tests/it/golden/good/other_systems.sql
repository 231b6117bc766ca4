-- Flink
CREATE TABLE orders (
  order_id BIGINT,
  price DECIMAL(10, 2),
  order_time TIMESTAMP(3),
  proctime AS PROCTIME(),
  WATERMARK FOR order_time AS order_time - INTERVAL '5' SECOND,
  PRIMARY KEY (order_id) NOT ENFORCED
) WITH (
  'connector' = 'kafka',
  'topic' = 'orders',
  'properties.bootstrap.servers' = 'localhost:9092',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json'
);
INSERT INTO sink SELECT window_start, window_end, SUM(price) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(order_time), INTERVAL '10' MINUTES)) GROUP BY window_start, window_end;

-- ksqlDB
CREATE STREAM pageviews (viewtime BIGINT, userid VARCHAR KEY, pageid VARCHAR) WITH (KAFKA_TOPIC='pageviews', VALUE_FORMAT='JSON', TIMESTAMP='viewtime');
CREATE TABLE users (id VARCHAR PRIMARY KEY, name VARCHAR) WITH (KAFKA_TOPIC='users', VALUE_FORMAT='JSON');
CREATE TABLE per_region AS SELECT regionid, COUNT(*) AS n FROM pageviews p LEFT JOIN users u ON p.userid = u.id WINDOW TUMBLING (SIZE 1 HOUR, GRACE PERIOD 10 MINUTES) WHERE u.name LIKE 'a%' GROUP BY regionid HAVING COUNT(*) > 5 EMIT CHANGES;

-- velostream
-- @name: moving_average
-- @job_mode: simple
-- @parallelism: 4
CREATE STREAM moving_average AS
SELECT symbol, price,
  AVG(price) OVER (ROWS WINDOW BUFFER 100 ROWS PARTITION BY symbol ORDER BY event_time) AS ma, /* all rows */
  _event_time
FROM market_data -- the feed
WHERE price > 0
EMIT CHANGES
WITH (
  'market_data.type' = 'kafka_source',
  'market_data.config_file' = 'configs/market_data.yaml',
  'moving_average.type' = 'kafka_sink',
  'moving_average.config_file' = 'configs/ma.yaml'
);
CREATE STREAM test_stream AS SELECT id, EXTRACT('YEAR', ts) FROM test_source
WITH ('test_source.type' = 'kafka_source')
INTO test_sink
WITH ('test_sink.type' = 'kafka_sink', 'test_sink.topic' = 'output-topic');
CREATE STREAM test_stream AS SELECT id FROM test_source WHERE a WITH ('test_source.type' = 'kafka_source') INTO test_sink WITH ('test_sink.type' = 'kafka_sink');
