//! Patterns in Java's notation, which users of other engines have at hand: recognised, and answered with chrono's.

/// Java's letters as chrono's specifiers, longest first.
const LETTERS: &[(&str, &str)] = &[
    ("yyyy", "%Y"),
    ("uuuu", "%Y"),
    ("YYYY", "%Y"),
    ("yyy", "%Y"),
    ("yy", "%y"),
    ("y", "%Y"),
    ("u", "%Y"),
    ("MMMM", "%B"),
    ("MMM", "%b"),
    ("MM", "%m"),
    ("M", "%-m"),
    ("LL", "%m"),
    ("DDD", "%j"),
    ("dd", "%d"),
    ("DD", "%d"),
    ("d", "%-d"),
    ("EEEE", "%A"),
    ("EEE", "%a"),
    ("E", "%a"),
    ("HH", "%H"),
    ("H", "%-H"),
    ("kk", "%H"),
    ("hh", "%I"),
    ("h", "%-I"),
    ("mm", "%M"),
    ("m", "%-M"),
    ("ss", "%S"),
    ("s", "%-S"),
    ("XXX", "%:z"),
    ("xxx", "%:z"),
    ("XX", "%z"),
    ("xx", "%z"),
    ("X", "%#z"),
    ("ZZZZZ", "%:z"),
    ("Z", "%z"),
    ("a", "%p"),
];

/// A run of letters that chrono has a specifier for.
fn letters(text: &str) -> Option<(&'static str, &str)> {
    LETTERS.iter().find_map(|(java, chrono)| Some((*chrono, text.strip_prefix(java)?)))
}

/// A fraction of a second: as many digits as there are `S`.
fn fraction(text: &str) -> Option<(&'static str, &str)> {
    let digits = text.strip_prefix('.').unwrap_or(text);
    let after = digits.trim_start_matches('S');
    let specifier = match (digits.len() < text.len(), digits.len() - after.len()) {
        (_, 0) => return None,
        (true, 3) => "%.3f",
        (true, 6) => "%.6f",
        (true, 9) => "%.9f",
        (true, _) => "%.f",
        (false, 3) => "%3f",
        (false, 6) => "%6f",
        (false, 9) => "%9f",
        (false, _) => return None,
    };
    Some((specifier, after))
}

/// The chrono pattern that means what the Java pattern `text` means; `None` where `text` is no Java pattern.
pub(super) fn translate(text: &str) -> Option<String> {
    if text.contains('%') {
        return None;
    }
    let mut out = String::new();
    let mut specifiers = 0;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("''") {
            out.push('\'');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('\'') {
            let end = after.find('\'')?;
            out.push_str(&after[..end]);
            rest = &after[end + 1..];
        } else if let Some((chrono, after)) = fraction(rest).or_else(|| letters(rest)) {
            out.push_str(chrono);
            rest = after;
            specifiers += 1;
        } else if first == 'T' || !first.is_alphabetic() {
            // An unquoted T is a mistake in Java that is often made; what is meant is clear.
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            return None;
        }
    }
    // One letter alone ("a", "E") is no pattern; a year or a clock is.
    (specifiers >= 2).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_to_chrono() {
        for (java, chrono) in [
            ("yyyy-MM-dd", "%Y-%m-%d"),
            ("yyyy-MM-dd HH:mm:ss", "%Y-%m-%d %H:%M:%S"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "%Y-%m-%dT%H:%M:%S%.3f%:z"),
            ("yyyy-MM-dd'T'HH:mm:ss'Z'", "%Y-%m-%dT%H:%M:%SZ"),
            ("YYYY-MM-DDTHH:mm:ss.SSSSSS", "%Y-%m-%dT%H:%M:%S%.6f"),
            ("dd/MM/yy hh:mm a", "%d/%m/%y %I:%M %p"),
            ("EEE, d MMM yyyy HH:mm:ss Z", "%a, %-d %b %Y %H:%M:%S %z"),
            ("yyyyMMddHHmmssSSS", "%Y%m%d%H%M%S%3f"),
            ("yyyy-MM-dd HH:mm:ss,SSS", "%Y-%m-%d %H:%M:%S,%3f"),
            ("yyyy-MM-dd HH:mm:ss.SSSS", "%Y-%m-%d %H:%M:%S%.f"),
        ] {
            assert_eq!(translate(java).as_deref(), Some(chrono), "{java}");
        }
        for none in ["%Y", "iso", "epoch", "a", "rfc3339", "", "'open"] {
            assert_eq!(translate(none), None, "{none}");
        }
    }
}
