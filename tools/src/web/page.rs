//! A body as text for a model: HTML as Markdown, other text as it is.

use agent::ToolError;
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::client::{Answer, BODY_BYTES};
use super::html;
use crate::call::{Deadline, fail};
use crate::text::thousands;

/// Bytes at the beginning of a page in which it may name its charset, as in the HTML standard.
const PRESCAN: usize = 1024;

/// Whether a body of this type can be read; one without a type is looked at.
pub(super) fn is_readable(essence: Option<&str>) -> bool {
    essence.is_none_or(|essence| is_html(essence) || essence.starts_with("text/") || is_json(essence) || is_xml(essence))
}

fn is_html(essence: &str) -> bool {
    matches!(essence, "text/html" | "application/xhtml+xml")
}

fn is_json(essence: &str) -> bool {
    matches!(essence, "application/json" | "application/x-ndjson") || essence.ends_with("+json")
}

fn is_xml(essence: &str) -> bool {
    essence == "application/xml" || essence.ends_with("+xml")
}

/// The text of `answer`, under its address.
pub(super) fn text_of(answer: &Answer, deadline: &Deadline) -> Result<String, ToolError> {
    let content_type = answer.content_type.as_deref().unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let begins = answer.body.trim_ascii_start().get(..14).unwrap_or_default().to_ascii_lowercase();
    let is_html = is_html(&essence) || (essence.is_empty() && (begins.starts_with(b"<!doctype html") || begins.starts_with(b"<html")));
    let encoding = encoding(content_type, &answer.body, is_html);
    if encoding.is_ascii_compatible() && essence.is_empty() && answer.body.contains(&0) {
        return Err(fail(format!("{} has bytes that are no text", answer.url.host_str().unwrap_or_default())));
    }
    let (text, _, _) = encoding.decode(&answer.body);
    let mut is_cut = answer.is_cut;
    let text = if is_html {
        let html::Markdown { text, cut } = html::markdown(&text, &answer.url, deadline);
        is_cut |= cut;
        text
    } else {
        text.replace('\0', "\u{fffd}")
    };
    let text = if text.trim().is_empty() { "(no text)" } else { text.trim_end() };
    let note = if is_cut {
        format!("\n\n[cut: the page is longer than the {} bytes that are read]", thousands(BODY_BYTES as u64))
    } else {
        String::new()
    };
    Ok(format!("{}\n\n{text}{note}", answer.url))
}

/// How the bytes stand for text: what the server says, else a mark at the beginning (which [`Encoding::decode`] sees by itself), else what
/// the page says, else UTF-8 if it is that, else what browsers take.
fn encoding(content_type: &str, body: &[u8], is_html: bool) -> &'static Encoding {
    let of_server = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']))
    });
    let named = of_server.and_then(|label| Encoding::for_label(label.as_bytes()));
    let named = named.or_else(|| is_html.then(|| of_page(body)).flatten());
    named.unwrap_or_else(|| match std::str::from_utf8(body) {
        Ok(_) => UTF_8,
        // The end may have been cut off within a character.
        Err(error) if error.error_len().is_none() => UTF_8,
        Err(_) => WINDOWS_1252,
    })
}

/// `<meta charset=…>` or `<meta … content="…; charset=…">` near the beginning.
fn of_page(body: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&body[..body.len().min(PRESCAN)]).to_ascii_lowercase();
    let after = head.split("<meta").skip(1).find_map(|meta| meta.split('>').next()?.split_once("charset=").map(|(_, after)| after))?;
    let label: String =
        after.trim_start_matches(['"', '\'', ' ']).chars().take_while(|c| c.is_ascii_alphanumeric() || "-_:.".contains(*c)).collect();
    // A page that could be read so far is not in UTF-16, whatever it says.
    Encoding::for_label(label.as_bytes()).map(|encoding| if encoding.is_ascii_compatible() { encoding } else { UTF_8 })
}
