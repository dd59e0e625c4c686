//! Where a long text is cut into messages. Paragraphs are better borders than lines, lines than sentences, sentences than
//! words; a border outside of an entity is better than one within; a block of code that fits is not cut.
//!
//! One walk over the text: a message that is cut short is followed by one that takes the long thing it stopped at.

use std::ops::Range;

use unicode_width::UnicodeWidthChar;

use super::rich::{RANKS, Rich, Run, shows};
use super::{ENTITIES, LIMIT};

/// The bytes of one message, and the number of the run they begin in.
#[derive(Debug)]
pub struct Cut {
    pub range: Range<usize>,
    pub run: usize,
}

/// Less of a long block of code than this many units is not put at a message's end.
const LEAST_CODE: usize = 512;

/// A paragraph of at most this many units goes with the block of code that it precedes.
const INTRODUCTION: usize = 256;

/// No cluster of characters is longer; what is may be cut.
const CLUSTER: usize = 64;

/// Kinds of borders, the best first.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Paragraph,
    Line,
    Sentence,
    Word,
}

const KINDS: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Border {
    at: usize,
    /// From the message's beginning.
    units: usize,
}

/// The last border of each kind, by what it would tear.
type Borders = [[Option<Border>; KINDS]; RANKS];

/// `rich` in messages, in order; white space between them belongs to none.
pub fn split(rich: &Rich) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let (mut at, mut run) = (0, 0);
    while let Some(start) = skip_blank(rich, at, &mut run) {
        let end = Walk::new(rich, start, run).end();
        let text = &rich.text[start..end];
        if shows(text) {
            cuts.push(Cut { range: start..start + text.trim_end().len(), run });
        }
        at = end;
    }
    cuts
}

/// The first character to be shown from `at` on, or the beginning of its line in a block of code; `run` becomes its run.
fn skip_blank(rich: &Rich, at: usize, run: &mut usize) -> Option<usize> {
    let rest = &rich.text[at..];
    let blank = rest.len() - rest.trim_start().len();
    let first = at + blank;
    if first == rich.text.len() {
        return None;
    }
    while rich.runs[*run].end <= first {
        *run += 1;
    }
    if !rich.runs[*run].style.is_pre() {
        return Some(first);
    }
    let block = start_of(rich, *run).max(at);
    Some(rich.text[block..first].rfind('\n').map_or(block, |newline| block + newline + 1))
}

fn start_of(rich: &Rich, run: usize) -> usize {
    run.checked_sub(1).map_or(0, |before| rich.runs[before].end)
}

/// One message's way through the text.
struct Walk<'a> {
    rich: &'a Rich,
    start: usize,
    run: usize,
    units: usize,
    tags: usize,
    borders: Borders,
    /// The block of code that the walk is in and that will not fit: where it begins, at which units.
    block: Option<Border>,
    /// The last line in that block, and the last that is not indented.
    line: Option<Border>,
    margin: Option<Border>,
    /// The first character of the line that is not white space, so far.
    line_start: usize,
}

impl<'a> Walk<'a> {
    fn new(rich: &'a Rich, start: usize, run: usize) -> Self {
        let tags = rich.runs[run].style.tags_after(super::Style::default());
        let block = rich.runs[run].style.is_pre().then_some(Border { at: start, units: 0 });
        let borders = [[None; KINDS]; RANKS];
        Self { rich, start, run, units: 0, tags, borders, block, line: None, margin: None, line_start: start }
    }

    /// Where the message ends, white space included.
    fn end(mut self) -> usize {
        let text = &self.rich.text[self.start..];
        let mut before = ['\0'; 2];
        for (offset, c) in text.char_indices() {
            let at = self.start + offset;
            if offset > 0 {
                let old = self.run;
                if at >= self.rich.runs[self.run].end
                    && let Some(cut) = self.enter(at)
                {
                    return cut;
                }
                self.note(at, old, before, c);
            }
            if !c.is_whitespace() && (self.units + c.len_utf16() > LIMIT || self.tags > ENTITIES) {
                return self.cut(at);
            }
            self.units += c.len_utf16();
            before = [before[1], c];
        }
        self.rich.text.len()
    }

    /// Goes on to the next run, which begins at `at`. If that is a block of code for the next message: where to cut.
    fn enter(&mut self, at: usize) -> Option<usize> {
        let Run { style: old, .. } = self.rich.runs[self.run];
        self.run += 1;
        let Run { style, end } = self.rich.runs[self.run];
        self.tags += style.tags_after(old);
        (self.block, self.line, self.margin) = (None, None, None);
        if !style.is_pre() {
            return None;
        }
        let length = units_up_to(self.rich.text[at..end].trim_end(), LIMIT + 1);
        self.block = Some(Border { at, units: self.units });
        if length > LIMIT || self.units + length <= LIMIT {
            return None;
        }
        let words = self.borders[0][Kind::Paragraph as usize].filter(|words| {
            let units = self.units - words.units;
            units <= INTRODUCTION && units + length <= LIMIT
        });
        Some(words.map_or(at, |words| words.at))
    }

    /// Takes down the border between the characters `before` and `c`, if it is one.
    fn note(&mut self, at: usize, old: usize, before: [char; 2], c: char) {
        let (left, right) = (self.rich.runs[old].style, self.rich.runs[self.run].style);
        let border = Border { at, units: self.units };
        if before[1] == '\n' || before[1].is_whitespace() && self.line_start + before[1].len_utf8() == at {
            self.line_start = at;
        }
        if left.is_pre() && right.is_pre() && old == self.run {
            if before[1] == '\n' {
                self.line = Some(border);
                if !c.is_whitespace() {
                    self.margin = Some(border);
                }
            }
            return;
        }
        let kind = match before {
            _ if left.is_pre() || right.is_pre() => Kind::Paragraph,
            ['\n', '\n'] => Kind::Paragraph,
            [_, '\n'] => Kind::Line,
            [_, '。' | '！' | '？'] if !closes(c) && !c.is_whitespace() => Kind::Sentence,
            [_, '，' | '、' | '；' | '：'] => Kind::Word,
            [_, space] if breaks(space) && !c.is_whitespace() => match self.after_space(at) {
                Some(kind) => kind,
                None => return,
            },
            _ => return,
        };
        self.borders[left.common(right).rank()][kind as usize] = Some(border);
    }

    /// What the space before `at` divides: none after a list's mark, which stays with its item.
    fn after_space(&self, at: usize) -> Option<Kind> {
        let line = self.rich.text[self.line_start..at].trim_end();
        let numbers = line.trim_end_matches(['.', ')', '☐', '☑', ' ']);
        if matches!(line, "•" | "☐" | "☑") || line.len() < 16 && numbers.len() < line.len() && numbers.bytes().all(|b| b.is_ascii_digit())
        {
            return None;
        }
        let ends = line.trim_end_matches(closes).ends_with(['.', '!', '?', '…', '؟', '۔', '।', '。', '！', '？']);
        Some(if ends { Kind::Sentence } else { Kind::Word })
    }

    /// The best border when the character at `cap` is too much.
    fn cut(&self, cap: usize) -> usize {
        if self.rich.runs[self.run].style.is_pre() {
            return self.cut_code(cap);
        }
        for (rank, row) in self.borders.iter().enumerate() {
            let mut found = row.iter().flatten();
            if let Some(border) = found.clone().find(|border| border.units * 2 >= self.units) {
                return border.at;
            }
            if let Some(border) = found.next().map(|first| found.fold(first, |a, b| if b.at > a.at { b } else { a }))
                && self.rest_fits(border, cap, rank)
            {
                return border.at;
            }
        }
        let last = self.borders.iter().flatten().flatten().map(|border| border.at).max();
        last.unwrap_or_else(|| whole_cluster(&self.rich.text, self.start, cap))
    }

    /// Whether what a cut at `border` saves from being torn fits a message.
    fn rest_fits(&self, border: &Border, cap: usize, rank: usize) -> bool {
        let mut units = self.units - border.units;
        let mut at = cap;
        for run in &self.rich.runs[self.run..] {
            if run.style.rank() <= rank || units > LIMIT {
                break;
            }
            units += units_up_to(&self.rich.text[at..run.end], LIMIT + 1);
            at = run.end;
        }
        units <= LIMIT
    }

    /// A block of code that fits no message is cut at a line, best at one that is not indented: Telegram takes spaces off
    /// a message's beginning.
    fn cut_code(&self, cap: usize) -> usize {
        let block = self.block.unwrap_or(Border { at: self.start, units: 0 });
        let least = if block.at > self.start { block.units + LEAST_CODE } else { 0 };
        let margin = self.margin.filter(|line| line.units * 2 >= self.units);
        match margin.or(self.line).filter(|line| line.units >= least) {
            Some(line) => line.at,
            None if block.at > self.start => block.at,
            None => {
                let word = self.rich.text[self.start..cap].rfind(breaks).map(|space| self.start + space + 1);
                word.filter(|at| (at - self.start) * 2 > cap - self.start)
                    .unwrap_or_else(|| whole_cluster(&self.rich.text, self.start, cap))
            }
        }
    }
}

/// UTF-16 units of `text`, counted no further than `most`.
fn units_up_to(text: &str, most: usize) -> usize {
    let mut units = 0;
    for c in text.chars() {
        units += c.len_utf16();
        if units >= most {
            break;
        }
    }
    units
}

/// White space at which a line may break.
fn breaks(c: char) -> bool {
    c.is_whitespace() && !matches!(c, '\u{a0}' | '\u{2007}' | '\u{202f}')
}

/// Follows the end of a sentence and belongs to it.
fn closes(c: char) -> bool {
    matches!(c, ')' | ']' | '"' | '\'' | '»' | '”' | '’' | '」' | '』' | '）' | '。' | '！' | '？')
}

/// The last border between clusters of characters that is not after `cap`, or `cap` if there is none near.
fn whole_cluster(text: &str, start: usize, cap: usize) -> usize {
    let borders = text[start..cap].char_indices().rev().take(CLUSTER).map(|(offset, _)| start + offset);
    std::iter::once(cap).chain(borders).find(|at| *at > start && !in_cluster(&text[start..], *at - start)).unwrap_or(cap)
}

/// Whether the characters around `at` are shown as one.
fn in_cluster(text: &str, at: usize) -> bool {
    let (Some(before), Some(after)) = (text[..at].chars().next_back(), text[at..].chars().next()) else { return false };
    let joined = before == '\u{200d}' || after.width() == Some(0) || matches!(after, '\u{1f3fb}'..='\u{1f3ff}');
    let flag = |c: &char| matches!(c, '\u{1f1e6}'..='\u{1f1ff}');
    joined || flag(&after) && text[..at].chars().rev().take_while(flag).count() % 2 == 1
}
