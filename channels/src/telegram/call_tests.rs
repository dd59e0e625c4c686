use serde_json::json;

use super::*;

fn question(arguments: Value) -> Question {
    let hash = "3f2a91c4ffffffff".to_owned();
    Question { turn: 7, hash, tool: "shell".into(), arguments, reason: "it writes".into(), ..Question::default() }
}

fn ruled(arguments: Value) -> Question {
    let rule = serde_json::from_value(json!({ "tool": "shell", "command": "rm *", "decision": "allow" })).unwrap();
    Question { rule: Some(rule), ..question(arguments) }
}

fn check(question: &Question, html: &str) {
    assert_eq!(shown(question), Shown { html: html.into(), whole: None });
}

#[test]
fn a_call_is_shown_as_it_would_run() {
    let head = "<b>shell</b> needs your approval: it writes\n";
    check(&question(json!({ "command": "rm <x> & y" })), &format!("{head}command:\n<pre>rm &lt;x&gt; &amp; y</pre>"));
    check(&question(json!({ "a": "1\n2", "n": 3 })), &format!("{head}a:\n<pre>1\n2</pre>\nn:\n<pre>3</pre>"));
    check(&question(json!({})), &format!("{head}(without arguments)"));
    check(&question(json!({ "command": "r\u{200b}m\u{202e}" })), &format!("{head}command:\n<pre>r&lt;U+200B&gt;m&lt;U+202E&gt;</pre>"));
    let task = Question { task: Some("task 1 of turn 7: look".into()), ..question(json!({})) };
    check(&task, &format!("{head}for task 1 of turn 7: look\n(without arguments)"));
    let rule = "Session and Always would allow: <code>tool = &quot;shell&quot;, command = &quot;rm *&quot;</code>";
    check(&ruled(json!({ "command": "rm x" })), &format!("{head}command:\n<pre>rm x</pre>\n{rule}"));
}

#[test]
fn what_is_too_long_is_counted_and_stands_in_the_file() {
    let long = "é".repeat(9_000);
    let many: serde_json::Map<String, Value> = (0..200).map(|number| (format!("argument {number}"), json!("<".repeat(500)))).collect();
    for arguments in [json!({ "path": "notes.txt", "content": long }), json!({ "a": long, "b": long }), Value::Object(many)] {
        let question = Question { reason: "r".repeat(9_000), ..ruled(arguments) };
        let Shown { html, whole } = shown(&question);
        assert!(units(&html) + RECORD < super::super::text::LIMIT, "{} units", units(&html));
        assert!(html.ends_with("This is not all of it: the file above is."), "{html}");
        assert_eq!(whole, Some(question_text(&question, false)));
    }
    let Shown { html, .. } = shown(&question(json!({ "path": "notes.txt", "content": long })));
    assert!(html.contains("<pre>notes.txt</pre>"));
    let kept = html.chars().filter(|c| *c == 'é').count();
    assert!(kept > 3_000 && html.contains(&format!("… ({} bytes more)", 2 * (9_000 - kept))), "{kept}");
}

#[test]
fn buttons_say_which_question_and_what() {
    let texts = |question: &Question| -> Vec<Vec<(String, String)>> { buttons(question) };
    let button = |text: &str, choice: char| (text.to_owned(), format!("q:7-3f2a91c4.0:{choice}"));
    assert_eq!(texts(&question(json!({}))), [vec![button("Once", 'o')], vec![button("No", 'n')]]);
    let yes = vec![button("Once", 'o'), button("Session", 's'), button("Always", 'a')];
    assert_eq!(texts(&ruled(json!({}))), [yes, vec![button("No", 'n')]]);
    let largest = Question { turn: i64::MAX, ..question(json!({})) };
    assert!(texts(&largest).concat().iter().all(|(_, data)| data.len() <= 64));
    assert_eq!(read_button("q:7-3f2a91c4.1:3"), Some(("7-3f2a91c4.1", Choice::Option(3))));
    assert_eq!(read_button("q:7-3f2a91c4:a"), Some(("7-3f2a91c4", Choice::Always)));
    for other in ["", "q:7", "q:7-3f2a91c4:x", "x:7-3f2a91c4:a"] {
        assert_eq!(read_button(other), None, "{other}");
    }
}

#[test]
fn a_decision_is_one_short_line() {
    let check = |answer: Answer, expected: &str| assert_eq!(answer_line(&answer), expected);
    let answer = |choice: Choice, by: &str| choice.answer(&question(json!({})), by.into()).unwrap();
    check(answer(Choice::Once, "telegram, Anna (1)"), "✅ Allowed this once · telegram, Anna (1)");
    check(answer(Choice::Session, "t"), "✅ Allowed in this session · t");
    check(answer(Choice::Always, "t"), "✅ Allowed always · t");
    check(answer(Choice::No, "t"), "❌ Refused · t");
    check(Answer { why: Some("wrong folder".into()), ..Answer::no("t") }, "❌ Refused: wrong folder · t");
    assert_eq!(Choice::Option(0).answer(&question(json!({})), "t".into()), None);
    let long = Answer { why: Some("x".repeat(5_000)), ..Answer::no("y".repeat(5_000)) };
    assert!(answer_line(&long).encode_utf16().count() <= RECORD);
}
