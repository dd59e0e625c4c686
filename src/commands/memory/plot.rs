//! The statistics as one SVG: growth, use, times. By hand, since it is three small pictures; readable on light and on dark.

use std::fmt::Write as _;

use memory::Week;

use super::stats::{Stats, Times};
use crate::models::bytes;

/// Sizes in pixels.
const WIDTH: f64 = 720.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 240.0;

/// Colours of notes, facts and pieces of turns: apart for every kind of eyes (Okabe and Ito, 2008), on white and on black.
const KINDS: [(&str, &str); 3] = [("notes", "#0072b2"), ("facts", "#e69f00"), ("said", "#009e73")];

/// The picture. Texts are numbers and dates of ours, so nothing needs escaping but what a time could hold.
pub fn svg(stats: &Stats) -> String {
    let memory = &stats.memory;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} 400\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>:root{{color-scheme:light dark}}rect.b{{fill:#fff}}text{{fill:#222}}line,path{{stroke:#888}}\
         @media(prefers-color-scheme:dark){{rect.b{{fill:#151515}}text{{fill:#ddd}}}}</style>\n\
         <rect class=\"b\" width=\"{WIDTH}\" height=\"400\"/>\n"
    );
    let all = memory.notes + memory.facts + memory.turns;
    text(&mut out, LEFT, 24.0, &format!("Paguro's memory: {all} notes, {} on disk, {} with vectors", bytes(memory.bytes), memory.vectors));
    growth(&mut out, &memory.weeks);
    let rate = stats.hit_rate.unwrap_or(0.0);
    let used = format!("recalled notes that were used: {} of {} ({:.0} %)", memory.used, memory.recalled, rate * 100.0);
    bar(&mut out, 290.0, rate, &used);
    let longest = [&stats.recall, &stats.search].into_iter().flatten().map(|times| times.p99_ms).fold(0.001, f64::max);
    for (y, what, times) in [(330.0, "recall before turns", &stats.recall), (370.0, "search by words, now", &stats.search)] {
        let Some(Times { count, p50_ms, p95_ms, p99_ms }) = times else { continue };
        let words = format!("{what}: 50 % in {p50_ms:.1} ms, 95 % in {p95_ms:.1} ms, 99 % in {p99_ms:.1} ms, of {count}");
        bar(&mut out, y, p99_ms / longest, &words);
    }
    out + "</svg>\n"
}

/// How much there was at the end of each week, a kind on the other.
fn growth(out: &mut String, weeks: &[Week]) {
    let mut sums = [0_u64; 3];
    let mut heights = Vec::new();
    for week in weeks {
        for (sum, more) in sums.iter_mut().zip([week.notes, week.facts, week.turns]) {
            *sum += more;
        }
        heights.push(sums);
    }
    let most = number(sums.iter().sum::<u64>().max(1));
    let step = (RIGHT - LEFT) / number(heights.len().max(1) as u64);
    for (index, sums) in heights.iter().enumerate() {
        let (x, mut y) = (LEFT + step * number(index as u64), BOTTOM);
        for (sum, (_, colour)) in sums.iter().zip(KINDS) {
            let height = number(*sum) / most * (BOTTOM - TOP);
            y -= height;
            let width = (step * 0.9).max(0.5);
            let _ = writeln!(out, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>");
        }
    }
    let _ = writeln!(out, "<line x1=\"{LEFT}\" y1=\"{BOTTOM}\" x2=\"{RIGHT}\" y2=\"{BOTTOM}\"/>");
    text(out, 8.0, TOP + 4.0, &format!("{most}"));
    text(out, 8.0, BOTTOM, "0");
    if let (Some(first), Some(last)) = (weeks.first(), weeks.last()) {
        text(out, LEFT, BOTTOM + 16.0, &first.monday);
        text(out, RIGHT - 70.0, BOTTOM + 16.0, &last.monday);
    }
    for (index, (name, colour)) in KINDS.iter().enumerate() {
        let x = LEFT + 70.0 * number(index as u64);
        let _ = writeln!(out, "<rect x=\"{x}\" y=\"36\" width=\"10\" height=\"10\" fill=\"{colour}\"/>");
        text(out, x + 14.0, 46.0, name);
    }
}

fn bar(out: &mut String, y: f64, share: f64, words: &str) {
    let width = share.clamp(0.0, 1.0) * (RIGHT - LEFT);
    let _ = writeln!(out, "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"8\" fill=\"{}\"/>", KINDS[0].1);
    let _ = writeln!(out, "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{}\" height=\"8\" fill=\"none\" stroke=\"#888\"/>", RIGHT - LEFT);
    text(out, LEFT, y - 6.0, words);
}

fn text(out: &mut String, x: f64, y: f64, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\">{words}</text>");
}

#[expect(clippy::cast_precision_loss, reason = "a picture has some hundred pixels")]
fn number(n: u64) -> f64 {
    n as f64
}
