//! A table as lines of equal columns, for a block of monospaced text.

use pulldown_cmark::Alignment;
use unicode_width::UnicodeWidthStr;

/// A column is padded to at most this many places; a wider cell pushes its row to the right.
const WIDEST: usize = 60;

/// Padding may make a table this many times longer than its cells; one that would grow more is not aligned.
const GROWTH: usize = 8;

/// Cells as they are read, the head's row first.
#[derive(Debug, Default)]
pub struct Table {
    aligned: Vec<Alignment>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(aligned: Vec<Alignment>) -> Self {
        Self { aligned, rows: Vec::new() }
    }

    pub fn start_row(&mut self) {
        self.rows.push(Vec::new());
    }

    pub fn start_cell(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.push(String::new());
        }
    }

    /// Appends to the cell that was started last.
    pub fn push(&mut self, text: &str) {
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut()) {
            cell.extend(text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }));
        }
    }

    /// The rows as lines, a rule after the head.
    pub fn lines(&self) -> String {
        let mut widths = vec![0; self.rows.iter().map(Vec::len).max().unwrap_or(0)];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.trim().width().clamp(*width, WIDEST.max(*width));
            }
        }
        let raw: usize = self.rows.iter().flatten().map(|cell| cell.len() + 3).sum();
        let padded: usize = self.rows.iter().map(|row| widths[..row.len()].iter().map(|width| width + 3).sum::<usize>()).sum();
        if padded > raw.saturating_mul(GROWTH) {
            widths.fill(0);
        }
        let mut out = String::with_capacity(raw + padded);
        for (number, row) in self.rows.iter().enumerate() {
            self.line(&mut out, row, &widths, number == 0);
            if number == 0 {
                let rules: Vec<String> = widths.iter().map(|width| "-".repeat((*width).max(1))).collect();
                out.push_str(&rules.join("-+-"));
                out.push('\n');
            }
        }
        out
    }

    /// A block must not begin with spaces, which Telegram takes off: the first cell of the head stands left.
    fn line(&self, out: &mut String, row: &[String], widths: &[usize], head: bool) {
        let begin = out.len();
        for (column, cell) in row.iter().enumerate() {
            if column > 0 {
                out.push_str(" | ");
            }
            let cell = cell.trim();
            let room = widths[column].saturating_sub(cell.width());
            let before = match self.aligned.get(column) {
                _ if head && column == 0 => 0,
                Some(Alignment::Right) => room,
                Some(Alignment::Center) => room / 2,
                _ => 0,
            };
            out.extend(std::iter::repeat_n(' ', before));
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', room - before));
        }
        out.truncate(begin + out[begin..].trim_end_matches(' ').len());
        out.push('\n');
    }
}
