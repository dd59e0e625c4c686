//! Long texts in pieces, as they are indexed.

/// Characters of a piece: what an embedder for short texts (256 tokens) takes whole.
const PIECE_CHARS: usize = 900;

/// Characters that a piece shares with the one before it, so that a sentence is whole in one of them.
const OVERLAP_CHARS: usize = 150;

/// `text` in pieces of at most 900 characters, cut between words where there are some, each beginning a little before the
/// end of the one before it.
#[must_use]
pub fn pieces(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let Some((end, _)) = rest.char_indices().nth(PIECE_CHARS) else {
            out.push(rest);
            break;
        };
        let cut = rest[..end].rfind(char::is_whitespace).filter(|cut| *cut > end / 2).unwrap_or(end);
        out.push(rest[..cut].trim_end());
        let back = rest[..cut].char_indices().rev().nth(OVERLAP_CHARS).map_or(0, |(at, _)| at);
        let word = rest[back..cut].find(char::is_whitespace).map_or(back, |space| back + space);
        rest = rest[word..].trim_start();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_words_and_overlap() {
        let words: Vec<String> = (0..1_000).map(|number| format!("word{number}")).collect();
        for text in [words.join(" "), "ä".repeat(5_000), "自行车。".repeat(2_000)] {
            let pieces = pieces(&text);
            assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece.chars().count() <= PIECE_CHARS));
            for pair in pieces.windows(2) {
                let end: String = pair[0].chars().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect();
                assert!(pair[1].contains(&end), "{pair:?}");
            }
            assert!(text.ends_with(pieces[pieces.len() - 1]), "all of it is there");
        }
        assert_eq!(pieces("short"), ["short"]);
        assert_eq!(pieces(" \n"), [""; 0]);
    }
}
