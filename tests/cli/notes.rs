//! `memory` on the command line, and notes at the tail of a message.

use serde_json::json;

use super::support::Home;

#[test]
fn notes_are_kept_found_and_forgotten() {
    let home = Home::new();
    let id = home.run(&["memory", "add", "my bike is green", "--format", "json"]).last()["id"].as_str().unwrap().to_owned();
    home.run(&["memory", "add", "the car is red"]);
    let found = home.run(&["memory", "search", "what colour is my bike?", "--limit", "1", "--format", "json"]).last();
    assert_eq!((&found["results"][0]["id"], &found["results"][0]["text"]), (&json!(id), &json!("my bike is green")), "{found}");
    assert_eq!(home.run(&["memory", "forget", &id]).status, Some(0));
    assert_eq!(home.run(&["memory", "forget", &id]).status, Some(2));
    let listed = home.run(&["memory", "list", "--format", "json"]).last();
    assert_eq!(listed["notes"].as_array().unwrap().len(), 1);
}

#[test]
fn export_and_import_lose_nothing() {
    let home = Home::new();
    let lines = concat!(
        "{\"id\":\"a1\",\"kind\":\"note\",\"text\":\"line\\nbreak \\u0000 and ü\",\"at\":\"2024-01-02T03:04:05.000Z\"}\n",
        "{\"id\":\"b2\",\"kind\":\"fact\",\"text\":\"second\",\"at\":\"2024-01-02T03:04:06.000Z\"}\n"
    );
    for _ in 0..2 {
        assert_eq!(home.pipe(&["memory", "import", "-"], lines).status, Some(0));
    }
    assert_eq!(home.run(&["memory", "export"]).stdout, lines);
    let bad = home.pipe(&["memory", "import", "-"], "{\"text\":\"x\"}\nnonsense\n");
    assert_eq!(bad.status, Some(2));
    assert!(bad.stderr.contains("line 2"), "{bad:?}");
    for (kind, count) in [("note", 2), ("fact", 1), ("turn", 0)] {
        let listed = home.run(&["memory", "list", "--kind", kind, "--format", "json"]).last();
        assert_eq!(listed["notes"].as_array().unwrap().len(), count, "{kind}");
    }
    assert!(home.run(&["memory", "search", "second"]).stdout.contains("(fact) second"));
}

#[test]
fn vectors_go_out_and_in() {
    let home = Home::new();
    let line = "{\"id\":\"a\",\"kind\":\"note\",\"text\":\"x\",\"at\":\"2026\",\"vector\":[0.5,-1.25e-7]}\n";
    assert_eq!(home.pipe(&["memory", "import", "-"], line).status, Some(0));
    assert_eq!(home.run(&["memory", "export", "--vectors"]).stdout, line);
    assert!(!home.run(&["memory", "export"]).stdout.contains("vector"));
    let stats = home.run(&["memory", "stats", "--format", "json"]).last();
    assert_eq!((&stats["notes"], &stats["vectors"]), (&json!(1), &json!(1)), "{stats}");
}

#[test]
fn a_bad_line_is_named_and_what_stood_before_it_is_kept() {
    let good = "{\"id\":\"good\",\"text\":\"good\"}\n";
    let check = |line: &[u8], reason: &str| {
        let home = Home::new();
        let run = home.pipe(&["memory", "import", "-"], [good.as_bytes(), b"\n", line, b"\n", good.as_bytes()].concat());
        assert_eq!(run.status, Some(2), "{reason}: {}", run.stderr);
        assert!(run.stderr.starts_with(&format!("paguro: -, line 3: {reason}")), "{reason}: {}", run.stderr);
        assert!(run.stderr.ends_with("; 1 notes before it were kept\n"), "{}", run.stderr);
        assert_eq!(home.run(&["memory", "list", "--format", "json"]).last()["notes"].as_array().unwrap().len(), 1);
    };
    check(b"nonsense", "not JSON (expected ident");
    check(b"{\"id\":\"x\"}", "not a note (missing field `text`");
    check(b"{\"text\":\"\xff\"}", "it is not UTF-8 from byte 9 on");
    check(b"{\"text\":\"\\ud800\"}", "not JSON (");
    check(b"{\"text\":\"x\",\"vector\":[]}", "a vector cannot be used: it must have");
    check(b"{\"text\":\"x\",\"vector\":[1e39]}", "a vector cannot be used: it contains NaN");
    let two = "{\"text\":\"x\",\"vector\":[1,2]}\n{\"text\":\"y\",\"vector\":[1]}\n";
    let home = Home::new();
    let run = home.pipe(&["memory", "import", "-"], two);
    assert!(run.stderr.contains("-, line 2: a vector of 1 numbers was given and the notes' vectors have 2"), "{run:?}");
    let run = home.pipe(&["memory", "import", "-"], "\n{\"text\":\"z\",\"vector\":[1]}\n");
    assert!(run.stderr.contains("-, line 2: a vector of 1 numbers"), "{run:?}");
    check(b"{\"text\":\"x\",\"kind\":\"poem\"}", "not a note (unknown variant `poem`");
    check(b"{\"role\":\"user\"}", "a message has no content");
    let long = |size: usize| format!("{{\"text\":\"{}\"}}", "x".repeat(size));
    check(long(2 << 20).as_bytes(), "the note has 2097152 bytes and at most");
    check(long(10 << 20).as_bytes(), "it has more than 8 MB");
}

#[test]
fn another_agents_memory_is_read() {
    let home = Home::new();
    home.file("other/MEMORY.md", "# Owner\n- drinks tea\n- has a quokka\n");
    home.file("other/memory/2026-03-14.md", "Walked the quokka.\n\nAte cake.\n");
    home.file("other/memory/picture.png", "no");
    let folder = home.path("other");
    let import = |more: &[&str]| home.run(&[&["memory", "import", folder.to_str().unwrap()], more].concat());
    for _ in 0..2 {
        let run = import(&[]);
        assert_eq!(run.stdout, "4 notes read\n", "{run:?}");
    }
    let found = home.run(&["memory", "list", "--format", "json"]).last();
    let notes: Vec<(&str, &str)> =
        found["notes"].as_array().unwrap().iter().map(|note| (note["text"].as_str().unwrap(), note["origin"].as_str().unwrap())).collect();
    let (of_day, of_owner) = ("imported from memory/2026-03-14.md", "imported from MEMORY.md");
    assert_eq!(notes.len(), 4);
    for note in [("Walked the quokka.", of_day), ("Ate cake.", of_day), ("Owner: drinks tea", of_owner), ("Owner: has a quokka", of_owner)]
    {
        assert!(notes.contains(&note), "{note:?} in {notes:?}");
    }
    let cake = home.run(&["memory", "search", "cake", "--format", "json"]).last();
    assert_eq!(cake["results"][0]["at"], "2026-03-14");
    assert_eq!(import(&["--trust"]).status, Some(0));
    assert!(!home.run(&["memory", "export"]).stdout.contains("origin"));
}

#[test]
fn a_chat_history_is_read() {
    let home = Home::new();
    let chat = concat!(
        "{\"role\":\"user\",\"content\":\"where do quokkas live?\",\"timestamp\":\"2026-01-02T03:04:05Z\"}\n",
        "{\"role\":\"assistant\",\"content\":\"On Rottnest Island.\"}\n",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"and wombats?\"},{\"role\":\"assistant\",\"content\":\"In burrows.\"}]}\n",
    );
    for _ in 0..2 {
        assert_eq!(home.pipe(&["memory", "import", "-"], chat).stdout, "2 notes read\n");
    }
    let found = home.run(&["memory", "search", "quokkas", "--kind", "turn", "--format", "json"]).last();
    assert_eq!(found["results"].as_array().unwrap().len(), 1);
    let note = &found["results"][0];
    assert_eq!(note["text"], "user: where do quokkas live?\nassistant: On Rottnest Island.");
    assert_eq!((&note["at"], &note["origin"]), (&json!("2026-01-02T03:04:05Z"), &json!("imported from standard input")));
}

#[test]
fn a_note_is_edited() {
    let home = Home::new();
    let id = home.run(&["memory", "add", "my bike is green", "--format", "json"]).last()["id"].as_str().unwrap().to_owned();
    let text = |home: &Home| home.run(&["memory", "show", &id, "--format", "json"]).last()["text"].as_str().unwrap().to_owned();
    assert_eq!(home.run(&["memory", "edit", &id, "my bike is red"]).stdout, "changed\n");
    assert_eq!((home.run(&["memory", "edit", &id, "my bike is red"]).stdout, text(&home)), ("unchanged\n".into(), "my bike is red".into()));
    assert_eq!(home.pipe(&["memory", "edit", &id, "-"], "my bike is blue\n").stdout, "changed\n");
    assert_eq!(text(&home), "my bike is blue");
    for bad in [
        vec!["memory", "edit", &id],
        vec!["memory", "edit", &id, " "],
        vec!["memory", "edit", "nobody", "x"],
        vec!["memory", "show", "nobody"],
    ] {
        assert_eq!(home.run(&bad).status, Some(2), "{bad:?}");
    }
    let database = std::fs::read(home.path("paguro.db")).unwrap();
    assert!(!database.windows(5).any(|window| window == b"green"));
}

#[test]
fn statistics_are_drawn() {
    let home = Home::new();
    home.run(&["memory", "add", "my bike is green-42"]);
    let script = home.script(&[json!({"when": "blue", "text": "no idea"}), json!({"when": "bike", "text": "It is green-42."})]);
    home.run(&["ask", "what colour has my bike?", "--model", &script]);
    home.run(&["ask", "is my bike blue?", "--model", &script]);
    let plot = home.path("stats.svg");
    let run = home.run(&["memory", "stats", "--format", "json", "--plot", plot.to_str().unwrap()]);
    let stats = run.last();
    // The first reply has a word of the note; the second one has none of what came with its message.
    let (recalled, used) = (stats["recalled"].as_u64().unwrap(), stats["used"].as_u64().unwrap());
    assert!(used == 1 && recalled > used, "{stats}");
    assert_eq!(stats["search"]["count"], 2);
    assert_eq!(stats["weeks"][0]["notes"], 1);
    let text = home.run(&["memory", "stats"]).stdout;
    assert!(text.contains(&format!("{used} of {recalled} notes that came with messages were used")), "{text}");
    let svg = std::fs::read_to_string(plot).unwrap();
    // As strict a reader of XML as there is here: every element is closed, and no character is out of place.
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').unwrap();
        assert!(!text.contains('&') || text.contains("&amp;"), "{text}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
    }
    assert!(open.is_empty() && svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
}

#[test]
fn a_note_comes_with_the_message_once() {
    let home = Home::new();
    home.run(&["memory", "add", "my bike is green"]);
    let script = home.script(&[
        json!({"when": "(?s)bike.*\\[note: my bike is green\\]", "text": "with the note"}),
        json!({"when": "bike", "text": "without"}),
    ]);
    for reply in ["with the note\n", "without\n"] {
        let run = home.run(&["ask", "tell me of the bike", "--session", "s", "--model", &script]);
        assert_eq!(run.stdout, reply, "{run:?}");
    }
}
