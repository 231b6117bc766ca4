//! Patterns: LIKE with any escape, SIMILAR TO, PostgreSQL's escapes in regular expressions, and functions of matches.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, StringArray};
use arrow_schema::DataType;
use datafusion_common::Result;
use datafusion_expr::ScalarUDF;
use regex::{Regex, RegexBuilder};
use velo_core::types;

use super::own::{Inputs, Kept, Texts, failed, is_text, own};

/// A LIKE pattern with an escape of its own as one whose escape is the backslash.
pub fn like(pattern: &str, escape: Option<char>) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len());
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if Some(letter) == escape {
            let next = letters.next().ok_or("a LIKE pattern must not end with its escape")?;
            if matches!(next, '%' | '_' | '\\') {
                out.push('\\');
            }
            out.push(next);
        } else if letter == '\\' {
            out.push_str("\\\\");
        } else {
            out.push(letter);
        }
    }
    Ok(out)
}

/// A SIMILAR TO pattern as a regular expression over the whole text.
pub fn similar(pattern: &str, escape: Option<char>) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 12);
    out.push_str("^(?s:");
    let mut letters = pattern.chars();
    let mut inside = false;
    while let Some(letter) = letters.next() {
        if Some(letter) == escape {
            let next = letters.next().ok_or("a SIMILAR TO pattern must not end with its escape")?;
            push_literal(&mut out, next);
        } else if inside {
            inside = letter != ']';
            if letter == '[' {
                // A class by its name: `[:alpha:]`.
                out.push('[');
                for next in letters.by_ref() {
                    out.push(next);
                    if next == ']' {
                        break;
                    }
                }
            } else if matches!(letter, '&' | '~') {
                push_literal(&mut out, letter);
            } else {
                out.push(letter);
            }
        } else {
            match letter {
                '%' => out.push_str(".*"),
                '_' => out.push('.'),
                '(' => out.push_str("(?:"),
                '[' => {
                    inside = true;
                    out.push('[');
                }
                '.' | '^' | '$' | '\\' => push_literal(&mut out, letter),
                other => out.push(other),
            }
        }
    }
    out.push_str(")$");
    Ok(out)
}

fn push_literal(out: &mut String, letter: char) {
    out.push_str(&regex::escape(&letter.to_string()));
}

/// PostgreSQL's escapes for the bounds of words as those of our regular expressions.
pub fn expression(pattern: &str) -> String {
    if !pattern.contains('\\') {
        return pattern.to_owned();
    }
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('m') => out.push_str(r"\b{start}"),
            Some('M') => out.push_str(r"\b{end}"),
            Some('y') => out.push_str(r"\b"),
            Some('Y') => out.push_str(r"\B"),
            Some('Z') => out.push_str(r"\z"),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

/// A regular expression with flags as PostgreSQL has them: `i` ignores case, `n` and `m` are lines, `x` has comments.
fn compile(pattern: &str, flags: &str) -> Result<Regex> {
    let mut builder = RegexBuilder::new(&expression(pattern));
    let lines = flags.contains(['n', 'm']);
    builder.case_insensitive(flags.contains('i')).multi_line(lines).dot_matches_new_line(!lines);
    builder.ignore_whitespace(flags.contains('x'));
    if let Some(unknown) = flags.chars().find(|flag| !"cginmsx".contains(*flag)) {
        return failed(format!("'{unknown}' is no flag of a regular expression: there are i, n, x and g"));
    }
    builder.build().or_else(|error| {
        let text = error.to_string();
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        failed(format!("'{pattern}' is no regular expression: {why}"))
    })
}

/// Compiles the patterns of a call, each once in a row.
struct Patterns<'a> {
    patterns: Texts<'a>,
    flags: Option<Texts<'a>>,
    kept: Kept<Regex>,
    key: String,
}

impl<'a> Patterns<'a> {
    fn of(inputs: &'a Inputs<'_>, flags: Option<usize>) -> Result<Self> {
        let flags = flags.filter(|at| *at < inputs.len()).map(|at| inputs.text(at)).transpose()?;
        Ok(Self { patterns: inputs.text(1)?, flags, kept: Kept::new(), key: String::new() })
    }

    fn at(&mut self, row: usize) -> Result<Option<&mut Regex>> {
        let flags = match &self.flags {
            Some(flags) => flags.at(row),
            None => Some(""),
        };
        let (Some(pattern), Some(flags)) = (self.patterns.at(row), flags) else { return Ok(None) };
        self.key.clear();
        self.key.push_str(flags);
        self.key.push('/');
        self.key.push_str(pattern);
        self.kept.of(&self.key, |_| compile(pattern, flags)).map(Some)
    }
}

/// Which group of a match is meant: the whole, unless there is one.
fn group(found: &regex::Captures<'_>, group: Option<i64>) -> Result<Option<String>> {
    let at = match group {
        Some(at) => at,
        None => i64::from(found.len() > 1),
    };
    match usize::try_from(at) {
        Ok(at) if at < found.len() => Ok(found.get(at).map(|part| part.as_str().to_owned())),
        _ => failed(format!("the regular expression has no group {at}")),
    }
}

/// Text and pattern, then so many more of these types.
fn types_of(given: &[DataType], more: &[DataType], result: DataType) -> Option<(Vec<DataType>, DataType)> {
    let [text, pattern, rest @ ..] = given else { return None };
    let fits = |(given, taken): (&DataType, &DataType)| match taken {
        DataType::Utf8 => is_text(given),
        _ => given.is_integer() || given.is_null(),
    };
    let all = is_text(text) && is_text(pattern) && rest.len() <= more.len() && rest.iter().zip(more).all(fits);
    let mut taken = vec![DataType::Utf8; 2];
    taken.extend(more.iter().take(rest.len()).cloned());
    all.then_some((taken, result))
}

/// All of them.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    use DataType::{Boolean, Int64, Utf8};
    let pattern = |given: &[DataType]| types_of(given, &[], Utf8);
    vec![
        own("like_pattern", pattern, |inputs| patterns(inputs, like)),
        own("similar_pattern", pattern, |inputs| patterns(inputs, similar)),
        own(
            "regexp_like",
            |given| types_of(given, &[Utf8], Boolean),
            |inputs| {
                let (texts, mut patterns) = (inputs.text(0)?, Patterns::of(inputs, Some(2))?);
                let found = (0..inputs.rows).map(|row| {
                    let (Some(text), Some(pattern)) = (texts.at(row), patterns.at(row)?) else { return Ok(None) };
                    Ok(Some(pattern.is_match(text)))
                });
                Ok(Arc::new(found.collect::<Result<arrow_array::BooleanArray>>()?))
            },
        ),
        own(
            "regexp_substr",
            |given| types_of(given, &[Int64, Int64, Utf8], Utf8),
            |inputs| {
                matched(inputs, Some(2), Some(3), Some(4), |text, found| match found.get(0) {
                    Some(part) => Ok(Some(text[part.range()].to_owned())),
                    None => Ok(None),
                })
            },
        ),
        own("regexp_extract", |given| types_of(given, &[Int64], Utf8), extract),
        own(
            "regexp_extract_all",
            |given| types_of(given, &[Int64], types::array(Utf8)),
            |inputs| {
                lists(inputs, None, |pattern, text, at| {
                    pattern.captures_iter(text).map(|found| group(&found, at)).collect::<Result<Option<Vec<_>>>>()
                })
            },
        ),
        own(
            "regexp_split",
            |given| types_of(given, &[Utf8], types::array(Utf8)),
            |inputs| {
                lists(inputs, Some(2), |pattern, text, _| Ok(Some(pattern.split(text).map(str::to_owned).collect())))
            },
        ),
        own("regexp_match", |given| types_of(given, &[Utf8], types::array(Utf8)), regexp_match),
        own(
            "regexp_count",
            |given| types_of(given, &[Int64, Utf8], Int64),
            |inputs| {
                let (texts, mut patterns) = (inputs.text(0)?, Patterns::of(inputs, Some(3))?);
                let starts = if inputs.len() > 2 { Some(inputs.values::<Int64Type>(2)?) } else { None };
                let counts = (0..inputs.rows).map(|row| {
                    let start = starts.map_or(Some(1), |starts| starts.at(row));
                    let (Some(text), Some(start), Some(pattern)) = (texts.at(row), start, patterns.at(row)?) else {
                        return Ok(None);
                    };
                    let start = place(text, start)?;
                    Ok(Some(start.map_or(0, |start| pattern.find_iter(&text[start..]).count() as i64)))
                });
                Ok(Arc::new(counts.collect::<Result<Int64Array>>()?))
            },
        ),
        own("regexp_instr", |given| types_of(given, &[Int64, Int64, Int64, Utf8, Int64], Int64), instr),
    ]
}

/// The place in bytes of a character counted from 1; `None` behind the end.
fn place(text: &str, from: i64) -> Result<Option<usize>> {
    let Some(skipped) = from.checked_sub(1).and_then(|from| usize::try_from(from).ok()) else {
        return failed("a place in a text is counted from 1");
    };
    Ok(text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len())).nth(skipped))
}

fn patterns(inputs: &Inputs<'_>, translate: fn(&str, Option<char>) -> Result<String, String>) -> Result<ArrayRef> {
    let (patterns, escapes) = (inputs.text(0)?, inputs.text(1)?);
    let mut kept = Kept::new();
    let translated = (0..inputs.rows).map(|row| {
        let (Some(pattern), Some(escape)) = (patterns.at(row), escapes.at(row)) else { return Ok(None) };
        let mut letters = escape.chars();
        let first = letters.next();
        if letters.next().is_some() {
            return failed("ESCAPE takes one character, or none");
        }
        let key = format!("{escape}/{pattern}");
        kept.of(&key, |_| translate(pattern, first).or_else(failed)).map(|text| Some(text.clone()))
    });
    Ok(Arc::new(translated.collect::<Result<StringArray>>()?))
}

/// The n-th match from a place on; the arguments are at the places given.
fn matched(
    inputs: &Inputs<'_>,
    start: Option<usize>,
    nth: Option<usize>,
    flags: Option<usize>,
    of: impl Fn(&str, &regex::Captures<'_>) -> Result<Option<String>>,
) -> Result<ArrayRef> {
    let (texts, mut patterns) = (inputs.text(0)?, Patterns::of(inputs, flags)?);
    let number =
        |at: Option<usize>| at.filter(|at| *at < inputs.len()).map(|at| inputs.values::<Int64Type>(at)).transpose();
    let (starts, nths) = (number(start)?, number(nth)?);
    let parts = (0..inputs.rows).map(|row| {
        let start = starts.map_or(Some(1), |starts| starts.at(row));
        let nth = nths.map_or(Some(1), |nths| nths.at(row));
        let (Some(text), Some(start), Some(nth), Some(pattern)) = (texts.at(row), start, nth, patterns.at(row)?) else {
            return Ok(None);
        };
        let Some(start) = place(text, start)? else { return Ok(None) };
        let Some(skipped) = usize::try_from(nth).ok().and_then(|nth| nth.checked_sub(1)) else {
            return failed("the number of a match is counted from 1");
        };
        match pattern.captures_iter(&text[start..]).nth(skipped) {
            Some(found) => of(&text[start..], &found),
            None => Ok(None),
        }
    });
    Ok(Arc::new(parts.collect::<Result<StringArray>>()?))
}

fn extract(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let (texts, mut patterns) = (inputs.text(0)?, Patterns::of(inputs, None)?);
    let groups = if inputs.len() > 2 { Some(inputs.values::<Int64Type>(2)?) } else { None };
    let parts = (0..inputs.rows).map(|row| {
        let at = match &groups {
            Some(groups) => match groups.at(row) {
                Some(at) => Some(at),
                None => return Ok(None),
            },
            None => None,
        };
        let (Some(text), Some(pattern)) = (texts.at(row), patterns.at(row)?) else { return Ok(None) };
        match pattern.captures(text) {
            Some(found) => group(&found, at),
            None => Ok(None),
        }
    });
    Ok(Arc::new(parts.collect::<Result<StringArray>>()?))
}

/// A list of texts per row.
fn lists(
    inputs: &Inputs<'_>,
    flags: Option<usize>,
    of: impl Fn(&Regex, &str, Option<i64>) -> Result<Option<Vec<String>>>,
) -> Result<ArrayRef> {
    let (texts, mut patterns) = (inputs.text(0)?, Patterns::of(inputs, flags)?);
    let groups = if flags.is_none() && inputs.len() > 2 { Some(inputs.values::<Int64Type>(2)?) } else { None };
    let mut builder = list_builder();
    for row in 0..inputs.rows {
        let at = groups.and_then(|groups| groups.at(row));
        let found = match (texts.at(row), patterns.at(row)?) {
            (Some(text), Some(pattern)) => of(pattern, text, at)?,
            _ => None,
        };
        match found {
            Some(found) => {
                found.iter().for_each(|part| builder.values().append_value(part));
                builder.append(true);
            }
            None => builder.append(false),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn list_builder() -> ListBuilder<StringBuilder> {
    let builder = ListBuilder::new(StringBuilder::new());
    match types::array(DataType::Utf8) {
        DataType::List(field) => builder.with_field(field),
        _ => builder,
    }
}

/// The groups of the first match, or the whole where it has none.
fn regexp_match(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let (texts, mut patterns) = (inputs.text(0)?, Patterns::of(inputs, Some(2))?);
    let mut builder = list_builder();
    for row in 0..inputs.rows {
        let found = match (texts.at(row), patterns.at(row)?) {
            (Some(text), Some(pattern)) => pattern.captures(text),
            _ => None,
        };
        let Some(found) = found else {
            builder.append(false);
            continue;
        };
        let first = usize::from(found.len() > 1);
        for part in found.iter().skip(first) {
            builder.values().append_option(part.map(|part| part.as_str()));
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

/// REGEXP_INSTR(text, pattern, start, number, end, flags, group): where a match begins, or with `end` 1 where it has ended.
fn instr(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let (texts, mut patterns) = (inputs.text(0)?, Patterns::of(inputs, Some(5))?);
    let number = |at: usize| if at < inputs.len() { inputs.values::<Int64Type>(at).map(Some) } else { Ok(None) };
    let (starts, nths, ends, groups) = (number(2)?, number(3)?, number(4)?, number(6)?);
    let places = (0..inputs.rows).map(|row| {
        let start = starts.map_or(Some(1), |values| values.at(row));
        let nth = nths.map_or(Some(1), |values| values.at(row));
        let end = ends.map_or(Some(0), |values| values.at(row));
        let group = groups.map_or(Some(0), |values| values.at(row));
        let (Some(start), Some(nth), Some(end), Some(group)) = (start, nth, end, group) else { return Ok(None) };
        let (Some(text), Some(pattern)) = (texts.at(row), patterns.at(row)?) else { return Ok(None) };
        let (Ok(nth), Ok(group)) = (usize::try_from(nth - 1), usize::try_from(group)) else {
            return failed("the number of a match is counted from 1, that of a group from 0");
        };
        let Some(start) = place(text, start)? else { return Ok(Some(0)) };
        let found = pattern.captures_iter(&text[start..]).nth(nth);
        Ok(Some(found.and_then(|found| found.get(group)).map_or(0, |part| {
            let at = start + if end == 1 { part.end() } else { part.start() };
            text[..at].chars().count() as i64 + 1
        })))
    });
    Ok(Arc::new(places.collect::<Result<Int64Array>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_translated() {
        assert_eq!(like("a#%b", Some('#')).unwrap(), r"a\%b");
        assert_eq!(like(r"a\b", None).unwrap(), r"a\\b");
        assert!(like("a#", Some('#')).is_err());
    }

    #[test]
    fn similar_patterns_match_the_whole_text() {
        let matches =
            |pattern: &str, text: &str| Regex::new(&similar(pattern, Some('\\')).unwrap()).unwrap().is_match(text);
        assert!(matches("%(b|d)%", "abc"));
        assert!(!matches("(b|c)%", "abc"));
        assert!(!matches("a.c", "abc"));
        assert!(matches("[[:alpha:]]+", "abc"));
        assert!(matches(r"a\%b", "a%b"));
    }
}
