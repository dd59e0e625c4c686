//! The code by which somebody becomes an owner: shown on the machine, good for ten minutes, five tries and one person.
//!
//! It keeps nothing beyond the process: after a restart there is another code.

use std::time::{Duration, Instant};

/// How long a code is good.
pub(super) const LIFE: Duration = Duration::from_mins(10);

/// Wrong codes that are taken, from all people together; then there is no code any more.
pub(super) const TRIES: u32 = 5;

/// Digits of a code: with five tries nobody guesses one of so many.
const DIGITS: usize = 8;

/// The code that is open, if one is.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    code: String,
    until: Instant,
    left: u32,
}

/// What became of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    /// It was the code; [`Pairing::close`] it once the person is an owner.
    Right,
    /// It was not, and so many tries are left.
    Wrong(u32),
    /// There is no code, or the text looks like none.
    NoCode,
}

impl Pairing {
    /// Makes a new code in the place of any before; as it is to be shown.
    pub(super) fn open(&mut self, random: u64, now: Instant) -> String {
        let code = format!("{:0DIGITS$}", random % 10_u64.pow(u32::try_from(DIGITS).unwrap_or_default()));
        let shown = format!("{}-{}", &code[..DIGITS / 2], &code[DIGITS / 2..]);
        self.open = Some(Open { code, until: now + LIFE, left: TRIES });
        shown
    }

    /// The code is used up.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// A stranger has written `text`, perhaps behind `/start`, where a link puts it.
    pub(super) fn attempt(&mut self, text: &str, now: Instant) -> Tried {
        let Some(open) = self.open.as_mut().filter(|open| now < open.until) else { return Tried::NoCode };
        let text = text.trim();
        let text = text.strip_prefix("/start").unwrap_or(text);
        let given: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        if given.len() != DIGITS || !given.bytes().all(|byte| byte.is_ascii_digit()) {
            return Tried::NoCode;
        }
        if given == open.code {
            return Tried::Right;
        }
        open.left -= 1;
        let left = open.left;
        if left == 0 {
            self.open = None;
        }
        Tried::Wrong(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once() {
        let (mut pairing, now) = (Pairing::default(), Instant::now());
        assert_eq!(pairing.attempt("00000000", now), Tried::NoCode);
        assert_eq!(pairing.open(7_000_001_234, now), "0000-1234");
        for text in ["hello", "/start", "1234", "000012345", "0000123a", ""] {
            assert_eq!(pairing.attempt(text, now), Tried::NoCode, "{text}");
        }
        assert_eq!(pairing.attempt(" 0000 1234\n", now + LIFE.checked_sub(Duration::from_secs(1)).unwrap()), Tried::Right);
        pairing.close();
        assert_eq!(pairing.attempt("00001234", now), Tried::NoCode);
    }

    #[test]
    fn a_link_carries_it_too() {
        let (mut pairing, now) = (Pairing::default(), Instant::now());
        pairing.open(12_345_678, now);
        assert_eq!(pairing.attempt("/start 1234-5678", now), Tried::Right);
    }

    #[test]
    fn after_ten_minutes_or_five_tries_there_is_none() {
        let (mut pairing, now) = (Pairing::default(), Instant::now());
        pairing.open(1, now);
        assert_eq!(pairing.attempt("00000001", now + LIFE), Tried::NoCode);
        pairing.open(1, now);
        let tried: Vec<Tried> = (0..6).map(|_| pairing.attempt("99999999", now)).collect();
        assert_eq!(tried, [Tried::Wrong(4), Tried::Wrong(3), Tried::Wrong(2), Tried::Wrong(1), Tried::Wrong(0), Tried::NoCode]);
        assert_eq!(pairing.attempt("00000001", now), Tried::NoCode);
    }
}
