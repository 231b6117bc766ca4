//! The rows over which expressions are evaluated, for both sides.

/// As Velo declares them.
pub const COLUMNS: &str = "id INT, b1 BOOLEAN, n2 SMALLINT, n4 INT, n8 BIGINT, f8 DOUBLE, d4 DECIMAL(18,4), d2 DECIMAL(10,2), \
     s1 STRING, s2 STRING, dy DATE, ts TIMESTAMP, ia ARRAY<INT>, js STRING";

/// The same rows.
pub const ROWS: &str = r#"
id b1 n2 n4 n8 f8 d4 d2 s1 s2 dy ts ia js
1 true 12 4711 123456789012 2.5 1234.5678 99.95 "Hello World" abc 2024-02-29 2024-02-29T12:34:56.789012Z [3,1,2] "{\"a\": {\"b\": [10, \"x\"]}, \"n\": 1.50}"
2 false -7 -250 -9876543210 -0.125 -0.0050 -12.50 a_b%c "" 1969-12-31 1969-12-31T23:59:59.999999Z [7] "[1, 2.0, null]"
3 NULL 0 0 0 0 0.0000 0.00 "" "Äpfel ß" 1600-03-01 1600-02-29T00:00:00Z [null,5] "\"text\""
4 NULL NULL NULL NULL NULL NULL NULL NULL NULL NULL NULL NULL NULL
"#;
