//! Rows per second and core of the formats and of the watermark: one JSON line per figure.
#![expect(clippy::print_stdout, reason = "the figures are what a bench prints")]

use std::hint::black_box;

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use chrono_tz::Tz;
use velo_core::Place;
use velo_core::clock::Stopwatch;
use velo_core::time::iso8601;
use velo_eventtime::fuzz::Random;
use velo_eventtime::{Extractor, Format, PartitionWatermark, WatermarkProperties};

const ROWS: usize = 8_192;
const START: i64 = 1_704_067_200_000_000;

fn place(row: usize) -> Place {
    Place::Row { source: "bench".to_owned(), row: row as u64 }
}

/// Runs for at least 300 ms and takes the best of the last passes.
fn measure(name: &str, mut pass: impl FnMut()) {
    pass();
    let whole = Stopwatch::start();
    let mut best = f64::INFINITY;
    while whole.elapsed().as_millis() < 300 {
        let one = Stopwatch::start();
        pass();
        best = best.min(one.elapsed().as_secs_f64());
    }
    println!("{{\"bench\":\"eventtime/{name}\",\"rows_per_s\":{:.0}}}", ROWS as f64 / best);
}

fn extract(name: &str, format: &str, zone: Tz, column: ArrayRef) {
    let Ok(format) = Format::parse(format) else {
        return println!("{{\"bench\":\"eventtime/{name}\",\"error\":\"format\"}}");
    };
    let extractor = Extractor::new("bench", "ts", format, zone);
    let first = extractor.extract(&column, &place, None);
    if let Some((_, error)) = first.errors.first() {
        return println!("{{\"bench\":\"eventtime/{name}\",\"error\":{:?}}}", error.to_string());
    }
    measure(name, || {
        black_box(extractor.extract(black_box(&column), &place, None));
    });
}

fn text(of: impl Fn(i64) -> String) -> ArrayRef {
    std::sync::Arc::new((0..ROWS as i64).map(|row| Some(of(row))).collect::<StringArray>())
}

fn main() {
    let utc = Tz::UTC;
    let ordered = |row: i64| START + row * 1_234_567;
    let mut random = Random::new(1);
    let scattered: Vec<i64> = (0..ROWS).map(|_| START + random.below(1_500_000_000_000_000) as i64).collect();
    let plain = |micros: i64| iso8601(micros - micros % 1_000_000)[..19].to_owned();

    extract("iso8601", "iso8601", utc, text(|row| iso8601(ordered(row))));
    extract("iso8601_auto", "auto", utc, text(|row| iso8601(ordered(row))));
    extract("iso8601_random_dates", "iso8601", utc, text(|row| iso8601(scattered[row as usize])));
    extract("iso8601_offset", "iso8601", utc, text(|row| format!("{}.123+02:00", plain(ordered(row)))));
    extract("iso8601_general", "iso8601", utc, text(|row| format!("{}.123+0200", plain(ordered(row)))));
    extract("iso8601_new_york", "iso8601", Tz::America__New_York, text(|row| plain(ordered(row))));
    extract(
        "iso8601_new_york_random_dates",
        "iso8601",
        Tz::America__New_York,
        // Midday, which no change of the clocks touches.
        text(|row| format!("{}T12:00:00", &iso8601(scattered[row as usize])[..10])),
    );
    let spaced = |row: i64| plain(ordered(row)).replace('T', " ");
    extract("pattern_iso_layout", "%Y-%m-%d %H:%M:%S", utc, text(spaced));
    extract(
        "pattern_chrono",
        "%d/%m/%Y %H:%M:%S",
        utc,
        text(|row| {
            let iso = plain(ordered(row));
            format!("{}/{}/{} {}", &iso[8..10], &iso[5..7], &iso[..4], &iso[11..])
        }),
    );
    extract("epoch_millis_text", "epoch_millis", utc, text(|row| (ordered(row) / 1_000).to_string()));
    extract("epoch_seconds_decimal_text", "epoch", utc, text(|row| format!("{}.123", ordered(row) / 1_000_000)));
    let millis = Int64Array::from_iter_values((0..ROWS as i64).map(|row| ordered(row) / 1_000));
    extract("epoch_millis_integer", "auto", utc, std::sync::Arc::new(millis));
    extract(
        "epoch_micros_integer",
        "epoch_micros",
        utc,
        std::sync::Arc::new(Int64Array::from_iter_values((0..ROWS as i64).map(ordered))),
    );
    let floats = Float64Array::from_iter_values((0..ROWS as i64).map(|row| ordered(row) as f64 / 1e6));
    extract("epoch_seconds_float", "epoch", utc, std::sync::Arc::new(floats));

    for (name, disorder) in [("watermark_in_bound", 2_000_000), ("watermark_some_late", 7_000_000)] {
        let times: TimestampMicrosecondArray =
            (0..ROWS as i64).map(|row| Some(row * 10_000 - random.below(disorder) as i64)).collect();
        let mut partition = PartitionWatermark::new(&WatermarkProperties::default());
        let mut shift = 0;
        measure(name, || {
            // Each pass goes on where the last one ended.
            let moved = times.unary::<_, arrow_array::types::TimestampMicrosecondType>(|time| time + shift);
            shift += ROWS as i64 * 10_000;
            black_box(partition.observe(black_box(&moved), i64::MAX, None));
        });
    }
}
