//! `paguro doctor`: is everything in place? One line a check, with the way out where something is wrong.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use engine::{Bytes, EmbedKind, EmbedRequest};
use serde::Serialize;
use tools::Usage;

use super::model::count;
use super::print_json;
use crate::args::{DoctorArgs, DoctorPart, ListArgs, ListFormat};
use crate::home::Home;
use crate::parts::{Context, load_quietly, plan};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// It works, but not as well as it could.
    Note,
    Bad,
}

#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    state: State,
    says: String,
}

pub async fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let list = &args.list;
    if args.part == Some(DoctorPart::Sandbox) {
        return prove(list);
    }
    let checks = checks().await;
    let bad = checks.iter().any(|check| check.state == State::Bad);
    match list.format {
        ListFormat::Json => print_json(&serde_json::json!({ "ok": !bad, "checks": checks }))?,
        ListFormat::Text => {
            for Check { what, state, says } in &checks {
                let state = match state {
                    State::Ok => "ok  ",
                    State::Note => "note",
                    State::Bad => "BAD ",
                };
                say!("{state}  {what:<14} {says}");
            }
        }
    }
    Ok(ExitCode::from(u8::from(bad)))
}

async fn checks() -> Vec<Check> {
    let mut out = Vec::new();
    let mut add = |what, result: Result<(State, String)>| {
        let (state, says) = result.unwrap_or_else(|e| (State::Bad, format!("{e:#}")));
        out.push(Check { what, state, says });
    };
    let home = Home::find(|name| std::env::var_os(name));
    add("home", home.map(|home| (State::Ok, home.data.display().to_string())));
    let context = match Context::read() {
        Ok(context) => context,
        Err(e) => {
            add("configuration", Err(e));
            return out;
        }
    };
    add("configuration", Ok((State::Ok, configuration(&context))));
    add("database", database(&context).await);
    add("workspace", workspace(&context));
    add("undo", undo(&context));
    add("skills", skills(&context).await);
    add("memory", memory(&context).await);
    add("model", model(&context).await);
    add("embedder", embedder(&context).await);
    for server in servers(&context).await {
        add("mcp server", Ok(server));
    }
    add("sandbox", Ok(sandbox(&context)));
    out
}

fn sandbox(context: &Context) -> (State, String) {
    let sandbox = context.sandbox();
    match (sandbox.refusal(), sandbox.notice()) {
        (Some(refusal), _) => (State::Bad, refusal.to_string()),
        (None, Some(notice)) => (State::Note, notice),
        (None, None) => {
            (State::Ok, format!("all {} layers are in force; `paguro doctor sandbox` tries them", sandbox.report().in_force.len()))
        }
    }
}

/// Tries to break each layer of the sandbox. Status 1 if one gave way, or if commands are refused.
fn prove(list: &ListArgs) -> Result<ExitCode> {
    let sandbox = Context::read()?.sandbox();
    let (proofs, refusal) = (sandbox.prove()?, sandbox.refusal());
    let broken = proofs.iter().any(|proof| proof.in_force && !proof.held);
    let ok = !broken && refusal.is_none();
    match list.format {
        ListFormat::Json => {
            let refusal = refusal.map(|refusal| refusal.to_string());
            print_json(&serde_json::json!({ "ok": ok, "boundary": sandbox.is_boundary(), "refusal": refusal, "proofs": proofs }))?;
        }
        ListFormat::Text => {
            for proof in &proofs {
                let state = match (proof.in_force, proof.held) {
                    (false, _) => "absent",
                    (true, true) => "held",
                    (true, false) => "BROKEN",
                };
                say!("{:<14} {state:<7} {}", proof.layer.name(), proof.what);
            }
            if let Some(refusal) = refusal {
                say!("{refusal}");
            }
        }
    }
    Ok(ExitCode::from(u8::from(!ok)))
}

fn configuration(context: &Context) -> String {
    let file = &context.home.config;
    match file.exists() {
        true => file.display().to_string(),
        false => format!("no {}, the defaults are in use (`paguro config init`)", file.display()),
    }
}

async fn database(context: &Context) -> Result<(State, String)> {
    let store = context.store()?;
    store.check().await?;
    let sessions = store.sessions().await?.len();
    let open = store.open_turns(None).await?;
    let says = format!("sound, {sessions} sessions, {} unfinished turns", open.len());
    let names: BTreeSet<String> = open.into_iter().map(|turn| turn.session_name).collect();
    if names.is_empty() {
        return Ok((State::Ok, says));
    }
    let names: Vec<String> = names.into_iter().collect();
    Ok((State::Note, format!("{says}; the next message finishes them, in {}", names.join(", "))))
}

fn workspace(context: &Context) -> Result<(State, String)> {
    let folder = context.workspace();
    context.open_workspace()?;
    tempfile_in(&folder).map_err(|e| anyhow::anyhow!("{} cannot be written: {e}", folder.display()))?;
    Ok((State::Ok, folder.display().to_string()))
}

/// How much is kept of what the file tools have overwritten.
fn undo(context: &Context) -> Result<(State, String)> {
    let Usage { files, bytes, budget } = context.kept(&context.store()?).usage()?;
    let more = if bytes > budget { ", more than `undo_mb` because it is of the last turns" } else { "" };
    Ok((State::Ok, format!("{files} overwritten contents kept, {} of {}{more}", Bytes(bytes), Bytes(budget))))
}

/// Skills and `AGENTS.md` that wait for the owner's word, or cannot be used.
async fn skills(context: &Context) -> Result<(State, String)> {
    let skills = context.skills(context.open_workspace()?, &context.store()?);
    let listed = skills.list().await?;
    let state = |listed: &tools::Listed| listed.skill.as_ref().map(|(_, state)| *state).ok();
    let waiting = listed.iter().map(state).chain(skills.agents().await?.map(|(_, state)| Some(state)));
    let waiting = waiting.filter(|state| *state != Some(tools::State::Accepted)).count();
    Ok(match waiting {
        0 => (State::Ok, format!("{} there, all accepted", listed.len())),
        _ => (State::Note, format!("{} there; {waiting} not accepted or not usable, `paguro skill list` shows which", listed.len())),
    })
}

/// Writes and removes a file, to see that it can be done.
fn tempfile_in(folder: &std::path::Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".paguro-probe-{}", std::process::id()));
    std::fs::write(&probe, b"probe")?;
    std::fs::remove_file(&probe)
}

/// The configured model's plan against the machine.
async fn memory(context: &Context) -> Result<(State, String)> {
    let plan = plan(context.load_options(None)?).await?;
    let (needs, machine) = (Bytes(plan.needs()), plan.machine);
    let types = match (plan.cache_type_k, plan.cache_type_v) {
        (Some(k), Some(v)) => format!(", K/V cache {}/{} {}", k.name(), v.name(), Bytes(plan.kv)),
        _ => String::new(),
    };
    let attention = plan.attention.map(|attention| format!(", attention {attention}")).unwrap_or_default();
    let says = format!("the model needs {needs} of {} {}{types}{attention}", Bytes(machine.available), machine.bound.words());
    Ok(match (&plan.way_out, context.config.model.ignore_plan) {
        (None, _) => (State::Ok, says),
        (Some(way_out), true) => (State::Note, format!("{says}; `ignore_plan` loads it all the same, else {way_out}")),
        (Some(way_out), false) => (State::Bad, format!("{says}; {way_out}")),
    })
}

async fn model(context: &Context) -> Result<(State, String)> {
    let configured = context.config.model.file.is_some();
    let engine = load_quietly(context.load_options(None)?).await?;
    let info = engine.info();
    let says = format!(
        "{}: {}, {}parameters, context {} tokens, loaded in {:.0} ms",
        info.name,
        info.architecture,
        count(info.parameters),
        info.context,
        info.load_ms
    );
    if configured {
        return Ok((State::Ok, says));
    }
    let way = "the demo model can only show the tools: name a GGUF file as `file` under [model] in the configuration";
    Ok((State::Note, format!("{says}; {way}")))
}

/// What became of each configured server; one that cannot be used is no fault of the program's.
async fn servers(context: &Context) -> Vec<(State, String)> {
    if context.config.mcp.is_empty() {
        return Vec::new();
    }
    let tools = async {
        let tokens = context.config.limits.tool_output_tokens as usize;
        crate::toolbox::tools(context, crate::toolbox::User::Anyone, context.tool_settings(&context.store()?, tokens)?).await
    };
    let servers = match tools.await {
        Ok(tools) => tools.servers,
        Err(error) => return vec![(State::Bad, format!("{error:#}"))],
    };
    let says = |server: &tools::mcp::Status| match &server.tools {
        Err(why) => (State::Bad, format!("{}: {}", server.name, channels::visible(why))),
        Ok(tools) if server.refused.is_empty() => (State::Ok, format!("{}: {} tools", server.name, tools.len())),
        Ok(tools) => {
            (State::Note, format!("{}: {} tools; not taken: {}", server.name, tools.len(), channels::visible(&server.refused.join("; "))))
        }
    };
    servers.iter().map(says).collect()
}

async fn embedder(context: &Context) -> Result<(State, String)> {
    let Some(engine) = context.embedding_engine().await? else {
        let says = "none, so notes are found by their words only; `paguro model pull bge-small --use` fetches a small one (English)";
        return Ok((State::Note, says.into()));
    };
    let made = engine.embed(EmbedRequest { texts: vec!["a word".into()], kind: EmbedKind::Query, cut: true }).await?;
    let store = context.store()?;
    let (with, all) = store.vector_counts().await?;
    let others =
        store.embedder().await?.is_some_and(|(name, dimension)| (name, dimension) != (made.model.clone(), made.dimensions as usize));
    let says = format!("{}, {} numbers a vector; {with} of {all} notes have theirs", made.model, made.dimensions);
    Ok(match (others, with < all) {
        (true, _) => (State::Note, says + " from another embedder; `paguro memory reindex` makes new ones, or the next turns do"),
        (false, true) => (State::Note, says + "; `paguro memory reindex` makes the others now"),
        (false, false) => (State::Ok, says),
    })
}
