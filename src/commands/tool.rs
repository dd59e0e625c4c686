//! `paguro tool`: what tools there are, and one of them by hand, through the same approval as for a model.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use agent::engine::check_arguments;
use agent::{ASK_USER, CallFacts, Decision, Effect, Question, SPAWN, Tool, ToolContext, call_hash, decide};
use anyhow::Result;
use channels::terminal::{Approve, Approver, CHANNEL, Format};
use serde_json::{Value, json};
use tools::mcp::Status;

use super::ask::screen;
use super::print_json;
use crate::args::{ListArgs, ListFormat, ToolCommand};
use crate::exit::{self, BadInput, Interrupted};
use crate::parts::{Context, on_ctrl_c};
use crate::secrets;
use crate::toolbox::{self, Tools, User};

/// What rules for a session match: no conversation has this name by itself.
const SESSION: &str = "tool";

pub async fn run(command: &ToolCommand) -> Result<ExitCode> {
    match command {
        ToolCommand::List(list) => show(list).await,
        ToolCommand::Run { name, arguments, approve, list } => run_one(name, arguments, *approve, list).await,
    }
}

async fn all(context: &Context) -> Result<Tools> {
    let tokens = context.config.limits.tool_output_tokens as usize;
    // An embedder that is not there is no obstacle here: then facts are found by their words.
    let engine = context.embedding_engine().await.unwrap_or_default();
    let settings = tools::Settings { engine, ..context.tool_settings(&context.store()?, tokens)? };
    toolbox::tools(context, User::Anyone, settings).await
}

async fn show(list: &ListArgs) -> Result<ExitCode> {
    let Tools { all, servers, .. } = all(&Context::read()?).await?;
    let origin = |name: &String| servers.iter().find(|server| server.tools.as_ref().is_ok_and(|tools| tools.contains(name)));
    let rows = all.iter().map(|tool| (tool.schema(), tool.effect())).map(|(schema, effect)| {
        let origin = origin(&schema.name).map_or_else(|| "built in".to_owned(), |server| format!("MCP server {}", server.name));
        (schema, word(effect), origin)
    });
    if list.format == ListFormat::Json {
        let tools: Vec<Value> = rows
            .map(|(schema, effect, origin)| {
                json!({"name": schema.name, "effect": effect, "origin": origin, "description": schema.description, "parameters": schema.parameters})
            })
            .collect();
        let servers: Vec<Value> = servers.iter().map(server_json).collect();
        print_json(&json!({"tools": tools, "servers": servers}))?;
        return Ok(ExitCode::SUCCESS);
    }
    for (schema, effect, origin) in rows {
        say!("{:<32} {effect:<8} {origin}", schema.name);
    }
    for server in &servers {
        complain(server);
    }
    Ok(ExitCode::SUCCESS)
}

/// What of a server is not as it was configured.
fn complain(server: &Status) {
    if let Err(why) = &server.tools {
        tell!("paguro: the MCP server `{}` has no tools here: {}", server.name, channels::visible(why));
    }
    for line in &server.refused {
        tell!("paguro: not taken from the MCP server `{}`: {}", server.name, channels::visible(line));
    }
}

pub fn server_json(server: &Status) -> Value {
    let (tools, error) = match &server.tools {
        Ok(tools) => (tools.len(), None),
        Err(why) => (0, Some(why)),
    };
    json!({"name": server.name, "ok": error.is_none(), "tools": tools, "error": error, "refused": server.refused})
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Read => "read",
        Effect::Write => "write",
        Effect::Network => "network",
        Effect::Spend => "spend",
    }
}

async fn run_one(name: &str, arguments: &str, approve: Approve, list: &ListArgs) -> Result<ExitCode> {
    let arguments: Value = serde_json::from_str(arguments).ok().filter(Value::is_object).ok_or_else(|| {
        BadInput(format!("{arguments} is not a JSON object; give the tool's arguments, such as '{{\"path\":\"notes.txt\"}}'"))
    })?;
    let context = Context::read()?;
    let interrupt = on_ctrl_c();
    let tools = all(&context).await?;
    let Some(tool) = tools.all.iter().find(|tool| tool.schema().name == name) else {
        let down = tools.servers.iter().find(|server| name.strip_prefix(&server.name).is_some_and(|rest| rest.starts_with('_')));
        let why = down.and_then(|server| server.tools.as_ref().err()).map_or_else(
            || "`paguro tool list` shows those that there are".to_owned(),
            |why| format!("the MCP server that may have it has no tools here: {why}"),
        );
        return Err(BadInput(format!("there is no tool called `{name}`; {why}")).into());
    };
    check_arguments(&tool.schema().parameters, &arguments).map_err(|why| BadInput(format!("the arguments of `{name}` {why}")))?;
    let secrets = secrets::known(&context)?;
    if [SPAWN, ASK_USER].contains(&name) {
        return Err(BadInput(format!("`{name}` needs a conversation; ask for it with `paguro ask`")).into());
    }
    if let Some(secret) = secrets.find(&arguments).filter(|_| matches!(tool.effect(), Effect::Network | Effect::Spend)) {
        return ended(name, Err(format!("it would carry the secret `{secret}` out")), exit::DENIED, list);
    }
    let allowed = tokio::select! {
        allowed = may_run(&context, tool.as_ref(), name, &arguments, approve) => allowed,
        () = interrupt.raised() => return Err(Interrupted.into()),
    };
    if let Err(why) = allowed {
        return ended(name, Err(why), exit::DENIED, list);
    }
    let timeout = Duration::from_secs(context.config.limits.tool_timeout_s);
    // No turn has this number; the key is of this process.
    let (channel, session) = (CHANNEL.to_owned(), SESSION.to_owned());
    let call = ToolContext { channel, session, key: format!("tool-{}", std::process::id()), turn: 0, timeout, ..ToolContext::default() };
    let result = tokio::select! {
        result = tool.run(&arguments, &call) => result,
        () = interrupt.raised() => return Err(Interrupted.into()),
    };
    let status = if result.is_ok() { exit::ANSWERED } else { exit::FAILED };
    let shown = |text: String| secrets.redact(&text);
    ended(name, result.map(|output| shown(output.text)).map_err(|error| shown(error.text)), status, list)
}

/// Whether the policy or the owner lets the call run; else why not.
async fn may_run(context: &Context, tool: &dyn Tool, name: &str, arguments: &Value, approve: Approve) -> Result<(), String> {
    let leads_to = tool.leads_to(arguments);
    let facts = CallFacts {
        tool: name,
        effect: Some(tool.effect_of(arguments)),
        arguments,
        session: SESSION,
        channel: CHANNEL,
        foreign: None,
        leads_to: leads_to.as_deref(),
    };
    let verdict = decide(&context.config.policy, &facts);
    match verdict.decision {
        Decision::Allow => Ok(()),
        Decision::Deny => Err(verdict.reason),
        Decision::Ask => {
            let (tool, hash) = (name.to_owned(), call_hash(name, arguments));
            let (arguments, reason) = (arguments.clone(), verdict.reason);
            let question = Question { tool, arguments, hash, reason, ..Question::default() };
            let answer = Approver::new(approve, &screen(Format::Text)).answer(&question).await;
            let why = |why: Option<String>| why.unwrap_or_else(|| format!("the call was not approved: {}", question.reason));
            if answer.allowed { Ok(()) } else { Err(why(answer.why)) }
        }
    }
}

/// Shows the end: the text on standard output, an error on standard error, or one JSON object.
fn ended(name: &str, result: Result<String, String>, status: u8, list: &ListArgs) -> Result<ExitCode> {
    match (list.format, result) {
        (ListFormat::Json, result) => {
            let ok = result.is_ok();
            let content = result.unwrap_or_else(|why| why);
            print_json(&json!({"type": "tool_result", "tool": name, "ok": ok, "denied": status == exit::DENIED, "content": content}))?;
        }
        (ListFormat::Text, Ok(text)) => {
            use io::Write as _;
            let mut out = crate::out::stdout();
            out.write_all(text.as_bytes())?;
            if !text.ends_with('\n') {
                out.write_all(b"\n")?;
            }
        }
        (ListFormat::Text, Err(why)) => tell!("paguro: {}", channels::visible(&why)),
    }
    Ok(ExitCode::from(status))
}
