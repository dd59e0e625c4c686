//! Which room may know which, read from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Every allowed edge between rooms. The executable builds the parts, so it may name every room but the shim.
const EDGES: [(&str, &[&str]); 7] = [
    ("paguro", &["channels", "tools", "agent", "engine", "memory"]),
    ("channels", &["agent"]),
    ("tools", &["agent"]),
    ("agent", &["engine", "memory"]),
    ("engine", &["llama-sys"]),
    ("memory", &[]),
    ("llama-sys", &[]),
];

/// Crates that must not be direct dependencies of a room.
const FORBIDDEN: [(&str, &[&str]); 3] = [
    ("agent", &["rusqlite", "sqlite-vec", "teloxide", "reqwest", "llama-cpp-2", "llama-cpp-sys-2", "llama-sys"]),
    ("memory", &["llama-cpp-2", "llama-cpp-sys-2", "reqwest", "teloxide"]),
    ("channels", &["rusqlite", "llama-cpp-2", "llama-cpp-sys-2"]),
];

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new().no_deps().other_options(["--offline".to_owned()]).exec().unwrap();
    let normal = |package: &cargo_metadata::Package| {
        let dependencies = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        dependencies.map(|dependency| dependency.name.clone()).collect()
    };
    metadata.packages.iter().map(|package| (package.name.to_string(), normal(package))).collect()
}

#[test]
fn rooms_know_only_the_rooms_they_may() {
    let found = dependencies();
    let rooms: BTreeSet<&str> = EDGES.iter().map(|(room, _)| *room).collect();
    assert_eq!(found.keys().map(String::as_str).collect::<BTreeSet<_>>(), rooms, "the list of rooms");
    for (room, allowed) in EDGES {
        let known: BTreeSet<&str> = found[room].iter().map(String::as_str).filter(|name| rooms.contains(name)).collect();
        assert_eq!(known, allowed.iter().copied().collect(), "the rooms that {room} knows");
    }
}

#[test]
fn rooms_do_not_reach_past_their_neighbours() {
    let found = dependencies();
    for (room, forbidden) in FORBIDDEN {
        for name in forbidden {
            assert!(!found[room].contains(*name), "{room} depends on {name}");
        }
    }
    let of_llama: Vec<_> = found.iter().filter(|(_, names)| names.iter().any(|name| name.starts_with("llama-cpp"))).collect();
    assert_eq!(of_llama.len(), 1, "llama.cpp has one door: {of_llama:?}");
}
