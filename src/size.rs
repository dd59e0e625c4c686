//! An amount of memory in the configuration: bytes, or a number with a unit.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size(pub u64);

/// Units, with their bytes; decimal as on the label of a disk, binary with an `i`.
const UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl Size {
    /// `12GB`, `1.5 GiB`, `4096`.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let (_, bytes) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "saturates")]
        let bytes = (number * *bytes as f64) as u64;
        Some(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount of memory such as 12GB")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
        u64::try_from(bytes).map(Size).map_err(|_| E::custom(format!("`{bytes}` is not an amount of memory; give more than nothing")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        let wrong = || E::custom(format!("`{text}` is not an amount of memory; give bytes, or a number with MB, GB, MiB or GiB"));
        Size::parse(text).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        let check = |text: &str, bytes: Option<u64>| assert_eq!(Size::parse(text), bytes.map(Size), "{text}");
        check("4096", Some(4096));
        check("12GB", Some(12_000_000_000));
        check("12 gb", Some(12_000_000_000));
        check("1.5GiB", Some(3 << 29));
        check("0.5TB", Some(500_000_000_000));
        for wrong in ["", "GB", "12XB", "-1GB", "1e3", "1.2.3GB", "NaN"] {
            check(wrong, None);
        }
    }
}
