//! The sessions of this channel: what they may be called, and how to find them and their turns.

use agent::Agent;
use agent::memory::{SessionRow, StoreError, TurnRow};

use super::CHANNEL;
use super::tool_lines::one_line;
use super::visible::visible_exact;
use crate::commands;

/// Most characters of a session's name.
const NAME_CHARS: usize = 64;

/// A text that is no session's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{shown}` cannot be a session's name; use 1 to {NAME_CHARS} characters without slashes and control characters, and no space at either end"
)]
pub struct BadSessionName {
    shown: String,
}

/// Checks the name of a session as a person types it. A slash would make it look like another channel's.
pub fn check_session_name(name: &str) -> Result<(), BadSessionName> {
    let forbidden = |c: char| c == '/' || c.is_control();
    if name.is_empty() || name.chars().count() > NAME_CHARS || name.contains(forbidden) || name.trim() != name {
        return Err(BadSessionName { shown: one_line(&visible_exact(name)) });
    }
    Ok(())
}

/// The unfinished turns of this channel's session `name`, oldest first; of a long list the beginning.
pub async fn open_turns(agent: &Agent, name: &str) -> Result<Vec<TurnRow>, StoreError> {
    let mut turns = agent.store().open_turns(Some(&format!("{CHANNEL}/{name}"))).await?;
    turns.retain(|turn| turn.channel == CHANNEL && turn.session_name == name);
    Ok(turns)
}

/// This channel's session `name`.
pub(super) async fn find(agent: &Agent, name: &str) -> Result<Option<SessionRow>, StoreError> {
    commands::find(agent.store(), CHANNEL, name).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, good: bool) {
        assert_eq!(check_session_name(name).is_ok(), good, "{name:?}");
    }

    #[test]
    fn a_name_can_be_typed_and_is_no_other_channels() {
        for name in ["a", "main", "my bike", "ünïcode", &"x".repeat(NAME_CHARS), &"ä".repeat(NAME_CHARS)] {
            check(name, true);
        }
        for name in ["", " ", "a ", "\u{3000}a", "telegram/1", "a\nb", "a\0", "\u{9b}", &"x".repeat(NAME_CHARS + 1)] {
            check(name, false);
        }
        let error = check_session_name("a/\u{1b}[2J").unwrap_err().to_string();
        assert!(error.starts_with("`a/␛[2J` cannot be a session's name; use 1 to 64 characters"), "{error}");
    }
}
