//! Bounded reading: columns, places, system columns, several files, errors that teach.

use std::time::Duration;

use velo_core::Clock;
use velo_core::error::ErrorKind;

use crate::harness::{Folder, Reading, column, read, request, source, source_errors};

#[tokio::test]
async fn files_of_a_pattern_in_name_order_with_system_columns() {
    let folder = Folder::new();
    folder.write("in/b.jsonl", "{\"a\":3}\n{\"a\":4}");
    folder.write("in/a.jsonl", "\u{feff}{\"a\":1}\r\n\r\n{\"a\":2}\r\n");
    folder.write("in/.hidden.jsonl", "{\"a\":9}\n");
    let modified = std::time::UNIX_EPOCH + Duration::from_millis(1_704_067_200_500);
    for name in ["in/a.jsonl", "in/b.jsonl"] {
        std::fs::File::options().append(true).open(folder.path(name)).unwrap().set_modified(modified).unwrap();
    }
    let columns = [("_line", "BIGINT"), ("a", "BIGINT"), ("_PATH", "STRING"), ("_timestamp", "TIMESTAMP")];
    let rows = read(&[("path", &folder.text("in/*.jsonl"))], &columns).await;
    let path = |name: &str| folder.text(name);
    let time = "2024-01-01T00:00:00.500Z";
    let (a, b) = (path("in/a.jsonl"), path("in/b.jsonl"));
    assert_eq!(
        rows,
        [format!("1 1 {a} {time}"), format!("3 2 {a} {time}"), format!("1 3 {b} {time}"), format!("2 4 {b} {time}")]
    );
}

#[tokio::test]
async fn a_declared_column_goes_before_a_system_column() {
    let folder = Folder::new();
    folder.write("a.jsonl", "{\"_line\":77}\n");
    let mut request = request(&[("_line", "BIGINT")], &Clock::system());
    request.declared = crate::harness::schema(&[("_line", "BIGINT")]);
    let mut reading = Reading::open(&source(&[("path", &folder.text("a.jsonl"))]), request, None).await;
    assert_eq!(reading.rest().await, ["77"]);
}

#[tokio::test]
async fn bad_records_have_their_file_and_line() {
    let folder = Folder::new();
    folder.write("a.csv", "a\n1\n\"x\ny\"\nthree\n4\n");
    let rows = read(&[("path", &folder.text("a.csv"))], &[("a", "BIGINT")]).await;
    assert_eq!(rows.len(), 4, "{rows:?}");
    assert!(rows[1].starts_with(&format!("{}:3: ", folder.text("a.csv"))), "{rows:?}");
    assert!(rows[2].starts_with(&format!("{}:5: ", folder.text("a.csv"))), "{rows:?}");
    assert_eq!([&rows[0], &rows[3]], ["1", "4"]);
}

#[tokio::test]
async fn other_encodings_and_separators() {
    let folder = Folder::new();
    folder.write("a.csv", b"name;n\nJos\xe9;1\n".as_slice());
    let columns = [("name", "STRING"), ("n", "BIGINT"), ("_line", "BIGINT")];
    let pairs = [("path", &*folder.text("a.csv")), ("csv.delimiter", ";"), ("csv.encoding", "latin1")];
    assert_eq!(read(&pairs, &columns).await, ["José 1 2"]);
}

#[tokio::test]
async fn a_json_array_over_several_chunks_and_restarts() {
    let folder = Folder::new();
    let records: Vec<String> = (0..50_000).map(|at| format!("  {{\"a\": {at}, \"pad\": \"{:>40}\"}}", at)).collect();
    folder.write("a.json", format!("[\n{}\n]\n", records.join(",\n")));
    let binding = source(&[("path", &folder.text("a.json"))]);
    let columns = [("a", "BIGINT"), ("_line", "BIGINT")];
    let clock = Clock::system();
    let expected: Vec<String> = (0..50_000).map(|at| format!("{at} {}", at + 2)).collect();
    let mut reading = Reading::open(&binding, request(&columns, &clock), None).await;
    let mut rows = Vec::new();
    while let Some(more) = reading.chunk().await.unwrap() {
        rows.extend(more);
        let end = reading.end.clone();
        let rest = Reading::open(&binding, request(&columns, &clock), end.as_ref()).await.rest().await;
        assert_eq!(rest, expected[rows.len()..]);
    }
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn columns_are_inferred() {
    let folder = Folder::new();
    folder.write("in/0.jsonl", "");
    folder.write("in/a.jsonl", "{\"id\":1,\"px\":1.50,\"at\":\"2024-01-01T00:00:00Z\"}\n");
    let schema = source(&[("path", &folder.text("in"))]).infer_schema().await.unwrap();
    let expected = [column("id", "BIGINT"), column("px", "DECIMAL(38,2)"), column("at", "TIMESTAMP")];
    assert_eq!(schema.fields().iter().map(|field| field.as_ref().clone()).collect::<Vec<_>>(), expected);
    folder.write("b.csv", "code,n\n007,1\n");
    let schema = source(&[("path", &folder.text("b.csv"))]).infer_schema().await.unwrap();
    assert_eq!(schema.field(0), &column("code", "STRING"));
    folder.write("bad.jsonl", "hello\n");
    let error = source(&[("path", &folder.text("bad.jsonl"))]).infer_schema().await.unwrap_err();
    assert!(error.message.contains("bad.jsonl"), "{error}");
}

async fn open_error(pairs: &[(&str, &str)]) -> velo_core::ConnectorError {
    let request = request(&[("a", "BIGINT")], &Clock::system());
    source(pairs).open(request).await.err().expect("it cannot be opened")
}

#[tokio::test]
async fn what_is_missing_is_said_with_what_to_do() {
    let folder = Folder::new();
    folder.write("trades.jsonl", "");
    let path = folder.text("tradse.jsonl");
    let error = open_error(&[("path", &path)]).await;
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        format!(
            "opening: the file '{path}' does not exist; did you mean '{}'?\n  help: create it, or have Velo wait for it: \
             'file.wait.timeout' = '60s'",
            folder.text("trades.jsonl")
        )
    );
    let error = open_error(&[("path", &folder.text("no/such.jsonl"))]).await;
    assert!(error.message.contains("there is no folder"), "{error}");
    let error = open_error(&[("path", &folder.text("*.csv"))]).await;
    assert!(error.message.contains("no file matches it"), "{error}");
    std::fs::create_dir(folder.path("empty")).unwrap();
    let error = open_error(&[("path", &folder.text("empty"))]).await;
    assert!(error.message.contains("has no files"), "{error}");
}

#[tokio::test]
async fn a_file_is_waited_for_by_the_clock() {
    let folder = Folder::new();
    let clock = Clock::manual(0);
    let path = folder.text("later*.jsonl");
    let pairs = [("path", path.as_str()), ("file.wait.timeout", "5s"), ("file.retry.interval", "1s")];
    let binding = source(&pairs);
    let open = |clock: &Clock| {
        let (binding, request) = (binding.clone(), request(&[("a", "BIGINT")], clock));
        tokio::spawn(async move { binding.open(request).await.map(drop) })
    };
    let waiting = open(&clock);
    tokio::task::yield_now().await;
    folder.write("later1.jsonl", "{\"a\":1}\n");
    clock.advance(Duration::from_secs(1));
    waiting.await.unwrap().unwrap();
    std::fs::remove_file(folder.path("later1.jsonl")).unwrap();
    let waiting = open(&clock);
    while !waiting.is_finished() {
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    let error = waiting.await.unwrap().unwrap_err();
    assert!(error.message.ends_with("no file matches it, also after 5s"), "{error}");
}

#[tokio::test]
async fn a_cut_compressed_file_is_an_error() {
    use std::io::Write;
    let folder = Folder::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"{\"a\":1}\n").unwrap();
    let packed = encoder.finish().unwrap();
    folder.write("a.jsonl.gz", &packed[..packed.len() - 4]);
    let request = request(&[("a", "BIGINT")], &Clock::system());
    let mut reading = Reading::open(&source(&[("path", &folder.text("a.jsonl.gz"))]), request, None).await;
    let error = loop {
        match reading.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a cut file has no end"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("cut off"), "{error}");
}

#[test]
fn mistakes_in_properties_come_at_once() {
    let errors = source_errors(&[("pth", "x"), ("watch", "maybe"), ("format", "avro"), ("csv.encoding", "utf9")]);
    let all = errors.join("\n");
    for part in [
        "did you mean 'path'?",
        "'maybe' is neither true nor false",
        "use json, csv, parquet or debezium_json",
        "'utf9' is no known encoding",
        "'path' is missing",
    ] {
        assert!(all.contains(part), "{part} in {all}");
    }
    let errors = source_errors(&[("path", "a[.json"), ("timestamp.format", "yyyy-MM-dd")]).join("\n");
    assert!(errors.contains("is no pattern") && errors.contains("%Y-%m-%d"), "{errors}");
}
