//! What a turn cost, on one line.

use agent::TurnResult;

/// Milliseconds from which a time is given in seconds.
const SECOND_MS: f64 = 1_000.0;

/// Milliseconds of decoding from which a rate says anything.
const MEASURED_MS: f64 = 1.0;

/// `reused 412 / prefilled 31 / generated 22 tokens · first token 38 ms · 310 tokens/s`, and why the cache missed, if it did.
pub(super) fn usage_line(result: &TurnResult) -> String {
    let usage = &result.usage;
    let mut line =
        format!("reused {} / prefilled {} / generated {} tokens", usage.reused_tokens, usage.prefilled_tokens, usage.completion_tokens);
    if result.timings.first_token_ms > 0.0 {
        line += &format!(" · first token {}", duration(result.timings.first_token_ms));
    }
    if let Some(rate) = result.timings.decode_tps
        && f64::from(usage.completion_tokens) * SECOND_MS / rate >= MEASURED_MS
    {
        line += &format!(" · {} tokens/s", number(rate));
    }
    if let Some(why) = &result.cache_miss {
        line += &format!(" · cache miss: {why}");
    }
    line
}

fn duration(ms: f64) -> String {
    if ms < SECOND_MS { format!("{} ms", number(ms)) } else { format!("{:.1} s", ms / SECOND_MS) }
}

/// Two figures are enough for a small number, whole ones for others.
fn number(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use agent::TurnTimings;
    use agent::engine::Usage;

    use super::*;

    fn check(usage: [u32; 3], first_token_ms: f64, decode_tps: Option<f64>, miss: Option<&str>, expected: &str) {
        let [reused_tokens, prefilled_tokens, completion_tokens] = usage;
        let usage = Usage { prompt_tokens: reused_tokens + prefilled_tokens, reused_tokens, prefilled_tokens, completion_tokens };
        let timings = TurnTimings { first_token_ms, decode_tps, ..TurnTimings::default() };
        let result = TurnResult {
            outbound: None,
            replied: true,
            ok: true,
            text: String::new(),
            session: "main".into(),
            turn: "1".into(),
            model: "m".into(),
            steps: 1,
            usage,
            timings,
            cache_miss: miss.map(Into::into),
            limit: false,
            failure: None,
        };
        assert_eq!(usage_line(&result), expected);
    }

    #[test]
    fn the_line_says_what_was_measured() {
        let tokens = "reused 412 / prefilled 31 / generated 22 tokens";
        check([412, 31, 22], 38.2, Some(310.4), None, &format!("{tokens} · first token 38 ms · 310 tokens/s"));
        check([412, 31, 22], 1_240.0, Some(4.25), None, &format!("{tokens} · first token 1.2 s · 4.2 tokens/s"));
        check([412, 31, 22], 0.4, Some(22_000.0), None, &format!("{tokens} · first token 0.4 ms · 22000 tokens/s"));
        check([412, 31, 22], 0.4, Some(22_001.0), None, &format!("{tokens} · first token 0.4 ms"));
        check([412, 31, 22], 0.0, None, Some("another conversation"), &format!("{tokens} · cache miss: another conversation"));
    }
}
