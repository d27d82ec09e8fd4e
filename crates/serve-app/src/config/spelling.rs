//! The known word that is nearest to one that is not known.

/// What serde says of an unknown key or word, shorter: with the nearest known one where one is near.
pub(super) fn with_nearest(problem: String) -> String {
    let kinds = [("unknown field `", "key"), ("unknown variant `", "value")];
    let told = kinds.iter().find_map(|(start, kind)| {
        let (got, rest) = problem.strip_prefix(start)?.split_once('`')?;
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        Some(match nearest(got, &known) {
            Some(near) => format!("unknown {kind} `{got}`; did you mean `{near}`?"),
            None if known.is_empty() => format!("unknown {kind} `{got}`; there is none here"),
            None => format!("unknown {kind} `{got}`; expected one of `{}`", known.join("`, `")),
        })
    });
    told.unwrap_or(problem)
}

/// The known word that is spelt most alike, unless all are spelt quite otherwise.
fn nearest<'a>(got: &str, known: &[&'a str]) -> Option<&'a str> {
    let alike = |word: &&'a str| (strsim::damerau_levenshtein(got, word), *word);
    let (distance, word) = known.iter().map(alike).min()?;
    (distance <= got.chars().count().div_ceil(3)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_told_where_one_is_near() {
        let told = |problem: &str| with_nearest(problem.to_owned());
        let known = "expected one of `host`, `port`, `max_body_bytes`";
        assert_eq!(
            told(&format!("unknown field `max_body`, {known}")),
            "unknown key `max_body`; expected one of `host`, `port`, `max_body_bytes`"
        );
        assert_eq!(
            told(&format!("unknown field `prot`, {known}")),
            "unknown key `prot`; did you mean `port`?"
        );
        assert_eq!(
            told("unknown variant `jsn`, expected `text` or `json`"),
            "unknown value `jsn`; did you mean `json`?"
        );
        assert_eq!(told("unknown field `x`, there are no fields"), "unknown key `x`; there is none here");
        assert_eq!(told("invalid type: map, expected u16"), "invalid type: map, expected u16");
    }
}
