//! The inside of a sandbox as a program of its own, for the tests of `tools`: the executable `paguro` is one, too.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::sandbox::enter_if_asked(std::env::args_os(), std::env::vars_os()).unwrap_or(ExitCode::FAILURE)
}
