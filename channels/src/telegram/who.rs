//! Who may speak: owners, and in allow-listed groups whoever is there. Everybody else gets nothing at all.

use std::collections::HashSet;

use agent::memory::{Store, StoreError};

use super::CHANNEL;
use super::settings::{Group, Settings, When};
use super::update::{Chat, User};

/// The store's setting with the owners who paired: their ids, a space between.
const OWNERS: &str = "owners";

/// The store's setting with the update that paired last and who wrote it, so that the same update pairs once more and says nothing else.
const PAIRED: &str = "paired";

/// Strangers that are remembered, so that each stands in the log once; of more there is nothing in the log.
const STRANGERS: usize = 1_000;

/// What somebody is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// May do all.
    Owner,
    /// Somebody in an allow-listed group, by id.
    Guest(i64),
    /// Somebody else: the chat that it was in.
    Stranger(i64),
    /// A bot, or a channel.
    Nobody,
}

/// Those who may speak, as it is now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Circle {
    pub(super) owners: Vec<i64>,
    pub(super) groups: Vec<Group>,
}

impl Circle {
    /// By the settings and by the store: those who paired, and groups that have become supergroups.
    pub(super) async fn read(store: &Store, settings: &Settings) -> Result<Self, StoreError> {
        let mut circle = Self { owners: settings.owners.clone(), groups: settings.groups.clone() };
        circle.owners.extend(paired(store).await?);
        for group in &settings.groups {
            if let Some(id) = store.setting(CHANNEL, &moved(group.id)).await?.and_then(|id| id.parse().ok()) {
                circle.groups.push(Group { id, ..*group });
            }
        }
        Ok(circle)
    }

    /// Who `from` is in `chat`. `behind`: the message was sent on behalf of a chat, so `from` is a stand-in.
    pub(super) fn who(&self, chat: &Chat, from: Option<&User>, behind: bool) -> Who {
        let Some(from) = from.filter(|from| !from.is_bot && !behind) else { return Who::Nobody };
        let is_owner = self.owners.contains(&from.id);
        if chat.is_private() {
            // Each has one chat alone with the bot, and its id is his.
            return if is_owner && chat.id == from.id { Who::Owner } else { Who::Stranger(chat.id) };
        }
        match (chat.is_group(), self.group(chat.id)) {
            (true, Some(_)) if is_owner => Who::Owner,
            (true, Some(_)) => Who::Guest(from.id),
            (true, None) => Who::Stranger(chat.id),
            (false, _) => Who::Nobody,
        }
    }

    /// When the bot answers in a group; `None`: never.
    pub(super) fn group(&self, chat: i64) -> Option<When> {
        self.groups.iter().find(|group| group.id == chat).map(|group| group.when)
    }
}

/// The store's setting with the new id of a group that has become a supergroup.
pub(super) fn moved(old: i64) -> String {
    format!("moved:{old}")
}

async fn paired(store: &Store) -> Result<Vec<i64>, StoreError> {
    let list = store.setting(CHANNEL, OWNERS).await?.unwrap_or_default();
    Ok(list.split_whitespace().filter_map(|id| id.parse().ok()).collect())
}

/// Makes a person an owner, because of an update. Cut off in between, the same update does it again: [`has_paired`].
pub(super) async fn pair(store: &Store, update: &str, person: i64) -> Result<(), StoreError> {
    store.set_setting(CHANNEL, PAIRED, Some(format!("{update} {person}"))).await?;
    let mut owners = paired(store).await?;
    if !owners.contains(&person) {
        owners.push(person);
        let list = owners.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        store.set_setting(CHANNEL, OWNERS, Some(list)).await?;
    }
    Ok(())
}

/// Whether this is the update by which the person was paired.
pub(super) async fn has_paired(store: &Store, update: &str, person: i64) -> Result<bool, StoreError> {
    Ok(store.setting(CHANNEL, PAIRED).await?.as_deref() == Some(&format!("{update} {person}")))
}

/// The strangers that stand in the log already.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    chats: HashSet<i64>,
}

impl Strangers {
    /// Whether this one is new, and worth a line.
    pub(super) fn is_new(&mut self, chat: i64) -> bool {
        self.chats.len() < STRANGERS && self.chats.insert(chat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(id: i64, kind: &str) -> Chat {
        Chat { id, kind: kind.into() }
    }

    fn user(id: i64) -> User {
        User { id, first_name: "A".into(), ..User::default() }
    }

    #[test]
    fn who_may_speak() {
        let circle = Circle { owners: vec![1, 2], groups: vec![Group { id: -10, when: When::Mention }] };
        let who = |chat: Chat, id: i64| circle.who(&chat, Some(&user(id)), false);
        assert_eq!(who(chat(1, "private"), 1), Who::Owner);
        assert_eq!(who(chat(3, "private"), 3), Who::Stranger(3));
        assert_eq!(who(chat(3, "private"), 1), Who::Stranger(3));
        assert_eq!(who(chat(-10, "supergroup"), 2), Who::Owner);
        assert_eq!(who(chat(-10, "group"), 3), Who::Guest(3));
        // An owner opens no group by speaking there.
        assert_eq!(who(chat(-11, "group"), 1), Who::Stranger(-11));
        assert_eq!(who(chat(-10, "channel"), 1), Who::Nobody);
        assert_eq!(who(chat(1, ""), 1), Who::Nobody);
        assert_eq!(circle.who(&chat(-10, "group"), Some(&User { is_bot: true, ..user(1) }), false), Who::Nobody);
        assert_eq!(circle.who(&chat(-10, "group"), Some(&user(1)), true), Who::Nobody);
        assert_eq!(circle.who(&chat(1, "private"), None, false), Who::Nobody);
    }

    #[tokio::test]
    async fn those_who_paired_and_groups_that_moved_are_known() {
        let store = Store::in_memory().unwrap();
        let settings = Settings { owners: vec![1], groups: vec![Group { id: -5, when: When::Always }], ..Settings::for_tests() };
        assert!(!has_paired(&store, "u7", 2).await.unwrap());
        for _ in 0..2 {
            pair(&store, "u7", 2).await.unwrap();
        }
        store.set_setting(CHANNEL, &moved(-5), Some("-1005".into())).await.unwrap();
        let circle = Circle::read(&store, &settings).await.unwrap();
        assert_eq!(
            (circle.owners.as_slice(), circle.group(-5), circle.group(-1005)),
            ([1, 2].as_slice(), Some(When::Always), Some(When::Always))
        );
        assert!(has_paired(&store, "u7", 2).await.unwrap());
        assert!(!has_paired(&store, "u8", 2).await.unwrap() && !has_paired(&store, "u7", 1).await.unwrap());
    }

    #[test]
    fn strangers_are_told_of_once_and_not_without_end() {
        let mut strangers = Strangers::default();
        assert!(strangers.is_new(1) && !strangers.is_new(1));
        let new = (2..5_000).filter(|id| strangers.is_new(*id)).count();
        assert_eq!(new, STRANGERS - 1);
    }
}
