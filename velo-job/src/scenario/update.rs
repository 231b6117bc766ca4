//! Expectations rewritten by what came.

use std::ops::Range;
use std::path::PathBuf;

use super::parse::ScenarioFile;

/// A new text for a block or for a file beside the scenarios.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// In the scenario file.
    Block(Range<usize>, String),
    /// Another file.
    File(PathBuf, String),
}

/// Writes the updates. Blocks are replaced from the last to the first, so that the places of those before stay right.
pub(super) fn write(file: &ScenarioFile, updates: &[Update]) -> std::io::Result<()> {
    let mut blocks: Vec<(&Range<usize>, &str)> = Vec::new();
    for update in updates {
        match update {
            Update::Block(range, text) => blocks.push((range, text)),
            Update::File(path, text) => std::fs::write(path, text)?,
        }
    }
    if blocks.is_empty() {
        return Ok(());
    }
    std::fs::write(&file.path, replaced(&file.text, blocks))
}

fn replaced(text: &str, mut blocks: Vec<(&Range<usize>, &str)>) -> String {
    blocks.sort_by_key(|(range, _)| range.start);
    let mut text = text.to_owned();
    for (range, new) in blocks.into_iter().rev() {
        text.replace_range(range.clone(), new);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_replaced_where_they_stand() {
        assert_eq!(replaced("a1b22c", vec![(&(1..2), "xx"), (&(3..5), "")]), "axxbc");
    }
}
