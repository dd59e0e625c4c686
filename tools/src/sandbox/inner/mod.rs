//! The inside of the sandbox: this program again, started twice more. The first process makes the namespaces, the second is number 1
//! in them, makes the mounts, gives up its rights and runs the command as its child. Deliberately not here: what is to be in force,
//! which the outside has decided, and any `unsafe`: a new program is started where others fork.
//!
//! A layer that cannot be had ends it: a line on standard error names the layer and the reason, and the status is 125.

mod attempts;
mod filter;
mod first;
mod forward;
mod landlocked;
mod mounts;
mod rights;
mod second;
mod watch;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::process::ExitCode;

use super::layers::Layer;
use super::spec::{BROKEN, COMPLAINT, FIRST, PREFIX, SECOND, Spec, VARIABLE};

/// A layer that cannot be had.
struct Broken {
    layer: Layer,
    why: String,
}

/// What turns an error into one of a layer.
trait Of<T> {
    fn of(self, layer: Layer, what: &str) -> Result<T, Broken>;
}

impl<T, E: Display> Of<T> for Result<T, E> {
    fn of(self, layer: Layer, what: &str) -> Result<T, Broken> {
        self.map_err(|error| Broken { layer, why: format!("{what}: {error}") })
    }
}

/// What runs inside.
struct Order {
    spec: Spec,
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Order {
    fn read(arguments: impl Iterator<Item = OsString>, variables: impl Iterator<Item = (OsString, OsString)>) -> Option<Self> {
        let mut arguments = arguments.collect::<Vec<_>>().into_iter();
        let program = arguments.next()?;
        let mut spec = None;
        let mut environment = Vec::new();
        for (name, value) in variables {
            if name == VARIABLE {
                spec = serde_json::from_str(value.to_str()?).ok();
            } else if let Some(name) = name.into_vec().strip_prefix(PREFIX.as_bytes()) {
                environment.push((OsString::from_vec(name.to_owned()), value));
            }
        }
        Some(Self { spec: spec?, program, arguments: arguments.collect(), environment })
    }
}

/// Does the inside's work and returns its status if this process was started for that; `None`: it was not.
///
/// `arguments` and `variables` are the process's own. Must come before anything else in `main`, above all before any thread.
pub fn enter_if_asked(
    mut arguments: impl Iterator<Item = OsString>,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Option<ExitCode> {
    let stage = arguments.nth(1)?;
    if stage != FIRST && stage != SECOND {
        return None;
    }
    let Some(order) = Order::read(arguments, variables) else {
        let _ = writeln!(std::io::stderr(), "{COMPLAINT}this is the inside of a sandbox and is not to be called by itself");
        return Some(ExitCode::from(BROKEN));
    };
    let done = if stage == FIRST { first::run(&order) } else { second::run(&order) };
    Some(done.unwrap_or_else(|Broken { layer, why }| {
        let _ = writeln!(std::io::stderr(), "{COMPLAINT}{layer}: {why}");
        ExitCode::from(BROKEN)
    }))
}

/// `/proc/self/stat`'s fourth field: the parent, numbered as `/proc` numbers it.
fn parent_in_proc() -> Option<u32> {
    stat_field(1)
}

fn own_number_in_proc() -> Option<u32> {
    std::fs::read_link("/proc/self").ok()?.to_str()?.parse().ok()
}

/// The field that is `index` behind the state.
fn stat_field(index: usize) -> Option<u32> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(index)?.parse().ok()
}
