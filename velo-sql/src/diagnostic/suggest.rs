//! The nearest known word to a misspelt one.

/// The candidate that `word` most likely means, by edit distance (with transpositions, without regard to case); `None` where none is near
/// enough, or it is the word itself.
///
/// Near enough is at most one edit for three or four characters, two for up to eight, three beyond; nothing is near to one or two.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let allowed = match word.chars().count() {
        0..=2 => return None,
        3 | 4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    let first = |text: &str| text.chars().next().map(|first| first.to_ascii_lowercase());
    candidates
        .into_iter()
        // The distance is the difference in length at least; a text may be long.
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= allowed)
        .map(|candidate| (strsim::osa_distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed && *distance > 0)
        .min_by_key(|(distance, candidate)| {
            (*distance, first(candidate) != first(&word), candidate.len().abs_diff(word.len()))
        })
        .map(|(_, candidate)| candidate)
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
