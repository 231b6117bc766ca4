//! Formats: tables of texts and the times that they mean.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use arrow_array::types::Int64Type;
use arrow_array::{
    Array, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, LargeStringArray,
    PrimitiveArray, StringArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
};
use chrono_tz::Tz;
use velo_core::Place;
use velo_core::time::iso8601;
use velo_eventtime::{
    EventTimeErrorKind, Extracted, Extractor, Format, TimestampParser, Zone, parse_date, parse_timestamp,
    parse_timestamp_nanos,
};

use EventTimeErrorKind::{
    AmbiguousTimezone, AutoDetectFailed, InvalidTimestamp, MissingField, ParseError, TypeMismatch,
};

fn place(row: usize) -> Place {
    Place::Line { path: "trades.jsonl".to_owned(), line: row as u64 + 1 }
}

fn extract(format: &str, zone: Tz, column: &dyn Array) -> Extracted {
    Extractor::new("trades", "ts", Format::parse(format).unwrap(), zone).extract(column, &place, None)
}

/// One text by a format, through a column, as ISO 8601.
fn one(format: &str, zone: Tz, text: &str) -> Result<String, EventTimeErrorKind> {
    let extracted = extract(format, zone, &StringArray::from(vec![text]));
    match extracted.errors.first() {
        Some((0, error)) => {
            assert!(extracted.times.is_null(0));
            Err(error.kind)
        }
        _ => Ok(iso8601(extracted.times.value(0))),
    }
}

#[track_caller]
fn table(cases: &[(&str, Tz, &str, Result<&str, EventTimeErrorKind>)]) {
    for (format, zone, text, expected) in cases {
        let expected = expected.map(str::to_owned);
        assert_eq!(one(format, *zone, text), expected, "'{text}' as {format} in {zone}");
    }
}

#[test]
fn iso8601_texts() {
    let utc = Tz::UTC;
    let cases = [
        // RFC 3339, section 5.8.
        ("1985-04-12T23:20:50.52Z", Ok("1985-04-12T23:20:50.520Z")),
        ("1996-12-19T16:39:57-08:00", Ok("1996-12-20T00:39:57Z")),
        ("1990-12-31T23:59:60Z", Ok("1991-01-01T00:00:00Z")),
        ("1990-12-31T15:59:60-08:00", Ok("1991-01-01T00:00:00Z")),
        ("1937-01-01T12:00:27.87+00:20", Ok("1937-01-01T11:40:27.870Z")),
        // Forms.
        ("2024-05-06T07:08:09Z", Ok("2024-05-06T07:08:09Z")),
        ("2024-05-06t07:08:09z", Ok("2024-05-06T07:08:09Z")),
        ("2024-05-06 07:08:09Z", Ok("2024-05-06T07:08:09Z")),
        ("2024-05-06T07:08:09", Ok("2024-05-06T07:08:09Z")),
        ("2024-05-06 07:08", Ok("2024-05-06T07:08:00Z")),
        ("2024-05-06", Ok("2024-05-06T00:00:00Z")),
        ("2024-05-06T07:08:09+02", Ok("2024-05-06T05:08:09Z")),
        ("2024-05-06T07:08:09+0200", Ok("2024-05-06T05:08:09Z")),
        ("2024-05-06T07:08:09.5+02:00", Ok("2024-05-06T05:08:09.500Z")),
        ("2024-05-06 07:08:09 +02:00", Ok("2024-05-06T05:08:09Z")),
        ("2024-05-06T07:08:09-00:00", Ok("2024-05-06T07:08:09Z")),
        ("2024-05-06T07:08:09,25Z", Ok("2024-05-06T07:08:09.250Z")),
        ("20240506T070809Z", Ok("2024-05-06T07:08:09Z")),
        ("20240506T0708+0100", Ok("2024-05-06T06:08:00Z")),
        ("2024-05-06T24:00:00Z", Ok("2024-05-07T00:00:00Z")),
        ("2024-05-06T07:08:09+02:00[Europe/Berlin]", Ok("2024-05-06T05:08:09Z")),
        (" 2024-05-06T07:08:09Z ", Ok("2024-05-06T07:08:09Z")),
        ("2024-05-06T07:08:09.1234567890123456789Z", Ok("2024-05-06T07:08:09.123456Z")),
        ("2024-05-06T07:08:09.0000009Z", Ok("2024-05-06T07:08:09Z")),
        // Before 1970 cut digits floor as well.
        ("1969-12-31T23:59:59.9999999Z", Ok("1969-12-31T23:59:59.999999Z")),
        ("0000-01-01T00:00:00Z", Ok("0000-01-01T00:00:00Z")),
        ("-0001-12-31T23:59:59Z", Ok("-0001-12-31T23:59:59Z")),
        ("+12024-02-29T00:00:00Z", Ok("+12024-02-29T00:00:00Z")),
        ("9999-12-31T23:59:59.999999Z", Ok("9999-12-31T23:59:59.999999Z")),
        ("2024-02-29T00:00:00Z", Ok("2024-02-29T00:00:00Z")),
        ("2000-02-29T00:00:00Z", Ok("2000-02-29T00:00:00Z")),
        // There is no such time.
        ("1900-02-29T00:00:00Z", Err(InvalidTimestamp)),
        ("2023-02-29T00:00:00Z", Err(InvalidTimestamp)),
        ("2024-13-01T00:00:00Z", Err(InvalidTimestamp)),
        ("2024-00-01T00:00:00Z", Err(InvalidTimestamp)),
        ("2024-01-00T00:00:00Z", Err(InvalidTimestamp)),
        ("2024-04-31", Err(InvalidTimestamp)),
        ("2024-01-01T25:00:00Z", Err(InvalidTimestamp)),
        ("2024-01-01T24:00:01Z", Err(InvalidTimestamp)),
        ("2024-01-01T00:60:00Z", Err(InvalidTimestamp)),
        ("2024-01-01T00:00:61Z", Err(InvalidTimestamp)),
        ("2024-01-01T00:00:60Z", Err(InvalidTimestamp)),
        ("2024-01-01T00:00:00+24:00", Err(InvalidTimestamp)),
        ("+999999-01-01T00:00:00Z", Err(InvalidTimestamp)),
        // It is no ISO 8601.
        ("", Err(ParseError)),
        ("not-a-date", Err(ParseError)),
        ("2024-05", Err(ParseError)),
        ("2024-5-6T07:08:09Z", Err(ParseError)),
        ("06/05/2024", Err(ParseError)),
        ("2024-05-06T", Err(ParseError)),
        ("2024-05-06T07", Err(ParseError)),
        ("2024-05-06T07:08:09.Z", Err(ParseError)),
        ("2024-05-06T07:08:09ZZ", Err(ParseError)),
        ("2024-05-06T07:08:09Zx", Err(ParseError)),
        ("2024-05-06_07:08:09Z", Err(ParseError)),
        ("2024-05-06T07-08-09Z", Err(ParseError)),
        ("2024-05-06T07:08:09+2", Err(ParseError)),
        ("2024-05-06T07:08:09[Europe/Berlin]", Err(ParseError)),
        ("２０２４-05-06T07:08:09Z", Err(ParseError)),
        ("1704067200000", Err(TypeMismatch)),
        ("1704067200.5", Err(TypeMismatch)),
    ];
    table(&cases.map(|(text, expected)| ("iso8601", utc, text, expected)));
    // Without a format all of these but the numbers mean the same; what is no ISO 8601 could not be detected.
    for (text, expected) in cases {
        let expected = match expected {
            Err(TypeMismatch) => continue,
            Err(ParseError) => Err(AutoDetectFailed),
            other => other.map(str::to_owned),
        };
        assert_eq!(one("auto", utc, text), expected, "'{text}' detected");
    }
}

#[test]
fn epoch_texts() {
    table(
        &[
            ("epoch_millis", "1704067200123", Ok("2024-01-01T00:00:00.123Z")),
            ("epoch_millis", "1704067200123.4567", Ok("2024-01-01T00:00:00.123456Z")),
            ("epoch_millis", "1.704067200123e12", Ok("2024-01-01T00:00:00.123Z")),
            ("epoch_millis", "0", Ok("1970-01-01T00:00:00Z")),
            ("epoch_millis", "-0.0001", Ok("1969-12-31T23:59:59.999999Z")),
            ("epoch_seconds", "1704067200", Ok("2024-01-01T00:00:00Z")),
            ("epoch", "1704067200.999999999", Ok("2024-01-01T00:00:00.999999Z")),
            ("EPOCH_SECONDS", " 1704067200 ", Ok("2024-01-01T00:00:00Z")),
            ("epoch_micros", "1704067200123456", Ok("2024-01-01T00:00:00.123456Z")),
            ("epoch_micros", "1704067200123456.9", Ok("2024-01-01T00:00:00.123456Z")),
            ("epoch_nanos", "1704067200123456789", Ok("2024-01-01T00:00:00.123456Z")),
            ("epoch_nanos", "-1.5", Ok("1969-12-31T23:59:59.999999Z")),
            ("%s", "-1", Ok("1969-12-31T23:59:59Z")),
            ("auto", "1704067200123", Ok("2024-01-01T00:00:00.123Z")),
            ("auto", "-1", Ok("1969-12-31T23:59:59.999Z")),
            ("auto", "1704067200123.5", Ok("2024-01-01T00:00:00.123500Z")),
            ("auto", "99999999999999999999", Err(InvalidTimestamp)),
            ("auto", "yesterday", Err(AutoDetectFailed)),
            ("epoch_millis", "2024-01-01T00:00:00Z", Err(ParseError)),
            ("epoch_millis", "", Err(ParseError)),
            ("epoch_millis", "NaN", Err(ParseError)),
            ("epoch_millis", "0x10", Err(ParseError)),
            ("epoch_millis", "true", Err(TypeMismatch)),
            ("epoch_millis", "{\"a\":1}", Err(TypeMismatch)),
            ("epoch_millis", "[1]", Err(TypeMismatch)),
            ("epoch_seconds", "1e300", Err(InvalidTimestamp)),
            ("epoch_micros", "9223372036854775807", Err(InvalidTimestamp)),
            ("epoch_micros", "-9223372036854775808", Err(InvalidTimestamp)),
        ]
        .map(|(format, text, expected)| (format, Tz::UTC, text, expected)),
    );
}

#[test]
fn bc_31_fractions_floored_as_event_time_and_as_literal_alike() {
    for (text, zone, expected) in [
        ("2024-05-06T07:08:09.1Z", Tz::UTC, "2024-05-06T07:08:09.100Z"),
        ("2024-05-06T07:08:09.123456Z", Tz::UTC, "2024-05-06T07:08:09.123456Z"),
        ("2024-05-06T07:08:09.123456789Z", Tz::UTC, "2024-05-06T07:08:09.123456Z"),
        ("2024-05-06 07:08:09.000001+02:00", Tz::UTC, "2024-05-06T05:08:09.000001Z"),
        ("2024-05-06T07:08:09", Tz::Asia__Tokyo, "2024-05-05T22:08:09Z"),
        ("1969-12-31T23:59:59.9999999Z", Tz::UTC, "1969-12-31T23:59:59.999999Z"),
    ] {
        assert_eq!(one("iso8601", zone, text).as_deref(), Ok(expected));
        assert_eq!(one("auto", zone, text).as_deref(), Ok(expected));
        assert_eq!(parse_timestamp(text, zone).map(iso8601).as_deref(), Ok(expected));
        let nanos = parse_timestamp_nanos(text, zone).unwrap();
        assert_eq!(iso8601(nanos.div_euclid(1_000)), expected);
    }
    assert_eq!(parse_timestamp_nanos("1970-01-01T00:00:00.1234567899Z", Tz::UTC), Ok(123_456_789));
    assert_eq!(parse_timestamp_nanos("2262-04-11T23:47:16.854775807Z", Tz::UTC), Ok(i64::MAX));
    assert_eq!(parse_timestamp_nanos("2262-04-11T23:47:16.854775808Z", Tz::UTC).unwrap_err().kind, InvalidTimestamp);
    assert_eq!(parse_timestamp_nanos("1677-09-21T00:12:43.145224192Z", Tz::UTC), Ok(i64::MIN));
}

#[test]
fn bc_32_negative_epoch_numbers() {
    for (format, value, expected) in [
        ("epoch_millis", -1, "1969-12-31T23:59:59.999Z"),
        ("epoch_micros", -1, "1969-12-31T23:59:59.999999Z"),
        ("epoch_nanos", -1, "1969-12-31T23:59:59.999999Z"),
        ("epoch_millis", -1_500, "1969-12-31T23:59:58.500Z"),
        ("epoch_seconds", -2_208_988_800, "1900-01-01T00:00:00Z"),
    ] {
        let column = Int64Array::from(vec![value]);
        let extracted = extract(format, Tz::UTC, &column);
        assert_eq!(extracted.errors, vec![]);
        assert_eq!(iso8601(extracted.times.value(0)), expected);
        assert_eq!(one(format, Tz::UTC, &value.to_string()).as_deref(), Ok(expected));
    }
    let extracted = extract("epoch_millis", Tz::UTC, &Int64Array::from(vec![0, i64::MIN]));
    assert_eq!(extracted.errors.len(), 1);
    let (row, error) = &extracted.errors[0];
    assert_eq!((*row, error.kind), (1, InvalidTimestamp));
    expect_test::expect![[
        "InvalidTimestamp: event time 'ts' of trades: '-9223372036854775808' is out of range; expected epoch milliseconds (at \
         trades.jsonl:2)"
    ]]
    .assert_eq(&error.to_string());
    assert_eq!(extract("auto", Tz::UTC, &TimestampMillisecondArray::from(vec![-1_500])).times.value(0), -1_500_000);
    assert_eq!(one("iso8601", Tz::UTC, "1900-01-01 00:00:00").as_deref(), Ok("1900-01-01T00:00:00Z"));
}

#[test]
fn pattern_texts() {
    let new_york = Tz::America__New_York;
    table(&[
        ("%Y-%m-%d %H:%M:%S%.3f", Tz::UTC, "2024-05-06 07:08:09.123", Ok("2024-05-06T07:08:09.123Z")),
        ("%Y-%m-%d %H:%M:%S%.3f", Tz::UTC, "2024-05-06 07:08:09.1234", Err(ParseError)),
        ("%Y-%m-%d %H:%M:%S%.3f", Tz::UTC, "2024-05-06 07:08:09", Ok("2024-05-06T07:08:09Z")),
        ("%Y-%m-%d %H:%M:%S", Tz::UTC, "2024-05-06 07:08:09.5", Err(ParseError)),
        ("%Y-%m-%d %H:%M:%S", Tz::UTC, "2024-05-06T07:08:09", Err(ParseError)),
        ("%Y-%m-%d %H:%M:%S", Tz::UTC, "2024-05-06 07:08:09Z", Err(ParseError)),
        ("%Y-%m-%d %H:%M:%S.%f", Tz::UTC, "2024-05-06 07:08:09.5", Ok("2024-05-06T07:08:09.500Z")),
        ("%Y-%m-%d %H:%M:%S,%3f", Tz::UTC, "2024-05-06 07:08:09,250", Ok("2024-05-06T07:08:09.250Z")),
        ("%Y-%m-%dT%H:%M:%SZ", new_york, "2024-05-06T07:08:09Z", Ok("2024-05-06T07:08:09Z")),
        ("%d.%m.%Y %H:%M:%SZ", new_york, "06.05.2024 07:08:09Z", Ok("2024-05-06T07:08:09Z")),
        ("%Y-%m-%dT%H:%M:%S%z", new_york, "2024-05-06T07:08:09+02:00", Ok("2024-05-06T05:08:09Z")),
        ("%Y-%m-%dT%H:%M:%S%z", new_york, "2024-05-06T07:08:09+0200", Ok("2024-05-06T05:08:09Z")),
        ("%Y-%m-%dT%H:%M:%S%z", new_york, "2024-05-06T07:08:09Z", Ok("2024-05-06T07:08:09Z")),
        ("%Y-%m-%dT%H:%M:%S%z", new_york, "2024-05-06T07:08:09", Err(ParseError)),
        ("%d/%b/%Y:%H:%M:%S %z", Tz::UTC, "10/Oct/2000:13:55:36 -0700", Ok("2000-10-10T20:55:36Z")),
        ("%+", Tz::UTC, "2024-05-06T07:08:09.5+02:00", Ok("2024-05-06T05:08:09.500Z")),
        ("%Y-%m-%d", Tz::UTC, "2024-05-06", Ok("2024-05-06T00:00:00Z")),
        ("%Y-%m-%d", new_york, "2024-05-06", Ok("2024-05-06T04:00:00Z")),
        ("%m/%d/%y", new_york, "01/15/24", Ok("2024-01-15T05:00:00Z")),
        ("%Y%m%d", Tz::UTC, "20240506", Ok("2024-05-06T00:00:00Z")),
        ("%Y%m%d%H%M%S%3f", Tz::UTC, "20240506070809123", Ok("2024-05-06T07:08:09.123Z")),
        ("%Y-%m-%dT%H", Tz::UTC, "2024-05-06T07", Ok("2024-05-06T07:00:00Z")),
        ("%d %B %Y %I:%M %p", Tz::UTC, "6 May 2024 07:08 PM", Ok("2024-05-06T19:08:00Z")),
        ("%Y-%j", Tz::UTC, "2024-127", Ok("2024-05-06T00:00:00Z")),
        ("%G-W%V-%u", Tz::UTC, "2024-W19-1", Ok("2024-05-06T00:00:00Z")),
        ("%a, %d %b %Y %H:%M:%S %z", Tz::UTC, "Mon, 06 May 2024 07:08:09 GMT", Err(ParseError)),
        ("%a %d %b %Y", Tz::UTC, "Tue 06 May 2024", Err(InvalidTimestamp)),
        ("%Y-%m-%d %H:%M:%S", Tz::UTC, "2024-02-30 00:00:00", Err(InvalidTimestamp)),
        ("%Y-%m-%d %H:%M:%S", Tz::UTC, "2024-13-01 00:00:00", Err(InvalidTimestamp)),
        ("%Y-%m-%d %H:%M:%S", Tz::UTC, "2024-05-06", Err(ParseError)),
        ("%Y-%m-%d %H:%M:%S", Tz::UTC, "2016-12-31 23:59:60", Ok("2017-01-01T00:00:00Z")),
        ("%Y-%m-%d%%%H:%M", Tz::UTC, "2024-05-06%07:08", Ok("2024-05-06T07:08:00Z")),
    ]);
}

#[test]
fn local_times() {
    let new_york = Tz::America__New_York;
    table(&[
        ("iso8601", new_york, "2024-01-15T09:30:00", Ok("2024-01-15T14:30:00Z")),
        ("iso8601", new_york, "2024-07-15 09:30:00", Ok("2024-07-15T13:30:00Z")),
        ("iso8601", new_york, "2024-07-15 09:30:00Z", Ok("2024-07-15T09:30:00Z")),
        ("iso8601", new_york, "2024-03-10T01:59:59", Ok("2024-03-10T06:59:59Z")),
        ("iso8601", new_york, "2024-03-10T02:00:00", Err(AmbiguousTimezone)),
        ("iso8601", new_york, "2024-03-10T02:59:59.9", Err(AmbiguousTimezone)),
        ("iso8601", new_york, "2024-03-10T03:00:00", Ok("2024-03-10T07:00:00Z")),
        ("iso8601", new_york, "2024-11-03T00:59:59", Ok("2024-11-03T04:59:59Z")),
        ("iso8601", new_york, "2024-11-03T01:30:00", Err(AmbiguousTimezone)),
        ("iso8601", new_york, "2024-11-03T01:30:00-04:00", Ok("2024-11-03T05:30:00Z")),
        ("iso8601", new_york, "2024-11-03T02:00:00", Ok("2024-11-03T07:00:00Z")),
        ("auto", Tz::Europe__Berlin, "2024-03-31 02:30:00", Err(AmbiguousTimezone)),
        ("%Y-%m-%d %H:%M", Tz::Europe__Berlin, "2024-10-27 02:30", Err(AmbiguousTimezone)),
        ("%Y-%m-%d %H:%M:%S%.f", Tz::Europe__Berlin, "2024-10-27 03:30:00.25", Ok("2024-10-27T02:30:00.250Z")),
        ("iso8601", Tz::Asia__Kathmandu, "2024-05-06T00:00:00", Ok("2024-05-05T18:15:00Z")),
        ("iso8601", Tz::Pacific__Apia, "2011-12-30T12:00:00", Err(AmbiguousTimezone)),
        // Midnight that a change of the clocks skips.
        ("iso8601", Tz::America__Sao_Paulo, "2018-11-04", Err(AmbiguousTimezone)),
        // The zone is for values without an offset only.
        ("epoch_millis", new_york, "0", Ok("1970-01-01T00:00:00Z")),
    ]);
}

#[test]
fn planning_refuses() {
    let message = |text| Format::parse(text).unwrap_err();
    expect_test::expect![["'yyyy-MM-dd' is a pattern in Java's notation: write '%Y-%m-%d'"]]
        .assert_eq(&message("yyyy-MM-dd"));
    for (text, part) in [
        ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "write '%Y-%m-%dT%H:%M:%S%.3f%:z'"),
        ("%Q", "'%Q'"),
        ("%Y-%m-%d %", "'%'"),
        ("%Y-%m-%d %5f", "'%5f'"),
        ("%b %d %H:%M:%S", "no year"),
        ("%H:%M:%S", "no year"),
        ("%Y", "no month"),
        ("%Y-%m", "no day"),
        ("%Y-%m-%d %I:%M", "(%p)"),
        ("%Y-%m-%d %M", "no hour"),
        ("%Y-%m-%d %H %S", "no minute"),
        ("%Y-%m-%d %H:%M%.3f", "no second"),
        ("%Y-%m-%d %H:%M,%3f", "no second"),
        ("%Y-%m-%d %H:%M:%S %Z", "event.time.zone"),
        ("%Y-%m-%d %H:%M:%S,%f", "%3f"),
        ("epoch_milis", "did you mean 'epoch_millis'?"),
        ("rfc3339", "write iso8601"),
        ("unix", "write epoch_seconds"),
        ("", "is no format"),
        ("nonsense", "is no format"),
    ] {
        let found = message(text);
        assert!(found.contains(part), "'{text}': {found}");
    }
    for text in ["auto", "epoch_millis", "epoch", "ISO8601", "%Y-%m-%d", "%c", "%s", "%Y-%m-%d %T%.f %z", "%s %z"] {
        let format = Format::parse(text).unwrap();
        assert_eq!(Format::parse(&format.to_string()), Ok(format), "{text}");
    }
}

#[test]
fn columns_of_all_types() {
    let at = |format: &str, column: &dyn Array| {
        let extracted = extract(format, Tz::UTC, column);
        assert_eq!(extracted.errors, vec![], "{format}");
        assert_eq!(extracted.times.nulls(), None);
        iso8601(extracted.times.value(0))
    };
    assert_eq!(at("auto", &Int64Array::from(vec![1_704_067_200_123])), "2024-01-01T00:00:00.123Z");
    assert_eq!(at("epoch", &Int32Array::from(vec![1_704_067_200])), "2024-01-01T00:00:00Z");
    assert_eq!(at("epoch_nanos", &UInt64Array::from(vec![10_000_000_000_000_000_000])), "2286-11-20T17:46:40Z");
    assert_eq!(at("epoch", &Float64Array::from(vec![1_704_067_200.123])), "2024-01-01T00:00:00.123Z");
    assert_eq!(at("epoch", &Float64Array::from(vec![-0.5])), "1969-12-31T23:59:59.500Z");
    let decimal = Decimal128Array::from(vec![1_704_067_200_123_456_789]).with_precision_and_scale(38, 9).unwrap();
    assert_eq!(at("epoch", &decimal), "2024-01-01T00:00:00.123456Z");
    let negative = Decimal128Array::from(vec![-1]).with_precision_and_scale(38, 9).unwrap();
    assert_eq!(at("epoch", &negative), "1969-12-31T23:59:59.999999Z");
    assert_eq!(at("iso8601", &LargeStringArray::from(vec!["2024-01-01"])), "2024-01-01T00:00:00Z");
    assert_eq!(at("%Y%m%d", &Int32Array::from(vec![20_240_506])), "2024-05-06T00:00:00Z");
    // Typed times are themselves, whatever the format is.
    assert_eq!(at("epoch", &TimestampNanosecondArray::from(vec![-1])), "1969-12-31T23:59:59.999999Z");
    assert_eq!(
        at("auto", &TimestampMillisecondArray::from(vec![1]).with_timezone("+02:00")),
        "1970-01-01T00:00:00.001Z"
    );
    assert_eq!(at("auto", &Date32Array::from(vec![-1])), "1969-12-31T00:00:00Z");
    let midnight = extract("auto", Tz::America__New_York, &Date32Array::from(vec![0])).times.value(0);
    assert_eq!(iso8601(midnight), "1970-01-01T05:00:00Z");
}

#[test]
fn row_errors_name_everything() {
    let fields = |_: usize| vec!["id".to_owned(), "price".to_owned()];
    let extractor = Extractor::new("trades", "payload.ts", Format::Auto, Tz::UTC);
    let column = StringArray::from(vec![Some("0"), None, Some("soon"), Some("2024-02-30")]);
    let extracted = extractor.extract(&column, &place, Some(&fields));
    assert_eq!(extracted.times.iter().map(|time| time.is_some()).collect::<Vec<_>>(), [true, false, false, false]);
    let messages =
        extracted.errors.iter().map(|(row, e)| format!("{row} {}: {e}", e.code())).collect::<Vec<_>>().join("\n");
    expect_test::expect![[r#"
        1 event-time-missing-field: MissingField: event time 'payload.ts' of trades: the value is null or missing; expected epoch milliseconds or ISO 8601 such as 2024-01-31T10:00:00Z; the record has id, price (at trades.jsonl:2)
        2 event-time-auto-detect-failed: AutoDetectFailed: event time 'payload.ts' of trades: 'soon' is neither a number nor ISO 8601; set event.time.format; expected epoch milliseconds or ISO 8601 such as 2024-01-31T10:00:00Z (at trades.jsonl:3)
        3 event-time-invalid-timestamp: InvalidTimestamp: event time 'payload.ts' of trades: '2024-02-30' has day 30, which 2024-02 does not have; expected epoch milliseconds or ISO 8601 such as 2024-01-31T10:00:00Z (at trades.jsonl:4)"#]]
    .assert_eq(&messages);

    let kinds = |format: &str, column: &dyn Array| {
        extract(format, Tz::UTC, column).errors.iter().map(|(row, error)| (*row, error.kind)).collect::<Vec<_>>()
    };
    assert_eq!(kinds("iso8601", &Int64Array::from(vec![Some(1), None])), [(0, TypeMismatch), (1, MissingField)]);
    assert_eq!(kinds("epoch", &Float64Array::from(vec![f64::NAN, f64::INFINITY, 1e300])).len(), 3);
    assert_eq!(kinds("auto", &BooleanArray::from(vec![Some(true), None])), [(0, TypeMismatch), (1, MissingField)]);
    assert_eq!(kinds("auto", &arrow_array::NullArray::new(2)), [(0, MissingField), (1, MissingField)]);
    assert_eq!(kinds("epoch_millis", &Int64Array::from(vec![Some(1), None, Some(2)])), [(1, MissingField)]);
    // What lies under a null does not matter.
    let hidden: PrimitiveArray<Int64Type> =
        PrimitiveArray::new(vec![i64::MIN, 5].into(), Some(arrow_buffer::NullBuffer::from(vec![false, true])));
    let extracted = extract("epoch_millis", Tz::UTC, &hidden);
    assert_eq!((extracted.times.value(1), extracted.errors.len()), (5_000, 1));
    let long = "x".repeat(1_000);
    let extracted = extract("iso8601", Tz::UTC, &StringArray::from(vec![long.as_str()]));
    assert!(extracted.errors[0].1.to_string().len() < 400);
    assert_eq!(extracted.errors[0].1.value.as_deref(), Some(long.as_str()));
}

#[test]
fn dates() {
    for (text, expected) in
        [("2024-01-31", Ok(19_753)), ("1970-01-01", Ok(0)), ("1969-12-31", Ok(-1)), (" 2024-01-31 ", Ok(19_753))]
    {
        assert_eq!(parse_date(text), expected);
    }
    for (text, kind) in [
        ("2024-02-30", InvalidTimestamp),
        ("2024-01-31T00:00:00", ParseError),
        ("20240131", ParseError),
        ("31.01.2024", ParseError),
        ("", ParseError),
    ] {
        assert_eq!(parse_date(text).unwrap_err().kind, kind, "{text}");
    }
}

/// The fixed layout and the general way agree, on every text that is nearly of the layout.
#[test]
fn the_quick_way_equals_the_general_one() {
    let mut random = velo_eventtime::fuzz::Random::new(11);
    let patterns = [
        "%Y-%m-%dT%H:%M:%S%.fZ",
        "%Y-%m-%d %H:%M:%S%.3f",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S%:z",
        "%F",
        "%FT%T%.6f",
    ];
    // The same patterns, written so that they are no known layout.
    let general =
        patterns.map(|pattern| pattern.replace("%Y", "%-Y").replace("%F", "%-Y-%m-%d").replace("%T", "%H:%M:%S"));
    for zone in [Tz::UTC, Tz::America__New_York] {
        let mut iso = TimestampParser::iso8601(zone);
        for _ in 0..20_000 {
            let micros = (random.below(1 << 52)) as i64 - (1 << 50);
            let mut text = iso8601(micros);
            if random.below(2) == 0 {
                text = text.replace('Z', ["", "+00:00", "-05:30", "+0100", "z"][random.below(5) as usize]);
            }
            if random.below(3) == 0 {
                text = text.replace('T', " ");
            }
            if random.below(4) == 0 {
                let at = random.below(text.len() as u64) as usize;
                text.replace_range(at..=at, ["0", "9", ":", "-", ".", "Z", "é"][random.below(7) as usize]);
            }
            // A leading space is of no layout and is passed over.
            assert_eq!(iso.micros(&text), iso.micros(&format!(" {text}")), "{text}");
            for (known, unknown) in patterns.iter().zip(&general) {
                let read =
                    |pattern: &str| TimestampParser::new(Format::parse(pattern).unwrap(), zone).micros(&text).ok();
                if random.below(8) == 0 {
                    assert_eq!(read(known), read(unknown), "{text} by {known}");
                }
            }
        }
    }
}

#[test]
fn fuzz_bodies() {
    let mut random = velo_eventtime::fuzz::Random::new(3);
    let formats = [
        "auto",
        "epoch",
        "epoch_millis",
        "epoch_micros",
        "epoch_nanos",
        "iso8601",
        "%Y-%m-%d %H:%M:%S%.f",
        "%c",
        "%d/%m/%y %I:%M %p",
        "%+",
    ];
    let alphabet = b"0123456789012345678901234567890123456789-:.TZ +eE,/%YmdHMSfzWwaApPM\xc3\xa9\xff[]";
    let seeds = [
        "2024-05-06T07:08:09.123Z",
        "1704067200123",
        "-1.5e3",
        "2024-05-06 07:08:09+02:00",
        "%Y-%m-%d %H:%M:%S%.3f",
        "yyyy-MM-dd",
    ];
    for name in formats {
        let format = Format::parse(name).unwrap();
        for _ in 0..2_000 {
            let mut data = if random.below(2) == 0 {
                seeds[random.below(seeds.len() as u64) as usize].as_bytes().to_vec()
            } else {
                Vec::new()
            };
            for _ in 0..random.below(if data.is_empty() { 32 } else { 4 }) {
                let byte = alphabet[random.below(alphabet.len() as u64) as usize];
                let at = random.below(data.len() as u64 + 1) as usize;
                if random.below(2) == 0 || at == data.len() { data.insert(at, byte) } else { data[at] = byte }
            }
            let zone = if random.below(2) == 0 { Zone::UTC } else { Zone(Tz::America__New_York) };
            velo_eventtime::fuzz::value(&format, zone, &data);
            velo_eventtime::fuzz::literal(&data);
            velo_eventtime::fuzz::format(&data);
        }
    }
}
