//! The word that was likely meant.

/// The nearest of `words`, if it is near: of a word's letters a third may be wrong, and one always. Of two as near, the
/// first.
pub(super) fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let length = word.chars().count();
    if length > LONGEST {
        return None;
    }
    let most = (length / 3).max(1);
    let near = |candidate: &'w str| {
        let distance = distance(word, candidate);
        (distance <= most && distance < length.max(1)).then_some((distance, candidate))
    };
    let found = words.into_iter().filter_map(near);
    found
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Longer words aren't names.
const LONGEST: usize = 64;

/// How many letters must be put in, taken out, replaced or exchanged with their neighbour to make one word of the other,
/// none of them twice (optimal string alignment). Upper and lower case count as the same.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.chars().map(|c| c.to_ascii_lowercase()).collect();
    let other: Vec<char> = other
        .chars()
        .take(2 * LONGEST)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, theirs) in other.iter().enumerate() {
            let replaced = last[j] + usize::from(letter != theirs);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *letter == other[j - 1] && one[i - 1] == *theirs {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_one_step() {
        for (one, other, steps) in [
            ("", "", 0),
            ("acme", "acme", 0),
            ("acme", "ACME", 0),
            ("ordred", "ordered", 1),
            ("orderedd", "ordered", 1),
            ("irdered", "ordered", 1),
            ("roder", "order", 1),
            ("", "abc", 3),
            ("contry", "country", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), steps, "{one} {other}");
            assert_eq!(distance(other, one), steps, "{other} {one}");
        }
    }

    #[test]
    fn what_is_far_is_not_suggested() {
        assert_eq!(nearest("curency", ["currency", "country"]), Some("currency"));
        assert_eq!(nearest("xx", ["currency", "country"]), None);
        assert_eq!(nearest("a", ["b", "c"]), None);
        assert_eq!(nearest("", ["b"]), None);
        assert_eq!(nearest("uk", ["us", "uk"]), Some("uk"));
        assert_eq!(nearest(&"a".repeat(1 << 16), ["b"]), None);
    }
}
