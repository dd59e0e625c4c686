//! The commands of `chat`: their names, their help, and what to make of a line.

/// A command as it is listed.
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) arguments: &'static str,
    help: &'static str,
    action: fn(String) -> Action,
}

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Say it to the model.
    Say(String),
    Help,
    New(String),
    Sessions,
    Session(String),
    Stop,
    Undo,
    Model,
    Context,
    Approve(String),
    Memory(String),
    Pin(String),
    Tasks(String),
    Approvals,
    Quit,
    /// Not a command; what to tell the person.
    Unknown(String),
}

/// All commands, in the order of the help.
pub(super) const COMMANDS: &[Command] = &[
    Command { name: "help", arguments: "", help: "this list", action: |_| Action::Help },
    Command { name: "new", arguments: "[NAME]", help: "begin a new session", action: Action::New },
    Command { name: "sessions", arguments: "", help: "list the sessions", action: |_| Action::Sessions },
    Command { name: "session", arguments: "NAME", help: "go on with another session", action: Action::Session },
    Command { name: "stop", arguments: "", help: "end an unfinished turn (during a reply: Ctrl-C)", action: |_| Action::Stop },
    Command { name: "undo", arguments: "", help: "take the last turn out of the history, bring back its files", action: |_| Action::Undo },
    Command { name: "model", arguments: "", help: "say which model replies", action: |_| Action::Model },
    Command { name: "context", arguments: "", help: "say what fills the context", action: |_| Action::Context },
    Command { name: "approve", arguments: "[MODE]", help: "show or set who approves: prompt, deny, all, wait", action: Action::Approve },
    Command {
        name: "memory",
        arguments: "[QUERY]",
        help: "find notes; or: list, show ID, add TEXT, forget ID, stats",
        action: Action::Memory,
    },
    Command { name: "pin", arguments: "TEXT", help: "keep a rule that holds in every conversation", action: Action::Pin },
    Command { name: "approvals", arguments: "", help: "list what waits for your approval", action: |_| Action::Approvals },
    Command { name: "tasks", arguments: "[stop N]", help: "list the tasks that run, or stop one", action: Action::Tasks },
    Command { name: "quit", arguments: "", help: "leave (also Ctrl-D)", action: |_| Action::Quit },
];

/// Letters that may be wrong in a name for another to be suggested.
const SLIPS: usize = 2;

/// What `line` asks for. A command is `/` and letters; `/etc/hosts …` and lines that begin with a space are said.
pub(super) fn parse(line: &str) -> Action {
    let Some(rest) = line.strip_prefix('/') else { return Action::Say(line.trim().to_owned()) };
    let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let argument = argument.trim().to_owned();
    if name.contains('/') {
        return Action::Say(line.trim_end().to_owned());
    }
    let name = if name == "exit" { "quit" } else { name };
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) if command.arguments.is_empty() && !argument.is_empty() => {
            Action::Unknown(format!("/{name} takes no argument; to say this line, begin it with a space"))
        }
        Some(command) => (command.action)(argument),
        None => Action::Unknown(format!("there is no command /{name}; {}", suggestion(name))),
    }
}

fn suggestion(name: &str) -> String {
    let begun = |full: &str| !name.is_empty() && full.starts_with(name);
    let slips = |full: &str| if begun(full) { 0 } else { strsim::damerau_levenshtein(name, full) };
    match COMMANDS.iter().map(|command| (slips(command.name), command.name)).min() {
        Some((count, nearest)) if count <= SLIPS && count < name.len() => format!("did you mean /{nearest}?"),
        _ => "/help lists them".to_owned(),
    }
}

/// The text of `/help`.
pub(super) fn help() -> String {
    let mut out = String::new();
    for Command { name, arguments, help, .. } in COMMANDS {
        let usage = format!("/{name} {arguments}");
        out += &format!("{usage:<18}{help}\n");
    }
    out + "Alt-Enter or \\ at the end of a line: another line · Ctrl-C: stop the reply, clear the line · Ctrl-D: leave"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Action) {
        assert_eq!(parse(line), expected, "{line:?}");
    }

    #[test]
    fn a_line_is_a_command_or_is_said() {
        check("hello ", Action::Say("hello".into()));
        check(" /help", Action::Say("/help".into()));
        check("/etc/hosts: what is in it?", Action::Say("/etc/hosts: what is in it?".into()));
        check("/help", Action::Help);
        check("/session  work ", Action::Session("work".into()));
        check("/memory my bike", Action::Memory("my bike".into()));
        check("/approve", Action::Approve(String::new()));
        check("/exit", Action::Quit);
    }

    #[test]
    fn an_unknown_command_names_the_nearest() {
        let unknown = |text: &str| Action::Unknown(text.into());
        check("/sesions", unknown("there is no command /sesions; did you mean /sessions?"));
        check("/aprove all", unknown("there is no command /aprove; did you mean /approve?"));
        check("/nwe", unknown("there is no command /nwe; did you mean /new?"));
        check("/mem bike", unknown("there is no command /mem; did you mean /memory?"));
        check("/xyz", unknown("there is no command /xyz; /help lists them"));
        check("/", unknown("there is no command /; /help lists them"));
        check("/undo that", unknown("/undo takes no argument; to say this line, begin it with a space"));
    }

    #[test]
    fn every_command_is_in_the_help() {
        for command in COMMANDS {
            assert!(help().contains(&format!("/{} ", command.name)), "{}", command.name);
        }
    }
}
