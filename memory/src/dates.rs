//! Dates as people write them, in one form: `14 March 2026`, `March 14th`, `2026-03-14`, `14.3.`, `3月14日`.
//!
//! It reads dates only, no times and nothing relative to today: memory does not read the clock. `3/4/2026` is taken both ways.

use std::ops::Range;

use crate::words::Word;

/// A day or a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: Option<u32>,
    pub(crate) month: u32,
    pub(crate) day: Option<u32>,
    /// Which of the text's words say it.
    pub(crate) words: Range<usize>,
}

/// Names of months, folded, in twelve groups: English and German with their short forms, French, Spanish, Italian, Portuguese, Dutch
/// and the Scandinavian ones where they differ.
const MONTHS: [&[&str]; 12] = [
    &["january", "jan", "januar", "janner", "janvier", "enero", "gennaio", "janeiro", "januari"],
    &["february", "feb", "februar", "fevrier", "febrero", "febbraio", "fevereiro", "februari"],
    &["march", "mar", "marz", "mars", "marzo", "marco", "maart", "maerz"],
    &["april", "apr", "avril", "abril", "aprile"],
    &["may", "mai", "mayo", "maggio", "maio", "mei", "maj"],
    &["june", "jun", "juni", "juin", "junio", "giugno", "junho"],
    &["july", "jul", "juli", "juillet", "julio", "luglio", "julho"],
    &["august", "aug", "aout", "agosto", "augustus", "augusti"],
    &["september", "sep", "sept", "septembre", "septiembre", "settembre", "setembro"],
    &["october", "oct", "oktober", "okt", "octobre", "octubre", "ottobre", "outubro"],
    &["november", "nov", "novembre", "noviembre", "novembro"],
    &["december", "dec", "dezember", "dez", "decembre", "diciembre", "dicembre", "dezembro"],
];

/// Small words between a day and its month.
const BETWEEN: [&str; 6] = ["of", "de", "di", "du", "the", "den"];

/// The month of that name.
pub(crate) fn month(word: &str) -> Option<u32> {
    (1..).zip(MONTHS).find(|(_, names)| names.contains(&word)).map(|(number, _)| number)
}

/// What the index keeps of the dates in a text. The dot is no letter of any word.
pub(crate) fn tokens(text: &str, words: &[Word]) -> Vec<String> {
    let mut tokens = Vec::new();
    for Date { year, month, day, .. } in find(text, words) {
        tokens.push(any_in(month));
        tokens.extend(year.map(|year| in_month(year, month)));
        let Some(day) = day else { continue };
        tokens.push(of_year(month, day));
        tokens.push(year.map_or_else(|| no_year(month, day), |year| full(year, month, day)));
    }
    tokens
}

/// A day of a year.
pub(crate) fn full(year: u32, month: u32, day: u32) -> String {
    format!("·{year:04}{month:02}{day:02}")
}

/// A day of any year.
pub(crate) fn of_year(month: u32, day: u32) -> String {
    format!("·{month:02}{day:02}")
}

/// A day of a year that is not said.
pub(crate) fn no_year(month: u32, day: u32) -> String {
    format!("·{month:02}{day:02}·")
}

/// A month of a year.
pub(crate) fn in_month(year: u32, month: u32) -> String {
    format!("·{year:04}{month:02}")
}

/// Any day of a month.
pub(crate) fn any_in(month: u32) -> String {
    format!("·{month:02}")
}

/// The day on which something was noted, from its RFC 3339 time.
pub(crate) fn noted(at: &str) -> Option<String> {
    let (year, month, day) = ymd(at)?;
    Some(noted_on(year, month, day))
}

/// What the index keeps of notes of that day.
pub(crate) fn noted_on(year: u32, month: u32, day: u32) -> String {
    format!("··{year:04}{month:02}{day:02}")
}

/// Days since the year 0 of a time that begins with `YYYY-MM-DD`; the algorithm is Howard Hinnant's `days_from_civil`.
pub(crate) fn days(at: &str) -> Option<i64> {
    let (year, month, day) = ymd(at)?;
    let (year, month, day) = (i64::from(year) - i64::from(month <= 2), i64::from(month), i64::from(day));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year)
}

fn ymd(at: &str) -> Option<(u32, u32, u32)> {
    let mut parts = at.get(..10)?.split('-').map(|part| part.parse::<u32>().ok());
    let date = (parts.next()??, parts.next()??, parts.next()??);
    is_day(date.1, date.2).then_some(date)
}

/// The dates in a text, from its words.
pub(crate) fn find(text: &str, words: &[Word]) -> Vec<Date> {
    let reader = Reader { text, words };
    let (mut dates, mut index) = (Vec::new(), 0);
    while index < words.len() {
        let found = reader.numeric(index).or_else(|| reader.named(index)).or_else(|| reader.chinese(index));
        index = match found {
            Some(found) => {
                let end = found.first().map_or(index + 1, |date| date.words.end);
                dates.extend(found);
                end
            }
            None => index + 1,
        };
    }
    dates
}

struct Reader<'a> {
    text: &'a str,
    words: &'a [Word],
}

impl Reader<'_> {
    fn word(&self, index: usize) -> Option<&str> {
        self.words.get(index).map(|word| word.folded.as_str())
    }

    /// A number of so many digits.
    fn number(&self, index: usize, digits: Range<usize>) -> Option<u32> {
        let word = self.word(index)?;
        (digits.contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())).then(|| word.parse().ok()).flatten()
    }

    fn year(&self, index: usize) -> Option<u32> {
        self.number(index, 4..5).filter(|year| (1000..3000).contains(year))
    }

    /// A day of a month, `14` or `14th`.
    fn day(&self, index: usize) -> Option<u32> {
        let word = self.word(index)?;
        let digits = ["st", "nd", "rd", "th", "er", "e"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
        (digits.len() <= 2).then(|| digits.parse().ok()).flatten().filter(|day| (1..=31).contains(day))
    }

    /// The day of `14T10:00`.
    fn before_time(&self, index: usize) -> Option<u32> {
        let (day, time) = self.word(index)?.split_once('t')?;
        (day.len() == 2 && time.bytes().all(|byte| byte.is_ascii_digit())).then(|| day.parse().ok()).flatten()
    }

    /// What stands after a word and before the next.
    fn gap(&self, index: usize) -> &str {
        let begin = self.words.get(index).map_or(self.text.len(), |word| word.at.end);
        // Pairs of letters overlap.
        self.text.get(begin..self.words.get(index + 1).map_or(self.text.len(), |word| word.at.start)).unwrap_or("")
    }

    fn numeric(&self, index: usize) -> Option<Vec<Date>> {
        let gap = self.gap(index).trim_end();
        let date = |year, month, day, words| is_day(month, day).then_some(Date { year, month, day: Some(day), words });
        if let Some(year) = self.year(index) {
            let month = self.number(index + 1, 1..3).filter(|_| ["-", "/", "."].contains(&gap))?;
            let rest = (self.gap(index + 1) == gap).then(|| self.number(index + 2, 1..3).or_else(|| self.before_time(index + 2))).flatten();
            return match rest {
                Some(day) => date(Some(year), month, day, index..index + 3).map(|date| vec![date]),
                None if gap == "-" && (1..=12).contains(&month) => {
                    Some(vec![Date { year: Some(year), month, day: None, words: index..index + 2 }])
                }
                None => None,
            };
        }
        let (first, second) = (self.number(index, 1..3)?, self.number(index + 1, 1..3).filter(|_| ["-", "/", "."].contains(&gap))?);
        let after = self.gap(index + 1);
        let year = self.year(index + 2).filter(|_| after.trim_end() == gap);
        let dotted = gap == "." && after.starts_with('.') && (after != "." || self.word(index + 2).is_none());
        if year.is_none() && !dotted && gap != "/" {
            return None;
        }
        let words = index..index + 2 + usize::from(year.is_some());
        // With dots and dashes the day comes first.
        let ways = [date(year, second, first, words.clone()), date(year, first, second, words).filter(|_| gap == "/" && first != second)];
        let dates: Vec<Date> = ways.into_iter().flatten().collect();
        (!dates.is_empty()).then_some(dates)
    }

    fn named(&self, index: usize) -> Option<Vec<Date>> {
        let near = |index: usize| self.gap(index).chars().all(|c| matches!(c, ' ' | '.' | ',' | '-' | '\u{a0}'));
        if let Some(day) = self.day(index).filter(|_| near(index)) {
            let skip = usize::from(self.word(index + 1).is_some_and(|word| BETWEEN.contains(&word)));
            if let Some(month) = self.word(index + 1 + skip).and_then(month) {
                let skip_year = usize::from(skip == 1 && self.word(index + 3).is_some_and(|word| BETWEEN.contains(&word)));
                let place = index + 2 + skip + skip_year;
                let year = self.year(place).filter(|_| near(place - 1));
                let end = if year.is_some() { place + 1 } else { index + 2 + skip };
                return Some(vec![Date { year, month, day: Some(day), words: index..end }]);
            }
        }
        let month = self.word(index).and_then(month).filter(|_| near(index))?;
        let skip = usize::from(self.word(index + 1).is_some_and(|word| BETWEEN.contains(&word)));
        if let Some(day) = self.day(index + 1 + skip) {
            let year = self.year(index + 2 + skip).filter(|_| near(index + 1 + skip));
            return Some(vec![Date { year, month, day: Some(day), words: index..index + 2 + skip + usize::from(year.is_some()) }]);
        }
        let year = self.year(index + 1 + skip)?;
        Some(vec![Date { year: Some(year), month, day: None, words: index..index + 2 + skip }])
    }

    /// `2026年3月14日`, the year may be missing. What follows a number is one letter, or the first of a pair.
    fn chinese(&self, index: usize) -> Option<Vec<Date>> {
        let is =
            |index: usize, letter: char| self.word(index).is_some_and(|word| word.starts_with(letter)) && self.gap(index - 1).is_empty();
        let year = self.year(index).filter(|_| is(index + 1, '年'));
        let from = index + if year.is_some() { 2 } else { 0 };
        let month = self.number(from, 1..3).filter(|_| is(from + 1, '月'))?;
        let day = self.number(from + 2, 1..3).filter(|_| is(from + 3, '日') || is(from + 3, '号'))?;
        is_day(month, day).then(|| vec![Date { year, month, day: Some(day), words: index..from + 4 }])
    }
}

fn is_day(month: u32, day: u32) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::words;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = find(text, &words(text))
            .into_iter()
            .map(|Date { year, month, day, .. }| {
                let part = |number: Option<u32>| number.map_or("-".to_owned(), |number| number.to_string());
                format!("{} {month} {}", part(year), part(day))
            })
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn dates_in_texts() {
        for text in [
            "2026-03-14",
            "on 2026-03-14T10:00Z",
            "14 March 2026",
            "March 14th, 2026",
            "the 14th of March 2026",
            "14.3.2026",
            "14. 3. 2026",
            "14.03.2026",
            "14/03/2026",
            "03/14/2026",
            "14 Mar 2026",
            "Mar. 14, 2026",
            "14. März 2026",
            "le 14 mars 2026",
            "el 14 de marzo de 2026",
            "2026年3月14日",
            "2026/03/14",
        ] {
            check(text, &["2026 3 14"]);
        }
        for text in ["14 March", "on March 14 we met", "14.3.", "am 14.03. um 9", "14/03", "3月14日に", "14th march", "MARCH THE 14TH"] {
            check(text, &["- 3 14"]);
        }
        check("March 2026", &["2026 3 -"]);
        check("2026-03", &["2026 3 -"]);
        check("3/4/2026", &["2026 4 3", "2026 3 4"]);
        check("from 2 May to 5 May 2025", &["- 5 2", "2025 5 5"]);
        for text in [
            "",
            "March",
            "14",
            "2026",
            "1.5 litres",
            "at 10.30",
            "31.31.2026",
            "99/99",
            "version 1.2.3",
            "may I have 100",
            "12-14",
            "call 555 0123",
            "100.000.000",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn days_are_counted() {
        for (from, to, expected) in
            [("2026-03-14", "2026-03-15T01:00:00Z", 1), ("2024-02-28", "2024-03-01", 2), ("1999-12-31", "2000-12-31", 366)]
        {
            assert_eq!(days(to).unwrap() - days(from).unwrap(), expected);
        }
        for bad in ["", "yesterday, I think", "2026-13-01", "äöüäöüäöü"] {
            assert_eq!(days(bad), None, "{bad:?}");
        }
    }
}
