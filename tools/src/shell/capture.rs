//! What is kept of a command's output: its beginning and its end.

use crate::text::thousands;

/// Bytes kept from the beginning.
const HEAD: usize = 512 * 1024;
/// Bytes kept from the end. What lies between is counted, not kept.
const TAIL: usize = 512 * 1024;

/// The output so far, in bounded memory.
#[derive(Default)]
pub(super) struct Capture {
    head: Vec<u8>,
    /// At most twice `TAIL`, so that moving its end to the front is rare.
    tail: Vec<u8>,
    left_out: u64,
}

impl Capture {
    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(first);
        self.tail.extend_from_slice(rest);
        if self.tail.len() > 2 * TAIL {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
        self.left_out += surplus as u64;
    }

    /// The output as text, without the newlines at its end. What is not UTF-8, and NUL, becomes `U+FFFD`.
    pub(super) fn into_text(mut self) -> String {
        self.trim();
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
        let mut text = if self.left_out == 0 {
            self.head.extend_from_slice(&self.tail);
            lossy(&self.head)
        } else {
            let note = format!("[… {} bytes left out …]", thousands(self.left_out));
            format!("{}\n{note}\n{}", lossy(&self.head), lossy(&self.tail))
        };
        text.truncate(text.trim_end_matches('\n').len());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parts: &[&[u8]], expected: &str) {
        let mut capture = Capture::default();
        for part in parts {
            capture.push(part);
        }
        assert!(capture.into_text() == expected);
    }

    #[test]
    fn head_and_tail_are_kept() {
        check(&[], "");
        check(&[b"a\n", b"b\n\n"], "a\nb");
        check(&[b"a\xff\0b\xe2\x82", b"\xac"], "a\u{fffd}\u{fffd}b€");
        let (a, b, c) = ("a".repeat(HEAD), "b".repeat(5_000_000), "c".repeat(TAIL));
        check(&[a.as_bytes(), c.as_bytes()], &format!("{a}{c}"));
        let all = format!("{a}{b}{c}");
        let expected = format!("{a}\n[… 5,000,000 bytes left out …]\n{c}");
        check(&[all.as_bytes()], &expected);
        let small: Vec<&[u8]> = all.as_bytes().chunks(4_093).collect();
        check(&small, &expected);
    }
}
