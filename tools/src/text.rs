//! Small things about the text that tools give back.

/// `n` with a comma before each group of three digits.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 replacement`, `2 replacements`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// A name for one line of output: a line break in a file's name must not look like a further entry.
pub(crate) fn one_line(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// As much of `bytes` as is whole characters, when `cut` says that its end may have split one.
///
/// None if the bytes are not UTF-8.
pub(crate) fn decode(bytes: &[u8], cut: bool) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if cut && error.error_len().is_none() => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (48_951_424, "48,951,424")];
        for (n, expected) in cases {
            assert_eq!(thousands(n), expected);
        }
    }

    #[test]
    fn a_split_character_is_dropped_only_at_a_cut() {
        let euro = "a€".as_bytes();
        assert_eq!(decode(&euro[..3], true), Some("a"));
        assert_eq!(decode(&euro[..3], false), None);
        assert_eq!(decode(b"a\xffb", true), None);
    }
}
