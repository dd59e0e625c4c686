//! `paguro skill`: which skills there are, and which the owner has accepted.

use std::process::ExitCode;

use anyhow::Result;
use channels::visible;
use memory::Store;
use serde_json::{Value, json};
use tools::{AGENTS, Listed, Skill, Skills, State};

use super::print_json;
use crate::args::{ListFormat, SkillCommand};
use crate::exit::BadInput;
use crate::parts::Context;

pub async fn run(command: &SkillCommand) -> Result<ExitCode> {
    let context = Context::read()?;
    let store = context.store()?;
    let skills = context.skills(context.open_workspace()?, &store);
    match command {
        SkillCommand::List(list) => list_skills(&skills, list.format).await?,
        SkillCommand::Show { name, list } => show(&skills, name, list.format).await?,
        SkillCommand::Accept { name } => accept(&skills, name).await?,
        SkillCommand::Forget { name } => forget(&store, name).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What `list` says of one; the text or the reason why there is none.
fn row(name: &str, place: &str, skill: &Result<(Skill, State), String>) -> Value {
    match skill {
        Ok((skill, state)) => {
            let Skill { description, folder, hash, .. } = skill;
            json!({ "name": name, "place": place, "state": state, "description": description, "folder": folder, "hash": hash })
        }
        Err(reason) => json!({ "name": name, "place": place, "state": "unusable", "reason": reason }),
    }
}

async fn list_skills(skills: &Skills, format: ListFormat) -> Result<()> {
    let mut rows: Vec<Value> = Vec::new();
    for Listed { name, place, skill } in skills.list().await? {
        rows.push(row(&name, place.name(), &skill));
    }
    match skills.agents().await {
        Ok(found) => rows.extend(found.map(|found| row(AGENTS, "workspace", &Ok(found)))),
        Err(error) => rows.push(row(AGENTS, "workspace", &Err(error.to_string()))),
    }
    if format == ListFormat::Json {
        return print_json(&json!({ "skills": rows }));
    }
    let word = |row: &Value, key: &str| visible(row[key].as_str().unwrap_or_default()).into_owned();
    for row in &rows {
        let says = if row["reason"].is_null() { word(row, "description") } else { word(row, "reason") };
        say!("{:<20} {:<9} {:<9} {says}", word(row, "name"), word(row, "place"), word(row, "state"));
    }
    Ok(())
}

async fn show(skills: &Skills, name: &str, format: ListFormat) -> Result<()> {
    let (skill, accepted) = find(skills, name).await?;
    let state = tools::state(&skill, accepted.as_ref());
    let difference = tools::difference(&skill, accepted.as_ref());
    if format == ListFormat::Json {
        let place = skill.place.name();
        let mut out = row(name, place, &Ok((skill.clone(), state)));
        out["text"] = skill.text().into();
        out["difference"] = if state == State::Changed { difference.into() } else { Value::Null };
        out["accepted"] = accepted.map(|accepted| accepted.at).into();
        return print_json(&out);
    }
    let since = accepted.map(|accepted| format!(" (accepted on {})", accepted.at)).unwrap_or_default();
    tell!("{name}: {}{since}", state.name());
    let text = if state == State::Changed { difference } else { skill.text() };
    say!("{}", visible(text.trim_end()));
    Ok(())
}

/// Accepts what is there now, and shows what that is.
async fn accept(skills: &Skills, name: &str) -> Result<()> {
    let (skill, accepted) = find(skills, name).await?;
    match tools::state(&skill, accepted.as_ref()) {
        State::Accepted => say!("{name} is accepted already"),
        State::New | State::Changed => {
            say!("{}", visible(tools::difference(&skill, accepted.as_ref()).trim_end()));
            skills.accept(&skill).await?;
            say!("accepted {name}; new conversations know it");
        }
    }
    Ok(())
}

async fn forget(store: &Store, name: &str) -> Result<()> {
    if !store.forget_skill(name).await? {
        return Err(BadInput(format!("nothing was accepted as {name}; `paguro skill list` shows what was")).into());
    }
    say!("{name} is accepted no longer");
    Ok(())
}

async fn find(skills: &Skills, name: &str) -> Result<(Skill, Option<memory::AcceptedSkill>)> {
    Ok(skills.find(name).await.map_err(|error| BadInput(error.to_string()))?)
}
