//! Names that say nothing, calls that are no code yet, and clocks that tests cannot control.

use super::finding::Finding;
use super::source::Source;

/// Names of files and modules that hold whatever nobody placed.
const VAGUE: [&str; 8] = ["util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"];

/// Words that say that there is a second one of everything.
const SECOND: [&str; 1] = ["enhanced"];

/// Calls that nobody may commit, and what to do instead.
const CALLS: [(&str, &str); 4] = [
    ("todo!", "write it, or return an error that says what is not supported"),
    ("unimplemented!", "write it, or return an error that says what is not supported"),
    ("dbg!", "remove it, or use `tracing`"),
    ("#[ignore", "a test that does not run is no test: repair it, assert today's result with the reason, or delete it"),
];

/// Ways past the clock, and what to do instead.
const CLOCKS: [(&str, &str); 6] = [
    ("SystemTime::now", "take the time from `velo_core::Clock`, so that tests control it"),
    ("Instant::now", "take the time from `velo_core::Clock` or its stopwatch, so that tests control it"),
    ("Utc::now", "take the time from `velo_core::Clock`, so that tests control it"),
    ("Local::now", "take the time from `velo_core::Clock`, so that tests control it"),
    (
        "thread::sleep",
        "wait for the event itself, or through a manual `velo_core::Clock`: a test that sleeps is slow or wrong",
    ),
    ("time::sleep", "wait for the event itself, or through `velo_core::Clock`: a test that sleeps is slow or wrong"),
];

/// The one place with a real clock; and xtask, which times builds for people.
const CLOCK_PLACES: [&str; 2] = ["velo-core/src/clock.rs", "xtask/"];

/// Looks at the file's name, its modules and its calls.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings: Vec<_> = check_path(source).into_iter().chain(check_modules(source)).collect();
    findings.extend(check_calls(source, &CALLS));
    if !CLOCK_PLACES.iter().any(|place| source.path.starts_with(place)) {
        findings.extend(check_calls(source, &CLOCKS));
    }
    findings
}

fn check_path(source: &Source) -> Option<Finding> {
    let names = source.path.split('/').map(|part| part.trim_end_matches(".rs"));
    let name = names.into_iter().find(|name| is_vague(name))?;
    Some(Finding::file(&source.path, advice(name)))
}

fn check_modules(source: &Source) -> Vec<Finding> {
    let places = source.find_word("mod").filter_map(|at| {
        let name = source.code.get(at + "mod".len()..)?.split_whitespace().next()?.trim_end_matches([';', '{', '}']);
        is_vague(name).then(|| Finding::line(&source.path, source.line_at(at), advice(name)))
    });
    places.collect()
}

fn check_calls(source: &Source, calls: &[(&str, &str)]) -> Vec<Finding> {
    let found = calls.iter().flat_map(|(call, instead)| source.find_word(call).map(move |at| (at, *call, *instead)));
    found
        .map(|(at, call, instead)| Finding::line(&source.path, source.line_at(at), format!("`{call}`: {instead}")))
        .collect()
}

/// `utils`, `json_helpers`, `parser_v2`, `new_window`, `enhanced_join`.
fn is_vague(name: &str) -> bool {
    let words: Vec<&str> = name.split(['_', '-']).collect();
    let ends_vague = words.last().is_some_and(|last| VAGUE.contains(last));
    let second = words.iter().any(|word| SECOND.contains(word) || is_version(word));
    ends_vague || second || (words.len() > 1 && words.first() == Some(&"new"))
}

fn is_version(word: &str) -> bool {
    let digits = word.strip_prefix('v').unwrap_or_default();
    digits != "1" && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn advice(name: &str) -> String {
    format!(
        "`{name}` says nothing about its contents: name it for what it does, and replace the old one where there is one"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, code: &str) -> Vec<String> {
        check(&Source::new(path, code)).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn names_say_what_is_inside() {
        for good in
            ["velo-sql/src/lex/mod.rs", "velo-core/src/newest.rs", "a/src/common_table.rs", "a/src/api/v1/jobs.rs"]
        {
            assert!(found(good, "mod new; mod model;").is_empty(), "{good}");
        }
        for bad in [
            "a/src/utils.rs",
            "a/src/helpers/mod.rs",
            "a/src/json_util.rs",
            "a/src/parser_v2.rs",
            "a/src/new_window.rs",
        ] {
            assert_eq!(found(bad, "").len(), 1, "{bad}");
        }
        assert_eq!(found("a.rs", "//! x\nmod enhanced_join {\n}"), [format!("a.rs:2: {}", advice("enhanced_join"))]);
    }

    #[test]
    fn unfinished_calls() {
        for bad in
            ["fn a() { todo!() }", "unimplemented!(\"x\")", "dbg!(a)", "#[ignore]\nfn a() {}", "#[ignore = \"slow\"]"]
        {
            assert_eq!(found("velo-sql/src/a.rs", bad).len(), 1, "{bad}");
        }
        assert!(found("velo-sql/src/a.rs", "// todo!()\nlet a = \"dbg!\"; my_todo!();").is_empty());
    }

    #[test]
    fn the_clock_is_ours() {
        let code = "let a = std::time::Instant::now(); tokio::time::sleep(b).await;";
        assert_eq!(found("velo-exec/tests/a.rs", code).len(), 2);
        assert!(found("velo-core/src/clock.rs", code).is_empty());
        assert!(found("xtask/src/ci.rs", code).is_empty());
        assert!(found("velo-exec/src/a.rs", "clock.sleep(b).await; clock.now()").is_empty());
    }
}
