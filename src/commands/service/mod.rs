//! `paguro service`: has the system's manager run `paguro serve`: systemd on Linux, launchd on macOS.
//!
//! Deliberately not here: anything that `serve` does. The unit shows it only what the configuration names, so a configuration that names
//! other files or folders needs the unit written again; `paguro service status` says so.

mod account;
mod facts;
mod launchd;
mod systemd;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Serialize;

use self::account::Account;
use self::facts::Facts;
use super::print_json;
use crate::args::{ListArgs, ListFormat, ScopeArgs, ServiceCommand};
use crate::exit::{self, BadInput};
use crate::home::Home;

/// The user that a machine's service runs as when root itself asks for one, and where that user's files are then.
const OWN_USER: &str = "paguro";
const OWN_HOME: &str = "/var/lib/paguro";

/// Whose service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The user's own manager runs it.
    User,
    /// The machine's manager runs it as `user`.
    System { user: String },
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
}

/// What is written of `facts`.
fn text(facts: &Facts) -> Result<String> {
    if cfg!(target_os = "macos") { launchd::text(facts) } else { systemd::text(facts) }
}

fn install(owner: &Owner, dry_run: bool) -> Result<ExitCode> {
    let facts = Facts::find(&owner.scope, &owner.home)?;
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
    let wanted = Facts::find(&owner.scope, &owner.home).and_then(|facts| text(&facts));
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
