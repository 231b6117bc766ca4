SELECT status, metrics, properties, key, timestamp, date, time, version, start, rows, row, window, interval, map, array, struct, json, format, partition, emit, changes, final, first, last, filter, range, left, right, full, offset, at, end_time, language, value, values, data, size, gap, zone, job, stream, sink, view, table, tumble, session, hop, pattern, define, match, comment, metadata, watermark, primary, within, natural, semi, any, some, exists, extract, floor, trim, to, type, year, month, hour, minute FROM t;
SELECT a status, b key, c timestamp, d date, e value, f rows, g start, h version, i metrics, j properties, k type, l level, m session, n tumble FROM t;
SELECT a AS window, b AS emit, c AS left, d AS offset, e AS partition, f AS filter, g AS within, h AS primary FROM t;
SELECT t.select, t.from, t.order, t.group, t.end FROM t;
CREATE STREAM s (status STRING, key STRING, timestamp TIMESTAMP, date DATE, time TIME, window INT, rows BIGINT, start STRING, "order" INT, emit STRING, value DOUBLE, interval STRING, map MAP<STRING, INT>, array ARRAY<INT>, offset BIGINT, partition INT, primary STRING, watermark STRING, json JSON, comment STRING, row ROW<a INT>) WITH (connector = 'print', key.fields = 'key', select = 'x', 'a' = b);
SELECT key FROM status WHERE date > DATE '2024-01-01' AND timestamp > TIMESTAMP '2024-01-01' GROUP BY key, window HAVING value > 1 ORDER BY start;
SELECT * FROM window, rows r, first AS last;
SELECT date, COUNT(*) FROM events AS version GROUP BY date;
SELECT position, substring, cast, row FROM t;
