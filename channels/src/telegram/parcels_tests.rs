use super::*;

fn waiting(update: i64, album: Option<&str>, since: Instant) -> Waiting {
    let said = Said {
        place: Place { chat: 1, topic: None },
        message: update,
        person: None,
        text: String::new(),
        data: None,
        attached: vec![],
        album: album.map(str::to_owned),
    };
    Waiting { parcel: Parcel { update, session: "1".into(), said, is_edit: false }, since }
}

#[test]
fn an_album_is_whole_a_second_after_its_last_part_or_before_something_else() {
    let now = Instant::now();
    let later = now + Duration::from_millis(300);
    let check = |line: &[Waiting], at: Instant, expected: Result<&[i64], Option<Instant>>| {
        let first = match first_message(line, at) {
            First::None => Err(None),
            First::Until(until) => Err(Some(until)),
            First::Whole(parcels) => Ok(parcels.iter().map(|parcel| parcel.update).collect::<Vec<_>>()),
        };
        assert_eq!(first, expected.map(<[i64]>::to_vec));
    };
    check(&[], now, Err(None));
    check(&[waiting(1, None, now), waiting(2, None, now)], now, Ok(&[1]));
    let album = [waiting(1, Some("a"), now), waiting(2, Some("a"), later)];
    check(&album, later, Err(Some(later + ALBUM)));
    check(&album, later + ALBUM, Ok(&[1, 2]));
    check(&[&album[..], &[waiting(3, Some("b"), later)]].concat(), later, Ok(&[1, 2]));
    check(&[&album[..], &[waiting(3, None, later), waiting(4, Some("a"), later)]].concat(), later, Ok(&[1, 2]));
}

#[tokio::test]
async fn what_waits_is_there_after_a_restart_in_its_order() {
    let store = Store::in_memory().unwrap();
    let parcels = Parcels::load(&store).await.unwrap();
    for update in [9, 10, 10] {
        parcels.put(&store, waiting(update, None, Instant::now()).parcel).await.unwrap();
    }
    store.set_setting(CHANNEL, "wait:x", Some("of another version".into())).await.unwrap();
    let parcels = Parcels::load(&store).await.unwrap();
    let place = Place { chat: 1, topic: None };
    let order: Vec<i64> = parcels.of(place).iter().map(|waiting| waiting.parcel.update).collect();
    assert_eq!(order, [9, 10]);
    assert_eq!(parcels.drop_all(&store, place, Some(7)).await.unwrap(), 0);
    assert_eq!(parcels.drop_all(&store, place, None).await.unwrap(), 2);
    assert!(!Parcels::load(&store).await.unwrap().waits(place));
}
