//! When a job runs: from the words that people and models write to the next moment. Pure: it looks at no clock.
//!
//! Fixed intervals count real time. Times of day are those of the clock on the wall: one that daylight saving skips comes at the
//! first moment after the gap, one that comes twice is taken the first time.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, ToSpan as _};

use super::cron::Cron;

/// The shortest interval. Less is refused.
pub const SHORTEST: SignedDuration = SignedDuration::from_secs(1);

/// The longest interval, and the farthest that `in` reaches. More is refused.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 366 * 10);

/// Bytes of the words that say when. More is refused.
const WORDS: usize = 200;

/// Words that say no time to run at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WhenError(pub String);

/// When a job runs.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// Once.
    At(Timestamp),
    /// Again and again, so much real time apart.
    Every(SignedDuration),
    /// At times of the clock on the wall.
    Cron(Box<Cron>),
}

impl When {
    /// What `words` mean at `now` in `zone`: `in 20 minutes`, `at 2026-12-01 09:00`, `tomorrow at 9:00`, `every 30 minutes`,
    /// `every weekday at 8:30`, or five fields of cron.
    ///
    /// # Errors
    /// A sentence that names what is wrong and shows what would be right.
    pub fn parse(words: &str, zone: &TimeZone, now: Timestamp) -> Result<Self, WhenError> {
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        if words.len() > WORDS {
            return Err(WhenError(format!("the time has {} characters; at most {WORDS} are read", words.len())));
        }
        let lower = words.to_lowercase();
        if let Some(line) = lower.strip_prefix("cron ").or_else(|| looks_like_cron(&lower).then_some(lower.as_str())) {
            return Ok(Self::Cron(Box::new(Cron::parse(line)?)));
        }
        if let Some(rest) = lower.strip_prefix("in ") {
            let then = span(rest).and_then(|span| now.to_zoned(zone.clone()).checked_add(span).ok());
            // The journal keeps milliseconds.
            let then = then.and_then(|then| Timestamp::from_millisecond(then.timestamp().as_millisecond()).ok());
            let then = then.filter(|then| *then > now && then.duration_since(now) <= LONGEST);
            return then.map(Self::At).ok_or_else(|| not_understood(&words));
        }
        match lower.strip_prefix("every ").or_else(|| lower.starts_with("daily").then_some(lower.as_str())) {
            Some(rest) => every(rest, &words),
            None => once(lower.strip_prefix("at ").unwrap_or(&lower), zone, now).map(Self::At).ok_or_else(|| not_understood(&words)),
        }
    }

    /// The words for the journal: a moment as such, since `tomorrow` means another day tomorrow; anything else as it was written.
    #[must_use]
    pub fn words(&self, written: &str) -> String {
        match self {
            Self::At(moment) => format!("at {moment}"),
            Self::Every(_) | Self::Cron(_) => written.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }

    /// The first moment after `after`. Intervals are counted from `anchor`. `None`: there is none.
    #[must_use]
    pub fn next(&self, after: Timestamp, anchor: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::At(moment) => Some(*moment).filter(|moment| *moment > after),
            Self::Every(interval) => {
                let (step, gone) = (interval.as_millis(), after.duration_since(anchor).as_millis());
                let steps = gone.div_euclid(step.max(1)) + 1;
                let milliseconds = i64::try_from(steps.max(1) * step).ok()?;
                anchor.checked_add(SignedDuration::from_millis(milliseconds)).ok()
            }
            Self::Cron(cron) => cron.next(after, zone),
        }
    }

    /// The next `count` moments after `after`, fewer if there are no more.
    #[must_use]
    pub fn upcoming(&self, after: Timestamp, anchor: Timestamp, zone: &TimeZone, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next(after, anchor, zone), |last| self.next(*last, anchor, zone)).take(count).collect()
    }
}

/// The moment at which the clock on the wall shows `civil`. In a gap: the first moment after it. Of two: the first.
pub(crate) fn moment(civil: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(civil);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => offset.to_timestamp(civil).ok(),
        // Read with the offset that holds after the gap, the time lies before it.
        AmbiguousOffset::Gap { after, .. } => {
            zone.following(after.to_timestamp(civil).ok()?).next().map(|transition| transition.timestamp())
        }
    }
}

fn not_understood(words: &str) -> WhenError {
    WhenError(format!(
        "`{words}` is no time to run at; write such as `in 20 minutes`, `at 2027-01-31 09:00`, `tomorrow at 9:00`, \
         `every 30 minutes`, `every weekday at 8:30` or five fields of cron (`0 9 * * 1-5`)"
    ))
}

/// Whether bare words can only be meant for cron.
fn looks_like_cron(words: &str) -> bool {
    let is_field = |word: &str| word.starts_with(|c: char| c.is_ascii_digit() || "*,-/?".contains(c));
    words.starts_with('@') || words.contains('*') || (words.split(' ').count() >= 5 && words.split(' ').take(2).all(is_field))
}

/// `20 minutes`, `2h30m`, `an hour`.
fn span(words: &str) -> Option<Span> {
    let words = words.strip_prefix("an ").or_else(|| words.strip_prefix("a ")).map_or_else(|| words.to_owned(), |rest| format!("1 {rest}"));
    words.replace(" and ", " ").parse().ok()
}

/// What stands behind `every`.
fn every(rest: &str, words: &str) -> Result<When, WhenError> {
    let Some((days, time)) = rest.split_once(" at ") else {
        // `every hour` is `every 1 hour`.
        let interval = span(rest).or_else(|| span(&format!("1 {rest}")));
        let interval = interval.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
        let interval = interval.ok_or_else(|| not_understood(words))?;
        return match interval {
            interval if interval < SHORTEST => Err(WhenError(format!("`{words}` is less than a second apart; give more"))),
            interval if interval > LONGEST => Err(WhenError(format!("`{words}` is more than ten years apart; give less"))),
            interval => Ok(When::Every(interval)),
        };
    };
    let days = days_of_week(days).ok_or_else(|| not_understood(words))?;
    let time = clock(time).filter(|time| time.second() == 0).ok_or_else(|| not_understood(words))?;
    Ok(When::Cron(Box::new(Cron::parse(&format!("{} {} * * {days}", time.minute(), time.hour()))?)))
}

/// The last field of cron for `day`, `weekday`, `weekend`, `monday and friday`.
fn days_of_week(words: &str) -> Option<String> {
    match words {
        "day" | "daily" => return Some("*".to_owned()),
        "weekday" | "workday" => return Some("1-5".to_owned()),
        "weekend" => return Some("0,6".to_owned()),
        _ => {}
    }
    let names = words.split([',', ' ']).filter(|word| !word.is_empty() && *word != "and");
    let days: Option<Vec<String>> = names.map(|name| Some(weekday(name)?.to_sunday_zero_offset().to_string())).collect();
    days.filter(|days| !days.is_empty()).map(|days| days.join(","))
}

/// `monday`, `mondays`, `mon`.
fn weekday(name: &str) -> Option<Weekday> {
    const NAMES: [(&str, Weekday); 7] = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let is_meant = |full: &str| full == name.strip_suffix('s').unwrap_or(name) || (name.len() >= 3 && full.starts_with(name));
    NAMES.iter().find(|(full, _)| is_meant(full)).map(|(_, day)| *day)
}

/// The one moment that is meant: with a date, with the name of a day, or at the next such time.
fn once(words: &str, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    if let Ok(moment) = words.to_uppercase().parse::<Timestamp>() {
        return Some(moment);
    }
    let today = now.to_zoned(zone.clone()).date();
    let on = |date: Date, time: Time| moment(date.to_datetime(time), zone);
    if let Some(time) = clock(words) {
        let first = on(today, time).filter(|moment| *moment > now);
        return first.or_else(|| on(today.checked_add(1.day()).ok()?, time));
    }
    let (day, time) = words.split_once(" at ").or_else(|| words.split_once([' ', 't']))?;
    let (day, time) = if let Some(rest) = words.strip_prefix("tomorrow ") {
        (today.checked_add(1.day()).ok()?, rest.strip_prefix("at ").unwrap_or(rest))
    } else if day == "today" {
        (today, time)
    } else if let Some(weekday) = words.split(' ').next().and_then(weekday) {
        let time = words.split_once(' ')?.1;
        let time = time.strip_prefix("at ").unwrap_or(time);
        // The next one that is still to come, today's included.
        let date = if today.weekday() == weekday { today } else { today.nth_weekday(1, weekday).ok()? };
        let first = on(date, clock(time)?).filter(|moment| *moment > now);
        return first.or_else(|| on(today.nth_weekday(1, weekday).ok()?, clock(time)?));
    } else {
        (day.parse::<Date>().ok()?, time)
    };
    on(day, clock(time)?)
}

/// `9:00`, `09:00:30`, `9am`, `9:30 pm`, `noon`, `midnight`.
fn clock(words: &str) -> Option<Time> {
    let words = words.trim();
    match words {
        "noon" => return Some(Time::constant(12, 0, 0, 0)),
        "midnight" => return Some(Time::midnight()),
        _ => {}
    }
    let (digits, half) = match (words.strip_suffix("am"), words.strip_suffix("pm")) {
        (Some(digits), _) => (digits.trim_end(), Some(0)),
        (_, Some(digits)) => (digits.trim_end(), Some(12)),
        _ => (words, None),
    };
    let numbers: Option<Vec<i8>> = digits.split(':').map(number).collect();
    let numbers = numbers.filter(|numbers| numbers.len() <= 3 && (numbers.len() > 1 || half.is_some()))?;
    let mut hour = numbers[0];
    if let Some(half) = half {
        // Twelve comes before one.
        hour = Some(hour).filter(|hour| (1..=12).contains(hour))? % 12 + half;
    }
    Time::new(hour, *numbers.get(1).unwrap_or(&0), *numbers.get(2).unwrap_or(&0), 0).ok()
}

/// One or two digits.
fn number(digits: &str) -> Option<i8> {
    (matches!(digits.len(), 1 | 2) && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
#[path = "when_tests.rs"]
mod tests;
