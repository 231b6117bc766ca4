//! The output of `cargo test`, added up: results per test binary, and the time of each.

use std::fmt::Write;

/// One test binary, or the documentation tests of one crate.
#[derive(Default)]
struct Binary {
    name: String,
    seconds: f64,
    /// Whether it printed a result; a binary that crashes prints none.
    finished: bool,
}

/// What the lines so far say.
#[derive(Default)]
pub struct TestOutput {
    binaries: Vec<Binary>,
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Which tests failed.
    names: Vec<String>,
}

/// So many tests that failed are named.
const NAMED: usize = 12;

impl TestOutput {
    /// Takes one line of output.
    pub fn read(&mut self, line: &str) {
        if let Some(name) = binary(line) {
            self.binaries.push(Binary { name, ..Binary::default() });
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.read_result(result);
        } else if let Some(name) = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED")) {
            self.names.push(name.to_owned());
        }
    }

    fn read_result(&mut self, result: &str) {
        self.passed += count(result, "passed");
        self.failed += count(result, "failed");
        self.ignored += count(result, "ignored");
        let seconds =
            result.rsplit_once("finished in ").and_then(|(_, time)| time.trim_end_matches('s').parse::<f64>().ok());
        if let Some(last) = self.binaries.last_mut() {
            last.finished = true;
            last.seconds += seconds.unwrap_or_default();
        }
    }

    /// Binaries that began and gave no result: each is a failure where cargo says that something failed.
    fn crashed(&self) -> Vec<&str> {
        self.binaries.iter().filter(|binary| !binary.finished).map(|binary| binary.name.as_str()).collect()
    }

    /// `N passed, N failed`; a binary that crashed counts as one failure.
    pub fn totals(&self, success: bool) -> String {
        let crashed = if success { 0 } else { self.crashed().len() };
        format!("{} passed, {} failed", self.passed, self.failed + crashed as u64)
    }

    /// Why the run as a whole failed, if it did.
    pub fn failure(&self, success: bool, status: &str) -> Option<String> {
        let crashed = self.crashed();
        if success && self.failed == 0 {
            let none = self.passed == 0;
            return none.then(|| "no test ran: that proves nothing, so it counts as a failure".to_owned());
        }
        if !success && !crashed.is_empty() {
            return Some(format!("without a result, so most likely crashed: {}", crashed.join(", ")));
        }
        if self.failed > 0 {
            let more = if self.names.len() > NAMED { "\n  …" } else { "" };
            let names: String = self.names.iter().take(NAMED).map(|name| format!("\n  {name}")).collect();
            return Some(format!("tests failed; what they say stands under `failures:` above{names}{more}"));
        }
        Some(format!("cargo test failed ({status}) although no test did: its messages above say why"))
    }

    /// The slowest binaries; stable Rust tells no times of single tests.
    pub fn slowest(&self, count: usize) -> String {
        let mut binaries: Vec<&Binary> = self.binaries.iter().collect();
        binaries.sort_by(|one, other| other.seconds.total_cmp(&one.seconds));
        let mut text = format!("\nthe slowest of {} test binaries\n", binaries.len());
        for binary in binaries.into_iter().take(count) {
            let _ = writeln!(text, "{:>8.2} s  {}", binary.seconds, binary.name);
        }
        if self.ignored > 0 {
            let _ = writeln!(text, "tests marked as ignored, which did not run: {}", self.ignored);
        }
        text
    }
}

/// `     Running unittests src/lib.rs (target/debug/deps/velo_core-0123abcd)` or `   Doc-tests velo_core`.
fn binary(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{name}: documentation"));
    }
    let (what, program) = line.strip_prefix("Running ")?.strip_suffix(')')?.rsplit_once(" (")?;
    let file = program.rsplit(['/', '\\']).next()?;
    let (name, hash) = file.rsplit_once('-')?;
    hash.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| format!("{name}: {what}"))
}

/// The number before a word, as in `3 passed; 0 failed`.
fn count(result: &str, word: &str) -> u64 {
    let parts = result.split([';', '.']).map(str::trim);
    parts.filter_map(|part| part.strip_suffix(word)?.trim().parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> TestOutput {
        let mut output = TestOutput::default();
        text.lines().for_each(|line| output.read(line));
        output
    }

    const TWO: &str = "
     Running unittests src/lib.rs (target/debug/deps/velo_core-0123abcd)
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
test a::one ... ok
     Running tests/it/main.rs (/x/target/debug/deps/it-00ff)
test b::two ... FAILED
test b::three ... ok
test c::four ... FAILED
test result: FAILED. 4 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.50s
   Doc-tests velo_core
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.20s
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.20s
";

    #[test]
    fn results_are_added_up() {
        let output = read(TWO);
        assert_eq!(output.totals(false), "9 passed, 2 failed");
        let failure = output.failure(false, "exit status: 101").unwrap();
        assert!(failure.starts_with("tests failed") && failure.ends_with("above\n  b::two\n  c::four"), "{failure}");
        let slowest = output.slowest(2);
        let lines: Vec<_> = slowest.lines().skip(2).collect();
        let expected = [
            "    1.50 s  it: tests/it/main.rs",
            "    0.40 s  velo_core: documentation",
            "tests marked as ignored, which did not run: 1",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn no_tests_are_a_failure() {
        let output = read(
            "     Running unittests src/lib.rs (target/debug/deps/a-0)\ntest result: ok. 0 passed; 0 failed; 0 ignored",
        );
        assert!(output.failure(true, "").unwrap().starts_with("no test ran"));
        assert_eq!(output.totals(true), "0 passed, 0 failed");
    }

    #[test]
    fn a_crash_counts() {
        let output = read(&format!("{TWO}     Running tests/b.rs (target/debug/deps/b-0a)\nerror: test failed"));
        assert_eq!(output.totals(false), "9 passed, 3 failed");
        assert!(output.failure(false, "").unwrap().contains("crashed: b: tests/b.rs"));
    }

    #[test]
    fn a_build_that_fails_is_said() {
        let output = read("error: could not compile `velo-core`");
        assert!(output.failure(false, "exit status: 101").unwrap().contains("although no test did"));
    }

    #[test]
    fn all_green() {
        let output = read(
            "     Running unittests src/lib.rs (target/debug/deps/a-0)\ntest result: ok. 5 passed; 0 failed; 0 ignored",
        );
        assert_eq!(output.failure(true, ""), None);
        assert_eq!(output.totals(true), "5 passed, 0 failed");
    }
}
