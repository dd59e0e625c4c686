//! The connection to one server: made at the start, used by all of its tools, made again when it was lost.
//!
//! Deliberately not here: a task that watches the server. A death is seen by the next call, which starts it again if it may.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent::{Output, ToolError};
use rmcp::handler::client::ClientHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ClientConfig, Implementation, JsonObject,
    PaginatedRequestParams,
};
use rmcp::service::{NotificationContext, Peer, RoleClient, RunningService, ServiceError, serve_client};
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::process::{Launch, Process};
use super::{Reach, Server, http, listing};
use crate::call::{fail, seconds};
use crate::text::one_line;

/// Starts in a row that may fail, or end in a death before a call has been answered; then the server stays down until the next start of
/// the program.
const MAX_FAILURES: u32 = 5;
/// How long a server may take to answer a ping after a call that got no answer; then it is started again.
const PING: Duration = Duration::from_secs(5);
/// Most pages of a list of tools.
const PAGES: usize = 50;
/// Most characters of an error that the server gives.
const ERROR_CHARS: usize = 500;

/// See the file's head.
pub(super) struct Connection {
    server: Server,
    state: Mutex<State>,
}

struct State {
    /// [`Server::back_off`].
    back_off: Duration,
    running: Option<Running>,
    /// See [`MAX_FAILURES`].
    failures: u32,
    not_before: Option<Instant>,
    /// Why it does not run.
    why: String,
    /// The last call got no answer in time.
    is_suspect: bool,
}

/// A server that was greeted. Dropping it closes the connection, and ends a process of ours.
struct Running {
    service: RunningService<RoleClient, Handler>,
    process: Option<Process>,
}

/// What we answer to a server's own requests: nothing but pings. The defaults of the trait refuse the rest.
#[derive(Default)]
struct Handler {
    list_changed: AtomicBool,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let own = Implementation::new("paguro", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), own)
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.list_changed.store(true, Ordering::Relaxed);
    }
}

impl Connection {
    pub(super) fn new(server: Server) -> Self {
        let back_off = server.back_off;
        let state = State { back_off, running: None, failures: 0, not_before: None, why: String::new(), is_suspect: false };
        Self { server, state: Mutex::new(state) }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Who writes what it says, for [`agent::Output`].
    pub(super) fn origin(&self) -> String {
        format!("MCP server {}", self.server.name)
    }

    /// Starts the server and asks for its tools.
    pub(super) async fn start(&self) -> Result<Vec<rmcp::model::Tool>, String> {
        let limit = self.server.start_timeout;
        let start = async {
            let peer = self.peer().await.map_err(|error| error.text)?;
            list(&peer).await
        };
        match timeout(limit, start).await {
            Ok(Ok(tools)) => Ok(tools),
            Ok(Err(why)) => {
                let words = self.lost(&why).await;
                Err(words)
            }
            Err(_) => {
                let words = self.lost(&format!("it did not list its tools within {}", seconds(limit))).await;
                Err(words)
            }
        }
    }

    /// Calls a tool; the error says what the model may want to know. Dropping the future tells the server that the call is cancelled.
    pub(super) async fn call(&self, tool: &str, arguments: JsonObject, limit: Duration) -> Result<CallToolResult, ToolError> {
        let name = &self.server.name;
        let limit = limit.min(self.server.timeout);
        let until = Instant::now() + limit;
        let said = |text: String| ToolError::from(Output::foreign(text, self.origin()));
        let late = || fail(format!("`{name}` gave no answer within {}, and was told to stop; it may have done part of it", seconds(limit)));
        let peer = tokio::time::timeout_at(until, self.peer()).await.map_err(|_| late())??;
        let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        match tokio::time::timeout_at(until, peer.call_tool_once(request)).await {
            Err(_) => {
                self.state.lock().await.is_suspect = true;
                Err(late())
            }
            Ok(Ok(response)) => {
                self.state.lock().await.failures = 0;
                match response {
                    CallToolResponse::Complete(result) => Ok(result),
                    _ => Err(fail(format!("`{name}` wants to ask somebody something during the call, which is not possible here"))),
                }
            }
            Ok(Err(ServiceError::McpError(error))) => {
                self.state.lock().await.failures = 0;
                Err(said(format!("`{name}` refuses: {}", short(&error.message))))
            }
            Ok(Err(error)) if is_lost(&error) || peer.is_transport_closed() => {
                let why = self.lost(&short(&error.to_string())).await;
                Err(said(format!("`{name}` was lost during the call, which it may have done or not: {why}")))
            }
            Ok(Err(error)) => Err(said(format!("`{name}` answers wrongly: {}", short(&error.to_string())))),
        }
    }

    /// The server, started again if it was lost and may be.
    async fn peer(&self) -> Result<Peer<RoleClient>, ToolError> {
        let name = &self.server.name;
        let said = |text: String| ToolError::from(Output::foreign(text, self.origin()));
        let mut state = self.state.lock().await;
        if let Some(running) = &state.running {
            let peer = running.service.peer().clone();
            let closed = running.service.is_closed() || peer.is_transport_closed();
            let answers = !closed && (!state.is_suspect || ping(&peer).await);
            state.is_suspect = false;
            if answers {
                return Ok(peer);
            }
            state.lose(if closed { "it ended" } else { "it does not answer" });
        }
        let now = Instant::now();
        if state.failures >= MAX_FAILURES {
            let tries = state.failures;
            return Err(said(format!("`{name}` is down and stays down, after {tries} failures in a row: {}", state.why)));
        }
        if let Some(wait) = state.not_before.and_then(|at| at.checked_duration_since(now)).filter(|wait| !wait.is_zero()) {
            return Err(said(format!("`{name}` is down: {}; it may be started again in {:.0} s", state.why, wait.as_secs_f64().ceil())));
        }
        match timeout(self.server.start_timeout, connect(&self.server.reach)).await {
            Ok(Ok(running)) => {
                let peer = running.service.peer().clone();
                state.running = Some(running);
                Ok(peer)
            }
            Ok(Err(why)) => {
                state.fail(why);
                Err(said(format!("`{name}` cannot be started: {}", state.why)))
            }
            Err(_) => {
                state.fail(format!("it did not answer within {}", seconds(self.server.start_timeout)));
                Err(said(format!("`{name}` cannot be started: {}", state.why)))
            }
        }
    }

    /// Ends the server, whose connection was found broken, and says why as well as can be known.
    async fn lost(&self, why: &str) -> String {
        let mut state = self.state.lock().await;
        if state.running.is_some() {
            state.lose(why);
        } else if state.why.is_empty() {
            state.fail(why.to_owned());
        }
        state.why.clone()
    }
}

impl State {
    fn lose(&mut self, why: &str) {
        let words = self.running.as_ref().and_then(|running| running.process.as_ref()?.words.say());
        self.running = None;
        self.fail(words.map_or_else(|| why.to_owned(), |words| format!("{why}; {words}")));
    }

    fn fail(&mut self, why: String) {
        let wait = self.back_off * 2_u32.pow(self.failures.min(MAX_FAILURES));
        self.failures += 1;
        self.not_before = Some(Instant::now() + wait);
        self.why = why;
    }
}

/// Reaches a server and greets it.
async fn connect(reach: &Reach) -> Result<Running, String> {
    match reach {
        Reach::Process { command, environment, folder, sandbox, network } => {
            let program = command.first().map_or("", String::as_str);
            let call = Launch { command, environment, folder, sandbox, network };
            let (process, output, input) = Process::start(&call).map_err(|error| format!("`{program}` cannot be started: {error}"))?;
            let transport = AsyncRwTransport::new_client(output, input);
            match serve_client(Handler::default(), transport).await {
                Ok(service) => Ok(Running { service, process: Some(process) }),
                Err(error) => {
                    let words = last_words(&process).await;
                    Err(words.unwrap_or_else(|| short(&error.to_string())))
                }
            }
        }
        Reach::Http { url, headers } => {
            let transport = http::transport(url, headers)?;
            let service = serve_client(Handler::default(), transport).await.map_err(|error| plain(&error.to_string()))?;
            Ok(Running { service, process: None })
        }
    }
}

/// What a process that has just ended said. Its last line may be a moment behind the end of its output.
async fn last_words(process: &Process) -> Option<String> {
    const PATIENCE: Duration = Duration::from_millis(200);
    let said = async {
        loop {
            if let Some(words) = process.words.say() {
                return words;
            }
            tokio::time::sleep(PATIENCE / 10).await;
        }
    };
    timeout(PATIENCE, said).await.ok()
}

/// All tools of a server, page by page.
async fn list(peer: &Peer<RoleClient>) -> Result<Vec<rmcp::model::Tool>, String> {
    let mut tools = Vec::new();
    let mut params = None;
    for _ in 0..PAGES {
        let page = peer.list_tools(params).await.map_err(|error| format!("its list of tools: {}", short(&error.to_string())))?;
        tools.extend(page.tools);
        // One more than are taken shows that there are more.
        if page.next_cursor.is_none() || tools.len() > listing::TOOLS {
            break;
        }
        params = Some(PaginatedRequestParams::default().with_cursor(page.next_cursor));
    }
    Ok(tools)
}

async fn ping(peer: &Peer<RoleClient>) -> bool {
    use rmcp::model::{ClientRequest, PingRequest};
    let request = ClientRequest::PingRequest(PingRequest::default());
    match timeout(PING, peer.send_request(request)).await {
        Ok(answer) => !answer.is_err_and(|error| is_lost(&error)),
        Err(_) => false,
    }
}

fn is_lost(error: &ServiceError) -> bool {
    matches!(error, ServiceError::TransportClosed | ServiceError::TransportSend(_))
}

/// An error of the way without the names of types that `rmcp` puts before it.
fn plain(text: &str) -> String {
    short(text.rsplit_once("] error: ").map_or(text, |(_, words)| words))
}

/// A server's words on one line, at most [`ERROR_CHARS`] characters.
fn short(text: &str) -> String {
    let line = one_line(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    match line.char_indices().nth(ERROR_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
