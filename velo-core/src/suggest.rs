//! The nearest known name to a misspelt one.

/// The candidate nearest to `name` by edit distance (with transpositions, without regard to case), if it is near enough to
/// be meant: at most a third of the name's length away, and at most three edits.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&name.to_ascii_lowercase(), &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_only() {
        let known = ["event.time.field", "event.time.format", "path"];
        assert_eq!(nearest("event.time.feild", known), Some("event.time.field"));
        assert_eq!(nearest("PAHT", known), Some("path"));
        assert_eq!(nearest("colour", known), None);
    }
}
