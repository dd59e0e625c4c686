use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::testing::Bench;

/// A small project.
fn project() -> Bench {
    let bench = Bench::new();
    bench.write("notes.txt", "My bike is green\r\nprice: $5 (net)\nlast line");
    bench.write("src/main.rs", "fn main() {\n    ride(bike);\n}\n");
    bench.write("src/lib.rs", "// bike\n");
    bench.write("src/deep/er/mod.rs", "bike\n");
    bench.write(".hidden/x.txt", "bike");
    bench.write(".secret", "bike");
    bench.write("binary", "bike\0");
    bench.write("build/out.txt", "bike");
    bench.write("src/skip.log", "bike");
    bench.write("src/keep.log", "bike");
    bench.write("other/skip.log", "bike");
    bench.write(".gitignore", "/build\n*.log\n[broken\n");
    bench.write("src/.gitignore", "!keep.log\ner/\n");
    bench.link("notes.txt", "link.txt");
    bench.link(bench.outside(""), "way-out");
    bench.link("..", "src/loop");
    bench.fifo("fifo");
    bench.fifo("other/.gitignore");
    bench
}

#[track_caller]
fn check(bench: &Bench, arguments: Value, expected: &str) {
    let result = bench.run(&SearchFiles::new(bench.workspace.clone()), arguments);
    assert_eq!(result.unwrap_or_else(|error| format!("error: {error}")), expected);
}

#[test]
fn matching_lines_are_found() {
    let bench = project();
    let all = "notes.txt:1: My bike is green\nsrc/keep.log:1: bike\nsrc/lib.rs:1: // bike\nsrc/main.rs:2:     ride(bike);";
    let cases = [
        (json!({"pattern": "bike"}), all),
        (json!({"pattern": "b[i]ke"}), all),
        (json!({"pattern": "^bike$"}), "src/keep.log:1: bike"),
        (json!({"pattern": "green$"}), "notes.txt:1: My bike is green"),
        (json!({"pattern": "(?i)MY"}), "notes.txt:1: My bike is green"),
        (json!({"pattern": "last"}), "notes.txt:3: last line"),
        // Text that is also a regular expression, but not one that finds itself; and text that is none.
        (json!({"pattern": "$5 (net)"}), "notes.txt:2: price: $5 (net)"),
        (json!({"pattern": "ride("}), "src/main.rs:2:     ride(bike);"),
        (json!({"pattern": "car"}), "no match"),
        (json!({"pattern": ""}), "error: the pattern is empty"),
    ];
    for (arguments, expected) in cases {
        check(&bench, arguments, expected);
    }
}

#[test]
fn path_and_glob_narrow_the_search() {
    let bench = project();
    let at = |path: &str| json!({"pattern": "bike", "path": path});
    let named = |glob: &str| json!({"pattern": "bike", "glob": glob});
    let cases = [
        (at("src/"), "src/keep.log:1: bike\nsrc/lib.rs:1: // bike\nsrc/main.rs:2:     ride(bike);"),
        (at("src/deep"), "no match"),
        (at("other"), "no match"),
        (at("src/lib.rs"), "src/lib.rs:1: // bike"),
        (at("src/skip.log"), "src/skip.log:1: bike"),
        (at(".hidden"), ".hidden/x.txt:1: bike"),
        (at("build"), "build/out.txt:1: bike"),
        (at("link.txt"), "link.txt:1: My bike is green"),
        (at("fifo"), "error: not a regular file: fifo"),
        (at("way-out"), "error: outside the workspace: way-out"),
        (at("gone"), "error: no such file: gone"),
        (named("*.txt"), "notes.txt:1: My bike is green"),
        (named("src/*.rs"), "src/lib.rs:1: // bike\nsrc/main.rs:2:     ride(bike);"),
        (named("!*.rs"), "notes.txt:1: My bike is green\nsrc/keep.log:1: bike"),
        (
            named("*.{rs"),
            "error: argument `glob`: error parsing glob '*.{rs': unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)",
        ),
    ];
    for (arguments, expected) in cases {
        check(&bench, arguments, expected);
    }
}

#[test]
fn much_is_cut() {
    let bench = Bench::new();
    bench.write("a", "x\n".repeat(201));
    let mut expected: String = (1..=200).map(|n| format!("a:{n}: x\n")).collect();
    expected.push_str("[the first 200 matches; narrow the pattern or the path]");
    check(&bench, json!({"pattern": "x"}), &expected);

    bench.write("a", format!("{}needle{}\n", "é".repeat(1_000), "ü".repeat(1_000_000)));
    let cut = format!("a:1: …{}needle{}…", "é".repeat(60), "ü".repeat(134));
    check(&bench, json!({"pattern": "needle"}), &cut);
    check(&bench, json!({"pattern": "(a{1000}){1000}"}), "no match");
    check(&bench, json!({"pattern": "x".repeat(2_000_000)}), "error: the pattern is too large");
}

#[test]
fn what_cannot_be_read_is_counted() {
    let bench = Bench::new();
    let deep = "d/".repeat(80) + "x";
    bench.write(&deep, "bike");
    check(&bench, json!({"pattern": "bike"}), "no match\n[1 entry could not be read]");
    bench.write("closed", "bike");
    std::fs::set_permissions(bench.path("closed"), std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(bench.path("closed")).is_err() {
        check(&bench, json!({"pattern": "bike"}), "no match\n[2 entries could not be read]");
    }
}

#[test]
fn time_ends_a_search() {
    let mut bench = Bench::new();
    bench.write("a", "bike");
    bench.context.timeout = std::time::Duration::ZERO;
    check(&bench, json!({"pattern": "bike"}), "no match\n[stopped: out of time; narrow the path]");
}
