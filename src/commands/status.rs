//! `paguro status`: how the process that serves is.

use std::process::ExitCode;

use anyhow::Result;

use super::print_json;
use crate::args::{ListArgs, ListFormat};
use crate::parts::Context;
use crate::{exit, out, status};

/// Without a process that serves it says so, with what the journal has; the status of the command is 1 then.
pub async fn run(list: &ListArgs) -> Result<ExitCode> {
    let Some(client) = out::client() else {
        let context = Context::read()?;
        let status = status::of_store(&context.store()?).await?;
        match list.format {
            ListFormat::Json => print_json(&status)?,
            ListFormat::Text => {
                tell!("paguro: `paguro serve` does not run; {} turns today, {} unfinished", status.today.turns, status.waiting)
            }
        }
        return Ok(ExitCode::from(exit::FAILED));
    };
    let status = client.about.status(&client.desk).await?;
    match list.format {
        ListFormat::Json => print_json(&status)?,
        ListFormat::Text => say!("{}", status::text(&status)),
    }
    Ok(ExitCode::SUCCESS)
}
