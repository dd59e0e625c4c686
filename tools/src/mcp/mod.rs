//! Servers that speak the Model Context Protocol: their tools as [`Tool`]s, over stdio or streamable HTTP.
//!
//! A server's word is not trusted: names, descriptions, schemas and results are bounded, its hints about effects are not read (the
//! owner's configuration says what a tool does; without it, it reaches other machines and asks), and one that is dead, slow or wrong
//! costs its own tools and nothing else. The protocol itself is the crate `rmcp`'s.
//!
//! Deliberately not here: resources, prompts, sampling, roots, elicitation and tasks, which the servers are told; a server that asks a
//! person something during a call is told no. The list of tools is taken once: the block of a session does not change, so what a
//! server changes later counts from the next start.

mod connection;
mod http;
mod listing;
mod process;
mod result;
mod tool;

#[cfg(all(test, unix))]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent::{Effect, Tool};
use globset::GlobMatcher;
use tokio::task::JoinSet;

use self::connection::Connection;
use crate::sandbox::{Network, Sandbox};

/// How long a call may take where the owner does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a server may take to start and list its tools where the owner does not say. All start at once, so the program waits this
/// long at most for all of them.
pub const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server that failed is not started again; twice as long after each further failure in a row.
pub const DEFAULT_BACK_OFF: Duration = Duration::from_secs(1);

/// A server, as the owner configured it.
pub struct Server {
    /// `[A-Za-z0-9_-]`, at most [`MAX_NAME`] characters; the beginning of its tools' names.
    pub name: String,
    /// How it is reached.
    pub reach: Reach,
    /// Which of its tools are taken; empty: all.
    pub allow: Vec<GlobMatcher>,
    /// What its tools do, the first that matches. A tool that none matches has [`Effect::Network`].
    pub effects: Vec<(GlobMatcher, Effect)>,
    /// Most time of a call.
    pub timeout: Duration,
    /// Most time from its start until its tools are known.
    pub start_timeout: Duration,
    /// See [`DEFAULT_BACK_OFF`].
    pub back_off: Duration,
}

/// How a server is reached.
pub enum Reach {
    /// A process of ours, by standard input and output.
    Process {
        /// The program and its arguments; not empty.
        command: Vec<String>,
        /// Its environment, beside the little that every child gets.
        environment: Vec<(String, String)>,
        /// Where it starts.
        folder: PathBuf,
        /// The sandbox that it runs in; the folder is its workspace.
        sandbox: Sandbox,
        /// What it may reach.
        network: Network,
    },
    /// Another's process, by streamable HTTP.
    Http {
        /// Its address.
        url: String,
        /// What is sent with every request; may be secret.
        headers: Vec<(String, String)>,
    },
}

/// Most characters of a server's name.
pub const MAX_NAME: usize = 24;

/// What has become of a server at the start, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The server's name.
    pub name: String,
    /// The names of its tools here; or why there are none.
    pub tools: Result<Vec<String>, String>,
    /// One line for each tool that is not taken although the owner allowed it, and why.
    pub refused: Vec<String>,
}

/// Starts all `servers` at once and lists their tools, in the order of the configuration. No tool gets one of the names in `taken`.
/// Takes at most the longest `start_timeout`. The servers run as long as one of their tools is there. Needs a tokio runtime.
pub async fn start(servers: Vec<Server>, taken: &[String]) -> (Vec<Box<dyn Tool>>, Vec<Status>) {
    let mut starts = JoinSet::new();
    let mut connections = Vec::new();
    for (index, server) in servers.into_iter().enumerate() {
        let connection = Arc::new(Connection::new(server));
        connections.push((Arc::clone(&connection), Err("it could not be started".to_owned())));
        starts.spawn(async move { (index, connection.start().await) });
    }
    while let Some(started) = starts.join_next().await {
        // A start that broke keeps the words above.
        if let Ok((index, listed)) = started {
            connections[index].1 = listed;
        }
    }
    let mut names = taken.to_vec();
    let mut tools: Vec<Box<dyn Tool>> = Vec::new();
    let mut statuses = Vec::new();
    for (connection, listed) in connections {
        let name = connection.server().name.clone();
        let mut refused = Vec::new();
        let own = listed.map(|listed| {
            let (taken, not) = listing::take(&connection, listed, &mut names);
            refused = not;
            let own = taken.iter().map(|tool| tool.schema().name).collect();
            tools.extend(taken);
            own
        });
        statuses.push(Status { name, tools: own, refused });
    }
    (tools, statuses)
}
