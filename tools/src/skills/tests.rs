//! Which skills there are, what the owner is asked, and that nothing else is loaded.

use agent::{Output, Tool as _, ToolContext};
use serde_json::json;

use super::*;
use crate::testing::{Bench, wait};

fn skills(bench: &Bench) -> Skills {
    Skills::new(bench.workspace.clone(), bench.outside("skills"), bench.store.clone())
}

fn text(name: &str, description: &str, body: &str) -> String {
    format!("---\nname: {name}\ndescription: {description}\n---\n{body}")
}

/// Writes a file of the owner's own skills.
fn own(bench: &Bench, name: &str, content: &str) {
    let path = bench.outside("skills").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// `name place state description`, or why it cannot be used.
fn listed(skills: &Skills) -> Vec<String> {
    let line = |Listed { name, place, skill }| match skill {
        Ok((skill, state)) => format!("{name} {} {} {}", place.name(), State::name(state), skill.description),
        Err(reason) => format!("{name} {}: {reason}", Place::name(place)),
    };
    let all = wait(skills.list()).unwrap().into_iter().filter(|listed| listed.place != Place::BuiltIn);
    all.map(line).collect()
}

#[test]
fn the_first_place_counts() {
    let bench = Bench::new();
    let skills = skills(&bench);
    assert!(!skills.any());
    let built_in = wait(skills.list()).unwrap();
    assert_eq!(built_in.len(), 1);
    let (skill, state) = built_in[0].skill.as_ref().unwrap();
    assert_eq!((skill.name.as_str(), *state), ("writing-skills", State::Accepted));

    own(&bench, "pdf/SKILL.md", &text("pdf", "own", ""));
    own(&bench, "csv/SKILL.md", &text("csv", "own", ""));
    own(&bench, "writing-skills/SKILL.md", &text("writing-skills", "own", ""));
    bench.write(".agents/skills/pdf/SKILL.md", text("pdf", "agents", ""));
    bench.write(".agents/skills/odd/SKILL.md", text("odd", "agents", ""));
    assert!(skills.any());
    let expected = ["csv user new own", "odd workspace new agents", "pdf workspace new agents", "writing-skills user new own"];
    assert_eq!(listed(&skills), expected);
    bench.write("skills/pdf/SKILL.md", text("pdf", "workspace", ""));
    assert_eq!(listed(&skills)[2], "pdf workspace new workspace");
    // What cannot be used does not uncover another.
    bench.write("skills/pdf/SKILL.md", "none");
    let broken = "pdf workspace: SKILL.md does not begin with front matter between two lines `---`";
    assert_eq!(listed(&skills)[2], broken);
}

#[test]
fn what_is_no_skill_is_refused_or_not_named() {
    let bench = Bench::new();
    let skills = skills(&bench);
    let good = |name: &str| text(name, "d", "");
    bench.write("skills/.hidden/SKILL.md", good("hidden"));
    bench.write("skills/obey me now/SKILL.md", good("x"));
    bench.write("skills/empty/other.md", "");
    bench.write("skills/SKILL.md", good("x"));
    bench.write("skills/other-name/SKILL.md", good("x"));
    bench.write("skills/linked/SKILL.md", good("linked"));
    bench.link(bench.outside("secret.txt"), "skills/linked/secret.txt");
    bench.write("skills/deep/SKILL.md", good("deep"));
    bench.write("skills/deep/a/b/c/d/e/f/g", "");
    bench.write("skills/large/SKILL.md", good("large"));
    bench.write("skills/large/data", vec![0; 1 << 20]);
    bench.write("skills/many/SKILL.md", good("many"));
    (0..100).for_each(|n| bench.write(&format!("skills/many/{n}"), ""));
    // A folder that is a link may lead nowhere but into the workspace.
    bench.link(bench.outside(""), "skills/away");
    std::fs::write(bench.outside("SKILL.md"), good("away")).unwrap();
    let expected = [
        "deep workspace: it has folders more than 5 deep",
        "large workspace: it has more than 1,048,576 bytes",
        "linked workspace: secret.txt is a link or no file, which a skill cannot have",
        "many workspace: it has more than 100 files",
        "other-name workspace: its folder is called other-name and its `name` is x",
    ];
    assert_eq!(listed(&skills), expected);
}

/// Asks as the agent does: what the owner is asked, and, after their yes, what is loaded.
fn load(
    bench: &Bench,
    skills: &Skills,
    call: &str,
    arguments: &serde_json::Value,
    between: impl FnOnce(),
) -> (Option<String>, Result<Output, String>) {
    let tool = SkillTool::new(skills.clone());
    let context = ToolContext { key: call.to_owned(), ..bench.context.clone() };
    let asked = wait(tool.concern(arguments, &context));
    between();
    (asked, wait(tool.run(arguments, &context)).map_err(|error| error.text))
}

#[test]
fn the_owner_accepts_each_text_once() {
    let bench = Bench::new();
    let skills = skills(&bench);
    bench.write("skills/pdf/SKILL.md", text("pdf", "d", "Do this.\n"));
    bench.write("skills/pdf/scripts/run.sh", "echo one\n");
    let arguments = json!({"name": "pdf"});
    // Nobody was asked: nothing is loaded.
    let tool = SkillTool::new(skills.clone());
    assert_eq!(bench.run(&tool, arguments.clone()).unwrap_err().text, "the owner has not accepted the skill pdf");

    let (asked, loaded) = load(&bench, &skills, "1", &arguments, || ());
    let head =
        "the skill pdf of the workspace is new; a yes accepts this text for good and lets the model read it\n--- accepted\n+++ now\n";
    let asked = asked.unwrap();
    assert!(asked.starts_with(head), "{asked}");
    for line in ["+Do this.", "+==> scripts/run.sh <==", "+echo one"] {
        assert!(asked.lines().any(|asked| asked == line), "{line} in {asked}");
    }
    let body =
        "Do this.\n\n[the skill's folder: skills/pdf; its other files, which the tool skill loads as `file`: scripts/run.sh (9 bytes)]";
    assert_eq!(loaded, Ok(Output::foreign(body, "skill pdf")));
    // Once is enough, for all its files.
    let script = json!({"name": "pdf", "file": "./scripts/run.sh"});
    assert_eq!(load(&bench, &skills, "2", &script, || ()), (None, Ok(Output::foreign("echo one\n", "skill pdf"))));
    let missing = load(&bench, &skills, "2", &json!({"name": "pdf", "file": "../../a"}), || ());
    assert_eq!(missing.1, Err("the skill pdf has no file \"../../a\"; it has scripts/run.sh (9 bytes)".to_owned()));

    // Any file that changes is shown as a difference, and only that.
    bench.write("skills/pdf/scripts/run.sh", "echo two\n");
    let (asked, loaded) = load(&bench, &skills, "3", &arguments, || ());
    let asked = asked.unwrap();
    assert!(asked.starts_with("the skill pdf of the workspace has changed since you accepted it on 2"), "{asked}");
    assert!(asked.contains("\n-echo one\n+echo two\n") && !asked.contains("+Do this."), "{asked}");
    assert!(loaded.is_ok());
    assert_eq!(load(&bench, &skills, "4", &arguments, || ()).0, None);
}

#[test]
fn what_was_asked_about_is_what_is_loaded() {
    let bench = Bench::new();
    let skills = skills(&bench);
    bench.write("skills/pdf/SKILL.md", text("pdf", "d", "Good."));
    let arguments = json!({"name": "pdf"});
    let swap = |body: &'static str| bench.write("skills/pdf/SKILL.md", text("pdf", "d", body));
    let (_, loaded) = load(&bench, &skills, "1", &arguments, || swap("Bad."));
    assert_eq!(loaded, Err("the skill pdf has changed since the owner was asked about it; load it again".to_owned()));
    // Accepted, and changed after the question was found to be unnecessary.
    swap("Good.");
    assert!(load(&bench, &skills, "2", &arguments, || ()).1.is_ok());
    let (asked, loaded) = load(&bench, &skills, "3", &arguments, || swap("Bad."));
    assert_eq!((asked, loaded), (None, Err("the owner has not accepted the skill pdf".to_owned())));
    // An earlier question is no answer to a later one.
    swap("Good.");
    assert_eq!(load(&bench, &skills, "1", &arguments, || ()).0, None);
}

#[test]
fn whose_text_it_is() {
    let bench = Bench::new();
    let skills = skills(&bench);
    own(&bench, "csv/SKILL.md", &text("csv", "d", "Mine."));
    bench.write("skills/pdf/SKILL.md", text("pdf", "d", "Theirs."));
    bench.write("AGENTS.md", "Use tabs.\n");
    let check = |name: &str, expected: Output| {
        assert_eq!(load(&bench, &skills, name, &json!({ "name": name }), || ()).1, Ok(expected), "{name}");
    };
    check("csv", "Mine.".into());
    check("pdf", Output::foreign("Theirs.", "skill pdf"));
    check(AGENTS, Output::foreign("Use tabs.", "skill AGENTS.md"));
    assert!(wait(skills.find("writing-skills")).unwrap().0.body().starts_with("A skill is a folder"));
    let none = load(&bench, &skills, "x", &json!({"name": "x\n"}), || ()).1.unwrap_err();
    assert_eq!(none, "there is no skill \"x\\n\"; there are csv, pdf, writing-skills");
}

#[test]
fn a_long_question_says_what_it_leaves_out() {
    let bench = Bench::new();
    let skills = skills(&bench);
    let body: String = (0..5_000).map(|n| format!("line {n}\n")).collect();
    bench.write("skills/pdf/SKILL.md", text("pdf", "d", &body));
    let asked = load(&bench, &skills, "1", &json!({"name": "pdf"}), || ()).0.unwrap();
    let last = asked.lines().last().unwrap();
    assert!(last.ends_with(" more lines are NOT shown here: `paguro skill show pdf` shows all]"), "{last}");
    assert!(asked.len() < 17_000);
}

#[test]
fn the_block_has_what_was_accepted() {
    let bench = Bench::new();
    let skills = skills(&bench);
    assert_eq!(wait(skills.block()), "");
    bench.write("AGENTS.md", "Use tabs.\n");
    bench.write("skills/pdf/SKILL.md", text("pdf", "Reads PDFs.", ""));
    let block = wait(skills.block());
    assert!(block.contains("- pdf (new; ") && block.contains("AGENTS.md (new) that the owner has not accepted"), "{block}");
    assert!(block.contains("- writing-skills: How to write a skill"), "{block}");
    for name in ["pdf", AGENTS] {
        wait(skills.accept(&wait(skills.find(name)).unwrap().0)).unwrap();
    }
    let block = wait(skills.block());
    assert!(block.contains("- pdf: Reads PDFs.\n") && block.contains("<agents-md>\nUse tabs.\n</agents-md>\n"), "{block}");
    bench.write("AGENTS.md", "Use spaces.\n");
    assert!(wait(skills.block()).contains("AGENTS.md (changed) that the owner has not accepted"));
    // A link out of the workspace is not followed.
    std::fs::remove_file(bench.path("AGENTS.md")).unwrap();
    bench.link(bench.outside("secret.txt"), AGENTS);
    assert!(wait(skills.block()).contains("AGENTS.md that cannot be used"));
}
