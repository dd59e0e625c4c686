//! Where the agent is that the terminal talks to: in this process, or in a `paguro serve` that runs already. What it does is the same.

use agent::memory::{Inbound, OutboundRow, StoreError};
use agent::{Agent, AgentError, Answer, Event, Outcome, Question};
use tokio::sync::mpsc;

use super::{CHANNEL, session};
use crate::socket::{Client, Reply, Request, TurnLimits};

/// See the top of this file.
#[derive(Clone, Copy)]
pub enum Host<'a> {
    /// In this process.
    Own(&'a Agent),
    /// In another one.
    Served(&'a Client),
}

impl<'a> From<&'a Agent> for Host<'a> {
    fn from(agent: &'a Agent) -> Self {
        Self::Own(agent)
    }
}

impl Host<'_> {
    /// The model's name; empty while it is being loaded elsewhere.
    #[must_use]
    pub fn model(&self) -> &str {
        match self {
            Self::Own(agent) => &agent.engine().info().name,
            Self::Served(client) => &client.model,
        }
    }

    /// Commits a message of a session of the terminal; its turn. `limits` bound the turn where another process runs it; the agent here
    /// has its own.
    ///
    /// # Errors
    /// The journal's, or the connection's; nothing is written then.
    pub async fn accept(&self, session: &str, text: String, data: Option<String>, limits: TurnLimits) -> Result<i64, AgentError> {
        match self {
            Self::Own(agent) => {
                let inbound = Inbound { channel: CHANNEL.into(), session: session.to_owned(), text, data, ..Inbound::default() };
                Ok(agent.accept(inbound).await?.turn)
            }
            Self::Served(client) => Ok(client.accept(session, text, data, limits).await?),
        }
    }

    /// [`Agent::drive`].
    pub(super) async fn drive(
        &self,
        turn: i64,
        events: &mpsc::Sender<Event>,
        ask: impl AsyncFnMut(&Question) -> Option<Answer>,
    ) -> Result<Outcome, AgentError> {
        match self {
            Self::Own(agent) => agent.drive(turn, events, ask).await,
            Self::Served(client) => client.drive(turn, events, ask).await,
        }
    }

    /// Ends a turn because the person said so. It may have finished in the last moment.
    ///
    /// # Errors
    /// The journal's, or the connection's.
    pub async fn stop(&self, turn: i64) -> Result<(), AgentError> {
        match self {
            Self::Own(agent) => match agent.stop(turn).await {
                Err(AgentError::Store(StoreError::TurnFinished { .. })) => Ok(()),
                stopped => stopped,
            },
            Self::Served(client) => Ok(client.one(Request::Stop { turn }).await.map(drop)?),
        }
    }

    /// Takes an answer of which the one who was asked is gone. Elsewhere the turn's end says it.
    pub(super) async fn refuse(&self, question: &Question) -> Result<(), AgentError> {
        match self {
            Self::Own(agent) => agent.answer(question, Answer::no(CHANNEL)).await,
            Self::Served(_) => Ok(()),
        }
    }

    /// Replies of a session that were not shown, the oldest first; of many the first.
    pub(super) async fn unsent(&self, session: &str) -> Result<Vec<OutboundRow>, AgentError> {
        match self {
            Self::Own(agent) => match session::find(agent, session).await? {
                Some(session) => Ok(agent.store().unsent_of(session.id).await?),
                None => Ok(Vec::new()),
            },
            Self::Served(client) => Ok(client.unsent(session).await?),
        }
    }

    /// A reply was shown.
    pub(super) async fn confirm(&self, outbound: i64) -> Result<(), AgentError> {
        match self {
            Self::Own(agent) => Ok(agent.store().confirm(outbound, None).await?),
            Self::Served(client) => Ok(client.one(Request::Confirm { outbound }).await.map(drop)?),
        }
    }

    /// Unfinished turns of a session, the oldest first: number and words.
    ///
    /// # Errors
    /// The journal's, or the connection's.
    pub async fn open_turns(&self, session: &str) -> Result<Vec<(i64, String)>, AgentError> {
        match self {
            Self::Own(agent) => {
                let open = session::open_turns(agent, session).await?;
                Ok(open.into_iter().map(|turn| (turn.id, turn.text)).collect())
            }
            Self::Served(client) => Ok(client.open_turns(session).await?),
        }
    }

    /// What a line of a chat that is a command says, where the agent is elsewhere.
    pub(super) async fn said(client: &Client, session: &str, line: &str) -> Result<(String, Option<String>), AgentError> {
        let request = Request::Command { session: session.to_owned(), line: line.to_owned() };
        match client.one(request).await? {
            Reply::Said { text, session } => Ok((text, session)),
            other => Err(AgentError::Elsewhere { code: "serve".into(), message: format!("a strange answer: {other:?}") }),
        }
    }
}
