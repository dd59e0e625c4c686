//! A reply in Markdown as the messages that Telegram takes: HTML of the few tags it knows, cut to its limits.
//!
//! It sends nothing and knows no chat. The same text always gives the same pieces, in time that grows with its length
//! alone: a delivery that was cut off goes on at the piece where it stopped.

mod links;
mod markup;
mod rich;
mod split;
mod table;
#[cfg(test)]
mod tests;

use std::ops::Range;

use rich::{Mark, Rich, Style};

/// UTF-16 code units in one message, counted after entity parsing (Bot API, `sendMessage`).
pub const LIMIT: usize = 4096;

/// Entities in one message; Telegram ignores those beyond. Every opening tag counts here, so that this errs on the safe side.
pub const ENTITIES: usize = 100;

/// One message as Telegram takes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// For `parse_mode` HTML.
    pub html: String,
    /// The same text without its markup, for when the markup is refused.
    pub plain: String,
}

/// `markdown` as messages, each of at most [`LIMIT`] UTF-16 units after entity parsing and [`ENTITIES`] entities. None
/// begins or ends with white space outside a code block, or shows nothing; a text that shows nothing gives none. Where only
/// the markup shows, as in "```", it is the text.
#[must_use]
pub fn pieces(markdown: &str) -> Vec<Piece> {
    let (rich, cuts) = cuts(markdown);
    cuts.into_iter().map(|cut| piece(&rich, cut)).collect()
}

/// A text that is still being written, as one message: its last piece, since what is new stands there. Empty for a text
/// that shows nothing yet.
#[must_use]
pub fn preview(markdown: &str) -> Piece {
    let (rich, mut cuts) = cuts(markdown);
    cuts.pop().map_or_else(Piece::default, |cut| piece(&rich, cut))
}

fn cuts(markdown: &str) -> (Rich, Vec<split::Cut>) {
    let mut rich = markup::read(markdown);
    let mut cuts = split::split(&rich);
    if cuts.is_empty() {
        rich = Rich::default();
        rich.push(markdown, Style::default());
        cuts = split::split(&rich);
    }
    (rich, cuts)
}

/// UTF-16 units of what remains of `html` after entity parsing.
#[must_use]
pub fn units(html: &str) -> usize {
    let mut rest = html;
    let mut count = 0;
    while let Some(c) = rest.chars().next() {
        let end = match c {
            '<' => rest.find('>').map(|end| (end + 1, 0)),
            '&' => ["&amp;", "&lt;", "&gt;", "&quot;"].iter().find(|name| rest.starts_with(**name)).map(|name| (name.len(), 1)),
            _ => None,
        };
        let (bytes, units) = end.unwrap_or((c.len_utf8(), c.len_utf16()));
        rest = &rest[bytes..];
        count += units;
    }
    count
}

/// `text` as HTML shows it literally, in an attribute too.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape_into(&mut out, text);
    out
}

fn escape_into(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
}

fn piece(rich: &Rich, cut: split::Cut) -> Piece {
    Piece { html: html(rich, &cut.range, cut.run), plain: rich.text[cut.range].to_owned() }
}

/// The part `range` of `rich`, whose first run is `run`: marks that go on over its borders are closed and reopened.
fn html(rich: &Rich, range: &Range<usize>, run: usize) -> String {
    let mut out = String::with_capacity(range.len() + range.len() / 8);
    let mut open = Style::default();
    let mut at = range.start;
    for run in &rich.runs[run..] {
        let end = run.end.min(range.end);
        let text = &rich.text[at..end];
        // White space is no reason for an entity of its own.
        let blank = !run.style.is_pre() && text.chars().all(char::is_whitespace);
        let style = if blank { run.style.common(open) } else { run.style };
        change(&mut out, rich, open, style);
        escape_into(&mut out, text);
        open = style;
        at = end;
        if at == range.end {
            break;
        }
    }
    change(&mut out, rich, open, Style::default());
    out
}

/// Closes what `new` does not have, opens what it adds.
fn change(out: &mut String, rich: &Rich, old: Style, new: Style) {
    let kept = old.common(new).len();
    for mark in old.marks().skip(kept).collect::<Vec<_>>().into_iter().rev() {
        out.push_str(match mark {
            Mark::Quote => "</blockquote>",
            Mark::Bold => "</b>",
            Mark::Italic => "</i>",
            Mark::Strike => "</s>",
            Mark::Link(_) => "</a>",
            Mark::Code => "</code>",
            Mark::Pre(block) if rich.languages[block as usize].is_empty() => "</pre>",
            Mark::Pre(_) => "</code></pre>",
        });
    }
    for mark in new.marks().skip(kept) {
        match mark {
            Mark::Quote => out.push_str("<blockquote>"),
            Mark::Bold => out.push_str("<b>"),
            Mark::Italic => out.push_str("<i>"),
            Mark::Strike => out.push_str("<s>"),
            Mark::Link(link) => open_with(out, "<a href=\"", &rich.links[link as usize]),
            Mark::Code => out.push_str("<code>"),
            Mark::Pre(block) if rich.languages[block as usize].is_empty() => out.push_str("<pre>"),
            Mark::Pre(block) => open_with(out, "<pre><code class=\"language-", &rich.languages[block as usize]),
        }
    }
}

fn open_with(out: &mut String, tag: &str, value: &str) {
    out.push_str(tag);
    escape_into(out, value);
    out.push_str("\">");
}
