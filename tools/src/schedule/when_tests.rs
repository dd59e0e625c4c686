use super::*;

/// Saturday, 2026-11-21 10:00 in Berlin.
const NOW: &str = "2026-11-21T09:00:00Z";

fn berlin() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

/// The first moments of `words` after `after`, as Berlin's clock shows them.
fn runs(words: &str, after: &str, count: usize) -> Vec<String> {
    let (zone, after) = (berlin(), after.parse().unwrap());
    let when = When::parse(words, &zone, after).unwrap_or_else(|error| panic!("{words}: {error}"));
    // What the journal keeps means the same.
    let kept = When::parse(&when.words(words), &zone, after).unwrap();
    assert_eq!(kept.upcoming(after, after, &zone, count), when.upcoming(after, after, &zone, count), "{words}");
    let show = |moment: &Timestamp| moment.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M:%S%:z").to_string();
    when.upcoming(after, after, &zone, count).iter().map(show).collect()
}

#[test]
fn words() {
    let check = |words: &str, expected: &[&str]| assert_eq!(runs(words, NOW, 2), expected, "{words}");
    // Once.
    check("in 20 minutes", &["Sat 2026-11-21 10:20:00+01:00"]);
    check("In  1 second", &["Sat 2026-11-21 10:00:01+01:00"]);
    check("in an hour", &["Sat 2026-11-21 11:00:00+01:00"]);
    check("in 1 hour and 30 minutes", &["Sat 2026-11-21 11:30:00+01:00"]);
    check("in 2h30m", &["Sat 2026-11-21 12:30:00+01:00"]);
    check("in 3 days", &["Tue 2026-11-24 10:00:00+01:00"]);
    check("at 2026-12-01 09:00", &["Tue 2026-12-01 09:00:00+01:00"]);
    check("2026-12-01T09:00", &["Tue 2026-12-01 09:00:00+01:00"]);
    check("2026-12-01 at 9am", &["Tue 2026-12-01 09:00:00+01:00"]);
    check("at 2026-12-01T09:00:30-05:00", &["Tue 2026-12-01 15:00:30+01:00"]);
    check("at 2026-12-01T09:00:00Z", &["Tue 2026-12-01 10:00:00+01:00"]);
    check("at 10:30", &["Sat 2026-11-21 10:30:00+01:00"]);
    check("at 9:30", &["Sun 2026-11-22 09:30:00+01:00"]);
    check("9 pm", &["Sat 2026-11-21 21:00:00+01:00"]);
    check("at noon", &["Sat 2026-11-21 12:00:00+01:00"]);
    check("12am", &["Sun 2026-11-22 00:00:00+01:00"]);
    check("tomorrow at 9:00", &["Sun 2026-11-22 09:00:00+01:00"]);
    check("tomorrow 9am", &["Sun 2026-11-22 09:00:00+01:00"]);
    check("today at 23:59", &["Sat 2026-11-21 23:59:00+01:00"]);
    check("friday at 17:00", &["Fri 2026-11-27 17:00:00+01:00"]);
    check("Saturday at 11:00", &["Sat 2026-11-21 11:00:00+01:00"]);
    check("sat 9:00", &["Sat 2026-11-28 09:00:00+01:00"]);
    check("tuesday 9 am", &["Tue 2026-11-24 09:00:00+01:00"]);
    // Over already: it never comes.
    check("at 2026-11-21 09:59", &[]);
    check("today at 9:00", &[]);
    // Again and again.
    check("every 30 minutes", &["Sat 2026-11-21 10:30:00+01:00", "Sat 2026-11-21 11:00:00+01:00"]);
    check("every 30m", &["Sat 2026-11-21 10:30:00+01:00", "Sat 2026-11-21 11:00:00+01:00"]);
    check("every hour", &["Sat 2026-11-21 11:00:00+01:00", "Sat 2026-11-21 12:00:00+01:00"]);
    check("every 2 days", &["Mon 2026-11-23 10:00:00+01:00", "Wed 2026-11-25 10:00:00+01:00"]);
    check("every day at 9:00", &["Sun 2026-11-22 09:00:00+01:00", "Mon 2026-11-23 09:00:00+01:00"]);
    check("daily at 6:30 pm", &["Sat 2026-11-21 18:30:00+01:00", "Sun 2026-11-22 18:30:00+01:00"]);
    check("every weekday at 8:30", &["Mon 2026-11-23 08:30:00+01:00", "Tue 2026-11-24 08:30:00+01:00"]);
    check("every weekend at noon", &["Sat 2026-11-21 12:00:00+01:00", "Sun 2026-11-22 12:00:00+01:00"]);
    check("every monday and Friday at 9:00", &["Mon 2026-11-23 09:00:00+01:00", "Fri 2026-11-27 09:00:00+01:00"]);
    check("every Sun at 9:00", &["Sun 2026-11-22 09:00:00+01:00", "Sun 2026-11-29 09:00:00+01:00"]);
    // Cron.
    check("0 9 * * 1-5", &["Mon 2026-11-23 09:00:00+01:00", "Tue 2026-11-24 09:00:00+01:00"]);
    check("cron 0 9 * * MON", &["Mon 2026-11-23 09:00:00+01:00", "Mon 2026-11-30 09:00:00+01:00"]);
    check("*/15 * * * *", &["Sat 2026-11-21 10:15:00+01:00", "Sat 2026-11-21 10:30:00+01:00"]);
    check("30 6 1 jan,jul *", &["Fri 2027-01-01 06:30:00+01:00", "Thu 2027-07-01 06:30:00+02:00"]);
    check("0 0 L * *", &["Mon 2026-11-30 00:00:00+01:00", "Thu 2026-12-31 00:00:00+01:00"]);
    check("0 12 29 2 *", &["Tue 2028-02-29 12:00:00+01:00", "Sun 2032-02-29 12:00:00+01:00"]);
    check("@daily", &["Sun 2026-11-22 00:00:00+01:00", "Mon 2026-11-23 00:00:00+01:00"]);
    // A day that is not in any year.
    check("0 0 31 2 *", &[]);
}

#[test]
fn daylight_saving() {
    let check = |words: &str, after: &str, expected: &[&str]| assert_eq!(runs(words, after, expected.len()), expected, "{words}");
    // 2027-03-28 has no 02:30 in Berlin: the first moment after the gap, once.
    let spring = "2027-03-27T12:00:00Z";
    let moved = ["Sun 2027-03-28 03:00:00+02:00", "Mon 2027-03-29 02:30:00+02:00"];
    check("every day at 2:30", spring, &moved);
    check("30 2 * * *", spring, &moved);
    check("at 2027-03-28 02:30", spring, &moved[..1]);
    check("tomorrow at 2:30", spring, &moved[..1]);
    check("0 9 * * *", spring, &["Sun 2027-03-28 09:00:00+02:00", "Mon 2027-03-29 09:00:00+02:00"]);
    check("0 1 * * *", spring, &["Sun 2027-03-28 01:00:00+01:00", "Mon 2027-03-29 01:00:00+02:00"]);
    // Every hour of the clock that there is; every hour of real time.
    let hours = ["Sun 2027-03-28 01:00:00+01:00", "Sun 2027-03-28 03:00:00+02:00", "Sun 2027-03-28 04:00:00+02:00"];
    check("0 * * * *", "2027-03-27T23:30:00Z", &hours);
    check("every 1 hour", "2027-03-27T23:00:00Z", &hours);
    check("in 1 day", spring, &["Sun 2027-03-28 13:00:00+02:00"]);
    check("in 24 hours", spring, &["Sun 2027-03-28 14:00:00+02:00"]);
    // 2026-10-25 has 02:30 twice: the first, once.
    let autumn = "2026-10-24T12:00:00Z";
    let once = ["Sun 2026-10-25 02:30:00+02:00", "Mon 2026-10-26 02:30:00+01:00"];
    check("every day at 2:30", autumn, &once);
    check("30 2 * * *", autumn, &once);
    check("at 2026-10-25 02:30", autumn, &once[..1]);
    // Both halves have minutes.
    let halves = ["Sun 2026-10-25 02:30:00+02:00", "Sun 2026-10-25 02:00:00+01:00", "Sun 2026-10-25 02:30:00+01:00"];
    check("*/30 * * * *", "2026-10-25T00:00:00Z", &halves);
    check("every 30 minutes", "2026-10-25T00:00:00Z", &halves);
    // Between the two, the first is over.
    check("30 2 * * *", "2026-10-25T00:45:00Z", &["Mon 2026-10-26 02:30:00+01:00"]);
}

#[test]
fn intervals_keep_their_beat() {
    let moment = |text: &str| text.parse::<Timestamp>().unwrap();
    let when = When::Every(SignedDuration::from_mins(30));
    let check = |after: &str, expected: &str| {
        assert_eq!(when.next(moment(after), moment(NOW), &TimeZone::UTC), Some(moment(expected)), "{after}");
    };
    check(NOW, "2026-11-21T09:30:00Z");
    check("2026-11-21T09:00:01Z", "2026-11-21T09:30:00Z");
    check("2026-11-21T09:29:59.999Z", "2026-11-21T09:30:00Z");
    check("2026-11-21T09:30:00Z", "2026-11-21T10:00:00Z");
    check("2026-11-28T12:10:00Z", "2026-11-28T12:30:00Z");
    // The clock was put back.
    check("2026-11-20T00:00:00Z", "2026-11-21T09:30:00Z");
}

#[test]
fn what_is_wrong_is_named() {
    let check = |words: &str, parts: &[&str]| {
        let error = When::parse(words, &berlin(), NOW.parse().unwrap()).unwrap_err().0;
        assert!(parts.iter().all(|part| error.contains(part)) && !error.contains('\n'), "{words}: {error}");
    };
    for words in ["", "soon", "at", "at 25:00", "at 9", "2026-13-01 09:00", "2026-02-30 09:00", "in a while", "in 20", "in -5 minutes"] {
        check(words, &["is no time to run at", "in 20 minutes", "0 9 * * 1-5"]);
    }
    for words in
        ["every", "every day at", "every day at 25:00", "every blue at 9:00", "every day at 9:00:30", "13pm", "0am", "in 0 minutes"]
    {
        check(words, &["is no time to run at"]);
    }
    check("in 4000 days", &["is no time to run at"]);
    check("every 0 minutes", &["less than a second"]);
    check("every 4000 days", &["more than ten years"]);
    check("61 * * * *", &["the minute `61`", "0 to 59"]);
    check("0 25 * * *", &["the hour `25`", "0 to 23"]);
    check("0 9 32 * *", &["the day of the month `32`"]);
    check("0 9 * 13 *", &["the month `13`"]);
    check("0 9 * * 8", &["the day of the week `8`"]);
    check("0 9 * * foo", &["the day of the week `foo`"]);
    check("0 9 * *", &["five fields", "has 4"]);
    check("0 0 9 * * *", &["five fields", "has 6"]);
    check("@never", &["`@never`", "@daily"]);
    check(&"x".repeat(300), &["300 characters"]);
}

/// Pieces of words that say when, good and bad.
const PIECES: [&str; 44] = [
    "0",
    "9",
    "59",
    "60",
    "7",
    "31",
    "99999999999",
    "*",
    "*/5",
    "1-5",
    "5-1",
    "1,2,",
    "/",
    "-",
    "L",
    "W",
    "15W",
    "#",
    "6#3",
    "5L",
    "?",
    "+",
    "@",
    "@daily",
    "mon",
    "jan",
    "every",
    "in",
    "at",
    "tomorrow",
    "day",
    "minutes",
    "hours",
    "9:00",
    "pm",
    "2027-03-28",
    "T",
    "Z",
    "+99:99",
    "-",
    "ü",
    "\u{0}",
    "½",
    "noon",
];

#[test]
fn no_words_are_too_strange() {
    // A generator of Knuth's; the same numbers each time.
    let mut state = 1_u64;
    let mut below = |most: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    };
    let (zone, now) = (berlin(), NOW.parse().unwrap());
    let mut good = 0;
    for _ in 0..30_000 {
        let mut words = String::new();
        for _ in 0..=below(6) {
            words += PIECES[usize::try_from(below(PIECES.len() as u64)).unwrap()];
            if below(4) > 0 {
                words.push(' ');
            }
        }
        if let Ok(when) = When::parse(&words, &zone, now) {
            good += 1;
            let moments = when.upcoming(now, now, &zone, 2);
            assert!(moments.iter().all(|moment| *moment > now) && moments.is_sorted(), "{words}: {moments:?}");
        }
    }
    assert!(good > 100, "only {good} could be read: the pieces say nothing");
}
