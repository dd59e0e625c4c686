//! A text and what its parts are marked as: between the Markdown that was read and the HTML that is written.

/// What a stretch of text can be, as Telegram knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A block quotation; Telegram knows no quotation in a quotation.
    Quote,
    /// Also a heading.
    Bold,
    Italic,
    Strike,
    /// To [`Rich::links`] of that number.
    Link(u32),
    /// Code within a line. Like [`Mark::Pre`] it takes no other mark, but it may stand in a quotation.
    Code,
    /// A block of code, of the language [`Rich::languages`] of that number; each block has its own.
    Pre(u32),
}

/// More marks than a text can have at once: a quotation, three kinds of emphasis and a link.
const DEPTH: usize = 5;

/// Marks of a text, the outermost first, none twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style([Option<Mark>; DEPTH]);

/// How much a cut would tear: the ranks of [`Style::rank`].
pub const RANKS: usize = 4;

impl Style {
    pub fn of(marks: impl IntoIterator<Item = Mark>) -> Self {
        let mut style = Self::default();
        for (slot, mark) in style.0.iter_mut().zip(marks) {
            *slot = Some(mark);
        }
        style
    }

    pub fn marks(&self) -> impl Iterator<Item = Mark> {
        self.0.into_iter().flatten()
    }

    pub fn len(&self) -> usize {
        self.marks().count()
    }

    /// The outer marks that both have.
    pub fn common(&self, other: Self) -> Self {
        Self::of(self.marks().zip(other.marks()).take_while(|(a, b)| a == b).map(|(mark, _)| mark))
    }

    pub fn is_pre(&self) -> bool {
        matches!(self.0[0], Some(Mark::Pre(_)))
    }

    /// 0 without marks, 1 in a quotation, 2 in emphasis, 3 in a link or code.
    pub fn rank(&self) -> usize {
        let rank = |mark| match mark {
            Mark::Quote => 1,
            Mark::Bold | Mark::Italic | Mark::Strike => 2,
            Mark::Link(_) | Mark::Code | Mark::Pre(_) => 3,
        };
        self.marks().map(rank).max().unwrap_or(0)
    }

    /// Opening tags that `self` needs where `before` is open.
    pub fn tags_after(&self, before: Self) -> usize {
        let tags = |mark| if matches!(mark, Mark::Pre(_)) { 2 } else { 1 };
        self.marks().skip(self.common(before).len()).map(tags).sum()
    }
}

/// From the end of the run before it to `end`, in bytes.
#[derive(Debug)]
pub struct Run {
    pub end: usize,
    pub style: Style,
}

/// A text with its marks. Neighbouring runs differ in style; the last one ends with the text.
#[derive(Debug, Default)]
pub struct Rich {
    pub text: String,
    pub runs: Vec<Run>,
    pub links: Vec<String>,
    /// Empty for a block without a language.
    pub languages: Vec<String>,
}

/// A tab in spaces: Telegram makes one space of it, which would flatten code.
const TAB: &str = "    ";

impl Rich {
    /// Appends `text` without what Telegram removes or cannot show: control characters, and characters that reorder text.
    pub fn push(&mut self, text: &str, style: Style) {
        let before = self.text.len();
        for c in text.chars() {
            match c {
                '\t' => self.text.push_str(TAB),
                '\u{2028}' | '\u{2029}' => self.text.push(' '),
                '\n' => self.text.push('\n'),
                '\u{202a}'..='\u{202e}' | '\u{feff}' => {}
                c if c.is_control() => {}
                c => self.text.push(c),
            }
        }
        let end = self.text.len();
        match self.runs.last_mut() {
            _ if end == before => {}
            Some(run) if run.style == style => run.end = end,
            _ => self.runs.push(Run { end, style }),
        }
    }

    pub fn last_style(&self) -> Style {
        self.runs.last().map_or_else(Style::default, |run| run.style)
    }

    /// The style of a block of code in `language`.
    pub fn block(&mut self, language: String) -> Style {
        self.languages.push(language);
        Style::of([Mark::Pre(number(self.languages.len()))])
    }

    /// The mark of a link to `url`.
    pub fn link(&mut self, url: String) -> Mark {
        self.links.push(url);
        Mark::Link(number(self.links.len()))
    }
}

/// The number of the last of `count`; a text has fewer than 2³² of anything.
fn number(count: usize) -> u32 {
    u32::try_from(count - 1).unwrap_or(u32::MAX)
}

/// Whether anybody would see something of `text`. Telegram refuses a message of blanks.
pub fn shows(text: &str) -> bool {
    text.chars().any(|c| {
        !c.is_whitespace()
            && !c.is_control()
            && !matches!(c, '\u{ad}' | '\u{30a}' | '\u{333}' | '\u{33f}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{180e}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
    })
}

/// `code` without the blank lines before and after it.
pub fn without_blank_lines(code: &str) -> &str {
    let blank = code.len() - code.trim_start().len();
    code[code[..blank].rfind('\n').map_or(0, |newline| newline + 1)..].trim_end()
}
