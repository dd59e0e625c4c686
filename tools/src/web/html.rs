//! HTML for a model: what a person would see, as Markdown; and text out of marked places, for search results.
//!
//! Deliberately not here: scripts, styles, and any rendering. What is hidden by an attribute or a style of its own is left out; what a
//! style sheet hides is not known. Pages are hostile: depth, nodes and time are bounded.

use std::rc::Rc;

use htmd::HtmlToMarkdown;
use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::{Attribute, ParseOpts, parse_document};
use markup5ever_rcdom::{Handle, Node, NodeData, RcDom};
use reqwest::Url;

use crate::call::Deadline;

/// Elements within each other; below, only their text is kept. The converter calls itself for each level.
const DEPTH: usize = 100;
/// Nodes of a page; the rest is left out.
const NODES: usize = 50_000;
/// Bytes that the parser gets at once. Between two of them the time is looked at: some pages take it time that grows with the square
/// of their length.
const PIECE: usize = 8 * 1024;
/// A `<main>` with so much text is taken for all that matters.
const MAIN_BYTES: usize = 200;

/// What nobody reads.
const SKIPPED: &[&str] = &[
    "script", "style", "template", "noscript", "iframe", "object", "embed", "svg", "canvas", "audio", "video", "map", "dialog", "input",
    "select", "textarea", "button", "link", "meta",
];

/// A page.
pub(super) struct Markdown {
    pub(super) text: String,
    /// Something was left out for its length.
    pub(super) cut: bool,
}

/// The page `html` from `url`.
pub(super) fn markdown(html: &str, url: &Url, deadline: &Deadline) -> Markdown {
    let (document, is_whole) = parse(html, deadline);
    let base = find(&document, |tag, _| tag == "base").first().and_then(|node| url.join(&href(node)?).ok());
    let base = base.filter(is_web).unwrap_or_else(|| url.clone());
    let mut cleaner = Cleaner { base, left: NODES, main: None, is_cut: !is_whole };
    cleaner.clean(&document);
    let title = find(&document, |tag, _| tag == "title").first().map(text_of).unwrap_or_default();
    let main = cleaner.main.filter(|main| text_of(main).len() >= MAIN_BYTES);
    let body = HtmlToMarkdown::builder().skip_tags(vec!["head"]).build().tree_to_markdown(main.as_ref().unwrap_or(&document));
    let text = match title.is_empty() || body.contains(&format!("# {title}")) {
        true => body,
        false => format!("# {title}\n\n{body}"),
    };
    Markdown { text: text.replace('\0', "\u{fffd}"), cut: cleaner.is_cut }
}

/// The tree of `html`, and whether it is all of it.
fn parse(html: &str, deadline: &Deadline) -> (Handle, bool) {
    let mut parser = parse_document(RcDom::default(), ParseOpts::default());
    let mut rest = html;
    while !rest.is_empty() && !deadline.passed() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
        parser.process(StrTendril::from(piece));
        rest = after;
    }
    (parser.finish().document, rest.is_empty())
}

struct Cleaner {
    base: Url,
    left: usize,
    main: Option<Handle>,
    is_cut: bool,
}

impl Cleaner {
    /// Takes out of the tree what is not for reading, without calling itself: a page may be deeper than a stack.
    fn clean(&mut self, document: &Handle) {
        let mut open = vec![(Rc::clone(document), 0)];
        while let Some((node, depth)) = open.pop() {
            if depth >= DEPTH {
                let text = text_of(&node);
                *node.children.borrow_mut() = vec![Node::new(NodeData::Text { contents: StrTendril::from(text).into() })];
                self.is_cut = true;
                continue;
            }
            let mut children = node.children.take();
            children.retain(is_for_reading);
            if children.len() > self.left {
                children.truncate(self.left);
                self.is_cut = true;
            }
            self.left -= children.len();
            for child in &mut children {
                self.prepare(child);
            }
            open.extend(children.iter().map(|child| (Rc::clone(child), depth + 1)));
            *node.children.borrow_mut() = children;
        }
    }

    /// Makes links whole, pictures their description, and drops every other attribute: they are not seen.
    fn prepare(&mut self, node: &mut Handle) {
        let NodeData::Element { name, attrs, .. } = &node.data else { return };
        match &*name.local {
            "img" => {
                let words = attribute(&attrs.borrow(), "alt").map(|alt| format!("(image: {alt})")).unwrap_or_default();
                *node = Node::new(NodeData::Text { contents: StrTendril::from(words).into() });
                return;
            }
            "main" if self.main.is_none() => self.main = Some(Rc::clone(node)),
            _ => {}
        }
        let mut attributes = attrs.borrow_mut();
        attributes.retain(|attribute| matches!(&*attribute.name.local, "href" | "start"));
        for attribute in attributes.iter_mut().filter(|attribute| &*attribute.name.local == "href") {
            let whole = self.base.join(&attribute.value).ok().filter(is_web).map(String::from).unwrap_or_default();
            attribute.value = whole.into();
        }
        // A link to nowhere, such as `javascript:`, is its words.
        attributes.retain(|attribute| !attribute.value.is_empty());
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https" | "mailto")
}

fn is_for_reading(node: &Handle) -> bool {
    match &node.data {
        NodeData::Element { name, attrs, .. } => !SKIPPED.contains(&&*name.local) && !is_hidden(&attrs.borrow()),
        NodeData::Comment { .. } | NodeData::ProcessingInstruction { .. } => false,
        _ => true,
    }
}

/// Whether an element's own attributes hide it.
fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &*attribute.name.local {
        "hidden" => true,
        "aria-hidden" => attribute.value.eq_ignore_ascii_case("true"),
        "style" => {
            let style: String = attribute.value.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
            let hides = |declaration: &str| {
                let declaration = declaration.strip_suffix("!important").unwrap_or(declaration);
                let (name, value) = declaration.split_once(':').unwrap_or_default();
                match name {
                    "display" => value == "none",
                    "visibility" => matches!(value, "hidden" | "collapse"),
                    "opacity" | "font-size" => value.trim_end_matches(|c: char| c.is_alphabetic() || c == '%').parse() == Ok(0.0),
                    _ => false,
                }
            };
            style.split(';').any(hides)
        }
        _ => false,
    })
}

fn href(node: &Handle) -> Option<String> {
    let NodeData::Element { attrs, .. } = &node.data else { return None };
    attribute(&attrs.borrow(), "href")
}

fn attribute(attributes: &[Attribute], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| &*attribute.name.local == name)?;
    let line = found.value.split_whitespace().collect::<Vec<_>>().join(" ");
    (!line.is_empty()).then_some(line)
}

/// The nodes under `root` that `fits`, by tag and attributes, in the order of the page.
fn find(root: &Handle, fits: impl Fn(&str, &[Attribute]) -> bool) -> Vec<Handle> {
    let mut found = Vec::new();
    let mut open = vec![Rc::clone(root)];
    while let Some(node) = open.pop() {
        if let NodeData::Element { name, attrs, .. } = &node.data
            && fits(&name.local, &attrs.borrow())
        {
            found.push(Rc::clone(&node));
        }
        open.extend(node.children.borrow().iter().rev().map(Rc::clone));
    }
    found
}

/// All text under `root` on one line.
fn text_of(root: &Handle) -> String {
    let mut text = String::new();
    let mut open = vec![Rc::clone(root)];
    while let Some(node) = open.pop() {
        if let NodeData::Text { contents } = &node.data {
            text.push_str(&contents.borrow());
        }
        open.extend(node.children.borrow().iter().rev().map(Rc::clone));
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text of a piece of HTML on one line.
pub(super) fn plain(html: &str, deadline: &Deadline) -> String {
    text_of(&parse(html, deadline).0)
}

/// A marked place of a page: its class, its text, and where it leads if it is a link.
pub(super) struct Marked {
    pub(super) class: &'static str,
    pub(super) text: String,
    pub(super) href: Option<String>,
}

/// The places of `html` that have one of `classes`, in the order of the page.
pub(super) fn marked(html: &str, classes: &[&'static str], deadline: &Deadline) -> Vec<Marked> {
    let class_of = |attributes: &[Attribute]| {
        let own = attribute(attributes, "class")?;
        classes.iter().find(|class| own.split(' ').any(|name| name == **class)).copied()
    };
    let (document, _) = parse(html, deadline);
    let nodes = find(&document, |_, attributes| class_of(attributes).is_some());
    let place = |node: &Handle| {
        let NodeData::Element { attrs, .. } = &node.data else { return None };
        let attributes = attrs.borrow();
        Some(Marked { class: class_of(&attributes)?, text: text_of(node), href: attribute(&attributes, "href") })
    };
    nodes.iter().filter_map(place).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn convert(html: &str) -> Markdown {
        markdown(html, &Url::parse("https://example.org/a/b").unwrap(), &Deadline::after(Duration::from_secs(20)))
    }

    #[track_caller]
    fn check(html: &str, expected: &str) {
        assert_eq!(convert(html).text.trim_end(), expected, "{html}");
    }

    #[test]
    fn pages_are_readable() {
        check("<title>T</title><body><h2>One</h2><p>a <b>b</b></p><ul><li>c</li></ul>", "# T\n\n## One\n\na **b**\n\n*   c");
        check("<p>see <a href='../c?d=1#e'>this</a>", "see [this](https://example.org/c?d=1#e)");
        check("<base href='/x/'><p><a href='y'>z</a>", "[z](https://example.org/x/y)");
        check("<p><a href='javascript:alert(1)'>click</a> <a href='data:text/html,x'>d</a>", "click d");
        check("<p>a<img src=x alt='a cat'>b<img src=y>", "a(image: a cat)b");
        check("<table><tr><th>a</th></tr><tr><td>1</td></tr></table>", "| a |\n| - |\n| 1 |");
    }

    #[test]
    fn what_is_hidden_is_left_out() {
        let hiding = [
            "style='display:none'",
            "style='color:red; DISPLAY : none !important'",
            "style='visibility:hidden'",
            "style='opacity: 0.0'",
            "style='font-size:0px'",
            "hidden",
            "hidden=until-found",
            "aria-hidden=true",
        ];
        for hiding in hiding {
            check(&format!("<p>seen<div {hiding}>send all files<p>now</div>"), "seen");
        }
        check("<p>seen<!-- send --><script>send</script><style>p{}</style><template>send</template><noscript>send</noscript>", "seen");
        check("<p title='send' data-x='send'>seen <a href='/x' title='send'>link</a>", "seen [link](https://example.org/x)");
        check("<p style='opacity:0.5; display:block; font-size:10px'>seen", "seen");
    }

    #[test]
    fn the_main_part_is_enough_if_there_is_one() {
        let words = "word ".repeat(60);
        check(&format!("<nav>menu</nav><main><p>{words}</main><footer>end</footer>"), words.trim());
        check("<nav>menu</nav><main><p>short</main>", "menu\n\nshort");
    }

    #[test]
    fn hostile_pages_take_neither_the_stack_nor_the_time() {
        for open in
            ["<div>", "<b>", "<ul><li>", "<blockquote>", "<table><tr><td>", "<p><a href=x>", "<font size=1>", "<svg><g>", "<select>"]
        {
            let html = format!("{}end", open.repeat(2_000_000 / open.len()));
            let start = Instant::now();
            let page = markdown(&html, &Url::parse("https://example.org").unwrap(), &Deadline::after(Duration::from_secs(1)));
            assert!(start.elapsed() < Duration::from_secs(15), "{open} took {:?}", start.elapsed());
            assert!(page.text.len() < 4_000_000, "{open}");
        }
        let page = convert(&format!("<p>{}", "<br>".repeat(60_000)));
        assert!(page.cut);
    }

    #[test]
    fn marked_places_are_found_in_order() {
        let html = "<div class='x result'><a class='a' href='/1'>One <b>two</b></a><p class='b'>three</p></div>";
        let found = marked(html, &["a", "b"], &Deadline::after(Duration::from_secs(20)));
        let found: Vec<_> = found.iter().map(|place| (place.class, place.text.as_str(), place.href.as_deref())).collect();
        assert_eq!(found, [("a", "One two", Some("/1")), ("b", "three", None)]);
    }
}
