//! `skill`: loads a skill's instructions, or another file of it. One that is new or has changed is asked about first.

use agent::engine::ToolSchema;
use agent::{ConcernFuture, Effect, Output, Tool, ToolContext, ToolError, ToolFuture};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Place, Skill, Skills, State, difference, state};
use crate::call::{fail, parse, schema};
use crate::kept::failed;
use crate::text::thousands;

/// Bytes of a text or a difference that a question shows; of a longer one the beginning.
const QUESTION_BYTES: usize = 16 * 1024;

/// See the file's head.
pub(crate) struct SkillTool {
    skills: Skills,
}

impl SkillTool {
    pub(crate) fn new(skills: Skills) -> Self {
        Self { skills }
    }

    /// What the owner must be asked before the call runs, which is kept so that the run can be held to it.
    async fn question(&self, name: &str, context: &ToolContext) -> Result<Option<String>, ToolError> {
        let (skill, accepted) = self.skills.find(name).await?;
        let state = state(&skill, accepted.as_ref());
        if state == State::Accepted {
            return Ok(None);
        }
        self.skills.store.ask_skill(context.turn, &context.key, name, &skill.hash).await.map_err(failed)?;
        let since = match &accepted {
            Some(accepted) => format!("has changed since you accepted it on {}", accepted.at.get(..10).unwrap_or(&accepted.at)),
            None => "is new".to_owned(),
        };
        let place = if skill.place == Place::User { "your skills" } else { "the workspace" };
        let difference = difference(&skill, accepted.as_ref());
        let (text, cut) = shown(&difference, name);
        Ok(Some(format!("the skill {name} of {place} {since}; a yes accepts this text for good and lets the model read it\n{text}{cut}")))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    name: String,
    #[serde(default)]
    file: Option<String>,
}

impl Tool for SkillTool {
    fn schema(&self) -> ToolSchema {
        schema(
            "skill",
            "Load a skill: instructions for a kind of task. The system block lists the names.",
            1,
            json!({"name": {"type": "string"}, "file": {"type": "string", "description": "another file of the skill"}}),
        )
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn concern<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ConcernFuture<'a> {
        Box::pin(async move {
            let Arguments { name, .. } = parse(arguments).ok()?;
            // What fails here fails in the run too, with the same words.
            self.question(&name, context).await.ok().flatten()
        })
    }

    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let Arguments { name, file } = parse(arguments)?;
            let (skill, accepted) = self.skills.find(&name).await?;
            if state(&skill, accepted.as_ref()) != State::Accepted {
                match self.skills.store.asked_skill(&context.key, &name).await.map_err(failed)? {
                    Some(hash) if hash == skill.hash => self.skills.accept(&skill).await?,
                    Some(_) => return Err(fail(format!("the skill {name} has changed since the owner was asked about it; load it again"))),
                    None => return Err(fail(format!("the owner has not accepted the skill {name}"))),
                }
            }
            let text = match file {
                Some(path) => file_of(&skill, &path)?,
                None => whole(&skill),
            };
            Ok(match skill.place {
                Place::Workspace => Output::foreign(text, format!("skill {name}")),
                Place::User | Place::BuiltIn => text.into(),
            })
        })
    }
}

/// The instructions, and where the rest is.
fn whole(skill: &Skill) -> String {
    let mut out = skill.body().trim_end().to_owned();
    let others: Vec<String> = skill.others().collect();
    if !others.is_empty() {
        let folder = skill.folder.display();
        out += &format!("\n\n[the skill's folder: {folder}; its other files, which the tool skill loads as `file`: {}]", others.join(", "));
    }
    out
}

fn file_of(skill: &Skill, path: &str) -> Result<String, ToolError> {
    let file = skill.file(path.strip_prefix("./").unwrap_or(path)).ok_or_else(|| {
        let others = skill.others().collect::<Vec<_>>().join(", ");
        fail(format!("the skill {} has no file {path:?}; it has {}", skill.name, if others.is_empty() { "no others" } else { &others }))
    })?;
    match std::str::from_utf8(&file.content) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ => Ok(format!("binary file, {} bytes", thousands(file.content.len() as u64))),
    }
}

/// As much of a difference as a question shows, and what to say of the rest.
fn shown<'a>(text: &'a str, name: &str) -> (&'a str, String) {
    if text.len() <= QUESTION_BYTES {
        return (text, String::new());
    }
    let end = text[..text.floor_char_boundary(QUESTION_BYTES)].rfind('\n').map_or(0, |end| end + 1);
    let rest = text[end..].lines().count();
    (&text[..end], format!("[{rest} more lines are NOT shown here: `paguro skill show {name}` shows all]\n"))
}
