//! A line of cron: five fields, read by the crate `croner`, which knows what daylight saving does to them. Errors name the field.

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::when::WhenError;

/// The fields' names, in order, with what they take.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31, or L for the last"),
    ("month", "1 to 12, or jan to dec"),
    ("day of the week", "0 to 7 or sun to sat; 0 and 7 are Sunday"),
];

/// A line of cron that can be.
#[derive(Debug, Clone, PartialEq)]
pub struct Cron(croner::Cron);

impl Cron {
    /// Reads five fields, or a nickname such as `@daily`.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub(super) fn parse(line: &str) -> Result<Self, WhenError> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let fields: Vec<&str> = line.split_whitespace().collect();
        if line.starts_with('@') && fields.len() == 1 {
            let wrong = |_| WhenError(format!("`{line}` is no nickname of cron; there are @yearly, @monthly, @weekly, @daily and @hourly"));
            return parser.parse(line).map(Self).map_err(wrong);
        }
        if fields.len() != FIELDS.len() {
            let names = FIELDS.map(|(name, _)| name).join(", ");
            return Err(WhenError(format!("cron has five fields ({names}) and `{line}` has {}", fields.len())));
        }
        for (index, (name, takes)) in FIELDS.iter().enumerate() {
            // The other fields cannot be wrong.
            let mut alone = ["*"; FIELDS.len()];
            alone[index] = fields[index];
            if parser.parse(&alone.join(" ")).is_err() {
                return Err(WhenError(format!(
                    "the {name} `{}` in `{line}` is none; it takes {takes}, also as `1,2`, `1-5` and `*/2`",
                    fields[index]
                )));
            }
        }
        parser.parse(line).map(Self).map_err(|error| WhenError(format!("`{line}` is not cron: {error}")))
    }

    /// The first moment after `after`; `None`: such a day never comes.
    pub(super) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.0.find_next_occurrence(&after.to_zoned(zone.clone()), false).ok().map(|next| next.timestamp())
    }
}
