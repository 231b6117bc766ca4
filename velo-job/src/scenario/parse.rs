//! A scenario file as headings and blocks.
//!
//! Nothing is ignored: a block of an unknown language, an unknown attribute, or a scenario that expects nothing is a mistake,
//! so that a typing error cannot make a test pass.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A mistake in a scenario file itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.message)
    }
}

impl std::error::Error for ScenarioError {}

/// A file of scenarios.
#[derive(Debug, Clone)]
pub struct ScenarioFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its text, which blocks refer to.
    pub text: String,
    /// Its scenarios in order.
    pub scenarios: Vec<Scenario>,
}

impl ScenarioFile {
    /// The folder that paths in the file are relative to.
    pub fn folder(&self) -> &Path {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }
}

/// One script with what goes in and what comes out.
#[derive(Debug, Clone, Default)]
pub struct Scenario {
    /// The heading.
    pub name: String,
    /// The heading's line, from 1.
    pub line: usize,
    /// The script.
    pub sql: Block,
    /// What its sources give.
    pub inputs: Vec<Input>,
    /// What its sinks get.
    pub outputs: Vec<Output>,
    /// The plan, as EXPLAIN shows it.
    pub plan: Option<Block>,
    /// The report of a script that cannot be planned or fails.
    pub error: Option<Block>,
    /// What planning warns of.
    pub warning: Option<Block>,
    /// Counters.
    pub metrics: Option<Block>,
    /// Why another order of the input may give another output, from a line `Order matters: …`.
    pub order_matters: Option<String>,
    /// Why only the plain mode applies, from a line `Plain mode only: …`.
    pub plain_only: Option<String>,
}

impl Scenario {
    /// Whether some rows could come in another order or from other partitions: records as bytes and rows of a partition that
    /// is named could not.
    pub fn has_movable_rows(&self) -> bool {
        self.inputs.iter().any(|input| input.raw.is_none() && input.file.is_none() && input.partition.is_none())
    }
}

/// The text between two fences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// The text; ends with a line break unless it is empty.
    pub text: String,
    /// Its first line in the file, from 1.
    pub line: usize,
    /// Where it is in the file's text.
    pub range: Range<usize>,
}

/// How a block's bytes are rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raw {
    /// JSON lines.
    Json,
    /// CSV.
    Csv,
}

impl Raw {
    /// The value of the property `format`.
    pub fn format(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}

/// An `input` block.
#[derive(Debug, Clone)]
pub struct Input {
    /// The source's name.
    pub name: String,
    /// The rows.
    pub block: Block,
    /// Whether they are bytes for a decoder.
    pub raw: Option<Raw>,
    /// The partition.
    pub partition: Option<u32>,
    /// A file that holds the bytes.
    pub file: Option<String>,
    /// Whether it is what the source reads before what comes live.
    pub history: bool,
}

/// An `output` block.
#[derive(Debug, Clone)]
pub struct Output {
    /// The name of a sink or stream; `None` is the next SELECT.
    pub name: Option<String>,
    /// The rows.
    pub block: Block,
    /// Whether they are the lines of a file.
    pub raw: Option<Raw>,
    /// A file that holds the rows.
    pub file: Option<String>,
    /// The columns within which order counts.
    pub key: Vec<String>,
    /// Only what changes come to counts.
    pub folded: bool,
}

/// Reads the file at `path`.
pub fn read(path: &Path) -> Result<ScenarioFile, ScenarioError> {
    let text = std::fs::read_to_string(path).map_err(|error| ScenarioError {
        path: path.to_owned(),
        line: 1,
        message: format!("cannot be read: {error}"),
    })?;
    parse(path, text)
}

/// Reads the text of a file.
pub fn parse(path: &Path, text: String) -> Result<ScenarioFile, ScenarioError> {
    let found = Parser { line: 0, open: None, scenarios: Vec::new() }.read(&text);
    let scenarios = found.map_err(|(line, message)| ScenarioError { path: path.to_owned(), line, message })?;
    Ok(ScenarioFile { path: path.to_owned(), text, scenarios })
}

/// A line and what is wrong there.
type Mistake = (usize, String);

struct Parser {
    line: usize,
    open: Option<Fence>,
    scenarios: Vec<Scenario>,
}

/// A block that is being read.
struct Fence {
    sign: String,
    info: String,
    line: usize,
    start: usize,
}

impl Parser {
    fn read(mut self, text: &str) -> Result<Vec<Scenario>, Mistake> {
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            self.line += 1;
            self.take(line.trim_end(), at, text)?;
            at += line.len();
        }
        if let Some(fence) = &self.open {
            return Err((fence.line, format!("the block '{}' has no end: add a line {}", fence.info, fence.sign)));
        }
        self.finish()?;
        if self.scenarios.is_empty() {
            return Err((1, "there is no scenario: begin one with a heading '## …'".to_owned()));
        }
        Ok(self.scenarios)
    }

    fn take(&mut self, line: &str, at: usize, text: &str) -> Result<(), Mistake> {
        if let Some(fence) = &self.open {
            if line == fence.sign
                && let Some(fence) = self.open.take()
            {
                let block =
                    Block { text: text[fence.start..at].to_owned(), line: fence.line + 1, range: fence.start..at };
                self.block(&fence.info, fence.line, block)?;
            }
            return Ok(());
        }
        if let Some(sign) = ["```", "~~~"].into_iter().find(|sign| line.starts_with(sign)) {
            let length = line.len() - line.trim_start_matches(&sign[..1]).len();
            let (sign, info) = line.split_at(length);
            let start = text[at..].find('\n').map_or(text.len(), |end| at + end + 1);
            self.open = Some(Fence { sign: sign.to_owned(), info: info.trim().to_owned(), line: self.line, start });
        } else if let Some(name) = line.strip_prefix("## ") {
            self.finish()?;
            let name = name.trim().to_owned();
            if let Some(first) = self.scenarios.iter().find(|scenario| scenario.name == name) {
                return Err((self.line, format!("the scenario '{name}' is there already, at line {}", first.line)));
            }
            self.scenarios.push(Scenario { name, line: self.line, ..Scenario::default() });
        } else {
            self.marker(line)?;
        }
        Ok(())
    }

    /// Lines of prose that say which modes apply.
    fn marker(&mut self, line: &str) -> Result<(), Mistake> {
        for (words, is_order) in [("Order matters:", true), ("Plain mode only:", false)] {
            let Some(reason) = line.strip_prefix(words).map(str::trim) else { continue };
            let Some(scenario) = self.scenarios.last_mut() else {
                return Err((self.line, format!("'{words}' belongs below the heading of a scenario")));
            };
            if reason.is_empty() {
                return Err((self.line, format!("write the reason behind '{words}'")));
            }
            *(if is_order { &mut scenario.order_matters } else { &mut scenario.plain_only }) = Some(reason.to_owned());
        }
        Ok(())
    }

    fn block(&mut self, info: &str, line: usize, block: Block) -> Result<(), Mistake> {
        let mut words = info.split_whitespace();
        let kind = words.next().unwrap_or_default();
        if matches!(kind, "text" | "console") {
            return Ok(());
        }
        let scenario = match self.scenarios.last_mut() {
            Some(scenario) => scenario,
            None => return Err((line, format!("the block '{info}' stands before the first heading '## …'"))),
        };
        let attributes = Attributes::read(words, line)?;
        match kind {
            "input" => scenario.inputs.push(attributes.input(block, line)?),
            "output" => scenario.outputs.push(attributes.output(block, line)?),
            "sql" if scenario.sql.line == 0 => scenario.sql = attributes.bare(block, kind, line)?,
            "plan" if scenario.plan.is_none() => scenario.plan = Some(attributes.bare(block, kind, line)?),
            "error" if scenario.error.is_none() => scenario.error = Some(attributes.bare(block, kind, line)?),
            "warning" if scenario.warning.is_none() => scenario.warning = Some(attributes.bare(block, kind, line)?),
            "metrics" if scenario.metrics.is_none() => scenario.metrics = Some(attributes.bare(block, kind, line)?),
            "sql" | "plan" | "error" | "warning" | "metrics" => {
                return Err((line, format!("the scenario has a second block '{kind}'")));
            }
            other => {
                let known = "sql, input, output, plan, error, warning, metrics, and text for what is only shown";
                return Err((line, format!("'{other}' is no block of a scenario: there are {known}")));
            }
        }
        Ok(())
    }

    /// Checks the scenario that has just been read.
    fn finish(&mut self) -> Result<(), Mistake> {
        let Some(scenario) = self.scenarios.last() else { return Ok(()) };
        let line = scenario.line;
        if scenario.sql.line == 0 {
            return Err((line, format!("the scenario '{}' has no block 'sql'", scenario.name)));
        }
        let blocks = [&scenario.plan, &scenario.error, &scenario.warning, &scenario.metrics];
        let expects = blocks.iter().any(|block| block.is_some());
        if scenario.outputs.is_empty() && !expects {
            return Err((line, format!("the scenario '{}' expects nothing: add an output or an error", scenario.name)));
        }
        Ok(())
    }
}

/// What stands behind the kind of a block.
#[derive(Default)]
struct Attributes {
    name: Option<String>,
    raw: Option<Raw>,
    partition: Option<u32>,
    file: Option<String>,
    key: Vec<String>,
    folded: bool,
    history: bool,
}

impl Attributes {
    fn read<'a>(words: impl Iterator<Item = &'a str>, line: usize) -> Result<Self, Mistake> {
        let mut read = Self::default();
        for word in words {
            match word.split_once('=') {
                Some(("partition", number)) => {
                    let number =
                        number.parse().map_err(|_| (line, format!("'{number}' is no number of a partition")))?;
                    read.partition = Some(number);
                }
                Some(("file", path)) => read.file = Some(path.to_owned()),
                Some(("key", names)) => read.key = names.split(',').map(str::to_owned).collect(),
                Some((other, _)) => {
                    return Err((
                        line,
                        format!("a block has no attribute '{other}': there are partition, file and key"),
                    ));
                }
                None if word == "json" => read.raw = Some(Raw::Json),
                None if word == "csv" => read.raw = Some(Raw::Csv),
                None if word == "folded" => read.folded = true,
                None if word == "history" && read.name.is_some() => read.history = true,
                None if read.name.is_none() => read.name = Some(word.to_owned()),
                None => return Err((line, format!("'{word}' is one word too many"))),
            }
        }
        Ok(read)
    }

    fn input(self, block: Block, line: usize) -> Result<Input, Mistake> {
        let Some(name) = self.name else { return Err((line, "write which source it is: input NAME".to_owned())) };
        if !self.key.is_empty() {
            return Err((line, "an input has no key".to_owned()));
        }
        let whole = self.raw.is_some() || self.file.is_some();
        if whole && self.partition.is_some() {
            return Err((line, "records as bytes are one partition".to_owned()));
        }
        if self.file.is_some() && !block.text.trim().is_empty() {
            return Err((line, "the rows are in the file: leave the block empty".to_owned()));
        }
        Ok(Input { name, block, raw: self.raw, partition: self.partition, file: self.file, history: self.history })
    }

    fn output(self, block: Block, line: usize) -> Result<Output, Mistake> {
        if self.partition.is_some() || self.history {
            return Err((line, "an output has no partition and no history".to_owned()));
        }
        if self.file.is_some() && !block.text.trim().is_empty() {
            return Err((line, "the rows are in the file: leave the block empty".to_owned()));
        }
        if self.raw.is_some() && self.name.is_none() {
            return Err((line, "lines of a file need a sink's name: output NAME json".to_owned()));
        }
        Ok(Output { name: self.name, block, raw: self.raw, file: self.file, key: self.key, folded: self.folded })
    }

    fn bare(self, block: Block, kind: &str, line: usize) -> Result<Block, Mistake> {
        let bare = self.name.is_none() && self.raw.is_none() && self.partition.is_none();
        if bare && self.file.is_none() && self.key.is_empty() {
            return Ok(block);
        }
        Err((line, format!("nothing stands behind '{kind}'")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Scenario>, String> {
        parse(Path::new("a.md"), text.to_owned()).map(|file| file.scenarios).map_err(|error| error.to_string())
    }

    #[test]
    fn headings_and_blocks() {
        let text = "# Title\n\nProse.\n\n## One\n\nOrder matters: because.\n```sql\nSELECT 1;\n```\n\
                    ~~~~input t partition=1\na 1\n```\nb 2\n~~~~\n```output t key=a,b folded\n```\n## Two\n```sql\nx\n```\n```error\ny\n```\n";
        let scenarios = of(text).unwrap();
        assert_eq!(scenarios.len(), 2);
        let one = &scenarios[0];
        assert_eq!((one.name.as_str(), one.line), ("One", 5));
        assert_eq!(one.order_matters.as_deref(), Some("because."));
        assert_eq!((one.sql.text.as_str(), one.sql.line), ("SELECT 1;\n", 9));
        assert_eq!(one.inputs[0].block.text, "a 1\n```\nb 2\n");
        assert_eq!(one.inputs[0].partition, Some(1));
        assert_eq!(&text[one.inputs[0].block.range.clone()], "a 1\n```\nb 2\n");
        assert_eq!((&one.outputs[0].key[..], one.outputs[0].folded), (&["a".to_owned(), "b".to_owned()][..], true));
        assert_eq!(one.outputs[0].block.text, "");
        assert_eq!(scenarios[1].error.as_ref().unwrap().text, "y\n");
    }

    #[test]
    fn mistakes_have_their_line() {
        let sql = "```sql\nx\n```\n";
        for (text, expected) in [
            ("# T\n".to_owned(), "a.md:1: there is no scenario"),
            (format!("## A\n{sql}"), "a.md:1: the scenario 'A' expects nothing"),
            ("## A\n```error\nx\n```\n".to_owned(), "a.md:1: the scenario 'A' has no block 'sql'"),
            (format!("## A\n{sql}```inptu t\n```\n"), "a.md:5: 'inptu' is no block of a scenario"),
            (format!("## A\n{sql}```output t\n"), "a.md:5: the block 'output t' has no end"),
            (format!("## A\n{sql}```input\n```\n"), "a.md:5: write which source it is"),
            (format!("## A\n{sql}```input t size=3\n```\n"), "a.md:5: a block has no attribute 'size'"),
            (format!("## A\n{sql}```input t partition=x\n```\n"), "a.md:5: 'x' is no number of a partition"),
            (format!("## A\n{sql}```output t file=a.csv\nx\n```\n"), "a.md:5: the rows are in the file"),
            (format!("## A\n{sql}{sql}"), "a.md:5: the scenario has a second block 'sql'"),
            (format!("## A\n{sql}```error\n```\n## A\n"), "a.md:7: the scenario 'A' is there already, at line 1"),
            (format!("## A\nOrder matters:\n{sql}"), "a.md:2: write the reason behind 'Order matters:'"),
        ] {
            let error = of(&text).unwrap_err();
            assert!(error.starts_with(expected), "{error} does not begin with {expected}");
        }
    }
}
