//! Telegram's HTML, parsed as its server does (TDLib, `MessageEntity.cpp`, `parse_html`): the same tags, the same errors at the same
//! byte offsets, and lengths in UTF-16 units.
//!
//! Deliberately not here: MarkdownV2, and entities that the server finds by itself in what a bot sends (links, hashtags).

use serde_json::{Value, json};

/// Entities beyond this number are left out by the server.
pub const MOST: usize = 100;

const TAGS: [&str; 16] =
    ["a", "b", "strong", "i", "em", "s", "strike", "del", "u", "ins", "tg-spoiler", "tg-emoji", "span", "pre", "code", "blockquote"];

#[derive(Debug, Default, Clone, PartialEq)]
pub struct Parsed {
    pub text: String,
    pub entities: Vec<Value>,
    /// What the server accepts and does not show as it was meant.
    pub oddities: Vec<String>,
}

struct Open {
    tag: String,
    argument: String,
    /// In units, and in bytes of the text.
    from: usize,
    start: usize,
}

struct Parser<'a> {
    source: &'a [u8],
    at: usize,
    text: Vec<u8>,
    units: usize,
    open: Vec<Open>,
    entities: Vec<Value>,
    oddities: Vec<String>,
}

/// Text with tags. The error is what follows "can't parse entities: ".
pub fn html(source: &str) -> Result<Parsed, String> {
    let (source, at) = (source.as_bytes(), 0);
    let mut parser = Parser { source, at, text: Vec::new(), units: 0, open: Vec::new(), entities: Vec::new(), oddities: Vec::new() };
    while let Some(&byte) = source.get(parser.at) {
        match byte {
            b'<' if parser.source.get(parser.at + 1) == Some(&b'/') => parser.end_tag()?,
            b'<' => parser.start_tag()?,
            b'&' => match reference(&source[parser.at..]) {
                Some((code, length)) => {
                    let code = char::from_u32(code).ok_or("Text contains invalid Unicode characters after decoding HTML entities")?;
                    code.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| parser.push(byte));
                    parser.at += length;
                }
                None => parser.copy(byte),
            },
            _ => parser.copy(byte),
        }
    }
    if let Some(open) = parser.open.last() {
        return Err(format!("Can't find end tag corresponding to start tag \"{}\"", open.tag));
    }
    let text = String::from_utf8(parser.text).map_err(|_| "Text must be encoded in UTF-8")?;
    Ok(Parsed { text, entities: parser.entities, oddities: parser.oddities })
}

/// White space at both ends goes, and what stood over it; outer entities come before inner ones.
pub fn trimmed(mut parsed: Parsed) -> Parsed {
    const WHITE: [char; 4] = [' ', '\n', '\r', '\t'];
    let number = |entity: &Value, name: &str| entity[name].as_u64().unwrap_or_default();
    parsed.entities.sort_by_key(|entity| (number(entity, "offset"), u64::MAX - number(entity, "length")));
    parsed.text.truncate(parsed.text.trim_end_matches(WHITE).len());
    let end = units(&parsed.text) as u64;
    let first = parsed.entities.first().map_or(end, |entity| number(entity, "offset"));
    let white = (parsed.text.len() - parsed.text.trim_start_matches(WHITE).len()) as u64;
    let lead = white.min(first);
    parsed.text.drain(..usize::try_from(lead).unwrap());
    for entity in &mut parsed.entities {
        let (from, length) = (number(entity, "offset"), number(entity, "length"));
        entity["length"] = json!(length.min(end.saturating_sub(from)));
        entity["offset"] = json!(from - lead);
    }
    parsed.entities.retain(|entity| number(entity, "length") > 0);
    if parsed.entities.len() > MOST {
        parsed.oddities.push(format!("{} entities, of which only {MOST} are kept", parsed.entities.len()));
        parsed.entities.truncate(MOST);
    }
    parsed
}

/// UTF-16 units.
pub fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The part of `text` that an entity covers.
pub fn covered(text: &str, entity: &Value) -> String {
    let number = |name: &str| usize::try_from(entity[name].as_u64().unwrap_or_default()).unwrap();
    let units: Vec<u16> = text.encode_utf16().skip(number("offset")).take(number("length")).collect();
    String::from_utf16_lossy(&units)
}

/// A character reference at the start: its code, and its length in bytes. Only these four names are known; others stay as they are.
fn reference(source: &[u8]) -> Option<(u32, usize)> {
    let digits = |from: usize, radix: u32| {
        let count = source[from..].iter().take_while(|byte| char::from(**byte).is_digit(radix)).count();
        let code = std::str::from_utf8(&source[from..from + count]).ok().and_then(|text| u32::from_str_radix(text, radix).ok());
        code.filter(|code| (1..0x10_ffff).contains(code) && from + count < 10).map(|code| (code, from + count))
    };
    let (code, end) = match source {
        [_, b'#', b'x', ..] => digits(3, 16)?,
        [_, b'#', ..] => digits(2, 10)?,
        _ => {
            let count = source[1..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
            let code = match &source[1..=count] {
                b"lt" => '<',
                b"gt" => '>',
                b"amp" => '&',
                b"quot" => '"',
                _ => return None,
            };
            (u32::from(code), count + 1)
        }
    };
    Some((code, end + usize::from(source.get(end) == Some(&b';'))))
}

/// What the server takes for a space; the end of the text is one too.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0 | 0x0b)
}

impl Parser<'_> {
    fn byte(&self) -> u8 {
        self.source.get(self.at).copied().unwrap_or(0)
    }

    fn push(&mut self, byte: u8) {
        if byte & 0xc0 != 0x80 {
            self.units += 1 + usize::from(byte >= 0xf0);
        }
        self.text.push(byte);
    }

    fn copy(&mut self, byte: u8) {
        self.push(byte);
        self.at += 1;
    }

    /// As far as `goes` holds, from here.
    fn take(&mut self, goes: impl Fn(u8) -> bool) -> String {
        let from = self.at;
        while self.at < self.source.len() && goes(self.byte()) {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.source[from..self.at]).into_owned()
    }

    fn start_tag(&mut self) -> Result<(), String> {
        let begin = self.at;
        self.at += 1;
        let tag = self.take(|byte| !is_space(byte) && byte != b'>').to_lowercase();
        if self.byte() == 0 {
            return Err(format!("Unclosed start tag at byte offset {begin}"));
        }
        if !TAGS.contains(&tag.as_str()) {
            return Err(format!("Unsupported start tag \"{tag}\" at byte offset {begin}"));
        }
        let mut argument = String::new();
        while self.byte() != b'>' {
            self.take(is_space);
            if self.byte() == b'>' {
                break;
            }
            let (name, value) = self.attribute(&tag, begin)?;
            match (tag.as_str(), name.as_str()) {
                ("a", "href") | ("tg-emoji", "emoji-id") => argument = value,
                ("code", "class") => argument = value.strip_prefix("language-").unwrap_or_default().to_owned(),
                ("span", "class") => argument = value.strip_prefix("tg-").unwrap_or_default().to_owned(),
                ("blockquote", "expandable") => argument = "1".to_owned(),
                _ => self.oddities.push(format!("the attribute {name} of <{tag}> at {begin} says nothing")),
            }
        }
        self.at += 1;
        if tag == "span" && argument != "spoiler" {
            return Err(format!("Tag \"span\" must have class \"tg-spoiler\" at byte offset {begin}"));
        }
        self.nesting(&tag, begin);
        self.open.push(Open { tag, argument, from: self.units, start: self.text.len() });
        Ok(())
    }

    fn attribute(&mut self, tag: &str, begin: usize) -> Result<(String, String), String> {
        let name = self.take(|byte| !is_space(byte) && byte != b'=' && byte != b'>');
        if name.is_empty() {
            return Err(format!("Empty attribute name in the tag \"{tag}\" at byte offset {begin}"));
        }
        self.take(is_space);
        if self.byte() != b'=' {
            if self.byte() == 0 {
                return Err(format!("Unclosed start tag \"{tag}\" at byte offset {begin}"));
            }
            if tag == "blockquote" && name == "expandable" {
                return Ok((name, String::new()));
            }
            return Err(format!("Expected equal sign in declaration of an attribute of the tag \"{tag}\" at byte offset {begin}"));
        }
        self.at += 1;
        self.take(is_space);
        let quote = self.byte();
        if quote != b'"' && quote != b'\'' {
            let from = self.at;
            let value = self.take(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-').to_lowercase();
            return match self.byte() {
                0 => Err(format!("Unclosed start tag \"{tag}\" at byte offset {begin}")),
                byte if is_space(byte) || byte == b'>' => Ok((name, value)),
                _ => Err(format!("Unexpected end of name token at byte offset {from}")),
            };
        }
        self.at += 1;
        let mut value = Vec::new();
        while self.byte() != quote && self.byte() != 0 {
            match reference(&self.source[self.at..]).filter(|_| self.byte() == b'&') {
                Some((code, length)) => {
                    value.extend(char::from_u32(code).unwrap_or('\u{fffd}').encode_utf8(&mut [0; 4]).bytes());
                    self.at += length;
                }
                None => {
                    value.push(self.byte());
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        if self.byte() == 0 {
            return Err(format!("Unclosed start tag at byte offset {begin}"));
        }
        Ok((name, String::from_utf8_lossy(&value).into_owned()))
    }

    /// What the server would drop without a word.
    fn nesting(&mut self, tag: &str, begin: usize) {
        for outer in self.open.iter().map(|open| open.tag.as_str()) {
            let dropped = match (outer, tag) {
                ("pre", "code") => false,
                ("pre" | "code", _) | ("blockquote", "blockquote") | ("a", "a") => true,
                ("blockquote", _) => false,
                (_, "pre" | "code") => !self.open.iter().any(|open| open.tag == "pre"),
                _ => false,
            };
            if dropped {
                self.oddities.push(format!("<{tag}> at {begin} inside <{outer}>: one of them is dropped"));
            }
        }
    }

    fn end_tag(&mut self) -> Result<(), String> {
        let begin = self.at;
        self.at += 2;
        let Some(open) = self.open.pop() else {
            return Err(format!("Unexpected end tag at byte offset {begin}"));
        };
        let name = self.take(|byte| !is_space(byte) && byte != b'>').to_lowercase();
        self.take(is_space);
        if self.byte() != b'>' {
            return Err(format!("Unclosed end tag at byte offset {begin}"));
        }
        self.at += 1;
        if !name.is_empty() && name != open.tag {
            return Err(format!("Unmatched end tag at byte offset {begin}, expected \"</{}>\", found \"</{name}>\"", open.tag));
        }
        if self.units > open.from {
            self.close(&open)?;
        }
        Ok(())
    }

    fn close(&mut self, open: &Open) -> Result<(), String> {
        let (from, length) = (open.from, self.units - open.from);
        let mut entity = json!({ "type": "", "offset": from, "length": length });
        let same = self.entities.last().filter(|last| last["offset"] == entity["offset"] && last["length"] == entity["length"]);
        entity["type"] = match open.tag.as_str() {
            "b" | "strong" => "bold",
            "i" | "em" => "italic",
            "s" | "strike" | "del" => "strikethrough",
            "u" | "ins" => "underline",
            "tg-spoiler" | "span" => "spoiler",
            "blockquote" if open.argument.is_empty() => "blockquote",
            "blockquote" => "expandable_blockquote",
            "tg-emoji" => {
                open.argument.parse::<i64>().map_err(|_| "Invalid custom emoji identifier specified")?;
                entity["custom_emoji_id"] = json!(open.argument);
                "custom_emoji"
            }
            "a" => {
                let shown = String::from_utf8_lossy(&self.text[open.start..]).into_owned();
                let url = if open.argument.is_empty() { shown } else { open.argument.clone() };
                if !is_link(&url) {
                    self.oddities.push(format!("no link is made of {url:?}"));
                    return Ok(());
                }
                entity["url"] = json!(url);
                "text_link"
            }
            "pre" => {
                if let Some(code) = same.filter(|last| last["type"] == "code" && last["language"].is_string()) {
                    entity["language"] = code["language"].clone();
                    self.entities.pop();
                }
                "pre"
            }
            _ => {
                let in_pre = self.open.last().is_some_and(|outer| outer.tag == "pre");
                if !open.argument.is_empty() && in_pre {
                    entity["language"] = json!(open.argument);
                }
                "code"
            }
        }
        .into();
        self.entities.push(entity);
        Ok(())
    }
}

fn is_link(url: &str) -> bool {
    let scheme = ["http://", "https://", "tg://", "ton://", "mailto:", "tel:"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let rest = scheme.unwrap_or(url);
    !rest.is_empty()
        && !rest.contains(char::is_whitespace)
        && (scheme.is_some() || rest.split('/').next().is_some_and(|host| host.contains('.')))
}
