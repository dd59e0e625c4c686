//! `paguro pair`: a new code by which a person becomes an owner on Telegram. The process that is there makes it, and knows it alone.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::out;

pub async fn run() -> Result<ExitCode> {
    let Some(client) = out::client() else {
        bail!("`paguro serve` does not run here; start it, and ask again");
    };
    say!("{}", client.about.pair().await?);
    Ok(ExitCode::SUCCESS)
}
