//! Text from a model, a tool or a file must not drive the terminal: what would be obeyed is shown instead.

use std::borrow::Cow;

/// `text` for a terminal: control characters other than newline and tab, and what reorders text, are made visible.
/// Joiners stay, since scripts and emoji are written with them.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    replaced(text, |c| (c.is_control() && !matches!(c, '\n' | '\t')) || is_reordering(c))
}

/// [`visible`] for text that is to be judged, such as a command to approve: also shows what takes no room or only looks
/// like a space, so that two texts which differ look different.
#[must_use]
pub fn visible_exact(text: &str) -> Cow<'_, str> {
    replaced(text, |c| (c.is_control() && c != '\n') || is_reordering(c) || is_hidden(c))
}

fn replaced(text: &str, shown: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&shown) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if shown(c) { push_name(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// ASCII controls as their Unicode pictures (U+2400 and on), others by number.
fn push_name(out: &mut String, c: char) {
    let picture = match c {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)),
        '\x7f' => Some('␡'),
        _ => None,
    };
    match picture {
        Some(picture) => out.push(picture),
        None => out.push_str(&format!("<U+{:04X}>", u32::from(c))),
    }
}

/// Bidirectional marks, embeddings, overrides and isolates; line and paragraph separators.
fn is_reordering(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters without ink: the other format characters (Unicode category Cf), fillers, variation selectors, tags, and
/// spaces that are not U+0020.
fn is_hidden(c: char) -> bool {
    let formats = matches!(c, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
    let blanks = matches!(c, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}');
    formats || blanks || (c.is_whitespace() && !matches!(c, ' ' | '\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, shown: &str, exact: &str) {
        assert_eq!((visible(text).as_ref(), visible_exact(text).as_ref()), (shown, exact), "{text:?}");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        check("plain, ünïcode\nnext", "plain, ünïcode\nnext", "plain, ünïcode\nnext");
        check("a\tb", "a\tb", "a␉b");
        check("\x1b[2J\x1b]0;title\x07", "␛[2J␛]0;title␇", "␛[2J␛]0;title␇");
        check("safe\rrm -rf x\x08\0\x7f", "safe␍rm -rf x␈␀␡", "safe␍rm -rf x␈␀␡");
        check("\u{9b}2J", "<U+009B>2J", "<U+009B>2J");
        check("a\u{202e}b\u{2066}c\u{200f}", "a<U+202E>b<U+2066>c<U+200F>", "a<U+202E>b<U+2066>c<U+200F>");
        check("a\u{2028}b", "a<U+2028>b", "a<U+2028>b");
    }

    #[test]
    fn what_has_no_ink_is_shown_where_text_is_judged() {
        check("r\u{200b}m", "r\u{200b}m", "r<U+200B>m");
        check("👩\u{200d}🔧", "👩\u{200d}🔧", "👩<U+200D>🔧");
        check("a\u{a0}b\u{3000}c", "a\u{a0}b\u{3000}c", "a<U+00A0>b<U+3000>c");
        check("x\u{e0041}\u{feff}", "x\u{e0041}\u{feff}", "x<U+E0041><U+FEFF>");
    }
}
