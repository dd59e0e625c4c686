//! Reads Markdown into a text with marks. What Telegram has no markup for becomes text: bullets, indentation, brackets.
//! Raw HTML is text, and so is a link to anywhere that Telegram would not open. Nothing of the source's words is dropped.

use std::collections::HashSet;
use std::ops::Range;

use pulldown_cmark::{BlockQuoteKind, CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::links::{label, linked, reference};
use super::rich::{Mark, Rich, Style, shows, without_blank_lines};
use super::table::Table;

/// Each level of a list, in spaces: about as wide as a bullet is where letters differ in width.
const INDENT: usize = 3;

/// Deeper levels of lists and quotations are not set off further.
const LEVELS: usize = 8;

/// A longer name of a language, or one with other characters, is shown as text.
const LONGEST_LANGUAGE: usize = 32;

const RULE: &str = "———";

/// `markdown` with its markup read.
pub fn read(markdown: &str) -> Rich {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_GFM;
    let events: Vec<_> = Parser::new_ext(markdown, options).into_offset_iter().collect();
    let mut reader = Reader { source: markdown, ..Reader::default() };
    reader.used = events.iter().filter_map(|(event, _)| reference(event)).collect();
    for (event, range) in events {
        reader.unread(&event, &range);
        reader.event(event, &range);
    }
    reader.definitions(markdown.len());
    reader.out
}

/// A list that is open.
#[derive(Debug)]
struct List {
    /// Of the last item in a numbered list: as shown, and as written.
    number: Option<u64>,
    written: Option<u64>,
    /// Its items hold paragraphs: blank lines between them.
    loose: bool,
    /// How many quotations it is in.
    quotes: usize,
}

/// A link or image that is open.
#[derive(Debug)]
struct Link {
    url: String,
    /// It was opened as a mark of the text.
    marked: bool,
    /// Its own text so far.
    label: String,
    /// Something within it has shown text.
    shown: bool,
}

/// A block of code that is open.
#[derive(Debug)]
struct Code {
    language: String,
    /// The line before it shows the language.
    told: bool,
    text: String,
}

#[derive(Debug, Default)]
struct Reader<'a> {
    source: &'a str,
    out: Rich,
    /// Labels of definitions that a link uses.
    used: HashSet<String>,
    /// The source up to here is either shown or known to show nothing.
    seen: usize,
    /// Newlines due before the next text.
    gap: usize,
    /// That gap is within one paragraph.
    soft: bool,
    quotes: usize,
    /// The lists that the outermost of them is in: it is not indented by them.
    outside: usize,
    /// A quotation begins here, or a block of code ended: the gap belongs to none.
    apart: bool,
    lists: Vec<List>,
    /// Bullets and numbers due before the next text.
    marker: String,
    /// The lists that were open at the first of them.
    level: usize,
    /// Emphasis and links that are open, the outermost first, and how often each kind of emphasis is.
    inline: Vec<Mark>,
    open: [usize; 3],
    links: Vec<Link>,
    code: Option<Code>,
    table: Option<Table>,
    /// Where the last cell ends in the source.
    cell: usize,
}

impl Reader<'_> {
    fn event(&mut self, event: Event, range: &Range<usize>) {
        match event {
            Event::Start(tag) => self.start(tag, range),
            Event::End(tag) => self.end(tag, range),
            Event::Text(text) => self.text(&text),
            Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => self.code_span(&text),
            Event::Html(html) => self.html_block(&html),
            Event::InlineHtml(html) if is_line_break(&html) => self.line_break(),
            Event::InlineHtml(html) => self.text(&html.replace('\n', " ")),
            Event::SoftBreak | Event::HardBreak => self.line_break(),
            Event::FootnoteReference(name) => self.text(&format!("[{name}]")),
            Event::TaskListMarker(done) => self.task(done),
            Event::Rule => {
                self.space(self.block_gap());
                self.text(RULE);
                self.space(self.block_gap());
            }
        }
    }

    fn start(&mut self, tag: Tag, range: &Range<usize>) {
        match tag {
            Tag::Paragraph => self.paragraph(),
            Tag::Heading { .. } => {
                self.space(self.block_gap());
                self.emphasis(Mark::Bold, true);
            }
            Tag::BlockQuote(kind) => self.quote(kind),
            Tag::CodeBlock(kind) => self.start_code(&kind),
            Tag::HtmlBlock => self.space(self.block_gap()),
            Tag::List(number) => self.list(number, range),
            Tag::Item => self.item(range),
            Tag::FootnoteDefinition(name) => {
                self.space(2);
                self.text(&format!("[{name}] "));
            }
            Tag::Table(aligned) => {
                self.space(self.block_gap());
                self.table = Some(Table::new(aligned));
            }
            Tag::TableHead | Tag::TableRow => self.table.iter_mut().for_each(Table::start_row),
            Tag::TableCell => {
                self.table.iter_mut().for_each(Table::start_cell);
                self.cell = range.end;
            }
            Tag::Emphasis => self.emphasis(Mark::Italic, true),
            Tag::Strong => self.emphasis(Mark::Bold, true),
            Tag::Strikethrough => self.emphasis(Mark::Strike, true),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.start_link(&dest_url),
            Tag::Superscript | Tag::Subscript | Tag::MetadataBlock(_) => {}
            Tag::DefinitionList | Tag::DefinitionListTitle | Tag::DefinitionListDefinition => self.space(1),
        }
    }

    fn end(&mut self, tag: TagEnd, range: &Range<usize>) {
        match tag {
            TagEnd::Paragraph | TagEnd::FootnoteDefinition => self.space(2),
            TagEnd::Heading(_) => {
                self.emphasis(Mark::Bold, false);
                self.space(1);
            }
            TagEnd::BlockQuote(_) => {
                self.quotes = self.quotes.saturating_sub(1);
                self.space(self.block_gap());
            }
            TagEnd::CodeBlock => self.end_code(),
            TagEnd::HtmlBlock => self.space(self.block_gap()),
            TagEnd::List(_) => {
                self.lists.pop();
                self.space(self.block_gap());
            }
            TagEnd::Item => {
                if !self.marker.is_empty() {
                    self.begin();
                }
                self.space(1);
            }
            TagEnd::Table => self.end_table(),
            TagEnd::Emphasis => self.emphasis(Mark::Italic, false),
            TagEnd::Strong => self.emphasis(Mark::Bold, false),
            TagEnd::Strikethrough => self.emphasis(Mark::Strike, false),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::TableHead | TagEnd::TableRow => self.end_row(range.end),
            TagEnd::TableCell | TagEnd::Superscript | TagEnd::Subscript | TagEnd::MetadataBlock(_) => {}
            TagEnd::DefinitionList | TagEnd::DefinitionListTitle | TagEnd::DefinitionListDefinition => self.space(1),
        }
    }

    /// At least `newlines` before what comes next.
    fn space(&mut self, newlines: usize) {
        self.gap = self.gap.max(newlines);
        self.soft = false;
    }

    /// Between blocks: an empty line, but not in a list that has none.
    fn block_gap(&self) -> usize {
        if self.lists.last().is_none_or(|list| list.loose) { 2 } else { 1 }
    }

    fn line_break(&mut self) {
        match &mut self.table {
            Some(table) => table.push(" "),
            None => {
                self.soft |= self.gap == 0;
                self.gap = (self.gap + 1).min(2);
            }
        }
    }

    /// Writes what is due before the next text: newlines, indentation, bullets.
    fn begin(&mut self) {
        let base = if self.quotes > 0 { Style::of([Mark::Quote]) } else { Style::default() };
        let fresh = self.gap > 0 || self.out.text.is_empty();
        if !self.out.text.is_empty() {
            let between = match (self.apart, self.soft) {
                (true, _) => Style::default(),
                (_, true) => self.style().common(self.out.last_style()),
                _ => base.common(self.out.last_style()),
            };
            self.out.push(&"\n\n"[..self.gap.min(2)], between);
        }
        if fresh {
            let level = if self.marker.is_empty() { self.lists.len() } else { self.level };
            let level = if self.quotes > 0 { level.saturating_sub(self.outside) } else { level };
            let quotes = self.quotes.saturating_sub(1).min(LEVELS);
            let before = "> ".repeat(quotes) + &" ".repeat(INDENT * level.min(LEVELS));
            self.out.push(&before, if self.soft { self.out.last_style() } else { base });
        }
        let marker = std::mem::take(&mut self.marker);
        self.out.push(&marker, base);
        (self.gap, self.soft, self.apart) = (0, false, false);
    }

    /// The marks of text that comes now.
    fn style(&self) -> Style {
        Style::of((self.quotes > 0).then_some(Mark::Quote).into_iter().chain(self.inline.iter().copied()))
    }

    fn text(&mut self, text: &str) {
        self.styled(text, self.style());
    }

    fn code_span(&mut self, text: &str) {
        let linked = self.inline.iter().any(|mark| matches!(mark, Mark::Link(_)));
        let code = Style::of((self.quotes > 0).then_some(Mark::Quote).into_iter().chain([Mark::Code]));
        self.styled(text, if linked { self.style() } else { code });
    }

    fn styled(&mut self, text: &str, style: Style) {
        if let Some(link) = self.links.last_mut() {
            link.label.push_str(text);
            link.shown |= !text.is_empty();
        }
        if let Some(Code { text: code, .. }) = &mut self.code {
            code.push_str(text);
        } else if let Some(table) = &mut self.table {
            table.push(text);
        } else if !text.is_empty() {
            self.begin();
            self.out.push(text, style);
        }
    }

    fn paragraph(&mut self) {
        let quotes = self.quotes;
        if let Some(list) = self.lists.last_mut().filter(|list| list.quotes == quotes) {
            list.loose = true;
        }
    }

    fn emphasis(&mut self, mark: Mark, starts: bool) {
        let open = match mark {
            Mark::Bold => &mut self.open[0],
            Mark::Italic => &mut self.open[1],
            _ => &mut self.open[2],
        };
        if starts {
            if *open == 0 {
                self.inline.push(mark);
            }
            *open += 1;
        } else {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.inline.retain(|other| *other != mark);
            }
        }
    }

    fn quote(&mut self, kind: Option<BlockQuoteKind>) {
        self.space(self.block_gap());
        if self.quotes == 0 {
            (self.apart, self.outside) = (true, self.lists.len());
        }
        self.quotes += 1;
        let Some(kind) = kind else { return };
        self.emphasis(Mark::Bold, true);
        self.text(match kind {
            BlockQuoteKind::Note => "NOTE",
            BlockQuoteKind::Tip => "TIP",
            BlockQuoteKind::Important => "IMPORTANT",
            BlockQuoteKind::Warning => "WARNING",
            BlockQuoteKind::Caution => "CAUTION",
        });
        self.emphasis(Mark::Bold, false);
        self.gap = 1;
    }

    fn list(&mut self, number: Option<u64>, range: &Range<usize>) {
        let before = self.source[..range.start].trim_end_matches([' ', '\t']);
        let blank = before.strip_suffix('\n').is_some_and(|line| line.trim_end_matches([' ', '\t', '\r']).ends_with('\n'));
        if !self.lists.is_empty() || !blank && self.gap > 0 && !self.apart {
            self.gap = 1;
        }
        self.space(1);
        self.lists.push(List { number, written: None, loose: false, quotes: self.quotes });
    }

    fn item(&mut self, range: &Range<usize>) {
        let quotes = self.quotes;
        let Some(list) = self.lists.last_mut() else { return };
        list.quotes = quotes;
        let source = self.source[range.start..].trim_start_matches([' ', '\t']);
        let marker = match &mut list.number {
            None => "• ".to_owned(),
            Some(shown) => {
                let digits = &source[..source.bytes().take_while(u8::is_ascii_digit).count()];
                let written = digits.parse().ok();
                // Items that are all written with one number are counted; else what is written is meant.
                *shown = written.filter(|_| list.written != written).unwrap_or(shown.saturating_add(1));
                list.written = written;
                format!("{shown}{} ", if source[digits.len()..].starts_with(')') { ')' } else { '.' })
            }
        };
        let gap = if list.loose { 2 } else { 1 };
        if self.marker.is_empty() {
            self.level = self.lists.len() - 1;
            self.space(gap);
        }
        self.marker.push_str(&marker);
    }

    fn task(&mut self, done: bool) {
        if self.marker.ends_with("• ") {
            self.marker.truncate(self.marker.len() - "• ".len());
        }
        self.marker.push_str(if done { "☑ " } else { "☐ " });
    }

    fn start_code(&mut self, kind: &CodeBlockKind) {
        self.space(self.block_gap());
        let info = match kind {
            CodeBlockKind::Fenced(info) => info.trim(),
            CodeBlockKind::Indented => "",
        };
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '#' | '-' | '_' | '.');
        let language = info.split([' ', '\t', ',', '{']).next().unwrap_or("");
        let fine = language.len() <= LONGEST_LANGUAGE && language.chars().all(known);
        let language = if fine { language } else { "" };
        let told = language.len() < info.len();
        if told {
            self.text(info);
            self.space(1);
        }
        self.code = Some(Code { language: language.to_owned(), told, text: String::new() });
    }

    fn end_code(&mut self) {
        let Some(Code { language, told, text: code }) = self.code.take() else { return };
        if shows(&code) {
            self.block(language, without_blank_lines(&code));
        } else if !told {
            self.text(&language);
        }
        self.space(self.block_gap());
    }

    /// Cells beyond those of the head, which the parser drops: a `|` in code makes them.
    fn end_row(&mut self, end: usize) {
        let rest = self.source.get(self.cell..end).and_then(|rest| rest.lines().next()).unwrap_or("");
        for cell in rest.split('|').map(str::trim).filter(|cell| !cell.is_empty()) {
            self.table.iter_mut().for_each(|table| {
                table.start_cell();
                table.push(cell);
            });
        }
    }

    fn end_table(&mut self) {
        let Some(table) = self.table.take() else { return };
        let lines = table.lines();
        if lines.chars().any(|c| !matches!(c, ' ' | '|' | '-' | '+' | '\n')) {
            self.block(String::new(), lines.trim_end());
        }
        self.space(self.block_gap());
    }

    /// A block of monospaced text, on lines of its own and outside of any quotation.
    fn block(&mut self, language: String, text: &str) {
        if !self.marker.is_empty() {
            self.marker.truncate(self.marker.trim_end().len());
            self.begin();
            self.space(1);
        }
        let gap = &"\n\n"[..self.gap.min(2)];
        if !self.out.text.is_empty() {
            self.out.push(gap, Style::default());
        }
        let style = self.out.block(language);
        self.out.push(text, style);
        (self.gap, self.soft, self.apart) = (1, false, true);
    }

    fn html_block(&mut self, html: &str) {
        for line in html.lines() {
            if line.trim().is_empty() || is_line_break(line) {
                self.space(2);
            } else {
                self.text(line);
                self.space(1);
            }
        }
    }

    fn start_link(&mut self, url: &str) {
        let within = self.table.is_some() || self.inline.iter().any(|mark| matches!(mark, Mark::Link(_)));
        let address = if within { None } else { linked(url) };
        let marked = address.is_some();
        if let Some(address) = address {
            let mark = self.out.link(address);
            self.inline.push(mark);
        }
        self.links.push(Link { url: url.to_owned(), marked, label: String::new(), shown: false });
    }

    fn end_link(&mut self) {
        let Some(link) = self.links.pop() else { return };
        let url = link.url.strip_prefix("mailto:").unwrap_or(&link.url);
        if !link.shown {
            self.text(url);
        } else if let Some(outer) = self.links.last_mut() {
            outer.shown = true;
        }
        if link.marked {
            self.inline.pop();
        } else if link.shown && !url.is_empty() && url != link.label {
            self.text(&format!(" ({url})"));
        }
    }

    /// Shows what the parser read over before `range`: definitions that no link uses.
    fn unread(&mut self, event: &Event, range: &Range<usize>) {
        let end = match event {
            Event::Start(Tag::List(_) | Tag::Item | Tag::BlockQuote(_)) => range.start,
            Event::Start(Tag::FootnoteDefinition(name)) => range.start + "[^]:".len() + name.len(),
            _ => range.end,
        };
        self.definitions(if matches!(event, Event::End(_)) { range.end } else { range.start });
        self.seen = self.seen.max(end);
    }

    /// Definitions between what was seen and `until` that no link uses, as paragraphs.
    fn definitions(&mut self, until: usize) {
        let passed = self.source.get(self.seen..until).unwrap_or("");
        self.seen = self.seen.max(until);
        if !passed.contains("]:") {
            return;
        }
        let mut hidden = true;
        for line in passed.lines() {
            let line = line.trim_start_matches([' ', '\t', '>', '-', '*', '+']).trim_end();
            if let Some((name, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
                hidden = self.used.contains(&label(name));
            }
            if !hidden && !line.is_empty() {
                self.space(1);
                self.text(line);
                self.space(1);
            }
        }
        if !hidden {
            self.space(2);
        }
    }
}

/// The one tag that is obeyed: models write it where Markdown has no line break, as in tables.
fn is_line_break(html: &str) -> bool {
    let name = html.trim().trim_start_matches('<').trim_end_matches('>').trim_end_matches('/').trim_end();
    name.eq_ignore_ascii_case("br")
}
