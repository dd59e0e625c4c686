//! `paguro memory stats`: what the memory holds, how it grows, and whether what it finds is used.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use memory::{MemoryStats, Search, Store, Week};
use serde::Serialize;

use super::{plot, print_json};
use crate::args::ListFormat;
use crate::models::bytes;

/// Questions that searches are timed with, and results of each.
const QUESTIONS: usize = 100;
const RESULTS: usize = 10;

/// Weeks that the terminal shows, and the width of their bars.
const WEEKS: usize = 12;
const BAR: u64 = 40;

/// The command's result.
#[derive(Debug, Serialize)]
pub struct Stats {
    #[serde(flatten)]
    pub memory: MemoryStats,
    /// Share of the notes that came with messages and were used; without any there is none.
    pub hit_rate: Option<f64>,
    /// What recall took before turns, as it was recorded; with the embedding of the question.
    pub recall: Option<Times>,
    /// What searching by words for the last questions takes now.
    pub search: Option<Times>,
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Times {
    pub count: usize,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
}

impl Times {
    /// Of sorted times; nearest rank.
    fn of(sorted: &[f64]) -> Option<Self> {
        let at = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied();
        Some(Self { count: sorted.len(), p50_ms: at(50)?, p95_ms: at(95)?, p99_ms: at(99)? })
    }
}

pub async fn run(store: &Store, plot: Option<&Path>, format: ListFormat) -> Result<()> {
    let memory = store.memory_stats().await?;
    let mut search = Vec::new();
    for question in store.last_questions(QUESTIONS).await? {
        let start = Instant::now();
        store.search(Search::words(question, RESULTS)).await?;
        search.push(start.elapsed().as_secs_f64() * 1_000.0);
    }
    search.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "a share of so many needs no more")]
    let hit_rate = (memory.recalled > 0).then(|| memory.used as f64 / memory.recalled as f64);
    let stats = Stats { hit_rate, recall: Times::of(&memory.recall_ms), search: Times::of(&search), memory };
    if let Some(file) = plot.map(crate::out::path) {
        std::fs::write(&file, plot::svg(&stats)).with_context(|| format!("{} cannot be written", file.display()))?;
        tell!("drawn in {}", file.display());
    }
    match format {
        ListFormat::Json => print_json(&stats),
        ListFormat::Text => Ok(show(&mut crate::out::stdout(), &stats)?),
    }
}

fn show(out: &mut impl Write, stats: &Stats) -> std::io::Result<()> {
    let MemoryStats { notes, facts, turns, replaced, pinned, bytes: size, vectors, weeks, recalled, used, .. } = &stats.memory;
    let all = notes + facts + turns;
    writeln!(out, "notes    {notes} ({pinned} pinned), {facts} facts, {turns} pieces of conversations; {replaced} replaced by newer ones")?;
    writeln!(out, "file     {}, conversations included", bytes(*size))?;
    writeln!(out, "vectors  {vectors} of {all}")?;
    match stats.hit_rate {
        Some(rate) => {
            writeln!(
                out,
                "recall   {used} of {recalled} notes that came with messages were used ({:.0} %): a reply or call of the turn",
                rate * 100.0
            )?;
            writeln!(out, "         has a word of theirs, of four letters or with a number, that the message had not")?;
        }
        None => writeln!(out, "recall   no note has come with a message yet")?,
    }
    for (what, times) in [("before turns", &stats.recall), ("by words, now", &stats.search)] {
        if let Some(Times { count, p50_ms, p95_ms, p99_ms }) = times {
            writeln!(out, "search   {what}: 50 % in {p50_ms:.1} ms, 95 % in {p95_ms:.1} ms, 99 % in {p99_ms:.1} ms, of {count}")?;
        }
    }
    let shown = &weeks[weeks.len().saturating_sub(WEEKS)..];
    let sum = |week: &Week| week.notes + week.facts + week.turns;
    let most = shown.iter().map(sum).max().unwrap_or(0).max(1);
    for week in shown {
        let width = usize::try_from((sum(week) * BAR).div_ceil(most)).unwrap_or(0);
        writeln!(out, "{}  {:<40} {}", week.monday, "█".repeat(width), sum(week))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let check = |count: u32, expected: Option<[f64; 3]>| {
            let sorted: Vec<f64> = (1..=count).map(f64::from).collect();
            assert_eq!(Times::of(&sorted).map(|times| [times.p50_ms, times.p95_ms, times.p99_ms]), expected, "{count}");
        };
        check(0, None);
        check(1, Some([1.0, 1.0, 1.0]));
        check(100, Some([50.0, 95.0, 99.0]));
        check(20, Some([10.0, 19.0, 20.0]));
    }

    #[test]
    fn what_is_shown() {
        let week = |monday: &str, notes| Week { monday: monday.into(), notes, ..Week::default() };
        let memory = MemoryStats { notes: 3, weeks: vec![week("2026-11-09", 1), week("2026-11-16", 2)], ..MemoryStats::default() };
        let mut out = Vec::new();
        show(&mut out, &Stats { memory, hit_rate: None, recall: None, search: Times::of(&[1.0]) }).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("vectors  0 of 3\nrecall   no note has come with a message yet\n"), "{text}");
        assert!(text.ends_with(&format!("2026-11-09  {:<40} 1\n2026-11-16  {} 2\n", "█".repeat(20), "█".repeat(40))), "{text}");
    }
}
