//! The commands: what each does, and what it says. What is said is written into the outbox under the update's name, so the same update again
//! says nothing twice; and what was done before that is done again without harm.

use agent::AgentError;
use agent::memory::{SessionRow, TurnRow};
use agent::{Answer, Scope};
use serde_json::{Value, json};

use super::CHANNEL;
use super::api::ApiError;
use super::intake::{Intake, passes};
use super::place::Place;
use super::route::Command;
use super::who::Circle;
use crate::commands as shared;
use crate::desk::State;
use crate::notes;
use crate::terminal::one_line;

/// What a new owner reads first.
pub(super) const WELCOME: &str = "You are an owner now. Write what you want done; /help lists the commands.";

const START: &str = "This is Paguro, an agent that runs on its owner's own machine. Write what you want done; /help lists the commands.";

const GUEST_HELP: &str = "Mention me or reply to me, and I answer. /stop ends what you asked for.";

/// Name, arguments, and what it does.
const LIST: &[(&str, &str, &str)] = &[
    ("start", "", "say what this is"),
    ("help", "", "this list"),
    ("new", "", "begin a new session"),
    ("stop", "", "end what runs here"),
    ("undo", "", "take the last turn out of the history, bring back its files"),
    ("sessions", "[N]", "list the sessions here, or go on with one"),
    ("model", "", "say which model replies"),
    ("memory", "[QUERY]", "find notes; or: list, show ID, add TEXT, forget ID, stats"),
    ("tasks", "[stop N]", "list the tasks that run, or stop one"),
    ("jobs", "", "list the jobs"),
    ("approve", "[ID once|session|always|no]", "list what waits for you, or answer"),
    ("context", "", "say what fills the context"),
    ("why", "[TURN]", "say what made the last answer, or another"),
    ("status", "", "say how the program is"),
];

/// Whether the words are one of the commands, and not a path or something else that begins with a stroke.
pub(super) fn is_command(words: &str) -> bool {
    let name = words.strip_prefix('/').and_then(|rest| rest.split(|c: char| c.is_whitespace() || c == '@').next());
    name.is_some_and(|name| LIST.iter().any(|(known, ..)| *known == name))
}

/// What a command says, and in which session if not in the one it was given in.
struct Reply {
    text: String,
    session: Option<String>,
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Self { text, session: None }
    }
}

/// Carries a command out, unless this update has been answered.
pub(super) async fn run(intake: &Intake, command: &Command, update: &str) -> Result<(), AgentError> {
    if intake.desk.store.outbound_about(CHANNEL, update).await?.is_some() {
        return Ok(());
    }
    let session = intake.session(command.place).await?;
    let reply = match reply(intake, command, &session, update).await {
        Err(error) if !passes(&error) => format!("that did not work: {error}").into(),
        reply => reply?,
    };
    let session = reply.session.unwrap_or(session);
    intake.desk.store.say(CHANNEL, &session, &reply.text, Some(update)).await?;
    Ok(())
}

/// Ends what runs in a place and what waits there, and says so.
pub(super) async fn stop(intake: &Intake, place: Place, person: Option<i64>, update: &str) -> Result<(), AgentError> {
    let Some(count) = stop_turns(intake, place, person, update).await? else { return Ok(()) };
    // Ended ahead of its turn, nothing is left to be counted now.
    let early = intake.stopped_early(update);
    let text = match count + early {
        0 => "nothing runs here".to_owned(),
        1 => "stopped".to_owned(),
        count => format!("stopped {count} messages"),
    };
    let session = intake.session(place).await?;
    intake.desk.store.say(CHANNEL, &session, &text, Some(update)).await?;
    Ok(())
}

/// Ends what runs in a place and what waits there, of a guest's only his own; how much. `None`: this update has been answered, and what runs
/// now came after it.
pub(super) async fn stop_turns(intake: &Intake, place: Place, person: Option<i64>, update: &str) -> Result<Option<usize>, AgentError> {
    let store = &intake.desk.store;
    if store.outbound_about(CHANNEL, update).await?.is_some() {
        return Ok(None);
    }
    let mut count = intake.parcels.drop_all(store, place, person).await?;
    let session = intake.session(place).await?;
    let person = person.map(|id| id.to_string());
    // A group that has moved has its old name in the session's.
    let is_here = |row: &TurnRow| row.session_name == session || Place::of(&row.session_name) == Some(place);
    let is_meant = |row: &TurnRow| row.channel == CHANNEL && is_here(row) && (person.is_none() || row.person == person);
    for row in store.open_turns(None).await?.into_iter().filter(is_meant) {
        count += usize::from(intake.desk.stop(row.id).await?);
    }
    Ok(Some(count))
}

async fn reply(intake: &Intake, command: &Command, session: &str, update: &str) -> Result<Reply, AgentError> {
    let (store, argument) = (&intake.desk.store, command.argument.as_str());
    let text = match command.name.as_str() {
        "start" if command.person.is_none() => START.to_owned(),
        "start" | "help" if command.person.is_some() => GUEST_HELP.to_owned(),
        "help" => help(),
        "new" => return new(intake, command.place, update).await,
        "sessions" => return sessions(intake, command.place, session, argument, update).await,
        "undo" => fenced(&undo(intake, session, update).await?),
        "model" => match intake.desk.agent() {
            Some(agent) => shared::model(&agent),
            None => loading(intake),
        },
        "context" => match intake.desk.agent() {
            Some(agent) => fenced(&shared::context(&agent, CHANNEL, session).await?),
            None => loading(intake),
        },
        "memory" => {
            let agent = intake.desk.agent();
            let key = format!("{CHANNEL} {update}");
            fenced(&notes::memory(store, agent.as_deref(), None, argument, Some(key)).await?)
        }
        "tasks" => fenced(&shared::tasks(store, argument, async |task| intake.desk.stop(task).await.map(drop)).await?),
        "approve" => fenced(&approve(intake, argument).await?),
        "jobs" => fenced(&(intake.hooks.jobs)().await),
        "status" => fenced(&(intake.hooks.status)().await),
        "why" => why(intake, command.place, session, argument).await?,
        name => format!("There is no command /{name}; /help lists them."),
    };
    Ok(text.into())
}

/// The text of `/help`.
fn help() -> String {
    let line = |(name, arguments, help): &(&str, &str, &str)| {
        let usage = format!("/{name} {arguments}");
        format!("- {} – {help}", usage.trim_end())
    };
    LIST.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn loading(intake: &Intake) -> String {
    match &*intake.desk.state.borrow() {
        State::Loading(done) => format!("the model is loading, {:.0} %", done * 100.0),
        State::Ready(_) => "the model is ready".to_owned(),
        State::Stopping => "the program is stopping".to_owned(),
    }
}

/// A session with a number that has not been used here.
async fn new(intake: &Intake, place: Place, update: &str) -> Result<Reply, AgentError> {
    let session = match intake.chosen(place).await? {
        // Cut off in between, it was chosen already.
        Some((session, by)) if by == update => session,
        _ => {
            let current = intake.session(place).await?;
            let mut number = Place::numbered(&current).map_or(1, |(_, number)| number) + 1;
            // Ends at the latest when all sessions that there are have been passed.
            while shared::find(&intake.desk.store, CHANNEL, &place.session(number)).await?.is_some() {
                number += 1;
            }
            place.session(number)
        }
    };
    intake.choose(place, &session, update).await?;
    let number = Place::numbered(&session).map_or(1, |(_, number)| number);
    let text = format!("A new session, number {number}. /sessions lists them.");
    Ok(Reply { text, session: Some(session) })
}

async fn sessions(intake: &Intake, place: Place, current: &str, which: &str, update: &str) -> Result<Reply, AgentError> {
    let mut rows = intake.desk.store.sessions().await?;
    rows.retain(|row| row.channel == CHANNEL && (row.name == current || Place::of(&row.name) == Some(place)));
    let number = |name: &str| Place::numbered(name).map_or(0, |(_, number)| number);
    if which.is_empty() {
        let line = |row: &SessionRow| {
            let mark = if row.name == current { '*' } else { ' ' };
            format!("{mark} {:>3}  {:>4} turns  last {}", number(&row.name), row.turns, shared::minute(&row.last))
        };
        let lines: Vec<String> = rows.iter().map(line).collect();
        return Ok(fenced(&if lines.is_empty() { "there are no sessions yet".to_owned() } else { lines.join("\n") }).into());
    }
    let Some(row) = rows.iter().find(|row| number(&row.name).to_string() == which) else {
        return Ok("There is no such session here; /sessions lists them.".to_owned().into());
    };
    intake.choose(place, &row.name, update).await?;
    Ok(Reply { text: format!("This goes on with session {which}."), session: Some(row.name.clone()) })
}

/// Which turn it is about is kept first, so that the same update undoes no other.
async fn undo(intake: &Intake, session: &str, update: &str) -> Result<String, AgentError> {
    let (store, key) = (&intake.desk.store, format!("undo:{session}"));
    let kept = store.setting(CHANNEL, &key).await?;
    let begun = kept.as_deref().and_then(|kept| kept.split_once(' ')).filter(|(by, _)| *by == update).map(|(_, about)| about);
    let last = shared::last_turn(store, CHANNEL, session).await?;
    match last.filter(|turn| begun.is_none_or(|about| about == turn.id.to_string())) {
        Some(turn) => {
            store.set_setting(CHANNEL, &key, Some(format!("{update} {}", turn.id))).await?;
            shared::undo(store, &turn, &intake.hooks.undo_files).await
        }
        // Cut off in between, it is done already.
        None if begun.is_some() => Ok("taken out of the history".to_owned()),
        None => Ok(shared::NOTHING_TO_UNDO.to_owned()),
    }
}

/// `ID once|session|always|no`, or a list.
async fn approve(intake: &Intake, argument: &str) -> Result<String, AgentError> {
    let (id, answer) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    if id.is_empty() {
        return shared::approvals(&intake.desk.store).await;
    }
    let questions = agent::questions(&intake.desk.store).await?;
    let Some(question) = questions.iter().find(|question| question.id() == id) else {
        return Ok(format!("nothing called {} waits; /approve lists what does", one_line(id)));
    };
    let scope = |scope| Answer { scope, ..Answer::yes(CHANNEL) };
    let answer = match (question.wording(), answer.trim()) {
        (Some(_), "") => return Ok(format!("/approve {id} and your answer")),
        (Some(wording), words) => wording.answer(words, CHANNEL),
        (None, "once" | "yes") => scope(Scope::Once),
        (None, "session") => scope(Scope::Session),
        (None, "always") => scope(Scope::Always),
        (None, "no") => Answer::no(CHANNEL),
        _ => return Ok(format!("/approve {id} once, session, always or no")),
    };
    let word = match (question.wording(), answer.allowed) {
        (Some(_), _) => "answered",
        (None, true) => "allowed",
        (None, false) => "refused",
    };
    match intake.desk.answer(question, answer).await {
        Ok(()) => Ok(format!("{word}: {}", one_line(&question.tool))),
        Err(error @ (AgentError::NotAsked(_) | AgentError::Rule(_))) => Ok(error.to_string()),
        Err(error) => Err(error),
    }
}

/// Of a turn of this place; in a chat alone with an owner, of any.
async fn why(intake: &Intake, place: Place, session: &str, which: &str) -> Result<String, AgentError> {
    let store = &intake.desk.store;
    let turn = match which {
        "" | "last" => shared::last_turn(store, CHANNEL, session).await?,
        number => match number.parse() {
            Ok(number) => store.turn(number).await?,
            Err(_) => None,
        },
    };
    let is_here = |row: &TurnRow| row.session_name == session || Place::of(&row.session_name) == Some(place);
    match turn.filter(|row| place.is_private() || row.channel == CHANNEL && is_here(row)) {
        Some(turn) => Ok(fenced(&(intake.hooks.why)(turn.id).await)),
        None => Ok("There is no such turn.".to_owned()),
    }
}

/// A text as it is, in a fence that it cannot close.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{}\n{fence}", text.trim_end())
}

/// Tells Telegram the commands, for each owner and each group: nobody else sees any. One that does not know us yet is left out.
pub(super) async fn register(intake: &Intake, circle: &Circle) -> Result<(), ApiError> {
    for (scope, commands) in scopes(circle) {
        match intake.api.call_raw("setMyCommands", &json!({ "commands": commands, "scope": scope })).await {
            Err(error) if error.passes() => return Err(error),
            Err(error) => tracing::info!("the commands are not shown in a chat: {error}"),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Who is shown which commands.
fn scopes(circle: &Circle) -> Vec<(Value, Value)> {
    let command = |(name, arguments, help): &(&str, &str, &str)| {
        let description = if arguments.is_empty() { (*help).to_owned() } else { format!("{arguments}: {help}") };
        json!({ "command": name, "description": description })
    };
    let all: Value = LIST.iter().map(command).collect();
    let guests: Value = LIST.iter().filter(|(name, ..)| matches!(*name, "help" | "stop")).map(command).collect();
    let of_owner = circle.owners.iter().map(|id| (json!({ "type": "chat", "chat_id": id }), all.clone()));
    let of_group = circle.groups.iter().flat_map(|group| {
        let owners = circle.owners.iter().map(|owner| json!({ "type": "chat_member", "chat_id": group.id, "user_id": owner }));
        let owners = owners.map(|scope| (scope, all.clone()));
        owners.chain([(json!({ "type": "chat", "chat_id": group.id }), guests.clone())]).collect::<Vec<_>>()
    });
    of_owner.chain(of_group).collect()
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
