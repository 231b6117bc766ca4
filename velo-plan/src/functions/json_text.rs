//! JSON as text: a value is a slice of it, so that numbers keep their digits; found by key, place or path.

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// Digits.
    Number,
    /// `true`, `false`
    Boolean,
    /// `null`
    Null,
}

impl Kind {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Null => "null",
        }
    }
}

/// How deep values may lie in each other.
const DEPTH: usize = 512;

/// The value that `text` is, without the blanks around it, and its kind; `None` where it is no JSON.
pub fn value(text: &str) -> Option<(&str, Kind)> {
    let bytes = text.as_bytes();
    let start = blanks(bytes, 0);
    let (end, kind) = skip(bytes, start, 0)?;
    (blanks(bytes, end) == bytes.len()).then(|| (&text[start..end], kind))
}

fn blanks(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of the value at this place.
fn skip(bytes: &[u8], at: usize, depth: usize) -> Option<(usize, Kind)> {
    if depth > DEPTH {
        return None;
    }
    match bytes.get(at)? {
        b'{' => members(bytes, at, depth, |_, _, _| {}).map(|end| (end, Kind::Object)),
        b'[' => elements(bytes, at, depth, |_, _| {}).map(|end| (end, Kind::Array)),
        b'"' => string(bytes, at).map(|end| (end, Kind::String)),
        b't' => bytes[at..].starts_with(b"true").then_some((at + 4, Kind::Boolean)),
        b'f' => bytes[at..].starts_with(b"false").then_some((at + 5, Kind::Boolean)),
        b'n' => bytes[at..].starts_with(b"null").then_some((at + 4, Kind::Null)),
        _ => number(bytes, at).map(|end| (end, Kind::Number)),
    }
}

/// The end of an object; each member is told: its key with the quotes, its value, its kind.
fn members<'a>(
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    mut tell: impl FnMut(&'a [u8], &'a [u8], Kind),
) -> Option<usize> {
    let mut at = blanks(bytes, at + 1);
    if bytes.get(at) == Some(&b'}') {
        return Some(at + 1);
    }
    loop {
        let key = at;
        let end = string(bytes, at)?;
        at = blanks(bytes, end);
        if bytes.get(at) != Some(&b':') {
            return None;
        }
        let start = blanks(bytes, at + 1);
        let (stop, kind) = skip(bytes, start, depth + 1)?;
        tell(&bytes[key..end], &bytes[start..stop], kind);
        at = blanks(bytes, stop);
        match bytes.get(at)? {
            b',' => at = blanks(bytes, at + 1),
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// The end of an array; each element is told.
fn elements<'a>(bytes: &'a [u8], at: usize, depth: usize, mut tell: impl FnMut(&'a [u8], Kind)) -> Option<usize> {
    let mut at = blanks(bytes, at + 1);
    if bytes.get(at) == Some(&b']') {
        return Some(at + 1);
    }
    loop {
        let (stop, kind) = skip(bytes, at, depth + 1)?;
        tell(&bytes[at..stop], kind);
        at = blanks(bytes, stop);
        match bytes.get(at)? {
            b',' => at = blanks(bytes, at + 1),
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// The end of a string.
fn string(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match bytes.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
                _ => return None,
            },
            0..=31 => return None,
            _ => at += 1,
        }
    }
}

/// The end of a number.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |mut at: usize| {
        let start = at;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        (at > start).then_some(at)
    };
    let whole = if bytes.get(at) == Some(&b'-') { at + 1 } else { at };
    let mut end = digits(whole)?;
    if bytes[whole] == b'0' && end > whole + 1 {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let exponent = if matches!(bytes.get(end + 1), Some(b'+' | b'-')) { end + 2 } else { end + 1 };
        end = digits(exponent)?;
    }
    Some(end)
}

/// A slice of the bytes of a text is text: cuts are made at ASCII letters only.
fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// The member of an object; of equal keys the last one counts.
pub fn member<'a>(object: &'a str, key: &str) -> Option<(&'a str, Kind)> {
    if !object.starts_with('{') {
        return None;
    }
    let mut found = None;
    members(object.as_bytes(), 0, 0, |name, value, kind| {
        let plain = &name[1..name.len() - 1];
        if plain == key.as_bytes() || (plain.contains(&b'\\') && unquoted(text_of(name)) == key) {
            found = Some((text_of(value), kind));
        }
    });
    found
}

/// The element of an array, from 0; from its end where `at` is negative.
pub fn element(array: &str, at: i64) -> Option<(&str, Kind)> {
    let all = elements_of(array)?;
    let at = if at < 0 { usize::try_from(all.len() as i64 + at).ok()? } else { usize::try_from(at).ok()? };
    all.get(at).copied()
}

/// All elements of an array.
pub fn elements_of(array: &str) -> Option<Vec<(&str, Kind)>> {
    if !array.starts_with('[') {
        return None;
    }
    let mut all = Vec::new();
    elements(array.as_bytes(), 0, 0, |value, kind| all.push((text_of(value), kind)));
    Some(all)
}

/// The keys of an object, in their order.
pub fn keys(object: &str) -> Option<Vec<String>> {
    if !object.starts_with('{') {
        return None;
    }
    let mut all: Vec<String> = Vec::new();
    members(object.as_bytes(), 0, 0, |name, _, _| {
        let name = unquoted(text_of(name));
        if !all.contains(&name) {
            all.push(name);
        }
    });
    Some(all)
}

/// The text that a string in quotes writes.
pub fn unquoted(quoted: &str) -> String {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains('\\') {
        return inner.to_owned();
    }
    let mut out = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let mut code = || {
                    let digits: String = letters.by_ref().take(4).collect();
                    u32::from_str_radix(&digits, 16).unwrap_or(0xfffd)
                };
                let mut code_point = code();
                if (0xd800..0xdc00).contains(&code_point) {
                    // The second half of a pair follows in the same form.
                    let mut ahead = letters.clone();
                    if ahead.next() == Some('\\') && ahead.next() == Some('u') {
                        let digits: String = ahead.by_ref().take(4).collect();
                        let low = u32::from_str_radix(&digits, 16).unwrap_or(0);
                        if (0xdc00..0xe000).contains(&low) {
                            code_point = 0x10000 + ((code_point - 0xd800) << 10) + (low - 0xdc00);
                            letters = ahead;
                        }
                    }
                }
                out.push(char::from_u32(code_point).unwrap_or('\u{fffd}'));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

/// A text as a string in quotes.
pub fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    At(i64),
    All,
}

/// A path such as `$.items[0].price`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    steps: Vec<Step>,
}

impl Path {
    /// Reads a path: `$`, then `.key`, `."any key"`, `['any key']`, `[0]`, `[-1]`, `[*]`. The words lax and strict before it mean
    /// nothing here.
    pub fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no JSON path: write $.key[0].key");
        let trimmed = text.trim();
        let trimmed = trimmed.strip_prefix("lax ").or_else(|| trimmed.strip_prefix("strict ")).unwrap_or(trimmed);
        let mut rest = trimmed.trim_start();
        // A bare key is a path of one step.
        rest = match rest.strip_prefix('$') {
            Some(rest) => rest,
            None if !rest.is_empty() && rest.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                return Ok(Self { steps: vec![Step::Key(rest.to_owned())] });
            }
            None => return Err(wrong()),
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                if let Some(after) = after.strip_prefix('"') {
                    let end = after.find('"').ok_or_else(wrong)?;
                    steps.push(Step::Key(after[..end].to_owned()));
                    rest = &after[end + 1..];
                    continue;
                }
                let end = after.find(['.', '[']).unwrap_or(after.len());
                match after[..end].trim() {
                    "" => return Err(wrong()),
                    "*" => steps.push(Step::All),
                    key => steps.push(Step::Key(key.to_owned())),
                }
                rest = &after[end..];
                continue;
            }
            let after = rest.strip_prefix('[').ok_or_else(wrong)?;
            let end = match after.chars().next() {
                Some(quote @ ('\'' | '"')) => after[1..].find(quote).map(|end| end + 2),
                _ => after.find(']'),
            };
            let end = end.ok_or_else(wrong)?;
            let inside = after[..end].trim();
            steps.push(match inside {
                "*" => Step::All,
                _ if inside.starts_with(['\'', '"']) => Step::Key(inside[1..inside.len() - 1].to_owned()),
                _ => Step::At(inside.parse().map_err(|_| wrong())?),
            });
            rest = after[end..].strip_prefix(']').ok_or_else(wrong)?;
        }
        Ok(Self { steps })
    }

    /// Whether it can find several values.
    pub fn is_many(&self) -> bool {
        self.steps.contains(&Step::All)
    }

    /// The values that it finds in a valid value.
    pub fn find<'a>(&self, root: (&'a str, Kind)) -> Vec<(&'a str, Kind)> {
        let mut found = vec![root];
        for step in &self.steps {
            found = found
                .into_iter()
                .flat_map(|(text, kind)| match step {
                    Step::Key(key) => member(text, key).into_iter().collect(),
                    Step::At(at) => element(text, *at).into_iter().collect(),
                    Step::All if kind == Kind::Array => elements_of(text).unwrap_or_default(),
                    Step::All => {
                        let mut all = Vec::new();
                        if kind == Kind::Object {
                            members(text.as_bytes(), 0, 0, |_, value, kind| all.push((text_of(value), kind)));
                        }
                        all
                    }
                })
                .collect();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked() {
        for good in ["{}", " [1, 2.50e+3, -0] ", r#"{"a": {"b": null}, "a": "\u00e4"}"#, "true", "\"x\""] {
            assert!(value(good).is_some(), "{good}");
        }
        for bad in ["", "{", "[1,]", "01", "1.", "{'a': 1}", "tru", "[1] 2", "\"a", "\"\\x\"", "nul", "-", "{\"a\"}"] {
            assert!(value(bad).is_none(), "{bad}");
        }
        let deep = "[".repeat(100_000);
        assert!(value(&deep).is_none());
    }

    #[test]
    fn paths() {
        let json = value(r#" {"a": {"b c": [1.50, {"d": "x"}, 3]}, "n": 1} "#).unwrap();
        let find = |path: &str| {
            Path::read(path).unwrap().find(json).iter().map(|(text, _)| (*text).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(find("$.a.\"b c\"[0]"), ["1.50"]);
        assert_eq!(find("$.a['b c'][1].d"), ["\"x\""]);
        assert_eq!(find("$.a['b c'][-1]"), ["3"]);
        assert_eq!(find("$.a['b c'][*]").len(), 3);
        assert_eq!(find("lax $.n"), ["1"]);
        assert_eq!(find("n"), ["1"]);
        assert!(find("$.x.y").is_empty());
        assert!(Path::read("a.b").is_err() && Path::read("$[").is_err() && Path::read("$..a").is_err());
    }

    #[test]
    fn strings() {
        assert_eq!(unquoted(r#""a\"\u00e4\n\ud83d\ude00""#), "a\"ä\n😀");
        assert_eq!(unquoted(&quoted("tab\t\"q\"")), "tab\t\"q\"");
    }
}
