//! Builds the parts from configuration and arguments: store, engine, tools, agent.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agent::{Agent, Event, KeepRule, Limits, Settings, Stage, Toolbox};
use anyhow::Result;
use channels::terminal::{Format, Interrupt, Printer, check_session_name};
use engine::{CacheType, EmbedderOptions, Engine, LoadOptions, ModelSource, Plan};
use memory::Store;
use tokio::sync::mpsc;
use tools::{Kept, OutputFolder, Sandbox, Skills, Workspace};

use crate::args::TurnArgs;
use crate::commands::ask::{OwnPrinter, screen};
use crate::config::{Config, WhileBusy};
use crate::exit::{self, BadInput, Interrupted};
use crate::home::Home;
use crate::models::configure;
use crate::out;
use crate::secrets;
use crate::toolbox::{self, User};

/// A load that is over by then shows no progress.
const QUICK_LOAD: Duration = Duration::from_millis(500);

/// Two signals within this time mean that the first was not enough.
const IMPATIENCE: Duration = Duration::from_millis(700);

/// The model inside the executable.
static DEMO: &[u8] = include_bytes!("../models/demo/demo.gguf");

/// What every command starts from.
pub struct Context {
    pub home: Home,
    pub config: Config,
}

impl Context {
    /// Reads the environment and the configuration file.
    pub fn read() -> Result<Self> {
        let home = Home::find(|name| std::env::var_os(name))?;
        let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let config = Config::load(&home.config, variables)?;
        Ok(Self { home, config })
    }

    /// The database; one process at a time.
    pub fn store(&self) -> Result<Store> {
        match out::client() {
            Some(client) => Ok(client.desk.store.clone()),
            None => Ok(Store::open(&self.home.data)?),
        }
    }

    pub fn workspace(&self) -> PathBuf {
        self.home.resolve(&self.config.tools.workspace)
    }

    /// The workspace. It must not hold the program's own files: what is in it is read without asking.
    pub fn open_workspace(&self) -> Result<Workspace> {
        let workspace = Workspace::open(&self.workspace())?;
        for own in [&self.home.data, &self.home.config] {
            if workspace.contains(own) {
                let (root, own) = (workspace.root().display(), own.display());
                let reason =
                    format!("the workspace {root} holds {own}, which the tools must not reach; choose another `workspace` in [tools]");
                return Err(BadInput(reason).into());
            }
        }
        Ok(workspace)
    }

    /// The sandbox as configured.
    pub fn sandbox(&self) -> Sandbox {
        Sandbox::new(self.config.sandbox.settings(&self.home))
    }

    /// Where the file tools keep what they overwrite.
    pub fn kept(&self, store: &Store) -> Kept {
        Kept::new(self.home.data.join("kept"), self.config.tools.undo_mb << 20, store.clone())
    }

    /// The skills of `workspace` and of the home.
    pub fn skills(&self, workspace: Workspace, store: &Store) -> Skills {
        Skills::new(workspace, self.home.data.join("skills"), store.clone())
    }

    /// What the built-in tools need; `output_tokens` of a result are shown to the model.
    pub fn tool_settings(&self, store: &Store, output_tokens: usize) -> Result<tools::Settings> {
        let workspace = self.open_workspace()?;
        let skills = Some(self.skills(workspace.clone(), store));
        let sandbox = self.sandbox();
        Ok(tools::Settings { output_tokens, skills, sandbox, ..tools::Settings::new(workspace, store.clone(), self.kept(store)) })
    }

    /// Which model is meant: `--model`, else the configured one, else the demo model.
    pub fn source(&self, given: Option<&str>) -> Result<ModelSource> {
        let Some(name) = given.map(PathBuf::from).or_else(|| self.config.model.file.clone()) else { return Ok(demo()) };
        let text = name.to_string_lossy();
        if let Some(script) = text.strip_prefix("script:") {
            return Ok(ModelSource::Script(script.into()));
        }
        if text == "demo" {
            return Ok(demo());
        }
        match self.find(&name, given.is_some()) {
            Some(place) => Ok(ModelSource::File(place)),
            None => Err(engine::EngineError::NoSuchModel { path: name }.into()),
        }
    }

    /// The file that is meant by `name`, if there is one.
    fn find(&self, name: &Path, is_typed: bool) -> Option<PathBuf> {
        // What was typed is looked for from here first, what is configured from the home; then a name in the models folder.
        let models = self.home.data.join("models");
        let mut places = vec![self.home.resolve(name), models.join(name), models.join(format!("{}.gguf", name.display()))];
        if is_typed {
            places.insert(0, name.to_owned());
        }
        places.into_iter().find(|place| place.is_file())
    }

    /// An engine that can embed, for commands that need no model to talk to: one of its own, or that of the process that serves; `None`: no
    /// embedder is configured.
    pub async fn embedding_engine(&self) -> Result<Option<Engine>> {
        if let Some(client) = out::client() {
            return Ok(client.desk.agent().map(|agent| agent.engine().clone()).filter(Engine::has_embedder));
        }
        let Some(options) = self.embedder(None) else { return Ok(None) };
        Ok(Some(Engine::embedding_only(options).await?))
    }

    /// Whether the embedded demo model is used.
    pub fn is_demo(&self, turn: &TurnArgs) -> Result<bool> {
        Ok(matches!(self.source(turn.model.as_deref())?, ModelSource::Embedded { .. }))
    }

    /// The configured embedder, or the one `given`, which has none of the configured one's settings; `None`: there is none.
    pub fn embedder(&self, given: Option<&Path>) -> Option<EmbedderOptions> {
        let (model, embedder) = (&self.config.model, &self.config.embedder);
        let name = given.or(embedder.file.as_deref())?;
        // One that is not there is an error when it is needed.
        let file = self.find(name, given.is_some()).unwrap_or_else(|| if given.is_some() { name.into() } else { self.home.resolve(name) });
        let options = EmbedderOptions {
            gpu_layers: model.gpu_layers,
            threads: model.threads,
            memory_limit: model.memory_limit.map(|limit| limit.0),
            ignore_plan: model.ignore_plan,
            ..EmbedderOptions::new(ModelSource::File(file))
        };
        if given.is_some() {
            return Some(options);
        }
        Some(EmbedderOptions {
            context: embedder.context,
            query_prefix: embedder.query_prefix.clone(),
            document_prefix: embedder.document_prefix.clone(),
            idle: Duration::from_secs(embedder.idle_s),
            ..options
        })
    }

    /// How to load it.
    pub fn load_options(&self, given: Option<&str>) -> Result<LoadOptions> {
        let model = &self.config.model;
        let defaults = LoadOptions::new(self.source(given)?);
        // A q4_0 cache is what makes long contexts fit; the demo model has none, and its narrow heads lose words in the rounding.
        let is_demo = matches!(defaults.source, ModelSource::Embedded { .. });
        let (k, v) = if is_demo { (CacheType::F16, CacheType::F16) } else { (defaults.cache_type_k, defaults.cache_type_v) };
        Ok(LoadOptions {
            context: model.context,
            cache_type_k: model.cache_type_k.unwrap_or(k),
            cache_type_v: model.cache_type_v.unwrap_or(v),
            mmap: model.mmap,
            flash_attention: model.flash_attention,
            gpu_layers: model.gpu_layers,
            threads: model.threads,
            batch: model.batch,
            hot: self.config.engine.hot,
            kv_folder: Some(self.kv_folder()).filter(|_| self.config.engine.kv_disk_mb > 0),
            kv_disk_bytes: self.config.engine.kv_disk_mb << 20,
            draft: self.config.engine.draft,
            workers: self.config.engine.workers.clone(),
            memory_limit: model.memory_limit.map(|limit| limit.0),
            ignore_plan: model.ignore_plan,
            embedder: self.embedder(None),
            ..defaults
        })
    }

    /// Removes what the model has read of a session, in memory and on disk.
    pub async fn forget_read(&self, channel: &str, session: &str) -> Result<()> {
        let agent = out::client().and_then(|client| client.desk.agent());
        for name in agent::transcripts(channel, session) {
            match &agent {
                Some(agent) => drop(agent.engine().forget(&name).await?),
                None => engine::remove_transcript(&self.kv_folder(), &name)?,
            }
        }
        Ok(())
    }

    /// Where transcripts are kept that are not in memory.
    pub fn kv_folder(&self) -> PathBuf {
        self.home.cache.join("kv")
    }
}

/// What loading by `options` would take. Reads a file's header on a thread of its own.
pub async fn plan(options: LoadOptions) -> Result<Plan> {
    Ok(tokio::task::spawn_blocking(move || Plan::of(&options)).await??)
}

/// The embedded model.
pub fn demo() -> ModelSource {
    ModelSource::Embedded { name: "demo", bytes: DEMO }
}

/// Ctrl-C, and the signals that end a program, as an [`Interrupt`]: what runs is stopped and its children with it. If the program is
/// still there a second one ends it at once.
pub fn on_ctrl_c() -> Interrupt {
    if let Some(client) = out::client() {
        return client.interrupt.clone();
    }
    let interrupt = Interrupt::new();
    let raise = interrupt.clone();
    tokio::spawn(async move {
        let mut last: Option<Instant> = None;
        while signalled().await.is_ok() {
            if last.is_some_and(|last| last.elapsed() < IMPATIENCE) {
                std::process::exit(exit::INTERRUPTED.into());
            }
            last = Some(Instant::now());
            raise.raise();
        }
    });
    interrupt
}

#[cfg(unix)]
async fn signalled() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut hangup) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn signalled() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}

/// Loads a model and shows how far it is; Ctrl-C cancels.
pub async fn load(options: LoadOptions, printer: &mut OwnPrinter, interrupt: &Interrupt) -> Result<Engine> {
    let cancel = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&cancel);
    let (sender, mut shown) = mpsc::channel(1);
    let start = Instant::now();
    let progress = move |done: f32| {
        if start.elapsed() >= QUICK_LOAD {
            // Best effort: while the last one is being shown the next ones are dropped.
            let _ = sender.try_send(Event::Progress { stage: Stage::Load, done });
        }
        if seen.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let loading = Engine::load(options, progress);
    let raised = interrupt.raised();
    tokio::pin!(loading, raised);
    let engine = loop {
        tokio::select! {
            engine = &mut loading => break engine?,
            Some(event) = shown.recv() => printer.event(&event)?,
            () = &mut raised => {
                cancel.store(true, Ordering::Relaxed);
                let _ = loading.await;
                return Err(Interrupted.into());
            }
        }
    };
    Ok(engine)
}

/// Loads a model for a look at it: with a spinner on a terminal, and nothing on standard output.
pub async fn load_quietly(options: LoadOptions) -> Result<Engine> {
    let mut printer = Printer::new(screen(Format::Text), io::stdout(), io::stderr());
    let engine = load(options, &mut printer, &on_ctrl_c()).await;
    printer.settle()?;
    engine
}

/// Notes at the tail of a message for the demo model.
const DEMO_NOTES: usize = 3;

/// Puts the agent together.
pub async fn agent(context: &Context, turn: &TurnArgs, store: Store, engine: Engine) -> Result<Agent> {
    let limits = limits(context, turn)?;
    let tool_settings = tool_settings(context, &limits, &store, &engine)?;
    let toolbox = toolbox(context, turn, tool_settings, &engine).await?;
    Ok(Agent::new(engine, store.clone(), toolbox, settings(context, limits, &store)?))
}

/// The same agent by a configuration that has changed. The tools are put together anew, and the servers of some started again, only if
/// what they are made by is another.
pub async fn renewed(context: &Context, turn: &TurnArgs, old: &Config, agent: &Agent) -> Result<Agent> {
    let limits = limits(context, turn)?;
    let made_by =
        |config: &Config| (config.tools.clone(), config.sandbox.clone(), config.web.clone(), config.mcp.clone(), config.schedule.clone());
    let toolbox = match made_by(old) == made_by(&context.config) {
        true => None,
        false => {
            let tool_settings = tool_settings(context, &limits, agent.store(), agent.engine())?;
            Some(toolbox(context, turn, tool_settings, agent.engine()).await?)
        }
    };
    Ok(agent.renewed(toolbox, settings(context, limits, agent.store())?))
}

fn limits(context: &Context, turn: &TurnArgs) -> Result<Limits> {
    let demo = context.is_demo(turn)?;
    let (limits, memory) = (&context.config.limits, &context.config.memory);
    Ok(Limits {
        steps: turn.max_steps.unwrap_or(limits.max_steps) as usize,
        tokens: turn.max_tokens.unwrap_or(limits.max_tokens),
        reasoning_tokens: context.config.model.reasoning_tokens,
        time: turn.timeout.unwrap_or(Duration::from_secs(limits.timeout_s)),
        tool_time: Duration::from_secs(limits.tool_timeout_s),
        spends: limits.max_spends as usize,
        approval_time: Duration::from_secs(limits.approval_timeout_s),
        // The demo model has learned to read so many.
        recall_notes: memory.recall_notes.min(if demo { DEMO_NOTES } else { usize::MAX }),
        recall_tokens: memory.recall_tokens,
        recall_turns: memory.recall_turns.unwrap_or(!demo),
        output_tokens: limits.tool_output_tokens,
    })
}

fn tool_settings(context: &Context, limits: &Limits, store: &Store, engine: &Engine) -> Result<tools::Settings> {
    let settings = context.tool_settings(store, limits.shown_tokens(engine.info().context) as usize)?;
    Ok(tools::Settings { engine: Some(engine.clone()), recall_turns: limits.recall_turns, ..settings })
}

async fn toolbox(context: &Context, turn: &TurnArgs, tool_settings: tools::Settings, engine: &Engine) -> Result<Toolbox> {
    let sandbox = &tool_settings.sandbox;
    if let Some(notice) = sandbox.refusal().map(|refusal| refusal.to_string()).or_else(|| sandbox.notice()) {
        tell!("paguro: {notice}");
    }
    let skills = context.skills(tool_settings.workspace.clone(), &tool_settings.store);
    let user = if context.is_demo(turn)? { User::Demo } else { User::Anyone };
    let tools = toolbox::tools(context, user, tool_settings).await?;
    for server in &tools.servers {
        if let Err(why) = &server.tools {
            tell!("paguro: the MCP server `{}` has no tools here: {}", server.name, channels::visible(why));
        }
    }
    tools.fit(&(agent::SYSTEM_BLOCK.to_owned() + &skills.block().await), engine).await
}

fn settings(context: &Context, limits: Limits, store: &Store) -> Result<Settings> {
    let workspace = context.open_workspace()?;
    let output = OutputFolder::new(workspace.clone());
    let skills = context.skills(workspace, store);
    Ok(Settings {
        policy: context.config.policy.clone(),
        limits,
        sampling: context.config.sampling.clone(),
        clock,
        now,
        overflow: Box::new(move |key, text, bytes| output.fit(key, text, bytes)),
        secrets: secrets::known(context)?,
        keep_rule: keep_rule(context),
        block_tail: Box::new(move || {
            let skills = skills.clone();
            Box::pin(async move { skills.block().await })
        }),
        steer: context.config.chat.while_busy == WhileBusy::Steer,
    })
}

/// How a rule is kept that the owner has agreed to: in front of the others in the configuration.
pub fn keep_rule(context: &Context) -> KeepRule {
    let file = context.home.config.clone();
    Box::new(move |rule| configure::write(&file, |document| configure::add_rule(document, rule)).map_err(|e| format!("{e:#}")))
}

/// Seconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The local time in words, for the tail of a message.
fn clock() -> String {
    jiff::Zoned::now().strftime("%Y-%m-%d %H:%M %A").to_string()
}

/// A name for a session that the user did not name: sorts by time, and two at once differ by process.
pub fn new_session() -> String {
    format!("{}-{}", jiff::Zoned::now().strftime("%Y%m%d-%H%M%S"), std::process::id())
}

/// A session's name as typed.
pub fn session_name(name: Option<&str>) -> Result<String> {
    let Some(name) = name else { return Ok(new_session()) };
    check_session_name(name).map_err(|e| BadInput(e.to_string()))?;
    Ok(name.to_owned())
}
