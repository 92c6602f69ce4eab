//! The nearest of some words to a misspelt one.

/// The word that was most likely meant; none if nothing is near. Case and hyphens count little.
pub(super) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(word);
    let bound = (folded.len() / 3).max(1);
    words
        .into_iter()
        .map(|candidate| (distance(&folded, &fold(candidate), bound), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `did you mean ...?`, when something is near.
pub(super) fn did_you_mean<'a>(
    word: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, words).map(|word| format!("did you mean `{word}`?"))
}

/// Longest word that is compared; longer ones are no misspelling of ours.
const MAX_LEN: usize = 80;

fn fold(word: &str) -> Vec<char> {
    let letters = word.chars().filter(|c| !matches!(c, '-' | '_'));
    letters.flat_map(char::to_lowercase).take(MAX_LEN).collect()
}

/// Edits (insert, delete, replace, swap neighbours) from one to the other; may stop counting
/// beyond `bound`.
fn distance(a: &[char], b: &[char], bound: usize) -> usize {
    if a.len().abs_diff(b.len()) > bound {
        return bound + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_find_their_word_and_strangers_find_none() {
        let words = ["objective", "window", "probe", "probes", "latency", "displayName", "http"];
        let check = |word, expect| assert_eq!(nearest(word, words), expect, "{word}");
        check("objektive", Some("objective"));
        check("windwo", Some("window"));
        check("prob", Some("probe"));
        check("Probes", Some("probes"));
        check("display_name", Some("displayName"));
        check("htpp", Some("http"));
        check("replicas", None);
        check("", None);
        check(&"objective".repeat(1000), None);
    }
}
