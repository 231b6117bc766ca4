//! Cutting JSON into chunks: lines and arrays, in any pieces.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use velo_format::framing::{Cut, json_framer};
use velo_format::fuzz::{Random, json_framing};
use velo_format::properties::JsonLayout;

/// The chunks of a text that comes in pieces, each with the line it begins at.
fn chunks(text: &str, step: usize, layout: JsonLayout) -> Result<Vec<(u64, String)>, String> {
    let mut framer = json_framer(layout, 1000);
    let (mut buffer, mut read, mut line, mut chunks) = (Vec::new(), 0, 1, Vec::new());
    loop {
        let more = &text.as_bytes()[read..(read + step).min(text.len())];
        buffer.extend_from_slice(more);
        read += more.len();
        loop {
            let cut = framer.cut(&buffer, read == text.len()).map_err(|error| error.message)?;
            line += cut.skip_lines;
            if cut.bytes > 0 {
                chunks.push((line, String::from_utf8(buffer[cut.skip..cut.total()].to_vec()).unwrap()));
            }
            line += cut.lines;
            buffer.drain(..cut.total());
            if cut.bytes == 0 {
                break;
            }
        }
        if read == text.len() {
            return Ok(chunks);
        }
    }
}

#[test]
fn lines() {
    let text = "\u{feff}\r\n\n{\"a\":1}\r\n{\"a\":2}\n\n{\"a\":3}";
    let whole = chunks(text, 1000, JsonLayout::Auto).unwrap();
    assert_eq!(whole, vec![(3, "{\"a\":1}\r\n{\"a\":2}\n\n{\"a\":3}".to_owned())]);
    let single = chunks(text, 1, JsonLayout::Auto).unwrap();
    let expected = [(3, "{\"a\":1}\r\n"), (4, "{\"a\":2}\n"), (6, "{\"a\":3}")];
    assert_eq!(single, expected.map(|(line, text)| (line, text.to_owned())));
}

#[test]
fn arrays() {
    let text = " [\n{\"a\":\"],}\\\"\"},\n {\"a\":[1,2]}\n,{\"a\":3}\n]\n";
    let whole = chunks(text, 1000, JsonLayout::Auto).unwrap();
    assert_eq!(whole, vec![(2, "{\"a\":\"],}\\\"\"},\n {\"a\":[1,2]}\n,{\"a\":3}".to_owned())]);
    let single = chunks(text, 1, JsonLayout::Auto).unwrap();
    let expected = [(2, "{\"a\":\"],}\\\"\"}"), (3, "{\"a\":[1,2]}"), (4, "{\"a\":3}")];
    assert_eq!(single, expected.map(|(line, text)| (line, text.to_owned())));
    assert_eq!(chunks("[]", 1, JsonLayout::Auto), Ok(vec![]));
    for (text, expected) in [
        ("[{},]", "expected a record, found ']'"),
        ("[{}", "expected ']' at its end"),
        ("[{}]x", "expected nothing behind the array, found 'x'"),
        ("[,{}]", "expected a record"),
        ("[{} {}]", ""),
    ] {
        for step in [1, 1000] {
            match chunks(text, step, JsonLayout::Auto) {
                Ok(found) => assert_eq!((expected, found.len()), ("", 1), "{text}"),
                Err(message) => assert!(message.contains(expected), "{text}: {message}"),
            }
        }
    }
    assert!(chunks("{}", 9, JsonLayout::Array).unwrap_err().contains("expected '['"));
}

#[test]
fn resumed() {
    let cut = |text: &str, layout| {
        let mut framer = json_framer(layout, 1000);
        framer.resume();
        let cut = framer.cut(text.as_bytes(), true).unwrap();
        (text[cut.skip..cut.total()].to_owned(), framer.frames().is_some())
    };
    assert_eq!(cut("{\"a\":1}\n", JsonLayout::Auto), ("{\"a\":1}\n".to_owned(), false));
    assert_eq!(cut(" , {\"a\":1}]", JsonLayout::Auto), ("{\"a\":1}".to_owned(), true));
    assert_eq!(cut("[{\"a\":1}]", JsonLayout::Array), ("{\"a\":1}".to_owned(), true));
}

#[test]
fn a_record_over_the_limit() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(2000));
    for (text, layout) in [(long.clone(), JsonLayout::Lines), (format!("[{long}]"), JsonLayout::Array)] {
        assert!(chunks(&text, 100, layout).unwrap_err().contains("longer than"), "{layout:?}");
    }
    let mut framer = json_framer(JsonLayout::Lines, 10);
    assert_eq!(framer.cut(b"{\"a\":1", false).unwrap(), Cut::default());
}

#[test]
fn any_pieces() {
    let seeds = ["[{\"a\":\"x,]\\\\\"} ,\n{\"b\":[{},{}]}]\n", "{\"a\":1}\n\n{\"b\":2}\r\n", "[ ]", "\n\n[1,2,3]"];
    let letters = b"[]{},\"\\ \n1:";
    let mut random = Random::new(3);
    for round in 0..3000 {
        let mut text = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..random.below(3) {
            let at = random.below(text.len() as u64) as usize;
            text[at] = letters[random.below(letters.len() as u64) as usize];
        }
        for layout in [JsonLayout::Auto, JsonLayout::Lines, JsonLayout::Array] {
            json_framing(&text, random.below(5) as usize + 1, layout);
        }
    }
}
