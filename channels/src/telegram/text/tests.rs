//! What Markdown becomes.

mod checker;
mod replies;

use super::*;

fn check(markdown: &str, html: &[&str]) {
    let found: Vec<String> = pieces(markdown).into_iter().map(|piece| piece.html).collect();
    assert_eq!(found, html, "{markdown:?}");
    for html in found {
        checker::parse(&html).unwrap();
    }
}

#[test]
fn marks_within_a_line() {
    check("a **b** *c* ~~d~~ `e<f`", &["a <b>b</b> <i>c</i> <s>d</s> <code>e&lt;f</code>"]);
    check("***b** i*", &["<i><b>b</b> i</i>"]);
    check("**a *b* c** d", &["<b>a <i>b</i> c</b> d"]);
    check("**a **b** c**", &["<b>a b c</b>"]);
    check("*a **b `c` d** e*", &["<i>a <b>b </b></i><code>c</code><i><b> d</b> e</i>"]);
    check("*a `b` `c` d*", &["<i>a </i><code>b</code> <code>c</code><i> d</i>"]);
    check("**unclosed and `open", &["**unclosed and `open"]);
    check("a_b_c 2*3*4 snake_case_name", &["a_b_c 2<i>3</i>4 snake_case_name"]);
    check("1 < 2 && \"x\" > 'y'", &["1 &lt; 2 &amp;&amp; &quot;x&quot; &gt; 'y'"]);
    check("one\ntwo  \nthree", &["one\ntwo\nthree"]);
    check("**one\ntwo**", &["<b>one\ntwo</b>"]);
    check("a\0b\u{7}c\u{202e}d&#1;e", &["abcde"]);
}

#[test]
fn blocks() {
    check("# Title\n\ntext\n\n## *Sub*\ntext", &["<b>Title</b>\ntext\n\n<b><i>Sub</i></b>\ntext"]);
    check("one\n\n\n\ntwo", &["one\n\ntwo"]);
    check("a\n\n---\n\nb", &["a\n\n———\n\nb"]);
    check("> a\n> b\n\nc", &["<blockquote>a\nb</blockquote>\n\nc"]);
    check("> a\n\n> b", &["<blockquote>a</blockquote>\n\n<blockquote>b</blockquote>"]);
    check("> a\n>\n> b", &["<blockquote>a\n\nb</blockquote>"]);
    check("> a\n> > b\n>\n> c", &["<blockquote>a\n\n&gt; b\n\nc</blockquote>"]);
    check("> a\n> ```\n> x\n> ```\n> b", &["<blockquote>a</blockquote>\n\n<pre>x</pre>\n\n<blockquote>b</blockquote>"]);
    check("> [!NOTE]\n> text", &["<blockquote><b>NOTE</b>\ntext</blockquote>"]);
    check("<div>\n*raw*\n</div>", &["&lt;div&gt;\n*raw*\n&lt;/div&gt;"]);
    check("a <script>x</script> b<br>c", &["a &lt;script&gt;x&lt;/script&gt; b\nc"]);
}

#[test]
fn lists() {
    check("- a\n- b\n  - c\n    - d\n- e", &["• a\n• b\n   • c\n      • d\n• e"]);
    check("1. a\n2. b\n\ntext\n\n7) c", &["1. a\n2. b\n\ntext\n\n7) c"]);
    check("1. a\n1. b\n5. c", &["1. a\n2. b\n5. c"]);
    check("1. a\n2. b\n\n1. c\n1. d", &["1. a\n\n2. b\n\n1. c\n\n2. d"]);
    check("- a\n\n- b\n\n  more", &["• a\n\n• b\n\n   more"]);
    check("1. a\n\n   - x\n   - y\n\n2. b", &["1. a\n   • x\n   • y\n\n2. b"]);
    check("- [ ] a\n- [x] b\n\n1. [x] c", &["☐ a\n☑ b\n\n1. ☑ c"]);
    check("Intro:\n- a\n- b", &["Intro:\n• a\n• b"]);
    check("Intro:\n\n- a\nlazy", &["Intro:\n\n• a\n   lazy"]);
    check("- ```sh\n  ls\n  ```\n- b", &["•\n<pre><code class=\"language-sh\">ls</code></pre>\n• b"]);
    check("- > q\n- - x", &["<blockquote>• q</blockquote>\n• • x"]);
    check("- a\n  > b\n  > - c\n- d", &["• a\n<blockquote>b\n• c</blockquote>\n• d"]);
    check("42.", &["42."]);
    check("- # T\n  text", &["• <b>T</b>\n   text"]);
}

#[test]
fn links() {
    check("[a *b*](https://x.y/?a=1&b=\"2\")", &["<a href=\"https://x.y/?a=1&amp;b=&quot;2&quot;\">a <i>b</i></a>"]);
    check("**[a](http://x.y)**", &["<b><a href=\"http://x.y\">a</a></b>"]);
    check("[`c`](tg://user?id=1)", &["<a href=\"tg://user?id=1\">c</a>"]);
    check("[a](javascript:alert) [b](file.rs) [c.rs](c.rs)", &["a (javascript:alert) b (file.rs) c.rs"]);
    check("[a](http://localhost:1/) [m](mailto:a@b.c) <a@b.c>", &["a (http://localhost:1/) m (a@b.c) a@b.c"]);
    check(
        "![alt](https://x.y/i.png) ![](https://x.y/j.png)",
        &["<a href=\"https://x.y/i.png\">alt</a> <a href=\"https://x.y/j.png\">https://x.y/j.png</a>"],
    );
    check("[![alt](i.png)](https://x.y)", &["<a href=\"https://x.y\">alt (i.png)</a>"]);
    check("[]()", &["[]()"]);
    check("[]() [x]()", &["x"]);
    check("[t][r] [r]\n\n[r]: https://x.y\n[s]: unused", &["<a href=\"https://x.y\">t</a> <a href=\"https://x.y\">r</a>\n\n[s]: unused"]);
    check("[Answer]: 42", &["[Answer]: 42"]);
    check("a[^n]\n\n[^n]: note", &["a[n]\n\n[n] note"]);
}

#[test]
fn code_and_tables() {
    check("```rust\nfn f() {\n\tx < y\n}\n```", &["<pre><code class=\"language-rust\">fn f() {\n    x &lt; y\n}</code></pre>"]);
    check("a\n```\nx\n```\nb", &["a\n\n<pre>x</pre>\n\nb"]);
    check("```c++ title=x\ny\n```", &["c++ title=x\n<pre><code class=\"language-c++\">y</code></pre>"]);
    check("```open\nx", &["<pre><code class=\"language-open\">x</code></pre>"]);
    check("```", &["```"]);
    check("```just words", &["just words"]);
    check("```word", &["word"]);
    check("- ```word", &["• word"]);
    check("```\n\n  x\n\n```", &["<pre>  x</pre>"]);
    check("    a\n    b", &["<pre>a\nb</pre>"]);
    check("|a|bb|\n|-|-:|\n|**日本**|1|\n|x \\| y|22|", &["<pre>a     | bb\n------+---\n日本  |  1\nx | y | 22</pre>"]);
    check("|a|b|\n|-|-|\n|1|2|3|4|\n|5|\nc", &["<pre>a | b\n--+---+---+--\n1 | 2 | 3 | 4\n5 |\nc |</pre>"]);
    check("|a|\n|-|\n|[l](https://x.y) z<br>w|", &["<pre>a\n-------------------\nl (https://x.y) z w</pre>"]);
}

#[test]
fn borders() {
    let long = |words: usize| "word ".repeat(words).trim().to_owned();
    let found = |text: &str| pieces(text).iter().map(|piece| units(&piece.html)).collect::<Vec<_>>();
    // At a paragraph, though more lines would fit.
    assert_eq!(found(&format!("{}\n\n{}\n{}", long(500), long(200), long(300))), [2499, 2499]);
    // At a line, then at a sentence, then at a word.
    assert_eq!(found(&format!("{}\n{}", long(500), long(500))), [2499, 2499]);
    assert_eq!(found(&format!("{}. {}", long(500), long(500))), [2500, 2499]);
    assert_eq!(found(&long(1000)), [4094, 904]);
    // Not within an entity, even where that leaves much room.
    assert_eq!(found(&format!("{} **{}**", long(300), long(700))), [1499, 3499]);
    assert_eq!(found(&format!("{}\n\n> {}", long(300), long(700))), [1499, 3499]);
    // Neither an early border nor an entity that is cut anyhow makes a short message.
    assert_eq!(found(&format!("x\n\n{}", long(1000))), [4092, 909]);
    assert_eq!(found(&format!("{} **{}**", long(100), long(1000))), [4094, 1404]);
    // One that fits no message is closed and reopened.
    let bold = pieces(&format!("**{}**", long(1000)));
    assert!(bold.iter().all(|piece| piece.html.starts_with("<b>word") && piece.html.ends_with("word</b>")));
    // A list's mark stays with its item.
    let list = pieces(&format!("{} 1\n- {}", long(10), long(1000)));
    assert!(list.iter().all(|piece| !piece.plain.ends_with('•')));
}

#[test]
fn code_that_fits_is_not_cut() {
    let lines = |count: usize| "fn main\n\n    some code\n".repeat(count);
    let text = format!("{}\n\n```rust\n{}```\nafter", "intro ".repeat(20), lines(177));
    let found = pieces(&text);
    assert_eq!(found.iter().map(|piece| piece.plain.lines().count()).collect::<Vec<_>>(), [1, 3 * 177 + 2]);
    let text = format!("{}\n\nThis is the code:\n\n```rust\n{}```", "intro ".repeat(20), lines(175));
    let found = pieces(&text);
    assert_eq!(found.iter().map(|piece| piece.plain.lines().count()).collect::<Vec<_>>(), [1, 3 * 175 + 2]);
    let text = format!("intro\n\n```rust\n{}```\nafter", lines(400));
    assert_eq!(pieces(&text).len(), 3);
    for piece in &pieces(&text)[1..] {
        assert!(piece.html.starts_with("<pre><code class=\"language-rust\">fn main\n"), "{}", &piece.html[..80]);
    }
}

#[test]
fn units_are_those_of_the_text() {
    for (html, count) in [("", 0), ("a&amp;&lt;<b>ü</b>", 4), ("<a href=\"x\">👍</a>", 2), ("&quot;&x;", 4)] {
        assert_eq!(units(html), count, "{html}");
    }
    assert_eq!(escape("<a href=\"x\">&</a>"), "&lt;a href=&quot;x&quot;&gt;&amp;&lt;/a&gt;");
}

#[test]
fn the_preview_is_the_end() {
    assert_eq!(preview(" "), Piece::default());
    assert_eq!(preview("a **b"), Piece { html: "a **b".into(), plain: "a **b".into() });
    let text = format!("{}\n\n```sh\nls", "word ".repeat(900));
    assert!(preview(&text).html.ends_with("word\n\n<pre><code class=\"language-sh\">ls</code></pre>"));
}
