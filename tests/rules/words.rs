//! Words that may stand only in certain places.

use std::path::Path;

/// Where `unsafe` may stand: the shim, and the engine's llama backend.
const UNSAFE: [&str; 2] = ["llama-sys", "engine/src/llama"];

/// What no file may hold, and why.
const NEVER: [(&str, &str); 6] = [
    ("unbounded_channel", "every queue has a number"),
    ("mpsc::channel()", "std's own channel is unbounded; use a bounded one"),
    ("Arc<Mutex", "one thread owns each resource"),
    ("Arc<std::sync::Mutex", "one thread owns each resource"),
    ("Arc<tokio::sync::Mutex", "one thread owns each resource"),
    ("todo!(", "nothing is called done that is not"),
];

#[test]
fn unsafe_stands_only_where_it_may() {
    for (path, text) in super::sources() {
        let lifted = text.contains("allow(unsafe_code") || text.contains("expect(unsafe_code");
        let allowed = UNSAFE.iter().any(|place| path.starts_with(Path::new(place)));
        assert!(
            !lifted || allowed || path.starts_with("tests/rules") || path.starts_with("benches"),
            "{} lifts unsafe_code",
            path.display()
        );
    }
}

#[test]
fn some_words_stand_nowhere() {
    for (path, text) in super::sources().iter().filter(|(path, _)| !path.starts_with("tests/rules")) {
        for (word, why) in NEVER {
            assert!(!text.contains(word), "{} has `{word}`: {why}", path.display());
        }
    }
}
