//! Which tools there are, and which of them the model is told of: the one place that decides it.
//!
//! Deliberately not here: whether a call may run.

use agent::engine::{Engine, ToolSchema};
use agent::{ASK_USER, AskUser, Effect, SPAWN, Spawn, Tool, Toolbox};
use anyhow::Result;
use serde_json::Value;
use tools::mcp::{self, Status};
use tools::{SendFile, Settings, schedule};

use crate::config::Config;
use crate::exit::BadInput;
use crate::parts::Context;

/// The most that a session's first tokens may cost (the issue of part 1; another agent spends 8,055 on "Hello there"). Tools that
/// would pass it are found by `find_tool`.
const BLOCK_TOKENS: u32 = 3_000;
/// Tokens that a template may put around one tool.
const FRAME_TOKENS: u32 = 16;

/// Who uses the tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// The embedded model. It was trained on the built-in tools alone, so it gets no others but those that the owner asked for.
    Demo,
    /// Any other model, or the owner.
    Anyone,
}

/// All tools, the built-in ones first and in their order, and what became of the servers.
pub struct Tools {
    pub all: Vec<Box<dyn Tool>>,
    /// How many of `all`, from the first, are our own.
    own: usize,
    pub servers: Vec<Status>,
}

/// Puts the tools together and starts the servers.
pub async fn tools(context: &Context, user: User, settings: Settings) -> Result<Tools> {
    let config = &context.config;
    let (folder, sandbox) = (settings.workspace.root().to_owned(), settings.sandbox.clone());
    let for_files = settings.store.clone();
    let mut all = tools::builtin(&settings);
    if user == User::Anyone {
        let zone = schedule::default_zone(config.schedule.zone.as_deref()).map_err(|error| BadInput(error.0))?;
        all.push(Box::new(schedule::Schedule::new(settings.store, zone, jiff::Timestamp::now)));
        all.push(Box::new(Spawn));
        all.push(Box::new(AskUser));
        if config.telegram.is_configured() {
            let folder = context.home.data.join("outgoing");
            all.push(Box::new(SendFile::new(settings.workspace.clone(), folder, for_files, channels::telegram::CHANNEL)));
        }
    }
    if config.web.enabled.unwrap_or(user == User::Anyone) {
        all.extend(tools::web(&config.web.settings(&context.home)?));
    }
    let own = all.len();
    let mut names: Vec<String> = all.iter().map(|tool| tool.schema().name).chain([SPAWN, ASK_USER].map(str::to_owned)).collect();
    names.extend(tools::finder(Vec::new()).iter().map(|tool| tool.schema().name));
    let servers = config.mcp.iter().map(|server| server.server(&context.home, &folder, &sandbox)).collect::<Result<_>>()?;
    let (foreign, servers) = mcp::start(servers, &names).await;
    all.extend(foreign);
    Ok(Tools { all, own, servers })
}

impl Tools {
    /// A toolbox whose schemas fit into the block with `block`, by the model's own tokenizer: our own tools, then those of the servers in
    /// the order of the configuration, each that still fits. The others are found by `find_tool`.
    pub async fn fit(self, block: &str, engine: &Engine) -> Result<Toolbox> {
        let text = |schema: &ToolSchema| serde_json::to_string(schema).unwrap_or_default();
        let schemas: Vec<ToolSchema> = self.all.iter().map(|tool| tool.schema()).collect();
        // The number of hidden tools is in the text of `find_tool`: all of them is the longest number.
        let finder: Vec<ToolSchema> = tools::finder(schemas.clone()).iter().map(|tool| tool.schema()).collect();
        let mut texts: Vec<String> = vec![block.to_owned()];
        texts.extend(finder.iter().chain(&schemas).map(text));
        let counts = engine.count_tokens(texts).await?;
        let (fixed, counts) = counts.split_at(1 + finder.len());
        let costs = counts.iter().map(|count| count + FRAME_TOKENS);
        let fixed: u32 = fixed.iter().sum::<u32>() + 2 * FRAME_TOKENS;
        let listed = listed(&costs.collect::<Vec<_>>(), self.own, fixed);
        let (mut told, mut hidden) = (Vec::new(), Vec::new());
        for (tool, is_listed) in self.all.into_iter().zip(listed) {
            let place = if is_listed { &mut told } else { &mut hidden };
            place.push(tool);
        }
        if !hidden.is_empty() {
            told.extend(tools::finder(hidden.iter().map(|tool| tool.schema()).collect()));
        }
        Ok(Toolbox::checked(told)?.with_hidden(hidden))
    }
}

/// Which tools are told of, when each costs so many tokens, the first `own` are always told of, and `fixed` tokens are spent if any is not.
fn listed(costs: &[u32], own: usize, fixed: u32) -> Vec<bool> {
    let all: u32 = costs.iter().sum();
    if all + fixed <= BLOCK_TOKENS {
        return vec![true; costs.len()];
    }
    let mut spent = fixed;
    let is_listed = |(index, cost): (usize, &u32)| {
        let fits = index < own || spent + cost <= BLOCK_TOKENS;
        spent += if fits { *cost } else { 0 };
        fits
    };
    costs.iter().enumerate().map(is_listed).collect()
}

/// The declared effect of the tool `name`, as far as it can be known without starting a server; `None` if there is no such tool.
pub fn effect_of(config: &Config, name: &str, arguments: &Value) -> Option<Effect> {
    let own = tools::effect_of(name, arguments, &config.sandbox.network()).or_else(|| match name {
        "web_fetch" | "web_search" if config.web.enabled != Some(false) => Some(Effect::Network),
        "find_tool" => Some(Effect::Read),
        SPAWN => Some(Spawn.effect()),
        ASK_USER => Some(AskUser.effect()),
        _ => None,
    });
    own.or_else(|| config.mcp.iter().find_map(|server| server.effect_of(name)))
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use agent::engine::LoadOptions;
    use memory::Store;

    use super::*;
    use crate::home::Home;

    fn context(folder: &std::path::Path, web: Option<bool>) -> Context {
        let home = Home { config: folder.join("paguro.toml"), data: folder.to_owned(), cache: folder.join("cache") };
        let mut config = Config::default();
        config.web.enabled = web;
        Context { home, config }
    }

    /// By the demo model's tokenizer, the most wasteful there is.
    #[tokio::test]
    async fn block_and_tools_are_few_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::load(LoadOptions::new(crate::parts::demo()), |_| ControlFlow::Continue(())).await.unwrap();
        for (user, web, expected) in [(User::Demo, None, 8), (User::Demo, Some(true), 10), (User::Anyone, None, 13)] {
            let context = context(folder.path(), web);
            let store = Store::in_memory().unwrap();
            let settings = context.tool_settings(&store, tools::DEFAULT_OUTPUT_TOKENS).unwrap();
            let tools = tools(&context, user, settings).await.unwrap();
            let toolbox = tools.fit(agent::SYSTEM_BLOCK, &engine).await.unwrap();
            assert_eq!(toolbox.schemas().len(), expected);
            let texts = vec![agent::SYSTEM_BLOCK.to_owned(), serde_json::to_string(&toolbox.schemas()).unwrap()];
            let counts = engine.count_tokens(texts).await.unwrap();
            assert!(counts.iter().sum::<u32>() <= BLOCK_TOKENS, "{counts:?}");
        }
    }

    /// With as many skills as are listed and a long `AGENTS.md`, all accepted: what does not fit is found by `find_tool`.
    #[tokio::test]
    async fn skills_leave_the_block_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join("workspace").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let words = "Use it for every table of figures that the owner asks about. ".repeat(50);
        write("AGENTS.md", &words);
        for n in 10..40 {
            write(&format!("skills/table-{n}/SKILL.md"), &format!("---\nname: table-{n}\ndescription: {}\n---\n", &words[..500]));
        }
        let (context, store) = (context(folder.path(), None), Store::in_memory().unwrap());
        let settings = context.tool_settings(&store, tools::DEFAULT_OUTPUT_TOKENS).unwrap();
        let skills = settings.skills.clone().unwrap();
        for listed in skills.list().await.unwrap() {
            skills.accept(&listed.skill.unwrap().0).await.unwrap();
        }
        skills.accept(&skills.find(tools::AGENTS).await.unwrap().0).await.unwrap();
        let engine = Engine::load(LoadOptions::new(crate::parts::demo()), |_| ControlFlow::Continue(())).await.unwrap();
        let tail = skills.block().await;
        assert!(tail.contains("- table-10: Use it") && tail.contains("</agents-md>"), "{tail}");
        let block = agent::SYSTEM_BLOCK.to_owned() + &tail;
        let toolbox = tools(&context, User::Demo, settings).await.unwrap().fit(&block, &engine).await.unwrap();
        let counts = engine.count_tokens(vec![block, serde_json::to_string(&toolbox.schemas()).unwrap()]).await.unwrap();
        assert!(counts.iter().sum::<u32>() <= BLOCK_TOKENS, "{counts:?}");
    }

    #[test]
    fn tools_are_told_of_as_long_as_they_fit() {
        assert_eq!(listed(&[100, 900, 1_000], 1, 1_000), [true; 3]);
        assert_eq!(listed(&[100, 900, 1_001], 1, 1_000), [true, true, false]);
        assert_eq!(listed(&[100, 2_000, 1_900, 1], 1, 1_000), [true, false, true, false]);
        assert_eq!(listed(&[5_000, 1], 1, 1_000), [true, false], "our own are always told of");
    }
}
