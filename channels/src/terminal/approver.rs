//! Who answers when a call needs an approval: the one rule for `ask` and `chat`.

use std::time::Duration;

use agent::{Answer, Question};

use super::CHANNEL;
use super::settings::{Approve, Screen};
use super::tool_lines::call_line;
use super::tty::Terminal;

/// How long a question waits for its answer; then it is a no (DESIGN §6).
const PATIENCE: Duration = Duration::from_mins(10);

/// Who answers questions.
#[derive(Debug, Clone)]
pub struct Approver {
    /// How.
    pub mode: Approve,
    /// How long a question on the terminal waits for its answer; then it is a no.
    pub patience: Duration,
    /// Where to ask; `None`: nobody is there, so the answer is no.
    pub(super) terminal: Option<Terminal>,
    /// Whether the turn is that of an earlier message.
    pub(super) resumed: bool,
}

/// Where the answer to a question comes from.
#[derive(Debug)]
pub(super) enum Way<'a> {
    /// It is yes.
    Yes,
    /// It is no.
    No,
    /// The person gives it.
    Ask(&'a Terminal),
    /// It comes later.
    Later,
    /// It is no, because nobody can be asked. What to tell of it.
    Nobody(&'static str),
}

impl Approver {
    /// One who asks on the controlling terminal, if there is one and somebody watches standard error. A script whose own
    /// output nobody watches must not wait for somebody who may sit at the terminal.
    #[must_use]
    pub fn new(mode: Approve, screen: &Screen) -> Self {
        let terminal = if screen.stderr_is_terminal { Terminal::open() } else { None };
        Self { mode, patience: PATIENCE, terminal: terminal.map(|terminal| terminal.with_colour(screen.colour)), resumed: false }
    }

    /// The same for the turn of an earlier message, whose owner may have been in another mind: a blanket yes does not cover
    /// it, so the person is asked.
    #[must_use]
    pub fn for_resumed(&self) -> Self {
        Self { resumed: true, ..self.clone() }
    }

    /// The answer to a question outside any turn. That nobody can be asked is told to the caller as the reason of a no.
    pub async fn answer(&self, question: &Question) -> Answer {
        match self.way(question) {
            Way::Yes => Answer::yes(CHANNEL),
            // Nothing waits outside a turn, so there is no later.
            Way::No | Way::Later => Answer::no(CHANNEL),
            Way::Ask(terminal) => terminal.ask(question, self.patience).await,
            Way::Nobody(why) => {
                let what = call_line(&question.tool, &question.arguments);
                Answer { why: Some(format!("no terminal to ask on, so this is refused ({why}): {what}")), ..Answer::no(CHANNEL) }
            }
        }
    }

    /// Where the answer to `question` comes from.
    pub(super) fn way(&self, question: &Question) -> Way<'_> {
        let of_the_model = question.wording().is_some();
        match (self.mode, &self.terminal) {
            // A blanket yes is about calls that come, not about doing one a second time, and no answer to a question.
            (Approve::All, _) if !question.cut_off && !self.resumed && !of_the_model => Way::Yes,
            (Approve::Deny, _) => Way::No,
            (Approve::Wait, _) => Way::Later,
            (Approve::Prompt | Approve::All, Some(terminal)) => Way::Ask(terminal),
            (Approve::Prompt | Approve::All, None) if of_the_model => Way::Nobody("it is a question for you"),
            (Approve::Prompt | Approve::All, None) if question.cut_off => Way::Nobody("it may have run before the last stop"),
            (Approve::Prompt | Approve::All, None) if self.resumed => Way::Nobody("--approve all is for new messages only"),
            (Approve::Prompt | Approve::All, None) => Way::Nobody("--approve all would run it"),
        }
    }
}
