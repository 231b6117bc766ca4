//! A Rust file with its comments and strings taken out, so that rules can look for words without parsing.

/// The text of a file, and the same text with comments blanked and the insides of strings filled; offsets agree.
pub struct Source {
    /// Relative to the root, `/` between the parts.
    pub path: String,
    pub raw: String,
    /// Comments are spaces, the bytes of strings and characters are `"`.
    pub code: String,
}

impl Source {
    /// Scans one file.
    pub fn new(path: &str, raw: impl Into<String>) -> Self {
        let raw = raw.into();
        let code = Scanner::scan(&raw);
        Self { path: path.to_owned(), raw, code }
    }

    /// The line of an offset, counted from 1.
    pub fn line_at(&self, offset: usize) -> usize {
        1 + self.code.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
    }

    /// Offsets at which `word` stands in the code and is not the tail or the head of a longer name.
    pub fn find_word<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let bytes = self.code.as_bytes();
        let inside_name = move |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(|byte| is_name(*byte));
        let ends_in_name = word.bytes().next_back().is_some_and(is_name);
        let places = self.code.match_indices(word).map(|(at, _)| at);
        let begins = places.filter(move |at| !inside_name(at.checked_sub(1)));
        begins.filter(move |at| !ends_in_name || !inside_name(Some(at + word.len())))
    }

    /// The code without items under `#[cfg(test)]`.
    pub fn code_without_tests(&self) -> String {
        let mut code = self.code.clone().into_bytes();
        for mark in ["#[cfg(test)]", "#[cfg(all(test"] {
            for (at, _) in self.code.match_indices(mark) {
                let end = end_of_item(self.code.as_bytes(), at);
                blank(&mut code, at..end);
            }
        }
        String::from_utf8_lossy(&code).into_owned()
    }
}

fn is_name(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

fn blank(code: &mut [u8], range: std::ops::Range<usize>) {
    for byte in code.iter_mut().take(range.end).skip(range.start) {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

/// Where the item ends whose first attribute starts at `at`: after its `;`, or after the brace that closes its body.
fn end_of_item(code: &[u8], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut braces = 0_usize;
    for (place, byte) in code.iter().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' => braces += 1,
            b'}' if braces == 1 => {
                let semicolon = code.get(place + 1) == Some(&b';');
                return place + 1 + usize::from(semicolon);
            }
            b'}' => braces = braces.saturating_sub(1),
            b';' if depth == 0 && braces == 0 => return place + 1,
            _ => {}
        }
    }
    code.len()
}

/// Copies a text, replacing what is no code.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    out: Vec<u8>,
}

impl Scanner<'_> {
    fn scan(text: &str) -> String {
        let mut scanner = Scanner { text: text.as_bytes(), at: 0, out: Vec::with_capacity(text.len()) };
        while scanner.at < scanner.text.len() {
            scanner.step();
        }
        String::from_utf8_lossy(&scanner.out).into_owned()
    }

    fn step(&mut self) {
        let rest = self.rest();
        if rest.starts_with(b"//") {
            let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            self.replace(length, b' ');
        } else if rest.starts_with(b"/*") {
            self.replace(block_comment(rest), b' ');
        } else if rest.starts_with(b"\"") {
            self.replace(string(rest), b'"');
        } else if rest.starts_with(b"'") {
            self.replace(character(rest), b'"');
        } else {
            self.copy_word();
        }
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Copies one name, number or sign; a name that is the prefix of a raw string takes the string with it.
    fn copy_word(&mut self) {
        let rest = self.rest();
        let word = rest.iter().take_while(|byte| is_name(**byte)).count().max(1);
        let (head, tail) = rest.split_at(word.min(rest.len()));
        let raw = if matches!(head, b"r" | b"br" | b"cr") { raw_string(tail) } else { 0 };
        let lifetime = usize::from(head == b"'");
        self.copy(word + lifetime);
        self.replace(raw, b'"');
    }

    fn copy(&mut self, length: usize) {
        let bytes = self.rest().iter().take(length).copied().collect::<Vec<_>>();
        self.at += bytes.len();
        self.out.extend(bytes);
    }

    fn replace(&mut self, length: usize, filler: u8) {
        if length == 1 && filler == b'"' {
            return self.copy(1);
        }
        let bytes = self.rest().iter().take(length);
        let bytes = bytes.map(|byte| if *byte == b'\n' { b'\n' } else { filler }).collect::<Vec<_>>();
        self.at += bytes.len();
        self.out.extend(bytes);
    }
}

/// The length of a block comment; they nest.
fn block_comment(text: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of a string with escapes, quotes included.
fn string(text: &[u8]) -> usize {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a raw string from its first `#` or quote; 0 if none starts here (`r#type` is a name).
fn raw_string(text: &[u8]) -> usize {
    let hashes = text.iter().take_while(|byte| **byte == b'#').count();
    if text.get(hashes) != Some(&b'"') {
        return 0;
    }
    let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = text.get(hashes + 1..).unwrap_or_default();
    let length = body.windows(end.len()).position(|window| window == end);
    length.map_or(text.len(), |length| hashes + 1 + length + end.len())
}

/// The length of a character literal; 1 for the tick of a lifetime.
fn character(text: &[u8]) -> usize {
    if text.get(1) == Some(&b'\\') {
        let close = text.iter().skip(3).position(|byte| *byte == b'\'');
        return close.map_or(text.len(), |close| close + 4);
    }
    let width = match text.get(1) {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        Some(0xc0..) => 2,
        _ => 1,
    };
    if text.get(1 + width) == Some(&b'\'') { width + 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new("a.rs", text).code
    }

    #[test]
    fn comments_become_spaces() {
        assert_eq!(code("a // todo!()\nb"), "a           \nb");
        assert_eq!(code("a /* x /* y */ z */ b"), "a                   b");
    }

    #[test]
    fn insides_of_strings_are_filled() {
        assert_eq!(code(r#"f("a // \" b", c)"#), r#"f(""""""""""", c)"#);
        assert_eq!(code("r#\"a\"b\"# x"), "r\"\"\"\"\"\"\" x");
        assert_eq!(code("\"a\nb\" c"), "\"\"\n\"\" c");
    }

    #[test]
    fn characters_are_no_lifetimes() {
        assert_eq!(code("'\"' x<'a>('é', '\\'')"), "\"\"\" x<'a>(\"\"\"\", \"\"\"\")");
        assert_eq!(code("r#type, br\"x\""), "r#type, br\"\"\"");
    }

    #[test]
    fn offsets_agree() {
        let source = Source::new("a.rs", "/* é */ \"ü\" 'x' 'a: loop {}");
        assert_eq!(source.raw.len(), source.code.len());
    }

    #[test]
    fn words_are_whole() {
        let source = Source::new("a.rs", "my_todo!() todo!() todo!");
        assert_eq!(source.find_word("todo!").collect::<Vec<_>>(), [11, 19]);
        assert_eq!(Source::new("a.rs", "mod model").find_word("mod").collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn test_items_are_left_out() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { if x { y } } }\nfn c() {}\n#[cfg(test)]\nuse d::{e, f};\n";
        let rest = Source::new("a.rs", text).code_without_tests();
        assert_eq!(rest.split_whitespace().collect::<Vec<_>>().join(" "), "fn a() {} fn c() {}");
    }
}
