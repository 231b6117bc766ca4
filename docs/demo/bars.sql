-- One-minute bars of EUR/USD from an hour of real ticks. Run it from the root of the repository:
--
--   velo run docs/demo/bars.sql
--
-- `cargo xtask demo` runs it and sets the bars beside those that the vendor of the ticks publishes.
CREATE STREAM ticks (
  ts BIGINT,
  ask DECIMAL(18, 5),
  bid DECIMAL(18, 5),
  ask_volume DECIMAL(18, 2),
  bid_volume DECIMAL(18, 2)
)
WITH (
  connector = 'file',
  path = 'docs/demo/data/eurusd-ticks.csv',
  format = 'csv',
  'event.time.field' = 'ts',
  'event.time.format' = 'epoch_millis'
);

SELECT
  _window_start AS minute,
  FIRST(bid) AS open,
  MAX(bid) AS high,
  MIN(bid) AS low,
  LAST(bid) AS close,
  SUM(bid_volume) AS volume
FROM ticks
WINDOW TUMBLING(1m);
