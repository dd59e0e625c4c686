use super::*;

const GROUP_CHAT: i64 = -100;

/// When `count` messages to `chat` go, each as early as it may, in milliseconds after the first.
fn times(pace: &mut Pace, chat: i64, count: usize, start: Instant) -> Vec<u128> {
    let mut now = start;
    let mut out = Vec::new();
    while out.len() < count {
        match pace.take(chat, now) {
            Ok(()) => out.push((now - start).as_millis()),
            Err(later) => {
                assert!(later > now);
                now = later;
            }
        }
    }
    out
}

#[test]
fn a_chat_gets_a_few_at_once_and_then_one_a_second() {
    let start = Instant::now();
    assert_eq!(times(&mut Pace::default(), 1, 6, start), [0, 0, 0, 1_000, 2_000, 3_000]);
}

#[test]
fn a_group_gets_at_most_twenty_in_any_minute() {
    let all = times(&mut Pace::default(), GROUP_CHAT, 61, Instant::now());
    for (index, at) in all.iter().enumerate() {
        let within = all[index..].iter().filter(|other| **other < at + 60_000).count();
        assert!(within <= 20, "{within} from {at} on");
    }
    assert_eq!(all.last(), Some(&(3 * GROUP_TIME.as_millis())));
}

#[test]
fn all_chats_together_get_less_than_thirty_a_second() {
    let (mut pace, start) = (Pace::default(), Instant::now());
    let went = (0..100).filter(|chat| pace.take(*chat, start).is_ok()).count();
    assert_eq!(went, ALL);
    let later = pace.take(99, start).unwrap_err();
    assert_eq!(later, start + ALL_TIME);
    assert_eq!(pace.take(99, later), Ok(()));
}

#[test]
fn a_chat_in_a_wait_holds_up_no_other() {
    let (mut pace, start) = (Pace::default(), Instant::now());
    pace.flood(1, Duration::from_secs(30), start);
    assert_eq!(pace.take(1, start), Err(start + Duration::from_secs(30)));
    assert_eq!(pace.take(2, start), Ok(()));
    assert!(!pace.spare_draft(1, start) && pace.spare_draft(2, start));
    assert_eq!(pace.take(1, start + Duration::from_secs(30)), Ok(()));
}

#[test]
fn many_chats_in_a_wait_hold_all_until_one_gets_through() {
    let (mut pace, start) = (Pace::default(), Instant::now());
    let wait = Duration::from_secs(30);
    (1..=3).for_each(|chat| pace.flood(chat, wait, start));
    // The others try one by one.
    let first = pace.take(4, start).unwrap_err();
    assert_eq!(first, start + HOLD);
    assert_eq!(pace.take(4, first), Ok(()));
    assert_eq!(pace.take(5, first), Err(first + HOLD));
    // That one is to wait, too: the next tries later.
    pace.flood(4, wait, first);
    assert_eq!(pace.take(5, first), Err(first + HOLD * 2));
    let second = first + HOLD * 2;
    assert_eq!(pace.take(5, second), Ok(()));
    pace.went();
    assert_eq!((pace.take(6, second), pace.take(7, second)), (Ok(()), Ok(())));
    assert_eq!(pace.take(1, second), Err(start + wait));
}

#[test]
fn waits_far_apart_or_of_the_same_chat_hold_nobody_else() {
    let (mut pace, start) = (Pace::default(), Instant::now());
    (0..5).for_each(|time| pace.flood(1, Duration::from_secs(30), start + Duration::from_millis(time)));
    (2..6).for_each(|chat| pace.flood(chat, Duration::from_secs(30), start + Duration::from_secs(6 * u64::try_from(chat).unwrap())));
    assert_eq!(pace.take(9, start + Duration::from_secs(31)), Ok(()));
}

#[test]
fn a_wait_for_drafts_is_none_for_messages() {
    let (mut pace, start) = (Pace::default(), Instant::now());
    assert!(pace.spare_draft(1, start) && !pace.spare_draft(1, start));
    assert!(pace.spare_draft(1, start + DRAFT_GAP));
    pace.flood_draft(1, Duration::from_secs(9), start);
    assert!(!pace.spare_draft(1, start + Duration::from_secs(8)));
    assert_eq!(pace.take(1, start), Ok(()));
}

#[test]
fn what_can_be_left_out_leaves_room_for_messages() {
    let (mut pace, start) = (Pace::default(), Instant::now());
    let edits = (0..60).filter(|second| pace.spare(GROUP_CHAT, start + Duration::from_secs(*second))).count();
    assert_eq!(edits, GROUP - GROUP_SPARE);
    let mut pace = Pace::default();
    let drafts = (0..100).filter(|chat| pace.spare_draft(*chat, start)).count();
    assert_eq!(drafts, ALL - ALL_SPARE);
    assert_eq!(pace.take(1, start), Ok(()));
}

#[test]
fn few_chats_are_remembered() {
    let (mut pace, start) = (Pace::default(), Instant::now());
    let long = Duration::from_secs(100);
    pace.flood(-1, long, start);
    for number in 0..3_000 {
        let _ = pace.take(number, start + Duration::from_millis(u64::try_from(number).unwrap() * 50));
    }
    assert!(pace.chats.len() <= CHATS);
    pace.flood(-1, long, start + Duration::from_secs(90));
    assert!(pace.take(-1, start + Duration::from_secs(150)).is_err());
}
