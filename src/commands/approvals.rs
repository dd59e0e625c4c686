//! `paguro approvals`: the questions that wait for an answer, and their answers.

use std::process::ExitCode;

use agent::{Answer, Question, Scope, questions};
use anyhow::Result;
use channels::terminal::{Approver, Format, Printer};
use memory::Store;
use serde_json::{Value, json};

use crate::args::{ApprovalsArgs, ApprovalsCommand, ListFormat, TurnArgs};
use crate::commands::ask::{one_turn, say_if_demo, screen};
use crate::commands::print_json;
use crate::exit::{self, BadInput};
use crate::parts::{self, Context};
use crate::{out, secrets};

/// Who gives the answers that are given here.
const BY: &str = "paguro approvals";

pub async fn run(args: ApprovalsArgs) -> Result<ExitCode> {
    let context = Context::read()?;
    let store = context.store()?;
    match args.command.unwrap_or(ApprovalsCommand::List(args.list)) {
        ApprovalsCommand::List(list) => self::list(&store, list.format).await.map(|()| ExitCode::SUCCESS),
        ApprovalsCommand::Yes { id, for_session, always, later, turn } => {
            let scope = match (for_session, always) {
                (_, true) => Scope::Always,
                (true, _) => Scope::Session,
                _ => Scope::Once,
            };
            let said = |question: &Question| match question.wording() {
                None => Ok(Answer { scope, ..Answer::yes(BY) }),
                Some(_) => Err(format!("`{id}` is a question; answer it with `paguro approvals answer {id} TEXT`")),
            };
            answer(&context, store, &id, said, later, &turn).await
        }
        ApprovalsCommand::Answer { id, words, later, turn } => {
            let said = |question: &Question| {
                let wording = question.wording();
                let wording = wording.ok_or_else(|| format!("`{id}` asks for yes or no: `paguro approvals yes {id}`"))?;
                Ok(wording.answer(&words, BY))
            };
            answer(&context, store, &id, said, later, &turn).await
        }
        ApprovalsCommand::No { id, why, later, turn } => {
            answer(&context, store, &id, |_| Ok(Answer { why: why.clone(), ..Answer::no(BY) }), later, &turn).await
        }
    }
}

async fn list(store: &Store, format: ListFormat) -> Result<()> {
    let waiting = questions(store).await?;
    if format == ListFormat::Json {
        let all: Vec<Value> = waiting.iter().map(with_id).collect::<Result<_>>()?;
        return print_json(&json!({ "approvals": all }));
    }
    if waiting.is_empty() {
        tell!("nothing waits for an approval");
    }
    for question in &waiting {
        show(question)?;
    }
    Ok(())
}

fn with_id(question: &Question) -> Result<Value> {
    let mut value = serde_json::to_value(question)?;
    value["id"] = question.id().into();
    Ok(value)
}

fn show(question: &Question) -> Result<()> {
    say!("{}  session {}  {}", question.id(), question.session, channels::terminal::question_text(question, false).trim_end());
    let until = question.until.and_then(|until| jiff::Timestamp::from_second(until).ok());
    if let Some(until) = until {
        say!("  no answer by {} is a no", until.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M"));
    }
    Ok(())
}

/// Records what is `said` to the question, and goes on with the turn unless that is to be done later.
async fn answer(
    context: &Context,
    store: Store,
    id: &str,
    said: impl Fn(&Question) -> Result<Answer, String>,
    later: bool,
    turn: &TurnArgs,
) -> Result<ExitCode> {
    let waiting = questions(&store).await?;
    let Some(question) = waiting.iter().find(|question| question.id() == id) else {
        let known = match waiting.len() {
            0 => "nothing waits for an approval".to_owned(),
            _ => format!("there are {}", waiting.iter().map(Question::id).collect::<Vec<_>>().join(", ")),
        };
        return Err(BadInput(format!("no question is called `{id}`; {known}")).into());
    };
    let answer = said(question).map_err(BadInput)?;
    if answer.scope != Scope::Once && question.rule.is_none() {
        return Err(BadInput(format!("`{id}` can be allowed for this once only: no rule could say exactly this")).into());
    }
    match out::client() {
        Some(client) => client.desk.answer(question, answer).await?,
        None => agent::answer(&store, &secrets::known(context)?, &parts::keep_rule(context), question, answer).await?,
    }
    // A task goes on with the turn that started it.
    let mut root = question.turn;
    while let Some(parent) = store.turn(root).await?.and_then(|row| row.parent) {
        root = parent;
    }
    if !out::is_here() {
        tell!("turn {root} of session {} goes on in the running `paguro serve`", question.session);
        return Ok(ExitCode::SUCCESS);
    }
    if later {
        tell!("turn {root} of session {} goes on when the session does", question.session);
        return Ok(ExitCode::SUCCESS);
    }
    say_if_demo(context, turn);
    let mut printer = Printer::new(screen(Format::Text), std::io::stdout(), std::io::stderr());
    let interrupt = parts::on_ctrl_c();
    let engine = parts::load(context.load_options(turn.model.as_deref())?, &mut printer, &interrupt).await?;
    let agent = parts::agent(context, turn, store, engine).await?;
    let approver = Approver::new(turn.approve, printer.screen()).for_resumed();
    let ended = one_turn(&agent, root, &question.session, &mut printer, &approver, &interrupt).await?;
    Ok(exit::of_turn(&ended))
}
