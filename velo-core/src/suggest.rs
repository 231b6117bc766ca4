//! The nearest known name to a misspelt one.

/// The candidate that `name` most likely means, by edit distance (with transpositions, without regard to case); `None` where none is near
/// enough.
///
/// Near enough is at most one edit for three or four characters, two for up to eight, three beyond; one or two differ in case alone.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (written, name) = (name, name.to_ascii_lowercase());
    let allowed = match name.chars().count() {
        0..=2 => 0,
        3 | 4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    let first = |text: &str| text.chars().next().map(|first| first.to_ascii_lowercase());
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&name, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *candidate != written)
        .min_by_key(|(distance, candidate)| {
            (*distance, first(candidate) != first(&name), candidate.len().abs_diff(name.len()))
        })
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_only() {
        let known = ["event.time.field", "event.time.format", "path", "id", "bath"];
        assert_eq!(nearest("event.time.feild", known), Some("event.time.field"));
        assert_eq!(nearest("PAHT", known), Some("path"));
        assert_eq!(nearest("pathh", known), Some("path"));
        assert_eq!(nearest("ID", known), Some("id"));
        // Nearly every short name is one edit away; and nobody means again what there is.
        assert_eq!((nearest("f3", ["f1", "f2"]), nearest("event.time.field", known)), (None, None));
        assert_eq!(nearest("colour", known), None);
    }
}
