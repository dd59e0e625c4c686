//! Skills: folders `NAME/SKILL.md` with instructions for a kind of task, read when they are needed; and the workspace's `AGENTS.md`.
//!
//! Whoever can write into a skill's folder could tell the agent what to do. So the owner accepts each text once, by the hash of all
//! files of the skill, and again after each change. Until then nothing of it is read but its name. Nothing is installed here.

mod block;
mod front;
mod read;
mod tool;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use agent::ToolError;
use agent::memory::{AcceptedSkill, Store};
use serde::Serialize;
use similar::TextDiff;

use crate::call::fail;
use crate::kept::failed;
use crate::workspace::Workspace;

pub use read::{Skill, SkillFile};
pub(crate) use tool::SkillTool;

/// The name under which the workspace's `AGENTS.md` is accepted; no skill can have it.
pub const AGENTS: &str = "AGENTS.md";
/// Skills that are looked at; of more, those whose names come first.
const MAX_SKILLS: usize = 100;
/// How long a difference may be looked for; then it may be longer than need be.
const DIFF_TIME: Duration = Duration::from_millis(500);
/// Lines around a change that its difference shows.
const DIFF_CONTEXT: usize = 3;

/// Where a skill comes from. The first place that has one of a name is the one that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// `skills/` or `.agents/skills/` in the workspace.
    Workspace,
    /// `skills/` in the program's home.
    User,
    /// The executable.
    BuiltIn,
}

impl Place {
    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::User => "user",
            Self::BuiltIn => "built-in",
        }
    }
}

/// What the owner has said of a skill as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing.
    New,
    /// They accepted something else under this name.
    Changed,
    /// They accepted just this.
    Accepted,
}

impl State {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Accepted => "accepted",
        }
    }
}

/// A skill that is there, or the reason why it cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The folder's name.
    pub name: String,
    /// Where.
    pub place: Place,
    /// The skill and what the owner has said of it.
    pub skill: Result<(Skill, State), String>,
}

/// The skills of one home and one workspace. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Skills {
    workspace: Workspace,
    user: PathBuf,
    store: Store,
}

impl Skills {
    /// The skills of `workspace` and of the folder `user`; `store` knows what the owner has accepted.
    #[must_use]
    pub fn new(workspace: Workspace, user: PathBuf, store: Store) -> Self {
        Self { workspace, user, store }
    }

    /// Whether there is any besides those in the executable: without one the model is told of no skills at all.
    #[must_use]
    pub fn any(&self) -> bool {
        self.names().values().any(|place| *place != Place::BuiltIn)
    }

    /// All skills, by name; of more than 100 the first.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn list(&self) -> Result<Vec<Listed>, ToolError> {
        let skills = self.clone();
        let read = move || skills.names().into_iter().map(|(name, place)| (skills.read(&name, place), name, place)).collect::<Vec<_>>();
        let found = tokio::task::spawn_blocking(read).await.map_err(|error| fail(format!("reading the skills broke: {error}")))?;
        let accepted = self.store.accepted_skills().await.map_err(failed)?;
        let state = |skill: Skill| {
            let accepted = accepted.iter().find(|accepted| accepted.name == skill.name);
            let state = state(&skill, accepted);
            (skill, state)
        };
        Ok(found.into_iter().map(|(skill, name, place)| Listed { name, place, skill: skill.map(state) }).collect())
    }

    /// The skill called `name`, or the workspace's `AGENTS.md`, with what was accepted under its name.
    ///
    /// # Errors
    /// If there is none, or it cannot be read; the sentence says why.
    pub async fn find(&self, name: &str) -> Result<(Skill, Option<AcceptedSkill>), ToolError> {
        let (skills, wanted) = (self.clone(), name.to_owned());
        let read = move || {
            if wanted == AGENTS {
                return skills.read_agents().unwrap_or_else(|| Err("there is no AGENTS.md in the workspace".to_owned()));
            }
            match skills.names().get(&wanted) {
                Some(place) => skills.read(&wanted, *place).map_err(|reason| format!("the skill {wanted} cannot be used: {reason}")),
                None => {
                    Err(format!("there is no skill {wanted:?}; there are {}", skills.names().into_keys().collect::<Vec<_>>().join(", ")))
                }
            }
        };
        let skill = tokio::task::spawn_blocking(read).await.map_err(|error| fail(format!("reading the skill broke: {error}")))?;
        let accepted = self.store.accepted_skill(name).await.map_err(failed)?;
        Ok((skill.map_err(fail)?, accepted))
    }

    /// The workspace's `AGENTS.md`, if there is one, with what was accepted of it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn agents(&self) -> Result<Option<(Skill, State)>, ToolError> {
        let skills = self.clone();
        let found = tokio::task::spawn_blocking(move || skills.read_agents());
        let found = found.await.map_err(|error| fail(format!("reading AGENTS.md broke: {error}")))?;
        let Some(skill) = found.transpose().map_err(fail)? else { return Ok(None) };
        let accepted = self.store.accepted_skill(AGENTS).await.map_err(failed)?;
        let state = state(&skill, accepted.as_ref());
        Ok(Some((skill, state)))
    }

    /// The owner accepts `skill` as it was read.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub async fn accept(&self, skill: &Skill) -> Result<(), ToolError> {
        self.store.accept_skill(&skill.name, &skill.hash, skill.text()).await.map_err(failed)
    }

    /// Where each name is: the first place that has it.
    fn names(&self) -> BTreeMap<String, Place> {
        let mut out = BTreeMap::new();
        for place in [Place::Workspace, Place::User, Place::BuiltIn] {
            let names: BTreeSet<String> = self.folders(place).into_iter().collect();
            for name in names {
                out.entry(name).or_insert(place);
            }
        }
        out.into_iter().take(MAX_SKILLS).collect()
    }
}

/// What the owner has said of `skill`. What is in the executable needs no word.
#[must_use]
pub fn state(skill: &Skill, accepted: Option<&AcceptedSkill>) -> State {
    match accepted {
        _ if skill.place == Place::BuiltIn => State::Accepted,
        Some(accepted) if accepted.hash == skill.hash => State::Accepted,
        Some(_) => State::Changed,
        None => State::New,
    }
}

/// What is to be accepted: the difference to what was, or the whole text.
#[must_use]
pub fn difference(skill: &Skill, accepted: Option<&AcceptedSkill>) -> String {
    let new = skill.text();
    let old = accepted.map(|accepted| accepted.text.as_str()).unwrap_or_default();
    TextDiff::configure()
        .timeout(DIFF_TIME)
        .diff_lines(old, new.as_str())
        .unified_diff()
        .context_radius(DIFF_CONTEXT)
        .header("accepted", "now")
        .to_string()
}

#[cfg(test)]
mod tests;
