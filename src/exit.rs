//! Exit status (DESIGN §8): 0 answered, 1 failed, 2 bad usage or input, 3 an approval was needed and not given,
//! 4 a limit was reached, 130 interrupted.

use std::process::ExitCode;

use agent::AgentError;
use channels::terminal::Ended;
use engine::EngineError;
use memory::StoreError;

use crate::commands::ask::Shown;
use crate::config::ConfigError;

/// Bad usage or input: one line that names the value and the way out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

/// Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

pub const ANSWERED: u8 = 0;
pub const FAILED: u8 = 1;
pub const BAD_INPUT: u8 = 2;
pub const DENIED: u8 = 3;
pub const LIMIT: u8 = 4;
pub const INTERRUPTED: u8 = 130;

/// The status of a turn that ended.
pub fn of_turn(ended: &Ended) -> ExitCode {
    let result = match ended {
        Ended::Finished(result) => result,
        Ended::Stopped => return ExitCode::from(INTERRUPTED),
        Ended::Waiting(_) => return ExitCode::from(DENIED),
    };
    ExitCode::from(match (&result.failure, result.limit) {
        (None, _) => ANSWERED,
        (Some(_), true) => LIMIT,
        (Some(failure), _) if failure == "denied" => DENIED,
        (Some(_), false) => FAILED,
    })
}

/// The status of a command that failed, and the word for it that scripts may match.
pub fn of_error(error: &anyhow::Error) -> (u8, &str) {
    if error.is::<Interrupted>() {
        return (INTERRUPTED, "interrupted");
    }
    if error.is::<BadInput>() || error.is::<ConfigError>() {
        return (BAD_INPUT, "bad_input");
    }
    let agent = error.downcast_ref::<Shown>().map(|shown| &shown.0).or(error.downcast_ref::<AgentError>());
    let engine = error.downcast_ref::<EngineError>().or(match agent {
        Some(AgentError::Engine(engine, _)) => Some(engine),
        _ => None,
    });
    let code = agent.map_or("failed", AgentError::code);
    match engine {
        Some(EngineError::PromptTooLong { .. }) => (BAD_INPUT, "prompt_too_long"),
        Some(
            EngineError::NoSuchModel { .. }
            | EngineError::BadModel { .. }
            | EngineError::NoTemplate { .. }
            | EngineError::BadScript { .. }
            | EngineError::NoContext { .. },
        ) => (BAD_INPUT, "bad_model"),
        Some(EngineError::NoEmbedder | EngineError::NoSuchEmbedder { .. }) => (BAD_INPUT, "no_embedder"),
        Some(EngineError::TextTooLong { .. }) => (BAD_INPUT, "text_too_long"),
        Some(EngineError::DoesNotFit { .. }) => (BAD_INPUT, "does_not_fit"),
        Some(EngineError::Worker { .. }) => (FAILED, "worker"),
        Some(EngineError::LoadCancelled) => (INTERRUPTED, "interrupted"),
        Some(_) => (FAILED, "model"),
        None if error.downcast_ref().is_some_and(is_of_input) => (BAD_INPUT, "bad_input"),
        None if error.is::<StoreError>() => (FAILED, "memory"),
        None if matches!(code, "bad_input" | "prompt_too_long") => (BAD_INPUT, code),
        None => (FAILED, code),
    }
}

/// Whether the store refused what was asked of it, and nothing is wrong with it.
fn is_of_input(error: &StoreError) -> bool {
    use StoreError::{AmbiguousSession, JobExists, TooManyJobs};
    matches!(error, AmbiguousSession { .. } | JobExists { .. } | TooManyJobs { .. })
}
