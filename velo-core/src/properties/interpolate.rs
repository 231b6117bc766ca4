//! `${NAME}` in property values: from the environment or a secrets file.

/// Replaces `${NAME}`, `${NAME:default}`, `${NAME:-default}` and `${NAME:?message}` in `text`; `$${` stands for `${`.
///
/// `lookup` gives a name's value. A name without a value and default is an error that names it.
pub fn interpolate(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            out.push_str(&rest[..at]);
            out.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let Some(end) = inner.find('}') else {
            return Err(format!("'{text}' has a '${{' without its '}}'"));
        };
        let body = &inner[..end];
        rest = &inner[end + 1..];
        let (name, fallback) = match body.split_once(':') {
            Some((name, fallback)) => (name.trim(), Some(fallback)),
            None => (body.trim(), None),
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.') {
            return Err(format!("'${{{body}}}' names no variable: write ${{NAME}} or ${{NAME:default}}"));
        }
        match (lookup(name), fallback) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(message)) if message.starts_with('?') => {
                return Err(format!("the variable {name} is not set: {}", message[1..].trim()));
            }
            (None, Some(fallback)) => out.push_str(fallback.strip_prefix('-').unwrap_or(fallback)),
            (None, None) => {
                return Err(format!("the variable {name} is not set; set it, or give a default: ${{{name}:default}}"));
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms() {
        let lookup = |name: &str| (name == "HOST").then(|| "db1".to_owned());
        let run = |text| interpolate(text, &lookup);
        assert_eq!(run("${HOST}:9092").as_deref(), Ok("db1:9092"));
        assert_eq!(run("${PORT:9092}").as_deref(), Ok("9092"));
        assert_eq!(run("${PORT:-9092}").as_deref(), Ok("9092"));
        assert_eq!(run("${PORT:?say which port}").unwrap_err(), "the variable PORT is not set: say which port");
        assert!(run("${PORT}").unwrap_err().contains("PORT"));
        assert!(run("${PORT").is_err());
        assert!(run("${}").is_err());
        assert_eq!(run("$${HOST} costs $5").as_deref(), Ok("${HOST} costs $5"));
    }
}
