//! What the executable tells the terminal.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tokio::sync::Notify;

/// A word that is none of those that an option takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not one of {choices}")]
pub struct UnknownWord {
    word: String,
    choices: String,
}

/// An enum whose variants each have a word, for the command line.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// The words, in the order of the variants.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { word: word.to_owned(), choices: Self::WORDS.join(", ") }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }
    };
}

words! {
    /// How events are written (DESIGN §8).
    Format {
        /// For people: the reply on standard output, everything else on standard error.
        Text = "text",
        /// The last event, as JSON.
        Json = "json",
        /// One event a line, as JSON.
        Jsonl = "jsonl",
    }
}

words! {
    /// Who answers when a call needs an approval.
    Approve {
        /// The person at the terminal; without a terminal the answer is no.
        Prompt = "prompt",
        /// Nobody: no.
        Deny = "deny",
        /// Nobody: yes, for the calls of a new message that have not begun before.
        All = "all",
        /// Nobody now: the turn waits, and `paguro approvals` lists and answers its question.
        Wait = "wait",
    }
}

/// Where output goes and how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// How events are written.
    pub format: Format,
    /// Whether colours may be used; never used on a stream that is no terminal.
    pub colour: bool,
    /// Whether standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Whether standard error is a terminal: one can move the cursor there, and somebody watches.
    pub stderr_is_terminal: bool,
    /// Whether reasoning, the results of tools and what the turn cost are shown; in the text format, on standard error.
    pub details: bool,
}

/// Ctrl-C, told by the executable to whatever is running. One that comes while nothing waits for it is forgotten:
/// it must not stop the next reply.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<Notify>);

impl Interrupt {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ctrl-C was pressed.
    pub fn raise(&self) {
        self.0.notify_waiters();
    }

    /// Ends when [`Interrupt::raise`] is called after this was.
    pub fn raised(&self) -> impl Future<Output = ()> {
        self.0.notified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_there_and_back() {
        for word in Format::WORDS {
            assert_eq!(word.parse::<Format>().unwrap().to_string(), *word);
        }
        for word in Approve::WORDS {
            assert_eq!(word.parse::<Approve>().unwrap().to_string(), *word);
        }
        assert_eq!("yes".parse::<Approve>().unwrap_err().to_string(), "`yes` is not one of prompt, deny, all, wait");
    }
}
