//! Parquet files: what others wrote is read rightly, what we write comes back, and what cannot be read says why.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray, StructArray, Time64MicrosecondArray,
    Time64NanosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt8Array,
    UInt16Array, UInt32Array, UInt64Array, new_null_array,
};
use arrow_buffer::i256;
use arrow_schema::{DataType, Field, Fields, IntervalUnit, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use velo_core::connector::{DecodeColumn, Decoded};
use velo_core::error::ConnectorError;
use velo_core::row_kind::{RowKind, RowKinds};
use velo_core::table_text::value_text;
use velo_core::types;
use velo_format::Encoder;
use velo_format::fuzz::{Random, origin};
use velo_format::parquet::{Footer, ParquetCompression, ParquetDecoder, ParquetEncoder, Projection, RowGroup};

fn columns_of(schema: &Schema) -> Vec<DecodeColumn> {
    let column = |field: &Arc<Field>| DecodeColumn {
        field: Arc::clone(field),
        path: vec![field.name().clone()],
        exact: false,
        raw: false,
    };
    schema.fields().iter().map(column).collect()
}

/// All row groups of a file, as these columns.
fn decode(file: &File, columns: &[DecodeColumn], batch_rows: usize) -> Result<Vec<Decoded>, ConnectorError> {
    let footer = Footer::read(file)?;
    let projection = Arc::new(Projection::new(&footer, columns)?);
    let mut first = 1;
    (0..footer.groups())
        .map(|group| {
            let ranges = footer.ranges(group, &projection)?;
            let bytes = RowGroup::read(&ranges, |part, at| file.read_exact_at(part, at)).unwrap();
            let origin = origin(first);
            first += footer.rows(group);
            let row_group = RowGroup { footer: footer.clone(), projection: Arc::clone(&projection), group, ranges };
            ParquetDecoder::new(batch_rows).decode_group(&row_group, &bytes, &origin)
        })
        .collect()
}

/// Rows and errors as text.
fn show(decoded: &[Decoded]) -> Vec<String> {
    let mut all = Vec::new();
    for decoded in decoded {
        let mut rows = Vec::new();
        for batch in &decoded.batches {
            for row in 0..batch.rows() {
                let values = batch.columns.columns().iter();
                let values = values.map(|column| value_text(column.as_ref(), row).unwrap_or_else(|| "NULL".to_owned()));
                let line = batch.origin.as_ref().unwrap().position(row);
                rows.push(format!("{line} {}", values.collect::<Vec<_>>().join(" ")));
            }
        }
        for (added, error) in decoded.errors.iter().enumerate() {
            let field = error.field.as_deref().unwrap_or("");
            rows.insert(error.after_rows + added, format!("{}: {field}: {}", error.place, error.message));
        }
        all.extend(rows);
    }
    all
}

fn data(name: &str) -> File {
    File::open(format!("{}/tests/data/parquet/{name}.parquet", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The file's own columns, and its rows.
fn whole(name: &str) -> (String, Vec<String>) {
    let file = data(name);
    let schema = Footer::read(&file).unwrap().schema().unwrap();
    let rows = show(&decode(&file, &columns_of(&schema), 8192).unwrap());
    let names = schema.fields().iter().map(|field| format!("{} {}", field.name(), types::sql_name_of(field)));
    (names.collect::<Vec<_>>().join(", "), rows)
}

fn as_columns(file: &File, columns: &[(&str, DataType)]) -> Result<Vec<String>, String> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
    as_fields(file, fields)
}

fn as_fields(file: &File, fields: Vec<Field>) -> Result<Vec<String>, String> {
    let schema = Schema::new(fields);
    decode(file, &columns_of(&schema), 8192).map(|decoded| show(&decoded)).map_err(|error| error.to_string())
}

/// A file that Arrow's own writer makes.
fn written_by_arrow(columns: Vec<(&str, ArrayRef)>) -> File {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    of_bytes(&bytes)
}

fn of_bytes(bytes: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!("velo-parquet-{}-{:p}", std::process::id(), &bytes[0]));
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn files_of_others() {
    // Rows and first values are what pyarrow says.
    let plain = "id INT, bool_col BOOLEAN, tinyint_col INT, smallint_col INT, int_col INT, bigint_col BIGINT, float_col REAL, \
                 double_col DOUBLE, date_string_col BYTES, string_col BYTES, timestamp_col TIMESTAMP";
    let first_dates = ["0x30332f30312f3039 0x30 2009-03-01T00:00:00Z", "0x30312f30312f3039 0x30 2009-01-01T00:00:00Z"];
    let cases = [
        ("alltypes_plain", 8, plain, format!("1 4 true 0 0 0 0 0.0 0.0 {}", first_dates[0])),
        ("alltypes_dictionary", 2, plain, format!("1 0 true 0 0 0 0 0.0 0.0 {}", first_dates[1])),
        ("byte_array_decimal", 24, "value DECIMAL(4,2)", "1 1.00".to_owned()),
        ("fixed_length_decimal", 24, "value DECIMAL(25,2)", "1 1.00".to_owned()),
        ("int32_decimal", 24, "value DECIMAL(4,2)", "1 1.00".to_owned()),
        ("int64_decimal", 24, "value DECIMAL(10,2)", "1 1.00".to_owned()),
        ("byte_stream_split.zstd", 300, "f32 REAL, f64 DOUBLE", "1 1.7640524 -1.3065268517353166".to_owned()),
        ("concatenated_gzip_members", 513, "long_col BIGINT UNSIGNED", "1 1".to_owned()),
        (
            "datapage_v2.snappy",
            5,
            "a STRING, b INT, c DOUBLE, d BOOLEAN, e ARRAY<INT>",
            "1 abc 1 2.0 true [1,2,3]".to_owned(),
        ),
        ("delta_length_byte_array", 1000, "FRUIT STRING", "1 apple_banana_mango0".to_owned()),
        ("int32_with_null_pages", 1000, "int32_field INT", "1 -654807448".to_owned()),
        ("int96_from_spark", 6, "a TIMESTAMP", "1 2024-01-01T20:34:56.123456Z".to_owned()),
        (
            "list_columns",
            3,
            "int64_list ARRAY<BIGINT>, utf8_list ARRAY<STRING>",
            "1 [1,2,3] [\"abc\",\"efg\",\"hij\"]".to_owned(),
        ),
        ("lz4_raw_compressed", 4, "c0 BIGINT, c1 BYTES, v11 DOUBLE", "1 1593604800 0x616263 42.0".to_owned()),
        (
            "nested_lists.snappy",
            3,
            "a ARRAY<ARRAY<ARRAY<STRING>>>, b INT",
            "1 [[[\"a\",\"b\"],[\"c\"]],[null,[\"d\"]]] 1".to_owned(),
        ),
        (
            "nested_maps.snappy",
            6,
            "a MAP<STRING, MAP<INT, BOOLEAN>>, b INT, c DOUBLE",
            "1 {\"a\":{\"1\":true,\"2\":false}} 1 1.0".to_owned(),
        ),
        ("nulls.snappy", 8, "b_struct STRUCT<b_c_int INT>", "1 {\"b_c_int\":null}".to_owned()),
        ("rle_boolean_encoding", 68, "datatype_boolean BOOLEAN", "1 true".to_owned()),
    ];
    for (name, rows, columns, first) in cases {
        let (found, read) = whole(name);
        assert_eq!((found.as_str(), read.len(), read[0].as_str()), (columns, rows, first.as_str()), "{name}");
    }
    let nulls = |rows: &[String]| rows.iter().filter(|row| row.ends_with(" NULL")).count();
    assert_eq!(nulls(&whole("int32_with_null_pages").1), 275);
    assert_eq!(nulls(&whole("int96_from_spark").1), 1);
    assert_eq!(nulls(&whole("rle_boolean_encoding").1), 6);
    let (columns, rows) = whole("nullable.impala");
    assert!(columns.contains("nested_struct STRUCT<A INT, b ARRAY<INT>, C STRUCT<"), "{columns}");
    assert!(rows[0].starts_with("1 1 [1,2,3] [[1,2],[3,4]] {\"k1\":1,\"k2\":100} [{\"k1\":1}]"), "{}", rows[0]);
    // INT96 beyond the years of nanoseconds, which Spark writes for 9999 and 290000.
    assert!(
        whole("int96_from_spark").1.iter().any(|row| row.starts_with("3 9999-12-31")),
        "{:?}",
        whole("int96_from_spark").1
    );
}

#[test]
fn damaged_and_foreign_files() {
    let says = |file: &File| match Footer::read(file) {
        Ok(footer) => {
            let columns = columns_of(&footer.schema().unwrap());
            decode(file, &columns, 100).unwrap_err().to_string()
        }
        Err(error) => error.to_string(),
    };
    let checksum = says(&data("datapage_v1-corrupt-checksum"));
    assert!(checksum.contains("CRC"), "{checksum}");
    let brotli = says(&data("large_string_map.brotli"));
    assert!(brotli.to_lowercase().contains("brotli") && brotli.contains("zstd, snappy"), "{brotli}");
    let good =
        std::fs::read(format!("{}/tests/data/parquet/alltypes_plain.parquet", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for (bytes, expected) in [
        (&b"x"[..], "check that it is a Parquet file"),
        (b"{\"a\":1}\n{\"a\":2}\n", "check that it is a Parquet file"),
        (&good[..good.len() - 1], "check that it is a Parquet file"),
        (&good[..good.len() / 2], "check that it is a Parquet file"),
    ] {
        let said = says(&of_bytes(bytes));
        assert!(said.contains(expected), "{said}");
    }
    // Any single byte may be wrong: that is an error or other values, and never a panic.
    let mut random = Random::new(5);
    for _ in 0..300 {
        let mut bytes = good.clone();
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
        let file = of_bytes(&bytes);
        if let Ok(footer) = Footer::read(&file)
            && let Ok(schema) = footer.schema()
        {
            let columns = columns_of(&schema);
            if let Ok(projection) = Projection::new(&footer, &columns) {
                let inside = |group| {
                    footer
                        .ranges(group, &projection)
                        .is_ok_and(|ranges| ranges.iter().all(|range| range.end <= bytes.len() as u64))
                };
                if (0..footer.groups()).all(inside) {
                    drop(decode(&file, &columns, 3));
                }
            }
        }
    }
}

#[test]
fn only_what_is_wanted_is_read() {
    let file = data("alltypes_plain");
    let footer = Footer::read(&file).unwrap();
    let bytes = |columns: &[(&str, DataType)]| {
        let fields: Vec<Field> = columns.iter().map(|(name, of)| Field::new(*name, of.clone(), true)).collect();
        let projection = Projection::new(&footer, &columns_of(&Schema::new(fields))).unwrap();
        footer.ranges(0, &projection).unwrap().iter().map(|range| range.end - range.start).sum::<u64>()
    };
    assert_eq!(bytes(&[]), 0);
    assert!(bytes(&[("id", DataType::Int32)]) < 200);
    assert!(bytes(&[("id", DataType::Int32), ("STRING_COL", DataType::Binary)]) < 400, "names in any case");
    let none = decode(&file, &[], 3).unwrap();
    assert_eq!(none[0].batches.iter().map(velo_core::Batch::rows).collect::<Vec<_>>(), [3, 3, 2], "rows alone");
    // One field of a group.
    let nested = DecodeColumn {
        field: Arc::new(Field::new("t", DataType::Utf8, true)),
        path: vec!["b_struct".to_owned(), "b_c_int".to_owned()],
        exact: false,
        raw: true,
    };
    let decoded = decode(&data("nulls.snappy"), std::slice::from_ref(&nested), 100).unwrap();
    assert_eq!(decoded[0].batches[0].columns.column(0).data_type(), &DataType::Int32, "as it is");
    assert_eq!(show(&decoded)[7], "8 NULL");
}

#[test]
fn declared_columns_may_be_wider_and_nothing_else() {
    let file = data("alltypes_plain.snappy");
    let wide = [
        ("id", DataType::Int64),
        ("int_col", types::decimal(12, 2)),
        ("float_col", DataType::Float64),
        ("tinyint_col", DataType::Float64),
        ("string_col", DataType::Utf8),
        ("timestamp_col", types::TIMESTAMP_NANOS),
    ];
    assert_eq!(as_columns(&file, &wide).unwrap()[1], "2 7 1.00 1.100000023841858 1.0 1 2009-04-01T00:01:00Z");
    let error = as_columns(
        &file,
        &[
            ("id", DataType::Int16),
            ("bigint_col", DataType::Float64),
            ("double_col", types::decimal(10, 2)),
            ("bool_col", DataType::Utf8),
            ("strin_col", DataType::Utf8),
            ("int_col", types::decimal(10, 1)),
            ("nothing", DataType::Utf8),
            ("tinyint_col", DataType::UInt64),
        ],
    )
    .unwrap_err();
    for part in [
        "'id' is INT and declared SMALLINT",
        "'bigint_col' is BIGINT and declared DOUBLE",
        "'double_col' is DOUBLE and declared DECIMAL(10,2)",
        "'bool_col' is BOOLEAN and declared STRING",
        "there is no 'strin_col' (did you mean 'string_col'?)",
        "'int_col' is INT and declared DECIMAL(10,1)",
        "there is no 'nothing' (there are id, bool_col",
        "'tinyint_col' is INT and declared BIGINT UNSIGNED",
        "declare the types that the file has",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("'float_col'"), "{error}");
    let decimals = data("int32_decimal");
    assert_eq!(as_columns(&decimals, &[("value", types::decimal(18, 4))]).unwrap()[1], "2 2.0000");
    assert_eq!(as_columns(&decimals, &[("value", types::decimal(50, 2))]).unwrap()[1], "2 2.00");
    assert!(as_columns(&decimals, &[("value", types::decimal(4, 3))]).is_err());
    let lists = data("list_columns");
    assert_eq!(
        as_columns(&lists, &[("int64_list", types::array(types::decimal(20, 1)))]).unwrap()[0],
        "1 [1.0,2.0,3.0]"
    );
    assert!(as_columns(&lists, &[("int64_list", types::array(DataType::Int32))]).is_err());
}

#[test]
fn a_value_that_does_not_fit_is_an_error_of_its_row() {
    let file = written_by_arrow(vec![
        ("n", Arc::new(Int32Array::from(vec![Some(1), None, Some(3), None]))),
        ("b", Arc::new(BinaryArray::from(vec![&b"a"[..], b"b", b"\xff", b"d"]))),
        ("j", Arc::new(StringArray::from(vec!["{}", "1", "[2]", "{"]))),
        ("t", Arc::new(TimestampMillisecondArray::from(vec![0, -1, 1_500, i64::MAX]))),
    ]);
    let not_null = as_fields(&file, vec![Field::new("n", DataType::Int32, false)]).unwrap();
    let expected = [
        "1 1",
        "fuzz.jsonl:2: n: the value is NULL or missing, and the column 'n' is NOT NULL",
        "3 3",
        "fuzz.jsonl:4: n: the value is NULL or missing, and the column 'n' is NOT NULL",
    ];
    assert_eq!(not_null, expected);
    let text = as_columns(&file, &[("b", DataType::Utf8)]).unwrap();
    assert_eq!(text[2], "fuzz.jsonl:3: b: the bytes are not UTF-8; declare the column BYTES");
    let json = as_fields(&file, vec![types::json_field("j", true)]).unwrap();
    assert_eq!(json, ["1 {}", "2 1", "3 [2]", "fuzz.jsonl:4: j: '{' is no JSON"]);
    let times = as_columns(&file, &[("t", types::TIMESTAMP)]).unwrap();
    let expected = ["1 1970-01-01T00:00:00Z", "2 1969-12-31T23:59:59.999Z", "3 1970-01-01T00:00:01.500Z"];
    assert_eq!(times[..3], expected);
    assert!(times[3].starts_with("fuzz.jsonl:4: t: '9223372036854775807' is out of range for TIMESTAMP"), "{times:?}");
}

#[test]
fn times_finer_than_the_type_are_floored() {
    let file = written_by_arrow(vec![
        ("ns", Arc::new(TimestampNanosecondArray::from(vec![-1, 1_999, 123_456_789]))),
        ("clock", Arc::new(Time64NanosecondArray::from(vec![0, 1_999, 86_399_999_999_999]))),
    ]);
    let footer = Footer::read(&file).unwrap();
    let own = footer.schema().unwrap();
    assert_eq!(own.field(0).data_type(), &types::TIMESTAMP_NANOS);
    let found = as_columns(&file, &[("ns", types::TIMESTAMP), ("clock", types::TIME)]).unwrap();
    let expected = [
        "1 1969-12-31T23:59:59.999999Z 00:00:00",
        "2 1970-01-01T00:00:00.000001Z 00:00:00.000001",
        "3 1970-01-01T00:00:00.123456Z 23:59:59.999999",
    ];
    assert_eq!(found, expected);
}

/// Every type that a column can have, with a NULL in each.
fn all_types() -> RecordBatch {
    let mut list = ListBuilder::new(Int32Builder::new());
    list.append_value([Some(1), None, Some(3)]);
    list.append_null();
    list.append_value([]);
    let names = arrow_array::builder::MapFieldNames {
        entry: "entries".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("k");
    map.values().append_value(1);
    map.append(true).unwrap();
    map.append(false).unwrap();
    map.append(true).unwrap();
    let group = StructArray::try_new(
        Fields::from(vec![Field::new("at", types::TIMESTAMP, true), Field::new("d", types::decimal(5, 2), true)]),
        vec![
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(5)])),
            Arc::new(Decimal128Array::from(vec![Some(125), Some(0), None]).with_precision_and_scale(5, 2).unwrap()),
        ],
        Some(vec![true, false, true].into()),
    );
    let wide = Decimal256Array::from(vec![Some(i256::from_i128(i128::MAX)), None, Some(i256::from_i128(-1))]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("boolean", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("tiny", Arc::new(Int8Array::from(vec![Some(i8::MIN), None, Some(i8::MAX)]))),
        ("small", Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX)]))),
        ("int", Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX)]))),
        ("big", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)]))),
        ("utiny", Arc::new(UInt8Array::from(vec![Some(0), None, Some(u8::MAX)]))),
        ("usmall", Arc::new(UInt16Array::from(vec![Some(0), None, Some(u16::MAX)]))),
        ("uint", Arc::new(UInt32Array::from(vec![Some(0), None, Some(u32::MAX)]))),
        ("ubig", Arc::new(UInt64Array::from(vec![Some(0), None, Some(u64::MAX)]))),
        ("real", Arc::new(Float32Array::from(vec![Some(f32::MIN), None, Some(-0.0)]))),
        ("double", Arc::new(Float64Array::from(vec![Some(f64::MAX), None, Some(f64::INFINITY)]))),
        (
            "decimal",
            Arc::new(
                Decimal128Array::from(vec![Some(-1), None, Some(10_i128.pow(38) - 1)])
                    .with_precision_and_scale(38, 9)
                    .unwrap(),
            ),
        ),
        ("wide", Arc::new(wide.with_precision_and_scale(76, 3).unwrap())),
        ("string", Arc::new(StringArray::from(vec![Some("Zoë"), None, Some("")]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b"\xff\0"[..]), None, Some(b"")]))),
        ("day", Arc::new(Date32Array::from(vec![Some(-719_162), None, Some(19_000)]))),
        ("clock", Arc::new(Time64MicrosecondArray::from(vec![Some(0), None, Some(86_399_999_999)]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(i64::MIN), None, Some(i64::MAX)]))),
        ("nanos", Arc::new(TimestampNanosecondArray::from(vec![Some(-1), None, Some(i64::MAX)]))),
        ("list", Arc::new(list.finish())),
        ("map", Arc::new(map.finish())),
        ("group", Arc::new(group.unwrap())),
    ];
    let json: ArrayRef = Arc::new(StringArray::from(vec![Some("{\"a\":1}"), None, Some("[]")]));
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .chain([types::json_field("json", true)])
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).chain([json]).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn write(schema: &SchemaRef, batches: &[RecordBatch], compression: ParquetCompression) -> Vec<u8> {
    let mut encoder = ParquetEncoder::new(schema, compression, false).unwrap();
    let mut out = Vec::new();
    encoder.header(&mut out);
    batches.iter().for_each(|batch| encoder.encode(batch, &mut out).unwrap());
    encoder.footer(&mut out).unwrap();
    out
}

#[test]
fn what_is_written_comes_back() {
    let batch = all_types();
    for compression in [ParquetCompression::Zstd, ParquetCompression::Snappy, ParquetCompression::None] {
        let file = of_bytes(&write(&batch.schema(), std::slice::from_ref(&batch), compression));
        let schema = Footer::read(&file).unwrap().schema().unwrap();
        for (found, written) in schema.fields().iter().zip(batch.schema().fields()) {
            assert_eq!(types::sql_name_of(found), types::sql_name_of(written), "{}", written.name());
        }
        // By the file's own columns, and as declared ones.
        for columns in [columns_of(&schema), columns_of(&batch.schema())] {
            let decoded = decode(&file, &columns, 2).unwrap();
            assert_eq!(decoded.len(), 1);
            let read: Vec<&RecordBatch> = decoded[0].batches.iter().map(|batch| &batch.columns).collect();
            let read = arrow_select::concat::concat_batches(&read[0].schema(), read).unwrap();
            for (at, field) in batch.schema().fields().iter().enumerate() {
                for row in 0..3 {
                    let text = |batch: &RecordBatch| value_text(batch.column(at).as_ref(), row);
                    assert_eq!(text(&read), text(&batch), "{} in row {row}", field.name());
                }
                assert_eq!(read.column(at).null_count(), batch.column(at).null_count(), "{}", field.name());
            }
        }
    }
}

#[test]
fn row_groups_of_a_size() {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let batch = |from: i64| {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 50_000));
        RecordBatch::try_new(Arc::clone(&schema), vec![numbers]).unwrap()
    };
    let bytes = write(&schema, &[batch(0), batch(50_000), batch(100_000)], ParquetCompression::Zstd);
    let file = of_bytes(&bytes);
    let footer = Footer::read(&file).unwrap();
    assert_eq!((0..footer.groups()).map(|group| footer.rows(group)).collect::<Vec<_>>(), [65_536, 65_536, 18_928]);
    let rows = show(&decode(&file, &columns_of(&schema), 8_192).unwrap());
    assert!(rows.iter().enumerate().all(|(at, row)| *row == format!("{} {at}", at + 1)), "rows are numbered from 1");
    assert_eq!(rows.len(), 150_000);
}

#[test]
fn changes_have_their_kind() {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(vec![1, 1]))]).unwrap();
    let mut encoder = ParquetEncoder::new(&schema, ParquetCompression::Zstd, true).unwrap();
    let mut out = Vec::new();
    encoder.encode_changes(&batch, None, &mut out).unwrap();
    let kinds = RowKinds::new(vec![RowKind::UpdateBefore, RowKind::UpdateAfter]);
    encoder.encode_changes(&batch, Some(&kinds), &mut out).unwrap();
    encoder.footer(&mut out).unwrap();
    let rows = as_columns(&of_bytes(&out), &[("_op", DataType::Utf8), ("n", DataType::Int64)]).unwrap();
    assert_eq!(rows, ["1 +I 1", "2 +I 1", "3 -U 1", "4 +U 1"]);
}

#[test]
fn types_that_parquet_lacks() {
    let refuse = |data_type: DataType| {
        let schema = Arc::new(Schema::new(vec![Field::new("x", data_type, true)]));
        ParquetEncoder::new(&schema, ParquetCompression::Zstd, false).err().unwrap().to_string()
    };
    let interval = refuse(DataType::Interval(IntervalUnit::MonthDayNano));
    assert!(interval.contains("'x' is INTERVAL") && interval.contains("CAST it to STRING"), "{interval}");
    assert!(refuse(types::array(types::INTERVAL)).contains("which Parquet does not have"));
    let none = ParquetEncoder::new(&Arc::new(Schema::empty()), ParquetCompression::Zstd, false).err().unwrap();
    assert!(none.to_string().contains("a column at least"), "{none}");
    // A file may have columns that we have no type for, as long as nobody asks for them.
    let intervals = new_null_array(&DataType::Interval(IntervalUnit::DayTime), 1);
    let file = written_by_arrow(vec![("i", intervals), ("n", Arc::new(Int32Array::from(vec![7])))]);
    assert!(Footer::read(&file).unwrap().schema().unwrap_err().to_string().contains("declare the other columns"));
    assert_eq!(as_columns(&file, &[("n", DataType::Int32)]).unwrap(), ["1 7"]);
    let asked = as_columns(&file, &[("i", DataType::Utf8)]).unwrap_err();
    assert!(asked.contains("'i' has a type that no column has"), "{asked}");
}
