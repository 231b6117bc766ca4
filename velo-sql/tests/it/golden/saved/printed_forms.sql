SELECT ts AT TIME ZONE STRING, zone, ts + INTERVAL '1' DAY AT TIME ZONE + 'UTC';
CREATE STREAM w WITH ('type' = 'file_source') AS SELECT a FROM x;
INSERT INTO w WITH (connector = 'x') SELECT a FROM x;
CREATE STREAM s AS SELECT id, EXTRACT('"select" YEAR', ts) FROM t;
