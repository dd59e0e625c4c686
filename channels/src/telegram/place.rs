//! Where a conversation is: a chat, and in a forum one of its topics; and how its sessions are called.
//!
//! `CHAT[:TOPIC][#N]`: `123`, `123#2` (the second session of that chat, after `/new`), `-100123:45#3`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A chat or a topic of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The chat's id: a person's, or negative for a group.
    pub chat: i64,
    /// The id of the topic's thread.
    pub topic: Option<i64>,
}

impl Place {
    /// The place of a session; `None`: it is no session of this channel's making.
    #[must_use]
    pub fn of(session: &str) -> Option<Self> {
        Some(Self::numbered(session)?.0)
    }

    /// The place of a session, and which of its sessions it is, from 1 on.
    pub(super) fn numbered(session: &str) -> Option<(Self, u32)> {
        let (place, number) = match session.split_once('#') {
            Some((place, number)) => (place, number.parse().ok()?),
            None => (session, 1),
        };
        let (chat, topic) = match place.split_once(':') {
            Some((chat, topic)) => (chat, Some(topic.parse().ok()?)),
            None => (place, None),
        };
        let found = Self { chat: chat.parse().ok()?, topic };
        // Only what would be written so: `+1`, `01` and `1#1` are not.
        (found.session(number) == session).then_some((found, number))
    }

    /// The name of its session `number`, from 1 on.
    pub(super) fn session(self, number: u32) -> String {
        match number {
            0 | 1 => self.to_string(),
            number => format!("{self}#{number}"),
        }
    }

    /// Whether it is a chat with one person.
    #[must_use]
    pub fn is_private(self) -> bool {
        self.chat > 0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.topic {
            Some(topic) => write!(f, "{}:{topic}", self.chat),
            None => write!(f, "{}", self.chat),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sessions() {
        let cases = [("123", 123, None, 1), ("123#2", 123, None, 2), ("-100123:45", -100_123, Some(45), 1), ("-5:1#30", -5, Some(1), 30)];
        for (name, chat, topic, number) in cases {
            let place = Place { chat, topic };
            assert_eq!(Place::numbered(name), Some((place, number)));
            assert_eq!(place.session(number), name);
        }
        for name in ["", "main", "1#1", "1#0", "01", "+1", "1:", "1#", "1#2#3", "1:2:3", " 1", "1#-2"] {
            assert_eq!(Place::of(name), None, "{name}");
        }
    }
}
