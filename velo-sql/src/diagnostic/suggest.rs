//! The nearest known name to a misspelt one.

/// The candidate that `word` most likely means, without regard to case; `None` where none is near enough.
///
/// Near enough is at most one edit for three or four characters, two for up to eight, three beyond; nothing is near to one or two. Two
/// letters that changed places count as one edit.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(64).map(|c| c.to_ascii_lowercase()).collect();
    let allowed = match word.len() {
        0..=2 => return None,
        3 | 4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed && *distance > 0)
        .min_by_key(|(distance, candidate)| {
            let same_start = candidate.chars().next().map(|c| c.to_ascii_lowercase()) == word.first().copied();
            (*distance, !same_start, candidate.len().abs_diff(word.len()))
        })
        .map(|(_, candidate)| candidate)
}

fn distance(word: &[char], candidate: &str) -> usize {
    let candidate: Vec<char> = candidate.chars().map(|c| c.to_ascii_lowercase()).collect();
    if candidate.len().abs_diff(word.len()) > 3 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=candidate.len()).collect();
    for (row, from) in word.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, to) in candidate.iter().enumerate() {
            let replaced = last[column] + usize::from(from != to);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && *from == candidate[column - 1] && word[row - 1] == *to {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut last, current);
    }
    last[candidate.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let words = ["SELECT", "SET", "SHOW", "FROM", "STREAM"];
        assert_eq!(nearest("SELCT", words), Some("SELECT"));
        assert_eq!(nearest("form", words), Some("FROM"));
        assert_eq!(nearest("STRAEM", words), Some("STREAM"));
        assert_eq!(nearest("trades", words), None);
        assert_eq!(nearest("x", words), None);
    }
}
