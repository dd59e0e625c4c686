//! Says how the channel is, for `paguro status` and the log: each state once.

use std::time::Instant;

use tokio::sync::watch;

use super::settings::Health;

/// Writes [`Health`].
#[derive(Debug, Clone)]
pub(super) struct Reporter {
    health: watch::Sender<Health>,
}

impl Reporter {
    pub(super) fn new(health: watch::Sender<Health>) -> Self {
        Self { health }
    }

    /// All is well, in a line.
    pub(super) fn well(&self, state: &str) {
        if self.change(state, 0) {
            tracing::info!("telegram: {state}");
        }
    }

    /// Something went wrong, in a line.
    pub(super) fn trouble(&self, state: &str) {
        if self.change(state, 1) {
            tracing::warn!("telegram: {state}");
        }
    }

    /// Updates have come.
    pub(super) fn updates(&self) {
        self.health.send_modify(|health| health.last_update = Some(Instant::now()));
    }

    /// Whether the state is another now.
    fn change(&self, state: &str, errors: u64) -> bool {
        let mut is_new = false;
        self.health.send_if_modified(|health| {
            health.errors += errors;
            health.is_well = errors == 0;
            is_new = health.state != state;
            if is_new {
                (health.state, health.since) = (state.to_owned(), Instant::now());
            }
            is_new || errors > 0
        });
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_new_once_and_each_error_counts() {
        let (sender, receiver) = watch::channel(Health::new());
        let reporter = Reporter::new(sender);
        assert!(reporter.change("a", 0));
        let since = receiver.borrow().since;
        assert!(!reporter.change("a", 1) && !reporter.change("a", 1));
        reporter.updates();
        let health = receiver.borrow().clone();
        assert_eq!((health.state.as_str(), health.since, health.errors), ("a", since, 2));
        assert!(health.last_update.is_some());
    }
}
