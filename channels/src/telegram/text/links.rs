//! Which addresses become links, and which definitions links name.

use pulldown_cmark::{Event, LinkType, Tag};
use url::Url;

/// A longer address is shown, not linked.
const LONGEST_LINK: usize = 2048;

/// `url` if Telegram makes a link of it. It would drop one to a host without a dot, and makes a web address of `mailto:`.
pub fn linked(url: &str) -> Option<String> {
    let parsed = Url::parse(url).ok().filter(|_| url.len() <= LONGEST_LINK)?;
    let fine = match parsed.scheme() {
        "http" | "https" => parsed.host_str().is_some_and(|host| host.contains(['.', ':'])),
        "tg" => url.starts_with("tg://"),
        _ => false,
    };
    let plain = !url.contains(|c: char| c.is_whitespace() || c.is_control());
    fine.then(|| if plain { url.to_owned() } else { parsed.into() })
}

/// The label of the definition that a link uses.
pub fn reference(event: &Event) -> Option<String> {
    let Event::Start(Tag::Link { link_type, id, .. } | Tag::Image { link_type, id, .. }) = event else { return None };
    matches!(link_type, LinkType::Reference | LinkType::Collapsed | LinkType::Shortcut).then(|| label(id))
}

/// A label as labels are compared.
pub fn label(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
