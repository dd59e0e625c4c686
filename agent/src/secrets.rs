//! The owner's secrets: what is in no prompt, no step and no reply, and in nothing that leaves. Known ones only: values that the
//! configuration names. A secret that a stranger's text spells out piece by piece is not known by its pieces.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;

use crate::step::Step;

/// Bytes of the shortest secret that is looked for; a shorter one would be found in honest text.
const SHORTEST: usize = 8;

/// The owner's secrets.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Name and value, the longest value first: one may begin as another does.
    known: Vec<(String, String)>,
    /// Name and encoded value, in lower case.
    encoded: Vec<(String, String)>,
}

/// Names only.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.known.iter().map(|(name, _)| name)).finish()
    }
}

impl Secrets {
    /// Secrets by name and value. Values of fewer than eight bytes are left out: they would be found in honest text.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut known: Vec<(String, String)> = Vec::new();
        for (name, value) in values {
            let value = value.trim().to_owned();
            if value.len() >= SHORTEST && known.iter().all(|(_, other)| *other != value) {
                known.push((name, value));
            }
        }
        known.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        let encoded = known.iter().flat_map(|(name, value)| encodings(value).into_iter().map(|text| (name.clone(), text))).collect();
        Self { known, encoded }
    }

    /// `text` with the name of each secret in its place.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (name, value) in &self.known {
            if out.contains(value.as_str()) {
                out = out.replace(value.as_str(), &format!("[secret: {name}]"));
            }
        }
        out
    }

    /// [`Secrets::redact`] for every text in `value`, keys included; whether there was one.
    pub fn redact_all(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => {
                let redacted = self.redact(text);
                let found = redacted != *text;
                *text = redacted;
                found
            }
            Value::Array(items) => items.iter_mut().fold(false, |found, item| self.redact_all(item) | found),
            Value::Object(map) => {
                let mut found = map.values_mut().fold(false, |found, item| self.redact_all(item) | found);
                if map.keys().any(|key| self.redact(key) != *key) {
                    found = true;
                    *map = std::mem::take(map).into_iter().map(|(key, item)| (self.redact(&key), item)).collect();
                }
                found
            }
            _ => false,
        }
    }

    /// `step` with the name of each secret in its place. A reply with one loses its tokens, which would tell it.
    #[must_use]
    pub fn redact_step(&self, step: Step) -> Step {
        if self.known.is_empty() {
            return step;
        }
        let Ok(mut value) = serde_json::to_value(&step) else { return step };
        if !self.redact_all(&mut value) {
            return step;
        }
        if let Some(message) = value.get_mut("message").and_then(Value::as_object_mut) {
            message.remove("tokens");
        }
        serde_json::from_value(value).unwrap_or(step)
    }

    /// The name of a secret that `value` holds: as it is, over several texts, reversed, in base64, hexadecimal or percent signs.
    #[must_use]
    pub fn find(&self, value: &Value) -> Option<&str> {
        if self.known.is_empty() {
            return None;
        }
        let mut texts = String::new();
        collect(value, &mut texts);
        // What a text could be broken up with does not hide it.
        let bare = |text: &str| -> String { text.chars().filter(|c| !is_filler(*c)).collect() };
        let joined = bare(&texts);
        let decoded = percent_decoded(&texts);
        let plain = self
            .known
            .iter()
            .find(|(_, value)| texts.contains(value.as_str()) || decoded.contains(value.as_str()) || joined.contains(&bare(value)));
        let lower = joined.to_lowercase();
        let hidden = || self.encoded.iter().find(|(_, text)| lower.contains(text.as_str()));
        plain.or_else(hidden).map(|(name, _)| name.as_str())
    }
}

/// Whether a character may stand between the pieces of a text that is broken up.
fn is_filler(c: char) -> bool {
    !c.is_ascii_graphic() || matches!(c, '"' | '\'' | '\\' | '+' | ',')
}

/// All texts in `value`, one after the other.
fn collect(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => out.push_str(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, out)),
        Value::Object(map) => map.iter().for_each(|(key, item)| {
            out.push_str(key);
            out.push(' ');
            collect(item, out);
        }),
        _ => {}
    }
}

/// How a secret may be written to pass unseen: lower case, since that of base64 and hexadecimal is all that is compared.
fn encodings(value: &str) -> Vec<String> {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    };
    let bytes = value.as_bytes();
    let mut out = vec![hex(bytes), value.chars().rev().collect::<String>().to_lowercase()];
    // In base64 the same bytes look differently at each of three places; the first and last characters depend on the neighbours.
    for shift in 0..3_usize {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(bytes);
        let text = STANDARD_NO_PAD.encode(&shifted);
        let (first, last) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
        for text in [text.clone(), text.replace('+', "-").replace('/', "_")] {
            out.push(text[first..last].to_lowercase());
        }
    }
    let mut out: Vec<String> = out.iter().map(|text| text.chars().filter(|c| !is_filler(*c)).collect()).collect();
    out.retain(|text| text.len() >= SHORTEST);
    out.dedup();
    out
}

/// `%41` as `A`; what is no such triple stays.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "sk-Proj_4f/9a+Zq81";

    fn secrets() -> Secrets {
        Secrets::new([("mail".into(), KEY.into()), ("short".into(), "abc".into()), ("begin".into(), "sk-Proj_4f".into())])
    }

    #[test]
    fn a_secret_is_replaced_by_its_name() {
        let secrets = secrets();
        assert_eq!(secrets.redact(&format!("a {KEY} b abc")), "a [secret: mail] b abc");
        assert_eq!(secrets.redact("sk-Proj_4f!"), "[secret: begin]!");
        let mut value = json!({"a": [KEY, 1], KEY: {"b": "x"}});
        assert!(secrets.redact_all(&mut value));
        assert_eq!(value, json!({"a": ["[secret: mail]", 1], "[secret: mail]": {"b": "x"}}));
        assert!(!secrets.redact_all(&mut json!({"a": "b"})));
        assert_eq!(format!("{secrets:?}"), r#"["mail", "begin"]"#);
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let secrets = secrets();
        let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let hex: String = KEY.bytes().map(|byte| format!("{byte:02X}")).collect();
        let percent: String = KEY.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let quoted = KEY.chars().map(String::from).collect::<Vec<_>>().join("\"\"");
        for text in [
            KEY.to_owned(),
            format!("https://e.org/?q={KEY}"),
            base64(KEY),
            base64(&format!("x{KEY}y")),
            base64(&format!("xy{KEY}z")),
            base64(KEY).replace('+', "-").replace('/', "_"),
            hex.clone(),
            format!("%3d{percent}"),
            KEY.chars().rev().collect(),
            quoted,
            format!("{}\n{}", &KEY[..9], &KEY[9..]),
        ] {
            assert_eq!(secrets.find(&json!({ "url": text })), Some("mail"), "{text}");
        }
        assert_eq!(secrets.find(&json!({"a": &KEY[..12], "b": "x"})), Some("begin"));
        assert_eq!(secrets.find(&json!([&KEY[..12], &KEY[12..]])), Some("mail"));
        for text in ["nothing", "sk-Proj", "abc"] {
            assert_eq!(secrets.find(&json!(text)), None, "{text}");
        }
    }
}
