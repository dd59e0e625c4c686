//! The handle to the memory thread, which owns the one connection.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::codes::Codes;
use crate::database::{self, Database};
use crate::error::Failure;
use crate::{StoreError, limits};

/// Work for the memory thread; its reply rides inside.
type Command = Box<dyn FnOnce(&mut Database) + Send>;

/// Handle to the memory thread: cheap to clone, the last drop closes the database and joins the thread.
///
/// A call whose future is dropped may still take effect; a write that returned `Ok` is on the disk.
#[derive(Debug, Clone)]
pub struct Store {
    thread: Arc<Thread>,
}

#[derive(Debug)]
struct Thread {
    // Both are `Some` until the drop.
    mailbox: Option<mpsc::Sender<Command>>,
    join: Option<JoinHandle<()>>,
    changed: watch::Sender<()>,
    outgoing: watch::Sender<()>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.mailbox = None;
        if let Some(join) = self.join.take() {
            // A panic there has already answered every waiting caller with `Gone`.
            let _ = join.join();
        }
    }
}

impl Store {
    /// Opens `home/paguro.db`, making folder and file when they are missing. Blocks: call it once, at the start.
    ///
    /// One process per home: a second one gets [`StoreError::Locked`]. A file that is damaged, newer or another program's is
    /// refused as it is; nothing is ever deleted or made anew in its place.
    pub fn open(home: &Path) -> Result<Self, StoreError> {
        Self::start(Database::open(home)?)
    }

    /// A store in memory, for tests.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::start(Database::in_memory()?)
    }

    /// Checks the whole file, in time proportional to its size: [`StoreError::Corrupt`] says what is wrong.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.command(|database| database::check(&database.connection, &database.path)).await
    }

    /// Tells of new or corrected messages and changed jobs: whoever runs them waits for this instead of looking again and again.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.thread.changed.subscribe()
    }

    /// Wakes those who wait for [`Store::changes`], as after a step that lets a turn go on.
    pub fn tell_of_change(&self) {
        self.changed();
    }

    pub(crate) fn changed(&self) {
        self.thread.changed.send_replace(());
    }

    /// Tells of new messages in the outbox: whoever delivers them waits for this.
    #[must_use]
    pub fn outgoing(&self) -> watch::Receiver<()> {
        self.thread.outgoing.subscribe()
    }

    pub(crate) fn sends(&self) {
        self.thread.outgoing.send_replace(());
    }

    fn start(mut database: Database) -> Result<Self, StoreError> {
        let (mailbox, mut commands) = mpsc::channel::<Command>(limits::MAILBOX);
        let path = database.path.clone();
        let join = std::thread::Builder::new()
            .name("memory".to_owned())
            .spawn(move || {
                while let Some(command) = commands.blocking_recv() {
                    command(&mut database);
                }
            })
            .map_err(|error| StoreError::Database { path, reason: error.to_string() })?;
        let (changed, outgoing) = (watch::Sender::new(()), watch::Sender::new(()));
        Ok(Self { thread: Arc::new(Thread { mailbox: Some(mailbox), join: Some(join), changed, outgoing }) })
    }

    /// Runs `work` on the memory thread, after what was asked for before. Waits while the mailbox is full.
    pub(crate) async fn run<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.command(|database| work(&mut database.connection)).await
    }

    /// Runs a search on the memory thread, in one transaction: each statement alone would take and give back the lock of the file.
    pub(crate) async fn look<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection, &mut Option<Codes>) -> Result<T, Failure> + Send + 'static,
    {
        self.command(|database| {
            let transaction = database.connection.transaction()?;
            let result = work(&transaction, &mut database.codes)?;
            // Only in the temporary table of changed codes has anything been written.
            transaction.commit()?;
            Ok(result)
        })
        .await
    }

    pub(crate) async fn command<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Database) -> Result<T, Failure> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let command: Command = Box::new(move |database| {
            let result = work(database).map_err(|failure| failure.at(&database.path));
            // Nobody may be waiting any more; what was done stays done.
            let _ = reply.send(result);
        });
        let mailbox = self.thread.mailbox.as_ref().ok_or(StoreError::Gone)?;
        mailbox.send(command).await.map_err(|_| StoreError::Gone)?;
        answer.await.map_err(|_| StoreError::Gone)?
    }
}
