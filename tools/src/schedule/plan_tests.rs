use agent::memory::{Fired, Store};

use super::*;
use crate::testing::wait;

/// 2026-11-21 10:00 in Berlin.
const NOW: &str = "2026-11-21T09:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn wanted(when: &'static str, kind: JobKind, missed: Missed) -> Wanted<'static> {
    let to = ("terminal".to_owned(), "main".to_owned());
    Wanted { key: None, name: "disk", kind, when, zone: "Europe/Berlin", text: " look ", to, missed, origin: None }
}

fn row(when: &'static str, kind: JobKind, missed: Missed) -> JobRow {
    let store = Store::in_memory().unwrap();
    wait(store.add_job(wanted(when, kind, missed).checked(at(NOW)).unwrap())).unwrap()
}

fn no_file(_: &Path) -> Result<String, Error> {
    panic!("there is nothing to read")
}

#[test]
fn what_cannot_be_is_named() {
    let check = |change: fn(&mut Wanted<'static>), part: &str| {
        let mut wanted = wanted("every 30 minutes", JobKind::Prompt, Missed::Once);
        change(&mut wanted);
        let error = wanted.checked(at(NOW)).unwrap_err().0;
        assert!(error.contains(part), "{error}");
    };
    check(|job| job.name = "", "cannot be a job's name");
    check(|job| job.name = "a/b", "`a/b` cannot be a job's name");
    check(|job| job.name = "two words", "cannot be a job's name");
    check(|job| job.text = " \n", "the text is empty");
    check(|job| job.zone = "Europe/Berln", "did you mean Europe/Berlin?");
    check(|job| job.when = "soon", "`soon` is no time to run at");
    check(|job| job.when = "0 25 * * *", "the hour `25`");
    check(|job| job.when = "at 2026-11-21 09:59", "is over already");
    check(|job| job.when = "0 0 31 2 *", "never comes");
}

#[test]
fn when_it_is_due_again() {
    let check = |when, now: &str, expected: &[&str]| {
        let job = row(when, JobKind::Prompt, Missed::Once);
        let expected: Vec<Timestamp> = expected.iter().map(|text| at(text)).collect();
        assert_eq!(upcoming(&job, at(now), expected.len().max(1)).unwrap(), expected, "{when}");
    };
    check("in 20 minutes", NOW, &["2026-11-21T09:20:00Z"]);
    check("in 20 minutes", "2026-11-21T09:20:00Z", &[]);
    check("every 30 minutes", NOW, &["2026-11-21T09:30:00Z", "2026-11-21T10:00:00Z", "2026-11-21T10:30:00Z"]);
    // After a week of nothing the beat is the same.
    check("every 30 minutes", "2026-11-28T11:11:11Z", &["2026-11-28T11:30:00Z", "2026-11-28T12:00:00Z"]);
    check("every day at 9:00", NOW, &["2026-11-22T08:00:00Z", "2026-11-23T08:00:00Z"]);
    check("every day at 9:00", "2027-06-01T00:00:00Z", &["2027-06-01T07:00:00Z"]);
}

#[test]
fn late_runs_are_made_up_for_or_left_out() {
    let check = |missed, now: &str, expected: &Start| {
        let job = row("every 30 minutes", JobKind::Reminder, missed);
        let firing = firing(&job, at(now), no_file).unwrap();
        assert_eq!((firing.due, &firing.start), (at("2026-11-21T09:30:00Z").as_millisecond(), expected), "{now}");
        assert!(firing.next > Some(firing.now) && firing.next <= Some(firing.now + 30 * 60 * 1_000), "one and the same beat: {firing:?}");
    };
    let left = Start::Leave(RunState::Missed, "nothing ran at the time".to_owned());
    for (now, skipped) in [("2026-11-21T09:30:00Z", &Start::Say), ("2026-11-21T09:31:00Z", &Start::Say), ("2026-11-22T00:00:00Z", &left)] {
        check(Missed::Once, now, &Start::Say);
        check(Missed::Skip, now, skipped);
    }
}

#[test]
fn after_a_long_time_off_it_fires_once() {
    let store = Store::in_memory().unwrap();
    wait(store.add_job(wanted("every 30 minutes", JobKind::Reminder, Missed::Once).checked(at(NOW)).unwrap())).unwrap();
    let now = at("2026-11-25T00:10:00Z");
    let mut fired = Vec::new();
    while let Some(job) = wait(store.due_jobs(now.as_millisecond())).unwrap().pop() {
        fired.push(wait(store.fire(firing(&job, now, no_file).unwrap())).unwrap());
    }
    assert_eq!(fired, [Fired::Said { outbound: 1 }]);
}

#[test]
fn what_a_firing_does() {
    let job = row("in 20 minutes", JobKind::Prompt, Missed::Once);
    let firing = by_hand(&job, at(NOW), no_file);
    assert!(firing.by_hand && firing.next == job.next);
    let Start::Turn(text) = firing.start else { panic!("no turn") };
    assert!(text.starts_with("look\n\n[job: disk; "), "{text}");
    let check = |checklist: Result<&str, ErrorKind>, expected: Result<&str, &str>| {
        let job = row("every 30 minutes", JobKind::Heartbeat, Missed::Skip);
        let read = |path: &Path| {
            assert_eq!(path, Path::new("look"));
            checklist.map(str::to_owned).map_err(Error::from)
        };
        match (by_hand(&job, at(NOW), read).start, expected) {
            (Start::Turn(text), Ok(end)) => assert!(text.contains("reply with NOTHING") && text.ends_with(end), "{text}"),
            (Start::Leave(RunState::Nothing, why), Err(part)) => assert!(why.contains(part), "{why}"),
            (start, expected) => panic!("{start:?} instead of {expected:?}"),
        }
    };
    check(Ok("# Checks\n\n- is the disk full?\n"), Ok("\n\n# Checks\n\n- is the disk full?"));
    check(Ok(""), Err("look is empty"));
    check(Ok("# Checks\n\n  \n## More\n"), Err("look is empty"));
    check(Ok(&"x".repeat(CHECKLIST_BYTES + 1)), Err("has 16385 bytes"));
    check(Err(ErrorKind::NotFound), Err("there is no look"));
    check(Err(ErrorKind::PermissionDenied), Err("cannot be read"));
}
