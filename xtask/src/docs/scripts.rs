//! Scripts in Markdown that show their output: a block `sql` with a block `text` right behind it.
//!
//! The script is run and the `text` block is what it printed, first to stdout and then to stderr. A `text` block whose first line is
//! `$ velo …` is what that command printed; a line `…` in it stands for lines that are left out, so such a block is
//! compared and never written. Blocks `sql kafka` and `sql registry` need a broker, and
//! are left as they are: `velo/tests/integration/kafka/guide.rs` runs them.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::page::Velo;

/// Pages with scripts, beside all of docs/guide.
const OTHERS: [&str; 1] = ["README.md"];
const GUIDE: &str = "docs/guide";

/// Where a block's script lies while it runs; the page shows its name alone.
const FOLDER: &str = "target/guide/";
const NAME: &str = "script.sql";

/// Every page that shows scripts, by its path, with the outputs as they are now.
pub fn pages(velo: &Velo) -> Result<Vec<(String, String)>> {
    let mut names: Vec<String> = OTHERS.iter().map(|name| (*name).to_owned()).collect();
    let guide = std::fs::read_dir(velo.root.join(GUIDE)).with_context(|| format!("cannot list {GUIDE}"))?;
    for entry in guide {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            names.push(format!("{GUIDE}/{name}"));
        }
    }
    names.sort();
    std::fs::create_dir_all(velo.root.join(FOLDER)).with_context(|| format!("cannot make {FOLDER}"))?;
    names.into_iter().map(|name| page(velo, name)).collect()
}

fn page(velo: &Velo, name: String) -> Result<(String, String)> {
    let text = std::fs::read_to_string(velo.root.join(&name)).with_context(|| format!("cannot read {name}"))?;
    let text = renew(&text, |script| run(velo, script)).with_context(|| format!("in {name}"))?;
    Ok((name, text))
}

/// What is run for a `text` block.
#[derive(Debug, PartialEq, Eq)]
enum Script<'a> {
    /// The text of the `sql` block before it.
    Sql(&'a str),
    /// The arguments in its own first line.
    Arguments(Vec<&'a str>),
}

fn run(velo: &Velo, script: &Script) -> Result<String> {
    match script {
        Script::Arguments(arguments) => printed(velo.command(arguments)),
        Script::Sql(sql) => {
            let path = format!("{FOLDER}{NAME}");
            std::fs::write(velo.root.join(&path), sql).with_context(|| format!("cannot write {path}"))?;
            // Rows of several tasks come in no order, and a page has one.
            Ok(printed(velo.command(&["run", "--parallelism", "1", &path]))?.replace(&path, NAME))
        }
    }
}

/// All that a command prints, whether it succeeds or not.
fn printed(mut command: Command) -> Result<String> {
    let output = command.output().context("cannot start velo")?;
    let mut text = String::from_utf8(output.stdout)?;
    text.push_str(&String::from_utf8(output.stderr)?);
    Ok(text.trim_end().to_owned())
}

/// The page with each output replaced by what `run` gives.
fn renew(page: &str, run: impl Fn(&Script) -> Result<String>) -> Result<String> {
    let mut out = String::with_capacity(page.len());
    let mut lines = page.lines().enumerate().peekable();
    let mut script: Option<String> = None;
    while let Some((at, line)) = lines.next() {
        let _ = writeln!(out, "{line}");
        let Some(kind) = line.strip_prefix("```") else {
            if !line.is_empty() {
                script = None;
            }
            continue;
        };
        let mut body = String::new();
        loop {
            match lines.next() {
                Some((_, "```")) => break,
                Some((_, line)) => {
                    let _ = writeln!(body, "{line}");
                }
                None => bail!("line {}: the block is not closed", at + 1),
            }
        }
        let shown = match (kind, asked(&body), script.take()) {
            ("text", Some(arguments), _) => {
                let printed = run(&Script::Arguments(arguments))?;
                let (first, shown) = body.split_once('\n').unwrap_or((&body, ""));
                if !fits(shown.trim_end(), &printed) {
                    bail!(
                        "line {}: `{}` prints something else now:\n{printed}",
                        at + 1,
                        first.trim_start_matches("$ ")
                    );
                }
                body
            }
            ("text", None, Some(sql)) => {
                let printed = format!("{}\n", run(&Script::Sql(&sql))?);
                if same_in_any_order(&sql, &body, &printed) { body } else { printed }
            }
            ("sql", ..) => {
                script = Some(body.clone());
                body
            }
            _ => body,
        };
        let _ = writeln!(out, "{shown}```");
    }
    Ok(out)
}

/// Whether a script that asks for no order printed the lines that are shown, in any order: which of two inputs is read first
/// is nobody's promise, and no reason to change a page.
fn same_in_any_order(sql: &str, shown: &str, printed: &str) -> bool {
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    !sql.to_ascii_uppercase().contains("ORDER BY") && sorted(shown) == sorted(printed)
}

/// The arguments of a first line `$ velo …`.
fn asked(body: &str) -> Option<Vec<&str>> {
    let line = body.lines().next()?.strip_prefix("$ velo ")?;
    Some(line.split_whitespace().collect())
}

/// Whether `shown` is `printed`, but for the lines that `…` stands for.
fn fits(shown: &str, printed: &str) -> bool {
    let parts: Vec<&str> = shown.split("\n…\n").collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return false };
    match parts.len() {
        1 => shown == printed,
        2 => printed.len() > first.len() + last.len() && printed.starts_with(first) && printed.ends_with(last),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(script: &Script) -> Result<String> {
        Ok(match script {
            Script::Sql(sql) => format!("ran {}", sql.trim_end()),
            Script::Arguments(arguments) => format!("a\nb\nc {}", arguments.join("+")),
        })
    }

    #[test]
    fn an_output_behind_its_script_is_renewed() {
        let page = "# T\n\n```sql\nSELECT 1;\n```\n\n```text\nold\n```\n\nend\n";
        let renewed = renew(page, echo).unwrap();
        assert_eq!(renewed, "# T\n\n```sql\nSELECT 1;\n```\n\n```text\nran SELECT 1;\n```\n\nend\n");
        assert_eq!(renew(&renewed, echo).unwrap(), renewed);
    }

    #[test]
    fn rows_without_an_order_stay_as_they_are_shown() {
        let page = |sql: &str| format!("```sql\n{sql}\n```\n\n```text\nb\na\n```\n");
        let run = |_: &Script| Ok("a\nb".to_owned());
        let (any, ordered) = (page("SELECT x FROM t;"), page("SELECT x FROM t ORDER BY x;"));
        assert_eq!(renew(&any, run).unwrap(), any);
        assert_eq!(renew(&ordered, run).unwrap(), ordered.replace("b\na\n", "a\nb\n"));
    }

    #[test]
    fn other_blocks_stay() {
        for page in [
            "```sql\nSELECT 1;\n```\n\nA word between.\n\n```text\nold\n```\n",
            "```text\nold\n```\n",
            "```sql\nSELECT 1;\n```\n\n```sh\nls\n```\n\n```text\nold\n```\n",
            "```sql kafka\nSELECT 1;\n```\n\n```text\nold\n```\n",
        ] {
            assert_eq!(renew(page, echo).unwrap(), page);
        }
    }

    #[test]
    fn a_command_is_compared_with_what_it_prints() {
        let page = |body: &str| format!("```text\n$ velo run x\n{body}\n```\n");
        for good in ["a\nb\nc run+x", "a\n…\nc run+x"] {
            assert_eq!(renew(&page(good), echo).unwrap(), page(good));
        }
        for bad in ["a\nb", "a\n…\nd", "a\nb\n…\nb\nc run+x"] {
            let error = renew(&page(bad), echo).unwrap_err().to_string();
            assert!(error.starts_with("line 1: `velo run x` prints something else"), "{error}");
        }
    }

    #[test]
    fn a_block_without_an_end_is_told() {
        assert!(renew("```sql\nSELECT", echo).is_err());
    }
}
