//! Whose service it is: the user's name, number and home folder, from `/etc/passwd` or else `getent`.

use std::path::PathBuf;
use std::process::Command;

/// One line of the table of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub user: u32,
    pub group: u32,
    pub folder: PathBuf,
}

impl Account {
    /// By name.
    pub fn named(name: &str) -> Option<Self> {
        find(name, |account| account.name == name)
    }

    /// By number.
    pub fn numbered(user: u32) -> Option<Self> {
        find(&user.to_string(), |account| account.user == user)
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, user, group, _, folder, ..] = fields[..] else { return None };
        Some(Self { name: name.to_owned(), user: user.parse().ok()?, group: group.parse().ok()?, folder: folder.into() })
    }
}

fn find(key: &str, is_it: impl Fn(&Account) -> bool) -> Option<Account> {
    let table = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = |text: &str| text.lines().filter_map(Account::parse).find(|account| is_it(account));
    // A directory service has users that stand in no file.
    found(&table).or_else(|| found(&String::from_utf8_lossy(&Command::new("getent").args(["passwd", key]).output().ok()?.stdout)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts() {
        let crab = Account { name: "crab".into(), user: 1000, group: 100, folder: "/home/crab".into() };
        assert_eq!(Account::parse("crab:x:1000:100:A Crab,,,:/home/crab:/bin/sh"), Some(crab));
        assert_eq!(Account::parse("crab:x:1000"), None);
        assert_eq!(Account::parse("crab:x:no:100::/home/crab:/bin/sh"), None);
    }
}
