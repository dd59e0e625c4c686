//! `paguro service`: has the system's manager run `paguro serve`: systemd on Linux, launchd on macOS.
//!
//! Deliberately not here: anything that `serve` does. The unit shows it only what the configuration names, so a configuration that names
//! other files or folders needs the unit written again; `paguro service status` says so.

mod account;
mod launchd;
mod systemd;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use engine::ModelSource;
use serde::Serialize;

use self::account::Account;
use super::print_json;
use crate::args::{ListArgs, ListFormat, ScopeArgs, ServiceCommand};
use crate::config::Config;
use crate::exit::{self, BadInput};
use crate::home::Home;
use crate::parts::Context;
use crate::secrets;

/// The user that a machine's service runs as when root itself asks for one, and where that user's files are then.
const OWN_USER: &str = "paguro";
const OWN_HOME: &str = "/var/lib/paguro";

/// What the unit hides (`ProtectHome`, `PrivateTmp`), so that what is wanted of it must be named.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// Whose service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The user's own manager runs it.
    User,
    /// The machine's manager runs it as `user`.
    System { user: String },
}

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

/// How a service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// Starts by itself.
    pub enabled: bool,
    pub running: bool,
    /// In the manager's words.
    pub says: String,
    /// How often it was started again.
    pub restarts: Option<u32>,
}

pub fn run(command: &ServiceCommand) -> Result<ExitCode> {
    if !cfg!(unix) {
        return Err(BadInput("this system has neither systemd nor launchd; start `paguro serve` by its own means".into()).into());
    }
    match command {
        ServiceCommand::Install { scope, user, dry_run } => install(&Owner::find(*scope, user.as_deref())?, *dry_run),
        ServiceCommand::Status { scope, list } => status(*scope, list),
        ServiceCommand::Uninstall { scope } => uninstall(*scope),
    }
}

/// Whose service it is, with the home that it works in.
struct Owner {
    scope: Scope,
    home: Home,
    /// `None`: the user is not there yet.
    account: Option<Account>,
    /// Where the user's configurations are.
    configurations: PathBuf,
}

impl Owner {
    fn find(scope: ScopeArgs, named: Option<&str>) -> Result<Self> {
        let variable = |name: &str| std::env::var_os(name);
        let me = user_number();
        let myself = Account::numbered(me);
        let configurations = || -> Result<PathBuf> {
            let home = Home::find(|name| variable(name).filter(|_| name != "PAGURO_HOME")).context("a user's service needs HOME")?;
            Ok(home.config.parent().and_then(Path::parent).unwrap_or(&home.data).to_owned())
        };
        if !scope.system {
            let home = Home::find(variable)?;
            return Ok(Self { scope: Scope::User, home, account: myself, configurations: configurations()? });
        }
        if cfg!(target_os = "macos") {
            return Err(BadInput("on macOS a service is always yours; leave out --system".into()).into());
        }
        let sudo = std::env::var("SUDO_USER").ok().filter(|name| me == 0 && name != "root");
        let own = myself.as_ref().map(|account| account.name.clone()).filter(|_| me != 0);
        let user = named.map(str::to_owned).or(sudo).or(own).unwrap_or_else(|| OWN_USER.to_owned());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.$".contains(c);
        if user.is_empty() || user.starts_with('-') || !user.chars().all(is_plain) {
            return Err(BadInput(format!("`{user}` is no name of a user")).into());
        }
        let account = Account::named(&user);
        if user == "root" || account.as_ref().is_some_and(|account| account.user == 0) {
            return Err(BadInput("root's rights are more than the service should have; name another user with --user".into()).into());
        }
        let own = |folder: &Path| Home::find(|name| (name == "HOME").then(|| folder.as_os_str().to_owned()));
        let home = match (&account, std::env::var_os("PAGURO_HOME")) {
            (_, Some(_)) => Home::find(variable)?,
            (Some(account), None) if account.user == me => Home::find(variable)?,
            (Some(account), None) if user != OWN_USER => own(&account.folder)?,
            _ => Home::find(|name| (name == "PAGURO_HOME").then(|| OWN_HOME.into()))?,
        };
        Ok(Self { scope: Scope::System { user }, home, account, configurations: PathBuf::new() })
    }

    fn file(&self) -> PathBuf {
        if cfg!(target_os = "macos") {
            return launchd::file(&std::env::home_dir().unwrap_or_default());
        }
        systemd::file(&self.scope, &self.configurations)
    }

    /// What the configuration, which the service will read without this shell's variables, makes of it.
    fn facts(&self) -> Result<Facts> {
        let config = Config::load(&self.home.config, std::iter::empty())?;
        let context = Context { home: self.home.clone(), config };
        let home = &self.home;
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
        let (scope, home) = (self.scope.clone(), home.clone());
        Ok(Facts { scope, program, home, environment, writable, readable, credentials, devices, systemd: systemd::version() })
    }
}

/// What is written of `facts`.
fn text(facts: &Facts) -> Result<String> {
    if cfg!(target_os = "macos") { launchd::text(facts) } else { systemd::text(facts) }
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

fn install(owner: &Owner, dry_run: bool) -> Result<ExitCode> {
    let facts = owner.facts()?;
    let text = text(&facts)?;
    if dry_run {
        write!(std::io::stdout(), "{text}")?;
        return Ok(ExitCode::SUCCESS);
    }
    if let (Scope::System { user }, None) = (&owner.scope, &owner.account) {
        let make = format!("useradd --system --create-home --home-dir {OWN_HOME} --shell /usr/sbin/nologin {user}");
        return Err(BadInput(format!("there is no user {user}: make it with `{make}`, or name another with --user")).into());
    }
    for folder in &facts.writable {
        make_folder(folder, owner.account.as_ref())?;
    }
    let file = owner.file();
    write_unit(&file, &text)?;
    say!("wrote {}", file.display());
    for name in ignored_variables() {
        say!("note: {name} is set here, and will not be in the service; put it into the configuration, a secret into a file that it names");
    }
    activate(owner, &file)
}

/// Starts what has been written, and says how to go on.
fn activate(owner: &Owner, file: &Path) -> Result<ExitCode> {
    if cfg!(target_os = "macos") {
        for line in launchd::activate(file, user_number())? {
            say!("{line}");
        }
        say!("next: paguro service status");
        return Ok(ExitCode::SUCCESS);
    }
    let scope = &owner.scope;
    let command = systemd::command(scope);
    let sudo = if matches!(scope, Scope::System { .. }) { "sudo " } else { "" };
    if let Some(why) = systemd::unreachable(scope) {
        say!("systemd was not told of it: {why}");
        say!("next, where systemd runs: {sudo}{command} daemon-reload && {sudo}{command} enable --now paguro");
        return Ok(ExitCode::SUCCESS);
    }
    for line in systemd::activate(scope)? {
        say!("{line}");
    }
    let flag = if sudo.is_empty() { "" } else { " --system" };
    say!("next: paguro service status{flag}");
    if let (Scope::User, Some(account)) = (scope, &owner.account)
        && let Some(line) = systemd::lingering(&account.name)
    {
        say!("      {line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The variables of this shell that change what `serve` does, and that its service will not have.
fn ignored_variables() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("PAGURO_") && name != "PAGURO_HOME").collect();
    names.sort();
    names
}

#[derive(Debug, Serialize)]
struct Told {
    file: PathBuf,
    installed: bool,
    /// Whether it is as it would be written now; `None`: that cannot be said, or it is not there.
    current: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    /// Why the manager cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

fn status(scope: ScopeArgs, list: &ListArgs) -> Result<ExitCode> {
    // A machine's service is compared as the user's that it names.
    let installed = std::fs::read_to_string(systemd::file(&Scope::System { user: String::new() }, Path::new(""))).unwrap_or_default();
    let owner = Owner::find(scope, systemd::user_in(&installed).filter(|_| scope.system))?;
    let file = owner.file();
    let written = std::fs::read_to_string(&file).ok();
    let wanted = owner.facts().and_then(|facts| text(&facts));
    let current = written.as_ref().and_then(|written| Some(wanted.as_ref().ok()? == written));
    let state = if cfg!(target_os = "macos") { launchd::state(user_number()) } else { systemd::state(&owner.scope) };
    let (state, unknown) = state.map_or_else(|why| (None, Some(why)), |state| (Some(state), None));
    let told = Told { file, installed: written.is_some(), current, state, unknown };
    match list.format {
        ListFormat::Json => print_json(&told)?,
        ListFormat::Text => {
            let flag = if scope.system { " --system" } else { "" };
            show(&told, flag, wanted.err())?;
        }
    }
    Ok(ExitCode::from(if told.installed { exit::ANSWERED } else { exit::FAILED }))
}

fn show(told: &Told, flag: &str, why_not: Option<anyhow::Error>) -> Result<()> {
    if !told.installed {
        say!("installed  no; `paguro service install{flag}` writes {}", told.file.display());
        return Ok(());
    }
    say!("installed  {}", told.file.display());
    match (told.current, why_not) {
        (Some(true), _) => say!("current    yes, as it would be written now"),
        (Some(false), _) => say!(
            "current    no: the configuration, this program or the machine's devices ask for another; `paguro service install{flag}` writes \
             it again, and with --dry-run shows it"
        ),
        (None, why) => say!("current    unknown: {}", why.map_or_else(String::new, |why| format!("{why:#}"))),
    }
    match (&told.state, &told.unknown) {
        (Some(state), _) => {
            say!("enabled    {}", if state.enabled { "yes" } else { "no" });
            let restarts = state.restarts.filter(|count| *count > 0).map(|count| format!(", started again {count} times"));
            say!("running    {}{}", channels::visible(&state.says), restarts.unwrap_or_default());
        }
        (None, why) => say!("running    unknown: {}", why.as_deref().unwrap_or_default()),
    }
    Ok(())
}

fn uninstall(scope: ScopeArgs) -> Result<ExitCode> {
    let owner = Owner::find(scope, None)?;
    let file = owner.file();
    let flag = if scope.system { " --system" } else { "" };
    if !file.exists() {
        say!("nothing is installed: there is no {}", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    let told = if cfg!(target_os = "macos") { launchd::deactivate(user_number()) } else { systemd::deactivate(&owner.scope) };
    for line in told {
        say!("{line}");
    }
    std::fs::remove_file(&file).with_context(|| refused(&file, "removed"))?;
    if !cfg!(target_os = "macos") {
        systemd::forget(&owner.scope, &file);
    }
    say!("removed {}; conversations, models and configuration stay", file.display());
    say!("next, should you want it back: paguro service install{flag}");
    Ok(ExitCode::SUCCESS)
}

/// Puts `text` in the place of `file` at once: a unit that is half written would be read.
fn write_unit(file: &Path, text: &str) -> Result<()> {
    let folder = file.parent().context("the unit has no folder")?;
    let written = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(text.as_bytes())?;
        #[cfg(unix)]
        new.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        new.as_file().sync_all()?;
        new.persist(file)?;
        Ok(())
    };
    written().with_context(|| refused(file, "written"))
}

/// What could not be done, and the way out where that is known.
fn refused(file: &Path, what: &str) -> String {
    let way = if file.starts_with("/etc") && user_number() != 0 { " (a machine's service takes root: use sudo)" } else { "" };
    format!("{} cannot be {what}{way}", file.display())
}

/// Makes a folder that the service needs from its start, for its owner alone.
fn make_folder(folder: &Path, owner: Option<&Account>) -> Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.exists()).collect();
    for path in missing.into_iter().rev() {
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).with_context(|| format!("the folder {} cannot be made", path.display()))?;
        #[cfg(unix)]
        if let Some(owner) = owner {
            std::os::unix::fs::chown(path, Some(owner.user), Some(owner.group))
                .with_context(|| format!("the folder {} cannot be given to {}", path.display(), owner.name))?;
        }
    }
    Ok(())
}

/// Who runs this.
fn user_number() -> u32 {
    #[cfg(unix)]
    return rustix::process::geteuid().as_raw();
    #[cfg(not(unix))]
    return 0;
}

#[cfg(test)]
mod tests {
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
