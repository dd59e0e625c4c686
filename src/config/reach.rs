//! `[web]` and `[[mcp]]`: what the agent may reach beyond this machine's files, and how.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::Effect;
use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Serialize};
use tools::Sandbox;
use tools::mcp::{self, Reach};
use tools::sandbox::Network;
use tools::{Provider, WebSettings};

use crate::exit::BadInput;
use crate::home::Home;
use crate::secrets;

/// Most servers.
const MOST_SERVERS: usize = 32;
/// Most bytes of a file with a secret.
const SECRET_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// Whether there are `web_fetch` and `web_search`; by default with every model but the demo model.
    pub enabled: Option<bool>,
    /// `HOST:PORT` that may be read although it is not on the public internet.
    pub allow_private: Vec<String>,
    pub search: Search,
    /// The address of a SearXNG; for the others another address than their own.
    pub search_url: Option<String>,
    /// The key for Brave.
    pub key_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Search {
    #[default]
    DuckDuckGo,
    SearXng,
    Brave,
}

/// The patterns of the tools that are taken, and of those with an effect of their own.
type Globs = (Vec<GlobMatcher>, Vec<(GlobMatcher, Effect)>);

/// One MCP server: a command or an address.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mcp {
    pub name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    pub url: Option<String>,
    /// Globs of tool names; empty: all.
    pub allow: Vec<String>,
    pub timeout_s: Option<u64>,
    pub start_timeout_s: Option<u64>,
    /// `HOST:PORT` that a command may reach.
    pub hosts: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// Variables whose values stand in files, because they are secret.
    pub environment_files: BTreeMap<String, PathBuf>,
    pub headers: BTreeMap<String, String>,
    pub header_files: BTreeMap<String, PathBuf>,
    /// What the tools do, by globs of their names, in their order; without it they reach other machines.
    pub effects: toml::Table,
}

impl Web {
    pub fn check(&self) -> Result<(), String> {
        for place in &self.allow_private {
            check_place("web.allow_private", place)?;
        }
        if let Some(url) = &self.search_url {
            check_url("web.search_url", url)?;
        }
        match (self.search, &self.search_url, &self.key_file) {
            (Search::SearXng, None, _) => Err("`web.search` is `searxng`, which has no address of its own; give `web.search_url`".into()),
            (Search::Brave, _, None) => Err("`web.search` is `brave`, which needs a key; name a file with it as `web.key_file`".into()),
            _ => Ok(()),
        }
    }

    /// With the key read from its file.
    pub fn settings(&self, home: &Home) -> anyhow::Result<WebSettings> {
        let url = self.search_url.clone();
        let search = match (self.search, &self.key_file) {
            (Search::Brave, Some(file)) => Provider::Brave { url, key: secret("web.key_file", &secrets::place(home, file))? },
            (Search::SearXng, _) => Provider::SearXng { url: url.unwrap_or_default() },
            _ => Provider::DuckDuckGo { url },
        };
        Ok(WebSettings { allow_private: self.allow_private.clone(), search })
    }
}

impl Mcp {
    /// Checks all `servers`, each by itself and their names against each other.
    pub fn check(servers: &[Self]) -> Result<(), String> {
        if servers.len() > MOST_SERVERS {
            return Err(format!("there are {} [[mcp]] servers; give at most {MOST_SERVERS}", servers.len()));
        }
        for (index, server) in servers.iter().enumerate() {
            let place = format!("[[mcp]] {}", index + 1);
            server.check_one(&place)?;
            if servers[..index].iter().any(|other| other.name == server.name) {
                return Err(format!("{place} has the name `{}`, as another has; give it its own", server.name));
            }
        }
        Ok(())
    }

    fn check_one(&self, place: &str) -> Result<(), String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if self.name.is_empty() || self.name.len() > mcp::MAX_NAME || !self.name.chars().all(is_plain) {
            let most = mcp::MAX_NAME;
            return Err(format!("{place} has the name `{}`; give one of at most {most} letters, digits, `-` and `_`", self.name));
        }
        let place = format!("{place} (`{}`)", self.name);
        match (&self.command[..], &self.url) {
            ([], None) => return Err(format!("{place} has neither `command` nor `url`; give one")),
            ([_, ..], Some(_)) => return Err(format!("{place} has both `command` and `url`; give one")),
            (_, Some(url)) => check_url(&format!("{place}: `url`"), url)?,
            ([program, ..], None) if program.is_empty() => return Err(format!("{place}: `command` begins with an empty word")),
            _ => {}
        }
        let strays = match self.url {
            Some(_) => [
                ("environment", self.environment.is_empty()),
                ("environment_files", self.environment_files.is_empty()),
                ("hosts", self.hosts.is_empty()),
            ],
            None => [("headers", self.headers.is_empty()), ("header_files", self.header_files.is_empty()), ("", true)],
        };
        if let Some((key, _)) = strays.iter().find(|(_, is_empty)| !is_empty) {
            let (has, wants) = if self.url.is_some() { ("url", "command") } else { ("command", "url") };
            return Err(format!("{place} has a `{has}` and `{key}`, which is only for a `{wants}`"));
        }
        self.hosts.iter().try_for_each(|host| check_place(&format!("{place}: `hosts`"), host))?;
        for (key, seconds) in [("timeout_s", self.timeout_s), ("start_timeout_s", self.start_timeout_s)] {
            if let Some(seconds) = seconds.filter(|seconds| !(1..=3_600).contains(seconds)) {
                return Err(format!("{place}: `{key}` is {seconds}; give a number from 1 to 3600"));
            }
        }
        self.globs().map(drop).map_err(|why| format!("{place}: {why}"))
    }

    /// The patterns of `allow` and `effects`.
    fn globs(&self) -> Result<Globs, String> {
        let glob = |pattern: &String| Glob::new(pattern).map(|glob| glob.compile_matcher()).map_err(|error| error.to_string());
        let allow = self.allow.iter().map(glob).collect::<Result<_, _>>().map_err(|why| format!("`allow`: {why}"))?;
        let effect = |(pattern, value): (&String, &toml::Value)| {
            let effect = value.clone().try_into::<Effect>();
            let effect = effect.map_err(|_| format!("`effects` has {value} for `{pattern}`; give read, write, network or spend"))?;
            Ok((glob(pattern).map_err(|why| format!("`effects`: {why}"))?, effect))
        };
        Ok((allow, self.effects.iter().map(effect).collect::<Result<_, String>>()?))
    }

    /// The effect of the tool called `name` here, if it would be one of this server's.
    pub fn effect_of(&self, name: &str) -> Option<Effect> {
        let tool = name.strip_prefix(&self.name)?.strip_prefix('_').filter(|tool| !tool.is_empty())?;
        let (allow, effects) = self.globs().ok()?;
        let is_allowed = allow.is_empty() || allow.iter().any(|glob| glob.is_match(tool));
        is_allowed.then(|| effects.iter().find(|(glob, _)| glob.is_match(tool)).map_or(Effect::Network, |(_, effect)| *effect))
    }

    /// As the tools want it, with what stands in files read.
    pub fn server(&self, home: &Home, folder: &Path, sandbox: &Sandbox) -> anyhow::Result<mcp::Server> {
        let (allow, effects) = self.globs().map_err(BadInput)?;
        let with_files = |plain: &BTreeMap<String, String>, files: &BTreeMap<String, PathBuf>, key: &str| {
            let mut all: Vec<(String, String)> = plain.clone().into_iter().collect();
            for (name, file) in files {
                let place = format!("`{key}` of the MCP server `{}`", self.name);
                all.push((name.clone(), secret(&place, &secrets::place(home, file))?));
            }
            anyhow::Ok(all)
        };
        let hosts = self.hosts.iter().map(|host| host.parse().map_err(BadInput)).collect::<Result<Vec<_>, _>>()?;
        let reach = match &self.url {
            Some(url) => Reach::Http { url: url.clone(), headers: with_files(&self.headers, &self.header_files, "header_files")? },
            None => Reach::Process {
                command: self.command.clone(),
                environment: with_files(&self.environment, &self.environment_files, "environment_files")?,
                folder: folder.to_owned(),
                sandbox: sandbox.clone(),
                network: if hosts.is_empty() { sandbox.network().clone() } else { Network::Hosts(hosts) },
            },
        };
        Ok(mcp::Server {
            name: self.name.clone(),
            reach,
            allow,
            effects,
            timeout: self.timeout_s.map_or(mcp::DEFAULT_TIMEOUT, Duration::from_secs),
            start_timeout: self.start_timeout_s.map_or(mcp::DEFAULT_START_TIMEOUT, Duration::from_secs),
            back_off: mcp::DEFAULT_BACK_OFF,
        })
    }
}

/// The secret in `file`, which `key` names; it stands in no message.
fn secret(key: &str, file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let bytes = std::fs::read(file).map_err(|error| BadInput(format!("{key}: {shown} cannot be read: {error}")))?;
    if bytes.len() > SECRET_BYTES {
        return Err(BadInput(format!("{key}: {shown} has {} bytes; a secret has at most {SECRET_BYTES}", bytes.len())).into());
    }
    let text = String::from_utf8(bytes).map_err(|_| BadInput(format!("{key}: {shown} is no text")))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(BadInput(format!("{key}: {shown} is empty")).into());
    }
    Ok(text.to_owned())
}

/// `HOST:PORT`.
fn check_place(key: &str, place: &str) -> Result<(), String> {
    let good = place.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
    if good { Ok(()) } else { Err(format!("{key} has {place:?}; give HOST:PORT, such as printer.local:80")) }
}

fn check_url(key: &str, text: &str) -> Result<(), String> {
    let bad = |why: &str| Err(format!("{key} {why}; give an address such as https://example.org/"));
    match reqwest::Url::parse(text) {
        Ok(url) if !["http", "https"].contains(&url.scheme()) => bad("is no http or https address"),
        // Not repeated: it may be a secret.
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err(format!("{key} has a name or password in it; put it in a file that `header_files` names"))
        }
        Ok(_) => Ok(()),
        Err(error) => bad(&format!("is no address ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), &str>) {
        #[derive(Deserialize)]
        struct Both {
            #[serde(default)]
            web: Web,
            #[serde(default)]
            mcp: Vec<Mcp>,
        }
        let both: Both = toml::from_str(text).unwrap();
        let result = both.web.check().and_then(|()| Mcp::check(&both.mcp));
        assert_eq!(result, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn what_is_good() {
        check("", Ok(()));
        check(
            "[web]\nenabled = false\nallow_private = ['nas:80', '[::1]:8080']\nsearch = 'searxng'\nsearch_url = 'http://127.0.0.1:8080'",
            Ok(()),
        );
        let server =
            "[[mcp]]\nname = 'a'\ncommand = ['x', '--y']\nenvironment = { K = 'v' }\nenvironment_files = { T = 'f' }\nallow = ['get_*']";
        check(&format!("{server}\neffects = {{ 'get_*' = 'read', '*' = 'write' }}\n[[mcp]]\nname = 'b'\nurl = 'https://h/mcp'"), Ok(()));
    }

    #[test]
    fn what_is_bad_names_the_place_and_the_way_out() {
        let place = "give HOST:PORT, such as printer.local:80";
        check("[web]\nallow_private = ['nas']", Err(&format!("web.allow_private has \"nas\"; {place}")));
        check("[web]\nsearch = 'brave'", Err("`web.search` is `brave`, which needs a key; name a file with it as `web.key_file`"));
        check("[web]\nsearch = 'searxng'", Err("`web.search` is `searxng`, which has no address of its own; give `web.search_url`"));
        let address = "give an address such as https://example.org/";
        check("[web]\nsearch_url = 'ftp://x'", Err(&format!("web.search_url is no http or https address; {address}")));
        let name = "give one of at most 24 letters, digits, `-` and `_`";
        check("[[mcp]]\nname = 'a b'\ncommand = ['x']", Err(&format!("[[mcp]] 1 has the name `a b`; {name}")));
        check("[[mcp]]\ncommand = ['x']", Err(&format!("[[mcp]] 1 has the name ``; {name}")));
        check("[[mcp]]\nname = 'a'", Err("[[mcp]] 1 (`a`) has neither `command` nor `url`; give one"));
        check("[[mcp]]\nname = 'a'\nurl = 'http://h'\ncommand = ['x']", Err("[[mcp]] 1 (`a`) has both `command` and `url`; give one"));
        let twice = "[[mcp]]\nname = 'a'\nurl = 'http://h'\n[[mcp]]\nname = 'a'\nurl = 'http://h'";
        check(twice, Err("[[mcp]] 2 has the name `a`, as another has; give it its own"));
        let secret = "[[mcp]]\nname = 'a'\nurl = 'http://me:secret@h'";
        check(secret, Err("[[mcp]] 1 (`a`): `url` has a name or password in it; put it in a file that `header_files` names"));
        let stray = "[[mcp]]\nname = 'a'\nurl = 'http://h'\nhosts = ['h:1']";
        check(stray, Err("[[mcp]] 1 (`a`) has a `url` and `hosts`, which is only for a `command`"));
        let stray = "[[mcp]]\nname = 'a'\ncommand = ['x']\nheaders = { A = 'b' }";
        check(stray, Err("[[mcp]] 1 (`a`) has a `command` and `headers`, which is only for a `url`"));
        let effect = "[[mcp]]\nname = 'a'\ncommand = ['x']\neffects = { '*' = 'none' }";
        check(effect, Err("[[mcp]] 1 (`a`): `effects` has \"none\" for `*`; give read, write, network or spend"));
        check(
            "[[mcp]]\nname = 'a'\ncommand = ['x']\ntimeout_s = 0",
            Err("[[mcp]] 1 (`a`): `timeout_s` is 0; give a number from 1 to 3600"),
        );
    }
}
