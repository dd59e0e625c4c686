//! Questions that wait for the owner, and their answers. A question is no row of its own: an open turn whose steps end in `Asked`
//! is one, so it survives a restart and can be answered from anywhere.

use engine::ToolCall;
use memory::{Store, TurnRow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, to_value};

use crate::agent::{AgentError, append, parse_steps};
use crate::approval::Rule;
use crate::next::{Next, next};
use crate::secrets::Secrets;
use crate::step::{Step, find_call};
use crate::task::Task;
use crate::tool::Toolbox;

/// Characters of the hash in a question's id.
const ID_HASH: usize = 8;

/// Keeps a rule for good, in front of those there are; the error says why it could not.
pub type KeepRule = Box<dyn Fn(&Rule) -> Result<(), String> + Send + Sync>;

/// Something that the owner must answer before a turn goes on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The turn that waits.
    pub turn: i64,
    /// The channel of the conversation in which it is asked.
    pub channel: String,
    /// That conversation's session.
    pub session: String,
    /// The task that asks, if it is not the conversation itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The call's id.
    pub call: String,
    /// The tool.
    pub tool: String,
    /// Exactly what will run.
    pub arguments: Value,
    /// What the answer must name: see [`crate::approval::call_hash`].
    pub hash: String,
    /// Why it needs an answer.
    pub reason: String,
    /// The call was cut off by a crash and may have run already: a yes repeats it.
    pub cut_off: bool,
    /// What a yes for longer than once would allow; `None`: a yes is for this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// When no answer has become a no; seconds since 1970.
    pub until: Option<i64>,
    /// That session's number, to which a grant belongs.
    #[serde(skip)]
    pub session_id: i64,
    /// How often the turn has asked about this call, this time included: an answer to an earlier time is none to this one.
    #[serde(skip)]
    pub times: usize,
}

/// For how long a yes holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// For this call.
    #[default]
    Once,
    /// For all calls that [`Question::rule`] covers, in this session.
    Session,
    /// For all calls that [`Question::rule`] covers: it becomes a rule of the policy.
    Always,
}

/// The owner's answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Yes or no.
    pub allowed: bool,
    /// For how long a yes holds.
    pub scope: Scope,
    /// What the model is told with a no, or as the answer to a question of its own.
    pub why: Option<String>,
    /// Who gives it: the channel, such as `terminal`.
    pub by: String,
}

impl Answer {
    /// Yes, this once.
    pub fn yes(by: impl Into<String>) -> Self {
        Self { allowed: true, scope: Scope::Once, why: None, by: by.into() }
    }

    /// No.
    pub fn no(by: impl Into<String>) -> Self {
        Self { allowed: false, ..Self::yes(by) }
    }
}

impl Question {
    /// What people and scripts call it: turn and hash, such as `7-3f2a91c4`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}", self.turn, self.hash.get(..ID_HASH).unwrap_or(&self.hash))
    }

    /// The question that a turn waits with about `call`.
    pub(crate) fn about(row: &TurnRow, steps: &[Step], call: &ToolCall) -> Option<Self> {
        let asked = steps.iter().rev().find_map(|step| match step {
            Step::Asked { call: id, hash, reason, until, rule } if *id == call.id => Some((hash, reason, until, rule)),
            _ => None,
        });
        let (hash, reason, until, rule) = asked?;
        // Asked about, and hashed, is the call that is meant.
        let call = Toolbox::resolve(call.clone());
        let task = Task::of(row);
        let (channel, session, session_id) = match &task {
            Some(task) => (&task.channel, &task.session, task.session_id),
            None => (&row.channel, &row.session_name, row.session),
        };
        let cut_off = steps.iter().any(|step| matches!(step, Step::Intent { call: id } if *id == call.id));
        let times = steps.iter().filter(|step| matches!(step, Step::Asked { call: id, .. } if *id == call.id)).count();
        Some(Self {
            turn: row.id,
            channel: channel.clone(),
            session: session.clone(),
            task: task.as_ref().map(|task| format!("task {} of turn {}: {}", task.number, row.parent.unwrap_or_default(), row.text)),
            call: call.id,
            tool: call.name,
            arguments: call.arguments,
            hash: hash.clone(),
            reason: reason.clone(),
            cut_off,
            // What may have run already is allowed for this once only.
            rule: rule.clone().filter(|_| !cut_off),
            until: *until,
            session_id,
            times,
        })
    }
}

/// All questions that wait, oldest first.
///
/// # Errors
/// If the journal cannot be read.
pub async fn questions(store: &Store) -> Result<Vec<Question>, AgentError> {
    let mut out = Vec::new();
    for row in store.open_turns(None).await? {
        let steps = parse_steps(row.id, store.steps(row.id).await?)?;
        if let Next::Ask(call) = next(&steps) {
            out.extend(Question::about(&row, &steps, &call));
        }
    }
    Ok(out)
}

/// Records the owner's answer. It must name the hash of exactly what is asked. A rule is kept before the answer is: a crash between
/// the two asks again.
///
/// # Errors
/// [`AgentError::NotAsked`] if nothing waits for it, [`AgentError::Rule`] if its rule could not be kept; nothing is recorded then.
pub async fn answer(store: &Store, secrets: &Secrets, keep: &KeepRule, question: &Question, answer: Answer) -> Result<(), AgentError> {
    let steps = parse_steps(question.turn, store.steps(question.turn).await?)?;
    let asked = steps.iter().rev().find_map(|step| match step {
        Step::Asked { call, hash, .. } if *call == question.call => Some(hash.as_str()),
        _ => None,
    });
    let waits = matches!(next(&steps), Next::Ask(call) if call.id == question.call);
    if !waits || asked != Some(question.hash.as_str()) || find_call(&steps, &question.call).is_none() {
        return Err(AgentError::NotAsked(question.turn));
    }
    let Answer { mut allowed, mut scope, mut why, by } = answer;
    if question.wording().is_some() && !allowed {
        // Nothing is refused by leaving a question of the model's without an answer.
        (allowed, why) = (true, Some(String::new()));
    }
    match question.rule.as_ref().filter(|_| allowed) {
        None => scope = Scope::Once,
        Some(rule) => match scope {
            Scope::Once => {}
            Scope::Session => store.grant(question.session_id, to_value(rule).unwrap_or_default()).await?,
            Scope::Always => keep(rule).map_err(AgentError::Rule)?,
        },
    }
    let step = Step::Answered { call: question.call.clone(), hash: question.hash.clone(), allowed, scope, why, by };
    append(store, question.turn, &[secrets.redact_step(step)]).await
}
