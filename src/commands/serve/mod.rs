//! `paguro serve`: the always-on process. It takes messages from its first moment, loads the model beside that, fires the jobs that are due
//! and runs the turns that are open, those that a crash cut off included.
//!
//! Nothing is looked at again and again: it sleeps until a job is due, a turn ends, a message or a job is added, or a signal comes. Only
//! the clock on the wall can jump, and a machine can be put to sleep, so it wakes once a minute.

mod about;
mod hooks;
mod loading;
mod reload;
mod signals;
mod telegram;
mod turns;
mod watched;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::Agent;
use anyhow::{Context as _, Result};
use channels::socket::{self, Listener};
use channels::{Desk, Live, State, visible};
use engine::Engine;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tools::schedule;

pub use self::about::About;
use self::loading::Loading;
use self::reload::Reload;
use self::signals::{Signal, Signals};
use self::telegram::Telegram;
use self::turns::Serving;
use super::ask::say_if_demo;
use crate::args::{ServeArgs, TurnArgs};
use crate::notify::Notify;
use crate::parts::{self, Context};

/// So long nothing has run when facts are distilled: then the owner is not about to write the next message.
const QUIET: Duration = Duration::from_secs(45);

/// How long turns that run may take to end when the process is to stop; then they are parked.
const FINISH: Duration = Duration::from_secs(4);

/// How often the service's manager is told how far loading is.
const LOADING_TOLD: Duration = Duration::from_secs(5);

/// How long messages that are on their way to a platform are waited for.
const ON_ITS_WAY: Duration = Duration::from_secs(3);

/// Most time from the signal to the end, what the model holds written to disk.
const STOP: Duration = Duration::from_millis(9_500);

/// Ends with status 0 on a signal; turns that run then stay open, and the next start goes on with them.
pub async fn run(args: ServeArgs) -> Result<ExitCode> {
    let context = Context::read()?;
    let turn = TurnArgs::of_model(args.model);
    let options = context.load_options(turn.model.as_deref())?;
    let mut signals = Signals::new(&context.home.config)?;
    let notify = Notify::from_environment();
    let store = context.store()?;
    say_if_demo(&context, &turn);
    let listener = Listener::open(&context.home.data).context("the local socket cannot be opened")?;
    let (state, state_seen) = watch::channel(State::Loading(0.0));
    let reload = Reload::new(context, turn)?;
    let desk = Desk {
        store,
        live: Live::default(),
        secrets: reload.secrets(),
        state: state_seen,
        keep_rule: Arc::new(parts::keep_rule(&reload.context)),
    };
    let mut beside = JoinSet::new();
    let planned = parts::plan(options.clone()).await.ok().map(|plan| plan.needs()).filter(|bytes| *bytes > 0);
    let about = Arc::new(About::new(planned));
    let socket = tokio::spawn(socket::serve(listener, desk.clone(), hooks::hooks(&reload.context, &desk, &about)?));
    let telegram = Telegram::start(&reload.context, &desk, &about, &mut beside)?;
    let mut process = Process { desk, state, reload, socket, beside, serving: None, notify, about, telegram };
    let mut loading = Loading::start(options, process.state.clone());
    loop {
        tokio::select! {
            () = process.tick_loading() => {}
            engine = loading.ended() => {
                process.loaded(engine?).await?;
                break;
            }
            signal = signals.next() => match signal {
                Signal::Stop => {
                    loading.cancel().await;
                    return process.stop(&mut signals).await;
                }
                Signal::Reload => {
                    process.reload.changed().await;
                    process.renew_channels();
                }
            },
        }
    }
    process.hold(&mut signals).await?;
    process.stop(&mut signals).await
}

/// The process, with or without its model.
struct Process {
    desk: Desk,
    state: watch::Sender<State>,
    reload: Reload,
    socket: JoinHandle<()>,
    /// The other channels.
    beside: JoinSet<()>,
    serving: Option<Serving>,
    notify: Notify,
    about: Arc<About>,
    telegram: Telegram,
}

impl Process {
    /// Tells the service's manager how far loading is; ends when it is time to tell it again.
    async fn tick_loading(&self) {
        let done = match &*self.desk.state.borrow() {
            State::Loading(done) => *done,
            State::Ready(_) | State::Stopping => 1.0,
        };
        self.notify.status(&format!("loading the model, {:.0} %", done * 100.0));
        self.notify.starting_takes(LOADING_TOLD * 6);
        self.notify.watchdog();
        tokio::time::sleep(LOADING_TOLD).await;
    }

    /// The model is there.
    async fn loaded(&mut self, engine: Engine) -> Result<()> {
        let Reload { context, turn, .. } = &self.reload;
        let agent = Arc::new(parts::agent(context, turn, self.desk.store.clone(), engine).await?);
        let layers: Vec<&str> = context.sandbox().report().in_force.iter().map(|layer| layer.name()).collect();
        tracing::info!("the sandbox around commands: {}", if layers.is_empty() { "none".to_owned() } else { layers.join(", ") });
        self.state.send_replace(State::Ready(Arc::clone(&agent)));
        greet(&agent).await?;
        agent.embed_in_background();
        self.notify.status(&format!("ready; model {}", agent.engine().info().name));
        self.notify.ready();
        self.serving = Some(Serving::new(agent, self.desk.live.clone()));
        Ok(())
    }

    /// Serves until it is to stop.
    async fn hold(&mut self, signals: &mut Signals) -> Result<()> {
        let Some(mut serving) = self.serving.take() else { return Ok(()) };
        let mut changes = self.desk.store.changes();
        let mut active = Instant::now();
        let mut fed = Instant::now();
        loop {
            let mut sleep = serving.work().await?;
            if let Some(interval) = self.notify.interval() {
                if fed.elapsed() >= interval {
                    fed = Instant::now();
                    feed(self.notify, serving.agent.engine().clone());
                }
                sleep = sleep.min(interval);
            }
            if !serving.running.is_empty() {
                active = Instant::now();
            } else if self.reload.distils && active.elapsed() >= QUIET {
                serving.agent.distil_in_background();
            }
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Stop => {
                        self.serving = Some(serving);
                        return Ok(());
                    }
                    Signal::Reload => {
                        self.notify.reloading();
                        if let Some(agent) = self.reload.renew(&serving.agent).await {
                            serving.agent = Arc::clone(&agent);
                            self.state.send_replace(State::Ready(agent));
                        }
                        self.renew_channels();
                        self.notify.ready();
                    }
                },
                Some(ended) = serving.running.join_next_with_id() => serving.ended(ended)?,
                // An error is the store's end, which the next look at it tells.
                _ = changes.changed() => serving.resting.clear(),
                () = tokio::time::sleep(sleep) => serving.resting.clear(),
            }
        }
    }

    /// Has the channels go by the configuration as it is now.
    fn renew_channels(&mut self) {
        if let Err(error) = self.telegram.renew(&self.reload.context, &self.desk, &self.about, &mut self.beside) {
            tracing::error!("telegram stays as it was: {error:#}");
        }
    }

    /// Finishes or parks what runs, writes to disk what the model has read, and closes the database. A second signal, or too long a
    /// time, ends the process where it is: the journal has everything.
    async fn stop(mut self, signals: &mut Signals) -> Result<ExitCode> {
        signals.end_on_the_next(STOP);
        self.notify.stopping();
        if let Some(serving) = &mut self.serving {
            serving.park(FINISH).await?;
        }
        self.state.send_replace(State::Stopping);
        // What is on its way to a platform arrives, so that it is not sent again; the rest is in the journal.
        let ended = async { while self.beside.join_next().await.is_some() {} };
        if tokio::time::timeout(ON_ITS_WAY, ended).await.is_err() {
            self.beside.shutdown().await;
        }
        self.socket.abort();
        let _ = (&mut self.socket).await; // that it was aborted is what it says
        // The last handles: the engine writes what it holds, the store closes.
        let Self { desk, state, reload, serving, .. } = self;
        tokio::task::spawn_blocking(move || drop((serving, state, desk, reload))).await?;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    }
}

/// Tells the service's manager that the process still turns, once the model's thread has answered: that of a stuck one never does.
fn feed(notify: Notify, engine: Engine) {
    tokio::spawn(async move {
        if engine.count_tokens(vec!["tick".to_owned()]).await.is_ok() {
            notify.watchdog();
        }
    });
}

async fn greet(agent: &Agent) -> Result<()> {
    let jobs = agent.store().jobs().await?;
    let next = jobs.iter().filter(|job| job.enabled).find_map(|job| Some((job, job.next?)));
    let next = next.map(|(job, next)| format!(", next {} at {}", job.name, schedule::in_zone(next, &job.zone))).unwrap_or_default();
    tracing::info!("ready; model {}, {} jobs{}", agent.engine().info().name, jobs.len(), visible(&next));
    Ok(())
}
