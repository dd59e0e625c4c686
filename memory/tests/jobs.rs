//! Jobs through their handle: each due time fires once, whatever comes between.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use memory::{
    Fired, Firing, Inbound, JobKind, JobRow, Missed, NewJob, Outbound, RunState, Start, Store, StoreError, TurnState, job_session, limits,
};

/// A job that is due at 100, for the session `main` of the terminal.
fn job(name: &str, kind: JobKind, missed: Missed) -> NewJob {
    NewJob {
        key: None,
        name: name.into(),
        kind,
        schedule: "every minute".into(),
        zone: "UTC".into(),
        text: "look".into(),
        channel: "terminal".into(),
        session: "main".into(),
        missed,
        origin: None,
        created: 0,
        next: 100,
    }
}

async fn with_job(kind: JobKind, missed: Missed) -> (Store, JobRow) {
    let store = Store::in_memory().unwrap();
    let row = store.add_job(job("disk", kind, missed)).await.unwrap();
    (store, row)
}

/// A firing of `job` at the time it is due, due again a hundred later.
fn firing(job: &JobRow, due: i64) -> Firing {
    let start = if job.kind == JobKind::Reminder { Start::Say } else { Start::Turn("look".into()) };
    Firing { job: job.id, due, now: due, next: Some(due + 100), by_hand: false, start }
}

async fn read(store: &Store) -> JobRow {
    store.job("disk").await.unwrap().unwrap()
}

/// The states of the job's runs, oldest first, with the times they were due.
async fn runs(store: &Store) -> Vec<(i64, RunState)> {
    let job = read(store).await;
    let mut runs: Vec<_> = store.job_runs(job.id, 10).await.unwrap().iter().map(|run| (run.due, run.state)).collect();
    runs.reverse();
    runs
}

async fn due(store: &Store, now: i64) -> Vec<String> {
    store.due_jobs(now).await.unwrap().into_iter().map(|job| job.name).collect()
}

/// What waits to be told in the session that asked.
async fn unsent(store: &Store) -> Vec<(String, String)> {
    let rows = store.unsent("terminal").await.unwrap();
    rows.into_iter().map(|row| (format!("{}<{}", row.session_name, row.from.unwrap_or_default()), row.text)).collect()
}

async fn finish(store: &Store, turn: i64, state: TurnState, text: &str) -> Option<i64> {
    store.finish(turn, state, text, Some(Outbound { text: text.into() })).await.unwrap()
}

#[tokio::test]
async fn a_due_time_fires_once() {
    let (store, job) = with_job(JobKind::Prompt, Missed::Once).await;
    assert_eq!((due(&store, 99).await, store.next_due().await.unwrap()), (vec![], Some(100)));
    assert_eq!(due(&store, 100).await, ["disk"]);
    assert_eq!(store.fire(firing(&job, 100)).await.unwrap(), Fired::Started { turn: 1 });
    // Told twice, as after a crash, or for a time that it is not due.
    for at in [100, 150] {
        assert_eq!(store.fire(firing(&job, at)).await.unwrap(), Fired::NotDue, "{at}");
    }
    let open = store.open_turns(None).await.unwrap();
    let open: Vec<_> = open.iter().map(|turn| (turn.channel.as_str(), turn.session_name.as_str(), turn.text.as_str())).collect();
    assert_eq!(open, [("job", job_session("disk").as_str(), "look")]);
    let row = read(&store).await;
    assert_eq!((row.next, row.last, row.turn, row.running, row.pending), (Some(200), Some(100), Some(1), true, None));
    finish(&store, 1, TurnState::Done, "all is well").await.unwrap();
    assert_eq!(unsent(&store).await, [("main<job-disk".into(), "all is well".into())]);
    assert!(!read(&store).await.running);
    assert_eq!(runs(&store).await, [(100, RunState::Started)]);
    store.check().await.unwrap();
}

#[tokio::test]
async fn runs_do_not_overlap() {
    let check = async |missed, pending: Option<i64>, after: &[(i64, RunState)]| {
        let (store, job) = with_job(JobKind::Prompt, missed).await;
        store.fire(firing(&job, 100)).await.unwrap();
        for at in [200, 300] {
            assert_eq!(due(&store, at).await, ["disk"]);
            assert_eq!(store.fire(firing(&job, at)).await.unwrap(), Fired::Overlap);
        }
        assert_eq!((read(&store).await.pending, read(&store).await.next), (pending, Some(400)));
        assert_eq!(due(&store, 350).await, Vec::<String>::new(), "it is not free yet");
        assert_eq!(store.open_turns(None).await.unwrap().len(), 1);
        finish(&store, 1, TurnState::Done, "x").await;
        // However many were missed, one is made up for.
        assert_eq!(due(&store, 350).await.len(), pending.iter().count());
        if let Some(pending) = pending {
            let made_up = Firing { now: 350, next: Some(400), ..firing(&job, pending) };
            assert_eq!(store.fire(made_up.clone()).await.unwrap(), Fired::Started { turn: 2 });
            assert_eq!(store.fire(made_up).await.unwrap(), Fired::NotDue);
            finish(&store, 2, TurnState::Done, "y").await;
        }
        assert_eq!((due(&store, 399).await, read(&store).await.next), (vec![], Some(400)));
        assert_eq!(runs(&store).await, after);
    };
    let overlaps = [(100, RunState::Started), (200, RunState::Overlap), (300, RunState::Overlap)];
    check(Missed::Skip, None, &overlaps).await;
    check(Missed::Once, Some(300), &[&overlaps[..], &[(300, RunState::Started)]].concat()).await;
}

#[tokio::test]
async fn a_reminder_is_said_where_it_was_asked_for() {
    let (store, job) = with_job(JobKind::Reminder, Missed::Once).await;
    let once = Firing { next: None, ..firing(&job, 100) };
    let Fired::Said { outbound } = store.fire(once.clone()).await.unwrap() else { panic!("it was not said") };
    assert_eq!(store.fire(once).await.unwrap(), Fired::NotDue);
    assert_eq!(unsent(&store).await, [("main<job-disk".into(), "look".into())]);
    assert_eq!(store.open_turns(None).await.unwrap(), []);
    store.confirm(outbound, None).await.unwrap();
    assert_eq!(unsent(&store).await, []);
    // It never runs again, so its name is free.
    assert_eq!((store.next_due().await.unwrap(), read(&store).await.next), (None, None));
    let again = store.add_job(job_named_disk()).await.unwrap();
    assert!(again.id > job.id, "numbers are not used twice: a due time of the new one is another message");
}

fn job_named_disk() -> NewJob {
    job("disk", JobKind::Prompt, Missed::Skip)
}

#[tokio::test]
async fn what_is_left_out_is_noted() {
    let (store, job) = with_job(JobKind::Heartbeat, Missed::Skip).await;
    let left = |due, state| Firing { start: Start::Leave(state, "because".into()), ..firing(&job, due) };
    assert_eq!(store.fire(left(100, RunState::Missed)).await.unwrap(), Fired::Left);
    assert_eq!(store.fire(left(200, RunState::Nothing)).await.unwrap(), Fired::Left);
    assert_eq!(store.fire(left(200, RunState::Nothing)).await.unwrap(), Fired::NotDue);
    assert_eq!(runs(&store).await, [(100, RunState::Missed), (200, RunState::Nothing)]);
    assert_eq!(store.job_runs(job.id, 1).await.unwrap()[0].why.as_deref(), Some("because"));
    assert_eq!((store.open_turns(None).await.unwrap(), unsent(&store).await), (vec![], vec![]));
    assert_eq!((read(&store).await.next, read(&store).await.last), (Some(300), None));
}

#[tokio::test]
async fn a_job_that_keeps_failing_says_so_once() {
    let (store, job) = with_job(JobKind::Prompt, Missed::Skip).await;
    let run = async |number: i64, state, text| {
        let Fired::Started { turn } = store.fire(firing(&job, number * 100)).await.unwrap() else { panic!("it did not start") };
        (finish(&store, turn, state, text).await.is_some(), read(&store).await.failures)
    };
    assert_eq!(run(1, TurnState::Failed, "no reply").await, (true, 1));
    assert_eq!(run(2, TurnState::Failed, "no reply").await, (false, 2));
    assert_eq!(run(3, TurnState::Done, "fine").await, (true, 0));
    assert_eq!(run(4, TurnState::Failed, "no reply").await, (true, 1));
    // Another session's turn is nobody's job.
    let message = Inbound { channel: "terminal".into(), session: "main".into(), text: "hi".into(), ..Inbound::default() };
    let turn = store.accept(message).await.unwrap().turn;
    assert!(finish(&store, turn, TurnState::Failed, "no reply").await.is_some());
}

#[tokio::test]
async fn by_hand_paused_and_removed() {
    let (store, job) = with_job(JobKind::Prompt, Missed::Once).await;
    let by_hand = Firing { now: 42, by_hand: true, next: None, ..firing(&job, 42) };
    assert_eq!(store.fire(by_hand.clone()).await.unwrap(), Fired::Started { turn: 1 });
    assert_eq!(store.fire(by_hand).await.unwrap(), Fired::Overlap);
    assert_eq!((read(&store).await.next, read(&store).await.pending), (Some(100), None));
    store.fire(firing(&job, 100)).await.unwrap();
    assert_eq!(read(&store).await.pending, Some(100));
    assert!(store.enable_job("disk", false, None).await.unwrap());
    finish(&store, 1, TurnState::Done, "x").await;
    assert_eq!((due(&store, 900).await, store.next_due().await.unwrap()), (vec![], None));
    assert_eq!(store.fire(firing(&job, 200)).await.unwrap(), Fired::NotDue);
    assert!(store.enable_job("disk", true, Some(1_000)).await.unwrap());
    assert_eq!((due(&store, 999).await, due(&store, 1_000).await), (vec![], vec!["disk".to_owned()]));
    // What runs ends with the job.
    store.fire(firing(&job, 1_000)).await.unwrap();
    assert!(store.remove_job("disk", "removed").await.unwrap());
    assert_eq!(store.turn(2).await.unwrap().unwrap().outcome.as_deref(), Some("removed"));
    assert_eq!(store.fire(firing(&job, 1_100)).await.unwrap(), Fired::NotDue);
    let gone = (store.remove_job("disk", "x").await, store.enable_job("disk", true, None).await);
    assert_eq!(gone, (Ok(false), Ok(false)));
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_name_is_one_job_and_a_call_adds_one() {
    let store = Store::in_memory().unwrap();
    let keyed = |key: &str, name: &str| NewJob { key: Some(key.into()), ..job(name, JobKind::Prompt, Missed::Once) };
    let first = NewJob { origin: Some("https://example.org/".into()), ..keyed("7-call_1", "a") };
    let first = store.add_job(first).await.unwrap();
    store.fire(firing(&first, 100)).await.unwrap();
    assert_eq!(store.job_origin(1).await.unwrap().as_deref(), Some("https://example.org/"));
    assert_eq!(store.job_origin(2).await.unwrap(), None);
    let first = store.job("a").await.unwrap().unwrap();
    assert_eq!(store.add_job(keyed("7-call_1", "b")).await.unwrap(), first);
    let taken = StoreError::JobExists { name: "a".into() };
    assert_eq!(store.add_job(keyed("7-call_2", "a")).await.unwrap_err(), taken);
    assert_eq!(store.jobs().await.unwrap().len(), 1);
    for number in 1..limits::JOBS {
        store.add_job(job(&number.to_string(), JobKind::Reminder, Missed::Once)).await.unwrap();
    }
    let full = StoreError::TooManyJobs { limit: limits::JOBS };
    assert_eq!(store.add_job(job("one more", JobKind::Prompt, Missed::Once)).await.unwrap_err(), full);
    // One that never runs again makes room.
    let done = store.job("1").await.unwrap().unwrap();
    store.fire(Firing { next: None, ..firing(&done, 100) }).await.unwrap();
    store.add_job(job("one more", JobKind::Prompt, Missed::Once)).await.unwrap();
    assert_eq!((store.job("1").await.unwrap(), store.jobs().await.unwrap().len()), (None, limits::JOBS));
    let long = NewJob { text: "x".repeat(limits::JOB_BYTES + 1), ..job("long", JobKind::Prompt, Missed::Once) };
    assert!(matches!(store.add_job(long).await.unwrap_err(), StoreError::TooLong { .. }));
}

#[tokio::test]
async fn old_runs_are_forgotten_but_not_what_is_unsaid() {
    let (store, job) = with_job(JobKind::Prompt, Missed::Skip).await;
    let runs = i64::try_from(limits::JOB_TURNS).unwrap() + 20;
    for number in 1..=runs {
        let Fired::Started { turn } = store.fire(firing(&job, number * 100)).await.unwrap() else { panic!("it did not start") };
        // The first says something that nobody has heard; the others have nothing to say.
        let outbound = (number == 1).then(|| Outbound { text: "unheard".into() });
        store.finish(turn, TurnState::Done, "x", outbound).await.unwrap();
    }
    let session = store.find_session("job/job-disk").await.unwrap().unwrap();
    assert_eq!(usize::try_from(session.turns).unwrap(), limits::JOB_TURNS + 1);
    assert_eq!(unsent(&store).await, [("main<job-disk".into(), "unheard".into())]);
    assert_eq!(store.job_runs(job.id, usize::MAX).await.unwrap().len(), limits::JOB_RUNS);
    assert_eq!(read(&store).await.next, Some((runs + 1) * 100));
    store.check().await.unwrap();
}

#[tokio::test]
async fn who_waits_is_told_of_changes() {
    let store = Store::in_memory().unwrap();
    let mut changes = store.changes();
    assert!(!changes.has_changed().unwrap());
    store.add_job(job_named_disk()).await.unwrap();
    changes.changed().await.unwrap();
    let message = Inbound { channel: "terminal".into(), session: "main".into(), text: "hi".into(), ..Inbound::default() };
    store.accept(message).await.unwrap();
    changes.changed().await.unwrap();
}
