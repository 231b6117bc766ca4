//! What is a JSON text is decided as serde_json does.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use bytes::Bytes;
use velo_format::fuzz::{Random, origin};
use velo_format::json::{JsonDecodeOptions, JsonDecoder, Layout};
use velo_format::value::ValueFormats;

/// Whether a text is taken as a record, by a decoder that wants no column (or one that is not there).
fn accepts(decoder: &JsonDecoder, text: &[u8]) -> bool {
    let decoded = decoder.decode_bytes(&Bytes::copy_from_slice(text), &origin(1), Layout::Elements).unwrap();
    assert!(decoded.errors.len() + decoded.batches.iter().map(|batch| batch.rows()).sum::<usize>() >= 1);
    decoded.errors.is_empty()
}

fn decoder() -> JsonDecoder {
    let options = JsonDecodeOptions {
        columns: vec![],
        declared: None,
        batch_rows: 8192,
        keep_bytes: false,
        formats: ValueFormats::default(),
    };
    JsonDecoder::new(options).unwrap()
}

fn same(decoder: &JsonDecoder, text: &[u8]) {
    // One record per call; a comma would begin another one, which serde_json does not know.
    let wrapped = [b"{\"x\":", text, b"}"].concat();
    let expected = serde_json::from_slice::<serde_json::Value>(&wrapped).is_ok();
    let found = {
        let decoded =
            decoder.decode_records(&Bytes::copy_from_slice(&wrapped), &origin(1), [(0..wrapped.len(), 1)]).unwrap();
        decoded.errors.is_empty()
    };
    assert_eq!(found, expected, "{}", String::from_utf8_lossy(&wrapped));
}

#[test]
fn table() {
    let decoder = decoder();
    for text in [
        "0",
        "-0",
        "01",
        "-01",
        "-",
        "+1",
        "1.",
        ".5",
        "1.5",
        "1e5",
        "1E+5",
        "1e",
        "1e+",
        "0x1",
        "1_0",
        "NaN",
        "Infinity",
        "0.0e0",
        "1.e1",
        "-1.25E-10",
        "true",
        "tru",
        "truex",
        "True",
        "false",
        "null",
        "nul",
        "nullnull",
        "\"\"",
        "\"a",
        "'a'",
        "\"\\u0041\"",
        "\"\\u00\"",
        "\"\\uD83D\\uDE00\"",
        "\"\\uD83D\"",
        "\"\\uDE00\"",
        "\"\\uD83Dx\"",
        "\"\\uD83D\\u0041\"",
        "\"\\x\"",
        "\"\\\"",
        "\"\\\\\"",
        "\"\t\"",
        "\"\u{7f}\"",
        "\"\u{0}\"",
        "\"é€😀\"",
        "[]",
        "[1,2]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[",
        "]",
        "{}",
        "{\"a\":1}",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{\"\\u0061\":[{}]}",
        "",
        " ",
        " 1 ",
        "\n[\r\n\t1 ]",
        "\u{feff}1",
        "1 // x",
        "/**/1",
        "\"a\"\"b\"",
        "{}{}",
        "[[[[[]]]]]",
        "\"abcdefgh\\nabcdefgh\"",
        "\"abcdefgh\u{1}abcdefgh\"",
        "12345678901234567890123456789",
        "1.234567890123456789e-300",
        "1e400",
        "[\"\\/\\b\\f\\n\\r\\t\"]",
    ] {
        same(&decoder, text.as_bytes());
    }
    same(&decoder, b"\"\xff\"");
    same(&decoder, b"\"abc\xc3\"");
    same(&decoder, b"\"\xed\xa0\x80\"");
    same(&decoder, b"\"\xf0\x9f\x98\x80 abcdefghijkl\"");
    same(&decoder, b"\xff");
}

#[test]
fn depth_is_limited() {
    let decoder = decoder();
    for (depth, good) in [(127, true), (128, false), (100_000, false)] {
        let text = format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(accepts(&decoder, text.as_bytes()), good, "{depth}");
    }
}

#[test]
fn only_objects_are_records() {
    let decoder = decoder();
    for text in ["1", "[1]", "\"a\"", "null", "tru"] {
        assert!(!accepts(&decoder, text.as_bytes()), "{text}");
    }
}

#[test]
fn mutated_records() {
    let decoder = decoder();
    let seeds: [&str; 5] = [
        r#"{"symbol":"SYM0042","price":"123.4567","quantity":1200,"ts":1704067200123,"venue":"XNAS","id":123456}"#,
        r#"{"a":[1,-2.5e+3,true,false,null,{"b":"\u00e9\uD83D\uDE00\n"}],"c":{"d":{}}}"#,
        r#" { "long string with blanks" : "0123456789 abcdefghijklmnopqrstuvwxyz \\ \" / €€€" , "x" : [ ] } "#,
        r#"["a","b",[[[]]],0.5,-0,1e10]"#,
        r#""\u0000\uFFFF\ud800\udc00""#,
    ];
    let letters = b"\"\\{}[]:,.eE+-0123456789 \t\r\ntrufalsn\x00\x1f\x7f\x80\xc3\xa9\xed\xff/b";
    let mut random = Random::new(7);
    let (mut good, mut bad) = (0, 0);
    for round in 0..20_000 {
        let mut text = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..random.below(4) {
            let at = random.below(text.len() as u64) as usize;
            let letter = letters[random.below(letters.len() as u64) as usize];
            match random.below(4) {
                0 => text[at] = letter,
                1 => text.insert(at, letter),
                2 => drop(text.remove(at)),
                _ => {
                    let other = random.below(text.len() as u64) as usize;
                    text.swap(at, other);
                }
            }
        }
        same(&decoder, &text);
        let wrapped = [b"{\"x\":", &text[..], b"}"].concat();
        match serde_json::from_slice::<serde_json::Value>(&wrapped) {
            Ok(_) => good += 1,
            Err(_) => bad += 1,
        }
    }
    assert!(good > 3_000 && bad > 3_000, "both kinds are tried: {good} {bad}");
}
