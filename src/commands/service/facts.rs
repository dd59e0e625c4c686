//! What a unit is made of, found on this machine and in the configuration: where things are, what is to be reached of them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use engine::ModelSource;

use super::{Scope, systemd};
use crate::config::Config;
use crate::home::Home;
use crate::parts::Context;
use crate::secrets;

/// What the unit hides (`ProtectHome`, `PrivateTmp`), so that what is wanted of it must be named.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// What a unit is made of.
#[derive(Debug, Clone)]
pub struct Facts {
    pub scope: Scope,
    /// This executable.
    pub program: PathBuf,
    pub home: Home,
    /// The variables by which `serve` finds the same home.
    pub environment: Vec<(&'static str, PathBuf)>,
    /// Folders that it writes.
    pub writable: Vec<PathBuf>,
    /// Files and folders beyond these that it reads, where the unit would hide them.
    pub readable: Vec<PathBuf>,
    /// Secrets: the credential's name and the file.
    pub credentials: Vec<(String, PathBuf)>,
    /// Files of GPUs in `/dev`.
    pub devices: Vec<String>,
    /// The version of systemd, if there is one.
    pub systemd: Option<u32>,
}

impl Facts {
    /// What the configuration, which the service will read without this shell's variables, makes of it.
    pub fn find(scope: &Scope, home: &Home) -> Result<Self> {
        let config = Config::load(&home.config, std::iter::empty())?;
        let context = Context { home: home.clone(), config };
        let parent = |file: &Path| file.parent().unwrap_or(file).to_owned();
        let mut writable = vec![home.data.clone(), home.cache.clone(), parent(&home.config), context.workspace()];
        writable.extend(context.config.logs.file.as_ref().map(|file| parent(&home.resolve(file))));
        // The file itself may be a link to where the owner keeps such files.
        writable.extend(home.config.canonicalize().ok().map(|file| parent(&file)));
        let program = std::env::current_exe().context("this executable's path cannot be found")?;
        let readable = readable(&context, &program);
        let credentials = secrets::files(&context.config).map(|file| home.resolve(file)).filter(|file| file.is_file());
        let mut credentials: Vec<(String, PathBuf)> = credentials.map(|file| (secrets::credential_name(&file), file)).collect();
        credentials.sort();
        credentials.dedup();
        let writable = outermost(writable);
        let readable = readable.into_iter().filter(|path| !writable.iter().any(|folder| path.starts_with(folder)));
        let readable = outermost(readable.filter(|path| HIDDEN.iter().any(|hidden| path.starts_with(hidden))).collect());
        let mut devices: Vec<String> = names_in("/dev").into_iter().filter(|name| systemd::is_gpu(name)).collect();
        devices.sort();
        let environment = environment(home);
        let (scope, home) = (scope.clone(), home.clone());
        Ok(Self { scope, program, home, environment, writable, readable, credentials, devices, systemd: systemd::version() })
    }
}

/// The variables by which the same home is found.
fn environment(home: &Home) -> Vec<(&'static str, PathBuf)> {
    if home.config == home.data.join("paguro.toml") && home.cache == home.data.join("cache") {
        return vec![("PAGURO_HOME", home.data.clone())];
    }
    let above = |path: Option<&Path>| path.and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
    vec![
        ("XDG_CONFIG_HOME", above(home.config.parent())),
        ("XDG_DATA_HOME", above(Some(&home.data))),
        ("XDG_CACHE_HOME", above(Some(&home.cache))),
    ]
}

/// The files outside of the home that the configuration names, and what they are links to.
fn readable(context: &Context, program: &Path) -> Vec<PathBuf> {
    let mut out = vec![program.to_owned()];
    let models = [context.source(None).ok(), context.embedder(None).map(|options| options.source)];
    for source in models.into_iter().flatten() {
        if let ModelSource::File(file) = source {
            out.extend(parts_of(&file));
        }
    }
    out.extend(context.config.sandbox.readable.iter().map(|path| context.home.resolve(path)));
    out.extend(context.config.mcp.iter().filter_map(|server| Some(PathBuf::from(server.command.first()?))));
    // They are read as credentials; where a manager knows none, as they are.
    out.extend(secrets::files(&context.config).map(|file| context.home.resolve(file)));
    out.retain(|path| path.is_absolute());
    let targets: Vec<PathBuf> = out.iter().filter_map(|path| path.canonicalize().ok()).collect();
    out.extend(targets);
    out
}

/// A model's file, with the others where it is in several: `…-00001-of-00003.gguf`.
fn parts_of(file: &Path) -> Vec<PathBuf> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let (Some((stem, _)), Some(folder)) = (name.split_once("-00001-of-"), file.parent()) else { return vec![file.to_owned()] };
    let mut parts: Vec<PathBuf> =
        names_in(folder).iter().filter(|other| other.starts_with(&format!("{stem}-0"))).map(|other| folder.join(other)).collect();
    parts.sort();
    parts
}

fn names_in(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Sorted, without what lies in another of them.
fn outermost(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort();
    let mut out: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !out.iter().any(|outer| path.starts_with(outer)) {
            out.push(path);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::launchd;
    use super::*;

    fn facts(scope: Scope) -> Facts {
        let home = Home::find(|name| (name == "PAGURO_HOME").then(|| "/home/a b/100%".into())).unwrap();
        Facts {
            scope,
            program: "/opt/my programs/paguro".into(),
            environment: environment(&home),
            writable: vec![home.data.clone()],
            readable: vec!["/home/a b/models/m.gguf".into()],
            credentials: vec![("token-1234".into(), "/home/a b/100%/telegram.token".into())],
            devices: Vec::new(),
            systemd: Some(252),
            home,
        }
    }

    #[test]
    fn a_unit_has_what_was_found() {
        let text = systemd::text(&facts(Scope::System { user: "crab".into() })).unwrap();
        for line in [
            r#"ExecStart="/opt/my programs/paguro" serve"#,
            "User=crab",
            r#"Environment="PAGURO_HOME=/home/a b/100%%""#,
            "LoadCredential=token-1234:/home/a b/100%%/telegram.token",
            r#"BindPaths="/home/a b/100%%""#,
            r#"BindReadOnlyPaths="-/home/a b/models/m.gguf""#,
            "WantedBy=multi-user.target",
        ] {
            assert!(text.lines().any(|one| one == line), "no {line} in {text}");
        }
        assert!(!text.contains("RestartSteps"), "{text}");
        let newer = systemd::text(&Facts { systemd: Some(254), ..facts(Scope::User) }).unwrap();
        assert!(newer.contains("\nRestartSteps=8\n") && newer.contains("\nWantedBy=default.target\n"), "{newer}");
        assert!(!newer.contains("\nUser="), "{newer}");
        assert!(systemd::text(&Facts { program: "/a\nb".into(), ..facts(Scope::User) }).is_err());
    }

    #[test]
    fn a_property_list_has_what_was_found() {
        let program = PathBuf::from("/opt/<a> & b/paguro");
        let text = launchd::text(&Facts { program, ..facts(Scope::User) }).unwrap();
        for words in [
            "<string>/opt/&lt;a&gt; &amp; b/paguro</string>\n        <string>serve</string>",
            "<key>PAGURO_HOME</key>\n        <string>/home/a b/100%</string>",
            "<key>KeepAlive</key>\n    <true/>",
        ] {
            assert!(text.contains(words), "no {words:?} in {text}");
        }
        assert_eq!(launchd::file(Path::new("/Users/a")), Path::new("/Users/a/Library/LaunchAgents/org.paguro.serve.plist"));
        assert!(launchd::text(&Facts { program: "/a\nb".into(), ..facts(Scope::User) }).is_err());
    }

    #[test]
    fn the_home_is_found_by_the_same_variables() {
        let check = |variables: &[(&str, &str)]| {
            let home = Home::find(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())).unwrap();
            let again = environment(&home);
            let found = |name: &str| again.iter().find(|(key, _)| *key == name).map(|(_, path)| path.as_os_str().to_owned());
            assert_eq!(Home::find(|name| found(name).or((name == "HOME").then(|| "/elsewhere".into()))).unwrap(), home);
        };
        check(&[("PAGURO_HOME", "/p q")]);
        check(&[("HOME", "/h")]);
        check(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")]);
    }

    #[test]
    fn what_lies_in_another_folder_is_not_named() {
        let paths = |texts: &[&str]| texts.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(outermost(paths(&["/b/c", "/a", "/b", "/a/x", "/ab"])), paths(&["/a", "/ab", "/b"]));
    }

    #[test]
    fn all_parts_of_a_model_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "other.gguf"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names = |file: &str| -> Vec<String> {
            let parts = parts_of(&folder.path().join(file));
            parts.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names("m-00001-of-00002.gguf"), ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]);
        assert_eq!(names("other.gguf"), ["other.gguf"]);
    }
}
