//! What Markdown becomes.

use super::*;

fn check(markdown: &str, html: &[&str]) {
    let found: Vec<String> = pieces(markdown).into_iter().map(|piece| piece.html).collect();
    assert_eq!(found, html, "{markdown:?}");
}

#[test]
fn inline() {
    check("**a *b** c*", &["<b>a *b</b> c*"]);
    check("a **b** *c* ~~d~~ `e<f`", &["a <b>b</b> <i>c</i> <s>d</s> <code>e&lt;f</code>"]);
}

#[test]
fn print() {
    let path = std::env::var("SHOW").unwrap_or_default();
    if let Ok(text) = std::fs::read_to_string(path) {
        for piece in pieces(&text) {
            println!("=====\n{}", piece.html);
        }
    }
}
