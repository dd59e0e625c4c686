//! Time zones by their names in the IANA database.

use jiff::tz::{self, TimeZone};

use super::when::WhenError;

/// The zone called `name`, in any case of letters.
///
/// # Errors
/// A sentence that names the nearest.
pub fn find_zone(name: &str) -> Result<TimeZone, WhenError> {
    let found = TimeZone::get(name.trim()).ok().filter(|zone| zone.iana_name().is_some() || name.eq_ignore_ascii_case("utc"));
    found.ok_or_else(|| {
        let wanted = name.trim().to_lowercase();
        // Often only the city is written.
        let near = |known: &str| {
            let (known, city) = (known.to_lowercase(), known.to_lowercase());
            let city = city.rsplit('/').next().unwrap_or_default().to_owned();
            (strsim::jaro_winkler(&wanted, &known).max(strsim::jaro_winkler(&wanted, &city)) * 1e6) as i64
        };
        let nearest = tz::db().available().map(|known| known.to_string()).max_by_key(|known| near(known));
        let nearest = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
        WhenError(format!("there is no time zone `{name}`{nearest}"))
    })
}

/// The name of the zone that jobs are in by default: the configured one, else the machine's.
///
/// # Errors
/// There is no such zone, or the machine's has no name.
pub fn default_zone(configured: Option<&str>) -> Result<String, WhenError> {
    if let Some(name) = configured {
        return find_zone(name).map(|zone| zone.iana_name().unwrap_or("UTC").to_owned());
    }
    let system = TimeZone::system();
    match system.iana_name() {
        Some(name) => Ok(name.to_owned()),
        // A machine that does not say keeps UTC, and so does the clock in the messages.
        None if system.is_unknown() => Ok("UTC".to_owned()),
        None => Err(WhenError("this machine's time zone has no name; write `zone = \"Europe/Berlin\"` (or yours) under [schedule]".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones() {
        let check = |name: &str, expected: Result<&str, &str>| {
            let found = find_zone(name).map(|zone| zone.iana_name().unwrap_or_default().to_owned()).map_err(|e| e.0);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{name}");
        };
        check("Europe/Berlin", Ok("Europe/Berlin"));
        check("europe/berlin", Ok("Europe/Berlin"));
        check("UTC", Ok("UTC"));
        check("Europe/Berln", Err("there is no time zone `Europe/Berln`; did you mean Europe/Berlin?"));
        check("Kolkata", Err("there is no time zone `Kolkata`; did you mean Asia/Kolkata?"));
        assert_eq!(default_zone(Some("america/new_york")), Ok("America/New_York".to_owned()));
        assert!(default_zone(Some("Nowhere")).is_err());
        assert!(default_zone(None).is_ok());
    }
}
